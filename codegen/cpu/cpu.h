/* The CPU back end: a planned program becomes object code and a plan that calls it. */
#ifndef SPARKC_CODEGEN_CPU_CPU_H
#define SPARKC_CODEGEN_CPU_CPU_H

#include "base/status.h"
#include "codegen/cpu/emitter.h"

/* The host's CPU with the features that LLVM finds, or with `name` one of "x86-64-v4" (AVX-512), "x86-64-v3" (AVX2),
 * "x86-64" (SSE2), "generic" of any other triple. A CPU that the host cannot run is a failure unless
 * `cross` is set. triple NULL: the host's. */
Status cpu_target(Arena *arena, const char *triple, const char *name, bool cross,
                  CpuTarget *target);

/* Compiled code in this process. */
typedef struct CpuModule CpuModule;

typedef struct CpuOptions {
    const CpuTarget *target;
    int threads;           /* compiling in parallel */
    const char *cache_dir; /* NULL: no code cache */
    const char *dump_dir;  /* NULL, or where LLVM IR and assembly are written */
} CpuOptions;

typedef struct CpuStatistics {
    int kernels, distinct_kernels, distinct_contracts;
    int cache_hits;
    double seconds;
} CpuStatistics;

/* Compiles a program whose buffers are planned. The plan lives in `arena`, its functions as long as the module. */
Status cpu_compile(Arena *arena, const Program *program, const CpuOptions *options,
                   CpuModule **module, Plan **plan, CpuStatistics *statistics);
void cpu_module_destroy(CpuModule *module);

/* ---- One file per kernel kind -------------------------------------------------------------------- */

/* A kernel runs as `stages` launches, one after the other (partial sums, then their merge). bind fills the
 * slots of one of them (chunks 0: this stage is not needed, emit is not called) and returns a number that, beside the kernel's code key, decides the code (0 where
 * there is nothing more to know); emit writes the function body, reading the slots in the order of bind. */
typedef struct KernelEmitter {
    int stages;
    int64_t (*bind)(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage);
    void (*emit)(Emitter *emitter, const Program *program, const Kernel *kernel, int stage);
} KernelEmitter;

extern const KernelEmitter cpu_emit_map, cpu_emit_contract, cpu_emit_contract_weight,
    cpu_emit_window, cpu_emit_reduce, cpu_emit_position_map;

#endif
