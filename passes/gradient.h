/* The derivatives of the ops: one rule per name in the `gradient` column of ir/ops.def. The walk
 * (passes/autodiff.c) calls a rule once per forward op that a gradient reaches; the rule adds
 * gradient ops behind the graph's last op and hands a value to each operand that wants one.
 * A name without a rule is a link error. */
#ifndef SPARKC_PASSES_GRADIENT_H
#define SPARKC_PASSES_GRADIENT_H

#include "base/diagnostics.h"
#include "ir/builder.h"
#include "ir/graph.h"

typedef struct Gradient {
    Builder builder; /* appends; takes the forward op's location, names "<forward>.grad.<hint>" */
    Diagnostics *diagnostics;
    Node *node;                     /* the forward op */
    Value *results[OP_MAX_RESULTS]; /* the gradient of each of its results; NULL: none arrived */
    const bool *wanted;             /* per operand: it depends on a parameter */
    Value **operands;               /* the answer: the gradient of each operand, NULL at first */
} Gradient;

typedef void GradientRule(Gradient *gradient);

#define OP(name, operands, results, attributes, shape, gradient, masked, flags)                    \
    GradientRule gradient_##gradient;
#include "ir/ops.def"
#undef OP

/* True if the operand is there and its gradient is asked for. */
bool gradient_wants(const Gradient *gradient, int operand);

/* Hands over the gradient of an operand; a value of a type that the operand was broadcast to is
 * summed back to the operand's. Nothing happens if the operand wants none. */
void gradient_give(Gradient *gradient, int operand, Value *value);

/* Sums a value back to the type that was broadcast to the value's: the transpose of broadcasting.
 */
Value *gradient_reduce(Builder *builder, Value *value, Type type);

/* The value broadcast to a type; the value itself if it has that type already. */
Value *gradient_widen(Builder *builder, Value *value, Type type);

/* An op with the forward op's attributes, as far as it has those of the same name, and further
 * ones. Returns its only result. */
Value *gradient_like(Gradient *gradient, Op op, const char *hint, Value *const *operands,
                     int operand_count, const NamedAttribute *further, int further_count);

#endif
