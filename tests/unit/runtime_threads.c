#include "runtime/threads.h"

#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/runtime_suites.h"

enum { MOST_CHUNKS = 1000, MOST_THREADS = 8 };

/* What a job saw. `total` is not atomic: it must be visible to the caller after the run. */
typedef struct Record {
    atomic_int runs[MOST_CHUNKS];
    atomic_int inside[MOST_THREADS]; /* jobs that run on a thread number at present */
    atomic_bool twice, strange;
    int threads;
    int64_t values[MOST_CHUNKS];
} Record;

static void job(void *context, int64_t chunk, int thread) {
    Record *record = context;
    if (thread < 0 || thread >= record->threads || chunk < 0 || chunk >= MOST_CHUNKS) {
        atomic_store(&record->strange, true);
        return;
    }
    if (atomic_fetch_add(&record->inside[thread], 1) != 0)
        atomic_store(&record->twice, true);
    atomic_fetch_add(&record->runs[chunk], 1);
    record->values[chunk] = chunk * chunk;
    atomic_fetch_sub(&record->inside[thread], 1);
}

static Threads *create(Arena *arena, int count) {
    Threads *threads;
    CU_ASSERT_PTR_NULL_FATAL(threads_create(arena, count, &threads).message);
    CU_ASSERT_EQUAL(threads_count(threads), count);
    return threads;
}

static void expect_each_once(const Record *record, int64_t chunks) {
    for (int64_t i = 0; i < MOST_CHUNKS; i++) {
        CU_ASSERT_EQUAL(atomic_load(&record->runs[i]), i < chunks ? 1 : 0);
        CU_ASSERT_EQUAL(record->values[i], i < chunks ? i * i : 0);
    }
    CU_ASSERT_FALSE(atomic_load(&record->twice));
    CU_ASSERT_FALSE(atomic_load(&record->strange));
}

static void each_chunk_once(void) {
    static const int64_t chunk_counts[] = {0, 1, 2, 3, 7, 64, MOST_CHUNKS};
    for (int count = 1; count <= MOST_THREADS; count += count < 3 ? 1 : 5) {
        Arena *arena = arena_create();
        Threads *threads = create(arena, count);
        for (size_t i = 0; i < sizeof chunk_counts / sizeof *chunk_counts; i++) {
            Record *record = arena_new(arena, Record);
            record->threads = count;
            threads_run(threads, job, record, chunk_counts[i]);
            expect_each_once(record, chunk_counts[i]);
        }
        threads_destroy(threads);
        arena_destroy(arena);
    }
}

static void count_up(void *context, int64_t chunk, int thread) {
    (void)chunk, (void)thread;
    atomic_fetch_add((atomic_long *)context, 1);
}

/* Jobs so short that workers find the next one while they still look for the last. */
static void many_short_jobs(void) {
    Arena *arena = arena_create();
    Threads *threads = create(arena, 3);
    atomic_long total = 0;
    for (int i = 0; i < 3000; i++)
        threads_run(threads, count_up, &total, 1 + i % 5);
    CU_ASSERT_EQUAL(atomic_load(&total), 3000 * 3);
    threads_destroy(threads);
    arena_destroy(arena);
}

/* Workers that have gone to sleep wake up for the next job, and for the end. */
static void after_a_sleep(void) {
    Arena *arena = arena_create();
    Threads *threads = create(arena, 3);
    for (int i = 0; i < 3; i++) {
        Record *record = arena_new(arena, Record);
        record->threads = 3;
        usleep(20000);
        threads_run(threads, job, record, 50);
        expect_each_once(record, 50);
    }
    usleep(20000);
    threads_destroy(threads);
    arena_destroy(arena);
}

static void unused_pool(void) {
    Arena *arena = arena_create();
    threads_destroy(create(arena, 4));
    threads_destroy(NULL);
    CU_ASSERT(threads_available() >= 1);
    arena_destroy(arena);
}

CU_TestInfo runtime_threads_tests[] = {
    {"each chunk runs once", each_chunk_once},
    {"many short jobs", many_short_jobs},
    {"jobs after a sleep", after_a_sleep},
    {"a pool that is never used", unused_pool},
    CU_TEST_INFO_NULL,
};
