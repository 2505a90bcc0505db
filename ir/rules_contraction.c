/* Shape rules of contractions: conv, linear, and their gradients.
 *
 * A value without positions is 1 x 1 to them: there a conv has as many directions as its weight
 * and nothing but kernel 1, stride 1, pad 0. */
#include <inttypes.h>

#include "ir/rules_window.h"

/* A 1 x 1 value allows only a window that leaves it so. */
static bool want_single_tap(Rule *rule, const Type *x, const RuleWindow *window) {
    for (int d = 0; d < window->space; d++) {
        if (window->kernel[d] != 1 || window->stride[d] != 1 || window->pad[d] != 0)
            return rules_fail_attribute(
                rule, "kernel",
                "not supported: on %s %s takes kernel = 1, stride = 1, pad = 0 only",
                rules_shape_text(rule->graph->arena, x), rule->info->name);
    }
    return true;
}

/* The directions of a conv's window over x: x's own, or as many as the kernel has. */
static int directions(const Rule *rule, const Type *x) {
    int count;
    node_ints(rule->node, "kernel", &count);
    return type_has_space(x) ? x->rank : count;
}

/* `dense`: the large map has a mask that the small one has not. */
static bool is_dense(const Rule *rule) {
    return node_bool(rule->node, "dense");
}

static bool want_dense_window(Rule *rule, const Type *x, const RuleWindow *window, Form form) {
    if (!is_dense(rule))
        return true;
    if (x->form != form)
        return rules_fail_operand(rule, 0, "%s with dense = true needs a %s map, this is %s",
                                  rule->info->name, form == FORM_MASKED ? "masked" : "dense",
                                  type_text(rule->graph->arena, x));
    for (int d = 0; d < window->space; d++)
        if (window->stride[d] != 1)
            return rules_fail_attribute(rule, "stride", "dense = true needs stride = 1, this is %s",
                                        rules_numbers_text(rule, window->stride, window->space));
    return true;
}

static Type without_mask(const Type *x) {
    return type_dense(x->dtype, x->batch, x->rank, x->extent, x->channels);
}

static bool read_conv(Rule *rule, const Type *x, RuleWindow *window) {
    int space = directions(rule, x);
    if (space < 1)
        return rules_fail_attribute(rule, "kernel", "%s needs a kernel", rule->info->name);
    return rules_window_read(rule, space, window) &&
           (type_has_space(x) || want_single_tap(rule, x, window));
}

/* The type of x after the window. */
static bool conv_positions(Rule *rule, const Type *x, const RuleWindow *window, Type *result) {
    if (!want_dense_window(rule, x, window, FORM_MASKED))
        return false;
    Type dense = without_mask(x);
    *result = *x;
    if (is_dense(rule))
        return rules_window_apply(rule, &dense, window, result);
    return !type_has_space(x) || rules_window_apply(rule, x, window, result);
}

/* Operand 1 must be a weight [kernel.., in / groups, out], with one of in and out known; the other
 * is returned. Counts of channels are those of the conv, not of its transpose. */
static bool read_weight(Rule *rule, const RuleWindow *window, bool in_known, int64_t known,
                        int64_t *other) {
    const Type *weight = rules_type(rule, 1);
    int64_t groups = node_int(rule->node, "groups");
    int rank = window->space + 2;
    if (weight->form != FORM_PLAIN || weight->rank != rank)
        return rules_fail_operand(rule, 1, "the weight must have %d dimensions, this is %s", rank,
                                  type_text(rule->graph->arena, weight));
    int64_t in_per_group = weight->extent[rank - 2], out = weight->extent[rank - 1];
    *other = in_known ? out : type_multiply(in_per_group, groups);
    if (!rules_want_groups(rule, groups, known) || !rules_want_groups(rule, groups, *other))
        return false;
    int64_t wanted[TYPE_MAX_RANK];
    for (int d = 0; d < window->space; d++)
        wanted[d] = window->kernel[d];
    wanted[rank - 2] = in_known ? known / groups : in_per_group;
    wanted[rank - 1] = in_known ? out : known;
    return rules_want_plain(rule, 1, rank, wanted);
}

bool rules_shape_conv(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    RuleWindow window;
    int64_t out;
    Type y;
    return rules_want_tensor(rule, 0) && read_conv(rule, x, &window) &&
           read_weight(rule, &window, true, x->channels, &out) &&
           conv_positions(rule, x, &window, &y) && rules_give(rule, type_with_channels(y, out));
}

/* size = (n - 1) stride - 2 pad + dilation (kernel - 1) + 1 + output_pad, 0 <= output_pad < stride
 */
static bool check_output_pad(Rule *rule, const Type *x, const RuleWindow *window,
                             const int64_t *size) {
    int64_t extra[TYPE_MAX_SPACE];
    bool fits = true;
    for (int d = 0; d < window->space; d++) {
        int64_t least = (x->extent[d] - 1) * window->stride[d] - 2 * window->pad[d] +
                        window->dilation[d] * (window->kernel[d] - 1) + 1;
        extra[d] = size[d] - least;
        fits = fits && extra[d] >= 0 && extra[d] < window->stride[d];
    }
    if (fits)
        return true;
    return rules_fail_attribute(
        rule, "size", "output_pad must be at least 0 and less than stride = %s, this is %s",
        rules_numbers_text(rule, window->stride, window->space),
        rules_numbers_text(rule, extra, window->space));
}

