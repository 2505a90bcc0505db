/* Steps of the optimizer alone: start weights, gradients of every step, weights after every step
 * and the final moments are stored; there is no network. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "base/vector.h"
#include "runtime/weights.h"
#include "tools/verify/verify.h"

typedef struct OptimizerCase {
    Verify *verify;
    Safetensors *weights, *input, *expect;
    CaseProgram *program;
    Schedule schedule;
    int64_t steps;
} OptimizerCase;

/* Final states, as files call them. */
static const char *const moments[] = {"exp_avg", "exp_avg_sq", "momentum_buffer"};

static Status open_files(OptimizerCase *run) {
    status_return_if_failed(verify_open(run->verify, "weights.safetensors", &run->weights));
    status_return_if_failed(verify_open(run->verify, "input.safetensors", &run->input));
    return verify_open(run->verify, "expect.safetensors", &run->expect);
}

static void close_files(OptimizerCase *run) {
    safetensors_close(run->weights);
    safetensors_close(run->input);
    safetensors_close(run->expect);
}

/* A segment in the file's own order, which the optimizer does not look at. */
static Segment segment_of(const Verify *verify, const SafetensorsTensor *tensor) {
    Segment segment = {.name = tensor->name,
                       .part = PART_DECODER,
                       .role = ROLE_WEIGHT,
                       .type = type_plain(DTYPE_F32, tensor->rank, tensor->shape),
                       .layout = LAYOUT_AS_IS,
                       .file_rank = tensor->rank,
                       .decays = !case_lists(&verify->settings, "no_decay", tensor->name),
                       .lr_scale = 1};
    memcpy(segment.file_shape, tensor->shape, (size_t)tensor->rank * sizeof *tensor->shape);
    return segment;
}

static Status create_program(OptimizerCase *run) {
    Verify *verify = run->verify;
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(run->weights, &count);
    Segment *segments = arena_new_array(verify->arena, Segment, count);
    for (size_t i = 0; i < count; i++) {
        if (tensors[i].rank > TYPE_MAX_RANK || tensors[i].count == 0)
            return status_failure(verify->arena, "%s: tensor %s is no parameter",
                                  safetensors_path(run->weights), tensors[i].name);
        segments[i] = segment_of(verify, &tensors[i]);
    }
    PassOptions options;
    status_return_if_failed(verify_optimizer_options(verify, &options));
    return program_create_update(verify, &options, segments, count, &run->program);
}

static Status set_gradients(OptimizerCase *run, Arena *arena, int64_t step) {
    Type flat = type_flat(DTYPE_F32);
    const Graph *graph = run->program->graph;
    size_t count = (size_t)graph_elements(graph, &flat);
    double *gradients = arena_new_array(arena, double, count);
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        const double *values;
        const char *name = arena_format(arena, "grad.%lld.%s", (long long)step, segment->name);
        status_return_if_failed(
            verify_read(arena, run->input, name, weights_count(segment), &values, NULL));
        memcpy(gradients + segment->offset, values, weights_count(segment) * sizeof *values);
    }
    return run->program->executor->operations->write_input(run->program->executor, arena,
                                                           "gradients", gradients, count);
}

/* The rate and decay of the schedule must be those of the case, and the norm the one stored. */
static Status compare_settings(OptimizerCase *run, Arena *arena, int64_t step,
                               const StepScalars *scalars) {
    static const double double_rounding = 1e-13, float_rounding = 1e-6;
    Comparison *comparison = run->verify->comparison;
    const Case *from = &run->verify->settings;
    double lr, weight_decay, norm;
    const char *row = arena_format(arena, "per_step.%lld", (long long)step);
    status_return_if_failed(case_number(from, arena_format(arena, "%s.lr", row), &lr));
    status_return_if_failed(
        case_number(from, arena_format(arena, "%s.weight_decay", row), &weight_decay));
    status_return_if_failed(case_number(from, arena_format(arena, "%s.grad_norm", row), &norm));
    compare_error_within(comparison, "lr", "rel", row, compare_relative(scalars->lr, lr),
                         double_rounding);
    compare_error_within(comparison, "weight_decay", "rel", row,
                         compare_relative(scalars->weight_decay, weight_decay), double_rounding);
    ExecutorTensor actual = program_output(run->program, arena, "grad_norm");
    compare_error_within(comparison, "grad_norm", "rel", row,
                         actual.data ? compare_relative(actual.data[0], norm) : (double)INFINITY,
                         float_rounding);
    return STATUS_FINE;
}

