/* Messages about the user's text: file:line:column, the line, a caret, notes, a hint.
 *
 *     net.cnn:3:17: error: + needs equal shapes: left 32 x 16 x 16, right 64 x 16 x 16
 *         3 |     return relu(x + y)
 *           |                 ^~~~~
 *       note: in unit, called at net.cnn:7:28 as layer1
 *       hint: ...
 *
 * Messages are collected and printed in the order they were reported. Control characters in
 * names and source lines are shown as \xNN, never sent to the terminal. */
#ifndef SPARKC_BASE_DIAGNOSTICS_H
#define SPARKC_BASE_DIAGNOSTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"

/* A place in a text. Columns count characters (UTF-8 code points) from 1; width is the number of
 * characters under the caret line, at least 1. file NULL: no place. */
typedef struct Location {
    const char *file;
    uint32_t line, column, width;
} Location;

typedef enum Severity { SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_ERROR } Severity;

typedef struct Diagnostics Diagnostics;

/* `arena` holds all messages and must outlive the result. Errors beyond `error_limit` are
 * counted but not kept; the last line of the output then says so. */
Diagnostics *diagnostics_create(Arena *arena, int error_limit);

/* Makes the text of a file known, so that messages can quote its lines. The text is borrowed and
 * must outlive the diagnostics. */
void diagnostics_add_source(Diagnostics *diagnostics, const char *file, const char *text,
                            size_t length);

/* The location of the bytes [begin, end) of a source added before. */
Location diagnostics_locate(const Diagnostics *diagnostics, const char *file, size_t begin,
                            size_t end);

/* Reports a message; the location's file is copied. Notes and hints added afterwards belong to it.
 */
void diagnostics_report(Diagnostics *diagnostics, Severity severity, Location location,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Adds a note ("  note: ...") or a hint ("  hint: ...") to the last message reported. */
void diagnostics_note(Diagnostics *diagnostics, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void diagnostics_hint(Diagnostics *diagnostics, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The number of errors (of warnings and notes) reported so far. */
int diagnostics_error_count(const Diagnostics *diagnostics);

/* True once the error limit is reached: work that only finds more errors may stop. */
bool diagnostics_full(const Diagnostics *diagnostics);

/* All messages as text in the arena; "" if there are none. `color` adds ANSI colours. */
char *diagnostics_text(const Diagnostics *diagnostics, bool color);

#endif
