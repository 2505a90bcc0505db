/* Classes: from folders, from names, from entries .cls; what is refused. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/data/labels.h"
#include "tests/support/folder.h"
#include "tests/unit/data_suites.h"

/* A file that begins like a JPEG; folders in its name are made. */
static void put_file(Folder place, const char *name) {
    folder_write_text(place, name, "\xff\xd8\xff....");
}

/* A shard of entries; `texts` holds names and texts in turn, ended by NULL. */
static const char *put_shard(Folder place, const char *name, const char *const *texts) {
    ShardEntry entries[16];
    size_t count = 0;
    for (; *texts; texts += 2)
        entries[count++] = (ShardEntry){.name = texts[0], .text = texts[1]};
    return folder_write_shard(place, name, 0, 0, entries, count);
}

static Source open_path(Folder place, const char *path) {
    Source source;
    Status status = source_open(place.arena, &path, 1, &source);
    invariant(status_fine(status), "%s", status.message);
    return source;
}

/* The names of the table and then of each sample's class, with blanks between. */
static const char *described(Folder place, const Labels *labels) {
    Text text = text_create(place.arena);
    for (size_t i = 0; i < labels->class_count; i++)
        text_append(&text, "%s ", labels->names[i]);
    text_append(&text, "|");
    for (size_t i = 0; i < labels->count; i++)
        text_append(&text, " %s", labels->names[labels->classes[i]]);
    return text.data;
}

static void check_labels(Folder place, const char *path, const char *expected) {
    Source source = open_path(place, path);
    Labels labels = {0};
    Status status = labels_read(place.arena, &source, &labels);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    CU_ASSERT_EQUAL(labels.count, source.samples.count);
    CU_ASSERT_STRING_EQUAL(described(place, &labels), expected);
}

static void check_refusal(Folder place, const char *path, const char *expected) {
    Source source = open_path(place, path);
    Labels labels = {0};
    Status status = labels_read(place.arena, &source, &labels);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    if (!strstr(status.message, expected))
        printf("\n    %s\n    is not %s", status.message, expected);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, expected));
}

static void folders_are_classes(void) {
    Folder place = folder_create();
    put_file(place, "data/one/dog/b.jpg");
    put_file(place, "data/one/cat/a.jpg");
    put_file(place, "data/two/cat/c.jpg");
    check_labels(place, arena_format(place.arena, "%s/data", place.path), "cat dog | cat dog cat");
    folder_destroy(place);
}

static void the_folder_of_a_relative_file_is_found(void) {
    Folder place = folder_create();
    char before[4096];
    put_file(place, "cat/a.jpg");
    put_file(place, "dog/a.jpg");
    invariant(getcwd(before, sizeof before) && chdir(place.path) == 0 && chdir("cat") == 0,
              "the folder cannot be entered");
    const char *paths[] = {"a.jpg", "./a.jpg", "../dog//a.jpg"};
    Source source;
    Labels labels = {0};
    invariant(status_fine(source_open(place.arena, paths, 3, &source)), "no source");
    Status status = labels_read(place.arena, &source, &labels);
    invariant(chdir(before) == 0, "no way back");
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    CU_ASSERT_STRING_EQUAL(described(place, &labels), "cat dog | cat cat dog");
    folder_destroy(place);
}

static void numbers_are_sorted_by_value(void) {
    Folder place = folder_create();
    put_file(place, "10/a.jpg");
    put_file(place, "9/a.jpg");
    put_file(place, "0x/a.jpg");
    put_file(place, "2/a.jpg");
    check_labels(place, place.path, "2 9 10 0x | 0x 10 2 9");
    folder_destroy(place);
}

static void names_of_entries_are_classes(void) {
    Folder place = folder_create();
    const char *shard = put_shard(
        place, "a.tar",
        (const char *[]){"sea_lion_01.jpg", "x", "in/cat_2.jpg", "x", "notes.txt", "", NULL});
    check_labels(place, shard, "cat sea_lion | sea_lion cat");
    folder_destroy(place);
}

static void entries_cls_are_classes(void) {
    Folder place = folder_create();
    const char *shard = put_shard(place, "a.tar",
                                  (const char *[]){"a_1.jpg", "x", "a_1.cls", "10", "b_1.cls",
                                                   "007\n", "b_1.png", "x", "c.left.jpg", "x",
                                                   "c.cls", "10", "c.right.jpg", "x", NULL});
    check_labels(place, shard, "7 10 | 10 7 10 10");
    folder_destroy(place);
}

