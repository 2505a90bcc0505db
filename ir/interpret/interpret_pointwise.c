/* Pointwise arithmetic with broadcasting. */
#include <math.h>

#include "ir/interpret/engine.h"

typedef double Unary(double x);
typedef double Binary(double a, double b);
typedef double Ternary(double c, double a, double b);

static OperandRow operand_row(const OpCall *call, int index, int64_t row) {
    return engine_operand_row(call->graph, &call->operands[index], &call->results[0].type, row);
}

/* The elements of a row of the result, and their number. */
static double *result_row(const OpCall *call, int64_t row, int64_t *length) {
    const Tensor *result = &call->results[0];
    *length = engine_row_length(call->graph, &result->type, row);
    return result->data + engine_row_begin(call->graph, &result->type, row);
}

static int64_t row_count(const OpCall *call) {
    return engine_rows(call->graph, &call->results[0].type);
}

static void apply_unary(OpCall *call, Unary *function) {
    for (int64_t row = 0, length; row < row_count(call); row++) {
        double *y = result_row(call, row, &length);
        OperandRow x = operand_row(call, 0, row);
        for (int64_t i = 0; i < length; i++)
            y[i] = function(x.data[i * x.step]);
    }
}

static void apply_binary(OpCall *call, Binary *function) {
    for (int64_t row = 0, length; row < row_count(call); row++) {
        double *y = result_row(call, row, &length);
        OperandRow a = operand_row(call, 0, row), b = operand_row(call, 1, row);
        for (int64_t i = 0; i < length; i++)
            y[i] = function(a.data[i * a.step], b.data[i * b.step]);
    }
}

static void apply_ternary(OpCall *call, Ternary *function) {
    for (int64_t row = 0, length; row < row_count(call); row++) {
        double *y = result_row(call, row, &length);
        OperandRow c = operand_row(call, 0, row), a = operand_row(call, 1, row),
                   b = operand_row(call, 2, row);
        for (int64_t i = 0; i < length; i++)
            y[i] = function(c.data[i * c.step], a.data[i * a.step], b.data[i * b.step]);
    }
}

#define UNARY(name, expression)                                                                    \
    static double name##_of(double x) {                                                            \
        return expression;                                                                         \
    }                                                                                              \
    void interpret_##name(OpCall *call) {                                                          \
        apply_unary(call, name##_of);                                                              \
    }

#define BINARY(name, expression)                                                                   \
    static double name##_of(double a, double b) {                                                  \
        return expression;                                                                         \
    }                                                                                              \
    void interpret_##name(OpCall *call) {                                                          \
        apply_binary(call, name##_of);                                                             \
    }

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(div, a / b)
BINARY(minimum, b < a ? b : a)
BINARY(greater, a > b ? 1 : 0)
UNARY(neg, -x)
UNARY(sqrt, sqrt(x))
UNARY(is_finite, isfinite(x) ? 1 : 0)
UNARY(broadcast, x)

static double product(double a, double b) {
    return a * b;
}

/* A product of two u32 does not fit a double. */
static double product_u32(double a, double b) {
    return (double)(uint32_t)((uint32_t)a * (uint32_t)b);
}

void interpret_mul(OpCall *call) {
    apply_binary(call, call->results[0].type.dtype == DTYPE_U32 ? product_u32 : product);
}

static double choice(double c, double a, double b) {
    return c != 0 ? a : b;
}

void interpret_select(OpCall *call) {
    apply_ternary(call, choice);
}
