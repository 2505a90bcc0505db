/* One training step with everything stored: forward values, gradients, running statistics, and the
 * update in three comparisons (reference README, "How to use them"):
 *     delta                 the change of each parameter, end to end
 *     delta.selected        the same where the gradient is large against the optimizer's epsilon
 *     delta.optimizer_only  the change by the optimizer, fed with the stored gradients */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "runtime/weights.h"
#include "tools/verify.h"

/* Elements whose clipped gradient is at least this take part in delta.selected. */
static const double selected_gradient = 1e-4;

typedef struct StepFiles {
    Safetensors *weights, *input, *expect, *step;
} StepFiles;

typedef struct StepCase {
    Verify *verify;
    StepFiles files;
    StepScalars scalars;
    double clip_factor;
    CaseProgram *program;
} StepCase;

static Status open_files(Verify *verify, StepFiles *files) {
    status_return_if_failed(verify_open(verify, "weights.safetensors", &files->weights));
    status_return_if_failed(verify_open(verify, "input.safetensors", &files->input));
    status_return_if_failed(verify_open(verify, "expect.safetensors", &files->expect));
    return verify_open(verify, "step.safetensors", &files->step);
}

static void close_files(StepFiles *files) {
    safetensors_close(files->weights);
    safetensors_close(files->input);
    safetensors_close(files->expect);
    safetensors_close(files->step);
}

static Status read_settings(StepCase *step) {
    const Case *from = &step->verify->settings;
    status_return_if_failed(case_number(from, "optimizer.lr", &step->scalars.lr));
    status_return_if_failed(
        case_number(from, "optimizer.weight_decay", &step->scalars.weight_decay));
    status_return_if_failed(
        case_integer(from, "optimizer.step", 1, INT32_MAX, &step->scalars.step));
    return case_number(from, "optimizer.clip_factor", &step->clip_factor);
}

/* The rest of a tensor's name behind a prefix, or NULL. */
static const char *behind(const char *name, const char *prefix) {
    return text_starts_with(name, prefix) ? name + strlen(prefix) : NULL;
}

static void compare_zero_gradient(StepCase *step, const char *name, ExecutorTensor gradient) {
    double largest = 0;
    for (size_t i = 0; i < gradient.count; i++)
        largest =
            isfinite(gradient.data[i]) ? fmax(largest, fabs(gradient.data[i])) : (double)INFINITY;
    compare_error(step->verify->comparison, "grad.zero(abs)", "abs", name, largest);
}

static Status compare_gradient(StepCase *step, Arena *arena, const char *tensor, const char *name) {
    Verify *verify = step->verify;
    const Segment *segment = program_segment(step->program, name);
    if (!segment) {
        compare_problem(verify->comparison, "the network has no parameter %s", name);
        return STATUS_FINE;
    }
    ExecutorTensor gradient = program_gradient(step->program, arena, segment);
    if (gradient.data && verify_is_zero_gradient(verify, name)) {
        compare_zero_gradient(step, name, gradient);
        return STATUS_FINE;
    }
    const char *group = arena_format(arena, "grad.%s", verify_parameter_group(name));
    return verify_compare(verify, arena, step->files.expect, tensor, group, gradient);
}

static Status compare_state(StepCase *step, Arena *arena, const char *tensor, const char *name) {
    const StateSlot *slot = program_state(step->program, name);
    Executor *executor = step->program->executor;
    ExecutorTensor state = {.data = NULL};
    if (slot)
        state = executor->operations->state(executor, slot->name);
    return verify_compare(step->verify, arena, step->files.expect, tensor, "after", state);
}

static Status compare_output(StepCase *step, Arena *arena, const char *tensor) {
    const char *output = verify_output_name(arena, tensor);
    if (!output)
        return status_failure(step->verify->arena, "%s: it is not known what %s stands for",
                              safetensors_path(step->files.expect), tensor);
    const char *group = arena_format(arena, "%.*s", (int)strcspn(tensor, "."), tensor);
    return verify_compare(step->verify, arena, step->files.expect, tensor, group,
                          program_output(step->program, arena, output));
}

static Status compare_expected(StepCase *step, const char *tensor) {
    Arena *arena = arena_create();
    const char *gradient = behind(tensor, "grad."), *after = behind(tensor, "after.");
    Status status = gradient ? compare_gradient(step, arena, tensor, gradient)
                    : after  ? compare_state(step, arena, tensor, after)
                             : compare_output(step, arena, tensor);
    status = verify_outlive(step->verify, status);
    arena_destroy(arena);
    return status;
}

