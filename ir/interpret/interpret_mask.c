/* The mask, and the target that belongs to it. */
#include <math.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/interpret/engine.h"
#include "ir/interpret/window.h"

/* The engine zeroes the hidden positions of a masked result, so entering the mask is a copy. */
static void copy(OpCall *call) {
    const Tensor *x = &call->operands[0];
    invariant(x->count == call->results[0].count, "the mask changes no extents");
    memcpy(call->results[0].data, x->data, x->count * sizeof(double));
}

void interpret_mask(OpCall *call) {
    copy(call);
}

void interpret_gather(OpCall *call) {
    copy(call);
}

void interpret_densify(OpCall *call) {
    const Tensor *x = &call->operands[0], *token = &call->operands[1];
    const bool *visible = engine_visible(call, &x->type);
    invariant(visible, "densify takes a masked value");
    copy(call);
    for (int64_t row = 0; row < engine_rows(call->graph, &x->type); row++)
        if (!visible[row])
            memcpy(call->results[0].data + row * x->type.channels, token->data,
                   token->count * sizeof(double));
}

void interpret_hidden(OpCall *call) {
    Tensor *y = &call->results[0];
    Type masked = type_masked(y->type, call->graph->geometry.image[0] / y->type.extent[0]);
    const bool *visible = engine_visible(call, &masked);
    for (size_t row = 0; row < y->count; row++)
        y->data[row] = visible[row] ? 0 : 1;
}

/* --- patch_normalise --- */

/* A patch: where it begins and how the rows of the map that belong to it are found. */
typedef struct Patch {
    Extents map, size;
    int64_t channels;
} Patch;

/* The elements of a pixel of a patch; `corner` is the patch's first position. */
static double *pixel(const Patch *patch, double *image, const Extents *corner, int64_t number) {
    Extents offset = window_place(&patch->size, number);
    int64_t position = 0;
    for (int d = 0; d < SPACE; d++)
        position = position * patch->map.extent[d] + corner->extent[d] + offset.extent[d];
    return image + position * patch->channels;
}

/* The sum of (x - center)^power over a patch. */
static double power_sum(const Patch *patch, double *image, const Extents *corner, double center,
                        int power) {
    double sum = 0;
    for (int64_t number = 0; number < window_positions(&patch->size); number++) {
        const double *x = pixel(patch, image, corner, number);
        for (int64_t c = 0; c < patch->channels; c++)
            sum += power == 1 ? x[c] - center : (x[c] - center) * (x[c] - center);
    }
    return sum;
}

static void normalise_patch(const Patch *patch, double *x, double *y, const Extents *corner,
                            double eps) {
    double count = (double)(window_positions(&patch->size) * patch->channels);
    double mean = power_sum(patch, x, corner, 0, 1) / count;
    double variance = power_sum(patch, x, corner, mean, 2) / (count - 1);
    for (int64_t number = 0; number < window_positions(&patch->size); number++) {
        const double *from = pixel(patch, x, corner, number);
        double *to = pixel(patch, y, corner, number);
        for (int64_t c = 0; c < patch->channels; c++)
            to[c] = (from[c] - mean) / sqrt(variance + eps);
    }
}

void interpret_patch_normalise(OpCall *call) {
    const Tensor *x = &call->operands[0];
    int64_t side = node_int(call->node, "patch");
    double eps = node_float(call->node, "eps");
    Patch patch = {window_space(&x->type), {{1, 1, 1}}, x->type.channels};
    Extents grid = {{1, 1, 1}};
    for (int d = SPACE - x->type.rank; d < SPACE; d++) {
        patch.size.extent[d] = side;
        grid.extent[d] = patch.map.extent[d] / side;
    }
    int64_t image_size = window_positions(&patch.map) * patch.channels;
    for (int64_t image = 0; image < x->type.batch; image++)
        for (int64_t cell = 0; cell < window_positions(&grid); cell++) {
            Extents corner = window_place(&grid, cell);
            for (int d = 0; d < SPACE; d++)
                corner.extent[d] *= patch.size.extent[d];
            normalise_patch(&patch, x->data + image * image_size,
                            call->results[0].data + image * image_size, &corner, eps);
        }
}
