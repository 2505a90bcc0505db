/* The JSON beside recorded vectors: a case's settings. It is not trusted: a missing or wrong entry
 * is a failure that names the file and the entry. A path names an entry by keys and indices joined
 * by dots, "optimizer.betas.0". */
#ifndef SPARKC_TOOLS_VERIFY_CASE_H
#define SPARKC_TOOLS_VERIFY_CASE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct Case {
    Arena *arena;
    const char *path; /* of the JSON file */
    json_t *root;     /* owned by the case */
} Case;

/* Reads a JSON file; the caller releases it with case_close. */
Status case_open(Arena *arena, const char *path, Case *opened);
void case_close(Case *opened);

/* The entry at a path, or NULL. Keys that hold dots themselves cannot be reached. */
json_t *case_find(const Case *from, const char *path);

/* Entries that must be there, of that kind. A whole number must lie in least .. most. */
Status case_number(const Case *from, const char *path, double *value);
Status case_integer(const Case *from, const char *path, int64_t least, int64_t most,
                    int64_t *value);
Status case_text(const Case *from, const char *path, const char **value);

/* Reads up to `limit` whole numbers from 1 to 2^31 - 1: a shape. */
Status case_shape(const Case *from, const char *path, int limit, int *rank, int64_t *shape);

/* True if the list of texts at a path holds `text`; false too if there is no list. */
bool case_lists(const Case *from, const char *path, const char *text);

#endif
