/* Derivatives of sums, of moments and of normalisation. */
#include <string.h>

#include "passes/gradient.h"

/* A statistic per group of channels becomes one per channel; groups 0: it is one already. */
static Value *per_channel(Builder *builder, const char *hint, Value *statistic, int64_t groups,
                          int64_t channels) {
    if (groups == 0)
        return statistic;
    Node *repeated = build(builder, OP_repeat_channels, hint, OPERANDS(statistic),
                           ATTRIBUTES(attribute_int("times", channels / groups)));
    return node_result(repeated, 0);
}

void gradient_sum(Gradient *gradient) {
    Builder *builder = &gradient->builder;
    Type type = gradient->node->operands[0]->type;
    Value *dy = per_channel(builder, "repeated", gradient->results[0],
                            node_int(gradient->node, "groups"), type.channels);
    gradient_give(gradient, 0, gradient_widen(builder, dy, type));
}

/* mean = sum x / count, m2 = sum (x - mean)^2: dx = dmean / count + 2 (x - mean) dm2. The count
 * does not depend on x, and m2 depends on it through its mean by sum (x - mean) = 0 only. */
void gradient_moments(Gradient *gradient) {
    Builder *builder = &gradient->builder;
    Node *node = gradient->node;
    Value *x = node->operands[0], *dx = NULL;
    int64_t groups = node_int(node, "groups"), channels = x->type.channels;
    if (gradient->results[1]) {
        dx = build_binary(builder, OP_div, "share", gradient->results[1], node_result(node, 0));
        dx = per_channel(builder, "shares", dx, groups, channels);
    }
    if (gradient->results[2]) {
        Value *mean = per_channel(builder, "means", node_result(node, 1), groups, channels);
        Value *slope = build_scale(builder, "slope", gradient->results[2], 2);
        slope = per_channel(builder, "slopes", slope, groups, channels);
        Value *centred = build_binary(builder, OP_sub, "centred", x, mean);
        Value *spread = build_binary(builder, OP_mul, "spread", centred, slope);
        dx = dx ? build_binary(builder, OP_add, "x", spread, dx) : spread;
    }
    if (dx)
        gradient_give(gradient, 0, gradient_widen(builder, dx, x->type));
}

/* y = (m2 / count + eps)^(-1/2): dm2 = -y^3 / (2 count) dy. */
void gradient_rstd(Gradient *gradient) {
    Builder *builder = &gradient->builder;
    Value *y = node_result(gradient->node, 0), *count = gradient->node->operands[1];
    Value *square = build_binary(builder, OP_mul, "square", y, y);
    Value *cube = build_binary(builder, OP_mul, "cube", square, y);
    Value *slope =
        build_binary(builder, OP_div, "slope", build_scale(builder, "half", cube, -0.5), count);
    gradient_give(gradient, 0, build_binary(builder, OP_mul, "m2", slope, gradient->results[0]));
}

/* y = x - log(sum exp x): dx = dy - exp(y) sum of dy. */
void gradient_log_softmax(Gradient *gradient) {
    Value *y = node_result(gradient->node, 0);
    gradient_give(gradient, 0,
                  gradient_like(gradient, OP_log_softmax_grad, "x",
                                OPERANDS(y, gradient->results[0]), NO_ATTRIBUTES));
}

enum { NORM_X, NORM_MEAN, NORM_RSTD, NORM_WEIGHT, NORM_BIAS };

/* xhat = (x - mean) rstd, without weight and bias. */
static Value *build_xhat(Gradient *gradient) {
    Value *const *in = gradient->node->operands;
    Node *xhat = build(&gradient->builder, OP_normalise, "xhat",
                       OPERANDS(in[NORM_X], in[NORM_MEAN], in[NORM_RSTD]), NO_ATTRIBUTES);
    return node_result(xhat, 0);
}

static Value *times_weight(Gradient *gradient, const char *hint, Value *value) {
    Value *weight = node_operand(gradient->node, NORM_WEIGHT);
    return weight ? build_binary(&gradient->builder, OP_mul, hint, value, weight) : value;
}

