#include "base/diagnostics.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "base/vector.h"

enum { CHUNK = 256 };

/* A text with what makes finding a place in it fast: where its lines start, and how many
 * characters stand before each chunk of bytes. */
typedef struct Source {
    const char *file, *text;
    size_t length, line_count;
    const size_t *lines;
    const uint32_t *characters;
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

static bool starts_character(char byte) {
    return ((unsigned char)byte & 0xC0) != 0x80;
}

static void index_source(Arena *arena, Source *source) {
    size_t lines = 1;
    for (size_t i = 0; i < source->length; i++)
        lines += source->text[i] == '\n';
    size_t *starts = arena_new_array(arena, size_t, lines);
    uint32_t *characters = arena_new_array(arena, uint32_t, source->length / CHUNK + 1);
    uint32_t count = 0;
    for (size_t i = 0; i < source->length; i++) {
        if (i % CHUNK == 0)
            characters[i / CHUNK] = count;
        count += starts_character(source->text[i]);
        if (source->text[i] == '\n')
            starts[++source->line_count] = i + 1;
    }
    if (source->length % CHUNK == 0)
        characters[source->length / CHUNK] = count;
    source->line_count++;
    source->lines = starts;
    source->characters = characters;
}

void diagnostics_add_source(Diagnostics *diagnostics, const char *file, const char *text,
                            size_t length) {
    Source source = {.file = file, .text = text, .length = length};
    index_source(diagnostics->arena, &source);
    vector_push(diagnostics->arena, &diagnostics->sources, source);
}

/* The source of a name; of several of one name the one with that very pointer, else the first. */
static const Source *find_source(const Diagnostics *diagnostics, const char *file) {
    for (size_t i = 0; file && i < diagnostics->sources.count; i++)
        if (diagnostics->sources.items[i].file == file)
            return &diagnostics->sources.items[i];
    for (size_t i = 0; file && i < diagnostics->sources.count; i++)
        if (strcmp(diagnostics->sources.items[i].file, file) == 0)
            return &diagnostics->sources.items[i];
    return NULL;
}

/* The number of characters before a byte. */
static uint32_t characters_before(const Source *source, size_t at) {
    uint32_t count = source->characters[at / CHUNK];
    for (size_t i = at / CHUNK * CHUNK; i < at; i++)
        count += starts_character(source->text[i]);
    return count;
}

/* The line, from 0, that a byte lies in. */
static size_t find_line_number(const Source *source, size_t at) {
    size_t low = 0, high = source->line_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (source->lines[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Where the text of a line, from 0, begins: behind the byte-order mark of the first. */
static size_t line_start(const Source *source, size_t line) {
    bool marked = line == 0 && source->length >= 3 && memcmp(source->text, "\xEF\xBB\xBF", 3) == 0;
    return marked ? 3 : source->lines[line];
}

/* The end of a line, its line end not counted. */
static size_t line_stop(const Source *source, size_t line) {
    return line + 1 < source->line_count ? source->lines[line + 1] - 1 : source->length;
}

Location diagnostics_locate(const Diagnostics *diagnostics, const char *file, size_t begin,
                            size_t end) {
    Location location = {.file = file, .line = 1, .column = 1, .width = 1};
    const Source *source = find_source(diagnostics, file);
    if (!source)
        return location;
    if (begin > source->length)
        begin = source->length;
    size_t line = find_line_number(source, begin), stop = line_stop(source, line);
    size_t start = line_start(source, line);
    location.line = (uint32_t)line + 1;
    if (begin > start)
        location.column += characters_before(source, begin) - characters_before(source, start);
    if (end < stop)
        stop = end;
    if (stop > begin + 1)
        location.width = characters_before(source, stop) - characters_before(source, begin);
    return location;
}

/* The location's file is the caller's, whose graph may be gone when messages are printed: the name
 * that its source has lives as long as they do, others are copied. */
static Location keep_file(const Diagnostics *diagnostics, Location location) {
    const Source *source = find_source(diagnostics, location.file);
    if (source)
        location.file = source->file;
    else if (location.file)
        location.file = arena_copy_text(diagnostics->arena, location.file, strlen(location.file));
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
    Message message = {severity,
                       keep_file(diagnostics, location),
                       arena_vformat(diagnostics->arena, format, arguments),
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
    if (number == 0 || number > source->line_count)
        return NULL;
    const char *line = source->text + line_start(source, number - 1);
    const char *stop = source->text + line_stop(source, number - 1);
    if (stop > line && stop[-1] == '\r')
        stop--;
    *length = (size_t)(stop - line);
    return line;
}

/* Of a longer line than that a part is quoted, with so much in front of the place. */
enum { LONGEST_LINE = 400, QUOTED_PART = 120, QUOTED_BEFORE = 60 };

typedef struct Quote {
    size_t begin, end;
    uint32_t column; /* characters in front of it */
} Quote;

static Quote quote_of(const char *line, size_t length, uint32_t column) {
    Quote quote = {0, length, 0};
    if (length <= LONGEST_LINE)
        return quote;
    while (quote.begin < length && quote.column + QUOTED_BEFORE < column) {
        do
            quote.begin++;
        while (quote.begin < length && !starts_character(line[quote.begin]));
        quote.column++;
    }
    if (length - quote.begin > QUOTED_PART)
        quote.end = quote.begin + QUOTED_PART;
    while (quote.end < length && !starts_character(line[quote.end]))
        quote.end--;
    return quote;
}

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
    if (!line)
        return;
    Quote quote = quote_of(line, length, location.column);
    text_append(out, "%5u | ", location.line);
    append_visible(out, line + quote.begin, quote.end - quote.begin);
    text_append(out, "\n      | ");
    uint32_t column = quote.column;
    size_t under = 0;
    for (size_t i = quote.begin; i < quote.end; i++) {
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
