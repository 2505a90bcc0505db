/* Every op of ir/ops.def that can be lowered, dense and masked, forward and backward: as compiled
 * code for every instruction set of this machine, by the kernel interpreter, and by the graph
 * interpreter. The cases of a list are one program, so that equal kernels are compiled once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/builder.h"
#include "passes/fuse_kernels.h"
#include "passes/lower.h"
#include "passes/passes.h"
#include "passes/recompute.h"
#include "tests/support/network.h"
#include "tests/support/op_cases.h"
#include "tests/support/trial.h"
#include "tests/unit/compiled_suites.h"

typedef VECTOR(OpCase) CaseVector;

/* Cases that share a program. */
typedef struct CaseList {
    Geometry geometry;
    bool forward;    /* without gradients */
    bool evaluation; /* composites as in evaluation, else as in training */
    void (*add)(Arena *arena, CaseVector *cases);
} CaseList;

static void add(Arena *arena, CaseVector *cases, Op op, const char *operands,
                const char *attributes) {
    OpCase added = {op, operands, attributes};
    vector_push(arena, cases, added);
}

/* ---- The cases of the derivatives ------------------------------------------------------------ */

static void add_all(Arena *arena, CaseVector *cases, const OpCases *list) {
    for (size_t i = 0; i < list->count; i++)
        vector_push(arena, cases, list->cases[i]);
}

static void add_every_op(Arena *arena, CaseVector *cases) {
    for (const OpCases *const *list = op_cases_all; *list; list++)
        add_all(arena, cases, *list);
}

static void add_composites(Arena *arena, CaseVector *cases) {
    add_all(arena, cases, &op_cases_composite);
}

