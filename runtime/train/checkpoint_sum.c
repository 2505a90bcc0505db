#include "runtime/train/checkpoint_sum.h"

#include <inttypes.h>
#include <nettle/base16.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

_Static_assert(sizeof((CheckpointSum *)0)->text == BASE16_ENCODE_LENGTH(SHA256_DIGEST_SIZE) + 1,
               "room for the digits and a zero");

enum { PIECE = 1 << 20 }; /* bytes of a file in memory at a time */

static const char *tensor_line(Arena *arena, const char *name, SafetensorsDType dtype, int rank,
                               const int64_t *shape) {
    Text line = text_create(arena);
    text_append(&line, "tensor %s: %s [", name, safetensors_dtype_name(dtype));
    for (int d = 0; d < rank; d++)
        text_append(&line, "%s%" PRId64, d > 0 ? "," : "", shape[d]);
    text_append(&line, "]\n");
    return line.data;
}

/* Adds the lines of metadata behind `count` lines; the new count. */
static size_t metadata_lines(Arena *arena, const SafetensorsPair *pairs, size_t pair_count,
                             const char **lines, size_t count) {
    for (size_t i = 0; i < pair_count; i++)
        if (strcmp(pairs[i].key, CHECKPOINT_SUM_KEY) != 0)
            lines[count++] = arena_format(arena, "metadata %s: %s\n", pairs[i].key, pairs[i].value);
    return count;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void hash_lines(struct sha256_ctx *hash, const char **lines, size_t count) {
    qsort(lines, count, sizeof *lines, by_bytes);
    for (size_t i = 0; i < count; i++)
        sha256_update(hash, strlen(lines[i]), (const uint8_t *)lines[i]);
}

static CheckpointSum finish(struct sha256_ctx *hash) {
    uint8_t digest[SHA256_DIGEST_SIZE];
    CheckpointSum sum = {0};
    sha256_digest(hash, sizeof digest, digest);
    base16_encode_update(sum.text, sizeof digest, digest);
    return sum;
}

static void hash_item(struct sha256_ctx *hash, const SafetensorsItem *item) {
    Arena *arena = arena_create();
    size_t length;
    const void *bytes = safetensors_item_bytes(arena, item, &length);
    sha256_update(hash, length, bytes);
    arena_destroy(arena);
}

CheckpointSum checkpoint_sum_of_items(const SafetensorsItem *items, size_t count,
                                      const SafetensorsPair *metadata, size_t metadata_count) {
    Arena *arena = arena_create();
    const char **lines = arena_new_array(arena, const char *, count + metadata_count);
    struct sha256_ctx hash;
    sha256_init(&hash);
    for (size_t i = 0; i < count; i++)
        lines[i] = tensor_line(arena, items[i].name, items[i].dtype, items[i].rank, items[i].shape);
    hash_lines(&hash, lines, metadata_lines(arena, metadata, metadata_count, lines, count));
    for (size_t i = 0; i < count; i++)
        hash_item(&hash, &items[i]);
    arena_destroy(arena);
    return finish(&hash);
}

static void hash_description(struct sha256_ctx *hash, const Safetensors *file) {
    Arena *arena = arena_create();
    size_t count, pair_count;
    const SafetensorsTensor *tensors = safetensors_tensors(file, &count);
    const SafetensorsPair *pairs = safetensors_pairs(file, &pair_count);
    const char **lines = arena_new_array(arena, const char *, count + pair_count);
    for (size_t i = 0; i < count; i++)
        lines[i] = tensor_line(arena, tensors[i].name, tensors[i].dtype, tensors[i].rank,
                               tensors[i].shape);
    hash_lines(hash, lines, metadata_lines(arena, pairs, pair_count, lines, count));
    arena_destroy(arena);
}

static Status hash_data(Arena *arena, struct sha256_ctx *hash, const Safetensors *file,
                        uint8_t *piece) {
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(file, &count);
    uint64_t end = count > 0 ? tensors[count - 1].offset + tensors[count - 1].bytes : 0;
    for (uint64_t at = 0; at < end; at += PIECE) {
        size_t length = end - at < PIECE ? (size_t)(end - at) : PIECE;
        status_return_if_failed(safetensors_read_data(arena, file, at, length, piece));
        sha256_update(hash, length, piece);
    }
    return STATUS_FINE;
}

Status checkpoint_sum_of_file(Arena *arena, const Safetensors *file, CheckpointSum *sum) {
    Arena *own = arena_create();
    struct sha256_ctx hash;
    sha256_init(&hash);
    hash_description(&hash, file);
    Status status = hash_data(arena, &hash, file, arena_new_array(own, uint8_t, PIECE));
    arena_destroy(own);
    *sum = finish(&hash);
    return status;
}
