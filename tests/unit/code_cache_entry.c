/* What is taken from the cache, and what is not. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/code_cache_fixture.h"

static const char key[] = "triple x\nkernel map dense2\n";
static char code[] = "\177ELF and some code\0with zeros\n";
static const Object object = {code, sizeof code};

static bool reads(const CacheFixture *fixture, const char *wanted, Object expected) {
    Object found;
    if (!code_cache_read(fixture->cache, wanted, &found))
        return false;
    CU_ASSERT_EQUAL_FATAL(found.size, expected.size);
    CU_ASSERT_EQUAL(memcmp(found.bytes, expected.bytes, found.size), 0);
    object_destroy(&found);
    return true;
}

static void gives_back_what_was_written(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    CU_ASSERT_FALSE(reads(&fixture, key, object));
    code_cache_write(fixture.cache, key, object);
    CU_ASSERT_TRUE(reads(&fixture, key, object));
    CU_ASSERT_FALSE(reads(&fixture, "another key", object));
    CU_ASSERT_EQUAL(cache_fixture_count(&fixture, ".new-"), 0);
    CU_ASSERT_EQUAL(code_cache_size(fixture.cache).entries, 1);
    cache_fixture_destroy(&fixture);
}

static void takes_no_entry_with_a_changed_byte(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    code_cache_write(fixture.cache, key, object);
    const char *path = cache_fixture_entry(&fixture, key);
    size_t size;
    char *bytes = cache_fixture_load(&fixture, path, &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 1;
        cache_fixture_store(path, bytes, size);
        CU_ASSERT_FALSE(reads(&fixture, key, object));
        bytes[i] ^= 1;
    }
    cache_fixture_store(path, bytes, size);
    CU_ASSERT_TRUE(reads(&fixture, key, object));
    cache_fixture_destroy(&fixture);
}

static void takes_no_entry_of_another_length(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    code_cache_write(fixture.cache, key, object);
    const char *path = cache_fixture_entry(&fixture, key);
    size_t size;
    char *bytes = cache_fixture_load(&fixture, path, &size);
    for (size_t length = 0; length <= size + 1; length++) {
        cache_fixture_store(path, bytes, length);
        CU_ASSERT_EQUAL(reads(&fixture, key, object), length == size);
    }
    cache_fixture_destroy(&fixture);
}

/* As if two keys had the same hash. */
static void takes_no_entry_of_another_key(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    static const char longer[] = "triple x\nkernel map dense2\nstage 1";
    code_cache_write(fixture.cache, key, object);
    size_t size;
    char *bytes = cache_fixture_load(&fixture, cache_fixture_entry(&fixture, key), &size);
    cache_fixture_store(cache_fixture_entry(&fixture, "triple y\nkernel map dense2\n"), bytes,
                        size);
    cache_fixture_store(cache_fixture_entry(&fixture, longer), bytes, size);
    CU_ASSERT_FALSE(reads(&fixture, "triple y\nkernel map dense2\n", object));
    CU_ASSERT_FALSE(reads(&fixture, longer, object));
    cache_fixture_destroy(&fixture);
}

static void takes_only_files_that_nobody_else_may_write(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    code_cache_write(fixture.cache, key, object);
    const char *path = cache_fixture_entry(&fixture, key);
    CU_ASSERT_EQUAL(chmod(path, 0602), 0);
    CU_ASSERT_FALSE(reads(&fixture, key, object));
    CU_ASSERT_EQUAL(chmod(path, 0600), 0);
    CU_ASSERT_TRUE(reads(&fixture, key, object));
    const char *elsewhere = cache_fixture_path(&fixture, "elsewhere");
    CU_ASSERT_EQUAL(rename(path, elsewhere), 0);
    CU_ASSERT_EQUAL(symlink(elsewhere, path), 0);
    CU_ASSERT_FALSE(reads(&fixture, key, object));
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
    CU_ASSERT_FALSE(reads(&fixture, key, object));
    cache_fixture_destroy(&fixture);
}

static void replaces_a_damaged_entry(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    cache_fixture_store(cache_fixture_entry(&fixture, key), "rubbish", 7);
    CU_ASSERT_FALSE(reads(&fixture, key, object));
    code_cache_write(fixture.cache, key, object);
    CU_ASSERT_TRUE(reads(&fixture, key, object));
    cache_fixture_destroy(&fixture);
}

/* In a process of its own: the limit of file sizes stands for a full disk. */
static int write_without_room(const CacheFixture *fixture) {
    struct rlimit limit = {.rlim_cur = 10, .rlim_max = 10};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    code_cache_write(fixture->cache, key, object);
    return 0;
}

static void leaves_nothing_where_there_is_no_room(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0)
        _exit(write_without_room(&fixture));
    int status;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_EQUAL(cache_fixture_count(&fixture, ""), 0);
    cache_fixture_destroy(&fixture);
}

enum { PROCESSES = 4, KEYS = 8, ROUNDS = 60, LENGTH = 40000 };

/* Reads are right or find nothing; returns what was wrong. */
static int hammer(const CacheFixture *fixture) {
    char *bytes = malloc(LENGTH);
    int wrong = bytes == NULL;
    for (int i = 0; bytes && i < ROUNDS * KEYS; i++) {
        char name[] = {(char)('a' + i % KEYS), '\0'};
        Object found, mine = {bytes, LENGTH - (size_t)(i % KEYS)};
        memset(bytes, name[0], LENGTH);
        if (i % 3 == 0)
            code_cache_write(fixture->cache, name, mine);
        if (!code_cache_read(fixture->cache, name, &found))
            continue;
        wrong += found.size != mine.size || memcmp(found.bytes, bytes, mine.size) != 0;
        object_destroy(&found);
    }
    free(bytes);
    return wrong != 0;
}

static void serves_several_processes_at_once(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        CU_ASSERT_FATAL(children[i] >= 0);
        if (children[i] == 0)
            _exit(hammer(&fixture));
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        CU_ASSERT_EQUAL(waitpid(children[i], &status, 0), children[i]);
        CU_ASSERT_EQUAL(status, 0);
    }
    CU_ASSERT_EQUAL(code_cache_size(fixture.cache).entries, KEYS);
    CU_ASSERT_EQUAL(cache_fixture_count(&fixture, ".new-"), 0);
    cache_fixture_destroy(&fixture);
}

CU_TestInfo code_cache_entry_tests[] = {
    {"gives back what was written", gives_back_what_was_written},
    {"takes no entry with a changed byte", takes_no_entry_with_a_changed_byte},
    {"takes no entry of another length", takes_no_entry_of_another_length},
    {"takes no entry of another key", takes_no_entry_of_another_key},
    {"takes only files that nobody else may write", takes_only_files_that_nobody_else_may_write},
    {"replaces a damaged entry", replaces_a_damaged_entry},
    {"leaves nothing where there is no room", leaves_nothing_where_there_is_no_room},
    {"serves several processes at once", serves_several_processes_at_once},
    CU_TEST_INFO_NULL,
};
