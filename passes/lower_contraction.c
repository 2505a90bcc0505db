/* Convolutions, linear layers and their gradients. A convolution whose groups are single channels
 * is a weighted window; everything else is a contract. */
#include <inttypes.h>

#include "base/fatal.h"
#include "passes/lower.h"

static int64_t channels_of(const Value *value) {
    return value->type.channels;
}

/* True if each output channel reads one input channel of its own. */
static bool is_depthwise(const Node *node, const Value *x, const Value *y) {
    return node_int(node, "groups") == channels_of(x) && channels_of(x) == channels_of(y) &&
           channels_of(x) > 1;
}

/* The stored weight of a conv is [tap, in / groups, out], groups side by side in `out`. Seen from
 * the transposed conv, `in` and `out` change places. */
static WeightView conv_weight(View view, int64_t in, int64_t out, int64_t groups, bool transposed) {
    int64_t conv_out = transposed ? in : out, conv_in = transposed ? out : in;
    return (WeightView){.buffer = view.buffer,
                        .base = view.base,
                        .tap_stride = conv_in / groups * conv_out,
                        .in_stride = transposed ? 1 : conv_out,
                        .out_stride = transposed ? conv_out : 1,
                        .group_stride = conv_out / groups};
}

/* One contract, or weighted window if `depthwise`, that writes the rows of y that `taps` names. */
static void add_contract(Lowering *lowering, Node *node, const char *name, TapSet taps,
                         WeightView weight, int64_t groups, bool depthwise) {
    const Value *x = node->operands[0], *y = &node->results[0];
    Kernel *kernel = lower_new_kernel(lowering, node, depthwise ? KERNEL_WINDOW : KERNEL_CONTRACT,
                                      name, &y->type);
    View a = lower_operand_view(lowering, x);
    if (depthwise) {
        weight.in_stride = 0;
        weight.out_stride = weight.group_stride;
        weight.group_stride = 0;
        kernel->window = (Window){.kind = WINDOW_WEIGHTED, .taps = taps, .a = a, .weight = weight};
    } else {
        kernel->contraction = (Contraction){.taps = taps,
                                            .a = a,
                                            .weight = weight,
                                            .in = channels_of(x),
                                            .out = channels_of(y),
                                            .groups = groups};
    }
    kernel->expression = lower_identity(lowering, 0);
    lower_add_output(kernel, lower_result_view(lowering, y));
}

/* The spatial window of a node on a value without space is a single point. */
static TapSet taps_of(Lowering *lowering, Node *node, const Value *source) {
    if (!type_has_space(&source->type))
        return lower_point_taps(lowering, &source->type);
    WindowShape window = lower_window_shape(node);
    return lower_forward_taps(lowering, &window, &source->type);
}

void lower_conv(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *y = &node->results[0];
    int64_t groups = node_int(node, "groups");
    View view = lower_operand_view(lowering, node->operands[1]);
    lower_operand_view(lowering, x);
    add_contract(lowering, node, y->name, taps_of(lowering, node, x),
                 conv_weight(view, channels_of(x), channels_of(y), groups, false), groups,
                 is_depthwise(node, x, y));
}

void lower_conv_transpose(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *y = &node->results[0];
    int64_t groups = node_int(node, "groups");
    View view = lower_operand_view(lowering, node->operands[1]);
    lower_operand_view(lowering, x);
    WeightView weight = conv_weight(view, channels_of(x), channels_of(y), groups, true);
    if (!type_has_space(&x->type)) {
        add_contract(lowering, node, y->name, lower_point_taps(lowering, &x->type), weight, groups,
                     is_depthwise(node, x, y));
        return;
    }
    WindowShape window = lower_window_shape(node);
    int64_t phase[TYPE_MAX_SPACE] = {0};
    int number = 0;
    do {
        bool inside = true;
        for (int d = 0; d < window.rank; d++)
            inside = inside && phase[d] < y->type.extent[d];
        const char *name =
            number ? arena_format(lowering->arena, "%s.phase%d", y->name, number) : y->name;
        number++;
        if (inside)
            add_contract(lowering, node, name,
                         lower_transposed_taps(lowering, &window, &x->type, phase), weight, groups,
                         is_depthwise(node, x, y));
    } while (lower_next_phase(&window, phase));
}

void lower_conv_weight_grad(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *dy = node->operands[1], *dw = &node->results[0];
    int64_t groups = node_int(node, "groups"), in = channels_of(x), out = channels_of(dy);
    bool depthwise = is_depthwise(node, x, dy);
    View a = lower_operand_view(lowering, x), b = lower_operand_view(lowering, dy);
    View target = lower_result_view(lowering, dw);
    TapSet taps = taps_of(lowering, node, x);
    Kernel *kernel = lower_new_kernel(
        lowering, node, depthwise ? KERNEL_WINDOW : KERNEL_CONTRACT_WEIGHT, dw->name, &dy->type);
    WeightView weight = conv_weight(target, in, out, groups, false);
    if (depthwise) {
        weight.out_stride = weight.group_stride;
        weight.in_stride = weight.group_stride = 0;
        kernel->window =
            (Window){.kind = WINDOW_WEIGHT_GRAD, .taps = taps, .a = a, .b = b, .weight = weight};
        return;
    }
    kernel->contraction = (Contraction){
        .taps = taps, .a = a, .b = b, .weight = weight, .in = in, .out = out, .groups = groups};
}

/* ---- What the taps of a conv give for one constant row --------------------------------------- */

