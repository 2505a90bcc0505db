/* Memory by lifetime: everything allocated from an arena dies with it, nothing is freed alone.
 * Running out of memory, or asking for a size that overflows, ends the process with one clear
 * line and exit status 1, so callers never test for NULL. One arena belongs to one thread. */
#ifndef SPARKC_BASE_ARENA_H
#define SPARKC_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

typedef struct Arena Arena;

/* A new empty arena, owned by the caller. */
Arena *arena_create(void);

/* Frees the arena and all that was allocated from it. NULL is allowed. */
void arena_destroy(Arena *arena);

/* `count` elements of `size` bytes, zeroed, aligned for any type. Zero elements give a unique
 * valid pointer. */
void *arena_alloc(Arena *arena, size_t count, size_t size);

/* A copy of `length` bytes of `text` with a terminating zero. */
char *arena_copy_text(Arena *arena, const char *text, size_t length);

/* printf into the arena. */
char *arena_format(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* vprintf into the arena; `arguments` is consumed. */
char *arena_vformat(Arena *arena, const char *format, va_list arguments);

/* One zeroed object, or `count` of them, of a type. */
#define arena_new(arena, T)              ((T *)arena_alloc((arena), 1, sizeof(T)))
#define arena_new_array(arena, T, count) ((T *)arena_alloc((arena), (count), sizeof(T)))

#endif
