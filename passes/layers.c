#include "passes/layers.h"

#include <string.h>

static const char *join(Graph *graph, const char *layer, const char *parameter) {
    return arena_format(graph->arena, "%s.%s", layer, parameter);
}

/* PyTorch has [out, in, kernel..], and [in, out, kernel..] for a transposed one; the graph
 * stores [kernel.., second, first]. */
static bool add_conv_weight(Graph *graph, const ConvLayer *layer) {
    int space = graph->geometry.space, rank = space + 2;
    int64_t first = layer->transposed ? layer->in : layer->out;
    int64_t second = layer->transposed ? layer->out : layer->in;
    int64_t stored[TYPE_MAX_RANK];
    for (int d = 0; d < space; d++)
        stored[d] = layer->kernel;
    stored[space] = second;
    stored[space + 1] = first;
    Segment segment = {.name = join(graph, layer->name, "weight"),
                       .part = layer->part,
                       .role = ROLE_WEIGHT,
                       .type = type_plain(DTYPE_F32, rank, stored),
                       .layout = LAYOUT_CONV,
                       .file_rank = rank,
                       .file_shape = {first, second},
                       .init = layer->weight_init,
                       .decays = true,
                       .lr_scale = 1};
    for (int d = 0; d < space; d++)
        segment.file_shape[2 + d] = layer->kernel;
    return graph_add_segment(graph, segment) != NULL;
}

static bool add_vector(Graph *graph, const char *name, Part part, Role role, int64_t length,
                       Init init) {
    Segment segment = {.name = name,
                       .part = part,
                       .role = role,
                       .type = type_vector(DTYPE_F32, length),
                       .layout = LAYOUT_AS_IS,
                       .file_rank = 1,
                       .file_shape = {length},
                       .init = init,
                       .decays = false,
                       .lr_scale = 1};
    return graph_add_segment(graph, segment) != NULL;
}

bool layers_add_conv(Graph *graph, const ConvLayer *layer) {
    return add_conv_weight(graph, layer) &&
           (!layer->bias || add_vector(graph, join(graph, layer->name, "bias"), layer->part,
                                       ROLE_BIAS, layer->out, layer->bias_init));
}

static bool add_state(Graph *graph, const NormLayer *layer, const char *name, Type type,
                      double init) {
    StateSlot state = {
        .name = join(graph, layer->name, name), .part = layer->part, .type = type, .init = init};
    return graph_add_state(graph, state) != NULL;
}

bool layers_add_norm(Graph *graph, const NormLayer *layer) {
    const Init one = {INIT_CONSTANT, 1, 0}, zero = {INIT_CONSTANT, 0, 0};
    Type statistic = type_vector(DTYPE_F32, layer->channels);
    return add_vector(graph, join(graph, layer->name, "weight"), layer->part, ROLE_NORM_WEIGHT,
                      layer->channels, one) &&
           add_vector(graph, join(graph, layer->name, "bias"), layer->part, ROLE_NORM_BIAS,
                      layer->channels, zero) &&
           (!layer->batch ||
            (add_state(graph, layer, "running_mean", statistic, 0) &&
             add_state(graph, layer, "running_var", statistic, 1) &&
             add_state(graph, layer, "num_batches_tracked", type_scalar(DTYPE_F32), 0)));
}

static Value *read_parameter(Builder *builder, const char *layer, const char *name) {
    return build_param(builder, join(builder->graph, layer, name));
}

static Value *read_state(Builder *builder, const char *layer, const char *name) {
    return build_state(builder, join(builder->graph, layer, name));
}

static NamedAttribute equal_ints(const char *name, int64_t value, int count) {
    int64_t values[TYPE_MAX_SPACE];
    for (int d = 0; d < count; d++)
        values[d] = value;
    return attribute_ints(name, values, count);
}

static Value *convolve(Builder *builder, const ConvLayer *layer, Value *x) {
    int space = x->type.rank;
    Value *weight = read_parameter(builder, layer->name, "weight");
    NamedAttribute kernel = equal_ints("kernel", layer->kernel, space);
    NamedAttribute stride = equal_ints("stride", layer->stride, space);
    NamedAttribute pad = equal_ints("pad", layer->pad, space);
    NamedAttribute dilation = equal_ints("dilation", 1, space);
    const char *hint = layer->bias ? "product" : NULL;
    if (!layer->transposed)
        return node_result(build(builder, OP_conv, hint, OPERANDS(x, weight),
                                 ATTRIBUTES(kernel, stride, pad, dilation)),
                           0);
    int64_t size[TYPE_MAX_SPACE];
    for (int d = 0; d < space; d++)
        size[d] = layer->stride * x->type.extent[d];
    return node_result(
        build(builder, OP_conv_transpose, hint, OPERANDS(x, weight),
              ATTRIBUTES(kernel, stride, pad, dilation, attribute_ints("size", size, space))),
        0);
}

/* A builder whose new values are called <layer>.<hint>. */
static Builder builder_of(const Builder *builder, const char *layer) {
    Builder result = *builder;
    result.prefix = layer;
    return result;
}

Value *layers_conv(Builder *builder, const ConvLayer *layer, Value *x) {
    Builder inner = builder_of(builder, layer->name);
    Value *y = convolve(&inner, layer, x);
    if (layer->bias)
        y = build_binary(&inner, OP_add, NULL, y, read_parameter(builder, layer->name, "bias"));
    graph_name(builder->graph, y, layer->name);
    return y;
}

static Node *normalise(Builder *builder, const NormLayer *layer, Value *x) {
    Value *weight = read_parameter(builder, layer->name, "weight");
    Value *bias = read_parameter(builder, layer->name, "bias");
    NamedAttribute eps = attribute_float("eps", layer->eps);
    if (!layer->batch)
        return build(builder, OP_layer_norm, NULL, OPERANDS(x, weight, bias), ATTRIBUTES(eps));
    Value *mean = read_state(builder, layer->name, "running_mean");
    Value *variance = read_state(builder, layer->name, "running_var");
    Value *batches = read_state(builder, layer->name, "num_batches_tracked");
    return build(builder, OP_batch_norm, NULL, OPERANDS(x, mean, variance, batches, weight, bias),
                 ATTRIBUTES(eps));
}

Value *layers_norm(Builder *builder, const NormLayer *layer, Value *x) {
    Builder inner = builder_of(builder, layer->name);
    Value *y = node_result(normalise(&inner, layer, x), 0);
    graph_name(builder->graph, y, layer->name);
    return y;
}
