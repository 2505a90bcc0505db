/* From a network to the loss: what is masked, what is refused, which parameters are added, what the
 * loss is. */
#include <math.h>
#include <string.h>

#include "ir/interpret/interpret.h"
#include "passes/layers.h"
#include "passes/passes.h"
#include "passes/report.h"
#include "tests/support/network.h"
#include "tests/unit/passes_suites.h"

/* A graph and what was said about it. */
typedef struct Case {
    Arena *arena;
    Diagnostics *diagnostics;
    Graph *graph;
    PassOptions options;
} Case;

static Case case_create(const SmallNetwork *network) {
    Arena *arena = arena_create();
    Case test = {.arena = arena,
                 .diagnostics = diagnostics_create(arena, 20),
                 .graph = small_network(arena, network),
                 .options = pass_options_default()};
    test.options.decoder_width = 32;
    return test;
}

static bool case_run(Case *test, const char *until) {
    return passes_run(test->graph, &test->options, until, test->diagnostics, NULL, NULL);
}

static void case_destroy(Case *test) {
    arena_destroy(test->arena);
}

/* Asserts that the passes up to the loss refuse the graph with exactly this text. */
static void expect_refusal(Case *test, const char *expected) {
    CU_ASSERT_FALSE(case_run(test, "objective"));
    char *text = diagnostics_text(test->diagnostics, false);
    CU_ASSERT_STRING_EQUAL(text, expected);
    if (strcmp(text, expected) != 0)
        printf("\n%s", text);
}

static const SmallNetwork stride_eight = {
    .levels = 3, .batch = 2, .height = 32, .width = 32, .batch_norm = true, .head = true};

static void keep_rounds_halves_to_even(void) {
    CU_ASSERT_EQUAL(passes_keep(49, 0.6), 20);
    CU_ASSERT_EQUAL(passes_keep(49, 0.5), 24);
    CU_ASSERT_EQUAL(passes_keep(51, 0.5), 26);
    CU_ASSERT_EQUAL(passes_keep(144, 0.75), 36);
    CU_ASSERT_EQUAL(passes_keep(16, 0.6), 6);
    CU_ASSERT_EQUAL(passes_keep(9, 0.6), 4);
    CU_ASSERT_EQUAL(passes_keep(1, 0.6), 0);
    CU_ASSERT_EQUAL(passes_keep(16, 0), 16);
}

static void encoder_becomes_masked(void) {
    Case test = case_create(&stride_eight);
    CU_ASSERT_TRUE_FATAL(case_run(&test, "sparsify"));
    CU_ASSERT_EQUAL(test.graph->geometry.keep, 6);
    for (int i = 0; i < 3; i++) {
        Node *feature = graph_find_output(test.graph, arena_format(test.arena, "feature.%d", i));
        CU_ASSERT_PTR_NOT_NULL_FATAL(feature);
        const Type *type = &feature->operands[0]->type;
        CU_ASSERT_EQUAL(type->form, FORM_MASKED);
        CU_ASSERT_EQUAL(type->stride, 2 << i);
        CU_ASSERT_EQUAL(type->extent[0], 16 >> i);
    }
    CU_ASSERT_PTR_NULL(graph_find_output(test.graph, "logits"));
    CU_ASSERT_PTR_NULL(graph_find_segment(test.graph, "fc.weight"));
    case_destroy(&test);
}

static void other_entries_stay_dense(void) {
    const Entry entries[] = {ENTRY_FEATURES, ENTRY_LOGITS};
    const char *const outputs[] = {"feature.2", "logits"};
    for (int i = 0; i < 2; i++) {
        Case test = case_create(&stride_eight);
        test.options.entry = entries[i];
        test.options.training = false;
        CU_ASSERT_TRUE_FATAL(case_run(&test, NULL));
        CU_ASSERT_EQUAL(test.graph->geometry.keep, 0);
        CU_ASSERT_PTR_NOT_NULL(graph_find_output(test.graph, outputs[i]));
        CU_ASSERT_PTR_NULL(graph_find_output(test.graph, outputs[1 - i]));
        CU_ASSERT_EQUAL(graph_find_segment(test.graph, "fc.weight") != NULL, i == 1);
        case_destroy(&test);
    }
}

