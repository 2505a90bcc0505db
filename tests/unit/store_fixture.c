#include "tests/unit/store_fixture.h"

#include <CUnit/CUnit.h>
#include <dirent.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

Store store_begin(void) {
    Arena *arena = arena_create();
    char *folder = arena_format(arena, "/tmp/sparkc-store-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    return (Store){arena, folder};
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *position) {
    (void)info;
    (void)kind;
    (void)position;
    return remove(path);
}

void store_end(Store *store) {
    CU_ASSERT_EQUAL(nftw(store->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    arena_destroy(store->arena);
}

const char *store_path(const Store *store, const char *name) {
    return arena_format(store->arena, "%s/%s", store->folder, name);
}

void store_write(const char *path, const void *bytes, size_t length) {
    FILE *file = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(bytes, 1, length, file), length);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

char *store_read(const Store *store, const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = arena_alloc(store->arena, *length + 1, 1);
    CU_ASSERT_EQUAL(fread(bytes, 1, *length, file), *length);
    fclose(file);
    return bytes;
}

bool store_holds(const Store *store, const char *path, const char *text) {
    size_t length;
    const char *bytes = store_read(store, path, &length);
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

size_t store_count(const char *folder) {
    size_t count = 0;
    DIR *stream = opendir(folder);
    for (struct dirent *entry; stream && (entry = readdir(stream)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (stream)
        closedir(stream);
    return count;
}

void store_expect_failure(Status status, const char *words) {
    CU_ASSERT_FALSE_FATAL(status_fine(status));
    if (!strstr(status.message, words)) {
        printf("\n  gives: %s\n  not:   %s\n", status.message, words);
        CU_FAIL("another message");
    }
}

int store_run(StoreBody *body, void *context) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    CU_ASSERT_TRUE_FATAL(child >= 0);
    if (child == 0) {
        int result = body(context);
        fflush(NULL);
        _exit(result);
    }
    CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool allowed(bool done, const char *what) {
    if (!done)
        printf("(skipped: %s is not allowed here) ", what);
    return done;
}

bool store_become_nobody(void) {
    return allowed(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0, "to change the user");
}

bool store_limit_files(size_t bytes) {
    struct rlimit limit = {bytes, bytes};
    signal(SIGXFSZ, SIG_IGN);
    return allowed(setrlimit(RLIMIT_FSIZE, &limit) == 0, "to limit the size of files");
}

bool store_mount_small(const char *folder) {
    return allowed(geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                       mount("none", folder, "tmpfs", 0, "size=256k") == 0,
                   "to mount a small file system");
}
