/* Tensors that are generated instead of stored, and the statistics that stand for large ones
 * (reference README, "Recipe for generated tensors" and "Statistics"). */
#ifndef SPARKC_TOOLS_VERIFY_VERIFY_RECIPE_H
#define SPARKC_TOOLS_VERIFY_VERIFY_RECIPE_H

#include <stddef.h>

/* Fills `values` with the tensor of a name: offset + scale * u, rounded to float, where u in [-1,
 * 1) is a hash of the name and the place. */
void recipe_fill(const char *name, double offset, double scale, double *values, size_t count);

enum { STATISTICS_FIRST = 8, STATISTICS_COUNT = 4 + STATISTICS_FIRST };

/* sum, L2 norm, largest absolute value, probe (sum of x_i u_i with u of the name "probe"), first 8
 * values, zero-filled. */
typedef struct Statistics {
    double sum, l2, max, probe, first[STATISTICS_FIRST];
} Statistics;

/* The statistics of `count` values. */
Statistics recipe_statistics(const double *values, size_t count);

/* The statistics as a file holds them, STATISTICS_COUNT numbers. */
Statistics recipe_stored_statistics(const double *stored);

#endif
