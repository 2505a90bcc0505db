#include "runtime/initial.h"

#include <math.h>

#include "base/random.h"
#include "runtime/weights.h"

/* The word of step 0 belongs to dropout's streams; parameters draw in a step that no training has.
 */
enum { INITIAL_STEP = 0xffffffff };

/* FNV-1a, 32 bit: the stream of a parameter. */
static uint32_t stream_of(const char *name) {
    uint32_t hash = 0x811c9dc5;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x01000193;
    return hash;
}

/* Strictly between 0 and 1: 2^32 values, none at the ends. */
static double uniform(uint32_t seed, uint32_t stream, uint64_t index) {
    return ((double)random_word(seed, stream, (uint32_t)INITIAL_STEP, index) + 0.5) * 0x1p-32;
}

/* Box and Muller, "A note on the generation of random normal deviates", 1958; one of the pair. */
static double normal(uint32_t seed, uint32_t stream, uint64_t index) {
    double radius = sqrt(-2 * log(uniform(seed, stream, 2 * index)));
    return radius * cos(2 * M_PI * uniform(seed, stream, 2 * index + 1));
}

/* The inverse of the normal distribution's function between -cut and cut, by bisection: the
 * distribution is that of a normal number drawn again until it lies inside. */
static double truncated_normal(double u, double cut) {
    double low = -cut, high = cut, tail = 0.5 * erfc(cut / M_SQRT2);
    double target = tail + u * (1 - 2 * tail);
    for (int i = 0; i < 60; i++) {
        double middle = 0.5 * (low + high);
        if (0.5 * erfc(-middle / M_SQRT2) < target)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

static double draw(const Init *init, uint32_t seed, uint32_t stream, uint64_t index) {
    switch (init->kind) {
    case INIT_CONSTANT:
        return init->a;
    case INIT_NORMAL:
        return init->a * normal(seed, stream, index);
    case INIT_TRUNCATED_NORMAL:
        return init->a *
               truncated_normal(uniform(seed, stream, index), fmin(init->b / init->a, 10));
    case INIT_UNIFORM:
        return init->a * (2 * uniform(seed, stream, index) - 1);
    }
    return 0;
}

void initial_fill(const Segment *segment, uint32_t seed, double *values) {
    size_t count = weights_count(segment);
    uint32_t stream = stream_of(segment->name);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)(float)draw(&segment->init, seed, stream, i);
}
