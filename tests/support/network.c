#include "tests/support/network.h"

#include "passes/layers.h"

static Location place(uint32_t line) {
    return (Location){.file = "net.cnn", .line = line, .column = 5, .width = 1};
}

static Value *add_input(Builder *builder, const Geometry *geometry) {
    Type type = type_dense(DTYPE_F32, geometry->batch, geometry->space, geometry->image,
                           geometry->channels);
    return build_stated(builder, OP_input, "image", type, NULL, 0,
                        ATTRIBUTES(attribute_text("name", "image")));
}

static void add_output(Builder *builder, const char *name, Value *x) {
    build(builder, OP_output, NULL, OPERANDS(x), ATTRIBUTES(attribute_text("name", name)));
}

/* conv, norm, relu, each in a line of its own. */
static Value *add_level(Builder *builder, Value *x, int level, bool batch_norm) {
    Graph *graph = builder->graph;
    ConvLayer conv = {.name = arena_format(graph->arena, "conv%d", level),
                      .in = x->type.channels,
                      .out = (int64_t)16 << level,
                      .kernel = 3,
                      .stride = 2,
                      .pad = 1,
                      .weight_init = {INIT_NORMAL, 0.1, 0}};
    NormLayer norm = {.name = arena_format(graph->arena, "norm%d", level),
                      .batch = batch_norm,
                      .channels = conv.out,
                      .eps = 1e-5};
    layers_add_conv(graph, &conv);
    layers_add_norm(graph, &norm);
    builder->location = place((uint32_t)(3 * level + 2));
    x = layers_conv(builder, &conv, x);
    builder->location = place((uint32_t)(3 * level + 3));
    x = layers_norm(builder, &norm, x);
    builder->location = place((uint32_t)(3 * level + 4));
    return build_unary(builder, OP_relu, NULL, x);
}

static void add_head(Builder *builder, Value *x) {
    const int64_t shape[] = {x->type.channels, 5};
    Segment weight = {.name = "fc.weight",
                      .part = PART_HEAD,
                      .type = type_plain(DTYPE_F32, 2, shape),
                      .layout = LAYOUT_LINEAR,
                      .file_rank = 2,
                      .file_shape = {5, x->type.channels},
                      .decays = true,
                      .lr_scale = 1};
    graph_add_segment(builder->graph, weight);
    Value *mean = build_unary(builder, OP_global_avg_pool, NULL, x);
    Value *logits = build_binary(builder, OP_linear, "fc", mean, build_param(builder, "fc.weight"));
    add_output(builder, "logits", logits);
}

Graph *small_network(Arena *arena, const SmallNetwork *options) {
    int skipped = options->first_stride == 4 ? 1 : 0, count = options->levels + skipped;
    Geometry geometry = {.batch = options->batch ? options->batch : 1,
                         .space = 2,
                         .image = {options->height, options->width},
                         .channels = options->channels ? options->channels : 3,
                         .ratio = (int64_t)1 << count};
    Graph *graph = graph_create(arena, "small", geometry);
    Builder builder = {.graph = graph, .location = place(1)};
    Value *x = add_input(&builder, &geometry);
    for (int i = 0; i < count; i++) {
        x = add_level(&builder, x, i, options->batch_norm);
        if (i >= skipped)
            add_output(&builder, arena_format(arena, "feature.%d", i - skipped), x);
    }
    if (options->head)
        add_head(&builder, x);
    return graph;
}
