/* Initial values of parameters. They depend on the seed and the parameter's name alone: adding a
 * layer or changing the order of layers leaves the others as they were. */
#ifndef SPARKC_RUNTIME_INITIAL_H
#define SPARKC_RUNTIME_INITIAL_H

#include "ir/graph.h"

/* Fills `values`, in the stored order, by the segment's `init`. */
void initial_fill(const Segment *segment, uint32_t seed, double *values);

/* All segments of a graph, into its flat parameters. */
void initial_fill_all(const Graph *graph, uint32_t seed, float *parameters);

#endif
