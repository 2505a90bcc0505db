/* Counts the rewrites that could as well not happen, and stops them after the N-th: how the one is
 * found that breaks a network (docs/passes.md, "Finding the rewrite that breaks a network").
 *
 * Those of split, simplify, cse, dce, fuse_kernels and recompute, one by one; the order that
 * schedule finds, and that plan_memory lets buffers share memory, as one each. Without them a
 * program computes the same, only slower. Their order depends on nothing but the network and its
 * options. */
#ifndef SPARKC_PASSES_REWRITES_H
#define SPARKC_PASSES_REWRITES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Rewrites {
    int64_t limit;    /* how many may happen; negative: all */
    int64_t done;     /* how many did */
    const char *pass; /* of the last one; NULL: there was none */
    char what[256];   /* what it did */
} Rewrites;

/* True if one more may happen. `rewrites` NULL: always. */
bool rewrites_may(const Rewrites *rewrites);

/* Counts one that has happened in a pass; the rest says what was done to what. */
void rewrites_count(Rewrites *rewrites, const char *pass, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