/* Each tensor that is expected, so that none can be left out by mistake. */
static Status compare_all_expected(StepCase *step) {
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(step->files.expect, &count);
    for (size_t i = 0; i < count; i++)
        status_return_if_failed(compare_expected(step, tensors[i].name));
    return STATUS_FINE;
}

static Status compare_gradient_norm(StepCase *step) {
    double expected;
    ExecutorTensor norm = program_output(step->program, step->verify->arena, "grad_norm");
    status_return_if_failed(case_number(&step->verify->settings, "optimizer.grad_norm", &expected));
    compare_error(step->verify->comparison, "grad_norm", "rel", "grad_norm",
                  norm.data ? compare_relative(norm.data[0], expected) : (double)INFINITY);
    return STATUS_FINE;
}

/* A parameter before and after the step, what the step should have made of it, and the stored
 * gradient; all in the file's order. */
typedef struct Change {
    const char *name;
    size_t count;
    const double *before, *after, *expected, *gradient;
} Change;

static Status read_change(StepCase *step, CaseProgram *program, Arena *arena,
                          const Segment *segment, Change *change) {
    const char *name = weights_name(arena, segment->part, segment->name);
    ExecutorTensor after = program_param(program, arena, segment);
    *change = (Change){.name = name, .count = after.count, .after = after.data};
    status_return_if_failed(
        verify_read(arena, step->files.weights, name, after.count, &change->before, NULL));
    status_return_if_failed(verify_read(arena, step->files.step,
                                        arena_format(arena, "param.%s", name), after.count,
                                        &change->expected, NULL));
    return verify_read(arena, step->files.expect, arena_format(arena, "grad.%s", name), after.count,
                       &change->gradient, NULL);
}

/* Differences of the change itself, computed and expected. */
static void subtract_before(const Change *change, Arena *arena, const double **actual,
                            const double **expected) {
    double *moved = arena_new_array(arena, double, change->count);
    double *due = arena_new_array(arena, double, change->count);
    for (size_t i = 0; i < change->count; i++) {
        moved[i] = change->after[i] - change->before[i];
        due[i] = change->expected[i] - change->before[i];
    }
    *actual = moved;
    *expected = due;
}

/* The elements with a large enough gradient, packed to the front; their number. */
static size_t select_elements(const StepCase *step, const Change *change, double *actual,
                              double *expected) {
    size_t selected = 0;
    for (size_t i = 0; i < change->count; i++) {
        if (fabs(change->gradient[i]) * step->clip_factor < selected_gradient)
            continue;
        actual[selected] = actual[i];
        expected[selected++] = expected[i];
    }
    return selected;
}

static void compare_end_to_end(StepCase *step, Arena *arena, const Change *change) {
    const double *actual, *expected;
    subtract_before(change, arena, &actual, &expected);
    compare_values(step->verify->comparison, "delta", change->name, actual, expected,
                   change->count);
    double *a = arena_new_array(arena, double, change->count);
    double *e = arena_new_array(arena, double, change->count);
    memcpy(a, actual, change->count * sizeof *a);
    memcpy(e, expected, change->count * sizeof *e);
    size_t selected = select_elements(step, change, a, e);
    if (selected > 0)
        compare_values(step->verify->comparison, "delta.selected", change->name, a, e, selected);
}

/* Besides the change, the new values relative to |p| + lr, where a tensor's own size cannot hide an
 * element. */
static void compare_optimizer_only(StepCase *step, Arena *arena, const Change *change) {
    const double *actual, *expected;
    double worst = 0;
    subtract_before(change, arena, &actual, &expected);
    compare_values(step->verify->comparison, "delta.optimizer_only", change->name, actual, expected,
                   change->count);
    for (size_t i = 0; i < change->count; i++) {
        double scale = fabs(change->expected[i]) + step->scalars.lr;
        double error = fabs(change->after[i] - change->expected[i]) / scale;
        worst = isfinite(error) ? fmax(worst, error) : (double)INFINITY;
    }
    compare_error(step->verify->comparison, "delta.optimizer_only", "param_rel", change->name,
                  worst);
}

typedef void CompareChange(StepCase *step, Arena *arena, const Change *change);

