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

/* numerator(x) / denominator(x), coefficients from the constant on. */
static double ratio(const double *numerator, const double *denominator, double x) {
    double n = 0, d = 0;
    for (int i = 7; i >= 0; i--) {
        n = n * x + numerator[i];
        d = d * x + denominator[i];
    }
    return n / d;
}

/* The inverse of the normal distribution's function, to about 1e-16 (Wichura, "Algorithm AS 241:
 * the percentage points of the normal distribution", 1988, PPND16). */
static double normal_quantile(double p) {
    static const double middle[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                                    1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                    4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                    3.3430575583588128105e+4, 2.5090809287301226727e+3};
    static const double middle_below[] = {1,
                                          4.2313330701600911252e+1,
                                          6.8718700749205790830e+2,
                                          5.3941960214247511077e+3,
                                          2.1213794301586595867e+4,
                                          3.9307895800092710610e+4,
                                          2.8729085735721942674e+4,
                                          5.2264952788528545610e+3};
    static const double tail[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                  5.76949722146069140550e0,  3.64784832476320460504e0,
                                  1.27045825245236838258e0,  2.41780725177450611770e-1,
                                  2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double tail_below[] = {1,
                                        2.05319162663775882187e0,
                                        1.67638483018380384940e0,
                                        6.89767334985100004550e-1,
                                        1.48103976427480074590e-1,
                                        1.51986665636164571966e-2,
                                        5.47593808499534494600e-4,
                                        1.05075007164441684324e-9};
    static const double far[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                 1.78482653991729133580e0,  2.96560571828504891230e-1,
                                 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                 2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double far_below[] = {1,
                                       5.99832206555887937690e-1,
                                       1.36929880922735805310e-1,
                                       1.48753612908506148525e-2,
                                       7.86869131145613259100e-4,
                                       1.84631831751005468180e-5,
                                       1.42151175831644588870e-7,
                                       2.04426310338993978564e-15};
    double q = p - 0.5;
    if (fabs(q) <= 0.425)
        return q * ratio(middle, middle_below, 0.180625 - q * q);
    double r = sqrt(-log(q < 0 ? p : 1 - p));
    double value = r <= 5 ? ratio(tail, tail_below, r - 1.6) : ratio(far, far_below, r - 5);
    return q < 0 ? -value : value;
}

/* The inverse of the normal distribution's function between -cut and cut: the distribution is that
 * of a normal number drawn again until it lies inside. */
static double truncated_normal(double u, double cut) {
    double tail = 0.5 * erfc(cut / M_SQRT2);
    double value = normal_quantile(tail + u * (1 - 2 * tail));
    return fmin(fmax(value, -cut), cut);
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

void initial_fill_all(const Graph *graph, uint32_t seed, float *parameters) {
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        size_t count = weights_count(segment);
        Arena *scratch = arena_create();
        double *values = arena_new_array(scratch, double, count);
        initial_fill(segment, seed, values);
        for (size_t k = 0; k < count; k++)
            parameters[(size_t)segment->offset + k] = (float)values[k];
        arena_destroy(scratch);
    }
}
