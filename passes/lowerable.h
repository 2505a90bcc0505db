/* Whether a graph can be lowered: what lower*.c rely on beyond what ir/verify.h proves. */
#ifndef SPARKC_PASSES_LOWERABLE_H
#define SPARKC_PASSES_LOWERABLE_H

#include "base/diagnostics.h"
#include "ir/graph.h"

/* Reports the first node that no kernel computes, with its op, its value and its place:
 *
 * - composites, which the pass expand writes in other ops;
 * - bf16, and whole numbers in ops that compute with floating-point ones;
 * - values of another batch than the geometry's;
 * - a cell list that is computed, inputs of one name and two types;
 * - values over all parameters where there are none;
 * - windows of more taps, and contractions of more terms, than can be counted. */
bool lowerable(const Graph *graph, Diagnostics *diagnostics);

#endif
