/* Memory planning: every buffer of a program gets its place in its region. */
#ifndef SPARKC_PASSES_PLAN_MEMORY_H
#define SPARKC_PASSES_PLAN_MEMORY_H

#include "ir/kernel.h"

typedef struct MemoryPlan {
    int64_t region_bytes[REGION_SCRATCH + 1];
    int64_t scratch_lower_bound; /* the largest sum of bytes that are alive at one kernel */
} MemoryPlan;

/* From the first kernel that touches a buffer to the last; first = -1: none does. */
typedef struct BufferLife {
    int buffer;
    int64_t first, last;
} BufferLife;

/* The lives of all buffers of a program, by their index. */
BufferLife *plan_memory_lives(const Program *program, Arena *arena);

/* Sets the offset of every buffer. Scratch buffers share memory where their lives (from the first
 * kernel that touches them to the last) do not meet; all others lie one behind the other. `share`
 * false: no scratch buffer shares memory. Offsets are multiples of PLAN_ALIGNMENT (runtime/plan.h),
 * and behind each buffer lie that many bytes that may be read. False if a region would pass 2^62
 * bytes. */
bool plan_memory(Program *program, bool share, MemoryPlan *plan);

#endif
