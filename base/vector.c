#include "base/vector.h"

#include <string.h>

void vector_grow(Arena *arena, void **items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return;
    size_t wanted = *capacity ? *capacity * 2 : 8;
    void *grown = arena_alloc(arena, wanted, size);
    if (count)
        memcpy(grown, *items, count * size);
    *items = grown;
    *capacity = wanted;
}
