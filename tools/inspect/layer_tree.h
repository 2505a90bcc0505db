/* Names as a tree of labels: layer1.0.conv2 lies in 0, which lies in layer1. */
#ifndef SPARKC_TOOLS_INSPECT_LAYER_TREE_H
#define SPARKC_TOOLS_INSPECT_LAYER_TREE_H

#include "base/arena.h"
#include "base/vector.h"

typedef struct LayerTree LayerTree;

struct LayerTree {
    const char *label;            /* the last one of its name; "" of the root */
    const char *name;             /* the labels on the way to it, joined by points */
    VECTOR(LayerTree *) children; /* in the order they were first met */
    VECTOR(int) items;            /* what lies here, not below, in the order it was added */
    struct LabelEntry *index;     /* of the children */
};

/* Names with more labels end at this depth: what stands behind is one label. */
enum { LAYER_TREE_DEPTH = 8 };

/* An empty root. */
LayerTree *layer_tree_create(Arena *arena);

/* The layer of a name, made if it is new; "" is the root. */
LayerTree *layer_tree_find(Arena *arena, LayerTree *root, const char *name);

#endif
