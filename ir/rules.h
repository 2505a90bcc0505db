/* Shape rules: what the types of an op's operands and its attributes say about its results.
 * They are the one place where an op's legality is decided: the front end, the passes and the
 * verifier all ask here.
 *
 * Broadcasting: pointwise operands are of one type, or narrower than the widest of them:
 * plain [channels] or [], per_image with the same channels or 1, the same form and space with 1
 * channel; flat takes segments and []; segments takes []. Dense never meets masked. */
#ifndef SPARKC_IR_RULES_H
#define SPARKC_IR_RULES_H

#include "ir/graph.h"

/* Which part of the op a complaint is about. */
typedef enum RulePart { RULE_OP, RULE_OPERAND, RULE_ATTRIBUTE } RulePart;

typedef struct RuleError {
    RulePart part;
    int index;           /* of the operand or attribute, in the order of the op's row */
    const char *message; /* "groups = 8 does not divide 30 channels" */
    const char *hint;    /* or NULL */
} RuleError;

/* Infers and sets the result types of a node. Stated types are checked, not changed. Returns false
 * with *error filled (texts in the graph's arena, in the words of the language) if the op is not
 * legal there. All products of
 * extents are checked: no value has more than 2^31 - 1 elements per image. */
bool rules_infer(const Graph *graph, Node *node, RuleError *error);

/* The size of a window's output, floor or ceil((n + 2 pad - dilation (kernel - 1) - 1) / stride) +
 * 1, where a ceil window must start inside the input or its left padding (PyTorch). 0: it does not
 * fit. All arguments are at most 2^31 - 1. */
int64_t rules_window_size(int64_t n, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation,
                          bool ceil_mode);

/* The common type of two pointwise operands, or false. */
bool rules_broadcast(const Type *a, const Type *b, Type *result);

/* "32 x 16 x 16", a tensor's shape as a user of the language sees it: channels x space. */
char *rules_shape_text(Arena *arena, const Type *type);

#endif
