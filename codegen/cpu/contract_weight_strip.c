/* The gradient of a weight from tiles, by strips. A chunk owns some input channels at all taps and
 * some columns of the weight, and runs over its part of the strips. It computes the transposed
 * block, [tap][column][channel]. The left factor is the incoming gradient, turned, with zeros where
 * positions hang over a line. The right one is what the taps read, two positions beside each other,
 * once for all taps: a tap begins at the pair of its place. For a tap at an odd place the gradient
 * is stored a second time, one position later, so that its pairs are those of an even place.
 * Sums are fp32 over the rows of a part, at most 65,536, of which an instruction adds 32; parts are
 * added in double, in order. */
#include <math.h>

#include "base/integer.h"
#include "codegen/cpu/contract_weight.h"
#include "codegen/cpu/kinds.h"
#include "codegen/cpu/strip.h"
#include "codegen/cpu/tiles.h"

enum {
    BLOCK_SUMS = 160 * 1024, /* sums of a chunk at most, if it has some blocks more than one */
    TURNING_COST = 4,        /* of a column's gradients, in that of pairing a channel */
    STRIP_ROWS = 1024,       /* rows that are taken at a time, at most, if a line is not longer */
    UNIT = 2 * TILE_ROWS,    /* columns, and channels, of a block of tiles */
    ZEROS = TILE_BYTES / 4   /* behind a row: a tile, or what a vector reads too much */
};

/* How the weight is cut. */
typedef struct WeightCut {
    int64_t channels, columns;             /* of a block */
    int64_t channel_blocks, column_blocks; /* of the weight */
    int64_t tap_rows, row, sums;           /* a block's sums: columns and channels, whole tiles, of
                                              a tap; of all taps */
} WeightCut;

typedef struct StripWeightSlots {
    StripSlots strip;
    PackedSource source;
    SpaceSlots space;
    ViewSlots b;
    WeightViewSlots weight;
    int in, out;
    int channels, columns, column_blocks; /* of a block; of the weight */
    int blocks, tap_rows, row, block_sums;
    int strips, part_strips, parts;   /* in all, of a part */
    int together;                     /* strips that are multiplied at a time */
    int positions, slice_bytes;       /* of a strip, even; of its pairs in a tile of channels */
    int tile_bytes, block_bytes;      /* of all strips: of pairs in a tile of channels, of what
                                         is turned of UNIT columns */
    int later;                        /* bytes from what is turned to it one position later;
                                         0: no tap asks for that */
    int pairs, sums, pointers, zeros; /* offsets in the workspace; at 0 what is turned */
    int part_sums;                    /* pointer: [part][block][tap][tap_rows][row] */
} StripWeightSlots;

static int64_t round_up(int64_t value, int64_t unit) {
    return integer_divide_up(value, unit) * unit;
}

/* About `most` of `all` at most, in equal blocks of whole UNITs. */
static int64_t even_blocks(int64_t all, int64_t most) {
    int64_t nearest = (most + TILE_ROWS) / UNIT * UNIT, fit = nearest < UNIT ? UNIT : nearest;
    int64_t even = integer_divide_up(all, integer_divide_up(all, fit));
    return even < all ? round_up(even, UNIT) : all;
}

/* As many columns and channels as sums stay near. Of each chunk's strips all columns are turned and
 * all channels paired: least is done for a given product of both if both cost the same. */
static WeightCut cut_weight(const Contraction *c) {
    int64_t taps = c->taps.tap_count, most = BLOCK_SUMS / taps;
    WeightCut cut = {.columns = even_blocks(c->out, (int64_t)sqrt((double)(most / TURNING_COST)))};
    cut.tap_rows = round_up(cut.columns, TILE_ROWS);
    cut.channels = even_blocks(c->in, most / cut.tap_rows);
    cut.row = round_up(cut.channels, TILE_COLUMNS);
    cut.channel_blocks = integer_divide_up(c->in, cut.channels);
    cut.column_blocks = integer_divide_up(c->out, cut.columns);
    cut.sums = taps * cut.tap_rows * cut.row;
    return cut;
}

