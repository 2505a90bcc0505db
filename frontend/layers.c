#include "frontend/layers.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "frontend/emit.h"
#include "ir/rules.h"

static Value *input_of(const LayerCall *call) {
    return call->values[0].tensor;
}

static const int64_t ones[2] = {1, 1};

/* ---- Contractions ---- */

typedef struct ConvArguments {
    int64_t channels, groups, kernel[2], stride[2], pad[2], dilation[2];
    bool bias;
} ConvArguments;

static void read_conv(LayerCall *call, ConvArguments *conv) {
    conv->channels = emit_count(call, "channels");
    emit_pair(call, "kernel", conv->kernel);
    emit_pair(call, "stride", conv->stride);
    emit_pair(call, "pad", conv->pad);
    emit_pair(call, "dilation", conv->dilation);
    conv->groups = emit_count(call, "groups");
    conv->bias = emit_boolean(call, "bias");
}

/* init, or sqrt(2 / (kh kw channels / groups)): He et al. 2015, fan out. */
static double conv_deviation(LayerCall *call, const ConvArguments *conv) {
    if (emit_given(call, "init"))
        return emit_number(call, "init");
    return sqrt(2.0 / ((double)conv->kernel[0] * (double)conv->kernel[1] * (double)conv->channels /
                       (double)conv->groups));
}

static void set_window(Node *node, const ConvArguments *conv, bool dilation) {
    node_set_ints(node, "kernel", conv->kernel, 2);
    node_set_ints(node, "stride", conv->stride, 2);
    node_set_ints(node, "pad", conv->pad, 2);
    if (dilation)
        node_set_ints(node, "dilation", conv->dilation, 2);
}

static const char *const weight_and_bias[] = {"weight", "bias"};

/* y + bias, if there is one. */
static Value *add_bias(LayerCall *call, LayerName *layer, Value *y, bool bias, int64_t channels) {
    if (!y || !bias)
        return y;
    Value *vector = emit_vector(call, layer, "bias", ROLE_BIAS, channels, 0);
    return emit_simple(call, OP_add, (Value *[]){y, vector}, 2);
}

static Datum layer_conv(LayerCall *call) {
    ConvArguments conv;
    read_conv(call, &conv);
    double deviation = conv_deviation(call, &conv);
    if (call->failed)
        return datum_unknown;
    Value *x = input_of(call);
    LayerName *layer = emit_layer(call, weight_and_bias, 1 + conv.bias);
    int64_t shape[] = {conv.channels, x->type.channels / conv.groups, conv.kernel[0],
                       conv.kernel[1]};
    Value *weight = emit_weight(call, layer, LAYOUT_CONV, 4, shape, deviation);
    Node *node = emit_node(call, OP_conv, (Value *[]){x, weight}, 2);
    if (!node)
        return datum_unknown;
    set_window(node, &conv, true);
    node_set_int(node, "groups", conv.groups);
    Value *y = emit_finish(call, node);
    emit_stride(call->evaluator, y, x, conv.stride, ones);
    return emit_result(call, add_bias(call, layer, y, conv.bias, conv.channels));
}

/* (n - 1) stride - 2 pad + dilation (kernel - 1) + output_pad + 1, or a report and false. */
static bool transposed_size(LayerCall *call, const ConvArguments *conv, int64_t size[2]) {
    const Type *x = &input_of(call)->type;
    int64_t output_pad[2];
    emit_pair(call, "output_pad", output_pad);
    for (int d = 0; d < 2 && !call->failed; d++) {
        int64_t n = type_has_space(x) ? x->extent[d] : 1, reach;
        bool over = __builtin_mul_overflow(conv->dilation[d], conv->kernel[d] - 1, &reach) ||
                    __builtin_mul_overflow(n - 1, conv->stride[d], &size[d]) ||
                    __builtin_add_overflow(size[d], reach, &size[d]) || size[d] > INT64_MAX / 2;
        size[d] = over ? INT64_MAX : size[d] + output_pad[d] + 1 - 2 * conv->pad[d];
        if (size[d] >= 1 && size[d] <= INT32_MAX)
            continue;
        call->failed = true;
        evaluate_fail(call->evaluator, call->span,
                      over || size[d] > 1 ? "the result has more than 2^31 - 1 positions"
                                          : "the result of conv_transpose would be empty");
    }
    return !call->failed;
}

