/* The folder of a run has one writer at a time. */
#ifndef SPARKC_RUNTIME_TRAIN_RUN_FOLDER_H
#define SPARKC_RUNTIME_TRAIN_RUN_FOLDER_H

#include "base/status.h"

typedef struct RunLock RunLock;

/* Makes the folder `run` if it is missing, takes the lock RUN/lock, writes the process's number
 * into it, and removes the temporary files that killed writers left in `run` itself. Fails if
 * another writer has the lock, naming its process. The system takes the lock back when the process
 * ends, however it ends; a child made by fork shares it. The caller unlocks before the arena dies.
 */
Status run_folder_lock(Arena *arena, const char *run, RunLock **lock);

/* Gives the lock back; the file stays, empty. NULL is allowed. */
void run_folder_unlock(RunLock *lock);

#endif
