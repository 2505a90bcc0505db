#include "runtime/train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "base/vector.h"
#include "runtime/file.h"
#include "runtime/train/checkpoint_sum.h"

#define STATE   ".safetensors"
#define ENCODER ".encoder.safetensors"

static const char *path_of(Arena *arena, const char *folder, int64_t step, const char *suffix) {
    return arena_format(arena, "%s/step-%08" PRId64 "%s", folder, step, suffix);
}

/* The step of a name "step-<at least eight digits><suffix>", as path_of makes it; else -1. */
static int64_t step_of(const char *name, const char *suffix) {
    char made[64], *end;
    if (!text_starts_with(name, "step-"))
        return -1;
    errno = 0;
    int64_t step = strtoll(name + strlen("step-"), &end, 10);
    if (errno != 0 || step < 0 || strcmp(end, suffix) != 0)
        return -1;
    snprintf(made, sizeof made, "step-%08" PRId64 "%s", step, suffix);
    return strcmp(made, name) == 0 ? step : -1;
}

const char *checkpoint_encoder_path(Arena *arena, const char *path) {
    size_t length = strlen(path) - (text_ends_with(path, STATE) ? strlen(STATE) : 0);
    return arena_format(arena, "%.*s" ENCODER, (int)length, path);
}

static int newest_first(const void *a, const void *b) {
    const CheckpointFile *x = a, *y = b;
    return x->step > y->step ? -1 : x->step < y->step;
}

/* The files of a folder whose names end in `suffix` behind the step, newest first. */
static Status list(Arena *arena, const char *folder, const char *suffix, CheckpointFile **files,
                   size_t *count) {
    VECTOR(CheckpointFile) found = {0};
    DIR *stream = opendir(folder);
    if (!stream && errno != ENOENT)
        return status_failure(arena, "%s: the checkpoints cannot be listed: %s", folder,
                              strerror(errno));
    for (struct dirent *entry; stream && (entry = readdir(stream)) != NULL;) {
        int64_t step = step_of(entry->d_name, suffix);
        CheckpointFile file = {NULL, step};
        if (step < 0)
            continue;
        file.path = path_of(arena, folder, step, suffix);
        vector_push(arena, &found, file);
    }
    if (stream)
        closedir(stream);
    if (found.count > 0)
        qsort(found.items, found.count, sizeof *found.items, newest_first);
    *files = found.items;
    *count = found.count;
    return STATUS_FINE;
}

Status checkpoint_list(Arena *arena, const char *folder, CheckpointFile **files, size_t *count) {
    return list(arena, folder, STATE, files, count);
}

/* Removes encoders of steps beyond `newest`. */
static void remove_encoders(Arena *arena, const char *folder, int64_t newest) {
    CheckpointFile *encoders;
    size_t count;
    if (!status_fine(list(arena, folder, ENCODER, &encoders, &count)))
        return;
    for (size_t i = 0; i < count; i++)
        if (encoders[i].step > newest)
            unlink(encoders[i].path);
}

void checkpoint_clean(const char *folder) {
    Arena *arena = arena_create();
    CheckpointFile *files;
    size_t count;
    file_remove_temporaries(folder);
    if (status_fine(checkpoint_list(arena, folder, &files, &count)) && count > 0)
        remove_encoders(arena, folder, files[0].step);
    arena_destroy(arena);
}

/* Writes items with the metadata and their sum. */
static Status write_summed(Arena *arena, const char *path, const SafetensorsItem *items,
                           size_t count, SafetensorsPair *metadata, size_t metadata_count) {
    CheckpointSum sum = checkpoint_sum_of_items(items, count, metadata, metadata_count);
    metadata[metadata_count] = (SafetensorsPair){CHECKPOINT_SUM_KEY, sum.text};
    return safetensors_write(arena, path, items, count, metadata, metadata_count + 1);
}

/* A new encoder does not stay without its checkpoint. */
static Status write_both(Arena *arena, const char *folder, const CheckpointContents *contents) {
    size_t count = contents->metadata_count;
    const char *path = path_of(arena, folder, contents->step, STATE);
    const char *encoder = path_of(arena, folder, contents->step, ENCODER);
    bool is_new = access(path, F_OK) != 0;
    SafetensorsPair *metadata = arena_new_array(arena, SafetensorsPair, count + 3);
    metadata[0] = (SafetensorsPair){"sparkc.step", arena_format(arena, "%" PRId64, contents->step)};
    metadata[1] = (SafetensorsPair){"sparkc.loss", arena_format(arena, "%.17g", contents->loss)};
    if (contents->encoder_count > 0)
        status_return_if_failed(
            write_summed(arena, encoder, contents->encoder, contents->encoder_count, metadata, 2));
    for (size_t i = 0; i < count; i++)
        metadata[i + 2] = contents->metadata[i];
    Status status =
        write_summed(arena, path, contents->items, contents->item_count, metadata, count + 2);
    if (!status_fine(status) && is_new)
        unlink(encoder);
    return status;
}