static Datum layer_conv_transpose(LayerCall *call) {
    ConvArguments conv;
    int64_t size[2];
    read_conv(call, &conv);
    double deviation = conv_deviation(call, &conv);
    if (call->failed || !transposed_size(call, &conv, size))
        return datum_unknown;
    Value *x = input_of(call);
    LayerName *layer = emit_layer(call, weight_and_bias, 1 + conv.bias);
    int64_t shape[] = {x->type.channels, conv.channels / conv.groups, conv.kernel[0],
                       conv.kernel[1]};
    if (conv.channels % conv.groups != 0)
        return evaluate_fail(call->evaluator, emit_span(call, "groups"),
                             "groups = %" PRId64 " does not divide %" PRId64 " channels",
                             conv.groups, conv.channels);
    Value *weight = emit_weight(call, layer, LAYOUT_CONV, 4, shape, deviation);
    Node *node = emit_node(call, OP_conv_transpose, (Value *[]){x, weight}, 2);
    if (!node)
        return datum_unknown;
    set_window(node, &conv, true);
    node_set_int(node, "groups", conv.groups);
    node_set_ints(node, "size", size, 2);
    Value *y = emit_finish(call, node);
    emit_stride(call->evaluator, y, x, ones, conv.stride);
    return emit_result(call, add_bias(call, layer, y, conv.bias, conv.channels));
}

static Datum layer_linear(LayerCall *call) {
    int64_t channels = emit_count(call, "channels");
    bool bias = emit_boolean(call, "bias");
    double deviation = emit_number(call, "init");
    if (call->failed)
        return datum_unknown;
    Value *x = input_of(call);
    LayerName *layer = emit_layer(call, weight_and_bias, 1 + bias);
    Value *weight = emit_weight(call, layer, LAYOUT_LINEAR, 2,
                                (int64_t[]){channels, x->type.channels}, deviation);
    Value *y = emit_simple(call, OP_linear, (Value *[]){x, weight}, 2);
    return emit_result(call, add_bias(call, layer, y, bias, channels));
}

/* ---- Norms ---- */

static const char *const batch_norm_names[] = {"weight", "bias", "running_mean", "running_var",
                                               "num_batches_tracked"};

static Datum layer_batch_norm(LayerCall *call) {
    double eps = emit_number(call, "eps"), momentum = emit_number(call, "momentum");
    bool affine = emit_boolean(call, "affine");
    double init = emit_number(call, "init");
    if (call->failed)
        return datum_unknown;
    int64_t channels = input_of(call)->type.channels;
    LayerName *layer = emit_layer(call, batch_norm_names + (affine ? 0 : 2), affine ? 5 : 3);
    Value *operands[6] = {input_of(call)};
    if (affine) {
        operands[4] = emit_vector(call, layer, "weight", ROLE_NORM_WEIGHT, channels, init);
        operands[5] = emit_vector(call, layer, "bias", ROLE_NORM_BIAS, channels, 0);
    }
    operands[1] = emit_state(call, layer, "running_mean", channels, 0);
    operands[2] = emit_state(call, layer, "running_var", channels, 1);
    operands[3] = emit_state(call, layer, "num_batches_tracked", 0, 0);
    Node *node = emit_node(call, OP_batch_norm, operands, affine ? 6 : 4);
    if (!node)
        return datum_unknown;
    node_set_float(node, "eps", eps);
    node_set_float(node, "momentum", momentum);
    return emit_result(call, emit_finish(call, node));
}

