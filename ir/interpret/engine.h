/* What the interpreter's engine and its ops share. Private to ir/interpret. */
#ifndef SPARKC_IR_INTERPRET_ENGINE_H
#define SPARKC_IR_INTERPRET_ENGINE_H

#include "base/status.h"
#include "ir/graph.h"
#include "ir/interpret/interpret.h"

/* One evaluation of a node. Result tensors are allocated, zeroed, before the call; after it the
 * engine writes zeros at the hidden positions of masked results and rounds to the result's dtype,
 * so ops do neither. */
typedef struct OpCall {
    Interpreter *interpreter;
    const Graph *graph;
    const Node *node;
    const Tensor *operands; /* data NULL: absent */
    Tensor *results;
    bool borrowed; /* set by engine_view_...: result 0 belongs to a region */
    bool training; /* see interpreter_set_training */
    Arena *arena;  /* for the message of a failure */
    Status status; /* fine at first; an op that cannot go on sets it */
} OpCall;

/* Every op of ir/ops.def has one. */
typedef void InterpretFunction(OpCall *call);
#define OP(name, ...) InterpretFunction interpret_##name;
#include "ir/ops.def"
#undef OP

/* What sources read; NULL with call->status set if there is no such thing or it has no value.
 * Borrowed. */
const double *engine_input(OpCall *call, const char *name);
const double *engine_scalar(OpCall *call, const char *name);

/* Makes result 0 a view of the region arrays instead of a copy: params from element `offset` on, or
 * a state. */
void engine_view_params(OpCall *call, int64_t offset);
void engine_view_state(OpCall *call, const char *name);

/* For each row (image x position) of a masked type whether it is visible; NULL for other types. */
const bool *engine_visible(const OpCall *call, const Type *type);

/* The graph that is run. */
const Graph *engine_graph(const Interpreter *interpreter);

/* Within an observer: the operands of the node that is being observed. */
const Tensor *engine_operands(const Interpreter *interpreter);

/* Evaluates a node that is no source on other operands. The results' data are the caller's to free.
 */
Status engine_evaluate(Interpreter *interpreter, Arena *arena, const Node *node,
                       const Tensor *operands, Tensor results[OP_MAX_RESULTS]);

/* The number of elements of a tensor of this type in the interpreter's form. */
size_t engine_count(const Graph *graph, const Type *type);

/* `count` zeroed doubles on the heap, freed by the caller; ends the process if there is no memory.
 */
double *engine_allocate(size_t count);

/* The nearest value of a dtype: bf16 to nearest even (infinite beyond its range), i32 to the
 * nearest integer, u32 also modulo 2^32 (0 if not finite), f32 unchanged. */
double engine_round(DType dtype, double value);

/* A tensor as rows of elements that lie next to one another: the channels of a position (dense,
 * masked), of an image (per image), a segment (flat), everything (plain, segments). */
int64_t engine_rows(const Graph *graph, const Type *type);
int64_t engine_row_begin(const Graph *graph, const Type *type, int64_t row);
int64_t engine_row_length(const Graph *graph, const Type *type, int64_t row);

/* The elements of an operand that belong to row `row` of a result that it is broadcast to
 * (ir/rules.h): element c is data[c * step]. */
typedef struct OperandRow {
    const double *data;
    int64_t step; /* 0: one value for the whole row */
} OperandRow;
OperandRow engine_operand_row(const Graph *graph, const Tensor *operand, const Type *result,
                              int64_t row);

#endif
