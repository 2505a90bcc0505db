/* Pooling, upsampling and their gradients. */
#include <string.h>

#include "passes/lower.h"

static Window pool_window(const Node *node, WindowKind kind, const WindowShape *shape) {
    Window window = {.kind = kind};
    for (int d = 0; d < shape->rank; d++) {
        window.pool_kernel[d] = shape->kernel[d];
        window.pool_stride[d] = shape->stride[d];
        window.pool_pad[d] = shape->pad[d];
    }
    if (op_attribute_index(node->op, "count_include_pad") >= 0)
        window.count_pad = node_bool(node, "count_include_pad");
    return window;
}

static Kernel *add_window(Lowering *lowering, Node *node, const char *name, const Type *walked,
                          Window window, TapSet taps, const Value *target) {
    View a = lower_operand_view(lowering, node->operands[0]);
    Kernel *kernel = lower_new_kernel(lowering, node, KERNEL_WINDOW, name, walked);
    kernel->window = window;
    kernel->window.taps = taps;
    kernel->window.a = a;
    kernel->expression = lower_identity(lowering, 0);
    lower_add_output(kernel, lower_result_view(lowering, target));
    return kernel;
}

static Kernel *lower_pool(Lowering *lowering, Node *node, WindowKind kind) {
    const Value *x = node->operands[0], *y = &node->results[0];
    WindowShape shape = lower_window_shape(node);
    return add_window(lowering, node, y->name, &y->type, pool_window(node, kind, &shape),
                      lower_forward_taps(lowering, &shape, &x->type), y);
}

void lower_max_pool(Lowering *lowering, Node *node) {
    const Value *by = node_operand(node, 1);
    if (!by) {
        lower_pool(lowering, node, WINDOW_MAX);
        return;
    }
    View b = lower_operand_view(lowering, by);
    lower_pool(lowering, node, WINDOW_MAX_BY)->window.b = b;
}

void lower_avg_pool(Lowering *lowering, Node *node) {
    lower_pool(lowering, node, WINDOW_AVERAGE);
}

void lower_max_pool_grad(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *dy = node->operands[1], *dx = &node->results[0];
    WindowShape shape = lower_window_shape(node);
    View b = lower_operand_view(lowering, dy);
    Kernel *kernel =
        add_window(lowering, node, dx->name, &dy->type, pool_window(node, WINDOW_MAX_GRAD, &shape),
                   lower_forward_taps(lowering, &shape, &x->type), dx);
    kernel->window.b = b;
    kernel->expression = NULL;
}

void lower_avg_pool_grad(Lowering *lowering, Node *node) {
    const Value *dy = node->operands[0], *dx = &node->results[0];
    WindowShape shape = lower_window_shape(node);
    int64_t phase[TYPE_MAX_SPACE] = {0};
    int number = 0;
    do {
        bool inside = true;
        for (int d = 0; d < shape.rank; d++)
            inside = inside && phase[d] < dx->type.extent[d];
        const char *name =
            number ? arena_format(lowering->arena, "%s.phase%d", dx->name, number) : dx->name;
        number++;
        if (inside)
            add_window(lowering, node, name, &dx->type,
                       pool_window(node, WINDOW_AVERAGE_GRAD, &shape),
                       lower_transposed_taps(lowering, &shape, &dy->type, phase), dx);
    } while (lower_next_phase(&shape, phase));
}

WindowShape lower_upsample_shape(const Node *node) {
    WindowShape shape = {0};
    const int64_t *factor = node_ints(node, "factor", &shape.rank);
    for (int d = 0; d < shape.rank; d++) {
        shape.kernel[d] = shape.stride[d] = factor[d];
        shape.dilation[d] = 1;
    }
    return shape;
}

static bool is_bilinear(const Node *node) {
    return strcmp(node_text(node, "mode"), "bilinear") == 0;
}

static void lower_bilinear(Lowering *lowering, Node *node, WindowKind kind) {
    WindowShape shape = lower_upsample_shape(node);
    Window window = {.kind = kind};
    for (int d = 0; d < shape.rank; d++)
        window.factor[d] = shape.kernel[d];
    const Value *y = &node->results[0];
    TapSet taps = lower_point_taps(lowering, &node->operands[0]->type);
    add_window(lowering, node, y->name, &y->type, window, taps, y);
}

void lower_upsample(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *y = &node->results[0];
    if (is_bilinear(node)) {
        lower_bilinear(lowering, node, WINDOW_BILINEAR);
        return;
    }
    WindowShape shape = lower_upsample_shape(node);
    Access access = {.kind = ACCESS_POSITION,
                     .view = lower_operand_view(lowering, x),
                     .source = space_of_type(&x->type)};
    for (int d = 0; d < shape.rank; d++)
        access.divide[d] = shape.kernel[d];
    lower_copy(lowering, node, y->name, &y->type, access, lower_result_view(lowering, y));
}

void lower_upsample_grad(Lowering *lowering, Node *node) {
    const Value *dy = node->operands[0], *dx = &node->results[0];
    if (is_bilinear(node)) {
        lower_bilinear(lowering, node, WINDOW_BILINEAR_GRAD);
        return;
    }
    WindowShape shape = lower_upsample_shape(node);
    add_window(lowering, node, dx->name, &dx->type, (Window){.kind = WINDOW_SUM},
               lower_forward_taps(lowering, &shape, &dy->type), dx);
}
