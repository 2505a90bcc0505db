/* Bad pictures: dropped in order, told once, and too many of them are the end. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/data/order.h"
#include "tests/unit/loader_fixture.h"
#include "tests/unit/loader_suites.h"

static bool every(int number) {
    (void)number;
    return true;
}

static bool every_third(int number) {
    return number % 3 == 1;
}

static bool but_three(int number) {
    return number >= 3;
}

typedef struct Warnings {
    Arena *arena;
    Text names; /* each followed by a line end */
    int count, others;
} Warnings;

static void note(void *context, const char *name, const char *reason) {
    Warnings *warnings = context;
    text_append(&warnings->names, "%s\n", name);
    warnings->count++;
    warnings->others += strcmp(reason, "neither JPEG nor PNG") != 0;
}

/* The names of the bad pictures in the order of an epoch, a line each. */
static const char *expected_names(Arena *arena, const Source *source, const LoaderOptions *options,
                                  uint32_t epoch, bool (*bad)(int number)) {
    Text names = text_create(arena);
    uint64_t *order = arena_new_array(arena, uint64_t, source->samples.count);
    order_shuffle(options->seed, epoch, source->samples.count, order);
    for (size_t i = 0; i < source->samples.count; i++) {
        if (bad((int)order[i]))
            text_append(&names, "%s\n", source->samples.items[order[i]].name);
    }
    return names.data;
}

static void are_told_once_in_order(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, 40, every_third);
    Source source = loader_folder_open(folder);
    for (int threads = 1; threads <= 5; threads += 2) {
        LoaderOptions options = loader_options(4, threads, 13);
        Warnings warnings = {folder.arena, text_create(folder.arena), 0, 0};
        float *images = arena_new_array(folder.arena, float, loader_batch_values(&options));
        LoaderBatch batch = {0};
        Loader *loader;
        CU_ASSERT_FATAL(status_fine(loader_create(folder.arena, &source, &options,
                                                  (LoaderPosition){0}, note, &warnings, &loader)));
        CU_ASSERT_EQUAL(warnings.count, 0);
        for (int i = 0; batch.next.epoch < 3 && i < 100; i++)
            CU_ASSERT_FATAL(status_fine(loader_next(loader, folder.arena, images, &batch)));
        loader_destroy(loader);
        CU_ASSERT_EQUAL(warnings.count, 13);
        CU_ASSERT_EQUAL(warnings.others, 0);
        CU_ASSERT_STRING_EQUAL(warnings.names.data,
                               expected_names(folder.arena, &source, &options, 0, every_third));
    }
    folder_destroy(folder);
}

/* Takes up to `most` batches; how many came, and the last failure's message or "". */
static int take_batches(Arena *arena, const Source *source, const LoaderOptions *options,
                        LoaderPosition start, int most, const char **message) {
    float *images = arena_new_array(arena, float, loader_batch_values(options));
    Loader *loader = loader_start(arena, source, options, start);
    LoaderBatch batch;
    Status status = STATUS_FINE;
    int taken = 0;
    while (taken < most && status_fine(status = loader_next(loader, arena, images, &batch)))
        taken++;
    loader_destroy(loader);
    *message = status.message ? status.message : "";
    return taken;
}

/* The largest share of bad pictures among the first 100, 101, .. of an epoch. */
static double worst_share(Arena *arena, const LoaderOptions *options, uint32_t epoch,
                          uint64_t count) {
    uint64_t *order = arena_new_array(arena, uint64_t, count);
    double bad = 0, worst = 0;
    order_shuffle(options->seed, epoch, count, order);
    for (uint64_t i = 0; i < count; i++) {
        bad += every_third((int)order[i]);
        if (i + 1 >= 100 && bad / (double)(i + 1) > worst)
            worst = bad / (double)(i + 1);
    }
    return worst;
}

/* Where an epoch is refused: how many pictures were visited, and how many of them are bad. */
static int visits_until_refused(Arena *arena, const LoaderOptions *options, uint32_t epoch,
                                int count, int *bad) {
    uint64_t *order = arena_new_array(arena, uint64_t, (size_t)count);
    order_shuffle(options->seed, epoch, (uint64_t)count, order);
    *bad = 0;
    for (int i = 0; i < count; i++) {
        *bad += every_third((int)order[i]);
        if (i + 1 >= 100 && *bad > options->most_bad * (i + 1))
            return i + 1;
    }
    return 0;
}

