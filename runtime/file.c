#include "runtime/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* Temporary files are called NAME.sparkc-XXXXXX, X being letters and digits. */
#define TEMPORARY_MARK ".sparkc-"
enum { RANDOM_LETTERS = 6 };

/* The folder that `path` lies in. */
static const char *folder_of(Arena *arena, const char *path) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    while (length > 1 && path[length - 1] == '/')
        length--;
    return length > 0 ? arena_copy_text(arena, path, length) : ".";
}

/* Some file systems cannot flush folders, and say so by EINVAL. */
static bool flush_folder(int folder) {
    return fsync(folder) == 0 || errno == EINVAL;
}

static bool write_exactly(int descriptor, const void *data, size_t length) {
    const char *from = data;
    while (length > 0) {
        ssize_t put = write(descriptor, from, length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            errno = put < 0 ? errno : ENOSPC;
            return false;
        }
        from += put;
        length -= (size_t)put;
    }
    return true;
}

/* What a file is written from. */
typedef struct Pieces {
    FilePieceMaker *make;
    const void *context;
    size_t count;
} Pieces;

static bool write_piece(int descriptor, const Pieces *pieces, size_t number) {
    Arena *arena = arena_create();
    FilePiece piece = pieces->make(arena, pieces->context, number);
    bool written = write_exactly(descriptor, piece.bytes, piece.length);
    int error = errno;
    arena_destroy(arena);
    errno = error;
    return written;
}

/* Closes the descriptor in any case. */
static bool write_and_close(int descriptor, const Pieces *pieces) {
    bool written = true;
    for (size_t i = 0; i < pieces->count && written; i++)
        written = write_piece(descriptor, pieces, i);
    written = written && fchmod(descriptor, 0644) == 0 && fsync(descriptor) == 0;
    int error = errno;
    if (close(descriptor) != 0 && written)
        return false;
    errno = error;
    return written;
}

/* With errno, if false; no temporary file is left then. */
static bool replace(Arena *arena, const char *path, const Pieces *pieces) {
    char *temporary = arena_format(arena, "%s" TEMPORARY_MARK "XXXXXX", path);
    int descriptor = mkostemp(temporary, O_CLOEXEC);
    if (descriptor < 0)
        return false;
    if (write_and_close(descriptor, pieces) && rename(temporary, path) == 0)
        return true;
    int error = errno;
    unlink(temporary);
    errno = error;
    return false;
}

/* A device or a pipe that somebody named as an output, whom a file in its place would surprise. */
static bool is_special(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

Status file_replace_by(Arena *arena, const char *path, FilePieceMaker *make, const void *context,
                       size_t count) {
    Pieces pieces = {make, context, count};
    if (is_special(path))
        return status_failure(arena, "%s: cannot be written: it is a device or a pipe; name a file",
                              path);
    int folder = open(folder_of(arena, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return status_failure(arena, "%s: cannot be written: its folder: %s", path,
                              strerror(errno));
    bool replaced = replace(arena, path, &pieces);
    bool flushed = replaced && flush_folder(folder);
    int error = errno;
    close(folder);
    if (!replaced)
        return status_failure(arena, "%s: cannot be written: %s", path, strerror(error));
    if (!flushed)
        return status_failure(arena, "%s: written, but not flushed to the disk: %s", path,
                              strerror(error));
    return STATUS_FINE;
}

static FilePiece given_piece(Arena *arena, const void *context, size_t number) {
    (void)arena;
    return ((const FilePiece *)context)[number];
}

Status file_replace(Arena *arena, const char *path, const FilePiece *pieces, size_t count) {
    return file_replace_by(arena, path, given_piece, pieces, count);
}

static bool is_temporary(const char *name) {
    size_t length = strlen(name), tail = strlen(TEMPORARY_MARK) + RANDOM_LETTERS;
    if (length <= tail || !text_starts_with(name + length - tail, TEMPORARY_MARK))
        return false;
    for (const char *letter = name + length - RANDOM_LETTERS; *letter; letter++)
        if (!isalnum((unsigned char)*letter))
            return false;
    return true;
}

void file_remove_temporaries(const char *folder) {
    DIR *stream = opendir(folder);
    for (struct dirent *entry; stream && (entry = readdir(stream)) != NULL;)
        if (is_temporary(entry->d_name))
            unlinkat(dirfd(stream), entry->d_name, 0);
    if (stream)
        closedir(stream);
}

Status file_append(Arena *arena, const char *path, int descriptor, const void *bytes,
                   size_t length) {
    off_t end = lseek(descriptor, 0, SEEK_END);
    if (end >= 0 && write_exactly(descriptor, bytes, length))
        return STATUS_FINE;
    int error = errno;
    bool cut = end >= 0 && ftruncate(descriptor, end) == 0;
    return status_failure(arena, "%s: cannot be written: %s%s", path, strerror(error),
                          end < 0 || cut ? "" : "; its end is damaged");
}

Status file_read(Arena *arena, const char *path, size_t limit, char **bytes, size_t *length) {
    const char *error;
    *bytes = text_read_file(arena, path, limit, length, &error);
    return *bytes ? STATUS_FINE : status_failure(arena, "%s: %s", path, error);
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Flushes the entry of a new folder; one that cannot be opened for that is left to the kernel. */
static bool flush_entry(const char *parent) {
    int folder = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return true;
    bool flushed = flush_folder(folder);
    int error = errno;
    close(folder);
    errno = error;
    return flushed;
}

Status file_make_folder(Arena *arena, const char *path) {
    const char *parent = folder_of(arena, path);
    int made = mkdir(path, 0777);
    if (made != 0 && errno == ENOENT && strcmp(parent, path) != 0 && path[0] &&
        !is_folder(parent)) {
        status_return_if_failed(file_make_folder(arena, parent));
        made = mkdir(path, 0777);
    }
    if (made != 0 && errno == EEXIST)
        return is_folder(path) ? STATUS_FINE
                               : status_failure(arena, "%s: is there, but is not a folder", path);
    if (made != 0 || !flush_entry(parent))
        return status_failure(arena, "%s: the folder cannot be made: %s", path, strerror(errno));
    return STATUS_FINE;
}
