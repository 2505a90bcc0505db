/* What the pass objective does for ENTRY_FINETUNE_STEP: layer-wise rates, and the loss of the
 * logits. */
#ifndef SPARKC_PASSES_FINETUNE_H
#define SPARKC_PASSES_FINETUNE_H

#include "passes/passes.h"

/* True if it changed the graph; reports what it cannot go on from. Needs the outputs "logits" and
 * feature.<i>; the latter go unless options->expose. */
bool finetune_objective(Graph *graph, const PassOptions *options, Diagnostics *diagnostics);

#endif
