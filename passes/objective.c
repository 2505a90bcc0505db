/* objective: from the encoder's masked maps to the loss ("Densify", "Decoder" and "Loss" in the
 * paper's code).
 *
 *     output %x {name="feature.0"}          %n = batch_norm %x, ...              (densify_norms)
 *                                     ->    %d = densify %n, %mask_token         (hidden positions)
 *                                           %p = conv %d, ...                    (densify_projs)
 *                                           %r = ... decoder ...                 (dense_decoder)
 *                                           %t = patch_normalise %image
 *                                           output (mean of (%r - %t)^2 over hidden patches)
 * {name="loss"}
 *
 * With n = log2(ratio), decoder block i = 0 .. n - 1 doubles a map of stride ratio / 2^i and halves
 * its channels, width / 2^i at first. Level i, counted from the smallest feature, enters block i.
 * Levels that the network has no feature of are left out: block 0 alone must have one.
 *
 * Reading width, channels or the kind of norm from the network's name, as the official code does,
 * is silently wrong for networks of one's own; here all of it is looked up in the graph. */
#include <inttypes.h>
#include <math.h>

#include "base/fatal.h"
#include "passes/dce.h"
#include "passes/finetune.h"
#include "passes/layers.h"
#include "passes/network.h"

enum { MAX_LEVELS = 31 };

typedef struct Objective {
    Graph *graph;
    const PassOptions *options;
    Diagnostics *diagnostics;
    Builder builder;
    Value *image, *cells;
    Value *levels[MAX_LEVELS]; /* encoder maps, 0 the smallest */
    int level_count;
    int block_count;
} Objective;

/* Levels and shapes. */

static int log2_exact(int64_t power) {
    int exponent = 0;
    while (power > 1) {
        power /= 2;
        exponent++;
    }
    return exponent;
}

/* Channels of the decoder at a level; at level n, those that `proj` reads. */
static int64_t width_at(const Objective *objective, int level) {
    return objective->options->decoder_width >> level;
}

static bool check_levels(const Objective *objective) {
    int64_t stride = objective->graph->geometry.ratio;
    for (int i = 0; i < objective->level_count; i++, stride /= 2) {
        const Value *level = objective->levels[i];
        if (level->type.form == FORM_MASKED && level->type.stride == stride &&
            level->type.dtype == DTYPE_F32)
            continue;
        diagnostics_report(objective->diagnostics, SEVERITY_ERROR, level->node->location,
                           "the feature %s is %s, where a masked f32 map of stride %" PRId64
                           " is due",
                           level->name, type_text(objective->graph->arena, &level->type), stride);
        return false;
    }
    return true;
}

/* The largest number of elements that one image has in decoder block `block`, or its largest
 * weight has, whichever is more. */
static int64_t block_elements(const Objective *objective, int block) {
    const Geometry *geometry = &objective->graph->geometry;
    int64_t width = width_at(objective, block);
    int64_t map = width, weight = type_multiply(width, width);
    for (int d = 0; d < geometry->space; d++) {
        map = type_multiply(map, geometry->image[d] / (geometry->ratio >> (block + 1)));
        weight = type_multiply(weight, 4);
    }
    return map > weight ? map : weight;
}

/* The number of elements of the weight that brings a level to the decoder's width. */
static int64_t projection_elements(const Objective *objective, int level) {
    int64_t in = objective->levels[level]->type.channels;
    int64_t elements = type_multiply(in, width_at(objective, level));
    for (int d = 0; level > 0 && d < objective->graph->geometry.space; d++)
        elements = type_multiply(elements, 3);
    return elements;
}

static bool fits(const Objective *objective) {
    for (int i = 0; i < objective->block_count; i++) {
        if (block_elements(objective, i) > INT32_MAX)
            return false;
    }
    for (int i = 0; i < objective->level_count; i++) {
        if (projection_elements(objective, i) > INT32_MAX)
            return false;
    }
    return true;
}

static bool check_width(const Objective *objective) {
    Diagnostics *diagnostics = objective->diagnostics;
    int64_t width = objective->options->decoder_width, ratio = objective->graph->geometry.ratio;
    if (width <= 0 || width % ratio != 0) {
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "the decoder width must be a multiple of %" PRId64 ", this is %" PRId64,
                           ratio, width);
        diagnostics_note(diagnostics, "it is halved %d times on the way to the image",
                         objective->block_count);
        int64_t below = width > 0 && width <= INT32_MAX ? width / ratio * ratio : 0;
        if (below > 0)
            diagnostics_hint(diagnostics, "the nearest are %" PRId64 " and %" PRId64, below,
                             below + ratio);
        else if (width <= INT32_MAX)
            diagnostics_hint(diagnostics, "the smallest is %" PRId64, ratio);
        return false;
    }
    if (fits(objective))
        return true;
    diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                       "a decoder of width %" PRId64 " is too large: one tensor would have more "
                       "than 2^31 - 1 elements",
                       width);
    return false;
}