/* One statistic per position (layer norm): weight and statistics are summed over different sets.
 * t = dy w; dx = t rstd; dmean = -rstd sum t, drstd = sum (t xhat) / rstd over the row. */
static void normalise_rows(Gradient *gradient) {
    Builder *builder = &gradient->builder;
    Value *const *in = gradient->node->operands;
    Value *rstd = in[NORM_RSTD], *dy = gradient->results[0];
    Value *t = times_weight(gradient, "weighted", dy);
    gradient_give(gradient, NORM_X, build_binary(builder, OP_mul, "x", t, rstd));
    gradient_give(gradient, NORM_BIAS, dy);
    if (gradient_wants(gradient, NORM_MEAN)) {
        Value *sum = gradient_reduce(builder, t, in[NORM_MEAN]->type);
        Value *product = build_binary(builder, OP_mul, "shift", sum, rstd);
        gradient_give(gradient, NORM_MEAN, build_unary(builder, OP_neg, "mean", product));
    }
    if (!gradient_wants(gradient, NORM_RSTD) && !gradient_wants(gradient, NORM_WEIGHT))
        return;
    Value *xhat = build_xhat(gradient);
    if (gradient_wants(gradient, NORM_RSTD)) {
        Value *product = build_binary(builder, OP_mul, "projection", t, xhat);
        Value *sum = gradient_reduce(builder, product, rstd->type);
        gradient_give(gradient, NORM_RSTD, build_binary(builder, OP_div, "rstd", sum, rstd));
    }
    if (gradient_wants(gradient, NORM_WEIGHT))
        gradient_give(gradient, NORM_WEIGHT, build_binary(builder, OP_mul, "scaled", dy, xhat));
}

/* One statistic per channel, of the batch or of an image: two sums over the map serve weight, bias,
 * mean and rstd. s1 = sum dy, s2 = sum dy xhat; dweight = s2, dbias = s1, dx = dy (w rstd),
 * dmean = -(w rstd) s1, drstd = w s2 / rstd. */
static void normalise_channels(Gradient *gradient) {
    Builder *builder = &gradient->builder;
    Value *const *in = gradient->node->operands;
    Value *rstd = in[NORM_RSTD], *dy = gradient->results[0];
    Value *scale = times_weight(gradient, "scale", rstd);
    Type statistic = rstd->type;
    gradient_give(gradient, NORM_X, build_binary(builder, OP_mul, "x", dy, scale));
    if (gradient_wants(gradient, NORM_BIAS) || gradient_wants(gradient, NORM_MEAN)) {
        Value *s1 = gradient_reduce(builder, dy, statistic);
        gradient_give(gradient, NORM_BIAS, s1);
        if (gradient_wants(gradient, NORM_MEAN)) {
            Value *shift = build_binary(builder, OP_mul, "shift", scale, s1);
            gradient_give(gradient, NORM_MEAN, build_unary(builder, OP_neg, "mean", shift));
        }
    }
    if (gradient_wants(gradient, NORM_WEIGHT) || gradient_wants(gradient, NORM_RSTD)) {
        Value *product = build_binary(builder, OP_mul, "projection", dy, build_xhat(gradient));
        Value *s2 = gradient_reduce(builder, product, statistic);
        gradient_give(gradient, NORM_WEIGHT, s2);
        if (gradient_wants(gradient, NORM_RSTD)) {
            Value *weighted = times_weight(gradient, "weighted", s2);
            gradient_give(gradient, NORM_RSTD,
                          build_binary(builder, OP_div, "rstd", weighted, rstd));
        }
    }
}

void gradient_normalise(Gradient *gradient) {
    const Type *x = &gradient->node->operands[NORM_X]->type;
    const Type *mean = &gradient->node->operands[NORM_MEAN]->type;
    if (mean->form == x->form && mean->channels == 1)
        normalise_rows(gradient);
    else
        normalise_channels(gradient);
}
