#include "ir/rules.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/integer.h"
#include "ir/rules_common.h"

/* Numbers in a whole value; far above any machine's memory, so that bytes never overflow. */
static const int64_t most_elements = (int64_t)1 << 40;

static ShapeRule *const shape_rules[OP_COUNT] = {
#define OP(name, operands, results, attributes, shape, gradient, masked, flags)                    \
    [OP_##name] = rules_shape_##shape,
#include "ir/ops.def"
#undef OP
};

static void fail(Rule *rule, RulePart part, int index, const char *format, va_list arguments) {
    rule->error->part = part;
    rule->error->index = index;
    rule->error->message = arena_vformat(rule->graph->arena, format, arguments);
    rule->error->hint = NULL;
}

bool rules_fail(Rule *rule, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail(rule, RULE_OP, 0, format, arguments);
    va_end(arguments);
    return false;
}

bool rules_fail_operand(Rule *rule, int index, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail(rule, RULE_OPERAND, index, format, arguments);
    va_end(arguments);
    return false;
}

bool rules_fail_attribute(Rule *rule, const char *name, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail(rule, RULE_ATTRIBUTE, op_attribute_index(rule->node->op, name), format, arguments);
    va_end(arguments);
    return false;
}

bool rules_hint(Rule *rule, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    rule->error->hint = arena_vformat(rule->graph->arena, format, arguments);
    va_end(arguments);
    return false;
}

const Type *rules_type(const Rule *rule, int index) {
    return &rule->node->operands[index]->type;
}

bool rules_give(Rule *rule, Type type) {
    rule->results[0] = type;
    return true;
}

bool rules_has_channels(const Type *type) {
    return type_has_space(type) || type->form == FORM_PER_IMAGE;
}

/* The name of an operand in messages. */
static const char *operand_name(const Rule *rule, int index) {
    int last = rule->info->operand_count - 1;
    return rule->info->operands[index < last ? index : last];
}

static bool want_float(Rule *rule, int index) {
    const Type *type = rules_type(rule, index);
    if (type->dtype == DTYPE_F32 || type->dtype == DTYPE_BF16)
        return true;
    return rules_fail_operand(rule, index, "%s needs floating-point numbers, %s holds %s",
                              rule->info->name, operand_name(rule, index), dtype_name(type->dtype));
}

bool rules_want_tensor(Rule *rule, int index) {
    const Type *type = rules_type(rule, index);
    if (!rules_has_channels(type))
        return rules_fail_operand(rule, index, "%s needs a tensor, this is %s", rule->info->name,
                                  rules_shape_text(rule->graph->arena, type));
    return want_float(rule, index);
}

bool rules_want_map(Rule *rule, int index) {
    const Type *type = rules_type(rule, index);
    if (!type_has_space(type))
        return rules_fail_operand(rule, index, "%s needs a map with height and width, this is %s",
                                  rule->info->name, rules_shape_text(rule->graph->arena, type));
    return want_float(rule, index);
}

bool rules_want_type(Rule *rule, int index, const Type *type) {
    if (!node_operand(rule->node, index) || type_equal(rules_type(rule, index), type))
        return true;
    return rules_fail_operand(rule, index, "%s of %s must be %s, this is %s",
                              operand_name(rule, index), rule->info->name,
                              type_text(rule->graph->arena, type),
                              type_text(rule->graph->arena, rules_type(rule, index)));
}

bool rules_want_plain(Rule *rule, int index, int rank, const int64_t *shape) {
    if (!node_operand(rule->node, index))
        return true;
    Type wanted = type_plain(rules_type(rule, index)->dtype, rank, shape);
    return want_float(rule, index) && rules_want_type(rule, index, &wanted);
}

bool rules_want_channel_vector(Rule *rule, int index, int64_t channels) {
    return rules_want_plain(rule, index, 1, &channels);
}

bool rules_want_cells(Rule *rule, int index) {
    const Geometry *geometry = &rule->graph->geometry;
    if (geometry->keep == 0)
        return rules_fail(rule, "%s needs a graph with visible cells, this one has none",
                          rule->info->name);
    const int64_t shape[] = {geometry->batch, geometry->keep};
    Type wanted = type_plain(DTYPE_I32, 2, shape);
    return rules_want_type(rule, index, &wanted);
}

bool rules_masked_fits(const Graph *graph, const Type *type, int64_t stride) {
    const Geometry *geometry = &graph->geometry;
    if (geometry->keep == 0 || type->batch != geometry->batch || type->rank != geometry->space ||
        !integer_is_power_of_two(stride) || stride > geometry->ratio)
        return false;
    for (int d = 0; d < type->rank; d++) {
        if (type_multiply(type->extent[d], stride) != geometry->image[d])
            return false;
    }
    return true;
}

bool rules_want_groups(Rule *rule, int64_t groups, int64_t channels) {
    if (channels % groups == 0)
        return true;
    return rules_fail_attribute(rule, "groups",
                                "groups = %" PRId64 " does not divide %" PRId64 " channels", groups,
                                channels);
}

char *rules_extents_text(const Rule *rule, const int64_t *extents, int count) {
    Text text = text_create(rule->graph->arena);
    for (int d = 0; d < count; d++)
        text_append(&text, "%s%" PRId64, d ? " x " : "", extents[d]);
    return text.data;
}

char *rules_numbers_text(const Rule *rule, const int64_t *numbers, int count) {
    bool equal = true;
    for (int d = 1; d < count; d++)
        equal = equal && numbers[d] == numbers[0];
    Text text = text_create(rule->graph->arena);
    if (equal && count > 0) {
        text_append(&text, "%" PRId64, numbers[0]);
        return text.data;
    }
    for (int d = 0; d < count; d++)
        text_append(&text, "%s%" PRId64, d ? ", " : "[", numbers[d]);
    text_append(&text, "]");
    return text.data;
}

char *rules_shape_text(Arena *arena, const Type *type) {
    if (type->form == FORM_FLAT)
        return arena_format(arena, "all parameters");
    if (type->form == FORM_SEGMENTS)
        return arena_format(arena, "one number per parameter");
    if (type->form == FORM_PER_IMAGE)
        return arena_format(arena, "%" PRId64 " x 1 x 1", type->channels);
    if (type->form == FORM_PLAIN && type->rank == 0)
        return arena_format(arena, "a number");
    Text text = text_create(arena);
    bool plain = type->form == FORM_PLAIN;
    if (!plain)
        text_append(&text, "%" PRId64, type->channels);
    for (int d = 0; d < type->rank; d++)
        text_append(&text, "%s%" PRId64, d || !plain ? " x " : "", type->extent[d]);
    return text.data;
}

bool rules_mixes(const Type *a, const Type *b) {
    return type_has_space(a) && type_has_space(b) && a->form != b->form;
}

char *rules_form_text(Arena *arena, const Type *type) {
    return arena_format(arena, "%s %s", rules_shape_text(arena, type),
                        type->form == FORM_MASKED ? "masked" : "not masked");
}

/* Attributes that mean the same in every op: bounds, inclusive. A value equal to the default of
 * its op's row is always fine. */
static const struct {
    const char *name;
    double least, most;
    const char *words; /* for "<name> must be <words>, this is ..." */
} ranges[] = {
    {"kernel", 1, INT32_MAX, "at least 1"},
    {"stride", 1, INT32_MAX, "at least 1"},
    {"pad", 0, INT32_MAX, "at least 0"},
    {"dilation", 1, INT32_MAX, "at least 1"},
    {"groups", 1, INT32_MAX, "at least 1"},
    {"factor", 1, INT32_MAX, "at least 1"},
    {"size", 1, INT32_MAX, "at least 1"},
    {"times", 1, INT32_MAX, "at least 1"},
    {"start", 0, INT32_MAX, "at least 0"},
    {"channels", 1, INT32_MAX, "at least 1"},
    {"patch", 1, INT32_MAX, "at least 1"},
    {"stream", 0, UINT32_MAX, "from 0 to 2^32 - 1"},
    {"eps", 0, 1e30, "at least 0"},
    {"momentum", 0, 1, "from 0 to 1"},
    {"rate", 0, 1 - 0x1p-53, "at least 0 and less than 1"},
    {"slope", -1e30, 1e30, "a finite number"},
    {"alpha", -1e30, 1e30, "a finite number"},
    {"beta", 1e-30, 1e30, "more than 0"},
};

static bool in_range(size_t row, double value) {
    return value >= ranges[row].least && value <= ranges[row].most;
}

static bool fail_range(Rule *rule, size_t row, double value, const char *shown) {
    bool large = value > ranges[row].most && ranges[row].most == INT32_MAX;
    return rules_fail_attribute(rule, ranges[row].name, "%s must be %s, this is %s",
                                ranges[row].name, large ? "at most 2^31 - 1" : ranges[row].words,
                                shown);
}

static bool check_range(Rule *rule, size_t row, const Attribute *value) {
    Arena *arena = rule->graph->arena;
    if (value->kind == ATTRIBUTE_FLOAT && !in_range(row, value->real))
        return fail_range(rule, row, value->real, arena_format(arena, "%.9g", value->real));
    if (value->kind == ATTRIBUTE_INT && !in_range(row, (double)value->integer))
        return fail_range(rule, row, (double)value->integer,
                          arena_format(arena, "%" PRId64, value->integer));
    for (int d = 0; value->kind == ATTRIBUTE_INTS && d < value->count; d++) {
        if (!in_range(row, (double)value->ints[d]))
            return fail_range(rule, row, (double)value->ints[d],
                              rules_numbers_text(rule, value->ints, value->count));
    }
    return true;
}

static bool check_attribute(Rule *rule, int index) {
    const AttributeInfo *info = &rule->info->attributes[index];
    const Attribute *value = &rule->node->attributes[index];
    if (info->has_default && attribute_equal(value, &info->standard))
        return true;
    for (size_t row = 0; row < sizeof ranges / sizeof *ranges; row++) {
        if (strcmp(ranges[row].name, info->name) == 0)
            return check_range(rule, row, value);
    }
    return true;
}

static bool check_attributes(Rule *rule) {
    for (int i = 0; i < rule->info->attribute_count; i++) {
        if (!check_attribute(rule, i))
            return false;
    }
    return true;
}

static bool extents_positive(const Type *type) {
    bool positive = !rules_has_channels(type) || (type->batch >= 1 && type->channels >= 1);
    positive = positive && (type->form != FORM_MASKED || type->stride >= 1);
    for (int d = 0; d < type->rank; d++)
        positive = positive && type->extent[d] >= 1;
    return positive;
}

static bool check_operands(Rule *rule) {
    for (int i = 0; i < rule->node->operand_count; i++) {
        bool required = i < rule->info->required_count || i >= rule->info->operand_count;
        if (required && !rule->node->operands[i])
            return rules_fail_operand(rule, i, "%s needs %s", rule->info->name,
                                      operand_name(rule, i));
        if (rule->node->operands[i] && !extents_positive(rules_type(rule, i)))
            return rules_fail_operand(rule, i, "%s has an impossible type", operand_name(rule, i));
    }
    return true;
}

static int64_t elements_per_image(const Type *type) {
    int64_t elements = rules_has_channels(type) ? type->channels : 1;
    for (int d = 0; d < type->rank; d++)
        elements = type_multiply(elements, type->extent[d]);
    return elements;
}

static bool check_size(Rule *rule, const Type *type) {
    Arena *arena = rule->graph->arena;
    if (!extents_positive(type))
        return rules_fail(rule, "the result would be empty, %s", rules_shape_text(arena, type));
    int64_t elements = elements_per_image(type);
    if (elements > INT32_MAX)
        return rules_fail(rule, "the result, %s, has more than 2^31 - 1 numbers",
                          rules_shape_text(arena, type));
    if (rules_has_channels(type) && type_multiply(type->batch, elements) > most_elements)
        return rules_fail(rule, "the result, %s, is too large for a batch of %" PRId64,
                          rules_shape_text(arena, type), type->batch);
    if (type->form == FORM_MASKED && !rules_masked_fits(rule->graph, type, type->stride))
        return rules_fail(rule, "%s does not line up with the cells of the image",
                          type_text(arena, type));
    return true;
}

bool rules_infer(const Graph *graph, Node *node, RuleError *error) {
    const OpInfo *info = op_info(node->op);
    Rule rule = {.graph = graph, .node = node, .info = info, .error = error};
    for (int i = 0; i < info->result_count; i++)
        rule.results[i] = node->results[i].type;
    if (!check_operands(&rule) || !check_attributes(&rule) || !shape_rules[node->op](&rule))
        return false;
    for (int i = 0; i < info->result_count; i++) {
        if (!check_size(&rule, &rule.results[i]))
            return false;
    }
    for (int i = 0; i < info->result_count; i++)
        node->results[i].type = rule.results[i];
    return true;
}
