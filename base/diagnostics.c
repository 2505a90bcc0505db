#include "base/diagnostics.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "base/vector.h"

typedef struct Source {
    const char *file, *text;
    size_t length;
} Source;

typedef struct Remark {
    const char *kind, *text; /* kind: "note" or "hint" */
} Remark;

typedef struct Message {
    Severity severity;
    Location location;
    const char *text;
    VECTOR(Remark) remarks;
} Message;

struct Diagnostics {
    Arena *arena;
    int error_limit, error_count;
    bool dropping; /* the last message reported was beyond the limit */
    VECTOR(Source) sources;
    VECTOR(Message) messages;
};

Diagnostics *diagnostics_create(Arena *arena, int error_limit) {
    Diagnostics *diagnostics = arena_new(arena, Diagnostics);
    diagnostics->arena = arena;
    diagnostics->error_limit = error_limit;
    return diagnostics;
}

void diagnostics_add_source(Diagnostics *diagnostics, const char *file, const char *text,
                            size_t length) {
    Source source = {file, text, length};
    vector_push(diagnostics->arena, &diagnostics->sources, source);
}

static const Source *find_source(const Diagnostics *diagnostics, const char *file) {
    for (size_t i = 0; file && i < diagnostics->sources.count; i++)
        if (strcmp(diagnostics->sources.items[i].file, file) == 0)
            return &diagnostics->sources.items[i];
    return NULL;
}

static bool starts_character(char byte) {
    return ((unsigned char)byte & 0xC0) != 0x80;
}

static uint32_t count_characters(const char *text, size_t begin, size_t end) {
    uint32_t count = 0;
    for (size_t i = begin; i < end; i++)
        count += starts_character(text[i]);
    return count;
}

Location diagnostics_locate(const Diagnostics *diagnostics, const char *file, size_t begin,
                            size_t end) {
    Location location = {.file = file, .line = 1, .column = 1, .width = 1};
    const Source *source = find_source(diagnostics, file);
    if (!source)
        return location;
    if (begin > source->length)
        begin = source->length;
    size_t line_start = 0;
    for (size_t i = 0; i < begin; i++)
        if (source->text[i] == '\n') {
            location.line++;
            line_start = i + 1;
        }
    if (line_start == 0 && source->length >= 3 && begin >= 3 &&
        memcmp(source->text, "\xEF\xBB\xBF", 3) == 0)
        line_start = 3;
    location.column = count_characters(source->text, line_start, begin) + 1;
    size_t stop = begin;
    while (stop < end && stop < source->length && source->text[stop] != '\n')
        stop++;
    uint32_t width = count_characters(source->text, begin, stop);
    location.width = width ? width : 1;
    return location;
}

void diagnostics_report(Diagnostics *diagnostics, Severity severity, Location location,
                        const char *format, ...) {
    diagnostics->dropping = false;
    if (severity == SEVERITY_ERROR && ++diagnostics->error_count > diagnostics->error_limit) {
        diagnostics->dropping = true;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    Message message = {severity, location, arena_vformat(diagnostics->arena, format, arguments),
                       {0}};
    va_end(arguments);
    vector_push(diagnostics->arena, &diagnostics->messages, message);
}

static void add_remark(Diagnostics *diagnostics, const char *kind, const char *text) {
    if (diagnostics->dropping || diagnostics->messages.count == 0)
        return;
    Message *message = &diagnostics->messages.items[diagnostics->messages.count - 1];
    Remark remark = {kind, text};
    vector_push(diagnostics->arena, &message->remarks, remark);
}

void diagnostics_note(Diagnostics *diagnostics, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_remark(diagnostics, "note", arena_vformat(diagnostics->arena, format, arguments));
    va_end(arguments);
}

void diagnostics_hint(Diagnostics *diagnostics, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_remark(diagnostics, "hint", arena_vformat(diagnostics->arena, format, arguments));
    va_end(arguments);
}

int diagnostics_error_count(const Diagnostics *diagnostics) {
    return diagnostics->error_count;
}

bool diagnostics_full(const Diagnostics *diagnostics) {
    return diagnostics->error_count >= diagnostics->error_limit;
}

/* Appends text for a terminal: control characters as \xNN, a tab as one blank. */
static void append_visible(Text *out, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\t')
            text_append_bytes(out, " ", 1);
        else if (c < 0x20 || c == 0x7F)
            text_append(out, "\\x%02X", c);
        else
            text_append_bytes(out, text + i, 1);
    }
}

