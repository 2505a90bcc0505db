/* Any bytes as a `.cnn` file, or (behind a first line "--set") as the text of --set: errors, or
 * graphs that verify, of all networks that are complete. With libFuzzer or with
 * tests/fuzz/replay.c. */
#include <stdint.h>
#include <string.h>

#include "base/fatal.h"
#include "frontend/frontend.h"
#include "ir/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char set_line[] = "--set\n";

static const char target[] =
    "network target(image = [3, 16, 16], width = 8, norm = batch_norm, depths = [1, 2]) {\n"
    "    x = image\n"
    "    for i in 0..len(depths) {\n"
    "        for j in 0..depths[i] { x = x |> conv{i}.{j}: conv(width, kernel = 1) |> norm{i}.{j}: "
    "norm }\n"
    "        x = x |> max_pool(2)\n"
    "        feature x\n"
    "    }\n"
    "}\n";

static const char other[] = "block other(x, n = 4) { return x |> conv1: conv(n, kernel = 1) }\n";

enum { MOST_NETWORKS = 8 };

static void build(FrontendFile *file, Diagnostics *diagnostics, const FrontendOptions *options) {
    int before = diagnostics_error_count(diagnostics);
    Graph *graph = frontend_build(file, diagnostics, options);
    int after = diagnostics_error_count(diagnostics);
    invariant(!graph == (after > before), "neither a graph nor an error, or both:\n%s",
              diagnostics_text(diagnostics, false));
    if (graph)
        invariant(verify_graph(graph, diagnostics), "the graph does not verify:\n%s",
                  diagnostics_text(diagnostics, false));
}

static void build_all(FrontendFile *file, Diagnostics *diagnostics) {
    size_t count;
    const FrontendNetwork *networks = frontend_networks(file, &count);
    for (size_t i = 0; i < count && i < MOST_NETWORKS; i++) {
        FrontendOptions options = {.network = networks[i].name};
        if (!networks[i].template)
            build(file, diagnostics, &options);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    char *text = arena_copy_text(arena, (const char *)data, size);
    bool setting = strncmp(text, set_line, strlen(set_line)) == 0;
    FrontendMemoryFile files[] = {
        {"fuzz.cnn", setting ? target : text, setting ? strlen(target) : size},
        {"other.cnn", other, strlen(other)}};
    FrontendMemory memory = {files, 2};
    FrontendAccess access = frontend_memory_access(&memory);
    FrontendFile *file = frontend_read(arena, diagnostics, "fuzz.cnn", &access);
    invariant(!file == (diagnostics_error_count(diagnostics) > 0),
              "neither a file nor an error, or both");
    const char *settings[] = {text + (setting ? strlen(set_line) : 0)};
    FrontendOptions options = {.settings = settings, .setting_count = 1};
    if (file && setting)
        build(file, diagnostics, &options);
    else if (file)
        build_all(file, diagnostics);
    diagnostics_text(diagnostics, true);
    arena_destroy(arena);
    return 0;
}
