/* The graph's tables, lists and names, and the builder on top of it. */
#include "ir/graph.h"

#include <string.h>

#include "ir/builder.h"
#include "ir/print.h"
#include "tests/unit/ir_suites.h"

static const Geometry small = {
    .batch = 2, .space = 2, .image = {64, 96}, .channels = 3, .ratio = 32, .keep = 4};

static Graph *create(void) {
    return graph_create(arena_create(), "net", small);
}

static void destroy(Graph *graph) {
    arena_destroy(graph->arena);
}

static Type parsed(const char *text) {
    Type type;
    CU_ASSERT_TRUE_FATAL(type_parse(&text, &type));
    return type;
}

static Value *input(Graph *graph, const char *name, const char *type) {
    Builder builder = {.graph = graph};
    return build_stated(&builder, OP_input, name, parsed(type), NULL, 0,
                        ATTRIBUTES(attribute_text("name", name)));
}

static Value *relu(Graph *graph, Value *x, const char *name) {
    Builder builder = {.graph = graph};
    return build_unary(&builder, OP_relu, name, x);
}

static Segment segment(const char *name, const char *type) {
    Segment result = {.name = name, .type = parsed(type), .lr_scale = 1};
    result.file_rank = result.type.rank;
    memcpy(result.file_shape, result.type.extent, sizeof result.file_shape);
    return result;
}

