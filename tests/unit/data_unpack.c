/* Compressed shards: the same pictures as in those that are not; bombs, damage, no room. */
#include <archive.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/data/fingerprint.h"
#include "runtime/data/labels.h"
#include "tests/support/folder.h"
#include "tests/unit/data_suites.h"
#include "tests/unit/store_fixture.h"

static const int filters[] = {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_ZSTD,
                              ARCHIVE_FILTER_BZIP2};

enum { FILTERS = sizeof filters / sizeof *filters, FILES = 5, MEBI = 1 << 20 };

static const ShardEntry entries[FILES] = {{"one_1.jpg", "the first", 0, 0},
                                          {"one_1.cls", "4", 0, 0},
                                          {"notes.txt", "text", 0, 0},
                                          {"two_2.png", "second", 0, 0},
                                          {"three_3.jpg", "third", 0, 0}};

/* A folder for a test, in which unpacked shards go to "temporary". */
static Folder begin(void) {
    Folder folder = folder_create();
    const char *temporary = folder_inside(folder, "temporary");
    invariant(mkdir(temporary, 0777) == 0 && setenv("TMPDIR", temporary, 1) == 0, "no folder");
    return folder;
}

static void end(Folder folder) {
    unsetenv("TMPDIR");
    folder_destroy(folder);
}

static const char *put_shard(Folder folder, const char *name, int filter) {
    return folder_write_shard(folder, name, 0, filter, entries, FILES);
}

static void check_bytes(const SourceSample *sample, const char *expected) {
    Arena *arena = arena_create();
    const uint8_t *bytes;
    size_t length;
    Status status = source_read(arena, sample, &bytes, &length);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    CU_ASSERT(length == strlen(expected) && memcmp(bytes, expected, length) == 0);
    arena_destroy(arena);
}

/* The three pictures, from the sample of number `first` on. */
static void check_pictures(const Source *source, size_t first) {
    static const char *const texts[] = {"the first", "second", "third"};
    CU_ASSERT_FATAL(source->samples.count >= first + 3);
    for (size_t i = 3; i > 0; i--)
        check_bytes(&source->samples.items[first + i - 1], texts[i - 1]);
}

static void compressed_shards_are_read(void) {
    for (int i = 0; i < FILTERS; i++) {
        Folder folder = begin();
        Source source;
        size_t descriptors = store_count("/proc/self/fd");
        const char *path = put_shard(folder, "a.tar.z", filters[i]);
        CU_ASSERT_PTR_NULL_FATAL(source_open(folder.arena, &path, 1, &source).message);
        CU_ASSERT_EQUAL(source.samples.count, 3);
        CU_ASSERT(source.others == 2 && source.classes.count == 1);
        CU_ASSERT_EQUAL(source.problems.count, 0);
        CU_ASSERT(text_ends_with(source.samples.items[1].name, "/a.tar.z/two_2.png"));
        check_pictures(&source, 0);
        check_bytes(&source.classes.items[0], "4");
        CU_ASSERT_EQUAL(store_count(folder_inside(folder, "temporary")), 0);
        source_close(&source);
        CU_ASSERT_EQUAL(store_count("/proc/self/fd"), descriptors);
        end(folder);
    }
}

static void shards_of_all_kinds_go_together(void) {
    Folder folder = begin();
    Source source;
    size_t descriptors = store_count("/proc/self/fd");
    const char *paths[] = {put_shard(folder, "a.tgz", ARCHIVE_FILTER_GZIP),
                           put_shard(folder, "b.tar", ARCHIVE_FILTER_NONE),
                           put_shard(folder, "c.tar.xz", ARCHIVE_FILTER_XZ),
                           put_shard(folder, "d.tar.zst", ARCHIVE_FILTER_ZSTD)};
    CU_ASSERT_PTR_NULL_FATAL(source_open(folder.arena, paths, 4, &source).message);
    CU_ASSERT_EQUAL(source.samples.count, 12);
    for (size_t first = 0; first < 12; first += 3)
        check_pictures(&source, first);
    CU_ASSERT_EQUAL(store_count("/proc/self/fd"), descriptors + 1);
    source_close(&source);
    end(folder);
}

