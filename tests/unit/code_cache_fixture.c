#include "tests/unit/code_cache_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

CacheFixture cache_fixture_create(int64_t limit) {
    CacheFixture fixture = {.arena = arena_create()};
    const char *base = getenv("TMPDIR");
    char *folder = arena_format(fixture.arena, "%s/code-cache-XXXXXX", base ? base : "/tmp");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    fixture.folder = folder;
    Status status = code_cache_open(fixture.arena, folder, limit, &fixture.cache);
    CU_ASSERT_FATAL(status_fine(status));
    return fixture;
}

void cache_fixture_destroy(CacheFixture *fixture) {
    DIR *files = opendir(fixture->folder);
    for (struct dirent *file; files && (file = readdir(files)) != NULL;)
        if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0)
            remove(cache_fixture_path(fixture, file->d_name));
    if (files)
        closedir(files);
    code_cache_close(fixture->cache);
    CU_ASSERT_EQUAL(rmdir(fixture->folder), 0);
    arena_destroy(fixture->arena);
}

const char *cache_fixture_path(const CacheFixture *fixture, const char *name) {
    return arena_format(fixture->arena, "%s/%s", fixture->folder, name);
}

const char *cache_fixture_entry(const CacheFixture *fixture, const char *key) {
    char digits[CODE_HASH_DIGITS + 1];
    code_cache_hash(key, strlen(key), digits);
    return arena_format(fixture->arena, "%s/%s.code", fixture->folder, digits);
}

int cache_fixture_count(const CacheFixture *fixture, const char *prefix) {
    int count = 0;
    DIR *files = opendir(fixture->folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(files);
    for (struct dirent *file; (file = readdir(files)) != NULL;)
        count += file->d_type == DT_REG && text_starts_with(file->d_name, prefix);
    closedir(files);
    return count;
}

char *cache_fixture_load(const CacheFixture *fixture, const char *path, size_t *size) {
    const char *error = NULL;
    char *bytes = text_read_file(fixture->arena, path, (size_t)1 << 30, size, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    return bytes;
}

void cache_fixture_store(const char *path, const char *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(bytes, 1, size, file), size);
    CU_ASSERT_EQUAL(fclose(file), 0);
}
