/* What is in the graph: ops with their attributes, parameters, features, head. */
#include <math.h>
#include <string.h>

#include "tests/unit/frontend_suites.h"

static const Node *find_node(const Built *built, Op op) {
    for (const Node *node = built->graph->first; node; node = node->next)
        if (node->op == op)
            return node;
    return NULL;
}

static size_t count_nodes(const Built *built, Op op) {
    size_t count = 0;
    for (const Node *node = built->graph->first; node; node = node->next)
        count += node->op == op;
    return count;
}

static const char small[] = "network t(image = [3, 32, 64], classes = 10) {\n"
                            "  x = image |> stem: conv(8, kernel = [3, 5], stride = 2, pad = [1, "
                            "2], bias = true) |> bn: batch_norm(init = 0) |> relu\n"
                            "  feature x\n"
                            "  x = x |> down: conv(16, kernel = 2, stride = 2, init = 0.5)\n"
                            "  feature x\n"
                            "  y = x |> extra: conv(4, kernel = 1)\n"
                            "  head { y |> global_avg_pool |> fc: linear(classes) }\n"
                            "}\n";

static void outputs_and_geometry(void) {
    Built built = build_quiet(small, NULL);
    const Geometry *geometry = &built.graph->geometry;
    CU_ASSERT_EQUAL(geometry->ratio, 4);
    CU_ASSERT_EQUAL(geometry->image[0], 32);
    CU_ASSERT_EQUAL(geometry->image[1], 64);
    CU_ASSERT_EQUAL(geometry->channels, 3);
    CU_ASSERT_EQUAL(geometry->keep, 0);
    const Node *first = graph_find_output(built.graph, "feature.0");
    const Node *second = graph_find_output(built.graph, "feature.1");
    const Node *logits = graph_find_output(built.graph, "logits");
    CU_ASSERT_TRUE_FATAL(first && second && logits);
    CU_ASSERT_EQUAL(first->operands[0]->type.extent[1], 32);
    CU_ASSERT_EQUAL(second->operands[0]->type.channels, 16);
    CU_ASSERT_EQUAL(logits->operands[0]->type.form, FORM_PER_IMAGE);
    CU_ASSERT_EQUAL(logits->operands[0]->type.channels, 10);
    CU_ASSERT_STRING_EQUAL(second->operands[0]->name, "down");
    CU_ASSERT_STRING_EQUAL(built.graph->stage, "frontend");
    for (const Node *node = built.graph->first; node; node = node->next)
        CU_ASSERT_EQUAL(node->mark, 0);
    built_destroy(&built);
}

static void parameters(void) {
    Built built = build_quiet(small, NULL);
    const Segment *stem = graph_find_segment(built.graph, "stem.weight");
    CU_ASSERT_PTR_NOT_NULL_FATAL(stem);
    CU_ASSERT_STRING_EQUAL(segment_shape(&built, "stem.weight"), "8x3x3x5");
    CU_ASSERT_EQUAL(stem->type.extent[0], 3);
    CU_ASSERT_EQUAL(stem->type.extent[1], 5);
    CU_ASSERT_EQUAL(stem->type.extent[2], 3);
    CU_ASSERT_EQUAL(stem->type.extent[3], 8);
    CU_ASSERT_EQUAL(stem->layout, LAYOUT_CONV);
    CU_ASSERT_EQUAL(stem->role, ROLE_WEIGHT);
    CU_ASSERT_EQUAL(stem->part, PART_ENCODER);
    CU_ASSERT_TRUE(stem->decays);
    CU_ASSERT_DOUBLE_EQUAL(stem->init.a, sqrt(2.0 / (3 * 5 * 8)), 1e-15);
    CU_ASSERT_EQUAL(graph_find_segment(built.graph, "down.weight")->init.a, 0.5);
    CU_ASSERT_EQUAL(graph_find_segment(built.graph, "bn.weight")->init.kind, INIT_CONSTANT);
    CU_ASSERT_EQUAL(graph_find_segment(built.graph, "bn.weight")->init.a, 0);
    CU_ASSERT_FALSE(graph_find_segment(built.graph, "stem.bias")->decays);
    CU_ASSERT_EQUAL(graph_find_segment(built.graph, "extra.weight")->part, PART_HEAD);
    CU_ASSERT_EQUAL(graph_find_segment(built.graph, "fc.weight")->part, PART_HEAD);
    CU_ASSERT_EQUAL(graph_find_segment(built.graph, "fc.weight")->layout, LAYOUT_LINEAR);
    CU_ASSERT_EQUAL(graph_find_segment(built.graph, "fc.weight")->init.a, 0.02);
    CU_ASSERT_EQUAL(graph_find_state(built.graph, "bn.running_var")->init, 1);
    CU_ASSERT_EQUAL(graph_find_state(built.graph, "bn.running_var")->part, PART_ENCODER);
    built_destroy(&built);
}

