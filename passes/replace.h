/* Replacing values while walking a graph forward, in time linear in the graph: a node that is
 * done keeps its successors in a side table under its mark, and each later node looks its operands
 * up. (graph_replace_uses walks the whole graph for every replacement.) */
#ifndef SPARKC_PASSES_REPLACE_H
#define SPARKC_PASSES_REPLACE_H

#include "ir/graph.h"

typedef struct Replacement {
    Value *results[OP_MAX_RESULTS]; /* NULL: the result stays */
} Replacement;

/* The marks of the graph's nodes must be 0 at first and are in use until replace_finish. */
typedef struct Replace {
    Graph *graph;
    VECTOR(Replacement) list;
} Replace;

/* From now on users of `old` shall read `by`, which comes before them in the graph. */
void replace_value(Replace *replace, Value *old, Value *by);

/* What stands for a value now; the value itself if it was not replaced. */
Value *replace_find(const Replace *replace, Value *value);

/* Makes a node read what stands for its operands. */
void replace_operands(const Replace *replace, Node *node);

/* The same, and `by`, a new value, takes the name of the old one. */
void replace_named(Replace *replace, Value *old, Value *by);

/* Removes the nodes of the graph with a result that was replaced. */
void replace_remove(Replace *replace);

/* Clears the marks. */
void replace_finish(Replace *replace);

#endif
