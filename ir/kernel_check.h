/* Whether the fields of one kernel are legal by themselves: words in range, divisors not 0, spaces
 * of the program's geometry, taps inside the border, expressions well typed. Afterwards its
 * footprints can be computed. Private to ir/. */
#ifndef SPARKC_IR_KERNEL_CHECK_H
#define SPARKC_IR_KERNEL_CHECK_H

#include "base/diagnostics.h"
#include "ir/kernel.h"
#include "ir/kernel_verify.h"

/* What is being checked, and whether it was fine so far. */
typedef struct Check {
    const Program *program;
    const Kernel *kernel; /* NULL: the program's own tables */
    Diagnostics *diagnostics;
    const struct KernelPlaces *places; /* of the tables in a text; NULL: there is none */
    Location place;                    /* of what is being checked of the tables */
} Check;

/* Reports "kernel NAME: ..." at the kernel's location, or "program: ..." at the place; returns
 * false. */
bool kernel_check_fail(const Check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A space that this program can have. `what` is for messages. */
bool kernel_check_space(const Check *check, const Space *space, const char *what);

/* The whole kernel. The program's tables have been checked before. */
bool kernel_check(const Check *check);

#endif
