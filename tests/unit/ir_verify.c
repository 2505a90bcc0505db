/* The verifier: a sound graph passes, each seeded corruption is found and named. */
#include "ir/verify.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ir/builder.h"
#include "tests/unit/ir_suites.h"

static Segment segment(const char *name, Type type) {
    Segment result = {.name = name, .type = type, .lr_scale = 1, .file_rank = type.rank};
    memcpy(result.file_shape, type.extent, sizeof result.file_shape);
    return result;
}

/* image -> mask -> conv -> moments -> normalise -> densify -> loss, with a running mean. */
static Graph *sound(void) {
    const Geometry geometry = {
        .batch = 2, .space = 2, .image = {64, 64}, .channels = 3, .ratio = 32, .keep = 2};
    Graph *graph = graph_create(arena_create(), "net", geometry);
    graph->stage = "optimizer";
    graph_add_segment(graph, segment("conv", type_plain(DTYPE_F32, 4, (int64_t[]){3, 3, 3, 8})));
    graph_add_segment(graph, segment("token", type_vector(DTYPE_F32, 8)));
    graph_add_state(graph, (StateSlot){"mean", PART_ENCODER, type_vector(DTYPE_F32, 8), 0});
    Builder b = {.graph = graph};
    Value *image =
        build_stated(&b, OP_input, "image", type_dense(DTYPE_F32, 2, 2, geometry.image, 3), NULL, 0,
                     ATTRIBUTES(attribute_text("name", "image")));
    Value *cells = build_stated(&b, OP_input, "cells", type_plain(DTYPE_I32, 2, (int64_t[]){2, 2}),
                                NULL, 0, ATTRIBUTES(attribute_text("name", "cells")));
    Value *masked = build_binary(&b, OP_mask, "masked", image, cells);
    int64_t three[] = {3, 3}, two[] = {2, 2}, one[] = {1, 1};
    Node *conv =
        build(&b, OP_conv, "conv1", OPERANDS(masked, build_param(&b, "conv")),
              ATTRIBUTES(attribute_ints("kernel", three, 2), attribute_ints("stride", two, 2),
                         attribute_ints("pad", one, 2), attribute_ints("dilation", one, 2)));
    Node *moments = build(&b, OP_moments, "moments", OPERANDS(node_result(conv, 0)),
                          ATTRIBUTES(attribute_text("over", "batch")));
    Node *rstd = build(&b, OP_rstd, "rstd", OPERANDS(&moments->results[2], &moments->results[0]),
                       ATTRIBUTES(attribute_float("eps", 1e-5)));
    Node *norm =
        build(&b, OP_normalise, "norm",
              OPERANDS(&conv->results[0], &moments->results[1], &rstd->results[0]), NO_ATTRIBUTES);
    Value *dense =
        build_binary(&b, OP_densify, "dense", &norm->results[0], build_param(&b, "token"));
    Value *loss = build_sum(&b, "loss", dense, "all");
    build(&b, OP_output, NULL, OPERANDS(loss), ATTRIBUTES(attribute_text("name", "loss")));
    Value *mean =
        build_binary(&b, OP_add, "new_mean", build_state(&b, "mean"), &moments->results[1]);
    build(&b, OP_commit, NULL, OPERANDS(mean),
          ATTRIBUTES(attribute_text("region", "state"), attribute_text("name", "mean")));
    Value *params =
        build_stated(&b, OP_parameters, "params", type_flat(DTYPE_F32), NULL, 0, NO_ATTRIBUTES);
    build(&b, OP_commit, NULL, OPERANDS(build_scale(&b, "new", params, 0.5)),
          ATTRIBUTES(attribute_text("region", "params")));
    return graph;
}

/* The node that computes a value of this name. */
static Node *find(Graph *graph, const char *name) {
    graph_each(graph, node) {
        for (int i = 0; i < op_info(node->op)->result_count; i++) {
            if (strcmp(node->results[i].name, name) == 0)
                return node;
        }
    }
    CU_FAIL_FATAL("no such value");
    return NULL;
}

/* Puts a node in front of another one. */
static void move_before(Graph *graph, Node *node, Node *before) {
    node->previous->next = node->next;
    *(node->next ? &node->next->previous : &graph->last) = node->previous;
    node->previous = before->previous;
    node->next = before;
    *(before->previous ? &before->previous->next : &graph->first) = node;
    before->previous = node;
}

static void operand_comes_later(Graph *graph) {
    move_before(graph, find(graph, "loss"), find(graph, "conv1"));
}

static void operand_of_another_graph(Graph *graph) {
    Graph *other = graph_copy(graph, graph->arena);
    find(graph, "loss")->operands[0] = &find(other, "dense")->results[0];
}

static void required_operand_is_absent(Graph *graph) {
    find(graph, "conv1")->operands[1] = NULL;
}

static void too_few_operands(Graph *graph) {
    find(graph, "norm")->operand_count = 3;
}

static void wrong_type(Graph *graph) {
    find(graph, "conv1")->results[0].type.channels = 9;
}

