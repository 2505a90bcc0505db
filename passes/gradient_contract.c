/* Derivatives of contractions: each is again a contraction of the same windows. */
#include "passes/gradient.h"

static NamedAttribute size_of(const Type *type) {
    return attribute_ints("size", type->extent, type->rank);
}

void gradient_conv(Gradient *gradient) {
    Value *x = gradient->node->operands[0], *weight = gradient->node->operands[1];
    Value *dy = gradient->results[0];
    if (gradient_wants(gradient, 0))
        gradient_give(gradient, 0,
                      gradient_like(gradient, OP_conv_transpose, "x", OPERANDS(dy, weight),
                                    ATTRIBUTES(size_of(&x->type))));
    if (gradient_wants(gradient, 1))
        gradient_give(
            gradient, 1,
            gradient_like(gradient, OP_conv_weight_grad, "weight", OPERANDS(x, dy), NO_ATTRIBUTES));
}

/* The conv whose transpose the op is maps the large map, here dy, to the small one, here x. */
void gradient_conv_transpose(Gradient *gradient) {
    Value *x = gradient->node->operands[0], *weight = gradient->node->operands[1];
    Value *dy = gradient->results[0];
    if (gradient_wants(gradient, 0))
        gradient_give(gradient, 0,
                      gradient_like(gradient, OP_conv, "x", OPERANDS(dy, weight), NO_ATTRIBUTES));
    if (gradient_wants(gradient, 1))
        gradient_give(
            gradient, 1,
            gradient_like(gradient, OP_conv_weight_grad, "weight", OPERANDS(dy, x), NO_ATTRIBUTES));
}

void gradient_token_taps(Gradient *gradient) {
    Value *token = gradient->node->operands[0], *weight = gradient->node->operands[1];
    Value *dy = gradient->results[0];
    if (gradient_wants(gradient, 0))
        gradient_give(gradient, 0,
                      gradient_like(gradient, OP_token_taps_grad, "token", OPERANDS(dy, weight),
                                    NO_ATTRIBUTES));
    if (gradient_wants(gradient, 1))
        gradient_give(gradient, 1,
                      gradient_like(gradient, OP_token_taps_weight_grad, "weight",
                                    OPERANDS(token, dy), NO_ATTRIBUTES));
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
