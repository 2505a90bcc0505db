/* Scalar expressions of kernels: straight-line code over a closed table of operations, fp32 and
 * u32. A target emits each operation from the one formula in its row's documentation
 * (docs/kernel-ir.md). */
#ifndef SPARKC_IR_EXPRESSION_H
#define SPARKC_IR_EXPRESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* SCALAR(name, operands, result): result f (fp32), u (u32), b (boolean); operands by the same
 * letters. */
#define SCALAR_OPS(SCALAR)                                                                         \
    SCALAR(add, "ff", 'f')                                                                         \
    SCALAR(sub, "ff", 'f')                                                                         \
    SCALAR(mul, "ff", 'f')                                                                         \
    SCALAR(div, "ff", 'f')                                                                         \
    SCALAR(neg, "f", 'f')                                                                          \
    SCALAR(min, "ff", 'f') /* a < b ? a : b */                                                     \
    SCALAR(less, "ff", 'b')                                                                        \
    SCALAR(equal, "ff", 'b')                                                                       \
    SCALAR(is_finite, "f", 'b')                                                                    \
    SCALAR(select, "bff", 'f')                                                                     \
    SCALAR(select_u, "buu", 'u')                                                                   \
    SCALAR(sqrt, "f", 'f')                                                                         \
    SCALAR(rsqrt, "f", 'f')                                                                        \
    SCALAR(exp, "f", 'f')                                                                          \
    SCALAR(expm1, "f", 'f')                                                                        \
    SCALAR(log, "f", 'f')                                                                          \
    SCALAR(erf, "f", 'f')                                                                          \
    SCALAR(tanh, "f", 'f')                                                                         \
    SCALAR(sigmoid, "f", 'f')                                                                      \
    SCALAR(softplus, "f", 'f')   /* log(1 + exp(x)) without overflow */                            \
    SCALAR(normal_cdf, "f", 'f') /* 0.5 erfc(-x / sqrt(2)) */                                      \
    SCALAR(normal_pdf, "f", 'f') /* exp(-x x / 2) / sqrt(2 pi) */                                  \
    SCALAR(add_u, "uu", 'u')                                                                       \
    SCALAR(mul_u, "uu", 'u')   /* low 32 bits */                                                   \
    SCALAR(mulhi_u, "uu", 'u') /* high 32 bits */                                                  \
    SCALAR(xor_u, "uu", 'u')                                                                       \
    SCALAR(shift_right_u, "uu", 'u') /* by b modulo 32 */                                          \
    SCALAR(less_u, "uu", 'b')                                                                      \
    SCALAR(to_float, "u", 'f') /* exact below 2^24, else rounded to nearest */                     \
    SCALAR(to_u, "f", 'u')     /* toward zero; below 0 and NaN give 0, above 2^32 - 1 that */

typedef enum ScalarOp {
    SCALAR_OPERAND,   /* fp32: operand `operand` of the kernel, held as f32 or bf16 */
    SCALAR_OPERAND_U, /* u32: the same, held as u32 or i32 */
    SCALAR_VISIBLE,   /* boolean: the POSITION operand `operand` is a row (not hidden or outside) */
    SCALAR_CONSTANT,  /* fp32 */
    SCALAR_CONSTANT_U, /* u32 */
    SCALAR_INDEX_LOW,  /* u32: the element's place in the value as if nothing were masked (batch, */
    SCALAR_INDEX_HIGH, /* space.., channels row-major), low and high half: counts random numbers */
#define SCALAR_ENUM(name, operands, result) SCALAR_##name,
    SCALAR_OPS(SCALAR_ENUM)
#undef SCALAR_ENUM
        SCALAR_OP_COUNT
} ScalarOp;

typedef struct Instruction {
    ScalarOp op;
    int arguments[3]; /* earlier instructions */
    int operand;      /* OPERAND, OPERAND_U, VISIBLE */
    float constant;
    uint32_t constant_u;
} Instruction;

enum {
    EXPRESSION_MAX_VALUES = 4,
    EXPRESSION_MAX_OPERANDS = 64,
    EXPRESSION_MAX_INSTRUCTIONS = 4096
};

typedef struct Expression {
    int instruction_count;
    Instruction *instructions;
    int value_count;
    int values[EXPRESSION_MAX_VALUES]; /* the instructions that give the values */
} Expression;

typedef struct ExpressionBuilder {
    Arena *arena;
    int count, capacity;
    Instruction *instructions;
} ExpressionBuilder;

/* A builder without instructions. */
ExpressionBuilder expression_begin(Arena *arena);

/* Each appends an instruction (or finds an equal one) and returns its index. */
int expression_operand(ExpressionBuilder *builder, int operand);
int expression_operand_u(ExpressionBuilder *builder, int operand);
int expression_visible(ExpressionBuilder *builder, int operand);
int expression_constant(ExpressionBuilder *builder, double value);
int expression_constant_u(ExpressionBuilder *builder, uint32_t value);
int expression_index(ExpressionBuilder *builder, bool high);
int expression_apply(ExpressionBuilder *builder, ScalarOp op, int a, int b, int c);

/* Appends a formula in infix notation (ir/activations.def): + - * / ?: < > numbers, names and calls
 * of the scalar operations. `names` are bound to the instructions `bound`. An unknown name or a
 * syntax error is an internal error. */
int expression_formula(ExpressionBuilder *builder, const char *formula, const char *const *names,
                       const int *bound, int count);

/* Ends with the given values (fp32 or u32, not booleans); instructions that no value needs are
 * dropped. */
Expression *expression_end(ExpressionBuilder *builder, const int *values, int count);

/* `then` with its operand `operand` replaced by value 0 of `first`; operand i of `first` becomes
 * operand first_operand_base + i, those of `then` keep their numbers. `then` must not ask whether
 * `operand` is visible. The basis of fusion. */
Expression *expression_compose(Arena *arena, const Expression *first, const Expression *then,
                               int operand, int first_operand_base);

/* The same with operand i renamed to renamed[i], for every operand below `count` that it reads. */
Expression *expression_rename_operands(Arena *arena, const Expression *expression,
                                       const int *renamed, int count);

/* One more than the highest operand that is read; 0 if none is. */
int expression_operand_count(const Expression *expression);

/* The letter of value `index`: 'f' or 'u'. */
char expression_value_kind(const Expression *expression, int index);

/* A scalar operation's name, its operand letters, its result letter. */
const char *scalar_name(ScalarOp op);
const char *scalar_operands(ScalarOp op);
char scalar_result(ScalarOp op);

/* Prints as `t0 = operand 0; t1 = constant 0.5; t2 = mul t0 t1; -> t2`; reads back the same.
 * Constants are the shortest decimals that read back to the same fp32 number. */
void expression_print(Text *out, const Expression *expression);

/* The same without the values of fp32 constants, for code that reads them as arguments. */
void expression_print_form(Text *out, const Expression *expression);

/* Reads the printed form at *cursor, on one line, and moves it behind. Returns NULL with *error a
 * sentence and *cursor at the place if it is not one: the result is well typed and refers to
 * earlier instructions only. */
Expression *expression_parse(Arena *arena, const char **cursor, const char **error);

#endif
