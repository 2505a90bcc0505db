/* One training step of a large network: weights and images by the recipe, results by their
 * statistics and some single values. Expected are those of the official program in float64
 * ("stat64."), where they are stored. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "runtime/weights.h"
#include "tools/verify/verify.h"
#include "tools/verify/verify_recipe.h"

typedef struct StatisticsCase {
    Verify *verify;
    Safetensors *input, *expect;
    CaseProgram *program;
    StepScalars scalars;
    ImageShape shape;
} StatisticsCase;

/* Stored numbers are floats. */
static const double stored_rounding = 1e-6;

/* "stat64.<what>", or "stat.<what>" where only that is stored; NULL if neither. */
static const char *stored_name(const StatisticsCase *run, Arena *arena, const char *what) {
    const char *precise = arena_format(arena, "stat64.%s", what);
    const char *plain = arena_format(arena, "stat.%s", what);
    return safetensors_find(run->expect, precise) ? precise
           : safetensors_find(run->expect, plain) ? plain
                                                  : NULL;
}

/* Values in the file's order; spots are checked where the file has them. */
static Status compare_spots(StatisticsCase *run, Arena *arena, const char *what, const char *group,
                            const double *values, size_t count, double largest) {
    const char *name = arena_format(arena, "spot.%s", what);
    const SafetensorsTensor *tensor;
    const double *expected, *places;
    double worst = 0;
    if (!safetensors_find(run->expect, name))
        return STATUS_FINE;
    status_return_if_failed(verify_read(arena, run->expect, name, 0, &expected, &tensor));
    status_return_if_failed(verify_read(arena, run->expect,
                                        arena_format(arena, "spot_index.%s", what), tensor->count,
                                        &places, NULL));
    for (size_t i = 0; i < tensor->count; i++) {
        if (!(places[i] >= 0 && places[i] < (double)count))
            return status_failure(arena, "%s: spot_index.%s is outside the tensor",
                                  safetensors_path(run->expect), what);
        double error = fabs(values[(size_t)places[i]] - expected[i]);
        worst = isfinite(error) ? fmax(worst, error) : (double)INFINITY;
    }
    compare_error(run->verify->comparison, arena_format(arena, "spot.%s", group), "max", name,
                  worst == 0 ? 0 : worst / largest);
    return STATUS_FINE;
}

static Status compare(StatisticsCase *run, Arena *arena, const char *what, const char *group,
                      ExecutorTensor actual) {
    const char *expected = stored_name(run, arena, what);
    const double *stored;
    if (!expected || !actual.data) {
        compare_problem(run->verify->comparison, "%s %s", what,
                        expected ? "is not computed" : "has no statistics in the file");
        return STATUS_FINE;
    }
    status_return_if_failed(verify_compare_statistics(run->verify, arena, run->expect, expected,
                                                      arena_format(arena, "stat.%s", group),
                                                      actual.data, actual.count));
    status_return_if_failed(
        verify_read(arena, run->expect, expected, STATISTICS_COUNT, &stored, NULL));
    return compare_spots(run, arena, what, group, actual.data, actual.count,
                         recipe_stored_statistics(stored).max);
}

static Status compare_state(StatisticsCase *run, Arena *arena, const StateSlot *slot) {
    const char *what = arena_format(arena, "after.%s", weights_name(arena, slot->part, slot->name));
    Executor *executor = run->program->executor;
    if (!stored_name(run, arena, what))
        return STATUS_FINE;
    return compare(run, arena, what, "after", executor->operations->state(executor, slot->name));
}

/* The change of a parameter by the step; its start is the recipe's, compared before. */
static Status compare_delta(StatisticsCase *run, Arena *arena, const Segment *segment,
                            const char *name) {
    const json_t *entry = json_object_get(case_find(&run->verify->settings, "recipe"), name);
    ExecutorTensor end = program_param(run->program, arena, segment);
    double *start = arena_new_array(arena, double, end.count);
    recipe_fill(name, json_number_value(json_object_get(entry, "offset")),
                json_number_value(json_object_get(entry, "scale")), start, end.count);
    status_return_if_failed(compare(run, arena, arena_format(arena, "weight.%s", name), "weight",
                                    (ExecutorTensor){end.type, end.count, start}));
    double *moved = arena_new_array(arena, double, end.count);
    for (size_t i = 0; i < end.count; i++)
        moved[i] = end.data[i] - start[i];
    if (verify_is_zero_gradient(run->verify, name))
        return STATUS_FINE;
    return compare(run, arena, arena_format(arena, "delta.%s", name), "delta",
                   (ExecutorTensor){end.type, end.count, moved});
}

static Status compare_segment(StatisticsCase *run, Arena *arena, const Segment *segment) {
    const char *name = weights_name(arena, segment->part, segment->name);
    ExecutorTensor gradient = program_gradient(run->program, arena, segment);
    status_return_if_failed(compare_delta(run, arena, segment, name));
    if (!verify_is_zero_gradient(run->verify, name))
        return compare(run, arena, arena_format(arena, "grad.%s", name),
                       arena_format(arena, "grad.%s", verify_parameter_group(name)), gradient);
    double *zeros = arena_new_array(arena, double, gradient.count);
    compare_values(run->verify->comparison, "grad.zero(abs)", name, gradient.data, zeros,
                   gradient.count);
    return STATUS_FINE;
}

