/* Inferring types anew behind a value whose type has changed. */
#ifndef SPARKC_PASSES_RETYPE_H
#define SPARKC_PASSES_RETYPE_H

#include "base/diagnostics.h"
#include "ir/graph.h"

/* Called for each op that is about to be inferred; false if it reported that the op cannot be. */
typedef bool RetypeCheck(const Graph *graph, const Node *node, Diagnostics *diagnostics);

/* Infers, in order, the types of all ops that depend on `changed`. What `check` (may be NULL) or
 * the op's rule refuses is reported at the op's location; what depends on a refused op is skipped,
 * so that one mistake is reported once. */
void retype_users(Graph *graph, Value *changed, RetypeCheck *check, Diagnostics *diagnostics);

#endif
