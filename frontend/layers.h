/* The ops of the language and how each becomes nodes of the graph. */
#ifndef SPARKC_FRONTEND_LAYERS_H
#define SPARKC_FRONTEND_LAYERS_H

#include "frontend/callee.h"
#include "frontend/evaluate.h"

/* One call of an op, its arguments bound. values[0] is the input. */
typedef struct LayerCall {
    Evaluator *evaluator;
    const struct LayerInfo *info;
    const Label *label; /* or NULL */
    const char *label_text;
    Span name_span, span; /* of the op's name; of the whole call */
    Datum values[CALLEE_MOST_PARAMETERS];
    Span spans[CALLEE_MOST_PARAMETERS];
    const Datum *further; /* tensors by place behind the input of an open op */
    const Span *further_spans;
    size_t further_count;
    bool failed; /* an argument was refused */
} LayerCall;

/* Emits the nodes of a call; unknown after an error. */
typedef Datum LayerRule(LayerCall *call);

typedef struct LayerInfo {
    const char *name;
    LayerRule *emit;
    int op; /* the graph's op where the rule serves several */
    ArgumentInfo parameters[CALLEE_MOST_PARAMETERS];
} LayerInfo;

/* The row of a name, or NULL; the rows in order, NULL behind the last. */
const LayerInfo *layer_find(const char *name);
const LayerInfo *layer_at(size_t index);

/* Binary operators between tensors and numbers, and unary minus. `operation`: + - * /. */
Datum layer_arithmetic(Evaluator *evaluator, Operator operation, Datum left, Datum right,
                       Span left_span, Span right_span, Span span);
Datum layer_negate(Evaluator *evaluator, Datum operand, Span span);

#endif
