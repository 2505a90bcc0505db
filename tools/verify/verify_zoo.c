/* A whole classifier in evaluation mode on one image: names and shapes of everything it keeps, maps
 * by their statistics, logits. Weights and image come from the recipe, by kind of tensor. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "runtime/weights.h"
#include "tools/network.h"
#include "tools/verify/verify.h"
#include "tools/verify/verify_recipe.h"

typedef struct ZooCase {
    Verify *verify;
    Safetensors *expect;
    ImageShape shape;
} ZooCase;

/* An entry of "tensors": [name, shape, kind]. NULL if the name is not there. */
static const json_t *find_tensor(const Verify *verify, const char *name) {
    const json_t *tensors = case_find(&verify->settings, "tensors");
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *tensor = json_array_get(tensors, i);
        const char *found = json_string_value(json_array_get(tensor, 0));
        if (found && strcmp(found, name) == 0)
            return tensor;
    }
    return NULL;
}

static bool has_shape(const json_t *tensor, int rank, const int64_t *shape) {
    const json_t *expected = json_array_get(tensor, 1);
    bool same = json_array_size(expected) == (size_t)rank;
    for (int d = 0; same && d < rank; d++)
        same = json_integer_value(json_array_get(expected, (size_t)d)) == shape[d];
    return same;
}

static void check_tensor(Verify *verify, const char *name, int rank, const int64_t *shape) {
    const json_t *tensor = find_tensor(verify, name);
    compare_fact(verify->comparison, "names", tensor != NULL, "the model has no %s", name);
    if (tensor)
        compare_fact(verify->comparison, "shapes", has_shape(tensor, rank, shape),
                     "%s has shape %s in the network", name,
                     weights_shape_text(verify->arena, rank, shape));
}

/* Counters of batches are left out of the list. */
static bool is_listed(const StateSlot *slot) {
    return !text_ends_with(slot->name, ".num_batches_tracked");
}

static Status check_names(Verify *verify, const Graph *graph) {
    size_t listed = 0;
    int64_t parameters = 0, expected;
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        check_tensor(verify, segment->name, segment->file_rank, segment->file_shape);
        parameters += (int64_t)weights_count(segment);
        listed++;
    }
    for (size_t i = 0; i < graph->states.count; i++) {
        const StateSlot *slot = &graph->states.items[i];
        if (!is_listed(slot))
            continue;
        check_tensor(verify, slot->name, slot->type.rank, slot->type.extent);
        listed++;
    }
    size_t tensors = json_array_size(case_find(&verify->settings, "tensors"));
    compare_fact(verify->comparison, "names", tensors == listed,
                 "the network has %zu tensors, the model %zu", listed, tensors);
    status_return_if_failed(case_integer(&verify->settings, "parameters", 0, INT64_MAX, &expected));
    compare_fact(verify->comparison, "parameters", parameters == expected,
                 "the network has %" PRId64 " parameters, expected are %" PRId64, parameters,
                 expected);
    return STATUS_FINE;
}

/* A number, or "sqrt(2)"; NaN for anything else. */
static double read_gain(const json_t *gain) {
    const char *text = json_string_value(gain);
    char *end;
    if (!text || !text_starts_with(text, "sqrt("))
        return json_is_number(gain) ? json_number_value(gain) : (double)NAN;
    double value = strtod(text + strlen("sqrt("), &end);
    return strcmp(end, ")") == 0 ? sqrt(value) : (double)NAN;
}

/* The product of all dimensions but the first. */
static double fan_in(int rank, const int64_t *shape) {
    double product = 1;
    for (int d = 1; d < rank; d++)
        product *= (double)shape[d];
    return product;
}

/* Kinds have a scale of their own, or a gain on sqrt(3 / fan_in). */
static Status fill(Verify *verify, const char *name, int rank, const int64_t *shape, double *values,
                   size_t count) {
    const char *kind = json_string_value(json_array_get(find_tensor(verify, name), 2));
    const json_t *recipe =
        kind ? json_object_get(case_find(&verify->settings, "recipe"), kind) : NULL;
    const json_t *gain = json_object_get(recipe, "gain");
    double offset = json_number_value(json_object_get(recipe, "offset"));
    double scale = gain ? read_gain(gain) * sqrt(3 / fan_in(rank, shape))
                        : json_number_value(json_object_get(recipe, "scale"));
    if (!recipe || !isfinite(scale))
        return status_failure(verify->arena, "%s: no recipe for %s", verify->settings.path, name);
    recipe_fill(name, offset, scale, values, count);
    return STATUS_FINE;
}

