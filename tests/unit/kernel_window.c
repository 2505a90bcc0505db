/* Every kind of window on programs written by hand, against its definition. */
#include <math.h>

#include "tests/unit/kernel_fixture.h"
#include "tests/unit/kernel_suites.h"

enum { H = 8, W = 12, C = 2, ALL = FIXTURE_BATCH * H * W * C };

#define MASKED "f32<2x8x12x2 masked 1>"
#define POOLED "f32<2x4x6x2 masked 2>"
#define DENSE  "f32<2x8x12x2>"
#define TAPS_3X3                                                                                   \
    "    tap 0 [-1, -1], 1 [-1, 0], 2 [-1, 1], 3 [0, -1], 4 [0, 0], 5 [0, 1], 6 [1, -1], "         \
    "7 [1, 0], 8 [1, 1]\n"

static KernelFixture masked_fixture(const char *buffers, const char *kernels) {
    Arena *arena = arena_create();
    KernelFixture fixture = kernel_fixture_create(arena_format(
        arena, "%s%s%s%s", kernel_fixture_levels, buffers, kernel_fixture_maps, kernels));
    arena_destroy(arena);
    return fixture;
}

static bool inside(int64_t y, int64_t x) {
    return y >= 0 && y < H && x >= 0 && x < W;
}

static int64_t place(int64_t b, int64_t y, int64_t x, int64_t c) {
    return ((b * H + y) * W + x) * C + c;
}

static void weighted_windows_and_their_weight_gradient(void) {
    KernelFixture f = masked_fixture(
        "buffer x : f32 inputs {elements=192}\nbuffer w : f32 inputs {elements=18}\n"
        "buffer y : f32 outputs {elements=192}\nbuffer dw : f32 outputs {elements=18}\n",
        "kernel y : window x 2\n    space masked {extent=[8, 12], stride=1}\n    window weighted\n"
        "    taps masked {extent=[8, 12], stride=1}\n" TAPS_3X3
        "    a %inputs:x {image=96, row=2}\n"
        "    weight %inputs:w {tap=2, out=1}\n"
        "    expression t0 = operand 0; t1 = neg t0; -> t1\n    out %outputs:y {image=96, row=2}\n"
        "kernel dw : window x 2\n    space masked {extent=[8, 12], stride=1}\n"
        "    window weight_grad\n    taps masked {extent=[8, 12], stride=1}\n" TAPS_3X3
        "    a %inputs:x {image=96, row=2}\n    b %inputs:x {image=96, row=2}\n"
        "    weight %outputs:dw {tap=2, out=1}\n");
    const double *x = kernel_fixture_input(&f, "x", MASKED);
    const double *w = kernel_fixture_input(&f, "w", "f32[3x3x2]");
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", MASKED);
    const double *dw = kernel_fixture_output(&f, "dw", "f32[3x3x2]");
    double expected[18] = {0};
    int wrong = 0;
    for (int64_t i = 0; i < ALL; i++) {
        int64_t b = i / (H * W * C), v = i / (W * C) % H, u = i / C % W, c = i % C;
        double sum = 0;
        for (int64_t t = 0; t < 9; t++) {
            int64_t p = v + t / 3 - 1, q = u + t % 3 - 1;
            double value = inside(p, q) ? x[place(b, p, q, c)] : 0;
            sum += value * w[t * C + c];
            expected[t * C + c] += value * x[i];
        }
        wrong += y[i] != (kernel_fixture_visible(1, b, v, u) ? -sum : 0);
    }
    for (int t = 0; t < 18; t++)
        wrong += dw[t] != expected[t];
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(kernel_multiply_adds(f.program, f.program->kernels.items[2]), 96 * 9 * 2);
    kernel_fixture_destroy(&f);
}

/* What max pooling 3x3, stride 2, pad 1 gives at (b, r, q, c), and which element of x: -1 none. */
static double pooled(const double *x, int64_t b, int64_t r, int64_t q, int64_t c, int64_t *winner) {
    double best = -INFINITY;
    for (int64_t t = 0; t < 9; t++) {
        int64_t p = 2 * r + t / 3 - 1, u = 2 * q + t % 3 - 1;
        if (!inside(p, u))
            continue;
        bool hidden = !kernel_fixture_visible(1, b, p, u);
        double value = hidden ? 0 : x[place(b, p, u, c)];
        if (value > best) {
            best = value;
            *winner = hidden ? -1 : place(b, p, u, c);
        }
    }
    return best;
}

