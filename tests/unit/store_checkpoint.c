/* Checkpoints that are written, listed, kept and removed. */
#include <CUnit/CUnit.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "tests/unit/harness.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_state.h"
#include "tests/unit/store_suites.h"

/* The steps of a folder's checkpoints, newest first, as text: "30 20 ". Each is whole. */
static const char *steps_of(Store *store, const char *folder) {
    CheckpointFile *files;
    size_t count;
    Text text = text_create(store->arena);
    CU_ASSERT_TRUE_FATAL(status_fine(checkpoint_list(store->arena, folder, &files, &count)));
    for (size_t i = 0; i < count; i++)
        text_append(&text, "%" PRId64 " ", files[i].step);
    return text.data;
}

static void write_fine(Store *store, int64_t step, double loss, int keep) {
    Status status = state_write(store->arena, store->folder, step, loss, keep);
    CU_ASSERT_TRUE(status_fine(status));
    if (!status_fine(status))
        printf("\n  %s\n", status.message);
}

static void writes_what_it_opens(void) {
    Store store = store_begin();
    const char *folder = store_path(&store, "run/checkpoints");
    CU_ASSERT_TRUE(status_fine(state_write(store.arena, folder, 120, 0.1, 1)));
    const char *path = arena_format(store.arena, "%s/step-00000120.safetensors", folder);
    CU_ASSERT_TRUE(status_fine(state_check(store.arena, path, 120)));
    CU_ASSERT_FALSE(status_fine(state_check(store.arena, path, 121)));
    Safetensors *file;
    CU_ASSERT_TRUE_FATAL(status_fine(checkpoint_open(store.arena, path, &file)));
    CU_ASSERT_STRING_EQUAL(safetensors_metadata(file, "sparkc.loss"), "0.10000000000000001");
    safetensors_close(file);
    CU_ASSERT_EQUAL(store_count(folder), 2);
    store_end(&store);
}

static void writes_the_encoder_alone(void) {
    Store store = store_begin();
    write_fine(&store, 120, NAN, 1);
    const char *path =
        checkpoint_encoder_path(store.arena, store_path(&store, "step-00000120.safetensors"));
    CU_ASSERT_STRING_EQUAL(path, store_path(&store, "step-00000120.encoder.safetensors"));
    Safetensors *file;
    float weights[STATE_WEIGHTS];
    size_t count;
    CU_ASSERT_TRUE_FATAL(status_fine(checkpoint_open(store.arena, path, &file)));
    const SafetensorsTensor *tensors = safetensors_tensors(file, &count);
    CU_ASSERT_EQUAL(count, 1);
    CU_ASSERT_STRING_EQUAL(tensors->name, "a");
    CU_ASSERT_TRUE(status_fine(safetensors_read_bytes(store.arena, file, tensors, weights)));
    CU_ASSERT_EQUAL(weights[5], 125);
    CU_ASSERT_STRING_EQUAL(safetensors_metadata(file, "sparkc.step"), "120");
    CU_ASSERT_PTR_NULL(safetensors_metadata(file, "sparkc.seed"));
    safetensors_close(file);
    store_end(&store);
}

/* Thousands of tensors, empty ones among them, and one larger than a piece that is summed. */
static void writes_many_and_large_tensors(void) {
    enum { MANY = 3000, LARGE = 700001 };
    Store store = store_begin();
    Arena *arena = store.arena;
    SafetensorsItem *items = arena_new_array(arena, SafetensorsItem, MANY);
    float *values = arena_new_array(arena, float, LARGE);
    for (size_t i = 0; i < LARGE; i++)
        values[i] = (float)i;
    for (int64_t i = 0; i < MANY; i++)
        items[i] =
            (SafetensorsItem){arena_format(arena, "tensor.%" PRId64, i), SAFETENSORS_F32, 1,
                              {i == MANY / 2 ? LARGE : i % 3},           values + i,      NULL};
    items[MANY / 2].data = values;
    CheckpointContents contents = {1, 1, items, NULL, MANY, 0, NULL, 0};
    CU_ASSERT_TRUE(status_fine(checkpoint_write(arena, store.folder, &contents, 1)));
    Safetensors *file;
    const char *path = store_path(&store, "step-00000001.safetensors");
    CU_ASSERT_TRUE_FATAL(status_fine(checkpoint_open(arena, path, &file)));
    float *read = arena_new_array(arena, float, LARGE);
    CU_ASSERT_TRUE(status_fine(
        safetensors_read_bytes(arena, file, safetensors_find(file, "tensor.1500"), read)));
    CU_ASSERT_EQUAL(memcmp(read, values, LARGE * sizeof *read), 0);
    safetensors_close(file);
    CU_ASSERT_EQUAL(store_count(store.folder), 1); /* no encoder */
    store_end(&store);
}

