/* Every derivative against central differences of the interpreter's forward op, in double. The
 * cases are data; an op of ir/ops.def that has a derivative and no case here is a failure. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ir/verify.h"
#include "passes/passes.h"
#include "tests/support/op_case.h"
#include "tests/unit/autodiff_suites.h"

static const OpCase pointwise_cases[] = {
    {OP_add, "f32<2x4x6x3>, f32<2x4x6x3>", ""},
    {OP_add, "f32<2x4x6x3>, f32[3]", ""},
    {OP_add, "f32[], f32<2x4x6x3>", ""},
    {OP_add, "f32<2x4x6x3 masked 2>, f32<2x3 per_image>", ""},
    {OP_add, "f32<2x4x6x3 masked 2>, f32<2x4x6x1 masked 2>", ""},
    {OP_sub, "f32<2x4x6x3>, f32<2x3 per_image>", ""},
    {OP_sub, "f32[3], f32<2x4x6x3 masked 2>", ""},
    {OP_sub, "f32[3], f32[3]", ""},
    {OP_mul, "f32<2x4x6x3>, f32<2x4x6x3>", ""},
    {OP_mul, "f32<2x4x6x3>, f32<2x1 per_image>", ""},
    {OP_mul, "f32<2x4x6x3>, f32<2x4x6x1>", ""},
    {OP_mul, "f32<2x3 per_image>, f32<2x4x6x3 masked 2>", ""},
    {OP_mul, "f32<2x5 per_image>, f32<2x1 per_image>", ""},
    {OP_mul, "f32<2x5 per_image>, f32[5]", ""},
    {OP_mul, "f32[3x3x2x4], f32[]", ""},
    {OP_div, "f32<2x4x6x3>, +f32<2x4x6x3>", ""},
    {OP_div, "f32<2x4x6x3 masked 2>, +f32[3]", ""},
    {OP_div, "f32[], +f32<2x4x6x3>", ""},
    {OP_neg, "f32<2x4x6x3>", ""},
    {OP_neg, "f32<2x4x6x3 masked 2>", ""},
    {OP_sqrt, "+f32<2x4x6x3>", ""},
    {OP_sqrt, "+f32<2x4x6x3 masked 2>", ""},
};

static const OpCase contraction_cases[] = {
    {OP_conv, "f32<2x5x7x4>, f32[3x3x4x6]", "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1"},
    {OP_conv, "f32<2x8x7x4>, f32[3x2x4x3]", "kernel=3,2 stride=2,1 pad=1,0 dilation=1,1"},
    {OP_conv, "f32<2x8x9x2>, f32[3x3x2x3]", "kernel=3,3 stride=2,3 pad=0,2 dilation=2,1"},
    {OP_conv, "f32<2x6x6x4>, f32[4x4x2x6]", "kernel=4,4 stride=2,2 pad=1,1 dilation=1,1 groups=2"},
    {OP_conv, "f32<2x5x5x3>, f32[3x3x1x6]", "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1 groups=3"},
    {OP_conv, "f32<1x3x4x3>, f32[7x7x1x3]", "kernel=7,7 stride=1,1 pad=3,3 dilation=1,1 groups=3"},
    {OP_conv, "f32<2x3x6x3>, f32[1x5x3x2]", "kernel=1,5 stride=1,2 pad=0,2 dilation=1,1"},
    {OP_conv, "f32<2x5x6x3>, f32[1x1x3x4]", "kernel=1,1 stride=2,2 pad=0,0 dilation=1,1"},
    {OP_conv, "f32<2x7x3>, f32[3x3x5]", "kernel=3 stride=2 pad=1 dilation=1"},
    {OP_conv, "f32<1x4x3x5x2>, f32[2x3x1x2x3]",
     "kernel=2,3,1 stride=2,1,2 pad=0,1,0 dilation=1,1,1"},
    {OP_conv, "f32<2x3 per_image>, f32[1x1x3x4]", "kernel=1,1 stride=1,1 pad=0,0 dilation=1,1"},
    {OP_conv, "f32<2x4x6x4 masked 2>, f32[3x3x4x3]", "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1"},
    {OP_conv, "f32<2x8x12x2 masked 1>, f32[3x3x2x3]", "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
    {OP_conv, "f32<2x8x12x2 masked 1>, f32[4x4x2x3]", "kernel=4,4 stride=4,4 pad=0,0 dilation=1,1"},
    {OP_conv, "f32<2x4x6x3 masked 2>, f32[2x2x3x2]", "kernel=2,2 stride=2,2 pad=0,0 dilation=1,1"},
    {OP_conv, "f32<2x4x6x4 masked 2>, f32[1x1x2x4]",
     "kernel=1,1 stride=1,1 pad=0,0 dilation=1,1 groups=2"},
    {OP_conv, "f32<2x4x6x4 masked 2>, f32[3x3x4x3]", "kernel=3,3 stride=1,1 pad=2,2 dilation=2,2"},
    {OP_conv, "f32<2x4x6x3 masked 2>, f32[7x7x1x3]",
     "kernel=7,7 stride=1,1 pad=3,3 dilation=1,1 groups=3"},
    {OP_conv, "f32<2x4x6x3 masked 2>, f32[3x5x3x2]", "kernel=3,5 stride=1,1 pad=1,2 dilation=1,1"},
    {OP_conv_transpose, "f32<2x3x4x4>, f32[4x4x5x4]",
     "kernel=4,4 stride=2,2 pad=1,1 dilation=1,1 size=6,8"},
    {OP_conv_transpose, "f32<2x3x4x4>, f32[3x3x3x4]",
     "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1 groups=2 size=6,7"},
    {OP_conv_transpose, "f32<2x3x3x2>, f32[3x2x3x2]",
     "kernel=3,2 stride=1,3 pad=0,0 dilation=2,1 size=7,8"},
    {OP_conv_transpose, "f32<2x5x3>, f32[4x2x3]", "kernel=4 stride=2 pad=1 dilation=1 size=10"},
    {OP_linear, "f32<2x3x4x5>, f32[5x3]", ""},
    {OP_linear, "f32<2x3x4x5>, f32[3x5]", "transpose=true"},
    {OP_linear, "f32<2x4x6x3 masked 2>, f32[3x4]", ""},
    {OP_linear, "f32<2x6 per_image>, f32[6x4]", ""},
    {OP_linear, "f32<2x6 per_image>, f32[4x6]", "transpose=true"},
};

static const OpCase window_cases[] = {
    {OP_max_pool, "f32<2x6x7x3>", "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
    {OP_max_pool, "f32<2x6x7x3>", "kernel=2,3 stride=2,1 pad=0,1 dilation=1,2"},
    {OP_max_pool, "f32<2x6x7x3>", "kernel=3,2 stride=2,2 pad=0,0 dilation=1,1 ceil_mode=true"},
    {OP_max_pool, "f32<2x7x3>", "kernel=3 stride=1 pad=1 dilation=1"},
    {OP_max_pool, "f32<2x8x12x3 masked 1>", "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
    {OP_max_pool, "f32<2x4x6x3 masked 2>", "kernel=2,2 stride=2,2 pad=0,0 dilation=1,1"},
    {OP_max_pool, "f32<2x4x6x3 masked 2>", "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1"},
    {OP_avg_pool, "f32<2x6x7x3>", "kernel=3,3 stride=2,2 pad=1,1"},
    {OP_avg_pool, "f32<2x6x7x3>", "kernel=3,2 stride=1,2 pad=1,1 count_include_pad=false"},
    {OP_avg_pool, "f32<2x6x7x3>", "kernel=3,2 stride=2,2 pad=0,0 ceil_mode=true"},
    {OP_avg_pool, "f32<2x7x7x3>", "kernel=3,3 stride=3,3 pad=1,1 ceil_mode=true"},
    {OP_avg_pool, "f32<2x7x7x3>",
     "kernel=3,3 stride=3,3 pad=1,1 ceil_mode=true count_include_pad=false"},
    {OP_avg_pool, "f32<2x8x12x3 masked 1>", "kernel=3,3 stride=2,2 pad=1,1"},
    {OP_avg_pool, "f32<2x4x6x3 masked 2>", "kernel=3,3 stride=1,1 pad=1,1 count_include_pad=false"},
    {OP_avg_pool, "f32<2x4x6x3 masked 2>", "kernel=2,2 stride=2,2 pad=0,0"},
    {OP_upsample, "f32<2x3x4x3>", "factor=2,2"},
    {OP_upsample, "f32<2x3x4x3>", "factor=1,3"},
    {OP_upsample, "f32<2x3x4x3>", "factor=2,2 mode=bilinear"},
    {OP_upsample, "f32<2x3x4x3>", "factor=3,4 mode=bilinear"},
    {OP_upsample, "f32<2x2x3x3 masked 4>", "factor=2,2"},
    {OP_upsample, "f32<2x2x3x3 masked 4>", "factor=4,4"},
};

static const OpCase norm_cases[] = {
    {OP_sum, "f32<2x4x6x3>", "over=row"},
    {OP_sum, "f32<2x4x6x3>", "over=image"},
    {OP_sum, "f32<2x4x6x4>", "over=image groups=2"},
    {OP_sum, "f32<2x4x6x3>", "over=batch"},
    {OP_sum, "f32<2x4x6x3>", "over=all"},
    {OP_sum, "f32[3x4]", "over=all"},
    {OP_sum, "f32<2x6 per_image>", "over=group groups=3"},
    {OP_sum, "f32<2x6 per_image>", "over=row"},
    {OP_sum, "f32<2x6 per_image>", "over=batch"},
    {OP_sum, "f32<2x4x6x3 masked 2>", "over=row"},
    {OP_sum, "f32<2x4x6x3 masked 2>", "over=image"},
    {OP_sum, "f32<2x4x6x3 masked 2>", "over=batch"},
    {OP_sum, "f32<2x4x6x3 masked 2>", "over=all"},
    {OP_moments, "f32<2x4x6x3>", "over=batch"},
    {OP_moments, "f32<2x4x6x3>", "over=row"},
    {OP_moments, "f32<2x4x6x3>", "over=image"},
    {OP_moments, "f32<2x4x6x6>", "over=image groups=2"},
    {OP_moments, "f32<2x6 per_image>", "over=row"},
    {OP_moments, "f32<2x4x6x3 masked 2>", "over=batch"},
    {OP_moments, "f32<2x4x6x3 masked 2>", "over=row"},
    {OP_moments, "f32<2x4x6x3 masked 2>", "over=image"},
    {OP_moments, "f32<2x4x6x6 masked 2>", "over=image groups=3"},
    {OP_rstd, "+f32[5], !+f32[]", "eps=0.1"},
    {OP_rstd, "+f32<2x5 per_image>, !+f32[]", "eps=0.1"},
    {OP_rstd, "+f32<2x4x6x1 masked 2>, !+f32[]", "eps=0.1"},
    {OP_normalise, "f32<2x4x6x3>, f32[3], +f32[3], f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32[3], +f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32[3], +f32[3], -, f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, !f32[3], !+f32[3], f32[3], f32[3]", ""},
    {OP_normalise, "!f32<2x4x6x3>, f32[3], +f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32<2x3 per_image>, +f32<2x3 per_image>, f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32<2x4x6x1>, +f32<2x4x6x1>, f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, !f32<2x4x6x1>, !+f32<2x4x6x1>, f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3>, f32<2x4x6x1>, +f32<2x4x6x1>", ""},
    {OP_normalise, "f32<2x5 per_image>, f32<2x1 per_image>, +f32<2x1 per_image>, f32[5]", ""},
    {OP_normalise, "f32<2x5 per_image>, f32<2x5 per_image>, +f32<2x5 per_image>, f32[5]", ""},
    {OP_normalise, "f32<2x5 per_image>, f32[5], +f32[5], f32[5], f32[5]", ""},
    {OP_normalise, "f32<2x4x6x3 masked 2>, f32[3], +f32[3], f32[3], f32[3]", ""},
    {OP_normalise, "f32<2x4x6x3 masked 2>, f32<2x3 per_image>, +f32<2x3 per_image>, f32[3], f32[3]",
     ""},
    {OP_normalise,
     "f32<2x4x6x3 masked 2>, f32<2x4x6x1 masked 2>, +f32<2x4x6x1 masked 2>, f32[3], f32[3]", ""},
};

static const OpCase move_cases[] = {
    {OP_broadcast, "f32[3]", "f32<2x4x6x3>"},
    {OP_broadcast, "f32[]", "f32<2x4x6x3>"},
    {OP_broadcast, "f32<2x1 per_image>", "f32<2x4x6x3>"},
    {OP_broadcast, "f32<2x3 per_image>", "f32<2x4x6x3 masked 2>"},
    {OP_broadcast, "f32<2x4x6x1 masked 2>", "f32<2x4x6x3 masked 2>"},
    {OP_concat, "f32<2x4x6x3>, f32<2x4x6x1>, f32<2x4x6x2>", ""},
    {OP_concat, "f32<2x4x6x3 masked 2>, !f32<2x4x6x1 masked 2>, f32<2x4x6x2 masked 2>", ""},
    {OP_concat, "f32<2x3 per_image>, f32<2x2 per_image>", ""},
    {OP_slice, "f32<2x4x6x5>", "start=1 channels=3"},
    {OP_slice, "f32<2x4x6x5 masked 2>", "start=3 channels=2"},
    {OP_channel_shuffle, "f32<2x4x6x6>", "groups=2"},
    {OP_channel_shuffle, "f32<2x4x6x6 masked 2>", "groups=3"},
    {OP_repeat_channels, "f32<2x3 per_image>", "times=4"},
    {OP_flatten, "f32<2x3x4x5>", ""},
    {OP_flatten, "f32<2x5 per_image>", ""},
    {OP_squeeze, "f32<2x1x1x5>", ""},
    {OP_squeeze, "f32<2x5 per_image>", ""},
    {OP_densify, "f32<2x2x3x3 masked 4>, f32[3]", ""},
    {OP_densify, "f32<2x4x6x3 masked 2>, f32[3]", ""},
    {OP_densify, "f32<2x8x12x2 masked 1>, !f32[2]", ""},
    {OP_densify, "!f32<2x4x6x3 masked 2>, f32[3]", ""},
};

/* Composites are interpreted as they are, and differentiated after expanding. */
static const OpCase composite_cases[] = {
    {OP_batch_norm, "f32<2x4x6x3>, $f32[3], $+f32[3], $f32[], f32[3], f32[3]", "eps=0.1"},
    {OP_batch_norm, "f32<2x4x6x3>, $f32[3], $+f32[3], $f32[]", ""},
    {OP_batch_norm, "f32<2x3 per_image>, $f32[3], $+f32[3], $f32[], f32[3], f32[3]", "eps=0.1"},
    {OP_batch_norm, "f32<2x4x6x3 masked 2>, $f32[3], $+f32[3], $f32[], f32[3], f32[3]", ""},
    {OP_layer_norm, "f32<2x4x6x3>, f32[3], f32[3]", "eps=0.1"},
    {OP_layer_norm, "f32<2x5 per_image>, f32[5], f32[5]", "eps=0.1"},
    {OP_layer_norm, "f32<2x4x6x3>", "eps=0.1"},
    {OP_layer_norm, "f32<2x4x6x3 masked 2>, f32[3], f32[3]", "eps=0.1"},
    {OP_group_norm, "f32<2x4x6x6>, f32[6], f32[6]", "groups=2"},
    {OP_group_norm, "f32<2x4x6x6>, f32[6], f32[6]", "groups=1"},
    {OP_group_norm, "f32<2x6 per_image>, f32[6], f32[6]", "groups=2 eps=0.1"},
    {OP_group_norm, "f32<2x4x6x6 masked 2>, f32[6], f32[6]", "groups=3"},
    {OP_group_norm, "f32<2x4x6x6 masked 2>", "groups=3"},
    {OP_instance_norm, "f32<2x4x6x3>, f32[3], f32[3]", ""},
    {OP_instance_norm, "f32<2x4x6x3>", ""},
    {OP_instance_norm, "f32<2x4x6x3 masked 2>, f32[3], f32[3]", ""},
    {OP_grn, "f32<2x4x6x3>, f32[3], f32[3]", ""},
    {OP_grn, "f32<2x5 per_image>, f32[5], f32[5]", ""},
    {OP_grn, "f32<2x4x6x3 masked 2>, f32[3], f32[3]", "eps=0.1"},
    {OP_global_avg_pool, "f32<2x4x6x3>", ""},
    {OP_global_avg_pool, "f32<2x3 per_image>", ""},
    {OP_global_avg_pool, "f32<2x4x6x3 masked 2>", ""},
    {OP_dropout, "f32<2x4x6x3>", "rate=0.4 stream=3"},
    {OP_dropout, "f32<2x4x6x3>", "rate=0 stream=3"},
    {OP_dropout, "f32<2x4x6x3 masked 2>", "rate=0.4 stream=9"},
    {OP_drop_path, "f32<2x4x6x3>", "rate=0.6 stream=3"},
    {OP_drop_path, "f32<2x4x6x3 masked 2>", "rate=0.6 stream=4"},
};

