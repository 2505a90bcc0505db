/* What every stage after lowering relies on, proved of a program (docs/kernel-ir.md, "What the
 * verifier proves"): sizes multiply without overflow; every access of every kernel stays inside its
 * buffer and every tap inside the border of its level; every expression is well typed and fits its
 * buffers; scratch and outputs are written before they are read, and outputs completely; no element
 * is written twice by one kernel; what a kernel writes it reads at the same element only; nothing
 * reads parameters or states after their commit; position maps come from the cell list alone;
 * planned buffers lie inside their regions, and apart while both are alive. */
#ifndef SPARKC_IR_KERNEL_VERIFY_H
#define SPARKC_IR_KERNEL_VERIFY_H

#include "base/diagnostics.h"
#include "ir/kernel.h"

/* A walk has at most this many rows x channels, a buffer this many elements: sums of a few products
 * of strides and counts stay far below 2^63. */
#define KERNEL_CHECK_MOST_ELEMENTS (INT64_C(1) << 44)

/* The terms of a sum over taps, of all rows and channels of a kernel: those of all kernels that a
 * text can hold add up to less than 2^63. */
#define KERNEL_CHECK_MOST_TERMS (INT64_C(1) << 46)

/* Reports all violations, at most one per kernel, with the kernel's name and location. True if
 * there are none. A violation in a lowered program is an internal error of the caller's, in a text
 * the user's mistake. */
bool kernel_verify(const Program *program, Diagnostics *diagnostics);

/* Where the tables of a program stand in its text. */
typedef struct KernelPlaces {
    Location head;                    /* of what has no line of its own */
    const Location *buffers, *levels; /* by their index */
} KernelPlaces;

/* The same for a program that is being read: what is wrong with its tables is reported there. */
bool kernel_verify_text(const Program *program, const KernelPlaces *places,
                        Diagnostics *diagnostics);

#endif
