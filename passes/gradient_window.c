/* Derivatives of the window ops that have no weight. */
#include "passes/gradient.h"

/* To where the maximum is: of `by`, which gets no gradient itself. */
void gradient_max_pool(Gradient *gradient) {
    Value *by = node_operand(gradient->node, 1);
    Value *of = by ? by : gradient->node->operands[0];
    gradient_give(gradient, 0,
                  gradient_like(gradient, OP_max_pool_grad, "x", OPERANDS(of, gradient->results[0]),
                                NO_ATTRIBUTES));
}

void gradient_avg_pool(Gradient *gradient) {
    const Type *x = &gradient->node->operands[0]->type;
    gradient_give(gradient, 0,
                  gradient_like(gradient, OP_avg_pool_grad, "x", OPERANDS(gradient->results[0]),
                                ATTRIBUTES(attribute_ints("size", x->extent, x->rank))));
}

void gradient_upsample(Gradient *gradient) {
    gradient_give(gradient, 0,
                  gradient_like(gradient, OP_upsample_grad, "x", OPERANDS(gradient->results[0]),
                                NO_ATTRIBUTES));
}
