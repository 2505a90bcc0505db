/* A graph as code in this process, with its memory and threads. */
#ifndef SPARKC_TOOLS_EXECUTE_COMPILED_PROGRAM_H
#define SPARKC_TOOLS_EXECUTE_COMPILED_PROGRAM_H

#include "codegen/cpu/cpu.h"
#include "passes/plan_memory.h"
#include "runtime/executor.h"
#include "runtime/train/tensors.h"
#include "tools/execute/executor.h"

typedef struct CompiledProgram {
    CpuTarget target;
    Program *program;
    MemoryPlan memory;
    CpuStatistics statistics;
    CpuModule *module;
    Plan *plan;
    Threads *threads; /* the owner's, if there is one */
    bool shares;      /* threads, parameters and states are another program's */
    PlanExecutor *executor;
} CompiledProgram;

/* Lowers the graph, which passes.h's passes went over, and compiles it; everything lives in `arena`
 * and until compiled_program_destroy. Memory is zero, but for the columns of the segment table and
 * the states that begin at another value. With an `owner` the program works on the parameters and
 * states of that one, whose graph has the same ones, and with its threads; the owner is destroyed
 * last. */
Status compiled_program_create(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                               const CompiledProgram *owner, CompiledProgram *compiled);

/* The same of a planned program; `graph` is what it was made of, or its interface
 * (program_interface.h). */
Status compiled_program_create_of(Arena *arena, const Graph *graph, Program *program,
                                  const ExecutorOptions *options, CompiledProgram *compiled);

/* Lowering alone, for programs that something else runs. */
Status compiled_program_lower(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                              CompiledProgram *compiled);

/* Parameters and states as they lie in the program's regions; `graph` is what it was made of. */
TrainingMemory compiled_program_memory(Arena *arena, const Graph *graph,
                                       const CompiledProgram *compiled);

void compiled_program_destroy(CompiledProgram *compiled);

#endif
