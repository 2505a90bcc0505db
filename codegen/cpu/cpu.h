/* The CPU back end: a planned program becomes object code and a plan that calls it. */
#ifndef SPARKC_CODEGEN_CPU_CPU_H
#define SPARKC_CODEGEN_CPU_CPU_H

#include <stdio.h>

#include "base/status.h"
#include "ir/kernel.h"
#include "runtime/plan.h"

/* How products of bf16 tiles are computed (codegen/cpu/tiles.h). */
typedef enum CpuTiles {
    CPU_TILES_NONE,       /* not at all: bf16 is multiplied as fp32 */
    CPU_TILES_AMX,        /* by instructions for tiles */
    CPU_TILES_PAIRS,      /* in vectors, by instructions for products of pairs */
    CPU_TILES_WRITTEN_OUT /* in vectors, to test what is made of them */
} CpuTiles;

/* Whether instructions compute them, so that bf16 is faster than fp32. */
static inline bool cpu_tiles_fast(CpuTiles tiles) {
    return tiles == CPU_TILES_AMX || tiles == CPU_TILES_PAIRS;
}

enum { CPU_MAX_LANES = 16 };

/* What the emitter must know of the CPU it writes for. */
typedef struct CpuTarget {
    const char *triple, *cpu;         /* cpu: the level's name */
    const char *processor, *features; /* as LLVM takes them; features sorted */
    int lanes;      /* fp32 lanes of a vector: 16 AVX-512, 8 AVX2, 4 SSE and NEON */
    int registers;  /* vector registers */
    bool fused;     /* has fused multiply-add */
    bool masked;    /* has masked vector loads and stores at full speed */
    bool rounds;    /* has instructions that round to whole numbers */
    CpuTiles tiles; /* other than none: 16 lanes */
} CpuTarget;

/* The host's CPU with the features that LLVM finds, or with `name` one of "x86-64-amx" (AVX-512 and
 * AMX with bf16), "x86-64-v4-bf16" (AVX-512 with its products of bf16), "x86-64-v4" (AVX-512),
 * "x86-64-v3" (AVX2), "x86-64-v2" (SSE4.2), "x86-64" (SSE2), "generic" of any other triple;
 * "x86-64-v4-tiles" is x86-64-v4 with tiles written out. Without a name it is the best that the
 * host can run, and products of bf16 where they are faster than fp32's. A CPU that the host cannot
 * run is a failure unless `cross` is set; AMX can be run if the system, which is asked, lets this
 * process. triple NULL: the host's. */
Status cpu_target(Arena *arena, const char *triple, const char *name, bool cross,
                  CpuTarget *target);

/* Compiled code in this process. */
typedef struct CpuModule CpuModule;

typedef struct CpuOptions {
    const CpuTarget *target;
    int threads;                    /* compiling in parallel */
    const struct CodeCache *cache;  /* codegen/cpu/cache.h; NULL: none */
    const struct CpuTuning *tuning; /* codegen/cpu/choices.h; NULL: the default choices */
    const char *dump_dir; /* NULL, or where LLVM IR and assembly are written; then nothing comes
                             from the cache */
} CpuOptions;

typedef struct CpuStatistics {
    int kernels, distinct_kernels, distinct_contracts;
    int tuned; /* contractions with choices of the tuning */
    int cache_hits;
    double seconds;
} CpuStatistics;

/* Fails, with the name of a kernel or a buffer, for what the back end has no code for. All that
 * compiles, lists or ships a program asks first. */
Status cpu_accepts(Arena *arena, const Program *program);

/* Compiles a program whose buffers are planned. The plan lives in `arena`, its functions as long as
 * the module. */
Status cpu_compile(Arena *arena, const Program *program, const CpuOptions *options,
                   CpuModule **module, Plan **plan, CpuStatistics *statistics);
void cpu_module_destroy(CpuModule *module);

/* Gives back to the system what making code has left: free memory of the heap, and the pages of
 * LLVM's own code, which come back from its file when they are needed. For programs that go on to
 * run for long in much memory; more code can be made at any time. */
void cpu_release(void);

/* A function that a program runs, and the first kernel that does. */
typedef struct CpuFunction {
    const char *name; /* functions of one name have the same code, in whatever program */
    const Kernel *kernel;
} CpuFunction;

/* The distinct functions of a planned program, one that is accepted, in the order of first use;
 * nothing is compiled. `tuning` as in CpuOptions: with other choices a function has another name,
 * and computes the same bits. */
CpuFunction *cpu_functions(Arena *arena, const Program *program, const CpuTarget *target,
                           const struct CpuTuning *tuning, int *count);

/* Writes the code of a planned program, every distinct function once, with the default choices:
 * LLVM IR as it is compiled, or assembly, each behind a comment that names the first kernel that
 * uses it. Fails before it writes anything, if the program is not accepted. */
typedef enum CpuListing { CPU_LISTING_LLVM, CPU_LISTING_ASSEMBLY } CpuListing;
Status cpu_list(Arena *arena, const Program *program, const CpuTarget *target, CpuListing kind,
                FILE *out);

/* The multiply-adds that the code of a kernel executes: kernel_multiply_adds, but fewer where
 * Winograd's tiles are multiplied. */
int64_t cpu_multiply_adds(const Program *program, const Kernel *kernel, const CpuTarget *target);

/* Whether they are multiplied by the target's instructions for products of bf16. */
bool cpu_multiplies_tiles(const Program *program, const Kernel *kernel, const CpuTarget *target);

/* A plan that measures the machine: a launch of multiply-adds in registers, and one that reads its
 * scratch region once, which is far larger than a cache and has to be written before (memory that
 * nobody wrote is no memory yet). Their `multiply_adds` and `bytes` say how much was done. `tiles`:
 * the multiply-adds are those of bf16 tiles, which the target must have. */
enum CpuPeakLaunch { CPU_PEAK_ARITHMETIC, CPU_PEAK_MEMORY, CPU_PEAK_LAUNCHES };
Status cpu_peak(Arena *arena, const CpuTarget *target, bool tiles, CpuModule **module, Plan **plan);

/* Memory read and written side by side: each of `writes` arrays gets the sum of `reads` others, all
 * of one length, `bytes` together (rounded up to what vectors need). 0 to CPU_STREAM_ARRAYS of
 * each, one at least. */
enum { CPU_STREAM_ARRAYS = 4 };
typedef struct CpuStream {
    int reads, writes;
    int64_t bytes;
} CpuStream;

/* A plan that measures streams: launches 2i and 2i + 1 are stream i, first over memory that others
 * have used since, if they use that much, then over the same again. Their `bytes` are those moved.
 * The scratch region has to be written before. */
Status cpu_streams(Arena *arena, const CpuTarget *target, const CpuStream *streams, size_t count,
                   CpuModule **module, Plan **plan);

#endif
