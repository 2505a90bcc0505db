/* A folder of a test's own, and what the tests of files share. */
#ifndef SPARKC_TESTS_UNIT_STORE_FIXTURE_H
#define SPARKC_TESTS_UNIT_STORE_FIXTURE_H

#include <stddef.h>

#include "base/status.h"

typedef struct Store {
    Arena *arena;
    const char *folder;
} Store;

/* An arena and an empty folder; store_end destroys both. */
Store store_begin(void);
void store_end(Store *store);

/* The path of a name in the folder. */
const char *store_path(const Store *store, const char *name);

/* Writes a whole file; reads one (CUnit fails if it cannot be). */
void store_write(const char *path, const void *bytes, size_t length);
char *store_read(const Store *store, const char *path, size_t *length);

/* True if the file's text is `text`. */
bool store_holds(const Store *store, const char *path, const char *text);

/* The number of entries of a folder, without "." and "..". */
size_t store_count(const char *folder);

/* Asserts a failure whose message holds `words`. */
void store_expect_failure(Status status, const char *words);

/* Runs `body` in a process of its own: its result, 0 to 255, or -1 if a signal ended it. */
typedef int StoreBody(void *context);
int store_run(StoreBody *body, void *context);

/* For such processes. Each is false where the machine does not allow it, and says so on stdout. */
bool store_become_nobody(void);             /* without root's right to write anywhere */
bool store_limit_files(size_t bytes);       /* writing beyond it fails as on a full disk */
bool store_mount_small(const char *folder); /* a file system of 256 KiB, gone with the process */

#endif
