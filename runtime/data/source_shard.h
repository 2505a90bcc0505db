/* Between source.c, the reader of shards and what unpacks them. Nothing else includes it. */
#ifndef SPARKC_RUNTIME_DATA_SOURCE_SHARD_H
#define SPARKC_RUNTIME_DATA_SOURCE_SHARD_H

#include "runtime/data/source.h"

/* A source that grows. */
typedef struct SourceList {
    Arena *arena;
    Source *source;
} SourceList;

/* Takes a sample, or counts it among the others by its name and first bytes. */
void source_add(SourceList *list, SourceSample sample);

/* Adds a problem; both texts are copied. */
void source_add_problem(SourceList *list, const char *name, const char *reason);

/* Adds the entries of a tar, compressed or not. The file's beginning decides whether it is one;
 * damage behind that is a problem. */
Status source_add_shard(SourceList *list, const char *path);

/* Appends what a compressed file holds to the source's copy, which is made with the first one; what
 * stands before damage is kept, and the damage a problem. *compressed is false, and nothing done,
 * where the file is not compressed or cannot be opened. Limits are those of source_open. */
Status source_unpack(SourceList *list, const char *path, bool *compressed);

#endif