/* layer_norm, group_norm, instance_norm, grn: a weight and a bias unless affine is false. */
static Datum layer_norm(LayerCall *call) {
    Op op = (Op)call->info->op;
    double eps = emit_number(call, "eps");
    bool affine = op == OP_grn || emit_boolean(call, "affine");
    double init = emit_number(call, "init");
    int64_t groups = op == OP_group_norm ? emit_count(call, "groups") : 0;
    if (call->failed)
        return datum_unknown;
    Value *operands[3] = {input_of(call)};
    int64_t channels = operands[0]->type.channels;
    if (affine) {
        LayerName *layer = emit_layer(call, weight_and_bias, 2);
        operands[1] = emit_vector(call, layer, "weight", ROLE_NORM_WEIGHT, channels, init);
        operands[2] = emit_vector(call, layer, "bias", ROLE_NORM_BIAS, channels, 0);
    }
    Node *node = emit_node(call, op, operands, affine ? 3 : 1);
    if (!node)
        return datum_unknown;
    node_set_float(node, "eps", eps);
    if (op == OP_group_norm)
        node_set_int(node, "groups", groups);
    return emit_result(call, emit_finish(call, node));
}

static const char *const own_name[] = {""};

static Datum layer_layer_scale(LayerCall *call) {
    double init = emit_number(call, "init");
    if (call->failed)
        return datum_unknown;
    Value *x = input_of(call);
    LayerName *layer = emit_layer(call, own_name, 1);
    Value *scale = emit_vector(call, layer, "", ROLE_LAYER_SCALE, x->type.channels, init);
    return emit_result(call, emit_simple(call, OP_mul, (Value *[]){x, scale}, 2));
}

/* ---- Activations ---- */

static Datum layer_activation(LayerCall *call) {
    Op op = (Op)call->info->op;
    const char *argument = call->info->parameters[1].name;
    double number = argument ? emit_number(call, argument) : 0;
    Node *node = emit_node(call, op, (Value *[]){input_of(call)}, 1);
    if (!node)
        return datum_unknown;
    if (argument)
        node_set_float(node, argument, number);
    return emit_result(call, emit_finish(call, node));
}

static Datum layer_gelu(LayerCall *call) {
    static const char *const modes[] = {"none", "tanh", NULL};
    const char *mode = emit_mode(call, "approximate", modes);
    Op op = strcmp(mode, "tanh") == 0 ? OP_gelu_tanh : OP_gelu;
    return emit_result(call, emit_simple(call, op, (Value *[]){input_of(call)}, 1));
}

static Datum layer_identity(LayerCall *call) {
    return call->values[0];
}

static Datum layer_dropout(LayerCall *call) {
    double rate = emit_number(call, "rate");
    if (call->failed)
        return datum_unknown;
    if (rate == 0)
        return call->values[0];
    Node *node = emit_node(call, (Op)call->info->op, (Value *[]){input_of(call)}, 1);
    if (!node)
        return datum_unknown;
    node_set_float(node, "rate", rate);
    node_set_int(node, "stream", call->evaluator->streams++);
    return emit_result(call, emit_finish(call, node));
}

/* ---- Windows ---- */

static Datum layer_pool(LayerCall *call) {
    Op op = (Op)call->info->op;
    ConvArguments window;
    emit_pair(call, "kernel", window.kernel);
    emit_pair(call, "stride", window.stride);
    emit_pair(call, "pad", window.pad);
    if (op == OP_max_pool)
        emit_pair(call, "dilation", window.dilation);
    bool ceil_mode = emit_boolean(call, "ceil_mode");
    bool include = op == OP_max_pool || emit_boolean(call, "count_include_pad");
    Value *x = input_of(call);
    Node *node = emit_node(call, op, (Value *[]){x}, 1);
    if (!node)
        return datum_unknown;
    set_window(node, &window, op == OP_max_pool);
    node_set_bool(node, "ceil_mode", ceil_mode);
    if (op == OP_avg_pool)
        node_set_bool(node, "count_include_pad", include);
    Value *y = emit_finish(call, node);
    emit_stride(call->evaluator, y, x, window.stride, ones);
    return emit_result(call, y);
}

static Datum layer_global_avg_pool(LayerCall *call) {
    return emit_result(call, emit_simple(call, OP_global_avg_pool, (Value *[]){input_of(call)}, 1));
}

