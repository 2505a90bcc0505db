/* Pooling and upsampling, one channel at a time, and their gradients. */
#include <math.h>
#include <stdlib.h>

#include "ir/interpret/engine.h"
#include "ir/interpret/window.h"

/* A window op between a large map and a small one. */
typedef struct Pool {
    MapWindow window;
    Extents large, small;
    int64_t batch, channels, taps, large_positions, small_positions;
    int64_t *table; /* see window_table */
} Pool;

static Pool pool_create(const Node *node, const Type *large, const Type *small) {
    Pool pool = {.window = window_of(node),
                 .large = window_space(large),
                 .small = window_space(small),
                 .batch = small->batch,
                 .channels = small->channels};
    pool.taps = window_positions(&pool.window.kernel);
    pool.large_positions = window_positions(&pool.large);
    pool.small_positions = window_positions(&pool.small);
    pool.table = window_table(&pool.window, &pool.large, &pool.small);
    return pool;
}

/* --- max_pool --- */

/* The element of an image of the large map that a window's maximum comes from, -1 if all taps are
 * outside. Ties go to the first in row-major order; NaN wins, as in PyTorch. */
static int64_t find_maximum(const Pool *pool, const double *image, int64_t position,
                            int64_t channel) {
    int64_t best = -1;
    for (int64_t tap = 0; tap < pool->taps; tap++) {
        int64_t reached = pool->table[tap * pool->small_positions + position];
        if (reached < 0)
            continue;
        int64_t element = reached * pool->channels + channel;
        if (best < 0 || image[element] > image[best] || isnan(image[element]))
            best = element;
    }
    return best;
}

void interpret_max_pool(OpCall *call) {
    const Tensor *x = &call->operands[0], *y = &call->results[0];
    const Tensor *by = node_operand(call->node, 1) ? &call->operands[1] : x;
    Pool pool = pool_create(call->node, &x->type, &y->type);
    int64_t image_size = pool.large_positions * pool.channels;
    int64_t i = 0;
    for (int64_t n = 0; n < pool.batch; n++)
        for (int64_t position = 0; position < pool.small_positions; position++)
            for (int64_t channel = 0; channel < pool.channels; channel++, i++) {
                int64_t best = find_maximum(&pool, by->data + n * image_size, position, channel);
                y->data[i] = best < 0 ? -INFINITY : x->data[n * image_size + best];
            }
    free(pool.table);
}

void interpret_max_pool_grad(OpCall *call) {
    const Tensor *x = &call->operands[0], *dy = &call->operands[1], *dx = &call->results[0];
    Pool pool = pool_create(call->node, &x->type, &dy->type);
    int64_t image_size = pool.large_positions * pool.channels;
    int64_t i = 0;
    for (int64_t n = 0; n < pool.batch; n++)
        for (int64_t position = 0; position < pool.small_positions; position++)
            for (int64_t channel = 0; channel < pool.channels; channel++, i++) {
                int64_t best = find_maximum(&pool, x->data + n * image_size, position, channel);
                if (best >= 0)
                    dx->data[n * image_size + best] += dy->data[i];
            }
    free(pool.table);
}

/* --- avg_pool --- */

/* One over the number of taps that count: those inside the map, or, with count_include_pad, those
 * inside the padded map (a ceil_mode window may reach beyond it). 0 if there are none. */
static double average_factor(const Pool *pool, int64_t position, bool count_include_pad) {
    Extents place = window_place(&pool->small, position);
    int64_t count = 1;
    for (int d = 0; d < SPACE; d++) {
        int64_t pad = pool->window.pad.extent[d], extent = pool->large.extent[d];
        int64_t begin = place.extent[d] * pool->window.stride.extent[d] - pad;
        int64_t end = begin + pool->window.kernel.extent[d];
        int64_t first = count_include_pad ? -pad : 0,
                last = count_include_pad ? extent + pad : extent;
        begin = begin > first ? begin : first;
        end = end < last ? end : last;
        count *= end > begin ? end - begin : 0;
    }
    return count ? 1 / (double)count : 0;
}

