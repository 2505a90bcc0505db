/* Runs plans: one block of memory per region, the launches in order, chunks in parallel. Nothing is
 * allocated while a plan runs. */
#ifndef SPARKC_RUNTIME_EXECUTOR_H
#define SPARKC_RUNTIME_EXECUTOR_H

#include "base/status.h"
#include "runtime/plan.h"
#include "runtime/threads.h"

typedef struct PlanExecutor PlanExecutor;

/* Memory for a plan, zeroed; `plan` and `threads` are borrowed. */
Status plan_executor_create(Arena *arena, const Plan *plan, Threads *threads,
                            PlanExecutor **executor);

/* The same over the parameters and states of another executor, which must have regions: one program
 * goes on from what the other has left there. Inputs, outputs and scratch are its own. A failure
 * unless each parameter and state of `plan` lies at the same place in the owner's, which may have
 * more of them behind. Only one of both runs at a time; `owner` is destroyed last. */
Status plan_executor_create_sharing(Arena *arena, const Plan *plan, Threads *threads,
                                    const PlanExecutor *owner, PlanExecutor **executor);

/* The same in memory of the caller's: address_of says where each pointer of the plan points (never
 * asked for null pointers). There are no regions to ask for. */
typedef void *PlanAddress(const void *context, const PlanPointer *pointer);
Status plan_executor_create_over(Arena *arena, const Plan *plan, Threads *threads,
                                 PlanAddress *address_of, const void *context,
                                 PlanExecutor **executor);
void plan_executor_destroy(PlanExecutor *executor);

/* The start of a region; aligned to PLAN_ALIGNMENT. */
void *plan_executor_region(const PlanExecutor *executor, int region);

/* The first element of a named buffer, or NULL. */
void *plan_executor_buffer(const PlanExecutor *executor, int region, const char *name);

/* Runs all launches once. */
void plan_executor_run(PlanExecutor *executor);

/* Runs one launch; they must run in order. */
void plan_executor_run_launch(PlanExecutor *executor, int launch);

/* The memory of all threads that kernels compute in, and its size; it holds nothing between
 * launches. */
void *plan_executor_workspace(const PlanExecutor *executor, size_t *bytes);

/* From when to when something ran, by clock_seconds (base/clock.h). */
typedef struct TimeSpan {
    double begin, end;
} TimeSpan;

/* The same, and sets the time of each launch. */
void plan_executor_profile(PlanExecutor *executor, TimeSpan *launches);

/* Bytes of memory that the executor holds, without what it shares with its owner. */
int64_t plan_executor_bytes(const PlanExecutor *executor);

#endif
