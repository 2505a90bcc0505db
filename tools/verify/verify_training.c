/* Many steps: the loss and the gradient norm of each, and statistics of where the weights end and
 * how far they moved. Images come from the recipe, masks and start weights from files. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "runtime/weights.h"
#include "tools/verify/verify.h"
#include "tools/verify/verify_recipe.h"

typedef struct TrainingCase {
    Verify *verify;
    const Case *bounds; /* NULL: in fp32 */
    Safetensors *weights, *input, *expect;
    CaseProgram *program;
    Schedule schedule;
    ImageShape shape;
    int64_t steps;
    double loss, expected_loss; /* sums over the block of steps so far */
} TrainingCase;

enum { BLOCK_STEPS = 5 };

/* How far the mean loss of a block of steps in bf16 may be from that in fp32. */
static const double block_tolerance = 0.02;

static Status open_files(TrainingCase *run) {
    status_return_if_failed(verify_open(run->verify, "weights.safetensors", &run->weights));
    status_return_if_failed(verify_open(run->verify, "input.safetensors", &run->input));
    return verify_open(run->verify, "expect.safetensors", &run->expect);
}

static void close_files(TrainingCase *run) {
    safetensors_close(run->weights);
    safetensors_close(run->input);
    safetensors_close(run->expect);
}

static Status set_inputs(TrainingCase *run, Arena *arena, int64_t step) {
    const double *images, *active;
    const char *image = arena_format(arena, "image.%lld", (long long)step);
    const char *mask = arena_format(arena, "active.%lld", (long long)step);
    status_return_if_failed(
        verify_recipe_images(&run->verify->settings, "images", image, arena, &images));
    const char *statistics = arena_format(arena, "stat.%s", image);
    if (safetensors_find(run->expect, statistics))
        status_return_if_failed(verify_compare_statistics(run->verify, arena, run->expect,
                                                          statistics, "stat.image", images,
                                                          verify_image_count(&run->shape)));
    status_return_if_failed(program_set_images(run->program, &run->shape, images));
    size_t cells = (size_t)(run->shape.extent[0] * graph_cells(run->program->graph));
    status_return_if_failed(verify_read(arena, run->input, mask, cells, &active, NULL));
    return program_set_active(run->program, active);
}

/* The value of a step: of the float64 run where there is one, which has no rounding of its own,
 * else of the float32 run. */
static Status expected_value(TrainingCase *run, const char *what, int64_t step, double *value) {
    Arena *arena = run->verify->arena;
    const char *precise = arena_format(arena, "%s_float64.%lld", what, (long long)step);
    if (case_find(&run->verify->settings, precise))
        return case_number(&run->verify->settings, precise, value);
    return case_number(&run->verify->settings,
                       arena_format(arena, "per_step.%lld.%s", (long long)step, what), value);
}

static Status read_tolerance(const TrainingCase *run, const char *what, int64_t step,
                             double *tolerance) {
    Arena *arena = run->verify->arena;
    if (!run->bounds)
        return case_number(
            &run->verify->settings,
            arena_format(arena, "suggested_tolerance.%s_per_step.%lld", what, (long long)step),
            tolerance);
    return case_number(run->bounds,
                       arena_format(arena, "cases.%s.suggested_bounds.%s_rel_per_step.%lld",
                                    run->verify->model, what, (long long)step),
                       tolerance);
}

static Status compare_step(TrainingCase *run, Arena *arena, int64_t step, const char *what) {
    double expected, tolerance;
    status_return_if_failed(expected_value(run, what, step, &expected));
    status_return_if_failed(read_tolerance(run, what, step, &tolerance));
    ExecutorTensor actual = program_output(run->program, arena, what);
    if (strcmp(what, "loss") == 0) {
        run->loss += actual.data ? actual.data[0] : (double)INFINITY;
        run->expected_loss += expected;
    }
    compare_error_within(
        run->verify->comparison, what, "rel", arena_format(arena, "step %lld", (long long)step),
        actual.data ? compare_relative(actual.data[0], expected) : (double)INFINITY, tolerance);
    return STATUS_FINE;
}

static void compare_block(TrainingCase *run, Arena *arena, int64_t step) {
    if (!run->bounds || (step + 1) % BLOCK_STEPS != 0)
        return;
    compare_error_within(run->verify->comparison, "loss of 5", "rel",
                         arena_format(arena, "up to step %lld", (long long)step),
                         compare_relative(run->loss, run->expected_loss), block_tolerance);
    run->loss = run->expected_loss = 0;
}

static Status run_step(TrainingCase *run, Arena *arena, int64_t step) {
    CaseProgram *program = run->program;
    StepScalars scalars = {.lr = schedule_lr(&run->schedule, step),
                           .weight_decay = schedule_weight_decay(&run->schedule, step),
                           .step = step + 1};
    status_return_if_failed(set_inputs(run, arena, step));
    status_return_if_failed(program_set_scalars(program, scalars));
    status_return_if_failed(program->executor->operations->run(program->executor, arena));
    status_return_if_failed(compare_step(run, arena, step, "loss"));
    compare_block(run, arena, step);
    return compare_step(run, arena, step, "grad_norm");
}