/* Two with .cls, one of which is not compressed, and two without. */
static void labels_of_compressed_shards_are_found(void) {
    static const ShardEntry named[] = {{"cat_1.jpg", "x", 0, 0}, {"dog_1.jpg", "x", 0, 0}};
    static const ShardEntry numbered[] = {{"a_1.jpg", "x", 0, 0}, {"a_1.cls", "17", 0, 0}};
    static const char *const expected[] = {"17", "cat", "dog", "17", "cat", "dog"};
    Folder folder = begin();
    Source source;
    Labels labels;
    const char *paths[] = {folder_write_shard(folder, "a.tgz", 0, filters[0], numbered, 2),
                           folder_write_shard(folder, "b.tgz", 0, filters[0], named, 2),
                           folder_write_shard(folder, "c.tar", 0, 0, numbered, 2),
                           folder_write_shard(folder, "d.txz", 0, filters[1], named, 2)};
    CU_ASSERT_PTR_NULL_FATAL(source_open(folder.arena, paths, 4, &source).message);
    CU_ASSERT_PTR_NULL_FATAL(labels_read(folder.arena, &source, &labels).message);
    CU_ASSERT_EQUAL_FATAL(labels.count, 6);
    for (size_t i = 0; i < 6; i++)
        CU_ASSERT_STRING_EQUAL(labels.names[labels.classes[i]], expected[i]);
    source_close(&source);
    end(folder);
}

static const char *fingerprint(Folder folder, int filter) {
    Source source;
    const char *path = put_shard(folder, "same-name", filter);
    CU_ASSERT_PTR_NULL_FATAL(source_open(folder.arena, &path, 1, &source).message);
    const char *text = data_fingerprint(folder.arena, &source);
    source_close(&source);
    return text;
}

static void the_fingerprint_is_that_of_the_pictures(void) {
    Folder folder = begin();
    const char *plain = fingerprint(folder, ARCHIVE_FILTER_NONE);
    for (int i = 0; i < FILTERS; i++)
        CU_ASSERT_STRING_EQUAL(fingerprint(folder, filters[i]), plain);
    end(folder);
}

static void check_refusal(Folder folder, const char *path, const char *words) {
    Source source;
    size_t descriptors = store_count("/proc/self/fd");
    Status status = source_open(folder.arena, &path, 1, &source);
    store_expect_failure(status, words);
    CU_ASSERT(text_starts_with(status.message, path));
    CU_ASSERT_EQUAL(store_count("/proc/self/fd"), descriptors);
    CU_ASSERT_EQUAL(store_count(folder_inside(folder, "temporary")), 0);
}

/* An entry of 80 MiB of one letter, and as much that is no tar. */
static void bombs_are_refused(void) {
    enum { SIZE = 80 * MEBI };
    Folder folder = begin();
    char *text = malloc(SIZE);
    invariant(text, "no memory");
    memset(text, 'a', SIZE);
    ShardEntry bomb = {"a.jpg", text, 0, SIZE};
    for (int i = 0; i < FILTERS; i++)
        check_refusal(folder, folder_write_shard(folder, "bomb", 0, filters[i], &bomb, 1),
                      "unpacks to more than 100 times its size");
    check_refusal(folder, folder_write_compressed(folder, "zeros", filters[0], text, SIZE),
                  "unpacks to more than 100 times its size");
    free(text);
    end(folder);
}

/* Below 64 MiB anything goes, and above it what is not out of the ordinary. */
static void what_merely_packs_well_is_read(void) {
    enum { SIZE = 40 * MEBI, NOISE = 2 * MEBI };
    Folder folder = begin();
    Source source;
    char *text = malloc(SIZE);
    invariant(text, "no memory");
    memset(text, 'a', SIZE);
    ShardEntry large[2] = {{"a.jpg", text, 0, SIZE}, {"b.jpg", text, 0, SIZE}};
    const char *path = folder_write_shard(folder, "a.tgz", 0, filters[0], large, 1);
    CU_ASSERT_PTR_NULL(source_open(folder.arena, &path, 1, &source).message);
    source_close(&source);
    uint32_t state = 1;
    for (size_t i = 0; i < NOISE; i++) {
        state = state * 1664525 + 1013904223;
        text[i] = (char)(state >> 24);
    }
    path = folder_write_shard(folder, "a.tgz", 0, filters[0], large, 2);
    CU_ASSERT_PTR_NULL(source_open(folder.arena, &path, 1, &source).message);
    source_close(&source);
    free(text);
    end(folder);
}

