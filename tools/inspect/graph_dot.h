/* A graph or a program as a drawing for Graphviz. */
#ifndef SPARKC_TOOLS_INSPECT_GRAPH_DOT_H
#define SPARKC_TOOLS_INSPECT_GRAPH_DOT_H

#include "base/text.h"
#include "tools/inspect/stages.h"

/* A digraph: a box per op (constants, parameters and states are left out) or per kernel, boxes
 * within boxes for the labels of their names, an arrow per value with its type or its bytes. */
char *graph_dot(Arena *arena, const Staged *staged);

/* Appends a name within quotes so that Graphviz shows it and nothing else. */
void graph_dot_name(Text *out, const char *name);

#endif
