/* Where pictures come from: folders, searched through and through, tar shards (WebDataset style),
 * single files. Enumerated once, in an order that depends on names alone; read on demand, from any
 * thread. */
#ifndef SPARKC_RUNTIME_DATA_SOURCE_H
#define SPARKC_RUNTIME_DATA_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/vector.h"

/* The most bytes of one picture's file or shard entry. */
#define SOURCE_MOST_BYTES (UINT64_C(256) << 20)

/* What compressed shards hold, one behind the other, in a file without a name. */
typedef struct SourceCopy {
    int descriptor;
    uint64_t length;
} SourceCopy;

typedef struct SourceSample {
    const char *name; /* what messages call it: its path; "shard.tar/entry" in shards */
    const char *path; /* the file or shard that holds its bytes */
    uint64_t offset, size;
    bool in_shard;          /* else the sample is the file, whatever its size by now */
    const SourceCopy *copy; /* that the offset counts in; NULL: it counts in the shard itself */
} SourceSample;

/* Something that was found but cannot be a sample. */
typedef struct SourceProblem {
    const char *name, *reason;
} SourceProblem;

/* A folder, shard or file as it was given: its samples reach to the next part's first. */
typedef struct SourcePart {
    size_t first;  /* of its samples */
    size_t prefix; /* bytes that say where it lies, in front of each name: folders up to and with
                      the folder given, folders above a shard or file */
} SourcePart;

typedef struct Source {
    VECTOR(SourceSample) samples;
    VECTOR(SourcePart) parts; /* at least one sample each */
    VECTOR(SourceProblem) problems;
    VECTOR(SourceSample) classes; /* entries "KEY.cls" of shards, for runtime/data/labels.h */
    size_t others;                /* files that are not taken for pictures */
    SourceCopy *copy;             /* NULL: no shard is compressed */
} Source;

/* Enumerates sources in the order given. In a folder names are sorted by their bytes at each level;
 * links are followed, but each folder is entered once. A shard is a tar; its entries keep their
 * order, and its links and special files are problems.
 *
 * A shard that is compressed with gzip, xz, zstd or bzip2 is unpacked into a file without a name in
 * $TMPDIR, or /var/tmp, which lasts as long as the source is open. It is a failure if that takes
 * more than half of the room there, or more than 64 MiB and 100 times what the shard has (it is a
 * bomb then), or if it is compressed more than once.
 *
 * A sample is what has a picture's name (.jpg .jpeg .jpe .jfif .png, in any case), or else begins
 * like a JPEG or PNG. Hidden files (".name") and all else are counted in `others`,
 * and the entries .cls of shards kept in `classes` as well.
 *
 * A source that is missing, unreadable, of another kind, or without samples is a failure, after
 * which nothing is open. */
Status source_open(Arena *arena, const char *const *paths, size_t count, Source *source);

/* Gives back the room of unpacked shards, whose samples nobody reads any more. What is in memory is
 * the arena's. */
void source_close(Source *source);

/* Reads a sample's bytes into the arena. The failure is a reason without the sample's name. */
Status source_read(Arena *arena, const SourceSample *sample, const uint8_t **bytes, size_t *length);

#endif
