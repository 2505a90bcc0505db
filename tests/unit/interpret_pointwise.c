/* Pointwise ops, broadcasting and dtypes in the interpreter. */
#include <math.h>

#include "tests/support/fixture.h"
#include "tests/unit/interpret_suites.h"

static Value *binary(Fixture *fixture, Op op, Value *a, Value *b) {
    return build_binary(&fixture->builder, op, NULL, a, b);
}

/* A map of 2 images, 1 x 2 positions, 2 channels; element = 100 image + 10 position + channel. */
static const double places[] = {0, 1, 10, 11, 100, 101, 110, 111};

static Value *map_of_places(Fixture *fixture) {
    return fixture_input(fixture, "x", fixture_map(2, 1, 2, 2), places);
}

static void channels_broadcast_over_positions(void) {
    Fixture fixture = fixture_create();
    Value *x = map_of_places(&fixture);
    Value *b = fixture_input(&fixture, "b", type_vector(DTYPE_F32, 2), (double[]){0.25, 0.5});
    FIXTURE_EXPECT(fixture_evaluate(&fixture, binary(&fixture, OP_add, x, b)), 0.25, 1.5, 10.25,
                   11.5, 100.25, 101.5, 110.25, 111.5);
    fixture_destroy(&fixture);
}

static void images_broadcast_over_positions(void) {
    Fixture fixture = fixture_create();
    Value *x = map_of_places(&fixture);
    Value *gate =
        fixture_input(&fixture, "gate", type_per_image(DTYPE_F32, 2, 2), (double[]){1, 2, 3, 4});
    Value *scale =
        fixture_input(&fixture, "scale", type_per_image(DTYPE_F32, 2, 1), (double[]){1, 10});
    Value *y = binary(&fixture, OP_mul, binary(&fixture, OP_mul, x, gate), scale);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), 0, 2, 10, 22, 3000, 4040, 3300, 4440);
    fixture_destroy(&fixture);
}

static void one_channel_and_scalar_broadcast(void) {
    Fixture fixture = fixture_create();
    Value *x = map_of_places(&fixture);
    Value *weights =
        fixture_input(&fixture, "weights", fixture_map(2, 1, 2, 1), (double[]){1, 2, 3, 4});
    Value *half = build_constant(&fixture.builder, 0.5);
    Value *y = binary(&fixture, OP_sub, binary(&fixture, OP_div, x, weights), half);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), -0.5, 0.5, 4.5, 5, 100 / 3.0 - 0.5,
                   101 / 3.0 - 0.5, 27, 27.25);
    fixture_destroy(&fixture);
}

static void broadcast_widens_to_a_stated_type(void) {
    Fixture fixture = fixture_create();
    Value *x =
        fixture_input(&fixture, "x", type_per_image(DTYPE_F32, 2, 2), (double[]){1, 2, 3, 4});
    Value *y = build_stated(&fixture.builder, OP_broadcast, NULL, fixture_map(2, 1, 2, 2),
                            OPERANDS(x), NO_ATTRIBUTES);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), 1, 2, 1, 2, 3, 4, 3, 4);
    fixture_destroy(&fixture);
}

static void comparisons_and_choice(void) {
    Fixture fixture = fixture_create();
    Type type = type_vector(DTYPE_F32, 4);
    Value *a = fixture_input(&fixture, "a", type, (double[]){1, 2, 3, NAN});
    Value *b = fixture_input(&fixture, "b", type, (double[]){2, 2, 1, INFINITY});
    Value *greater = binary(&fixture, OP_greater, a, b);
    Value *finite = build_unary(&fixture.builder, OP_is_finite, NULL, a);
    Value *zero = build_constant(&fixture.builder, 0);
    Node *chosen =
        build(&fixture.builder, OP_select, NULL, OPERANDS(finite, a, zero), NO_ATTRIBUTES);
    fixture_output(&fixture, "greater", greater);
    fixture_output(&fixture, "finite", finite);
    fixture_output(&fixture, "chosen", node_result(chosen, 0));
    fixture_output(&fixture, "minimum", binary(&fixture, OP_minimum, node_result(chosen, 0), b));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "greater"), 0, 0, 1, 0);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "finite"), 1, 1, 1, 0);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "chosen"), 1, 2, 3, 0);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "minimum"), 1, 2, 1, 0);
    fixture_destroy(&fixture);
}

static void hidden_positions_stay_zero(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 2, (double[]){0, 3});
    Type type = type_masked(fixture_map(1, 2, 2, 1), 2);
    Value *x = fixture_input(&fixture, "x", type, (double[]){5, 6, 7, 8});
    Value *y = binary(&fixture, OP_add, x, build_constant(&fixture.builder, 1));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), 6, 0, 0, 9);
    fixture_destroy(&fixture);
}

/* 8 significant bits; ties to even; overflow to infinity; subnormal spacing 2^-133. */
static void bf16_is_rounded_to_nearest_even(void) {
    Fixture fixture = fixture_create();
    const double given[] = {1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1.01p-8, -3.14159,
                            0x1p-133,   0x1.8p-134,     0x1.FF8p127,   0x1.FEFp127};
    Value *x = fixture_input(&fixture, "x", type_vector(DTYPE_BF16, 8), given);
    const double *y = fixture_evaluate(&fixture, x).data;
    const double expected[] = {1,        1 + 0x1p-6, 1 + 0x1p-7, -3.140625,
                               0x1p-133, 0x1p-133,   INFINITY,   0x1.FEp127};
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(y[i], expected[i]);
    fixture_destroy(&fixture);
}

static void u32_wraps(void) {
    Fixture fixture = fixture_create();
    Type type = type_vector(DTYPE_U32, 3);
    Value *a = fixture_input(&fixture, "a", type, (double[]){4294967295, 3, 0xD2511F53});
    Value *b = fixture_input(&fixture, "b", type, (double[]){2, 5, 0xCD9E8D57});
    fixture_output(&fixture, "sum", binary(&fixture, OP_add, a, b));
    fixture_output(&fixture, "difference", binary(&fixture, OP_sub, b, a));
    fixture_output(&fixture, "product", binary(&fixture, OP_mul, a, b));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "sum"), 1, 8, 2683284650.0);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "difference"), 3, 2, 4216155652.0);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "product"), 4294967294, 15, 4094450741.0);
    fixture_destroy(&fixture);
}

CU_TestInfo interpret_pointwise_tests[] = {
    {"channels broadcast over positions", channels_broadcast_over_positions},
    {"images broadcast over positions", images_broadcast_over_positions},
    {"one channel and a scalar broadcast", one_channel_and_scalar_broadcast},
    {"broadcast widens to a stated type", broadcast_widens_to_a_stated_type},
    {"comparisons and choice", comparisons_and_choice},
    {"hidden positions stay zero", hidden_positions_stay_zero},
    {"bf16 is rounded to nearest even", bf16_is_rounded_to_nearest_even},
    {"u32 wraps", u32_wraps},
    CU_TEST_INFO_NULL,
};
