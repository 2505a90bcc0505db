/* A growing text in an arena, and small helpers for strings. */
#ifndef SPARKC_BASE_TEXT_H
#define SPARKC_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

typedef struct Text {
    Arena *arena;
    char *data; /* zero-terminated; NULL only before the first append */
    size_t length, capacity;
} Text;

/* An empty text that grows in `arena`; its data is "" from the start. */
Text text_create(Arena *arena);

/* Appends printf output. */
void text_append(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends `length` bytes as they are. */
void text_append_bytes(Text *text, const char *bytes, size_t length);

/* Appends a name from outside (a file's, say) so that a terminal shows it and nothing else: UTF-8
 * as it is, but control characters, marks that change the writing direction, backslashes and bytes
 * that are not UTF-8 as \xNN. */
void text_append_escaped(Text *text, const char *name);

/* Appends a name from outside as the inside of a C string literal, which gives these very bytes;
 * all but printable ASCII as octal numbers. */
void text_append_c_string(Text *text, const char *name);

/* Appends it into a C comment: as text_append_escaped, and nothing in it ends or begins a comment.
 */
void text_append_c_comment(Text *text, const char *name);

/* A C identifier of a name's letters and digits, _ for whatever else; x before a digit. Different
 * names may give the same one. */
char *text_c_identifier(Arena *arena, const char *name);

/* True if it is a C identifier already, and not one that C keeps for itself (_ in front). */
bool text_is_c_identifier(const char *name);

/* True if `name` starts with `prefix`; ends with `suffix`. */
bool text_starts_with(const char *name, const char *prefix);
bool text_ends_with(const char *name, const char *suffix);

/* The candidate nearest to `name` by edit distance, or NULL if none is close enough to suggest
 * (at most a third of the letters wrong). Ties go to the first. */
const char *text_nearest(const char *name, const char *const *candidates, size_t count);

/* Reads a whole file into the arena with a terminating zero. On failure returns NULL and sets
 * *error to a sentence without the file's name. More than `limit` bytes is a failure. */
char *text_read_file(Arena *arena, const char *path, size_t limit, size_t *length,
                     const char **error);

#endif
