/* What stands behind an executor of kind executor_compiled: for measuring and showing it. */
#ifndef SPARKC_TOOLS_EXECUTOR_PROGRAM_H
#define SPARKC_TOOLS_EXECUTOR_PROGRAM_H

#include "codegen/cpu/cpu.h"
#include "passes/plan_memory.h"
#include "runtime/executor.h"
#include "tools/executor.h"

typedef struct CompiledProgram {
    CpuTarget target;
    Program *program;
    MemoryPlan memory;
    CpuStatistics statistics;
    CpuModule *module;
    Plan *plan;
    Threads *threads;
    PlanExecutor *executor;
} CompiledProgram;

/* Borrowed from the executor. */
const CompiledProgram *executor_compiled_program(const Executor *executor);

#endif
