#include "ir/kernel_written.h"

#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"

typedef struct Marks {
    bool full;
    int64_t unit;   /* elements that were always written together, from a multiple of it on */
    int64_t count;  /* of marked units, while not full */
    uint64_t *bits; /* one per unit; NULL: none is marked, or all are */
} Marks;

struct Written {
    const Program *program;
    Marks *marks; /* per buffer */
};

Written *kernel_written_create(const Program *program) {
    Written *written = malloc(sizeof *written);
    size_t count = program->buffers.count ? program->buffers.count : 1;
    Marks *marks = calloc(count, sizeof *marks);
    if (!written || !marks)
        fatal("out of memory");
    *written = (Written){program, marks};
    return written;
}

void kernel_written_drop(Written *written, int buffer) {
    free(written->marks[buffer].bits);
    written->marks[buffer].bits = NULL;
}

void kernel_written_destroy(Written *written) {
    for (size_t i = 0; i < written->program->buffers.count; i++)
        kernel_written_drop(written, (int)i);
    free(written->marks);
    free(written);
}

bool kernel_written_full(const Written *written, int buffer) {
    return written->marks[buffer].full;
}

/* ---- Runs of units ------------------------------------------------------------------------ */

/* Marks `count` units from `first` on, or tells whether all are marked. */
typedef bool RunFunction(Marks *marks, int64_t first, int64_t count);

static uint64_t word_mask(int64_t first, int64_t count) {
    uint64_t ones = count >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << count) - 1;
    return ones << first;
}

static bool mark_run(Marks *marks, int64_t first, int64_t count) {
    while (count > 0) {
        int64_t bit = first % 64, part = count < 64 - bit ? count : 64 - bit;
        uint64_t *word = &marks->bits[first / 64], mask = word_mask(bit, part);
        marks->count += part - __builtin_popcountll(*word & mask);
        *word |= mask;
        first += part;
        count -= part;
    }
    return true;
}

static bool covers_run(Marks *marks, int64_t first, int64_t count) {
    while (count > 0) {
        int64_t bit = first % 64, part = count < 64 - bit ? count : 64 - bit;
        uint64_t mask = word_mask(bit, part);
        if ((marks->bits[first / 64] & mask) != mask)
            return false;
        first += part;
        count -= part;
    }
    return true;
}

static bool goes_before(const Footprint *footprint, int a, int b) {
    if (footprint->count[a] == 1 || footprint->count[b] == 1)
        return footprint->count[b] != 1;
    return footprint->stride[a] >= footprint->stride[b];
}

/* Orders dimensions by their strides, the smallest last; first those of one number. Those of a
 * phase stay: which rows are meant depends on their numbers. */
static void sort_dimensions(Footprint *footprint) {
    int first = footprint->phase ? 2 : 0;
    for (int d = first + 1; d < FOOTPRINT_DIMENSIONS; d++)
        for (int k = d; k > first && !goes_before(footprint, k - 1, k); k--) {
            int64_t count = footprint->count[k], stride = footprint->stride[k];
            footprint->count[k] = footprint->count[k - 1];
            footprint->stride[k] = footprint->stride[k - 1];
            footprint->count[k - 1] = count;
            footprint->stride[k - 1] = stride;
        }
}

/* Joins dimensions that follow one another without a gap, so that runs become long. */
static Footprint joined(const Footprint *footprint) {
    Footprint result = *footprint;
    sort_dimensions(&result);
    for (int d = FOOTPRINT_DIMENSIONS - 2; d >= 0; d--) {
        int64_t inner = result.count[d + 1];
        bool phased = footprint->phase && d <= 1;
        if (phased || result.stride[d] != inner * result.stride[d + 1])
            continue;
        result.count[d + 1] = inner * result.count[d];
        result.count[d] = 1;
    }
    return result;
}

static bool row_in_phase(const Written *written, const Footprint *footprint, int64_t row) {
    return !footprint->phase || kernel_row_in_phase(&written->program->geometry,
                                                    footprint->phase_space, footprint->phase, row);
}

