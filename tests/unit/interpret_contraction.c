/* Convolutions against their definition, and the transposes and weight gradients as adjoints of it.
 */
#include <math.h>

#include "tests/support/fixture.h"
#include "tests/unit/interpret_suites.h"

/* A convolution of square maps. */
typedef struct Case {
    int64_t side, in, out, kernel, stride, pad, dilation, groups;
} Case;

static const Case cases[] = {
    {5, 3, 4, 3, 1, 1, 1, 1}, {6, 4, 6, 3, 2, 1, 1, 2}, {7, 2, 5, 2, 3, 0, 2, 1},
    {4, 6, 6, 3, 1, 1, 1, 6}, {4, 3, 6, 3, 1, 2, 2, 3}, {8, 5, 7, 1, 2, 0, 1, 1},
    {4, 6, 3, 3, 1, 1, 1, 3},
};
enum { CASE_COUNT = sizeof cases / sizeof *cases, BATCH = 2 };

static int64_t size_of(const Case *c) {
    return (c->side + 2 * c->pad - c->dilation * (c->kernel - 1) - 1) / c->stride + 1;
}

static Type weight_type(const Case *c) {
    return type_plain(DTYPE_F32, 4,
                      (const int64_t[]){c->kernel, c->kernel, c->in / c->groups, c->out});
}

static Value *build_conv(Fixture *fixture, const Case *c, Value *x, Value *weight) {
    Node *y = build(&fixture->builder, OP_conv, "conv", OPERANDS(x, weight),
                    ATTRIBUTES(FIXTURE_WINDOW(c->kernel, c->stride, c->pad, c->dilation),
                               attribute_int("groups", c->groups)));
    return node_result(y, 0);
}

static Value *build_transpose(Fixture *fixture, const Case *c, Value *dy, Value *weight) {
    Node *dx = build(&fixture->builder, OP_conv_transpose, "transpose", OPERANDS(dy, weight),
                     ATTRIBUTES(FIXTURE_WINDOW(c->kernel, c->stride, c->pad, c->dilation),
                                attribute_int("groups", c->groups),
                                attribute_ints("size", (const int64_t[]){c->side, c->side}, 2)));
    return node_result(dx, 0);
}

static Value *build_weight_grad(Fixture *fixture, const Case *c, Value *x, Value *dy) {
    Node *dweight = build(&fixture->builder, OP_conv_weight_grad, "weight_grad", OPERANDS(x, dy),
                          ATTRIBUTES(FIXTURE_WINDOW(c->kernel, c->stride, c->pad, c->dilation),
                                     attribute_int("groups", c->groups)));
    return node_result(dweight, 0);
}

/* x of [batch, side, side, in], 0 outside. */
static double element(const Case *c, const double *x, int64_t n, int64_t row, int64_t column,
                      int64_t channel) {
    if (row < 0 || row >= c->side || column < 0 || column >= c->side)
        return 0;
    return x[((n * c->side + row) * c->side + column) * c->in + channel];
}

/* y[n, r, q, o] = sum over taps and inputs of x w. */
static double conv_by_definition(const Case *c, const double *x, const double *weight, int64_t n,
                                 int64_t r, int64_t q, int64_t o) {
    int64_t inputs = c->in / c->groups, group = o / (c->out / c->groups);
    double sum = 0;
    for (int64_t u = 0; u < c->kernel; u++)
        for (int64_t v = 0; v < c->kernel; v++)
            for (int64_t i = 0; i < inputs; i++)
                sum += element(c, x, n, r * c->stride - c->pad + u * c->dilation,
                               q * c->stride - c->pad + v * c->dilation, group * inputs + i) *
                       weight[((u * c->kernel + v) * inputs + i) * c->out + o];
    return sum;
}

static void check_definition(const Case *c) {
    Fixture fixture = fixture_create();
    Value *x = fixture_random(&fixture, "x", fixture_map(BATCH, c->side, c->side, c->in));
    Value *weight = fixture_random(&fixture, "weight", weight_type(c));
    const double *y = fixture_evaluate(&fixture, build_conv(&fixture, c, x, weight)).data;
    int64_t size = size_of(c), i = 0;
    for (int64_t n = 0; n < BATCH; n++)
        for (int64_t r = 0; r < size; r++)
            for (int64_t q = 0; q < size; q++)
                for (int64_t o = 0; o < c->out; o++, i++)
                    CU_ASSERT_DOUBLE_EQUAL(y[i],
                                           conv_by_definition(c, fixture.inputs.items[0].data,
                                                              fixture.inputs.items[1].data, n, r, q,
                                                              o),
                                           1e-13);
    fixture_destroy(&fixture);
}

static void conv_is_its_definition(void) {
    for (int i = 0; i < CASE_COUNT; i++)
        check_definition(&cases[i]);
}

