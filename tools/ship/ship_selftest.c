/* The recorded run: words that fill each input over and over, and what comes out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "runtime/train/mask.h"
#include "runtime/train/schedule.h"
#include "tools/ship/ship.h"

enum {
    PICTURE_WORDS = 4093, /* a prime, so that rows and channels of a picture differ */
    SAMPLES = 1024,       /* of all outputs; of the parameters as many */
    STREAM = 3,
    STEP = 1
};

/* How far other code may be off: a share of a buffer's largest number. Two targets' codes round
 * sums in another order; a wrong one is off by more than a thousand times what rounding makes.
 * Products of pairs beside others make numbers in bf16 that are rounded to the next one, 2^-8 off,
 * in each of some layers. */
static const float other_code_share = 1e-4F, other_products_share = 0x1p-5F;

static float share_off(const Shipment *shipment) {
    if (shipment->same_code)
        return 0;
    bool products = shipment->settings->run.precision == PRECISION_BF16 &&
                    shipment->target.tiles != CPU_TILES_NONE;
    return products ? other_products_share : other_code_share;
}

/* A number of a picture: from -2 to 2. */
static uint32_t picture_word(uint64_t index) {
    float value = (float)random_word(0, STREAM, STEP, index) * 0x1p-30F - 2;
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static float scalar_value(const Shipment *shipment, const char *name) {
    const PassOptions *pass = &shipment->pass;
    if (strcmp(name, "lr") == 0)
        return 1e-3F;
    if (strcmp(name, "weight_decay") == 0)
        return 0.05F;
    if (strcmp(name, "bias_correction1") == 0)
        return (float)schedule_bias_correction(pass->beta1, STEP);
    if (strcmp(name, "bias_correction2_sqrt") == 0)
        return (float)sqrt(schedule_bias_correction(pass->beta2, STEP));
    return 1;
}

static ArtefactRecord record_picture(Arena *arena, const PlanBuffer *buffer) {
    int64_t count = buffer->elements < PICTURE_WORDS ? buffer->elements : PICTURE_WORDS;
    uint32_t *words = arena_new_array(arena, uint32_t, (size_t)count);
    for (int64_t i = 0; i < count; i++)
        words[i] = picture_word((uint64_t)i);
    return (ArtefactRecord){buffer->offset, buffer->elements, words, count};
}

static ArtefactRecord record_cells(const Shipment *shipment, const PlanBuffer *buffer) {
    const Graph *graph = shipment->graph;
    uint32_t *words = arena_new_array(shipment->arena, uint32_t, (size_t)buffer->elements);
    mask_draw(0, STEP, graph->geometry.batch, graph_cells(graph), graph->geometry.keep,
              (int32_t *)words);
    return (ArtefactRecord){buffer->offset, buffer->elements, words, buffer->elements};
}

/* Scalars of whole numbers count steps or are seeds. */
static ArtefactRecord record_scalar(const Shipment *shipment, const PlanBuffer *buffer) {
    uint32_t *word = arena_new(shipment->arena, uint32_t);
    float value = scalar_value(shipment, buffer->name);
    const Node *node = graph_find_source(shipment->graph, OP_scalar, buffer->name);
    if (node && node->results[0].type.dtype == DTYPE_U32)
        *word = STEP;
    else
        memcpy(word, &value, sizeof *word);
    return (ArtefactRecord){buffer->offset, 1, word, 1};
}

static void record_inputs(Shipment *shipment) {
    const Plan *plan = shipment->compiled.plan;
    for (int i = 0; i < plan->buffer_count; i++) {
        const PlanBuffer *buffer = &plan->buffers[i];
        if (buffer->region != PLAN_INPUTS || ship_is_constant(buffer->name))
            continue;
        ArtefactRecord record =
            strcmp(buffer->name, "image") == 0   ? record_picture(shipment->arena, buffer)
            : strcmp(buffer->name, "cells") == 0 ? record_cells(shipment, buffer)
                                                 : record_scalar(shipment, buffer);
        vector_push(shipment->arena, &shipment->records, record);
    }
}

static void fill_inputs(const Shipment *shipment) {
    char *inputs = plan_executor_region(shipment->compiled.executor, PLAN_INPUTS);
    for (size_t i = 0; i < shipment->records.count; i++) {
        const ArtefactRecord *record = &shipment->records.items[i];
        for (int64_t k = 0; k < record->elements; k++)
            memcpy(inputs + record->offset + 4 * k, &record->words[k % record->count], 4);
    }
}

/* Elements of a buffer, evenly spread. */
static void sample_buffer(Shipment *shipment, const PlanBuffer *buffer, int64_t most) {
    const char *region = plan_executor_region(shipment->compiled.executor, buffer->region);
    const float *values = (const float *)(region + buffer->offset);
    float largest = 0;
    for (int64_t i = 0; i < buffer->elements; i++)
        largest = fabsf(values[i]) > largest ? fabsf(values[i]) : largest;
    float limit = largest * share_off(shipment);
    int64_t count = buffer->elements < most ? buffer->elements : most;
    for (int64_t i = 0; i < count; i++) {
        int64_t element = i * buffer->elements / count;
        ArtefactSample sample = {buffer->region, buffer->offset + 4 * element, values[element],
                                 limit};
        vector_push(shipment->arena, &shipment->samples, sample);
    }
}

static Status check_finite(const Shipment *shipment) {
    for (size_t i = 0; i < shipment->samples.count; i++)
        if (!isfinite(shipment->samples.items[i].value))
            return status_failure(shipment->arena,
                                  "the network's results are not finite on a random picture; the "
                                  "weights are of no use");
    return STATUS_FINE;
}

/* Moments begin at zero, so a first step of Adam's moves each weight by the whole rate, up or down:
 * which of the two, other code may see differently where a gradient is near zero. So parameters are
 * looked at only if the code is the same. */
Status ship_record(Shipment *shipment) {
    const Plan *plan = shipment->compiled.plan;
    int outputs = 0;
    record_inputs(shipment);
    fill_inputs(shipment);
    plan_executor_run(shipment->compiled.executor);
    for (int i = 0; i < plan->buffer_count; i++)
        outputs += plan->buffers[i].region == PLAN_OUTPUTS;
    for (int i = 0; i < plan->buffer_count; i++) {
        const PlanBuffer *buffer = &plan->buffers[i];
        bool moved = buffer->region == PLAN_PARAMS && ship_trains(shipment);
        if (buffer->region == PLAN_OUTPUTS)
            sample_buffer(shipment, buffer, SAMPLES / outputs + 1);
        else if (moved && shipment->same_code)
            sample_buffer(shipment, buffer, SAMPLES);
    }
    return check_finite(shipment);
}
