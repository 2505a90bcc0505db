#include "tools/inspect/memory_text.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "ir/kernel_lives.h"
#include "ir/kernel_names.h"

/* What is smaller than this share of what is alive goes into one line. */
static const double least_share = 0.002;

/* What of a buffer is alive at one kernel. */
typedef struct Alive {
    int buffer;
    int64_t bytes, first, last;
} Alive;

typedef struct MemoryText {
    Arena *arena;
    Text text;
    const Program *program;
    BufferLives lives;
    bool *replaces; /* by life: at its first kernel it lies where an operand does */
} MemoryText;

static double megabytes(int64_t bytes) {
    return 1e-6 * (double)bytes;
}

static const Buffer *buffer_of(const MemoryText *memory, const BufferLife *life) {
    return &memory->program->buffers.items[life->buffer];
}

static bool is_scratch(const MemoryText *memory, const BufferLife *life) {
    return buffer_of(memory, life)->region == REGION_SCRATCH;
}

static int64_t bytes_of(const MemoryText *memory, const BufferLife *life) {
    return (life->end - life->begin) * (int64_t)dtype_size(buffer_of(memory, life)->dtype);
}

/* ---- What is alive --------------------------------------------------------------------------- */

/* By kernel and place: what is gone comes before what takes its place. */
static bool is_replaced(const MemoryText *memory, const BufferLife *before,
                        const BufferLife *after) {
    return before->last == after->first && before->buffer != after->buffer &&
           is_scratch(memory, before) && is_scratch(memory, after) &&
           buffer_of(memory, before)->offset == buffer_of(memory, after)->offset &&
           kernel_in_place(memory->program, after->first, before->buffer, after->buffer);
}

static void find_replaced(MemoryText *memory) {
    size_t count = memory->lives.count;
    memory->replaces = arena_new_array(memory->arena, bool, count + 1);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count && !memory->replaces[i]; j++)
            memory->replaces[i] =
                is_replaced(memory, &memory->lives.items[j], &memory->lives.items[i]);
}

/* The first kernel at which it takes memory that nothing else has. */
static int64_t first_of(const MemoryText *memory, size_t life) {
    return memory->lives.items[life].first + memory->replaces[life];
}

/* The kernel at which most is alive; `bytes`: how much. */
static int64_t find_peak(const MemoryText *memory, int64_t *bytes) {
    size_t kernels = memory->program->kernels.count;
    int64_t *change = arena_new_array(memory->arena, int64_t, kernels + 2);
    for (size_t i = 0; i < memory->lives.count; i++) {
        const BufferLife *life = &memory->lives.items[i];
        if (!is_scratch(memory, life))
            continue;
        change[first_of(memory, i)] += bytes_of(memory, life);
        change[life->last + 1] -= bytes_of(memory, life);
    }
    int64_t alive = 0, peak = 0;
    *bytes = 0;
    for (size_t k = 0; k < kernels; k++) {
        alive += change[k];
        peak = alive > *bytes ? (int64_t)k : peak;
        *bytes = alive > *bytes ? alive : *bytes;
    }
    return peak;
}

/* Lives stand by buffer: those of one follow each other. */
static Alive *list_alive(const MemoryText *memory, int64_t kernel, size_t *count) {
    Alive *list = arena_new_array(memory->arena, Alive, memory->lives.count + 1);
    *count = 0;
    for (size_t i = 0; i < memory->lives.count; i++) {
        const BufferLife *life = &memory->lives.items[i];
        if (!is_scratch(memory, life) || kernel < first_of(memory, i) || life->last < kernel)
            continue;
        Alive *last = *count ? &list[*count - 1] : NULL;
        if (last && last->buffer == life->buffer) {
            last->bytes += bytes_of(memory, life);
            last->first = life->first < last->first ? life->first : last->first;
            last->last = life->last > last->last ? life->last : last->last;
        } else {
            list[(*count)++] =
                (Alive){life->buffer, bytes_of(memory, life), life->first, life->last};
        }
    }
    return list;
}

static int by_size(const void *a, const void *b) {
    const Alive *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->buffer - y->buffer;
}

/* ---- The text -------------------------------------------------------------------------------- */

static void append_regions(MemoryText *memory) {
    static const char *const names[] = {[REGION_PARAMS] = "parameters",
                                        [REGION_STATE] = "states",
                                        [REGION_INPUTS] = "inputs",
                                        [REGION_OUTPUTS] = "outputs",
                                        [REGION_SCRATCH] = "scratch"};
    for (int r = 0; r <= REGION_SCRATCH; r++)
        text_append(&memory->text, "%-10s %9.2f MB\n", names[r],
                    megabytes(kernel_region_bytes(memory->program, (Region)r)));
}

static void append_kernel_name(MemoryText *memory, int64_t kernel) {
    text_append_escaped(&memory->text, memory->program->kernels.items[kernel]->name);
}

static void append_alive(MemoryText *memory, const Alive *alive, int64_t all) {
    const Buffer *buffer = &memory->program->buffers.items[alive->buffer];
    text_append(&memory->text, "%9.2f MB %5.1f %%  %s ", megabytes(alive->bytes),
                100 * (double)alive->bytes / (double)all, dtype_name(buffer->dtype));
    text_append_escaped(&memory->text, buffer->name);
    text_append(&memory->text, ", kernels %" PRId64 " to %" PRId64 ", ", alive->first, alive->last);
    append_kernel_name(memory, alive->last);
    text_append(&memory->text, "\n");
}

static void append_peak(MemoryText *memory) {
    int64_t bytes, rest = 0;
    size_t count, shown = 0;
    int64_t peak = find_peak(memory, &bytes);
    if (bytes == 0)
        return;
    Alive *list = list_alive(memory, peak, &count);
    qsort(list, count, sizeof *list, by_size);
    text_append(&memory->text,
                "\n%.2f MB of scratch are alive at most, at kernel %" PRId64 " of %zu, ",
                megabytes(bytes), peak, memory->program->kernels.count);
    append_kernel_name(memory, peak);
    text_append(&memory->text, ":\n");
    for (; shown < count && (double)list[shown].bytes >= least_share * (double)bytes; shown++)
        append_alive(memory, &list[shown], bytes);
    for (size_t i = shown; i < count; i++)
        rest += list[i].bytes;
    if (shown < count)
        text_append(&memory->text, "%9.2f MB %5.1f %%  in %zu smaller ones\n", megabytes(rest),
                    100 * (double)rest / (double)bytes, count - shown);
}

char *memory_text(Arena *arena, const Program *program) {
    MemoryText memory = {.arena = arena,
                         .text = text_create(arena),
                         .program = program,
                         .lives = kernel_lives(program, arena)};
    find_replaced(&memory);
    append_regions(&memory);
    append_peak(&memory);
    return memory.text.data;
}
