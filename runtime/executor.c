#include "runtime/executor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/fatal.h"
#include "base/text.h"

struct PlanExecutor {
    const Plan *plan;
    Threads *threads;
    char *regions[PLAN_REGIONS];
    bool borrowed[PLAN_REGIONS]; /* regions of another executor */
    char *workspace;             /* of all threads, one behind the other */
    int64_t workspace_step;
    char ***launch_pointers;
};

enum { PAGE = 4096 };

/* Zeroed memory straight from the system, in large pages where it has them. */
static char *map_block(int64_t bytes) {
    if (bytes == 0)
        bytes = 1;
    void *block =
        mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return NULL;
    madvise(block, (size_t)bytes, MADV_HUGEPAGE);
    return block;
}

static void unmap_block(char *block, int64_t bytes) {
    if (block)
        munmap(block, (size_t)(bytes ? bytes : 1));
}

const PlanBuffer *plan_find(const Plan *plan, int region, const char *name) {
    for (int i = 0; i < plan->buffer_count; i++)
        if (plan->buffers[i].region == region && strcmp(plan->buffers[i].name, name) == 0)
            return &plan->buffers[i];
    return NULL;
}

static void *region_address(const void *context, const PlanPointer *pointer) {
    const PlanExecutor *executor = context;
    return executor->regions[pointer->region] + pointer->offset;
}

static void bind_pointers(Arena *arena, PlanExecutor *executor, PlanAddress *address_of,
                          const void *context) {
    const Plan *plan = executor->plan;
    executor->launch_pointers = arena_new_array(arena, char **, (size_t)plan->launch_count + 1);
    for (int i = 0; i < plan->launch_count; i++) {
        const PlanLaunch *launch = &plan->launches[i];
        char **pointers = arena_new_array(arena, char *, (size_t)launch->pointer_count + 1);
        for (int k = 0; k < launch->pointer_count; k++)
            if (launch->pointers[k].region >= 0)
                pointers[k] = address_of(context, &launch->pointers[k]);
        executor->launch_pointers[i] = pointers;
    }
}

/* An executor without regions. */
static PlanExecutor *create(Arena *arena, const Plan *plan, Threads *threads) {
    PlanExecutor *executor = arena_new(arena, PlanExecutor);
    executor->plan = plan;
    executor->threads = threads;
    executor->workspace_step = (plan->workspace_bytes + 2 * PAGE - 1) / PAGE * PAGE;
    executor->workspace = map_block(executor->workspace_step * threads_count(threads));
    return executor;
}

static Status out_of_memory(Arena *arena, PlanExecutor *executor) {
    int64_t bytes = plan_executor_bytes(executor);
    plan_executor_destroy(executor);
    return status_failure(arena, "not enough memory: the plan needs %.2f GB; try a smaller batch",
                          (double)bytes * 1e-9);
}

/* Maps the regions that are not there and binds the launches to all. */
static Status finish(Arena *arena, PlanExecutor *executor, PlanExecutor **out) {
    bool fine = executor->workspace != NULL;
    for (int r = 0; r < PLAN_REGIONS; r++) {
        if (!executor->borrowed[r])
            executor->regions[r] = map_block(executor->plan->region_bytes[r]);
        fine = fine && executor->regions[r];
    }
    if (!fine)
        return out_of_memory(arena, executor);
    bind_pointers(arena, executor, region_address, executor);
    *out = executor;
    return STATUS_FINE;
}

Status plan_executor_create(Arena *arena, const Plan *plan, Threads *threads, PlanExecutor **out) {
    return finish(arena, create(arena, plan, threads), out);
}

static const int shared_regions[] = {PLAN_PARAMS, PLAN_STATE};
enum { SHARED_REGIONS = sizeof shared_regions / sizeof *shared_regions };

static Status unlike(Arena *arena, const char *name, const char *what) {
    Text escaped = text_create(arena);
    text_append_escaped(&escaped, name);
    return status_failure(arena,
                          "%s: a program that works on the parameters and states of another must "
                          "find its own there, but %s; make both from one network by the same "
                          "options",
                          escaped.data, what);
}

