/* The values of a program against the graph interpreter's, op by op: each op is evaluated by the
 * interpreter on the operands that the program has, so that no error hides in another one. */
#ifndef SPARKC_TOOLS_VERIFY_OP_CHECK_H
#define SPARKC_TOOLS_VERIFY_OP_CHECK_H

#include "ir/interpret/tolerance.h"
#include "passes/lower.h"
#include "tools/execute/program_run.h"

/* One value that was compared. What fusion leaves without memory is not; ops that read it are given
 * the interpreter's value, and tolerances that account for how far the program's may be from it. */
typedef struct OpCheckResult {
    const Value *value;
    ToleranceResult worst;
    double scale; /* the largest magnitude expected */
} OpCheckResult;

typedef void OpCheckVisitor(void *context, const OpCheckResult *result);

/* What is checked: a graph, the program that it was lowered to, where its values lie, a run of the
 * program. Parameters, states, inputs and scalars are set, the same in the run and in the
 * interpreter. */
typedef struct OpCheck {
    Interpreter *interpreter;
    const Graph *graph;
    const Program *program;
    const LoweredValues *values;
    ProgramRun *run;
} OpCheck;

/* Runs both once, side by side. Outputs and what is committed are compared as well, as values of
 * the nodes that compute them. */
Status op_check_run(const OpCheck *check, Arena *arena, OpCheckVisitor *visitor, void *context);

/* About how many bytes both take at once, rather too many than too few, with what the run and the
 * interpreter hold, neither of which is needed: what is alive at the most demanding node, in
 * double. */
uint64_t op_check_memory(const OpCheck *check);

#endif
