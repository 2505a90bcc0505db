/* schedule: a kernel that is the last to need its operands runs before one that needs new memory.
 *
 *     dx = contract(dy, w)                 dw = contract_weight(x, dy)     x is gone
 *     dw = contract_weight(x, dy)    ->    dx = contract(dy, w)            and may lie where x was
 *
 * Of the kernels that could run next the one runs after which least is alive. That is greedy, so
 * the order is taken only if it needs less memory than the one that there was. */
#include "passes/schedule.h"

#include <string.h>

#include "ir/kernel_footprint.h"
#include "ir/kernel_lives.h"

/* So many of those that could run next are looked at, in their old order: time stays linear. */
enum { CANDIDATES = 32 };

/* Programs in which more has to stay in order, which no network has, keep theirs. */
static const int64_t MOST_WORK = (int64_t)1 << 24;

typedef struct Numbers {
    VECTOR(int) list;
} Numbers;

/* Elements that live and die at once (ir/kernel_lives.h). */
typedef struct Unit {
    int buffer;
    int64_t bytes;   /* 0 in regions that outlive a run */
    int touched;     /* by so many kernels */
    int waiting;     /* so many of them have not run */
    int toucher;     /* the last kernel so far; -1: none */
    int writer;      /* the last kernel so far that writes it; -1: none */
    Numbers readers; /* since then */
} Unit;

typedef struct Step {
    Numbers units; /* that it touches, each once */
    Numbers next;  /* kernels that have to come later, ascending */
    int before;    /* so many have to come earlier */
} Step;

typedef struct Schedule {
    const Program *program;
    Arena *arena;
    BufferLives lives;
    Unit *units;        /* like the lives */
    size_t *first_unit; /* of each buffer; one more at the end */
    Step *steps;        /* by kernel */
    int64_t work;       /* stretches of buffers, and pairs of kernels, that were looked at */
} Schedule;

/* ---- What has to stay in order --------------------------------------------------------------- */

static void find_units(Schedule *schedule) {
    const Program *program = schedule->program;
    size_t buffers = program->buffers.count, count = schedule->lives.count;
    schedule->units = arena_new_array(schedule->arena, Unit, count + 1);
    schedule->first_unit = arena_new_array(schedule->arena, size_t, buffers + 1);
    for (size_t i = 0, b = 0; b <= buffers; b++) {
        while (i < count && schedule->lives.items[i].buffer < (int)b)
            i++;
        schedule->first_unit[b] = i;
    }
    for (size_t i = 0; i < count; i++) {
        const BufferLife *life = &schedule->lives.items[i];
        const Buffer *buffer = &program->buffers.items[life->buffer];
        bool scratch = buffer->region == REGION_SCRATCH;
        int64_t bytes = (life->end - life->begin) * (int64_t)dtype_size(buffer->dtype);
        schedule->units[i] = (Unit){
            .buffer = life->buffer, .bytes = scratch ? bytes : 0, .toucher = -1, .writer = -1};
    }
}

/* Kernel `later` has to wait for `earlier`. All that one has to wait for is noted at once, so that
 * it is the last of a list if it is there. */
static void add_order(Schedule *schedule, int earlier, int later) {
    Numbers *next = earlier >= 0 ? &schedule->steps[earlier].next : NULL;
    size_t count = next ? next->list.count : 0;
    if (earlier < 0 || earlier == later || (count && next->list.items[count - 1] == later))
        return;
    vector_push(schedule->arena, &next->list, later);
    schedule->steps[later].before++;
    schedule->work++;
}

static void touch(Schedule *schedule, int kernel, size_t number, bool write) {
    Unit *unit = &schedule->units[number];
    add_order(schedule, unit->writer, kernel);
    if (write) {
        for (size_t i = 0; i < unit->readers.list.count; i++)
            add_order(schedule, unit->readers.list.items[i], kernel);
        unit->readers.list.count = 0;
        unit->writer = kernel;
    } else if (unit->writer != kernel) {
        vector_push(schedule->arena, &unit->readers.list, kernel);
    }
    if (unit->toucher == kernel)
        return;
    vector_push(schedule->arena, &schedule->steps[kernel].units.list, (int)number);
    unit->toucher = kernel;
    unit->touched++;
}

