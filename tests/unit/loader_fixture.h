/* Folders of small pictures, and what a loader is to make of them, done slowly. */
#ifndef SPARKC_TESTS_UNIT_LOADER_FIXTURE_H
#define SPARKC_TESTS_UNIT_LOADER_FIXTURE_H

#include "runtime/data/loader.h"
#include "tests/support/folder.h"

/* Writes 000.png, 001.png, ..: `count` small pictures, no two alike; where bad(number) says so,
 * a text instead. `bad` may be NULL. */
void loader_folder_fill(Folder folder, int count, bool (*bad)(int number));

Source loader_folder_open(Folder folder);

/* Pretraining's crops to 5 x 4 pixels of RGB, batches of `batch`; bad pictures are let through. */
LoaderOptions loader_options(int batch, int threads, int ahead);

/* Floats of a batch. */
size_t loader_batch_values(const LoaderOptions *options);

/* A loader, or the end of the program. */
Loader *loader_start(Arena *arena, const Source *source, const LoaderOptions *options,
                     LoaderPosition start);

/* A batch as loader.h defines it, decoded here and now, one picture after the other. */
typedef struct LoaderExpected {
    uint64_t *samples; /* [batch] */
    float *images;
    LoaderPosition next;
} LoaderExpected;

LoaderExpected loader_expect(Arena *arena, const Source *source, const LoaderOptions *options,
                             LoaderPosition start);

bool loader_positions_equal(LoaderPosition a, LoaderPosition b);

/* Takes the next batch of a loader; asserts that it is the expected one. */
void loader_check_next(Loader *loader, const LoaderOptions *options,
                       const LoaderExpected *expected);

#endif