/* Tensors without a true gradient are left out: the first step divides noise by noise. */
static Status compare_changes(StepCase *step, CaseProgram *program, CompareChange *compare) {
    Status status = STATUS_FINE;
    for (size_t i = 0; i < program->graph->segments.count && status_fine(status); i++) {
        const Segment *segment = &program->graph->segments.items[i];
        Arena *arena = arena_create();
        Change change;
        if (!verify_is_zero_gradient(step->verify,
                                     weights_name(arena, segment->part, segment->name))) {
            status = read_change(step, program, arena, segment, &change);
            if (status_fine(status))
                compare(step, arena, &change);
            status = verify_outlive(step->verify, status);
        }
        arena_destroy(arena);
    }
    return status;
}

/* The stored gradients as one flat value, in stored order. */
static Status set_stored_gradients(StepCase *step, CaseProgram *program) {
    Arena *arena = program->arena;
    const Graph *graph = program->graph;
    Type flat = type_flat(DTYPE_F32);
    size_t count = (size_t)graph_elements(graph, &flat);
    double *gradients = arena_new_array(arena, double, count);
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        const char *name =
            arena_format(arena, "grad.%s", weights_name(arena, segment->part, segment->name));
        const double *values;
        status_return_if_failed(
            verify_read(arena, step->files.expect, name, weights_count(segment), &values, NULL));
        weights_to_stored(segment, values, gradients + segment->offset);
    }
    return program->executor->operations->write_input(program->executor, arena, "gradients",
                                                      gradients, count);
}

static Status run_update(StepCase *step, CaseProgram *update) {
    status_return_if_failed(program_load(step->verify, update, step->files.weights));
    status_return_if_failed(set_stored_gradients(step, update));
    status_return_if_failed(program_set_scalars(update, step->scalars));
    status_return_if_failed(update->executor->operations->run(update->executor, update->arena));
    return compare_changes(step, update, compare_optimizer_only);
}

static Status check_optimizer(StepCase *step) {
    CaseProgram *update;
    const Graph *graph = step->program->graph;
    status_return_if_failed(program_create_update(step->verify, &step->program->options,
                                                  graph->segments.items, graph->segments.count,
                                                  &update));
    Status status = run_update(step, update);
    status = verify_outlive(step->verify, status);
    program_destroy(update);
    return status;
}

static Status run_program(StepCase *step, const ImageShape *shape, const double *images) {
    CaseProgram *program = step->program;
    const double *active;
    status_return_if_failed(program_load(step->verify, program, step->files.weights));
    status_return_if_failed(program_set_images(program, shape, images));
    size_t cells = (size_t)(shape->extent[0] * graph_cells(program->graph));
    status_return_if_failed(
        verify_read(step->verify->arena, step->files.input, "active", cells, &active, NULL));
    status_return_if_failed(program_set_active(program, active));
    status_return_if_failed(program_set_scalars(program, step->scalars));
    return program->executor->operations->run(program->executor, program->arena);
}

static Status check_program(StepCase *step, const ImageShape *shape, const double *images) {
    status_return_if_failed(run_program(step, shape, images));
    program_report_unread(step->verify, step->program, step->files.weights);
    status_return_if_failed(verify_segments(step->verify, step->program));
    status_return_if_failed(compare_all_expected(step));
    status_return_if_failed(compare_gradient_norm(step));
    status_return_if_failed(compare_changes(step, step->program, compare_end_to_end));
    return check_optimizer(step);
}

static Status run_case(StepCase *step) {
    Verify *verify = step->verify;
    PassOptions options;
    ImageShape shape;
    const double *images;
    status_return_if_failed(open_files(verify, &step->files));
    status_return_if_failed(read_settings(step));
    status_return_if_failed(verify_pass_options(verify, &options));
    status_return_if_failed(verify_require_tolerances(verify, &verify->settings, ""));
    if (json_array_size(case_find(&verify->settings, "zero_grad")) == 0)
        compare_make_optional(verify->comparison, "grad.zero(abs)");
    status_return_if_failed(verify_read_images(verify, step->files.input, &shape, &images));
    status_return_if_failed(program_create(verify, &options, &shape, &step->program));
    Status status = check_program(step, &shape, images);
    status = verify_outlive(verify, status);
    program_destroy(step->program);
    return status_fine(status) ? verify_evaluation(verify, step->files.weights, step->files.input)
                               : status;
}

Status verify_step(Verify *verify) {
    StepCase step = {.verify = verify};
    Status status = run_case(&step);
    close_files(&step.files);
    return status;
}
