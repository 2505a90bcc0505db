/* What stands behind an executor of kind executor_compiled: for measuring and showing it. */
#ifndef SPARKC_TOOLS_EXECUTE_EXECUTOR_PROGRAM_H
#define SPARKC_TOOLS_EXECUTE_EXECUTOR_PROGRAM_H

#include "tools/execute/compiled_program.h"

/* An executor of kind executor_compiled for a planned program; `graph` is its interface
 * (program_interface.h). Both are borrowed. */
Status executor_create_of_program(Arena *arena, const Graph *graph, Program *program,
                                  const ExecutorOptions *options, Executor **executor);

/* Borrowed from the executor. */
const CompiledProgram *executor_compiled_program(const Executor *executor);

#endif