/* All visible numbers are negative: a hidden tap wins as 0, an outside one never; the gradient of a
 * hidden winner is dropped. */
static void maxima_take_hidden_taps_as_zero(void) {
    KernelFixture f = masked_fixture(
        "buffer x : f32 inputs {elements=192}\nbuffer dy : f32 inputs {elements=48}\n"
        "buffer y : f32 outputs {elements=48}\nbuffer dx : f32 outputs {elements=192}\n",
        "kernel y : window x 2\n    space masked {extent=[4, 6], stride=2}\n    window max\n"
        "    taps masked {extent=[8, 12], stride=1} {scale=[2, 2]}\n" TAPS_3X3
        "    a %inputs:x {image=96, row=2}\n"
        "    expression t0 = operand 0; -> t0\n    out %outputs:y {image=24, row=2}\n"
        "kernel dx : window x 2\n    space masked {extent=[4, 6], stride=2}\n    window max_grad\n"
        "    taps masked {extent=[8, 12], stride=1} {scale=[2, 2]}\n" TAPS_3X3
        "    a %inputs:x {image=96, row=2}\n    b %inputs:dy {image=24, row=2}\n"
        "    out %outputs:dx {image=96, row=2}\n");
    double *x = arena_new_array(f.arena, double, ALL), expected[ALL] = {0};
    const double *random = kernel_fixture_input(&f, "x", MASKED);
    for (int i = 0; i < ALL; i++)
        x[i] = random[i] - 2;
    kernel_fixture_set(&f, "x", MASKED, x);
    const double *dy = kernel_fixture_input(&f, "dy", POOLED);
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", POOLED);
    const double *dx = kernel_fixture_output(&f, "dx", MASKED);
    int wrong = 0, hidden = 0;
    for (int64_t i = 0; i < 96; i++) {
        int64_t b = i / 48, r = i / 12 % 4, q = i / 2 % 6, winner = -1;
        if (!kernel_fixture_visible(2, b, r, q))
            continue;
        wrong += y[i] != pooled(x, b, r, q, i % 2, &winner);
        hidden += winner < 0;
        if (winner >= 0)
            expected[winner] += dy[i];
    }
    for (int i = 0; i < ALL; i++)
        wrong += dx[i] != expected[i];
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(hidden > 5 && hidden < 40);
    kernel_fixture_destroy(&f);
}

static void maxima_of_nan_and_of_nothing(void) {
    KernelFixture f = kernel_fixture_create(
        "buffer x : f32 inputs {elements=8}\nbuffer y : f32 outputs {elements=8}\n"
        "kernel y : window x 1\n    space dense {extent=[2, 2]}\n    window max\n"
        "    taps dense {extent=[2, 2]}\n    tap 0 [0, -1], 1 [0, 1]\n"
        "    a %inputs:x {image=4, row=1}\n"
        "    expression t0 = operand 0; -> t0\n    out %outputs:y {image=4, row=1}\n");
    const double x[8] = {NAN, 1, 2, 3, -INFINITY, 5, 6, NAN};
    kernel_fixture_set(&f, "x", "f32<2x2x2x1>", x);
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", "f32<2x2x2x1>");
    const double expected[8] = {1, NAN, 3, 2, 5, -INFINITY, NAN, 6};
    for (int i = 0; i < 8; i++)
        CU_ASSERT(isnan(expected[i]) ? isnan(y[i]) : y[i] == expected[i]);
    kernel_fixture_destroy(&f);
}

static double average_divisor(int64_t r, int64_t q, bool count_pad) {
    int64_t wide = count_pad ? 1 : 0;
    double divisor = 0;
    for (int64_t t = 0; t < 6; t++) {
        int64_t p = 2 * r + t / 2 - 1, u = 2 * q + t % 2 - 1;
        divisor += p >= -wide && p < H + wide && u >= -wide && u < W + wide;
    }
    return divisor;
}