/* The share that is allowed is just that of epoch 0, and epoch 1 has more, with one of the seeds:
 * half of them do. */
static void are_too_many_after_a_hundred(void) {
    enum { COUNT = 150, BATCH = 10 };
    Folder folder = folder_create();
    loader_folder_fill(folder, COUNT, every_third);
    Source source = loader_folder_open(folder);
    for (int threads = 1; threads <= 5; threads += 4) {
        LoaderOptions options = loader_options(BATCH, threads, 20);
        while (options.most_bad = worst_share(folder.arena, &options, 0, COUNT),
               worst_share(folder.arena, &options, 1, COUNT) <= options.most_bad)
            options.seed++;
        int bad, visits = visits_until_refused(folder.arena, &options, 1, COUNT, &bad);
        const char *names = expected_names(folder.arena, &source, &options, 1, every_third);
        const char *message,
            *wanted = arena_format(folder.arena,
                                   "%d of the first %d pictures of epoch 1 cannot be decoded; a "
                                   "share of at most %g may "
                                   "be bad: repair or remove them, or allow more; the first: %.*s: "
                                   "neither JPEG nor PNG",
                                   bad, visits, options.most_bad, (int)strcspn(names, "\n"), names);
        int taken =
            take_batches(folder.arena, &source, &options, (LoaderPosition){0}, 100, &message);
        CU_ASSERT_EQUAL(taken, COUNT * 2 / 3 / BATCH + (visits - bad) / BATCH);
        CU_ASSERT_STRING_EQUAL(message, wanted);
    }
    folder_destroy(folder);
}

/* Exactly a third may be bad; less than a third, and the epoch's end is the end. */
static void are_let_through_up_to_the_share(void) {
    Folder folder = folder_create();
    const char *message;
    loader_folder_fill(folder, 12, every_third);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(3, 2, 5);
    options.most_bad = 4.0 / 12;
    int taken = take_batches(folder.arena, &source, &options, (LoaderPosition){0}, 9, &message);
    CU_ASSERT_EQUAL(taken, 9);
    options.most_bad = 3.9 / 12;
    taken = take_batches(folder.arena, &source, &options, (LoaderPosition){0}, 9, &message);
    CU_ASSERT(taken < 9 / 3);
    CU_ASSERT(text_starts_with(message, "4 of the first 12 pictures of epoch 0"));
    folder_destroy(folder);
}

static void fail_clearly_alone(void) {
    Folder folder = folder_create();
    const char *message;
    loader_folder_fill(folder, 120, every);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(8, 2, 30);
    int taken = take_batches(folder.arena, &source, &options, (LoaderPosition){0}, 1, &message);
    CU_ASSERT_EQUAL(taken, 0);
    CU_ASSERT(text_starts_with(message, "only 0 of 120 pictures can be decoded, fewer than a batch "
                                        "of 8: repair or add pictures, or make the batch smaller; "
                                        "the first: /tmp/"));
    options.most_bad = 0.9;
    taken = take_batches(folder.arena, &source, &options, (LoaderPosition){0}, 1, &message);
    CU_ASSERT_EQUAL(taken, 0);
    CU_ASSERT(text_starts_with(message, "100 of the first 100 pictures of epoch 0"));
    folder_destroy(folder);
}

static void may_leave_no_batch(void) {
    Folder folder = folder_create();
    const char *message;
    loader_folder_fill(folder, 10, but_three);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(4, 2, 30);
    CU_ASSERT_EQUAL(take_batches(folder.arena, &source, &options, (LoaderPosition){0}, 1, &message),
                    0);
    CU_ASSERT(text_starts_with(message, "only 3 of 10 pictures can be decoded, fewer than a batch "
                                        "of 4"));
    options.batch = 3;
    CU_ASSERT_EQUAL(take_batches(folder.arena, &source, &options, (LoaderPosition){0}, 5, &message),
                    5);
    folder_destroy(folder);
}

