/* The decisions of a network, taken down in one run and taken over in another: on which side of its
 * kinks an activation is, and which position of its window a maximum comes from. So two runs that
 * round differently can be compared without what turns where a value is near a kink. */
#ifndef SPARKC_PASSES_DECISIONS_H
#define SPARKC_PASSES_DECISIONS_H

#include "passes/passes.h"

/* What the names of the outputs that hold decisions start with, and of the inputs; the name of the
 * op's result follows. Graphs of one network by the same options have the same names and types. */
#define DECISIONS_PREFIX "decision."

/* Does what options->decisions says, before the gradients are there, which then follow the same
 * decisions; true if it changed the graph. Reports bf16, and outputs that have such a name already.
 * For relu, relu6, leaky_relu, hard_sigmoid, hard_swish and max_pool; elu, which has a kink unless
 * its alpha is 1, is left to itself. */
bool decisions(Graph *graph, const PassOptions *options, Diagnostics *diagnostics);

#endif