static Status compare_segments(StatisticsCase *run) {
    const Graph *graph = run->program->graph;
    Status status = STATUS_FINE;
    for (size_t i = 0; i < graph->segments.count && status_fine(status); i++) {
        Arena *arena = arena_create();
        status =
            verify_outlive(run->verify, compare_segment(run, arena, &graph->segments.items[i]));
        arena_destroy(arena);
    }
    for (size_t i = 0; i < graph->states.count && status_fine(status); i++)
        status = compare_state(run, run->program->arena, &graph->states.items[i]);
    return status;
}

/* feat.0, feat.1, ... as long as the file has them. */
static Status compare_maps(StatisticsCase *run, const char *group) {
    Status status = STATUS_FINE;
    for (int i = 0; status_fine(status); i++) {
        Arena *arena = arena_create();
        const char *what = arena_format(arena, "%s.%d", group, i);
        bool stored = stored_name(run, arena, what) != NULL;
        if (stored)
            status = compare(run, arena, what, group,
                             program_output(run->program, arena, verify_output_name(arena, what)));
        status = verify_outlive(run->verify, status);
        arena_destroy(arena);
        if (!stored)
            break;
    }
    return status;
}

/* Of the float64 run where there is one. */
static Status compare_number(StatisticsCase *run, const char *output, const char *path) {
    const Case *from = &run->verify->settings;
    Arena *arena = run->verify->arena;
    const char *precise = arena_format(arena, "%s_float64", path);
    double expected;
    status_return_if_failed(
        case_number(from, case_find(from, precise) ? precise : path, &expected));
    ExecutorTensor actual = program_output(run->program, arena, output);
    compare_error(run->verify->comparison, output, "rel", output,
                  actual.data ? compare_relative(actual.data[0], expected) : (double)INFINITY);
    return STATUS_FINE;
}

static Status compare_all(StatisticsCase *run) {
    Arena *arena = run->program->arena;
    status_return_if_failed(verify_segments(run->verify, run->program));
    status_return_if_failed(compare_number(run, "loss", "loss"));
    status_return_if_failed(compare_number(run, "grad_norm", "optimizer.grad_norm"));
    status_return_if_failed(compare_maps(run, "feat"));
    status_return_if_failed(compare_maps(run, "todec"));
    status_return_if_failed(
        compare(run, arena, "rec", "rec", program_output(run->program, arena, "reconstruction")));
    return compare_segments(run);
}

static Status run_program(StatisticsCase *run) {
    CaseProgram *program = run->program;
    Arena *arena = program->arena;
    const double *images, *active;
    status_return_if_failed(program_load_recipe(run->verify, program));
    status_return_if_failed(
        verify_recipe_images(&run->verify->settings, "recipe_image", "image", arena, &images));
    ExecutorTensor image = {.count = verify_image_count(&run->shape), .data = images};
    status_return_if_failed(compare(run, arena, "image", "image", image));
    status_return_if_failed(program_set_images(program, &run->shape, images));
    size_t cells = (size_t)(run->shape.extent[0] * graph_cells(program->graph));
    status_return_if_failed(verify_read(arena, run->input, "active", cells, &active, NULL));
    status_return_if_failed(program_set_active(program, active));
    status_return_if_failed(program_set_scalars(program, run->scalars));
    status_return_if_failed(program->executor->operations->run(program->executor, arena));
    return compare_all(run);
}

static Status read_scalars(StatisticsCase *run) {
    const Case *from = &run->verify->settings;
    status_return_if_failed(case_number(from, "optimizer.lr", &run->scalars.lr));
    status_return_if_failed(
        case_number(from, "optimizer.weight_decay", &run->scalars.weight_decay));
    return case_integer(from, "optimizer.step", 1, INT32_MAX, &run->scalars.step);
}

static Status run_case(StatisticsCase *run) {
    Verify *verify = run->verify;
    PassOptions options;
    status_return_if_failed(verify_open(verify, "input.safetensors", &run->input));
    status_return_if_failed(verify_open(verify, "expect.safetensors", &run->expect));
    status_return_if_failed(verify_pass_options(verify, &options));
    status_return_if_failed(read_scalars(run));
    status_return_if_failed(verify_require_tolerances(verify, &verify->settings, ""));
    if (json_array_size(case_find(&verify->settings, "zero_grad")) == 0)
        compare_make_optional(verify->comparison, "grad.zero(abs)");
    verify_require_statistics(verify, "stat.image", stored_rounding);
    verify_require_statistics(verify, "stat.weight", stored_rounding);
    status_return_if_failed(verify_recipe_shape(&verify->settings, "recipe_image", &run->shape));
    status_return_if_failed(program_create(verify, &options, &run->shape, &run->program));
    Status status = verify_outlive(verify, run_program(run));
    program_destroy(run->program);
    return status;
}

Status verify_statistics(Verify *verify) {
    StatisticsCase run = {.verify = verify};
    Status status = run_case(&run);
    safetensors_close(run.input);
    safetensors_close(run.expect);
    return status;
}
