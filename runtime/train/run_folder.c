#include "runtime/train/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "runtime/file.h"

struct RunLock {
    int descriptor;
};

/* Who has the lock: "process 123", or "another process" while its number is not written. */
static const char *holder(Arena *arena, int descriptor) {
    char text[32] = "";
    ssize_t length = pread(descriptor, text, sizeof text - 1, 0);
    long number = length > 0 ? strtol(text, NULL, 10) : 0;
    return number > 0 ? arena_format(arena, "process %ld", number) : "another process";
}

/* With errno, if it fails. */
static bool write_number(int descriptor) {
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    return ftruncate(descriptor, 0) == 0 &&
           pwrite(descriptor, text, (size_t)length, 0) == (ssize_t)length;
}

static Status take(Arena *arena, const char *run, int descriptor) {
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? status_failure(arena,
                                    "%s: %s is writing to this run; wait for its end, or give "
                                    "another folder",
                                    run, holder(arena, descriptor))
                   : status_failure(arena, "%s/lock: cannot be locked: %s", run, strerror(errno));
    if (!write_number(descriptor))
        return status_failure(arena, "%s/lock: cannot be written: %s", run, strerror(errno));
    return STATUS_FINE;
}

Status run_folder_lock(Arena *arena, const char *run, RunLock **lock) {
    status_return_if_failed(file_make_folder(arena, run));
    const char *path = arena_format(arena, "%s/lock", run);
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0)
        return status_failure(arena, "%s: cannot be written: %s", path, strerror(errno));
    Status status = take(arena, run, descriptor);
    if (!status_fine(status)) {
        close(descriptor);
        return status;
    }
    file_remove_temporaries(run);
    *lock = arena_new(arena, RunLock);
    (*lock)->descriptor = descriptor;
    return STATUS_FINE;
}

void run_folder_unlock(RunLock *lock) {
    if (!lock)
        return;
    if (ftruncate(lock->descriptor, 0) != 0)
        errno = 0; /* the number of a process that has no lock does no harm */
    close(lock->descriptor);
}