static const OpCase activation_cases[] = {
#define ACTIVATION(name, attributes, saved, value, derivative)                                     \
    {OP_##name, "~f32<2x4x6x3>", ""}, {OP_##name, "~f32<2x4x6x3 masked 2>", ""},                   \
        {OP_##name, "~f32<2x9 per_image>", ""},
#include "ir/activations.def"
#undef ACTIVATION
    {OP_leaky_relu, "~f32<2x4x6x3>", "slope=0.2"},
    {OP_elu, "~f32<2x4x6x3>", "alpha=0.7"},
    {OP_softplus, "~f32<2x4x6x3>", "beta=2.5"},
};

/* --- the comparison --- */

typedef struct Check {
    Arena *arena;
    const char *text;      /* of the case */
    Interpreter *numeric;  /* the forward graph, as it was before any pass */
    Interpreter *analytic; /* the graph with gradients, after a run */
} Check;

static void fail(const Check *check, const char *what, double expected, double actual) {
    fprintf(stderr, "\n%s: %s: %.12g expected, %.12g found\n", check->text, what, expected, actual);
    CU_FAIL("a value or a gradient differs");
}

static double loss_of(Interpreter *interpreter, Arena *arena) {
    CU_ASSERT_PTR_NULL_FATAL(interpreter_run(interpreter, arena).message);
    Tensor loss = interpreter_output(interpreter, "loss");
    CU_ASSERT_PTR_NOT_NULL_FATAL(loss.data);
    return loss.data[0];
}

/* Rounding of the loss divided by the step, and the third derivative times its square, stay far
 * below. */
static bool near(double expected, double actual) {
    return fabs(expected - actual) <= 2e-7 * (1 + fabs(expected));
}

/* The derivative of the loss along a direction, by central differences. */
static double slope(const Check *check, Tensor param, const double *direction) {
    const double step = 1e-5;
    double losses[2];
    double *saved = arena_new_array(check->arena, double, param.count);
    memcpy(saved, param.data, param.count * sizeof *saved);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < param.count; i++)
            param.data[i] = saved[i] + (side ? step : -step) * direction[i];
        losses[side] = loss_of(check->numeric, check->arena);
    }
    memcpy(param.data, saved, param.count * sizeof *saved);
    return (losses[1] - losses[0]) / (2 * step);
}

