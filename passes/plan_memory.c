/* Linear scan over the kernels with a list of free stretches: a buffer takes the smallest stretch
 * that holds it when its life begins, and gives it back when it ends. */
#include "passes/plan_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/kernel_footprint.h"
#include "runtime/plan.h"

static const int64_t LARGEST_REGION = (int64_t)1 << 62;

typedef struct Stretch {
    int64_t offset, bytes;
} Stretch;

typedef struct Planner {
    Program *program;
    Arena *arena;
    VECTOR(Stretch) free; /* by offset; never touching each other */
    int64_t end;          /* of the region so far */
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

/* Takes `bytes` from the smallest free stretch that holds them, or from behind the end. */
static int64_t take(Planner *planner, int64_t bytes) {
    size_t best = planner->free.count;
    for (size_t i = 0; i < planner->free.count; i++)
        if (planner->free.items[i].bytes >= bytes &&
            (best == planner->free.count ||
             planner->free.items[i].bytes < planner->free.items[best].bytes))
            best = i;
    if (best < planner->free.count) {
        Stretch *stretch = &planner->free.items[best];
        int64_t offset = stretch->offset;
        stretch->offset += bytes;
        stretch->bytes -= bytes;
        if (stretch->bytes == 0) {
            memmove(stretch, stretch + 1, (--planner->free.count - best) * sizeof *stretch);
        }
        return offset;
    }
    size_t last = planner->free.count;
    int64_t offset = planner->end;
    if (last > 0) { /* a stretch at the very end grows */
        Stretch *stretch = &planner->free.items[last - 1];
        if (stretch->offset + stretch->bytes == planner->end) {
            offset = stretch->offset;
            planner->free.count--;
        }
    }
    planner->end = offset + bytes;
    return offset;
}

/* Gives a stretch back, joined with its neighbours. */
static void give_back(Planner *planner, int64_t offset, int64_t bytes) {
    size_t place = 0;
    while (place < planner->free.count && planner->free.items[place].offset < offset)
        place++;
    Stretch added = {offset, bytes};
    vector_push(planner->arena, &planner->free, added);
    Stretch *items = planner->free.items;
    memmove(items + place + 1, items + place, (planner->free.count - 1 - place) * sizeof *items);
    items[place] = added;
    if (place + 1 < planner->free.count && offset + bytes == items[place + 1].offset) {
        items[place].bytes += items[place + 1].bytes;
        memmove(items + place + 1, items + place + 2,
                (--planner->free.count - place - 1) * sizeof *items);
    }
    if (place > 0 && items[place - 1].offset + items[place - 1].bytes == offset) {
        items[place - 1].bytes += items[place].bytes;
        memmove(items + place, items + place + 1, (--planner->free.count - place) * sizeof *items);
    }
}

static int by_first(const void *a, const void *b) {
    const BufferLife *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->buffer - y->buffer;
}

static int by_last(const void *a, const void *b) {
    const BufferLife *x = a, *y = b;
    if (x->last != y->last)
        return x->last < y->last ? -1 : 1;
    return x->buffer - y->buffer;
}

/* The scratch buffers that are touched, sorted. */
static BufferLife *scratch_lives(const Program *program, Arena *arena, const BufferLife *lives,
                                 size_t *count, int (*order)(const void *, const void *)) {
    BufferLife *chosen = arena_new_array(arena, BufferLife, program->buffers.count + 1);
    *count = 0;
    for (size_t i = 0; i < program->buffers.count; i++)
        if (program->buffers.items[i].region == REGION_SCRATCH && lives[i].first >= 0)
            chosen[(*count)++] = lives[i];
    qsort(chosen, *count, sizeof *chosen, order);
    return chosen;
}

static void plan_scratch(Planner *planner, const BufferLife *lives, bool share, MemoryPlan *plan) {
    Program *program = planner->program;
    size_t count, ended = 0;
    BufferLife *begin = scratch_lives(program, planner->arena, lives, &count, by_first);
    BufferLife *end = scratch_lives(program, planner->arena, lives, &count, by_last);
    int64_t alive = 0;
    for (size_t i = 0; i < count; i++) {
        for (; share && ended < count && end[ended].last < begin[i].first; ended++) {
            const Buffer *old = &program->buffers.items[end[ended].buffer];
            give_back(planner, old->offset, buffer_bytes(old));
            alive -= buffer_bytes(old);
        }
        Buffer *buffer = &program->buffers.items[begin[i].buffer];
        buffer->offset = take(planner, buffer_bytes(buffer));
        alive += buffer_bytes(buffer);
        if (alive > plan->scratch_lower_bound)
            plan->scratch_lower_bound = alive;
    }
    plan->region_bytes[REGION_SCRATCH] = planner->end;
}

bool plan_memory(Program *program, bool share, MemoryPlan *plan) {
    *plan = (MemoryPlan){0};
    double total = 0;
    for (size_t i = 0; i < program->buffers.count; i++)
        total += (double)program->buffers.items[i].elements * 8;
    if (total >= (double)LARGEST_REGION)
        return false;
    Arena *arena = arena_create();
    Planner planner = {.program = program, .arena = arena};
    BufferLife *lives = plan_memory_lives(program, arena);
    for (size_t i = 0; i < program->buffers.count; i++) {
        Buffer *buffer = &program->buffers.items[i];
        if (buffer->region == REGION_SCRATCH) {
            buffer->offset = 0; /* of those that no kernel touches */
            continue;
        }
        buffer->offset = plan->region_bytes[buffer->region];
        plan->region_bytes[buffer->region] += buffer_bytes(buffer);
    }
    plan_scratch(&planner, lives, share, plan);
    arena_destroy(arena);
    return true;
}
