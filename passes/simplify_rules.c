/* The rewrites of simplify, each a row of one table. Constants stay doubles; a back end rounds each
 * once. */
#include "passes/simplify.h"

#include <math.h>

/* True if all elements of a value are one known number. */
static bool known(const Value *value, double *number) {
    if (value->node->op != OP_constant)
        return false;
    *number = node_float(value->node, "value");
    return true;
}

static bool is_number(const Value *value, double number) {
    double found;
    return known(value, &found) && found == number;
}

static bool known_scalar(const Value *value, double *number) {
    return value->type.form == FORM_PLAIN && value->type.rank == 0 &&
           value->type.dtype == DTYPE_F32 && known(value, number);
}

/* x, if it has the type of the node's result. */
static Value *if_same_type(const Node *node, Value *x) {
    return type_equal(&node->results[0].type, &x->type) ? x : NULL;
}

/* The operand beside one that is this number, whatever the order, or NULL. */
static Value *beside(const Node *node, double number) {
    for (int i = 0; i < 2; i++) {
        if (is_number(node->operands[i], number))
            return if_same_type(node, node->operands[1 - i]);
    }
    return NULL;
}

/* x of a node `op x`, or NULL. */
static Value *argument_of(const Value *value, Op op) {
    return value->node->op == op ? value->node->operands[0] : NULL;
}

/* x and factor of `mul x, factor` with a constant scalar. */
static Value *scaled(const Value *value, double *factor) {
    const Node *node = value->node;
    if (node->op != OP_mul)
        return NULL;
    for (int i = 0; i < 2; i++) {
        if (known_scalar(node->operands[i], factor))
            return if_same_type(node, node->operands[1 - i]);
    }
    return NULL;
}

/* Arithmetic. */

static Value *multiply_by_one(Builder *builder, const Node *node) {
    (void)builder;
    return beside(node, 1);
}

static Value *multiply_by_minus_one(Builder *builder, const Node *node) {
    Value *x = beside(node, -1);
    return x ? build_unary(builder, OP_neg, NULL, x) : NULL;
}

static Value *multiply_twice(Builder *builder, const Node *node) {
    double outer, inner;
    for (int i = 0; i < 2; i++) {
        Value *x = scaled(node->operands[1 - i], &inner);
        if (x && known_scalar(node->operands[i], &outer) && if_same_type(node, x) &&
            isfinite(inner * outer))
            return build_scale(builder, NULL, x, inner * outer);
    }
    return NULL;
}

static Value *divide_by_one(Builder *builder, const Node *node) {
    (void)builder;
    return is_number(node->operands[1], 1) ? if_same_type(node, node->operands[0]) : NULL;
}

/* The reciprocal must be a normal float. */
static Value *divide_by_power_of_two(Builder *builder, const Node *node) {
    double divisor;
    int exponent;
    if (!known_scalar(node->operands[1], &divisor) || !if_same_type(node, node->operands[0]))
        return NULL;
    bool power = fabs(frexp(divisor, &exponent)) == 0.5 && exponent > -100 && exponent < 100;
    return power ? build_scale(builder, NULL, node->operands[0], 1 / divisor) : NULL;
}

static Value *add_zero(Builder *builder, const Node *node) {
    (void)builder;
    return beside(node, 0);
}

static Value *subtract_zero(Builder *builder, const Node *node) {
    (void)builder;
    return is_number(node->operands[1], 0) ? if_same_type(node, node->operands[0]) : NULL;
}

static Value *subtract_from_zero(Builder *builder, const Node *node) {
    if (!is_number(node->operands[0], 0) || !if_same_type(node, node->operands[1]))
        return NULL;
    return build_unary(builder, OP_neg, NULL, node->operands[1]);
}

static Value *add_negative(Builder *builder, const Node *node) {
    for (int i = 0; i < 2; i++) {
        Value *x = argument_of(node->operands[i], OP_neg);
        if (x)
            return build_binary(builder, OP_sub, NULL, node->operands[1 - i], x);
    }
    return NULL;
}

static Value *subtract_negative(Builder *builder, const Node *node) {
    Value *x = argument_of(node->operands[1], OP_neg);
    return x ? build_binary(builder, OP_add, NULL, node->operands[0], x) : NULL;
}

static Value *negate_twice(Builder *builder, const Node *node) {
    (void)builder;
    return argument_of(node->operands[0], OP_neg);
}

