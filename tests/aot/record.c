/* What the compiler's own process computes, for objects to be compared with.
 *
 *   record case MODEL.cnn NETWORK FOLDER [CASE]    a recorded case, within its tolerances; CASE as
 *                                                  `sparkc verify --reference FOLDER` has it
 *   record network MODEL.cnn NETWORK ENTRY         two runs on random pictures, by initial values
 *   record time MODEL.cnn NETWORK ENTRY            prints the seconds of the fastest of many runs
 *   record step                                    prints what is set for steps; set_step.c does
 * too
 *
 * For each program it writes, named after the entry (features, logits, train_step):
 * ENTRY.safetensors, the weights before the first run; ENTRY.inputs and ENTRY.outputs, these
 * regions before and after each run; ENTRY.end, parameters and states after the last one. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fatal.h"
#include "base/random.h"
#include "base/text.h"
#include "runtime/initial.h"
#include "runtime/safetensors.h"
#include "runtime/train/mask.h"
#include "runtime/train/schedule.h"
#include "tools/execute/compiled_program.h"
#include "tools/execute/executor_program.h"
#include "tools/network.h"
#include "tools/verify/verify.h"

typedef struct Recorder {
    Executor base;
    Arena *arena;
    Executor *inner;
    const CompiledProgram *compiled;
    const char *entry;
    FILE *inputs, *outputs;
} Recorder;

static Executor *inner_of(Executor *executor) {
    return ((Recorder *)executor)->inner;
}

static Status write_param(Executor *executor, Arena *arena, const char *segment,
                          const double *values, size_t count) {
    Executor *inner = inner_of(executor);
    return inner->operations->write_param(inner, arena, segment, values, count);
}

static Status write_state(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count) {
    Executor *inner = inner_of(executor);
    return inner->operations->write_state(inner, arena, name, values, count);
}

static Status write_input(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count) {
    Executor *inner = inner_of(executor);
    return inner->operations->write_input(inner, arena, name, values, count);
}

static Status write_scalar(Executor *executor, Arena *arena, const char *name, double value) {
    Executor *inner = inner_of(executor);
    return inner->operations->write_scalar(inner, arena, name, value);
}

static ExecutorTensor read_param(Executor *executor, const char *segment) {
    return inner_of(executor)->operations->param(inner_of(executor), segment);
}

static ExecutorTensor read_state(Executor *executor, const char *name) {
    return inner_of(executor)->operations->state(inner_of(executor), name);
}

static ExecutorTensor read_output(Executor *executor, const char *name) {
    return inner_of(executor)->operations->output(inner_of(executor), name);
}

/* A region as a caller of the object has it: in inputs that are none of the object's is NaN. */
static void write_region(FILE *file, const CompiledProgram *compiled, int region) {
    size_t bytes = (size_t)compiled->plan->region_bytes[region];
    size_t whole = (size_t)plan_round_up((int64_t)bytes);
    Arena *arena = arena_create();
    char *copy = arena_alloc(arena, whole + 1, 1);
    memcpy(copy, plan_executor_region(compiled->executor, region), bytes);
    for (int i = 0; i < compiled->plan->buffer_count; i++) {
        const PlanBuffer *buffer = &compiled->plan->buffers[i];
        if (buffer->region == region && text_starts_with(buffer->name, "segments."))
            memset(copy + buffer->offset, 0xff, (size_t)(buffer->elements * buffer->element_bytes));
    }
    fwrite(copy, 1, whole, file);
    arena_destroy(arena);
}

static FILE *create_file(Arena *arena, const char *entry, const char *suffix) {
    const char *path = arena_format(arena, "%s.%s", entry, suffix);
    FILE *file = fopen(path, "wb");
    if (!file)
        fatal("%s: %s", path, strerror(errno));
    return file;
}

