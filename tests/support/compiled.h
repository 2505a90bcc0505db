/* Programs as compiled code, for comparing it with the interpreters. */
#ifndef SPARKC_TESTS_SUPPORT_COMPILED_H
#define SPARKC_TESTS_SUPPORT_COMPILED_H

#include "codegen/cpu/cpu.h"
#include "ir/interpret/kernel_interpret.h"
#include "ir/kernel.h"
#include "passes/plan_memory.h"
#include "runtime/executor.h"

typedef struct Compiled Compiled;

typedef struct CompiledOptions {
    const char *cpu;                /* as in codegen/cpu/cpu.h; NULL: the host's */
    int threads;                    /* that run it; 0: 1 */
    bool separate;                  /* no scratch buffer shares memory with another */
    bool poisoned;                  /* scratch and outputs are NaN at the start instead of zero */
    const struct CpuTuning *tuning; /* codegen/cpu/choices.h; NULL: the default choices */
    const Compiled *owner;          /* whose parameters and states it works on; NULL: its own */
} CompiledOptions;

/* A program that is planned, compiled and ready to run. */
struct Compiled {
    Arena *arena;
    const Program *program;
    MemoryPlan memory;
    CpuModule *module;
    Threads *threads;
    Plan *plan;
    PlanExecutor *executor;
    KernelInterpreter *values; /* over the same memory, for setting and reading values */
};

/* Plans the program anew and compiles it; the program must live as long. A failure ends the test.
 */
Compiled *compiled_create(Program *program, const CompiledOptions *options);
void compiled_destroy(Compiled *compiled);
void compiled_run(Compiled *compiled);

/* Fails unless outputs, parameters and states of two compilations of one network, found by their
 * names, are the same bytes. */
void compiled_expect_same(const Compiled *a, const Compiled *b, const char *what);

/* The same, but what is not a number in both is the same: which of two such operands an operation
 * passes on, and with which sign, is left open (IEEE 754, 6.2.3), and other code may choose
 * otherwise. */
void compiled_expect_same_numbers(const Compiled *a, const Compiled *b, const char *what);

/* The levels of instruction sets of x86-64 that this machine can run, or its own; `count` is set.
 * With sanitisers not the one between the first and the last: they look at the compiler, not at
 * what it compiles. */
const char *const *compiled_cpus(int *count);

/* The same, and those that differ in how bf16 is multiplied. */
const char *const *compiled_bf16_cpus(int *count);

#endif
