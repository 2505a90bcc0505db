/* Programs of kernels written as text and run once, over 2 images of 8 x 12 x 3 in cells of 4 x 4,
 * of which {0, 2, 5} and {1, 3, 4} of 6 are visible. All numbers that are set are multiples of 1/8
 * below 2, so that short sums of products are exact. */
#ifndef SPARKC_TESTS_UNIT_KERNEL_FIXTURE_H
#define SPARKC_TESTS_UNIT_KERNEL_FIXTURE_H

#include "ir/interpret/kernel_interpret.h"

enum { FIXTURE_BATCH = 2, FIXTURE_HEIGHT = 8, FIXTURE_WIDTH = 12, FIXTURE_KEEP = 3 };

typedef struct KernelFixture {
    Arena *arena;
    Program *program;
    KernelInterpreter *interpreter;
} KernelFixture;

/* The head of the text of every program: version, network, stage, geometry. */
extern const char kernel_fixture_head[];

/* The lines that declare the cell list and the position maps of strides 1 and 2 with a border of 2,
 * and the kernels that build them. */
extern const char kernel_fixture_levels[], kernel_fixture_maps[];

/* Reads head + body + "end"; a text that does not verify ends the test. */
KernelFixture kernel_fixture_create(const char *body);
void kernel_fixture_destroy(KernelFixture *fixture);

/* Gives the cell list of a program that has one; kernel_fixture_create has done so. */
void kernel_fixture_give_cells(KernelInterpreter *values, Arena *arena);

/* Gives an input numbers that depend on its name, and returns them in dense x mask form. `type` as
 * in the IR's text. */
const double *kernel_fixture_input(KernelFixture *fixture, const char *name, const char *type);

/* Gives an input these numbers. */
void kernel_fixture_set(KernelFixture *fixture, const char *name, const char *type,
                        const double *data);

/* Runs the program. */
void kernel_fixture_run(KernelFixture *fixture);

/* An output in dense x mask form. */
const double *kernel_fixture_output(KernelFixture *fixture, const char *name, const char *type);

/* True if the position of an image of stride `stride` is in a visible cell. */
bool kernel_fixture_visible(int64_t stride, int64_t image, int64_t y, int64_t x);

#endif