/* A failure unless all that `plan` has in a region lies at the same place in the owner's. */
static Status check_region(Arena *arena, const Plan *plan, const Plan *owner, int region) {
    for (int i = 0; i < plan->buffer_count; i++) {
        const PlanBuffer *own = &plan->buffers[i];
        if (own->region != region)
            continue;
        const PlanBuffer *other = plan_find(owner, region, own->name);
        if (!other)
            return unlike(arena, own->name, "this one is missing");
        if (own->elements != other->elements || own->element_bytes != other->element_bytes)
            return unlike(arena, own->name, "its size differs");
        if (own->offset != other->offset)
            return unlike(arena, own->name, "it lies elsewhere");
    }
    if (plan->region_bytes[region] > owner->region_bytes[region])
        return unlike(arena, region == PLAN_PARAMS ? "parameters" : "states", "there is less");
    return STATUS_FINE;
}

Status plan_executor_create_sharing(Arena *arena, const Plan *plan, Threads *threads,
                                    const PlanExecutor *owner, PlanExecutor **out) {
    for (int i = 0; i < SHARED_REGIONS; i++)
        status_return_if_failed(check_region(arena, plan, owner->plan, shared_regions[i]));
    PlanExecutor *executor = create(arena, plan, threads);
    for (int i = 0; i < SHARED_REGIONS; i++) {
        int region = shared_regions[i];
        invariant(owner->regions[region], "the owner has no region %d", region);
        executor->regions[region] = owner->regions[region];
        executor->borrowed[region] = true;
    }
    return finish(arena, executor, out);
}

Status plan_executor_create_over(Arena *arena, const Plan *plan, Threads *threads,
                                 PlanAddress *address_of, const void *context, PlanExecutor **out) {
    PlanExecutor *executor = create(arena, plan, threads);
    if (!executor->workspace)
        return out_of_memory(arena, executor);
    bind_pointers(arena, executor, address_of, context);
    *out = executor;
    return STATUS_FINE;
}

void plan_executor_destroy(PlanExecutor *executor) {
    if (!executor)
        return;
    for (int r = 0; r < PLAN_REGIONS; r++)
        if (!executor->borrowed[r])
            unmap_block(executor->regions[r], executor->plan->region_bytes[r]);
    unmap_block(executor->workspace, executor->workspace_step * threads_count(executor->threads));
}

void *plan_executor_region(const PlanExecutor *executor, int region) {
    return executor->regions[region];
}

void *plan_executor_buffer(const PlanExecutor *executor, int region, const char *name) {
    const PlanBuffer *buffer = plan_find(executor->plan, region, name);
    return buffer ? executor->regions[region] + buffer->offset : NULL;
}

typedef struct Job {
    const PlanExecutor *executor;
    const PlanLaunch *launch;
    char *const *pointers;
} Job;

static void run_chunk(void *context, int64_t chunk, int thread) {
    const Job *job = context;
    job->launch->function(job->pointers, job->launch->numbers, chunk,
                          job->executor->workspace + thread * job->executor->workspace_step);
}

void plan_executor_run_launch(PlanExecutor *executor, int index) {
    const PlanLaunch *launch = &executor->plan->launches[index];
    Job job = {executor, launch, executor->launch_pointers[index]};
    threads_run(executor->threads, run_chunk, &job, launch->chunks);
}

void plan_executor_run(PlanExecutor *executor) {
    for (int i = 0; i < executor->plan->launch_count; i++)
        plan_executor_run_launch(executor, i);
}

void plan_executor_profile(PlanExecutor *executor, TimeSpan *launches) {
    for (int i = 0; i < executor->plan->launch_count; i++) {
        launches[i].begin = clock_seconds();
        plan_executor_run_launch(executor, i);
        launches[i].end = clock_seconds();
    }
}

void *plan_executor_workspace(const PlanExecutor *executor, size_t *bytes) {
    *bytes = (size_t)(executor->workspace_step * threads_count(executor->threads));
    return executor->workspace;
}

int64_t plan_executor_bytes(const PlanExecutor *executor) {
    int64_t bytes = executor->workspace_step * threads_count(executor->threads);
    for (int r = 0; r < PLAN_REGIONS; r++)
        bytes += executor->borrowed[r] ? 0 : executor->plan->region_bytes[r];
    return bytes;
}
