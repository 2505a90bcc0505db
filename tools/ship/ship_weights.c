#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "codegen/cpu/cache.h"
#include "runtime/initial.h"
#include "runtime/weights.h"
#include "tools/ship/ship.h"

/* ---- From the file --------------------------------------------------------------------------- */

enum { MOST_PROBLEMS = 30 };

static void add_problem(Shipment *shipment, const char *line) {
    vector_push(shipment->arena, &shipment->result->problems, line);
}

static void check_tensor(Shipment *shipment, const SafetensorsTensor *tensor, const char *name,
                         int rank, const int64_t *shape, bool fits) {
    Arena *arena = shipment->arena;
    if (!tensor)
        add_problem(shipment, arena_format(arena, "%s %s: not in the file", name,
                                           weights_shape_text(arena, rank, shape)));
    else if (!fits)
        add_problem(shipment, arena_format(arena, "%s %s: the file has %s", name,
                                           weights_shape_text(arena, rank, shape),
                                           weights_shape_text(arena, tensor->rank, tensor->shape)));
}

static void check_segments(Shipment *shipment, const Safetensors *file, bool *used) {
    Arena *arena = shipment->arena;
    const SafetensorsTensor *first = safetensors_tensors(file, &(size_t){0});
    for (size_t i = 0; i < shipment->graph->segments.count; i++) {
        const Segment *segment = &shipment->graph->segments.items[i];
        const SafetensorsTensor *tensor =
            weights_find(arena, file, "", segment->part, segment->name);
        bool fits = tensor && status_fine(weights_check_shape(arena, file, tensor, segment));
        check_tensor(shipment, tensor, segment->name, segment->file_rank, segment->file_shape,
                     fits);
        if (tensor)
            used[tensor - first] = true;
    }
}

/* Counters of batches change no result, and many files lack them. */
static bool is_counter(const StateSlot *slot) {
    return text_ends_with(slot->name, ".num_batches_tracked");
}

static void check_states(Shipment *shipment, const Safetensors *file, bool *used) {
    const SafetensorsTensor *first = safetensors_tensors(file, &(size_t){0});
    for (size_t i = 0; i < shipment->graph->states.count; i++) {
        const StateSlot *slot = &shipment->graph->states.items[i];
        if (slot->part == PART_TRAINING)
            continue;
        const SafetensorsTensor *tensor =
            weights_find(shipment->arena, file, "", slot->part, slot->name);
        const Type *type = &slot->type;
        bool fits =
            tensor && tensor->rank == type->rank &&
            memcmp(tensor->shape, type->extent, (size_t)type->rank * sizeof *type->extent) == 0;
        if (tensor || !is_counter(slot))
            check_tensor(shipment, tensor, slot->name, type->rank, type->extent, fits);
        if (tensor)
            used[tensor - first] = true;
    }
}

/* What the file has instead may be what is missing, under another name. */
static void list_unused(Shipment *shipment, const Safetensors *file, const bool *used) {
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(file, &count);
    for (size_t i = 0; i < count; i++)
        if (!used[i] && !text_starts_with(tensors[i].name, "optimizer."))
            add_problem(shipment,
                        arena_format(shipment->arena, "%s %s: only in the file", tensors[i].name,
                                     weights_shape_text(shipment->arena, tensors[i].rank,
                                                        tensors[i].shape)));
}

static void shorten(Shipment *shipment) {
    size_t count = shipment->result->problems.count;
    if (count <= MOST_PROBLEMS)
        return;
    shipment->result->problems.count = MOST_PROBLEMS;
    add_problem(shipment, arena_format(shipment->arena, "and %zu more", count - MOST_PROBLEMS));
}

/* All that is wrong with the file, not the first of it. */
static Status check_file(Shipment *shipment, const Safetensors *file) {
    size_t count;
    safetensors_tensors(file, &count);
    bool *used = arena_new_array(shipment->arena, bool, count + 1);
    check_segments(shipment, file, used);
    check_states(shipment, file, used);
    size_t wrong = shipment->result->problems.count;
    if (wrong == 0)
        return STATUS_FINE;
    list_unused(shipment, file, used);
    shorten(shipment);
    return status_failure(shipment->arena, "%s: %zu tensors are missing or of another shape",
                          safetensors_path(file), wrong);
}