enum { MADE = 24, MADE_BYTES = 4 << 20 };

/* A tensor of one byte, whose value is given. */
static const void *make_bytes(Arena *arena, const void *value) {
    return memset(arena_alloc(arena, MADE_BYTES, 1), *(const uint8_t *)value, MADE_BYTES);
}

/* 96 MiB of tensors that are made when they are needed; 0 if they are right and never were in
 * memory together. */
static int write_made_tensors(void *context) {
    const Store *store = context;
    SafetensorsItem items[MADE];
    uint8_t values[MADE], *read = arena_alloc(store->arena, MADE_BYTES, 1);
    for (int i = 0; i < MADE; i++) {
        values[i] = (uint8_t)(i + 1);
        items[i] = (SafetensorsItem){arena_format(store->arena, "made.%d", i),
                                     SAFETENSORS_U8,
                                     1,
                                     {MADE_BYTES},
                                     &values[i],
                                     make_bytes};
    }
    CheckpointContents contents = {1, 1, items, NULL, MADE, 0, NULL, 0};
    double before = harness_peak_bytes();
    Status status = checkpoint_write(store->arena, store->folder, &contents, 1);
    double taken = harness_peak_bytes() - before;
    Safetensors *file;
    const char *path = store_path(store, "step-00000001.safetensors");
    if (!status_fine(status) || !status_fine(checkpoint_open(store->arena, path, &file)))
        return 1;
    status = safetensors_read_bytes(store->arena, file, safetensors_find(file, "made.17"), read);
    safetensors_close(file);
    if (!status_fine(status) || read[0] != 18 || read[MADE_BYTES - 1] != 18)
        return 2;
    return !HARNESS_SANITIZED && taken > 5 * MADE_BYTES ? 3 : 0;
}

static void has_one_made_tensor_in_memory_at_a_time(void) {
    Store store = store_begin();
    CU_ASSERT_EQUAL(store_run(write_made_tensors, &store), 0);
    store_end(&store);
}

typedef struct Keeping {
    int keep, count;
    double losses[6];  /* of steps 10, 20, .. */
    const char *steps; /* that are left */
} Keeping;

static const Keeping keepings[] = {
    {1, 3, {3, 2, 1}, "30 "},
    {1, 3, {1, 2, 3}, "30 10 "},
    {2, 5, {5, 1, 4, 3, 2}, "50 40 20 "},
    {2, 5, {5, 4, 3, 1, 2}, "50 40 "},
    {1, 4, {1, 1, 2, 2}, "40 20 "}, /* of equals the newer one */
    {1, 3, {NAN, NAN, NAN}, "30 "}, /* none is best */
    {1, 4, {NAN, 2, INFINITY, -INFINITY}, "40 20 "},
    {1, 4, {-1, -2, 0, 5}, "40 20 "},
    {9, 3, {1, 2, 3}, "30 20 10 "},
    {1, 6, {0.1, 0.3, 0.2, 0.05, 0.4, 0.06}, "60 40 "},
};

static void keeps_the_newest_and_the_best(void) {
    for (size_t i = 0; i < sizeof keepings / sizeof *keepings; i++) {
        Store store = store_begin();
        size_t length = 0;
        for (int k = 0; k < keepings[i].count; k++)
            write_fine(&store, 10 * (k + 1), keepings[i].losses[k], keepings[i].keep);
        CU_ASSERT_STRING_EQUAL(steps_of(&store, store.folder), keepings[i].steps);
        for (const char *letter = keepings[i].steps; *letter; letter++)
            length += *letter == ' ';
        CU_ASSERT_EQUAL(store_count(store.folder), 2 * length); /* each with its encoder */
        store_end(&store);
    }
}

