/* Making the nodes of a layer: arguments as numbers, parameters, nodes with their records. */
#ifndef SPARKC_FRONTEND_EMIT_H
#define SPARKC_FRONTEND_EMIT_H

#include "frontend/layers.h"
#include "frontend/naming.h"

/* ---- Arguments. After a mistake they report, mark the call as failed, and give a harmless value.
 * ---- */

bool emit_given(const LayerCall *call, const char *name);
int64_t emit_count(LayerCall *call, const char *name);
double emit_number(LayerCall *call, const char *name);
bool emit_boolean(LayerCall *call, const char *name);
const char *emit_mode(LayerCall *call, const char *name, const char *const *modes);
void emit_pair(LayerCall *call, const char *name, int64_t pair[2]);
Span emit_span(const LayerCall *call, const char *name);

/* ---- Nodes ---- */

/* A new node at the end; NULL after an error. */
Node *emit_node(LayerCall *call, Op op, Value *const *operands, int count);

/* Infers the type of a node's result from its attributes; NULL after a report. */
Value *emit_finish(LayerCall *call, Node *node);

/* Both, for ops without attributes. */
Value *emit_simple(LayerCall *call, Op op, Value *const *operands, int count);

/* The record of a value's node. */
NodeRecord *emit_record(const Evaluator *evaluator, const Value *value);

/* Sets the stride of a result: that of `x` times `times` over `over`, by direction. */
void emit_stride(const Evaluator *evaluator, Value *result, const Value *x, const int64_t times[2],
                 const int64_t over[2]);

/* ---- Parameters ---- */

/* Names the layer of a call after its label. */
LayerName *emit_layer(LayerCall *call, const char *const *parameters, size_t count);

/* A parameter of one number per channel. */
Value *emit_vector(LayerCall *call, LayerName *layer, const char *suffix, Role role,
                   int64_t channels, double init);

/* A weight with its shape in files. */
Value *emit_weight(LayerCall *call, LayerName *layer, Layout layout, int rank,
                   const int64_t *file_shape, double deviation);

/* A state; channels 0: one number. */
Value *emit_state(LayerCall *call, LayerName *layer, const char *suffix, int64_t channels,
                  double init);

/* Marks a value as the layer's result, so that it carries the layer's name. */
Datum emit_result(LayerCall *call, Value *value);

#endif
