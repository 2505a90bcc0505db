/* The local rewrites of the simplify pass, as data: for its tests and its documentation. */
#ifndef SPARKC_PASSES_SIMPLIFY_H
#define SPARKC_PASSES_SIMPLIFY_H

#include <stdbool.h>

#include "ir/builder.h"

/* The value that can stand for the node's only result, or NULL if the rewrite does not apply. New
 * ops go in front of the node, the one returned last. */
typedef Value *RewriteRule(Builder *builder, const Node *node);

typedef struct Rewrite {
    Op op;            /* at which it starts */
    const char *text; /* before -> after */
    bool exact;       /* equal bit for bit, but for the sign of a zero; else another rounding */
    RewriteRule *apply;
} Rewrite;

/* All rewrites; `count` is set. */
const Rewrite *simplify_rewrites(int *count);

#endif