static Status read_file(Shipment *shipment, const TrainingMemory *memory) {
    Safetensors *file;
    TensorsReport report;
    status_return_if_failed(safetensors_open(shipment->arena, shipment->settings->weights, &file));
    Status status = check_file(shipment, file);
    if (status_fine(status))
        status = tensors_initialise(shipment->arena, file, memory, &report);
    safetensors_close(file);
    return status;
}

Status ship_load_weights(Shipment *shipment) {
    TrainingMemory memory =
        compiled_program_memory(shipment->arena, shipment->graph, &shipment->compiled);
    initial_fill_all(shipment->graph, shipment->settings->seed, memory.parameters);
    return shipment->settings->weights ? read_file(shipment, &memory) : STATUS_FINE;
}

/* ---- The image ------------------------------------------------------------------------------- */

/* The bytes of a region up to the last that is not zero. */
static int64_t used_bytes(const char *region, int64_t bytes) {
    while (bytes > 0 && region[bytes - 1] == 0)
        bytes--;
    return bytes;
}

/* What the values mean: equal texts are laid out equally. */
static const char *layout_text(const Shipment *shipment) {
    const Graph *graph = shipment->graph;
    Text text = text_create(shipment->arena);
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        text_append(&text, "parameter %s %" PRId64 " ", segment->name, segment->offset);
        type_print(&text, &segment->type);
        text_append(&text, "\n");
    }
    for (int i = 0; i < shipment->compiled.plan->buffer_count; i++) {
        const PlanBuffer *buffer = &shipment->compiled.plan->buffers[i];
        if (buffer->region == PLAN_STATE)
            text_append(&text, "state %s %" PRId64 " %" PRId64 "\n", buffer->name, buffer->offset,
                        buffer->elements);
    }
    return text.data;
}

static void hash_image(Shipment *shipment) {
    char parts[2][CODE_HASH_DIGITS + 1];
    ShipImage *image = &shipment->image;
    const char *layout = layout_text(shipment);
    code_cache_hash(layout, strlen(layout), parts[0]);
    code_cache_hash(image->bytes + SHIP_HEAD_BYTES, image->size - SHIP_HEAD_BYTES, parts[1]);
    code_cache_hash(parts, sizeof parts, image->hash);
}

/* The head: 16 bytes of name, 32 of hash, the bytes of parameters and of states. */
static void write_head(ShipImage *image) {
    static const char name[16] = "sparkc weights";
    memcpy(image->bytes, name, sizeof name);
    image->bytes[15] = ARTEFACT_ABI;
    for (int i = 0; i < SHIP_HASH_DIGITS / 2; i++) {
        unsigned byte = 0;
        sscanf(image->hash + 2 * i, "%2x", &byte);
        image->bytes[16 + i] = (char)byte;
    }
    memcpy(image->bytes + 48, &image->params_bytes, sizeof image->params_bytes);
    memcpy(image->bytes + 56, &image->state_bytes, sizeof image->state_bytes);
}

void ship_make_image(Shipment *shipment) {
    ShipImage *image = &shipment->image;
    const Plan *plan = shipment->compiled.plan;
    const char *params = plan_executor_region(shipment->compiled.executor, PLAN_PARAMS);
    const char *state = plan_executor_region(shipment->compiled.executor, PLAN_STATE);
    int64_t params_used = plan->region_bytes[PLAN_PARAMS];
    int64_t state_used = plan->region_bytes[PLAN_STATE];
    if (ship_trains(shipment))
        state_used = used_bytes(state, state_used);
    image->params_bytes = plan_round_up(params_used);
    image->state_bytes = plan_round_up(state_used);
    image->size = (size_t)(SHIP_HEAD_BYTES + image->params_bytes + image->state_bytes);
    image->bytes = arena_alloc(shipment->arena, image->size, 1);
    memcpy(image->bytes + SHIP_HEAD_BYTES, params, (size_t)params_used);
    memcpy(image->bytes + SHIP_HEAD_BYTES + image->params_bytes, state, (size_t)state_used);
    hash_image(shipment);
    write_head(image);
}