/* 3x2 windows, stride 2, pad 1 on 8 x 12: 4 x 7. */
static void averages_divide_by_what_they_count(void) {
    static const char *const options[2] = {"", ", count_pad=true"};
    for (int count_pad = 0; count_pad < 2; count_pad++) {
        Arena *arena = arena_create();
        KernelFixture f = kernel_fixture_create(arena_format(
            arena,
            "buffer x : f32 inputs {elements=384}\nbuffer y : f32 outputs {elements=112}\n"
            "kernel y : window x 2\n    space dense {extent=[4, 7]}\n"
            "    window average {kernel=[3, 2], stride=[2, 2], pad=[1, 1]%s}\n"
            "    taps dense {extent=[8, 12]} {scale=[2, 2]}\n"
            "    tap 0 [-1, -1], 1 [-1, 0], 2 [0, -1], 3 [0, 0], 4 [1, -1], 5 [1, 0]\n"
            "    a %%inputs:x {image=192, row=2}\n"
            "    expression t0 = operand 0; -> t0\n    out %%outputs:y {image=56, row=2}\n",
            options[count_pad]));
        const double *x = kernel_fixture_input(&f, "x", DENSE);
        kernel_fixture_run(&f);
        const double *y = kernel_fixture_output(&f, "y", "f32<2x4x7x2>");
        for (int64_t i = 0; i < 112; i++) {
            int64_t b = i / 56, r = i / 14 % 4, q = i / 2 % 7;
            double sum = 0;
            for (int64_t t = 0; t < 6; t++) {
                int64_t p = 2 * r + t / 2 - 1, u = 2 * q + t % 2 - 1;
                sum += inside(p, u) ? x[place(b, p, u, i % 2)] : 0;
            }
            CU_ASSERT_EQUAL(y[i], (double)(float)(sum / average_divisor(r, q, count_pad)));
        }
        kernel_fixture_destroy(&f);
        arena_destroy(arena);
    }
}

/* One phase of the gradient of that average. */
static const char *average_phase(Arena *arena, int64_t py, int64_t px, const char *taps,
                                 const char *option) {
    return arena_format(
        arena,
        "kernel dx.%d : window x 2\n    space dense {extent=[8, 12]}\n"
        "    window average_grad {kernel=[3, 2], stride=[2, 2], pad=[1, 1]%s}\n"
        "    taps dense {extent=[4, 7]} {step=[2, 2], phase=[%d, %d]}\n    tap %s\n"
        "    a %%inputs:dy {image=56, row=2}\n"
        "    expression t0 = operand 0; -> t0\n    out %%outputs:dx {image=192, row=2}\n",
        (int)(2 * py + px), option, (int)py, (int)px, taps);
}

static void gradients_of_averages_divide_likewise(void) {
    static const char *const options[2] = {"", ", count_pad=true"};
    for (int count_pad = 0; count_pad < 2; count_pad++) {
        Arena *arena = arena_create();
        const char *option = options[count_pad];
        KernelFixture f = kernel_fixture_create(
            arena_format(arena,
                         "buffer dy : f32 inputs {elements=112}\nbuffer dx : f32 outputs "
                         "{elements=384}\n%s%s%s%s",
                         average_phase(arena, 0, 0, "3 [0, 0]", option),
                         average_phase(arena, 0, 1, "2 [0, 1]", option),
                         average_phase(arena, 1, 0, "1 [1, 0], 5 [0, 0]", option),
                         average_phase(arena, 1, 1, "0 [1, 1], 4 [0, 1]", option)));
        const double *dy = kernel_fixture_input(&f, "dy", "f32<2x4x7x2>");
        kernel_fixture_run(&f);
        const double *dx = kernel_fixture_output(&f, "dx", DENSE);
        double expected[ALL] = {0};
        for (int64_t i = 0; i < 112; i++)
            for (int64_t t = 0; t < 6; t++) {
                int64_t r = i / 14 % 4, q = i / 2 % 7, p = 2 * r + t / 2 - 1, u = 2 * q + t % 2 - 1;
                if (inside(p, u))
                    expected[place(i / 56, p, u, i % 2)] +=
                        dy[i] / average_divisor(r, q, count_pad);
            }
        for (int i = 0; i < ALL; i++)
            CU_ASSERT_DOUBLE_EQUAL(dx[i], expected[i], 1e-6);
        kernel_fixture_destroy(&f);
        arena_destroy(arena);
    }
}

/* The gradient of nearest upsampling by 2 x 3: a masked level's visible positions all lie in its
 * squares. */
