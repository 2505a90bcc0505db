#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/weights.h"
#include "tools/network.h"
#include "tools/verify/verify.h"

size_t verify_image_count(const ImageShape *shape) {
    size_t count = 1;
    for (int d = 0; d < shape->rank; d++)
        count *= (size_t)shape->extent[d];
    return count;
}

/* Runs all passes and makes the executor. */
static Status compile(Verify *verify, CaseProgram *program, Diagnostics *diagnostics) {
    program->options.rewrites = verify->executor_options.rewrites;
    if (!passes_run(program->graph, &program->options, NULL, diagnostics, NULL, NULL))
        return status_failure(verify->arena, "%s cannot be trained by these settings",
                              program->graph->network);
    return verify->executor->create(program->arena, program->graph, &verify->executor_options,
                                    &program->executor);
}

static CaseProgram *create_program(const PassOptions *options) {
    Arena *arena = arena_create();
    CaseProgram *program = arena_new(arena, CaseProgram);
    program->arena = arena;
    program->options = *options;
    return program;
}

static Status finish(Verify *verify, CaseProgram *made, Diagnostics *diagnostics,
                     CaseProgram **program) {
    Status status = compile(verify, made, diagnostics);
    if (status_fine(status))
        *program = made;
    else
        arena_destroy(made->arena);
    return status;
}

/* "3x224x224", without the batch. */
static const char *input_text(Arena *arena, const ImageShape *shape) {
    Text text = text_create(arena);
    for (int d = 1; d < shape->rank; d++)
        text_append(&text, "%s%" PRId64, d > 1 ? "x" : "", shape->extent[d]);
    return text.data;
}

Status program_create(Verify *verify, const PassOptions *options, const ImageShape *shape,
                      CaseProgram **program) {
    if (!verify->network)
        return status_failure(verify->arena, "%s needs a network: name a .cnn file",
                              verify->directory);
    const Graph *graph = network_graph(verify->network, NULL, input_text(verify->arena, shape));
    if (!graph)
        return status_failure(verify->arena, "no network for %s", verify->directory);
    CaseProgram *made = create_program(options);
    made->options.batch = shape->extent[0];
    made->graph = graph_copy(graph, made->arena);
    return finish(verify, made, network_diagnostics(verify->network), program);
}

Status program_create_update(Verify *verify, const PassOptions *options, const Segment *segments,
                             size_t count, CaseProgram **program) {
    CaseProgram *made = create_program(options);
    made->options.entry = ENTRY_UPDATE;
    Geometry no_image = {.batch = 1, .space = 1, .image = {1}, .channels = 1};
    made->graph = graph_create(made->arena, "optimizer", no_image);
    for (size_t i = 0; i < count; i++)
        invariant(graph_add_segment(made->graph, segments[i]), "a second segment %s",
                  segments[i].name);
    return finish(verify, made, diagnostics_create(made->arena, 1), program);
}

void program_destroy(CaseProgram *program) {
    program->executor->operations->destroy(program->executor);
    arena_destroy(program->arena);
}

Status program_set_images(CaseProgram *program, const ImageShape *shape, const double *images) {
    size_t batch = (size_t)shape->extent[0], channels = (size_t)shape->extent[1];
    size_t count = verify_image_count(shape), positions = count / batch / channels;
    double *rows = arena_new_array(program->arena, double, count);
    for (size_t n = 0; n < batch; n++)
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < positions; p++)
                rows[(n * positions + p) * channels + c] =
                    images[(n * channels + c) * positions + p];
    if (!graph_find_input(program->graph, "image"))
        return status_failure(program->arena, "the program reads no image");
    return program->executor->operations->write_input(program->executor, program->arena, "image",
                                                      rows, count);
}

