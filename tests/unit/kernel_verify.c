/* The verifier: one legal program, and every way of breaking it that must be found. */
#include <string.h>

#include "ir/kernel_parse.h"
#include "tests/unit/kernel_fixture.h"
#include "tests/unit/kernel_suites.h"

static const char legal[] =
    "segment w : f32[3x3x2x4] {role=weight}\n"
    "state mean : f32[4]\n"
    "buffer cells : i32 inputs {elements=6}\n"
    "buffer map.1 : i32 scratch {elements=280, offset=0}\n"
    "buffer map.2 : i32 scratch {elements=48, offset=2432}\n"
    "buffer params : f32 params {elements=72, offset=0}\n"
    "buffer mean : f32 state {elements=4}\n"
    "buffer x : f32 inputs {elements=192}\n"
    "buffer seed : u32 inputs {elements=1}\n"
    "buffer y : f32 scratch {elements=96, offset=1152}\n"
    "buffer z : f32 scratch {elements=96, offset=1152}\n"
    "buffer dx : f32 scratch {elements=192, offset=1536}\n"
    "buffer dw : f32 outputs {elements=72}\n"
    "buffer new_mean : f32 scratch {elements=4, offset=2304}\n"
    "buffer m2 : f32 scratch {elements=4, offset=2368}\n"
    "buffer out : f32 outputs {elements=192}\n"
    "level %map.1 of masked {extent=[8, 12], stride=1} {border=[1, 1]}\n"
    "level %map.2 of masked {extent=[4, 6], stride=2}\n"
    "cells %inputs:cells\n"
    "kernel map.1 : position_map x 1\n"
    "    space masked {extent=[8, 12], stride=1}\n"
    "    map %map.1\n"
    "kernel y : contract x 4\n"
    "    space masked {extent=[4, 6], stride=2}\n"
    "    contraction {in=2, out=4}\n"
    "    taps masked {extent=[8, 12], stride=1} {scale=[2, 2]}\n"
    "    tap 0 [-1, -1], 5 [0, 1], 8 [1, 1]\n"
    "    a %inputs:x {image=96, row=2}\n"
    "    weight %params:params {tap=8, in=4, out=1}\n"
    "    operand one same %state:mean\n"
    "    expression t0 = operand 1; t1 = operand 0; t2 = add t0 t1; -> t2\n"
    "    out %y {image=48, row=4}\n"
    "kernel z : map x 4\n"
    "    space masked {extent=[4, 6], stride=2}\n"
    "    operand element same %y {image=48, row=4}\n"
    "    operand one first %inputs:seed\n"
    "    expression t0 = operand 0; t1 = operand_u 1; t2 = to_float t1; t3 = mul t0 t2; -> t3\n"
    "    out %z {image=48, row=4}\n"
    "kernel mean : reduce x 4\n"
    "    space masked {extent=[4, 6], stride=2}\n"
    "    reduction moments over batch\n"
    "    operand element same %z {image=48, row=4}\n"
    "    expression t0 = operand 0; -> t0\n"
    "    out %new_mean\n"
    "    out %m2\n"
    "kernel dw : contract_weight x 4\n"
    "    space masked {extent=[4, 6], stride=2}\n"
    "    contraction {in=2, out=4}\n"
    "    taps masked {extent=[8, 12], stride=1} {scale=[2, 2]}\n"
    "    tap 0 [-1, -1], 1 [-1, 0], 2 [-1, 1], 3 [0, -1], 4 [0, 0], 5 [0, 1], 6 [1, -1], 7 [1, 0], "
    "8 [1, 1]\n"
    "    a %inputs:x {image=96, row=2}\n"
    "    b %z {image=48, row=4}\n"
    "    weight %outputs:dw {tap=8, in=4, out=1}\n"
    "kernel map.2 : position_map x 1\n"
    "    space masked {extent=[4, 6], stride=2}\n"
    "    map %map.2\n"
    "kernel dx.0 : contract x 2\n"
    "    space masked {extent=[8, 12], stride=1}\n"
    "    contraction {in=4, out=2}\n"
    "    taps masked {extent=[4, 6], stride=2} {step=[1, 2]}\n"
    "    a %z {image=48, row=4}\n"
    "    weight %params:params {tap=8, in=1, out=4}\n"
    "    expression t0 = operand 0; -> t0\n"
    "    out %dx {image=96, row=2}\n"
    "kernel dx.1 : contract x 2\n"
    "    space masked {extent=[8, 12], stride=1}\n"
    "    contraction {in=4, out=2}\n"
    "    taps masked {extent=[4, 6], stride=2} {step=[1, 2], phase=[0, 1]}\n"
    "    a %z {image=48, row=4}\n"
    "    weight %params:params {tap=8, in=1, out=4}\n"
    "    expression t0 = operand 0; -> t0\n"
    "    out %dx {image=96, row=2}\n"
    "kernel out : map x 1\n"
    "    space dense {extent=[8, 12]}\n"
    "    operand position same %dx {image=96, row=2} of masked {extent=[8, 12], stride=1}\n"
    "    expression t0 = operand 0; t1 = visible 0; t2 = constant 3; t3 = select t1 t0 t2; -> t3\n"
    "    out %outputs:out {image=96, row=1}\n"
    "kernel commit : map x 4\n"
    "    space one\n"
    "    operand element same %new_mean\n"
    "    expression t0 = operand 0; -> t0\n"
    "    out %state:mean\n"
    "end\n";

