/* Features of pictures, against the graph's interpreter, one picture after the other; whole
 * pictures cut to the middle. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/random.h"
#include "runtime/data/centered.h"
#include "runtime/data/picture.h"
#include "runtime/initial.h"
#include "runtime/weights.h"
#include "tests/support/text_network.h"
#include "tests/unit/harness.h"
#include "tools/execute/extractor.h"

enum { PICTURES = 7, BAD = 2, SIDE = 16, CHANNELS = 3, WIDTH = 12, SEED = 5 };

static const double mean[] = {0.5, 0.4, 0.3}, deviation[] = {0.2, 0.25, 0.3};

static const char text[] =
    "network n(image = [3, 16, 16]) {\n"
    "    x = image |> c1: conv(8, kernel = 3, stride = 2, pad = 1) |> n1: batch_norm |> relu\n"
    "    feature x\n"
    "    x = x |> c2: conv(12, kernel = 3, stride = 2, pad = 1) |> n2: batch_norm |> silu\n"
    "         |> drop_path(0.3)\n"
    "    feature x\n"
    "    head { x |> global_avg_pool |> fc: linear(5) }\n"
    "}\n";

static const Graph *read_network(Arena *arena) {
    const Graph *graph = text_network(arena, diagnostics_create(arena, FRONTEND_ERROR_LIMIT), text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(graph);
    return graph;
}

/* ---- Pictures -------------------------------------------------------------------------------- */

typedef struct Folder {
    Arena *arena;
    char *path;
    Source source;
} Folder;

static const char *picture_path(const Folder *folder, int number) {
    return arena_format(folder->arena, "%s/%d.png", folder->path, number);
}

/* Noise, no two pictures of one size; one is cut short. */
static void write_one(const Folder *folder, int number) {
    Image image = {SIDE + 3 * number, SIDE + 7, CHANNELS, NULL};
    size_t bytes = (size_t)image.width * (size_t)image.height * CHANNELS;
    const char *path = picture_path(folder, number);
    image.pixels = arena_new_array(folder->arena, uint8_t, bytes);
    for (size_t i = 0; i < bytes; i++)
        image.pixels[i] = (uint8_t)random_word(1, (uint32_t)number, 0, i);
    invariant(status_fine(picture_write(folder->arena, &image, path)), "%s: not written", path);
    invariant(number != BAD || truncate(path, 200) == 0, "%s: not cut", path);
}

static Folder make_folder(void) {
    Folder folder = {.arena = arena_create()};
    folder.path = arena_copy_text(folder.arena, "/tmp/sparkc-extractor-XXXXXX", 28);
    invariant(mkdtemp(folder.path), "no folder can be made");
    for (int i = 0; i < PICTURES; i++)
        write_one(&folder, i);
    const char *path = folder.path;
    invariant(status_fine(source_open(folder.arena, &path, 1, &folder.source)), "no source");
    return folder;
}

static void remove_folder(Folder folder) {
    for (int i = 0; i < PICTURES; i++)
        remove(picture_path(&folder, i));
    rmdir(folder.path);
    arena_destroy(folder.arena);
}

/* ---- The interpreter's features -------------------------------------------------------------- */

static Executor *start_interpreter(Arena *arena, const Graph *network) {
    ExecutorOptions options = {.threads = 1};
    PassOptions pass = pass_options_default();
    Graph *graph = graph_copy(network, arena);
    Executor *executor = NULL;
    pass.entry = ENTRY_FEATURES;
    pass.batch = 1;
    pass.training = false;
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    invariant(passes_run(graph, &pass, NULL, diagnostics, NULL, NULL), "refused");
    invariant(status_fine(executor_interpreter.create(arena, graph, &options, &executor)),
              "no interpreter");
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        double *values = arena_new_array(arena, double, weights_count(segment));
        initial_fill(segment, SEED, values);
        executor->operations->write_param(executor, arena, segment->name, values,
                                          weights_count(segment));
    }
    return executor;
}

static void interpret(Arena *arena, Executor *executor, const SourceSample *sample,
                      double *feature) {
    float pixels[SIDE * SIDE * CHANNELS];
    double values[SIDE * SIDE * CHANNELS];
    AugmentScale scale = augment_scale(CHANNELS, mean, deviation);
    CenteredShape shape = {SIDE, SIDE, CHANNELS};
    invariant(status_fine(centered_load(arena, sample, shape, &scale, pixels)), "not loaded");
    for (size_t i = 0; i < SIDE * SIDE * CHANNELS; i++)
        values[i] = (double)pixels[i];
    executor->operations->write_input(executor, arena, "image", values, SIDE * SIDE * CHANNELS);
    invariant(status_fine(executor->operations->run(executor, arena)), "not run");
    ExecutorTensor map = executor->operations->output(executor, "feature.1");
    invariant(map.count == 4 * 4 * WIDTH, "%zu values", map.count);
    for (size_t c = 0; c < WIDTH; c++) {
        feature[c] = 0;
        for (size_t i = 0; i < 16; i++)
            feature[c] += map.data[i * WIDTH + c] / 16;
    }
}

