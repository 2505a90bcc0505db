#include "codegen/cpu/strip.h"

#include <stdlib.h>
#include <string.h>

#include "base/integer.h"
#include "codegen/cpu/tiles.h"

enum {
    VECTOR = TILE_DEPTH,   /* elements that are copied at a time */
    AHEAD = 2048,          /* elements from what is copied to what is fetched: over a page's end */
    SLACK = 2 * TILE_ROWS, /* positions that a block of tiles may read behind the last line */
    MOST_WIDTH = 1024,     /* of a line */
    BLOCK_FIELDS = 4
};

/* ---- Planning -------------------------------------------------------------------------------- */

static int64_t floor_divide(int64_t value, int64_t by) {
    return value >= 0 ? value / by : -integer_divide_up(-value, by);
}

static int compare_taps(const void *left, const void *right) {
    const Tap *a = left, *b = right;
    for (int d = 0; d < 2; d++)
        if (a->offset[d] != b->offset[d])
            return a->offset[d] < b->offset[d] ? -1 : 1;
    return 0;
}

/* How many taps lie side by side in each line of taps, if they are the same in all; else 1. */
static int64_t side_by_side(const TapSet *taps) {
    const Tap *all = taps->taps;
    int64_t count = 1;
    while (count < taps->tap_count && all[count].offset[0] == all[0].offset[0])
        count++;
    for (int64_t t = 0; t < taps->tap_count; t++) {
        const Tap *first = &all[t - t % count];
        bool starts = first > all && first[-1].offset[0] == first->offset[0];
        if (taps->tap_count % count != 0 || starts || all[t].offset[0] != first->offset[0] ||
            all[t].offset[1] != all[0].offset[1] + t % count)
            return 1;
    }
    return count;
}

/* The block that a tap reads, and the quotients of its offsets. */
static StripBlock *block_of(Strip *strip, const Tap *tap, int64_t quotient[2]) {
    int64_t remainder[2];
    for (int d = 0; d < 2; d++) {
        quotient[d] = floor_divide(tap->offset[d], strip->taps.scale[d]);
        remainder[d] = tap->offset[d] - quotient[d] * strip->taps.scale[d];
    }
    for (int i = 0; i < strip->block_count; i++)
        if (memcmp(strip->blocks[i].remainder, remainder, sizeof remainder) == 0)
            return &strip->blocks[i];
    StripBlock *block = &strip->blocks[strip->block_count++];
    *block = (StripBlock){.remainder = {remainder[0], remainder[1]},
                          .least = {quotient[0], quotient[1]},
                          .most = {quotient[0], quotient[1]}};
    return block;
}

static void find_blocks(Strip *strip) {
    int64_t hang = 0;
    for (int64_t t = 0; t < strip->taps.tap_count; t += strip->inner) {
        int64_t quotient[2];
        StripBlock *block = block_of(strip, &strip->taps.taps[t], quotient);
        for (int d = 0; d < 2; d++) {
            if (quotient[d] < block->least[d])
                block->least[d] = quotient[d];
            if (quotient[d] > block->most[d])
                block->most[d] = quotient[d];
        }
        if (block->most[1] - block->least[1] > hang)
            hang = block->most[1] - block->least[1];
    }
    strip->width = strip->line + hang;
}

/* Positions of the phase in a direction of a dense space. */
static int64_t phase_extent(const Kernel *kernel, int d) {
    const TapSet *taps = &kernel->contraction.taps;
    int64_t left = kernel->space.extent[d] - taps->phase[d];
    return left > 0 ? integer_divide_up(left, taps->step[d]) : 0;
}

static bool suits(const Program *program, const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    const TapSet *taps = &c->taps;
    return !c->prologue && c->groups == 1 && taps->tap_count > 0 && taps->source.rank == 2 &&
           taps->source.kind == SPACE_DENSE && kernel->space.kind == SPACE_DENSE &&
           c->a.buffer >= 0 && program->buffers.items[c->a.buffer].dtype == DTYPE_BF16 &&
           c->a.channel_stride == 1 && c->a.row_stride == c->in && phase_extent(kernel, 0) > 0 &&
           phase_extent(kernel, 1) > 0;
}