/* <conv(x, w), dy> = <x, conv_transpose(dy, w)> = <w, conv_weight_grad(x, dy)>; `x` and `dy` are
 * the types. */
static void check_adjoints(Fixture *fixture, const Case *c, Type x_type, Type dy_type) {
    Value *x = fixture_random(fixture, "x", x_type), *dy = fixture_random(fixture, "dy", dy_type);
    Value *weight = fixture_random(fixture, "weight", weight_type(c));
    fixture_output(fixture, "x", x);
    fixture_output(fixture, "dy", dy);
    fixture_output(fixture, "weight", weight);
    fixture_output(fixture, "conv", build_conv(fixture, c, x, weight));
    fixture_output(fixture, "dx", build_transpose(fixture, c, dy, weight));
    fixture_output(fixture, "dweight", build_weight_grad(fixture, c, x, dy));
    fixture_run(fixture);
    double forward = fixture_inner_product(fixture, "conv", "dy");
    CU_ASSERT(fabs(forward) > 1e-3);
    CU_ASSERT_DOUBLE_EQUAL(fixture_inner_product(fixture, "x", "dx"), forward, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(fixture_inner_product(fixture, "weight", "dweight"), forward, 1e-12);
}

static void dense_adjoints(void) {
    for (int i = 0; i < CASE_COUNT; i++) {
        const Case *c = &cases[i];
        Fixture fixture = fixture_create();
        check_adjoints(&fixture, c, fixture_map(BATCH, c->side, c->side, c->in),
                       fixture_map(BATCH, size_of(c), size_of(c), c->out));
        fixture_destroy(&fixture);
    }
}

static void masked_adjoints(void) {
    static const Case masked_cases[] = {{8, 3, 4, 3, 1, 1, 1, 1},
                                        {8, 4, 6, 3, 2, 1, 1, 2},
                                        {8, 6, 6, 3, 1, 2, 2, 6},
                                        {8, 3, 5, 2, 2, 0, 1, 1}};
    for (size_t i = 0; i < sizeof masked_cases / sizeof *masked_cases; i++) {
        const Case *c = &masked_cases[i];
        Fixture fixture = fixture_create_masked(BATCH, 16, 8, 2, (const double[]){0, 3, 1, 2});
        check_adjoints(
            &fixture, c, type_masked(fixture_map(BATCH, 8, 8, c->in), 2),
            type_masked(fixture_map(BATCH, size_of(c), size_of(c), c->out), 2 * c->stride));
        fixture_destroy(&fixture);
    }
}

/* One visible cell of 2 x 2 positions in the corner: a 3x3 window of ones counts visible positions
 * only, and hidden outputs, which it also reaches, stay zero. */
static void hidden_positions_are_zero_and_stay_zero(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 1, (const double[]){0});
    Type type = type_masked(fixture_map(1, 4, 4, 1), 1);
    double ones[16];
    for (int i = 0; i < 16; i++)
        ones[i] = 1;
    const Case c = {4, 1, 1, 3, 1, 1, 1, 1};
    Value *x = fixture_input(&fixture, "x", type, ones);
    Value *weight = fixture_input(&fixture, "weight", weight_type(&c), ones);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, build_conv(&fixture, &c, x, weight)), 4, 4, 0, 0, 4,
                   4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    fixture_destroy(&fixture);
}

/* The same to all positions: those beside the cell see a part of it. */
static void dense_results_see_visible_taps(void) {
    Fixture fixture = fixture_create_masked(1, 4, 2, 1, (const double[]){0});
    double ones[16];
    for (int i = 0; i < 16; i++)
        ones[i] = 1;
    const Case c = {4, 1, 1, 3, 1, 1, 1, 1};
    Value *x = fixture_input(&fixture, "x", type_masked(fixture_map(1, 4, 4, 1), 1), ones);
    Value *weight = fixture_input(&fixture, "weight", weight_type(&c), ones);
    Node *y = build(&fixture.builder, OP_conv, NULL, OPERANDS(x, weight),
                    ATTRIBUTES(FIXTURE_WINDOW(3, 1, 1, 1), attribute_bool("dense", true)));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), 4, 4, 2, 0, 4, 4, 2, 0, 2, 2, 1,
                   0, 0, 0, 0, 0);
    fixture_destroy(&fixture);
}

