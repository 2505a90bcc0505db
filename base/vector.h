/* Growable arrays in an arena: `VECTOR(T) list = {0}; vector_push(arena, &list, item);`.
 * The items move when the array grows; the old ones stay in the arena until it dies. */
#ifndef SPARKC_BASE_VECTOR_H
#define SPARKC_BASE_VECTOR_H

#include <stddef.h>

#include "base/arena.h"

#define VECTOR(T)                                                                                  \
    struct {                                                                                       \
        T *items;                                                                                  \
        size_t count, capacity;                                                                    \
    }

#define vector_push(arena, vector, item)                                                           \
    (vector_grow((arena), (void **)&(vector)->items, (vector)->count, &(vector)->capacity,         \
                 sizeof *(vector)->items),                                                         \
     (void)((vector)->items[(vector)->count++] = (item)))

/* Makes room for one more item of `size` bytes behind `count`. Used by vector_push. */
void vector_grow(Arena *arena, void **items, size_t count, size_t *capacity, size_t size);

#endif
