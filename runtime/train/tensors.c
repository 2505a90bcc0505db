#include "runtime/train/tensors.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "runtime/weights.h"

/* A tensor of a checkpoint and where its elements lie. Exactly one of `segment` and `slot` is set,
 * both for what the optimizer keeps of a parameter. */
typedef struct Entry {
    const char *name;
    Part part;
    const Segment *segment; /* its shape and order of dimensions; NULL: a plain state */
    const StateSlot *slot;
    float *data;
    SafetensorsDType dtype;
} Entry;

typedef VECTOR(Entry) EntryVector;

static bool is_flat(const StateSlot *slot) {
    return slot->type.form == FORM_FLAT;
}

/* PyTorch counts batches in 64 bits; a training holds the count in f32, exact up to 2^24. */
static SafetensorsDType state_dtype(const StateSlot *slot) {
    return text_ends_with(slot->name, ".num_batches_tracked") ? SAFETENSORS_I64 : SAFETENSORS_F32;
}

static size_t slot_count(const StateSlot *slot) {
    size_t count = 1;
    for (int d = 0; d < slot->type.rank; d++)
        count *= (size_t)slot->type.extent[d];
    return count;
}

static const char *name_in(Arena *arena, TensorsKind kind, Part part, const char *name) {
    return kind == TENSORS_ALL ? weights_name(arena, part, name) : name;
}

static void list_parameters(Arena *arena, const TrainingMemory *memory, TensorsKind kind,
                            EntryVector *entries) {
    for (size_t i = 0; i < memory->graph->segments.count; i++) {
        const Segment *segment = &memory->graph->segments.items[i];
        if (kind == TENSORS_ENCODER && segment->part != PART_ENCODER)
            continue;
        Entry entry = {.name = name_in(arena, kind, segment->part, segment->name),
                       .part = segment->part,
                       .segment = segment,
                       .data = memory->parameters + segment->offset,
                       .dtype = SAFETENSORS_F32};
        vector_push(arena, entries, entry);
    }
}

static void list_statistics(Arena *arena, const TrainingMemory *memory, TensorsKind kind,
                            EntryVector *entries) {
    for (size_t i = 0; i < memory->graph->states.count; i++) {
        const StateSlot *slot = &memory->graph->states.items[i];
        bool wanted = kind != TENSORS_ENCODER || slot->part == PART_ENCODER;
        if (!wanted || !memory->states[i] || slot->part == PART_TRAINING)
            continue;
        Entry entry = {.name = name_in(arena, kind, slot->part, slot->name),
                       .part = slot->part,
                       .slot = slot,
                       .data = memory->states[i],
                       .dtype = state_dtype(slot)};
        vector_push(arena, entries, entry);
    }
}

/* A state of the training alone that stands for no parameter: "optimizer.<state>". */
static void add_training_state(Arena *arena, const StateSlot *slot, float *data,
                               EntryVector *entries) {
    Entry entry = {.name = arena_format(arena, "optimizer.%s", slot->name),
                   .part = slot->part,
                   .slot = slot,
                   .data = data,
                   .dtype = SAFETENSORS_F32};
    vector_push(arena, entries, entry);
}

/* Flat states, a tensor per parameter; then other states of the training. */
static void list_optimizer(Arena *arena, const TrainingMemory *memory, EntryVector *entries) {
    const Graph *graph = memory->graph;
    for (size_t i = 0; i < graph->states.count; i++) {
        const StateSlot *slot = &graph->states.items[i];
        if (memory->states[i] && !is_flat(slot) && slot->part == PART_TRAINING)
            add_training_state(arena, slot, memory->states[i], entries);
        if (!memory->states[i] || !is_flat(slot))
            continue;
        for (size_t k = 0; k < graph->segments.count; k++) {
            const Segment *segment = &graph->segments.items[k];
            Entry entry = {.part = segment->part,
                           .segment = segment,
                           .slot = slot,
                           .data = memory->states[i] + segment->offset,
                           .dtype = SAFETENSORS_F32};
            entry.name = arena_format(arena, "optimizer.%s.%s", slot->name,
                                      weights_name(arena, segment->part, segment->name));
            vector_push(arena, entries, entry);
        }
    }
}

