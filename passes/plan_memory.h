/* Memory planning: every buffer of a program gets its place in its region. */
#ifndef SPARKC_PASSES_PLAN_MEMORY_H
#define SPARKC_PASSES_PLAN_MEMORY_H

#include "ir/kernel.h"

typedef struct MemoryPlan {
    int64_t region_bytes[REGION_SCRATCH + 1];
    int64_t scratch_lower_bound; /* the largest sum of bytes that are alive at one kernel */
} MemoryPlan;

/* Sets the offset of every buffer. Scratch buffers share memory where their lives do not meet, or
 * where one is made of the other element upon element (ir/kernel_lives.h); all others lie one
 * behind the other. `share` false: no scratch buffer shares memory. Offsets are multiples of
 * PLAN_ALIGNMENT (runtime/plan.h), and behind each buffer lie that many bytes that may be read.
 * False if a region would pass 2^62 bytes. */
bool plan_memory(Program *program, bool share, MemoryPlan *plan);

#endif