/* Ops without derivative. */
static void add_constant_ops(Arena *arena, CaseVector *cases) {
    static const OpCase list[] = {
        {OP_minimum, "!f32<2x4x6x3>, !f32[3]", ""},
        {OP_minimum, "!f32<2x4x6x3 masked 2>, !f32<2x4x6x3 masked 2>", ""},
        {OP_greater, "!f32<2x4x6x3>, !#f32<2x4x6x3>", ""},
        {OP_greater, "!f32<2x4x6x3 masked 2>, !f32<2x3 per_image>", ""},
        {OP_select, "!#f32<2x4x6x1>, !f32<2x4x6x3>, !f32[]", ""},
        {OP_select, "!#f32<2x4x6x3 masked 2>, !f32<2x4x6x3 masked 2>, !f32[3]", ""},
        {OP_is_finite, "!?f32<2x4x6x3>", ""},
        {OP_is_finite, "!?f32<2x4x6x3 masked 2>", ""},
        {OP_patch_normalise, "!f32<2x8x12x3>", "patch=4 eps=1e-6"},
        {OP_patch_normalise, "!^f32<2x8x12x3>", "patch=2 eps=1e-6"},
        {OP_patch_normalise, "!@f32<2x8x12x1>", "patch=4 eps=1e-6"},
        {OP_mask, "!f32<2x8x12x3>", ""},
        {OP_mask, "!f32<2x8x12x17>", ""},
        {OP_hidden, "", "size=4,6"},
        {OP_hidden, "", "size=2,3"},
        {OP_gather, "!f32<2x4x6x5>", "stride=2"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        vector_push(arena, cases, list[i]);
}

/* ---- Remainders of all tile sizes ------------------------------------------------------------ */

/* Around lanes (4, 8, 16), their doubles, and blocks of vectors. */
static const int widths[] = {1,  2,  3,  4,  5,  7,  8,  9,  12, 15,
                             16, 17, 31, 32, 33, 47, 63, 64, 65, 129};

static void add_widths(Arena *arena, CaseVector *cases) {
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        int c = widths[i];
        const char *map = arena_format(arena, "f32<1x3x%d>", c);
        const char *two = arena_format(arena, "%s, f32[%d]", map, c);
        add(arena, cases, OP_add, two, "");
        add(arena, cases, OP_softplus, map, "");
        add(arena, cases, OP_sum, map, "over=row");
        add(arena, cases, OP_sum, map, "over=batch");
        add(arena, cases, OP_sum, map, "over=all");
        add(arena, cases, OP_moments, map, "over=row");
        add(arena, cases, OP_moments, map, "over=batch");
        add(arena, cases, OP_max_pool, map, "kernel=3 stride=1 pad=1 dilation=1");
        add(arena, cases, OP_avg_pool, map, "kernel=3 stride=1 pad=1");
        add(arena, cases, OP_upsample, map, "factor=3 mode=bilinear");
        add(arena, cases, OP_flatten, map, "");
        add(arena, cases, OP_concat, arena_format(arena, "%s, f32<1x3x5>", map), "");
        add(arena, cases, OP_slice, arena_format(arena, "f32<1x3x%d>", c + 4),
            arena_format(arena, "start=3 channels=%d", c));
        add(arena, cases, OP_conv, arena_format(arena, "%s, f32[3x1x%d]", map, c),
            arena_format(arena, "kernel=3 stride=1 pad=1 dilation=1 groups=%d", c));
    }
}

/* Sums and moments of rows around their tiles (128 and 1,024), of channels around the blocks that
 * share a tile of them (8 vectors), long rows and many lanes. */
static void add_heights(Arena *arena, CaseVector *cases) {
    static const char *const wide[] = {"!^f32<1x129x261>", "!^f32<1x131x128>"};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        add(arena, cases, OP_sum, wide[i], "over=batch");
        add(arena, cases, OP_sum, wide[i], "over=image");
        add(arena, cases, OP_moments, wide[i], "over=batch");
        add(arena, cases, OP_moments, wide[i], "over=image");
    }
    static const int heights[] = {1, 127, 128, 129, 255, 257, 1023, 1024, 1025, 2100};
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++) {
        const char *map = arena_format(arena, "!f32<1x%dx5>", heights[i]);
        add(arena, cases, OP_sum, map, "over=batch");
        add(arena, cases, OP_sum, map, "over=image");
        add(arena, cases, OP_sum, map, "over=all");
        add(arena, cases, OP_moments, map, "over=batch");
        add(arena, cases, OP_moments, map, "over=image");
        add(arena, cases, OP_sum, arena_format(arena, "!f32[%d]", heights[i] * 17), "over=all");
        add(arena, cases, OP_sum, arena_format(arena, "!f32<1x2x%d>", heights[i] * 9), "over=row");
        add(arena, cases, OP_moments, arena_format(arena, "!^f32<1x2x%d>", heights[i] * 2 + 1),
            "over=row");
    }
}

/* Rows, channels in and out of contracts: around register blocks, blocks of rows (240) and columns
 * (256), parts of the depth (256), blocks of weights (96), stretches of rows (256, 1,024), rows of
 * which each of 16 parts is more than is summed in fp32. */
