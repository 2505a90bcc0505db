#include "tools/verify/verify_recipe.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static uint64_t fnv1a(const char *text) {
    uint64_t hash = 0xcbf29ce484222325;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    return hash;
}

/* The number in [-1, 1) at place i of a tensor whose name has this hash. */
static double unit(uint64_t hash, uint64_t i) {
    uint64_t z = hash + i + 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-23 - 1;
}

void recipe_fill(const char *name, double offset, double scale, double *values, size_t count) {
    uint64_t hash = fnv1a(name);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)(float)(offset + scale * unit(hash, i));
}

Statistics recipe_statistics(const double *values, size_t count) {
    Statistics statistics = {0};
    uint64_t hash = fnv1a("probe");
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        statistics.sum += values[i];
        squares += values[i] * values[i];
        statistics.max = fmax(statistics.max, fabs(values[i]));
        statistics.probe += values[i] * unit(hash, i);
    }
    statistics.l2 = sqrt(squares);
    memcpy(statistics.first, values,
           (count < STATISTICS_FIRST ? count : STATISTICS_FIRST) * sizeof *values);
    return statistics;
}

Statistics recipe_stored_statistics(const double *stored) {
    Statistics statistics = {stored[0], stored[1], stored[2], stored[3], {0}};
    memcpy(statistics.first, stored + 4, sizeof statistics.first);
    return statistics;
}
