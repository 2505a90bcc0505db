#include "base/text.h"
#include "ir/verify.h"
#include "tests/unit/frontend_suites.h"

#include <inttypes.h>
#include <string.h>

#define SUITE(tests)                                                                               \
    { #tests, NULL, NULL, NULL, NULL, tests }

CU_SuiteInfo harness_suites[] = {
    SUITE(frontend_values), SUITE(frontend_names),  SUITE(frontend_graphs),
    SUITE(frontend_files),  SUITE(frontend_models), CU_SUITE_INFO_NULL,
};

Built build_text(const char *text, const FrontendOptions *options) {
    Built built = {.arena = arena_create()};
    Diagnostics *diagnostics = diagnostics_create(built.arena, FRONTEND_ERROR_LIMIT);
    FrontendMemoryFile file = {"net.cnn", text, strlen(text)};
    FrontendMemory memory = {&file, 1};
    FrontendAccess access = frontend_memory_access(&memory);
    FrontendOptions none = {0};
    built.file = frontend_read(built.arena, diagnostics, "net.cnn", &access);
    if (built.file)
        built.graph = frontend_build(built.file, diagnostics, options ? options : &none);
    if (built.graph)
        CU_ASSERT_TRUE(verify_graph(built.graph, diagnostics));
    built.messages = diagnostics_text(diagnostics, false);
    return built;
}

void built_destroy(Built *built) {
    arena_destroy(built->arena);
}

Built build_quiet(const char *text, const FrontendOptions *options) {
    Built built = build_text(text, options);
    CU_ASSERT_STRING_EQUAL(built.messages, "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(built.graph);
    return built;
}

const char *segment_names(const Built *built) {
    Text out = text_create(built->arena);
    for (size_t i = 0; i < built->graph->segments.count; i++)
        text_append(&out, "%s%s", i ? " " : "", built->graph->segments.items[i].name);
    return out.data;
}

const char *state_names(const Built *built) {
    Text out = text_create(built->arena);
    for (size_t i = 0; i < built->graph->states.count; i++)
        text_append(&out, "%s%s", i ? " " : "", built->graph->states.items[i].name);
    return out.data;
}

const char *segment_shape(const Built *built, const char *name) {
    const Segment *segment = graph_find_segment(built->graph, name);
    Text out = text_create(built->arena);
    for (int d = 0; segment && d < segment->file_rank; d++)
        text_append(&out, "%s%" PRId64, d ? "x" : "", segment->file_shape[d]);
    return out.data;
}
