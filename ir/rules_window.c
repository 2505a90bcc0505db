/* Shape rules of windows: pools, upsampling and their gradients. */
#include "ir/rules_window.h"

#include <inttypes.h>
#include <string.h>

int64_t rules_window_size(int64_t n, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation,
                          bool ceil_mode) {
    int64_t room = n + 2 * pad - dilation * (kernel - 1) - 1;
    if (room < 0)
        return 0;
    int64_t size = (ceil_mode ? room + stride - 1 : room) / stride + 1;
    if (ceil_mode && (size - 1) * stride >= n + pad)
        size--;
    return size;
}

bool rules_window_ints(Rule *rule, const char *name, int space, int64_t numbers[TYPE_MAX_SPACE]) {
    int count;
    const int64_t *values = node_ints(rule->node, name, &count);
    if (count != space)
        return rules_fail_attribute(rule, name, "%s takes %d numbers, one per direction, not %d",
                                    name, space, count);
    memcpy(numbers, values, (size_t)count * sizeof *values);
    return true;
}

bool rules_window_read(Rule *rule, int space, RuleWindow *window) {
    Op op = rule->node->op;
    window->space = space;
    for (int d = 0; d < TYPE_MAX_SPACE; d++)
        window->dilation[d] = 1;
    if (op_attribute_index(op, "dilation") >= 0 &&
        !rules_window_ints(rule, "dilation", space, window->dilation))
        return false;
    window->ceil_mode =
        op_attribute_index(op, "ceil_mode") >= 0 && node_bool(rule->node, "ceil_mode");
    return rules_window_ints(rule, "kernel", space, window->kernel) &&
           rules_window_ints(rule, "stride", space, window->stride) &&
           rules_window_ints(rule, "pad", space, window->pad);
}

static int64_t window_size(const RuleWindow *window, int d, int64_t n, int64_t pad) {
    return rules_window_size(n, window->kernel[d], window->stride[d], pad, window->dilation[d],
                             window->ceil_mode);
}

static bool fail_too_large(Rule *rule, const Type *x, const RuleWindow *window) {
    int64_t reach[TYPE_MAX_SPACE], padded[TYPE_MAX_SPACE];
    bool dilated = false, pads = false;
    for (int d = 0; d < window->space; d++) {
        reach[d] = window->dilation[d] * (window->kernel[d] - 1) + 1;
        padded[d] = x->extent[d] + 2 * window->pad[d];
        dilated = dilated || window->dilation[d] > 1;
        pads = pads || window->pad[d] > 0;
    }
    return rules_fail_attribute(
        rule, "kernel", "a kernel of %s%s does not fit into the map of %s%s%s",
        rules_extents_text(rule, reach, window->space), dilated ? ", counted with its gaps," : "",
        rules_extents_text(rule, x->extent, x->rank), pads ? ", padded to " : "",
        pads ? rules_extents_text(rule, padded, window->space) : "");
}

/* The pad in direction d that makes n positions `wanted`, or -1. It is at most half the kernel, as
 * pools want it. */
static int64_t fitting_pad(const RuleWindow *window, int d, int64_t n, int64_t wanted) {
    int64_t reach = window->dilation[d] * (window->kernel[d] - 1) + 1;
    int64_t pad = (reach - window->stride[d] + 1) / 2;
    if (pad < 0)
        pad = 0;
    return window_size(window, d, n, pad) == wanted ? pad : -1;
}

/* A hint of the pad that keeps the map on its cells, if there is one. */
static bool hint_pad(Rule *rule, const Type *x, const RuleWindow *window, const int64_t *wanted) {
    int64_t pads[TYPE_MAX_SPACE];
    for (int d = 0; d < window->space; d++) {
        pads[d] = fitting_pad(window, d, x->extent[d], wanted[d]);
        if (pads[d] < 0)
            return false;
    }
    return rules_hint(rule, "pad = %s keeps it", rules_numbers_text(rule, pads, window->space));
}

