#include "tools/train/run_tensors.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/text.h"
#include "runtime/train/checkpoint.h"

static const char state_key[] = "sparkc.state";

static const char *checkpoint_folder(Arena *arena, const char *folder) {
    return arena_format(arena, "%s/checkpoints", folder);
}

/* ---- State ----------------------------------------------------------------------------------- */

static char *state_text(const RunState *state) {
    json_t *json = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "updates", (json_int_t)state->updates, "epoch",
        (json_int_t)state->position.epoch, "index", (json_int_t)state->position.index, "bad",
        (json_int_t)state->position.bad, "refused", (json_int_t)state->refused, "seconds",
        state->seconds, "loss_sum", state->loss_sum, "loss_count", (json_int_t)state->loss_count);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

static bool parse_state(const char *text, RunState *state) {
    json_int_t updates, epoch, index, bad, refused, loss_count;
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    bool fine = json && json_unpack(json, "{s:I, s:I, s:I, s:I, s:I, s:F, s:F, s:I}", "updates",
                                    &updates, "epoch", &epoch, "index", &index, "bad", &bad,
                                    "refused", &refused, "seconds", &state->seconds, "loss_sum",
                                    &state->loss_sum, "loss_count", &loss_count) == 0;
    json_decref(json);
    if (!fine || updates < 0 || epoch < 0 || epoch > UINT32_MAX || index < 0 || bad < 0 ||
        bad > index || refused < 0 || loss_count < 0)
        return false;
    state->updates = updates;
    state->position = (LoaderPosition){(uint32_t)epoch, (uint64_t)index, (uint64_t)bad};
    state->refused = refused;
    state->loss_count = loss_count;
    return true;
}

/* ---- Checkpoints ----------------------------------------------------------------------------- */

Status run_tensors_save(Arena *arena, const char *folder, const char *network,
                        const TrainingMemory *memory, const RunState *state, double loss,
                        int keep) {
    Arena *own = arena_create();
    CheckpointContents contents = {.step = state->updates, .loss = loss};
    SafetensorsItem *items, *encoder;
    tensors_collect(own, memory, TENSORS_ALL, &items, &contents.item_count);
    tensors_collect(own, memory, TENSORS_ENCODER, &encoder, &contents.encoder_count);
    char *text = state_text(state);
    SafetensorsPair metadata[] = {{state_key, text}, {"sparkc.network", network}};
    contents.items = items;
    contents.encoder = encoder;
    contents.metadata = metadata;
    contents.metadata_count = 2;
    Status status = checkpoint_write(own, checkpoint_folder(own, folder), &contents, keep);
    if (!status_fine(status))
        status = status_failure(arena, "%s", status.message);
    free(text);
    arena_destroy(own);
    return status;
}

/* The newest checkpoint whose sum is right. */
static Status open_newest(Arena *arena, const char *folder, Safetensors **file) {
    CheckpointFile *files;
    size_t count;
    status_return_if_failed(
        checkpoint_list(arena, checkpoint_folder(arena, folder), &files, &count));
    Status status = status_failure(arena, "%s has no checkpoint", folder);
    for (size_t i = 0; i < count; i++) {
        status = checkpoint_open(arena, files[i].path, file);
        if (status_fine(status))
            return status;
        fprintf(stderr, "warning: %s%s\n", status.message,
                i + 1 < count ? "; trying the one before" : "");
    }
    return status;
}

Status run_tensors_newest(Arena *arena, const char *folder, const char **path) {
    Safetensors *file;
    status_return_if_failed(open_newest(arena, folder, &file));
    *path = safetensors_path(file);
    safetensors_close(file);
    return STATUS_FINE;
}

static Status restore(Arena *arena, const Safetensors *file, const TrainingMemory *memory,
                      RunState *state) {
    if (!parse_state(safetensors_metadata(file, state_key), state))
        return status_failure(arena, "%s: does not say where the run stood",
                              safetensors_path(file));
    return tensors_restore(arena, file, memory);
}

Status run_tensors_restore(Arena *arena, const char *folder, const TrainingMemory *memory,
                           RunState *state) {
    Safetensors *file;
    checkpoint_clean(checkpoint_folder(arena, folder));
    status_return_if_failed(open_newest(arena, folder, &file));
    Status status = restore(arena, file, memory, state);
    safetensors_close(file);
    return status;
}

/* ---- Weights of others ----------------------------------------------------------------------- */

enum { MOST_NAMES = 10 };

static void print_names(FILE *out, const char *words, const char *const *names, size_t count) {
    if (count == 0)
        return;
    Arena *arena = arena_create();
    Text text = text_create(arena);
    for (size_t i = 0; i < count && i < MOST_NAMES; i++) {
        text_append(&text, "\n  ");
        text_append_escaped(&text, names[i]);
    }
    if (count > MOST_NAMES)
        text_append(&text, "\n  and %zu more", count - MOST_NAMES);
    fprintf(out, "warning: %zu %s:%s\n", count, words, text.data);
    arena_destroy(arena);
}

Status run_tensors_initialise(Arena *arena, const char *path, const TrainingMemory *memory,
                              FILE *out) {
    Safetensors *file;
    TensorsReport report;
    status_return_if_failed(safetensors_open(arena, path, &file));
    Status status = tensors_initialise(arena, file, memory, &report);
    if (status_fine(status)) {
        fprintf(out, "weights   %zu tensors from %s\n", report.loaded, path);
        print_names(out, "tensors are not in the file and begin as they would without it",
                    report.missing.items, report.missing.count);
        print_names(out, "tensors of the file were not used", report.unused.items,
                    report.unused.count);
    }
    safetensors_close(file);
    return status;
}