/* A weight [tap, in, out], its channels, and the part of a plain value that belongs to a tap. */
typedef struct TokenTaps {
    int64_t taps, in, out;
} TokenTaps;

static TokenTaps token_taps_of(const Type *weight) {
    TokenTaps shape = {.in = weight->extent[weight->rank - 2],
                       .out = weight->extent[weight->rank - 1]};
    shape.taps = type_plain_elements(weight) / (shape.in * shape.out);
    return shape;
}

static View tap_view(View view, int64_t tap, int64_t channels) {
    view.base += tap * channels;
    return view;
}

/* The kernel of one tap: of one row, with the weight of that tap; transposed, its result has `in`
 * channels. */
static Kernel *add_tap(Lowering *lowering, Node *node, KernelKind kind, const TokenTaps *shape,
                       View weight, int64_t tap, bool transposed) {
    int64_t in = transposed ? shape->out : shape->in, out = transposed ? shape->in : shape->out;
    const Value *result = &node->results[0];
    const char *name = tap == 0
                           ? result->name
                           : arena_format(lowering->arena, "%s.tap%" PRId64, result->name, tap);
    Type row = type_vector(DTYPE_F32, out);
    Kernel *kernel = lower_new_kernel(lowering, node, kind, name, &row);
    View of_tap = tap_view(weight, tap, shape->in * shape->out);
    kernel->contraction = (Contraction){.taps = lower_point_taps(lowering, &row),
                                        .weight = conv_weight(of_tap, in, out, 1, transposed),
                                        .in = in,
                                        .out = out,
                                        .groups = 1};
    return kernel;
}

void lower_token_taps(Lowering *lowering, Node *node) {
    TokenTaps shape = token_taps_of(&node->operands[1]->type);
    View token = lower_operand_view(lowering, node->operands[0]);
    View weight = lower_operand_view(lowering, node->operands[1]);
    View result = lower_result_view(lowering, &node->results[0]);
    for (int64_t tap = 0; tap < shape.taps; tap++) {
        Kernel *kernel = add_tap(lowering, node, KERNEL_CONTRACT, &shape, weight, tap, false);
        kernel->contraction.a = token;
        kernel->expression = lower_identity(lowering, 0);
        lower_add_output(kernel, tap_view(result, tap, shape.out));
    }
}

/* The accumulator plus operand 0. */
static Expression *sum_with_operand(Lowering *lowering) {
    ExpressionBuilder builder = expression_begin(lowering->arena);
    int before = expression_operand(&builder, 0), acc = expression_operand(&builder, 1);
    int result = expression_apply(&builder, SCALAR_add, before, acc, -1);
    return expression_end(&builder, &result, 1);
}

/* Each tap adds what it gives to the sum of those before. */
void lower_token_taps_grad(Lowering *lowering, Node *node) {
    const Value *result = &node->results[0];
    TokenTaps shape = token_taps_of(&node->operands[1]->type);
    View dy = lower_operand_view(lowering, node->operands[0]), before = {.buffer = -1};
    View weight = lower_operand_view(lowering, node->operands[1]);
    for (int64_t tap = 0; tap < shape.taps; tap++) {
        View sum = tap == shape.taps - 1
                       ? lower_result_view(lowering, result)
                       : lower_new_view(lowering, result->name, REGION_SCRATCH, &result->type);
        Kernel *kernel = add_tap(lowering, node, KERNEL_CONTRACT, &shape, weight, tap, true);
        kernel->contraction.a = tap_view(dy, tap, shape.out);
        if (tap > 0)
            lower_add_operand(kernel, lower_access(&result->type, &result->type, before));
        kernel->expression = tap > 0 ? sum_with_operand(lowering) : lower_identity(lowering, 0);
        lower_add_output(kernel, sum);
        before = sum;
    }
}

void lower_token_taps_weight_grad(Lowering *lowering, Node *node) {
    TokenTaps shape = token_taps_of(&node->results[0].type);
    View token = lower_operand_view(lowering, node->operands[0]);
    View dy = lower_operand_view(lowering, node->operands[1]);
    View result = lower_result_view(lowering, &node->results[0]);
    for (int64_t tap = 0; tap < shape.taps; tap++) {
        Kernel *kernel =
            add_tap(lowering, node, KERNEL_CONTRACT_WEIGHT, &shape, result, tap, false);
        kernel->contraction.a = token;
        kernel->contraction.b = tap_view(dy, tap, shape.out);
    }
}

/* The weight [in, out] of a linear layer; transposed, its result has `in` channels. */
void lower_linear(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *y = &node->results[0];
    bool transposed = node_bool(node, "transpose");
    View view = lower_operand_view(lowering, node->operands[1]);
    lower_operand_view(lowering, x);
    add_contract(lowering, node, y->name, lower_point_taps(lowering, &x->type),
                 conv_weight(view, channels_of(x), channels_of(y), 1, transposed), 1, false);
}

void lower_linear_weight_grad(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *dy = node->operands[1], *dw = &node->results[0];
    View a = lower_operand_view(lowering, x), b = lower_operand_view(lowering, dy);
    View target = lower_result_view(lowering, dw);
    TapSet taps = lower_point_taps(lowering, &x->type);
    Kernel *kernel = lower_new_kernel(lowering, node, KERNEL_CONTRACT_WEIGHT, dw->name, &dy->type);
    kernel->contraction =
        (Contraction){.taps = taps,
                      .a = a,
                      .b = b,
                      .weight = conv_weight(target, channels_of(x), channels_of(dy), 1, false),
                      .in = channels_of(x),
                      .out = channels_of(dy),
                      .groups = 1};
}
