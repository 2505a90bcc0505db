/* Cases whose tensors come from the recipe and are compared by their statistics. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "runtime/weights.h"
#include "tools/verify/verify.h"
#include "tools/verify/verify_recipe.h"

Status verify_recipe_shape(const Case *from, const char *path, ImageShape *shape) {
    const char *where = arena_format(from->arena, "%s.shape", path);
    status_return_if_failed(
        case_shape(from, where, 2 + TYPE_MAX_SPACE, &shape->rank, shape->extent));
    size_t count = 1;
    for (int d = 0; d < shape->rank; d++)
        if (__builtin_mul_overflow(count, (size_t)shape->extent[d], &count) || count > INT32_MAX)
            return status_failure(from->arena, "%s: %s is too large", from->path, where);
    if (shape->rank < 3)
        return status_failure(from->arena, "%s: %s is not a batch of images", from->path, where);
    return STATUS_FINE;
}

Status verify_recipe_images(const Case *from, const char *path, const char *name, Arena *arena,
                            const double **images) {
    ImageShape shape;
    double offset, scale;
    status_return_if_failed(verify_recipe_shape(from, path, &shape));
    status_return_if_failed(
        case_number(from, arena_format(from->arena, "%s.offset", path), &offset));
    status_return_if_failed(case_number(from, arena_format(from->arena, "%s.scale", path), &scale));
    size_t count = verify_image_count(&shape);
    double *values = arena_new_array(arena, double, count);
    recipe_fill(name, offset, scale, values, count);
    *images = values;
    return STATUS_FINE;
}

/* An entry's shape must be the parameter's in files. */
static Status check_shape(Verify *verify, const json_t *entry, const char *name,
                          const Segment *segment) {
    const json_t *shape = json_object_get(entry, "shape");
    bool same = json_array_size(shape) == (size_t)segment->file_rank;
    for (int d = 0; same && d < segment->file_rank; d++)
        same = json_integer_value(json_array_get(shape, (size_t)d)) == segment->file_shape[d];
    compare_fact(verify->comparison, "shapes", same, "%s has shape %s in the network", name,
                 weights_shape_text(verify->arena, segment->file_rank, segment->file_shape));
    return STATUS_FINE;
}

static Status load_segment(Verify *verify, CaseProgram *program, Arena *arena,
                           const Segment *segment) {
    const char *name = weights_name(arena, segment->part, segment->name);
    const json_t *recipe = case_find(&verify->settings, "recipe");
    const json_t *entry = json_object_get(recipe, name);
    const json_t *offset = json_object_get(entry, "offset"),
                 *scale = json_object_get(entry, "scale");
    if (!json_is_number(offset) || !json_is_number(scale)) {
        compare_problem(verify->comparison, "the recipe lacks %s", name);
        return STATUS_FINE;
    }
    status_return_if_failed(check_shape(verify, entry, name, segment));
    size_t count = weights_count(segment);
    double *values = arena_new_array(arena, double, count);
    double *stored = arena_new_array(arena, double, count);
    recipe_fill(name, json_number_value(offset), json_number_value(scale), values, count);
    weights_to_stored(segment, values, stored);
    return program->executor->operations->write_param(program->executor, arena, segment->name,
                                                      stored, count);
}

/* Names of the recipe that the network does not have. */
static void report_unread(Verify *verify, const CaseProgram *program) {
    json_t *recipe = case_find(&verify->settings, "recipe");
    const char *name;
    json_t *entry;
    json_object_foreach(recipe, name, entry) {
        if (!program_segment(program, name))
            compare_problem(verify->comparison, "the network has no %s, which the recipe holds",
                            name);
    }
}

/* States keep their initial values: running mean 0, variance 1. */
Status program_load_recipe(Verify *verify, CaseProgram *program) {
    for (size_t i = 0; i < program->graph->segments.count; i++) {
        Arena *arena = arena_create();
        Status status = load_segment(verify, program, arena, &program->graph->segments.items[i]);
        status = verify_outlive(verify, status);
        arena_destroy(arena);
        status_return_if_failed(status);
    }
    report_unread(verify, program);
    return STATUS_FINE;
}

static double over(double difference, double scale) {
    if (difference == 0)
        return 0;
    return scale > 0 && isfinite(difference) ? difference / scale : (double)INFINITY;
}

Status verify_compare_statistics(Verify *verify, Arena *arena, const Safetensors *file,
                                 const char *expected, const char *group, const double *values,
                                 size_t count) {
    const double *stored;
    status_return_if_failed(verify_read(arena, file, expected, STATISTICS_COUNT, &stored, NULL));
    Statistics a = recipe_statistics(values, count), e = recipe_stored_statistics(stored);
    double first = 0;
    for (int i = 0; i < STATISTICS_FIRST; i++)
        first = fmax(first, fabs(a.first[i] - e.first[i]));
    const struct {
        const char *metric;
        double error;
    } errors[] = {{"sum", over(fabs(a.sum - e.sum), sqrt((double)count) * e.l2)},
                  {"l2", over(fabs(a.l2 - e.l2), e.l2)},
                  {"max", over(fabs(a.max - e.max), e.max)},
                  {"probe", over(fabs(a.probe - e.probe), e.l2)},
                  {"first", over(first, e.max)}};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        compare_error(verify->comparison, group, errors[i].metric, expected, errors[i].error);
    return STATUS_FINE;
}

void verify_require_statistics(Verify *verify, const char *group, double tolerance) {
    static const char *const metrics[] = {"sum", "l2", "max", "probe", "first"};
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        compare_require(verify->comparison, group, metrics[i], tolerance);
}