static int64_t greatest_common_divisor(int64_t a, int64_t b) {
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The largest unit of which all runs of a box consist. */
static int64_t unit_of(const Footprint *box, int64_t elements) {
    int64_t unit = greatest_common_divisor(elements, box->base);
    for (int d = 0; d < FOOTPRINT_DIMENSIONS - 1; d++)
        if (box->count[d] > 1)
            unit = greatest_common_divisor(unit, box->stride[d]);
    bool run = box->count[3] > 1 && box->stride[3] == 1;
    return run ? greatest_common_divisor(unit, box->count[3]) : 1;
}

static void allocate_bits(Marks *marks, int64_t elements) {
    marks->bits = calloc((size_t)(elements / marks->unit / 64 + 1), sizeof *marks->bits);
    if (!marks->bits)
        fatal("out of memory");
}

/* Marks what one word of other marks says, whose units are `parts` of these. */
static void mark_word(Marks *marks, uint64_t word, int64_t first, int64_t parts) {
    if (word == ~UINT64_C(0)) {
        mark_run(marks, first * parts, 64 * parts);
        return;
    }
    for (int64_t i = 0; i < 64 && word >> i != 0; i++)
        if (word >> i & 1)
            mark_run(marks, (first + i) * parts, parts);
}

/* Makes the unit of a buffer's marks a divisor of `unit`, which divides `elements`. */
static void refine(Marks *marks, int64_t elements, int64_t unit) {
    Marks old = *marks;
    marks->unit = old.bits ? greatest_common_divisor(old.unit, unit) : unit;
    if (old.bits && marks->unit == old.unit)
        return;
    allocate_bits(marks, elements);
    marks->count = 0;
    for (int64_t i = 0; old.bits && i < elements / old.unit; i += 64)
        mark_word(marks, old.bits[i / 64], i, old.unit / marks->unit);
    free(old.bits);
}

/* The innermost dimension as one run, or element by element; then the unit is one element. */
static bool each_inner(Marks *marks, const Footprint *box, int64_t first, RunFunction *function) {
    int64_t count = box->count[3], stride = box->stride[3];
    if (stride == 1 || count == 1)
        return function(marks, first / marks->unit, count / marks->unit);
    for (int64_t i = 0; i < count; i++)
        if (!function(marks, first + i * stride, 1))
            return false;
    return true;
}

/* Calls `function` for all runs until it returns false. */
static bool each_run(Written *written, const Footprint *footprint, RunFunction *function) {
    Marks *marks = &written->marks[footprint->buffer];
    int64_t elements = written->program->buffers.items[footprint->buffer].elements;
    Footprint box = joined(footprint);
    refine(marks, elements, unit_of(&box, elements));
    for (int64_t i = 0; i < box.count[0]; i++)
        for (int64_t j = 0; j < box.count[1]; j++) {
            if (!row_in_phase(written, footprint, j))
                continue;
            for (int64_t k = 0; k < box.count[2]; k++)
                if (!each_inner(marks, &box,
                                box.base + i * box.stride[0] + j * box.stride[1] +
                                    k * box.stride[2],
                                function))
                    return false;
        }
    return true;
}

/* ---- Footprints ------------------------------------------------------------------------------ */

/* The elements of a footprint without phases. */
static int64_t element_count(const Footprint *footprint) {
    int64_t count = 1;
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++)
        count *= footprint->count[d];
    return count;
}

static bool has_every_row(const Footprint *footprint) {
    for (int d = 0; footprint->phase && d < footprint->phase_space->rank; d++)
        if (footprint->phase->step[d] != 1)
            return false;
    return true;
}

void kernel_written_mark(Written *written, const Footprint *footprint) {
    Marks *marks = &written->marks[footprint->buffer];
    int64_t elements = written->program->buffers.items[footprint->buffer].elements;
    if (marks->full)
        return;
    if (!has_every_row(footprint) || element_count(footprint) < elements) {
        each_run(written, footprint, mark_run);
        if (marks->count * marks->unit < elements)
            return;
    }
    kernel_written_drop(written, footprint->buffer);
    marks->full = true;
}

bool kernel_written_covers(Written *written, const Footprint *footprint) {
    const Marks *marks = &written->marks[footprint->buffer];
    if (marks->full)
        return true;
    return marks->bits && each_run(written, footprint, covers_run);
}