/* The messages for the legal program with `from` replaced by `to`; "" if it verifies. */
static const char *errors_of(Arena *arena, const char *from, const char *to) {
    const char *found = strstr(legal, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    const char *text = arena_format(arena, "%s%.*s%s%s", kernel_fixture_head, (int)(found - legal),
                                    legal, to, found + strlen(from));
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    Program *program = kernel_parse(arena, diagnostics, "a.ir", text, strlen(text));
    CU_ASSERT_EQUAL(program == NULL, diagnostics_error_count(diagnostics) > 0);
    return diagnostics_text(diagnostics, false);
}

typedef struct Corruption {
    const char *from, *to, *message;
} Corruption;

static void expect_found(const Corruption *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Arena *arena = arena_create();
        const char *errors = errors_of(arena, rows[i].from, rows[i].to);
        CU_ASSERT_PTR_NOT_NULL(strstr(errors, rows[i].message));
        if (!strstr(errors, rows[i].message))
            printf("\n%s -> %s\nexpected %s\nfound %s", rows[i].from, rows[i].to, rows[i].message,
                   errors);
        arena_destroy(arena);
    }
}

#define EXPECT_FOUND(rows) expect_found(rows, sizeof(rows) / sizeof *(rows))

static void the_legal_program_is_legal(void) {
    Arena *arena = arena_create();
    CU_ASSERT_STRING_EQUAL(errors_of(arena, "end\n", "end\n"), "");
    arena_destroy(arena);
}

static void accesses_stay_inside(void) {
    static const Corruption rows[] = {
        {"x : f32 inputs {elements=192}", "x : f32 inputs {elements=191}",
         "kernel y: a (%x) reaches outside: the buffer has 191 elements"},
        {"out %y {image=48, row=4}", "out %y {base=1, image=48, row=4}",
         "kernel y: output 0 (%y) reaches outside"},
        {"out %y {image=48, row=4}", "out %y {base=-1, image=48, row=4}",
         "kernel y: output 0 (%y) reaches outside"},
        {"out %y {image=48, row=4}", "out %y {base=99, image=-48, row=4}",
         "kernel y: output 0 (%y) reaches outside"},
        {"a %inputs:x {image=96, row=2}", "a %inputs:x {image=9223372036854775807, row=2}",
         "kernel y: a (%x) reaches outside"},
        {"a %inputs:x {image=96, row=2}", "a %inputs:x {base=9223372036854775807, image=96, row=2}",
         "kernel y: a (%x) reaches outside"},
        {"weight %params:params {tap=8, in=4, out=1}", "weight %params:params {tap=9, in=4, out=1}",
         "kernel y: the weight (%params) reaches outside: the buffer has 72 elements"},
        {"operand one same %state:mean", "operand one same %inputs:seed",
         "kernel y: operand 0 is u32, the expression reads it as fp32"},
        {"operand one same %state:mean", "operand one same %state:mean {channel=2}",
         "kernel y: operand 0 (%mean) reaches outside: the buffer has 4 elements"},
        {"operand one first %inputs:seed", "operand one same %inputs:seed",
         "kernel z: operand 1 (%seed) reaches outside"},
    };
    EXPECT_FOUND(rows);
}

