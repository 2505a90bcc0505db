/* Which elements of which buffers a kernel touches, as boxes of strides. What the verifier proves,
 * and what lifetimes are computed from. */
#ifndef SPARKC_IR_KERNEL_FOOTPRINT_H
#define SPARKC_IR_KERNEL_FOOTPRINT_H

#include "ir/kernel.h"

enum { FOOTPRINT_DIMENSIONS = 4, FOOTPRINT_MAX = KERNEL_MAX_USES };

/* The elements base + sum of i[d] * stride[d], 0 <= i[d] < count[d]. */
typedef struct Footprint {
    int buffer;
    bool write;
    const char *what; /* "operand 2", "the weight": for messages */
    int number;       /* of the operand or output, -1 if there is just one */
    bool
        same_element; /* read or written at the row and channel that are walked: in place is safe */
    int64_t most;     /* elements that can be needed of the box; 0: all of them */
    int64_t base;
    int64_t count[FOOTPRINT_DIMENSIONS], stride[FOOTPRINT_DIMENSIONS];
    const Space *phase_space; /* of dimension 1 only the rows in the kernel's phase; NULL: all */
    const TapSet *phase;
} Footprint;

/* All footprints of a kernel whose own fields are legal (ir/kernel_check.h); returns how many.
 * Position maps and the cell list count as read where the kernel meets a masked space. */
int kernel_footprints(const Program *program, const Kernel *kernel,
                      Footprint footprints[FOOTPRINT_MAX]);

/* Both walk the same elements, in the same order, of the same or of different buffers. */
bool footprint_same_box(const Footprint *a, const Footprint *b);

/* Bytes that a kernel has to move: each element that it needs is read once, each that it makes is
 * written once, however often the kernel does. */
typedef struct KernelTraffic {
    int64_t read, written;
} KernelTraffic;
KernelTraffic kernel_traffic(const Program *program, const Kernel *kernel);

/* The shape of a reduction's result: its images, rows of an image, channels. */
typedef struct ReductionShape {
    int64_t images, rows, channels;
} ReductionShape;
ReductionShape kernel_reduction_shape(const Program *program, const Kernel *kernel);

/* True if row `row` of a space is in the phase of a tap set. Depends on no cell list: cells are a
 * whole number of steps wide. */
bool kernel_row_in_phase(const Geometry *geometry, const Space *space, const TapSet *taps,
                         int64_t row);

#endif
