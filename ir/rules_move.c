/* Shape rules of ops that move channels and positions. */
#include <inttypes.h>

#include "ir/rules_window.h"

/* Equal but for their channels. */
static bool same_positions(const Type *a, const Type *b) {
    Type widened = type_with_channels(*a, b->channels);
    return type_equal(&widened, b);
}

static bool fail_concat(Rule *rule, int index) {
    Arena *arena = rule->graph->arena;
    const Type *a = rules_type(rule, 0), *b = rules_type(rule, index);
    if (rules_mixes(a, b))
        return rules_fail_operand(rule, index,
                                  "concat cannot mix a masked map with one that is not: %s and %s",
                                  rules_form_text(arena, a), rules_form_text(arena, b));
    return rules_fail_operand(rule, index, "concat needs equal height and width: %s and %s",
                              rules_shape_text(arena, a), rules_shape_text(arena, b));
}

bool rules_shape_concat(Rule *rule) {
    int64_t channels = 0;
    for (int i = 0; i < rule->node->operand_count; i++) {
        if (!rules_want_tensor(rule, i))
            return false;
        if (!same_positions(rules_type(rule, 0), rules_type(rule, i)))
            return fail_concat(rule, i);
        channels += rules_type(rule, i)->channels;
        if (channels > INT32_MAX)
            return rules_fail(rule, "concat would have more than 2^31 - 1 channels");
    }
    return rules_give(rule, type_with_channels(*rules_type(rule, 0), channels));
}

/* `start` + `channels` must not go beyond `most`. */
static bool want_slice(Rule *rule, int64_t start, int64_t channels, int64_t most) {
    if (start + channels <= most)
        return true;
    return rules_fail_attribute(rule, "channels",
                                "channels %" PRId64 " to %" PRId64 " are beyond the %" PRId64
                                " there are",
                                start, start + channels - 1, most);
}

bool rules_shape_slice(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    int64_t channels = node_int(rule->node, "channels");
    return rules_want_tensor(rule, 0) &&
           want_slice(rule, node_int(rule->node, "start"), channels, x->channels) &&
           rules_give(rule, type_with_channels(*x, channels));
}

bool rules_shape_slice_grad(Rule *rule) {
    const Type *dy = rules_type(rule, 0);
    int64_t channels = node_int(rule->node, "channels");
    return rules_want_tensor(rule, 0) &&
           want_slice(rule, node_int(rule->node, "start"), dy->channels, channels) &&
           rules_give(rule, type_with_channels(*dy, channels));
}

bool rules_shape_channel_shuffle(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    return rules_want_tensor(rule, 0) &&
           rules_want_groups(rule, node_int(rule->node, "groups"), x->channels) &&
           rules_give(rule, *x);
}

bool rules_shape_repeat_channels(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    int64_t times = node_int(rule->node, "times");
    return rules_want_tensor(rule, 0) &&
           rules_give(rule, type_with_channels(*x, type_multiply(x->channels, times)));
}

bool rules_shape_flatten(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    if (!rules_want_tensor(rule, 0))
        return false;
    if (x->form == FORM_MASKED)
        return rules_fail(rule, "not supported: flatten has no masked form");
    int64_t channels = type_multiply(x->channels, type_positions(x));
    return rules_give(rule, type_per_image(x->dtype, x->batch, channels));
}

bool rules_shape_unflatten(Rule *rule) {
    const Type *dy = rules_type(rule, 0);
    int count;
    const int64_t *size = node_ints(rule->node, "size", &count);
    if (!rules_want_tensor(rule, 0))
        return false;
    if (dy->form != FORM_PER_IMAGE)
        return rules_fail_operand(rule, 0, "unflatten needs a value per image, this is %s",
                                  type_text(rule->graph->arena, dy));
    if (count == 0)
        return rules_give(rule, *dy);
    Type dx = type_dense(dy->dtype, dy->batch, count, size, 1);
    int64_t positions = type_positions(&dx);
    if (dy->channels % positions != 0)
        return rules_fail_attribute(rule, "size", "%s does not divide %" PRId64 " channels",
                                    rules_extents_text(rule, size, count), dy->channels);
    return rules_give(rule, type_with_channels(dx, dy->channels / positions));
}

/* global_avg_pool takes any tensor; squeeze only what has one position. */
bool rules_shape_per_image(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    if (!rules_want_tensor(rule, 0))
        return false;
    bool squeeze = rule->node->op == OP_squeeze;
    if (squeeze && (x->form == FORM_MASKED || type_positions(x) != 1))
        return rules_fail_operand(rule, 0, "squeeze needs a map of one position, this is %s",
                                  type_text(rule->graph->arena, x));
    return rules_give(rule, type_per_image(x->dtype, x->batch, x->channels));
}