static void wrong_type_of_third_result(Graph *graph) {
    find(graph, "moments.m2")->results[2].type = type_scalar(DTYPE_F32);
}

static void impossible_type(Graph *graph) {
    find(graph, "norm")->results[0].type.batch = 0;
}

static void masked_without_stride(Graph *graph) {
    find(graph, "norm")->results[0].type.stride = 0;
}

static void wrong_attribute(Graph *graph) {
    node_set_int(find(graph, "conv1"), "groups", 2);
}

static void two_of_one_name(Graph *graph) {
    find(graph, "loss")->results[0].name = "dense";
}

static void no_name(Graph *graph) {
    find(graph, "new")->results[0].name = "";
}

static void result_of_another_node(Graph *graph) {
    find(graph, "rstd")->results[0].index = 1;
}

static void unknown_segment(Graph *graph) {
    node_set_text(graph, find(graph, "token"), "segment", "tokens");
}

static void unknown_state(Graph *graph) {
    node_set_text(graph, find(graph, "mean"), "name", "means");
}

static void gap_between_segments(Graph *graph) {
    graph->segments.items[1].offset++;
}

static void other_shape_in_files(Graph *graph) {
    graph->segments.items[0].file_shape[2] = 4;
}

static void negative_shape_in_files(Graph *graph) {
    graph->segments.items[0].file_shape[2] = -3;
    graph->segments.items[0].file_shape[1] = -3;
}

static void learning_rate_scale_is_not_finite(Graph *graph) {
    graph->segments.items[0].lr_scale = (double)INFINITY;
}

static void segments_of_one_name(Graph *graph) {
    graph->segments.items[1].name = "conv";
}

static void segment_with_positions(Graph *graph) {
    graph->segments.items[1].type = type_per_image(DTYPE_F32, 2, 4);
}

static void state_with_positions(Graph *graph) {
    graph->states.items[0].type = type_per_image(DTYPE_F32, 2, 4);
}

static void committed_twice(Graph *graph) {
    Builder b = {.graph = graph};
    build(&b, OP_commit, NULL, OPERANDS(&find(graph, "new")->results[0]),
          ATTRIBUTES(attribute_text("region", "params")));
}

static void output_twice(Graph *graph) {
    Builder b = {.graph = graph};
    build(&b, OP_output, NULL, OPERANDS(&find(graph, "dense")->results[0]),
          ATTRIBUTES(attribute_text("name", "loss")));
}

static void composite_too_late(Graph *graph) {
    Builder b = {.graph = graph};
    build_unary(&b, OP_layer_norm, "late", &find(graph, "dense")->results[0]);
}

static void mask_too_early(Graph *graph) {
    graph->stage = "select";
}

static void hidden_too_early(Graph *graph) {
    Builder b = {.graph = graph};
    build(&b, OP_hidden, "early", OPERANDS(&find(graph, "cells")->results[0]),
          ATTRIBUTES(attribute_ints("size", (int64_t[]){2, 2}, 2)));
    graph_remove(graph, find(graph, "masked"));
    graph->stage = "select";
}

static void update_too_early(Graph *graph) {
    graph->stage = "autodiff";
}

static void gradient_too_early(Graph *graph) {
    Builder b = {.graph = graph};
    build(&b, OP_gather, "early", OPERANDS(&find(graph, "dense")->results[0]),
          ATTRIBUTES(attribute_int("stride", 2)));
    graph->stage = "expand";
}

static void unknown_stage(Graph *graph) {
    graph->stage = "linking";
}

static void dense_meets_masked(Graph *graph) {
    Node *node = graph_insert(
        graph, OP_add,
        OPERANDS(&find(graph, "dense")->results[0], &find(graph, "norm")->results[0]), NULL);
    graph_name(graph, &node->results[0], "mixed");
    node->results[0].type = node->operands[0]->type;
}

static void broken_link(Graph *graph) {
    find(graph, "loss")->previous = NULL;
}

static void broken_end(Graph *graph) {
    graph->last = graph->last->previous;
}

static void no_batch(Graph *graph) {
    graph->geometry.batch = 0;
}

static void huge_image(Graph *graph) {
    graph->geometry.image[0] = graph->geometry.image[1] = 65536;
}

static void ratio_not_a_power(Graph *graph) {
    graph->geometry.ratio = 24;
}

static void image_not_a_multiple(Graph *graph) {
    graph->geometry.image[1] = 65;
}

static void keep_beyond_cells(Graph *graph) {
    graph->geometry.keep = 5;
}

static void input_is_another_image(Graph *graph) {
    graph->geometry.channels = 4;
}