static void taps_stay_inside_the_border(void) {
    static const Corruption rows[] = {
        {"{border=[1, 1]}", "{border=[0, 1]}",
         "position map map.1 must be i32 scratch of 224 elements"},
        {"0 [-1, -1], 5", "0 [-2, -1], 5",
         "kernel y: reads positions -2 .. 4, beyond the border 1 of extent 8"},
        {"8 [1, 1]\n    a", "8 [1, 3]\n    a",
         "kernel y: reads positions 3 .. 13, beyond the border 1 of extent 12"},
        {"{scale=[2, 2]}", "{scale=[3, 2]}",
         "kernel y: reads positions 0 .. 9, beyond the border 1 of extent 8"},
        {"{scale=[2, 2]}", "{scale=[0, 2]}", "kernel y: step 1, phase 0, scale 0"},
        {"{step=[1, 2]}", "{step=[1, 3]}", "kernel dx.0: a step of 3 does not divide the cells"},
        {"phase=[0, 1]", "phase=[0, 2]", "kernel dx.1: step 2, phase 2, scale 1"},
        {"1 [-1, 0], 2", "2 [-1, 0], 2", "kernel dw: tap 1 writes weight 2"},
        {"taps masked {extent=[8, 12], stride=1} {scale", "taps dense {extent=[8]} {scale",
         "scale needs 1 numbers"},
        {"taps masked {extent=[8, 12], stride=1}", "taps images",
         "scale needs 0 numbers, one per direction"},
    };
    EXPECT_FOUND(rows);
}

static void spaces_are_those_of_the_geometry(void) {
    static const Corruption rows[] = {
        {"space masked {extent=[4, 6], stride=2}", "space masked {extent=[4, 6], stride=4}",
         "kernel y: the space: extent 4 at stride 4 is not the image's 8"},
        {"space masked {extent=[4, 6], stride=2}", "space masked {extent=[4, 6], stride=3}",
         "kernel y: the space: a stride of 3 does not divide the ratio 4"},
        {"space masked {extent=[4, 6], stride=2}", "space masked {extent=[4], stride=2}",
         "kernel y: the space has 1 directions, the image 2"},
        {"space masked {extent=[4, 6], stride=2}", "space masked {extent=[4, 0], stride=2}",
         "kernel y: the space has an extent of 0"},
        {"space dense {extent=[8, 12]}", "space dense {extent=[2147483647, 2147483647]}",
         "kernel out: the space has an extent of 2147483647"},
        {"kernel out : map x 1", "kernel out : map x 9000000000000000",
         "kernel out: 9000000000000000 channels"},
        {"cells %inputs:cells\n", "", "a level is masked, but nothing in this program is"},
        {"cells %inputs:cells\n", "cells %map.1\n", "the cell list must be an i32 input of 2 x 3"},
        {"cells : i32 inputs {elements=6}", "cells : i32 inputs {elements=5}",
         "the cell list must be an i32 input of 2 x 3"},
        {"    out %state:mean", "    out %map.1", "output 0 is i32, its value is fp32"},
    };
    EXPECT_FOUND(rows);
}

