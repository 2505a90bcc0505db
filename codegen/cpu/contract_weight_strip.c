/* The gradient of a weight from tiles, by strips. A chunk owns some input channels at all taps and
 * some columns of the weight, and runs over its part of the strips. Of each it turns what the taps
 * read, [channel][position]: the rows of the weight's block at a tap are rows of it, from the tap's
 * place on, whatever the tap, so this is the left factor of all. The right one is the incoming
 * gradient, two rows beside each other, with zeros where positions hang over a line. */
#include "base/integer.h"
#include "codegen/cpu/contract_weight.h"
#include "codegen/cpu/kinds.h"
#include "codegen/cpu/strip.h"
#include "codegen/cpu/tiles.h"

enum {
    BLOCK_COLUMNS = 256,    /* columns of a chunk at most */
    BLOCK_SUMS = 80 * 1024, /* sums of a chunk at most, if it has some channels more than a tile */
    STRIP_ROWS = 512,       /* rows that are taken at a time, at most, if a line is not longer */
    UNIT = 2 * TILE_ROWS,   /* channels of a block of tiles */
    PANEL = 2 * TILE_COLUMNS
};

typedef struct StripWeightSlots {
    StripSlots strip;
    PackedSource source;
    SpaceSlots space;
    ViewSlots b;
    WeightViewSlots weight;
    PanelSlots panels;
    int in, channels, channel_blocks;  /* channels of a block */
    int tap_rows;                      /* rows of the sums at a tap: channels, whole tiles */
    int strips, part_strips, parts;    /* in all, of a part */
    int float_strips;                  /* that are summed in fp32 */
    int blocks, block_rows, block_row; /* of the weight; rows and columns of a block's sums */
    int positions, turned_row, depth;  /* of a strip: whole tiles; from channel to channel; rows */
    int pairs, sums, totals, pointers, zeros; /* offsets in the workspace; at 0 what is turned */
    int part_totals; /* pointer: [part][block][block_rows][block_row] doubles */
} StripWeightSlots;

/* As many channels as sums stay near, in equal blocks. */
static int64_t choose_channels(int64_t in, int64_t taps, int64_t columns) {
    int64_t most = BLOCK_SUMS / (taps * columns) / UNIT * UNIT;
    if (most < UNIT)
        most = UNIT;
    int64_t even = integer_divide_up(in, integer_divide_up(in, most));
    return even < in ? integer_divide_up(even, UNIT) * UNIT : in;
}

static int64_t round_up(int64_t value, int64_t unit) {
    return integer_divide_up(value, unit) * unit;
}

/* The strips are cut into parts where there are few blocks. */
static int64_t slot_strips(Slots *slots, StripWeightSlots *out, const Strip *strip, int64_t images,
                           int64_t blocks) {
    int64_t strips = images * strip->strips, wanted = WEIGHT_ENOUGH_CHUNKS / blocks;
    int64_t part = integer_divide_up(strips, wanted < 1 ? 1 : wanted < strips ? wanted : strips);
    int64_t parts = integer_divide_up(strips, part), rows = strip->lines * strip->line;
    int64_t together = WEIGHT_TILED_FLOAT_ROWS / rows;
    out->strips = slot_number(slots, strips);
    out->part_strips = slot_number(slots, part);
    out->parts = slot_number(slots, parts);
    out->float_strips = slot_number(slots, together < 1 ? 1 : together);
    return parts;
}

static void slot_workspace(Slots *slots, StripWeightSlots *out, const Strip *strip,
                           int64_t channels, int64_t columns, int64_t sums) {
    int64_t unit = TILE_DEPTH, positions = round_up(strip->positions, unit);
    int64_t row = positions + (positions / unit % 2 == 0 ? unit : 2 * unit); /* odd lines */
    int64_t depth = round_up(strip->rows, unit), pairs = round_up(channels, TILE_ROWS) * row / 2;
    int64_t at = pairs + depth * columns / 2;
    out->positions = slot_number(slots, positions);
    out->turned_row = slot_number(slots, row);
    out->depth = slot_number(slots, depth);
    out->pairs = slot_number(slots, pairs);
    out->sums = slot_number(slots, at);
    out->totals = slot_number(slots, at + sums);
    out->pointers = slot_number(slots, at + 3 * sums);
    int64_t pointers = (positions + depth) * (int64_t)(sizeof(void *) / sizeof(float));
    out->zeros = slot_number(slots, at + 3 * sums + pointers);
    int64_t zeros = round_up(channels > columns ? channels : columns, TILE_COLUMNS) + PANEL;
    slots->workspace = (at + 3 * sums + pointers + zeros) * (int64_t)sizeof(float);
}

