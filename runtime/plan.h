/* A plan: all that the runtime needs to run a compiled program, and nothing of the compiler. Back
 * ends write plans, the executor runs them. */
#ifndef SPARKC_RUNTIME_PLAN_H
#define SPARKC_RUNTIME_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* The memory of a program, in the order of enum Region (ir/kernel.h). */
enum { PLAN_PARAMS, PLAN_STATE, PLAN_INPUTS, PLAN_OUTPUTS, PLAN_SCRATCH, PLAN_REGIONS };

/* Alignment in bytes of every region and of every offset in it; readable slack behind each buffer's
 * last element, so that whole vectors may be loaded at its end. */
enum { PLAN_ALIGNMENT = 64 };

/* The next multiple of it. */
static inline int64_t plan_round_up(int64_t bytes) {
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

/* Runs chunk `chunk` (0 <= chunk < the launch's chunks) of one kernel. Chunks of one launch touch
 * disjoint outputs and may run in any order, on any thread. `workspace` is private to the thread
 * (Plan.workspace_bytes). */
typedef void PlanFunction(char *const *pointers, const int64_t *numbers, int64_t chunk,
                          char *workspace);

/* Where a pointer argument points: a region and a byte offset in it. region -1: a null pointer.
 * `buffer` is the index of the program's buffer that it points into, or -1: scratch that the stages
 * of one kernel share; it begins at `shared`, where nothing is alive while the kernel runs. */
typedef struct PlanPointer {
    int region;
    int64_t offset;
    int buffer;
    int64_t shared;
} PlanPointer;

/* One kernel call. Launches run one after the other; chunks of one launch in parallel. */
typedef struct PlanLaunch {
    const char *kernel; /* name in the program, "layer1.0.conv1" */
    PlanFunction *function;
    int pointer_count, number_count;
    const PlanPointer *pointers;
    const int64_t *numbers;
    int64_t chunks;
    int64_t multiply_adds; /* executed */
    int64_t bytes;         /* read and written at least once */
    bool contract;         /* counts for the contract share of the peak */
} PlanLaunch;

/* A named stretch of a region: an input, an output, a state. */
typedef struct PlanBuffer {
    const char *name;
    int region;
    int64_t offset, elements; /* bytes from the region's start; elements of `element_bytes` */
    int element_bytes;
} PlanBuffer;

typedef struct Plan {
    int64_t region_bytes[PLAN_REGIONS];
    int64_t workspace_bytes; /* per thread */
    int64_t shared_bytes;    /* that the stages of one kernel share at most; in scratch */
    int launch_count;
    PlanLaunch *launches;
    int buffer_count;
    PlanBuffer *buffers;
} Plan;

/* The buffer of a name in a region, or NULL. */
const PlanBuffer *plan_find(const Plan *plan, int region, const char *name);

#endif
