/* The fingerprint of data: what changes it, and what does not. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fatal.h"
#include "runtime/data/fingerprint.h"
#include "tests/unit/loader_fixture.h"
#include "tests/unit/loader_suites.h"

/* What begins like a picture may be given alone. */
#define JPEG "\xff\xd8\xff "

/* A folder with two pictures in `inner`. */
static Folder make_data(void) {
    Folder folder = folder_create();
    invariant(mkdir(folder_inside(folder, "inner"), 0777) == 0, "no folder can be made");
    folder_write_text(folder, "inner/a.jpg", JPEG "one");
    folder_write_text(folder, "inner/b.png", JPEG "three");
    return folder;
}

static const char *fingerprint(Folder folder, const char *path) {
    Source source;
    Status status = source_open(folder.arena, &path, 1, &source);
    invariant(status_fine(status), "%s", status.message);
    return data_fingerprint(folder.arena, &source);
}

static void is_what_it_always_was(void) {
    Arena *arena = arena_create();
    SourceSample samples[] = {
        {.name = "data/inner/a.jpg", .size = 3},
        {.name = "data/inner/b.png", .size = 5},
        {.name = "x/shard.tar/c.jpg", .offset = 512, .size = 1000, .in_shard = true}};
    SourcePart parts[] = {{0, 5}, {2, 2}};
    Source source = {.samples = {samples, 3, 3}, .parts = {parts, 2, 2}};
    CU_ASSERT_STRING_EQUAL(
        data_fingerprint(arena, &source),
        "sha256:877a71d2dda40ed58c539cd45c700f645bc7471643f54563ffd5b07cda6ec740");
    arena_destroy(arena);
}

static void stays_where_data_are_moved(void) {
    Folder folder = make_data();
    const char *before = fingerprint(folder, folder.path);
    CU_ASSERT_EQUAL(strlen(before), 7 + 64);
    CU_ASSERT_STRING_EQUAL(fingerprint(folder, folder_inside(folder, "")), before);
    CU_ASSERT_STRING_EQUAL(fingerprint(folder, folder_inside(folder, "/.")), before);
    const char *moved = arena_format(folder.arena, "%s-moved", folder.path);
    CU_ASSERT_EQUAL(rename(folder.path, moved), 0);
    CU_ASSERT_STRING_EQUAL(fingerprint(folder, moved), before);
    CU_ASSERT_EQUAL(rename(moved, folder.path), 0);
    const char *inner = fingerprint(folder, folder_inside(folder, "inner/a.jpg"));
    CU_ASSERT_EQUAL(rename(folder_inside(folder, "inner/a.jpg"), folder_inside(folder, "a.jpg")),
                    0);
    CU_ASSERT_STRING_EQUAL(fingerprint(folder, folder_inside(folder, "a.jpg")), inner);
    CU_ASSERT(strcmp(fingerprint(folder, folder.path), before) != 0);
    folder_destroy(folder);
}

static void changes_with_sizes_names_and_number(void) {
    Folder folder = make_data();
    const char *before = fingerprint(folder, folder.path);
    const char *a = folder_inside(folder, "inner/a.jpg");
    const char *b = folder_inside(folder, "inner/b.png");
    folder_write_text(folder, "inner/a.jpg", JPEG "two");
    CU_ASSERT_STRING_EQUAL(fingerprint(folder, folder.path), before);
    folder_write_text(folder, "inner/a.jpg", JPEG "four");
    CU_ASSERT(strcmp(fingerprint(folder, folder.path), before) != 0);
    folder_write_text(folder, "inner/a.jpg", JPEG "one");
    CU_ASSERT_EQUAL(rename(b, folder_inside(folder, "inner/c.png")), 0);
    CU_ASSERT(strcmp(fingerprint(folder, folder.path), before) != 0);
    CU_ASSERT_EQUAL(unlink(folder_inside(folder, "inner/c.png")), 0);
    CU_ASSERT(strcmp(fingerprint(folder, folder.path), before) != 0);
    CU_ASSERT_EQUAL(rename(a, b), 0);
    CU_ASSERT(strcmp(fingerprint(folder, folder.path), before) != 0);
    folder_destroy(folder);
}

static void changes_with_the_order_of_sources(void) {
    Folder folder = make_data();
    const char *paths[] = {folder_inside(folder, "inner/a.jpg"),
                           folder_inside(folder, "inner/b.png")};
    const char *turned[] = {paths[1], paths[0]};
    Source one, other;
    CU_ASSERT_FATAL(status_fine(source_open(folder.arena, paths, 2, &one)));
    CU_ASSERT_FATAL(status_fine(source_open(folder.arena, turned, 2, &other)));
    CU_ASSERT_STRING_NOT_EQUAL(data_fingerprint(folder.arena, &one),
                               data_fingerprint(folder.arena, &other));
    CU_ASSERT_STRING_EQUAL(data_fingerprint(folder.arena, &one),
                           fingerprint(folder, folder_inside(folder, "inner")));
    folder_destroy(folder);
}

CU_TestInfo loader_fingerprint_tests[] = {
    {"is what it always was", is_what_it_always_was},
    {"stays where data are moved", stays_where_data_are_moved},
    {"changes with sizes, names and number", changes_with_sizes_names_and_number},
    {"changes with the order of sources", changes_with_the_order_of_sources},
    CU_TEST_INFO_NULL,
};
