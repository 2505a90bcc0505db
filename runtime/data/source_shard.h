/* Between source.c and the reader of shards. Nothing else includes it. */
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

/* Adds the entries of an uncompressed tar. The file's beginning decides whether it is one; damage
 * behind that is a problem. */
Status source_add_shard(SourceList *list, const char *path);

#endif
