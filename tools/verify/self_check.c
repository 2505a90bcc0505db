#include "tools/verify/self_check.h"

#include <inttypes.h>
#include <string.h>

#include "base/machine.h"
#include "base/text.h"
#include "codegen/cpu/cpu.h"
#include "passes/program.h"
#include "passes/settings.h"
#include "runtime/weights.h"
#include "tools/execute/synthetic_fill.h"
#include "tools/verify/op_check.h"

typedef struct EntryCase {
    const char *name, *output; /* the output of the network that it needs, or NULL */
    Entry entry;
    bool training;
} EntryCase;

static const EntryCase entries[] = {
    {"train_step", "feature.0", ENTRY_TRAIN_STEP, true},
    {"apply", "feature.0", ENTRY_APPLY, true},
    {"reconstruct", "feature.0", ENTRY_RECONSTRUCT, false},
    {"features", "feature.0", ENTRY_FEATURES, false},
    {"logits", "logits", ENTRY_LOGITS, false},
    {"finetune_step", "logits", ENTRY_FINETUNE_STEP, true},
};
/* Of whole runs in double, where a rewrite that is right moves the last bits at most. */
static const double rewrites_tolerance = 1e-6;

/* The pass behind which there are only rewrites that could as well not happen. */
static const char last_required[] = "optimizer";

enum { ENTRY_CASES = sizeof entries / sizeof *entries };

/* One entry while it is checked. */
typedef struct Checked {
    Arena *arena;
    const SelfCheckOptions *options;
    const EntryCase *entry;
    PassOptions pass;
    Graph *graph;
    Graph *before; /* as it was before the rewrites; NULL: that is not compared */
    Program *program;
    LoweredValues values;
    Interpreter *interpreter;
    CpuModule *module;
    RunCode code;
    Comparison *comparison;
} Checked;

/* ---- Setting everything, the same for all that run it ---------------------------------------- */

/* Of the interpreter and a run; either may be NULL. */
static Status fill(const Checked *checked, Interpreter *interpreter, const ProgramRun *run) {
    SyntheticFill values = {.arena = checked->arena,
                            .graph = checked->graph,
                            .options = &checked->pass,
                            .seed = checked->options->seed,
                            .lively = true};
    int count = 0;
    if (interpreter)
        values.receivers[count++] = synthetic_to_interpreter(interpreter);
    if (run)
        values.receivers[count++] = synthetic_to_kernels(program_run_values(run));
    return synthetic_fill(&values);
}

/* ---- Before and after the rewrites ----------------------------------------------------------- */

/* One of both graphs, run as a whole. */
static Status run_graph(const Checked *checked, const Graph *graph, Interpreter **run) {
    Checked own = *checked;
    own.graph = (Graph *)(uintptr_t)graph;
    *run = interpreter_create(graph);
    status_return_if_failed(fill(&own, *run, NULL));
    return interpreter_run(*run, checked->arena);
}

static void compare_tensors(const Checked *checked, const char *name, Tensor actual,
                            Tensor expected) {
    const char *tensor = arena_format(checked->arena, "%s: %s", checked->entry->name, name);
    compare_values(checked->comparison, "rewrites", tensor, actual.data, expected.data,
                   expected.count);
}

static void compare_runs(const Checked *checked, Interpreter *actual, Interpreter *expected) {
    const Graph *graph = checked->graph;
    for (const Node *node = graph->first; node; node = node->next) {
        const char *name = node->op == OP_output ? node_text(node, "name") : NULL;
        if (name)
            compare_tensors(checked, name, interpreter_output(actual, name),
                            interpreter_output(expected, name));
    }
    for (size_t i = 0; i < graph->segments.count; i++) {
        const char *name = graph->segments.items[i].name;
        compare_tensors(checked, name, interpreter_param(actual, name),
                        interpreter_param(expected, name));
    }
    for (size_t i = 0; i < graph->states.count; i++) {
        const char *name = graph->states.items[i].name;
        compare_tensors(checked, name, interpreter_state(actual, name),
                        interpreter_state(expected, name));
    }
}