static Value *negate_scaled(Builder *builder, const Node *node) {
    double factor;
    Value *x = scaled(node->operands[0], &factor);
    return x ? build_scale(builder, NULL, x, -factor) : NULL;
}

static Value *select_known(Builder *builder, const Node *node) {
    (void)builder;
    double condition;
    if (!known(node->operands[0], &condition))
        return NULL;
    return if_same_type(node, node->operands[condition != 0 ? 1 : 2]);
}

static Value *select_equal(Builder *builder, const Node *node) {
    (void)builder;
    return node->operands[1] == node->operands[2] ? if_same_type(node, node->operands[1]) : NULL;
}

/* The value of a pointwise op on numbers. */
static double evaluate(Op op, const double *x) {
    switch (op) {
    case OP_add:
        return x[0] + x[1];
    case OP_sub:
        return x[0] - x[1];
    case OP_mul:
        return x[0] * x[1];
    case OP_div:
        return x[0] / x[1];
    case OP_minimum:
        return fmin(x[0], x[1]);
    case OP_greater:
        return x[0] > x[1];
    case OP_neg:
        return -x[0];
    case OP_sqrt:
        return sqrt(x[0]);
    default:
        return NAN;
    }
}

static Value *fold(Builder *builder, const Node *node) {
    double numbers[2];
    for (int i = 0; i < node->operand_count; i++) {
        if (!known_scalar(node->operands[i], &numbers[i]))
            return NULL;
    }
    double result = evaluate(node->op, numbers);
    return isfinite(result) ? build_constant(builder, result) : NULL;
}

/* Channels and positions. */

static Value *broadcast_to_itself(Builder *builder, const Node *node) {
    (void)builder;
    return if_same_type(node, node->operands[0]);
}

/* `channels` of x from `start`; x itself if that is all of it. */
static Value *slice_of(Builder *builder, Value *x, int64_t start, int64_t channels) {
    if (start == 0 && channels == x->type.channels)
        return x;
    return node_result(
        build(builder, OP_slice, NULL, OPERANDS(x),
              ATTRIBUTES(attribute_int("start", start), attribute_int("channels", channels))),
        0);
}

static Value *concat_one(Builder *builder, const Node *node) {
    (void)builder;
    return node->operand_count == 1 ? node->operands[0] : NULL;
}

static Value *concat_neighbours(Builder *builder, const Node *node) {
    const Node *first = node->operands[0]->node;
    if (first->op != OP_slice)
        return NULL;
    int64_t end = node_int(first, "start");
    for (int i = 0; i < node->operand_count; i++) {
        const Node *slice = node->operands[i]->node;
        if (slice->op != OP_slice || slice->operands[0] != first->operands[0] ||
            node_int(slice, "start") != end)
            return NULL;
        end += node_int(slice, "channels");
    }
    int64_t start = node_int(first, "start");
    return slice_of(builder, first->operands[0], start, end - start);
}

static Value *slice_whole(Builder *builder, const Node *node) {
    (void)builder;
    return if_same_type(node, node->operands[0]);
}

static Value *slice_twice(Builder *builder, const Node *node) {
    const Node *inner = node->operands[0]->node;
    if (inner->op != OP_slice)
        return NULL;
    return slice_of(builder, inner->operands[0], node_int(inner, "start") + node_int(node, "start"),
                    node_int(node, "channels"));
}

static Value *slice_of_concat(Builder *builder, const Node *node) {
    const Node *concat = node->operands[0]->node;
    if (concat->op != OP_concat)
        return NULL;
    int64_t start = node_int(node, "start"), channels = node_int(node, "channels");
    for (int i = 0; i < concat->operand_count; i++) {
        Value *part = concat->operands[i];
        if (start < part->type.channels)
            return start + channels <= part->type.channels
                       ? slice_of(builder, part, start, channels)
                       : NULL;
        start -= part->type.channels;
    }
    return NULL;
}

static Value *slice_grad_whole(Builder *builder, const Node *node) {
    (void)builder;
    return if_same_type(node, node->operands[0]);
}

