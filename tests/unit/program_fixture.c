#include "tests/unit/program_fixture.h"

#include <CUnit/CUnit.h>
#include <stdlib.h>

const char *program_fixture_path(Arena *arena, const char *path) {
    const char *folder = getenv("SPARKC_SOURCE");
    return arena_format(arena, "%s/%s", folder ? folder : ".", path);
}

void program_fixture_expect(const Diagnostics *diagnostics, bool fine, const char *what) {
    if (!fine)
        printf("\n%s: %s", what, diagnostics_text(diagnostics, false));
    CU_ASSERT_FATAL(fine);
}

FrontendFile *program_fixture_file(Arena *arena, const char *path) {
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    FrontendFile *file = frontend_read(arena, diagnostics, program_fixture_path(arena, path), NULL);
    program_fixture_expect(diagnostics, file != NULL, path);
    return file;
}

Graph *program_fixture_network(Arena *arena, FrontendFile *file, const char *network) {
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    FrontendOptions options = {.network = network};
    Graph *graph = frontend_build(file, diagnostics, &options);
    program_fixture_expect(diagnostics, graph != NULL, network ? network : "the network");
    return graph_copy(graph, arena);
}

void program_fixture_pass(Graph *graph, const PassOptions *options) {
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 5);
    bool fine = passes_run(graph, options, NULL, diagnostics, NULL, NULL);
    program_fixture_expect(diagnostics, fine, graph->network);
}

Program *program_fixture_program(Graph *graph) {
    ProgramBuild build = {.arena = graph->arena, .graph = graph};
    Status status = program_build(&build);
    if (!status_fine(status))
        printf("\n%s", status.message);
    CU_ASSERT_FATAL(status_fine(status));
    return build.program;
}
