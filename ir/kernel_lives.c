#include "ir/kernel_lives.h"

#include <stdlib.h>

#include "ir/kernel_footprint.h"

/* The stretch of a buffer that a kernel touches at once. */
typedef struct Touch {
    int buffer;
    bool write;
    int64_t begin, end, kernel;
} Touch;

typedef struct Touches {
    VECTOR(Touch) list;
} Touches;

typedef struct Lives {
    Arena *arena;
    const Program *program;
    VECTOR(BufferLife) list;
} Lives;

static Touch touch_of(const Footprint *footprint, int64_t kernel) {
    Touch touch = {.buffer = footprint->buffer,
                   .write = footprint->write,
                   .begin = footprint->base,
                   .end = footprint->base + 1,
                   .kernel = kernel};
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++)
        touch.end += (footprint->count[d] - 1) * footprint->stride[d];
    return touch;
}

/* By buffer; what is written first and by element, then what is read, the last kernel first. */
static int compare_touches(const void *a, const void *b) {
    const Touch *x = a, *y = b;
    if (x->buffer != y->buffer)
        return x->buffer < y->buffer ? -1 : 1;
    if (x->write != y->write)
        return x->write ? -1 : 1;
    if (x->write && x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->kernel > y->kernel ? -1 : x->kernel < y->kernel;
}

static Touches collect_touches(const Program *program, Arena *arena) {
    Touches touches = {0};
    Footprint footprints[FOOTPRINT_MAX];
    for (size_t k = 0; k < program->kernels.count; k++) {
        int count = kernel_footprints(program, program->kernels.items[k], footprints);
        for (int i = 0; i < count; i++)
            if (footprints[i].buffer >= 0)
                vector_push(arena, &touches.list, touch_of(&footprints[i], (int64_t)k));
    }
    if (touches.list.count)
        qsort(touches.list.items, touches.list.count, sizeof(Touch), compare_touches);
    return touches;
}

static void add_touch(BufferLife *life, const Touch *touch) {
    life->first = touch->kernel < life->first ? touch->kernel : life->first;
    life->last = touch->kernel > life->last ? touch->kernel : life->last;
}

/* A life for each run of stretches that overlap. */
static void add_written(Lives *lives, const Touch *touches, size_t count) {
    size_t first = lives->list.count;
    for (size_t i = 0; i < count && touches[i].write; i++) {
        const Touch *touch = &touches[i];
        BufferLife *life =
            lives->list.count > first ? &lives->list.items[lives->list.count - 1] : NULL;
        if (!life || touch->begin >= life->end) {
            BufferLife fresh = {touch->buffer, touch->begin, touch->end, touch->kernel,
                                touch->kernel};
            vector_push(lives->arena, &lives->list, fresh);
            continue;
        }
        add_touch(life, touch);
        life->end = touch->end > life->end ? touch->end : life->end;
    }
}

/* The first life at or behind `i` that no reader has been found for. */
static size_t next_open(size_t *next, size_t i) {
    while (next[i] != i) {
        next[i] = next[next[i]];
        i = next[i];
    }
    return i;
}

/* The first of some lives that ends behind an element. */
static size_t find_life(const BufferLife *lives, size_t count, int64_t element) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (lives[middle].end <= element)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Lives last until they are read for the last time. The last readers come first, so that each life
 * is met once. */
static void add_read(const Lives *lives, BufferLife *own, size_t count, const Touch *touches,
                     size_t touched) {
    size_t *next = arena_new_array(lives->arena, size_t, count + 1);
    for (size_t i = 0; i <= count; i++)
        next[i] = i;
    for (size_t t = 0; t < touched; t++) {
        if (touches[t].write)
            continue;
        size_t i = next_open(next, find_life(own, count, touches[t].begin));
        for (; i < count && own[i].begin < touches[t].end; i = next_open(next, i)) {
            add_touch(&own[i], &touches[t]);
            next[i] = i + 1;
        }
    }
}

/* The lives of one buffer from all its touches. */
static void add_buffer(Lives *lives, const Touch *touches, size_t count) {
    const Buffer *buffer = &lives->program->buffers.items[touches->buffer];
    size_t first = lives->list.count;
    add_written(lives, touches, count);
    if (lives->list.count > first + 1) {
        add_read(lives, lives->list.items + first, lives->list.count - first, touches, count);
        return;
    }
    BufferLife whole = {touches->buffer, 0, buffer->elements, touches->kernel, touches->kernel};
    for (size_t i = 0; i < count; i++)
        add_touch(&whole, &touches[i]);
    lives->list.count = first;
    vector_push(lives->arena, &lives->list, whole);
}

BufferLives kernel_lives(const Program *program, Arena *arena) {
    Arena *own = arena_create();
    Touches touches = collect_touches(program, own);
    Lives lives = {.arena = arena, .program = program};
    const Touch *items = touches.list.items;
    for (size_t i = 0, end; i < touches.list.count; i = end) {
        for (end = i + 1; end < touches.list.count && items[end].buffer == items[i].buffer;)
            end++;
        add_buffer(&lives, items + i, end - i);
    }
    arena_destroy(own);
    return (BufferLives){lives.list.items, lives.list.count};
}

bool kernel_in_place(const Program *program, int64_t kernel, int before, int after) {
    Footprint footprints[FOOTPRINT_MAX];
    int count = kernel_footprints(program, program->kernels.items[kernel], footprints);
    bool same_size = dtype_size(program->buffers.items[before].dtype) ==
                     dtype_size(program->buffers.items[after].dtype);
    for (int i = 0; i < count; i++) {
        const Footprint *read = &footprints[i];
        if (read->buffer == after && !read->write)
            return false;
        if (read->buffer != before)
            continue;
        if (read->write || !read->same_element)
            return false;
        for (int j = 0; j < count; j++)
            if (footprints[j].buffer == after &&
                !(footprints[j].same_element && footprint_same_box(read, &footprints[j])))
                return false;
    }
    return same_size;
}