static void check_direction(const Check *check, const char *segment, const double *direction) {
    Tensor param = interpreter_param(check->numeric, segment);
    Tensor gradient =
        interpreter_output(check->analytic, arena_format(check->arena, "grad.%s", segment));
    CU_ASSERT_PTR_NOT_NULL_FATAL(gradient.data);
    CU_ASSERT_EQUAL_FATAL(gradient.count, param.count);
    double product = 0, expected = slope(check, param, direction);
    for (size_t i = 0; i < param.count; i++)
        product += gradient.data[i] * direction[i];
    if (!near(expected, product))
        fail(check, segment, expected, product);
}

enum { SINGLE_ELEMENTS = 12 };

/* Some elements alone, spread over the segment, then all of them at once in alternating directions.
 */
static void check_segment(const Check *check, const char *segment) {
    size_t count = interpreter_param(check->numeric, segment).count;
    double *direction = arena_new_array(check->arena, double, count);
    size_t gap = count > SINGLE_ELEMENTS ? count / SINGLE_ELEMENTS | 1 : 1;
    for (size_t i = 0; i < count; i += gap) {
        direction[i] = 1;
        check_direction(check, segment, direction);
        direction[i] = 0;
    }
    for (size_t i = 0; i < count; i++)
        direction[i] = (double)(i * 7 % 11) / 5 - 1;
    check_direction(check, segment, direction);
}

