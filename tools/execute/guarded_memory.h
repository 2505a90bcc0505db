/* Memory for a program in which every wrong access shows: each buffer lies in pages of its own,
 * ends at an inaccessible page and begins behind one. Scratch buffers are inaccessible before their
 * first kernel and after their last one, and not a number at birth.
 *
 * An access to an inaccessible page ends the process with a line that names the kernel and the
 * buffer, and exit status 1 (guarded_memory_end_with: some other way). What lies between a buffer
 * and its pages' edges is checked after each kernel that uses the buffer. */
#ifndef SPARKC_TOOLS_EXECUTE_GUARDED_MEMORY_H
#define SPARKC_TOOLS_EXECUTE_GUARDED_MEMORY_H

#include "base/status.h"
#include "ir/kernel.h"

typedef struct GuardedMemory GuardedMemory;

/* Places all buffers of a program, which is borrowed, and `shared` bytes that belong to the kernel
 * that runs and are not a number before it. All but scratch is accessible, and zero. */
Status guarded_memory_create(Arena *arena, const Program *program, int64_t shared,
                             GuardedMemory **memory);
void guarded_memory_destroy(GuardedMemory *memory);

/* The first byte of each buffer, by its index; behind them that of the shared bytes. Aligned to
 * KERNEL_ALIGNMENT. */
void *const *guarded_memory_buffers(const GuardedMemory *memory);

/* Around each kernel, in order: before, what is born becomes accessible; after, a failure if
 * something outside of a buffer was written, and guarded_memory_release makes what nothing uses any
 * more inaccessible. While a kernel runs, faults are caught. */
void guarded_memory_before(GuardedMemory *memory, int kernel);
Status guarded_memory_after(GuardedMemory *memory, Arena *arena, int kernel);
void guarded_memory_release(GuardedMemory *memory, int kernel);

/* From now on `end`, which may be called in a handler of signals and does not return, ends the
 * process. */
void guarded_memory_end_with(void (*end)(void));

/* Fills bytes with a pattern that is NaN as fp32, fp64 and bf16, and no index as i32. */
void guarded_memory_poison(void *bytes, size_t count);

#endif