/* large[tap] += factor * small, or small += factor * large[tap], over all windows. */
static void spread_average(const Pool *pool, bool count_include_pad, double *large, double *small,
                           bool to_small) {
    for (int64_t position = 0; position < pool->small_positions; position++) {
        double factor = average_factor(pool, position, count_include_pad);
        for (int64_t tap = 0; tap < pool->taps; tap++) {
            int64_t reached = pool->table[tap * pool->small_positions + position];
            for (int64_t n = 0; reached >= 0 && n < pool->batch; n++) {
                double *l = large + (n * pool->large_positions + reached) * pool->channels;
                double *s = small + (n * pool->small_positions + position) * pool->channels;
                for (int64_t c = 0; c < pool->channels; c++)
                    *(to_small ? &s[c] : &l[c]) += factor * (to_small ? l[c] : s[c]);
            }
        }
    }
}

void interpret_avg_pool(OpCall *call) {
    const Tensor *x = &call->operands[0], *y = &call->results[0];
    Pool pool = pool_create(call->node, &x->type, &y->type);
    spread_average(&pool, node_bool(call->node, "count_include_pad"), x->data, y->data, true);
    free(pool.table);
}

void interpret_avg_pool_grad(OpCall *call) {
    const Tensor *dy = &call->operands[0], *dx = &call->results[0];
    Pool pool = pool_create(call->node, &dx->type, &dy->type);
    spread_average(&pool, node_bool(call->node, "count_include_pad"), dx->data, dy->data, false);
    free(pool.table);
}

/* --- upsample --- */

enum { CORNERS = 1 << SPACE };

/* The positions of the small map that a position of the large one mixes, and their shares. */
typedef struct Mix {
    int64_t position[CORNERS];
    double share[CORNERS];
} Mix;

/* In one direction: the lower neighbour and the share of the upper one, PyTorch's
 * align_corners=False. */
static int64_t lower_neighbour(int64_t place, int64_t factor, double *upper_share) {
    double source = ((double)place + 0.5) / (double)factor - 0.5;
    if (source < 0)
        source = 0;
    int64_t lower = (int64_t)source;
    *upper_share = source - (double)lower;
    return lower;
}

static Mix mix_of(const Extents *large, const Extents *small, const Extents *factor, bool nearest,
                  int64_t number) {
    Extents place = window_place(large, number);
    Mix mix = {{0}, {0}};
    for (int corner = 0; corner < CORNERS; corner++) {
        int64_t position = 0;
        double share = 1;
        for (int d = 0; d < SPACE; d++) {
            double upper_share = 0;
            int64_t lower = nearest
                                ? place.extent[d] / factor->extent[d]
                                : lower_neighbour(place.extent[d], factor->extent[d], &upper_share);
            bool upper = corner >> d & 1;
            int64_t at = upper && lower + 1 < small->extent[d] ? lower + 1 : lower;
            position = position * small->extent[d] + at;
            share *= upper ? upper_share : 1 - upper_share;
        }
        mix.position[corner] = position;
        mix.share[corner] = share;
    }
    return mix;
}

/* Moves between maps along the mixes: large += share * small, or small += share * large. */
static void mix_maps(const Node *node, const Tensor *large, const Tensor *small, bool to_small) {
    Extents large_space = window_space(&large->type), small_space = window_space(&small->type);
    Extents factor = window_ints(node, "factor", 1);
    bool nearest = node_text(node, "mode")[0] == 'n';
    int64_t large_positions = window_positions(&large_space), channels = large->type.channels;
    int64_t small_positions = window_positions(&small_space);
    for (int64_t number = 0; number < large_positions; number++) {
        Mix mix = mix_of(&large_space, &small_space, &factor, nearest, number);
        for (int corner = 0; corner < CORNERS; corner++)
            for (int64_t n = 0; mix.share[corner] > 0 && n < large->type.batch; n++) {
                double *l = large->data + (n * large_positions + number) * channels;
                double *s = small->data + (n * small_positions + mix.position[corner]) * channels;
                for (int64_t c = 0; c < channels; c++)
                    *(to_small ? &s[c] : &l[c]) += mix.share[corner] * (to_small ? l[c] : s[c]);
            }
    }
}

void interpret_upsample(OpCall *call) {
    mix_maps(call->node, &call->results[0], &call->operands[0], false);
}

void interpret_upsample_grad(OpCall *call) {
    mix_maps(call->node, &call->operands[0], &call->results[0], true);
}