static Interpreter *create_filled(Arena *arena, const Graph *graph, bool training) {
    Interpreter *interpreter = interpreter_create(graph);
    op_case_fill(interpreter, arena, graph);
    interpreter_set_training(interpreter, training);
    return interpreter;
}

static void add_gradients(Graph *graph, bool training) {
    PassOptions options = {
        .entry = ENTRY_TRAIN_STEP, .training = training, .stochastic = true, .expose = true};
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 5);
    pass_expand(graph, &options, diagnostics);
    pass_autodiff(graph, &options, diagnostics);
    graph->stage = "autodiff";
    verify_graph(graph, diagnostics);
    if (diagnostics_error_count(diagnostics) > 0)
        fprintf(stderr, "\n%s", diagnostics_text(diagnostics, false));
    CU_ASSERT_EQUAL_FATAL(diagnostics_error_count(diagnostics), 0);
}

/* The passes change no result of the op under test. */
static void check_results(const Check *check) {
    loss_of(check->numeric, check->arena);
    loss_of(check->analytic, check->arena);
    for (int i = 0; i < OP_MAX_RESULTS; i++) {
        const char *name = arena_format(check->arena, "y%d", i);
        Tensor expected = interpreter_output(check->numeric, name);
        Tensor actual = interpreter_output(check->analytic, name);
        CU_ASSERT_EQUAL_FATAL(expected.count, actual.count);
        for (size_t j = 0; j < expected.count; j++)
            if (fabs(expected.data[j] - actual.data[j]) > 1e-12 * (1 + fabs(expected.data[j])))
                fail(check, name, expected.data[j], actual.data[j]);
    }
}

