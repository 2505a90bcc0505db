/* The largest buffers are placed first, each in the smallest gap between those that are alive with
 * it (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020, greedy
 * by size). */
#include "passes/plan_memory.h"

#include <stdlib.h>

#include "ir/kernel_footprint.h"
#include "runtime/plan.h"

static const int64_t LARGEST_REGION = (int64_t)1 << 62;

/* A scratch buffer that has its place: bytes [offset, end). */
typedef struct Placed {
    int64_t offset, end;
    BufferLife life;
} Placed;

typedef struct Planner {
    Program *program;
    Arena *arena;
    const BufferLife *lives;
    bool share;
    VECTOR(Placed) placed; /* by offset */
} Planner;

static int64_t buffer_bytes(const Buffer *buffer) {
    int64_t bytes = buffer->elements * (int64_t)dtype_size(buffer->dtype);
    return (bytes + 2 * PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

BufferLife *plan_memory_lives(const Program *program, Arena *arena) {
    size_t count = program->buffers.count;
    BufferLife *lives = arena_new_array(arena, BufferLife, count ? count : 1);
    for (size_t i = 0; i < count; i++)
        lives[i] = (BufferLife){(int)i, -1, -1};
    Footprint *footprints = arena_new_array(arena, Footprint, FOOTPRINT_MAX);
    for (size_t k = 0; k < program->kernels.count; k++) {
        int touched = kernel_footprints(program, program->kernels.items[k], footprints);
        for (int i = 0; i < touched; i++) {
            if (footprints[i].buffer < 0)
                continue;
            BufferLife *life = &lives[footprints[i].buffer];
            life->first = life->first < 0 ? (int64_t)k : life->first;
            life->last = (int64_t)k;
        }
    }
    return lives;
}

/* ---- Scratch --------------------------------------------------------------------------------- */

typedef struct Sized {
    int64_t bytes;
    BufferLife life;
} Sized;

static int by_size(const void *a, const void *b) {
    const Sized *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->life.buffer - y->life.buffer;
}

/* The scratch buffers that are touched, the largest first. */
static Sized *sort_scratch(const Planner *planner, size_t *count) {
    const Program *program = planner->program;
    Sized *chosen = arena_new_array(planner->arena, Sized, program->buffers.count + 1);
    *count = 0;
    for (size_t i = 0; i < program->buffers.count; i++)
        if (program->buffers.items[i].region == REGION_SCRATCH && planner->lives[i].first >= 0)
            chosen[(*count)++] =
                (Sized){buffer_bytes(&program->buffers.items[i]), planner->lives[i]};
    qsort(chosen, *count, sizeof *chosen, by_size);
    return chosen;
}

static bool meet(const BufferLife *a, const BufferLife *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* The smallest gap that holds the buffer; the end of those that it meets if there is none. */
static int64_t find_place(const Planner *planner, const Sized *buffer) {
    int64_t end = 0, best = -1, smallest = INT64_MAX;
    for (size_t i = 0; i < planner->placed.count; i++) {
        const Placed *other = &planner->placed.items[i];
        if (planner->share && !meet(&other->life, &buffer->life))
            continue;
        int64_t gap = other->offset - end;
        if (gap >= buffer->bytes && gap < smallest) {
            best = end;
            smallest = gap;
        }
        end = other->end > end ? other->end : end;
    }
    return best >= 0 ? best : end;
}

static void add_placed(Planner *planner, Placed added) {
    vector_push(planner->arena, &planner->placed, added);
    size_t place = planner->placed.count - 1;
    Placed *items = planner->placed.items;
    for (; place > 0 && items[place - 1].offset > added.offset; place--)
        items[place] = items[place - 1];
    items[place] = added;
}

/* Returns the bytes of the region. */
static int64_t plan_scratch(Planner *planner) {
    size_t count;
    const Sized *buffers = sort_scratch(planner, &count);
    int64_t region = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t offset = find_place(planner, &buffers[i]), end = offset + buffers[i].bytes;
        planner->program->buffers.items[buffers[i].life.buffer].offset = offset;
        add_placed(planner, (Placed){offset, end, buffers[i].life});
        region = end > region ? end : region;
    }
    return region;
}

static int64_t find_lower_bound(const Planner *planner) {
    const Program *program = planner->program;
    int64_t *change = arena_new_array(planner->arena, int64_t, program->kernels.count + 1);
    int64_t alive = 0, most = 0;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const BufferLife *life = &planner->lives[i];
        if (program->buffers.items[i].region != REGION_SCRATCH || life->first < 0)
            continue;
        change[life->first] += buffer_bytes(&program->buffers.items[i]);
        change[life->last + 1] -= buffer_bytes(&program->buffers.items[i]);
    }
    for (size_t k = 0; k < program->kernels.count; k++) {
        alive += change[k];
        most = alive > most ? alive : most;
    }
    return most;
}

bool plan_memory(Program *program, bool share, MemoryPlan *plan) {
    *plan = (MemoryPlan){0};
    double total = 0;
    for (size_t i = 0; i < program->buffers.count; i++)
        total += (double)program->buffers.items[i].elements * 8;
    if (total >= (double)LARGEST_REGION)
        return false;
    Arena *arena = arena_create();
    Planner planner = {.program = program,
                       .arena = arena,
                       .lives = plan_memory_lives(program, arena),
                       .share = share};
    for (size_t i = 0; i < program->buffers.count; i++) {
        Buffer *buffer = &program->buffers.items[i];
        if (buffer->region == REGION_SCRATCH) {
            buffer->offset = 0; /* of those that no kernel touches */
            continue;
        }
        buffer->offset = plan->region_bytes[buffer->region];
        plan->region_bytes[buffer->region] += buffer_bytes(buffer);
    }
    plan->region_bytes[REGION_SCRATCH] = plan_scratch(&planner);
    plan->scratch_lower_bound = find_lower_bound(&planner);
    arena_destroy(arena);
    return true;
}