static Status write_weights(Recorder *recorder) {
    SafetensorsItem *items;
    size_t count;
    Arena *arena = recorder->arena;
    TrainingMemory memory =
        compiled_program_memory(arena, recorder->base.graph, recorder->compiled);
    tensors_collect(arena, &memory, TENSORS_ALL, &items, &count);
    return safetensors_write(arena, arena_format(arena, "%s.safetensors", recorder->entry), items,
                             count, NULL, 0);
}

static Status run(Executor *executor, Arena *arena) {
    Recorder *recorder = (Recorder *)executor;
    if (!recorder->inputs) {
        status_return_if_failed(write_weights(recorder));
        recorder->inputs = create_file(recorder->arena, recorder->entry, "inputs");
        recorder->outputs = create_file(recorder->arena, recorder->entry, "outputs");
    }
    write_region(recorder->inputs, recorder->compiled, PLAN_INPUTS);
    status_return_if_failed(recorder->inner->operations->run(recorder->inner, arena));
    write_region(recorder->outputs, recorder->compiled, PLAN_OUTPUTS);
    return STATUS_FINE;
}

static void destroy(Executor *executor) {
    Recorder *recorder = (Recorder *)executor;
    FILE *end = create_file(recorder->arena, recorder->entry, "end");
    write_region(end, recorder->compiled, PLAN_PARAMS);
    write_region(end, recorder->compiled, PLAN_STATE);
    fclose(end);
    if (recorder->inputs) {
        fclose(recorder->inputs);
        fclose(recorder->outputs);
    }
    recorder->inner->operations->destroy(recorder->inner);
    arena_destroy(recorder->arena);
}

static const ExecutorOperations operations = {write_param,  write_state, write_input,
                                              write_scalar, read_param,  read_state,
                                              read_output,  run,         destroy};

/* A program is known by its outputs. */
static const char *entry_of(const Graph *graph) {
    return graph_find_output(graph, "loss")     ? "train_step"
           : graph_find_output(graph, "logits") ? "logits"
                                                : "features";
}

static Status create(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                     Executor **executor) {
    Arena *own = arena_create();
    Recorder *made = arena_new(own, Recorder);
    made->arena = own;
    made->base = (Executor){&operations, graph};
    made->entry = entry_of(graph);
    status_return_if_failed(executor_compiled.create(arena, graph, options, &made->inner));
    made->compiled = executor_compiled_program(made->inner);
    *executor = &made->base;
    return STATUS_FINE;
}

static const ExecutorKind executor_recording = {"compiled code, recording", create};

/* ---- Cases ----------------------------------------------------------------------------------- */

static Status check_case(Verify *verify, const char *name) {
    const char *file = name ? arena_format(verify->arena, "%s.json", name) : "case.json";
    verify->model = name;
    status_return_if_failed(case_open(verify->arena, verify_path(verify, file), &verify->settings));
    Status status = name ? verify_zoo(verify) : verify_training(verify, NULL);
    case_close(&verify->settings);
    return status;
}

/* ---- Networks -------------------------------------------------------------------------------- */

/* Numbers around zero. */
static void fill_random(float *values, int64_t count, uint32_t seed) {
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)random_word(seed, 0, 0, (uint64_t)i) * 0x1p-31F - 1;
}

static Status create_network(Arena *arena, const Graph *network, const char *entry, int threads,
                             Diagnostics *diagnostics, Executor **executor) {
    PassOptions pass = pass_options_default();
    ExecutorOptions options = {.threads = threads};
    pass.entry = strcmp(entry, "logits") == 0 ? ENTRY_LOGITS : ENTRY_FEATURES;
    pass.training = false;
    Graph *graph = graph_copy(network, arena);
    if (!passes_run(graph, &pass, NULL, diagnostics, NULL, NULL))
        return status_failure(arena, "the passes refuse the network");
    status_return_if_failed(executor_recording.create(arena, graph, &options, executor));
    const CompiledProgram *compiled = ((Recorder *)*executor)->compiled;
    initial_fill_all(graph, 0, plan_executor_region(compiled->executor, PLAN_PARAMS));
    return STATUS_FINE;
}

