/* Activations against known values, and their derivatives against central differences. */
#include <math.h>

#include "tests/support/fixture.h"
#include "tests/unit/interpret_suites.h"

typedef struct KnownValue {
    Op op;
    double x, y;
} KnownValue;

/* From the definitions, to 15 digits. */
static const KnownValue known_values[] = {
    {OP_relu, -1, 0},
    {OP_relu, 2, 2},
    {OP_relu6, 7, 6},
    {OP_relu6, -1, 0},
    {OP_sigmoid, 1, 0.731058578630005},
    {OP_sigmoid, -800, 0},
    {OP_tanh, 0.5, 0.462117157260010},
    {OP_silu, -2, -0.238405844044235},
    {OP_hard_sigmoid, 1, 2.0 / 3},
    {OP_hard_sigmoid, 4, 1},
    {OP_hard_swish, -1, -1.0 / 3},
    {OP_hard_swish, 5, 5},
    {OP_mish, 1, 0.865098388267310},
    {OP_leaky_relu, -3, -0.03},
    {OP_elu, -1, -0.632120558828558},
    {OP_softplus, 0, 0.693147180559945},
    {OP_softplus, 800, 800},
    {OP_gelu, 1, 0.841344746068543},
    {OP_gelu, -1, -0.158655253931457},
    {OP_gelu_tanh, 1, 0.841191990608277},
};

static double value_at(Op op, double x) {
    Fixture fixture = fixture_create();
    Value *input = fixture_input(&fixture, "x", type_scalar(DTYPE_F32), &x);
    double y = fixture_evaluate(&fixture, build_unary(&fixture.builder, op, NULL, input)).data[0];
    fixture_destroy(&fixture);
    return y;
}

/* The derivative op, given what the row of the table says that it reads. */
static double slope_at(Op gradient_op, double saved, double dy) {
    Fixture fixture = fixture_create();
    Value *input = fixture_input(&fixture, "saved", type_scalar(DTYPE_F32), &saved);
    Value *incoming = fixture_input(&fixture, "dy", type_scalar(DTYPE_F32), &dy);
    Value *dx = build_binary(&fixture.builder, gradient_op, NULL, input, incoming);
    double result = fixture_evaluate(&fixture, dx).data[0];
    fixture_destroy(&fixture);
    return result;
}

static void values_are_known_ones(void) {
    for (size_t i = 0; i < sizeof known_values / sizeof *known_values; i++)
        CU_ASSERT_DOUBLE_EQUAL(value_at(known_values[i].op, known_values[i].x), known_values[i].y,
                               1e-14 * fmax(1, fabs(known_values[i].y)));
}

typedef struct Row {
    Op op, gradient_op;
    const char *saved;
} Row;

static const Row rows[] = {
#define ACTIVATION(name, attributes, saved, value, derivative) {OP_##name, OP_##name##_grad, saved},
#include "ir/activations.def"
#undef ACTIVATION
};

/* Away from kinks, which lie at whole numbers. */
static void derivatives_are_central_differences(void) {
    static const double points[] = {-5.3, -2.6, -0.7, -0.2, 0.3, 1.4, 2.8, 6.5};
    const double step = 1e-5, dy = -1.5;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
        for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
            double x = points[i];
            double difference =
                (value_at(rows[row].op, x + step) - value_at(rows[row].op, x - step)) / (2 * step);
            double saved = rows[row].saved[0] == 'y' ? value_at(rows[row].op, x) : x;
            CU_ASSERT_DOUBLE_EQUAL(slope_at(rows[row].gradient_op, saved, dy), dy * difference,
                                   1e-9);
        }
}

static void derivatives_at_kinks_are_those_of_pytorch(void) {
    CU_ASSERT_EQUAL(slope_at(OP_relu_grad, 0, 1), 0);
    CU_ASSERT_EQUAL(slope_at(OP_relu6_grad, 6, 1), 0);
    CU_ASSERT_EQUAL(slope_at(OP_hard_sigmoid_grad, 3, 1), 0);
    CU_ASSERT_EQUAL(slope_at(OP_leaky_relu_grad, 0, 1), 0.01);
    CU_ASSERT_EQUAL(slope_at(OP_elu_grad, 0, 1), 1);
}

static void attributes_reach_value_and_derivative(void) {
    Fixture fixture = fixture_create();
    double x = -2, dy = 3;
    Value *input = fixture_input(&fixture, "x", type_scalar(DTYPE_F32), &x);
    Value *incoming = fixture_input(&fixture, "dy", type_scalar(DTYPE_F32), &dy);
    Node *y = build(&fixture.builder, OP_leaky_relu, NULL, OPERANDS(input),
                    ATTRIBUTES(attribute_float("slope", 0.25)));
    Node *dx = build(&fixture.builder, OP_leaky_relu_grad, NULL, OPERANDS(input, incoming),
                     ATTRIBUTES(attribute_float("slope", 0.25)));
    fixture_output(&fixture, "y", node_result(y, 0));
    fixture_output(&fixture, "dx", node_result(dx, 0));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "y"), -0.5);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "dx"), 0.75);
    fixture_destroy(&fixture);
}

CU_TestInfo interpret_activation_tests[] = {
    {"values are known ones", values_are_known_ones},
    {"derivatives are central differences", derivatives_are_central_differences},
    {"derivatives at kinks are those of PyTorch", derivatives_at_kinks_are_those_of_pytorch},
    {"attributes reach value and derivative", attributes_reach_value_and_derivative},
    CU_TEST_INFO_NULL,
};
