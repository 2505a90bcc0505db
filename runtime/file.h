/* Files that are replaced whole: readers see the old file or the new one at any time, also after a
 * crash or a full disk. Failures name the path and the reason. */
#ifndef SPARKC_RUNTIME_FILE_H
#define SPARKC_RUNTIME_FILE_H

#include <stddef.h>

#include "base/status.h"

typedef struct FilePiece {
    const void *bytes;
    size_t length;
} FilePiece;

/* Writes the pieces, one behind the other, into a temporary file beside `path`, flushes it to the
 * disk, renames it over `path` (mode 0644, whatever the umask) and flushes the folder. A link at
 * `path` is replaced, not followed; a device or a pipe, or a link to one, is a failure. On failure
 * `path` is as it was and the temporary file is gone; only if the last flush fails is `path` new
 * already. */
Status file_replace(Arena *arena, const char *path, const FilePiece *pieces, size_t count);

/* The same for pieces that are made one at a time: `make` gives the piece of a number, from 0 on,
 * in turn; what it allocates from the arena is given back when the piece is written. */
typedef FilePiece FilePieceMaker(Arena *arena, const void *context, size_t number);
Status file_replace_by(Arena *arena, const char *path, FilePieceMaker *make, const void *context,
                       size_t count);

/* Removes the temporary files that killed writers left in `folder`; a missing folder has none. For
 * the only writer there: a temporary file of another one would be lost. */
void file_remove_temporaries(const char *folder);

/* Appends to a file that this process alone writes: all of the bytes or, on failure, none. `path`
 * is for messages. Nothing is flushed to the disk. */
Status file_append(Arena *arena, const char *path, int descriptor, const void *bytes,
                   size_t length);

/* Reads a whole file of at most `limit` bytes into the arena; a zero byte follows the last. */
Status file_read(Arena *arena, const char *path, size_t limit, char **bytes, size_t *length);

/* Makes a folder and those above it that are missing, and flushes what they lie in. A folder that
 * is there is fine; anything else of that name is a failure. */
Status file_make_folder(Arena *arena, const char *path);

#endif