static Datum layer_upsample(LayerCall *call) {
    static const char *const modes[] = {"nearest", "bilinear", NULL};
    int64_t factor[2];
    emit_pair(call, "factor", factor);
    const char *mode = emit_mode(call, "mode", modes);
    Value *x = input_of(call);
    Node *node = emit_node(call, OP_upsample, (Value *[]){x}, 1);
    if (!node)
        return datum_unknown;
    node_set_ints(node, "factor", factor, 2);
    node_set_text(call->evaluator->graph, node, "mode", mode);
    Value *y = emit_finish(call, node);
    emit_stride(call->evaluator, y, x, ones, factor);
    return emit_result(call, y);
}

/* ---- Channels ---- */

/* A map of one position as a value per image, so that it can meet one; others as they are. */
static Value *without_space(LayerCall *call, Value *x) {
    if (!type_has_space(&x->type) || type_positions(&x->type) != 1)
        return x;
    return emit_simple(call, OP_squeeze, (Value *[]){x}, 1);
}

static bool collect_parts(LayerCall *call, Value **parts, size_t own) {
    for (size_t i = 0; i < own; i++)
        parts[i] = call->values[0].kind == DATUM_LIST ? call->values[0].list->items[i].tensor
                                                      : call->values[0].tensor;
    for (size_t i = 0; i < call->further_count; i++) {
        if (call->further[i].kind != DATUM_TENSOR) {
            evaluate_fail(call->evaluator, call->further_spans[i],
                          "concat needs tensors, this is %s",
                          datum_text(call->evaluator->arena, call->further[i]));
            return false;
        }
        parts[own + i] = call->further[i].tensor;
    }
    return true;
}

static Datum layer_concat(LayerCall *call) {
    Arena *arena = call->evaluator->arena;
    size_t own = call->values[0].kind == DATUM_LIST ? call->values[0].list->count : 1;
    size_t count = own + call->further_count;
    Value **parts = arena_new_array(arena, Value *, count);
    if (!evaluate_spend(call->evaluator, count, call->span) || !collect_parts(call, parts, own))
        return datum_unknown;
    if (count == 1)
        return datum_tensor(parts[0]);
    bool spaceless = false;
    for (size_t i = 0; i < count; i++)
        spaceless |= !type_has_space(&parts[i]->type);
    for (size_t i = 0; i < count && spaceless && !call->failed; i++)
        parts[i] = without_space(call, parts[i]);
    if (call->failed)
        return datum_unknown;
    return emit_result(call, emit_simple(call, OP_concat, parts, (int)count));
}

/* One slice per count; they add up to the input's channels. */
static Datum slices(LayerCall *call, const int64_t *counts, size_t count) {
    Evaluator *evaluator = call->evaluator;
    Datum *items = arena_new_array(evaluator->arena, Datum, count);
    int64_t start = 0;
    for (size_t i = 0; i < count; i++) {
        Node *node = emit_node(call, OP_slice, (Value *[]){input_of(call)}, 1);
        if (!node)
            return datum_unknown;
        node_set_int(node, "start", start);
        node_set_int(node, "channels", counts[i]);
        items[i] = emit_result(call, emit_finish(call, node));
        if (items[i].kind == DATUM_UNKNOWN)
            return datum_unknown;
        start += counts[i];
    }
    return datum_list(evaluator->arena, items, count);
}

static Datum layer_chunk(LayerCall *call) {
    int64_t parts = emit_count(call, "parts"), channels = input_of(call)->type.channels;
    if (call->failed)
        return datum_unknown;
    if (channels % parts != 0)
        return evaluate_fail(call->evaluator, emit_span(call, "parts"),
                             "%" PRId64 " channels have no %" PRId64 " equal parts", channels,
                             parts);
    if (parts > EVALUATE_MOST_LAYERS)
        return evaluate_fail(call->evaluator, emit_span(call, "parts"),
                             "a list has at most 100000 items");
    int64_t *counts = arena_new_array(call->evaluator->arena, int64_t, (size_t)parts);
    for (int64_t i = 0; i < parts; i++)
        counts[i] = channels / parts;
    return slices(call, counts, (size_t)parts);
}