static void touch_elements(Schedule *schedule, int kernel, const Footprint *footprint) {
    int64_t end = footprint->base + 1;
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++)
        end += (footprint->count[d] - 1) * footprint->stride[d];
    size_t buffer = (size_t)footprint->buffer, last = schedule->first_unit[buffer + 1];
    for (size_t i = schedule->first_unit[buffer]; i < last; i++) {
        const BufferLife *life = &schedule->lives.items[i];
        schedule->work++;
        if (life->begin < end && footprint->base < life->end)
            touch(schedule, kernel, i, footprint->write);
    }
}

/* False if it would take too long. */
static bool find_steps(Schedule *schedule) {
    const Program *program = schedule->program;
    Footprint footprints[FOOTPRINT_MAX];
    schedule->steps = arena_new_array(schedule->arena, Step, program->kernels.count + 1);
    for (int k = 0; k < (int)program->kernels.count; k++) {
        int count = kernel_footprints(program, program->kernels.items[k], footprints);
        for (int i = 0; i < count; i++)
            if (footprints[i].buffer >= 0)
                touch_elements(schedule, k, &footprints[i]);
        if (schedule->work > MOST_WORK)
            return false;
    }
    return true;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* What runs after what, and how much is alive. */
typedef struct Run {
    Schedule *schedule;
    int64_t alive, most;
} Run;

static Run begin_run(Schedule *schedule) {
    for (size_t i = 0; i < schedule->lives.count; i++)
        schedule->units[i].waiting = schedule->units[i].touched;
    return (Run){.schedule = schedule};
}

static bool is_born(const Unit *unit) {
    return unit->waiting == unit->touched;
}

/* Bytes of a buffer that nobody needs behind kernel `kernel`. */
static int64_t dying_bytes(const Run *run, int kernel, int buffer) {
    const Numbers *touched = &run->schedule->steps[kernel].units;
    int64_t bytes = 0;
    for (size_t i = 0; i < touched->list.count; i++) {
        const Unit *unit = &run->schedule->units[touched->list.items[i]];
        bytes += unit->buffer == buffer && unit->waiting == 1 && !is_born(unit) ? unit->bytes : 0;
    }
    return bytes;
}

/* Whether the result of a kernel can lie where one of its operands does. */
static bool is_in_place(const Run *run, int kernel, const Unit *result) {
    const Numbers *touched = &run->schedule->steps[kernel].units;
    int last = -1;
    for (size_t i = 0; i < touched->list.count; i++) {
        int buffer = run->schedule->units[touched->list.items[i]].buffer;
        if (buffer != last && buffer != result->buffer && result->bytes > 0 &&
            dying_bytes(run, kernel, buffer) == result->bytes &&
            kernel_in_place(run->schedule->program, kernel, buffer, result->buffer))
            return true;
        last = buffer;
    }
    return false;
}

/* Bytes that a kernel's results find in operands. */
static int64_t replaced_bytes(const Run *run, int kernel) {
    const Numbers *touched = &run->schedule->steps[kernel].units;
    int64_t bytes = 0;
    for (size_t i = 0; i < touched->list.count; i++) {
        const Unit *unit = &run->schedule->units[touched->list.items[i]];
        if (is_born(unit) && is_in_place(run, kernel, unit))
            bytes += unit->bytes;
    }
    return bytes;
}

/* By how much more is alive behind a kernel than before it. */
static int64_t growth(const Run *run, int kernel) {
    const Numbers *touched = &run->schedule->steps[kernel].units;
    int64_t bytes = 0;
    for (size_t i = 0; i < touched->list.count; i++) {
        const Unit *unit = &run->schedule->units[touched->list.items[i]];
        bytes += (is_born(unit) ? unit->bytes : 0) - (unit->waiting == 1 ? unit->bytes : 0);
    }
    return bytes;
}

static void run_kernel(Run *run, int kernel) {
    const Numbers *touched = &run->schedule->steps[kernel].units;
    int64_t replaced = replaced_bytes(run, kernel);
    for (size_t i = 0; i < touched->list.count; i++) {
        const Unit *unit = &run->schedule->units[touched->list.items[i]];
        run->alive += is_born(unit) ? unit->bytes : 0;
    }
    run->most = run->alive - replaced > run->most ? run->alive - replaced : run->most;
    for (size_t i = 0; i < touched->list.count; i++) {
        Unit *unit = &run->schedule->units[touched->list.items[i]];
        unit->waiting--;
        run->alive -= unit->waiting == 0 ? unit->bytes : 0;
    }
}

/* ---- Orders ---------------------------------------------------------------------------------- */

/* Kernels that could run, ascending. */
typedef struct Ready {
    int *kernels;
    size_t count;
} Ready;

static void add_ready(Ready *ready, int kernel) {
    size_t place = ready->count++;
    for (; place > 0 && ready->kernels[place - 1] > kernel; place--)
        ready->kernels[place] = ready->kernels[place - 1];
    ready->kernels[place] = kernel;
}

static int take_best(const Run *run, Ready *ready) {
    size_t best = 0;
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < ready->count && i < CANDIDATES; i++) {
        int64_t bytes = growth(run, ready->kernels[i]);
        best = bytes < least ? i : best;
        least = bytes < least ? bytes : least;
    }
    int kernel = ready->kernels[best];
    ready->count--;
    memmove(ready->kernels + best, ready->kernels + best + 1,
            (ready->count - best) * sizeof *ready->kernels);
    return kernel;
}