bool strip_plan(Arena *arena, const Program *program, const Kernel *kernel, bool beside,
                Strip *strip) {
    const Contraction *c = &kernel->contraction;
    if (!suits(program, kernel))
        return false;
    size_t count = (size_t)c->taps.tap_count;
    *strip = (Strip){.taps = c->taps,
                     .inner = 1,
                     .height = phase_extent(kernel, 0),
                     .line = phase_extent(kernel, 1)};
    strip->taps.taps = arena_new_array(arena, Tap, count);
    memcpy(strip->taps.taps, c->taps.taps, count * sizeof(Tap));
    qsort(strip->taps.taps, count, sizeof(Tap), compare_taps);
    if (beside && c->in % TILE_DEPTH != 0)
        strip->inner = side_by_side(&strip->taps);
    strip->count = c->taps.tap_count / strip->inner;
    strip->blocks = arena_new_array(arena, StripBlock, count);
    find_blocks(strip);
    return strip->width <= MOST_WIDTH && strip->width <= 2 * strip->line;
}

/* A weight's gradient walks all rows of its space. */
static bool walks_all(const Kernel *kernel) {
    const TapSet *taps = &kernel->contraction.taps;
    for (int d = 0; d < kernel->space.rank; d++)
        if (taps->step[d] != 1 || taps->phase[d] != 0)
            return false;
    return true;
}

bool contraction_takes_strips(const Program *program, const Kernel *kernel,
                              const CpuTarget *target) {
    bool weight = kernel->kind == KERNEL_CONTRACT_WEIGHT;
    Strip strip;
    if (!kernel->contraction.bf16 || target->tiles == CPU_TILES_NONE ||
        (weight && !walks_all(kernel)))
        return false;
    Arena *arena = arena_create();
    bool takes = strip_plan(arena, program, kernel, !weight, &strip);
    arena_destroy(arena);
    return takes;
}

void strip_cut(Strip *strip, int64_t rows, int64_t lines) {
    int64_t all = strip->height, fit = (rows - strip->line) / strip->width + 1;
    int64_t most = rows < strip->line ? 1 : fit < lines ? fit : lines;
    strip->strips = integer_divide_up(all, most < 1 ? 1 : most);
    strip->lines = integer_divide_up(all, strip->strips);
    strip->strips = integer_divide_up(all, strip->lines);
    strip->rows = (strip->lines - 1) * strip->width + strip->line;
    strip->positions = 0;
    for (int i = 0; i < strip->block_count; i++) {
        StripBlock *block = &strip->blocks[i];
        block->start = strip->positions;
        strip->positions += (strip->lines + block->most[0] - block->least[0]) * strip->width;
    }
    strip->positions += SLACK;
}

int64_t strip_place(const Strip *strip, int64_t tap) {
    Strip found = *strip;
    int64_t quotient[2];
    const StripBlock *block = block_of(&found, &strip->taps.taps[tap * strip->inner], quotient);
    return block->start + (quotient[0] - block->least[0]) * strip->width + quotient[1] -
           block->least[1];
}

/* ---- Slots ----------------------------------------------------------------------------------- */

StripSlots slot_strip(Slots *slots, const Strip *strip) {
    StripSlots out = {.inner = slot_number(slots, strip->inner),
                      .count = slot_number(slots, strip->count),
                      .line = slot_number(slots, strip->line),
                      .width = slot_number(slots, strip->width),
                      .lines = slot_number(slots, strip->lines),
                      .strips = slot_number(slots, strip->strips),
                      .block_count = slot_number(slots, strip->block_count)};
    out.blocks = slot_table(slots);
    for (int i = 0; i < strip->block_count; i++) {
        const StripBlock *block = &strip->blocks[i];
        for (int d = 0; d < 2; d++)
            slot_table_entry(slots, block->least[d] * strip->taps.scale[d] + block->remainder[d]);
        slot_table_entry(slots, block->most[0] - block->least[0]);
        slot_table_entry(slots, block->start);
    }
    out.places = slot_table(slots);
    for (int64_t t = 0; t < strip->count; t++)
        slot_table_entry(slots, strip_place(strip, t));
    return out;
}

