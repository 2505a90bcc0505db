/* Derivatives of contractions: each is again a contraction of the same windows. */
#include "passes/gradient.h"

static NamedAttribute size_of(const Type *type) {
    return attribute_ints("size", type->extent, type->rank);
}

/* The gradients of y = f(x, w): to_x(dy, w), named after what x is, of extents `size` (NULL: it has
 * none of its own to be told), and to_weight(in, out). */
static void give_factors(Gradient *gradient, Op to_x, const char *name, const Type *size,
                         Op to_weight, Value *in, Value *out) {
    Value *weight = gradient->node->operands[1], *dy = gradient->results[0];
    NamedAttribute extent = size ? size_of(size) : (NamedAttribute){0};
    if (gradient_wants(gradient, 0))
        gradient_give(gradient, 0,
                      gradient_like(gradient, to_x, name, OPERANDS(dy, weight), &extent, !!size));
    if (gradient_wants(gradient, 1))
        gradient_give(
            gradient, 1,
            gradient_like(gradient, to_weight, "weight", OPERANDS(in, out), NO_ATTRIBUTES));
}

void gradient_conv(Gradient *gradient) {
    Value *x = gradient->node->operands[0], *dy = gradient->results[0];
    give_factors(gradient, OP_conv_transpose, "x", &x->type, OP_conv_weight_grad, x, dy);
}

/* The conv whose transpose the op is maps the large map, here dy, to the small one, here x. */
void gradient_conv_transpose(Gradient *gradient) {
    Value *x = gradient->node->operands[0], *dy = gradient->results[0];
    give_factors(gradient, OP_conv, "x", NULL, OP_conv_weight_grad, dy, x);
}

void gradient_token_taps(Gradient *gradient) {
    Value *token = gradient->node->operands[0], *dy = gradient->results[0];
    give_factors(gradient, OP_token_taps_grad, "token", NULL, OP_token_taps_weight_grad, token, dy);
}

/* y = x w or, transposed, y = x w': the gradient to x transposes once more. */
void gradient_linear(Gradient *gradient) {
    Node *node = gradient->node;
    Value *x = node->operands[0], *weight = node->operands[1], *dy = gradient->results[0];
    bool transposed = node_bool(node, "transpose");
    if (gradient_wants(gradient, 0)) {
        Node *dx = build(&gradient->builder, OP_linear, "x", OPERANDS(dy, weight),
                         ATTRIBUTES(attribute_bool("transpose", !transposed)));
        gradient_give(gradient, 0, node_result(dx, 0));
    }
    if (gradient_wants(gradient, 1)) {
        Value *in = transposed ? dy : x, *out = transposed ? x : dy;
        Node *dw = build(&gradient->builder, OP_linear_weight_grad, "weight", OPERANDS(in, out),
                         NO_ATTRIBUTES);
        gradient_give(gradient, 1, node_result(dw, 0));
    }
}
