/* A pool of threads that run the chunks of one job at a time. */
#ifndef SPARKC_RUNTIME_THREADS_H
#define SPARKC_RUNTIME_THREADS_H

#include <stdint.h>

#include "base/status.h"

typedef struct Threads Threads;

/* The work of chunk `chunk`, done by thread `thread` (0 .. count - 1). */
typedef void ThreadsJob(void *context, int64_t chunk, int thread);

/* A pool of `count` threads, the caller's own included; count is at least 1. */
Status threads_create(Arena *arena, int count, Threads **threads);
void threads_destroy(Threads *threads);
int threads_count(const Threads *threads);

/* Runs job for chunks 0 .. chunks - 1, each once, in any order and on any thread; returns when all
 * are done. */
void threads_run(Threads *threads, ThreadsJob *job, void *context, int64_t chunks);

/* The number of processors this process may run on. */
int threads_available(void);

#endif