static void slot_cut(Slots *slots, StripWeightSlots *out, const Contraction *c,
                     const WeightCut *cut) {
    out->in = slot_number(slots, c->in);
    out->out = slot_number(slots, c->out);
    out->channels = slot_number(slots, cut->channels);
    out->columns = slot_number(slots, cut->columns);
    out->column_blocks = slot_number(slots, cut->column_blocks);
    out->blocks = slot_number(slots, cut->channel_blocks * cut->column_blocks);
    out->tap_rows = slot_number(slots, cut->tap_rows);
    out->row = slot_number(slots, cut->row);
    out->block_sums = slot_number(slots, cut->sums);
}

/* The strips are cut into parts where there are few blocks, or many rows. */
static int64_t slot_strips(Slots *slots, StripWeightSlots *out, const Strip *strip, int64_t images,
                           int64_t blocks, int64_t together) {
    int64_t strips = images * strip->strips, wanted = WEIGHT_ENOUGH_CHUNKS / blocks;
    int64_t part = integer_divide_up(strips, wanted < 1 ? 1 : wanted < strips ? wanted : strips);
    int64_t fit = WEIGHT_PART_ROWS / (strip->lines * strip->width);
    if (part > fit)
        part = fit < 1 ? 1 : fit;
    int64_t parts = integer_divide_up(strips, part);
    out->together = slot_number(slots, together);
    out->strips = slot_number(slots, strips);
    out->part_strips = slot_number(slots, part);
    out->parts = slot_number(slots, parts);
    return parts;
}

static bool has_odd_places(const Strip *strip) {
    for (int64_t t = 0; t < strip->count; t++)
        if (strip_place(strip, t) % 2 != 0)
            return true;
    return false;
}

/* How many strips are multiplied at a time: of small pictures some, whose rows are as many then as
 * those of a strip. */
static int64_t count_together(const Strip *strip, int64_t images) {
    int64_t depth = round_up(strip->rows + 1, TILE_DEPTH), fit = STRIP_ROWS / depth;
    if (strip->strips > 1 || fit < 1)
        return 1;
    return fit < images ? fit : images;
}

/* In fp32 elements: what is turned, pairs, sums, pointers, zeros. */
static void slot_workspace(Slots *slots, StripWeightSlots *out, const Strip *strip,
                           const WeightCut *cut, int64_t together) {
    int64_t row = TILE_DEPTH / 2, positions = round_up(strip->positions, TILE_DEPTH);
    int64_t depth = round_up(strip->rows + 1, TILE_DEPTH), slice = positions / 2 * TILE_COLUMNS;
    int64_t block = together * (depth / TILE_DEPTH) * UNIT * row, tile = together * slice;
    int64_t turned = round_up(cut->columns, UNIT) / UNIT * block;
    int64_t pairs = turned * (1 + has_odd_places(strip));
    int64_t sums = pairs + round_up(cut->channels, UNIT) / TILE_COLUMNS * tile;
    int64_t pointers = sums + cut->sums;
    int64_t zeros = pointers + (positions + depth) * (int64_t)(sizeof(void *) / sizeof(float));
    zeros = round_up(zeros, row);
    out->positions = slot_number(slots, positions);
    out->slice_bytes = slot_number(slots, slice * (int64_t)sizeof(float));
    out->tile_bytes = slot_number(slots, tile * (int64_t)sizeof(float));
    out->block_bytes = slot_number(slots, block * (int64_t)sizeof(float));
    out->later = slot_number(slots, (pairs - turned) * (int64_t)sizeof(float));
    out->pairs = slot_number(slots, pairs);
    out->sums = slot_number(slots, sums);
    out->pointers = slot_number(slots, pointers);
    out->zeros = slot_number(slots, zeros);
    slots->workspace =
        (zeros + round_up(cut->channels + cut->columns, UNIT) + ZEROS) * (int64_t)sizeof(float);
}