Status program_set_active(CaseProgram *program, const double *active) {
    const Geometry *geometry = &program->graph->geometry;
    if (!graph_find_input(program->graph, "cells"))
        return STATUS_FINE;
    size_t batch = (size_t)geometry->batch, keep = (size_t)geometry->keep, found = 0;
    size_t cells = (size_t)graph_cells(program->graph);
    double *list = arena_new_array(program->arena, double, batch *keep);
    for (size_t n = 0; n < batch; n++) {
        for (size_t cell = 0; cell < cells; cell++) {
            if (active && active[n * cells + cell] == 0)
                continue;
            if (found < (n + 1) * keep)
                list[found] = (double)cell;
            found++;
        }
        if (found != (n + 1) * keep)
            return status_failure(program->arena,
                                  "image %zu does not have the %zu visible cells that the mask "
                                  "ratio %g gives",
                                  n, keep, program->options.mask_ratio);
    }
    return program->executor->operations->write_input(program->executor, program->arena, "cells",
                                                      list, batch * keep);
}

/* Names of the checkpoint. */

static const char *strip_encoder(const char *name) {
    static const char prefix[] = "sparse_encoder.sp_cnn.";
    return text_starts_with(name, prefix) ? name + strlen(prefix) : NULL;
}

/* A complete name belongs to a part that has no prefix; the bare name of an encoder's is none. */
const Segment *program_segment(const CaseProgram *program, const char *name) {
    const char *bare = strip_encoder(name);
    const Segment *segment = graph_find_segment(program->graph, bare ? bare : name);
    return segment && (segment->part == PART_ENCODER) == (bare != NULL) ? segment : NULL;
}

const StateSlot *program_state(const CaseProgram *program, const char *name) {
    const char *bare = strip_encoder(name);
    const StateSlot *state = graph_find_state(program->graph, bare ? bare : name);
    return state && (state->part == PART_ENCODER) == (bare != NULL) ? state : NULL;
}

/* Values of the program in the order of files. */

static ExecutorTensor to_file_order(const Segment *segment, Arena *arena, const double *stored) {
    size_t count = weights_count(segment);
    double *values = arena_new_array(arena, double, count);
    weights_to_file(segment, stored, values);
    return (ExecutorTensor){segment->type, count, values};
}

/* batch, positions, channels to batch, channels, positions. */
static ExecutorTensor channels_first(ExecutorTensor tensor, Arena *arena) {
    size_t channels = (size_t)tensor.type.channels;
    size_t positions = (size_t)type_positions(&tensor.type);
    double *values = arena_new_array(arena, double, tensor.count);
    for (size_t i = 0; i < tensor.count; i++) {
        size_t channel = i % channels, position = i / channels % positions;
        size_t image = i / channels / positions;
        values[(image * channels + channel) * positions + position] = tensor.data[i];
    }
    return (ExecutorTensor){tensor.type, tensor.count, values};
}

ExecutorTensor program_output(CaseProgram *program, Arena *arena, const char *name) {
    ExecutorTensor tensor = program->executor->operations->output(program->executor, name);
    bool mapped =
        tensor.data && (tensor.type.form == FORM_DENSE || tensor.type.form == FORM_MASKED);
    return mapped ? channels_first(tensor, arena) : tensor;
}

const char *verify_output_name(Arena *arena, const char *name) {
    static const struct {
        const char *prefix, *output;
    } outputs[] = {
        {"loss", "loss"}, {"feat.", "feature."}, {"todec.", "todec."}, {"rec", "reconstruction"}};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        if (text_starts_with(name, outputs[i].prefix))
            return arena_format(arena, "%s%s", outputs[i].output, name + strlen(outputs[i].prefix));
    }
    return NULL;
}

ExecutorTensor program_gradient(CaseProgram *program, Arena *arena, const Segment *segment) {
    const char *name = arena_format(arena, "grad.%s", segment->name);
    ExecutorTensor tensor = program->executor->operations->output(program->executor, name);
    return tensor.data ? to_file_order(segment, arena, tensor.data) : tensor;
}

