/* Batches are what one gets by decoding picture after picture, whatever the threads do. */
#include <archive.h>

#include "base/clock.h"
#include "tests/unit/loader_fixture.h"
#include "tests/unit/loader_suites.h"

enum { PICTURES = 23, BATCH = 4, BATCHES = 15 }; /* some more than three epochs */

static bool every_fifth(int number) {
    return number % 5 == 3;
}

/* Batches from the start on, over more than three epochs. */
static void expect_all(Arena *arena, const Source *source, const LoaderOptions *options,
                       LoaderExpected *expected) {
    LoaderPosition position = {0};
    for (int i = 0; i < BATCHES; i++) {
        expected[i] = loader_expect(arena, source, options, position);
        position = expected[i].next;
    }
    CU_ASSERT(position.epoch >= 3);
}

static void equal_pictures_decoded_one_by_one(void) {
    static const int threads[] = {1, 2, 5}, ahead[] = {BATCH, BATCH + 1, 3 * BATCH, 100};
    Folder folder = folder_create();
    loader_folder_fill(folder, PICTURES, every_fifth);
    Source source = loader_folder_open(folder);
    LoaderExpected expected[BATCHES];
    LoaderOptions options = loader_options(BATCH, 1, BATCH);
    expect_all(folder.arena, &source, &options, expected);
    for (int i = 0; i < 12; i++) {
        options = loader_options(BATCH, threads[i % 3], ahead[i / 3]);
        Loader *loader = loader_start(folder.arena, &source, &options, (LoaderPosition){0});
        for (int k = 0; k < BATCHES; k++)
            loader_check_next(loader, &options, &expected[k]);
        loader_destroy(loader);
    }
    folder_destroy(folder);
}

/* The pictures of a folder, in a shard that is compressed: the same ones in the same order. */
static void equal_those_of_a_compressed_shard(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, PICTURES, every_fifth);
    Source source = loader_folder_open(folder), packed;
    LoaderExpected expected[BATCHES];
    LoaderOptions options = loader_options(BATCH, 3, 3 * BATCH);
    expect_all(folder.arena, &source, &options, expected);
    ShardEntry entries[PICTURES];
    for (size_t i = 0; i < PICTURES; i++) {
        const SourceSample *sample = &source.samples.items[i];
        const uint8_t *bytes;
        entries[i].name = sample->name;
        entries[i].type = 0;
        CU_ASSERT(status_fine(source_read(folder.arena, sample, &bytes, &entries[i].length)));
        entries[i].text = (const char *)bytes;
    }
    const char *path =
        folder_write_shard(folder, "a.tar.zst", 0, ARCHIVE_FILTER_ZSTD, entries, PICTURES);
    CU_ASSERT_FATAL(status_fine(source_open(folder.arena, &path, 1, &packed)));
    Loader *loader = loader_start(folder.arena, &packed, &options, (LoaderPosition){0});
    for (int k = 0; k < BATCHES; k++)
        loader_check_next(loader, &options, &expected[k]);
    loader_destroy(loader);
    source_close(&packed);
    folder_destroy(folder);
}

static void go_on_from_where_a_batch_ended(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, PICTURES, every_fifth);
    Source source = loader_folder_open(folder);
    LoaderExpected expected[BATCHES];
    LoaderOptions options = loader_options(BATCH, 2, 7);
    expect_all(folder.arena, &source, &options, expected);
    for (int first = 1; first < BATCHES; first++) {
        Loader *loader = loader_start(folder.arena, &source, &options, expected[first - 1].next);
        for (int k = first; k < BATCHES; k++)
            loader_check_next(loader, &options, &expected[k]);
        loader_destroy(loader);
    }
    folder_destroy(folder);
}

