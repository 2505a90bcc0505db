#include "runtime/threads.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Kernels follow one another within microseconds, so a worker looks for work this often before it
 * sleeps. */
enum { SPINS = 20000 };

typedef struct Worker {
    Threads *threads;
    pthread_t handle;
    int number;
} Worker;

struct Threads {
    int count;
    Worker *workers; /* count - 1 of them */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    ThreadsJob *job;
    void *context;
    int64_t chunks;
    atomic_int_fast64_t next;
    atomic_uint generation; /* of jobs; workers wait for it to change */
    atomic_int busy;        /* workers that have not finished the present job */
    atomic_bool stop;
};

static void run_chunks(Threads *threads, int number) {
    for (;;) {
        int64_t chunk = atomic_fetch_add_explicit(&threads->next, 1, memory_order_relaxed);
        if (chunk >= threads->chunks)
            return;
        threads->job(threads->context, chunk, number);
    }
}

/* Waits until there is a job newer than `seen`; returns its generation. */
static unsigned wait_for_job(Threads *threads, unsigned seen) {
    for (int i = 0; i < SPINS; i++)
        if (atomic_load(&threads->generation) != seen)
            return atomic_load(&threads->generation);
    pthread_mutex_lock(&threads->mutex);
    while (atomic_load(&threads->generation) == seen)
        pthread_cond_wait(&threads->wake, &threads->mutex);
    pthread_mutex_unlock(&threads->mutex);
    return atomic_load(&threads->generation);
}

static void *work(void *context) {
    Worker *worker = context;
    Threads *threads = worker->threads;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_job(threads, seen);
        if (atomic_load(&threads->stop))
            return NULL;
        run_chunks(threads, worker->number);
        atomic_fetch_sub(&threads->busy, 1);
    }
}

static void announce(Threads *threads) {
    pthread_mutex_lock(&threads->mutex);
    atomic_fetch_add(&threads->generation, 1);
    pthread_cond_broadcast(&threads->wake);
    pthread_mutex_unlock(&threads->mutex);
}

Status threads_create(Arena *arena, int count, Threads **out) {
    Threads *threads = calloc(1, sizeof *threads);
    Worker *workers = calloc((size_t)count, sizeof *workers);
    *out = threads;
    if (!threads || !workers) {
        free(threads);
        free(workers);
        return status_failure(arena, "out of memory for %d threads", count);
    }
    threads->count = 1;
    threads->workers = workers;
    pthread_mutex_init(&threads->mutex, NULL);
    pthread_cond_init(&threads->wake, NULL);
    for (int i = 0; i < count - 1; i++) {
        workers[i] = (Worker){.threads = threads, .number = i + 1};
        int error = pthread_create(&workers[i].handle, NULL, work, &workers[i]);
        if (error) {
            threads_destroy(threads);
            *out = NULL;
            return status_failure(arena, "thread %d of %d cannot be started: %s", i + 2, count,
                                  strerror(error));
        }
        threads->count++;
    }
    return STATUS_FINE;
}

void threads_destroy(Threads *threads) {
    if (!threads)
        return;
    atomic_store(&threads->stop, true);
    announce(threads);
    for (int i = 0; i < threads->count - 1; i++)
        pthread_join(threads->workers[i].handle, NULL);
    pthread_cond_destroy(&threads->wake);
    pthread_mutex_destroy(&threads->mutex);
    free(threads->workers);
    free(threads);
}

int threads_count(const Threads *threads) {
    return threads->count;
}

void threads_run(Threads *threads, ThreadsJob *job, void *context, int64_t chunks) {
    if (threads->count == 1 || chunks == 1) {
        for (int64_t chunk = 0; chunk < chunks; chunk++)
            job(context, chunk, 0);
        return;
    }
    threads->job = job;
    threads->context = context;
    threads->chunks = chunks;
    atomic_store(&threads->next, 0);
    atomic_store(&threads->busy, threads->count - 1);
    announce(threads);
    run_chunks(threads, 0);
    while (atomic_load(&threads->busy) > 0)
        sched_yield();
}

int threads_available(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}