/* ---- Code ------------------------------------------------------------------------------------ */

StripPlace emit_strip_place(Emitter *e, const StripSlots *slots, const TapSlots *taps,
                            LLVMValueRef number) {
    LLVMValueRef strips = emit_slot(e, slots->strips), lines = emit_slot(e, slots->lines);
    StripPlace place = {.image = emit_div(e, number, strips),
                        .first = emit_mul(e, emit_rem(e, number, strips), lines)};
    place.lines = emit_min(e, lines, emit_sub(e, emit_slot(e, taps->phase_extent[0]), place.first));
    LLVMValueRef before = emit_sub(e, place.lines, emit_int(e, 1));
    place.rows =
        emit_add(e, emit_mul(e, before, emit_slot(e, slots->width)), emit_slot(e, slots->line));
    return place;
}

RowPlace emit_strip_row(Emitter *e, const TapSlots *taps, const SpaceSlots *walked,
                        const StripPlace *place, LLVMValueRef line, LLVMValueRef position) {
    LLVMValueRef index[2] = {emit_add(e, place->first, line), position};
    for (int d = 0; d < 2; d++)
        index[d] = emit_add(e, emit_mul(e, index[d], emit_slot(e, taps->step[d])),
                            emit_slot(e, taps->phase[d]));
    LLVMValueRef start = emit_mul(e, index[0], emit_slot(e, walked->extent[1]));
    return (RowPlace){.image = place->image, .row = emit_add(e, start, index[1])};
}

/* A line while it is copied. */
typedef struct StripLine {
    const StripPart *part;
    LLVMValueRef source;      /* its first element; nothing is read if it is outside */
    LLVMValueRef all;         /* how many it has; 0 outside */
    LLVMValueRef start, step; /* the element of the first position; from one to the next */
    LLVMValueRef target;      /* of the first position, at its first step */
} StripLine;

/* The lanes [from, to) of a vector. */
static LLVMValueRef lanes_between(Emitter *e, LLVMValueRef from, LLVMValueRef to) {
    LLVMValueRef all[2] = {from, to}, numbers[VECTOR], within[2];
    LLVMTypeRef vector = LLVMVectorType(e->i16, VECTOR);
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(e->i32, VECTOR));
    for (int i = 0; i < VECTOR; i++)
        numbers[i] = LLVMConstInt(e->i16, (unsigned long long)i, 0);
    for (int i = 0; i < 2; i++) {
        LLVMValueRef bound = emit_min(e, emit_max(e, all[i], emit_int(e, 0)), emit_int(e, VECTOR));
        bound = LLVMBuildTrunc(e->builder, bound, e->i16, "");
        bound =
            LLVMBuildInsertElement(e->builder, LLVMGetPoison(vector), bound, emit_int32(e, 0), "");
        bound = LLVMBuildShuffleVector(e->builder, bound, bound, zeros, "");
        within[i] = LLVMBuildICmp(e->builder, i == 0 ? LLVMIntSGE : LLVMIntSLT,
                                  LLVMConstVector(numbers, VECTOR), bound, "");
    }
    return LLVMBuildAnd(e->builder, within[0], within[1], "");
}

/* Where vector `channel` of the elements at `target` lies. */
static LLVMValueRef step_place(Emitter *e, const StripLine *line, LLVMValueRef target,
                               LLVMValueRef channel) {
    LLVMValueRef step = emit_div(e, channel, emit_int(e, VECTOR));
    return emit_at(e, e->i8, target, emit_mul(e, step, line->part->target.step));
}

/* The vector of the elements from number `from` of the line on, where `mask` (NULL: all) is. */
static void copy_vector(Emitter *e, const StripLine *line, LLVMValueRef from, LLVMValueRef target,
                        LLVMValueRef channel, LLVMValueRef mask) {
    LLVMTypeRef vector = LLVMVectorType(e->i16, VECTOR);
    LLVMValueRef value = emit_load_vector(e, vector, emit_at(e, e->i16, line->source, from), mask);
    emit_store_vector(e, value, step_place(e, line, target, channel), NULL);
}