/* True for a checkpoint of sparkc's with a whole header; its loss, infinite if it is not known. */
static bool read_loss(Arena *arena, const char *path, double *loss) {
    Safetensors *file;
    if (!status_fine(safetensors_open(arena, path, &file)))
        return false;
    const char *text = safetensors_metadata(file, "sparkc.loss");
    bool ours = text && safetensors_metadata(file, CHECKPOINT_SUM_KEY);
    *loss = ours ? strtod(text, NULL) : (double)NAN;
    if (!isfinite(*loss))
        *loss = (double)INFINITY;
    safetensors_close(file);
    return ours;
}

/* The encoder goes first: what is left of a removal that was killed is a checkpoint. */
static Status remove_checkpoint(Arena *arena, const char *path) {
    if ((unlink(checkpoint_encoder_path(arena, path)) != 0 && errno != ENOENT) ||
        (unlink(path) != 0 && errno != ENOENT))
        return status_failure(arena, "%s: an old checkpoint cannot be removed: %s", path,
                              strerror(errno));
    return STATUS_FINE;
}

/* The newest of the least finite loss, or `count`. */
static size_t find_best(const double *losses, size_t count) {
    size_t best = count;
    for (size_t i = 0; i < count; i++)
        if (isfinite(losses[i]) && (best == count || losses[i] < losses[best]))
            best = i;
    return best;
}

/* Removes checkpoints of steps beyond `newest`, then all but the newest `keep` and the best. */
static Status prune(Arena *arena, const char *folder, int64_t newest, int keep) {
    CheckpointFile *files;
    size_t listed, count = 0;
    status_return_if_failed(checkpoint_list(arena, folder, &files, &listed));
    double *losses = arena_new_array(arena, double, listed);
    for (size_t i = 0; i < listed; i++) {
        if (!read_loss(arena, files[i].path, &losses[count]))
            continue;
        if (files[i].step > newest)
            status_return_if_failed(remove_checkpoint(arena, files[i].path));
        else
            files[count++] = files[i];
    }
    size_t best = find_best(losses, count);
    for (size_t i = (size_t)keep; i < count; i++)
        if (i != best)
            status_return_if_failed(remove_checkpoint(arena, files[i].path));
    remove_encoders(arena, folder, newest);
    return STATUS_FINE;
}

static Status write_and_prune(Arena *arena, const char *folder, const CheckpointContents *contents,
                              int keep) {
    status_return_if_failed(file_make_folder(arena, folder));
    status_return_if_failed(write_both(arena, folder, contents));
    return prune(arena, folder, contents->step, keep);
}

Status checkpoint_write(Arena *arena, const char *folder, const CheckpointContents *contents,
                        int keep) {
    invariant(keep >= 1 && contents->step >= 0, "a checkpoint of step %" PRId64 ", %d to keep",
              contents->step, keep);
    Arena *own = arena_create();
    Status status = write_and_prune(own, folder, contents, keep);
    if (!status_fine(status))
        status = status_failure(arena, "%s", status.message);
    arena_destroy(own);
    return status;
}

/* A reason without the path that it begins with. */
static const char *without_path(const char *message, const char *path) {
    size_t length = strlen(path);
    bool begins = text_starts_with(message, path) && text_starts_with(message + length, ": ");
    return begins ? message + length + 2 : message;
}

static Status check(Arena *arena, const Safetensors *file) {
    const char *path = safetensors_path(file);
    const char *expected = safetensors_metadata(file, CHECKPOINT_SUM_KEY);
    bool step = safetensors_metadata(file, "sparkc.step");
    bool loss = safetensors_metadata(file, "sparkc.loss");
    CheckpointSum sum;
    if (!expected && !step && !loss)
        return status_failure(arena, "%s: a foreign file: sparkc has not written it", path);
    status_return_if_failed(checkpoint_sum_of_file(arena, file, &sum));
    if (!expected || !step || !loss || strcmp(expected, sum.text) != 0)
        return status_failure(arena,
                              "%s: the checkpoint is damaged: its contents do not have the sum "
                              "that they were written with; use another one",
                              path);
    return STATUS_FINE;
}

Status checkpoint_open(Arena *arena, const char *path, Safetensors **file) {
    if (access(path, R_OK) != 0)
        return status_failure(arena, "%s: %s", path, strerror(errno));
    Status status = safetensors_open(arena, path, file);
    if (!status_fine(status))
        return status_failure(arena, "%s: damaged, or not a checkpoint: %s; use another one", path,
                              without_path(status.message, path));
    status = check(arena, *file);
    if (!status_fine(status))
        safetensors_close(*file);
    return status;
}