static StripWeightSlots slot_strip_weight(Slots *slots, const Kernel *kernel, int stage) {
    const Contraction *c = &kernel->contraction;
    Kernel ordered = *kernel; /* its taps as a strip has them */
    StripWeightSlots out = {0};
    Strip strip;
    strip_plan(slots->arena, slots->program, kernel, false, &strip);
    strip_cut(&strip, STRIP_ROWS, strip.height);
    ordered.contraction.taps = strip.taps;
    WeightCut cut = cut_weight(c);
    int64_t blocks = cut.channel_blocks * cut.column_blocks;
    out.strip = slot_strip(slots, &strip);
    out.source = slot_packed_source(slots, &ordered, DTYPE_BF16);
    out.space = slot_space(slots, &kernel->space, false);
    out.b = slot_view(slots, &c->b);
    out.weight = slot_weight_view(slots, &c->weight);
    slot_cut(slots, &out, c, &cut);
    int64_t images = space_images(&slots->program->geometry, &kernel->space);
    int64_t together = count_together(&strip, images);
    slot_workspace(slots, &out, &strip, &cut, together);
    int64_t parts = slot_strips(slots, &out, &strip, images, blocks, together);
    int64_t shared = parts > 1 ? parts * blocks * cut.sums : 1;
    out.part_sums = slot_shared(slots, shared * (int64_t)sizeof(float));
    slots->chunks = stage == 0 ? blocks * parts : parts > 1 ? blocks : 0;
    return out;
}

void bind_weight_strips(Slots *slots, const Kernel *kernel, int stage) {
    slot_strip_weight(slots, kernel, stage);
}

/* ---- Code ------------------------------------------------------------------------------------ */

/* A chunk's block of the weight. */
typedef struct WeightStrip {
    const StripWeightSlots *slots;
    Tiles tiles;
    LLVMValueRef channel, channels, column, columns; /* the first, and how many */
    LLVMValueRef turned, pairs, sums, pointers, gradients, zeros;
} WeightStrip;

static WeightStrip find_block(Emitter *e, const StripWeightSlots *slots, LLVMValueRef number) {
    LLVMValueRef column_blocks = emit_slot(e, slots->column_blocks);
    LLVMValueRef channels = emit_slot(e, slots->channels), columns = emit_slot(e, slots->columns);
    WeightStrip block = {.slots = slots};
    block.column = emit_mul(e, emit_rem(e, number, column_blocks), columns);
    block.columns = emit_min(e, columns, emit_sub(e, emit_slot(e, slots->out), block.column));
    block.channel = emit_mul(e, emit_div(e, number, column_blocks), channels);
    block.channels = emit_min(e, channels, emit_sub(e, emit_slot(e, slots->in), block.channel));
    return block;
}

static void find_workspace(Emitter *e, WeightStrip *block) {
    const StripWeightSlots *slots = block->slots;
    block->turned = e->workspace;
    block->pairs = emit_workspace(e, slots->pairs);
    block->sums = emit_workspace(e, slots->sums);
    block->pointers = emit_workspace(e, slots->pointers);
    block->gradients = emit_at(e, e->pointer, block->pointers, emit_slot(e, slots->positions));
    block->zeros = emit_workspace(e, slots->zeros);
    LLVMValueRef both = emit_add(e, emit_slot(e, slots->channels), emit_slot(e, slots->columns));
    emit_clear(e, DTYPE_F32, block->zeros, emit_add(e, both, emit_int(e, ZEROS)));
}

/* The sums of block `block` in part `part` of the strips. */
static LLVMValueRef part_sums(Emitter *e, const StripWeightSlots *slots, LLVMValueRef part,
                              LLVMValueRef block) {
    LLVMValueRef number = emit_add(e, emit_mul(e, part, emit_slot(e, slots->blocks)), block);
    return emit_at(e, e->f32, emit_slot_pointer(e, slots->part_sums),
                   emit_mul(e, number, emit_slot(e, slots->block_sums)));
}

static LLVMValueRef load_pointer(Emitter *e, LLVMValueRef table, LLVMValueRef number) {
    return emit_load(e, e->pointer, emit_at(e, e->pointer, table, number), 8);
}

/* Elements from a row to the one that has its place in the next strip. */
static LLVMValueRef next_strip(Emitter *e, const StripWeightSlots *slots, const ViewSlots *view,
                               const StripPlace *place) {
    LLVMValueRef rows = emit_mul(e, place->lines, emit_slot(e, slots->strip.line));
    return emit_mul(e, rows, emit_slot(e, view->row_stride));
}

/* ---- What the taps read ---------------------------------------------------------------------- */

