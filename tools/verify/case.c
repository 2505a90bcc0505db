#include "tools/verify/case.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

Status case_open(Arena *arena, const char *path, Case *opened) {
    static const size_t limit = (size_t)64 << 20;
    const char *reason;
    size_t length;
    json_error_t error;
    char *text = text_read_file(arena, path, limit, &length, &reason);
    if (!text)
        return status_failure(arena, "%s: %s", path, reason);
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return status_failure(arena, "%s:%d:%d: %s", path, error.line, error.column, error.text);
    *opened = (Case){arena, arena_copy_text(arena, path, strlen(path)), root};
    return STATUS_FINE;
}

void case_close(Case *opened) {
    json_decref(opened->root);
}

static json_t *step_into(const json_t *at, const char *key, size_t length) {
    if (!json_is_array(at))
        return json_object_getn(at, key, length);
    char *end;
    unsigned long index = strtoul(key, &end, 10);
    return end == key + length ? json_array_get(at, index) : NULL;
}

json_t *case_find(const Case *from, const char *path) {
    json_t *at = from->root;
    while (at && *path) {
        size_t length = strcspn(path, ".");
        at = step_into(at, path, length);
        path += length;
        path += *path == '.';
    }
    return at;
}

static Status wrong(const Case *from, const char *path, const char *expected) {
    return status_failure(from->arena, "%s: %s must be %s", from->path, path, expected);
}

Status case_number(const Case *from, const char *path, double *value) {
    const json_t *entry = case_find(from, path);
    if (!json_is_number(entry) || !isfinite(json_number_value(entry)))
        return wrong(from, path, "a number");
    *value = json_number_value(entry);
    return STATUS_FINE;
}

Status case_integer(const Case *from, const char *path, int64_t least, int64_t most,
                    int64_t *value) {
    const json_t *entry = case_find(from, path);
    if (!json_is_integer(entry) || json_integer_value(entry) < least ||
        json_integer_value(entry) > most)
        return wrong(
            from, path,
            arena_format(from->arena, "a whole number from %" PRId64 " to %" PRId64, least, most));
    *value = json_integer_value(entry);
    return STATUS_FINE;
}

Status case_text(const Case *from, const char *path, const char **value) {
    *value = json_string_value(case_find(from, path));
    return *value ? STATUS_FINE : wrong(from, path, "a text");
}

Status case_shape(const Case *from, const char *path, int limit, int *rank, int64_t *shape) {
    const json_t *list = case_find(from, path);
    if (!json_is_array(list) || json_array_size(list) > (size_t)limit)
        return wrong(from, path, arena_format(from->arena, "a list of at most %d numbers", limit));
    *rank = (int)json_array_size(list);
    for (int d = 0; d < *rank; d++)
        status_return_if_failed(case_integer(from, arena_format(from->arena, "%s.%d", path, d), 1,
                                             INT32_MAX, &shape[d]));
    return STATUS_FINE;
}

bool case_lists(const Case *from, const char *path, const char *text) {
    const json_t *list = case_find(from, path);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));
        if (item && strcmp(item, text) == 0)
            return true;
    }
    return false;
}
