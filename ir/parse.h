/* The graph from its text (docs/ir.md, "The text"). The text may come from anywhere: whatever it
 * holds, the result is a graph that verifies (ir/verify.h), or errors with file:line:column.
 *
 *     Arena *arena = arena_create();
 *     Diagnostics *diagnostics = diagnostics_create(arena, 20);
 *     Graph *graph = parse_graph_file(arena, diagnostics, "resnet50.ir"); */
#ifndef SPARKC_IR_PARSE_H
#define SPARKC_IR_PARSE_H

#include "base/diagnostics.h"
#include "ir/graph.h"
#include "ir/scan.h"

/* Limits of a text. It has at most SCAN_LARGEST_FILE bytes and SCAN_MOST_LINES lines as well. */
enum { PARSE_MOST_SEGMENTS = 100000, PARSE_MOST_STATES = 100000 };

/* Reads the graph in `text`, which has a zero behind its `length` bytes and outlives the
 * diagnostics; `file` is its name in messages. Everything is allocated from `arena`. NULL after
 * errors. */
Graph *parse_graph(Arena *arena, Diagnostics *diagnostics, const char *file, const char *text,
                   size_t length);

/* The same from a file on disk. */
Graph *parse_graph_file(Arena *arena, Diagnostics *diagnostics, const char *path);

/* ---- What the texts of both levels of IR share ----------------------------------------------- */

/* The lines "sparkc KIND VERSION", network, stage and geometry: an empty graph of that head, or
 * NULL after an error. */
Graph *parse_head(Scanner *scanner, const char *kind, int version);

/* True if the current line belongs to the tables (segment, state): it is added to the graph, or its
 * error reported. `allowed` false: tables must not stand here any more. */
bool parse_table_line(Scanner *scanner, Graph *graph, bool allowed);

/* Reports a text without its line `end`, or one that goes on behind it. */
void parse_end(Scanner *scanner, bool ended);

#endif