static void batch_is_set(void) {
    Case test = case_create(&stride_eight);
    test.options.batch = 5;
    CU_ASSERT_TRUE_FATAL(case_run(&test, "objective"));
    CU_ASSERT_EQUAL(test.graph->geometry.batch, 5);
    CU_ASSERT_EQUAL(graph_find_input(test.graph, "cells")->type.extent[0], 5);
    case_destroy(&test);
}

/* Names of all segments and states from index `first` on, one a line. */
static char *segment_names(const Graph *graph, Arena *arena, size_t first) {
    Text text = text_create(arena);
    for (size_t i = first; i < graph->segments.count; i++)
        text_append(&text, "%s\n", graph->segments.items[i].name);
    return text.data;
}

static char *state_names(const Graph *graph, Arena *arena, size_t first) {
    Text text = text_create(arena);
    for (size_t i = first; i < graph->states.count; i++)
        text_append(&text, "%s\n", graph->states.items[i].name);
    return text.data;
}

static void parameters_have_the_official_names_and_order(void) {
    SmallNetwork network = stride_eight;
    network.levels = 2;
    Case test = case_create(&network);
    CU_ASSERT_TRUE_FATAL(case_run(&test, "objective"));
    CU_ASSERT_STRING_EQUAL(segment_names(test.graph, test.arena, 6),
                           "dense_decoder.dec.0.up_sample.weight\n"
                           "dense_decoder.dec.0.up_sample.bias\n"
                           "dense_decoder.dec.0.conv.0.weight\n"
                           "dense_decoder.dec.0.conv.1.weight\n"
                           "dense_decoder.dec.0.conv.1.bias\n"
                           "dense_decoder.dec.0.conv.3.weight\n"
                           "dense_decoder.dec.0.conv.4.weight\n"
                           "dense_decoder.dec.0.conv.4.bias\n"
                           "dense_decoder.dec.1.up_sample.weight\n"
                           "dense_decoder.dec.1.up_sample.bias\n"
                           "dense_decoder.dec.1.conv.0.weight\n"
                           "dense_decoder.dec.1.conv.1.weight\n"
                           "dense_decoder.dec.1.conv.1.bias\n"
                           "dense_decoder.dec.1.conv.3.weight\n"
                           "dense_decoder.dec.1.conv.4.weight\n"
                           "dense_decoder.dec.1.conv.4.bias\n"
                           "dense_decoder.proj.weight\n"
                           "dense_decoder.proj.bias\n"
                           "densify_norms.0.weight\n"
                           "densify_norms.0.bias\n"
                           "densify_norms.1.weight\n"
                           "densify_norms.1.bias\n"
                           "densify_projs.1.weight\n"
                           "densify_projs.1.bias\n"
                           "mask_tokens.0\n"
                           "mask_tokens.1\n");
    CU_ASSERT_STRING_EQUAL(state_names(test.graph, test.arena, 6),
                           "dense_decoder.dec.0.conv.1.running_mean\n"
                           "dense_decoder.dec.0.conv.1.running_var\n"
                           "dense_decoder.dec.0.conv.1.num_batches_tracked\n"
                           "dense_decoder.dec.0.conv.4.running_mean\n"
                           "dense_decoder.dec.0.conv.4.running_var\n"
                           "dense_decoder.dec.0.conv.4.num_batches_tracked\n"
                           "dense_decoder.dec.1.conv.1.running_mean\n"
                           "dense_decoder.dec.1.conv.1.running_var\n"
                           "dense_decoder.dec.1.conv.1.num_batches_tracked\n"
                           "dense_decoder.dec.1.conv.4.running_mean\n"
                           "dense_decoder.dec.1.conv.4.running_var\n"
                           "dense_decoder.dec.1.conv.4.num_batches_tracked\n"
                           "densify_norms.0.running_mean\n"
                           "densify_norms.0.running_var\n"
                           "densify_norms.0.num_batches_tracked\n"
                           "densify_norms.1.running_mean\n"
                           "densify_norms.1.running_var\n"
                           "densify_norms.1.num_batches_tracked\n");
    case_destroy(&test);
}