static Datum refuse_sizes(LayerCall *call) {
    Datum sizes = call->values[1];
    Evaluator *evaluator = call->evaluator;
    const char *text = datum_text(evaluator->arena, sizes);
    evaluate_fail(evaluator, call->spans[1], "split takes the list of channel counts, this is %s",
                  text);
    if (sizes.kind == DATUM_NUMBER && number_is_whole(sizes.number) && sizes.number > 0)
        evaluate_hint(evaluator, "for %s equal parts write chunk(%s)", text, text);
    return datum_unknown;
}

static Datum layer_split(LayerCall *call) {
    Evaluator *evaluator = call->evaluator;
    if (call->values[1].kind != DATUM_LIST || call->values[1].list->count == 0)
        return refuse_sizes(call);
    const List *sizes = call->values[1].list;
    int64_t *counts = arena_new_array(evaluator->arena, int64_t, sizes->count), sum = 0;
    for (size_t i = 0; i < sizes->count; i++) {
        double number = sizes->items[i].kind == DATUM_NUMBER ? sizes->items[i].number : 0;
        if (!number_is_whole(number) || number < 1)
            return refuse_sizes(call);
        counts[i] = (int64_t)number;
        sum += counts[i];
    }
    int64_t channels = input_of(call)->type.channels;
    if (sum != channels)
        return evaluate_fail(evaluator, call->spans[1],
                             "the parts have %" PRId64 " channels together, the input has %" PRId64,
                             sum, channels);
    return slices(call, counts, sizes->count);
}

static Datum layer_channel_shuffle(LayerCall *call) {
    int64_t groups = emit_count(call, "groups");
    Node *node = emit_node(call, OP_channel_shuffle, (Value *[]){input_of(call)}, 1);
    if (!node)
        return datum_unknown;
    node_set_int(node, "groups", groups);
    return emit_result(call, emit_finish(call, node));
}

static Datum layer_flatten(LayerCall *call) {
    if (!type_has_space(&input_of(call)->type))
        return call->values[0];
    return emit_result(call, emit_simple(call, OP_flatten, (Value *[]){input_of(call)}, 1));
}

/* ---- Operators ---- */

/* The op of an operator, without arguments, for messages and records. */
static LayerCall operator_call(Evaluator *evaluator, Span span) {
    static const LayerInfo info = {.name = "operator"};
    return (LayerCall){.evaluator = evaluator, .info = &info, .name_span = span, .span = span};
}

/* A number as a tensor's operand. */
static Value *constant(LayerCall *call, double number, Span span) {
    Evaluator *evaluator = call->evaluator;
    if (fabs(number) > FLT_MAX) {
        evaluate_fail(evaluator, span, "%s is too large to meet a tensor",
                      number_text(evaluator->arena, number));
        return NULL;
    }
    Node *node = graph_insert(evaluator->graph, OP_constant, NULL, 0, NULL);
    node->location = sources_locate(&evaluator->file->sources, span);
    node->results[0].type = type_scalar(DTYPE_F32);
    node_set_float(node, "value", number);
    return &node->results[0];
}

static int64_t extent_of(const Type *type, int d) {
    return type_has_space(type) ? type->extent[d] : 1;
}

static bool same_space(const Type *a, const Type *b) {
    return extent_of(a, 0) == extent_of(b, 0) && extent_of(a, 1) == extent_of(b, 1);
}

/* Brings two tensors together; false after a report. */
static bool match(LayerCall *call, Operator operation, Value **left, Value **right) {
    const Type *a = &(*left)->type, *b = &(*right)->type;
    bool a_single = extent_of(a, 0) == 1 && extent_of(a, 1) == 1;
    bool b_single = extent_of(b, 0) == 1 && extent_of(b, 1) == 1;
    if (a->channels != b->channels || (!same_space(a, b) && !a_single && !b_single)) {
        Arena *arena = call->evaluator->arena;
        evaluate_fail(call->evaluator, call->span, "%s needs equal shapes: left %s, right %s",
                      operator_text(operation), rules_shape_text(arena, a),
                      rules_shape_text(arena, b));
        return false;
    }
    if (!same_space(a, b)) {
        *left = a_single ? without_space(call, *left) : *left;
        *right = b_single ? without_space(call, *right) : *right;
    }
    return *left && *right;
}

