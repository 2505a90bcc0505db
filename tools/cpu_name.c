#include "tools/cpu_name.h"

#include <string.h>

#include "base/text.h"

/* The value of the first line "key : value", or "". */
static const char *find_value(Arena *arena, const char *info, const char *key) {
    for (const char *line = info; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t length = strlen(key);
        const char *rest = line + length;
        if (strncmp(line, key, length) != 0 || (*rest != ' ' && *rest != '\t' && *rest != ':'))
            continue;
        rest += strspn(rest, " \t:");
        return arena_copy_text(arena, rest, strcspn(rest, "\n"));
    }
    return "";
}

const char *cpu_name(Arena *arena) {
    const char *error;
    size_t length;
    const char *info = text_read_file(arena, "/proc/cpuinfo", (size_t)16 << 20, &length, &error);
    Text name = text_create(arena);
    text_append_escaped(&name, find_value(arena, info, "model name"));
    return name.data;
}