/* The mask of the level that a map's extents belong to. */
static bool give_mask(Rule *rule, Type *map) {
    int64_t stride = rule->graph->geometry.image[0] / map->extent[0];
    if (!rules_masked_fits(rule->graph, map, stride))
        return rules_fail_attribute(rule, "size", "%s does not line up with the cells of the image",
                                    rules_extents_text(rule, map->extent, map->rank));
    *map = type_masked(*map, stride);
    return true;
}

/* The type before the conv whose result is x. */
static bool transposed_positions(Rule *rule, const Type *x, const RuleWindow *window,
                                 Type *result) {
    int64_t size[TYPE_MAX_SPACE];
    *result = *x;
    if (!want_dense_window(rule, x, window, FORM_DENSE))
        return false;
    if (!type_has_space(x))
        return true;
    return rules_window_ints(rule, "size", x->rank, size) &&
           check_output_pad(rule, x, window, size) &&
           rules_window_invert(rule, x, window, size, result) &&
           (!is_dense(rule) || give_mask(rule, result));
}

bool rules_shape_conv_transpose(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    RuleWindow window;
    int64_t out;
    Type y;
    return rules_want_tensor(rule, 0) && read_conv(rule, x, &window) &&
           read_weight(rule, &window, false, x->channels, &out) &&
           transposed_positions(rule, x, &window, &y) &&
           rules_give(rule, type_with_channels(y, out));
}

bool rules_shape_conv_weight_grad(Rule *rule) {
    const Type *x = rules_type(rule, 0), *dy = rules_type(rule, 1);
    int64_t groups = node_int(rule->node, "groups");
    RuleWindow window;
    Type y;
    if (!rules_want_tensor(rule, 0) || !rules_want_tensor(rule, 1) ||
        !read_conv(rule, x, &window) || !rules_want_groups(rule, groups, x->channels) ||
        !rules_want_groups(rule, groups, dy->channels) || !conv_positions(rule, x, &window, &y))
        return false;
    y = type_with_dtype(type_with_channels(y, dy->channels), dy->dtype);
    if (!rules_want_type(rule, 1, &y))
        return false;
    int64_t shape[TYPE_MAX_RANK];
    for (int d = 0; d < window.space; d++)
        shape[d] = window.kernel[d];
    shape[window.space] = x->channels / groups;
    shape[window.space + 1] = dy->channels;
    return rules_give(rule, type_plain(DTYPE_F32, window.space + 2, shape));
}

/* Fails unless an operand is a plain array of the shape of a conv's weight, or `rank` dimensions
 * with 1 where `single`, its input channels. */
static bool want_taps(Rule *rule, int index, bool single) {
    const Type *type = rules_type(rule, index);
    bool fine = type->form == FORM_PLAIN && type->rank > 2 &&
                (!single || type->extent[type->rank - 2] == 1);
    return fine || rules_fail_operand(rule, index, "%s needs %s, this is %s", rule->info->name,
                                      single ? "what taps give, [kernel.., 1, out]"
                                             : "a weight, [kernel.., in, out]",
                                      type_text(rule->graph->arena, type));
}

static Type with_in(const Type *weight, int64_t in) {
    Type type = *weight;
    type.extent[type.rank - 2] = in;
    return type;
}

bool rules_shape_token_taps(Rule *rule) {
    const Type *weight = rules_type(rule, 1);
    return want_taps(rule, 1, false) &&
           rules_want_plain(rule, 0, 1, &weight->extent[weight->rank - 2]) &&
           rules_give(rule, with_in(weight, 1));
}

bool rules_shape_token_taps_grad(Rule *rule) {
    const Type *weight = rules_type(rule, 1);
    if (!want_taps(rule, 1, false))
        return false;
    Type dy = with_in(weight, 1);
    return rules_want_plain(rule, 0, dy.rank, dy.extent) &&
           rules_give(rule, type_vector(weight->dtype, weight->extent[weight->rank - 2]));
}

bool rules_shape_token_taps_weight_grad(Rule *rule) {
    const Type *token = rules_type(rule, 0), *dy = rules_type(rule, 1);
    return want_taps(rule, 1, true) &&
           rules_want_plain(rule, 0, 1, (const int64_t[]){type_plain_elements(token)}) &&
           rules_give(rule, with_in(dy, token->extent[0]));
}

bool rules_shape_linear(Rule *rule) {
    const Type *x = rules_type(rule, 0), *weight = rules_type(rule, 1);
    bool transpose = node_bool(rule->node, "transpose");
    if (!rules_want_tensor(rule, 0))
        return false;
    if (weight->form != FORM_PLAIN || weight->rank != 2)
        return rules_fail_operand(rule, 1, "the weight must have 2 dimensions, this is %s",
                                  type_text(rule->graph->arena, weight));
    int64_t shape[] = {weight->extent[0], weight->extent[1]};
    int64_t out = shape[transpose ? 0 : 1];
    shape[transpose ? 1 : 0] = x->channels;
    return rules_want_plain(rule, 1, 2, shape) && rules_give(rule, type_with_channels(*x, out));
}

bool rules_shape_linear_weight_grad(Rule *rule) {
    const Type *x = rules_type(rule, 0), *dy = rules_type(rule, 1);
    if (!rules_want_tensor(rule, 0) || !rules_want_tensor(rule, 1))
        return false;
    Type wanted = type_with_dtype(type_with_channels(*x, dy->channels), dy->dtype);
    const int64_t shape[] = {x->channels, dy->channels};
    return rules_want_type(rule, 1, &wanted) && rules_give(rule, type_plain(DTYPE_F32, 2, shape));
}
