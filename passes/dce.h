/* Removing dead code, for the passes that make some. */
#ifndef SPARKC_PASSES_DCE_H
#define SPARKC_PASSES_DCE_H

#include "ir/graph.h"
#include "passes/rewrites.h"

/* Removes the nodes that no output and no commit needs; true if there were any. `rewrites` counts
 * them and may stop it; NULL: nobody counts. */
bool dce_remove(Graph *graph, Rewrites *rewrites);

#endif