/* The bytes of line `number` (from 1) of a source, without its end. */
static const char *find_line(const Source *source, uint32_t number, size_t *length) {
    const char *line = source->text, *end = source->text + source->length;
    for (; number > 1; number--) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        if (!next)
            return NULL;
        line = next + 1;
    }
    if (line == source->text && source->length >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0)
        line += 3;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop)
        stop = end;
    if (stop > line && stop[-1] == '\r')
        stop--;
    *length = (size_t)(stop - line);
    return line;
}

enum { LONGEST_QUOTE = 400 };

/* The number of screen columns that a character of the quoted line takes in append_visible. */
static size_t shown_width(char byte) {
    unsigned char c = (unsigned char)byte;
    if (!starts_character(byte))
        return 0;
    return (c < 0x20 && c != '\t') || c == 0x7F ? 4 : 1;
}

static void append_quote(Text *out, const Diagnostics *diagnostics, Location location) {
    const Source *source = find_source(diagnostics, location.file);
    size_t length = 0;
    const char *line = source ? find_line(source, location.line, &length) : NULL;
    if (!line || length > LONGEST_QUOTE)
        return;
    text_append(out, "%5u | ", location.line);
    append_visible(out, line, length);
    text_append(out, "\n      | ");
    uint32_t column = 0;
    size_t under = 0;
    for (size_t i = 0; i < length; i++) {
        column += starts_character(line[i]);
        size_t width = shown_width(line[i]);
        for (size_t k = 0; k < width && column < location.column; k++)
            text_append_bytes(out, " ", 1);
        for (size_t k = 0; k < width && column >= location.column; k++)
            if (column < location.column + location.width)
                text_append_bytes(out, under++ ? "~" : "^", 1);
    }
    if (under == 0)
        text_append_bytes(out, "^", 1);
    text_append(out, "\n");
}

static const char *const severity_name[] = {"note", "warning", "error"};
static const char *const severity_color[] = {"\033[36m", "\033[35m", "\033[31m"};

static void append_message(Text *out, const Diagnostics *diagnostics, const Message *message,
                           bool color) {
    if (message->location.file) {
        append_visible(out, message->location.file, strlen(message->location.file));
        text_append(out, ":%u:%u: ", message->location.line, message->location.column);
    }
    text_append(out, "%s%s:%s ", color ? severity_color[message->severity] : "",
                severity_name[message->severity], color ? "\033[0m" : "");
    append_visible(out, message->text, strlen(message->text));
    text_append(out, "\n");
    append_quote(out, diagnostics, message->location);
    for (size_t i = 0; i < message->remarks.count; i++) {
        const Remark *remark = &message->remarks.items[i];
        text_append(out, "  %s: ", remark->kind);
        append_visible(out, remark->text, strlen(remark->text));
        text_append(out, "\n");
    }
}

char *diagnostics_text(const Diagnostics *diagnostics, bool color) {
    Text out = text_create(diagnostics->arena);
    for (size_t i = 0; i < diagnostics->messages.count; i++)
        append_message(&out, diagnostics, &diagnostics->messages.items[i], color);
    int dropped = diagnostics->error_count - diagnostics->error_limit;
    if (dropped > 0)
        text_append(&out, "%d more error%s not shown\n", dropped, dropped == 1 ? "" : "s");
    return out.data;
}
