#include "tests/unit/loader_fixture.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/random.h"
#include "runtime/data/order.h"
#include "runtime/data/picture.h"

static void write_picture(Folder folder, const char *name, int number) {
    int width = 4 + number % 5, height = 4 + number % 3;
    Image image;
    Status status = picture_canvas(folder.arena, 1, 1, width, height, 3, &image);
    for (int i = 0; status_fine(status) && i < width * height * 3; i++)
        image.pixels[i] = (uint8_t)random_word((uint32_t)number, 0, 0, (uint64_t)i);
    const uint8_t *png;
    size_t length;
    if (status_fine(status))
        status = picture_encode(folder.arena, &image, &png, &length);
    invariant(status_fine(status), "%s", status.message);
    folder_write(folder, name, png, length);
}

void loader_folder_fill(Folder folder, int count, bool (*bad)(int number)) {
    for (int number = 0; number < count; number++) {
        const char *name = arena_format(folder.arena, "%03d.png", number);
        if (bad && bad(number))
            folder_write_text(folder, name, "text");
        else
            write_picture(folder, name, number);
    }
}

Source loader_folder_open(Folder folder) {
    Source source;
    Status status = source_open(folder.arena, &folder.path, 1, &source);
    invariant(status_fine(status), "%s", status.message);
    return source;
}

LoaderOptions loader_options(int batch, int threads, int ahead) {
    static const double mean[] = {0.5, 0.4, 0.3}, deviation[] = {0.2, 0.25, 0.3};
    return (LoaderOptions){.height = 5,
                           .width = 4,
                           .channels = 3,
                           .batch = batch,
                           .augment = augment_pretraining_options,
                           .scale = augment_scale(3, mean, deviation),
                           .limits = image_default_limits,
                           .seed = 11,
                           .threads = threads,
                           .ahead = ahead,
                           .most_bad = 1};
}

static size_t picture_values(const LoaderOptions *options) {
    return (size_t)(options->height * options->width * options->channels);
}

size_t loader_batch_values(const LoaderOptions *options) {
    return (size_t)options->batch * picture_values(options);
}

Loader *loader_start(Arena *arena, const Source *source, const LoaderOptions *options,
                     LoaderPosition start) {
    Loader *loader;
    Status status = loader_create(arena, source, options, start, NULL, NULL, &loader);
    invariant(status_fine(status), "%s", status.message);
    return loader;
}

/* Decodes a sample into `output`; false if it is bad. */
static bool decode(Arena *arena, const SourceSample *sample, const LoaderOptions *options,
                   uint32_t epoch, uint64_t index, float *output) {
    const uint8_t *bytes;
    size_t length;
    Image image;
    if (!status_fine(source_read(arena, sample, &bytes, &length)) ||
        !status_fine(image_decode(arena, bytes, length, 3, &options->limits, &image)))
        return false;
    AugmentChoice choice =
        augment_choose(&options->augment, options->seed, epoch, index, image.width, image.height);
    augment_apply(arena, &image, choice, &options->scale, options->height, options->width, output);
    return true;
}

/* One more picture of the epoch, behind the `filled` that the batch has; how many it has now. */
static size_t add_picture(Arena *arena, const Source *source, const LoaderOptions *options,
                          LoaderExpected *expected, size_t filled) {
    LoaderPosition *at = &expected->next;
    uint64_t *order = arena_new_array(arena, uint64_t, source->samples.count);
    float *pixels = arena_new_array(arena, float, picture_values(options));
    order_shuffle(options->seed, at->epoch, source->samples.count, order);
    uint64_t sample = order[at->index++];
    if (!decode(arena, &source->samples.items[sample], options, at->epoch, sample, pixels)) {
        at->bad++;
        return filled;
    }
    if (filled < (size_t)options->batch) {
        memcpy(expected->images + filled * picture_values(options), pixels,
               picture_values(options) * sizeof *pixels);
        expected->samples[filled] = sample;
    }
    return filled + 1;
}

LoaderExpected loader_expect(Arena *arena, const Source *source, const LoaderOptions *options,
                             LoaderPosition start) {
    size_t count = source->samples.count, batch = (size_t)options->batch, filled = 0;
    LoaderExpected expected = {arena_new_array(arena, uint64_t, batch),
                               arena_new_array(arena, float, loader_batch_values(options)), start};
    while (filled < batch) {
        if (expected.next.index == count) {
            expected.next = (LoaderPosition){.epoch = expected.next.epoch + 1};
            filled = 0;
        }
        filled = add_picture(arena, source, options, &expected, filled);
    }
    if (count - expected.next.index < batch)
        expected.next = (LoaderPosition){.epoch = expected.next.epoch + 1};
    return expected;
}

bool loader_positions_equal(LoaderPosition a, LoaderPosition b) {
    return a.epoch == b.epoch && a.index == b.index && a.bad == b.bad;
}

void loader_check_next(Loader *loader, const LoaderOptions *options,
                       const LoaderExpected *expected) {
    Arena *arena = arena_create();
    float *images = arena_new_array(arena, float, loader_batch_values(options));
    LoaderBatch batch;
    Status status = loader_next(loader, arena, images, &batch);
    CU_ASSERT_FATAL(status_fine(status));
    CU_ASSERT(loader_positions_equal(batch.next, expected->next));
    CU_ASSERT(batch.waited >= 0);
    CU_ASSERT(memcmp(images, expected->images, loader_batch_values(options) * sizeof *images) == 0);
    CU_ASSERT(memcmp(batch.samples, expected->samples,
                     (size_t)options->batch * sizeof *batch.samples) == 0);
    arena_destroy(arena);
}