static void rows_and_elements_per_form(void) {
    Graph *graph = create();
    graph_add_segment(graph, segment("w", "f32[3x3x3x8]"));
    graph_add_segment(graph, segment("b", "f32[8]"));
    static const struct {
        const char *type;
        int64_t rows, elements;
    } cases[] = {
        {"f32[]", 1, 1},
        {"f32[3x4]", 1, 12},
        {"f32<2x16x24x5>", 768, 3840},
        {"f32<2x16x24x5 masked 4>", 2 * 4 * 8 * 8, 2 * 4 * 8 * 8 * 5},
        {"f32<2x2x3x5 masked 32>", 8, 40},
        {"f32<2x5 per_image>", 2, 10},
        {"f32<flat>", 1, 224},
        {"f32<segments>", 1, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Type type = parsed(cases[i].type);
        CU_ASSERT_EQUAL(graph_rows(graph, &type), cases[i].rows);
        CU_ASSERT_EQUAL(graph_elements(graph, &type), cases[i].elements);
    }
    CU_ASSERT_EQUAL(graph_cells(graph), 6);
    CU_ASSERT_EQUAL(graph_grid(graph, 1), 3);
    destroy(graph);
}

static void segments_follow_one_another(void) {
    Graph *graph = create();
    CU_ASSERT_EQUAL(graph_add_segment(graph, segment("a", "f32[3x4]"))->offset, 0);
    CU_ASSERT_EQUAL(graph_add_segment(graph, segment("b", "f32[]"))->offset, 12);
    CU_ASSERT_EQUAL(graph_add_segment(graph, segment("c", "f32[5]"))->offset, 13);
    CU_ASSERT_PTR_NULL(graph_add_segment(graph, segment("b", "f32[5]")));
    CU_ASSERT_EQUAL(graph_segment_index(graph, "c"), 2);
    CU_ASSERT_EQUAL(graph_segment_index(graph, "d"), -1);
    CU_ASSERT_EQUAL(graph_find_segment(graph, "b")->offset, 12);
    CU_ASSERT_PTR_NULL(graph_find_segment(graph, "d"));
    destroy(graph);
}

static void sizes_of_segments_saturate(void) {
    Graph *graph = create();
    const char *huge = "f32[2147483647x2147483647x2147483647]";
    graph_add_segment(graph, segment("a", huge));
    CU_ASSERT_EQUAL(graph_add_segment(graph, segment("b", huge))->offset, INT64_MAX);
    Type flat = type_flat(DTYPE_F32);
    CU_ASSERT_EQUAL(graph_elements(graph, &flat), INT64_MAX);
    destroy(graph);
}

static void states_are_found_by_name(void) {
    Graph *graph = create();
    StateSlot *added = graph_add_state(graph, (StateSlot){"m", PART_ENCODER, parsed("f32[8]"), 1});
    CU_ASSERT_PTR_EQUAL(added, graph_find_state(graph, "m"));
    CU_ASSERT_PTR_NULL(graph_add_state(graph, (StateSlot){"m", PART_HEAD, parsed("f32[]"), 0}));
    CU_ASSERT_EQUAL(graph_state_index(graph, "m"), 0);
    CU_ASSERT_EQUAL(graph_find_state(graph, "m")->init, 1);
    CU_ASSERT_PTR_NULL(graph_find_state(graph, "n"));
    destroy(graph);
}

static void taken_names_get_the_smallest_free_suffix(void) {
    Graph *graph = create();
    Value *x = input(graph, "x", "f32[4]");
    Value *values[6];
    for (int i = 0; i < 6; i++)
        values[i] = relu(graph, x, "y");
    CU_ASSERT_STRING_EQUAL(values[0]->name, "y");
    CU_ASSERT_STRING_EQUAL(values[1]->name, "y_2");
    CU_ASSERT_STRING_EQUAL(values[5]->name, "y_6");
    graph_remove(graph, values[4]->node);
    graph_remove(graph, values[2]->node);
    CU_ASSERT_STRING_EQUAL(relu(graph, x, "y")->name, "y_3");
    CU_ASSERT_STRING_EQUAL(relu(graph, x, "y")->name, "y_5");
    CU_ASSERT_STRING_EQUAL(relu(graph, x, "y")->name, "y_7");
    graph_remove(graph, values[0]->node);
    CU_ASSERT_STRING_EQUAL(relu(graph, x, "y")->name, "y");
    CU_ASSERT_STRING_EQUAL(relu(graph, x, NULL)->name, "relu");
    graph_name(graph, values[1], "z");
    CU_ASSERT_STRING_EQUAL(values[1]->name, "z");
    CU_ASSERT_STRING_EQUAL(relu(graph, x, "y")->name, "y_2");
    graph_name(graph, values[1], "z");
    CU_ASSERT_STRING_EQUAL(values[1]->name, "z");
    destroy(graph);
}

static void suffixes_of_given_names_are_respected(void) {
    Graph *graph = create();
    Value *x = input(graph, "x", "f32[4]");
    relu(graph, x, "y_3");
    CU_ASSERT_STRING_EQUAL(relu(graph, x, "y")->name, "y");
    CU_ASSERT_STRING_EQUAL(relu(graph, x, "y")->name, "y_2");
    CU_ASSERT_STRING_EQUAL(relu(graph, x, "y")->name, "y_4");
    CU_ASSERT_STRING_EQUAL(relu(graph, x, "y_3")->name, "y_3_2");
    destroy(graph);
}

/* 100,000 equal names are given in time that does not grow with their square. */
static void many_equal_names(void) {
    Graph *graph = create();
    Value *x = input(graph, "x", "f32[4]"), *last = NULL;
    for (int i = 0; i < 100000; i++)
        last = relu(graph, x, "y");
    CU_ASSERT_STRING_EQUAL(last->name, "y_100000");
    destroy(graph);
}

static void nodes_stay_in_order(void) {
    Graph *graph = create();
    Value *a = input(graph, "a", "f32[4]"), *c = relu(graph, a, "c");
    Node *b = graph_insert(graph, OP_relu, OPERANDS(a), c->node);
    CU_ASSERT_PTR_EQUAL(graph->first, a->node);
    CU_ASSERT_PTR_EQUAL(a->node->next, b);
    CU_ASSERT_PTR_EQUAL(b->next, c->node);
    CU_ASSERT_PTR_EQUAL(c->node->previous, b);
    CU_ASSERT_PTR_EQUAL(graph->last, c->node);
    graph_replace_uses(graph, a, &b->results[0]);
    CU_ASSERT_PTR_EQUAL(c->node->operands[0], &b->results[0]);
    graph_remove(graph, c->node);
    CU_ASSERT_PTR_EQUAL(graph->last, b);
    graph_remove(graph, b);
    graph_remove(graph, a->node);
    CU_ASSERT_PTR_NULL(graph->first);
    CU_ASSERT_PTR_NULL(graph->last);
    destroy(graph);
}

static void absent_operands_are_null(void) {
    Graph *graph = create();
    Value *x = input(graph, "x", "f32<2x8x8x4>");
    Node *norm = graph_insert(graph, OP_layer_norm, OPERANDS(x), NULL);
    CU_ASSERT_EQUAL(norm->operand_count, 3);
    CU_ASSERT_PTR_EQUAL(node_operand(norm, 0), x);
    CU_ASSERT_PTR_NULL(node_operand(norm, 1));
    CU_ASSERT_PTR_NULL(node_operand(norm, 7));
    CU_ASSERT_EQUAL(node_float(norm, "eps"), 1e-5);
    Node *concat = graph_insert(graph, OP_concat, OPERANDS(x, x, x), NULL);
    CU_ASSERT_EQUAL(concat->operand_count, 3);
    destroy(graph);
}

static void attributes_are_set_and_read(void) {
    Graph *graph = create();
    Value *x = input(graph, "x", "f32<2x8x8x4>");
    Node *node = graph_insert(graph, OP_avg_pool, OPERANDS(x), NULL);
    node_set_ints(node, "kernel", (int64_t[]){2, 3}, 2);
    node_set_bool(node, "ceil_mode", true);
    int count;
    const int64_t *kernel = node_ints(node, "kernel", &count);
    CU_ASSERT_EQUAL(count, 2);
    CU_ASSERT_EQUAL(kernel[1], 3);
    CU_ASSERT_TRUE(node_bool(node, "ceil_mode"));
    CU_ASSERT_TRUE(node_bool(node, "count_include_pad"));
    char word[] = "row";
    Node *sum = graph_insert(graph, OP_sum, OPERANDS(x), NULL);
    node_set_text(graph, sum, "over", word);
    word[0] = 'c';
    CU_ASSERT_STRING_EQUAL(node_text(sum, "over"), "row");
    node_set_int(sum, "groups", 3);
    CU_ASSERT_EQUAL(node_int(sum, "groups"), 3);
    destroy(graph);
}

static void sources_and_outputs_are_found(void) {
    Graph *graph = create();
    Value *x = input(graph, "x", "f32[4]");
    Builder builder = {.graph = graph};
    Node *output =
        build(&builder, OP_output, NULL, OPERANDS(x), ATTRIBUTES(attribute_text("name", "y")));
    CU_ASSERT_PTR_EQUAL(graph_find_input(graph, "x"), x);
    CU_ASSERT_PTR_NULL(graph_find_input(graph, "y"));
    CU_ASSERT_PTR_NULL(graph_find_source(graph, OP_scalar, "x"));
    CU_ASSERT_PTR_EQUAL(graph_find_output(graph, "y"), output);
    CU_ASSERT_PTR_NULL(graph_find_output(graph, "x"));
    node_set_text(graph, x->node, "name", "renamed");
    CU_ASSERT_PTR_NULL(graph_find_input(graph, "x"));
    CU_ASSERT_PTR_EQUAL(graph_find_input(graph, "renamed"), x);
    graph_remove(graph, output);
    graph_remove(graph, x->node);
    CU_ASSERT_PTR_NULL(graph_find_input(graph, "renamed"));
    destroy(graph);
}

static void copies_share_nothing_and_print_alike(void) {
    Graph *graph = create();
    graph_add_segment(graph, segment("w", "f32[4]"));
    graph_add_state(graph, (StateSlot){"m", PART_ENCODER, parsed("f32[4]"), 1});
    Value *x = input(graph, "x", "f32<2x8x8x4>");
    x->node->location = (Location){"net.cnn", 3, 7, 2};
    Builder builder = {.graph = graph};
    Value *y = build_binary(&builder, OP_mul, "y", x, build_param(&builder, "w"));
    build(&builder, OP_layer_norm, "z", OPERANDS(y), NO_ATTRIBUTES);
    build(&builder, OP_moments, NULL, OPERANDS(y), ATTRIBUTES(attribute_text("over", "batch")));
    build(&builder, OP_commit, NULL, OPERANDS(build_state(&builder, "m")),
          ATTRIBUTES(attribute_text("region", "state"), attribute_text("name", "m")));
    Arena *arena = arena_create();
    char *before = print_graph_text(arena, graph);
    Graph *copy = graph_copy(graph, arena);
    CU_ASSERT_PTR_EQUAL(graph_find_input(copy, "x")->node, copy->first);
    destroy(graph);
    CU_ASSERT_STRING_EQUAL(print_graph_text(arena, copy), before);
    arena_destroy(arena);
}

CU_TestInfo ir_graph[] = {
    {"rows and elements per form", rows_and_elements_per_form},
    {"segments follow one another", segments_follow_one_another},
    {"sizes of segments saturate", sizes_of_segments_saturate},
    {"states are found by name", states_are_found_by_name},
    {"taken names get the smallest free suffix", taken_names_get_the_smallest_free_suffix},
    {"suffixes of given names are respected", suffixes_of_given_names_are_respected},
    {"many equal names", many_equal_names},
    {"nodes stay in order", nodes_stay_in_order},
    {"absent operands are NULL", absent_operands_are_null},
    {"attributes are set and read", attributes_are_set_and_read},
    {"sources and outputs are found", sources_and_outputs_are_found},
    {"copies share nothing and print alike", copies_share_nothing_and_print_alike},
    CU_TEST_INFO_NULL,
};

static void results_are_named_after_prefix_and_hint(void) {
    Graph *graph = create();
    Value *x = input(graph, "x", "f32<2x8x8x4>");
    Builder builder = {.graph = graph, .prefix = "bn1"};
    Node *moments =
        build(&builder, OP_moments, "m", OPERANDS(x), ATTRIBUTES(attribute_text("over", "batch")));
    CU_ASSERT_STRING_EQUAL(moments->results[0].name, "bn1.m.count");
    CU_ASSERT_STRING_EQUAL(moments->results[2].name, "bn1.m.m2");
    CU_ASSERT_STRING_EQUAL(build_unary(&builder, OP_relu, NULL, x)->name, "bn1.relu");
    CU_ASSERT_STRING_EQUAL(build_unary(&builder, OP_relu, "y", x)->name, "bn1.y");
    Builder after = builder_at(graph, moments);
    CU_ASSERT_STRING_EQUAL(after.prefix, "bn1.m.count");
    CU_ASSERT_PTR_EQUAL(build_unary(&after, OP_neg, NULL, x)->node->next, moments);
    destroy(graph);
}

static void sources_are_built_once_and_dominate(void) {
    Graph *graph = create();
    graph_add_segment(graph, segment("w", "f32[4]"));
    Value *x = input(graph, "x", "f32<2x8x8x4>"), *y = relu(graph, x, "y");
    Builder end = {.graph = graph}, middle = {.graph = graph, .before = y->node};
    Value *late = build_param(&end, "w");
    CU_ASSERT_PTR_EQUAL(build_param(&end, "w"), late);
    CU_ASSERT_STRING_EQUAL(late->name, "w");
    Value *use = build_binary(&end, OP_mul, "use", y, late);
    Value *early = build_param(&middle, "w");
    CU_ASSERT_PTR_EQUAL(graph->first, early->node);
    CU_ASSERT_PTR_EQUAL(use->node->operands[1], early);
    CU_ASSERT_PTR_EQUAL(build_param(&middle, "w"), early);
    CU_ASSERT_PTR_EQUAL(build_param(&end, "w"), early);
    Value *seed = build_scalar(&middle, DTYPE_U32, "seed");
    CU_ASSERT_EQUAL(seed->type.dtype, DTYPE_U32);
    CU_ASSERT_PTR_EQUAL(graph->first, seed->node);
    destroy(graph);
}

static void small_helpers_build_their_ops(void) {
    Graph *graph = create();
    Value *x = input(graph, "x", "f32<2x8x8x4>");
    Builder builder = {.graph = graph};
    Value *scaled = build_scale(&builder, "half", x, 0.5);
    CU_ASSERT_EQUAL(scaled->node->op, OP_mul);
    CU_ASSERT_EQUAL(node_float(scaled->node->operands[1]->node, "value"), 0.5);
    Value *sum = build_sum(&builder, NULL, x, "all");
    Type scalar = type_scalar(DTYPE_F32);
    CU_ASSERT_TRUE(type_equal(&sum->type, &scalar));
    destroy(graph);
}

CU_TestInfo ir_builder[] = {
    {"results are named after prefix and hint", results_are_named_after_prefix_and_hint},
    {"sources are built once and dominate", sources_are_built_once_and_dominate},
    {"small helpers build their ops", small_helpers_build_their_ops},
    CU_TEST_INFO_NULL,
};