static Status check_rewrites(const Checked *checked, const Graph *before) {
    Interpreter *expected = NULL, *actual = NULL;
    Status status = run_graph(checked, before, &expected);
    if (status_fine(status))
        status = run_graph(checked, checked->graph, &actual);
    if (status_fine(status))
        compare_runs(checked, actual, expected);
    interpreter_destroy(actual);
    interpreter_destroy(expected);
    return status;
}

/* ---- One entry ------------------------------------------------------------------------------- */

static void record(void *context, const OpCheckResult *result) {
    const Checked *checked = context;
    const Value *value = result->value;
    double scale = result->scale > 0 ? result->scale : 1;
    const char *tensor = arena_format(checked->arena, "%s: %s[%zu]", checked->entry->name,
                                      value->name, result->worst.element);
    compare_error_within(checked->comparison, op_info(value->node->op)->name, "max", tensor,
                         result->worst.error / scale, result->worst.bound / scale);
}

static Status check_ops(const Checked *checked, ProgramRun *run) {
    OpCheck check = {checked->interpreter, checked->graph, checked->program, &checked->values, run};
    status_return_if_failed(fill(checked, checked->interpreter, run));
    Checked *context = (Checked *)(uintptr_t)checked;
    return op_check_run(&check, checked->arena, record, context);
}

/* The same program in other memory must leave the same bits. */
static Status check_memory(const Checked *checked, const ProgramRun *checked_run) {
    static const RunMemory memories[] = {RUN_PLANNED, RUN_POISONED};
    for (size_t i = 0; checked->code.plan && i < sizeof memories / sizeof *memories; i++) {
        ProgramRun *run = NULL;
        Status status = program_run_create(checked->arena, &checked->code, memories[i], &run);
        if (status_fine(status))
            status = fill(checked, NULL, run);
        if (status_fine(status))
            status = program_run_all(run, checked->arena);
        if (status_fine(status))
            status = program_run_compare(checked_run, program_run_buffers(run), checked->arena);
        program_run_destroy(run);
        status_return_if_failed(status);
    }
    return STATUS_FINE;
}

/* The interpreter's values, which take the most memory, go before the program runs in others. */
static Status check_run(Checked *checked) {
    bool guarded = checked->options->check_memory || checked->options->interpret;
    ProgramRun *run = NULL;
    checked->interpreter = interpreter_create(checked->graph);
    Status status = program_run_create(checked->arena, &checked->code,
                                       guarded ? RUN_GUARDED : RUN_PLANNED, &run);
    if (status_fine(status))
        status = check_ops(checked, run);
    interpreter_destroy(checked->interpreter);
    if (status_fine(status) && checked->options->check_memory)
        status = check_memory(checked, run);
    program_run_destroy(run);
    return status;
}

static Status compile(Checked *checked, CpuTarget *target) {
    const ExecutorOptions *run = &checked->options->run;
    CpuStatistics statistics;
    Plan *plan;
    status_return_if_failed(cpu_target(checked->arena, NULL, run->cpu, false, target));
    CpuOptions cpu = {.target = target,
                      .threads = run->threads,
                      .cache = run->cache,
                      .tuning = run->tuning,
                      .dump_dir = run->dump_dir};
    status_return_if_failed(
        cpu_compile(checked->arena, checked->program, &cpu, &checked->module, &plan, &statistics));
    checked->code.plan = plan;
    return threads_create(checked->arena, run->threads, &checked->code.threads);
}

static Status check_program(Checked *checked) {
    CpuTarget target;
    Status status = checked->options->interpret ? STATUS_FINE : compile(checked, &target);
    if (status_fine(status))
        status = check_run(checked);
    threads_destroy(checked->code.threads);
    cpu_module_destroy(checked->module);
    return status;
}