/* Returns how much is alive at most. */
static int64_t order_greedily(Schedule *schedule, int *order) {
    size_t count = schedule->program->kernels.count;
    Run run = begin_run(schedule);
    Ready ready = {.kernels = arena_new_array(schedule->arena, int, count + 1)};
    int *before = arena_new_array(schedule->arena, int, count + 1);
    for (int k = 0; k < (int)count; k++) {
        before[k] = schedule->steps[k].before;
        if (before[k] == 0)
            add_ready(&ready, k);
    }
    for (size_t i = 0; i < count; i++) {
        order[i] = take_best(&run, &ready);
        run_kernel(&run, order[i]);
        const Numbers *next = &schedule->steps[order[i]].next;
        for (size_t n = 0; n < next->list.count; n++)
            if (--before[next->list.items[n]] == 0)
                add_ready(&ready, next->list.items[n]);
    }
    return run.most;
}

static int64_t measure_old_order(Schedule *schedule) {
    Run run = begin_run(schedule);
    for (int k = 0; k < (int)schedule->program->kernels.count; k++)
        run_kernel(&run, k);
    return run.most;
}

static void take_order(Program *program, const int *order, Arena *arena) {
    size_t count = program->kernels.count;
    Kernel **old = arena_new_array(arena, Kernel *, count + 1);
    memcpy(old, program->kernels.items, count * sizeof *old);
    for (size_t i = 0; i < count; i++)
        program->kernels.items[i] = old[order[i]];
}

static bool improve(Schedule *schedule, Program *program) {
    find_units(schedule);
    if (!find_steps(schedule))
        return false;
    int *order = arena_new_array(schedule->arena, int, program->kernels.count);
    int64_t old_most = measure_old_order(schedule), most = order_greedily(schedule, order);
    if (most < old_most)
        take_order(program, order, schedule->arena);
    return most < old_most;
}

bool schedule(Program *program, Rewrites *rewrites) {
    if (program->kernels.count == 0 || !rewrites_may(rewrites))
        return false;
    Arena *arena = arena_create();
    Schedule schedule = {.program = program, .arena = arena, .lives = kernel_lives(program, arena)};
    bool improved = improve(&schedule, program);
    arena_destroy(arena);
    if (improved)
        rewrites_count(rewrites, "schedule", "kernels in an order of less memory");
    return improved;
}