static void compressed_twice_is_refused(void) {
    Folder folder = begin();
    const char *once = put_shard(folder, "once", filters[0]), *error;
    size_t length;
    const char *bytes = text_read_file(folder.arena, once, MEBI, &length, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    const char *twice = folder_write_compressed(folder, "twice", filters[2], bytes, length);
    check_refusal(folder, twice, "compressed more than once");
    check_refusal(folder, folder_write_compressed(folder, "text.gz", filters[0], "some text", 9),
                  "neither a folder, nor a tar, nor a picture");
    check_refusal(folder, folder_write_compressed(folder, "empty.gz", filters[0], "", 0),
                  "neither a folder, nor a tar, nor a picture");
    end(folder);
}

/* Cut or changed anywhere, a shard gives what can be read of it, within the copy, and says what is
 * wrong, or is refused. */
static void damage_is_told(void) {
    Folder folder = begin();
    for (int i = 0; i < FILTERS; i++) {
        const char *path = put_shard(folder, "whole", filters[i]), *error;
        size_t length, refused = 0;
        const char *bytes = text_read_file(folder.arena, path, MEBI, &length, &error);
        CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
        const char *cut = folder_inside(folder, "cut");
        for (size_t kept = length - 9; kept > 0; kept -= kept < 7 ? 1 : 7) {
            Source source;
            folder_write(folder, "cut", bytes, kept);
            Status status = source_open(folder.arena, &cut, 1, &source);
            refused += !status_fine(status);
            for (size_t k = 0; status_fine(status) && k < source.samples.count; k++)
                CU_ASSERT(source.samples.items[k].offset + source.samples.items[k].size <=
                          source.copy->length);
            CU_ASSERT(!status_fine(status) || source.problems.count > 0);
            source_close(&source);
        }
        CU_ASSERT(refused > 0);
    }
    end(folder);
}

/* Noise, which cannot be packed, so that a cut loses the last entries alone. */
static void what_stands_before_damage_is_kept(void) {
    enum { SIZE = MEBI };
    Folder folder = begin();
    Source source;
    char *text = arena_alloc(folder.arena, SIZE, 1);
    uint32_t state = 1;
    for (size_t i = 0; i < SIZE; i++) {
        state = state * 1664525 + 1013904223;
        text[i] = (char)(state >> 24);
    }
    ShardEntry three[] = {
        {"a.jpg", text, 0, SIZE}, {"b.jpg", text, 0, SIZE / 2}, {"c.jpg", text, 0, SIZE}};
    const char *path = folder_write_shard(folder, "a.tgz", 0, filters[0], three, 3);
    struct stat info;
    CU_ASSERT_FATAL(stat(path, &info) == 0 && truncate(path, info.st_size - SIZE / 2) == 0);
    CU_ASSERT_PTR_NULL_FATAL(source_open(folder.arena, &path, 1, &source).message);
    CU_ASSERT_EQUAL(source.samples.count, 2);
    CU_ASSERT_EQUAL_FATAL(source.problems.count, 3);
    CU_ASSERT_STRING_EQUAL(source.problems.items[0].name, path);
    CU_ASSERT(text_starts_with(source.problems.items[0].reason, "the compressed data are damaged"));
    CU_ASSERT(text_ends_with(source.problems.items[1].name, "/c.jpg"));
    const uint8_t *bytes;
    size_t length;
    CU_ASSERT(status_fine(source_read(folder.arena, &source.samples.items[1], &bytes, &length)));
    CU_ASSERT(length == SIZE / 2 && memcmp(bytes, text, length) == 0);
    source_close(&source);
    end(folder);
}

static void a_missing_folder_is_named(void) {
    Folder folder = begin();
    setenv("TMPDIR", folder_inside(folder, "nowhere"), 1);
    check_refusal(folder, put_shard(folder, "a.tgz", filters[0]),
                  "/nowhere: No such file or directory; TMPDIR names another folder");
    end(folder);
}

/* A file system of 256 KiB. */
static int unpack_without_room(void *context) {
    const Folder *folder = context;
    const char *path = folder_inside(*folder, "a.tgz");
    Source source;
    if (!store_mount_small(folder_inside(*folder, "temporary")))
        return 0;
    Status status = source_open(folder->arena, &path, 1, &source);
    return status_fine(status) ||
           !strstr(status.message, "it would take more than half of the room that is left in");
}

static void a_full_disk_is_not_filled(void) {
    enum { SIZE = 150 << 10 };
    Folder folder = begin();
    char *text = arena_alloc(folder.arena, SIZE, 1);
    ShardEntry entry = {"a.jpg", text, 0, SIZE};
    folder_write_shard(folder, "a.tgz", 0, filters[0], &entry, 1);
    CU_ASSERT_EQUAL(store_run(unpack_without_room, &folder), 0);
    end(folder);
}

CU_TestInfo data_unpack_tests[] = {
    {"compressed shards are read, and leave nothing behind", compressed_shards_are_read},
    {"shards of all kinds go together", shards_of_all_kinds_go_together},
    {"labels of compressed shards are found", labels_of_compressed_shards_are_found},
    {"the fingerprint is that of the pictures", the_fingerprint_is_that_of_the_pictures},
    {"bombs are refused", bombs_are_refused},
    {"what merely packs well is read", what_merely_packs_well_is_read},
    {"what is compressed twice, or no tar, is refused", compressed_twice_is_refused},
    {"damage is told", damage_is_told},
    {"what stands before damage is kept", what_stands_before_damage_is_kept},
    {"a missing folder for temporary files is named", a_missing_folder_is_named},
    {"a full disk is not filled", a_full_disk_is_not_filled},
    CU_TEST_INFO_NULL,
};