static StripWeightSlots slot_strip_weight(Slots *slots, const Kernel *kernel, int stage) {
    const Contraction *c = &kernel->contraction;
    Kernel ordered = *kernel; /* its taps as a strip has them */
    StripWeightSlots out = {0};
    Strip strip;
    strip_plan(slots->arena, slots->program, kernel, false, &strip);
    strip_cut(&strip, STRIP_ROWS, strip.height);
    ordered.contraction.taps = strip.taps;
    Panels panels = tile_panels(c->out, BLOCK_COLUMNS);
    int64_t taps = c->taps.tap_count, channels = choose_channels(c->in, taps, panels.widest);
    int64_t tap_rows = round_up(channels, TILE_ROWS), sums = taps * tap_rows * panels.widest;
    int64_t channel_blocks = integer_divide_up(c->in, channels);
    int64_t blocks = channel_blocks * panels.blocks;
    out.strip = slot_strip(slots, &strip);
    out.source = slot_packed_source(slots, &ordered, DTYPE_BF16);
    out.space = slot_space(slots, &kernel->space, false);
    out.b = slot_view(slots, &c->b);
    out.weight = slot_weight_view(slots, &c->weight);
    out.panels = slot_panels(slots, &panels, c->out);
    out.in = slot_number(slots, c->in);
    out.channels = slot_number(slots, channels);
    out.channel_blocks = slot_number(slots, channel_blocks);
    out.tap_rows = slot_number(slots, tap_rows);
    out.blocks = slot_number(slots, blocks);
    out.block_rows = slot_number(slots, taps * tap_rows);
    out.block_row = slot_number(slots, panels.widest);
    slot_workspace(slots, &out, &strip, channels, panels.widest, sums);
    int64_t images = space_images(&slots->program->geometry, &kernel->space);
    int64_t parts = slot_strips(slots, &out, &strip, images, blocks);
    out.part_totals = slot_shared(slots, (parts > 1 ? parts * blocks * sums : 1) * 8);
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
    PanelBlock columns;
    LLVMValueRef first, count; /* channels */
    LLVMValueRef turned, pairs, sums, totals, pointers, b_pointers, zeros;
} WeightStrip;

static WeightStrip find_block(Emitter *e, const StripWeightSlots *slots, LLVMValueRef number) {
    LLVMValueRef column_blocks = emit_slot(e, slots->panels.blocks);
    LLVMValueRef channels = emit_slot(e, slots->channels);
    WeightStrip block = {.slots = slots};
    block.columns = emit_panel_block(e, &slots->panels, emit_rem(e, number, column_blocks));
    block.first = emit_mul(e, emit_div(e, number, column_blocks), channels);
    block.count = emit_min(e, channels, emit_sub(e, emit_slot(e, slots->in), block.first));
    return block;
}

static void find_workspace(Emitter *e, WeightStrip *block) {
    const StripWeightSlots *slots = block->slots;
    block->turned = e->workspace;
    block->pairs = emit_workspace(e, slots->pairs);
    block->sums = emit_workspace(e, slots->sums);
    block->totals = emit_workspace(e, slots->totals);
    block->pointers = emit_workspace(e, slots->pointers);
    block->b_pointers = emit_at(e, e->pointer, block->pointers, emit_slot(e, slots->positions));
    block->zeros = emit_workspace(e, slots->zeros);
    LLVMValueRef size = emit_max(e, emit_slot(e, slots->channels), emit_slot(e, slots->block_row));
    emit_clear(e, DTYPE_F32, block->zeros, emit_add(e, size, emit_int(e, PANEL)));
}

/* The totals of block `block` in part `part` of the strips. */
static LLVMValueRef part_totals(Emitter *e, const StripWeightSlots *slots, LLVMValueRef part,
                                LLVMValueRef block) {
    LLVMValueRef number = emit_add(e, emit_mul(e, part, emit_slot(e, slots->blocks)), block);
    LLVMValueRef size =
        emit_mul(e, emit_slot(e, slots->block_rows), emit_slot(e, slots->block_row));
    return emit_at(e, e->f64, emit_slot_pointer(e, slots->part_totals), emit_mul(e, number, size));
}