/* ---- How much memory that takes -------------------------------------------------------------- */

/* With `check_memory` a second run stands beside the first, when the interpreter is gone. */
static uint64_t needed_memory(const Checked *checked) {
    OpCheck check = {
        .graph = checked->graph, .program = checked->program, .values = &checked->values};
    uint64_t checking = op_check_memory(&check), runs = 0;
    for (int region = 0; checked->options->check_memory && region <= REGION_SCRATCH; region++)
        runs += 2 * (uint64_t)kernel_region_bytes(checked->program, (Region)region);
    return checking > runs ? checking : runs;
}

static Status refuse_large(const Checked *checked) {
    uint64_t needed = needed_memory(checked), free = checked->options->memory;
    if (free == 0)
        free = machine_free_memory();
    if (needed <= free)
        return STATUS_FINE;
    bool updates = checked->entry->training && checked->pass.optimizer != OPTIMIZER_SGD;
    return status_failure(checked->arena,
                          "checking every value in double takes about %.2f GB of memory, and %.2f "
                          "GB are free; %sa smaller --input, --batch or --decoder-width, or a "
                          "smaller network by --set, takes less",
                          1e-9 * (double)needed, 1e-9 * (double)free,
                          updates ? "--optimizer sgd, " : "");
}

/* ---- All entries ----------------------------------------------------------------------------- */

/* The entry's graph and program, in the arena `own`. */
static Status prepare(Arena *own, const Graph *network, const SelfCheckOptions *options,
                      const EntryCase *entry, Diagnostics *diagnostics, Checked *checked) {
    *checked = (Checked){.arena = own,
                         .options = options,
                         .entry = entry,
                         .pass = options->pass,
                         .graph = graph_copy(network, own)};
    checked->pass.entry = entry->entry;
    checked->pass.training = checked->pass.stochastic = entry->training;
    bool fine = passes_run(checked->graph, &checked->pass, last_required, diagnostics, NULL, NULL);
    if (fine && options->check_rewrites)
        checked->before = graph_copy(checked->graph, own);
    if (!fine || !passes_run(checked->graph, &checked->pass, NULL, diagnostics, NULL, NULL))
        return status_failure(own, "the network cannot be run like this");
    ProgramBuild build = {.arena = own,
                          .graph = checked->graph,
                          .values = &checked->values,
                          .rewrites = checked->pass.rewrites,
                          .precision = checked->pass.precision};
    status_return_if_failed(program_build(&build));
    checked->code.program = checked->program = build.program;
    return STATUS_FINE;
}

/* What is done with an entry that is prepared; failures are in its arena. */
typedef Status Visit(Checked *checked, void *context);

static Status visit_entry(Arena *arena, const Graph *network, const SelfCheckOptions *options,
                          const EntryCase *entry, Diagnostics *diagnostics, Visit *visit,
                          void *context) {
    Arena *own = arena_create();
    Checked checked;
    Status status = prepare(own, network, options, entry, diagnostics, &checked);
    if (status_fine(status))
        status = visit(&checked, context);
    if (!status_fine(status))
        status = status_failure(arena, "%s: %s", entry->name, status.message);
    arena_destroy(own);
    return status;
}

/* Visits every entry that the network has, one after the other. */
static Status visit_entries(Arena *arena, const Graph *network, const SelfCheckOptions *options,
                            Diagnostics *diagnostics, Visit *visit, void *context) {
    for (size_t i = 0; i < ENTRY_CASES; i++)
        if (graph_find_output(network, entries[i].output))
            status_return_if_failed(
                visit_entry(arena, network, options, &entries[i], diagnostics, visit, context));
    return STATUS_FINE;
}

static Status visit_to_refuse(Checked *checked, void *context) {
    *(bool *)context = true;
    return refuse_large(checked);
}

static Status visit_to_check(Checked *checked, void *context) {
    checked->comparison = context;
    status_return_if_failed(refuse_large(checked));
    if (checked->before)
        status_return_if_failed(check_rewrites(checked, checked->before));
    return check_program(checked);
}

