/* map, contract, reduce and position_map on programs written by hand, against their definitions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kernel_fixture.h"
#include "tests/unit/kernel_suites.h"

/* Element (b, y, x, c) of a map of the given extents, 0 outside. */
static double at(const double *data, int64_t height, int64_t width, int64_t channels, int64_t b,
                 int64_t y, int64_t x, int64_t c) {
    if (y < 0 || y >= height || x < 0 || x >= width)
        return 0;
    return data[((b * height + y) * width + x) * channels + c];
}

static char *join(Arena *arena, const char *buffers, const char *kernels) {
    return arena_format(arena, "%s%s%s%s", kernel_fixture_levels, buffers, kernel_fixture_maps,
                        kernels);
}

/* A fixture with the two masked levels. */
static KernelFixture masked_fixture(const char *buffers, const char *kernels) {
    Arena *arena = arena_create();
    KernelFixture fixture = kernel_fixture_create(join(arena, buffers, kernels));
    arena_destroy(arena);
    return fixture;
}

#define TAPS_3X3                                                                                   \
    "    tap 0 [-1, -1], 1 [-1, 0], 2 [-1, 1], 3 [0, -1], 4 [0, 0], 5 [0, 1], 6 [1, -1], "         \
    "7 [1, 0], 8 [1, 1]\n"

/* ---- contract -------------------------------------------------------------------------------- */