static const struct {
    void (*corrupt)(Graph *);
    const char *found; /* a part of the message */
} corruptions[] = {
    {operand_comes_later, "operand 1, %dense, is not computed before"},
    {operand_of_another_graph, "operand 1, %dense, is not computed before"},
    {required_operand_is_absent, "conv needs weight"},
    {too_few_operands, "3 operands, normalise takes 5"},
    {wrong_type, "the type of result 1 must be f32<2x32x32x8 masked 2>"},
    {wrong_type_of_third_result, "the type of result 3 must be f32[8]"},
    {impossible_type, "x has an impossible type"},
    {masked_without_stride, "x has an impossible type"},
    {wrong_attribute, "groups = 2 does not divide 3 channels"},
    {two_of_one_name, "a second value of the name %dense"},
    {no_name, "result 1 has no name"},
    {result_of_another_node, "result 1 does not know its node"},
    {unknown_segment, "there is no segment \"tokens\""},
    {unknown_state, "there is no state \"means\""},
    {gap_between_segments, "segment token: starts at 217, not behind the one before, at 216"},
    {other_shape_in_files, "segment conv: the shape in files has another number of elements"},
    {negative_shape_in_files, "segment conv: the shape in files has another number of elements"},
    {learning_rate_scale_is_not_finite, "segment conv: lr_scale inf is not a finite number"},
    {segments_of_one_name, "segment conv: a second one of this name"},
    {segment_with_positions, "segment token: f32<2x4 per_image> is not a plain f32 type"},
    {state_with_positions, "state mean: f32<2x4 per_image> is no type of a state"},
    {committed_twice, "is committed twice"},
    {output_twice, "a second output of this name"},
    {composite_too_late, "a composite occurs before the stage expand only, this is optimizer"},
    {mask_too_early, "an op of the mask occurs from the stage sparsify on, this is select"},
    {hidden_too_early, "hidden(%cells) {size=[2, 2]}: an op of the mask occurs from the stage"},
    {update_too_early, "an update of the parameters occurs from the stage optimizer on"},
    {gradient_too_early, "an op of the backward pass occurs from the stage autodiff on"},
    {unknown_stage, "no stage is called linking"},
    {dense_meets_masked, "cannot mix a masked map with one that is not"},
    {broken_link, "is not linked to the node before it"},
    {broken_end, "the list of nodes does not end at its last node"},
    {no_batch, "geometry: batch, image and channels are not possible sizes"},
    {huge_image, "geometry: batch, image and channels are not possible sizes"},
    {ratio_not_a_power, "geometry: ratio 24 is not a power of two"},
    {image_not_a_multiple, "geometry: image extent 65 is not a multiple of the ratio 32"},
    {keep_beyond_cells, "geometry: keep 5 is not from 0 to the 4 cells"},
    {input_is_another_image, "the image is f32<2x64x64x4>"},
};

static void sound_graphs_pass(void) {
    Graph *graph = sound();
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 20);
    CU_ASSERT_TRUE(verify_graph(graph, diagnostics));
    CU_ASSERT_STRING_EQUAL(diagnostics_text(diagnostics, false), "");
    Graph *early = graph_create(graph->arena, "early", graph->geometry);
    CU_ASSERT_TRUE(verify_graph(early, diagnostics));
    Builder b = {.graph = early};
    Type image = type_dense(DTYPE_F32, 2, 2, early->geometry.image, 3);
    Value *x = build_stated(&b, OP_input, "image", image, NULL, 0,
                            ATTRIBUTES(attribute_text("name", "image")));
    build_unary(&b, OP_layer_norm, "norm", x);
    CU_ASSERT_TRUE(verify_graph(early, diagnostics));
    arena_destroy(graph->arena);
}

static void each_corruption_is_found(void) {
    for (size_t i = 0; i < sizeof corruptions / sizeof *corruptions; i++) {
        Graph *graph = sound();
        corruptions[i].corrupt(graph);
        Diagnostics *diagnostics = diagnostics_create(graph->arena, 20);
        CU_ASSERT_FALSE(verify_graph(graph, diagnostics));
        const char *text = diagnostics_text(diagnostics, false);
        if (!strstr(text, corruptions[i].found))
            fprintf(stderr, "expected %s, found\n%s", corruptions[i].found, text);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, corruptions[i].found));
        arena_destroy(graph->arena);
    }
}

static void all_errors_are_reported_with_their_nodes(void) {
    Graph *graph = sound();
    node_set_int(find(graph, "conv1"), "groups", 2);
    node_set_text(graph, find(graph, "loss"), "over", "column");
    graph->segments.items[1].offset = 0;
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 20);
    CU_ASSERT_FALSE(verify_graph(graph, diagnostics));
    CU_ASSERT_EQUAL(diagnostics_error_count(diagnostics), 3);
    const char *text = diagnostics_text(diagnostics, false);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "%conv1 : f32<2x32x32x8 masked 2> = conv(%masked, %conv)"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "%loss : f32[] = sum(%dense) {over=column}"));
    arena_destroy(graph->arena);
}

CU_TestInfo ir_verify[] = {
    {"sound graphs pass", sound_graphs_pass},
    {"each corruption is found", each_corruption_is_found},
    {"all errors are reported with their nodes", all_errors_are_reported_with_their_nodes},
    CU_TEST_INFO_NULL,
};
