#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"

typedef struct Block {
    struct Block *next;
    size_t used, capacity;
    alignas(max_align_t) unsigned char data[];
} Block;

struct Arena {
    Block *blocks; /* the newest first; only the newest is filled further */
};

enum { BLOCK_BYTES = 64 * 1024 };

static Block *block_create(size_t capacity) {
    Block *block = malloc(sizeof(Block) + capacity);
    if (!block)
        fatal("out of memory (%zu bytes wanted)", capacity);
    block->next = NULL;
    block->used = 0;
    block->capacity = capacity;
    return block;
}

Arena *arena_create(void) {
    Arena *arena = malloc(sizeof(Arena));
    if (!arena)
        fatal("out of memory");
    arena->blocks = NULL;
    return arena;
}

void arena_destroy(Arena *arena) {
    if (!arena)
        return;
    for (Block *block = arena->blocks; block;) {
        Block *next = block->next;
        free(block);
        block = next;
    }
    free(arena);
}

void *arena_alloc(Arena *arena, size_t count, size_t size) {
    const size_t align = alignof(max_align_t);
    if (size && count > (SIZE_MAX / 2) / size)
        fatal("out of memory (%zu elements of %zu bytes wanted)", count, size);
    size_t bytes = (count * size + align - 1) / align * align;
    if (bytes == 0)
        bytes = align;
    Block *block = arena->blocks;
    if (!block || block->capacity - block->used < bytes) {
        block = block_create(bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES);
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *result = block->data + block->used;
    block->used += bytes;
    return memset(result, 0, bytes);
}

char *arena_copy_text(Arena *arena, const char *text, size_t length) {
    char *copy = arena_alloc(arena, length + 1, 1);
    if (length)
        memcpy(copy, text, length);
    return copy;
}

char *arena_vformat(Arena *arena, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length < 0)
        fatal("a message could not be formatted");
    char *text = arena_alloc(arena, (size_t)length + 1, 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

char *arena_format(Arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = arena_vformat(arena, format, arguments);
    va_end(arguments);
    return text;
}