/* The stride of a window over a masked map: one power of two, and no further than the cells. */
static bool masked_stride(Rule *rule, const Type *x, const RuleWindow *window, int64_t *stride) {
    const char *problem = NULL;
    *stride = window->stride[0];
    for (int d = 1; d < window->space; d++) {
        if (window->stride[d] != *stride)
            problem = "differs by direction; on the way to a feature it must be the same in all";
    }
    if (!problem && (*stride & (*stride - 1)) != 0)
        problem = "is not a power of two, so the map leaves the cells";
    if (!problem && *stride > rule->graph->geometry.ratio / x->stride)
        problem = "makes the map coarser than the cells";
    if (!problem)
        return true;
    return rules_fail_attribute(rule, "stride", "stride = %s %s",
                                rules_numbers_text(rule, window->stride, window->space), problem);
}

static bool masked_window(Rule *rule, const Type *x, const RuleWindow *window, Type *result) {
    int64_t stride, wanted[TYPE_MAX_SPACE];
    if (!masked_stride(rule, x, window, &stride))
        return false;
    bool fits = true, shrinks = false;
    for (int d = 0; d < window->space; d++) {
        wanted[d] = x->extent[d] / stride;
        fits = fits && result->extent[d] == wanted[d];
        shrinks = shrinks || result->extent[d] < x->extent[d];
    }
    result->stride = x->stride * stride;
    if (fits)
        return true;
    rules_fail(rule, "the map %s from %s to %s and no longer lines up with the cells",
               shrinks ? "shrinks" : "grows", rules_extents_text(rule, x->extent, x->rank),
               rules_extents_text(rule, result->extent, x->rank));
    return hint_pad(rule, x, window, wanted);
}

bool rules_window_apply(Rule *rule, const Type *x, const RuleWindow *window, Type *result) {
    *result = *x;
    for (int d = 0; d < window->space; d++) {
        result->extent[d] = window_size(window, d, x->extent[d], window->pad[d]);
        if (result->extent[d] < 1)
            return fail_too_large(rule, x, window);
    }
    return x->form != FORM_MASKED || masked_window(rule, x, window, result);
}

bool rules_window_invert(Rule *rule, const Type *y, const RuleWindow *window, const int64_t *size,
                         Type *result) {
    *result = *y;
    for (int d = 0; d < window->space; d++)
        result->extent[d] = size[d];
    if (y->form == FORM_MASKED) {
        if (y->stride % window->stride[0] != 0)
            return rules_fail_attribute(
                rule, "stride", "stride %" PRId64 " cannot come from a window of stride %s",
                y->stride, rules_numbers_text(rule, window->stride, window->space));
        result->stride = y->stride / window->stride[0];
    }
    Type again;
    if (!rules_window_apply(rule, result, window, &again))
        return false;
    if (!type_equal(&again, y))
        return rules_fail_attribute(rule, "size", "%s does not become %s under this window",
                                    rules_extents_text(rule, size, window->space),
                                    rules_extents_text(rule, y->extent, y->rank));
    return true;
}

/* A pool's window; padding may not be all of it. */
static bool read_pool(Rule *rule, int space, RuleWindow *window) {
    if (!rules_window_read(rule, space, window))
        return false;
    for (int d = 0; d < space; d++) {
        if (window->pad[d] > (window->dilation[d] * (window->kernel[d] - 1) + 1) / 2)
            return rules_fail_attribute(rule, "pad", "pad = %s is more than half of kernel = %s",
                                        rules_numbers_text(rule, window->pad, space),
                                        rules_numbers_text(rule, window->kernel, space));
    }
    return true;
}

static bool pool(Rule *rule, Type *result) {
    RuleWindow window;
    const Type *x = rules_type(rule, 0);
    return rules_want_map(rule, 0) && read_pool(rule, x->rank, &window) &&
           rules_window_apply(rule, x, &window, result);
}

