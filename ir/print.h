/* The graph as text (docs/ir.md, "The text"). It holds everything that the graph does, parses back
 * to the same graph (ir/parse.h), and depends on nothing else: no addresses, no times. Only ASCII.
 */
#ifndef SPARKC_IR_PRINT_H
#define SPARKC_IR_PRINT_H

#include "base/text.h"
#include "ir/graph.h"

/* Raised whenever the text, or what a text means, changes. */
enum { PRINT_GRAPH_VERSION = 1 };

/* Appends the text of a graph (docs/ir.md, "The text"). */
void print_graph(Text *out, const Graph *graph);

/* The same in an arena. */
char *print_graph_text(Arena *arena, const Graph *graph);

/* The head and the tables of a text of either level of IR: "sparkc KIND VERSION", network, stage,
 * geometry, segments, states. */
void print_tables(Text *out, const char *kind, int version, const Graph *graph);

/* One row of the tables: its line. */
void print_segment(Text *out, const Segment *segment);
void print_state(Text *out, const StateSlot *state);

/* One op: its line, without the line's end. */
void print_node(Text *out, const Node *node);

/* A name: bare if it consists of letters, digits and _ . - only, else quoted. */
void print_name(Text *out, const char *name);

/* A text in quotes; what is not printable ASCII is written as \xNN. */
void print_quoted(Text *out, const char *text);

/* The fewest digits that read back as the same double; whole numbers below 1e15 without exponent.
 */
void print_number(Text *out, double value);

/* " @file:line:column", with "+width" unless that is 1; nothing if the location has no file. */
void print_location(Text *out, const Location *location);

/* " {name=value, ...}" without those that have their default; nothing if none is left. */
void print_attributes(Text *out, const AttributeInfo *infos, int count, const Attribute *values);

#endif
