/* Contracts by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray, 2016): of a tile of 2 x 2
 * results 16 products a pair of channels instead of 36. Input, weight and products are
 * transformed by matrices of 0, 1, -1 and 1/2, so the sums of 9 x in terms that a result is become
 * 16 sums of `in` terms, and errors are no larger than those of one long sum. What is not finite
 * reaches all four results of the tiles that read it. */
#ifndef SPARKC_CODEGEN_CPU_CONTRACT_WINOGRAD_H
#define SPARKC_CODEGEN_CPU_CONTRACT_WINOGRAD_H

#include "codegen/cpu/emitter.h"

/* Whether a contract is computed so: in fp32, 3x3 taps side by side between dense pictures of one
 * size, without groups, and enough channels to pay for the transforms. */
bool contract_takes_winograd(const Kernel *kernel);

/* The multiply-adds that are executed then. */
int64_t winograd_multiply_adds(const Program *program, const Kernel *kernel);

/* As a KernelEmitter's. Stage 0 transforms and packs the weight, stage 1 computes. */
int64_t bind_winograd(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage);
void emit_winograd(Emitter *emitter, const Program *program, const Kernel *kernel, int stage);

#endif