/* All bad pictures of the epoch come before the start: their names are not known. */
static void before_the_start_count(void) {
    Folder folder = folder_create();
    const char *message;
    loader_folder_fill(folder, 120, NULL);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(8, 1, 8);
    LoaderPosition start = {3, 90, 30};
    options.most_bad = 0.1;
    CU_ASSERT_EQUAL(take_batches(folder.arena, &source, &options, start, 5, &message), 1);
    CU_ASSERT_STRING_EQUAL(message, "30 of the first 100 pictures of epoch 3 cannot be decoded; a "
                                    "share of at most 0.1 may be bad: repair or remove them, or "
                                    "allow more");
    folder_destroy(folder);
}

static void are_those_that_went_away(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, 10, NULL);
    Source source = loader_folder_open(folder);
    unlink(source.samples.items[6].path);
    LoaderOptions options = loader_options(9, 2, 9);
    LoaderExpected expected = loader_expect(folder.arena, &source, &options, (LoaderPosition){0});
    Loader *loader = loader_start(folder.arena, &source, &options, (LoaderPosition){0});
    loader_check_next(loader, &options, &expected);
    loader_destroy(loader);
    for (int i = 0; i < 9; i++)
        CU_ASSERT(expected.samples[i] != 6);
    folder_destroy(folder);
}

/* The message that a loader is refused with; "" if it is not. */
static const char *refusal(Arena *arena, const Source *source, int batch, LoaderPosition start) {
    LoaderOptions options = loader_options(batch, 2, batch);
    Loader *loader;
    Status status = loader_create(arena, source, &options, start, NULL, NULL, &loader);
    CU_ASSERT_EQUAL(loader == NULL, !status_fine(status));
    loader_destroy(loader);
    return status_fine(status) ? "" : status.message;
}

static void are_no_need_to_refuse(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, 10, NULL);
    Source source = loader_folder_open(folder);
    Arena *arena = folder.arena;
    CU_ASSERT_STRING_EQUAL(refusal(arena, &source, 10, (LoaderPosition){9, 10, 10}), "");
    CU_ASSERT_STRING_EQUAL(
        refusal(arena, &source, 11, (LoaderPosition){0}),
        "10 pictures are fewer than a batch of 11: add pictures, or make the batch smaller");
    CU_ASSERT_STRING_EQUAL(
        refusal(arena, &source, 4, (LoaderPosition){2, 11, 1}),
        "picture 11 of epoch 2, with 1 bad ones before it, is no place in a source of 10 "
        "pictures: go on with the data that the position is from, or start anew");
    CU_ASSERT(text_starts_with(refusal(arena, &source, 4, (LoaderPosition){2, 5, 6}),
                               "picture 5 of epoch 2, with 6 bad ones"));
    folder_destroy(folder);
}

/* 3 x 2^64 bytes. */
static void are_not_decoded_into_too_much_memory(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, 2, NULL);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(2, 1, 1 << 22);
    options.height = options.width = 1 << 20;
    Loader *loader;
    Status status =
        loader_create(folder.arena, &source, &options, (LoaderPosition){0}, NULL, NULL, &loader);
    CU_ASSERT_FATAL(!status_fine(status));
    CU_ASSERT_STRING_EQUAL(status.message, "out of memory for 4194304 pictures of 3 x 1048576 x "
                                           "1048576 that are decoded ahead");
    folder_destroy(folder);
}

CU_TestInfo loader_bad_tests[] = {
    {"are told once, in order", are_told_once_in_order},
    {"are too many after a hundred", are_too_many_after_a_hundred},
    {"are let through up to the share", are_let_through_up_to_the_share},
    {"fail clearly alone", fail_clearly_alone},
    {"may leave no batch", may_leave_no_batch},
    {"before the start count", before_the_start_count},
    {"are those that went away", are_those_that_went_away},
    {"are not decoded into too much memory", are_not_decoded_into_too_much_memory},
    {"are no need to refuse a loader: too few, no such place", are_no_need_to_refuse},
    CU_TEST_INFO_NULL,
};
