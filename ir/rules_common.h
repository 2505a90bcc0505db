/* What the shape rules of all families share. Only ir/rules*.c include it.
 *
 * A rule looks at the operands and attributes of a node and gives the types of its results, or
 * fails. It need not check sizes for overflow (rules_infer does so for every result), nor single
 * attributes for their ranges, nor required operands for being there. */
#ifndef SPARKC_IR_RULES_COMMON_H
#define SPARKC_IR_RULES_COMMON_H

#include "ir/rules.h"

/* One node under its rule. */
typedef struct Rule {
    const Graph *graph;
    const Node *node;
    const OpInfo *info;
    RuleError *error;
    Type results[OP_MAX_RESULTS]; /* of a stated op: what the node says; else for the rule to set */
} Rule;

typedef bool ShapeRule(Rule *rule);

#define OP(name, operands, results, attributes, shape, gradient, masked, flags)                    \
    ShapeRule rules_shape_##shape;
#include "ir/ops.def"
#undef OP

/* Fills the error; always false. */
bool rules_fail(Rule *rule, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool rules_fail_operand(Rule *rule, int index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool rules_fail_attribute(Rule *rule, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds a hint to the error; always false. */
bool rules_hint(Rule *rule, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The type of an operand that is there. */
const Type *rules_type(const Rule *rule, int index);

/* The only result is `type`; always true. */
bool rules_give(Rule *rule, Type type);

/* True for dense, masked and per image: what the language calls a tensor. */
bool rules_has_channels(const Type *type);

/* Each fails unless the operand is as wanted; an optional operand that is absent is fine. */
bool rules_want_tensor(Rule *rule, int index); /* has channels, of floating-point numbers */
bool rules_want_map(Rule *rule, int index);    /* dense or masked, of floating-point numbers */
bool rules_want_type(Rule *rule, int index, const Type *type);
bool rules_want_plain(Rule *rule, int index, int rank, const int64_t *shape);
bool rules_want_channel_vector(Rule *rule, int index, int64_t channels);
bool rules_want_cells(Rule *rule, int index);

/* True if `type`, a type with positions, stands for the image at `stride`: extents = image / stride
 * with a stride that is a power of two and divides the cells, and there is a mask. */
bool rules_masked_fits(const Graph *graph, const Type *type, int64_t stride);

/* Fails with the fact that `groups` does not divide the channels, if it does not. */
bool rules_want_groups(Rule *rule, int64_t groups, int64_t channels);

/* True if a value of type `narrow` spreads over `wide`, or both are equal (ir/rules.h). */
bool rules_spreads(const Type *narrow, const Type *wide);

/* True if one is a masked map and the other a dense one; and "64 x 8 x 8 masked" or "... not
 * masked" for saying so. */
bool rules_mixes(const Type *a, const Type *b);
char *rules_form_text(Arena *arena, const Type *type);

/* "7 x 7"; "2", or "[1, 2]" if they differ. */
char *rules_extents_text(const Rule *rule, const int64_t *extents, int count);
char *rules_numbers_text(const Rule *rule, const int64_t *numbers, int count);

#endif