static EntryVector list_entries(Arena *arena, const TrainingMemory *memory, TensorsKind kind) {
    EntryVector entries = {0};
    list_parameters(arena, memory, kind, &entries);
    list_statistics(arena, memory, kind, &entries);
    if (kind == TENSORS_ALL)
        list_optimizer(arena, memory, &entries);
    return entries;
}

static size_t entry_count(const Entry *entry) {
    return entry->segment ? weights_count(entry->segment) : slot_count(entry->slot);
}

static void entry_shape(const Entry *entry, int *rank, int64_t *shape) {
    *rank = entry->segment ? entry->segment->file_rank : entry->slot->type.rank;
    for (int d = 0; d < *rank; d++)
        shape[d] = entry->segment ? entry->segment->file_shape[d] : entry->slot->type.extent[d];
}

static const Entry *find_entry(const EntryVector *entries, const char *name) {
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->items[i].name, name) == 0)
            return &entries->items[i];
    return NULL;
}

void tensors_copy(const TrainingMemory *from, const TrainingMemory *to) {
    Arena *arena = arena_create();
    EntryVector sources = {0}, targets = {0};
    list_parameters(arena, from, TENSORS_ALL, &sources);
    list_statistics(arena, from, TENSORS_ALL, &sources);
    list_parameters(arena, to, TENSORS_ALL, &targets);
    list_statistics(arena, to, TENSORS_ALL, &targets);
    for (size_t i = 0; i < targets.count; i++) {
        const Entry *target = &targets.items[i], *source = find_entry(&sources, target->name);
        size_t count = entry_count(target);
        if (source && entry_count(source) == count)
            memcpy(target->data, source->data, count * sizeof *target->data);
    }
    arena_destroy(arena);
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* The elements in the file's order, as doubles, which hold every f32. */
static double *file_order(Arena *arena, const Entry *entry, size_t count) {
    double *stored = arena_new_array(arena, double, count);
    for (size_t i = 0; i < count; i++)
        stored[i] = (double)entry->data[i];
    if (!entry->segment)
        return stored;
    double *ordered = arena_new_array(arena, double, count);
    weights_to_file(entry->segment, stored, ordered);
    return ordered;
}

static const void *file_bytes(Arena *arena, const void *data) {
    const Entry *entry = data;
    size_t count = entry_count(entry);
    Arena *scratch = arena_create();
    const double *values = file_order(scratch, entry, count);
    float *floats = NULL;
    int64_t *integers = NULL;
    if (entry->dtype == SAFETENSORS_F32)
        floats = arena_new_array(arena, float, count);
    else
        integers = arena_new_array(arena, int64_t, count);
    for (size_t i = 0; i < count; i++) {
        if (floats)
            floats[i] = (float)values[i];
        else
            integers[i] = (int64_t)values[i];
    }
    arena_destroy(scratch);
    return floats ? (const void *)floats : (const void *)integers;
}

void tensors_collect(Arena *arena, const TrainingMemory *memory, TensorsKind kind,
                     SafetensorsItem **items, size_t *count) {
    EntryVector entries = list_entries(arena, memory, kind);
    *count = entries.count;
    *items = arena_new_array(arena, SafetensorsItem, entries.count);
    for (size_t i = 0; i < entries.count; i++) {
        SafetensorsItem *item = &(*items)[i];
        item->name = entries.items[i].name;
        item->dtype = entries.items[i].dtype;
        entry_shape(&entries.items[i], &item->rank, item->shape);
        item->data = &entries.items[i];
        item->make = file_bytes;
    }
}

/* ---- Reading --------------------------------------------------------------------------------- */

static Status check_shape(Arena *arena, const Safetensors *file, const SafetensorsTensor *tensor,
                          const Entry *entry) {
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    if (entry->segment)
        return weights_check_shape(arena, file, tensor, entry->segment);
    entry_shape(entry, &rank, shape);
    if (tensor->rank == rank && memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) == 0)
        return STATUS_FINE;
    return status_failure(arena, "%s: tensor %s has shape %s, the network needs %s",
                          safetensors_path(file), tensor->name,
                          weights_shape_text(arena, tensor->rank, tensor->shape),
                          weights_shape_text(arena, rank, shape));
}

