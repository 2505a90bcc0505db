/* Sums, moments and normalisation. */
#include <math.h>

#include "tests/support/fixture.h"
#include "tests/unit/interpret_suites.h"

/* 2 images, 1 x 2 positions, 4 channels; element = 100 image + 10 position + channel. */
static const double places[] = {0, 1, 2, 3, 10, 11, 12, 13, 100, 101, 102, 103, 110, 111, 112, 113};

static Value *sum(Fixture *fixture, Value *x, const char *over, int64_t groups) {
    Node *y = build(&fixture->builder, OP_sum, over, OPERANDS(x),
                    ATTRIBUTES(attribute_text("over", over), attribute_int("groups", groups)));
    return node_result(y, 0);
}

static void sums_of_a_map(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(2, 1, 2, 4), places);
    Value *image = sum(&fixture, x, "image", 0);
    fixture_output(&fixture, "row", sum(&fixture, x, "row", 0));
    fixture_output(&fixture, "image", image);
    fixture_output(&fixture, "image groups", sum(&fixture, x, "image", 2));
    fixture_output(&fixture, "batch", sum(&fixture, x, "batch", 0));
    fixture_output(&fixture, "group", sum(&fixture, image, "group", 2));
    fixture_output(&fixture, "all", sum(&fixture, x, "all", 0));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "row"), 6, 46, 406, 446);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "image"), 10, 12, 14, 16, 210, 212, 214, 216);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "image groups"), 22, 30, 422, 430);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "batch"), 220, 224, 228, 232);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "group"), 22, 30, 422, 430);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "all"), 904);
    fixture_destroy(&fixture);
}

static Node *moments(Fixture *fixture, Value *x, const char *over, int64_t groups) {
    return build(&fixture->builder, OP_moments, over, OPERANDS(x),
                 ATTRIBUTES(attribute_text("over", over), attribute_int("groups", groups)));
}

static void expect_moments(Fixture *fixture, Node *node, double count, const double *mean,
                           const double *m2, size_t bins) {
    fixture_output(fixture, "count", node_result(node, 0));
    fixture_output(fixture, "mean", node_result(node, 1));
    fixture_output(fixture, "m2", node_result(node, 2));
    fixture_run(fixture);
    fixture_expect(fixture_tensor(fixture, "count"), &count, 1);
    fixture_expect(fixture_tensor(fixture, "mean"), mean, bins);
    fixture_expect(fixture_tensor(fixture, "m2"), m2, bins);
}

/* (0 1 2 3) far from zero: a difference of sums of squares would lose m2 = 5 altogether. */
static void moments_of_shifted_data(void) {
    Fixture fixture = fixture_create();
    const double shift = 1e9;
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 2, 2, 1),
                             (const double[]){shift, shift + 1, shift + 2, shift + 3});
    expect_moments(&fixture, moments(&fixture, x, "batch", 0), 4, (const double[]){shift + 1.5},
                   (const double[]){5}, 1);
    fixture_destroy(&fixture);
}

static void moments_over_groups(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(2, 1, 2, 4), places);
    expect_moments(&fixture, moments(&fixture, x, "image", 2), 4,
                   (const double[]){5.5, 7.5, 105.5, 107.5}, (const double[]){101, 101, 101, 101},
                   4);
    fixture_destroy(&fixture);
}

static void moments_count_visible_positions(void) {
    Fixture fixture = fixture_create_masked(2, 4, 2, 1, (const double[]){0, 3});
    const double numbers[] = {1, 9, 9, 9, 9, 9, 9, 5};
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(2, 2, 2, 1), 2), numbers);
    expect_moments(&fixture, moments(&fixture, x, "batch", 0), 2, (const double[]){3},
                   (const double[]){8}, 1);
    fixture_destroy(&fixture);
}

static void moments_of_rows_are_masked(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 2, (const double[]){1, 2});
    const double numbers[] = {9, 9, 1, 3, 4, 8, 9, 9};
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(1, 2, 2, 2), 2), numbers);
    expect_moments(&fixture, moments(&fixture, x, "row", 0), 2, (const double[]){0, 2, 6, 0},
                   (const double[]){0, 2, 8, 0}, 4);
    fixture_destroy(&fixture);
}

static void rstd_is_its_formula(void) {
    Fixture fixture = fixture_create();
    Value *m2 = fixture_input(&fixture, "m2", type_vector(DTYPE_F32, 2), (const double[]){12, 0});
    Value *count = fixture_input(&fixture, "count", type_scalar(DTYPE_F32), (const double[]){4});
    Node *y = build(&fixture.builder, OP_rstd, NULL, OPERANDS(m2, count),
                    ATTRIBUTES(attribute_float("eps", 1)));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), 0.5, 1);
    fixture_destroy(&fixture);
}

