/* The mask and the target. */
#include <math.h>

#include "tests/support/fixture.h"
#include "tests/unit/interpret_suites.h"

static const double numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* 4 x 4 pixels in cells of 2 x 2, numbered row-major; 1 and 2 are visible. */
static Fixture two_of_four_cells(void) {
    static const double cells[] = {1, 2};
    return fixture_create_masked(1, 4, 2, 2, cells);
}

static void mask_keeps_visible_cells(void) {
    Fixture fixture = two_of_four_cells();
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 4, 4, 1), numbers);
    Node *y =
        build(&fixture.builder, OP_mask, NULL, OPERANDS(x, fixture_cells(&fixture)), NO_ATTRIBUTES);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), 0, 0, 3, 4, 0, 0, 7, 8, 9, 10, 0,
                   0, 13, 14, 0, 0);
    fixture_destroy(&fixture);
}

static void each_image_has_its_own_cells(void) {
    Fixture fixture = fixture_create_masked(2, 4, 2, 1, (const double[]){0, 3});
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(2, 2, 2, 1), 2), numbers);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, x), 1, 0, 0, 0, 0, 0, 0, 8);
    fixture_destroy(&fixture);
}

static void densify_gives_hidden_positions_the_token(void) {
    Fixture fixture = two_of_four_cells();
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(1, 2, 2, 2), 2), numbers);
    Value *token =
        fixture_input(&fixture, "token", type_vector(DTYPE_F32, 2), (const double[]){-1, -2});
    Value *y = build_binary(&fixture.builder, OP_densify, NULL, x, token);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), -1, -2, 3, 4, 5, 6, -1, -2);
    fixture_destroy(&fixture);
}

static void gather_takes_visible_positions(void) {
    Fixture fixture = two_of_four_cells();
    Value *dy = fixture_input(&fixture, "dy", fixture_map(1, 2, 2, 2), numbers);
    Node *dx = build(&fixture.builder, OP_gather, NULL, OPERANDS(dy),
                     ATTRIBUTES(attribute_int("stride", 2)));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(dx, 0)), 0, 0, 3, 4, 5, 6, 0, 0);
    fixture_destroy(&fixture);
}

static void hidden_is_the_complement(void) {
    Fixture fixture = two_of_four_cells();
    Node *y = build(&fixture.builder, OP_hidden, NULL, OPERANDS(fixture_cells(&fixture)),
                    ATTRIBUTES(attribute_ints("size", (const int64_t[]){4, 4}, 2)));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1,
                   1, 0, 0, 1, 1);
    fixture_destroy(&fixture);
}

/* A patch of 2 x 1 pixels and 2 channels (1 2 5 8): mean 4, squared distances 9 4 1 16, variance 30
 * / 3; the other patch has no contrast. */
static void patches_are_normalised_with_unbiased_variance(void) {
    Fixture fixture = fixture_create();
    const int64_t extents[] = {4};
    Value *x = fixture_input(&fixture, "x", type_dense(DTYPE_F32, 1, 1, extents, 2),
                             (const double[]){1, 2, 5, 8, 7, 7, 7, 7});
    Node *y = build(&fixture.builder, OP_patch_normalise, NULL, OPERANDS(x),
                    ATTRIBUTES(attribute_int("patch", 2), attribute_float("eps", 6)));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), -0.75, -0.5, 0.25, 1, 0, 0, 0, 0);
    fixture_destroy(&fixture);
}

/* The pixels of a 2 x 2 patch lie in two lines of the image. */
static void patches_are_squares(void) {
    Fixture fixture = fixture_create();
    const double image[] = {0, 0, 2, 2, 4, 4, 2, 2};
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 2, 4, 1), image);
    Node *y = build(&fixture.builder, OP_patch_normalise, NULL, OPERANDS(x),
                    ATTRIBUTES(attribute_int("patch", 2), attribute_float("eps", 0.5)));
    const double high = 2 / sqrt(16 / 3.0 + 0.5);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), -high, -high, 0, 0, high, high, 0,
                   0);
    fixture_destroy(&fixture);
}

CU_TestInfo interpret_mask_tests[] = {
    {"mask keeps visible cells", mask_keeps_visible_cells},
    {"each image has its own cells", each_image_has_its_own_cells},
    {"densify gives hidden positions the token", densify_gives_hidden_positions_the_token},
    {"gather takes visible positions", gather_takes_visible_positions},
    {"hidden is the complement", hidden_is_the_complement},
    {"patches are normalised with unbiased variance",
     patches_are_normalised_with_unbiased_variance},
    {"patches are squares", patches_are_squares},
    CU_TEST_INFO_NULL,
};
