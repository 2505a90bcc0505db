/* Writers that are killed at any moment. */
#include <CUnit/CUnit.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/train/run_folder.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_state.h"
#include "tests/unit/store_suites.h"

enum { KILLS = 30, MOST_KILLS = 1000, STEPS = 10, KEEP = 2, PADDING = 1 << 18 };

/* What a writer has said that it has done; survives it. */
typedef struct Promise {
    volatile int64_t step; /* the newest checkpoint that is written */
    volatile double best;  /* the least loss of these */
} Promise;

/* Losses go up and down, so that the best is now among the newest and now not. */
static double loss_of(int64_t step) {
    return (double)(step * 2654435761 % 1009);
}

/* Takes the lock, goes on from the newest checkpoint, and writes until it is killed. */
static _Noreturn void write_checkpoints(const Store *store, Promise *promise) {
    const char *folder = store_path(store, "checkpoints");
    RunLock *lock;
    CheckpointFile *files;
    size_t count;
    if (!status_fine(run_folder_lock(store->arena, store->folder, &lock)))
        _exit(1);
    checkpoint_clean(folder);
    if (!status_fine(checkpoint_list(store->arena, folder, &files, &count)))
        _exit(2);
    for (int64_t step = count > 0 ? files[0].step + 1 : 1;; step++) {
        Arena *arena = arena_create();
        if (!status_fine(state_write_padded(arena, folder, step, loss_of(step), KEEP, PADDING)))
            _exit(3);
        promise->step = step;
        if (loss_of(step) < promise->best)
            promise->best = loss_of(step);
        arena_destroy(arena);
    }
}

/* Starts a writer and kills it after some nanoseconds; true if nothing else ended it. */
static bool kill_a_writer(const Store *store, Promise *promise, long wait) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        write_checkpoints(store, promise);
    nanosleep(&(struct timespec){wait / 1000000000, wait % 1000000000}, NULL);
    return kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child &&
           WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* True if the newest checkpoint is whole and at least as new as promised, and the best is there. */
static bool keeps(const Store *store, const Promise *promise) {
    CheckpointFile *files;
    size_t count;
    bool best = false;
    Status status = checkpoint_list(store->arena, store_path(store, "checkpoints"), &files, &count);
    if (!status_fine(status) || count == 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        status = state_check(store->arena, files[i].path, files[i].step);
        if (!status_fine(status)) {
            printf("\n  %s\n", status.message);
            return false;
        }
        best |= loss_of(files[i].step) <= promise->best;
    }
    bool fine = best && files[0].step >= promise->step;
    if (!fine)
        printf("\n  %zu checkpoints, the newest of step %" PRId64 ", promised %" PRId64 "%s\n",
               count, files[0].step, promise->step, best ? "" : ", no best one");
    return fine;
}

/* Nanoseconds that writing a checkpoint and all around it takes, so that kills hit every part. */
static long measure(const Store *store) {
    double start = clock_seconds();
    CU_ASSERT_TRUE(status_fine(state_write_padded(store->arena, store_path(store, "checkpoints"), 1,
                                                  loss_of(1), KEEP, PADDING)));
    return (long)((clock_seconds() - start) * 1e9);
}

/* An undisturbed writer removes what the killed ones have left. */
static void check_order(const Store *store) {
    const char *folder = store_path(store, "checkpoints");
    CheckpointFile *files;
    size_t count;
    checkpoint_clean(folder);
    CU_ASSERT_TRUE_FATAL(status_fine(checkpoint_list(store->arena, folder, &files, &count)));
    CU_ASSERT_TRUE(status_fine(state_write(store->arena, folder, files[0].step + 1, 1e6, KEEP)));
    CU_ASSERT_TRUE_FATAL(status_fine(checkpoint_list(store->arena, folder, &files, &count)));
    CU_ASSERT_TRUE(count == KEEP || count == KEEP + 1);
    CU_ASSERT_EQUAL(store_count(folder), 2 * count);
}

static void always_leaves_a_whole_newest_checkpoint(void) {
    Store store = store_begin();
    uint64_t state = (uint64_t)time(NULL), longest = (uint64_t)measure(&store) * 4;
    Promise *promise =
        mmap(NULL, sizeof *promise, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_NOT_EQUAL_FATAL(promise, MAP_FAILED);
    *promise = (Promise){1, loss_of(1)};
    for (int i = 0; i < KILLS || (promise->step < STEPS && i < MOST_KILLS); i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        CU_ASSERT_TRUE(kill_a_writer(&store, promise, (long)((state >> 33) % longest)));
        CU_ASSERT_TRUE(keeps(&store, promise));
    }
    CU_ASSERT_TRUE(promise->step >= STEPS);
    check_order(&store);
    munmap(promise, sizeof *promise);
    store_end(&store);
}

/* Writes one more checkpoint, but is ended by a signal when a file grows beyond a size. */
typedef struct Death {
    const Store *store;
    size_t size;
} Death;

static int die_at_a_size(void *context) {
    const Death *death = context;
    struct rlimit none = {0, 0}, limit = {death->size, death->size};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    return status_fine(state_write(death->store->arena, death->store->folder, 20, 2, 1)) ? 0 : 2;
}

/* The end of a writer all along the files, which kills at random moments seldom hit. */
static void survives_a_death_at_any_byte(void) {
    Store store = store_begin();
    const char *old = store_path(&store, "step-00000010.safetensors");
    int ended = -1, deaths = 0;
    CU_ASSERT_TRUE(status_fine(state_write(store.arena, store.folder, 10, 1, 1)));
    for (size_t size = 0; ended != 0 && deaths < 10000; size += 11, deaths++) {
        CheckpointFile *files;
        size_t count;
        Death death = {&store, size};
        ended = store_run(die_at_a_size, &death);
        CU_ASSERT_TRUE_FATAL(ended == 0 || ended == -1);
        CU_ASSERT_TRUE(status_fine(state_check(store.arena, old, 10)));
        CU_ASSERT_TRUE(status_fine(checkpoint_list(store.arena, store.folder, &files, &count)));
        CU_ASSERT_EQUAL(count, ended == 0 ? 2 : 1);
        checkpoint_clean(store.folder);
        CU_ASSERT_EQUAL(store_count(store.folder), 2 * count);
    }
    CU_ASSERT_TRUE(deaths > 50);
    store_end(&store);
}

CU_TestInfo store_kill_tests[] = {
    {"survives a death at any byte", survives_a_death_at_any_byte},
    {"always leaves a whole newest checkpoint", always_leaves_a_whole_newest_checkpoint},
    CU_TEST_INFO_NULL,
};