static void removes_what_a_resumed_run_makes_again(void) {
    Store store = store_begin();
    for (int64_t step = 10; step <= 50; step += 10)
        write_fine(&store, step, 1.0 / (double)step, 9);
    write_fine(&store, 25, 9, 9);
    CU_ASSERT_STRING_EQUAL(steps_of(&store, store.folder), "25 20 10 ");
    CU_ASSERT_EQUAL(store_count(store.folder), 6);
    write_fine(&store, 25, 8, 1);
    CU_ASSERT_STRING_EQUAL(steps_of(&store, store.folder), "25 20 ");
    store_end(&store);
}

/* Neither counted nor removed: another program's file, and one whose header is damaged. */
static void leaves_foreign_files_alone(void) {
    Store store = store_begin();
    float value = 1;
    SafetensorsItem item = {"a", SAFETENSORS_F32, 0, {0}, &value, NULL};
    SafetensorsPair loss = {"loss", "-100"};
    CU_ASSERT_TRUE(status_fine(safetensors_write(
        store.arena, store_path(&store, "step-00000005.safetensors"), &item, 1, &loss, 1)));
    store_write(store_path(&store, "step-00000006.safetensors"), "cut", 3);
    store_write(store_path(&store, "step-00000099.safetensors"), "", 0);
    store_write(store_path(&store, "step-00000006.encoder.safetensors"), "", 0);
    for (int64_t step = 10; step <= 40; step += 10)
        write_fine(&store, step, -(double)step, 2);
    CU_ASSERT_STRING_EQUAL(steps_of(&store, store.folder), "99 40 30 6 5 ");
    CU_ASSERT_EQUAL(store_count(store.folder), 8);
    store_end(&store);
}

static void lists_by_name_and_newest_first(void) {
    static const char *const others[] = {"step-1.safetensors",
                                         "step-000000001.safetensors",
                                         "step-0000000x.safetensors",
                                         "step-00000003.safetensorsx",
                                         "step-00000003.encoder.safetensors",
                                         "step-00000003.safetensors.sparkc-abcdef",
                                         "Step-00000003.safetensors",
                                         "step--0000003.safetensors",
                                         "step-99999999999999999999.safetensors",
                                         "step- 0000003.safetensors",
                                         "step-00000003"};
    static const char *const ours[] = {"step-00000002.safetensors", "step-123456789.safetensors",
                                       "step-00000000.safetensors", "step-12345678.safetensors"};
    Store store = store_begin();
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        store_write(store_path(&store, others[i]), "", 0);
    CU_ASSERT_STRING_EQUAL(steps_of(&store, store.folder), "");
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        store_write(store_path(&store, ours[i]), "", 0);
    CU_ASSERT_STRING_EQUAL(steps_of(&store, store.folder), "123456789 12345678 2 0 ");
    CU_ASSERT_STRING_EQUAL(steps_of(&store, store_path(&store, "none")), "");
    CheckpointFile *files;
    size_t count;
    CU_ASSERT_TRUE(status_fine(checkpoint_list(store.arena, store.folder, &files, &count)));
    CU_ASSERT_STRING_EQUAL(files[2].path, store_path(&store, "step-00000002.safetensors"));
    store_expect_failure(checkpoint_list(store.arena, store_path(&store, ours[0]), &files, &count),
                         "the checkpoints cannot be listed: Not a directory");
    store_end(&store);
}

static void cleans_up_after_killed_writers(void) {
    Store store = store_begin();
    checkpoint_clean(store_path(&store, "none"));
    store_write(store_path(&store, "step-00000004.encoder.safetensors"), "", 0);
    checkpoint_clean(store.folder);
    CU_ASSERT_EQUAL(store_count(store.folder), 1); /* without a checkpoint nothing tells its age */
    write_fine(&store, 10, 1, 1);
    store_write(store_path(&store, "step-00000020.safetensors.sparkc-a1B2c3"), "", 0);
    store_write(store_path(&store, "step-00000020.encoder.safetensors"), "", 0);
    store_write(store_path(&store, "step-00000020.encoder.safetensors.sparkc-a1B2c3"), "", 0);
    store_write(store_path(&store, "notes"), "", 0);
    checkpoint_clean(store.folder);
    CU_ASSERT_STRING_EQUAL(steps_of(&store, store.folder), "10 ");
    CU_ASSERT_EQUAL(store_count(store.folder), 4); /* both of 10, the encoder of 4, the notes */
    store_end(&store);
}