static void refuses_what_has_no_class(void) {
    Folder place = folder_create();
    check_refusal(place,
                  put_shard(place, "a.tar", (const char *[]){"a_1.jpg", "x", "b.jpg", "x", NULL}),
                  "a.tar/b.jpg: has no label");
    check_refusal(place,
                  put_shard(place, "b.tar",
                            (const char *[]){"a.jpg", "x", "a.cls", "1", "b_1.jpg", "x", NULL}),
                  "b.tar/b_1.jpg: has no label: other pictures of the shard have an entry .cls");
    check_refusal(place,
                  put_shard(place, "c.tar", (const char *[]){"a_1.jpg", "x", "a_2.jpg", "x", NULL}),
                  "all pictures are of one class, a");
    folder_destroy(place);
}

static void refuses_cls_that_is_no_number(void) {
    static const char *const texts[] = {"", "cat", "-1", "1 2", "1.0", "1234567890"};
    Folder place = folder_create();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *name = arena_format(place.arena, "%zu.tar", i);
        check_refusal(
            place, put_shard(place, name, (const char *[]){"a.jpg", "x", "a.cls", texts[i], NULL}),
            "a.cls: a class number of up to 9 decimal digits is needed");
    }
    char longer[100];
    memset(longer, ' ', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    check_refusal(place,
                  put_shard(place, "x.tar", (const char *[]){"a.jpg", "x", "a.cls", longer, NULL}),
                  "99 bytes are no class number");
    check_refusal(
        place,
        put_shard(place, "y.tar", (const char *[]){"a.jpg", "x", "a.cls", "1", "a.cls", "2", NULL}),
        "a.cls: there are two entries of this name");
    folder_destroy(place);
}

static void test_pictures_are_numbered_as_training_pictures(void) {
    Folder place = folder_create();
    Labels train = {0}, test = {0};
    Source source = open_path(
        place, put_shard(place, "a.tar",
                         (const char *[]){"a_1.jpg", "x", "b_1.jpg", "x", "c_1.jpg", "x", NULL}));
    CU_ASSERT(status_fine(labels_read(place.arena, &source, &train)));
    put_file(place, "test/c/1.jpg");
    put_file(place, "test/b/1.jpg");
    source = open_path(place, arena_format(place.arena, "%s/test", place.path));
    CU_ASSERT(status_fine(labels_match(place.arena, &source, &train, &test)));
    CU_ASSERT(test.count == 2 && test.classes[0] == 1 && test.classes[1] == 2);
    CU_ASSERT_EQUAL(test.class_count, 3);
    put_file(place, "test/d/1.jpg");
    source = open_path(place, arena_format(place.arena, "%s/test", place.path));
    Status status = labels_match(place.arena, &source, &train, &test);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT(text_ends_with(
        status.message, "test/d/1.jpg: is of class d, which none of the training pictures has"));
    folder_destroy(place);
}

/* ---- Choices --------------------------------------------------------------------------------- */

enum { OF_FIRST = 60, OF_SECOND = 40, OF_THIRD = 3, ALL = OF_FIRST + OF_SECOND + OF_THIRD };

/* Three classes, mixed; those of the third come last. */
static Labels mixed_labels(Arena *arena) {
    static const char *const names[] = {"a", "b", "c"};
    Labels labels = {names, 3, arena_new_array(arena, uint32_t, ALL), ALL};
    for (size_t i = 0; i < ALL; i++)
        labels.classes[i] = i >= OF_FIRST + OF_SECOND ? 2 : i % 5 >= 3;
    return labels;
}

static LabelsChoice choose(Arena *arena, const Labels *labels, size_t count, uint32_t seed) {
    LabelsChoice choice = {0};
    Status status = labels_choose(arena, labels, count, seed, &choice);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    return choice;
}

/* In order, each once, with its class, and so many of each. */
static void check_choice(const Labels *labels, const LabelsChoice *choice, size_t first,
                         size_t second, size_t third) {
    size_t sizes[3] = {0};
    CU_ASSERT_EQUAL(choice->count, first + second + third);
    for (size_t i = 0; i < choice->count; i++) {
        CU_ASSERT(i == 0 || choice->samples[i] > choice->samples[i - 1]);
        CU_ASSERT_FATAL(choice->samples[i] < labels->count);
        CU_ASSERT_EQUAL(choice->classes[i], labels->classes[choice->samples[i]]);
        sizes[choice->classes[i]]++;
    }
    CU_ASSERT(sizes[0] == first && sizes[1] == second && sizes[2] == third);
}

/* How many of one choice's samples another has. */
static size_t shared(const LabelsChoice *one, const LabelsChoice *other) {
    size_t count = 0;
    for (size_t i = 0; i < one->count; i++)
        for (size_t k = 0; k < other->count; k++)
            count += one->samples[i] == other->samples[k];
    return count;
}