static void expect_segment(const Graph *graph, const char *name, int file_rank,
                           const int64_t *file_shape, Init init) {
    const Segment *segment = graph_find_segment(graph, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(segment);
    CU_ASSERT_EQUAL(segment->file_rank, file_rank);
    for (int d = 0; d < file_rank; d++)
        CU_ASSERT_EQUAL(segment->file_shape[d], file_shape[d]);
    CU_ASSERT_EQUAL(segment->init.kind, init.kind);
    CU_ASSERT_DOUBLE_EQUAL(segment->init.a, init.a, 1e-15);
    CU_ASSERT_EQUAL(segment->init.b, init.b);
}

#define SHAPE(...)                                                                                 \
    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) {           \
        __VA_ARGS__                                                                                \
    }

/* Levels of 64, 32, 16 channels; width 32. */
static void parameters_have_the_official_shapes_and_values(void) {
    Case test = case_create(&stride_eight);
    CU_ASSERT_TRUE_FATAL(case_run(&test, "objective"));
    expect_segment(test.graph, "dense_decoder.dec.1.up_sample.weight", SHAPE(16, 16, 4, 4),
                   (Init){INIT_NORMAL, sqrt(2.0 / (16 * 16)), 0});
    expect_segment(test.graph, "dense_decoder.dec.1.conv.3.weight", SHAPE(8, 16, 3, 3),
                   (Init){INIT_TRUNCATED_NORMAL, 0.02, 2});
    expect_segment(test.graph, "dense_decoder.proj.weight", SHAPE(3, 4, 1, 1),
                   (Init){INIT_TRUNCATED_NORMAL, 0.02, 2});
    expect_segment(test.graph, "densify_projs.0.weight", SHAPE(32, 64, 1, 1),
                   (Init){INIT_UNIFORM, 1 / 8.0, 0});
    expect_segment(test.graph, "densify_projs.2.weight", SHAPE(8, 16, 3, 3),
                   (Init){INIT_UNIFORM, 1 / 12.0, 0});
    expect_segment(test.graph, "densify_projs.2.bias", SHAPE(8), (Init){INIT_UNIFORM, 1 / 12.0, 0});
    expect_segment(test.graph, "mask_tokens.0", SHAPE(1, 64, 1, 1),
                   (Init){INIT_TRUNCATED_NORMAL, 0.02, 0.02});
    CU_ASSERT_FALSE(graph_find_segment(test.graph, "mask_tokens.0")->decays);
    CU_ASSERT_FALSE(graph_find_segment(test.graph, "densify_projs.0.bias")->decays);
    CU_ASSERT_TRUE(graph_find_segment(test.graph, "dense_decoder.dec.0.up_sample.weight")->decays);
    case_destroy(&test);
}

static void layer_norm_networks_densify_with_layer_norm(void) {
    SmallNetwork network = stride_eight;
    network.batch_norm = false;
    Case test = case_create(&network);
    CU_ASSERT_TRUE_FATAL(case_run(&test, "objective"));
    CU_ASSERT_PTR_NULL(graph_find_state(test.graph, "densify_norms.0.running_mean"));
    bool found = false;
    graph_each(test.graph, node) {
        if (node->op != OP_layer_norm || strcmp(node->results[0].name, "densify_norms.0") != 0)
            continue;
        found = true;
        CU_ASSERT_EQUAL(node_float(node, "eps"), 1e-6);
    }
    CU_ASSERT_TRUE(found);
    case_destroy(&test);
}

/* Fills parameters with small numbers that differ. */
static void fill_parameters(Interpreter *interpreter, const Graph *graph) {
    for (size_t i = 0; i < graph->segments.count; i++) {
        Tensor tensor = interpreter_param(interpreter, graph->segments.items[i].name);
        for (size_t j = 0; j < tensor.count; j++)
            tensor.data[j] = 0.3 * sin((double)(i * 131 + j * 7 + 1));
    }
}

static double *fill_image(Arena *arena, size_t count) {
    double *image = arena_new_array(arena, double, count);
    for (size_t i = 0; i < count; i++)
        image[i] = cos((double)(i * 37 % 1009));
    return image;
}