Datum layer_arithmetic(Evaluator *evaluator, Operator operation, Datum left, Datum right,
                       Span left_span, Span right_span, Span span) {
    static const Op ops[] = {[OPERATOR_ADD] = OP_add,
                             [OPERATOR_SUBTRACT] = OP_sub,
                             [OPERATOR_MULTIPLY] = OP_mul,
                             [OPERATOR_DIVIDE] = OP_div};
    LayerCall call = operator_call(evaluator, span);
    if (right.kind == DATUM_NUMBER && right.number == 0 && operation == OPERATOR_DIVIDE)
        return evaluate_fail(evaluator, right_span, "division by zero");
    Value *a = left.kind == DATUM_TENSOR ? left.tensor : constant(&call, left.number, left_span);
    Value *b =
        right.kind == DATUM_TENSOR ? right.tensor : constant(&call, right.number, right_span);
    if (!a || !b)
        return datum_unknown;
    if (left.kind == right.kind && !match(&call, operation, &a, &b))
        return datum_unknown;
    return emit_result(&call, emit_simple(&call, ops[operation], (Value *[]){a, b}, 2));
}

Datum layer_negate(Evaluator *evaluator, Datum operand, Span span) {
    LayerCall call = operator_call(evaluator, span);
    return emit_result(&call, emit_simple(&call, OP_neg, (Value *[]){operand.tensor}, 1));
}

/* ---- The table ---- */

#define INPUT                                                                                      \
    { "x", ARGUMENT_TENSOR, NULL }
#define CHANNELS                                                                                   \
    { "channels", ARGUMENT_COUNT, NULL }
#define KERNEL                                                                                     \
    { "kernel", ARGUMENT_WINDOW, NULL }
#define EPS(value)                                                                                 \
    { "eps", ARGUMENT_SPREAD, value }
#define AFFINE(value)                                                                              \
    { "affine", ARGUMENT_BOOLEAN, value }
#define START(value)                                                                               \
    { "init", ARGUMENT_NUMBER, value }

