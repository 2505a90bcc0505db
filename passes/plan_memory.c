/* The largest items are placed first, each in the smallest gap between those that are alive with it
 * (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020, greedy by
 * size); where that leaves gaps, other orders are tried. An item is a buffer, or several that
 * replace one another in place. */
#include "passes/plan_memory.h"

#include <stdlib.h>

#include "ir/kernel_footprint.h"
#include "ir/kernel_lives.h"
#include "runtime/plan.h"

static const int64_t LARGEST_REGION = (int64_t)1 << 62;

/* Bytes [begin, end) of an item, and when they are alive. Those of a stretch of a buffer are
 * rounded outwards; `bytes` are not. */
typedef struct Stretch {
    int64_t begin, end, bytes;
    int64_t first, last;
} Stretch;

/* What is given a place of its own. */
typedef struct Item {
    int64_t bytes, first, last;
    int64_t offset;
    int buffer; /* the first, if several replace one another */
    Stretch *stretches;
    size_t stretch_count;
} Item;

/* What is known of a buffer. */
typedef struct Known {
    const BufferLife *lives;
    size_t life_count;
    int before, after; /* buffers that it replaces, and that replace it, in place; -1: none */
} Known;

typedef struct Planner {
    Program *program;
    Arena *arena;
    Known *known; /* by buffer */
    bool share;
    VECTOR(Item) items;
    VECTOR(Stretch) placed; /* of all items, by their place in the region */
} Planner;

