/* What several passes ask about the network that a graph holds. */
#ifndef SPARKC_PASSES_NETWORK_H
#define SPARKC_PASSES_NETWORK_H

#include "base/vector.h"
#include "ir/graph.h"
#include "passes/passes.h"

/* True for the entries that pretrain: only the visible cells are encoded. */
bool network_entry_is_masked(Entry entry);

/* True for the entries that use the head. */
bool network_entry_has_head(Entry entry);

/* True for the entries that go backward through the network. */
bool network_entry_has_gradients(Entry entry);

/* True for those that are the optimizer alone: of the network only the parameters are left. */
bool network_entry_is_update(Entry entry);

/* The picture: the result of the input "image", or NULL. */
Value *network_image(const Graph *graph);

/* The outputs "feature.0", "feature.1", ...: the front end makes them in this order, the largest
 * map first, and passes keep it. */
typedef VECTOR(Node *) NetworkFeatures;
NetworkFeatures network_features(const Graph *graph);
bool network_is_feature(const Node *node);

/* Reports a node that reads or computes bf16, which the op that is built of it, `what`, has no form
 * for; true if it does not. */
bool network_node_is_f32(const Node *node, const char *what, Diagnostics *diagnostics);

/* Reports an output of this name, if there is one already; true if there is none. */
bool network_output_is_free(const Graph *graph, const char *name, Diagnostics *diagnostics);

/* True if a norm of the encoder keeps running statistics. True before and after the expand pass. */
bool network_uses_batch_norm(const Graph *graph);

#endif