/* A UNIT of channels of two positions, `left` of them if not NULL; to `target`, and a tile on. */
static void pair_channels(Emitter *e, const WeightStrip *block, LLVMValueRef const rows[2],
                          LLVMValueRef channel, LLVMValueRef left, LLVMValueRef target) {
    LLVMValueRef tile_bytes = emit_slot(e, block->slots->tile_bytes), both[2], pairs[2];
    LLVMTypeRef vector = LLVMVectorType(e->i16, UNIT);
    for (int i = 0; i < 2; i++) {
        LLVMValueRef place = emit_at(e, e->i16, rows[i], channel);
        both[i] = left ? emit_load_step(e, DTYPE_BF16, place, left)
                       : emit_load_vector(e, vector, place, NULL);
    }
    emit_pair_rows(e, both, pairs);
    LLVMValueRef tile = emit_div(e, channel, emit_int(e, TILE_COLUMNS));
    target = emit_at(e, e->i8, target, emit_mul(e, tile, tile_bytes));
    for (int i = 0; i < 2; i++)
        emit_store_vector(e, pairs[i],
                          emit_at(e, e->i8, target, emit_mul(e, tile_bytes, emit_int(e, i))), NULL);
}

/* Positions 2 * pair and 2 * pair + 1: right factors, [tile of channels][strip][pair]. */
static void pair_positions(Emitter *e, const WeightStrip *block, LLVMValueRef pairs,
                           LLVMValueRef pair) {
    LLVMValueRef first = emit_mul(e, pair, emit_int(e, 2)), rows[2], unit = emit_int(e, UNIT);
    for (int i = 0; i < 2; i++)
        rows[i] = load_pointer(e, block->pointers, emit_add(e, first, emit_int(e, i)));
    LLVMValueRef target = emit_at(e, e->i16, pairs, emit_mul(e, pair, emit_int(e, TILE_DEPTH)));
    LLVMValueRef whole = emit_mul(e, emit_div(e, block->channels, unit), unit);
    Loop channel = loop_begin(e, emit_int(e, 0), whole, unit);
    pair_channels(e, block, rows, channel.index, NULL, target);
    loop_end(e, &channel);
    Branch more = branch_begin(e, emit_less(e, whole, block->channels));
    pair_channels(e, block, rows, whole, emit_sub(e, block->channels, whole), target);
    branch_end(e, &more);
}

/* All positions of strip number `nth` of those that are taken together; those of the next strip are
 * fetched. */
static void pair_strip(Emitter *e, const WeightStrip *block, const StripPlace *place,
                       LLVMValueRef nth) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    LLVMValueRef positions = emit_slot(e, slots->positions);
    emit_strip_pointers(e, &slots->source, &slots->strip, place, block->channel, block->zeros,
                        block->pointers, positions);
    LLVMValueRef ahead = next_strip(e, slots, &slots->source.a, place);
    Loop fetched = loop_begin(e, zero, positions, one);
    LLVMValueRef row = load_pointer(e, block->pointers, fetched.index);
    emit_fetch_row(e, DTYPE_BF16, emit_at(e, e->i16, row, ahead), block->channels);
    loop_end(e, &fetched);
    LLVMValueRef pairs =
        emit_at(e, e->i8, block->pairs, emit_mul(e, nth, emit_slot(e, slots->slice_bytes)));
    Loop pair = loop_begin(e, zero, emit_div(e, positions, emit_int(e, 2)), one);
    pair_positions(e, block, pairs, pair.index);
    loop_end(e, &pair);
}

/* ---- The incoming gradient ------------------------------------------------------------------- */

/* Pointers to the block's columns for `depth` rows of the product. Those of the next strip are
 * fetched. */
static void find_gradients(Emitter *e, const WeightStrip *block, const StripPlace *place,
                           LLVMValueRef depth) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    LLVMTypeRef element = emit_dtype(e, slots->b.dtype);
    Loop all = loop_begin(e, zero, depth, one);
    emit_store(e, block->zeros, emit_at(e, e->pointer, block->gradients, all.index), 8);
    loop_end(e, &all);
    LLVMValueRef ahead = next_strip(e, slots, &slots->b, place);
    Loop line = loop_begin(e, zero, place->lines, one);
    LLVMValueRef first = emit_mul(e, line.index, emit_slot(e, slots->strip.width));
    Loop position = loop_begin(e, zero, emit_slot(e, slots->strip.line), one);
    RowPlace row =
        emit_strip_row(e, &slots->source.taps, &slots->space, place, line.index, position.index);
    LLVMValueRef address = emit_row_address(e, &slots->b, row.image, row.row);
    address = emit_at(e, element, address, block->column);
    LLVMValueRef number = emit_add(e, first, position.index);
    emit_store(e, address, emit_at(e, e->pointer, block->gradients, number), 8);
    emit_fetch_row(e, slots->b.dtype, emit_at(e, element, address, ahead), block->columns);
    loop_end(e, &position);
    loop_end(e, &line);
}