static Status run_network(Arena *arena, const Graph *network, const char *entry,
                          Diagnostics *diagnostics) {
    Executor *executor;
    status_return_if_failed(create_network(arena, network, entry, 2, diagnostics, &executor));
    const CompiledProgram *compiled = ((Recorder *)executor)->compiled;
    const PlanBuffer *image = plan_find(compiled->plan, PLAN_INPUTS, "image");
    Status status = STATUS_FINE;
    for (uint32_t seed = 1; seed <= 2 && status_fine(status); seed++) {
        fill_random(plan_executor_buffer(compiled->executor, PLAN_INPUTS, "image"), image->elements,
                    seed);
        status = executor->operations->run(executor, arena);
    }
    executor->operations->destroy(executor);
    return status;
}

static Status time_network(Arena *arena, const Graph *network, const char *entry,
                           Diagnostics *diagnostics) {
    Executor *executor;
    double best = 1e9;
    status_return_if_failed(create_network(arena, network, entry, 1, diagnostics, &executor));
    for (int i = 0; i < 20; i++) {
        double start = clock_seconds();
        plan_executor_run(((Recorder *)executor)->compiled->executor);
        double taken = clock_seconds() - start;
        best = taken < best ? taken : best;
    }
    printf("%.9f\n", best);
    executor->operations->destroy(executor);
    return STATUS_FINE;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

/* Of three pictures of 36 cells, 14 visible, by LAMB for a network with batch norm. */
static void print_steps(void) {
    enum { BATCH = 3, CELLS = 36, KEEP = 14 };
    int32_t cells[BATCH * KEEP];
    for (uint32_t step = 0; step < 3; step++) {
        mask_draw(7 ^ MASK_SEED, step, BATCH, CELLS, KEEP, cells);
        for (int i = 0; i < BATCH * KEEP; i++)
            printf("%d ", cells[i]);
        printf("%a %a\n", (float)schedule_bias_correction(0.9, step + 1),
               (float)sqrt(schedule_bias_correction(0.95, step + 1)));
    }
}

/* ---- All ------------------------------------------------------------------------------------- */

static Status record(Arena *arena, NetworkSource *network, Diagnostics *diagnostics, char **words,
                     int count) {
    if (strcmp(words[1], "network") == 0)
        return run_network(arena, network_graph(network, NULL, NULL), words[4], diagnostics);
    if (strcmp(words[1], "time") == 0)
        return time_network(arena, network_graph(network, NULL, NULL), words[4], diagnostics);
    Verify verify = {.arena = arena,
                     .directory = words[4],
                     .network = network,
                     .executor = &executor_recording,
                     .executor_options = {.threads = 2},
                     .comparison = compare_create(arena)};
    status_return_if_failed(check_case(&verify, count > 5 ? words[5] : NULL));
    compare_print(verify.comparison, stdout, false);
    return compare_passed(verify.comparison)
               ? STATUS_FINE
               : status_failure(arena, "the case is not within its tolerances");
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "step") == 0) {
        print_steps();
        return EXIT_FINE;
    }
    if (argc < 5) {
        fprintf(stderr, "usage: record case|network|time MODEL.cnn NETWORK FOLDER|ENTRY [CASE]\n");
        return EXIT_USAGE;
    }
    Arena *arena = arena_create();
    Options options = options_default(arena);
    Diagnostics *diagnostics;
    options.model = argv[2];
    options.frontend.network = argv[3];
    NetworkSource *network = network_open(arena, &options, &diagnostics);
    Status status = network ? record(arena, network, diagnostics, argv, argc)
                            : status_failure(arena, "%s cannot be read", argv[2]);
    network_print(diagnostics);
    if (!status_fine(status))
        options_print_failure("record", status);
    arena_destroy(arena);
    return status_fine(status) ? EXIT_FINE : EXIT_FAILED;
}