static void sums_add_squares(void) {
    KernelFixture f = kernel_fixture_create(
        "buffer x : f32 inputs {elements=384}\nbuffer y : f32 outputs {elements=64}\n"
        "kernel y : window x 2\n    space dense {extent=[4, 4]}\n    window sum\n"
        "    taps dense {extent=[8, 12]} {scale=[2, 3]}\n"
        "    tap 0 [0, 0], 1 [0, 1], 2 [0, 2], 3 [1, 0], 4 [1, 1], 5 [1, 2]\n"
        "    a %inputs:x {image=192, row=2}\n"
        "    expression t0 = operand 0; -> t0\n    out %outputs:y {image=32, row=2}\n");
    const double *x = kernel_fixture_input(&f, "x", DENSE);
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", "f32<2x4x4x2>");
    double expected[64] = {0};
    for (int64_t i = 0; i < ALL; i++)
        expected[((i / 192 * 4 + i / 24 % 8 / 2) * 4 + i / 2 % 12 / 3) * 2 + i % 2] += x[i];
    for (int i = 0; i < 64; i++)
        CU_ASSERT_EQUAL(y[i], expected[i]);
    kernel_fixture_destroy(&f);
}

/* By 2 x 4 from 4 x 3 to 8 x 12, written with weights 1 - |distance| clamped at the border. */
static double bilinear_weight(int64_t large, int64_t small, int64_t factor, int64_t extent) {
    double source = ((double)large + 0.5) / (double)factor - 0.5;
    source = fmin(fmax(source, 0), (double)extent - 1);
    return fmax(0, 1 - fabs(source - (double)small));
}

static void bilinear_upsampling_and_its_transpose(void) {
    KernelFixture f = kernel_fixture_create(
        "buffer x : f32 inputs {elements=48}\nbuffer dy : f32 inputs {elements=384}\n"
        "buffer y : f32 outputs {elements=384}\nbuffer dx : f32 outputs {elements=48}\n"
        "kernel y : window x 2\n    space dense {extent=[8, 12]}\n    window bilinear {factor=[2, "
        "4]}\n"
        "    taps dense {extent=[4, 3]}\n    a %inputs:x {image=24, row=2}\n"
        "    expression t0 = operand 0; -> t0\n    out %outputs:y {image=192, row=2}\n"
        "kernel dx : window x 2\n    space dense {extent=[4, 3]}\n"
        "    window bilinear_grad {factor=[2, 4]}\n    taps dense {extent=[8, 12]}\n"
        "    a %inputs:dy {image=192, row=2}\n"
        "    expression t0 = operand 0; -> t0\n    out %outputs:dx {image=24, row=2}\n");
    const double *x = kernel_fixture_input(&f, "x", "f32<2x4x3x2>");
    const double *dy = kernel_fixture_input(&f, "dy", DENSE);
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", DENSE);
    const double *dx = kernel_fixture_output(&f, "dx", "f32<2x4x3x2>");
    double up[ALL] = {0}, down[48] = {0};
    for (int64_t i = 0; i < ALL; i++)
        for (int64_t s = 0; s < 12; s++) {
            int64_t small = (i / 192 * 12 + s) * 2 + i % 2;
            double weight =
                bilinear_weight(i / 24 % 8, s / 3, 2, 4) * bilinear_weight(i / 2 % 12, s % 3, 4, 3);
            up[i] += weight * x[small];
            down[small] += weight * dy[i];
        }
    for (int i = 0; i < ALL; i++)
        CU_ASSERT_DOUBLE_EQUAL(y[i], up[i], 1e-6);
    for (int i = 0; i < 48; i++)
        CU_ASSERT_DOUBLE_EQUAL(dx[i], down[i], 1e-5);
    kernel_fixture_destroy(&f);
}

CU_TestInfo kernel_window_tests[] = {
    {"weighted windows and their weight's gradient", weighted_windows_and_their_weight_gradient},
    {"maxima take hidden taps as zero", maxima_take_hidden_taps_as_zero},
    {"maxima of NaN and of nothing", maxima_of_nan_and_of_nothing},
    {"averages divide by what they count", averages_divide_by_what_they_count},
    {"gradients of averages divide likewise", gradients_of_averages_divide_likewise},
    {"sums add squares", sums_add_squares},
    {"bilinear upsampling and its transpose", bilinear_upsampling_and_its_transpose},
    CU_TEST_INFO_NULL,
};