/* relu(conv(2 x + 1) + bias), stride 2: hidden and outside taps are zero behind the prologue. */
static void contract_is_a_masked_convolution(void) {
    KernelFixture f =
        masked_fixture("buffer x : f32 inputs {elements=192}\n"
                       "buffer w : f32 inputs {elements=54}\n"
                       "buffer bias : f32 inputs {elements=3}\n"
                       "buffer y : f32 outputs {elements=72}\n",
                       "kernel y : contract x 3\n"
                       "    space masked {extent=[4, 6], stride=2}\n"
                       "    contraction {in=2, out=3}\n"
                       "    taps masked {extent=[8, 12], stride=1} {scale=[2, 2]}\n" TAPS_3X3
                       "    a %inputs:x {image=96, row=2}\n"
                       "    prologue t0 = operand 0; t1 = add t0 t0; t2 = constant 1; "
                       "t3 = add t1 t2; -> t3\n"
                       "    weight %inputs:w {tap=6, in=3, out=1}\n"
                       "    operand one same %inputs:bias\n"
                       "    expression t0 = operand 1; t1 = operand 0; t2 = add t0 t1; "
                       "t3 = constant 0; t4 = less t3 t2; t5 = select t4 t2 t3; -> t5\n"
                       "    out %outputs:y {image=36, row=3}\n");
    const double *x = kernel_fixture_input(&f, "x", "f32<2x8x12x2 masked 1>");
    const double *w = kernel_fixture_input(&f, "w", "f32[3x3x2x3]");
    const double *bias = kernel_fixture_input(&f, "bias", "f32[3]");
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", "f32<2x4x6x3 masked 2>");
    int wrong = 0, positive = 0;
    for (int64_t i = 0; i < 2 * 4 * 6 * 3; i++) {
        int64_t b = i / 72, r = i / 18 % 4, q = i / 3 % 6, co = i % 3;
        double sum = bias[co];
        for (int64_t t = 0; t < 18; t++) {
            int64_t v = 2 * r + t / 6 - 1, u = 2 * q + t / 2 % 3 - 1;
            bool row = v >= 0 && v < 8 && u >= 0 && u < 12 && kernel_fixture_visible(1, b, v, u);
            if (row)
                sum += (2 * at(x, 8, 12, 2, b, v, u, t % 2) + 1) * w[t * 3 + co];
        }
        double expected = kernel_fixture_visible(2, b, r, q) && sum > 0 ? sum : 0;
        wrong += y[i] != expected;
        positive += expected > 0;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(positive > 10);
    CU_ASSERT_EQUAL(kernel_multiply_adds(f.program, f.program->kernels.items[2]), 24 * 9 * 6);
    kernel_fixture_destroy(&f);
}

/* One kernel of the input's gradient of a 3x3 stride-2 convolution. */
#define PHASE(name, phase, taps)                                                                   \
    "kernel " name " : contract x 2\n"                                                             \
    "    space masked {extent=[8, 12], stride=1}\n"                                                \
    "    contraction {in=4, out=2, groups=2}\n"                                                    \
    "    taps masked {extent=[4, 6], stride=2} {step=[2, 2], phase=" phase "}\n"                   \
    "    tap " taps "\n"                                                                           \
    "    a %inputs:dy {image=48, row=4}\n"                                                         \
    "    weight %inputs:w {tap=4, group=2, in=1, out=4}\n"                                         \
    "    expression t0 = operand 0; -> t0\n"                                                       \
    "    out %outputs:dx {image=96, row=2}\n"

/* dx[p] = sum over the taps k with p + 1 - k even of dy[(p + 1 - k) / 2] w[k]; two groups. */
static void phases_are_the_gradient_of_a_stride(void) {
    KernelFixture f = masked_fixture(
        "buffer dy : f32 inputs {elements=96}\nbuffer w : f32 inputs {elements=36}\n"
        "buffer dx : f32 outputs {elements=192}\n",
        PHASE("dx.0", "[0, 0]", "4 [0, 0]") PHASE("dx.1", "[0, 1]", "3 [0, 1], 5 [0, 0]")
            PHASE("dx.2", "[1, 0]", "1 [1, 0], 7 [0, 0]")
                PHASE("dx.3", "[1, 1]", "0 [1, 1], 2 [1, 0], 6 [0, 1], 8 [0, 0]"));
    const double *dy = kernel_fixture_input(&f, "dy", "f32<2x4x6x4 masked 2>");
    const double *w = kernel_fixture_input(&f, "w", "f32[3x3x1x4]");
    kernel_fixture_run(&f);
    const double *dx = kernel_fixture_output(&f, "dx", "f32<2x8x12x2 masked 1>");
    int wrong = 0;
    for (int64_t i = 0; i < 2 * 8 * 12 * 2; i++) {
        int64_t b = i / 192, v = i / 24 % 8, u = i / 2 % 12, ci = i % 2;
        double sum = 0;
        for (int64_t k = 0; k < 9; k++) {
            int64_t r = v + 1 - k / 3, q = u + 1 - k % 3;
            for (int64_t co = 2 * ci; co < 2 * ci + 2 && r % 2 == 0 && q % 2 == 0; co++)
                sum += at(dy, 4, 6, 4, b, r / 2, q / 2, co) * w[k * 4 + co];
        }
        wrong += dx[i] != (kernel_fixture_visible(1, b, v, u) ? sum : 0);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    int64_t executed = 0;
    for (size_t i = 2; i < f.program->kernels.count; i++)
        executed += kernel_multiply_adds(f.program, f.program->kernels.items[i]);
    CU_ASSERT_EQUAL(executed, 24 * 9 * 4);
    kernel_fixture_destroy(&f);
}

static void contract_weight_sums_over_rows(void) {
    KernelFixture f =
        masked_fixture("buffer x : f32 inputs {elements=192}\n"
                       "buffer dy : f32 inputs {elements=72}\n"
                       "buffer dw : f32 outputs {elements=54}\n",
                       "kernel dw : contract_weight x 3\n"
                       "    space masked {extent=[4, 6], stride=2}\n"
                       "    contraction {in=2, out=3}\n"
                       "    taps masked {extent=[8, 12], stride=1} {scale=[2, 2]}\n" TAPS_3X3
                       "    a %inputs:x {image=96, row=2}\n"
                       "    b %inputs:dy {image=36, row=3}\n"
                       "    weight %outputs:dw {tap=6, in=3, out=1}\n");
    const double *x = kernel_fixture_input(&f, "x", "f32<2x8x12x2 masked 1>");
    const double *dy = kernel_fixture_input(&f, "dy", "f32<2x4x6x3 masked 2>");
    kernel_fixture_run(&f);
    const double *dw = kernel_fixture_output(&f, "dw", "f32[3x3x2x3]");
    int wrong = 0;
    for (int64_t i = 0; i < 54; i++) {
        double sum = 0;
        for (int64_t p = 0; p < 48; p++) {
            int64_t b = p / 24, r = p / 6 % 4, q = p % 6;
            sum += at(x, 8, 12, 2, b, 2 * r + i / 18 - 1, 2 * q + i / 6 % 3 - 1, i / 3 % 2) *
                   dy[p * 3 + i % 3];
        }
        wrong += dw[i] != sum;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    kernel_fixture_destroy(&f);
}

/* ---- position_map ---------------------------------------------------------------------------- */

static void position_maps_say_row_hidden_or_outside(void) {
    KernelFixture f =
        masked_fixture("buffer all : i32 outputs {elements=160}\n",
                       "kernel all : map x 160\n    space one\n    operand element same %map.2\n"
                       "    expression t0 = operand_u 0; -> t0\n    out %outputs:all\n");
    kernel_fixture_run(&f);
    const double *map = kernel_fixture_output(&f, "all", "i32[160]");
    int wrong = 0, rows = 0;
    for (int64_t i = 0; i < 160; i++) {
        int64_t b = i / 80, y = i / 10 % 8 - 2, x = i % 10 - 2;
        bool outside = y < 0 || y >= 4 || x < 0 || x >= 6;
        double expected = outside ? KERNEL_OUTSIDE : KERNEL_HIDDEN;
        if (!outside && kernel_fixture_visible(2, b, y, x)) {
            int64_t before = 0, cell = y / 2 * 3 + x / 2;
            for (int64_t c = 0; c < cell; c++)
                before += kernel_fixture_visible(4, b, c / 3, c % 3);
            expected = (double)(before * 4 + y % 2 * 2 + x % 2);
            rows++;
        }
        wrong += map[i] != expected;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(rows, 24);
    kernel_fixture_destroy(&f);
}

/* ---- map ------------------------------------------------------------------------------------- */

/* Every kind of access in one sum of distinct powers of ten. */
static void map_reads_through_every_access(void) {
    KernelFixture f = masked_fixture(
        "buffer x : f32 inputs {elements=144}\nbuffer image : f32 inputs {elements=12}\n"
        "buffer one : f32 inputs {elements=1}\nbuffer coarse : f32 inputs {elements=24}\n"
        "buffer half : f32 inputs {elements=3}\nbuffer y : f32 outputs {elements=144}\n",
        "kernel y : map x 6\n    space masked {extent=[4, 6], stride=2}\n"
        "    operand element shuffle 2 %inputs:x {image=72, row=6}\n"
        "    operand image same %inputs:image {image=6}\n"
        "    operand one first %inputs:one\n"
        "    operand position first %inputs:coarse {image=12, row=2} of dense {extent=[2, 3]} "
        "{divide=[2, 2]}\n"
        "    operand one repeat 2 %inputs:half\n"
        "    expression t0 = operand 0; t1 = operand 1; t2 = operand 2; t3 = operand 3; "
        "t4 = operand 4; t5 = constant 10; t6 = mul t0 t5; t7 = add t6 t1; t8 = mul t7 t5; "
        "t9 = add t8 t2; t10 = mul t9 t5; t11 = add t10 t3; t12 = mul t11 t5; t13 = add t12 t4; "
        "-> t13\n"
        "    out %outputs:y {image=72, row=6}\n");
    const double *x = kernel_fixture_input(&f, "x", "f32<2x4x6x6 masked 2>");
    const double *image = kernel_fixture_input(&f, "image", "f32<2x6 per_image>");
    const double *one = kernel_fixture_input(&f, "one", "f32[]");
    const double *coarse = kernel_fixture_input(&f, "coarse", "f32<2x2x3x2>");
    const double *half = kernel_fixture_input(&f, "half", "f32[3]");
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", "f32<2x4x6x6 masked 2>");
    int wrong = 0;
    for (int64_t i = 0; i < 288; i++) {
        int64_t b = i / 144, v = i / 36 % 4, u = i / 6 % 6, c = i % 6;
        double expected = 10000 * at(x, 4, 6, 6, b, v, u, c % 2 * 3 + c / 2) +
                          1000 * image[b * 6 + c] + 100 * one[0] +
                          10 * at(coarse, 2, 3, 2, b, v / 2, u / 2, 0) + half[c / 2];
        wrong += y[i] != (kernel_fixture_visible(2, b, v, u) ? expected : 0);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    kernel_fixture_destroy(&f);
}

/* densify, with the element's index: what is hidden takes the token. */
static void map_knows_visibility_and_index(void) {
    KernelFixture f = masked_fixture(
        "buffer x : f32 inputs {elements=48}\nbuffer token : f32 inputs {elements=2}\n"
        "buffer y : f32 outputs {elements=96}\nbuffer index : u32 outputs {elements=48}\n",
        "kernel y : map x 2\n    space dense {extent=[4, 6]}\n"
        "    operand position same %inputs:x {image=24, row=2} of masked {extent=[4, 6], "
        "stride=2}\n"
        "    operand one same %inputs:token\n"
        "    expression t0 = visible 0; t1 = operand 0; t2 = operand 1; t3 = select t0 t1 t2; -> "
        "t3\n"
        "    out %outputs:y {image=48, row=2}\n"
        "kernel index : map x 2\n    space masked {extent=[4, 6], stride=2}\n"
        "    expression t0 = index_low; t1 = index_high; t2 = add_u t0 t1; -> t2\n"
        "    out %outputs:index {image=24, row=2}\n");
    const double *x = kernel_fixture_input(&f, "x", "f32<2x4x6x2 masked 2>");
    const double *token = kernel_fixture_input(&f, "token", "f32[2]");
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", "f32<2x4x6x2>");
    const double *index = kernel_fixture_output(&f, "index", "u32<2x4x6x2 masked 2>");
    int wrong = 0;
    for (int64_t i = 0; i < 96; i++) {
        bool visible = kernel_fixture_visible(2, i / 48, i / 12 % 4, i / 2 % 6);
        wrong += y[i] != (visible ? x[i] : token[i % 2]);
        wrong += index[i] != (visible ? (double)i : 0);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    kernel_fixture_destroy(&f);
}

/* Results are rounded to the dtype of their buffer: bf16 to nearest even. */
static void buffers_hold_their_own_dtype(void) {
    KernelFixture f = kernel_fixture_create(
        "buffer x : f32 inputs {elements=6}\nbuffer half : bf16 scratch {elements=6}\n"
        "buffer y : f32 outputs {elements=6}\n"
        "kernel half : map x 6\n    space one\n    operand element same %inputs:x\n"
        "    expression t0 = operand 0; -> t0\n    out %half\n"
        "kernel y : map x 6\n    space one\n    operand element same %half\n"
        "    expression t0 = operand 0; -> t0\n    out %outputs:y\n");
    const double x[6] = {1 + 0x1p-8, 1 + 0x1.8p-8, 1 + 3 * 0x1p-8, 0x1p-140, INFINITY, NAN};
    const double expected[5] = {1, 1 + 0x1p-7, 1 + 0x1p-6, 0x0p0, INFINITY};
    kernel_fixture_set(&f, "x", "f32[6]", x);
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", "f32[6]");
    for (int i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(y[i], expected[i]);
    CU_ASSERT(isnan(y[5]));
    kernel_fixture_destroy(&f);
}

/* ---- reduce ---------------------------------------------------------------------------------- */

#define SUM(name, over, out)                                                                       \
    "kernel " name " : reduce x 4\n    space dense {extent=[4, 6]}\n"                              \
    "    reduction sum over " over "\n    operand element same %inputs:x {image=96, row=4}\n"      \
    "    expression t0 = operand 0; -> t0\n    out %outputs:" name " " out "\n"

static void sums_go_over_what_they_say(void) {
    KernelFixture f = kernel_fixture_create(
        "buffer x : f32 inputs {elements=192}\nbuffer batch : f32 outputs {elements=4}\n"
        "buffer image : f32 outputs {elements=8}\nbuffer row : f32 outputs {elements=96}\n"
        "buffer cell : f32 outputs {elements=12}\nbuffer all : f32 outputs {elements=1}\n" SUM(
            "batch", "batch", "") SUM("image", "image", "{image=4}")
            SUM("row", "row {groups=2}", "{image=48, row=2}")
                SUM("cell", "cell {patch=2}", "{image=6, row=1}") SUM("all", "all", ""));
    const double *x = kernel_fixture_input(&f, "x", "f32<2x4x6x4>");
    kernel_fixture_run(&f);
    double batch[4] = {0}, image[8] = {0}, row[96] = {0}, cell[12] = {0}, all = 0;
    for (int64_t i = 0; i < 192; i++) {
        int64_t b = i / 96, y = i / 24 % 4, u = i / 4 % 6, c = i % 4;
        batch[c] += x[i];
        image[b * 4 + c] += x[i];
        row[i / 4 * 2 + c / 2] += x[i];
        cell[b * 6 + y / 2 * 3 + u / 2] += x[i];
        all += x[i];
    }
    CU_ASSERT_EQUAL(memcmp(kernel_fixture_output(&f, "batch", "f32[4]"), batch, sizeof batch), 0);
    CU_ASSERT_EQUAL(
        memcmp(kernel_fixture_output(&f, "image", "f32<2x4 per_image>"), image, sizeof image), 0);
    CU_ASSERT_EQUAL(memcmp(kernel_fixture_output(&f, "row", "f32<2x4x6x2>"), row, sizeof row), 0);
    CU_ASSERT_EQUAL(memcmp(kernel_fixture_output(&f, "cell", "f32<2x2x3x1>"), cell, sizeof cell),
                    0);
    CU_ASSERT_EQUAL(kernel_fixture_output(&f, "all", "f32[]")[0], all);
    kernel_fixture_destroy(&f);
}

static void segments_are_summed_and_read(void) {
    KernelFixture f = kernel_fixture_create(
        "segment a : f32[2x3] {role=weight}\nsegment b : f32[4] {role=bias}\n"
        "buffer p : f32 params {elements=10}\nbuffer sum : f32 outputs {elements=2}\n"
        "buffer y : f32 outputs {elements=10}\nbuffer total : f32 scratch {elements=2}\n"
        "kernel sum : reduce x 10\n    space flat\n    reduction sum over segment\n"
        "    operand element same %params:p\n    expression t0 = operand 0; -> t0, t0\n"
        "    out %outputs:sum\n    out %total\n"
        "kernel y : map x 10\n    space flat\n    operand element same %params:p\n"
        "    operand segment same %total\n"
        "    expression t0 = operand 0; t1 = operand 1; t2 = div t0 t1; -> t2\n    out "
        "%outputs:y\n");
    const double a[6] = {1, 2, 3, 4, 5, 1}, b[4] = {1, 1, 2, 4};
    kernel_interpreter_set_param(f.interpreter, f.arena, "a", a, 6);
    kernel_interpreter_set_param(f.interpreter, f.arena, "b", b, 4);
    kernel_fixture_run(&f);
    const double *sum = kernel_fixture_output(&f, "sum", "f32[2]");
    const double *y = kernel_fixture_output(&f, "y", "f32[10]");
    CU_ASSERT_EQUAL(sum[0], 16);
    CU_ASSERT_EQUAL(sum[1], 8);
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(y[i], i < 6 ? a[i] / 16 : b[i - 6] / 8);
    CU_ASSERT_EQUAL(kernel_interpreter_param(f.interpreter, f.arena, "b").data[3], 4);
    kernel_fixture_destroy(&f);
}

/* Moments of numbers far from 0, of images and then merged over groups of channels. */
static void moments_are_exact_far_from_zero(void) {
    KernelFixture f = kernel_fixture_create(
        "buffer x : f32 inputs {elements=192}\nbuffer mean : f32 scratch {elements=8}\n"
        "buffer m2 : f32 scratch {elements=8}\nbuffer group.mean : f32 outputs {elements=4}\n"
        "buffer group.m2 : f32 outputs {elements=4}\n"
        "kernel image : reduce x 4\n    space dense {extent=[4, 6]}\n"
        "    reduction moments over image\n    operand element same %inputs:x {image=96, row=4}\n"
        "    expression t0 = operand 0; -> t0\n    out %mean {image=4}\n    out %m2 {image=4}\n"
        "kernel group : reduce x 4\n    space images\n"
        "    reduction merge over row {groups=2, merge_count=24}\n"
        "    operand element same %mean {image=4}\n    operand element same %m2 {image=4}\n"
        "    expression t0 = operand 0; t1 = operand 1; -> t0, t1\n"
        "    out %outputs:group.mean {image=2}\n    out %outputs:group.m2 {image=2}\n");
    double *x = arena_new_array(f.arena, double, 192);
    memcpy(x, kernel_fixture_input(&f, "x", "f32<2x4x6x4>"), 192 * sizeof *x);
    for (int i = 0; i < 192; i++)
        x[i] += 1024;
    kernel_fixture_set(&f, "x", "f32<2x4x6x4>", x);
    kernel_fixture_run(&f);
    const double *mean = kernel_fixture_output(&f, "group.mean", "f32<2x2 per_image>");
    const double *m2 = kernel_fixture_output(&f, "group.m2", "f32<2x2 per_image>");
    for (int64_t g = 0; g < 4; g++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < 48; i++)
            sum += x[g / 2 * 96 + i / 2 * 4 + g % 2 * 2 + i % 2];
        for (int64_t i = 0; i < 48; i++)
            squares += pow(x[g / 2 * 96 + i / 2 * 4 + g % 2 * 2 + i % 2] - sum / 48, 2);
        CU_ASSERT_DOUBLE_EQUAL(mean[g], sum / 48, 1024 * 0x1p-23);
        CU_ASSERT_DOUBLE_EQUAL(m2[g], squares, squares * 1e-4);
    }
    kernel_fixture_destroy(&f);
}

/* ---- The interpreter itself ------------------------------------------------------------------ */

#define TWO_MAPS                                                                                   \
    "buffer x : f32 inputs {elements=8, offset=0}\n"                                               \
    "buffer double : f32 scratch {elements=8, offset=0}\n"                                         \
    "buffer square : f32 scratch {elements=8, offset=64}\n"                                        \
    "buffer y : f32 outputs {elements=8, offset=0}\n"                                              \
    "kernel double : map x 8\n    space one\n    operand element same %inputs:x\n"                 \
    "    expression t0 = operand 0; t1 = add t0 t0; -> t1\n    out %double\n"                      \
    "kernel square : map x 8\n    space one\n    operand element same %double\n"                   \
    "    expression t0 = operand 0; t1 = mul t0 t0; -> t1\n    out %square\n"                      \
    "kernel y : map x 8\n    space one\n    operand element same %square\n"                        \
    "    expression t0 = operand 0; -> t0\n    out %outputs:y\n"

static void planned_blocks_give_the_same(void) {
    KernelFixture f = kernel_fixture_create(TWO_MAPS);
    const double *x = kernel_fixture_input(&f, "x", "f32[8]");
    kernel_fixture_run(&f);
    const double *y = kernel_fixture_output(&f, "y", "f32[8]");
    void *regions[REGION_SCRATCH + 1];
    for (int region = 0; region <= REGION_SCRATCH; region++)
        regions[region] =
            aligned_alloc(KERNEL_ALIGNMENT,
                          (size_t)(kernel_region_bytes(f.program, (Region)region) + 63) / 64 * 64);
    CU_ASSERT_EQUAL(kernel_region_bytes(f.program, REGION_SCRATCH), 96);
    KernelInterpreter *planned = kernel_interpreter_create_planned(f.program, regions);
    kernel_interpreter_set_input(planned, f.arena, "x", x, 8);
    CU_ASSERT_PTR_NULL(kernel_interpreter_run(planned, f.arena).message);
    for (int i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(y[i], 4 * x[i] * x[i]);
        CU_ASSERT_EQUAL(((float *)regions[REGION_OUTPUTS])[i], (float)y[i]);
    }
    kernel_interpreter_destroy(planned);
    for (int region = 0; region <= REGION_SCRATCH; region++)
        free(regions[region]);
    kernel_fixture_destroy(&f);
}

static void observe(void *context, const KernelInterpreter *interpreter, const Kernel *kernel) {
    Arena *arena = arena_create();
    const Type type = type_vector(DTYPE_F32, 8);
    Tensor tensor = kernel_interpreter_read(interpreter, arena, &kernel->outputs[0], &type);
    double *firsts = context;
    while (*firsts != 0)
        firsts++;
    *firsts = tensor.data[0];
    arena_destroy(arena);
}

static void observers_see_each_kernel(void) {
    KernelFixture f = kernel_fixture_create(TWO_MAPS);
    const double x[8] = {3};
    double firsts[4] = {0};
    kernel_fixture_set(&f, "x", "f32[8]", x);
    kernel_interpreter_observe(f.interpreter, observe, firsts);
    kernel_fixture_run(&f);
    CU_ASSERT_EQUAL(firsts[0], 6);
    CU_ASSERT_EQUAL(firsts[1], 36);
    CU_ASSERT_EQUAL(firsts[2], 36);
    Type type = type_vector(DTYPE_F32, 8);
    CU_ASSERT_PTR_NULL(kernel_interpreter_read(f.interpreter, f.arena,
                                               &f.program->kernels.items[0]->outputs[0], &type)
                           .data);
    kernel_fixture_destroy(&f);
}

static void wrong_inputs_are_refused(void) {
    KernelFixture f =
        masked_fixture("buffer x : f32 inputs {elements=48}\n"
                       "buffer y : f32 outputs {elements=48}\n",
                       "kernel y : map x 2\n    space masked {extent=[4, 6], stride=2}\n"
                       "    operand element same %inputs:x {image=24, row=2}\n"
                       "    expression t0 = operand 0; -> t0\n"
                       "    out %outputs:y {image=24, row=2}\n");
    const double cells[6] = {0, 2, 2, 1, 3, 4}, beyond[6] = {0, 2, 5, 1, 3, 6};
    CU_ASSERT_STRING_EQUAL(kernel_interpreter_run(f.interpreter, f.arena).message,
                           "input \"x\" has no value");
    CU_ASSERT_STRING_EQUAL(
        kernel_interpreter_set_input(f.interpreter, f.arena, "cells", cells, 6).message,
        "cells: the list of an image must be ascending whole numbers from 0 to 5, but 2 stands at "
        "place 2");
    CU_ASSERT_PTR_NOT_NULL(
        kernel_interpreter_set_input(f.interpreter, f.arena, "cells", beyond, 6).message);
    CU_ASSERT_STRING_EQUAL(
        kernel_interpreter_set_input(f.interpreter, f.arena, "x", cells, 6).message,
        "input \"x\" has 48 elements, got 6");
    CU_ASSERT_STRING_EQUAL(
        kernel_interpreter_set_input(f.interpreter, f.arena, "z", cells, 6).message,
        "the program has no input \"z\"");
    CU_ASSERT_STRING_EQUAL(
        kernel_interpreter_set_param(f.interpreter, f.arena, "w", cells, 6).message,
        "the program has no parameter \"w\"");
    kernel_fixture_destroy(&f);
}

CU_TestInfo kernel_interpret_tests[] = {
    {"contract is a masked convolution", contract_is_a_masked_convolution},
    {"phases are the gradient of a stride", phases_are_the_gradient_of_a_stride},
    {"contract_weight sums over rows", contract_weight_sums_over_rows},
    {"position maps say row, hidden or outside", position_maps_say_row_hidden_or_outside},
    {"map reads through every access", map_reads_through_every_access},
    {"map knows visibility and index", map_knows_visibility_and_index},
    {"buffers hold their own dtype", buffers_hold_their_own_dtype},
    {"sums go over what they say", sums_go_over_what_they_say},
    {"segments are summed and read", segments_are_summed_and_read},
    {"moments are exact far from zero", moments_are_exact_far_from_zero},
    {"planned blocks give the same", planned_blocks_give_the_same},
    {"observers see each kernel", observers_see_each_kernel},
    {"wrong inputs are refused", wrong_inputs_are_refused},
    CU_TEST_INFO_NULL,
};