static int64_t buffer_bytes(const Buffer *buffer) {
    int64_t bytes = buffer->elements * (int64_t)dtype_size(buffer->dtype);
    return (bytes + 2 * PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

/* ---- Lives ----------------------------------------------------------------------------------- */

static void find_lives(Planner *planner) {
    size_t count = planner->program->buffers.count;
    BufferLives lives = kernel_lives(planner->program, planner->arena);
    planner->known = arena_new_array(planner->arena, Known, count + 1);
    for (size_t i = 0; i < count; i++)
        planner->known[i].before = planner->known[i].after = -1;
    for (size_t i = 0; i < lives.count; i++) {
        Known *known = &planner->known[lives.items[i].buffer];
        known->lives = known->life_count ? known->lives : &lives.items[i];
        known->life_count++;
    }
}

static bool is_scratch(const Planner *planner, int buffer) {
    return planner->program->buffers.items[buffer].region == REGION_SCRATCH;
}

/* All of a buffer is alive before kernel `kernel`, and nothing after it. */
static bool dies_whole(const Planner *planner, int buffer, int64_t kernel) {
    const Known *known = &planner->known[buffer];
    int64_t end = 0;
    for (size_t i = 0; i < known->life_count; i++) {
        const BufferLife *life = &known->lives[i];
        if (life->begin > end || life->last != kernel || life->first >= kernel)
            return false;
        end = life->end;
    }
    return end == planner->program->buffers.items[buffer].elements;
}

/* A kernel's result takes the place of an operand that it is the last to read, if both are as large
 * and it reads the one where it writes the other. */
static void replace_at(const Planner *planner, int64_t kernel, const KernelUse *uses, int count,
                       int result) {
    const Program *program = planner->program;
    Known *after = &planner->known[result];
    if (!is_scratch(planner, result) || after->life_count != 1 || after->lives->first != kernel)
        return;
    for (int i = 0; i < count; i++) {
        int operand = uses[i].buffer;
        if (uses[i].write || operand < 0 || !is_scratch(planner, operand))
            continue;
        Known *before = &planner->known[operand];
        bool as_large = buffer_bytes(&program->buffers.items[operand]) ==
                        buffer_bytes(&program->buffers.items[result]);
        if (before->after >= 0 || !as_large || !dies_whole(planner, operand, kernel) ||
            !kernel_in_place(program, kernel, operand, result))
            continue;
        before->after = result;
        after->before = operand;
        return;
    }
}

static void find_replaced(const Planner *planner) {
    const Program *program = planner->program;
    KernelUse uses[KERNEL_MAX_USES];
    for (size_t k = 0; k < program->kernels.count; k++) {
        int count = kernel_uses(program, program->kernels.items[k], uses);
        for (int i = 0; i < count; i++)
            if (uses[i].write && uses[i].buffer >= 0)
                replace_at(planner, (int64_t)k, uses, count, uses[i].buffer);
    }
}

/* ---- Items ----------------------------------------------------------------------------------- */

static void add_stretch(Item *item, Stretch stretch) {
    item->first = item->stretch_count && item->first < stretch.first ? item->first : stretch.first;
    item->last = item->stretch_count && item->last > stretch.last ? item->last : stretch.last;
    item->stretches[item->stretch_count++] = stretch;
}

static Stretch stretch_of(const Planner *planner, const BufferLife *life) {
    const Buffer *buffer = &planner->program->buffers.items[life->buffer];
    int64_t size = (int64_t)dtype_size(buffer->dtype), begin = life->begin * size;
    bool at_end = life->end == buffer->elements;
    return (Stretch){.begin = begin / PLAN_ALIGNMENT * PLAN_ALIGNMENT,
                     .end = at_end ? buffer_bytes(buffer) : plan_round_up(life->end * size),
                     .bytes = (at_end ? buffer_bytes(buffer) : life->end * size) - begin,
                     .first = life->first,
                     .last = life->last};
}

/* The buffer with all that replace it. What does not share is one stretch. */
static Item item_of(const Planner *planner, int buffer) {
    const Known *known = &planner->known[buffer];
    Item item = {.buffer = buffer, .bytes = buffer_bytes(&planner->program->buffers.items[buffer])};
    item.stretches = arena_new_array(planner->arena, Stretch, known->life_count);
    for (size_t i = 0; i < known->life_count; i++)
        add_stretch(&item, stretch_of(planner, &known->lives[i]));
    if (!planner->share) {
        item.stretches[0] = (Stretch){0, item.bytes, item.bytes, item.first, item.last};
        item.stretch_count = 1;
    }
    for (int after = known->after; after >= 0; after = planner->known[after].after)
        item.last = planner->known[after].lives->last;
    for (size_t i = 0; known->after >= 0 && i < item.stretch_count; i++)
        item.stretches[i].last = item.last;
    return item;
}

/* Buffers of several lives come first, while nothing hinders that others lie between them. */
static int by_size(const void *a, const void *b) {
    const Item *x = a, *y = b;
    if ((x->stretch_count > 1) != (y->stretch_count > 1))
        return x->stretch_count > 1 ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->buffer - y->buffer;
}

static double area_of(const Item *item) {
    return (double)item->bytes * (double)(item->last - item->first + 1);
}

static int by_area(const void *a, const void *b) {
    const Item *x = a, *y = b;
    if ((x->stretch_count > 1) == (y->stretch_count > 1) && area_of(x) != area_of(y))
        return area_of(x) > area_of(y) ? -1 : 1;
    return by_size(a, b);
}

static int by_length(const void *a, const void *b) {
    const Item *x = a, *y = b;
    if ((x->stretch_count > 1) == (y->stretch_count > 1) &&
        x->last - x->first != y->last - y->first)
        return x->last - x->first > y->last - y->first ? -1 : 1;
    return by_size(a, b);
}

/* The scratch that is touched. */
static void find_items(Planner *planner) {
    const Program *program = planner->program;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Known *known = &planner->known[i];
        if (program->buffers.items[i].region == REGION_SCRATCH && known->life_count > 0 &&
            known->before < 0)
            vector_push(planner->arena, &planner->items, item_of(planner, (int)i));
    }
}

/* ---- Places ---------------------------------------------------------------------------------- */

/* The smallest gap, or the first one, that holds the item; the end of what it meets if there is
 * none. */
static int64_t find_place(const Planner *planner, const Item *item, bool first) {
    int64_t end = 0, best = -1, smallest = INT64_MAX;
    for (size_t i = 0; i < planner->placed.count; i++) {
        const Stretch *other = &planner->placed.items[i];
        if (planner->share && (other->last < item->first || item->last < other->first))
            continue;
        int64_t gap = other->begin - end;
        if (gap >= item->bytes && first)
            return end;
        if (gap >= item->bytes && gap < smallest) {
            best = end;
            smallest = gap;
        }
        end = other->end > end ? other->end : end;
    }
    return best >= 0 ? best : end;
}

static void add_placed(Planner *planner, Stretch stretch, int64_t offset) {
    stretch.begin += offset;
    stretch.end += offset;
    vector_push(planner->arena, &planner->placed, stretch);
    size_t place = planner->placed.count - 1;
    Stretch *items = planner->placed.items;
    for (; place > 0 && items[place - 1].begin > stretch.begin; place--)
        items[place] = items[place - 1];
    items[place] = stretch;
}

static int64_t find_lower_bound(const Planner *planner) {
    size_t kernels = planner->program->kernels.count;
    int64_t *change = arena_new_array(planner->arena, int64_t, kernels + 1);
    int64_t alive = 0, most = 0;
    for (size_t i = 0; i < planner->placed.count; i++) {
        const Stretch *stretch = &planner->placed.items[i];
        change[stretch->first] += stretch->bytes;
        change[stretch->last + 1] -= stretch->bytes;
    }
    for (size_t k = 0; k < kernels; k++) {
        alive += change[k];
        most = alive > most ? alive : most;
    }
    return most;
}

/* In which order items get their places, and whether in the first gap or in the smallest. */
typedef struct Attempt {
    int (*order)(const void *, const void *);
    bool first;
} Attempt;

static const Attempt attempts[] = {{by_size, false}, {by_size, true},    {by_area, false},
                                   {by_area, true},  {by_length, false}, {by_length, true}};

enum { ATTEMPTS = sizeof attempts / sizeof *attempts, MOST_ITEMS_OF_SEVERAL_ATTEMPTS = 8192 };

/* Returns the bytes of the region. */
static int64_t place_items(Planner *planner, const Attempt *attempt) {
    int64_t region = 0;
    planner->placed.count = 0;
    if (planner->items.count)
        qsort(planner->items.items, planner->items.count, sizeof(Item), attempt->order);
    for (size_t i = 0; i < planner->items.count; i++) {
        Item *item = &planner->items.items[i];
        item->offset = find_place(planner, item, attempt->first);
        for (size_t p = 0; p < item->stretch_count; p++)
            add_placed(planner, item->stretches[p], item->offset);
        region = item->offset + item->bytes > region ? item->offset + item->bytes : region;
    }
    return region;
}

static void take_places(const Planner *planner) {
    for (size_t i = 0; i < planner->items.count; i++)
        for (int b = planner->items.items[i].buffer; b >= 0; b = planner->known[b].after)
            planner->program->buffers.items[b].offset = planner->items.items[i].offset;
}

/* The least of some attempts, the first of equals. */
static void plan_scratch(Planner *planner, MemoryPlan *plan) {
    bool several = planner->items.count <= MOST_ITEMS_OF_SEVERAL_ATTEMPTS && planner->share;
    int64_t least = INT64_MAX;
    for (int i = 0; i < (several ? ATTEMPTS : 1); i++) {
        int64_t bytes = place_items(planner, &attempts[i]);
        if (bytes >= least)
            continue;
        least = bytes;
        take_places(planner);
        plan->scratch_lower_bound = find_lower_bound(planner);
        if (least <= plan->scratch_lower_bound)
            break;
    }
    plan->region_bytes[REGION_SCRATCH] = least;
}

bool plan_memory(Program *program, bool share, MemoryPlan *plan) {
    *plan = (MemoryPlan){0};
    double total = 0;
    for (size_t i = 0; i < program->buffers.count; i++)
        total += (double)program->buffers.items[i].elements * 8;
    if (total >= (double)LARGEST_REGION)
        return false;
    Arena *arena = arena_create();
    Planner planner = {.program = program, .arena = arena, .share = share};
    find_lives(&planner);
    if (share)
        find_replaced(&planner);
    find_items(&planner);
    for (size_t i = 0; i < program->buffers.count; i++) {
        Buffer *buffer = &program->buffers.items[i];
        if (buffer->region == REGION_SCRATCH) {
            buffer->offset = 0; /* of those that no kernel touches */
            continue;
        }
        buffer->offset = plan->region_bytes[buffer->region];
        plan->region_bytes[buffer->region] += buffer_bytes(buffer);
    }
    plan_scratch(&planner, plan);
    arena_destroy(arena);
    return true;
}
