/* One training step with everything stored: forward values, gradients, running statistics, and the
 * update. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "runtime/weights.h"
#include "tools/verify/verify.h"

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

/* What the update is compared by. */
static StepChange change_of(const StepCase *step) {
    return (StepChange){.verify = step->verify,
                        .weights = step->files.weights,
                        .expect = step->files.expect,
                        .step = step->files.step,
                        .scalars = step->scalars,
                        .clip_factor = step->clip_factor,
                        .selected = selected_gradient};
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
    StepChange change = change_of(step);
    status_return_if_failed(verify_change(&change, step->program));
    return verify_change_alone(&change, step->program);
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
