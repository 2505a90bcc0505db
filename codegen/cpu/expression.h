/* Scalar expressions as vector code. Every operation has one formula, written here with the
 * builder, the same for every CPU: at most 2 ulp from the exact result where docs/kernel-ir.md does
 * not say otherwise, right for NaN, infinities and denormals. */
#ifndef SPARKC_CODEGEN_CPU_EXPRESSION_H
#define SPARKC_CODEGEN_CPU_EXPRESSION_H

#include "codegen/cpu/emitter.h"
#include "ir/expression.h"

/* What the leaves of an expression are in the code at hand. */
typedef struct ExpressionInputs {
    LLVMValueRef operands[KERNEL_MAX_OPERANDS + 1]; /* fp32 or i32, vector or scalar; acc last */
    LLVMValueRef visible[KERNEL_MAX_OPERANDS + 1];  /* i1 or vector of i1 of POSITION operands */
    LLVMValueRef index_low, index_high;             /* i32 vectors, if the expression asks */
    bool constants_in_slots; /* the fp32 constants are the slots from `constants` on, in order */
    int constants;
} ExpressionInputs;

/* Emits the expression at the builder's place; values[i] is value i. `width`: lanes of the result:
 * the target's, or 1 for scalar code. */
void emit_expression(Emitter *emitter, const Expression *expression, int width,
                     const ExpressionInputs *inputs, LLVMValueRef *values);

/* True if the expression reads its element's index. */
bool expression_uses_index(const Expression *expression);

#endif
