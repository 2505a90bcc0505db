/* What kernels have to move, counted by hand. */
#include "ir/kernel_footprint.h"
#include "tests/unit/kernel_fixture.h"
#include "tests/unit/kernel_suites.h"

/* Of the last kernel. */
static KernelTraffic traffic_of(const char *body) {
    KernelFixture f = kernel_fixture_create(body);
    const Program *program = f.program;
    KernelTraffic traffic =
        kernel_traffic(program, program->kernels.items[program->kernels.count - 1]);
    kernel_fixture_destroy(&f);
    return traffic;
}

static KernelTraffic masked_traffic_of(const char *buffers, const char *kernel) {
    Arena *arena = arena_create();
    KernelTraffic traffic = traffic_of(arena_format(arena, "%s%s%s%s", kernel_fixture_levels,
                                                    buffers, kernel_fixture_maps, kernel));
    arena_destroy(arena);
    return traffic;
}

static void what_is_read_twice_moves_once(void) {
    KernelTraffic traffic =
        traffic_of("buffer x : f32 inputs {elements=384}\nbuffer b : f32 inputs {elements=2}\n"
                   "buffer y : f32 outputs {elements=384}\n"
                   "kernel y : map x 2\n    space dense {extent=[8, 12]}\n"
                   "    operand element same %inputs:x {image=192, row=2}\n"
                   "    operand element same %inputs:x {image=192, row=2}\n"
                   "    operand one same %inputs:b\n"
                   "    expression t0 = operand 0; t1 = operand 1; t2 = operand 2; t3 = mul t0 t1; "
                   "t4 = add t3 t2; -> t4\n"
                   "    out %outputs:y {image=192, row=2}\n");
    CU_ASSERT_EQUAL(traffic.read, 4 * (384 + 2));
    CU_ASSERT_EQUAL(traffic.written, 4 * 384);
}

/* 48 visible rows of 96 are gathered, and the list of cells is read. */
static void rows_that_nobody_asks_for_do_not_move(void) {
    KernelTraffic traffic = masked_traffic_of(
        "buffer x : f32 inputs {elements=384}\nbuffer y : f32 outputs {elements=192}\n",
        "kernel y : map x 2\n    space masked {extent=[8, 12], stride=1}\n"
        "    operand position same %inputs:x {image=192, row=2} of dense {extent=[8, 12]} "
        "{divide=[1, 1]}\n"
        "    expression t0 = operand 0; -> t0\n    out %outputs:y {image=96, row=2}\n");
    CU_ASSERT_EQUAL(traffic.read, 4 * (192 + 6));
    CU_ASSERT_EQUAL(traffic.written, 4 * 192);
}

#define PHASE(name, phase)                                                                         \
    "kernel " name " : contract x 2\n    space dense {extent=[8, 12]}\n"                           \
    "    contraction {in=2, out=2}\n"                                                              \
    "    taps dense {extent=[4, 6]} {step=[2, 2], phase=" phase "}\n    tap 0 [0, 0]\n"            \
    "    a %inputs:x {image=48, row=2}\n    weight %inputs:w {tap=4, in=2, out=1}\n"               \
    "    expression t0 = operand 0; -> t0\n    out %outputs:y {image=192, row=2}\n"

/* A quarter of the rows, and the whole source. */
static void rows_of_another_phase_are_not_written(void) {
    KernelTraffic traffic =
        traffic_of("buffer x : f32 inputs {elements=96}\nbuffer w : f32 inputs {elements=4}\n"
                   "buffer y : f32 outputs {elements=384}\n" PHASE("y.0", "[0, 0]")
                       PHASE("y.1", "[0, 1]") PHASE("y.2", "[1, 0]") PHASE("y.3", "[1, 1]"));
    CU_ASSERT_EQUAL(traffic.read, 4 * (96 + 4));
    CU_ASSERT_EQUAL(traffic.written, 4 * 96);
}

CU_TestInfo kernel_traffic_tests[] = {
    {"what is read twice moves once", what_is_read_twice_moves_once},
    {"rows that nobody asks for do not move", rows_that_nobody_asks_for_do_not_move},
    {"rows of another phase are not written", rows_of_another_phase_are_not_written},
    CU_TEST_INFO_NULL,
};