static void locations(void) {
    Built built = build_quiet(small, NULL);
    const Node *conv = find_node(&built, OP_conv);
    CU_ASSERT_STRING_EQUAL(conv->location.file, "net.cnn");
    CU_ASSERT_EQUAL(conv->location.line, 2);
    CU_ASSERT_EQUAL(conv->location.column, 22);
    built_destroy(&built);
}

static void attributes(void) {
    Built built =
        build_quiet("network t(image = [4, 16, 16]) {\n"
                    "  x = image |> max_pool(3, stride = 2, pad = 1) |> a: group_norm(2, eps = "
                    "0.5) |> leaky_relu(0.25)\n"
                    "  x = x |> gelu(approximate = \"tanh\") |> dropout |> drop_path(0.1) |> "
                    "drop_path(0) |> identity\n"
                    "  x = x |> avg_pool(3, stride = 1, pad = 1, count_include_pad = false)\n"
                    "  a, b = x |> split([1, 3])\n"
                    "  x = concat(b, a) |> channel_shuffle(2) |> upsample(2, mode = \"bilinear\") "
                    "|> avg_pool(2)\n"
                    "  feature x\n"
                    "}\n",
                    NULL);
    int count;
    const Node *pool = find_node(&built, OP_max_pool);
    CU_ASSERT_EQUAL(node_ints(pool, "kernel", &count)[1], 3);
    CU_ASSERT_EQUAL(node_ints(pool, "stride", &count)[0], 2);
    CU_ASSERT_EQUAL(node_int(find_node(&built, OP_group_norm), "groups"), 2);
    CU_ASSERT_EQUAL(node_float(find_node(&built, OP_group_norm), "eps"), 0.5);
    CU_ASSERT_EQUAL(node_float(find_node(&built, OP_leaky_relu), "slope"), 0.25);
    CU_ASSERT_PTR_NOT_NULL(find_node(&built, OP_gelu_tanh));
    CU_ASSERT_EQUAL(count_nodes(&built, OP_drop_path), 1);
    CU_ASSERT_EQUAL(node_float(find_node(&built, OP_dropout), "rate"), 0.5);
    CU_ASSERT_NOT_EQUAL(node_int(find_node(&built, OP_dropout), "stream"),
                        node_int(find_node(&built, OP_drop_path), "stream"));
    CU_ASSERT_FALSE(node_bool(find_node(&built, OP_avg_pool), "count_include_pad"));
    CU_ASSERT_EQUAL(count_nodes(&built, OP_slice), 2);
    CU_ASSERT_STRING_EQUAL(node_text(find_node(&built, OP_upsample), "mode"), "bilinear");
    built_destroy(&built);
}

static void strides_through_upsampling(void) {
    Built built = build_quiet("network t(image = [2, 32, 32]) {\n"
                              "  x = image |> a: conv(4, kernel = 4, stride = 4)\n"
                              "  y = x |> b: conv_transpose(4, kernel = 2, stride = 2)\n"
                              "  feature y\n"
                              "  feature x\n"
                              "}\n",
                              NULL);
    CU_ASSERT_EQUAL(built.graph->geometry.ratio, 4);
    CU_ASSERT_STRING_EQUAL(segment_shape(&built, "b.weight"), "4x4x2x2");
    built_destroy(&built);
}

/* An encoder may shrink its maps where no feature needs them. */
static void head_may_shrink(void) {
    Built built =
        build_quiet("network t(image = [2, 32, 32], classes = 3) {\n"
                    "  x = image |> max_pool(2)\n"
                    "  feature x\n"
                    "  head { x |> a: conv(4, kernel = 3) |> flatten |> fc: linear(classes) }\n"
                    "}\n",
                    NULL);
    CU_ASSERT_STRING_EQUAL(segment_shape(&built, "fc.weight"), "3x784");
    built_destroy(&built);
}

CU_TestInfo frontend_graphs[] = {
    {"outputs and geometry", outputs_and_geometry},
    {"parameters", parameters},
    {"locations", locations},
    {"attributes", attributes},
    {"strides through upsampling", strides_through_upsampling},
    {"head may shrink", head_may_shrink},
    CU_TEST_INFO_NULL,
};
