/* Equality of nodes, for the cse pass and for the check that nothing broke its result. */
#ifndef SPARKC_PASSES_CSE_H
#define SPARKC_PASSES_CSE_H

#include "ir/graph.h"

/* True if no two nodes of the graph compute the same. */
bool cse_is_unique(const Graph *graph);

#endif
