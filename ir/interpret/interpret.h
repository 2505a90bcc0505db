/* The reference interpreter of the graph IR: slow, obvious C in double, the oracle that every back
 * end and every pass is compared with. Values are rounded only where their dtype is bf16, i32 or
 * u32.
 *
 * A masked value is held in dense x mask form: all positions, zeros at hidden ones. So each op is
 * written as the paper has it, and nothing here knows how back ends pack. */
#ifndef SPARKC_IR_INTERPRET_INTERPRET_H
#define SPARKC_IR_INTERPRET_INTERPRET_H

#include "base/status.h"
#include "ir/graph.h"

/* A value's elements, row-major: dense and masked as batch, space.., channels; flat in segment
 * order. */
typedef struct Tensor {
    Type type;
    size_t count;
    double *data;
} Tensor;

typedef struct Interpreter Interpreter;

/* Prepares to run a graph, which is borrowed. Parameters and states start at zero. The
 * interpreter owns its memory and frees values after their last use, so large graphs fit. */
Interpreter *interpreter_create(const Graph *graph);
void interpreter_destroy(Interpreter *interpreter);

/* The region arrays, for reading and writing between runs: a parameter (stored order; NULL: all of
 * them, flat), a state. Names that do not exist give a tensor with data NULL. Committed values
 * appear here after a run. */
Tensor interpreter_param(Interpreter *interpreter, const char *segment);
Tensor interpreter_state(Interpreter *interpreter, const char *name);

/* Inputs: `input` nodes by name, named scalars. `data` is copied. cells: for each image the indices
 * of its visible cells, ascending (batch x keep); out of range or not ascending is a failure. */
Status interpreter_set_input(Interpreter *interpreter, Arena *arena, const char *name,
                             const double *data, size_t count);
void interpreter_set_scalar(Interpreter *interpreter, const char *name, double value);

/* How the composite ops are meant (off at first): with training, batch_norm takes the statistics of
 * the batch (visible positions) and dropout and drop_path draw from the scalars "seed" and "step";
 * without, batch_norm takes its running statistics and the others do nothing. Composites commit
 * nothing: running statistics move only in graphs where the expand pass made their commits. Other
 * ops do not know modes. */
void interpreter_set_training(Interpreter *interpreter, bool training);

/* Runs the whole graph once. Fails if an input or a scalar that the graph reads has no value.
 * Commits are applied together at the end of the run, and not at all if it fails. Outputs stay
 * readable until the next run. */
Status interpreter_run(Interpreter *interpreter, Arena *arena);

/* An output of the last run by name; data NULL if there is none or the run failed. */
Tensor interpreter_output(Interpreter *interpreter, const char *name);

/* Called with each value right after it is computed, in order; for op by op comparisons. It may
 * overwrite the elements of a value that is no view of parameters or states: what it writes is what
 * later ops read. */
typedef void InterpreterObserver(void *context, const Value *value, const Tensor *tensor);
void interpreter_observe(Interpreter *interpreter, InterpreterObserver *observer, void *context);

#endif
