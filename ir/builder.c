#include "ir/builder.h"

#include "base/fatal.h"
#include "ir/rules.h"

Builder builder_at(Graph *graph, Node *node) {
    bool named = op_info(node->op)->result_count > 0;
    return (Builder){.graph = graph,
                     .before = node,
                     .location = node->location,
                     .prefix = named ? node->results[0].name : NULL};
}

NamedAttribute attribute_int(const char *name, int64_t value) {
    return (NamedAttribute){name, {.kind = ATTRIBUTE_INT, .integer = value}};
}

NamedAttribute attribute_bool(const char *name, bool value) {
    return (NamedAttribute){name, {.kind = ATTRIBUTE_BOOL, .integer = value}};
}

NamedAttribute attribute_float(const char *name, double value) {
    return (NamedAttribute){name, {.kind = ATTRIBUTE_FLOAT, .real = value}};
}

NamedAttribute attribute_text(const char *name, const char *value) {
    return (NamedAttribute){name, {.kind = ATTRIBUTE_TEXT, .text = value}};
}

NamedAttribute attribute_ints(const char *name, const int64_t *values, int count) {
    invariant(count >= 0 && count <= ATTRIBUTE_MAX_INTS, "%d numbers in a list", count);
    NamedAttribute attribute = {name, {.kind = ATTRIBUTE_INTS, .count = count}};
    for (int i = 0; i < count; i++)
        attribute.value.ints[i] = values[i];
    return attribute;
}

static void set_attribute(Graph *graph, Node *node, const NamedAttribute *attribute) {
    const Attribute *value = &attribute->value;
    switch (value->kind) {
    case ATTRIBUTE_INT:
        node_set_int(node, attribute->name, value->integer);
        break;
    case ATTRIBUTE_BOOL:
        node_set_bool(node, attribute->name, value->integer != 0);
        break;
    case ATTRIBUTE_FLOAT:
        node_set_float(node, attribute->name, value->real);
        break;
    case ATTRIBUTE_INTS:
        node_set_ints(node, attribute->name, value->ints, value->count);
        break;
    case ATTRIBUTE_TEXT:
    case ATTRIBUTE_WORD:
        node_set_text(graph, node, attribute->name, value->text);
        break;
    }
}

/* "prefix.hint", "prefix.op"; with several results "prefix.hint.result". */
static void name_results(const Builder *builder, Node *node, const char *hint) {
    const OpInfo *info = op_info(node->op);
    const char *prefix = builder->prefix ? builder->prefix : "";
    const char *dot = builder->prefix ? "." : "";
    const char *stem = hint ? hint : info->name;
    for (int i = 0; i < info->result_count; i++) {
        bool several = info->result_count > 1;
        char *name = arena_format(builder->graph->arena, "%s%s%s%s%s", prefix, dot, stem,
                                  several ? "." : "", several ? info->results[i] : "");
        graph_name(builder->graph, &node->results[i], name);
    }
}

static Node *insert_with_attributes(Builder *builder, Op op, Value *const *operands,
                                    int operand_count, const NamedAttribute *attributes,
                                    int attribute_count, Node *before) {
    Node *node = graph_insert(builder->graph, op, operands, operand_count, before);
    node->location = builder->location;
    for (int i = 0; i < attribute_count; i++)
        set_attribute(builder->graph, node, &attributes[i]);
    return node;
}

static void infer(const Builder *builder, Node *node) {
    RuleError error = {0};
    bool fine = rules_infer(builder->graph, node, &error);
    invariant(fine, "%s in %s: %s", op_info(node->op)->name,
              builder->prefix ? builder->prefix : "the graph", error.message);
}

Node *build(Builder *builder, Op op, const char *hint, Value *const *operands, int operand_count,
            const NamedAttribute *attributes, int attribute_count) {
    Node *node = insert_with_attributes(builder, op, operands, operand_count, attributes,
                                        attribute_count, builder->before);
    infer(builder, node);
    name_results(builder, node, hint);
    return node;
}

Value *build_stated(Builder *builder, Op op, const char *hint, Type type, Value *const *operands,
                    int operand_count, const NamedAttribute *attributes, int attribute_count) {
    Node *node = insert_with_attributes(builder, op, operands, operand_count, attributes,
                                        attribute_count, builder->before);
    node->results[0].type = type;
    infer(builder, node);
    name_results(builder, node, hint);
    return &node->results[0];
}

Value *build_unary(Builder *builder, Op op, const char *hint, Value *x) {
    return &build(builder, op, hint, OPERANDS(x), NO_ATTRIBUTES)->results[0];
}

Value *build_binary(Builder *builder, Op op, const char *hint, Value *a, Value *b) {
    return &build(builder, op, hint, OPERANDS(a, b), NO_ATTRIBUTES)->results[0];
}

Value *build_constant(Builder *builder, double value) {
    return build_stated(builder, OP_constant, NULL, type_scalar(DTYPE_F32), NULL, 0,
                        ATTRIBUTES(attribute_float("value", value)));
}

Value *build_scale(Builder *builder, const char *hint, Value *x, double factor) {
    return build_binary(builder, OP_mul, hint, x, build_constant(builder, factor));
}

Value *build_sum(Builder *builder, const char *hint, Value *x, const char *over) {
    return &build(builder, OP_sum, hint, OPERANDS(x), ATTRIBUTES(attribute_text("over", over)))
                ->results[0];
}

static bool comes_before(const Graph *graph, const Node *node, const Node *before) {
    if (!before)
        return true;
    graph_each(graph, walk) {
        if (walk == node || walk == before)
            return walk == node && node != before;
    }
    return false;
}

/* The one source node of an op and name. A new one is put in front of the whole graph if the
 * builder inserts in its middle, so that it may be read from anywhere; one that stands too far
 * behind loses its users to such a new one (it stays where it is: callers walk the graph). */
static Value *build_source(Builder *builder, Op op, const char *attribute, const char *name,
                           Type type) {
    Graph *graph = builder->graph;
    Node *old = graph_find_source(graph, op, name);
    if (old && comes_before(graph, old, builder->before))
        return &old->results[0];
    Node *node =
        insert_with_attributes(builder, op, NULL, 0, ATTRIBUTES(attribute_text(attribute, name)),
                               builder->before ? graph->first : NULL);
    node->results[0].type = type;
    infer(builder, node);
    graph_name(graph, &node->results[0], name);
    if (old)
        graph_replace_uses(graph, &old->results[0], &node->results[0]);
    return &node->results[0];
}

Value *build_scalar(Builder *builder, DType dtype, const char *name) {
    return build_source(builder, OP_scalar, "name", name, type_scalar(dtype));
}

Value *build_param(Builder *builder, const char *segment) {
    const Segment *found = graph_find_segment(builder->graph, segment);
    invariant(found != NULL, "there is no segment %s", segment);
    return build_source(builder, OP_param, "segment", segment, found->type);
}

Value *build_state(Builder *builder, const char *name) {
    const StateSlot *found = graph_find_state(builder->graph, name);
    invariant(found != NULL, "there is no state %s", name);
    return build_source(builder, OP_state, "name", name, found->type);
}
