/* Shape rules of sources, sinks and pointwise ops. */
#include <inttypes.h>
#include <string.h>

#include "ir/rules_common.h"

static bool is_scalar(const Type *type) {
    return type->form == FORM_PLAIN && type->rank == 0;
}

bool rules_spreads(const Type *narrow, const Type *wide) {
    if (narrow->dtype != wide->dtype)
        return false;
    if (type_equal(narrow, wide) || is_scalar(narrow))
        return true;
    if (narrow->form == FORM_SEGMENTS)
        return wide->form == FORM_FLAT;
    if (!rules_has_channels(wide))
        return false;
    if (narrow->form == FORM_PLAIN)
        return narrow->rank == 1 && narrow->extent[0] == wide->channels;
    if (narrow->form == FORM_PER_IMAGE)
        return narrow->batch == wide->batch &&
               (narrow->channels == wide->channels || narrow->channels == 1);
    Type widened = type_with_channels(*narrow, wide->channels);
    return narrow->channels == 1 && type_equal(&widened, wide);
}

bool rules_broadcast(const Type *a, const Type *b, Type *result) {
    bool fits = rules_spreads(a, b);
    if (!fits && !rules_spreads(b, a))
        return false;
    *result = fits ? *b : *a;
    return true;
}

/* The operator as it is written in the language, or the op's name. */
static const char *operator_text(const Rule *rule) {
    switch (rule->node->op) {
    case OP_add:
        return "+";
    case OP_sub:
        return "-";
    case OP_mul:
        return "*";
    case OP_div:
        return "/";
    default:
        return rule->info->name;
    }
}

static bool fail_broadcast(Rule *rule, const Type *a, int index) {
    Arena *arena = rule->graph->arena;
    const Type *b = rules_type(rule, index);
    const char *sign = operator_text(rule);
    if (a->dtype != b->dtype)
        return rules_fail_operand(rule, index, "%s needs numbers of one kind: left %s, right %s",
                                  sign, dtype_name(a->dtype), dtype_name(b->dtype));
    if (rules_mixes(a, b))
        return rules_fail_operand(
            rule, index, "%s cannot mix a masked map with one that is not: left %s, right %s", sign,
            rules_form_text(arena, a), rules_form_text(arena, b));
    return rules_fail_operand(rule, index, "%s needs equal shapes: left %s, right %s", sign,
                              rules_shape_text(arena, a), rules_shape_text(arena, b));
}

/* The operand that all others spread over. */
static int widest_operand(const Rule *rule) {
    int widest = 0;
    for (int i = 1; i < rule->node->operand_count; i++) {
        if (!rules_spreads(rules_type(rule, i), rules_type(rule, widest)) &&
            rules_spreads(rules_type(rule, widest), rules_type(rule, i)))
            widest = i;
    }
    return widest;
}

bool rules_shape_broadcast(Rule *rule) {
    int widest = widest_operand(rule);
    const Type *type = rules_type(rule, widest);
    for (int i = 0; i < rule->node->operand_count; i++) {
        if (rules_spreads(rules_type(rule, i), type))
            continue;
        /* Said of two operands from left to right. */
        return i > widest ? fail_broadcast(rule, type, i)
                          : fail_broadcast(rule, rules_type(rule, i), widest);
    }
    return rules_give(rule, *type);
}

bool rules_shape_same(Rule *rule) {
    return rules_give(rule, *rules_type(rule, 0));
}

bool rules_shape_same_as_first(Rule *rule) {
    const Type *first = rules_type(rule, 0), *second = rules_type(rule, 1);
    if (!rules_spreads(second, first))
        return rules_want_type(rule, 1, first);
    return rules_give(rule, *first);
}

static bool fail_stated(Rule *rule, const char *what, const Type *wanted) {
    Arena *arena = rule->graph->arena;
    return rules_fail(rule, "%s is %s, the stated type is %s", what, type_text(arena, wanted),
                      type_text(arena, &rule->results[0]));
}

static bool stated_equals(Rule *rule, const char *what, const Type *wanted) {
    return type_equal(&rule->results[0], wanted) || fail_stated(rule, what, wanted);
}

static bool input_stated(Rule *rule) {
    const Geometry *geometry = &rule->graph->geometry;
    const char *name = node_text(rule->node, "name");
    if (strcmp(name, "image") == 0) {
        Type image = type_dense(DTYPE_F32, geometry->batch, geometry->space, geometry->image,
                                geometry->channels);
        return stated_equals(rule, "the image", &image);
    }
    if (strcmp(name, "cells") == 0) {
        if (geometry->keep == 0)
            return rules_fail(rule, "the graph has no visible cells, so no input \"cells\"");
        const int64_t shape[] = {geometry->batch, geometry->keep};
        Type cells = type_plain(DTYPE_I32, 2, shape);
        return stated_equals(rule, "the list of cells", &cells);
    }
    return true;
}