static Status read_entry(Arena *arena, const Safetensors *file, const SafetensorsTensor *tensor,
                         const Entry *entry) {
    size_t count = entry_count(entry);
    status_return_if_failed(check_shape(arena, file, tensor, entry));
    Arena *scratch = arena_create();
    double *values = arena_new_array(scratch, double, count);
    const double *stored = values;
    Status status = safetensors_read(arena, file, tensor, values);
    if (status_fine(status) && entry->segment) {
        double *ordered = arena_new_array(scratch, double, count);
        weights_to_stored(entry->segment, values, ordered);
        stored = ordered;
    }
    for (size_t i = 0; status_fine(status) && i < count; i++)
        entry->data[i] = (float)stored[i];
    arena_destroy(scratch);
    return status;
}

Status tensors_restore(Arena *arena, const Safetensors *file, const TrainingMemory *memory) {
    EntryVector entries = list_entries(arena, memory, TENSORS_ALL);
    size_t count;
    safetensors_tensors(file, &count);
    for (size_t i = 0; i < entries.count; i++) {
        const Entry *entry = &entries.items[i];
        const SafetensorsTensor *tensor = safetensors_find(file, entry->name);
        if (!tensor)
            return status_failure(arena, "%s: has no tensor %s; it is of another network or run",
                                  safetensors_path(file), entry->name);
        if (tensor->dtype != entry->dtype)
            return status_failure(arena, "%s: tensor %s is of type %s, a checkpoint has %s",
                                  safetensors_path(file), tensor->name,
                                  safetensors_dtype_name(tensor->dtype),
                                  safetensors_dtype_name(entry->dtype));
        status_return_if_failed(read_entry(arena, file, tensor, entry));
    }
    if (count != entries.count)
        return status_failure(arena, "%s: has %zu tensors, this run's checkpoints have %zu",
                              safetensors_path(file), count, entries.count);
    return STATUS_FINE;
}

/* The tensors of the file that were not taken, but for what an optimizer keeps. */
static void report_unused(Arena *arena, const Safetensors *file, const bool *used,
                          TensorsReport *report) {
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(file, &count);
    for (size_t i = 0; i < count; i++)
        if (!used[i] && !text_starts_with(tensors[i].name, "optimizer."))
            vector_push(arena, &report->unused, tensors[i].name);
}

static const char *plain_name(const Entry *entry) {
    return entry->segment ? entry->segment->name : entry->slot->name;
}

Status tensors_initialise(Arena *arena, const Safetensors *file, const TrainingMemory *memory,
                          TensorsReport *report) {
    EntryVector entries = {0};
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(file, &count);
    bool *used = arena_new_array(arena, bool, count + 1);
    *report = (TensorsReport){0};
    list_parameters(arena, memory, TENSORS_ALL, &entries);
    list_statistics(arena, memory, TENSORS_ALL, &entries);
    for (size_t i = 0; i < entries.count; i++) {
        const Entry *entry = &entries.items[i];
        const SafetensorsTensor *tensor =
            weights_find(arena, file, "", entry->part, plain_name(entry));
        if (!tensor) {
            vector_push(arena, &report->missing, entry->name);
            continue;
        }
        status_return_if_failed(read_entry(arena, file, tensor, entry));
        used[tensor - tensors] = true;
        report->loaded++;
    }
    if (report->loaded == 0)
        return status_failure(arena, "%s: none of its %zu tensors is of this network",
                              safetensors_path(file), count);
    report_unused(arena, file, used, report);
    return STATUS_FINE;
}
