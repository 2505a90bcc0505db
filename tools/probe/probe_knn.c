#include "tools/probe/probe_knn.h"

#include <math.h>
#include <string.h>

enum { TEST_ROWS = 16, TRAIN_ROWS = 128 };

static const double temperature = 0.07;

typedef struct Neighbour {
    float similarity;
    uint32_t row;
} Neighbour;

/* The nearest so far, falling. */
typedef struct Nearest {
    Neighbour *items;
    size_t count, most;
} Nearest;

typedef struct Search {
    Features train, test; /* rows of length 1 */
    size_t k, class_count;
    uint32_t *predictions;
} Search;

/* ---- Lengths --------------------------------------------------------------------------------- */

static void normalise_rows(void *context, int64_t chunk, int thread) {
    (void)thread;
    Features *features = context;
    size_t first = (size_t)chunk * TRAIN_ROWS, end = first + TRAIN_ROWS;
    for (size_t row = first; row < end && row < features->count; row++) {
        float *values = features->values + row * features->stride;
        double sum = 0;
        for (size_t i = 0; i < features->width; i++)
            sum += (double)values[i] * (double)values[i];
        float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
        for (size_t i = 0; i < features->width; i++)
            values[i] *= scale;
    }
}

static int64_t chunks_of(size_t count, size_t size) {
    return (int64_t)((count + size - 1) / size);
}

static Features normalised(Arena *arena, Threads *threads, const Features *features) {
    Features copy = features_create(arena, features->count, features->width);
    memcpy(copy.values, features->values, copy.count * copy.stride * sizeof *copy.values);
    memcpy(copy.classes, features->classes, copy.count * sizeof *copy.classes);
    threads_run(threads, normalise_rows, &copy, chunks_of(copy.count, TRAIN_ROWS));
    return copy;
}

/* ---- Neighbours ------------------------------------------------------------------------------ */

/* Rows come in their order: an equal one later is not nearer. */
static void offer(Nearest *nearest, float similarity, uint32_t row) {
    size_t place = nearest->count;
    if (place == nearest->most) {
        if (!(similarity > nearest->items[place - 1].similarity))
            return;
        place--;
    } else {
        nearest->count++;
    }
    for (; place > 0 && similarity > nearest->items[place - 1].similarity; place--)
        nearest->items[place] = nearest->items[place - 1];
    nearest->items[place] = (Neighbour){similarity, row};
}

static uint32_t vote(const Search *search, const Nearest *nearest, double *votes) {
    uint32_t best = 0;
    for (size_t i = 0; i < nearest->count; i++) {
        const Neighbour *item = &nearest->items[i];
        votes[search->train.classes[item->row]] += exp((double)item->similarity / temperature);
    }
    for (size_t i = 0; i < search->class_count; i++) {
        if (votes[i] > votes[best])
            best = (uint32_t)i;
    }
    return best;
}

/* Some test rows against all training rows, which pass through the caches in blocks. */
static void search_rows(void *context, int64_t chunk, int thread) {
    (void)thread;
    const Search *search = context;
    const Features *train = &search->train, *test = &search->test;
    size_t first = (size_t)chunk * TEST_ROWS, rows = test->count - first;
    Arena *arena = arena_create();
    Nearest nearest[TEST_ROWS];
    rows = rows < TEST_ROWS ? rows : TEST_ROWS;
    for (size_t i = 0; i < rows; i++)
        nearest[i] = (Nearest){arena_new_array(arena, Neighbour, search->k), 0, search->k};
    for (size_t block = 0; block < train->count; block += TRAIN_ROWS) {
        size_t end = block + TRAIN_ROWS < train->count ? block + TRAIN_ROWS : train->count;
        for (size_t i = 0; i < rows; i++) {
            const float *wanted = test->values + (first + i) * test->stride;
            for (size_t row = block; row < end; row++)
                offer(&nearest[i],
                      features_dot(wanted, train->values + row * train->stride, train->stride),
                      (uint32_t)row);
        }
    }
    double *votes = arena_new_array(arena, double, search->class_count);
    for (size_t i = 0; i < rows; i++) {
        memset(votes, 0, search->class_count * sizeof *votes);
        search->predictions[first + i] = vote(search, &nearest[i], votes);
    }
    arena_destroy(arena);
}

void knn_predict(Threads *threads, const Features *train, const Features *test, size_t class_count,
                 int k, uint32_t *predictions) {
    Arena *arena = arena_create();
    size_t most = (size_t)k < train->count ? (size_t)k : train->count;
    Search search = {normalised(arena, threads, train), normalised(arena, threads, test), most,
                     class_count, predictions};
    threads_run(threads, search_rows, &search, chunks_of(test->count, TEST_ROWS));
    arena_destroy(arena);
}

double knn_accuracy(const Features *test, const uint32_t *predictions) {
    size_t right = 0;
    for (size_t i = 0; i < test->count; i++)
        right += predictions[i] == test->classes[i];
    return (double)right / (double)test->count;
}
