/* One writer per run. */
#include <CUnit/CUnit.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/train/run_folder.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_suites.h"

/* Starts a process that takes the lock and sleeps; returns when it has it. */
static pid_t start_holder(const Store *store) {
    int ready[2];
    char byte = 0;
    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        RunLock *lock;
        bool taken = status_fine(run_folder_lock(store->arena, store->folder, &lock));
        if (write(ready[1], taken ? "y" : "n", 1) == 1)
            pause();
        _exit(1);
    }
    CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
    CU_ASSERT_EQUAL(byte, 'y');
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void refuses_a_second_process(void) {
    Store store = store_begin();
    RunLock *lock;
    pid_t holder = start_holder(&store);
    store_expect_failure(run_folder_lock(store.arena, store.folder, &lock),
                         arena_format(store.arena, "%s: process %ld is writing to this run;",
                                      store.folder, (long)holder));
    CU_ASSERT_EQUAL(kill(holder, SIGKILL), 0);
    CU_ASSERT_EQUAL(waitpid(holder, NULL, 0), holder);
    CU_ASSERT_TRUE_FATAL(status_fine(run_folder_lock(store.arena, store.folder, &lock)));
    CU_ASSERT_TRUE(store_holds(&store, store_path(&store, "lock"),
                               arena_format(store.arena, "%ld\n", (long)getpid())));
    run_folder_unlock(lock);
    store_end(&store);
}

static void gives_the_lock_back(void) {
    Store store = store_begin();
    const char *run = store_path(&store, "some/run");
    RunLock *lock;
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_TRUE_FATAL(status_fine(run_folder_lock(store.arena, run, &lock)));
        RunLock *second;
        store_expect_failure(run_folder_lock(store.arena, run, &second), "is writing to this run");
        run_folder_unlock(lock);
    }
    run_folder_unlock(NULL);
    CU_ASSERT_TRUE(store_holds(&store, store_path(&store, "some/run/lock"), ""));
    store_end(&store);
}

/* A refused process must not touch what the holder is writing. */
static void removes_temporary_files_with_the_lock_only(void) {
    Store store = store_begin();
    RunLock *lock, *second;
    CU_ASSERT_TRUE_FATAL(status_fine(run_folder_lock(store.arena, store.folder, &lock)));
    store_write(store_path(&store, "run.json.sparkc-a1B2c3"), "", 0);
    store_write(store_path(&store, "run.json"), "", 0);
    CU_ASSERT_FALSE(status_fine(run_folder_lock(store.arena, store.folder, &second)));
    CU_ASSERT_EQUAL(store_count(store.folder), 3);
    run_folder_unlock(lock);
    CU_ASSERT_TRUE_FATAL(status_fine(run_folder_lock(store.arena, store.folder, &lock)));
    CU_ASSERT_EQUAL(store_count(store.folder), 2);
    run_folder_unlock(lock);
    store_end(&store);
}

static void fails_where_no_folder_can_be(void) {
    Store store = store_begin();
    RunLock *lock;
    store_write(store_path(&store, "file"), "", 0);
    store_expect_failure(run_folder_lock(store.arena, store_path(&store, "file"), &lock),
                         "file: is there, but is not a folder");
    store_end(&store);
}

CU_TestInfo store_lock_tests[] = {
    {"refuses a second process", refuses_a_second_process},
    {"gives the lock back", gives_the_lock_back},
    {"removes temporary files with the lock only", removes_temporary_files_with_the_lock_only},
    {"fails where no folder can be", fails_where_no_folder_can_be},
    CU_TEST_INFO_NULL,
};
