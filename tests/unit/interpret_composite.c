/* Composites against formulas written out for small numbers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fixture.h"
#include "tests/unit/interpret_suites.h"

static const double weights[] = {2, 3}, biases[] = {10, 20};

static Value *vector(Fixture *fixture, const char *name, const double *data) {
    return fixture_input(fixture, name, type_vector(DTYPE_F32, 2), data);
}

static Value *with_eps(Fixture *fixture, Op op, double eps, Value *const *operands, int count) {
    return node_result(build(&fixture->builder, op, NULL, operands, count,
                             ATTRIBUTES(attribute_float("eps", eps))),
                       0);
}

/* Two positions of two channels (1 10), (3 30): means 2 and 20, variances 1 and 100. */
static const double columns[] = {1, 10, 3, 30};

static void check_batch_norm(bool training, const double expected[4]) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(2, 1, 1, 2), columns);
    Value *mean = vector(&fixture, "mean", (const double[]){1, 2});
    Value *variance = vector(&fixture, "variance", (const double[]){3, 15});
    Value *batches = fixture_input(&fixture, "batches", type_scalar(DTYPE_F32), weights);
    Value *weight = vector(&fixture, "weight", weights), *bias = vector(&fixture, "bias", biases);
    Value *y =
        with_eps(&fixture, OP_batch_norm, 1, OPERANDS(x, mean, variance, batches, weight, bias));
    fixture_output(&fixture, "y", y);
    fixture_start(&fixture);
    interpreter_set_training(fixture.interpreter, training);
    fixture_run(&fixture);
    fixture_expect(fixture_tensor(&fixture, "y"), expected, 4);
    fixture_destroy(&fixture);
}

static void batch_norm_has_two_modes(void) {
    const double a = sqrt(2), b = sqrt(101);
    check_batch_norm(true, (const double[]){10 - 2 / a, 20 - 30 / b, 10 + 2 / a, 20 + 30 / b});
    check_batch_norm(false, (const double[]){10, 26, 12, 41});
}

static void batch_norm_without_weight_sees_visible_positions(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 2, (const double[]){1, 2});
    const double numbers[] = {99, 1, 3, 99}, unused = 1;
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(1, 2, 2, 1), 2), numbers);
    Value *one = fixture_input(&fixture, "one", type_vector(DTYPE_F32, 1), &unused);
    Value *batches = fixture_input(&fixture, "batches", type_scalar(DTYPE_F32), &unused);
    fixture_output(&fixture, "y",
                   with_eps(&fixture, OP_batch_norm, 0, OPERANDS(x, one, one, batches)));
    fixture_start(&fixture);
    interpreter_set_training(fixture.interpreter, true);
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "y"), 0, -1, 1, 0);
    fixture_destroy(&fixture);
}

/* Rows (1 10) and (3 30): means 5.5 and 16.5, deviations 4.5 and 13.5. */
static void layer_norm_is_over_channels(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(2, 1, 1, 2), columns);
    Value *weight = vector(&fixture, "weight", weights), *bias = vector(&fixture, "bias", biases);
    Value *y = with_eps(&fixture, OP_layer_norm, 0, OPERANDS(x, weight, bias));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), 8, 23, 8, 23);
    fixture_destroy(&fixture);
}

/* Visible positions (1 2 9 3) and (3 4 1 5) of 4 channels: means 2.5 and 4.5 of the groups,
 * deviations sqrt(1.25), sqrt(35 / 4). */
static void group_norm_is_over_visible_positions_of_a_group(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 2, (const double[]){0, 3});
    const double numbers[] = {1, 2, 9, 3, 7, 7, 7, 7, 7, 7, 7, 7, 3, 4, 1, 5};
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(1, 2, 2, 4), 2), numbers);
    Node *y = build(&fixture.builder, OP_group_norm, NULL, OPERANDS(x),
                    ATTRIBUTES(attribute_int("groups", 2), attribute_float("eps", 0)));
    const double a = sqrt(1.25), b = sqrt(8.75);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), -1.5 / a, -0.5 / a, 4.5 / b,
                   -1.5 / b, 0, 0, 0, 0, 0, 0, 0, 0, 0.5 / a, 1.5 / a, -3.5 / b, 0.5 / b);
    fixture_destroy(&fixture);
}

static void instance_norm_is_over_one_channel(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 1, 2, 2), columns);
    Value *y = with_eps(&fixture, OP_instance_norm, 0, OPERANDS(x));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), -1, -1, 1, 1);
    fixture_destroy(&fixture);
}

/* Channels (3 4) and (5 12) have norms 5 and 13, their mean is 9. */
static void grn_is_its_formula(void) {
    Fixture fixture = fixture_create();
    const double numbers[] = {3, 5, 4, 12};
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 2, 1, 2), numbers);
    Value *weight = vector(&fixture, "weight", weights), *bias = vector(&fixture, "bias", biases);
    Value *y = with_eps(&fixture, OP_grn, 1, OPERANDS(x, weight, bias));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), 3 + 2 * 3 * 0.5 + 10, 5 + 3 * 5 * 1.3 + 20,
                   4 + 2 * 4 * 0.5 + 10, 12 + 3 * 12 * 1.3 + 20);
    fixture_destroy(&fixture);
}

static void global_avg_pool_is_over_visible_positions(void) {
    Fixture fixture = fixture_create_masked(2, 4, 2, 2, (const double[]){0, 1, 1, 3});
    const double numbers[] = {1, 2, 9, 9, 9, 5, 9, 8};
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(2, 2, 2, 1), 2), numbers);
    Value *y = build_unary(&fixture.builder, OP_global_avg_pool, NULL, x);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), 1.5, 6.5);
    fixture_destroy(&fixture);
}