static void check_case(const OpCase *op_case, bool training) {
    Arena *arena = arena_create();
    Graph *graph = op_case_graph(arena, op_case);
    const Graph *forward = graph_copy(graph, arena);
    add_gradients(graph, training);
    Check check = {.arena = arena,
                   .text = op_case_text(arena, op_case),
                   .numeric = create_filled(arena, forward, training),
                   .analytic = create_filled(arena, graph, training)};
    check_results(&check);
    for (size_t i = 0; i < forward->segments.count; i++)
        check_segment(&check, forward->segments.items[i].name);
    interpreter_destroy(check.numeric);
    interpreter_destroy(check.analytic);
    arena_destroy(arena);
}

/* --- the tests --- */

typedef struct CaseList {
    const OpCase *cases;
    size_t count;
} CaseList;

#define CASE_LIST(array)                                                                           \
    { array, sizeof(array) / sizeof *(array) }

static const CaseList lists[] = {
    CASE_LIST(pointwise_cases), CASE_LIST(contraction_cases), CASE_LIST(window_cases),
    CASE_LIST(norm_cases),      CASE_LIST(move_cases),        CASE_LIST(activation_cases),
    CASE_LIST(composite_cases),
};

enum { LIST_COUNT = sizeof lists / sizeof *lists };