static Status load_segment(Verify *verify, CaseProgram *program, Arena *arena,
                           const Segment *segment) {
    size_t count = weights_count(segment);
    double *values = arena_new_array(arena, double, count);
    double *stored = arena_new_array(arena, double, count);
    status_return_if_failed(
        fill(verify, segment->name, segment->file_rank, segment->file_shape, values, count));
    weights_to_stored(segment, values, stored);
    return program->executor->operations->write_param(program->executor, arena, segment->name,
                                                      stored, count);
}

static Status load_state(Verify *verify, CaseProgram *program, Arena *arena,
                         const StateSlot *slot) {
    if (!is_listed(slot) || slot->type.form != FORM_PLAIN)
        return STATUS_FINE;
    size_t count = (size_t)graph_elements(program->graph, &slot->type);
    double *values = arena_new_array(arena, double, count);
    status_return_if_failed(
        fill(verify, slot->name, slot->type.rank, slot->type.extent, values, count));
    return program->executor->operations->write_state(program->executor, arena, slot->name, values,
                                                      count);
}

static Status load(Verify *verify, CaseProgram *program) {
    const Graph *graph = program->graph;
    Status status = STATUS_FINE;
    for (size_t i = 0; i < graph->segments.count && status_fine(status); i++) {
        Arena *arena = arena_create();
        status = load_segment(verify, program, arena, &graph->segments.items[i]);
        status = verify_outlive(verify, status);
        arena_destroy(arena);
    }
    for (size_t i = 0; i < graph->states.count && status_fine(status); i++)
        status = load_state(verify, program, program->arena, &graph->states.items[i]);
    return status;
}

/* Each map that the network hands out, by its stride. */
static Status compare_features(ZooCase *zoo, CaseProgram *program) {
    Arena *arena = program->arena;
    for (int i = 0;; i++) {
        ExecutorTensor map = program_output(program, arena, arena_format(arena, "feature.%d", i));
        if (!map.data)
            return STATUS_FINE;
        const char *what =
            arena_format(arena, "feat.%" PRId64, zoo->shape.extent[2] / map.type.extent[0]);
        const char *precise = arena_format(arena, "stat64.%s", what);
        const char *plain = arena_format(arena, "stat.%s", what);
        status_return_if_failed(
            verify_compare_statistics(zoo->verify, arena, zoo->expect,
                                      safetensors_find(zoo->expect, precise) ? precise : plain,
                                      "stat.feat", map.data, map.count));
    }
}

static Status compare_logits(ZooCase *zoo, CaseProgram *program) {
    bool precise = safetensors_find(zoo->expect, "logits64") != NULL;
    return verify_compare(zoo->verify, program->arena, zoo->expect, precise ? "logits64" : "logits",
                          "logits", program_output(program, program->arena, "logits"));
}

static Status run_program(ZooCase *zoo, CaseProgram *program) {
    const double *images;
    const char *name;
    const Case *from = &zoo->verify->settings;
    status_return_if_failed(load(zoo->verify, program));
    status_return_if_failed(case_text(from, "image.name", &name));
    status_return_if_failed(verify_recipe_images(from, "image", name, program->arena, &images));
    status_return_if_failed(program_set_images(program, &zoo->shape, images));
    status_return_if_failed(program_set_scalars(program, (StepScalars){.step = 1}));
    return program->executor->operations->run(program->executor, program->arena);
}

static Status check_entry(ZooCase *zoo, Entry entry,
                          Status (*compare)(ZooCase *zoo, CaseProgram *program)) {
    PassOptions options = pass_options_default();
    CaseProgram *program;
    options.entry = entry;
    options.training = false;
    options.stochastic = false;
    status_return_if_failed(program_create(zoo->verify, &options, &zoo->shape, &program));
    Status status = run_program(zoo, program);
    if (status_fine(status))
        status = compare(zoo, program);
    status = verify_outlive(zoo->verify, status);
    program_destroy(program);
    return status;
}

static Status run_case(ZooCase *zoo) {
    Verify *verify = zoo->verify;
    const char *file = arena_format(verify->arena, "%s.safetensors", verify->model);
    status_return_if_failed(verify_open(verify, file, &zoo->expect));
    status_return_if_failed(verify_require_tolerances(verify, &verify->settings, ""));
    status_return_if_failed(verify_recipe_shape(&verify->settings, "image", &zoo->shape));
    const Graph *graph = NULL;
    if (verify->network)
        graph = network_graph(verify->network, NULL, NULL);
    if (!graph)
        return status_failure(verify->arena, "no network for %s", verify->model);
    status_return_if_failed(check_names(verify, graph));
    status_return_if_failed(check_entry(zoo, ENTRY_FEATURES, compare_features));
    return check_entry(zoo, ENTRY_LOGITS, compare_logits);
}

Status verify_zoo(Verify *verify) {
    ZooCase zoo = {.verify = verify};
    Status status = run_case(&zoo);
    safetensors_close(zoo.expect);
    return status;
}
