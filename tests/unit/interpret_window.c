/* Pools and upsampling by hand, and their gradients. */
#include <math.h>

#include "tests/support/fixture.h"
#include "tests/unit/interpret_suites.h"

static Value *max_pool(Fixture *fixture, Value *x, int64_t kernel, int64_t stride, int64_t pad,
                       bool ceil_mode) {
    Node *y = build(
        &fixture->builder, OP_max_pool, "max", OPERANDS(x),
        ATTRIBUTES(FIXTURE_WINDOW(kernel, stride, pad, 1), attribute_bool("ceil_mode", ceil_mode)));
    return node_result(y, 0);
}

static Value *max_pool_grad(Fixture *fixture, Value *x, Value *dy, int64_t kernel, int64_t stride,
                            int64_t pad) {
    Node *dx = build(&fixture->builder, OP_max_pool_grad, "max_grad", OPERANDS(x, dy),
                     ATTRIBUTES(FIXTURE_WINDOW(kernel, stride, pad, 1)));
    return node_result(dx, 0);
}

typedef struct AveragePool {
    int64_t side, kernel, stride, pad;
    bool ceil_mode, count_include_pad;
} AveragePool;

static Value *avg_pool(Fixture *fixture, const AveragePool *pool, Op op, Value *x) {
    const int64_t size[] = {pool->side, pool->side};
    const NamedAttribute attributes[] = {
        attribute_ints("kernel", (const int64_t[]){pool->kernel, pool->kernel}, 2),
        attribute_ints("stride", (const int64_t[]){pool->stride, pool->stride}, 2),
        attribute_ints("pad", (const int64_t[]){pool->pad, pool->pad}, 2),
        attribute_bool("ceil_mode", pool->ceil_mode),
        attribute_bool("count_include_pad", pool->count_include_pad),
        attribute_ints("size", size, 2),
    };
    Node *y =
        build(&fixture->builder, op, "average", OPERANDS(x), attributes, op == OP_avg_pool ? 5 : 6);
    return node_result(y, 0);
}

static Value *max_pool_by(Fixture *fixture, Value *x, Value *by, int64_t kernel, int64_t stride,
                          int64_t pad) {
    Node *y = build(&fixture->builder, OP_max_pool, "max", OPERANDS(x, by),
                    ATTRIBUTES(FIXTURE_WINDOW(kernel, stride, pad, 1)));
    return node_result(y, 0);
}

/* All numbers are negative: padding must not win. */
static void padding_never_wins(void) {
    Fixture fixture = fixture_create();
    Value *x =
        fixture_input(&fixture, "x", fixture_map(1, 2, 2, 1), (const double[]){-1, -2, -3, -4});
    FIXTURE_EXPECT(fixture_evaluate(&fixture, max_pool(&fixture, x, 3, 2, 1, false)), -1);
    fixture_destroy(&fixture);
}

/* The left cell is visible, and all negative: where its windows reach a hidden position, that wins
 * as 0, and its gradient is dropped. */
static void hidden_wins_over_negative(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 2, (const double[]){0, 2});
    Type type = type_masked(fixture_map(1, 4, 4, 1), 1);
    const double numbers[] = {-1, -2, 9, 9, -3, -4, 9, 9, -5, -6, 9, 9, -7, -8, 9, 9};
    const double ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    Value *x = fixture_input(&fixture, "x", type, numbers);
    Value *dy = fixture_input(&fixture, "dy", type, ones);
    fixture_output(&fixture, "y", max_pool(&fixture, x, 3, 1, 1, false));
    fixture_output(&fixture, "dx", max_pool_grad(&fixture, x, dy, 3, 1, 1));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "y"), -1, 0, 0, 0, -1, 0, 0, 0, -3, 0, 0, 0, -5, 0, 0,
                   0);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "dx"), 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    fixture_destroy(&fixture);
}

/* One window of 2 has its maximum at each place; -infinity is less than a zero. */
static void by_another_map(void) {
    const double infinity = (double)INFINITY;
    Fixture fixture = fixture_create();
    const double numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    const double others[] = {0, 0, 9, 8, 0, 1, 7, 6, -infinity, -infinity, 1, 2, 0, 0, 30, 4};
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 4, 4, 1), numbers);
    Value *by = fixture_input(&fixture, "by", fixture_map(1, 4, 4, 1), others);
    fixture_output(&fixture, "y", max_pool_by(&fixture, x, by, 2, 2, 0));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "y"), 6, 3, 13, 15);
    fixture_destroy(&fixture);
}