enum { LARGE_STATE = 100000 };

/* 0 if a checkpoint that is too large fails for this reason and older ones are as they were. */
static int write_too_much(const Store *store, const char *reason) {
    const char *folder = store_path(store, "checkpoints");
    char *bytes = arena_alloc(store->arena, LARGE_STATE, 1);
    SafetensorsItem items[] = {{"a", SAFETENSORS_U8, 1, {LARGE_STATE}, bytes, NULL},
                               {"b", SAFETENSORS_U8, 1, {LARGE_STATE}, bytes, NULL},
                               {"c", SAFETENSORS_U8, 1, {LARGE_STATE}, bytes, NULL}};
    CheckpointContents contents = {30, 0, items, items, 3, 1, NULL, 0};
    Status status = checkpoint_write(store->arena, folder, &contents, 1);
    if (status_fine(status) || !strstr(status.message, reason))
        return 1;
    if (store_count(folder) != 4)
        return 2;
    return status_fine(state_check(
               store->arena, store_path(store, "checkpoints/step-00000010.safetensors"), 10)) &&
                   status_fine(
                       state_check(store->arena,
                                   store_path(store, "checkpoints/step-00000020.safetensors"), 20))
               ? 0
               : 3;
}

static int write_two(const Store *store) {
    const char *folder = store_path(store, "checkpoints");
    return status_fine(state_write(store->arena, folder, 10, 1, 2)) &&
           status_fine(state_write(store->arena, folder, 20, 2, 2));
}

static int write_beyond_a_limit(void *context) {
    return write_two(context) && store_limit_files(LARGE_STATE * 2)
               ? write_too_much(context, "step-00000030.safetensors: cannot be written: File too")
               : 0;
}

static int write_on_a_full_disk(void *context) {
    const Store *store = context;
    if (!store_mount_small(store->folder))
        return 0;
    return write_two(store)
               ? write_too_much(store, "step-00000030.safetensors: cannot be written: No space")
               : 9;
}

static void leaves_older_ones_alone_on_a_full_disk(void) {
    Store store = store_begin();
    CU_ASSERT_EQUAL(store_run(write_on_a_full_disk, &store), 0);
    CU_ASSERT_EQUAL(store_run(write_beyond_a_limit, &store), 0);
    store_end(&store);
}

static int write_as_nobody(void *context) {
    const Store *store = context;
    if (!store_become_nobody())
        return 0;
    Status status = state_write(store->arena, store->folder, 20, 1, 1);
    return !status_fine(status) && strstr(status.message, "cannot be written: Permission denied")
               ? 0
               : 1;
}

static void fails_in_an_unwritable_folder(void) {
    Store store = store_begin();
    write_fine(&store, 10, 1, 1);
    CU_ASSERT_EQUAL(chmod(store.folder, 0555), 0);
    CU_ASSERT_EQUAL(store_run(write_as_nobody, &store), 0);
    CU_ASSERT_EQUAL(chmod(store.folder, 0755), 0);
    CU_ASSERT_STRING_EQUAL(steps_of(&store, store.folder), "10 ");
    store_end(&store);
}

CU_TestInfo store_checkpoint_tests[] = {
    {"writes what it opens", writes_what_it_opens},
    {"writes the encoder alone", writes_the_encoder_alone},
    {"writes many and large tensors", writes_many_and_large_tensors},
    {"has one made tensor in memory at a time", has_one_made_tensor_in_memory_at_a_time},
    {"keeps the newest and the best", keeps_the_newest_and_the_best},
    {"removes what a resumed run makes again", removes_what_a_resumed_run_makes_again},
    {"leaves foreign files alone", leaves_foreign_files_alone},
    {"lists by name and newest first", lists_by_name_and_newest_first},
    {"cleans up after killed writers", cleans_up_after_killed_writers},
    {"leaves older ones alone on a full disk", leaves_older_ones_alone_on_a_full_disk},
    {"fails in an unwritable folder", fails_in_an_unwritable_folder},
    CU_TEST_INFO_NULL,
};