/* Layers. */

static bool uses_batch_norm(const Objective *objective) {
    switch (objective->options->densify_norm) {
    case DENSIFY_BATCH_NORM:
        return true;
    case DENSIFY_LAYER_NORM:
        return false;
    case DENSIFY_AUTO:
        break;
    }
    return network_uses_batch_norm(objective->graph);
}

static const char *numbered(const Objective *objective, const char *format_prefix, int index,
                            const char *rest) {
    return arena_format(objective->graph->arena, "%s.%d%s", format_prefix, index, rest);
}

static NormLayer densify_norm(const Objective *objective, int level) {
    bool batch = uses_batch_norm(objective);
    return (NormLayer){.name = numbered(objective, "densify_norms", level, ""),
                       .part = PART_DENSIFY,
                       .batch = batch,
                       .channels = objective->levels[level]->type.channels,
                       .eps = batch ? 1e-5 : 1e-6};
}

static bool has_projection(const Objective *objective, int level) {
    return level > 0 || objective->levels[0]->type.channels != width_at(objective, 0);
}

/* PyTorch's default initialisation: uniform in +-1 / sqrt(fan in), weight and bias. */
static ConvLayer densify_projection(const Objective *objective, int level) {
    int64_t in = objective->levels[level]->type.channels, kernel = level == 0 ? 1 : 3;
    double fan_in = (double)in * pow((double)kernel, objective->graph->geometry.space);
    Init init = {INIT_UNIFORM, 1 / sqrt(fan_in), 0};
    return (ConvLayer){.name = numbered(objective, "densify_projs", level, ""),
                       .part = PART_DENSIFY,
                       .bias = true,
                       .in = in,
                       .out = width_at(objective, level),
                       .kernel = kernel,
                       .stride = 1,
                       .pad = kernel / 2,
                       .weight_init = init,
                       .bias_init = init};
}

/* Kaiming normal by fan out; PyTorch counts the input channels of a transposed convolution there.
 */
static ConvLayer decoder_up(const Objective *objective, int block) {
    int64_t width = width_at(objective, block);
    double fan_out = (double)width * pow(4, objective->graph->geometry.space);
    return (ConvLayer){.name = numbered(objective, "dense_decoder.dec", block, ".up_sample"),
                       .part = PART_DECODER,
                       .transposed = true,
                       .bias = true,
                       .in = width,
                       .out = width,
                       .kernel = 4,
                       .stride = 2,
                       .pad = 1,
                       .weight_init = {INIT_NORMAL, sqrt(2 / fan_out), 0},
                       .bias_init = {INIT_CONSTANT, 0, 0}};
}

/* Deviation 0.02; the official cut at +-2 stands a hundred deviations away. */
static const Init decoder_init = {INIT_TRUNCATED_NORMAL, 0.02, 2};

/* conv.0 keeps the channels, conv.3 halves them. */
static ConvLayer decoder_conv(const Objective *objective, int block, bool halves) {
    return (ConvLayer){
        .name = numbered(objective, "dense_decoder.dec", block, halves ? ".conv.3" : ".conv.0"),
        .part = PART_DECODER,
        .in = width_at(objective, block),
        .out = width_at(objective, halves ? block + 1 : block),
        .kernel = 3,
        .stride = 1,
        .pad = 1,
        .weight_init = decoder_init};
}

static NormLayer decoder_norm(const Objective *objective, int block, bool halved) {
    return (NormLayer){
        .name = numbered(objective, "dense_decoder.dec", block, halved ? ".conv.4" : ".conv.1"),
        .part = PART_DECODER,
        .batch = true,
        .channels = width_at(objective, halved ? block + 1 : block),
        .eps = 1e-5};
}

static ConvLayer decoder_projection(const Objective *objective) {
    return (ConvLayer){.name = "dense_decoder.proj",
                       .part = PART_DECODER,
                       .bias = true,
                       .in = width_at(objective, objective->block_count),
                       .out = objective->graph->geometry.channels,
                       .kernel = 1,
                       .stride = 1,
                       .pad = 0,
                       .weight_init = decoder_init,
                       .bias_init = {INIT_CONSTANT, 0, 0}};
}