ExecutorTensor program_param(CaseProgram *program, Arena *arena, const Segment *segment) {
    ExecutorTensor tensor = program->executor->operations->param(program->executor, segment->name);
    return tensor.data ? to_file_order(segment, arena, tensor.data) : tensor;
}

ExecutorTensor program_flat_state(CaseProgram *program, Arena *arena, const char *state,
                                  const Segment *segment) {
    ExecutorTensor tensor = program->executor->operations->state(program->executor, state);
    if (!tensor.data || tensor.type.form != FORM_FLAT)
        return (ExecutorTensor){.data = NULL};
    return to_file_order(segment, arena, tensor.data + segment->offset);
}

/* Scalars: the host computes them in double. */

static bool scalar_value(const CaseProgram *program, StepScalars scalars, const char *name,
                         double *value) {
    const PassOptions *options = &program->options;
    const struct {
        const char *name;
        double value;
    } known[] = {
        {"lr", scalars.lr},
        {"weight_decay", scalars.weight_decay},
        {"bias_correction1", schedule_bias_correction(options->beta1, scalars.step)},
        {"bias_correction2_sqrt", sqrt(schedule_bias_correction(options->beta2, scalars.step))},
        {"step", (double)scalars.step},
        {"ema_decay", scalars.ema_decay},
        {"seed", 0},
        {"first", 1},
        {"gradient_scale", 1},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *value = known[i].value;
            return true;
        }
    return false;
}

Status program_set_scalars(CaseProgram *program, StepScalars scalars) {
    double value;
    graph_each(program->graph, node) {
        if (node->op != OP_scalar)
            continue;
        const char *name = node_text(node, "name");
        invariant(scalar_value(program, scalars, name, &value), "nothing gives the scalar %s",
                  name);
        status_return_if_failed(program->executor->operations->write_scalar(
            program->executor, program->arena, name, value));
    }
    return STATUS_FINE;
}

/* Loading a checkpoint. */

Status verify_read(Arena *arena, const Safetensors *file, const char *name, size_t count,
                   const double **values, const SafetensorsTensor **tensor) {
    const SafetensorsTensor *found = safetensors_find(file, name);
    if (!found)
        return status_failure(arena, "%s: there is no tensor %s", safetensors_path(file), name);
    if (count > 0 && found->count != count)
        return status_failure(arena, "%s: tensor %s has %zu elements, expected are %zu",
                              safetensors_path(file), name, found->count, count);
    double *read = arena_new_array(arena, double, found->count);
    *values = read;
    if (tensor)
        *tensor = found;
    return safetensors_read(arena, file, found, read);
}

Status verify_read_images(Verify *verify, const Safetensors *file, ImageShape *shape,
                          const double **images) {
    const SafetensorsTensor *tensor;
    status_return_if_failed(verify_read(verify->arena, file, "image", 0, images, &tensor));
    if (tensor->rank < 3 || tensor->rank > 2 + TYPE_MAX_SPACE || tensor->count == 0)
        return status_failure(verify->arena, "%s: image is not a batch of images",
                              safetensors_path(file));
    shape->rank = tensor->rank;
    memcpy(shape->extent, tensor->shape, sizeof shape->extent);
    return STATUS_FINE;
}

static Status load_segment(CaseProgram *program, Arena *arena, const Safetensors *weights,
                           const SafetensorsTensor *tensor, const Segment *segment) {
    const double *values;
    status_return_if_failed(weights_check_shape(arena, weights, tensor, segment));
    status_return_if_failed(verify_read(arena, weights, tensor->name, 0, &values, NULL));
    double *stored = arena_new_array(arena, double, tensor->count);
    weights_to_stored(segment, values, stored);
    return program->executor->operations->write_param(program->executor, arena, segment->name,
                                                      stored, tensor->count);
}