/* A step of 16 columns, turned, from row number `first` on; row i of `pairs` is a column. */
static void turn_tile(Emitter *e, const WeightStrip *block, LLVMValueRef first, LLVMValueRef column,
                      LLVMValueRef pairs[TILE_ROWS]) {
    LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, block->columns, column));
    for (int i = 0; i < TILE_ROWS; i++) {
        LLVMValueRef halves[2];
        for (int half = 0; half < 2; half++) {
            LLVMValueRef number = emit_add(e, first, emit_int(e, 2 * i + half));
            LLVMValueRef row = load_pointer(e, block->gradients, number);
            halves[half] = emit_load_bf16(e, block->slots->b.dtype, row, column, mask);
        }
        pairs[i] = emit_pairs(e, halves[0], halves[1]);
    }
    emit_transpose(e, pairs);
}

/* One position later: the last number of `before`, then all but the last of `now`. */
static LLVMValueRef delay(Emitter *e, LLVMValueRef before, LLVMValueRef now) {
    LLVMValueRef lanes[TILE_DEPTH / 2], half = emit_splat(e, emit_int32(e, 16));
    for (int l = 0; l < TILE_DEPTH / 2; l++)
        lanes[l] = emit_int32(e, TILE_DEPTH / 2 - 1 + l);
    LLVMValueRef pairs =
        LLVMBuildShuffleVector(e->builder, before, now, LLVMConstVector(lanes, TILE_DEPTH / 2), "");
    return emit_intrinsic(e, "llvm.fshl", &e->vector_i32, 1, (LLVMValueRef[]){now, pairs, half}, 3);
}

/* Stores a turned tile at `target`, and one position later further on: `before` is the tile of the
 * step before. */
static void store_turned(Emitter *e, const WeightStrip *block, LLVMValueRef const pairs[TILE_ROWS],
                         LLVMValueRef target, LLVMValueRef before) {
    LLVMValueRef later = emit_slot(e, block->slots->later), zero = emit_int(e, 0);
    LLVMValueRef bytes[TILE_ROWS];
    for (int i = 0; i < TILE_ROWS; i++) {
        bytes[i] = emit_int(e, (int64_t)i * STEP_BYTES);
        emit_store_vector(e, pairs[i], emit_at(e, e->i8, target, bytes[i]), NULL);
    }
    Branch odd = branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntNE, later, zero, ""));
    for (int i = 0; i < TILE_ROWS; i++) {
        LLVMValueRef row =
            emit_load_vector(e, e->vector_i32, emit_at(e, e->i8, before, bytes[i]), NULL);
        emit_store_vector(e, delay(e, row, pairs[i]),
                          emit_at(e, e->i8, target, emit_add(e, later, bytes[i])), NULL);
    }
    branch_end(e, &odd);
}

/* All columns of strip number `nth` of those that are taken together: left factors, [UNIT of
 * columns][strip][step][column]. */