static LLVMValueRef load_pointer(Emitter *e, LLVMValueRef table, LLVMValueRef number) {
    return emit_load(e, e->pointer, emit_at(e, e->pointer, table, number), 8);
}

/* TILE_DEPTH positions from number `first` on of 16 channels, turned. */
static void turn_positions(Emitter *e, const WeightStrip *block, LLVMValueRef first,
                           LLVMValueRef channel) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef pairs[TILE_ROWS], row = emit_slot(e, slots->turned_row);
    LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, block->count, channel));
    for (int i = 0; i < TILE_ROWS; i++) {
        LLVMValueRef halves[2];
        for (int half = 0; half < 2; half++) {
            LLVMValueRef number = emit_add(e, first, emit_int(e, 2 * i + half));
            halves[half] = emit_load_bf16(e, slots->source.a.dtype,
                                          load_pointer(e, block->pointers, number), channel, mask);
        }
        pairs[i] = emit_pairs(e, halves[0], halves[1]);
    }
    emit_transpose(e, pairs);
    LLVMValueRef target = emit_add(e, emit_mul(e, channel, row), first);
    for (int i = 0; i < TILE_ROWS; i++) {
        emit_store_vector(e, pairs[i], emit_at(e, e->i16, block->turned, target), NULL);
        target = emit_add(e, target, row);
    }
}

/* Elements from a row to the one that has its place in the next strip. */
static LLVMValueRef next_strip(Emitter *e, const StripWeightSlots *slots, const ViewSlots *view,
                               const StripPlace *place) {
    LLVMValueRef rows = emit_mul(e, place->lines, emit_slot(e, slots->strip.line));
    return emit_mul(e, rows, emit_slot(e, view->row_stride));
}

/* All positions; those of the next strip are fetched. */
static void turn_strip(Emitter *e, const WeightStrip *block, const StripPlace *place) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), positions = emit_slot(e, slots->positions);
    emit_strip_pointers(e, &slots->source, &slots->strip, place, block->first, block->zeros,
                        block->pointers, positions);
    LLVMValueRef ahead = next_strip(e, slots, &slots->source.a, place);
    Loop fetched = loop_begin(e, zero, positions, emit_int(e, 1));
    LLVMValueRef row = load_pointer(e, block->pointers, fetched.index);
    emit_fetch_row(e, slots->source.a.dtype,
                   emit_at(e, emit_dtype(e, slots->source.a.dtype), row, ahead), block->count);
    loop_end(e, &fetched);
    Loop position = loop_begin(e, zero, positions, emit_int(e, TILE_DEPTH));
    Loop channel = loop_begin(e, zero, block->count, emit_int(e, TILE_ROWS));
    turn_positions(e, block, position.index, channel.index);
    loop_end(e, &channel);
    loop_end(e, &position);
}

/* Pointers to the block's columns of the incoming gradient, for `depth` rows of the product. Those
 * of the next strip are fetched. */
static void find_gradient(Emitter *e, const WeightStrip *block, const StripPlace *place,
                          LLVMValueRef depth) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    Loop all = loop_begin(e, zero, depth, one);
    emit_store(e, block->zeros, emit_at(e, e->pointer, block->b_pointers, all.index), 8);
    loop_end(e, &all);
    LLVMValueRef ahead = next_strip(e, slots, &slots->b, place);
    Loop line = loop_begin(e, zero, place->lines, one);
    LLVMValueRef first = emit_mul(e, line.index, emit_slot(e, slots->strip.width));
    Loop position = loop_begin(e, zero, emit_slot(e, slots->strip.line), one);
    RowPlace row =
        emit_strip_row(e, &slots->source.taps, &slots->space, place, line.index, position.index);
    LLVMValueRef address = emit_row_address(e, &slots->b, row.image, row.row);
    address = emit_at(e, emit_dtype(e, slots->b.dtype), address, block->columns.first_column);
    LLVMValueRef number = emit_add(e, first, position.index);
    emit_store(e, address, emit_at(e, e->pointer, block->b_pointers, number), 8);
    emit_fetch_row(e, slots->b.dtype, emit_at(e, emit_dtype(e, slots->b.dtype), address, ahead),
                   block->columns.column_count);
    loop_end(e, &position);
    loop_end(e, &line);
}