static void check_list(const OpCase *cases, size_t count, bool training) {
    for (size_t i = 0; i < count; i++)
        check_case(&cases[i], training);
}

#define CHECK_LIST(array, training) check_list(array, sizeof(array) / sizeof *(array), training)

static void test_pointwise(void) {
    CHECK_LIST(pointwise_cases, true);
}

static void test_contractions(void) {
    CHECK_LIST(contraction_cases, true);
}

static void test_windows(void) {
    CHECK_LIST(window_cases, true);
}

static void test_norms(void) {
    CHECK_LIST(norm_cases, true);
}

static void test_moves(void) {
    CHECK_LIST(move_cases, true);
}

static void test_activations(void) {
    CHECK_LIST(activation_cases, true);
}

static void test_composites_in_training(void) {
    CHECK_LIST(composite_cases, true);
}

static void test_composites_in_evaluation(void) {
    CHECK_LIST(composite_cases, false);
}

static bool has_case(Op op, bool masked) {
    for (int i = 0; i < LIST_COUNT; i++)
        for (size_t j = 0; j < lists[i].count; j++)
            if (lists[i].cases[j].op == op && op_case_is_masked(&lists[i].cases[j]) == masked)
                return true;
    return false;
}

static bool needs_masked_case(Op op) {
    MaskedRule rule = op_info(op)->masked;
    return rule != MASKED_REFUSED && rule != MASKED_INTERNAL && op != OP_repeat_channels;
}

static void test_every_op_has_cases(void) {
    static const char *const gradients[OP_COUNT] = {
#define OP(name, operands, results, attributes, shape, gradient, masked, flags)                    \
    [OP_##name] = #gradient,
#include "ir/ops.def"
#undef OP
    };
    for (Op op = 0; op < OP_COUNT; op++) {
        bool none = strcmp(gradients[op], "none") == 0, zero = strcmp(gradients[op], "zero") == 0;
        bool composite = op_info(op)->flags & OP_COMPOSITE;
        if ((none && !composite) || zero)
            continue;
        bool fine = (has_case(op, false) || op == OP_densify) &&
                    (!needs_masked_case(op) || has_case(op, true));
        if (!fine)
            fprintf(stderr, "\n%s has no case, or none that is masked\n", op_info(op)->name);
        CU_ASSERT(fine);
    }
}

CU_TestInfo gradient_tests[] = {
    {"every op with a derivative has cases", test_every_op_has_cases},
    {"pointwise", test_pointwise},
    {"contractions", test_contractions},
    {"windows", test_windows},
    {"norms and sums", test_norms},
    {"moves", test_moves},
    {"activations", test_activations},
    {"composites in training", test_composites_in_training},
    {"composites in evaluation", test_composites_in_evaluation},
    CU_TEST_INFO_NULL,
};