static void turn_strip(Emitter *e, const WeightStrip *block, const StripPlace *place,
                       LLVMValueRef nth, LLVMValueRef steps) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), unit = emit_int(e, UNIT), pairs[TILE_ROWS];
    LLVMValueRef row_bytes = emit_int(e, STEP_BYTES);
    find_gradients(e, block, place, emit_mul(e, steps, emit_int(e, TILE_DEPTH)));
    Loop step = loop_begin(e, zero, steps, emit_int(e, 1));
    LLVMValueRef first = emit_mul(e, step.index, emit_int(e, TILE_DEPTH));
    Loop column = loop_begin(e, zero, block->columns, emit_int(e, TILE_ROWS));
    LLVMValueRef start =
        emit_mul(e, emit_div(e, column.index, unit), emit_slot(e, slots->block_bytes));
    LLVMValueRef number = emit_add(e, emit_mul(e, nth, steps), step.index);
    LLVMValueRef row = emit_add(e, emit_mul(e, number, unit), emit_rem(e, column.index, unit));
    LLVMValueRef target =
        emit_at(e, e->i8, block->turned, emit_add(e, start, emit_mul(e, row, row_bytes)));
    LLVMValueRef before = emit_at(e, e->i8, target, emit_int(e, -(int64_t)UNIT * STEP_BYTES));
    before = LLVMBuildSelect(e->builder, emit_less(e, zero, step.index), before, block->zeros, "");
    turn_tile(e, block, first, column.index, pairs);
    store_turned(e, block, pairs, target, before);
    loop_end(e, &column);
    loop_end(e, &step);
}

/* ---- Products -------------------------------------------------------------------------------- */

/* The strips that are packed: how many, the steps of each. */
typedef struct PackedStrips {
    LLVMValueRef count, steps;
} PackedStrips;

/* Sums += the turned columns from `column` on, a UNIT of them, x the channels from `channel` on, at
 * all taps. */
static void multiply_taps(Emitter *e, const WeightStrip *block, LLVMValueRef column,
                          LLVMValueRef channel, const PackedStrips *strips,
                          LLVMValueRef accumulate) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef one = emit_int(e, 1), unit = emit_int(e, UNIT), row = emit_slot(e, slots->row);
    LLVMValueRef bytes = emit_int(e, STEP_BYTES);
    LLVMValueRef rows = emit_round_up(e, emit_sub(e, block->columns, column), TILE_ROWS);
    LLVMValueRef width = emit_round_up(e, emit_sub(e, block->channels, channel), TILE_COLUMNS);
    LLVMValueRef turned = emit_mul(e, emit_div(e, column, unit), emit_slot(e, slots->block_bytes));
    LLVMValueRef tile = emit_div(e, channel, emit_int(e, TILE_COLUMNS));
    LLVMValueRef pairs = emit_mul(e, tile, emit_slot(e, slots->tile_bytes));
    Loop tap = loop_begin(e, emit_int(e, 0), emit_slot(e, slots->strip.count), one);
    LLVMValueRef place = emit_table_entry(e, slots->strip.places, tap.index);
    LLVMValueRef odd = LLVMBuildAnd(e->builder, place, one, "");
    LLVMValueRef pair = emit_mul(e, emit_div(e, place, emit_int(e, 2)), bytes);
    LLVMValueRef c = emit_add(e, emit_mul(e, tap.index, emit_slot(e, slots->tap_rows)), column);
    c = emit_add(e, emit_mul(e, c, row), channel);
    LLVMValueRef a = emit_add(e, turned, emit_mul(e, odd, emit_slot(e, slots->later)));
    TileOperands o = {.a = emit_at(e, e->i8, block->turned, a),
                      .a_row = bytes,
                      .a_step = emit_mul(e, unit, bytes),
                      .b = emit_at(e, e->i8, block->pairs, emit_add(e, pairs, pair)),
                      .b_tile = emit_slot(e, slots->tile_bytes),
                      .slices = strips->count,
                      .b_slice = emit_slot(e, slots->slice_bytes),
                      .c = emit_at(e, e->f32, block->sums, c),
                      .c_row = row,
                      .steps = strips->steps,
                      .accumulate = accumulate};
    emit_tile_panel(e, &block->tiles, &o, emit_min(e, rows, unit), emit_min(e, width, unit));
    loop_end(e, &tap);
}

/* Strips [first, end): if they are several, they have the same size. */
static void sum_strips(Emitter *e, const WeightStrip *block, LLVMValueRef first, LLVMValueRef end,
                       LLVMValueRef accumulate) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), unit = emit_int(e, UNIT);
    StripPlace place = emit_strip_place(e, &slots->strip, &slots->source.taps, first);
    LLVMValueRef depth = emit_round_up(e, emit_add(e, place.rows, one), TILE_DEPTH);
    PackedStrips strips = {emit_sub(e, end, first), emit_div(e, depth, emit_int(e, TILE_DEPTH))};
    Loop strip = loop_begin(e, zero, strips.count, one);
    place =
        emit_strip_place(e, &slots->strip, &slots->source.taps, emit_add(e, first, strip.index));
    pair_strip(e, block, &place, strip.index);
    turn_strip(e, block, &place, strip.index, strips.steps);
    loop_end(e, &strip);
    Loop column = loop_begin(e, zero, block->columns, unit);
    Loop channel = loop_begin(e, zero, block->channels, unit);
    multiply_taps(e, block, column.index, channel.index, &strips, accumulate);
    loop_end(e, &channel);
    loop_end(e, &column);
}

