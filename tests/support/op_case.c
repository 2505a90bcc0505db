#include "tests/support/op_case.h"

#include <CUnit/CUnit.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "ir/builder.h"
#include "ir/rules.h"

enum { KEEP = 3, BATCH = 2 };

static const double visible_cells[BATCH * KEEP] = {0, 2, 5, 1, 3, 4};

static Graph *create_graph(Arena *arena) {
    return graph_create(
        arena, "case",
        (Geometry){
            .batch = BATCH, .space = 2, .image = {8, 12}, .channels = 3, .ratio = 4, .keep = KEEP});
}

/* --- operands --- */

/* One operand as it is written. */
typedef struct Spec {
    char source; /* 'p'arameter, '!' or '$' */
    char range;  /* ' ' or one of `ranges` */
    Type type;
} Spec;

static const char ranges[] = "+~<^@#?";

/* Names carry their range, so that whoever fills them needs nothing else: "x1", "x1+". */
static const char *leaf_name(Arena *arena, const char *prefix, int place, char range) {
    return arena_format(arena, range == ' ' ? "%sx%d" : "%sx%d%c", prefix, place, range);
}

static Value *build_input(Builder *builder, const char *name, Type type) {
    return build_stated(builder, OP_input, name, type, NULL, 0,
                        ATTRIBUTES(attribute_text("name", name)));
}

static Value *build_cells(Builder *builder) {
    const Geometry *geometry = &builder->graph->geometry;
    const int64_t shape[] = {geometry->batch, geometry->keep};
    Value *cells = graph_find_input(builder->graph, "cells");
    return cells ? cells : build_input(builder, "cells", type_plain(DTYPE_I32, 2, shape));
}

static Value *build_segment(Builder *builder, const char *name, Type type) {
    Segment segment = {.name = name, .type = type, .file_rank = type.rank, .lr_scale = 1};
    memcpy(segment.file_shape, type.extent, sizeof segment.file_shape);
    graph_add_segment(builder->graph, segment);
    return build_param(builder, name);
}

/* Every element a parameter of its own: rows of the identity matrix times a matrix of parameters.
 */
static Value *build_free(Builder *builder, const char *name, Type type) {
    if (type.form == FORM_PLAIN)
        return build_segment(builder, name, type);
    int64_t rows = type.batch * type_positions(&type);
    Type identity = type_with_channels(type, rows);
    const char *input = arena_format(builder->graph->arena, "identity.%s", name);
    const int64_t shape[] = {rows, type.channels};
    Value *weight = build_segment(builder, name, type_plain(type.dtype, 2, shape));
    return node_result(build(builder, OP_linear, NULL,
                             OPERANDS(build_input(builder, input, identity), weight),
                             NO_ATTRIBUTES),
                       0);
}

static Value *build_leaf(Builder *builder, const char *prefix, const Spec *spec, int place) {
    const char *name = leaf_name(builder->graph->arena, prefix, place, spec->range);
    if (spec->source == '!')
        return build_input(builder, name, spec->type);
    if (spec->source == 'p')
        return build_free(builder, name, spec->type);
    StateSlot state = {.name = name, .type = spec->type};
    graph_add_state(builder->graph, state);
    return build_state(builder, name);
}

/* Reads an operand and moves behind it; false if it is "-". */
static bool read_spec(const char **cursor, Spec *spec) {
    *spec = (Spec){.source = 'p', .range = ' '};
    if (strncmp(*cursor, ", ", 2) == 0)
        *cursor += 2;
    if (**cursor == '-')
        return (*cursor)++, false;
    if (**cursor == '!' || **cursor == '$')
        spec->source = *(*cursor)++;
    if (**cursor && strchr(ranges, **cursor))
        spec->range = *(*cursor)++;
    CU_ASSERT_FATAL(type_parse(cursor, &spec->type));
    return true;
}

/* The cell list is an operand that no case writes. */
static bool wants_cells(Op op, int operand) {
    return (op == OP_mask && operand == 1) || (op == OP_hidden && operand == 0);
}