static void a_choice_has_equally_many_of_each_class(void) {
    Arena *arena = arena_create();
    Labels labels = mixed_labels(arena);
    static const size_t wanted[][4] = {
        {3, 1, 1, 1},    {8, 3, 3, 2},   {23, 10, 10, 3},
        {92, 49, 40, 3}, {0, 60, 40, 3}, {ALL + 1, 60, 40, 3},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        LabelsChoice choice = choose(arena, &labels, wanted[i][0], 7);
        check_choice(&labels, &choice, wanted[i][1], wanted[i][2], wanted[i][3]);
    }
    arena_destroy(arena);
}

static void the_seed_decides_which(void) {
    Arena *arena = arena_create();
    Labels labels = mixed_labels(arena);
    LabelsChoice one = choose(arena, &labels, 23, 1), again = choose(arena, &labels, 23, 1);
    CU_ASSERT_EQUAL(shared(&one, &again), 23);
    size_t pairs = 0, common = 0;
    for (uint32_t seed = 2; seed < 42; seed++) {
        LabelsChoice other = choose(arena, &labels, 23, seed);
        common += shared(&one, &other) - OF_THIRD; /* expected: 10 * (10 / 60 + 10 / 40) */
        pairs++;
    }
    CU_ASSERT(common > 3 * pairs && common < 5 * pairs + pairs / 2);
    arena_destroy(arena);
}

static void a_smaller_choice_is_part_of_a_larger_one(void) {
    Arena *arena = arena_create();
    Labels labels = mixed_labels(arena);
    LabelsChoice larger = choose(arena, &labels, ALL, 4);
    for (size_t count = ALL - 1; count >= 3; count--) {
        LabelsChoice smaller = choose(arena, &labels, count, 4);
        CU_ASSERT_EQUAL(shared(&smaller, &larger), count);
        larger = smaller;
    }
    arena_destroy(arena);
}

static void a_choice_leaves_no_class_out(void) {
    Arena *arena = arena_create();
    Labels labels = mixed_labels(arena);
    LabelsChoice choice;
    Status status = labels_choose(arena, &labels, 2, 0, &choice);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_STRING_EQUAL(status.message, "2 pictures are too few: there are 3 classes, each of "
                                           "which needs one");
    labels.count = OF_FIRST; /* without any of the third class, as test pictures may be */
    choice = choose(arena, &labels, 2, 0);
    check_choice(&labels, &choice, 1, 1, 0);
    arena_destroy(arena);
}

/* Of 60, 40 and 3: a share of each, though the last one of a class stays. */
static void a_share_of_each_class_is_held_out(void) {
    static const struct {
        size_t count;
        double share;
        size_t held[3], kept[3];
    } cases[] = {{0, 0.2, {12, 8, 1}, {48, 32, 2}},
                 {0, 0.9, {54, 36, 2}, {6, 4, 1}},
                 {23, 0.1, {1, 1, 0}, {9, 9, 3}},
                 {92, 0.25, {12, 10, 1}, {37, 30, 2}}};
    Arena *arena = arena_create();
    Labels labels = mixed_labels(arena);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        LabelsChoice kept, held, all = choose(arena, &labels, cases[i].count, 7);
        Status status =
            labels_hold_out(arena, &labels, cases[i].count, cases[i].share, 7, &kept, &held);
        CU_ASSERT_PTR_NULL_FATAL(status.message);
        check_choice(&labels, &held, cases[i].held[0], cases[i].held[1], cases[i].held[2]);
        check_choice(&labels, &kept, cases[i].kept[0], cases[i].kept[1], cases[i].kept[2]);
        CU_ASSERT_EQUAL(shared(&kept, &held), 0);
        CU_ASSERT_EQUAL(shared(&kept, &all) + shared(&held, &all), all.count);
    }
    LabelsChoice kept, held;
    Status status = labels_hold_out(arena, &labels, 6, 0.1, 7, &kept, &held);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_STRING_EQUAL(status.message,
                           "a share of 0.1 of each of 3 classes is none: there are 6 pictures");
    arena_destroy(arena);
}

CU_TestInfo data_labels_tests[] = {
    {"folders are classes", folders_are_classes},
    {"the folder of a relative file is found", the_folder_of_a_relative_file_is_found},
    {"numbers are sorted by value", numbers_are_sorted_by_value},
    {"names of entries are classes", names_of_entries_are_classes},
    {"entries .cls are classes", entries_cls_are_classes},
    {"refuses what has no class", refuses_what_has_no_class},
    {"refuses .cls that is no number", refuses_cls_that_is_no_number},
    {"test pictures are numbered as training pictures",
     test_pictures_are_numbered_as_training_pictures},
    {"a choice has equally many of each class", a_choice_has_equally_many_of_each_class},
    {"the seed decides which samples are chosen", the_seed_decides_which},
    {"a smaller choice is part of a larger one", a_smaller_choice_is_part_of_a_larger_one},
    {"a choice leaves no class out", a_choice_leaves_no_class_out},
    {"a share of each class is held out", a_share_of_each_class_is_held_out},
    CU_TEST_INFO_NULL,
};