static void add_contracts(Arena *arena, CaseVector *cases) {
    static const int sizes[][3] = {
        {1, 1, 1},    {1, 17, 33},  {5, 3, 4},    {6, 16, 16},  {7, 15, 17},    {11, 31, 32},
        {12, 32, 31}, {13, 33, 64}, {23, 63, 65}, {24, 64, 63}, {25, 5, 128},   {239, 7, 9},
        {240, 8, 8},  {241, 9, 7},  {13, 255, 5}, {12, 256, 6}, {11, 257, 7},   {5, 3, 255},
        {6, 4, 256},  {7, 5, 257},  {8, 95, 3},   {9, 96, 2},   {10, 97, 1},    {3, 513, 2},
        {2, 2, 513},  {257, 3, 5},  {17, 1, 19},  {18, 19, 1},  {36, 100, 100}, {17500, 3, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        add(arena, cases, OP_linear,
            arena_format(arena, "f32<1x%dx%d>, f32[%dx%d]", sizes[i][0], sizes[i][1], sizes[i][1],
                         sizes[i][2]),
            "");
    static const int convs[][4] = {/* rows, in, out, kernel */
                                   {9, 85, 3, 3},  {9, 86, 5, 3},  {8, 16, 3, 16}, {8, 15, 3, 17},
                                   {6, 1, 3, 255}, {6, 1, 3, 257}, {5, 40, 34, 5}, {30, 3, 18, 7}};
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++)
        add(arena, cases, OP_conv,
            arena_format(arena, "f32<1x%dx%d>, f32[%dx%dx%d]", convs[i][0], convs[i][1],
                         convs[i][3], convs[i][1], convs[i][2]),
            arena_format(arena, "kernel=%d stride=1 pad=%d dilation=1", convs[i][3],
                         convs[i][3] / 2));
    static const int outs[] = {30, 300, 30}; /* the same code, in blocks of other sizes */
    for (size_t i = 0; i < sizeof outs / sizeof *outs; i++)
        add(arena, cases, OP_linear, arena_format(arena, "f32<1x200x20>, f32[20x%d]", outs[i]), "");
    for (int rows = 1023; rows <= 1025; rows++)
        add(arena, cases, OP_conv, arena_format(arena, "!f32<1x%dx3>, f32[3x3x5]", rows),
            "kernel=3 stride=1 pad=1 dilation=1");
    for (int groups = 2; groups <= 5; groups++)
        add(arena, cases, OP_conv,
            arena_format(arena, "f32<1x7x%d>, f32[3x17x%d]", groups * 17, groups * 33),
            arena_format(arena, "kernel=3 stride=2 pad=1 dilation=1 groups=%d", groups));
    add(arena, cases, OP_conv, "f32<1x9x4>, f32[3x1x8]",
        "kernel=3 stride=1 pad=1 dilation=1 groups=4");
    for (int stride = 1; stride <= 5; stride++)
        add(arena, cases, OP_conv, "f32<1x21x3>, f32[3x3x2]",
            arena_format(arena, "kernel=3 stride=%d pad=1 dilation=2", stride));
    for (int c = 31; c <= 33; c++)
        add(arena, cases, OP_conv_transpose, arena_format(arena, "f32<1x6x%d>, f32[4x7x%d]", c, c),
            "kernel=4 stride=2 pad=1 dilation=1 size=12");
}

/* ---- Windows at hidden neighbours and at borders --------------------------------------------- */

/* `level`: the type of a masked map with 3 channels from its range on, without the range. */
static void add_windows(Arena *arena, CaseVector *cases, const char *level, int rank) {
    static const char *const ranges[] = {"", "<", "#"};
    static const char *const shapes[][2] = {
        {"3,3,3", "stride=1,1,1 pad=1,1,1"}, {"3,1,3", "stride=1,1,1 pad=1,0,1"},
        {"5,5,5", "stride=1,1,1 pad=2,2,2"}, {"3,3,3", "stride=1,1,1 pad=2,2,2 dilation=2,2,2"},
        {"3,3,3", "stride=2,2,2 pad=1,1,1"}, {"2,2,2", "stride=2,2,2 pad=0,0,0"}};
    int length = 2 * rank - 1; /* of the numbers that belong to `rank` directions */
    bool halves = strstr(level, "masked 1") != NULL;
    for (size_t s = 0; s < (halves ? 6 : 4); s++) {
        const char *stride = strstr(shapes[s][1], "stride=") + 7,
                   *pad = strstr(shapes[s][1], "pad=") + 4;
        bool dilated = strstr(shapes[s][1], "dilation") != NULL;
        const char *window = arena_format(arena, "kernel=%.*s stride=%.*s pad=%.*s", length,
                                          shapes[s][0], length, stride, length, pad);
        const char *dilation =
            arena_format(arena, "%s dilation=%.*s", window, length, dilated ? "2,2,2" : "1,1,1");
        Text taps = text_create(arena);
        for (int d = 0; d < rank; d++)
            text_append(&taps, "%cx", shapes[s][0][2 * d]);
        for (size_t r = 0; r < 3; r++) {
            const char *x = arena_format(arena, "%s%s", ranges[r], level);
            add(arena, cases, OP_max_pool, x, dilation);
            if (dilated)
                continue;
            add(arena, cases, OP_avg_pool, x, window);
            add(arena, cases, OP_avg_pool, x,
                arena_format(arena, "%s count_include_pad=false", window));
        }
        add(arena, cases, OP_conv, arena_format(arena, "%s, f32[%s3x2]", level, taps.data),
            dilation);
        add(arena, cases, OP_conv, arena_format(arena, "%s, f32[%s1x3]", level, taps.data),
            arena_format(arena, "%s groups=3", dilation));
        if (s >= 4)
            continue;
        add(arena, cases, OP_conv, arena_format(arena, "%s, f32[%s3x2]", level, taps.data),
            arena_format(arena, "%s dense=true", dilation));
        add(arena, cases, OP_conv, arena_format(arena, "%s, f32[%s1x3]", level, taps.data),
            arena_format(arena, "%s groups=3 dense=true", dilation));
    }
}

/* Contracts that skip what is hidden: rows packed or read where they are (from 8 channels on),
 * parts of the depth (256), blocks of weights (384), groups, a single tap, and taps that find
 * nothing. */
static void add_skips(Arena *arena, CaseVector *cases) {
    static const int sizes[][4] = {/* stride of the level, in, out, kernel */
                                   {1, 7, 5, 3},   {1, 8, 17, 3}, {2, 24, 33, 5}, {2, 260, 3, 3},
                                   {2, 392, 9, 3}, {2, 16, 8, 1}, {1, 16, 2, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int dense = 0; dense < 2; dense++) {
            int side = 6 / sizes[i][0], in = sizes[i][1], out = sizes[i][2], kernel = sizes[i][3];
            const char *x =
                arena_format(arena, "f32<12x%dx%dx%d masked %d>", side, side, in, sizes[i][0]);
            const char *window =
                arena_format(arena, "kernel=%d,%d stride=1,1 pad=%d,%d dilation=1,1%s", kernel,
                             kernel, kernel / 2, kernel / 2, dense ? " dense=true" : "");
            add(arena, cases, OP_conv,
                arena_format(arena, "%s, f32[%dx%dx%dx%d]", x, kernel, kernel, in, out), window);
            if (in % 16 == 0 && out % 2 == 0)
                add(arena, cases, OP_conv,
                    arena_format(arena, "%s, f32[%dx%dx%dx%d]", x, kernel, kernel, in / 2, out),
                    arena_format(arena, "%s groups=2", window));
        }
}

static void add_square_windows(Arena *arena, CaseVector *cases) {
    add_windows(arena, cases, "f32<12x6x6x3 masked 1>", 2);
    add_windows(arena, cases, "f32<12x3x3x3 masked 2>", 2);
    add_skips(arena, cases);
}

static void add_line_windows(Arena *arena, CaseVector *cases) {
    add_windows(arena, cases, "f32<6x16x3 masked 1>", 1);
    add_windows(arena, cases, "f32<6x8x3 masked 2>", 1);
    add(arena, cases, OP_densify, "f32<6x16x3 masked 1>, f32[3]", "");
    add(arena, cases, OP_batch_norm, "f32<6x16x3 masked 1>, $f32[3], $+f32[3], $f32[]", "");
    add(arena, cases, OP_upsample, "f32<6x3x2>", "factor=3 mode=bilinear");
    add(arena, cases, OP_upsample, "f32<6x4x2 masked 4>", "factor=2");
}

static void add_cube_windows(Arena *arena, CaseVector *cases) {
    add_windows(arena, cases, "f32<2x4x4x6x3 masked 1>", 3);
    add(arena, cases, OP_densify, "f32<2x2x2x3x3 masked 2>, f32[3]", "");
    add(arena, cases, OP_upsample, "f32<2x2x2x3x2>", "factor=2,1,2 mode=bilinear");
    add(arena, cases, OP_upsample, "f32<2x2x2x3x2 masked 2>", "factor=2,2,2");
    add(arena, cases, OP_patch_normalise, "!f32<2x4x4x6x3>", "patch=2 eps=1e-6");
    add(arena, cases, OP_conv_transpose, "f32<2x2x2x3x2>, f32[2x2x3x3x2]",
        "kernel=2,2,3 stride=2,2,1 pad=0,0,1 dilation=1,1,1 size=4,4,3");
}

/* ---- Norms far from zero, of constants, of two numbers --------------------------------------- */

static void add_hard_norms(Arena *arena, CaseVector *cases) {
    static const char *const maps[] = {"^f32<2x4x6x6>", "@f32<2x4x6x6>", "^f32<2x4x6x6 masked 2>",
                                       "@f32<2x4x6x6 masked 2>"};
    static const char *const states = "$f32[6], $+f32[6], $f32[], f32[6], f32[6]";
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        const char *affine = arena_format(arena, "%s, f32[6], f32[6]", maps[i]);
        add(arena, cases, OP_batch_norm, arena_format(arena, "%s, %s", maps[i], states), "");
        add(arena, cases, OP_layer_norm, affine, "");
        add(arena, cases, OP_group_norm, affine, "groups=2");
        add(arena, cases, OP_instance_norm, affine, "");
        add(arena, cases, OP_moments, maps[i], "over=batch");
        add(arena, cases, OP_moments, maps[i], "over=image");
        add(arena, cases, OP_moments, maps[i], "over=image groups=3");
        add(arena, cases, OP_moments, maps[i], "over=row");
    }
    add(arena, cases, OP_batch_norm, "f32<2x5 per_image>, $f32[5], $+f32[5], $f32[]", "eps=0.1");
    add(arena, cases, OP_layer_norm, "f32<2x4x6x2>", "eps=0.1");
    add(arena, cases, OP_group_norm, "f32<2x6 per_image>", "groups=3 eps=0.1");
    add(arena, cases, OP_instance_norm, "f32<2x1x2x3>", "eps=0.1");
}

/* ---- NaN, infinities, zeros of both signs, denormals ----------------------------------------- */

static void add_specials(Arena *arena, CaseVector *cases) {
#define ACTIVATION(name, attributes, saved, value, derivative)                                     \
    add(arena, cases, OP_##name, "!?f32<2x4x6x3>", "");                                            \
    add(arena, cases, OP_##name##_grad, "!?f32<2x4x6x3>, !f32<2x4x6x3>", "");                      \
    add(arena, cases, OP_##name##_grad, "!f32<2x4x6x3 masked 2>, !?f32<2x4x6x3 masked 2>", "");
#include "ir/activations.def"
#undef ACTIVATION
    static const OpCase list[] = {
        {OP_add, "!?f32<2x4x6x3>, !?f32[3]", ""},
        {OP_sub, "!?f32<2x4x6x3>, !?f32<2x4x6x3>", ""},
        {OP_mul, "!?f32<2x4x6x3>, !?f32<2x4x6x3>", ""},
        {OP_div, "!?f32<2x4x6x3>, !#f32<2x4x6x3>", ""},
        {OP_neg, "!?f32<2x4x6x3>", ""},
        {OP_sqrt, "!?f32<2x4x6x3>", ""},
        {OP_minimum, "!?f32<2x4x6x3>, !?f32<2x4x6x3>", ""},
        {OP_greater, "!?f32<2x4x6x3>, !?f32<2x4x6x3>", ""},
        {OP_select, "!?f32<2x4x6x3>, !?f32<2x4x6x3>, !?f32[3]", ""},
        {OP_conv, "!?f32<2x8x7x4>, !f32[3x3x4x3]", "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
        {OP_conv, "!?f32<2x4x6x4 masked 2>, !f32[3x3x4x3]",
         "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1"},
        {OP_conv, "!?f32<2x4x6x8 masked 2>, !f32[3x3x8x3]",
         "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1 dense=true"},
        {OP_conv, "!?f32<2x4x6x4 masked 2>, !f32[3x3x1x4]",
         "kernel=3,3 stride=1,1 pad=1,1 dilation=1,1 groups=4"},
        {OP_linear, "!?f32<2x4x6x4>, !f32[4x3]", ""},
        {OP_max_pool, "!?f32<2x8x12x3>", "kernel=2,2 stride=2,2 pad=0,0 dilation=1,1"},
        {OP_max_pool, "!?f32<2x8x12x3 masked 1>", "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
        {OP_max_pool, "!f32<2x8x12x3>, !?f32<2x8x12x3>",
         "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
        {OP_max_pool, "!f32<2x8x12x3 masked 1>, !?f32<2x8x12x3 masked 1>",
         "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
        {OP_max_pool_grad, "!?f32<2x8x12x3 masked 1>, !f32<2x4x6x3 masked 2>",
         "kernel=3,3 stride=2,2 pad=1,1 dilation=1,1"},
        {OP_max_pool_grad, "!?f32<2x8x12x3>, !f32<2x4x6x3>",
         "kernel=2,2 stride=2,2 pad=0,0 dilation=1,1"},
        {OP_avg_pool, "!?f32<2x8x12x3>", "kernel=2,2 stride=2,2 pad=0,0"},
        {OP_upsample, "!?f32<2x4x6x3>", "factor=2,2"},
        {OP_sum, "!?f32<2x4x6x3>", "over=row"},
        {OP_sum, "!?f32<2x4x6x3>", "over=batch"},
        {OP_sum, "!?f32<2x4x6x3>", "over=image"},
        {OP_normalise, "!?f32<2x4x6x3>, !f32[3], !+f32[3], !f32[3], !f32[3]", ""},
        {OP_concat, "!?f32<2x4x6x3>, !?f32<2x4x6x1>", ""},
        {OP_slice, "!?f32<2x4x6x5>", "start=1 channels=3"},
        {OP_channel_shuffle, "!?f32<2x4x6x6>", "groups=2"},
        {OP_densify, "!?f32<2x4x6x3 masked 2>, !?f32[3]", ""},
        {OP_mask, "!?f32<2x8x12x3>", ""},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        vector_push(arena, cases, list[i]);
}

/* ---- The lists ------------------------------------------------------------------------------- */

#define IMAGES                                                                                     \
    { .batch = 2, .space = 2, .image = {8, 12}, .channels = 3, .ratio = 4, .keep = 3 }
#define LINE                                                                                       \
    { .batch = 1, .space = 1, .image = {1}, .channels = 1 }

static const CaseList every_op = {IMAGES, false, false, add_every_op};
static const CaseList evaluation = {IMAGES, false, true, add_composites};
static const CaseList constant_ops = {IMAGES, true, false, add_constant_ops};
static const CaseList channel_widths = {LINE, false, false, add_widths};
static const CaseList heights = {LINE, true, false, add_heights};
static const CaseList contracts = {LINE, false, false, add_contracts};
static const CaseList squares = {
    {.batch = 12, .space = 2, .image = {6, 6}, .channels = 3, .ratio = 2, .keep = 4},
    false,
    false,
    add_square_windows};
static const CaseList lines = {
    {.batch = 6, .space = 1, .image = {16}, .channels = 3, .ratio = 4, .keep = 2},
    false,
    false,
    add_line_windows};
static const CaseList cubes = {
    {.batch = 2, .space = 3, .image = {4, 4, 6}, .channels = 3, .ratio = 2, .keep = 5},
    false,
    false,
    add_cube_windows};
static const CaseList hard_norms = {IMAGES, false, false, add_hard_norms};
static const CaseList specials = {IMAGES, true, false, add_specials};

static const CaseList *const lists[] = {&every_op, &evaluation, &constant_ops, &channel_widths,
                                        &heights,  &contracts,  &squares,      &lines,
                                        &cubes,    &hard_norms, &specials};

/* ---- A list as one graph --------------------------------------------------------------------- */

static void output(Graph *graph, const char *name, Value *value) {
    Builder builder = {.graph = graph};
    build(&builder, OP_output, NULL, OPERANDS(value), ATTRIBUTES(attribute_text("name", name)));
}

/* Adds the cases' sum as the loss, and its gradients; or each case's own sum as an output. */
static void finish(Graph *graph, const CaseList *list, Value **terms, size_t count) {
    Builder builder = {.graph = graph};
    for (size_t i = 0; list->forward && i < count; i++)
        output(graph, arena_format(graph->arena, "c%zu.loss", i), terms[i]);
    if (list->forward)
        return;
    Value *loss = terms[0];
    for (size_t i = 1; i < count; i++)
        loss = build_binary(&builder, OP_add, NULL, loss, terms[i]);
    output(graph, "loss", loss);
    PassOptions options = {.entry = ENTRY_TRAIN_STEP,
                           .training = !list->evaluation,
                           .stochastic = true,
                           .expose = true};
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 5);
    pass_expand(graph, &options, diagnostics);
    pass_autodiff(graph, &options, diagnostics);
    if (diagnostics_error_count(diagnostics))
        fprintf(stderr, "\n%s", diagnostics_text(diagnostics, false));
    CU_ASSERT_EQUAL_FATAL(diagnostics_error_count(diagnostics), 0);
}

static Graph *create_graph(Arena *arena, const CaseList *list) {
    CaseVector cases = {0};
    list->add(arena, &cases);
    Graph *graph = graph_create(arena, "cases", list->geometry);
    Value **terms = arena_new_array(arena, Value *, cases.count);
    for (size_t i = 0; i < cases.count; i++)
        terms[i] = op_case_add(graph, arena_format(arena, "c%zu.", i), &cases.items[i]);
    finish(graph, list, terms, cases.count);
    graph->stage = "autodiff";
    return graph;
}

/* ---- Running a list -------------------------------------------------------------------------- */

/* The case that an output "c12.y0" or "grad.c12.x1" belongs to. */
static const char *describe(Arena *arena, const void *context, const char *output_name) {
    const CaseList *list = context;
    const char *number =
        text_starts_with(output_name, "grad.c") ? output_name + 6 : output_name + 1;
    CaseVector cases = {0};
    list->add(arena, &cases);
    size_t index = strtoul(number, NULL, 10);
    return index < cases.count && strcmp(output_name, "loss") != 0
               ? op_case_text(arena, &cases.items[index])
               : "the sum of all cases";
}

static Compiled *run_fused(const Trial *trial, Program *fused, const char *cpu) {
    Compiled *compiled = compiled_create(fused, &(CompiledOptions){.cpu = cpu});
    trial_fill(trial->arena, trial->graph, compiled->values, fused);
    compiled_run(compiled);
    return compiled;
}

/* Fused programs give the same bits as the one that they were made of, those that recompute the
 * same numbers. */
static void check_fused(const Trial *trial, const Compiled *plain, const char *cpu) {
    Program *fused = lower_graph(trial->arena, trial->graph);
    fuse_kernels(fused, NULL);
    Compiled *compiled = run_fused(trial, fused, cpu);
    compiled_expect_same(plain, compiled, "fused");
    compiled_destroy(compiled);
    if (recompute(fused, PRECISION_FP32, NULL) == 0)
        return;
    compiled = run_fused(trial, fused, cpu);
    compiled_expect_same_numbers(plain, compiled, "recomputed");
    compiled_destroy(compiled);
}

static void check_cpu(const Trial *trial, const char *cpu, bool fused, const CaseList *list) {
    Compiled *compiled = compiled_create(trial->program, &(CompiledOptions){.cpu = cpu});
    trial_fill(trial->arena, trial->graph, compiled->values, trial->program);
    compiled_run(compiled);
    trial_compare(trial, compiled->values, cpu ? cpu : "host", describe, list);
    if (fused)
        check_fused(trial, compiled, cpu);
    compiled_destroy(compiled);
}

static void check_list(const CaseList *list) {
    Arena *arena = arena_create();
    Trial *trial = trial_create(arena, create_graph(arena, list));
    KernelInterpreter *kernels = kernel_interpreter_create(trial->program);
    trial_fill(trial->arena, trial->graph, kernels, trial->program);
    CU_ASSERT_PTR_NULL(kernel_interpreter_run(kernels, arena).message);
    trial_compare(trial, kernels, "kernel interpreter", describe, list);
    kernel_interpreter_destroy(kernels);
    int count;
    const char *const *cpus = compiled_cpus(&count);
    for (int i = 0; i < count; i++)
        check_cpu(trial, cpus[i], i == count - 1, list);
    trial_destroy(trial);
    arena_destroy(arena);
}

#define CHECK_LIST(list)                                                                           \
    static void test_##list(void) {                                                                \
        check_list(&list);                                                                         \
    }
CHECK_LIST(every_op)
CHECK_LIST(evaluation)
CHECK_LIST(constant_ops)
CHECK_LIST(channel_widths)
CHECK_LIST(heights)
CHECK_LIST(contracts)
CHECK_LIST(squares)
CHECK_LIST(lines)
CHECK_LIST(cubes)
CHECK_LIST(hard_norms)
CHECK_LIST(specials)

/* ---- All ops are there ----------------------------------------------------------------------- */

typedef struct Seen {
    bool dense[OP_COUNT], masked[OP_COUNT];
} Seen;

static void see(Seen *seen, const Graph *graph) {
    graph_each(graph, node) {
        bool masked = false;
        for (int i = 0; i < node->operand_count; i++)
            masked |= node->operands[i] && node->operands[i]->type.form == FORM_MASKED;
        (masked ? seen->masked : seen->dense)[node->op] = true;
    }
}

static void see_training(Seen *seen, Arena *arena) {
    const SmallNetwork network = {
        .levels = 2, .batch = 2, .channels = 3, .height = 16, .width = 24, .batch_norm = true};
    Graph *graph = small_network(arena, &network);
    PassOptions options = pass_options_default();
    options.decoder_width = 16;
    CU_ASSERT_FATAL(passes_run(graph, &options, NULL, diagnostics_create(arena, 5), NULL, NULL));
    see(seen, graph);
}

static bool needs_masked(Op op) {
    MaskedRule rule = op_info(op)->masked;
    return rule != MASKED_REFUSED && rule != MASKED_INTERNAL && op != OP_repeat_channels;
}

/* Composites have their cases, but are expanded before anything is compiled. */
static void see_composites(Seen *seen) {
    for (size_t i = 0; i < op_cases_composite.count; i++) {
        const OpCase *op_case = &op_cases_composite.cases[i];
        (op_case_is_masked(op_case) ? seen->masked : seen->dense)[op_case->op] = true;
    }
}

static void test_every_op_is_there(void) {
    Arena *arena = arena_create();
    Seen seen = {0};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        see(&seen, create_graph(arena, lists[i]));
    see_training(&seen, arena); /* the optimizer's ops: compiled_plans.c */
    see_composites(&seen);
    for (Op op = 0; op < OP_COUNT; op++) {
        bool fine = (seen.dense[op] || seen.masked[op]) && (!needs_masked(op) || seen.masked[op]);
        if (!fine)
            fprintf(stderr, "\n%s is compiled by no test, or not masked", op_info(op)->name);
        CU_ASSERT(fine);
    }
    arena_destroy(arena);
}

CU_TestInfo compiled_ops_tests[] = {
    {"every op has cases", test_every_op_is_there},
    {"every op, forward and backward", test_every_op},
    {"composites in evaluation", test_evaluation},
    {"ops without derivative", test_constant_ops},
    {"channels around vectors", test_channel_widths},
    {"rows around tiles", test_heights},
    {"contracts around blocks", test_contracts},
    {"windows at hidden neighbours, squares", test_squares},
    {"windows at hidden neighbours, lines", test_lines},
    {"windows at hidden neighbours, cubes", test_cubes},
    {"norms far from zero, of constants, of two numbers", test_hard_norms},
    {"NaN, infinities, zeros, denormals", test_specials},
    CU_TEST_INFO_NULL,
};