/* A position whose elements are all in the line. */
static void copy_inside(Emitter *e, const StripLine *line, LLVMValueRef start,
                        LLVMValueRef target) {
    LLVMValueRef zero = emit_int(e, 0), step = emit_int(e, VECTOR), count = line->part->count;
    LLVMValueRef whole = emit_mul(e, emit_div(e, count, step), step);
    LLVMValueRef rest = lanes_between(e, zero, emit_sub(e, count, whole));
    Loop channel = loop_begin(e, zero, whole, step);
    LLVMValueRef from = emit_add(e, start, channel.index);
    emit_prefetch(e, emit_at(e, e->i16, line->source, emit_add(e, from, emit_int(e, AHEAD))));
    copy_vector(e, line, from, target, channel.index, NULL);
    loop_end(e, &channel);
    Branch more = branch_begin(e, emit_less(e, whole, count));
    copy_vector(e, line, emit_add(e, start, whole), target, whole, rest);
    branch_end(e, &more);
}

/* A position of which any may be outside. */
static void copy_across(Emitter *e, const StripLine *line, LLVMValueRef start,
                        LLVMValueRef target) {
    LLVMValueRef zero = emit_int(e, 0), count = line->part->count;
    Loop channel = loop_begin(e, zero, count, emit_int(e, VECTOR));
    LLVMValueRef from = emit_add(e, start, channel.index);
    LLVMValueRef end = emit_min(e, emit_sub(e, count, channel.index), emit_sub(e, line->all, from));
    LLVMValueRef mask = lanes_between(e, emit_sub(e, zero, from), end);
    copy_vector(e, line, from, target, channel.index, mask);
    loop_end(e, &channel);
}

/* Positions [first, end) of the line, all inside or not. */
static void copy_positions(Emitter *e, const StripLine *line, LLVMValueRef first, LLVMValueRef end,
                           bool inside) {
    Loop position = loop_begin(e, first, end, emit_int(e, 1));
    LLVMValueRef start = emit_add(e, line->start, emit_mul(e, position.index, line->step));
    LLVMValueRef target =
        emit_at(e, e->i8, line->target, emit_mul(e, position.index, line->part->target.row));
    if (inside)
        copy_inside(e, line, start, target);
    else
        copy_across(e, line, start, target);
    loop_end(e, &position);
}

/* All `width` positions: those that begin before the line, those inside, those that end behind it.
 */
static void copy_line(Emitter *e, const StripLine *line, LLVMValueRef width) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    LLVMValueRef before = emit_max(e, emit_sub(e, zero, line->start), zero);
    before = emit_add(e, before, emit_sub(e, line->step, one));
    LLVMValueRef first = emit_min(e, emit_div(e, before, line->step), width);
    LLVMValueRef left = emit_sub(e, emit_sub(e, line->all, line->part->count), line->start);
    LLVMValueRef fit = emit_div(e, emit_max(e, emit_add(e, left, line->step), zero), line->step);
    LLVMValueRef end = emit_max(e, emit_min(e, fit, width), first);
    copy_positions(e, line, zero, first, false);
    copy_positions(e, line, first, end, true);
    copy_positions(e, line, end, width, false);
}

/* A line of a block of a strip: whether it is in the picture; its first row there; the source's
 * column at its first position; that position. */
typedef struct FoundLine {
    LLVMValueRef there, row, column, position;
} FoundLine;

/* Line number `line` of the block whose fields in the table start at `fields`. */
static FoundLine find_line(Emitter *e, const TapSlots *taps, const StripSlots *slots,
                           const StripPlace *place, LLVMValueRef fields, LLVMValueRef line) {
    LLVMValueRef field[BLOCK_FIELDS], zero = emit_int(e, 0), width = emit_slot(e, slots->width);
    for (int i = 0; i < BLOCK_FIELDS; i++)
        field[i] = emit_table_entry(e, slots->blocks, emit_add(e, fields, emit_int(e, i)));
    LLVMValueRef number =
        emit_mul(e, emit_add(e, place->first, line), emit_slot(e, taps->scale[0]));
    number = emit_add(e, number, field[0]);
    FoundLine found = {.there = LLVMBuildICmp(e->builder, LLVMIntULT, number,
                                              emit_slot(e, taps->source.extent[0]), ""),
                       .column = field[1],
                       .position = emit_add(e, field[3], emit_mul(e, line, width))};
    number = LLVMBuildSelect(e->builder, found.there, number, zero, "");
    found.row = emit_mul(e, number, emit_slot(e, taps->source.extent[1]));
    return found;
}

