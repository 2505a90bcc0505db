/* Names of values and kernels as paths of labels: "layer1.0.conv2" lies below "layer1.0". */
#ifndef SPARKC_TOOLS_INSPECT_LABELS_H
#define SPARKC_TOOLS_INSPECT_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/inspect/stages.h"

/* True if `name` is `layer` or lies below it. */
bool label_is_in(const char *name, const char *layer);

/* The labels of `name`; the length of the first `depth` of them. */
int label_depth(const char *name);
size_t label_prefix(const char *name, int depth);

/* The layer whose work a kernel is: the longest start of its name that is a layer with parameters;
 * else the name up to what differentiation appends. */
const char *label_layer(Arena *arena, const Program *program, const char *name);

/* The names of all values of a graph, or of all kernels of a program, in order. */
const char *const *label_names(Arena *arena, const Staged *staged, size_t *count);

/* Up to five names or parts of names that `name` may have been meant for, as "a, b or c": those
 * that it is a part of first. NULL if there are none. */
const char *label_near(Arena *arena, const Staged *staged, const char *name);

#endif
