/* Files that are replaced whole, appended to, read; folders. */
#include <CUnit/CUnit.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/file.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_suites.h"

static void writes_pieces_in_order(void) {
    Store store = store_begin();
    const char *path = store_path(&store, "a");
    FilePiece pieces[] = {{"one ", 4}, {NULL, 0}, {"two ", 4}, {"three", 5}};
    mode_t mask = umask(077);
    CU_ASSERT_TRUE(status_fine(file_replace(store.arena, path, pieces, 4)));
    umask(mask);
    CU_ASSERT_TRUE(store_holds(&store, path, "one two three"));
    struct stat info;
    CU_ASSERT_EQUAL(stat(path, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 07777, 0644);
    CU_ASSERT_TRUE(status_fine(file_replace(store.arena, path, pieces, 0)));
    CU_ASSERT_TRUE(store_holds(&store, path, ""));
    CU_ASSERT_EQUAL(store_count(store.folder), 1);
    store_end(&store);
}

static void replaces_a_link_and_not_its_target(void) {
    Store store = store_begin();
    const char *path = store_path(&store, "link"), *target = store_path(&store, "target");
    FilePiece piece = {"new", 3};
    store_write(target, "old", 3);
    CU_ASSERT_EQUAL(symlink("target", path), 0);
    CU_ASSERT_TRUE(status_fine(file_replace(store.arena, path, &piece, 1)));
    CU_ASSERT_TRUE(store_holds(&store, path, "new"));
    CU_ASSERT_TRUE(store_holds(&store, target, "old"));
    store_end(&store);
}

static void fails_where_it_cannot_write(void) {
    Store store = store_begin();
    FilePiece piece = {"new", 3};
    CU_ASSERT_EQUAL(mkdir(store_path(&store, "folder"), 0755), 0);
    store_write(store_path(&store, "file"), "old", 3);
    store_expect_failure(
        file_replace(store.arena, store_path(&store, "folder"), &piece, 1),
        arena_format(store.arena, "%s/folder: cannot be written: Is a directory", store.folder));
    store_expect_failure(file_replace(store.arena, store_path(&store, "none/x"), &piece, 1),
                         "none/x: cannot be written: its folder: No such file or directory");
    store_expect_failure(file_replace(store.arena, store_path(&store, "file/x"), &piece, 1),
                         "file/x: cannot be written: its folder: Not a directory");
    CU_ASSERT_EQUAL(mkfifo(store_path(&store, "pipe"), 0644), 0);
    store_expect_failure(file_replace(store.arena, store_path(&store, "pipe"), &piece, 1),
                         "pipe: cannot be written: it is a device or a pipe");
    CU_ASSERT_EQUAL(store_count(store.folder), 3);
    store_end(&store);
}

/* What a process without rights sees: 0 if the file is as it was and the reason is named. */
static int replace_as_nobody(void *context) {
    const Store *store = context;
    FilePiece piece = {"new", 3};
    if (!store_become_nobody())
        return 0;
    Status status = file_replace(store->arena, store_path(store, "a"), &piece, 1);
    if (status_fine(status) || !strstr(status.message, "a: cannot be written: Permission denied"))
        return 1;
    status = file_make_folder(store->arena, store_path(store, "b/c"));
    if (status_fine(status) ||
        !strstr(status.message, "b: the folder cannot be made: Permission denied"))
        return 2;
    return store_holds(store, store_path(store, "a"), "old") && store_count(store->folder) == 1 ? 0
                                                                                                : 3;
}

static void leaves_an_unwritable_folder_alone(void) {
    Store store = store_begin();
    store_write(store_path(&store, "a"), "old", 3);
    CU_ASSERT_EQUAL(chmod(store.folder, 0555), 0);
    CU_ASSERT_EQUAL(store_run(replace_as_nobody, &store), 0);
    CU_ASSERT_EQUAL(chmod(store.folder, 0755), 0);
    store_end(&store);
}

enum { LARGE = 1 << 20 };

static int replace_with_much(const Store *store, const char *reason) {
    char *bytes = arena_alloc(store->arena, LARGE, 1);
    FilePiece pieces[] = {{"new", 3}, {bytes, LARGE}};
    Status status = file_replace(store->arena, store_path(store, "a"), pieces, 2);
    if (status_fine(status) || !strstr(status.message, reason))
        return 1;
    return store_holds(store, store_path(store, "a"), "old") && store_count(store->folder) == 1 ? 0
                                                                                                : 2;
}

static int replace_beyond_a_limit(void *context) {
    return store_limit_files(1000) ? replace_with_much(context, "File too large") : 0;
}

static int replace_on_a_full_disk(void *context) {
    const Store *store = context;
    if (!store_mount_small(store->folder))
        return 0;
    store_write(store_path(store, "a"), "old", 3);
    return replace_with_much(context, "cannot be written: No space left on device");
}

static void keeps_the_old_file_on_a_full_disk(void) {
    Store store = store_begin();
    CU_ASSERT_EQUAL(store_run(replace_on_a_full_disk, &store), 0);
    store_write(store_path(&store, "a"), "old", 3);
    CU_ASSERT_EQUAL(store_run(replace_beyond_a_limit, &store), 0);
    store_end(&store);
}

static void removes_only_temporary_files(void) {
    static const char *const names[] = {"a.sparkc-Ab3xYz", "a",       ".sparkc-Ab3xYz",
                                        "a.sparkc-Ab3x",   "a.b.tmp", "a.sparkc-Ab3x.z"};
    Store store = store_begin();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        store_write(store_path(&store, names[i]), "", 0);
    file_remove_temporaries(store.folder);
    CU_ASSERT_NOT_EQUAL(access(store_path(&store, names[0]), F_OK), 0);
    CU_ASSERT_EQUAL(store_count(store.folder), sizeof names / sizeof *names - 1);
    file_remove_temporaries(store_path(&store, "none"));
    store_end(&store);
}

static void reads_up_to_a_limit(void) {
    Store store = store_begin();
    char *bytes;
    size_t length;
    store_write(store_path(&store, "a"), "12345", 5);
    CU_ASSERT_TRUE_FATAL(
        status_fine(file_read(store.arena, store_path(&store, "a"), 5, &bytes, &length)));
    CU_ASSERT_EQUAL(length, 5);
    CU_ASSERT_STRING_EQUAL(bytes, "12345");
    store_expect_failure(file_read(store.arena, store_path(&store, "a"), 4, &bytes, &length),
                         "a: is larger than 4 bytes");
    store_expect_failure(file_read(store.arena, store_path(&store, "b"), 4, &bytes, &length),
                         "b: No such file or directory");
    store_expect_failure(file_read(store.arena, store.folder, 4, &bytes, &length), "folder");
    store_end(&store);
}

static void makes_folders(void) {
    Store store = store_begin();
    Arena *arena = store.arena;
    CU_ASSERT_TRUE(status_fine(file_make_folder(arena, store_path(&store, "a//b/c/"))));
    CU_ASSERT_TRUE(status_fine(file_make_folder(arena, store_path(&store, "a/b"))));
    CU_ASSERT_TRUE(status_fine(file_make_folder(arena, ".")));
    CU_ASSERT_TRUE(status_fine(file_make_folder(arena, "/")));
    CU_ASSERT_EQUAL(store_count(store_path(&store, "a/b")), 1);
    store_write(store_path(&store, "file"), "", 0);
    store_expect_failure(file_make_folder(arena, store_path(&store, "file")),
                         "file: is there, but is not a folder");
    store_expect_failure(file_make_folder(arena, store_path(&store, "file/x")), "Not a directory");
    CU_ASSERT_EQUAL(symlink("none", store_path(&store, "link")), 0);
    store_expect_failure(file_make_folder(arena, store_path(&store, "link/x")), "link");
    store_expect_failure(file_make_folder(arena, ""), "cannot be made");
    store_end(&store);
}

static int append_beyond_a_limit(void *context) {
    const Store *store = context;
    const char *path = store_path(store, "a");
    int descriptor = open(path, O_WRONLY | O_APPEND);
    if (!store_limit_files(10))
        return 0;
    if (!status_fine(file_append(store->arena, path, descriptor, "12345", 5)))
        return 1;
    Status status = file_append(store->arena, path, descriptor, "67890", 5);
    if (status_fine(status) || !strstr(status.message, "a: cannot be written: File too large"))
        return 2;
    if (!status_fine(file_append(store->arena, path, descriptor, "xy", 2)))
        return 3;
    return store_holds(store, path, "old12345xy") ? 0 : 4;
}

static void appends_all_or_nothing(void) {
    Store store = store_begin();
    store_write(store_path(&store, "a"), "old", 3);
    CU_ASSERT_EQUAL(store_run(append_beyond_a_limit, &store), 0);
    store_end(&store);
}

CU_TestInfo store_file_tests[] = {
    {"writes pieces in order", writes_pieces_in_order},
    {"replaces a link and not its target", replaces_a_link_and_not_its_target},
    {"fails where it cannot write", fails_where_it_cannot_write},
    {"leaves an unwritable folder alone", leaves_an_unwritable_folder_alone},
    {"keeps the old file on a full disk", keeps_the_old_file_on_a_full_disk},
    {"removes only temporary files", removes_only_temporary_files},
    {"reads up to a limit", reads_up_to_a_limit},
    {"makes folders", makes_folders},
    {"appends all or nothing", appends_all_or_nothing},
    CU_TEST_INFO_NULL,
};