/* "stat.param.x" is the end, "stat.moved.x" the end minus the start. */
static Status compare_segment(TrainingCase *run, Arena *arena, const char *tensor) {
    Verify *verify = run->verify;
    bool moved = text_starts_with(tensor, "stat.moved.");
    const char *name = tensor + strlen(moved ? "stat.moved." : "stat.param.");
    const Segment *segment = program_segment(run->program, name);
    const double *start;
    if (!segment) {
        compare_problem(verify->comparison, "the network has no parameter %s", name);
        return STATUS_FINE;
    }
    ExecutorTensor end = program_param(run->program, arena, segment);
    double *values = arena_new_array(arena, double, end.count);
    status_return_if_failed(verify_read(arena, run->weights, name, end.count, &start, NULL));
    for (size_t i = 0; i < end.count; i++)
        values[i] = end.data[i] - (moved ? start[i] : 0);
    return verify_compare_statistics(verify, arena, run->expect, tensor, moved ? "moved" : "param",
                                     values, end.count);
}

static Status compare_state(TrainingCase *run, Arena *arena, const char *tensor) {
    const StateSlot *slot = program_state(run->program, tensor + strlen("stat.after."));
    if (!slot) {
        compare_problem(run->verify->comparison, "the network does not keep %s", tensor);
        return STATUS_FINE;
    }
    Executor *executor = run->program->executor;
    ExecutorTensor state = executor->operations->state(executor, slot->name);
    return verify_compare_statistics(run->verify, arena, run->expect, tensor, "after", state.data,
                                     state.count);
}

static Status compare_end(TrainingCase *run) {
    size_t count;
    Status status = STATUS_FINE;
    const SafetensorsTensor *tensors = safetensors_tensors(run->expect, &count);
    for (size_t i = 0; i < count && status_fine(status); i++) {
        const char *tensor = tensors[i].name;
        Arena *arena = arena_create();
        if (text_starts_with(tensor, "stat.param.") || text_starts_with(tensor, "stat.moved."))
            status = compare_segment(run, arena, tensor);
        else if (text_starts_with(tensor, "stat.after."))
            status = compare_state(run, arena, tensor);
        status = verify_outlive(run->verify, status);
        arena_destroy(arena);
    }
    return status;
}

static Status require_tolerances(Verify *verify) {
    static const double recipe_rounding = 1e-6; /* statistics are stored as float */
    static const struct {
        const char *entry, *group, *metric;
    } entries[] = {{"suggested_tolerance.moved_l2_norm", "moved", "l2"},
                   {"suggested_tolerance.param_l2_norm", "param", "l2"},
                   {"suggested_tolerance.param_sum", "param", "sum"},
                   {"suggested_tolerance.after_l2", "after", "l2"}};
    verify_require_statistics(verify, "stat.image", recipe_rounding);
    compare_make_optional(verify->comparison, "stat.image");
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        double tolerance;
        status_return_if_failed(case_number(&verify->settings, entries[i].entry, &tolerance));
        compare_require(verify->comparison, entries[i].group, entries[i].metric, tolerance);
    }
    return STATUS_FINE;
}

static Status run_steps(TrainingCase *run) {
    status_return_if_failed(program_load(run->verify, run->program, run->weights));
    program_report_unread(run->verify, run->program, run->weights);
    status_return_if_failed(verify_segments(run->verify, run->program));
    for (int64_t step = 0; step < run->steps; step++) {
        Arena *arena = arena_create();
        Status status = verify_outlive(run->verify, run_step(run, arena, step));
        arena_destroy(arena);
        status_return_if_failed(status);
    }
    return run->bounds ? STATUS_FINE : compare_end(run);
}

static Status run_case(TrainingCase *run) {
    Verify *verify = run->verify;
    PassOptions options;
    status_return_if_failed(open_files(run));
    status_return_if_failed(verify_pass_options(verify, &options));
    options.expose = false;
    status_return_if_failed(verify_read_schedule(verify, &run->schedule));
    status_return_if_failed(case_integer(&verify->settings, "steps", 1, 100000, &run->steps));
    status_return_if_failed(verify_recipe_shape(&verify->settings, "images", &run->shape));
    if (!run->bounds)
        status_return_if_failed(require_tolerances(verify));
    status_return_if_failed(program_create(verify, &options, &run->shape, &run->program));
    Status status = verify_outlive(verify, run_steps(run));
    program_destroy(run->program);
    return status;
}

Status verify_training(Verify *verify, const Case *bounds) {
    TrainingCase run = {.verify = verify, .bounds = bounds};
    Status status = run_case(&run);
    close_files(&run);
    return status;
}