/* ---- What is stored -------------------------------------------------------------------------- */

/* The channels of a block at a tap. */
typedef struct TapChannels {
    const WeightStrip *block;
    LLVMValueRef weight;
} TapChannels;

static LLVMValueRef weight_row(Emitter *e, const void *context, LLVMValueRef row) {
    const TapChannels *at = context;
    LLVMValueRef channel = emit_add(e, at->block->channel, row);
    LLVMValueRef place =
        emit_weight_address(e, &at->block->slots->weight, at->weight, emit_int(e, 0), channel);
    return emit_at(e, e->f32, place, at->block->column);
}

/* Writes the block of the weight: what is summed at `sums`, `parts` times, `step` elements apart.
 */
static void store_block(Emitter *e, const WeightStrip *block, LLVMValueRef sums, LLVMValueRef parts,
                        LLVMValueRef step) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef row = emit_slot(e, slots->row);
    Loop tap = loop_begin(e, emit_int(e, 0), emit_slot(e, slots->strip.count), emit_int(e, 1));
    LLVMValueRef first = emit_mul(e, tap.index, emit_mul(e, emit_slot(e, slots->tap_rows), row));
    TurnedSums turned = {emit_at(e, e->f32, sums, first), row, parts, step};
    TapChannels at = {block, emit_tap_weight(e, &slots->source.taps, tap.index)};
    emit_store_turned(e, &turned, block->channels, block->columns, weight_row, &at);
    loop_end(e, &tap);
}

static void emit_sums(Emitter *e, const StripWeightSlots *slots) {
    LLVMValueRef one = emit_int(e, 1), blocks = emit_slot(e, slots->blocks);
    LLVMValueRef part = emit_div(e, e->chunk, blocks), nth = emit_rem(e, e->chunk, blocks);
    WeightStrip block = find_block(e, slots, nth);
    find_workspace(e, &block);
    LLVMValueRef whole = LLVMBuildICmp(e->builder, LLVMIntEQ, emit_slot(e, slots->parts), one, "");
    block.sums = LLVMBuildSelect(e->builder, whole, block.sums, part_sums(e, slots, part, nth), "");
    LLVMValueRef count = emit_slot(e, slots->part_strips), first = emit_mul(e, part, count);
    LLVMValueRef last = emit_min(e, emit_add(e, first, count), emit_slot(e, slots->strips));
    block.tiles = tiles_begin(e);
    LLVMValueRef together = emit_slot(e, slots->together);
    Loop strips = loop_begin(e, first, last, together);
    sum_strips(e, &block, strips.index, emit_min(e, emit_add(e, strips.index, together), last),
               LLVMBuildICmp(e->builder, LLVMIntSGT, strips.index, first, ""));
    loop_end(e, &strips);
    tiles_end(e);
    Branch store = branch_begin(e, whole);
    store_block(e, &block, block.sums, one, emit_int(e, 0));
    branch_end(e, &store);
}

static void emit_merge(Emitter *e, const StripWeightSlots *slots) {
    LLVMValueRef zero = emit_int(e, 0), sums = emit_slot(e, slots->block_sums);
    WeightStrip block = find_block(e, slots, e->chunk);
    store_block(e, &block, part_sums(e, slots, zero, e->chunk), emit_slot(e, slots->parts),
                emit_mul(e, sums, emit_slot(e, slots->blocks)));
}

void emit_weight_strips(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    Slots numbering = {.arena = e->arena, .program = program};
    StripWeightSlots slots = slot_strip_weight(&numbering, kernel, stage);
    if (stage == 0)
        emit_sums(e, &slots);
    else
        emit_merge(e, &slots);
}