/* 16 columns of a pair of its rows, from column `column` of the block on. */
static void pack_pair(Emitter *e, const WeightStrip *block, LLVMValueRef row, LLVMValueRef column,
                      LLVMValueRef target) {
    LLVMValueRef halves[2];
    LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, block->columns.column_count, column));
    for (int i = 0; i < 2; i++)
        halves[i] = emit_load_bf16(
            e, block->slots->b.dtype,
            load_pointer(e, block->b_pointers, emit_add(e, row, emit_int(e, i))), column, mask);
    emit_store_vector(e, emit_pairs(e, halves[0], halves[1]), target, NULL);
}

/* A panel of the block in code: its first column there, its width, its pairs. */
typedef struct PanelCode {
    LLVMValueRef column, width, pairs;
} PanelCode;

static PanelCode find_panel(Emitter *e, const WeightStrip *block, LLVMValueRef number) {
    const StripWeightSlots *slots = block->slots;
    PanelCode panel = {.width = emit_panel_width(e, &slots->panels, number)};
    panel.column =
        emit_sub(e, emit_panel_start(e, &slots->panels, number), block->columns.first_column);
    panel.pairs =
        emit_at(e, e->i16, block->pairs, emit_mul(e, panel.column, emit_slot(e, slots->depth)));
    return panel;
}

/* Right factors: [panel][step][tile]. */
static void pair_gradient(Emitter *e, const WeightStrip *block, LLVMValueRef depth) {
    LLVMValueRef zero = emit_int(e, 0), whole = emit_int(e, TILE_DEPTH);
    Loop row = loop_begin(e, zero, depth, emit_int(e, 2));
    LLVMValueRef step = emit_div(e, row.index, whole), within = emit_rem(e, row.index, whole);
    within = emit_div(e, within, emit_int(e, 2));
    Loop number = loop_begin(e, block->columns.first, block->columns.end, emit_int(e, 1));
    PanelCode panel = find_panel(e, block, number.index);
    LLVMValueRef tiles = emit_mul(e, step, emit_mul(e, panel.width, whole));
    Loop lane = loop_begin(e, zero, panel.width, emit_int(e, TILE_COLUMNS));
    LLVMValueRef place = emit_add(e, tiles, emit_mul(e, emit_add(e, lane.index, within), whole));
    pack_pair(e, block, row.index, emit_add(e, panel.column, lane.index),
              emit_at(e, e->i16, panel.pairs, place));
    loop_end(e, &lane);
    loop_end(e, &number);
    loop_end(e, &row);
}

/* Sums += the turned channels from `channel` on, at all taps, x a panel. */
static void multiply_taps(Emitter *e, const WeightStrip *block, const PanelCode *panel,
                          LLVMValueRef channel, LLVMValueRef steps, LLVMValueRef accumulate) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef turned_row = emit_slot(e, slots->turned_row),
                 width = emit_slot(e, slots->block_row);
    LLVMValueRef tap_rows = emit_slot(e, slots->tap_rows);
    LLVMValueRef rows = emit_min(e, emit_sub(e, emit_round_up(e, block->count, TILE_ROWS), channel),
                                 emit_int(e, UNIT));
    Loop tap = loop_begin(e, emit_int(e, 0), emit_slot(e, slots->strip.count), emit_int(e, 1));
    LLVMValueRef place = emit_table_entry(e, slots->strip.places, tap.index);
    LLVMValueRef a = emit_add(e, emit_mul(e, channel, turned_row), place);
    LLVMValueRef row = emit_add(e, emit_mul(e, tap.index, tap_rows), channel);
    LLVMValueRef c = emit_add(e, emit_mul(e, row, width), panel->column);
    TileOperands o = {.a = emit_at(e, e->i16, block->turned, a),
                      .a_row = emit_mul(e, turned_row, emit_int(e, 2)),
                      .b = panel->pairs,
                      .c = emit_at(e, e->f32, block->sums, c),
                      .c_row = width,
                      .steps = steps,
                      .accumulate = accumulate};
    emit_tile_panel(e, &block->tiles, &o, rows, panel->width);
    loop_end(e, &tap);
}

