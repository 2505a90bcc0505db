/* Shape rules of norms and reductions. */
#include <inttypes.h>
#include <string.h>

#include "ir/rules_common.h"

/* The place of an operand by name, or -1. */
static int operand_place(const Rule *rule, const char *name) {
    for (int i = 0; i < rule->info->operand_count; i++) {
        if (strcmp(rule->info->operands[i], name) == 0)
            return i;
    }
    return -1;
}

/* A norm over the positions of each image needs more than one of them. */
static bool want_positions(Rule *rule, const Type *x) {
    if (graph_rows(rule->graph, x) / x->batch > 1)
        return true;
    return rules_fail_operand(rule, 0, "%s needs more than one position per image, this is %s%s",
                              rule->info->name, rules_shape_text(rule->graph->arena, x),
                              x->form == FORM_MASKED ? " with one visible" : "");
}

/* Every operand behind x has one number per channel, but the count of batches is one number. */
bool rules_shape_norm(Rule *rule) {
    const Type *x = rules_type(rule, 0);
    if (!rules_want_tensor(rule, 0))
        return false;
    if (rule->node->op == OP_instance_norm && !want_positions(rule, x))
        return false;
    int batches = operand_place(rule, "batches");
    for (int i = 1; i < rule->info->operand_count; i++) {
        if (i != batches && !rules_want_channel_vector(rule, i, x->channels))
            return false;
    }
    if (batches >= 0) {
        Type count = type_scalar(rules_type(rule, batches)->dtype);
        if (!rules_want_type(rule, batches, &count))
            return false;
    }
    return rules_give(rule, *x);
}

bool rules_shape_group_norm(Rule *rule) {
    return rules_want_tensor(rule, 0) &&
           rules_want_groups(rule, node_int(rule->node, "groups"), rules_type(rule, 0)->channels) &&
           rules_shape_norm(rule);
}

/* A mean or rstd that fits x: per channel, per image and channel, or per position. */
static bool is_statistic(const Type *type, const Type *x) {
    Type per_row = type_with_channels(*x, 1);
    Type channels = type_vector(DTYPE_F32, x->channels);
    Type image = type_per_image(DTYPE_F32, x->batch, x->channels);
    per_row.dtype = DTYPE_F32;
    return type_equal(type, &channels) || type_equal(type, &image) || type_equal(type, &per_row);
}

bool rules_shape_normalise(Rule *rule) {
    const Type *x = rules_type(rule, 0), *mean = rules_type(rule, 1);
    if (!rules_want_tensor(rule, 0))
        return false;
    if (!is_statistic(mean, x))
        return rules_fail_operand(rule, 1, "the mean %s does not fit %s",
                                  type_text(rule->graph->arena, mean),
                                  type_text(rule->graph->arena, x));
    return rules_want_type(rule, 2, mean) && rules_want_channel_vector(rule, 3, x->channels) &&
           rules_want_channel_vector(rule, 4, x->channels) && rules_give(rule, *x);
}

/* The forms of a reduction, by the word of `over`. Each gives the type for x; sums are f32. */
typedef bool ReduceRule(Rule *rule, const Type *x, Type *result);

static bool over_row(Rule *rule, const Type *x, Type *result) {
    *result = type_with_dtype(type_with_channels(*x, 1), DTYPE_F32);
    return rules_want_tensor(rule, 0);
}

static bool over_batch(Rule *rule, const Type *x, Type *result) {
    *result = type_vector(DTYPE_F32, x->channels);
    return rules_want_tensor(rule, 0);
}

static bool over_image(Rule *rule, const Type *x, Type *result) {
    int64_t groups = node_int(rule->node, "groups");
    *result = type_per_image(DTYPE_F32, x->batch, groups ? groups : x->channels);
    return rules_want_tensor(rule, 0) &&
           (groups == 0 || rules_want_groups(rule, groups, x->channels));
}

static bool over_group(Rule *rule, const Type *x, Type *result) {
    int64_t groups = node_int(rule->node, "groups");
    if (x->form != FORM_PER_IMAGE)
        return rules_fail_operand(rule, 0, "a sum over group needs a value per image, this is %s",
                                  type_text(rule->graph->arena, x));
    if (groups == 0)
        return rules_fail_attribute(rule, "groups", "a sum over group needs groups");
    *result = type_per_image(DTYPE_F32, x->batch, groups);
    return rules_want_tensor(rule, 0) && rules_want_groups(rule, groups, x->channels);
}

static bool over_all(Rule *rule, const Type *x, Type *result) {
    (void)rule, (void)x;
    *result = type_scalar(DTYPE_F32);
    return true;
}

static bool over_segment(Rule *rule, const Type *x, Type *result) {
    *result = type_segments(DTYPE_F32);
    if (x->form == FORM_FLAT)
        return true;
    return rules_fail_operand(rule, 0, "a sum over segment needs a flat value, this is %s",
                              type_text(rule->graph->arena, x));
}

static const struct {
    const char *word;
    ReduceRule *run;
    bool grouped, moments; /* takes groups; exists for moments */
} reductions[] = {
    {"row", over_row, false, true},    {"batch", over_batch, false, true},
    {"image", over_image, true, true}, {"group", over_group, true, false},
    {"all", over_all, false, false},   {"segment", over_segment, false, false},
};

static bool reduce(Rule *rule, bool moments, Type *result) {
    const char *over = node_text(rule->node, "over");
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++) {
        if (strcmp(reductions[i].word, over) != 0 || (moments && !reductions[i].moments))
            continue;
        if (!reductions[i].grouped && node_int(rule->node, "groups") != 0)
            return rules_fail_attribute(rule, "groups", "%s over %s has no groups",
                                        rule->info->name, over);
        return reductions[i].run(rule, rules_type(rule, 0), result);
    }
    return rules_fail_attribute(rule, "over", "%s does not go over \"%s\"", rule->info->name, over);
}

bool rules_shape_sum(Rule *rule) {
    return reduce(rule, false, &rule->results[0]);
}

bool rules_shape_moments(Rule *rule) {
    Type statistic;
    if (!reduce(rule, true, &statistic))
        return false;
    rule->results[0] = type_scalar(DTYPE_F32);
    rule->results[1] = rule->results[2] = statistic;
    return true;
}