/* `by` is negative where it is visible: a hidden tap wins, and x is 0 there. */
static void by_another_map_hidden_wins(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 2, (const double[]){0, 2});
    Type type = type_masked(fixture_map(1, 4, 4, 1), 1);
    const double numbers[] = {1, 2, 9, 9, 3, 4, 9, 9, 5, 6, 9, 9, 7, 8, 9, 9};
    const double others[] = {-1, -2, 9, 9, -3, -4, 9, 9, -5, -6, 9, 9, -7, -8, 9, 9};
    Value *x = fixture_input(&fixture, "x", type, numbers);
    Value *by = fixture_input(&fixture, "by", type, others);
    fixture_output(&fixture, "y", max_pool_by(&fixture, x, by, 3, 1, 1));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "y"), 1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0);
    fixture_destroy(&fixture);
}

static void ties_go_to_the_first(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 2, 2, 1), (const double[]){1, 7, 7, 7});
    Value *dy = fixture_input(&fixture, "dy", fixture_map(1, 1, 1, 1), (const double[]){5});
    FIXTURE_EXPECT(fixture_evaluate(&fixture, max_pool_grad(&fixture, x, dy, 2, 2, 0)), 0, 5, 0, 0);
    fixture_destroy(&fixture);
}

/* 3 x 3 with windows of 2 and stride 2: the last window of each direction has one line. */
static void ceil_mode_keeps_the_rest(void) {
    Fixture fixture = fixture_create();
    const double numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 3, 3, 1), numbers);
    const AveragePool pool = {3, 2, 2, 0, true, true};
    fixture_output(&fixture, "max", max_pool(&fixture, x, 2, 2, 0, true));
    fixture_output(&fixture, "average", avg_pool(&fixture, &pool, OP_avg_pool, x));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "max"), 5, 6, 8, 9);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "average"), 3, 4.5, 7.5, 9);
    fixture_destroy(&fixture);
}

/* 3 x 3 of ones, windows of 3, stride 2, pad 1. The corner windows see 4 taps inside the map and
 * 9 inside the padded one. */
static void average_counts_padding_or_not(void) {
    const double ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (int include = 0; include < 2; include++) {
        Fixture fixture = fixture_create();
        Value *x = fixture_input(&fixture, "x", fixture_map(1, 3, 3, 1), ones);
        const AveragePool pool = {3, 3, 2, 1, false, include};
        double corner = include ? 4.0 / 9 : 1;
        FIXTURE_EXPECT(fixture_evaluate(&fixture, avg_pool(&fixture, &pool, OP_avg_pool, x)),
                       corner, corner, corner, corner);
        fixture_destroy(&fixture);
    }
}

/* 4 x 4, windows of 3, stride 2, pad 1, ceil_mode: the third window starts at 3 and ends at 6; the
 * padded map ends at 5, so it counts 2 of its 3 lines, of which 1 is inside. */
static void ceil_mode_counts_padding_only(void) {
    double ones[16];
    for (int i = 0; i < 16; i++)
        ones[i] = 1;
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 4, 4, 1), ones);
    const AveragePool pool = {4, 3, 2, 1, true, true};
    const double a = 2.0 / 3, b = 1, c = 0.5;
    FIXTURE_EXPECT(fixture_evaluate(&fixture, avg_pool(&fixture, &pool, OP_avg_pool, x)), a * a,
                   a * b, a * c, b * a, b * b, b * c, c * a, c * b, c * c);
    fixture_destroy(&fixture);
}

/* Hidden positions count in the divisor even if padding does not. */
static void average_counts_hidden(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 1, (const double[]){0});
    const double numbers[] = {1, 2, 9, 9, 3, 4, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9};
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(1, 4, 4, 1), 1), numbers);
    const AveragePool pool = {4, 3, 1, 1, false, false};
    FIXTURE_EXPECT(fixture_evaluate(&fixture, avg_pool(&fixture, &pool, OP_avg_pool, x)), 10 / 4.0,
                   10 / 6.0, 0, 0, 10 / 6.0, 10 / 9.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    fixture_destroy(&fixture);
}

/* <f(x), dy> = <x, f_grad(dy)> for the linear ones; the outputs are named so. */
static void expect_adjoint(Fixture *fixture) {
    fixture_run(fixture);
    double forward = fixture_inner_product(fixture, "y", "dy");
    CU_ASSERT(fabs(forward) > 1e-3);
    CU_ASSERT_DOUBLE_EQUAL(fixture_inner_product(fixture, "x", "dx"), forward, 1e-12);
}

static void average_gradient_is_the_adjoint(void) {
    static const AveragePool pools[] = {{7, 3, 2, 1, false, true},
                                        {7, 3, 2, 1, false, false},
                                        {6, 3, 2, 1, true, true},
                                        {6, 2, 3, 0, true, false}};
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        Fixture fixture = fixture_create();
        Value *x = fixture_random(&fixture, "x", fixture_map(2, pools[i].side, pools[i].side, 3));
        Value *y = avg_pool(&fixture, &pools[i], OP_avg_pool, x);
        Value *dy = fixture_random(&fixture, "dy", y->type);
        fixture_output(&fixture, "x", x);
        fixture_output(&fixture, "y", y);
        fixture_output(&fixture, "dy", dy);
        fixture_output(&fixture, "dx", avg_pool(&fixture, &pools[i], OP_avg_pool_grad, dy));
        expect_adjoint(&fixture);
        fixture_destroy(&fixture);
    }
}

