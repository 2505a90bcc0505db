/* Kernel fusion: a map moves to where its values are read or made, and the buffer between
 * disappears.
 *
 *     t = map(x);   y = map(t, z)      ->  y = map(x, z)
 *     t = map(x);   s = reduce(t)      ->  s = reduce(x), the map as its prologue
 *     t = contract; y = map(t, z)      ->  y = contract, the map as its epilogue; so windows
 *     t = map(x);   y = map(t); other readers of t  ->  one map that writes both
 *
 * Only values that are read at the element where they are made move; no value is computed twice,
 * and no operation changes, so the results are the same bits. The fused kernel runs where the later
 * one was. */
#ifndef SPARKC_PASSES_FUSE_KERNELS_H
#define SPARKC_PASSES_FUSE_KERNELS_H

#include "ir/kernel.h"
#include "passes/rewrites.h"

/* Fuses until nothing more does, before plan_memory; returns how many kernels are gone. The last
 * rule above, which saves a kernel but no buffer, comes after the others. `rewrites` counts the
 * fusions and may stop them; NULL: nobody counts. */
int fuse_kernels(Program *program, Rewrites *rewrites);

#endif
