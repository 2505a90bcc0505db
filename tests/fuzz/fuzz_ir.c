/* Any bytes as the text of a graph: errors, or a graph that prints as a text that reads back as
 * the same graph. With libFuzzer (tests/fuzz/meson.build) or with tests/fuzz/replay.c. */
#include <stdint.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/parse.h"
#include "ir/print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(Arena *arena, const Graph *graph) {
    char *text = print_graph_text(arena, graph);
    Diagnostics *diagnostics = diagnostics_create(arena, 1);
    Graph *again = parse_graph(arena, diagnostics, "again", text, strlen(text));
    invariant(again, "the text of a graph does not read back: %s\n%s",
              diagnostics_text(diagnostics, false), text);
    invariant(strcmp(print_graph_text(arena, again), text) == 0,
              "the text of a graph reads back as another:\n%s", text);
    invariant(strcmp(print_graph_text(arena, graph_copy(graph, arena)), text) == 0,
              "a copy prints differently:\n%s", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    char *text = arena_copy_text(arena, (const char *)data, size);
    Graph *graph = parse_graph(arena, diagnostics, "fuzz", text, size);
    invariant(!graph == (diagnostics_error_count(diagnostics) > 0),
              "neither a graph nor an error, or both");
    diagnostics_text(diagnostics, true);
    if (graph)
        check_again(arena, graph);
    arena_destroy(arena);
    return 0;
}