static void kinds_have_what_they_need(void) {
    static const Corruption rows[] = {
        {"contraction {in=2, out=4}", "contraction {in=2, out=3}",
         "kernel y: 2 to 3 channels in 1 groups, walking 4"},
        {"contraction {in=2, out=4}", "contraction {in=2, out=4, groups=3}",
         "kernel y: 2 to 4 channels in 3 groups, walking 4"},
        {"contraction {in=2, out=4}", "contraction {in=0, out=4}", "kernel y: 0 channels"},
        {"    out %m2\n", "", "kernel mean: moments has two outputs, mean and m2"},
        {"moments over batch", "moments over segment",
         "kernel mean: over segment in a space that is not flat"},
        {"moments over batch", "merge over row {groups=3, merge_count=2}",
         "kernel mean: 3 groups of 4 channels"},
        {"moments over batch", "sum over cell {patch=2}",
         "kernel mean: squares of 2 do not tile the space"},
        {"operand element same %y", "operand element shuffle 3 %y",
         "kernel z: shuffle into 3 groups does not divide 4 channels"},
        {"operand element same %y", "operand segment same %y",
         "kernel z: a segment operand of a space that is not flat"},
        {"operand element same %new_mean", "operand image same %new_mean",
         "kernel commit: an image operand where there are no images"},
        {"mul t0 t2; -> t3", "mul t0 t2; -> t1", "kernel z: output 0 is f32, its value is u32"},
        {"mul t0 t2; -> t3", "mul t0 t2; -> t3, t0",
         "kernel z: the expression has 2 values where 1 are needed"},
        {"t1 = operand_u 1;", "t1 = operand_u 2;",
         "kernel z: the expression reads operand 2, which is not there"},
        {"t1 = operand_u 1;", "t1 = operand_u 0;",
         "kernel z: operand 0 is f32, the expression reads it as u32"},
        {"t1 = visible 0; t2 = constant 3", "t1 = visible 1; t2 = constant 3",
         "kernel out: the expression reads operand 1, which is not there"},
        {"space masked {extent=[8, 12], stride=1}\n    map",
         "space masked {extent=[4, 6], stride=2}\n    map",
         "kernel map.1: walks another space than its level"},
        {"    tap 0 [-1, -1], 1 [-1, 0], 2 [-1, 1], 3 [0, -1], 4 [0, 0], 5 [0, 1], 6 [1, -1], "
         "7 [1, 0], 8 [1, 1]\n",
         "", "kernel dw: the gradient of a weight without taps"},
        {"taps masked {extent=[4, 6], stride=2} {step=[1, 2]}",
         "taps masked {extent=[2, 3], stride=4} {step=[1, 2]}",
         "kernel dx.0: there is no position map of stride 4"},
    };
    EXPECT_FOUND(rows);
}

static void counts_can_be_counted(void) {
    static const Corruption rows[] = {
        {"kernel dw : contract_weight x 4\n    space masked {extent=[4, 6], stride=2}\n"
         "    contraction {in=2, out=4}",
         "kernel dw : contract_weight x 4\n    space masked {extent=[4, 6], stride=2}\n"
         "    contraction {in=180000000000, out=4}",
         "kernel dw: 9 taps of 180000000000 to 4 channels are too many terms"},
        {"buffer out :", "buffer segments.decays : f32 inputs {elements=2}\nbuffer out :",
         "buffer segments.decays is not a number for each of 1 segments"},
        {"buffer out :", "buffer segments.lr_scale : u32 inputs {elements=1}\nbuffer out :",
         "buffer segments.lr_scale is not a number for each of 1 segments"},
    };
    EXPECT_FOUND(rows);
}

static void writes_are_apart(void) {
    static const Corruption rows[] = {
        {"out %y {image=48, row=4}", "out %y {image=48, row=3}",
         "kernel y: output 0 (%y) writes some element twice"},
        {"out %z {image=48, row=4}", "out %y {image=48, row=4}",
         "kernel mean: operand 0 (%z) is read before all of it is written"},
        {"out %z {image=48, row=4}", "out %inputs:x {image=48, row=4}",
         "kernel z: writes the input %x"},
        {"operand element same %y {image=48, row=4}", "operand element same %z {image=48, row=4}",
         "kernel z: operand 0 (%z) is read before all of it is written"},
        {"    out %m2", "    out %new_mean", "kernel mean: output 1 (%new_mean) overlaps output 0"},
        {"    out %m2", "    out %new_mean {base=2}",
         "kernel mean: output 1 (%new_mean) reaches outside"},
        {"weight %outputs:dw {tap=8, in=4, out=1}", "weight %outputs:dw {tap=7, in=4, out=1}",
         "kernel dw: the weight (%dw) writes some element twice"},
        {"kernel z : map x 4", "kernel y : map x 4", "two kernels are called y"},
    };
    EXPECT_FOUND(rows);
}