static int build_leaves(Builder *builder, const char *prefix, const OpCase *op_case,
                        Value **leaves) {
    int count = 0;
    for (const char *cursor = op_case->operands; *cursor; count++) {
        Spec spec;
        CU_ASSERT_FATAL(count < OP_MAX_OPERANDS);
        leaves[count] =
            read_spec(&cursor, &spec) ? build_leaf(builder, prefix, &spec, count) : NULL;
    }
    if (wants_cells(op_case->op, count))
        leaves[count++] = build_cells(builder);
    return count;
}

/* --- attributes --- */

static NamedAttribute read_ints(const char *name, char *value) {
    int64_t ints[ATTRIBUTE_MAX_INTS];
    int count = 0;
    char *rest;
    for (char *word = strtok_r(value, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
        ints[count++] = atoll(word);
    return attribute_ints(name, ints, count);
}

static NamedAttribute read_attribute(Op op, const char *name, char *value) {
    int index = op_attribute_index(op, name);
    CU_ASSERT_FATAL(index >= 0);
    switch (op_info(op)->attributes[index].kind) {
    case ATTRIBUTE_INT:
        return attribute_int(name, atoll(value));
    case ATTRIBUTE_FLOAT:
        return attribute_float(name, atof(value));
    case ATTRIBUTE_BOOL:
        return attribute_bool(name, strcmp(value, "true") == 0);
    case ATTRIBUTE_INTS:
        return read_ints(name, value);
    case ATTRIBUTE_TEXT:
    case ATTRIBUTE_WORD:
        break;
    }
    return attribute_text(name, value);
}

static int read_attributes(Arena *arena, const OpCase *op_case, NamedAttribute *attributes) {
    char *rest, *text = arena_copy_text(arena, op_case->attributes, strlen(op_case->attributes));
    int count = 0;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        CU_ASSERT_FATAL(equals != NULL && count < OP_MAX_ATTRIBUTES);
        *equals = '\0';
        attributes[count++] = read_attribute(op_case->op, word, equals + 1);
    }
    return count;
}

/* --- the graph --- */

static void build_output(Builder *builder, const char *name, Value *value) {
    build(builder, OP_output, NULL, OPERANDS(value), ATTRIBUTES(attribute_text("name", name)));
}

/* The sum of the elements, each times a number of its own. */
static Value *weigh(Builder *builder, const char *prefix, Value *y, int index) {
    const char *name = arena_format(builder->graph->arena, "%sfactors%d", prefix, index);
    Value *factors = build_input(builder, name, y->type);
    Value *product = build_binary(builder, OP_mul, NULL, y, factors);
    return build_sum(builder, NULL, product, "all");
}

/* Outputs of the results, and their weighted sum. */
static Value *build_loss(Builder *builder, const char *prefix, Node *node) {
    Value *loss = NULL;
    for (int i = 0; i < op_info(node->op)->result_count; i++) {
        Value *y = node_result(node, i), *term = weigh(builder, prefix, y, i);
        build_output(builder, arena_format(builder->graph->arena, "%sy%d", prefix, i), y);
        loss = loss ? build_binary(builder, OP_add, NULL, loss, term) : term;
    }
    return loss;
}

const char *op_case_text(Arena *arena, const OpCase *op_case) {
    return arena_format(arena, "%s %s {%s}", op_info(op_case->op)->name, op_case->operands,
                        op_case->attributes);
}

bool op_case_is_masked(const OpCase *op_case) {
    return strstr(op_case->operands, "masked") != NULL;
}

static Node *build_op(Builder *builder, const OpCase *op_case, Value *const *operands, int count) {
    if (op_info(op_case->op)->type_stated) {
        const char *cursor = op_case->attributes;
        Type type;
        CU_ASSERT_FATAL(type_parse(&cursor, &type));
        return build_stated(builder, op_case->op, NULL, type, operands, count, NO_ATTRIBUTES)->node;
    }
    NamedAttribute attributes[OP_MAX_ATTRIBUTES];
    int attribute_count = read_attributes(builder->graph->arena, op_case, attributes);
    return build(builder, op_case->op, NULL, operands, count, attributes, attribute_count);
}

Value *op_case_add(Graph *graph, const char *prefix, const OpCase *op_case) {
    Builder builder = {.graph = graph};
    Value *operands[OP_MAX_OPERANDS];
    int count = build_leaves(&builder, prefix, op_case, operands);
    if (op_case->op == OP_densify)
        build_cells(&builder);
    return build_loss(&builder, prefix, build_op(&builder, op_case, operands, count));
}

Graph *op_case_graph(Arena *arena, const OpCase *op_case) {
    Graph *graph = create_graph(arena);
    Builder builder = {.graph = graph};
    build_output(&builder, "loss", op_case_add(graph, "", op_case));
    return graph;
}

/* --- numbers --- */

static double special_number(uint32_t word) {
    static const double specials[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 0,
                                      -0.0,        0x1p-140,         -0x1p-130,         0x1p-149};
    return specials[word / 4 % 8];
}

double op_case_number(const char *name, size_t index) {
    uint32_t seed = 0;
    for (const char *letter = name; *letter; letter++)
        seed = seed * 31 + (uint32_t)(unsigned char)*letter;
    uint32_t word = random_word(seed, 0, 0, index);
    double unit = word * 0x1p-32;
    switch (name[strlen(name) - 1]) {
    case '+':
        return unit + 0.5;
    case '~':
        return 16 * unit - 8;
    case '<':
        return unit - 1.5;
    case '^':
        return 999 + 2 * unit;
    case '@':
        return 3.7;
    case '#':
        return (double)(word % 5) / 2 - 1;
    case '?':
        return word % 4 ? 2 * unit - 1 : special_number(word);
    default:
        return 2 * unit - 1;
    }
}

static void fill(Tensor tensor, const char *name) {
    for (size_t i = 0; i < tensor.count; i++)
        tensor.data[i] = op_case_number(name, i);
}

/* The identity matrix, whatever the extents of its rows. */
static void fill_identity(Tensor tensor) {
    for (size_t i = 0; i < tensor.count; i += (size_t)tensor.type.channels + 1)
        tensor.data[i] = 1;
}

Tensor op_case_input(Arena *arena, const Graph *graph, const Node *node) {
    const char *name = node_text(node, "name");
    Type type = node->results[0].type;
    bool masked = type.form == FORM_MASKED;
    size_t count = masked ? (size_t)(type.batch * type_positions(&type) * type.channels)
                          : (size_t)graph_elements(graph, &type);
    Tensor tensor = {type, count, arena_new_array(arena, double, count)};
    if (text_starts_with(name, "identity."))
        fill_identity(tensor);
    else
        fill(tensor, name);
    return tensor;
}

static void fill_input(Interpreter *interpreter, Arena *arena, const Graph *graph,
                       const Node *node) {
    const char *name = node_text(node, "name");
    Tensor tensor = op_case_input(arena, graph, node);
    Status status = interpreter_set_input(interpreter, arena, name, tensor.data, tensor.count);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
}

void op_case_fill(Interpreter *interpreter, Arena *arena, const Graph *graph) {
    Status status = interpreter_set_input(interpreter, arena, "cells", visible_cells, BATCH * KEEP);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    graph_each(graph, node) {
        if (node->op == OP_input && strcmp(node_text(node, "name"), "cells") != 0)
            fill_input(interpreter, arena, graph, node);
    }
    for (size_t i = 0; i < graph->segments.count; i++) {
        const char *name = graph->segments.items[i].name;
        fill(interpreter_param(interpreter, name), name);
    }
    for (size_t i = 0; i < graph->states.count; i++) {
        const char *name = graph->states.items[i].name;
        fill(interpreter_state(interpreter, name), name);
    }
    interpreter_set_scalar(interpreter, "seed", 17);
    interpreter_set_scalar(interpreter, "step", 5);
}
