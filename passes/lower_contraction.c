/* Convolutions, linear layers and their gradients. A convolution whose groups are single channels
 * is a weighted window; everything else is a contract. */
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