static bool is_training(Entry entry) {
    return entry != ENTRY_FEATURES && entry != ENTRY_LOGITS && entry != ENTRY_RECONSTRUCT;
}

Status self_check_entry(Arena *arena, const Graph *graph, const SelfCheckOptions *options,
                        Entry entry, Diagnostics *diagnostics, Comparison *comparison) {
    EntryCase only = {
        .name = pass_settings_entries()[entry], .entry = entry, .training = is_training(entry)};
    if (options->check_rewrites)
        compare_require(comparison, "rewrites", "max", rewrites_tolerance);
    return visit_entry(arena, graph, options, &only, diagnostics, visit_to_check, comparison);
}

Status self_check_network(Arena *arena, const Graph *network, const SelfCheckOptions *options,
                          Diagnostics *diagnostics, Comparison *comparison) {
    bool any = false;
    if (options->check_rewrites)
        compare_require(comparison, "rewrites", "max", rewrites_tolerance);
    status_return_if_failed(
        visit_entries(arena, network, options, diagnostics, visit_to_refuse, &any));
    if (!any)
        return status_failure(arena, "%s has neither a feature nor a head: nothing can be run",
                              network->network);
    return visit_entries(arena, network, options, diagnostics, visit_to_check, comparison);
}

static Status visit_to_measure(Checked *checked, void *context) {
    uint64_t *most = context, needed = needed_memory(checked);
    *most = needed > *most ? needed : *most;
    return STATUS_FINE;
}

Status self_check_memory(Arena *arena, const Graph *network, const SelfCheckOptions *options,
                         Diagnostics *diagnostics, uint64_t *bytes) {
    *bytes = 0;
    return visit_entries(arena, network, options, diagnostics, visit_to_measure, bytes);
}

/* ---- The smallest image ---------------------------------------------------------------------- */

/* All entries pass the passes with images of this size. */
static bool is_legal(NetworkSource *source, const char *name, const char *input,
                     const PassOptions *options) {
    Arena *arena = arena_create();
    Graph *network = network_try(source, arena, name, input);
    bool legal = network != NULL;
    for (size_t i = 0; legal && i < ENTRY_CASES; i++) {
        if (!graph_find_output(network, entries[i].output))
            continue;
        PassOptions pass = *options;
        pass.entry = entries[i].entry;
        pass.training = entries[i].training;
        pass.rewrites = NULL;
        legal = passes_run(graph_copy(network, arena), &pass, NULL, diagnostics_create(arena, 1),
                           NULL, NULL);
    }
    arena_destroy(arena);
    return legal;
}

/* An image of height x width cells, or of one direction. */
static const char *image_of(Arena *arena, const Geometry *own, int64_t height, int64_t width) {
    int64_t unit = own->ratio > 0 ? own->ratio : 1;
    if (own->space == 1)
        return arena_format(arena, "%" PRId64 "x%" PRId64, own->channels, width * unit);
    return arena_format(arena, "%" PRId64 "x%" PRId64 "x%" PRId64, own->channels, height * unit,
                        width * unit);
}

const char *self_check_smallest_input(Arena *arena, NetworkSource *source, const char *name,
                                      const PassOptions *options) {
    const Graph *network = network_try(source, arena, name, NULL);
    if (!network)
        return NULL;
    const Geometry *own = &network->geometry;
    int64_t most = 1;
    for (int d = 0; d < own->space; d++)
        most *= own->image[d] / (own->ratio > 0 ? own->ratio : 1);
    for (int64_t cells = 1; cells <= most; cells++)
        for (int64_t width = own->space == 1 ? cells : 1; width <= cells; width++) {
            const char *input = image_of(arena, own, cells / width, width);
            if (cells % width == 0 && is_legal(source, name, input, options))
                return input;
        }
    return NULL;
}
