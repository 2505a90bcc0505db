/* A folder of a test's own, with its arena; and shards. */
#ifndef SPARKC_TESTS_SUPPORT_FOLDER_H
#define SPARKC_TESTS_SUPPORT_FOLDER_H

#include <stddef.h>

#include "base/arena.h"

typedef struct Folder {
    Arena *arena;
    const char *path;
} Folder;

/* An empty one under /tmp; it is removed with all that is in it. What fails ends the program. */
Folder folder_create(void);
void folder_destroy(Folder folder);

/* "folder/name". */
const char *folder_inside(Folder folder, const char *name);

/* Writes a file; folders in its name are made. */
void folder_write(Folder folder, const char *name, const void *bytes, size_t length);
void folder_write_text(Folder folder, const char *name, const char *text);

typedef struct ShardEntry {
    const char *name;
    const char *text; /* of a file; what a link points to */
    unsigned type;    /* AE_IFLNK, ..; 0: a file */
    size_t length;    /* of a file; 0: the text ends with a zero */
} ShardEntry;

/* Writes a shard of libarchive's format (0: ustar) and filter (0: not compressed), with nothing
 * behind its end mark; its path. */
const char *folder_write_shard(Folder folder, const char *name, int format, int filter,
                               const ShardEntry *entries, size_t count);

/* Writes one file compressed by a filter. */
const char *folder_write_compressed(Folder folder, const char *name, int filter, const void *bytes,
                                    size_t length);

#endif
