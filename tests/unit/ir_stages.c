/* Every shipped network at every stage, forward and training: its text reads back as itself, and
 * the pipeline goes on from the text to the same graph as the straight run. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "passes/passes.h"
#include "tests/unit/harness.h"

/* The straight run of a network's pipeline. */
typedef struct Run {
    Arena *arena;
    const char *network;
    const PassOptions *options;
    Graph *read; /* from the text of the stage before; NULL: none yet */
    int stages;
} Run;

/* The graph of a text, or a failure of the test. */
static Graph *read_text(const Run *run, const char *text) {
    Diagnostics *diagnostics = diagnostics_create(run->arena, 3);
    Graph *graph = parse_graph(run->arena, diagnostics, run->network, text, strlen(text));
    if (!graph)
        printf("\n%s", diagnostics_text(diagnostics, false));
    CU_ASSERT_FATAL(graph != NULL);
    return graph;
}

static void check_equal(const Run *run, const char *stage, const Graph *graph, const char *text) {
    bool equal = strcmp(print_graph_text(run->arena, graph), text) == 0;
    if (!equal)
        printf("\n    %s differs after %s", run->network, stage);
    CU_ASSERT(equal);
}

/* The text of the stage before, read and taken through the pass, must give the text after it. */
static void check_stage(void *context, const PassInfo *pass, const Graph *graph, bool changed,
                        double seconds) {
    (void)changed, (void)seconds;
    Run *run = context;
    char *text = print_graph_text(run->arena, graph);
    if (pass) {
        Diagnostics *diagnostics = diagnostics_create(run->arena, 3);
        CU_ASSERT(passes_run(run->read, run->options, pass->name, diagnostics, NULL, NULL));
        check_equal(run, pass->name, run->read, text);
    }
    run->read = read_text(run, text);
    check_equal(run, graph->stage, run->read, text);
    run->stages++;
}

static void check_network(FrontendFile *file, const char *network, Entry entry) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    FrontendOptions frontend = {.network = network};
    PassOptions options = pass_options_default();
    Run run = {.arena = arena, .network = network, .options = &options};
    options.entry = entry;
    options.batch = 2;
    Graph *built = frontend_build(file, diagnostics, &frontend);
    CU_ASSERT_FATAL(built != NULL);
    Graph *graph = graph_copy(built, arena);
    CU_ASSERT(passes_run(graph, &options, NULL, diagnostics, check_stage, &run));
    if (diagnostics_error_count(diagnostics) > 0)
        printf("\n%s", diagnostics_text(diagnostics, false));
    int passes;
    passes_list(&passes);
    CU_ASSERT_EQUAL(run.stages, passes + 1);
    arena_destroy(arena);
}

static size_t check_file(const char *path) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    FrontendFile *file = frontend_read(arena, diagnostics, path, NULL);
    CU_ASSERT_FATAL(file != NULL);
    size_t count, checked = 0;
    const FrontendNetwork *networks = frontend_networks(file, &count);
    for (size_t i = 0; i < count; i++) {
        if (networks[i].template || networks[i].included)
            continue;
        check_network(file, networks[i].name, ENTRY_TRAIN_STEP);
        check_network(file, networks[i].name, ENTRY_FEATURES);
        checked++;
    }
    arena_destroy(arena);
    return checked;
}

static void test_models(void) {
    const char *folder = getenv("SPARKC_SOURCE");
    Arena *arena = arena_create();
    glob_t found = {0};
    size_t networks = 0;
    glob(arena_format(arena, "%s/models/*.cnn", folder ? folder : "."), 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++)
        networks += check_file(found.gl_pathv[i]);
    printf("\n    %zu networks in %zu files ", networks, found.gl_pathc);
    CU_ASSERT(networks > 0);
    globfree(&found);
    arena_destroy(arena);
}

static CU_TestInfo tests[] = {{"every network at every stage", test_models}, CU_TEST_INFO_NULL};

CU_SuiteInfo harness_suites[] = {{.pName = "text of every stage", .pTests = tests},
                                 CU_SUITE_INFO_NULL};