static bool starts_at_zero(const double *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (values[i] != 0)
            return false;
    }
    return true;
}

static Status compare_params(OptimizerCase *run, Arena *arena, int64_t step) {
    const Graph *graph = run->program->graph;
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        size_t count = weights_count(segment);
        const double *start, *expected;
        const char *name = arena_format(arena, "param.%lld.%s", (long long)step, segment->name);
        status_return_if_failed(
            verify_read(arena, run->weights, segment->name, count, &start, NULL));
        status_return_if_failed(verify_read(arena, run->expect, name, count, &expected, NULL));
        ExecutorTensor actual = program_param(run->program, arena, segment);
        const char *group = starts_at_zero(start, count) ? "param_zero_start_max" : "param_max";
        compare_values(run->verify->comparison, group, name, actual.data, expected, count);
    }
    return STATUS_FINE;
}

static Status run_step(OptimizerCase *run, Arena *arena, int64_t step) {
    CaseProgram *program = run->program;
    StepScalars scalars = {.lr = schedule_lr(&run->schedule, step),
                           .weight_decay = schedule_weight_decay(&run->schedule, step),
                           .step = step + 1};
    status_return_if_failed(set_gradients(run, arena, step));
    status_return_if_failed(program_set_scalars(program, scalars));
    status_return_if_failed(program->executor->operations->run(program->executor, arena));
    status_return_if_failed(compare_settings(run, arena, step, &scalars));
    return compare_params(run, arena, step);
}

/* "exp_avg.conv.weight" is a part of the flat state exp_avg. */
static Status compare_moment(OptimizerCase *run, Arena *arena, const char *state,
                             const char *tensor) {
    const Segment *segment = graph_find_segment(run->program->graph, tensor + strlen(state) + 1);
    const double *expected;
    if (!segment)
        return status_failure(run->verify->arena, "%s: %s belongs to no parameter",
                              safetensors_path(run->expect), tensor);
    status_return_if_failed(
        verify_read(arena, run->expect, tensor, weights_count(segment), &expected, NULL));
    ExecutorTensor actual = program_flat_state(run->program, arena, state, segment);
    if (!actual.data) {
        compare_problem(run->verify->comparison, "the optimizer keeps no %s", state);
        return STATUS_FINE;
    }
    compare_values(run->verify->comparison, "moments_max", tensor, actual.data, expected,
                   actual.count);
    compare_values(run->verify->comparison, "state_max", tensor, actual.data, expected,
                   actual.count);
    return STATUS_FINE;
}

static Status compare_moments(OptimizerCase *run, Arena *arena) {
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(run->expect, &count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof moments / sizeof *moments; k++) {
            const char *prefix = arena_format(arena, "%s.", moments[k]);
            if (text_starts_with(tensors[i].name, prefix))
                status_return_if_failed(compare_moment(run, arena, moments[k], tensors[i].name));
        }
    }
    return STATUS_FINE;
}

static Status run_steps(OptimizerCase *run) {
    status_return_if_failed(program_load(run->verify, run->program, run->weights));
    for (int64_t step = 0; step < run->steps; step++) {
        Arena *arena = arena_create();
        Status status = verify_outlive(run->verify, run_step(run, arena, step));
        arena_destroy(arena);
        status_return_if_failed(status);
    }
    return compare_moments(run, run->program->arena);
}

/* Tolerances of such a case are one number per group. */
static Status require_tolerances(Verify *verify) {
    json_t *groups = case_find(&verify->settings, "suggested_tolerance");
    const char *group;
    json_t *tolerance;
    if (json_object_size(groups) == 0)
        return status_failure(verify->arena, "%s: suggested_tolerance must hold groups",
                              verify->settings.path);
    json_object_foreach(groups, group, tolerance) {
        if (json_is_number(tolerance))
            compare_require(verify->comparison, group, "max", json_number_value(tolerance));
    }
    return STATUS_FINE;
}

static Status run_case(OptimizerCase *run) {
    Verify *verify = run->verify;
    status_return_if_failed(open_files(run));
    status_return_if_failed(require_tolerances(verify));
    status_return_if_failed(verify_read_schedule(verify, &run->schedule));
    status_return_if_failed(case_integer(&verify->settings, "steps", 1, 100000, &run->steps));
    status_return_if_failed(create_program(run));
    Status status = verify_outlive(verify, run_steps(run));
    program_destroy(run->program);
    return status;
}

Status verify_optimizer(Verify *verify) {
    OptimizerCase run = {.verify = verify};
    Status status = run_case(&run);
    close_files(&run);
    return status;
}
