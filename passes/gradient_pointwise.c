/* Derivatives of pointwise ops. Operands may be broadcast: gradient_give sums back. */
#include <string.h>

#include "passes/gradient.h"

void gradient_add(Gradient *gradient) {
    gradient_give(gradient, 0, gradient->results[0]);
    gradient_give(gradient, 1, gradient->results[0]);
}

void gradient_neg(Gradient *gradient) {
    gradient_give(gradient, 0, build_unary(&gradient->builder, OP_neg, "x", gradient->results[0]));
}

void gradient_sub(Gradient *gradient) {
    Value *dy = gradient->results[0];
    gradient_give(gradient, 0, dy);
    if (gradient_wants(gradient, 1))
        gradient_give(gradient, 1, build_unary(&gradient->builder, OP_neg, "b", dy));
}

void gradient_mul(Gradient *gradient) {
    Value *const *ab = gradient->node->operands;
    Value *dy = gradient->results[0];
    if (gradient_wants(gradient, 0))
        gradient_give(gradient, 0, build_binary(&gradient->builder, OP_mul, "a", dy, ab[1]));
    if (gradient_wants(gradient, 1))
        gradient_give(gradient, 1, build_binary(&gradient->builder, OP_mul, "b", dy, ab[0]));
}

/* y = a / b: da = dy / b, db = -(dy / b) y. */
void gradient_div(Gradient *gradient) {
    Builder *builder = &gradient->builder;
    Node *node = gradient->node;
    Value *da = build_binary(builder, OP_div, "a", gradient->results[0], node->operands[1]);
    gradient_give(gradient, 0, da);
    if (gradient_wants(gradient, 1)) {
        Value *product = build_binary(builder, OP_mul, "product", da, node_result(node, 0));
        gradient_give(gradient, 1, build_unary(builder, OP_neg, "b", product));
    }
}

/* dx = dy / (2 y), and 0 where y = 0: PyTorch's choice for the norm of a zero vector. */
void gradient_sqrt(Gradient *gradient) {
    Builder *builder = &gradient->builder;
    Value *y = node_result(gradient->node, 0);
    Value *zero = build_constant(builder, 0);
    Value *half = build_scale(builder, "half", gradient->results[0], 0.5);
    Value *quotient = build_binary(builder, OP_div, "quotient", half, y);
    Value *positive = build_binary(builder, OP_greater, "positive", y, zero);
    Node *dx = build(builder, OP_select, "x", OPERANDS(positive, quotient, zero), NO_ATTRIBUTES);
    gradient_give(gradient, 0, node_result(dx, 0));
}

void gradient_broadcast(Gradient *gradient) {
    gradient_give(gradient, 0, gradient->results[0]);
}

/* The derivative's row names what it reads: the operand "x" or the result "y". */
void gradient_activation(Gradient *gradient) {
    static const Op derivatives[OP_COUNT] = {
#define ACTIVATION(name, ...) [OP_##name] = OP_##name##_grad,
#include "ir/activations.def"
#undef ACTIVATION
    };
    Node *node = gradient->node;
    Op derivative = derivatives[node->op];
    bool keeps_result = strcmp(op_info(derivative)->operands[0], "y") == 0;
    Value *saved = keeps_result ? node_result(node, 0) : node->operands[0];
    gradient_give(gradient, 0,
                  gradient_like(gradient, derivative, "x", OPERANDS(saved, gradient->results[0]),
                                NO_ATTRIBUTES));
}
