/* A cache in a folder of its own, gone at the end. */
#ifndef SPARKC_TESTS_UNIT_CODE_CACHE_FIXTURE_H
#define SPARKC_TESTS_UNIT_CODE_CACHE_FIXTURE_H

#include "codegen/cpu/cache.h"
#include "tests/unit/harness.h"

typedef struct CacheFixture {
    Arena *arena;
    const char *folder;
    CodeCache *cache;
} CacheFixture;

/* An open cache in a new folder. */
CacheFixture cache_fixture_create(int64_t limit);
void cache_fixture_destroy(CacheFixture *fixture);

/* The path of a key's entry; of any name in the folder. */
const char *cache_fixture_entry(const CacheFixture *fixture, const char *key);
const char *cache_fixture_path(const CacheFixture *fixture, const char *name);

/* Files in the folder whose names start with `prefix`. */
int cache_fixture_count(const CacheFixture *fixture, const char *prefix);

/* All bytes of a file; ends the test if it cannot be read. */
char *cache_fixture_load(const CacheFixture *fixture, const char *path, size_t *size);
void cache_fixture_store(const char *path, const char *bytes, size_t size);

extern CU_TestInfo code_cache_entry_tests[], code_cache_folder_tests[], code_cache_compile_tests[];

#endif
