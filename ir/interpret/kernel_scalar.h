/* Scalar expressions as they are meant: fp32 operations, each computed in double by libm where it
 * is not exact in fp32 anyway, and rounded once. What back ends are compared with. */
#ifndef SPARKC_IR_INTERPRET_KERNEL_SCALAR_H
#define SPARKC_IR_INTERPRET_KERNEL_SCALAR_H

#include "ir/expression.h"

typedef union Scalar {
    float f;
    uint32_t u;
    bool b;
} Scalar;

/* What one element of an operand is. */
typedef struct ScalarOperand {
    Scalar value;
    bool visible;
} ScalarOperand;

/* One operation of the table on its arguments; entries that it does not take are ignored. */
Scalar kernel_scalar_apply(ScalarOp op, const Scalar arguments[3]);

/* All instructions of an expression into results[instruction_count]; the values are
 * results[expression->values[i]]. `index` is the element's place (SCALAR_INDEX_LOW, HIGH). */
void kernel_scalar_evaluate(const Expression *expression, const ScalarOperand *operands,
                            uint64_t index, Scalar *results);

#endif
