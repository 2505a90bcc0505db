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

/* The ticket says which job is running and which chunk is next: the job's number in the upper bits.
 * A thread takes a chunk only if the ticket still speaks of the job it came for, so one that wakes
 * late takes nothing, and nobody waits for it. */
enum { CHUNK_BITS = 40 };
static const uint64_t CHUNK_MASK = ((uint64_t)1 << CHUNK_BITS) - 1;

struct Threads {
    int count;
    Worker *workers; /* count - 1 of them */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    ThreadsJob *job; /* read only by who holds a chunk of it */
    void *context;
    _Atomic uint64_t ticket;
    _Atomic int64_t chunks; /* of the job of the ticket */
    _Atomic int64_t done;   /* of these */
    atomic_bool stop;
};

static uint64_t job_number(uint64_t ticket) {
    return ticket >> CHUNK_BITS;
}

/* Runs chunks of job `number` until there are none left. */
static void run_chunks(Threads *threads, uint64_t number, int thread) {
    uint64_t ticket = atomic_load(&threads->ticket);
    while (job_number(ticket) == number) {
        int64_t chunk = (int64_t)(ticket & CHUNK_MASK);
        if (chunk >= atomic_load(&threads->chunks))
            return;
        if (!atomic_compare_exchange_weak(&threads->ticket, &ticket, ticket + 1))
            continue;
        threads->job(threads->context, chunk, thread);
        atomic_fetch_add(&threads->done, 1);
        ticket = atomic_load(&threads->ticket);
    }
}

/* Waits until there is a job other than number `seen`; returns its number. */
static uint64_t wait_for_job(Threads *threads, uint64_t seen) {
    uint64_t number = seen;
    for (int i = 0; i < SPINS && number == seen; i++)
        number = job_number(atomic_load(&threads->ticket));
    if (number != seen)
        return number;
    pthread_mutex_lock(&threads->mutex);
    while ((number = job_number(atomic_load(&threads->ticket))) == seen)
        pthread_cond_wait(&threads->wake, &threads->mutex);
    pthread_mutex_unlock(&threads->mutex);
    return number;
}

static void *work(void *context) {
    Worker *worker = context;
    Threads *threads = worker->threads;
    uint64_t seen = 0;
    for (;;) {
        seen = wait_for_job(threads, seen);
        if (atomic_load(&threads->stop))
            return NULL;
        run_chunks(threads, seen, worker->number);
    }
}

/* Makes the next job known; what it consists of is set before. */
static uint64_t announce(Threads *threads) {
    uint64_t number = job_number(atomic_load(&threads->ticket)) + 1;
    pthread_mutex_lock(&threads->mutex);
    atomic_store(&threads->ticket, number << CHUNK_BITS);
    pthread_cond_broadcast(&threads->wake);
    pthread_mutex_unlock(&threads->mutex);
    return number;
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
    /* From here on nobody can take a chunk of the old job, whatever `chunks` says. */
    atomic_fetch_or(&threads->ticket, CHUNK_MASK);
    threads->job = job;
    threads->context = context;
    atomic_store(&threads->done, 0);
    atomic_store(&threads->chunks, chunks);
    run_chunks(threads, announce(threads), 0);
    while (atomic_load(&threads->done) < chunks)
        sched_yield();
}

int threads_available(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}