/* Two gradients of neighbouring slices of one value: their sum is the gradient of one slice. */
static Value *add_slice_grads(Builder *builder, const Node *node) {
    for (int i = 0; i < 2; i++) {
        const Node *low = node->operands[i]->node, *high = node->operands[1 - i]->node;
        if (low->op != OP_slice_grad || high->op != OP_slice_grad)
            return NULL;
        int64_t start = node_int(low, "start");
        if (start + low->operands[0]->type.channels != node_int(high, "start"))
            continue;
        Node *joined = build(builder, OP_concat, "joined",
                             OPERANDS(low->operands[0], high->operands[0]), NO_ATTRIBUTES);
        return node_result(build(builder, OP_slice_grad, NULL, OPERANDS(node_result(joined, 0)),
                                 ATTRIBUTES(attribute_int("start", start),
                                            attribute_int("channels", node_int(low, "channels")))),
                           0);
    }
    return NULL;
}

static Value *shuffle_one_group(Builder *builder, const Node *node) {
    (void)builder;
    int64_t groups = node_int(node, "groups");
    return groups == 1 || groups == node->operands[0]->type.channels ? node->operands[0] : NULL;
}

static Value *repeat_once(Builder *builder, const Node *node) {
    (void)builder;
    return if_same_type(node, node->operands[0]);
}

static Value *upsample_by_one(Builder *builder, const Node *node) {
    (void)builder;
    return if_same_type(node, node->operands[0]);
}

enum { ROUNDING = false, EXACT = true };

static const Rewrite rewrites[] = {
    {OP_add, "add a, b of numbers -> their sum", ROUNDING, fold},
    {OP_sub, "sub a, b of numbers -> their difference", ROUNDING, fold},
    {OP_mul, "mul a, b of numbers -> their product", ROUNDING, fold},
    {OP_div, "div a, b of numbers -> their quotient", ROUNDING, fold},
    {OP_minimum, "minimum a, b of numbers -> the smaller", ROUNDING, fold},
    {OP_greater, "greater a, b of numbers -> 1 or 0", ROUNDING, fold},
    {OP_neg, "neg a of a number -> -a", EXACT, fold},
    {OP_sqrt, "sqrt a of a number -> its root", ROUNDING, fold},
    {OP_mul, "mul x, 1 -> x", EXACT, multiply_by_one},
    {OP_mul, "mul x, -1 -> neg x", EXACT, multiply_by_minus_one},
    {OP_mul, "mul (mul x, a), b of numbers -> mul x, a b", ROUNDING, multiply_twice},
    {OP_div, "div x, 1 -> x", EXACT, divide_by_one},
    {OP_div, "div x, 2^k -> mul x, 2^-k", EXACT, divide_by_power_of_two},
    {OP_add, "add x, 0 -> x", EXACT, add_zero},
    {OP_add, "add x, (neg y) -> sub x, y", EXACT, add_negative},
    {OP_add, "add of neighbouring slice_grads -> slice_grad of concat", EXACT, add_slice_grads},
    {OP_sub, "sub x, 0 -> x", EXACT, subtract_zero},
    {OP_sub, "sub 0, x -> neg x", EXACT, subtract_from_zero},
    {OP_sub, "sub x, (neg y) -> add x, y", EXACT, subtract_negative},
    {OP_neg, "neg (neg x) -> x", EXACT, negate_twice},
    {OP_neg, "neg (mul x, a) -> mul x, -a", EXACT, negate_scaled},
    {OP_select, "select of a known condition -> its branch", EXACT, select_known},
    {OP_select, "select c, x, x -> x", EXACT, select_equal},
    {OP_broadcast, "broadcast to the same type -> x", EXACT, broadcast_to_itself},
    {OP_concat, "concat x -> x", EXACT, concat_one},
    {OP_concat, "concat of neighbouring slices -> slice", EXACT, concat_neighbours},
    {OP_slice, "slice of all channels -> x", EXACT, slice_whole},
    {OP_slice, "slice of slice -> slice", EXACT, slice_twice},
    {OP_slice, "slice of concat inside one part -> slice of the part", EXACT, slice_of_concat},
    {OP_slice_grad, "slice_grad of all channels -> dy", EXACT, slice_grad_whole},
    {OP_channel_shuffle, "channel_shuffle of one group -> x", EXACT, shuffle_one_group},
    {OP_repeat_channels, "repeat_channels once -> x", EXACT, repeat_once},
    {OP_upsample, "upsample by 1 -> x", EXACT, upsample_by_one},
};

enum { REWRITE_COUNT = sizeof rewrites / sizeof *rewrites };

const Rewrite *simplify_rewrites(int *count) {
    *count = REWRITE_COUNT;
    return rewrites;
}
