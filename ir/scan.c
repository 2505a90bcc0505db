#include "ir/scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Scanner scan_create(Arena *arena, Diagnostics *diagnostics, const char *file, const char *text,
                    size_t length) {
    diagnostics_add_source(diagnostics, file, text, length);
    return (Scanner){.arena = arena,
                     .diagnostics = diagnostics,
                     .file = file,
                     .text = text,
                     .end = text + length,
                     .line = text,
                     .line_end = text,
                     .cursor = text,
                     .next = text};
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name_character(char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-';
}

static bool is_path_character(char c) {
    return is_name_character(c) || c == '/';
}

static bool is_number_character(char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '+';
}

static bool is_integer_character(char c) {
    return is_number_character(c) && c != '+';
}

/* The end of the longest run of characters of a kind from `at`, inside the line. */
static const char *run_end(const Scanner *scanner, const char *at, bool (*kind)(char)) {
    while (at < scanner->line_end && kind(*at))
        at++;
    return at;
}

static void skip_blanks(Scanner *scanner) {
    while (scanner->cursor < scanner->line_end &&
           (*scanner->cursor == ' ' || *scanner->cursor == '\t'))
        scanner->cursor++;
}

char scan_peek(Scanner *scanner) {
    skip_blanks(scanner);
    const char *at = scanner->cursor;
    if (at == scanner->line_end || (at + 1 < scanner->line_end && at[0] == '/' && at[1] == '/'))
        return '\n';
    return *at;
}

const char *scan_place(Scanner *scanner) {
    skip_blanks(scanner);
    return scanner->cursor;
}

ScanSpan scan_since(const Scanner *scanner, const char *begin) {
    return (ScanSpan){begin, scanner->cursor};
}

ScanSpan scan_word(Scanner *scanner) {
    if (scan_peek(scanner) == '\n')
        return (ScanSpan){scanner->cursor, scanner->cursor};
    const char *stop = run_end(scanner, scanner->cursor, is_number_character);
    return (ScanSpan){scanner->cursor, stop > scanner->cursor ? stop : stop + 1};
}

ScanSpan scan_whole_line(const Scanner *scanner) {
    return (ScanSpan){scanner->line, scanner->line_end};
}

ScanSpan scan_text_end(const Scanner *scanner) {
    return (ScanSpan){scanner->end, scanner->end};
}

Location scan_locate(const Scanner *scanner, ScanSpan span) {
    bool elsewhere = span.begin < scanner->line || span.begin > scanner->line_end;
    if (elsewhere || scanner->number == 0)
        return diagnostics_locate(scanner->diagnostics, scanner->file,
                                  (size_t)(span.begin - scanner->text),
                                  (size_t)(span.end - scanner->text));
    size_t column = (size_t)(span.begin - scanner->line) + 1;
    size_t width = (size_t)(span.end - span.begin);
    return (Location){.file = scanner->file,
                      .line = scanner->number,
                      .column = (uint32_t)column,
                      .width = width ? (uint32_t)width : 1};
}

void scan_error(Scanner *scanner, ScanSpan span, const char *format, ...) {
    if (scanner->failed)
        return;
    scanner->failed = true;
    va_list arguments;
    va_start(arguments, format);
    const char *message = arena_vformat(scanner->arena, format, arguments);
    va_end(arguments);
    diagnostics_report(scanner->diagnostics, SEVERITY_ERROR, scan_locate(scanner, span), "%s",
                       message);
}

void scan_hint(Scanner *scanner, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    diagnostics_hint(scanner->diagnostics, "%s", arena_vformat(scanner->arena, format, arguments));
    va_end(arguments);
}

/* Sets the line that starts at `next`. */
static void begin_line(Scanner *scanner) {
    const char *stop = memchr(scanner->next, '\n', (size_t)(scanner->end - scanner->next));
    scanner->line = scanner->cursor = scanner->next;
    scanner->line_end = stop ? stop : scanner->end;
    scanner->next = stop ? stop + 1 : scanner->end;
    if (scanner->line_end > scanner->line && scanner->line_end[-1] == '\r')
        scanner->line_end--;
    scanner->number++;
    scanner->failed = false;
}

bool scan_line(Scanner *scanner) {
    while (scanner->next < scanner->end) {
        begin_line(scanner);
        if (scanner->number > SCAN_MOST_LINES) {
            scan_error(scanner, scan_whole_line(scanner), "more than %d lines", SCAN_MOST_LINES);
            return false;
        }
        if (scan_peek(scanner) != '\n')
            return true;
    }
    return false;
}

enum { LONGEST_SHOWN = 60 };

void scan_expected(Scanner *scanner, const char *what) {
    ScanSpan found = scan_word(scanner);
    bool cut = found.end - found.begin > LONGEST_SHOWN;
    int shown = cut ? LONGEST_SHOWN : (int)(found.end - found.begin);
    if (shown == 0)
        scan_error(scanner, found, "expected %s, found the end of the line", what);
    else if (*found.begin == '\0')
        scan_error(scanner, found, "expected %s, found a zero byte", what);
    else
        scan_error(scanner, found, "expected %s, found %.*s%s", what, shown, found.begin,
                   cut ? "..." : "");
}

bool scan_line_end(Scanner *scanner) {
    if (scan_peek(scanner) == '\n')
        return true;
    scan_expected(scanner, "the end of the line");
    return false;
}

bool scan_take(Scanner *scanner, char character) {
    if (scan_peek(scanner) != character || character == '\n')
        return false;
    scanner->cursor++;
    return true;
}

bool scan_expect(Scanner *scanner, char character) {
    if (scan_take(scanner, character))
        return true;
    scan_expected(scanner, (const char[]){character, '\0'});
    return false;
}

bool scan_take_word(Scanner *scanner, const char *word) {
    if (scan_peek(scanner) == '\n')
        return false;
    const char *stop = run_end(scanner, scanner->cursor, is_name_character);
    size_t length = strlen(word);
    if ((size_t)(stop - scanner->cursor) != length || memcmp(scanner->cursor, word, length) != 0)
        return false;
    scanner->cursor = stop;
    return true;
}

bool scan_expect_word(Scanner *scanner, const char *word) {
    if (scan_take_word(scanner, word))
        return true;
    scan_expected(scanner, word);
    return false;
}

static char *take_run(Scanner *scanner, const char *stop) {
    char *copy = arena_copy_text(scanner->arena, scanner->cursor, (size_t)(stop - scanner->cursor));
    scanner->cursor = stop;
    return copy;
}

/* A bare word or a quoted text. */
static char *bare_or_quoted(Scanner *scanner, bool (*kind)(char), const char *what) {
    if (scan_peek(scanner) == '"')
        return scan_quoted(scanner);
    const char *stop = run_end(scanner, scanner->cursor, kind);
    if (stop > scanner->cursor && scan_peek(scanner) != '\n')
        return take_run(scanner, stop);
    scan_expected(scanner, what);
    return NULL;
}

char *scan_name(Scanner *scanner, const char *what) {
    const char *begin = scan_place(scanner);
    char *name = bare_or_quoted(scanner, is_name_character, what);
    if (name && !*name) {
        scan_error(scanner, scan_since(scanner, begin), "a name cannot be empty");
        return NULL;
    }
    return name;
}

static int hexadecimal(char c) {
    const char *digits = "0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* The byte that the escape at `at` (a backslash) stands for, or -1; *length is its size. */
static int unescape(const Scanner *scanner, const char *at, size_t *length) {
    size_t left = (size_t)(scanner->line_end - at);
    *length = left < 2 ? left : 2;
    if (left >= 2 && (at[1] == '"' || at[1] == '\\'))
        return at[1];
    if (left < 4 || at[1] != 'x')
        return -1;
    *length = 4;
    int high = hexadecimal(at[2]), low = hexadecimal(at[3]);
    return high < 0 || low < 0 || high + low == 0 ? -1 : high * 16 + low;
}

/* One character of a quoted text into *byte. */
static bool quoted_byte(Scanner *scanner, char *byte) {
    const char *at = scanner->cursor;
    size_t length = 1;
    int value = *at == '\\' ? unescape(scanner, at, &length) : (unsigned char)*at;
    if (*at == '\\' && value < 0) {
        scan_error(scanner, (ScanSpan){at, at + length},
                   "unknown escape; there are \\\\, \\\" and \\x01..\\xFF");
        return false;
    }
    if (*at != '\\' && (value < 0x20 || value > 0x7E)) {
        scan_error(scanner, (ScanSpan){at, at + 1}, "write this byte as \\x%02X", (unsigned)value);
        return false;
    }
    *byte = (char)value;
    scanner->cursor += length;
    return true;
}

/* The closing quote of the text that opens at `begin`, or the end of the line. */
static const char *find_closing(const Scanner *scanner, const char *begin) {
    const char *at = begin + 1;
    while (at < scanner->line_end && *at != '"')
        at += *at == '\\' && at + 1 < scanner->line_end ? 2 : 1;
    return at;
}

char *scan_quoted(Scanner *scanner) {
    if (scan_peek(scanner) != '"') {
        scan_expected(scanner, "a text in quotes");
        return NULL;
    }
    const char *begin = scanner->cursor, *closing = find_closing(scanner, begin);
    if (closing == scanner->line_end) {
        scan_error(scanner, (ScanSpan){begin, closing}, "this text has no closing quote");
        return NULL;
    }
    char *text = arena_alloc(scanner->arena, (size_t)(closing - begin), 1);
    size_t length = 0;
    scanner->cursor++;
    while (scanner->cursor < closing) {
        if (!quoted_byte(scanner, &text[length++]))
            return NULL;
    }
    scanner->cursor = closing + 1;
    return text;
}

bool scan_type(Scanner *scanner, Type *type) {
    const char *begin = scan_place(scanner);
    if (type_parse(&scanner->cursor, type))
        return true;
    const char *stop = begin;
    while (stop < scanner->line_end && *stop != '>' && *stop != ']')
        stop++;
    bool closed = stop < scanner->line_end && stop - begin < LONGEST_SHOWN;
    ScanSpan span = closed ? (ScanSpan){begin, stop + 1} : scan_word(scanner);
    scan_error(scanner, span, "this is no type");
    scan_hint(scanner, "types are f32[3x64], f32<8x56x56x64>, f32<8x56x56x64 masked 4>, "
                       "f32<8x64 per_image>, f32<flat>, f32<segments>; extents from 1 to 2^31 - 1");
    return false;
}

/* The characters of a number, in the arena; NULL, unreported, if there are none or far too many. */
static char *number_text(Scanner *scanner, bool (*kind)(char)) {
    enum { LONGEST_NUMBER = 64 };
    bool at_end = scan_peek(scanner) == '\n';
    const char *stop = run_end(scanner, scanner->cursor, kind);
    if (at_end || stop == scanner->cursor || stop - scanner->cursor > LONGEST_NUMBER)
        return NULL;
    return take_run(scanner, stop);
}

bool scan_whole(Scanner *scanner, int64_t lowest, int64_t highest, int64_t *value) {
    char *text = number_text(scanner, is_integer_character), *stop = text;
    errno = 0;
    long long read = text ? strtoll(text, &stop, 10) : 0;
    if (!text || *stop != '\0') {
        scanner->cursor -= text ? strlen(text) : 0;
        scan_expected(scanner, "a whole number");
        return false;
    }
    if (errno == ERANGE || read < lowest || read > highest) {
        scan_error(scanner, scan_since(scanner, scanner->cursor - strlen(text)),
                   "this number must be in %lld .. %lld", (long long)lowest, (long long)highest);
        return false;
    }
    *value = read;
    return true;
}

static bool scan_real(Scanner *scanner, double *value) {
    char *text = number_text(scanner, is_number_character), *stop = text;
    errno = 0;
    *value = text ? strtod(text, &stop) : 0;
    if (!text || *stop != '\0') {
        scanner->cursor -= text ? strlen(text) : 0;
        scan_expected(scanner, "a number");
        return false;
    }
    if (errno == ERANGE && isinf(*value)) {
        scan_error(scanner, scan_since(scanner, scanner->cursor - strlen(text)),
                   "this number is too large for a double");
        return false;
    }
    return true;
}

bool scan_list(Scanner *scanner, Attribute *value) {
    if (!scan_expect(scanner, '['))
        return false;
    if (scan_take(scanner, ']'))
        return true;
    do {
        if (value->count == ATTRIBUTE_MAX_INTS) {
            scan_error(scanner, scan_word(scanner), "at most %d numbers in a list",
                       ATTRIBUTE_MAX_INTS);
            return false;
        }
        if (!scan_whole(scanner, INT64_MIN, INT64_MAX, &value->ints[value->count++]))
            return false;
    } while (scan_take(scanner, ','));
    return scan_expect(scanner, ']');
}

static bool scan_bool(Scanner *scanner, int64_t *value) {
    *value = scan_take_word(scanner, "true");
    if (*value || scan_take_word(scanner, "false"))
        return true;
    scan_expected(scanner, "true or false");
    return false;
}

static bool scan_value(Scanner *scanner, Attribute *value) {
    switch (value->kind) {
    case ATTRIBUTE_INT:
        return scan_whole(scanner, INT64_MIN, INT64_MAX, &value->integer);
    case ATTRIBUTE_FLOAT:
        return scan_real(scanner, &value->real);
    case ATTRIBUTE_BOOL:
        return scan_bool(scanner, &value->integer);
    case ATTRIBUTE_INTS:
        return scan_list(scanner, value);
    case ATTRIBUTE_TEXT:
        return (value->text = scan_quoted(scanner)) != NULL;
    case ATTRIBUTE_WORD:
        return (value->text = bare_or_quoted(scanner, is_name_character, "a word")) != NULL;
    }
    return false;
}

/* The row of the attribute name at the cursor, or -1 after reporting. */
static int scan_attribute_name(Scanner *scanner, const char *owner, const AttributeInfo *infos,
                               int count) {
    const char *begin = scan_place(scanner);
    char *name = scan_name(scanner, "the name of an attribute");
    if (!name)
        return -1;
    const char *names[OP_MAX_ATTRIBUTES];
    for (int i = 0; i < count; i++) {
        if (strcmp(infos[i].name, name) == 0)
            return i;
        names[i] = infos[i].name;
    }
    const char *nearest = text_nearest(name, names, (size_t)count);
    scan_error(scanner, scan_since(scanner, begin), "%s has no attribute %s", owner, name);
    if (nearest)
        scan_hint(scanner, "did you mean %s?", nearest);
    return -1;
}

static bool scan_attribute(Scanner *scanner, const char *owner, const AttributeInfo *infos,
                           int count, Attribute *values, ScanSpan *spans) {
    int i = scan_attribute_name(scanner, owner, infos, count);
    if (i < 0 || !scan_expect(scanner, '='))
        return false;
    const char *begin = scan_place(scanner);
    if (spans[i].begin) {
        scan_error(scanner, scan_word(scanner), "%s is given twice", infos[i].name);
        return false;
    }
    values[i] = (Attribute){.kind = infos[i].kind};
    bool fine = scan_value(scanner, &values[i]);
    spans[i] = scan_since(scanner, begin);
    return fine;
}

/* The braces and what is in them. */
static bool scan_braces(Scanner *scanner, const char *owner, const AttributeInfo *infos, int count,
                        Attribute *values, ScanSpan *spans) {
    if (!scan_take(scanner, '{') || scan_take(scanner, '}'))
        return true;
    do {
        if (!scan_attribute(scanner, owner, infos, count, values, spans))
            return false;
    } while (scan_take(scanner, ','));
    return scan_expect(scanner, '}');
}

bool scan_attributes(Scanner *scanner, const char *owner, const AttributeInfo *infos, int count,
                     Attribute *values, ScanSpan *spans) {
    for (int i = 0; i < count; i++) {
        values[i] = infos[i].standard;
        spans[i] = (ScanSpan){NULL, NULL};
    }
    if (!scan_braces(scanner, owner, infos, count, values, spans))
        return false;
    for (int i = 0; i < count; i++) {
        if (!spans[i].begin && !infos[i].has_default) {
            scan_error(scanner, scan_word(scanner), "%s needs the attribute %s", owner,
                       infos[i].name);
            return false;
        }
    }
    return true;
}

static bool scan_count(Scanner *scanner, uint32_t *value) {
    int64_t read = 0;
    bool fine = scan_whole(scanner, 0, UINT32_MAX, &read);
    *value = (uint32_t)read;
    return fine;
}

/* The name of a file, the one of the last location if it is the same. */
static const char *scan_path(Scanner *scanner) {
    const char *path = bare_or_quoted(scanner, is_path_character, "the name of a file");
    if (path && scanner->last_file && strcmp(path, scanner->last_file) == 0)
        return scanner->last_file;
    return scanner->last_file = path;
}

bool scan_location(Scanner *scanner, Location *location) {
    *location = (Location){.width = 1};
    if (!scan_expect(scanner, '@') || !(location->file = scan_path(scanner)))
        return false;
    return scan_expect(scanner, ':') && scan_count(scanner, &location->line) &&
           scan_expect(scanner, ':') && scan_count(scanner, &location->column) &&
           (!scan_take(scanner, '+') || scan_count(scanner, &location->width));
}