/* ---- Tests ----------------------------------------------------------------------------------- */

/* What a run tells. */
typedef struct Hearing {
    char bad[512];
    size_t count, done, all;
} Hearing;

static void hear_bad(void *context, const char *name, const char *reason) {
    Hearing *hearing = context;
    hearing->count++;
    snprintf(hearing->bad, sizeof hearing->bad, "%s: %s", name, reason);
}

static void hear_progress(void *context, size_t done, size_t all) {
    Hearing *hearing = context;
    hearing->done = done;
    hearing->all = all;
}

static Features extract(Arena *arena, const Graph *network, const Folder *folder, int64_t batch,
                        int threads) {
    static const size_t samples[] = {6, 0, 1, 2, 3, 4, 5};
    static const uint32_t classes[] = {9, 1, 2, 3, 4, 5, 6};
    PassOptions pass = pass_options_default();
    ExecutorOptions options = {.threads = threads};
    Extractor *extractor = NULL;
    Hearing hearing = {0};
    ExtractorListener listener = {&hearing, hear_bad, hear_progress};
    ExtractorPictures pictures = {&folder->source, samples, classes, PICTURES};
    Features features = {0};
    pass.entry = ENTRY_FEATURES;
    pass.batch = batch;
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    Status status =
        extractor_create(arena, network, &pass, SEED, &options, diagnostics, &extractor);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    status = extractor_run(arena, extractor, &pictures, mean, deviation, &listener, &features);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    extractor_destroy(extractor);
    CU_ASSERT(hearing.count == 1 && strstr(hearing.bad, "/2.png: the PNG is cut short"));
    CU_ASSERT(hearing.done == PICTURES && hearing.all == PICTURES);
    return features;
}

static void features_are_means_of_the_deepest_map(void) {
    static const size_t samples[] = {6, 0, 1, 3, 4, 5};
    static const uint32_t classes[] = {9, 1, 2, 4, 5, 6};
    Folder folder = make_folder();
    const Graph *network = read_network(folder.arena);
    Features features = extract(folder.arena, network, &folder, 4, 2);
    Executor *executor = start_interpreter(folder.arena, network);
    CU_ASSERT_FATAL(features.count == PICTURES - 1 && features.width == WIDTH);
    for (size_t i = 0; i < features.count; i++) {
        double expected[WIDTH];
        interpret(folder.arena, executor, &folder.source.samples.items[samples[i]], expected);
        CU_ASSERT_EQUAL(features.classes[i], classes[i]);
        for (size_t c = 0; c < WIDTH; c++)
            CU_ASSERT_DOUBLE_EQUAL((double)features.values[i * features.stride + c], expected[c],
                                   1e-5 * (1 + fabs(expected[c])));
    }
    executor->operations->destroy(executor);
    remove_folder(folder);
}

static void batches_and_threads_change_nothing(void) {
    Folder folder = make_folder();
    const Graph *network = read_network(folder.arena);
    Features first = extract(folder.arena, network, &folder, 4, 1);
    for (int64_t batch = 1; batch <= 16; batch *= 4) {
        Features other = extract(folder.arena, network, &folder, batch, 3);
        CU_ASSERT_EQUAL_FATAL(other.count, first.count);
        for (size_t i = 0; i < first.count * first.stride; i++)
            CU_ASSERT_DOUBLE_EQUAL((double)first.values[i], (double)other.values[i], 1e-6);
    }
    remove_folder(folder);
}

static void the_middle_of_a_picture_is_taken(void) {
    static const struct {
        int width, height, wanted_width, wanted_height;
        ResizeBox box;
    } cases[] = {{20, 10, 8, 8, {5, 0, 10, 10}},    {10, 21, 8, 8, {0, 5, 10, 10}},
                 {10, 10, 16, 8, {0, 2, 10, 5}},    {30, 20, 3, 2, {0, 0, 30, 20}},
                 {1, 1, 100, 7, {0, 0, 1, 1}},      {4000, 3, 1, 1, {1998, 0, 3, 3}},
                 {3, 4000, 100, 1, {0, 1999, 3, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Image image = {cases[i].width, cases[i].height, 1, NULL};
        ResizeBox box = centered_box(&image, cases[i].wanted_width, cases[i].wanted_height);
        CU_ASSERT(memcmp(&box, &cases[i].box, sizeof box) == 0);
    }
}

static CU_TestInfo tests[] = {
    {"features are means of the deepest map", features_are_means_of_the_deepest_map},
    {"batches and threads change nothing", batches_and_threads_change_nothing},
    {"the middle of a picture is taken", the_middle_of_a_picture_is_taken},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("extractor", tests),
    CU_SUITE_INFO_NULL,
};
