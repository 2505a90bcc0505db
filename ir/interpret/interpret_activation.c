/* Activations and their derivatives, written from the definitions and not from the expressions of
 * ir/activations.def. For each row: <name>_value(x, a) and <name>_derivative(saved, a), a the
 * attribute if it has one. */
#include <math.h>

#include "ir/interpret/engine.h"

typedef double Function(double x, double a);

static double sigmoid(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double softplus(double x) {
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double normal_cdf(double x) {
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static double normal_pdf(double x) {
    return exp(-0.5 * x * x) * 0.5 * M_2_SQRTPI * M_SQRT1_2;
}

/* NaN stays NaN. */
static double clamp(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

#define VALUE(name, expression)                                                                    \
    static double name##_value(double x, double a) {                                               \
        (void)a;                                                                                   \
        return expression;                                                                         \
    }
#define DERIVATIVE(name, saved, expression)                                                        \
    static double name##_derivative(double saved, double a) {                                      \
        (void)a;                                                                                   \
        return expression;                                                                         \
    }

VALUE(relu, clamp(x, 0, INFINITY))
DERIVATIVE(relu, y, y > 0 ? 1 : 0)

VALUE(relu6, clamp(x, 0, 6))
DERIVATIVE(relu6, y, y > 0 && y < 6 ? 1 : 0)

VALUE(sigmoid, sigmoid(x))
DERIVATIVE(sigmoid, y, y *(1 - y))

VALUE(tanh, tanh(x))
DERIVATIVE(tanh, y, 1 - y * y)

VALUE(silu, sigmoid(x) * x)
DERIVATIVE(silu, x, sigmoid(x) + x * sigmoid(x) * sigmoid(-x))

VALUE(hard_sigmoid, clamp(x + 3, 0, 6) / 6)
DERIVATIVE(hard_sigmoid, x, x > -3 && x < 3 ? 1.0 / 6 : 0)

VALUE(hard_swish, x *(clamp(x + 3, 0, 6) / 6))
DERIVATIVE(hard_swish, x, x > -3 ? (x < 3 ? x / 3 + 0.5 : 1) : 0)

VALUE(mish, tanh(softplus(x)) * x)

static double mish_derivative(double x, double a) {
    (void)a;
    double t = tanh(softplus(x));
    return t + x * sigmoid(x) * (1 - t * t);
}

VALUE(leaky_relu, x > 0 ? x : a * x)
DERIVATIVE(leaky_relu, x, x > 0 ? 1 : a)

VALUE(elu, x > 0 ? x : a * expm1(x))
DERIVATIVE(elu, x, x > 0 ? 1 : a * exp(x))

VALUE(softplus, softplus(x *a) / a)
DERIVATIVE(softplus, x, sigmoid(x *a))

VALUE(gelu, normal_cdf(x) * x)
DERIVATIVE(gelu, x, normal_cdf(x) + x * normal_pdf(x))

/* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), Hendrycks and Gimpel 2016. */
static double gelu_tanh_inner(double x) {
    return M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x);
}

VALUE(gelu_tanh, 0.5 * x * (1 + tanh(gelu_tanh_inner(x))))

static double gelu_tanh_derivative(double x, double a) {
    (void)a;
    double t = tanh(gelu_tanh_inner(x));
    double slope = M_2_SQRTPI * M_SQRT1_2 * (1 + 3 * 0.044715 * x * x);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope;
}

/* The only attribute that an activation may have, a number. */
static double attribute_of(const Node *node) {
    return op_info(node->op)->attribute_count ? node->attributes[0].real : 0;
}

static void apply_value(OpCall *call, Function *value) {
    double a = attribute_of(call->node);
    for (size_t i = 0; i < call->results[0].count; i++)
        call->results[0].data[i] = value(call->operands[0].data[i], a);
}

static void apply_derivative(OpCall *call, Function *derivative) {
    double a = attribute_of(call->node);
    const double *saved = call->operands[0].data, *dy = call->operands[1].data;
    for (size_t i = 0; i < call->results[0].count; i++)
        call->results[0].data[i] = derivative(saved[i], a) * dy[i];
}

#define ACTIVATION(name, ...)                                                                      \
    void interpret_##name(OpCall *call) {                                                          \
        apply_value(call, name##_value);                                                           \
    }                                                                                              \
    void interpret_##name##_grad(OpCall *call) {                                                   \
        apply_derivative(call, name##_derivative);                                                 \
    }
#include "ir/activations.def"
#undef ACTIVATION
