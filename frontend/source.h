/* The texts that a run reads, by number, and messages about places in them. */
#ifndef SPARKC_FRONTEND_SOURCE_H
#define SPARKC_FRONTEND_SOURCE_H

#include "base/diagnostics.h"
#include "frontend/ast.h"

typedef struct SourceFile {
    const char *name;     /* as messages show it */
    const char *resolved; /* its one absolute name, or NULL for text of the command line */
    const char *text;     /* zero-terminated */
    size_t length;
} SourceFile;

typedef struct Sources {
    Arena *arena;
    Diagnostics *diagnostics;
    VECTOR(SourceFile) items;
} Sources;

/* Adds a text, which is borrowed, and returns its number. */
uint32_t sources_add(Sources *sources, SourceFile source);

/* The place of a span. */
Location sources_locate(const Sources *sources, Span span);

/* Reports a message at a span; diagnostics_note and _hint add to it. */
void sources_report(const Sources *sources, Severity severity, Span span, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "line 4" if `span` lies in the file of `here`, else "blocks/mobile.cnn:4". */
const char *sources_line(const Sources *sources, Span span, Span here);

/* The characters of a span, at most 40 of them. */
const char *sources_text(const Sources *sources, Span span);

/* Checks what may stand in a file at all: UTF-8 without control characters. Reports the first
 * mistake and returns false. */
bool sources_check_characters(const Sources *sources, uint32_t file);

#endif
