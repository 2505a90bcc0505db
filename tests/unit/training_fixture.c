#include "tests/unit/training_fixture.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "runtime/weights.h"
#include "tests/support/text_network.h"
#include "tests/unit/harness.h"

enum { BATCH = 4, SIDE = 32, CHANNELS = 3, PIXELS = BATCH * SIDE * SIDE * CHANNELS };

static const char text[] =
    "network n(image = [3, 32, 32]) {\n"
    "    x = image |> c1: conv(8, kernel = 3, stride = 2, pad = 1) |> n1: batch_norm |> relu\n"
    "    feature x\n"
    "    x = x |> c2: conv(12, kernel = 3, stride = 2, pad = 1) |> n2: batch_norm |> silu\n"
    "    x = x + (x |> dw: conv(12, kernel = 3, pad = 1, groups = 12) |> n3: layer_norm\n"
    "               |> drop_path(0.3))\n"
    "    feature x\n"
    "}\n";

static const Graph *read_network(Arena *arena) {
    const Graph *graph = text_network(arena, diagnostics_create(arena, FRONTEND_ERROR_LIMIT), text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(graph);
    return graph;
}

TrainingFixture training_open(int64_t micro_batches, OptimizerKind optimizer) {
    TrainingFixture fixture = {.arena = arena_create()};
    fixture.network = read_network(fixture.arena);
    TrainerOptions options = {.pass = pass_options_default(),
                              .run = {.threads = 2},
                              .micro_batches = micro_batches,
                              .seed = 5};
    options.pass.batch = BATCH;
    options.pass.decoder_width = 16;
    options.pass.optimizer = optimizer;
    Diagnostics *diagnostics = diagnostics_create(fixture.arena, FRONTEND_ERROR_LIMIT);
    Status status =
        trainer_create(fixture.arena, fixture.network, &options, diagnostics, &fixture.trainer);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    return fixture;
}

void training_close(TrainingFixture *fixture) {
    trainer_destroy(fixture->trainer);
    arena_destroy(fixture->arena);
}

static void fill(const TrainingFixture *fixture, uint32_t number) {
    float *images = trainer_images(fixture->trainer);
    for (uint64_t i = 0; i < PIXELS; i++)
        images[i] = (float)(random_word(1, 2, number, i) * 0x1p-31 - 1);
}

static const TrainerRates rates = {3e-3, 0.1};

TrainerResult training_feed(const TrainingFixture *fixture, uint32_t number, bool *updated) {
    fill(fixture, number);
    return trainer_step(fixture->trainer, &rates, updated);
}

TrainerResult training_feed_infinity(const TrainingFixture *fixture, uint32_t number, int picture) {
    bool updated;
    fill(fixture, number);
    trainer_images(fixture->trainer)[picture * (PIXELS / BATCH) + 77] = INFINITY;
    return trainer_step(fixture->trainer, &rates, &updated);
}

static size_t slot_bytes(const Graph *graph, const StateSlot *slot) {
    return (size_t)graph_elements(graph, &slot->type) * sizeof(float);
}

bool training_same(const TrainingFixture *a, const TrainingFixture *b) {
    const TrainingMemory *one = trainer_memory(a->trainer), *two = trainer_memory(b->trainer);
    const Graph *graph = one->graph;
    size_t count = 0;
    for (size_t i = 0; i < graph->segments.count; i++)
        count += weights_count(&graph->segments.items[i]);
    bool same = memcmp(one->parameters, two->parameters, count * sizeof(float)) == 0;
    for (size_t i = 0; i < graph->states.count; i++)
        if (one->states[i])
            same = same && memcmp(one->states[i], two->states[i],
                                  slot_bytes(graph, &graph->states.items[i])) == 0;
    return same;
}