static const LayerInfo layers[] = {
    {"conv",
     layer_conv,
     OP_conv,
     {INPUT,
      CHANNELS,
      KERNEL,
      {"stride", ARGUMENT_WINDOW, "1"},
      {"pad", ARGUMENT_MARGIN, "0"},
      {"dilation", ARGUMENT_WINDOW, "1"},
      {"groups", ARGUMENT_COUNT, "1"},
      {"bias", ARGUMENT_BOOLEAN, "false"},
      {"init", ARGUMENT_SPREAD, ""}}},
    {"conv_transpose",
     layer_conv_transpose,
     OP_conv_transpose,
     {INPUT,
      CHANNELS,
      KERNEL,
      {"stride", ARGUMENT_WINDOW, "1"},
      {"pad", ARGUMENT_MARGIN, "0"},
      {"output_pad", ARGUMENT_MARGIN, "0"},
      {"groups", ARGUMENT_COUNT, "1"},
      {"bias", ARGUMENT_BOOLEAN, "false"},
      {"dilation", ARGUMENT_WINDOW, "1"},
      {"init", ARGUMENT_SPREAD, ""}}},
    {"linear",
     layer_linear,
     OP_linear,
     {INPUT, CHANNELS, {"bias", ARGUMENT_BOOLEAN, "true"}, {"init", ARGUMENT_SPREAD, "0.02"}}},
    {"batch_norm",
     layer_batch_norm,
     OP_batch_norm,
     {INPUT, EPS("1e-5"), {"momentum", ARGUMENT_SHARE, "0.1"}, AFFINE("true"), START("1")}},
    {"layer_norm", layer_norm, OP_layer_norm, {INPUT, EPS("1e-5"), AFFINE("true"), START("1")}},
    {"group_norm",
     layer_norm,
     OP_group_norm,
     {INPUT, {"groups", ARGUMENT_COUNT, NULL}, EPS("1e-5"), AFFINE("true"), START("1")}},
    {"instance_norm",
     layer_norm,
     OP_instance_norm,
     {INPUT, EPS("1e-5"), AFFINE("false"), START("1")}},
    {"grn", layer_norm, OP_grn, {INPUT, EPS("1e-6"), START("0")}},
    {"layer_scale", layer_layer_scale, OP_mul, {INPUT, START("1")}},
    {"relu", layer_activation, OP_relu, {INPUT}},
    {"relu6", layer_activation, OP_relu6, {INPUT}},
    {"silu", layer_activation, OP_silu, {INPUT}},
    {"hard_swish", layer_activation, OP_hard_swish, {INPUT}},
    {"hard_sigmoid", layer_activation, OP_hard_sigmoid, {INPUT}},
    {"sigmoid", layer_activation, OP_sigmoid, {INPUT}},
    {"tanh", layer_activation, OP_tanh, {INPUT}},
    {"mish", layer_activation, OP_mish, {INPUT}},
    {"identity", layer_identity, OP_COUNT, {INPUT}},
    {"leaky_relu", layer_activation, OP_leaky_relu, {INPUT, {"slope", ARGUMENT_NUMBER, "0.01"}}},
    {"elu", layer_activation, OP_elu, {INPUT, {"alpha", ARGUMENT_NUMBER, "1"}}},
    {"softplus", layer_activation, OP_softplus, {INPUT, {"beta", ARGUMENT_POSITIVE, "1"}}},
    {"gelu", layer_gelu, OP_gelu, {INPUT, {"approximate", ARGUMENT_MODE, "\"none\""}}},
    {"max_pool",
     layer_pool,
     OP_max_pool,
     {INPUT,
      KERNEL,
      {"stride", ARGUMENT_WINDOW, "kernel"},
      {"pad", ARGUMENT_MARGIN, "0"},
      {"dilation", ARGUMENT_WINDOW, "1"},
      {"ceil_mode", ARGUMENT_BOOLEAN, "false"}}},
    {"avg_pool",
     layer_pool,
     OP_avg_pool,
     {INPUT,
      KERNEL,
      {"stride", ARGUMENT_WINDOW, "kernel"},
      {"pad", ARGUMENT_MARGIN, "0"},
      {"ceil_mode", ARGUMENT_BOOLEAN, "false"},
      {"count_include_pad", ARGUMENT_BOOLEAN, "true"}}},
    {"global_avg_pool", layer_global_avg_pool, OP_global_avg_pool, {INPUT}},
    {"upsample",
     layer_upsample,
     OP_upsample,
     {INPUT, {"factor", ARGUMENT_WINDOW, NULL}, {"mode", ARGUMENT_MODE, "\"nearest\""}}},
    {"concat", layer_concat, OP_concat, {{"x", ARGUMENT_TENSORS, NULL}}},
    {"chunk", layer_chunk, OP_slice, {INPUT, {"parts", ARGUMENT_COUNT, NULL}}},
    {"split", layer_split, OP_slice, {INPUT, {"sizes", ARGUMENT_COUNTS, NULL}}},
    {"channel_shuffle",
     layer_channel_shuffle,
     OP_channel_shuffle,
     {INPUT, {"groups", ARGUMENT_COUNT, NULL}}},
    {"flatten", layer_flatten, OP_flatten, {INPUT}},
    {"dropout", layer_dropout, OP_dropout, {INPUT, {"rate", ARGUMENT_RATE, "0.5"}}},
    {"drop_path", layer_dropout, OP_drop_path, {INPUT, {"rate", ARGUMENT_RATE, NULL}}},
};

const LayerInfo *layer_at(size_t index) {
    return index < sizeof layers / sizeof layers[0] ? &layers[index] : NULL;
}

const LayerInfo *layer_find(const char *name) {
    for (size_t i = 0; layer_at(i); i++)
        if (strcmp(layers[i].name, name) == 0)
            return &layers[i];
    return NULL;
}
