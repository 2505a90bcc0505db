/* Running a program, whatever runs it: the one interface between verification and the reference
 * interpreter or a back end. Values cross it as doubles; masked ones in dense x mask form, all
 * positions, zeros at hidden ones. */
#ifndef SPARKC_TOOLS_EXECUTE_EXECUTOR_H
#define SPARKC_TOOLS_EXECUTE_EXECUTOR_H

#include "base/status.h"
#include "ir/graph.h"
#include "passes/precision.h"
#include "passes/rewrites.h"

/* A value's elements, row-major: dense and masked as batch, space.., channels; parameters in the
 * stored order; flat in segment order. `data` is NULL if there is no such value. */
typedef struct ExecutorTensor {
    Type type;
    size_t count;
    const double *data;
} ExecutorTensor;

typedef struct Executor Executor;

/* Names that the program does not have are failures when written, data NULL when read. The cells
 * are written before any other masked input. What is read stays good until the next write, run or
 * destruction. */
typedef struct ExecutorOperations {
    Status (*write_param)(Executor *executor, Arena *arena, const char *segment,
                          const double *values, size_t count);
    Status (*write_state)(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count);
    Status (*write_input)(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count);
    Status (*write_scalar)(Executor *executor, Arena *arena, const char *name, double value);
    ExecutorTensor (*param)(Executor *executor, const char *segment);
    ExecutorTensor (*state)(Executor *executor, const char *name);
    ExecutorTensor (*output)(Executor *executor, const char *name);
    Status (*run)(Executor *executor, Arena *arena);
    void (*destroy)(Executor *executor);
} ExecutorOperations;

struct Executor {
    const ExecutorOperations *operations;
    const Graph *graph; /* borrowed */
};

/* How programs are compiled and run; the graph's interpreter needs none of it. */
typedef struct ExecutorOptions {
    int threads;
    const char *cpu;                /* NULL: the host's (codegen/cpu/cpu.h) */
    const struct CodeCache *cache;  /* codegen/cpu/cache.h; NULL: none */
    const struct CpuTuning *tuning; /* codegen/cpu/choices.h; NULL: the default choices */
    const char *dump_dir;           /* NULL, or where LLVM IR and assembly are written */
    Precision precision;            /* of programs that are made of a graph */
    Rewrites *rewrites;             /* counts them and may stop them; NULL: nobody counts */
} ExecutorOptions;

/* Prepares to run a graph; parameters start at zero, states at their initial values. */
typedef struct ExecutorKind {
    const char *name;
    Status (*create)(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                     Executor **executor);
} ExecutorKind;

extern const ExecutorKind executor_interpreter; /* of the graph, in double */
extern const ExecutorKind executor_kernels;     /* of the lowered program */
extern const ExecutorKind executor_compiled;    /* the program as code for a CPU */

/* The same; before each run it also runs in guarded memory (tools/execute/guarded_memory.h) and on
 * memory full of NaN, and fails unless both leave the same bits. */
extern const ExecutorKind executor_checked;

#endif