static Value *drop(Fixture *fixture, Op op, Value *x, double rate, int64_t stream) {
    Node *y = build(&fixture->builder, op, "drop", OPERANDS(x),
                    ATTRIBUTES(attribute_float("rate", rate), attribute_int("stream", stream)));
    return node_result(y, 0);
}

enum { DROP_COUNT = 4000 };

static void run_drop(Fixture *fixture, double step) {
    interpreter_set_training(fixture->interpreter, true);
    interpreter_set_scalar(fixture->interpreter, "seed", 7);
    interpreter_set_scalar(fixture->interpreter, "step", step);
    fixture_run(fixture);
}

static int dropped(const double *y) {
    int zeros = 0;
    for (int i = 0; i < DROP_COUNT; i++) {
        CU_ASSERT(y[i] == 0 || y[i] == 1 / 0.75);
        zeros += y[i] == 0;
    }
    return zeros;
}

static int differing(const double *a, const double *b) {
    int count = 0;
    for (int i = 0; i < DROP_COUNT; i++)
        count += a[i] != b[i];
    return count;
}

/* A quarter, within 5 standard deviations of 27; other streams and steps draw other ones. */
static void dropout_draws_by_stream_and_step(void) {
    Fixture fixture = fixture_create();
    double *ones = arena_new_array(fixture.arena, double, DROP_COUNT), first[DROP_COUNT];
    for (int i = 0; i < DROP_COUNT; i++)
        ones[i] = 1;
    Value *x = fixture_input(&fixture, "x", fixture_map(2, 10, 20, 10), ones);
    fixture_output(&fixture, "y", drop(&fixture, OP_dropout, x, 0.25, 0));
    fixture_output(&fixture, "z", drop(&fixture, OP_dropout, x, 0.25, 1));
    fixture_start(&fixture);
    run_drop(&fixture, 1);
    const double *y = fixture_tensor(&fixture, "y").data;
    CU_ASSERT(abs(dropped(y) - DROP_COUNT / 4) < 137);
    CU_ASSERT(differing(y, fixture_tensor(&fixture, "z").data) > DROP_COUNT / 4);
    memcpy(first, y, sizeof first);
    run_drop(&fixture, 2);
    CU_ASSERT(differing(first, fixture_tensor(&fixture, "y").data) > DROP_COUNT / 4);
    run_drop(&fixture, 1);
    CU_ASSERT_EQUAL(differing(first, fixture_tensor(&fixture, "y").data), 0);
    fixture_destroy(&fixture);
}

static void drop_path_drops_whole_images(void) {
    Fixture fixture = fixture_create();
    double *ones = arena_new_array(fixture.arena, double, DROP_COUNT);
    for (int i = 0; i < DROP_COUNT; i++)
        ones[i] = 1;
    Value *x = fixture_input(&fixture, "x", fixture_map(400, 1, 2, 5), ones);
    fixture_output(&fixture, "y", drop(&fixture, OP_drop_path, x, 0.25, 3));
    fixture_start(&fixture);
    run_drop(&fixture, 5);
    const double *y = fixture_tensor(&fixture, "y").data;
    CU_ASSERT(abs(dropped(y) / 10 - 100) < 45);
    for (int i = 0; i < DROP_COUNT; i++)
        CU_ASSERT_EQUAL(y[i], y[i / 10 * 10]);
    fixture_destroy(&fixture);
}

static void drops_do_nothing_in_evaluation(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(2, 1, 1, 2), columns);
    Value *y = drop(&fixture, OP_drop_path, drop(&fixture, OP_dropout, x, 0.9, 0), 0.9, 1);
    fixture_expect(fixture_evaluate(&fixture, y), columns, 4);
    fixture_destroy(&fixture);
}

/* The op that expand puts in place of dropout draws the same numbers. */
static void bernoulli_is_dropout(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_random(&fixture, "x", fixture_map(2, 3, 4, 5));
    Value *seed = build_scalar(&fixture.builder, DTYPE_U32, "seed");
    Value *step = build_scalar(&fixture.builder, DTYPE_U32, "step");
    Value *kept =
        build_stated(&fixture.builder, OP_bernoulli, NULL, x->type, OPERANDS(seed, step),
                     ATTRIBUTES(attribute_float("rate", 0.4), attribute_int("stream", 2)));
    fixture_output(&fixture, "product", build_binary(&fixture.builder, OP_mul, NULL, x, kept));
    fixture_output(&fixture, "dropout", drop(&fixture, OP_dropout, x, 0.4, 2));
    fixture_start(&fixture);
    run_drop(&fixture, 4294967295.0);
    fixture_expect(fixture_tensor(&fixture, "product"), fixture_tensor(&fixture, "dropout").data,
                   120);
    fixture_destroy(&fixture);
}

CU_TestInfo interpret_composite_tests[] = {
    {"batch_norm has two modes", batch_norm_has_two_modes},
    {"batch_norm sees visible positions", batch_norm_without_weight_sees_visible_positions},
    {"layer_norm is over channels", layer_norm_is_over_channels},
    {"group_norm is over a group", group_norm_is_over_visible_positions_of_a_group},
    {"instance_norm is over one channel", instance_norm_is_over_one_channel},
    {"grn is its formula", grn_is_its_formula},
    {"global_avg_pool is over visible positions", global_avg_pool_is_over_visible_positions},
    {"dropout draws by stream and step", dropout_draws_by_stream_and_step},
    {"drop_path drops whole images", drop_path_drops_whole_images},
    {"drops do nothing in evaluation", drops_do_nothing_in_evaluation},
    {"bernoulli is dropout", bernoulli_is_dropout},
    CU_TEST_INFO_NULL,
};
