#include "runtime/data/fingerprint.h"

#include <string.h>

#include <nettle/base16.h>
#include <nettle/sha2.h>

/* Eight bytes, the lowest first. */
static void add_number(struct sha256_ctx *hash, uint64_t number) {
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(number >> 8 * i);
    sha256_update(hash, sizeof bytes, bytes);
}

/* The length goes first, so that no two lists of names read the same. */
static void add_sample(struct sha256_ctx *hash, const SourceSample *sample, size_t prefix) {
    const char *name = sample->name + prefix;
    size_t length = strlen(name);
    add_number(hash, sample->size);
    add_number(hash, length);
    sha256_update(hash, length, (const uint8_t *)name);
}

char *data_fingerprint(Arena *arena, const Source *source) {
    static const char kind[] = "sha256:";
    struct sha256_ctx hash;
    sha256_init(&hash);
    add_number(&hash, source->samples.count);
    for (size_t part = 0; part < source->parts.count; part++) {
        bool last = part + 1 == source->parts.count;
        size_t end = last ? source->samples.count : source->parts.items[part + 1].first;
        for (size_t i = source->parts.items[part].first; i < end; i++)
            add_sample(&hash, &source->samples.items[i], source->parts.items[part].prefix);
    }
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&hash, sizeof digest, digest);
    char *text = arena_alloc(arena, sizeof kind + BASE16_ENCODE_LENGTH(sizeof digest), 1);
    memcpy(text, kind, sizeof kind - 1);
    base16_encode_update(text + sizeof kind - 1, sizeof digest, digest);
    return text;
}