/* A maximum is a choice, so where no two numbers are near each other <max_pool(x), dy> = <x, dx>.
 */
static void maximum_gradient_is_the_choice(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_random(&fixture, "x", fixture_map(2, 7, 7, 3));
    Value *y = max_pool(&fixture, x, 3, 2, 1, false);
    Value *dy = fixture_random(&fixture, "dy", y->type);
    fixture_output(&fixture, "x", x);
    fixture_output(&fixture, "y", y);
    fixture_output(&fixture, "dy", dy);
    fixture_output(&fixture, "dx", max_pool_grad(&fixture, x, dy, 3, 2, 1));
    expect_adjoint(&fixture);
    fixture_destroy(&fixture);
}

static Value *upsample(Fixture *fixture, Op op, Value *x, int64_t rows, int64_t columns,
                       const char *mode) {
    const int64_t factor[] = {rows, columns};
    Node *y = build(&fixture->builder, op, "upsample", OPERANDS(x),
                    ATTRIBUTES(attribute_ints("factor", factor, 2), attribute_text("mode", mode)));
    return node_result(y, 0);
}

static void nearest_repeats(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 2, 2, 1), (const double[]){1, 2, 3, 4});
    FIXTURE_EXPECT(fixture_evaluate(&fixture, upsample(&fixture, OP_upsample, x, 1, 3, "nearest")),
                   1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4);
    fixture_destroy(&fixture);
}

/* torch.nn.functional.interpolate(mode="bilinear", align_corners=False): a line (1 2) becomes
 * (1 1.25 1.75 2), and two such lines mix with the same shares. */
static void bilinear_is_that_of_pytorch(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 2, 2, 1), (const double[]){1, 2, 5, 6});
    FIXTURE_EXPECT(fixture_evaluate(&fixture, upsample(&fixture, OP_upsample, x, 2, 2, "bilinear")),
                   1, 1.25, 1.75, 2, 2, 2.25, 2.75, 3, 4, 4.25, 4.75, 5, 5, 5.25, 5.75, 6);
    fixture_destroy(&fixture);
}

static void upsample_gradient_is_the_adjoint(void) {
    static const char *const modes[] = {"nearest", "bilinear"};
    for (int i = 0; i < 2; i++) {
        Fixture fixture = fixture_create();
        Value *x = fixture_random(&fixture, "x", fixture_map(2, 3, 4, 2));
        Value *y = upsample(&fixture, OP_upsample, x, 2, 3, modes[i]);
        Value *dy = fixture_random(&fixture, "dy", y->type);
        fixture_output(&fixture, "x", x);
        fixture_output(&fixture, "y", y);
        fixture_output(&fixture, "dy", dy);
        fixture_output(&fixture, "dx", upsample(&fixture, OP_upsample_grad, dy, 2, 3, modes[i]));
        expect_adjoint(&fixture);
        fixture_destroy(&fixture);
    }
}

static void masked_upsample_fills_visible_cells(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 2, (const double[]){1, 2});
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(1, 2, 2, 1), 2),
                             (const double[]){1, 2, 3, 4});
    FIXTURE_EXPECT(fixture_evaluate(&fixture, upsample(&fixture, OP_upsample, x, 2, 2, "nearest")),
                   0, 0, 2, 2, 0, 0, 2, 2, 3, 3, 0, 0, 3, 3, 0, 0);
    fixture_destroy(&fixture);
}

CU_TestInfo interpret_window_tests[] = {
    {"padding never wins", padding_never_wins},
    {"hidden wins over negative", hidden_wins_over_negative},
    {"by another map", by_another_map},
    {"by another map hidden wins", by_another_map_hidden_wins},
    {"ties go to the first", ties_go_to_the_first},
    {"ceil_mode keeps the rest", ceil_mode_keeps_the_rest},
    {"average counts padding or not", average_counts_padding_or_not},
    {"ceil_mode counts padding only", ceil_mode_counts_padding_only},
    {"average counts hidden", average_counts_hidden},
    {"average gradient is the adjoint", average_gradient_is_the_adjoint},
    {"maximum gradient is the choice", maximum_gradient_is_the_choice},
    {"nearest repeats", nearest_repeats},
    {"bilinear is that of PyTorch", bilinear_is_that_of_pytorch},
    {"upsample gradient is the adjoint", upsample_gradient_is_the_adjoint},
    {"masked upsample fills visible cells", masked_upsample_fills_visible_cells},
    CU_TEST_INFO_NULL,
};
