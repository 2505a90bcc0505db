/* Loaders come and go, and take no more memory after many pictures than after some. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/fatal.h"
#include "tests/unit/loader_fixture.h"
#include "tests/unit/loader_suites.h"

static bool every_fourth(int number) {
    return number % 4 == 3;
}

/* At once, and after 0.1, 0.2, .. milliseconds; with a full ring, and with threads that decode. */
static void ends_while_threads_decode(void) {
    Folder folder = folder_create();
    loader_folder_fill(folder, 30, every_fourth);
    Source source = loader_folder_open(folder);
    for (int i = 0; i < 60; i++) {
        LoaderOptions options = loader_options(4, 1 + i % 5, i % 2 ? 4 : 1000);
        const struct timespec pause = {0, i / 2 * 100000};
        Arena *arena = arena_create();
        float *images = arena_new_array(arena, float, loader_batch_values(&options));
        LoaderBatch batch;
        Loader *loader = loader_start(arena, &source, &options, (LoaderPosition){0});
        nanosleep(&pause, NULL);
        if (i % 3 == 0)
            CU_ASSERT(status_fine(loader_next(loader, arena, images, &batch)));
        loader_destroy(loader);
        arena_destroy(arena);
    }
    loader_destroy(NULL);
    folder_destroy(folder);
}

static volatile sig_atomic_t signals;

static void count_signal(int number) {
    (void)number;
    signals++;
}

/* A signal that this thread blocks stays pending, because no other thread takes it. */
static void leaves_signals_to_the_program(void) {
    const struct sigaction counting = {.sa_handler = count_signal};
    const struct timespec pause = {0, 20000000};
    Folder folder = folder_create();
    loader_folder_fill(folder, 8, NULL);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(4, 3, 8);
    struct sigaction old_action;
    sigset_t wanted, old_mask;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigaction(SIGUSR1, &counting, &old_action);
    Loader *loader = loader_start(folder.arena, &source, &options, (LoaderPosition){0});
    pthread_sigmask(SIG_BLOCK, &wanted, &old_mask);
    kill(getpid(), SIGUSR1);
    nanosleep(&pause, NULL);
    CU_ASSERT_EQUAL(signals, 0);
    pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    CU_ASSERT_EQUAL(signals, 1);
    sigaction(SIGUSR1, &old_action, NULL);
    loader_destroy(loader);
    folder_destroy(folder);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

/* Bytes of the process in memory. */
static long resident_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    invariant(file && fscanf(file, "%*d %ld", &pages) == 1, "no /proc/self/statm");
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* A leaked block of an arena for each picture would be 600 megabytes, for each bad one 150.
 * Sanitizers keep freed memory for a while, and look for leaks themselves. */
static void does_not_grow(void) {
    enum { WARM = 100, MORE = 1000, BATCH = 8 };
    Folder folder = folder_create();
    loader_folder_fill(folder, 40, every_fourth);
    Source source = loader_folder_open(folder);
    LoaderOptions options = loader_options(BATCH, 2, 3 * BATCH);
    float *images = arena_new_array(folder.arena, float, loader_batch_values(&options));
    Loader *loader = loader_start(folder.arena, &source, &options, (LoaderPosition){0});
    long before = 0;
    for (int i = 0; i < WARM + MORE; i++) {
        LoaderBatch batch;
        if (i == WARM)
            before = resident_bytes();
        CU_ASSERT_FATAL(status_fine(loader_next(loader, folder.arena, images, &batch)));
    }
    CU_ASSERT(SANITIZED || resident_bytes() - before < 4 << 20);
    loader_destroy(loader);
    folder_destroy(folder);
}

CU_TestInfo loader_life_tests[] = {
    {"ends while threads decode", ends_while_threads_decode},
    {"leaves signals to the program", leaves_signals_to_the_program},
    {"does not grow", does_not_grow},
    CU_TEST_INFO_NULL,
};