static void token_taps_multiply_one_row(void) {
    Fixture fixture = fixture_create();
    Value *token =
        fixture_input(&fixture, "token", type_vector(DTYPE_F32, 2), (const double[]){2, 3});
    Value *weight =
        fixture_input(&fixture, "weight", type_plain(DTYPE_F32, 3, (const int64_t[]){2, 2, 3}),
                      (const double[]){1, 2, 3, 10, 20, 30, 4, 5, 6, 40, 50, 60});
    Value *dy = fixture_input(&fixture, "dy", type_plain(DTYPE_F32, 3, (const int64_t[]){2, 1, 3}),
                              (const double[]){1, 0, 2, 0, 1, 0});
    fixture_output(&fixture, "y",
                   build_binary(&fixture.builder, OP_token_taps, NULL, token, weight));
    fixture_output(&fixture, "dtoken",
                   build_binary(&fixture.builder, OP_token_taps_grad, NULL, dy, weight));
    fixture_output(&fixture, "dweight",
                   build_binary(&fixture.builder, OP_token_taps_weight_grad, NULL, token, dy));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "y"), 32, 64, 96, 128, 160, 192);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "dtoken"), 1 + 6 + 5, 10 + 60 + 50);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "dweight"), 2, 0, 4, 3, 0, 6, 0, 2, 0, 0, 3, 0);
    fixture_destroy(&fixture);
}

static void fill_window(NamedAttribute window[4], int rank, int64_t kernel, int64_t pad) {
    const int64_t kernels[] = {kernel, kernel, kernel}, pads[] = {pad, pad, pad},
                  ones[] = {1, 1, 1};
    window[0] = attribute_ints("kernel", kernels, rank);
    window[1] = attribute_ints("stride", ones, rank);
    window[2] = attribute_ints("pad", pads, rank);
    window[3] = attribute_ints("dilation", ones, rank);
}

/* (1 2 3 4) with the taps (1 10 100), padded by one: 10 + 2 * 100, 1 + 2 * 10 + 3 * 100, .. */
static void one_direction(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", type_dense(DTYPE_F32, 1, 1, (const int64_t[]){4}, 1),
                             (const double[]){1, 2, 3, 4});
    Value *weight =
        fixture_input(&fixture, "weight", type_plain(DTYPE_F32, 3, (const int64_t[]){3, 1, 1}),
                      (const double[]){1, 10, 100});
    NamedAttribute window[4];
    fill_window(window, 1, 3, 1);
    Node *y = build(&fixture.builder, OP_conv, NULL, OPERANDS(x, weight), window, 4);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), 210, 321, 432, 43);
    fixture_destroy(&fixture);
}

/* A cube of 2 x 2 x 2 summed with weights 1, 2, .. 8 gives the sum of i * i. */
static void three_directions(void) {
    Fixture fixture = fixture_create();
    const double numbers[] = {1, 2, 3, 4, 5, 6, 7, 8};
    Value *x = fixture_input(&fixture, "x",
                             type_dense(DTYPE_F32, 1, 3, (const int64_t[]){2, 2, 2}, 1), numbers);
    Value *weight = fixture_input(
        &fixture, "weight", type_plain(DTYPE_F32, 5, (const int64_t[]){2, 2, 2, 1, 1}), numbers);
    NamedAttribute window[4];
    fill_window(window, 3, 2, 0);
    Node *y = build(&fixture.builder, OP_conv, NULL, OPERANDS(x, weight), window, 4);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), 204);
    fixture_destroy(&fixture);
}

static void linear_multiplies_rows(void) {
    Fixture fixture = fixture_create();
    Value *x =
        fixture_input(&fixture, "x", type_per_image(DTYPE_F32, 2, 2), (const double[]){1, 2, 3, 4});
    Value *weight =
        fixture_input(&fixture, "weight", type_plain(DTYPE_F32, 2, (const int64_t[]){2, 3}),
                      (const double[]){1, 10, 100, 2, 20, 200});
    Node *y = build(&fixture.builder, OP_linear, NULL, OPERANDS(x, weight), NO_ATTRIBUTES);
    Node *back = build(&fixture.builder, OP_linear, NULL, OPERANDS(node_result(y, 0), weight),
                       ATTRIBUTES(attribute_bool("transpose", true)));
    Node *dweight = build(&fixture.builder, OP_linear_weight_grad, NULL,
                          OPERANDS(x, node_result(y, 0)), NO_ATTRIBUTES);
    fixture_output(&fixture, "y", node_result(y, 0));
    fixture_output(&fixture, "back", node_result(back, 0));
    fixture_output(&fixture, "dweight", node_result(dweight, 0));
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "y"), 5, 50, 500, 11, 110, 1100);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "back"), 50505, 101010, 111111, 222222);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "dweight"), 38, 380, 3800, 54, 540, 5400);
    fixture_destroy(&fixture);
}

CU_TestInfo interpret_contraction_tests[] = {
    {"conv is its definition", conv_is_its_definition},
    {"dense adjoints", dense_adjoints},
    {"masked adjoints", masked_adjoints},
    {"hidden positions are zero and stay zero", hidden_positions_are_zero_and_stay_zero},
    {"dense results see visible taps", dense_results_see_visible_taps},
    {"token_taps multiply one row", token_taps_multiply_one_row},
    {"one direction", one_direction},
    {"three directions", three_directions},
    {"linear multiplies rows", linear_multiplies_rows},
    CU_TEST_INFO_NULL,
};
