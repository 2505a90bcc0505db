/* Runs kernels in an order in which less memory is alive at once. */
#ifndef SPARKC_PASSES_SCHEDULE_H
#define SPARKC_PASSES_SCHEDULE_H

#include <stdbool.h>

#include "ir/kernel.h"
#include "passes/rewrites.h"

/* Reorders the kernels of a verified program where the largest sum of scratch that is alive at one
 * kernel becomes smaller by it; what each computes stays the same, bit for bit. True if it did;
 * that counts as one rewrite. `rewrites` may be NULL. */
bool schedule(Program *program, Rewrites *rewrites);

#endif
