/* One step of fine-tuning with everything stored: logits, loss and gradients, running statistics,
 * the update with layer-wise learning rates, and the averages (reference README, "Fine-tuning
 * step"). Files hold the plain network's names. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "runtime/weights.h"
#include "tools/verify/verify.h"

/* Elements whose gradient is at least this take part in delta.selected. */
static const double selected_gradient = 1e-5;

typedef struct FinetuneCase {
    Verify *verify;
    Safetensors *weights, *input, *expect, *step;
    StepScalars scalars;
    ImageShape shape;
    const double *images;
    CaseProgram *program;
} FinetuneCase;

static Status open_files(FinetuneCase *run) {
    status_return_if_failed(verify_open(run->verify, "weights.safetensors", &run->weights));
    status_return_if_failed(verify_open(run->verify, "input.safetensors", &run->input));
    status_return_if_failed(verify_open(run->verify, "expect.safetensors", &run->expect));
    return verify_open(run->verify, "step.safetensors", &run->step);
}

static void close_files(FinetuneCase *run) {
    safetensors_close(run->weights);
    safetensors_close(run->input);
    safetensors_close(run->expect);
    safetensors_close(run->step);
}

static Status read_settings(FinetuneCase *run, PassOptions *options) {
    const Case *from = &run->verify->settings;
    StepScalars *scalars = &run->scalars;
    status_return_if_failed(verify_optimizer_options(run->verify, options));
    options->entry = ENTRY_FINETUNE_STEP;
    options->expose = true;
    status_return_if_failed(case_number(from, "optimizer.layer_decay", &options->layer_decay));
    if (!(options->layer_decay > 0 && options->layer_decay <= 1))
        return status_failure(from->arena, "%s: optimizer.layer_decay must be above 0 and up to 1",
                              from->path);
    status_return_if_failed(case_number(from, "optimizer.lr", &scalars->lr));
    status_return_if_failed(case_number(from, "optimizer.weight_decay", &scalars->weight_decay));
    status_return_if_failed(case_integer(from, "optimizer.step", 1, INT32_MAX, &scalars->step));
    return case_number(from, "ema.decay", &scalars->ema_decay);
}

/* ---- The start ------------------------------------------------------------------------------- */

/* What stands behind "ema." in the name of an averaged state; NULL for other states. */
static const char *averaged(const StateSlot *slot) {
    return slot->part == PART_TRAINING && text_starts_with(slot->name, "ema.") ? slot->name + 4
                                                                               : NULL;
}

static bool is_counter(const char *name) {
    return text_ends_with(name, ".num_batches_tracked");
}

static Status write_state(FinetuneCase *run, const char *name, const double *values, size_t count) {
    Executor *executor = run->program->executor;
    return executor->operations->write_state(executor, run->program->arena, name, values, count);
}

/* The averages start at half of the start weights. */
static Status start_parameters(FinetuneCase *run) {
    const Graph *graph = run->program->graph;
    Arena *arena = run->program->arena;
    Type flat = type_flat(DTYPE_F32);
    size_t total = (size_t)graph_elements(graph, &flat);
    double *average = arena_new_array(arena, double, total);
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        const double *values;
        size_t count = weights_count(segment);
        status_return_if_failed(
            verify_read(arena, run->weights, segment->name, count, &values, NULL));
        weights_to_stored(segment, values, average + segment->offset);
    }
    for (size_t i = 0; i < total; i++)
        average[i] *= 0.5;
    return write_state(run, "ema", average, total);
}

static Status start_state(FinetuneCase *run, const StateSlot *slot, const char *name) {
    const double *values;
    const SafetensorsTensor *tensor;
    Arena *arena = run->program->arena;
    status_return_if_failed(verify_read(arena, run->weights, name, 0, &values, &tensor));
    double *halves = arena_new_array(arena, double, tensor->count);
    for (size_t i = 0; i < tensor->count; i++)
        halves[i] = is_counter(name) ? floor(0.5 * values[i]) : 0.5 * values[i];
    return write_state(run, slot->name, halves, tensor->count);
}

static Status start_averages(FinetuneCase *run) {
    const Graph *graph = run->program->graph;
    for (size_t i = 0; i < graph->states.count; i++) {
        const char *name = averaged(&graph->states.items[i]);
        if (name)
            status_return_if_failed(start_state(run, &graph->states.items[i], name));
    }
    return start_parameters(run);
}