static void scratch_is_written_before_it_is_read(void) {
    static const Corruption rows[] = {
        {"{step=[1, 2], phase=[0, 1]}", "{step=[1, 2], phase=[0, 0]}",
         "kernel out: operand 0 (%dx) is read before all of it is written"},
        {"    b %z {image=48, row=4}", "    b %dx {image=48, row=4}",
         "kernel dw: b (%dx) is read before all of it is written"},
        {"    a %z {image=48, row=4}", "    a %dx {image=48, row=4}",
         "kernel dx.0: output 0 (%dx) overlaps a (%dx)"},
        {"out %outputs:out {image=96, row=1}", "out %dx {image=96, row=1}",
         "kernel out: output 0 (%dx) overlaps operand 0 (%dx)"},
        {"kernel dx.0 : contract x 2\n",
         "kernel q : contract x 4\n"
         "    space masked {extent=[4, 6], stride=2}\n"
         "    contraction {in=4, out=4}\n"
         "    taps masked {extent=[4, 6], stride=2}\n"
         "    tap 0 [0, 0]\n"
         "    a %inputs:x {image=48, row=4}\n"
         "    prologue_operand element same %y {image=48, row=4}\n"
         "    prologue t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; -> t2\n"
         "    weight %params:params {tap=16, in=4, out=1}\n"
         "    expression t0 = operand 0; -> t0\n"
         "    out %y {image=48, row=4}\n"
         "kernel dx.0 : contract x 2\n",
         "kernel q: output 0 (%y) overlaps prologue operand 0 (%y)"},
        {"buffer out : f32 outputs {elements=192}", "buffer out : f32 outputs {elements=193}",
         "output %out is not written completely"},
        {"kernel map.1 : position_map x 1\n    space masked {extent=[8, 12], stride=1}\n"
         "    map %map.1\n",
         "", "kernel y: the position map (%map.1) is read before all of it is written"},
    };
    EXPECT_FOUND(rows);
}

static void nothing_is_read_after_its_commit(void) {
    static const Corruption rows[] = {
        {"kernel z : map",
         "kernel early : map x 4\n    space one\n    expression t0 = constant 0; -> t0\n"
         "    out %state:mean\nkernel late : map x 4\n    space one\n"
         "    operand element same %state:mean\n    expression t0 = operand 0; -> t0\n"
         "    out %new_mean\nkernel z : map",
         "kernel late: operand 0 (%mean) is read after kernel early has committed it"},
        {"buffer mean : f32 state {elements=4}", "buffer mean : f32 state {elements=5}",
         "buffer mean is not like its state"},
        {"buffer mean : f32 state", "buffer means : f32 state",
         "no line above declares the buffer state:mean"},
        {"buffer params : f32 params {elements=72", "buffer params : f32 params {elements=73",
         "buffer params is not all 72 parameters"},
    };
    EXPECT_FOUND(rows);
}

static void plans_keep_live_buffers_apart(void) {
    static const Corruption rows[] = {
        {"dx : f32 scratch {elements=192, offset=1536}",
         "dx : f32 scratch {elements=192, offset=1472}",
         "buffers %z and %dx share bytes while both are alive"},
        {"z : f32 scratch {elements=96, offset=1152}", "z : f32 scratch {elements=96, offset=1088}",
         "share bytes while both are alive"},
        {"z : f32 scratch {elements=96, offset=1152}", "z : f32 scratch {elements=96, offset=1150}",
         "buffer z is at offset 1150, not a multiple of 64"},
        {"operand element same %y {image=48, row=4}",
         "operand element shuffle 2 %y {image=48, row=4}", "share bytes while both are alive"},
        {"new_mean : f32 scratch {elements=4, offset=2304}",
         "new_mean : f32 scratch {elements=4, offset=2368}", "share bytes while both are alive"},
    };
    EXPECT_FOUND(rows);
}

CU_TestInfo kernel_verify_tests[] = {
    {"the legal program is legal", the_legal_program_is_legal},
    {"accesses stay inside", accesses_stay_inside},
    {"taps stay inside the border", taps_stay_inside_the_border},
    {"spaces are those of the geometry", spaces_are_those_of_the_geometry},
    {"kinds have what they need", kinds_have_what_they_need},
    {"counts can be counted", counts_can_be_counted},
    {"writes are apart", writes_are_apart},
    {"scratch is written before it is read", scratch_is_written_before_it_is_read},
    {"nothing is read after its commit", nothing_is_read_after_its_commit},
    {"plans keep live buffers apart", plans_keep_live_buffers_apart},
    CU_TEST_INFO_NULL,
};
