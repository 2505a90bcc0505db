/* Programs of shipped networks at every stage: they verify, their texts read back, and the passes
 * go on from them to the same program as the straight run. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ir/kernel_parse.h"
#include "ir/kernel_print.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "tests/unit/program_fixture.h"
#include "tests/unit/program_suites.h"

/* The texts of the stages of a straight run. */
typedef struct Texts {
    Arena *arena;
    int count;
    const char *items[32], *stages[32];
} Texts;

static void add_text(Texts *texts, const char *stage, const char *text) {
    CU_ASSERT_FATAL(texts->count < 32);
    texts->stages[texts->count] = stage;
    texts->items[texts->count++] = text;
}

static void keep_graph(void *context, const PassInfo *pass, const Graph *graph, bool changed,
                       double seconds) {
    (void)pass, (void)changed, (void)seconds;
    Texts *texts = context;
    add_text(texts, graph->stage, print_graph_text(texts->arena, graph));
}

static void keep_program(void *context, const ProgramPassInfo *pass, const Program *program,
                         bool changed, double seconds) {
    (void)changed, (void)seconds;
    Texts *texts = context;
    add_text(texts, pass->name, kernel_print_text(texts->arena, program));
}

/* Runs what is left of the passes behind a stage; `graph` or `program` is where it starts. */
static const char *finish(Arena *arena, Graph *graph, Program *program, const PassOptions *options,
                          Texts *texts) {
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    ProgramBuild build = {.arena = arena, .graph = graph, .program = program};
    bool fine =
        program || passes_run(graph, options, NULL, diagnostics, texts ? keep_graph : NULL, texts);
    fine =
        fine && program_passes_run(&build, NULL, diagnostics, texts ? keep_program : NULL, texts);
    program_fixture_expect(diagnostics, fine, "the passes");
    return kernel_print_text(arena, build.program);
}

static Program *read_program(Arena *arena, const char *text) {
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    Program *program = kernel_parse(arena, diagnostics, "stage", text, strlen(text));
    program_fixture_expect(diagnostics, program != NULL, "reading a program");
    return program;
}

static Graph *read_graph(Arena *arena, const char *text) {
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    Graph *graph = parse_graph(arena, diagnostics, "stage", text, strlen(text));
    program_fixture_expect(diagnostics, graph != NULL, "reading a graph");
    return graph;
}

static void expect_same(const char *network, const char *stage, const char *expected,
                        const char *text) {
    bool same = strcmp(expected, text) == 0;
    if (!same)
        printf("\n    %s: from %s on comes another program", network, stage);
    CU_ASSERT(same);
}

/* Goes on from the text of a stage. */
static void check_stage(const Texts *texts, int stage, const char *network,
                        const PassOptions *options) {
    Arena *arena = arena_create();
    const char *text = texts->items[stage], *expected = texts->items[texts->count - 1];
    if (text_starts_with(text, "sparkc program")) {
        Program *program = read_program(arena, text);
        expect_same(network, texts->stages[stage], text, kernel_print_text(arena, program));
        expect_same(network, texts->stages[stage], expected,
                    finish(arena, NULL, program, options, NULL));
    } else {
        expect_same(network, texts->stages[stage], expected,
                    finish(arena, read_graph(arena, text), NULL, options, NULL));
    }
    arena_destroy(arena);
}

/* From the stage `first` on, counted from the end if negative. */
static void check_network(FrontendFile *file, const char *network, Entry entry, int first) {
    Arena *arena = arena_create();
    Texts texts = {.arena = arena};
    PassOptions options = pass_options_default();
    options.entry = entry;
    options.training =
        entry == ENTRY_TRAIN_STEP || entry == ENTRY_ACCUMULATE || entry == ENTRY_FINETUNE_STEP;
    options.batch = 2;
    finish(arena, program_fixture_network(arena, file, network), NULL, &options, &texts);
    for (int i = first < 0 ? texts.count + first : first; i < texts.count; i++)
        check_stage(&texts, i, network, &options);
    arena_destroy(arena);
}

static void test_every_stage(void) {
    static const Entry entries[] = {ENTRY_TRAIN_STEP, ENTRY_RECONSTRUCT,  ENTRY_FEATURES,
                                    ENTRY_LOGITS,     ENTRY_UPDATE,       ENTRY_ACCUMULATE,
                                    ENTRY_APPLY,      ENTRY_FINETUNE_STEP};
    Arena *arena = arena_create();
    FrontendFile *file = program_fixture_file(arena, "models/tutorial.cnn");
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        check_network(file, "tutorial", entries[i], 0);
    arena_destroy(arena);
}

/* All networks from all stages, or, as that takes long, of each file the first one from the last
 * graph on. */
static void check_file(const char *path, bool all) {
    Arena *arena = arena_create();
    FrontendFile *file = program_fixture_file(arena, path);
    size_t count, checked = 0;
    const FrontendNetwork *networks = frontend_networks(file, &count);
    for (size_t i = 0; i < count && (all || checked == 0); i++) {
        if (networks[i].template || networks[i].included)
            continue;
        check_network(file, networks[i].name, ENTRY_TRAIN_STEP, all ? 0 : -4);
        if (all)
            check_network(file, networks[i].name, ENTRY_FEATURES, 0);
        checked++;
    }
    CU_ASSERT(checked > 0);
    arena_destroy(arena);
}

static void test_models(void) {
    Arena *arena = arena_create();
    glob_t found = {0};
    glob(program_fixture_path(arena, "models/*.cnn"), 0, NULL, &found);
    CU_ASSERT(found.gl_pathc > 5);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check_file(arena_format(arena, "models/%s", strrchr(found.gl_pathv[i], '/') + 1),
                   getenv("SPARKC_ALL_NETWORKS") != NULL);
    globfree(&found);
    arena_destroy(arena);
}

static void refuse(const char *text, const char *message) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    ProgramBuild build = {.arena = arena, .program = read_program(arena, text)};
    CU_ASSERT_FALSE(program_passes_run(&build, NULL, diagnostics, NULL, NULL));
    CU_ASSERT_PTR_NOT_NULL(strstr(diagnostics_text(diagnostics, false), message));
    arena_destroy(arena);
}

static void test_unknown_stage(void) {
    refuse("sparkc program 1\nnetwork n\nstage somewhere\n"
           "geometry {batch=1, image=[8, 8], channels=3}\nend\n",
           "no pass of programs is called somewhere");
}

CU_TestInfo program_stages_tests[] = {
    {"every stage and entry of the tutorial network", test_every_stage},
    {"programs of shipped networks", test_models},
    {"a stage of no pass", test_unknown_stage},
    CU_TEST_INFO_NULL,
};
