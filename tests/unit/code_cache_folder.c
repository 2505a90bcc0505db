/* Which folders are used, and how full they get. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/code_cache_fixture.h"

static bool opens(const CacheFixture *fixture, const char *folder) {
    CodeCache *cache = NULL;
    Status status = code_cache_open(fixture->arena, folder, CODE_CACHE_LIMIT, &cache);
    code_cache_close(cache);
    if (!status_fine(status))
        CU_ASSERT_PTR_NOT_NULL(strstr(status.message, folder));
    return status_fine(status);
}

static void uses_no_folder_that_others_may_write(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    static const struct {
        mode_t mode;
        bool used;
    } modes[] = {{0777, false},  {0702, false}, {0770, false},
                 {01777, false}, {0755, true},  {0700, true}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        CU_ASSERT_EQUAL(chmod(fixture.folder, modes[i].mode), 0);
        CU_ASSERT_EQUAL(opens(&fixture, fixture.folder), modes[i].used);
    }
    cache_fixture_destroy(&fixture);
}

/* Only root can give a folder away. */
static void uses_no_folder_of_another_user(void) {
    if (geteuid() != 0)
        return;
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    CU_ASSERT_EQUAL(chown(fixture.folder, 12345, (gid_t)-1), 0);
    CU_ASSERT_FALSE(opens(&fixture, fixture.folder));
    CU_ASSERT_EQUAL(chown(fixture.folder, 0, (gid_t)-1), 0);
    cache_fixture_destroy(&fixture);
}

static void makes_folders_for_its_user_alone(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    const char *outer = cache_fixture_path(&fixture, "a"),
               *inner = cache_fixture_path(&fixture, "a/b");
    struct stat status;
    CU_ASSERT_TRUE(opens(&fixture, inner));
    CU_ASSERT_EQUAL(stat(inner, &status), 0);
    CU_ASSERT_EQUAL(status.st_mode & 0777, 0700);
    CU_ASSERT_EQUAL(rmdir(inner), 0);
    CU_ASSERT_EQUAL(rmdir(outer), 0);
    cache_fixture_destroy(&fixture);
}

static void says_which_folder_cannot_be_made(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    const char *file = cache_fixture_path(&fixture, "file");
    cache_fixture_store(file, "", 0);
    CU_ASSERT_FALSE(opens(&fixture, file));
    CU_ASSERT_FALSE(opens(&fixture, cache_fixture_path(&fixture, "file/cache")));
    CU_ASSERT_FALSE(opens(&fixture, ""));
    cache_fixture_destroy(&fixture);
}

static void finds_the_users_folder(void) {
    static const struct {
        const char *cache, *home, *expected;
    } rows[] = {{"/c", "/h", "/c/sparkc"},
                {"relative", "/h", "/h/.cache/sparkc"},
                {NULL, "/h", "/h/.cache/sparkc"},
                {NULL, "relative", NULL},
                {NULL, NULL, NULL}};
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rows[i].cache ? setenv("XDG_CACHE_HOME", rows[i].cache, 1) : unsetenv("XDG_CACHE_HOME");
        rows[i].home ? setenv("HOME", rows[i].home, 1) : unsetenv("HOME");
        const char *found = code_cache_default_directory(arena);
        CU_ASSERT_EQUAL_FATAL(found == NULL, rows[i].expected == NULL);
        if (found)
            CU_ASSERT_STRING_EQUAL(found, rows[i].expected);
    }
    arena_destroy(arena);
}

static void set_age(const char *path, time_t seconds) {
    struct timespec now, times[2];
    clock_gettime(CLOCK_REALTIME, &now);
    times[0] = times[1] = (struct timespec){now.tv_sec - seconds, 0};
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
}

enum { ENTRIES = 10, CODE_BYTES = 1000, ROOM_FOR = 4 };

static const char *number_key(Arena *arena, int number) {
    return arena_format(arena, "key %02d", number);
}

/* All entries are equally large; number 0 is the oldest unless it was read. */
static void lets_the_entries_go_that_were_not_used_for_longest(void) {
    char code[CODE_BYTES] = {1};
    CacheFixture fixture = cache_fixture_create(ROOM_FOR * (CODE_BYTES + 150));
    Object found;
    for (int i = 0; i < ENTRIES; i++) {
        const char *key = number_key(fixture.arena, i);
        code_cache_write(fixture.cache, key, (Object){code, sizeof code});
        set_age(cache_fixture_entry(&fixture, key), 100 * (ENTRIES - i));
    }
    CU_ASSERT_TRUE(code_cache_read(fixture.cache, number_key(fixture.arena, 0), &found));
    object_destroy(&found);
    code_cache_trim(fixture.cache);
    CU_ASSERT_EQUAL(code_cache_size(fixture.cache).entries, ROOM_FOR);
    for (int i = 0; i < ENTRIES; i++) {
        bool there = code_cache_read(fixture.cache, number_key(fixture.arena, i), &found);
        CU_ASSERT_EQUAL(there, i == 0 || i > ENTRIES - ROOM_FOR);
        if (there)
            object_destroy(&found);
    }
    cache_fixture_destroy(&fixture);
}

static void removes_what_was_abandoned_and_nothing_foreign(void) {
    CacheFixture fixture = cache_fixture_create(0);
    const char *old = cache_fixture_path(&fixture, ".new-1-x"),
               *fresh = cache_fixture_path(&fixture, ".new-2-x"),
               *foreign = cache_fixture_path(&fixture, "notes.txt");
    cache_fixture_store(old, "x", 1);
    cache_fixture_store(fresh, "x", 1);
    cache_fixture_store(foreign, "x", 1);
    set_age(old, 100000);
    set_age(foreign, 100000);
    code_cache_trim(fixture.cache);
    CU_ASSERT_NOT_EQUAL(access(old, F_OK), 0);
    CU_ASSERT_EQUAL(access(fresh, F_OK), 0);
    CU_ASSERT_EQUAL(access(foreign, F_OK), 0);
    cache_fixture_destroy(&fixture);
}

CU_TestInfo code_cache_folder_tests[] = {
    {"uses no folder that others may write", uses_no_folder_that_others_may_write},
    {"uses no folder of another user", uses_no_folder_of_another_user},
    {"makes folders for its user alone", makes_folders_for_its_user_alone},
    {"says which folder cannot be made", says_which_folder_cannot_be_made},
    {"finds the user's folder", finds_the_users_folder},
    {"lets the entries go that were not used for longest",
     lets_the_entries_go_that_were_not_used_for_longest},
    {"removes what was abandoned and nothing foreign",
     removes_what_was_abandoned_and_nothing_foreign},
    CU_TEST_INFO_NULL,
};
