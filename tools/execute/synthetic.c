#include "tools/execute/synthetic.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "runtime/initial.h"
#include "runtime/train/mask.h"
#include "runtime/train/schedule.h"
#include "runtime/weights.h"

enum { STREAM_PICTURE = 1, STREAM_NOISE = 3, STREAM_TARGETS = 4 };

static uint32_t stream_of(const char *name) {
    uint32_t hash = STREAM_NOISE;
    for (; *name; name++)
        hash = hash * 0x01000193 ^ (unsigned char)*name;
    return hash;
}

/* In [0, 1). */
static double noise(const char *name, uint32_t seed, size_t index) {
    return 0x1p-32 * random_word(seed, stream_of(name), 0, index);
}

void synthetic_parameter(const Segment *segment, uint32_t seed, bool lively, double *values) {
    initial_fill(segment, seed, values);
    if (!lively || segment->init.kind != INIT_CONSTANT)
        return;
    size_t count = weights_count(segment);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)(float)(values[i] + 0.6 * noise(segment->name, seed, i) - 0.2);
}

void synthetic_state(const Graph *graph, const StateSlot *slot, uint32_t seed, bool lively,
                     double *values) {
    size_t count = (size_t)graph_elements(graph, &slot->type);
    bool noisy = lively && slot->type.dtype == DTYPE_F32;
    for (size_t i = 0; i < count; i++)
        values[i] =
            noisy ? (double)(float)(slot->init + 0.1 * noise(slot->name, seed, i)) : slot->init;
}

static void draw_cells(uint32_t seed, uint32_t step, const Graph *graph, double *values) {
    int64_t batch = graph->geometry.batch, keep = graph->geometry.keep;
    Arena *arena = arena_create();
    int32_t *list = arena_new_array(arena, int32_t, (size_t)(batch * keep));
    mask_draw(seed, step, batch, graph_cells(graph), keep, list);
    for (int64_t i = 0; i < batch * keep; i++)
        values[i] = list[i];
    arena_destroy(arena);
}

/* Of each image nine tenths of one class, the rest shared by all. */
static void draw_targets(uint32_t seed, uint32_t step, const Type *type, double *values) {
    for (int64_t i = 0; i < type->batch * type->channels; i++) {
        int64_t image = i / type->channels, rest = i % type->channels;
        uint32_t word = random_word(seed, STREAM_TARGETS, step, (uint64_t)image);
        double share = 0.1 / (double)type->channels;
        values[i] = (double)(float)(share + (rest == word % type->channels ? 0.9 : 0));
    }
}

size_t synthetic_input_count(const Graph *graph, const Type *type) {
    int64_t count = type->form == FORM_MASKED ? type->batch * type_positions(type) * type->channels
                                              : graph_elements(graph, type);
    return (size_t)count;
}

void synthetic_input(const Graph *graph, const Node *node, uint32_t seed, uint32_t step,
                     double *values) {
    if (strcmp(node_text(node, "name"), "cells") == 0) {
        draw_cells(seed, step, graph, values);
        return;
    }
    if (strcmp(node_text(node, "name"), "targets") == 0) {
        draw_targets(seed, step, &node->results[0].type, values);
        return;
    }
    size_t count = synthetic_input_count(graph, &node->results[0].type);
    for (size_t i = 0; i < count; i++)
        values[i] =
            (double)(float)(1.7 * (0x1p-31 * random_word(seed, STREAM_PICTURE, step, i) - 1));
}

double synthetic_scalar(const PassOptions *options, const char *name, uint32_t step) {
    double beta2 = options->beta2 > 0 ? options->beta2 : 0.95;
    const struct {
        const char *name;
        double value;
    } known[] = {{"lr", 1e-4},
                 {"weight_decay", 0.04},
                 {"bias_correction1", schedule_bias_correction(options->beta1, step + 1)},
                 {"bias_correction2_sqrt", sqrt(schedule_bias_correction(beta2, step + 1))},
                 {"step", step},
                 {"first", step % 2 == 0},
                 {"gradient_scale", 0.5},
                 {"ema_decay", 0.9}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].value;
    return 0;
}
