/* The emitters of the kernel kinds, one file each. */
#ifndef SPARKC_CODEGEN_CPU_KINDS_H
#define SPARKC_CODEGEN_CPU_KINDS_H

#include "codegen/cpu/emitter.h"

/* A kernel runs as `stages` launches, one after the other (partial sums, then their merge). bind
 * fills the slots of one of them (chunks 0: this stage is not needed, emit is not called) and
 * returns a number that, beside the kernel's code key, decides the code (0 where there is nothing
 * more to know); emit writes the function body, reading the slots in the order of bind. */
typedef struct KernelEmitter {
    int stages;
    int64_t (*bind)(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage);
    void (*emit)(Emitter *emitter, const Program *program, const Kernel *kernel, int stage);
} KernelEmitter;

extern const KernelEmitter cpu_emit_map, cpu_emit_contract, cpu_emit_contract_weight,
    cpu_emit_window, cpu_emit_reduce, cpu_emit_position_map;

#endif