static Status load_state(CaseProgram *program, Arena *arena, const Safetensors *weights,
                         const SafetensorsTensor *tensor, const StateSlot *slot) {
    const double *values;
    status_return_if_failed(verify_read(arena, weights, tensor->name, 0, &values, NULL));
    return program->executor->operations->write_state(program->executor, arena, slot->name, values,
                                                      tensor->count);
}

static Status load_all(Verify *verify, CaseProgram *program, Arena *arena,
                       const Safetensors *weights) {
    const Graph *graph = program->graph;
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        const SafetensorsTensor *tensor =
            weights_find(arena, weights, "", segment->part, segment->name);
        if (tensor)
            status_return_if_failed(load_segment(program, arena, weights, tensor, segment));
        else
            compare_problem(verify->comparison, "the weights lack %s", segment->name);
    }
    for (size_t i = 0; i < graph->states.count; i++) {
        const StateSlot *slot = &graph->states.items[i];
        const SafetensorsTensor *tensor = weights_find(arena, weights, "", slot->part, slot->name);
        if (tensor)
            status_return_if_failed(load_state(program, arena, weights, tensor, slot));
        else if (slot->part != PART_TRAINING)
            compare_problem(verify->comparison, "the weights lack %s", slot->name);
    }
    return STATUS_FINE;
}

/* Buffers that official checkpoints carry along and nothing reads. */
static bool is_left_over(const char *name) {
    static const char *const names[] = {"imn_m", "imn_s", "norm_black"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Bare names are those of a file with the encoder alone. */
static bool is_read(const CaseProgram *program, const char *name) {
    return program_segment(program, name) || program_state(program, name) ||
           graph_find_segment(program->graph, name) || graph_find_state(program->graph, name);
}

void program_report_unread(Verify *verify, const CaseProgram *program, const Safetensors *weights) {
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(weights, &count);
    for (size_t i = 0; i < count; i++) {
        if (!is_left_over(tensors[i].name) && !is_read(program, tensors[i].name))
            compare_problem(verify->comparison, "the network has no %s, which the weights hold",
                            tensors[i].name);
    }
}

Status verify_outlive(const Verify *verify, Status status) {
    return status_fine(status) ? status : status_failure(verify->arena, "%s", status.message);
}

Status program_load(Verify *verify, CaseProgram *program, const Safetensors *weights) {
    Arena *arena = arena_create();
    Status status = load_all(verify, program, arena, weights);
    status = verify_outlive(verify, status);
    arena_destroy(arena);
    return status;
}

/* Comparing. */

Status verify_compare(Verify *verify, Arena *arena, const Safetensors *file, const char *expected,
                      const char *group, ExecutorTensor actual) {
    const double *values;
    if (!actual.data) {
        compare_problem(verify->comparison, "the program does not compute %s", expected);
        return STATUS_FINE;
    }
    status_return_if_failed(verify_read(arena, file, expected, actual.count, &values, NULL));
    compare_values(verify->comparison, group, expected, actual.data, values, actual.count);
    return STATUS_FINE;
}

Status verify_segments(Verify *verify, const CaseProgram *program) {
    int64_t parameters = 0, expected;
    for (size_t i = 0; i < program->graph->segments.count; i++) {
        const Segment *segment = &program->graph->segments.items[i];
        const char *name = weights_name(verify->arena, segment->part, segment->name);
        bool decays = !case_lists(&verify->settings, "no_decay", name);
        parameters += (int64_t)weights_count(segment);
        compare_fact(verify->comparison, "no_decay", segment->decays == decays,
                     "%s %s weight decay", name, decays ? "must have" : "must not have");
    }
    if (!case_find(&verify->settings, "parameters"))
        return STATUS_FINE;
    status_return_if_failed(case_integer(&verify->settings, "parameters", 0, INT64_MAX, &expected));
    compare_fact(verify->comparison, "parameters", parameters == expected,
                 "the network has %" PRId64 " parameters, expected are %" PRId64, parameters,
                 expected);
    return STATUS_FINE;
}