/* The loss of one hidden patch of `side` pixels at (top, left), by the paper's formula. */
static double patch_loss(const double *image, const double *picture, const Geometry *geometry,
                         int64_t top, int64_t left) {
    double sum = 0, squares = 0, loss = 0;
    int64_t side = geometry->ratio, channels = geometry->channels;
    int64_t count = side * side * channels;
    for (int pass = 0; pass < 3; pass++) {
        double mean = sum / (double)count;
        double deviation = sqrt(squares / (double)(count - 1) + 1e-6);
        for (int64_t i = 0; i < count; i++) {
            int64_t y = top + i / channels / side, x = left + i / channels % side;
            int64_t place = (y * geometry->image[1] + x) * channels + i % channels;
            double centred = image[place] - mean;
            if (pass == 0)
                sum += image[place];
            else if (pass == 1)
                squares += centred * centred;
            else
                loss += pow(picture[place] - centred / deviation, 2);
        }
    }
    return loss / (double)count;
}

static bool is_visible(const double *cells, int64_t keep, int64_t cell) {
    for (int64_t i = 0; i < keep; i++) {
        if ((int64_t)cells[i] == cell)
            return true;
    }
    return false;
}

static double expected_loss(const Graph *graph, const double *image, const double *picture,
                            const double *cells) {
    const Geometry *geometry = &graph->geometry;
    int64_t pixels = geometry->image[0] * geometry->image[1] * geometry->channels, hidden = 0;
    double loss = 0;
    for (int64_t b = 0; b < geometry->batch; b++) {
        for (int64_t cell = 0; cell < graph_cells(graph); cell++) {
            if (is_visible(cells + b * geometry->keep, geometry->keep, cell))
                continue;
            int64_t top = cell / graph_grid(graph, 1) * geometry->ratio;
            int64_t left = cell % graph_grid(graph, 1) * geometry->ratio;
            loss += patch_loss(image + b * pixels, picture + b * pixels, geometry, top, left);
            hidden++;
        }
    }
    return loss / ((double)hidden + 1e-8);
}

/* Visible cells i, i + 2, .. of each image. */
static double *choose_cells(Arena *arena, const Graph *graph) {
    int64_t keep = graph->geometry.keep, batch = graph->geometry.batch;
    double *cells = arena_new_array(arena, double, (size_t)(keep * batch));
    for (int64_t i = 0; i < keep * batch; i++)
        cells[i] = (double)(2 * (i % keep) + i / keep % 2);
    return cells;
}

static void compare_loss(const SmallNetwork *network) {
    Case test = case_create(network);
    test.options.entry = ENTRY_RECONSTRUCT;
    CU_ASSERT_TRUE_FATAL(case_run(&test, NULL));
    Interpreter *interpreter = interpreter_create(test.graph);
    const Type *type = &graph_find_input(test.graph, "image")->type;
    size_t count = (size_t)graph_elements(test.graph, type);
    double *image = fill_image(test.arena, count), *cells = choose_cells(test.arena, test.graph);
    size_t visible = (size_t)(test.graph->geometry.keep * test.graph->geometry.batch);
    fill_parameters(interpreter, test.graph);
    interpreter_set_input(interpreter, test.arena, "image", image, count);
    interpreter_set_input(interpreter, test.arena, "cells", cells, visible);
    CU_ASSERT_PTR_NULL_FATAL(interpreter_run(interpreter, test.arena).message);
    Tensor picture = interpreter_output(interpreter, "reconstruction");
    CU_ASSERT_EQUAL_FATAL(picture.count, count);
    double loss = expected_loss(test.graph, image, picture.data, cells);
    CU_ASSERT_DOUBLE_EQUAL(interpreter_output(interpreter, "loss").data[0], loss, 1e-12 * loss);
    CU_ASSERT_TRUE(loss > 0.1);
    interpreter_destroy(interpreter);
    case_destroy(&test);
}

static void loss_follows_its_formula(void) {
    compare_loss(&stride_eight);
    compare_loss(
        &(SmallNetwork){.levels = 2, .batch = 1, .channels = 1, .height = 16, .width = 32});
    compare_loss(&(SmallNetwork){.levels = 2,
                                 .batch = 2,
                                 .channels = 4,
                                 .height = 24,
                                 .width = 16,
                                 .first_stride = 4,
                                 .batch_norm = true});
}

