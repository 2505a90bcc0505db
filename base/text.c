#include "base/text.h"

#include <errno.h>
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
