/* The pipeline: its table, where it starts and stops, what it reports. */
#include <string.h>

#include "ir/print.h"
#include "passes/passes.h"
#include "tests/support/network.h"
#include "tests/unit/passes_suites.h"

static const SmallNetwork network = {
    .levels = 2, .batch = 1, .height = 16, .width = 16, .batch_norm = true, .head = true};

/* Each pass finds what it needs, and something is said of it. */
static void rows_fit_together(void) {
    int count;
    const PassInfo *passes = passes_list(&count);
    unsigned facts = 0;
    for (int i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(passes[i].needs & ~facts, 0);
        CU_ASSERT_TRUE(strlen(passes[i].help) > 0);
        facts = (facts & passes[i].keeps) | passes[i].gives;
    }
    CU_ASSERT_EQUAL(facts, FACT_ENTRY | FACT_MASKED | FACT_LOSS | FACT_PRIMITIVE | FACT_GRADIENTS |
                               FACT_UPDATE | FACT_UNIQUE | FACT_LIVE);
}

typedef struct Trace {
    Text names;
    int negative; /* durations below 0 */
} Trace;

static void record(void *context, const PassInfo *pass, const Graph *graph, bool changed,
                   double seconds) {
    Trace *trace = context;
    const char *name = pass ? pass->name : "start";
    CU_ASSERT_STRING_EQUAL(graph->stage, pass ? pass->name : "frontend");
    text_append(&trace->names, "%s%s ", name, changed ? "+" : "");
    trace->negative += seconds < 0;
}

static void observer_sees_every_pass(void) {
    Arena *arena = arena_create();
    Graph *graph = small_network(arena, &network);
    PassOptions options = pass_options_default();
    options.decoder_width = 16;
    Trace trace = {.names = text_create(arena)};
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    CU_ASSERT_TRUE(passes_run(graph, &options, NULL, diagnostics, record, &trace));
    CU_ASSERT_STRING_EQUAL(trace.names.data,
                           "start select+ sparsify+ objective+ expand+ split+ autodiff+ "
                           "optimizer+ simplify+ cse+ dce+ ");
    CU_ASSERT_EQUAL(trace.negative, 0);
    arena_destroy(arena);
}

/* Stopping after each pass and going on with the next gives the graph of one run. */
static void runs_go_on_where_they_stopped(void) {
    Arena *arena = arena_create();
    Graph *whole = small_network(arena, &network), *parts = small_network(arena, &network);
    PassOptions options = pass_options_default();
    options.decoder_width = 16;
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    CU_ASSERT_TRUE(passes_run(whole, &options, NULL, diagnostics, NULL, NULL));
    int count;
    const PassInfo *passes = passes_list(&count);
    for (int i = 0; i < count; i++) {
        CU_ASSERT_TRUE(passes_run(parts, &options, passes[i].name, diagnostics, NULL, NULL));
        CU_ASSERT_STRING_EQUAL(parts->stage, passes[i].name);
    }
    CU_ASSERT_STRING_EQUAL(print_graph_text(arena, parts), print_graph_text(arena, whole));
    arena_destroy(arena);
}

static void errors_stop_the_run(void) {
    Arena *arena = arena_create();
    Graph *graph = small_network(arena, &network);
    PassOptions options = pass_options_default();
    options.mask_ratio = 2;
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    CU_ASSERT_FALSE(passes_run(graph, &options, NULL, diagnostics, NULL, NULL));
    CU_ASSERT_EQUAL(diagnostics_error_count(diagnostics), 1);
    CU_ASSERT_STRING_EQUAL(graph->stage, "select");
    arena_destroy(arena);
}

/* Every entry, in both modes, with every optimizer. */
static void every_entry_compiles(void) {
    for (int entry = ENTRY_FEATURES; entry <= ENTRY_FINETUNE_STEP; entry++) {
        for (int kind = OPTIMIZER_LAMB; kind <= OPTIMIZER_SGD; kind++) {
            Arena *arena = arena_create();
            Graph *graph = small_network(arena, &network);
            PassOptions options = pass_options_default();
            options.entry = (Entry)entry;
            options.optimizer = (OptimizerKind)kind;
            options.training = entry == ENTRY_TRAIN_STEP || entry == ENTRY_ACCUMULATE ||
                               entry == ENTRY_FINETUNE_STEP;
            options.decoder_width = 16;
            Diagnostics *diagnostics = diagnostics_create(arena, 5);
            CU_ASSERT_TRUE(passes_run(graph, &options, NULL, diagnostics, NULL, NULL));
            CU_ASSERT_STRING_EQUAL(diagnostics_text(diagnostics, false), "");
            arena_destroy(arena);
        }
    }
}

/* The tables of an entry's graph as they are printed, without its ops. */
static const char *tables(Arena *arena, Entry entry, OptimizerKind kind) {
    Graph *graph = small_network(arena, &network);
    PassOptions options = pass_options_default();
    options.entry = entry;
    options.optimizer = kind;
    options.decoder_width = 16;
    CU_ASSERT_TRUE(passes_run(graph, &options, NULL, diagnostics_create(arena, 5), NULL, NULL));
    const char *text = print_graph_text(arena, graph), *ops = strstr(text, "\n%");
    CU_ASSERT_PTR_NOT_NULL_FATAL(ops);
    return arena_copy_text(arena, text, (size_t)(ops - text));
}

/* Else their programs could not work on the same memory. */
static void accumulate_and_apply_have_the_same_tables(void) {
    for (int kind = OPTIMIZER_LAMB; kind <= OPTIMIZER_SGD; kind++) {
        Arena *arena = arena_create();
        const char *accumulate = tables(arena, ENTRY_ACCUMULATE, (OptimizerKind)kind);
        CU_ASSERT_STRING_EQUAL(tables(arena, ENTRY_APPLY, (OptimizerKind)kind), accumulate);
        CU_ASSERT_PTR_NOT_NULL(strstr(accumulate, "state gradients : f32<flat>"));
        CU_ASSERT_PTR_NOT_NULL(
            strstr(accumulate, kind == OPTIMIZER_SGD ? "momentum_buffer" : "exp_avg_sq"));
        arena_destroy(arena);
    }
}

CU_TestInfo passes_pipeline_tests[] = {
    {"rows fit together", rows_fit_together},
    {"the observer sees every pass", observer_sees_every_pass},
    {"runs go on where they stopped", runs_go_on_where_they_stopped},
    {"errors stop the run", errors_stop_the_run},
    {"every entry compiles", every_entry_compiles},
    {"accumulate and apply have the same tables", accumulate_and_apply_have_the_same_tables},
    CU_TEST_INFO_NULL,
};