static bool scalar_stated(Rule *rule) {
    const Type *type = &rule->results[0];
    if (is_scalar(type) && (type->dtype == DTYPE_F32 || type->dtype == DTYPE_U32))
        return true;
    return rules_fail(rule, "a named scalar is f32[] or u32[], the stated type is %s",
                      type_text(rule->graph->arena, type));
}

static bool constant_stated(Rule *rule) {
    const Type *type = &rule->results[0];
    if (type->form == FORM_PLAIN)
        return true;
    return rules_fail(rule, "a constant has a plain type, the stated type is %s",
                      type_text(rule->graph->arena, type));
}

static bool param_stated(Rule *rule) {
    const char *name = node_text(rule->node, "segment");
    const Segment *segment = graph_find_segment(rule->graph, name);
    if (!segment)
        return rules_fail_attribute(rule, "segment", "there is no segment \"%s\"", name);
    return stated_equals(rule, "the segment", &segment->type);
}

static bool state_stated(Rule *rule) {
    const char *name = node_text(rule->node, "name");
    const StateSlot *slot = graph_find_state(rule->graph, name);
    if (!slot)
        return rules_fail_attribute(rule, "name", "there is no state \"%s\"", name);
    return stated_equals(rule, "the state", &slot->type);
}

static bool parameters_stated(Rule *rule) {
    Type flat = type_flat(DTYPE_F32);
    return stated_equals(rule, "the list of all parameters", &flat);
}

static bool segment_table_stated(Rule *rule) {
    const char *column = node_text(rule->node, "column");
    if (strcmp(column, "decays") != 0 && strcmp(column, "lr_scale") != 0)
        return rules_fail_attribute(rule, "column",
                                    "the segment table has the columns decays and lr_scale, not %s",
                                    column);
    Type segments = type_segments(DTYPE_F32);
    return stated_equals(rule, "a column of the segment table", &segments);
}

static bool bernoulli_stated(Rule *rule) {
    Type counter = type_scalar(DTYPE_U32);
    if (!rules_want_type(rule, 0, &counter) || !rules_want_type(rule, 1, &counter))
        return false;
    Type type = rule->results[0];
    if (type.dtype != DTYPE_F32)
        return rules_fail(rule, "random factors are f32, the stated type is %s",
                          type_text(rule->graph->arena, &type));
    return true;
}

static bool broadcast_stated(Rule *rule) {
    Arena *arena = rule->graph->arena;
    if (rules_spreads(rules_type(rule, 0), &rule->results[0]))
        return true;
    return rules_fail_operand(rule, 0, "%s does not spread over %s",
                              type_text(arena, rules_type(rule, 0)),
                              type_text(arena, &rule->results[0]));
}

bool rules_shape_stated(Rule *rule) {
    static ShapeRule *const stated_rules[OP_COUNT] = {
        [OP_input] = input_stated,         [OP_scalar] = scalar_stated,
        [OP_constant] = constant_stated,   [OP_param] = param_stated,
        [OP_state] = state_stated,         [OP_parameters] = parameters_stated,
        [OP_bernoulli] = bernoulli_stated, [OP_segment_table] = segment_table_stated,
        [OP_broadcast] = broadcast_stated,
    };
    return stated_rules[rule->node->op](rule);
}

static bool commit_params(Rule *rule) {
    if (*node_text(rule->node, "name"))
        return rules_fail_attribute(rule, "name", "region params is committed whole, without name");
    Type flat = type_flat(DTYPE_F32);
    return rules_want_type(rule, 0, &flat);
}

static bool commit_state(Rule *rule) {
    const char *name = node_text(rule->node, "name");
    const StateSlot *slot = graph_find_state(rule->graph, name);
    if (!slot)
        return rules_fail_attribute(rule, "name", "there is no state \"%s\"", name);
    return rules_want_type(rule, 0, &slot->type);
}

/* Sinks: no result, but a commit must fit what it changes. */
bool rules_shape_nothing(Rule *rule) {
    if (rule->node->op != OP_commit)
        return true;
    const char *region = node_text(rule->node, "region");
    if (strcmp(region, "params") == 0)
        return commit_params(rule);
    if (strcmp(region, "state") == 0)
        return commit_state(rule);
    return rules_fail_attribute(rule, "region", "the regions are params and state, not %s", region);
}

/* The gradients of all segments, in their order. */
bool rules_shape_collect(Rule *rule) {
    const Graph *graph = rule->graph;
    size_t count = (size_t)rule->node->operand_count;
    if (count != graph->segments.count)
        return rules_fail(rule,
                          "collect needs one gradient for each of %zu segments, there are %zu",
                          graph->segments.count, count);
    for (size_t i = 0; i < count; i++) {
        if (!rules_want_type(rule, (int)i, &graph->segments.items[i].type))
            return false;
    }
    return rules_give(rule, type_flat(DTYPE_F32));
}