static Tensor normalise(Fixture *fixture, Type statistic, const double *mean, const double *rstd,
                        bool affine) {
    Value *x = fixture_input(fixture, "x", fixture_map(2, 1, 2, 4), places);
    Value *m = fixture_input(fixture, "mean", statistic, mean);
    Value *r = fixture_input(fixture, "rstd", statistic, rstd);
    static const double weights[] = {1, 2, 3, 4}, biases[] = {0, 0, 0, 1};
    Value *weight =
        affine ? fixture_input(fixture, "weight", type_vector(DTYPE_F32, 4), weights) : NULL;
    Value *bias = affine ? fixture_input(fixture, "bias", type_vector(DTYPE_F32, 4), biases) : NULL;
    Node *y = build(&fixture->builder, OP_normalise, NULL, OPERANDS(x, m, r, weight, bias),
                    NO_ATTRIBUTES);
    return fixture_evaluate(fixture, node_result(y, 0));
}

static void normalise_by_channel(void) {
    Fixture fixture = fixture_create();
    const double mean[] = {0, 1, 2, 3}, rstd[] = {1, 1, 1, 0.5};
    FIXTURE_EXPECT(normalise(&fixture, type_vector(DTYPE_F32, 4), mean, rstd, true), 0, 0, 0, 1, 10,
                   20, 30, 21, 100, 200, 300, 201, 110, 220, 330, 221);
    fixture_destroy(&fixture);
}

static void normalise_by_position(void) {
    Fixture fixture = fixture_create();
    const double mean[] = {0, 10, 100, 110}, rstd[] = {1, 2, 3, 4};
    FIXTURE_EXPECT(normalise(&fixture, fixture_map(2, 1, 2, 1), mean, rstd, false), 0, 1, 2, 3, 0,
                   2, 4, 6, 0, 3, 6, 9, 0, 4, 8, 12);
    fixture_destroy(&fixture);
}

static void normalise_by_image(void) {
    Fixture fixture = fixture_create();
    const double mean[] = {0, 1, 2, 3, 100, 101, 102, 103}, rstd[] = {1, 1, 1, 1, 2, 2, 2, 2};
    FIXTURE_EXPECT(normalise(&fixture, type_per_image(DTYPE_F32, 2, 4), mean, rstd, false), 0, 0, 0,
                   0, 10, 10, 10, 10, 0, 0, 0, 0, 20, 20, 20, 20);
    fixture_destroy(&fixture);
}

/* Shifting a row changes nothing, and no power overflows. */
static void log_softmax_is_its_formula(void) {
    Fixture fixture = fixture_create();
    const double logits[] = {0, 0, log(2), 2000, 2000, 2000 + log(2), -3000, 0, -3000};
    Value *x = fixture_input(&fixture, "x", type_per_image(DTYPE_F32, 3, 3), logits);
    Value *y = build_unary(&fixture.builder, OP_log_softmax, NULL, x);
    Tensor found = fixture_evaluate(&fixture, y);
    const double expected[] = {-log(4), -log(4), -log(2), -log(4), -log(4),
                               -log(2), -3000,   0,       -3000};
    for (size_t i = 0; i < 9; i++)
        CU_ASSERT_DOUBLE_EQUAL(found.data[i], expected[i], 1e-12);
    fixture_destroy(&fixture);
}

static void log_softmax_grad_is_its_formula(void) {
    Fixture fixture = fixture_create();
    const double y[] = {-log(4), -log(4), -log(2)}, dy[] = {1, 2, 5};
    Type type = type_per_image(DTYPE_F32, 1, 3);
    Value *saved = fixture_input(&fixture, "y", type, y);
    Value *incoming = fixture_input(&fixture, "dy", type, dy);
    Value *dx = build_binary(&fixture.builder, OP_log_softmax_grad, NULL, saved, incoming);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, dx), -1, 0, 1);
    fixture_destroy(&fixture);
}

CU_TestInfo interpret_reduce_tests[] = {
    {"sums of a map", sums_of_a_map},
    {"moments of shifted data", moments_of_shifted_data},
    {"moments over groups", moments_over_groups},
    {"moments count visible positions", moments_count_visible_positions},
    {"moments of rows are masked", moments_of_rows_are_masked},
    {"rstd is its formula", rstd_is_its_formula},
    {"normalise by channel", normalise_by_channel},
    {"normalise by position", normalise_by_position},
    {"normalise by image", normalise_by_image},
    {"log_softmax is its formula", log_softmax_is_its_formula},
    {"log_softmax_grad is its formula", log_softmax_grad_is_its_formula},
    CU_TEST_INFO_NULL,
};
