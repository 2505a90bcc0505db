#include "base/text.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

Text text_create(Arena *arena) {
    Text text = {.arena = arena, .capacity = 64};
    text.data = arena_alloc(arena, text.capacity, 1);
    return text;
}

static void text_reserve(Text *text, size_t extra) {
    size_t needed = text->length + extra + 1;
    if (needed <= text->capacity)
        return;
    size_t capacity = text->capacity * 2 > needed ? text->capacity * 2 : needed;
    char *data = arena_alloc(text->arena, capacity, 1);
    memcpy(data, text->data, text->length);
    text->data = data;
    text->capacity = capacity;
}

void text_append_bytes(Text *text, const char *bytes, size_t length) {
    text_reserve(text, length);
    if (length)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void text_append(Text *text, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length > 0) {
        text_reserve(text, (size_t)length);
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

/* The length of the UTF-8 character at `bytes`, and its number; 0 if there is none. */
static size_t decode_utf8(const unsigned char *bytes, uint32_t *number) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = bytes[0] < 0x80   ? 1
                    : bytes[0] < 0xC0 ? 0
                    : bytes[0] < 0xE0 ? 2
                    : bytes[0] < 0xF0 ? 3
                    : bytes[0] < 0xF8 ? 4
                                      : 0;
    *number = length < 2 ? bytes[0] : bytes[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
        *number = *number << 6 | (bytes[i] & 0x3Fu);
    }
    bool surrogate = *number >= 0xD800 && *number < 0xE000;
    return length > 1 && (*number < least[length] || *number > 0x10FFFF || surrogate) ? 0 : length;
}

static bool is_shown(uint32_t number) {
    return number >= 0x20 && number != '\\' && (number < 0x7F || number >= 0xA0) &&
           number != 0x200E && number != 0x200F && (number < 0x2028 || number > 0x202E) &&
           (number < 0x2066 || number > 0x2069);
}

void text_append_escaped(Text *text, const char *name) {
    while (*name) {
        uint32_t number;
        size_t length = decode_utf8((const unsigned char *)name, &number);
        if (length > 0 && is_shown(number)) {
            text_append_bytes(text, name, length);
        } else {
            length = length > 0 ? length : 1;
            for (size_t i = 0; i < length; i++)
                text_append(text, "\\x%02X", (unsigned char)name[i]);
        }
        name += length;
    }
}

void text_append_c_string(Text *text, const char *name) {
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        /* Two question marks may begin a trigraph. */
        if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\' || c == '?')
            text_append(text, "\\%03o", c);
        else
            text_append_bytes(text, name, 1);
    }
}

void text_append_c_comment(Text *text, const char *name) {
    size_t start = text->length;
    text_append_escaped(text, name);
    for (size_t i = start; i + 1 < text->length; i++)
        if ((text->data[i] == '*' && text->data[i + 1] == '/') ||
            (text->data[i] == '/' && text->data[i + 1] == '*'))
            text->data[i] = '.';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

char *text_c_identifier(Arena *arena, const char *name) {
    Text text = text_create(arena);
    if (!is_letter(*name))
        text_append(&text, "x");
    for (; *name; name++)
        text_append(&text, "%c", is_letter(*name) || is_digit(*name) ? *name : '_');
    return text.data;
}

bool text_is_c_identifier(const char *name) {
    bool fine = is_letter(*name);
    for (; *name; name++)
        fine = fine && (is_letter(*name) || is_digit(*name) || *name == '_');
    return fine;
}

bool text_starts_with(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

bool text_ends_with(const char *name, const char *suffix) {
    size_t length = strlen(name), tail = strlen(suffix);
    return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

enum { LONGEST_NAME = 64 };

/* Levenshtein distance; both names at most LONGEST_NAME letters. */
static size_t edit_distance(const char *a, const char *b) {
    size_t row[LONGEST_NAME + 1];
    size_t columns = strlen(b);
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[columns];
}

const char *text_nearest(const char *name, const char *const *candidates, size_t count) {
    size_t letters = strlen(name);
    const char *nearest = NULL;
    size_t best = letters / 3 + 1;
    if (letters > LONGEST_NAME)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (strlen(candidates[i]) > LONGEST_NAME)
            continue;
        size_t distance = edit_distance(name, candidates[i]);
        if (distance < best) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}

/* The rest of `text_read_file`, once the file is open. */
static char *read_stream(Arena *arena, FILE *file, size_t limit, size_t *length,
                         const char **error) {
    struct stat info;
    if (fstat(fileno(file), &info) != 0 || S_ISDIR(info.st_mode)) {
        *error = S_ISDIR(info.st_mode) ? "is a folder, not a file" : strerror(errno);
        return NULL;
    }
    Text text = text_create(arena);
    char chunk[16384];
    size_t got;
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0) {
        if (text.length + got > limit) {
            *error = arena_format(arena, "is larger than %zu bytes", limit);
            return NULL;
        }
        text_append_bytes(&text, chunk, got);
    }
    if (ferror(file)) {
        *error = "could not be read to its end";
        return NULL;
    }
    *length = text.length;
    return text.data;
}

char *text_read_file(Arena *arena, const char *path, size_t limit, size_t *length,
                     const char **error) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        *error = arena_copy_text(arena, strerror(errno), strlen(strerror(errno)));
        return NULL;
    }
    char *data = read_stream(arena, file, limit, length, error);
    fclose(file);
    return data;
}
