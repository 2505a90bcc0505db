/* Contracts by Winograd's tiles (winograd.h). */
#ifndef SPARKC_CODEGEN_CPU_CONTRACT_WINOGRAD_H
#define SPARKC_CODEGEN_CPU_CONTRACT_WINOGRAD_H

#include "codegen/cpu/winograd.h"

/* As a KernelEmitter's, where contraction_takes_winograd. Stage 0 transforms and packs the weight,
 * stage 1 computes. */
int64_t bind_contract_winograd(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                               int stage);
void emit_contract_winograd(Emitter *emitter, const Program *program, const Kernel *kernel,
                            int stage);

#endif
