/* Where files come from: the disk, or memory. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "frontend/program.h"

static const char *failure_text(Arena *arena) {
    const char *text = strerror(errno);
    return arena_copy_text(arena, text, strlen(text));
}

static const char *disk_resolve(void *context, Arena *arena, const char *path, const char **error) {
    (void)context;
    char resolved[PATH_MAX];
    struct stat info;
    if (!realpath(path, resolved) || stat(resolved, &info) != 0) {
        *error = failure_text(arena);
        return NULL;
    }
    if (!S_ISREG(info.st_mode)) {
        *error = S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file";
        return NULL;
    }
    return arena_copy_text(arena, resolved, strlen(resolved));
}

static char *disk_read(void *context, Arena *arena, const char *path, size_t limit, size_t *length,
                       const char **error) {
    (void)context;
    return text_read_file(arena, path, limit, length, error);
}

FrontendAccess access_disk(void) {
    return (FrontendAccess){NULL, disk_resolve, disk_read};
}

static const FrontendMemoryFile *find_file(const FrontendMemory *memory, const char *path) {
    for (size_t i = 0; i < memory->count; i++)
        if (strcmp(memory->files[i].path, path) == 0)
            return &memory->files[i];
    return NULL;
}

static const char *memory_resolve(void *context, Arena *arena, const char *path,
                                  const char **error) {
    (void)arena;
    const FrontendMemoryFile *file = find_file(context, path);
    if (!file)
        *error = "there is no such file";
    return file ? file->path : NULL;
}

static char *memory_read(void *context, Arena *arena, const char *path, size_t limit,
                         size_t *length, const char **error) {
    const FrontendMemoryFile *file = find_file(context, path);
    if (!file || file->length > limit) {
        *error =
            file ? arena_format(arena, "is larger than %zu bytes", limit) : "there is no such file";
        return NULL;
    }
    *length = file->length;
    return arena_copy_text(arena, file->text, file->length);
}

FrontendAccess frontend_memory_access(const FrontendMemory *memory) {
    return (FrontendAccess){(void *)(uintptr_t)memory, memory_resolve, memory_read};
}
