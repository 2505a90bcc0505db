/* What stands behind an executor of kind executor_compiled: for measuring and showing it. */
#ifndef SPARKC_TOOLS_EXECUTE_EXECUTOR_PROGRAM_H
#define SPARKC_TOOLS_EXECUTE_EXECUTOR_PROGRAM_H

#include "tools/execute/compiled_program.h"

/* Borrowed from the executor. */
const CompiledProgram *executor_compiled_program(const Executor *executor);

#endif