/* Parameters, in the order of the official state dictionary. */

static void check_added(Objective *objective, bool added, const char *name) {
    if (added)
        return;
    diagnostics_report(objective->diagnostics, SEVERITY_ERROR, (Location){0},
                       "the network has a layer %s, a name that pretraining needs itself", name);
    diagnostics_hint(objective->diagnostics, "give that layer another label");
}

static void add_conv(Objective *objective, ConvLayer layer) {
    check_added(objective, layers_add_conv(objective->graph, &layer), layer.name);
}

static void add_norm(Objective *objective, NormLayer layer) {
    check_added(objective, layers_add_norm(objective->graph, &layer), layer.name);
}

/* File shape [1, channels, 1, 1]. */
static void add_mask_token(Objective *objective, int level) {
    int64_t channels = objective->levels[level]->type.channels;
    Segment token = {.name = numbered(objective, "mask_tokens", level, ""),
                     .part = PART_DENSIFY,
                     .role = ROLE_MASK_TOKEN,
                     .type = type_vector(DTYPE_F32, channels),
                     .layout = LAYOUT_AS_IS,
                     .file_rank = 2 + objective->graph->geometry.space,
                     .file_shape = {1, channels, 1, 1, 1},
                     .init = {INIT_TRUNCATED_NORMAL, 0.02, 0.02},
                     .decays = false,
                     .lr_scale = 1};
    check_added(objective, graph_add_segment(objective->graph, token), token.name);
}

static bool add_parameters(Objective *objective) {
    int errors = diagnostics_error_count(objective->diagnostics);
    for (int i = 0; i < objective->block_count; i++) {
        add_conv(objective, decoder_up(objective, i));
        add_conv(objective, decoder_conv(objective, i, false));
        add_norm(objective, decoder_norm(objective, i, false));
        add_conv(objective, decoder_conv(objective, i, true));
        add_norm(objective, decoder_norm(objective, i, true));
    }
    add_conv(objective, decoder_projection(objective));
    for (int i = 0; i < objective->level_count; i++)
        add_norm(objective, densify_norm(objective, i));
    for (int i = 0; i < objective->level_count; i++) {
        if (has_projection(objective, i))
            add_conv(objective, densify_projection(objective, i));
    }
    for (int i = 0; i < objective->level_count; i++)
        add_mask_token(objective, i);
    return diagnostics_error_count(objective->diagnostics) == errors;
}

/* Ops. */

static Value *conv(Objective *objective, ConvLayer layer, Value *x) {
    return layers_conv(&objective->builder, &layer, x);
}

static Value *norm(Objective *objective, NormLayer layer, Value *x) {
    return layers_norm(&objective->builder, &layer, x);
}

/* A level as the decoder sees it: dense, with the decoder's width. */
static Value *densify(Objective *objective, int level) {
    Builder *builder = &objective->builder;
    Value *x = objective->levels[level];
    builder->location = x->node->location;
    x = norm(objective, densify_norm(objective, level), x);
    Value *token = build_param(builder, numbered(objective, "mask_tokens", level, ""));
    Node *dense = build(builder, OP_densify, numbered(objective, "densify", level, ""),
                        OPERANDS(x, token), NO_ATTRIBUTES);
    x = node_result(dense, 0);
    if (has_projection(objective, level))
        x = conv(objective, densify_projection(objective, level), x);
    builder->location = (Location){0};
    return x;
}

static Value *decode_block(Objective *objective, int block, Value *x) {
    x = conv(objective, decoder_up(objective, block), x);
    x = conv(objective, decoder_conv(objective, block, false), x);
    x = norm(objective, decoder_norm(objective, block, false), x);
    x = build_unary(&objective->builder, OP_relu6,
                    numbered(objective, "dense_decoder.dec", block, ".conv.2"), x);
    x = conv(objective, decoder_conv(objective, block, true), x);
    return norm(objective, decoder_norm(objective, block, true), x);
}

/* The picture, from the densified levels. */
static Value *decode(Objective *objective, Value *const *levels) {
    Value *x = levels[0];
    for (int i = 0; i < objective->block_count; i++) {
        if (i > 0 && i < objective->level_count)
            x = build_binary(&objective->builder, OP_add,
                             numbered(objective, "dense_decoder.dec", i, ".input"), x, levels[i]);
        x = decode_block(objective, i, x);
    }
    return conv(objective, decoder_projection(objective), x);
}

static Value *build_target(Objective *objective) {
    Node *node =
        build(&objective->builder, OP_patch_normalise, "target", OPERANDS(objective->image),
              ATTRIBUTES(attribute_int("patch", objective->graph->geometry.ratio)));
    return node_result(node, 0);
}

