#include "tests/unit/store_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

Status state_write(Arena *arena, const char *folder, int64_t step, double loss, int keep) {
    return state_write_padded(arena, folder, step, loss, keep, 0);
}

Status state_write_padded(Arena *arena, const char *folder, int64_t step, double loss, int keep,
                          size_t padding) {
    float weights[STATE_WEIGHTS];
    for (int i = 0; i < STATE_WEIGHTS; i++)
        weights[i] = (float)(step + i);
    SafetensorsItem items[] = {
        {"sparse_encoder.a", SAFETENSORS_F32, 2, {2, 3}, weights, NULL},
        {"optimizer.exp_avg.a", SAFETENSORS_F32, 1, {6}, weights, NULL},
        {"empty", SAFETENSORS_F32, 2, {0, 3}, NULL, NULL},
        {"padding", SAFETENSORS_U8, 1, {(int64_t)padding}, arena_alloc(arena, padding, 1), NULL},
        {"count", SAFETENSORS_I64, 0, {0}, &step, NULL}};
    SafetensorsItem encoder[] = {{"a", SAFETENSORS_F32, 2, {2, 3}, weights, NULL}};
    SafetensorsPair metadata[] = {{"sparkc.seed", "7"}, {"sparkc.order", "two\n\"lines\""}};
    CheckpointContents contents = {step, loss, items, encoder, 5, 1, metadata, 2};
    return checkpoint_write(arena, folder, &contents, keep);
}

static Status check(Arena *arena, const Safetensors *file, int64_t step) {
    const SafetensorsTensor *tensor = safetensors_find(file, "sparse_encoder.a");
    const SafetensorsTensor *count = safetensors_find(file, "count");
    const char *text = safetensors_metadata(file, "sparkc.step");
    float weights[STATE_WEIGHTS];
    int64_t stored;
    if (!tensor || !count || tensor->bytes != sizeof weights || count->bytes != sizeof stored)
        return status_failure(arena, "tensors are missing");
    status_return_if_failed(safetensors_read_bytes(arena, file, tensor, weights));
    status_return_if_failed(safetensors_read_bytes(arena, file, count, &stored));
    if (stored != step || !text || strtoll(text, NULL, 10) != step)
        return status_failure(arena, "the step is %" PRId64 ", not %" PRId64, stored, step);
    for (int i = 0; i < STATE_WEIGHTS; i++)
        if (weights[i] != (float)(step + i))
            return status_failure(arena, "weight %d is %g", i, (double)weights[i]);
    text = safetensors_metadata(file, "sparkc.order");
    return text && strcmp(text, "two\n\"lines\"") == 0
               ? STATUS_FINE
               : status_failure(arena, "the metadata are missing");
}

Status state_check(Arena *arena, const char *path, int64_t step) {
    Safetensors *file;
    status_return_if_failed(checkpoint_open(arena, path, &file));
    Status status = check(arena, file, step);
    safetensors_close(file);
    return status;
}