static void exposes_what_comparisons_need(void) {
    Case test = case_create(&stride_eight);
    test.options.expose = true;
    CU_ASSERT_TRUE_FATAL(case_run(&test, NULL));
    const char *const names[] = {"loss",    "feature.0",        "feature.2", "todec.0",
                                 "todec.2", "reconstruction",   "target",    "grad_norm",
                                 "ok",      "grad.conv0.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CU_ASSERT_PTR_NOT_NULL(graph_find_output(test.graph, names[i]));
    CU_ASSERT_EQUAL(graph_find_output(test.graph, "todec.0")->operands[0]->type.extent[0], 4);
    CU_ASSERT_EQUAL(graph_find_output(test.graph, "feature.0")->operands[0]->type.form,
                    FORM_MASKED);
    case_destroy(&test);
}

static void update_needs_no_network(void) {
    Case test = case_create(&stride_eight);
    test.options.entry = ENTRY_UPDATE;
    CU_ASSERT_TRUE_FATAL(case_run(&test, NULL));
    CU_ASSERT_PTR_NULL(graph_find_input(test.graph, "image"));
    CU_ASSERT_PTR_NOT_NULL(graph_find_input(test.graph, "gradients"));
    CU_ASSERT_PTR_NOT_NULL(graph_find_segment(test.graph, "mask_tokens.2"));
    case_destroy(&test);
}

static void mask_ratio_zero_keeps_all(void) {
    Case test = case_create(&stride_eight);
    test.options.mask_ratio = 0;
    CU_ASSERT_TRUE_FATAL(case_run(&test, NULL));
    CU_ASSERT_EQUAL(test.graph->geometry.keep, 16);
    case_destroy(&test);
}

/* Refusals. */

static void image_of_one_cell_is_refused(void) {
    SmallNetwork network = stride_eight;
    network.levels = 5;
    Case test = case_create(&network);
    expect_refusal(&test,
                   "net.cnn:1:5: error: no cell kept: an image of 32 x 32 has 1 x 1 cells of 32 "
                   "pixels a side, and mask ratio 0.6 hides all of them\n"
                   "  hint: at mask ratio 0.6 the smallest square input is 64 x 64\n");
    case_destroy(&test);
}

static void mask_that_hides_nothing_is_refused(void) {
    Case test = case_create(&stride_eight);
    test.options.mask_ratio = 0.01;
    expect_refusal(&test, "net.cnn:1:5: error: no cell hidden: an image of 32 x 32 has 4 x 4 cells "
                          "of 8 pixels a side, and mask ratio 0.01 hides none\n"
                          "  hint: at mask ratio 0.01 the smallest square input is 64 x 64\n");
    case_destroy(&test);
}

static void mask_ratio_out_of_range_is_refused(void) {
    const double ratios[] = {1, -0.5, NAN};
    const char *const shown[] = {"1", "-0.5", "nan"};
    for (int i = 0; i < 3; i++) {
        Case test = case_create(&stride_eight);
        test.options.mask_ratio = ratios[i];
        expect_refusal(&test, arena_format(test.arena,
                                           "error: the mask ratio must be at least 0 and less than "
                                           "1, this is %s\n",
                                           shown[i]));
        case_destroy(&test);
    }
}

static void decoder_width_must_halve(void) {
    Case test = case_create(&stride_eight);
    test.options.decoder_width = 100;
    expect_refusal(&test, "error: the decoder width must be a multiple of 8, this is 100\n"
                          "  note: it is halved 3 times on the way to the image\n"
                          "  hint: the nearest are 96 and 104\n");
    case_destroy(&test);
}

static void huge_decoder_is_refused(void) {
    const int64_t widths[] = {(int64_t)1 << 40, 8 << 16};
    for (int i = 0; i < 2; i++) {
        Case test = case_create(&stride_eight);
        test.options.decoder_width = widths[i];
        expect_refusal(&test,
                       arena_format(test.arena,
                                    "error: a decoder of width %lld is too large: one tensor "
                                    "would have more than 2^31 - 1 elements\n",
                                    (long long)widths[i]));
        case_destroy(&test);
    }
}

static void network_without_features_is_refused(void) {
    Case test = case_create(&(SmallNetwork){.levels = 0, .height = 32, .width = 32});
    expect_refusal(&test, "net.cnn:1:5: error: network small has no feature\n"
                          "  hint: `feature x` marks a map that the decoder sees\n");
    case_destroy(&test);
}

static void network_without_head_has_no_logits(void) {
    SmallNetwork network = stride_eight;
    network.head = false;
    Case test = case_create(&network);
    test.options.entry = ENTRY_LOGITS;
    expect_refusal(&test, "net.cnn:1:5: error: network small has no head\n"
                          "  hint: head { ... } at the end of a network gives its logits\n");
    case_destroy(&test);
}

static void layer_with_an_official_name_is_refused(void) {
    Case test = case_create(&stride_eight);
    Segment segment = {.name = "mask_tokens.1",
                       .part = PART_ENCODER,
                       .type = type_vector(DTYPE_F32, 1),
                       .file_rank = 1,
                       .file_shape = {1},
                       .lr_scale = 1};
    graph_add_segment(test.graph, segment);
    expect_refusal(&test, "error: the network has a layer mask_tokens.1, a name that pretraining "
                          "needs itself\n"
                          "  hint: give that layer another label\n");
    case_destroy(&test);
}

/* Puts an op that keeps the shape between the first level's relu and its users, after a map of half
 * the size. */
static Case case_with_op(Op op, const NamedAttribute *attributes, int count) {
    Case test = case_create(&stride_eight);
    Node *relu = graph_find_output(test.graph, "feature.0")->operands[0]->node;
    Value *x = node_result(relu, 0);
    Builder builder = {.graph = test.graph, .before = relu->next, .location = relu->location};
    Node *node = build(&builder, op, "layer9", OPERANDS(x), attributes, count);
    graph_replace_uses(test.graph, x, node_result(node, 0));
    node->operands[0] = x;
    return test;
}

static void group_and_instance_norms_have_masked_forms(void) {
    Case test = case_with_op(OP_group_norm, ATTRIBUTES(attribute_int("groups", 4)));
    CU_ASSERT_TRUE(case_run(&test, NULL));
    case_destroy(&test);
    test = case_with_op(OP_instance_norm, NO_ATTRIBUTES);
    CU_ASSERT_TRUE(case_run(&test, NULL));
    case_destroy(&test);
}

/* A second output of the encoder, so that features stay as they are. */
static Case case_with_branch(Op op, Value *(*make)(Builder *, Value *)) {
    Case test = case_create(&stride_eight);
    Node *output = graph_find_output(test.graph, "feature.0");
    Builder builder = {.graph = test.graph, .before = output, .location = output->location};
    Value *x = make(&builder, output->operands[0]);
    CU_ASSERT_EQUAL(x->node->op, op);
    build(&builder, OP_output, NULL, OPERANDS(x),
          ATTRIBUTES(attribute_text("name", "feature.side")));
    return test;
}

static Value *make_bilinear(Builder *builder, Value *x) {
    return node_result(build(builder, OP_upsample, "up", OPERANDS(x),
                             ATTRIBUTES(attribute_ints("factor", (int64_t[]){2, 2}, 2),
                                        attribute_text("mode", "bilinear"))),
                       0);
}

static Value *make_flatten(Builder *builder, Value *x) {
    return build_unary(builder, OP_flatten, "flat", x);
}

static Value *make_conv_transpose(Builder *builder, Value *x) {
    ConvLayer layer = {.name = "up1",
                       .transposed = true,
                       .in = x->type.channels,
                       .out = 8,
                       .kernel = 2,
                       .stride = 2};
    CU_ASSERT_TRUE(layers_add_conv(builder->graph, &layer));
    return layers_conv(builder, &layer, x);
}

static void ops_without_masked_form_are_refused(void) {
    Case test = case_with_branch(OP_upsample, make_bilinear);
    expect_refusal(&test,
                   "net.cnn:4:5: error: upsample with mode = \"bilinear\" in the encoder has no "
                   "masked form: it would blend hidden positions into visible ones\n"
                   "  note: this is layer up\n"
                   "  hint: mode = \"nearest\" has one\n");
    case_destroy(&test);
    test = case_with_branch(OP_flatten, make_flatten);
    expect_refusal(&test,
                   "net.cnn:4:5: error: flatten in the encoder has no masked form: a vector of "
                   "all positions would hold hidden ones\n"
                   "  note: this is layer flat\n"
                   "  hint: global_avg_pool takes the mean over the visible positions\n");
    case_destroy(&test);
    test = case_with_branch(OP_conv_transpose, make_conv_transpose);
    expect_refusal(&test, "net.cnn:4:5: error: conv_transpose in the encoder has no masked form: a "
                          "position spreads over its neighbours, hidden ones among them\n"
                          "  note: this is layer up1\n"
                          "  hint: upsample followed by a conv has one\n");
    case_destroy(&test);
}

static void report_lists_every_layer(void) {
    Case test = case_create(&stride_eight);
    Report report;
    CU_ASSERT_TRUE_FATAL(
        report_create(test.graph, &test.options, test.arena, test.diagnostics, &report));
    const ReportLayer *conv = &report.layers.items[0];
    CU_ASSERT_STRING_EQUAL(conv->name, "conv0");
    CU_ASSERT_EQUAL(conv->part, PART_ENCODER);
    CU_ASSERT_STRING_EQUAL(conv->rule, masked_rule_text(MASKED_TAPS));
    CU_ASSERT_EQUAL(conv->after.stride, 2);
    CU_ASSERT_EQUAL(conv->macs_dense, 2 * 16 * 16 * 9 * 3 * 16);
    CU_ASSERT_EQUAL(conv->macs_masked, 2 * 6 * 4 * 4 * 9 * 3 * 16);
    int64_t parts[PART_TRAINING + 1] = {0}, total = 0;
    for (size_t i = 0; i < report.layers.count; i++) {
        parts[report.layers.items[i].part]++;
        if (report.layers.items[i].part != PART_HEAD)
            total += report.layers.items[i].macs_masked;
    }
    CU_ASSERT_EQUAL(parts[PART_ENCODER], 9);
    CU_ASSERT_EQUAL(parts[PART_HEAD], 2);
    CU_ASSERT_TRUE(parts[PART_DENSIFY] > 0 && parts[PART_DECODER] > 0);
    CU_ASSERT_EQUAL(total, report.macs_masked);
    CU_ASSERT_TRUE(report.macs_masked < report.macs_dense);
    CU_ASSERT_STRING_EQUAL(test.graph->stage, "frontend");
    case_destroy(&test);
}

CU_TestInfo passes_pretraining_tests[] = {
    {"keep rounds halves to even", keep_rounds_halves_to_even},
    {"the encoder becomes masked", encoder_becomes_masked},
    {"other entries stay dense", other_entries_stay_dense},
    {"the batch is set", batch_is_set},
    {"parameters have the official names and order", parameters_have_the_official_names_and_order},
    {"parameters have the official shapes and values",
     parameters_have_the_official_shapes_and_values},
    {"layer norm networks densify with layer norm", layer_norm_networks_densify_with_layer_norm},
    {"the loss follows its formula", loss_follows_its_formula},
    {"exposes what comparisons need", exposes_what_comparisons_need},
    {"an update needs no network", update_needs_no_network},
    {"mask ratio 0 keeps all", mask_ratio_zero_keeps_all},
    {"an image of one cell is refused", image_of_one_cell_is_refused},
    {"a mask that hides nothing is refused", mask_that_hides_nothing_is_refused},
    {"a mask ratio out of range is refused", mask_ratio_out_of_range_is_refused},
    {"the decoder width must halve", decoder_width_must_halve},
    {"a huge decoder is refused", huge_decoder_is_refused},
    {"a network without features is refused", network_without_features_is_refused},
    {"a network without head has no logits", network_without_head_has_no_logits},
    {"a layer with an official name is refused", layer_with_an_official_name_is_refused},
    {"group and instance norms have masked forms", group_and_instance_norms_have_masked_forms},
    {"ops without masked form are refused", ops_without_masked_form_are_refused},
    {"the report lists every layer", report_lists_every_layer},
    CU_TEST_INFO_NULL,
};