/* The mean squared difference of each patch, summed over the hidden patches of the batch, divided
 * by their number + 1e-8. */
static Value *build_loss(Objective *objective, Value *picture, Value *target) {
    Builder *builder = &objective->builder;
    const Geometry *geometry = &objective->graph->geometry;
    Value *difference = build_binary(builder, OP_sub, "difference", picture, target);
    Value *square = build_binary(builder, OP_mul, "square", difference, difference);
    Node *hidden = build(builder, OP_hidden, "hidden", OPERANDS(objective->cells),
                         ATTRIBUTES(attribute_ints("size", geometry->image, geometry->space)));
    Value *counted = build_binary(builder, OP_mul, "hidden_square", square, node_result(hidden, 0));
    Value *sum = build_sum(builder, "sum", counted, "all");
    double patch = (double)geometry->channels * pow((double)geometry->ratio, geometry->space);
    double patches =
        (double)geometry->batch * (double)(graph_cells(objective->graph) - geometry->keep);
    return build_scale(builder, NULL, sum, 1 / (patch * (patches + 1e-8)));
}

static void add_output(Objective *objective, const char *name, Value *value) {
    build(&objective->builder, OP_output, NULL, OPERANDS(value),
          ATTRIBUTES(attribute_text("name", name)));
}

static void add_forward(Objective *objective) {
    const PassOptions *options = objective->options;
    Value *levels[MAX_LEVELS];
    for (int i = 0; i < objective->level_count; i++)
        levels[i] = densify(objective, i);
    Value *picture = decode(objective, levels), *target = build_target(objective);
    Value *loss = build_loss(objective, picture, target);
    graph_name(objective->graph, loss, "loss");
    add_output(objective, "loss", loss);
    for (int i = 0; options->expose && i < objective->level_count; i++)
        add_output(objective, numbered(objective, "todec", i, ""), levels[i]);
    if (options->expose || options->entry == ENTRY_RECONSTRUCT)
        add_output(objective, "reconstruction", picture);
    if (options->expose)
        add_output(objective, "target", target);
}

/* The graph may have been written by hand. */
static bool check_graph(const Objective *objective) {
    static const char *const names[] = {"loss", "reconstruction", "target"};
    Diagnostics *diagnostics = objective->diagnostics;
    if (!objective->image || !objective->cells) {
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "the graph has no input \"%s\"", objective->image ? "cells" : "image");
        return false;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!network_output_is_free(objective->graph, names[i], diagnostics))
            return false;
    }
    for (int i = 0; i < objective->level_count; i++) {
        const char *name = numbered(objective, "todec", i, "");
        if (!network_output_is_free(objective->graph, name, diagnostics))
            return false;
    }
    return true;
}

/* Collects the levels from the outputs; false after a report. */
static bool start(Objective *objective, NetworkFeatures features) {
    objective->block_count = log2_exact(objective->graph->geometry.ratio);
    objective->level_count = (int)features.count;
    if (objective->level_count > objective->block_count || objective->block_count >= MAX_LEVELS) {
        diagnostics_report(objective->diagnostics, SEVERITY_ERROR, features.items[0]->location,
                           "%zu features are too many for a network of stride %" PRId64,
                           features.count, objective->graph->geometry.ratio);
        return false;
    }
    for (size_t i = 0; i < features.count; i++)
        objective->levels[features.count - 1 - i] = features.items[i]->operands[0];
    return check_graph(objective) && check_levels(objective) && check_width(objective);
}

static void drop_outputs(Graph *graph, NetworkFeatures features) {
    for (size_t i = 0; i < features.count; i++)
        graph_remove(graph, features.items[i]);
}

bool pass_objective(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    if (options->entry == ENTRY_FINETUNE_STEP)
        return finetune_objective(graph, options, diagnostics);
    NetworkFeatures features = network_features(graph);
    if (!network_entry_is_masked(options->entry) || features.count == 0)
        return false;
    Objective objective = {.graph = graph,
                           .options = options,
                           .diagnostics = diagnostics,
                           .builder = {.graph = graph},
                           .image = network_image(graph),
                           .cells = graph_find_input(graph, "cells")};
    if (!start(&objective, features) || !add_parameters(&objective))
        return false;
    bool forward = !network_entry_is_update(options->entry);
    if (forward)
        add_forward(&objective);
    if (!forward || !options->expose)
        drop_outputs(graph, features);
    if (!forward)
        dce_remove(graph, NULL);
    return true;
}