static Status run_step(FinetuneCase *run) {
    CaseProgram *program = run->program;
    const double *targets;
    const SafetensorsTensor *tensor;
    status_return_if_failed(program_load(run->verify, program, run->weights));
    status_return_if_failed(start_averages(run));
    status_return_if_failed(program_set_images(program, &run->shape, run->images));
    status_return_if_failed(
        verify_read(program->arena, run->input, "target", 0, &targets, &tensor));
    status_return_if_failed(program->executor->operations->write_input(
        program->executor, program->arena, "targets", targets, tensor->count));
    status_return_if_failed(program_set_scalars(program, run->scalars));
    return program->executor->operations->run(program->executor, program->arena);
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* The rest of a tensor's name behind a prefix, or NULL. */
static const char *behind(const char *name, const char *prefix) {
    return text_starts_with(name, prefix) ? name + strlen(prefix) : NULL;
}

/* "feat" is the last map. */
static ExecutorTensor output_of(FinetuneCase *run, Arena *arena, const char *tensor) {
    if (strcmp(tensor, "feat") != 0)
        return program_output(run->program, arena, tensor);
    ExecutorTensor last = {.data = NULL}, feature;
    for (int i = 0;; i++, last = feature) {
        feature = program_output(run->program, arena, arena_format(arena, "feature.%d", i));
        if (!feature.data)
            return last;
    }
}

/* What the program gives for a tensor of the files, or no data. */
static ExecutorTensor value_of(FinetuneCase *run, Arena *arena, const char *tensor,
                               const char **group) {
    CaseProgram *program = run->program;
    Executor *executor = program->executor;
    const char *gradient = behind(tensor, "grad."), *after = behind(tensor, "after.");
    const char *average = behind(tensor, "ema."), *name = gradient ? gradient : average;
    const Segment *segment = name ? graph_find_segment(program->graph, name) : NULL;
    *group = gradient ? "grad" : after ? "after" : average ? "ema" : tensor;
    if (segment)
        return gradient ? program_gradient(program, arena, segment)
                        : program_flat_state(program, arena, "ema", segment);
    if (average) /* the states are called as in the files */
        after = tensor;
    if (after && !graph_find_state(program->graph, after))
        return (ExecutorTensor){.data = NULL};
    return after ? executor->operations->state(executor, after) : output_of(run, arena, tensor);
}

/* Official counters are whole numbers: their averages are cut. */
static ExecutorTensor whole(Arena *arena, ExecutorTensor tensor) {
    double *values = arena_new_array(arena, double, tensor.count);
    for (size_t i = 0; i < tensor.count; i++)
        values[i] = trunc(tensor.data[i]);
    return (ExecutorTensor){tensor.type, tensor.count, values};
}

static Status compare_tensor(FinetuneCase *run, Arena *arena, const Safetensors *file,
                             const char *tensor) {
    const char *group;
    ExecutorTensor actual = value_of(run, arena, tensor, &group);
    if (actual.data && is_counter(tensor))
        actual = whole(arena, actual);
    return verify_compare(run->verify, arena, file, tensor, group, actual);
}

/* Each tensor of a file, so that none can be left out by mistake; parameters are compared by their
 * change. */
static Status compare_file(FinetuneCase *run, const Safetensors *file) {
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(file, &count);
    for (size_t i = 0; i < count; i++) {
        if (behind(tensors[i].name, "param."))
            continue;
        Arena *arena = arena_create();
        Status status = compare_tensor(run, arena, file, tensors[i].name);
        status = verify_outlive(run->verify, status);
        arena_destroy(arena);
        status_return_if_failed(status);
    }
    return STATUS_FINE;
}

/* Weight decay and factor of the learning rate. Names have dots, which paths of a case have not. */
static Status compare_segments(FinetuneCase *run) {
    static const double double_rounding = 1e-13;
    Comparison *comparison = run->verify->comparison;
    const Case *from = &run->verify->settings;
    const Graph *graph = run->program->graph;
    const json_t *parameters = case_find(from, "parameters");
    compare_fact(comparison, "parameters", json_object_size(parameters) == graph->segments.count,
                 "the network has %zu parameters, the case %zu", graph->segments.count,
                 json_object_size(parameters));
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        const json_t *row = json_object_get(parameters, segment->name);
        double scale = json_number_value(json_object_get(row, "lr_scale"));
        bool decays = !case_lists(from, "no_decay", segment->name);
        compare_error_within(comparison, "lr_scale", "rel", segment->name,
                             compare_relative(segment->lr_scale, scale), double_rounding);
        compare_fact(comparison, "no_decay", segment->decays == decays, "%s %s weight decay",
                     segment->name, decays ? "must have" : "must not have");
    }
    return STATUS_FINE;
}

static Status compare_gradient_norm(FinetuneCase *run) {
    double expected;
    ExecutorTensor norm = program_output(run->program, run->program->arena, "grad_norm");
    status_return_if_failed(case_number(&run->verify->settings, "grad_norm_float64", &expected));
    compare_error(run->verify->comparison, "grad_norm", "rel", "grad_norm",
                  norm.data ? compare_relative(norm.data[0], expected) : (double)INFINITY);
    return STATUS_FINE;
}

static Status check_program(FinetuneCase *run) {
    StepChange change = {.verify = run->verify,
                         .weights = run->weights,
                         .expect = run->expect,
                         .step = run->step,
                         .scalars = run->scalars,
                         .clip_factor = 1,
                         .selected = selected_gradient,
                         .bare_names = true};
    status_return_if_failed(run_step(run));
    program_report_unread(run->verify, run->program, run->weights);
    status_return_if_failed(compare_segments(run));
    status_return_if_failed(compare_file(run, run->expect));
    status_return_if_failed(compare_file(run, run->step));
    status_return_if_failed(compare_gradient_norm(run));
    status_return_if_failed(verify_change(&change, run->program));
    return verify_change_alone(&change, run->program);
}

static Status run_case(FinetuneCase *run) {
    Verify *verify = run->verify;
    PassOptions options;
    status_return_if_failed(open_files(run));
    status_return_if_failed(read_settings(run, &options));
    status_return_if_failed(verify_require_tolerances(verify, &verify->settings, ""));
    status_return_if_failed(verify_read_images(verify, run->input, &run->shape, &run->images));
    status_return_if_failed(program_create(verify, &options, &run->shape, &run->program));
    Status status = verify_outlive(verify, check_program(run));
    program_destroy(run->program);
    return status;
}

Status verify_finetune(Verify *verify) {
    FinetuneCase run = {.verify = verify};
    Status status = run_case(&run);
    close_files(&run);
    return status;
}