/* 23 good pictures: five batches of an epoch, then the next begins, without the three left. */
static void drop_the_rest_of_an_epoch(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, PICTURES, NULL);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(BATCH, 2, 9);
    float *images = arena_new_array(folder.arena, float, loader_batch_values(&options));
    Loader *loader = loader_start(folder.arena, &source, &options, (LoaderPosition){0});
    for (uint32_t i = 1; i <= 12; i++) {
        LoaderBatch batch;
        LoaderPosition wanted = {i / 5, i % 5 * BATCH, 0};
        CU_ASSERT_FATAL(status_fine(loader_next(loader, folder.arena, images, &batch)));
        CU_ASSERT(loader_positions_equal(batch.next, wanted));
    }
    loader_destroy(loader);
    folder_destroy(folder);
}

/* 12 pictures are three batches and nothing left. */
static void may_fill_an_epoch(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, 3 * BATCH, NULL);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(BATCH, 2, 9);
    Loader *loader = loader_start(folder.arena, &source, &options, (LoaderPosition){0});
    LoaderPosition position = {0};
    for (uint32_t i = 1; i <= 9; i++) {
        LoaderExpected expected = loader_expect(folder.arena, &source, &options, position);
        LoaderPosition wanted = {i / 3, i % 3 * BATCH, 0};
        CU_ASSERT(loader_positions_equal(expected.next, wanted));
        loader_check_next(loader, &options, &expected);
        position = expected.next;
    }
    loader_destroy(loader);
    folder_destroy(folder);
}

/* A start within what is left of an epoch is one at the next epoch's. */
static void begin_anew_where_no_batch_is_left(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, PICTURES, NULL);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(BATCH, 1, 9);
    LoaderExpected expected =
        loader_expect(folder.arena, &source, &options, (LoaderPosition){.epoch = 7});
    for (uint64_t index = PICTURES - BATCH + 1; index <= PICTURES; index++) {
        LoaderPosition start = {6, index, 0};
        Loader *loader = loader_start(folder.arena, &source, &options, start);
        loader_check_next(loader, &options, &expected);
        loader_destroy(loader);
    }
    folder_destroy(folder);
}

static void may_be_whole_epochs(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, 3, NULL);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(3, 2, 50);
    Loader *loader = loader_start(folder.arena, &source, &options, (LoaderPosition){0});
    for (uint32_t epoch = 0; epoch < 40; epoch++) {
        LoaderPosition start = {.epoch = epoch};
        LoaderExpected expected = loader_expect(folder.arena, &source, &options, start);
        CU_ASSERT_EQUAL(expected.next.epoch, epoch + 1);
        loader_check_next(loader, &options, &expected);
    }
    loader_destroy(loader);
    folder_destroy(folder);
}

static void tell_how_long_they_were_waited_for(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, 200, NULL);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(200, 1, 200);
    float *images = arena_new_array(folder.arena, float, loader_batch_values(&options));
    double waited = 0, start = clock_seconds();
    Loader *loader = loader_start(folder.arena, &source, &options, (LoaderPosition){0});
    for (int i = 0; i < 10; i++) {
        LoaderBatch batch;
        CU_ASSERT_FATAL(status_fine(loader_next(loader, folder.arena, images, &batch)));
        waited += batch.waited;
    }
    double elapsed = clock_seconds() - start;
    loader_destroy(loader);
    CU_ASSERT(waited > 0.2 * elapsed && waited <= elapsed);
    folder_destroy(folder);
}

CU_TestInfo loader_batches_tests[] = {
    {"equal pictures decoded one by one", equal_pictures_decoded_one_by_one},
    {"equal those of a compressed shard", equal_those_of_a_compressed_shard},
    {"go on from where a batch ended", go_on_from_where_a_batch_ended},
    {"drop the rest of an epoch", drop_the_rest_of_an_epoch},
    {"may fill an epoch", may_fill_an_epoch},
    {"begin anew where no batch is left", begin_anew_where_no_batch_is_left},
    {"may be whole epochs", may_be_whole_epochs},
    {"tell how long they were waited for", tell_how_long_they_were_waited_for},
    CU_TEST_INFO_NULL,
};
