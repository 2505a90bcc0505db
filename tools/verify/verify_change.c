/* The update of one step in three comparisons (reference README, "How to use them"). */
#include <math.h>
#include <string.h>

#include "runtime/weights.h"
#include "tools/verify/verify.h"

/* What the files call a parameter. */
static const char *name_of(const StepChange *step, Arena *arena, const Segment *segment) {
    return step->bare_names ? segment->name : weights_name(arena, segment->part, segment->name);
}

/* A parameter before and after the step, what the step should have made of it, and the stored
 * gradient; all in the file's order. */
typedef struct Change {
    const char *name;
    double lr; /* the parameter's own */
    size_t count;
    const double *before, *after, *expected, *gradient;
} Change;

static Status read_change(const StepChange *step, CaseProgram *program, Arena *arena,
                          const Segment *segment, Change *change) {
    const char *name = name_of(step, arena, segment);
    ExecutorTensor after = program_param(program, arena, segment);
    *change = (Change){.name = name,
                       .lr = step->scalars.lr * segment->lr_scale,
                       .count = after.count,
                       .after = after.data};
    status_return_if_failed(
        verify_read(arena, step->weights, name, after.count, &change->before, NULL));
    status_return_if_failed(verify_read(arena, step->step, arena_format(arena, "param.%s", name),
                                        after.count, &change->expected, NULL));
    return verify_read(arena, step->expect, arena_format(arena, "grad.%s", name), after.count,
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
static size_t select_elements(const StepChange *step, const Change *change, double *actual,
                              double *expected) {
    size_t selected = 0;
    for (size_t i = 0; i < change->count; i++) {
        if (fabs(change->gradient[i]) * step->clip_factor < step->selected)
            continue;
        actual[selected] = actual[i];
        expected[selected++] = expected[i];
    }
    return selected;
}

static void compare_end_to_end(const StepChange *step, Arena *arena, const Change *change) {
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
static void compare_optimizer_only(const StepChange *step, Arena *arena, const Change *change) {
    const double *actual, *expected;
    double worst = 0;
    subtract_before(change, arena, &actual, &expected);
    compare_values(step->verify->comparison, "delta.optimizer_only", change->name, actual, expected,
                   change->count);
    for (size_t i = 0; i < change->count; i++) {
        double scale = fabs(change->expected[i]) + change->lr;
        double error = fabs(change->after[i] - change->expected[i]) / scale;
        worst = isfinite(error) ? fmax(worst, error) : (double)INFINITY;
    }
    compare_error(step->verify->comparison, "delta.optimizer_only", "param_rel", change->name,
                  worst);
}

typedef void CompareChange(const StepChange *step, Arena *arena, const Change *change);

/* Tensors without a true gradient are left out: the first step divides noise by noise. */
static Status compare_changes(const StepChange *step, CaseProgram *program,
                              CompareChange *compare) {
    Status status = STATUS_FINE;
    for (size_t i = 0; i < program->graph->segments.count && status_fine(status); i++) {
        const Segment *segment = &program->graph->segments.items[i];
        Arena *arena = arena_create();
        Change change;
        if (!verify_is_zero_gradient(step->verify, name_of(step, arena, segment))) {
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
static Status set_stored_gradients(const StepChange *step, CaseProgram *program) {
    Arena *arena = program->arena;
    const Graph *graph = program->graph;
    Type flat = type_flat(DTYPE_F32);
    size_t count = (size_t)graph_elements(graph, &flat);
    double *gradients = arena_new_array(arena, double, count);
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        const char *name = arena_format(arena, "grad.%s", name_of(step, arena, segment));
        const double *values;
        status_return_if_failed(
            verify_read(arena, step->expect, name, weights_count(segment), &values, NULL));
        weights_to_stored(segment, values, gradients + segment->offset);
    }
    return program->executor->operations->write_input(program->executor, arena, "gradients",
                                                      gradients, count);
}

static Status run_update(const StepChange *step, CaseProgram *update) {
    status_return_if_failed(program_load(step->verify, update, step->weights));
    status_return_if_failed(set_stored_gradients(step, update));
    status_return_if_failed(program_set_scalars(update, step->scalars));
    status_return_if_failed(update->executor->operations->run(update->executor, update->arena));
    return compare_changes(step, update, compare_optimizer_only);
}

Status verify_change(const StepChange *step, CaseProgram *program) {
    return compare_changes(step, program, compare_end_to_end);
}

Status verify_change_alone(const StepChange *step, CaseProgram *program) {
    CaseProgram *update;
    const Graph *graph = program->graph;
    status_return_if_failed(program_create_update(
        step->verify, &program->options, graph->segments.items, graph->segments.count, &update));
    Status status = verify_outlive(step->verify, run_update(step, update));
    program_destroy(update);
    return status;
}