/* Loops over the lines of all blocks. */
typedef struct LineLoop {
    Loop block, line;
    FoundLine found;
} LineLoop;

static LineLoop line_loop_begin(Emitter *e, const TapSlots *taps, const StripSlots *slots,
                                const StripPlace *place) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    LineLoop loop = {.block = loop_begin(e, zero, emit_slot(e, slots->block_count), one)};
    LLVMValueRef fields = emit_mul(e, loop.block.index, emit_int(e, BLOCK_FIELDS));
    LLVMValueRef hang = emit_table_entry(e, slots->blocks, emit_add(e, fields, emit_int(e, 2)));
    loop.line = loop_begin(e, zero, emit_add(e, place->lines, hang), one);
    loop.found = find_line(e, taps, slots, place, fields, loop.line.index);
    return loop;
}

static void line_loop_end(Emitter *e, LineLoop *loop) {
    loop_end(e, &loop->line);
    loop_end(e, &loop->block);
}

void emit_pack_strip(Emitter *e, const PackedSource *source, const StripSlots *slots,
                     const StripPlace *place, const StripPart *part) {
    const TapSlots *taps = &source->taps;
    LineLoop lines = line_loop_begin(e, taps, slots, place);
    const FoundLine *found = &lines.found;
    LLVMValueRef in = emit_slot(e, source->a.row_stride);
    LLVMValueRef all = emit_mul(e, emit_slot(e, taps->source.extent[1]), in);
    StripLine line = {.part = part,
                      .source = emit_row_address(e, &source->a, place->image, found->row),
                      .all = LLVMBuildSelect(e->builder, found->there, all, emit_int(e, 0), ""),
                      .start = emit_add(e, emit_mul(e, found->column, in), part->first),
                      .step = emit_mul(e, emit_slot(e, taps->scale[1]), in),
                      .target = emit_at(e, e->i8, part->target.start,
                                        emit_mul(e, found->position, part->target.row))};
    copy_line(e, &line, emit_slot(e, slots->width));
    line_loop_end(e, &lines);
}

void emit_strip_pointers(Emitter *e, const PackedSource *source, const StripSlots *slots,
                         const StripPlace *place, LLVMValueRef channel, LLVMValueRef zeros,
                         LLVMValueRef pointers, LLVMValueRef count) {
    const TapSlots *taps = &source->taps;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    Loop all = loop_begin(e, zero, count, one);
    emit_store(e, zeros, emit_at(e, e->pointer, pointers, all.index), 8);
    loop_end(e, &all);
    LineLoop lines = line_loop_begin(e, taps, slots, place);
    const FoundLine *found = &lines.found;
    Loop position = loop_begin(e, zero, emit_slot(e, slots->width), one);
    LLVMValueRef column =
        emit_add(e, found->column, emit_mul(e, position.index, emit_slot(e, taps->scale[1])));
    LLVMValueRef there =
        LLVMBuildICmp(e->builder, LLVMIntULT, column, emit_slot(e, taps->source.extent[1]), "");
    there = LLVMBuildAnd(e->builder, there, found->there, "");
    LLVMValueRef row =
        emit_row_address(e, &source->a, place->image, emit_add(e, found->row, column));
    row = emit_at(e, emit_dtype(e, source->a.dtype), row, channel);
    row = LLVMBuildSelect(e->builder, there, row, zeros, "");
    LLVMValueRef number = emit_add(e, found->position, position.index);
    emit_store(e, row, emit_at(e, e->pointer, pointers, number), 8);
    loop_end(e, &position);
    line_loop_end(e, &lines);
}
