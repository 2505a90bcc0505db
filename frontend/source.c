#include "frontend/source.h"

#include <stdarg.h>
#include <string.h>

uint32_t sources_add(Sources *sources, SourceFile source) {
    vector_push(sources->arena, &sources->items, source);
    diagnostics_add_source(sources->diagnostics, source.name, source.text, source.length);
    return (uint32_t)(sources->items.count - 1);
}

Location sources_locate(const Sources *sources, Span span) {
    return diagnostics_locate(sources->diagnostics, sources->items.items[span.file].name,
                              span.begin, span.end);
}

void sources_report(const Sources *sources, Severity severity, Span span, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vformat(sources->arena, format, arguments);
    va_end(arguments);
    diagnostics_report(sources->diagnostics, severity, sources_locate(sources, span), "%s", text);
}

const char *sources_line(const Sources *sources, Span span, Span here) {
    Location location = sources_locate(sources, span);
    if (span.file == here.file)
        return arena_format(sources->arena, "line %u", location.line);
    return arena_format(sources->arena, "%s:%u", location.file, location.line);
}

enum { LONGEST_EXCERPT = 40 };

const char *sources_text(const Sources *sources, Span span) {
    const char *text = sources->items.items[span.file].text + span.begin;
    size_t length = span.end - span.begin;
    if (length <= LONGEST_EXCERPT)
        return arena_copy_text(sources->arena, text, length);
    size_t cut = LONGEST_EXCERPT;
    while (((unsigned char)text[cut] & 0xC0) == 0x80)
        cut--;
    return arena_format(sources->arena, "%.*s...", (int)cut, text);
}

/* The length of the UTF-8 character at `text`, 0 if there is none (RFC 3629, table 3-7 of Unicode).
 */
static size_t character_length(const unsigned char *text, size_t left) {
    unsigned char first = text[0];
    size_t length = first < 0x80                    ? 1
                    : first >= 0xC2 && first < 0xE0 ? 2
                    : first >= 0xE0 && first < 0xF0 ? 3
                    : first >= 0xF0 && first < 0xF5 ? 4
                                                    : 0;
    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (first == 0xE0 && text[1] < 0xA0) || (first == 0xF0 && text[1] < 0x90);
    bool beyond = (first == 0xED && text[1] >= 0xA0) || (first == 0xF4 && text[1] >= 0x90);
    return overlong || beyond ? 0 : length;
}

bool sources_check_characters(const Sources *sources, uint32_t file) {
    const SourceFile *source = &sources->items.items[file];
    const unsigned char *text = (const unsigned char *)source->text;
    for (size_t i = 0; i < source->length;) {
        size_t length = character_length(text + i, source->length - i);
        bool end_of_line = text[i] == '\r' && i + 1 < source->length && text[i + 1] == '\n';
        bool blank = text[i] == '\t' || text[i] == '\n' || end_of_line;
        Span span = {file, (uint32_t)i, (uint32_t)i + 1};
        if (length == 0) {
            sources_report(sources, SEVERITY_ERROR, span, "this is not UTF-8 text: byte %02X",
                           text[i]);
            return false;
        }
        bool second_set = text[i] == 0xC2 && text[i + 1] < 0xA0; /* U+0080 to U+009F */
        if ((text[i] < 0x20 && !blank) || text[i] == 0x7F || second_set) {
            sources_report(sources, SEVERITY_ERROR, span,
                           "a control character (%02X) cannot stand in a file",
                           text[second_set ? i + 1 : i]);
            return false;
        }
        i += length;
    }
    return true;
}