bool rules_shape_pool(Rule *rule) {
    return pool(rule, &rule->results[0]);
}

bool rules_shape_max_pool(Rule *rule) {
    return rules_shape_pool(rule) && rules_want_type(rule, 1, rules_type(rule, 0));
}

bool rules_shape_max_pool_grad(Rule *rule) {
    Type dy;
    return pool(rule, &dy) && rules_want_type(rule, 1, &dy) &&
           rules_give(rule, *rules_type(rule, 0));
}

bool rules_shape_avg_pool_grad(Rule *rule) {
    RuleWindow window;
    int64_t size[TYPE_MAX_SPACE];
    const Type *dy = rules_type(rule, 0);
    return rules_want_map(rule, 0) && read_pool(rule, dy->rank, &window) &&
           rules_window_ints(rule, "size", dy->rank, size) &&
           rules_window_invert(rule, dy, &window, size, &rule->results[0]);
}

/* The factor of a masked map: one number, which the stride can be multiplied or divided by. */
static bool masked_factor(Rule *rule, const Type *x, const int64_t *factor) {
    for (int d = 1; d < x->rank; d++) {
        if (factor[d] != factor[0])
            return rules_fail_attribute(
                rule, "factor",
                "factor = %s differs by direction; on the way to a feature it must "
                "be the same in all",
                rules_numbers_text(rule, factor, x->rank));
    }
    if ((factor[0] & (factor[0] - 1)) != 0)
        return rules_fail_attribute(
            rule, "factor",
            "factor = %" PRId64 " is not a power of two, so the map leaves the cells", factor[0]);
    return true;
}

/* Reads factor and mode of upsample and its gradient for x. */
static bool read_upsample(Rule *rule, const Type *x, int64_t factor[TYPE_MAX_SPACE]) {
    const char *mode = node_text(rule->node, "mode");
    bool bilinear = strcmp(mode, "bilinear") == 0;
    if (!bilinear && strcmp(mode, "nearest") != 0)
        return rules_fail_attribute(rule, "mode", "mode must be nearest or bilinear, this is %s",
                                    mode);
    if (!rules_window_ints(rule, "factor", x->rank, factor))
        return false;
    if (x->form != FORM_MASKED)
        return true;
    if (bilinear) {
        rules_fail_attribute(rule, "mode", "not supported: bilinear upsample has no masked form");
        return rules_hint(rule, "mode = \"nearest\" has one");
    }
    return masked_factor(rule, x, factor);
}

bool rules_shape_upsample(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    int64_t factor[TYPE_MAX_SPACE];
    if (!rules_want_map(rule, 0) || !read_upsample(rule, x, factor))
        return false;
    Type y = *x;
    for (int d = 0; d < x->rank; d++)
        y.extent[d] = type_multiply(x->extent[d], factor[d]);
    if (x->form == FORM_MASKED) {
        if (x->stride % factor[0] != 0)
            return rules_fail_attribute(rule, "factor",
                                        "factor = %" PRId64 " makes the map larger than the image",
                                        factor[0]);
        y.stride = x->stride / factor[0];
    }
    return rules_give(rule, y);
}

bool rules_shape_upsample_grad(Rule *rule) {
    const Type *dy = rules_type(rule, 0);
    int64_t factor[TYPE_MAX_SPACE];
    if (!rules_want_map(rule, 0) || !read_upsample(rule, dy, factor))
        return false;
    Type dx = *dy;
    for (int d = 0; d < dy->rank; d++) {
        if (dy->extent[d] % factor[d] != 0)
            return rules_fail_attribute(rule, "factor", "factor = %s does not divide %s",
                                        rules_numbers_text(rule, factor, dy->rank),
                                        rules_extents_text(rule, dy->extent, dy->rank));
        dx.extent[d] = dy->extent[d] / factor[d];
    }
    if (dy->form == FORM_MASKED)
        dx.stride = type_multiply(dy->stride, factor[0]);
    return rules_give(rule, dx);
}
