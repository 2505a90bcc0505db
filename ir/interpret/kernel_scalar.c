#include "ir/interpret/kernel_scalar.h"

#include <math.h>

static Scalar real(double value) {
    return (Scalar){.f = (float)value};
}

static Scalar whole(uint32_t value) {
    return (Scalar){.u = value};
}

static Scalar truth(bool value) {
    return (Scalar){.b = value};
}

static double softplus(double x) {
    return (x < 0 ? 0 : x) + log1p(exp(-fabs(x)));
}

static double normal_pdf(double x) {
    return exp(-x * x / 2) / sqrt(2 * M_PI);
}

static uint32_t to_u(float x) {
    if (!(x > 0))
        return 0;
    return x >= 4294967296.0f ? UINT32_MAX : (uint32_t)x;
}

/* In double the sum, difference, product and quotient of two fp32 numbers, rounded to fp32, are
 * those of fp32 arithmetic: 53 >= 2 * 24 + 2 (Figueroa 1995). */
Scalar kernel_scalar_apply(ScalarOp op, const Scalar arguments[3]) {
    const Scalar p = arguments[0], q = arguments[1], r = arguments[2];
    const double x = (double)p.f;
    switch (op) {
    case SCALAR_add:
        return real(x + (double)q.f);
    case SCALAR_sub:
        return real(x - (double)q.f);
    case SCALAR_mul:
        return real(x * (double)q.f);
    case SCALAR_div:
        return real(x / (double)q.f);
    case SCALAR_neg:
        return real(-x);
    case SCALAR_min:
        return p.f < q.f ? p : q;
    case SCALAR_less:
        return truth(p.f < q.f);
    case SCALAR_equal:
        return truth(p.f == q.f);
    case SCALAR_is_finite:
        return truth(isfinite(p.f));
    case SCALAR_select:
    case SCALAR_select_u:
        return p.b ? q : r;
    case SCALAR_sqrt:
        return real(sqrt(x));
    case SCALAR_rsqrt:
        return real(1 / sqrt(x));
    case SCALAR_exp:
        return real(exp(x));
    case SCALAR_expm1:
        return real(expm1(x));
    case SCALAR_log:
        return real(log(x));
    case SCALAR_erf:
        return real(erf(x));
    case SCALAR_tanh:
        return real(tanh(x));
    case SCALAR_sigmoid:
        return real(1 / (1 + exp(-x)));
    case SCALAR_softplus:
        return real(softplus(x));
    case SCALAR_normal_cdf:
        return real(0.5 * erfc(-x / M_SQRT2));
    case SCALAR_normal_pdf:
        return real(normal_pdf(x));
    case SCALAR_add_u:
        return whole(p.u + q.u);
    case SCALAR_mul_u:
        return whole(p.u * q.u);
    case SCALAR_mulhi_u:
        return whole((uint32_t)(((uint64_t)p.u * q.u) >> 32));
    case SCALAR_xor_u:
        return whole(p.u ^ q.u);
    case SCALAR_shift_right_u:
        return whole(p.u >> (q.u & 31));
    case SCALAR_less_u:
        return truth(p.u < q.u);
    case SCALAR_to_float:
        return (Scalar){.f = (float)p.u};
    case SCALAR_to_u:
        return whole(to_u(p.f));
    case SCALAR_OPERAND:
    case SCALAR_OPERAND_U:
    case SCALAR_VISIBLE:
    case SCALAR_CONSTANT:
    case SCALAR_CONSTANT_U:
    case SCALAR_INDEX_LOW:
    case SCALAR_INDEX_HIGH:
    case SCALAR_OP_COUNT:
        break;
    }
    return whole(0);
}

static Scalar evaluate(const Instruction *instruction, const ScalarOperand *operands,
                       uint64_t index, const Scalar *results) {
    Scalar arguments[3] = {0};
    switch (instruction->op) {
    case SCALAR_OPERAND:
    case SCALAR_OPERAND_U:
        return operands[instruction->operand].value;
    case SCALAR_VISIBLE:
        return truth(operands[instruction->operand].visible);
    case SCALAR_CONSTANT:
        return (Scalar){.f = instruction->constant};
    case SCALAR_CONSTANT_U:
        return whole(instruction->constant_u);
    case SCALAR_INDEX_LOW:
        return whole((uint32_t)index);
    case SCALAR_INDEX_HIGH:
        return whole((uint32_t)(index >> 32));
    default:
        for (int i = 0; scalar_operands(instruction->op)[i]; i++)
            arguments[i] = results[instruction->arguments[i]];
        return kernel_scalar_apply(instruction->op, arguments);
    }
}

void kernel_scalar_evaluate(const Expression *expression, const ScalarOperand *operands,
                            uint64_t index, Scalar *results) {
    for (int i = 0; i < expression->instruction_count; i++)
        results[i] = evaluate(&expression->instructions[i], operands, index, results);
}