static void sum_strip(Emitter *e, const WeightStrip *block, LLVMValueRef strip,
                      LLVMValueRef accumulate) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), whole = emit_int(e, TILE_DEPTH);
    StripPlace place = emit_strip_place(e, &slots->strip, &slots->source.taps, strip);
    LLVMValueRef depth = emit_round_up(e, place.rows, TILE_DEPTH);
    turn_strip(e, block, &place);
    find_gradient(e, block, &place, depth);
    pair_gradient(e, block, depth);
    Loop channel = loop_begin(e, zero, block->count, emit_int(e, UNIT));
    Loop number = loop_begin(e, block->columns.first, block->columns.end, emit_int(e, 1));
    PanelCode panel = find_panel(e, block, number.index);
    multiply_taps(e, block, &panel, channel.index, emit_div(e, depth, whole), accumulate);
    loop_end(e, &number);
    loop_end(e, &channel);
}

static void flush_sums(Emitter *e, const WeightStrip *block, LLVMValueRef first) {
    LLVMValueRef size =
        emit_mul(e, emit_slot(e, block->slots->block_rows), emit_slot(e, block->slots->block_row));
    emit_add_sums(e, block->totals, block->sums, size, first);
}

/* Writes the block of the weight: the sum of `parts` totals, `step` doubles apart. */
static void store_block(Emitter *e, const WeightStrip *block, LLVMValueRef totals,
                        LLVMValueRef parts, LLVMValueRef step) {
    const StripWeightSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    Loop tap = loop_begin(e, zero, emit_slot(e, slots->strip.count), one);
    LLVMValueRef weight = emit_tap_weight(e, &slots->source.taps, tap.index);
    Loop channel = loop_begin(e, zero, block->count, one);
    LLVMValueRef target = emit_weight_address(e, &slots->weight, weight, zero,
                                              emit_add(e, block->first, channel.index));
    LLVMValueRef row =
        emit_add(e, emit_mul(e, tap.index, emit_slot(e, slots->tap_rows)), channel.index);
    LLVMValueRef first =
        emit_at(e, e->f64, totals, emit_mul(e, row, emit_slot(e, slots->block_row)));
    Totals of_row = {first, parts, step, NULL, block->columns.column_count};
    emit_store_totals(e, &of_row, emit_at(e, e->f32, target, block->columns.first_column));
    loop_end(e, &channel);
    loop_end(e, &tap);
}

static void emit_sums(Emitter *e, const StripWeightSlots *slots) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), blocks = emit_slot(e, slots->blocks);
    LLVMValueRef part = emit_div(e, e->chunk, blocks), nth = emit_rem(e, e->chunk, blocks);
    WeightStrip block = find_block(e, slots, nth);
    find_workspace(e, &block);
    LLVMValueRef whole = LLVMBuildICmp(e->builder, LLVMIntEQ, emit_slot(e, slots->parts), one, "");
    block.totals =
        LLVMBuildSelect(e->builder, whole, block.totals, part_totals(e, slots, part, nth), "");
    LLVMValueRef count = emit_slot(e, slots->part_strips), first = emit_mul(e, part, count);
    LLVMValueRef last = emit_min(e, emit_add(e, first, count), emit_slot(e, slots->strips));
    LLVMValueRef together = emit_slot(e, slots->float_strips);
    block.tiles = tiles_begin(e);
    Loop group = loop_begin(e, first, last, together);
    Loop strip =
        loop_begin(e, group.index, emit_min(e, emit_add(e, group.index, together), last), one);
    sum_strip(e, &block, strip.index,
              LLVMBuildICmp(e->builder, LLVMIntSGT, strip.index, group.index, ""));
    loop_end(e, &strip);
    flush_sums(e, &block, LLVMBuildICmp(e->builder, LLVMIntEQ, group.index, first, ""));
    loop_end(e, &group);
    tiles_end(e);
    Branch store = branch_begin(e, whole);
    store_block(e, &block, block.totals, one, zero);
    branch_end(e, &store);
}

static void emit_merge(Emitter *e, const StripWeightSlots *slots) {
    LLVMValueRef zero = emit_int(e, 0), blocks = emit_slot(e, slots->blocks);
    WeightStrip block = find_block(e, slots, e->chunk);
    LLVMValueRef size =
        emit_mul(e, emit_slot(e, slots->block_rows), emit_slot(e, slots->block_row));
    store_block(e, &block, part_totals(e, slots, zero, e->chunk), emit_slot(e, slots->parts),
                emit_mul(e, size, blocks));
}

void emit_weight_strips(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    Slots numbering = {.arena = e->arena, .program = program};
    StripWeightSlots slots = slot_strip_weight(&numbering, kernel, stage);
    if (stage == 0)
        emit_sums(e, &slots);
    else
        emit_merge(e, &slots);
}
