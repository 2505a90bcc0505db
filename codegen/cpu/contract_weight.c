/* Contracts of rows with rows: the gradient of a weight. A chunk of stage 0 owns a block of it
 * (some taps, some input channels, some columns) and runs over its part of the rows, all of them
 * unless there are too few blocks to keep threads busy: for each stretch of rows it finds what the
 * taps read, or packs it behind the prologue, packs the incoming gradient, and multiplies. Sums are
 * fp32 over at most 1,024 rows, then double. Stage 1 adds the parts, in order. Where
 * kernel_skips_hidden, the products of a tap run over the rows that it finds.
 *
 * From tiles, where strips (contract_weight_strip.c) are not possible, the transposed block is
 * computed, [columns][rows of the weight]: its left factor is the incoming gradient, turned, and
 * what the taps read, which is larger, has only to be paired. A tile adds 32 rows to a sum at a
 * time, so sums are fp32 over all rows of a part, at most 65,536. */
#include "codegen/cpu/contract_weight.h"

#include "base/fatal.h"
#include "base/integer.h"
#include "codegen/cpu/choices.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/gemm.h"
#include "codegen/cpu/kinds.h"
#include "codegen/cpu/strip.h"
#include "codegen/cpu/tiles.h"
#include "codegen/cpu/winograd.h"

enum {
    FLOAT_ROWS = 1024, /* rows that are summed in fp32 */
    BLOCK_ROWS =
        768, /* of the weight's rows (tap, input channel); a multiple of every register block */
    TILED_BLOCK_ROWS = 384,
    BLOCK_COLUMNS = 256,   /* of a block; one that is wider is half as tall by default */
    PACKED_GAP = 16,       /* elements from row to row are not a power of two times a line */
    DIRECT_CHANNELS = 128, /* rows at most as long as this are read where they are, unless another
                              way is chosen: a stretch of longer ones falls on too few lines of the
                              first cache */
    TILED_STRETCH = ROW_TABLE_ROWS,
    STRIP_VARIANT = 4, /* behind those of bind_weight's own */
    WINOGRAD_VARIANT,
    TURNED_ROW = TILED_STRETCH + TILE_DEPTH,       /* bf16 elements from turned row to row, */
    PAIRED_ROW = TILED_BLOCK_ROWS + 2 * TILE_DEPTH /* and of the rows that are going to be paired:
                                                not a power of two times a line */
};

typedef struct WeightSlots {
    bool tiled, direct, skips;
    int64_t stretch;    /* rows that are taken at a time */
    int64_t packed_row; /* elements from packed row to packed row, not of tiles */
    PackedSource source;
    SpaceSlots space;
    ViewSlots b;
    WeightViewSlots weight;
    PanelSlots panels;
    int in, out;         /* channels per group */
    int rows, part_rows; /* of the space, all images; of a part, whole FLOAT_ROWS */
    int taps_per_block, tap_blocks, channels_per_block, channel_blocks;
    int blocks, parts;
    int block_row; /* columns from row to row of a block's sums; tiles: columns in all */
    int block_elements;
    int packed_b, pairs, zeros, sums, totals, table, pointers, gradients, numbers; /* offsets in the
        workspace, in fp32 elements */
    int part_sums; /* pointer: [part][block][row of the weight][block_row] doubles; tiles: fp32,
                      [part][block][column][TILED_BLOCK_ROWS] */
} WeightSlots;

/* Whether what the taps read is multiplied where it is: whole register blocks of channels. */
static bool is_direct(const Slots *slots, const Kernel *kernel, const CpuTarget *target) {
    if (!choices_may_read_in_place(slots->program, kernel, target))
        return false;
    int chosen = choices_value(slots->choices, choices_form(kernel, target), CHOICE_READ);
    int64_t in = kernel->contraction.in / kernel->contraction.groups;
    return chosen ? chosen == CHOICE_IN_PLACE : in <= DIRECT_CHANNELS;
}

/* Its sizes, by its choices (codegen/cpu/choices.def). */
static WeightSlots find_sizes(const Slots *slots, const Kernel *kernel, const CpuTarget *target) {
    ChoiceForm form = choices_form(kernel, target);
    WeightSlots out = {.tiled = form == CHOICE_WEIGHT_TILED,
                       .skips = kernel_skips_hidden(kernel),
                       .stretch = TILED_STRETCH};
    if (out.tiled)
        return out;
    out.direct = is_direct(slots, kernel, target);
    out.stretch = choices_value(slots->choices, form, CHOICE_STRETCH);
    invariant(out.stretch <= ROW_TABLE_ROWS, "a row table holds the rows of a stretch");
    return out;
}

/* How the weight is cut into blocks: some taps with all channels, or some channels of a tap; by
 * some columns. */
typedef struct Blocks {
    int64_t rows; /* of the weight, in one at most */
    int64_t channels, taps;
    Panels panels;
    int64_t count; /* of all groups */
} Blocks;

/* The rows of the weight in a block: as chosen, or as suits its width. */
static int64_t find_rows_of_block(const Choices *choices, bool tiled, const Panels *panels) {
    if (tiled)
        return TILED_BLOCK_ROWS;
    int chosen = choices_value(choices, CHOICE_WEIGHT, CHOICE_ROWS);
    int usual = panels->widest > BLOCK_COLUMNS ? BLOCK_ROWS / 2 : BLOCK_ROWS;
    return chosen ? chosen : usual;
}

/* Compiled in, so that it may depend on what is in the code's key, and not on the width. */
static int64_t find_packed_row(const Choices *choices) {
    int chosen = choices_value(choices, CHOICE_WEIGHT, CHOICE_ROWS);
    return (chosen ? chosen : BLOCK_ROWS) + PACKED_GAP;
}

/* By these choices; NULL: by default. */
static Blocks cut_blocks(const Kernel *kernel, const CpuTarget *target, const Choices *choices) {
    const Contraction *c = &kernel->contraction;
    ChoiceForm form = choices_form(kernel, target);
    bool tiled = form == CHOICE_WEIGHT_TILED;
    int64_t columns = choices_columns(choices, kernel, form);
    Panels panels = tiled ? tile_panels(c->out / c->groups, columns)
                          : gemm_panels(target, c->out / c->groups, columns);
    int64_t rows = find_rows_of_block(choices, tiled, &panels);
    int64_t in = c->in / c->groups, tap_count = c->taps.tap_count;
    int64_t unit = tiled ? TILE_PANEL : gemm_block(target).rows;
    Blocks blocks = {.rows = rows, .channels = in, .taps = 1, .panels = panels};
    if (in > rows) /* equal blocks of whole register blocks */
        blocks.channels =
            integer_divide_up(integer_divide_up(in, integer_divide_up(in, rows)), unit) * unit;
    else if (!tiled || !kernel_skips_hidden(kernel)) /* as many taps as fit, spread evenly */
        blocks.taps = integer_divide_up(tap_count, integer_divide_up(tap_count, rows / in));
    blocks.count = c->groups * integer_divide_up(tap_count, blocks.taps) *
                   integer_divide_up(in, blocks.channels) * blocks.panels.blocks;
    return blocks;
}

int64_t weight_parts(int64_t rows, int64_t least, int64_t blocks, int64_t unit, int64_t *size) {
    int64_t most = integer_divide_up(rows, unit);
    int64_t wanted = integer_divide_up(WEIGHT_ENOUGH_CHUNKS, blocks);
    if (wanted < least)
        wanted = least;
    int64_t parts = wanted < most ? wanted : most;
    *size = integer_divide_up(integer_divide_up(rows, parts), unit) * unit;
    return integer_divide_up(rows, *size);
}

/* Rows are cut into parts where there are few blocks, by default: totals of parts are rounded, so
 * that whatever blocks are chosen, the parts stay. */
static void slot_parts(Slots *slots, WeightSlots *out, int64_t rows, int64_t blocks,
                       int64_t usual_blocks, int64_t block_elements, int stage) {
    int64_t least = out->tiled ? integer_divide_up(rows, WEIGHT_PART_ROWS) : 1;
    int64_t part_rows, parts = weight_parts(rows, least, usual_blocks, FLOAT_ROWS, &part_rows);
    out->rows = slot_number(slots, rows);
    out->part_rows = slot_number(slots, part_rows);
    out->blocks = slot_number(slots, blocks);
    out->parts = slot_number(slots, parts);
    int64_t totals = parts > 1 ? parts * blocks * block_elements : 1;
    size_t element = out->tiled ? sizeof(float) : sizeof(double);
    out->part_sums = slot_shared(slots, totals * (int64_t)element);
    slots->chunks = stage == 0 ? blocks * parts : parts > 1 ? blocks : 0;
}

/* How the weight's rows are cut into blocks: some taps with all channels, or some channels. */
static void slot_blocks(Slots *slots, WeightSlots *out, int64_t taps, int64_t channels,
                        int64_t tap_count, int64_t in) {
    out->taps_per_block = slot_number(slots, taps);
    out->tap_blocks = slot_number(slots, integer_divide_up(tap_count, taps));
    out->channels_per_block = slot_number(slots, channels);
    out->channel_blocks = slot_number(slots, integer_divide_up(in, channels));
}

/* `packed`, `pairs`: fp32 elements of what is packed; behind them a block's sums and, but for
 * tiles, totals. */
static void slot_workspace(Slots *slots, WeightSlots *out, int64_t packed, int64_t pairs,
                           int64_t zeros, int64_t block, int64_t taps) {
    int64_t sums = packed + pairs + zeros, table = sums + (out->tiled ? 1 : 3) * block;
    int64_t pointers = table + ROW_TABLE_BYTES / (int64_t)sizeof(float);
    out->pairs = slot_number(slots, packed);
    out->zeros = slot_number(slots, packed + pairs);
    out->sums = slot_number(slots, sums);
    out->totals = slot_number(slots, sums + block);
    out->table = slot_number(slots, table);
    out->pointers = slot_number(slots, pointers);
    int64_t entries = ROW_TABLE_ROWS * (int64_t)(sizeof(void *) / sizeof(float));
    int64_t gradients = pointers + taps * entries, numbers = gradients + out->tiled * entries;
    out->gradients = slot_number(slots, gradients);
    out->numbers = slot_number(slots, numbers);
    slots->workspace = (numbers + (out->skips ? entries : 0)) * (int64_t)sizeof(float);
}

static WeightSlots slot_weight(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                               int stage) {
    const Contraction *c = &kernel->contraction;
    invariant(c->weight.out_stride == 1, "a weight's output channels lie side by side");
    WeightSlots out = find_sizes(slots, kernel, target);
    const Geometry *geometry = &slots->program->geometry;
    int64_t rows = space_rows(geometry, &kernel->space) * space_images(geometry, &kernel->space);
    int64_t in = c->in / c->groups, columns = c->out / c->groups;
    Blocks blocks = cut_blocks(kernel, target, slots->choices);
    Panels panels = blocks.panels;
    out.packed_row = find_packed_row(slots->choices);
    out.source = slot_packed_source(slots, kernel, out.tiled ? DTYPE_BF16 : DTYPE_F32);
    out.space = slot_space(slots, &kernel->space, false);
    out.b = slot_view(slots, &c->b);
    out.weight = slot_weight_view(slots, &c->weight);
    out.panels = slot_panels(slots, &panels, columns);
    out.in = slot_number(slots, in);
    out.out = slot_number(slots, columns);
    slot_blocks(slots, &out, blocks.taps, blocks.channels, c->taps.tap_count, in);
    out.block_row = slot_number(slots, panels.widest);
    int64_t packed = out.direct ? 0 : out.stretch * out.packed_row;
    int64_t block = blocks.rows * panels.widest;
    out.block_elements = slot_number(slots, block);
    out.packed_b = slot_number(slots, out.tiled ? TILE_DEPTH * PAIRED_ROW / 2 : packed);
    if (out.tiled)
        slot_workspace(slots, &out, (TILE_DEPTH * PAIRED_ROW + panels.widest * TURNED_ROW) / 2,
                       TILED_BLOCK_ROWS * TILED_STRETCH / 2, in + panels.widest, block,
                       blocks.taps);
    else
        slot_workspace(slots, &out, packed + out.stretch * panels.widest, 0, 0, block, blocks.taps);
    slot_parts(slots, &out, rows, blocks.count, cut_blocks(kernel, target, NULL).count, block,
               stage);
    return out;
}

/* The variant: whether rows are read where they are, skipped; taken in strips; tiles. */
static int64_t bind_weight(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage) {
    if (contraction_takes_winograd(slots->program, kernel, target)) {
        bind_weight_winograd(slots, kernel, target, stage);
        return WINOGRAD_VARIANT;
    }
    if (contraction_takes_strips(slots->program, kernel, target)) {
        bind_weight_strips(slots, kernel, stage);
        return STRIP_VARIANT;
    }
    WeightSlots out = slot_weight(slots, kernel, target, stage);
    return stage == 0 ? out.direct + 2 * out.skips : 0;
}

typedef struct WeightBlock {
    const WeightSlots *slots;
    Tiles tiles;
    LLVMValueRef group;
    PanelBlock columns;
    PackedTaps part;   /* channels within the group */
    LLVMValueRef rows; /* of the weight in this block: taps x channels */
    LLVMValueRef packed_a, packed_b, pairs, sums, totals, zeros, table;
    LLVMValueRef pointers, gradients, numbers; /* of the stretch; gradients: of tiles */
} WeightBlock;

/* The totals, or turned sums, of a block in a part of the rows. */
static LLVMValueRef part_sums(Emitter *e, const WeightSlots *slots, LLVMValueRef part,
                              LLVMValueRef block) {
    LLVMValueRef number = emit_add(e, emit_mul(e, part, emit_slot(e, slots->blocks)), block);
    LLVMValueRef first = emit_mul(e, number, emit_slot(e, slots->block_elements));
    return emit_at(e, slots->tiled ? e->f32 : e->f64, emit_slot_pointer(e, slots->part_sums),
                   first);
}

/* Block number `number` of the weight. */
static WeightBlock find_block(Emitter *e, const WeightSlots *slots, LLVMValueRef number) {
    WeightBlock block = {.slots = slots};
    LLVMValueRef column_blocks = emit_slot(e, slots->panels.blocks);
    LLVMValueRef channel_blocks = emit_slot(e, slots->channel_blocks);
    LLVMValueRef tap_blocks = emit_slot(e, slots->tap_blocks);
    LLVMValueRef channels = emit_slot(e, slots->channels_per_block);
    LLVMValueRef taps = emit_slot(e, slots->taps_per_block);
    LLVMValueRef rest = emit_div(e, number, column_blocks);
    block.columns = emit_panel_block(e, &slots->panels, emit_rem(e, number, column_blocks));
    block.part.first = emit_mul(e, emit_rem(e, rest, channel_blocks), channels);
    rest = emit_div(e, rest, channel_blocks);
    block.part.first_tap = emit_mul(e, emit_rem(e, rest, tap_blocks), taps);
    block.group = emit_div(e, rest, tap_blocks);
    block.part.end_tap = emit_min(e, emit_add(e, block.part.first_tap, taps),
                                  emit_slot(e, slots->source.taps.count));
    block.part.count =
        emit_min(e, channels, emit_sub(e, emit_slot(e, slots->in), block.part.first));
    block.rows =
        emit_mul(e, emit_sub(e, block.part.end_tap, block.part.first_tap), block.part.count);
    return block;
}

static void find_workspace(Emitter *e, WeightBlock *block) {
    const WeightSlots *slots = block->slots;
    block->packed_a = e->workspace;
    block->packed_b = emit_workspace(e, slots->packed_b);
    block->sums = emit_workspace(e, slots->sums);
    block->totals = emit_workspace(e, slots->totals);
    block->table = emit_workspace(e, slots->table);
    block->pointers = emit_workspace(e, slots->pointers);
    block->gradients = emit_workspace(e, slots->gradients);
    block->numbers = emit_workspace(e, slots->numbers);
    if (slots->tiled) {
        block->pairs = emit_workspace(e, slots->pairs);
        block->zeros = emit_workspace(e, slots->zeros);
        emit_clear(e, DTYPE_F32, block->zeros,
                   emit_add(e, emit_slot(e, slots->in), emit_slot(e, slots->block_row)));
        return;
    }
    bool chosen = choices_value(e->choices, CHOICE_WEIGHT, CHOICE_READ) == CHOICE_IN_PLACE;
    int channels = chosen ? CHOICE_MOST_IN_PLACE : DIRECT_CHANNELS;
    block->zeros = emit_array(e, e->f32, channels);
    if (slots->direct)
        emit_clear(e, DTYPE_F32, block->zeros, emit_int(e, channels));
    else if (!slots->skips)
        emit_even_pointers(e, block->packed_a, emit_int(e, slots->packed_row),
                           emit_int(e, slots->stretch), block->pointers);
}

/* ---- A stretch of rows ----------------------------------------------------------------------- */

/* Pointers to what the taps [first, end) read for `count` rows of the row table. */
static void find_rows(Emitter *e, const WeightBlock *block, LLVMValueRef first, LLVMValueRef end,
                      LLVMValueRef count) {
    RowPointers rows = {.first_tap = first,
                        .end_tap = end,
                        .table = block->table,
                        .count = count,
                        .channel = emit_mul(e, block->group, emit_slot(e, block->slots->in)),
                        .zeros = block->zeros};
    emit_row_pointers(e, &block->slots->source, &rows, block->pointers);
}

/* Has what the next stretch reads fetched: what the last tap finds so many rows further on. */
static void fetch_ahead(Emitter *e, const WeightBlock *block, LLVMValueRef count) {
    const WeightSlots *slots = block->slots;
    LLVMValueRef last =
        emit_sub(e, emit_sub(e, block->part.end_tap, block->part.first_tap), emit_int(e, 1));
    LLVMValueRef found =
        emit_at(e, e->pointer, block->pointers, emit_mul(e, last, emit_int(e, ROW_TABLE_ROWS)));
    LLVMValueRef stretch =
        emit_mul(e, emit_slot(e, slots->source.a.row_stride), emit_int(e, slots->stretch));
    Loop row = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef place = emit_load(e, e->pointer, emit_at(e, e->pointer, found, row.index), 8);
    place = emit_at(e, e->f32, place, emit_add(e, block->part.first, stretch));
    emit_fetch_row(e, DTYPE_F32, place, block->part.count);
    loop_end(e, &row);
}

/* Packs them: [row][packed_row]. */
static void pack_a(Emitter *e, const WeightBlock *block, LLVMValueRef count) {
    PackedTaps part = block->part;
    LLVMValueRef in = emit_slot(e, block->slots->in);
    part.first = emit_add(e, part.first, emit_mul(e, block->group, in));
    Loop rows = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef place = emit_mul(e, rows.index, emit_int(e, block->slots->packed_row));
    emit_pack_row(e, &block->slots->source, &part, block->table, rows.index,
                  emit_at(e, e->f32, block->packed_a, place));
    loop_end(e, &rows);
}

/* Packs rows [first, first + count) of the incoming gradient, [panel][row][columns of a panel], and
 * has those of the next stretch fetched. */
static void pack_b(Emitter *e, const WeightBlock *block, LLVMValueRef first, LLVMValueRef count) {
    const WeightSlots *slots = block->slots;
    LLVMValueRef out_start = emit_add(e, emit_mul(e, block->group, emit_slot(e, slots->out)),
                                      block->columns.first_column);
    RowCounter counter = row_counter_begin(e, &slots->space, first);
    Loop rows = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    RowPlace place = row_counter_take(e, &counter);
    LLVMValueRef source = emit_row_address(e, &slots->b, place.image, place.row);
    LLVMValueRef next = emit_row_address(e, &slots->b, place.image,
                                         emit_add(e, place.row, emit_int(e, slots->stretch)));
    Loop panels = loop_begin(e, block->columns.first, block->columns.end, emit_int(e, 1));
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panels.index);
    LLVMValueRef column =
        emit_sub(e, emit_panel_start(e, &slots->panels, panels.index), block->columns.first_column);
    LLVMValueRef target = emit_add(e, emit_mul(e, column, emit_int(e, slots->stretch)),
                                   emit_mul(e, rows.index, width));
    Loop lane = loop_begin(e, emit_int(e, 0), width, emit_int(e, e->target->lanes));
    LLVMValueRef here = emit_add(e, column, lane.index);
    LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, block->columns.column_count, here));
    LLVMValueRef channel = emit_add(e, out_start, here);
    emit_prefetch(e, emit_at(e, emit_dtype(e, slots->b.dtype), next, channel));
    LLVMValueRef value = emit_load_elements(e, slots->b.dtype, source, channel, mask);
    if (slots->source.bf16 && slots->b.dtype != DTYPE_BF16)
        value = emit_round_to_bf16(e, value);
    emit_store_vector(e, value,
                      emit_at(e, e->f32, block->packed_b, emit_add(e, target, lane.index)), NULL);
    loop_end(e, &lane);
    loop_end(e, &panels);
    loop_end(e, &rows);
}

/* Multiplies `rows` rows of the weight, from row `first_row` of the block on. */
static void multiply_panels(Emitter *e, const WeightBlock *block, const GemmOperands *operands,
                            LLVMValueRef first_row, LLVMValueRef rows) {
    const WeightSlots *slots = block->slots;
    GemmOperands o = *operands;
    LLVMValueRef start = emit_mul(e, first_row, o.c_row);
    Loop panels = loop_begin(e, block->columns.first, block->columns.end, emit_int(e, 1));
    LLVMValueRef column =
        emit_sub(e, emit_panel_start(e, &slots->panels, panels.index), block->columns.first_column);
    o.b = emit_at(e, e->f32, block->packed_b, emit_mul(e, column, emit_int(e, slots->stretch)));
    o.c = emit_at(e, e->f32, block->sums, emit_add(e, start, column));
    emit_gemm_panel(e, &o, rows, emit_panel_width(e, &slots->panels, panels.index));
    loop_end(e, &panels);
}

/* Of the pointers to what a tap reads, those to rows that are there come first, filled up with
 * zeros to a multiple of `unit`; returns how many they are. */
static LLVMValueRef list_present(Emitter *e, const WeightBlock *block, LLVMValueRef count,
                                 int64_t unit) {
    return emit_present_rows(e, &(PresentRows){.pointers = block->pointers,
                                               .zeros = block->zeros,
                                               .count = count,
                                               .numbers = block->numbers,
                                               .unit = unit});
}

/* Pointers to the rows, packed or where they are, that tap number `tap` of the block finds; returns
 * how many they are. */
static LLVMValueRef find_present(Emitter *e, const WeightBlock *block, LLVMValueRef tap,
                                 LLVMValueRef count) {
    LLVMValueRef first = emit_add(e, block->part.first_tap, tap);
    find_rows(e, block, first, emit_add(e, first, emit_int(e, 1)), count);
    LLVMValueRef found = list_present(e, block, count, gemm_block(e->target).rows);
    if (block->slots->direct)
        return found;
    Loop row = loop_begin(e, emit_int(e, 0), found, emit_int(e, 1));
    LLVMValueRef number = emit_load(e, e->i64, emit_at(e, e->i64, block->numbers, row.index), 8);
    LLVMValueRef place = emit_at(e, e->f32, block->packed_a,
                                 emit_mul(e, number, emit_int(e, block->slots->packed_row)));
    emit_store(e, place, emit_at(e, e->pointer, block->pointers, row.index), 8);
    loop_end(e, &row);
    return found;
}

/* The stretch tap by tap; only where its channels are whole register blocks. */
static void multiply_taps(Emitter *e, const WeightBlock *block, const GemmOperands *operands) {
    GemmOperands o = *operands;
    LLVMValueRef taps = emit_sub(e, block->part.end_tap, block->part.first_tap);
    Loop tap = loop_begin(e, emit_int(e, 0), taps, emit_int(e, 1));
    LLVMValueRef first_row = emit_mul(e, tap.index, block->part.count);
    if (block->slots->skips) {
        o.rows = block->numbers;
        o.depth = find_present(e, block, tap.index, operands->depth);
    } else {
        LLVMValueRef table = emit_mul(e, tap.index, emit_int(e, ROW_TABLE_ROWS));
        o.a = emit_at(e, e->pointer, block->pointers, table);
    }
    o.first = block->slots->direct ? block->part.first : first_row;
    multiply_panels(e, block, &o, first_row, block->part.count);
    loop_end(e, &tap);
}

static void multiply_stretch(Emitter *e, const WeightBlock *block, LLVMValueRef depth,
                             LLVMValueRef accumulate) {
    GemmOperands o = {.by_column = true,
                      .a = block->pointers,
                      .first = emit_int(e, 0),
                      .c_row = emit_slot(e, block->slots->block_row),
                      .depth = depth,
                      .accumulate = accumulate};
    if (block->slots->direct || block->slots->skips) {
        multiply_taps(e, block, &o);
        return;
    }
    LLVMValueRef padded = emit_round_up(e, block->rows, gemm_block(e->target).rows);
    multiply_panels(e, block, &o, emit_int(e, 0), padded);
}

/* ---- A stretch of rows, from tiles ----------------------------------------------------------- */

/* Rows [first, first + TILE_DEPTH) of those that take part, at all taps, one row behind the other,
 * as bf16. */
static void pack_pair_rows(Emitter *e, const WeightBlock *block, LLVMValueRef first) {
    const WeightSlots *slots = block->slots;
    PackedTaps part = block->part;
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(e->i16, TILE_DEPTH));
    LLVMValueRef last =
        emit_sub(e, emit_round_up(e, block->rows, TILE_PANEL), emit_int(e, TILE_PANEL));
    LLVMValueRef count = emit_int(e, TILE_DEPTH);
    if (slots->source.prologue)
        part.first = emit_add(e, part.first, emit_mul(e, block->group, emit_slot(e, slots->in)));
    Loop rows = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef row = emit_add(e, first, rows.index);
    LLVMValueRef target =
        emit_at(e, e->i16, block->packed_a, emit_mul(e, rows.index, emit_int(e, PAIRED_ROW)));
    emit_store_vector(e, zeros, emit_at(e, e->i16, target, last), NULL);
    if (slots->skips)
        row = emit_load(e, e->i64, emit_at(e, e->i64, block->numbers, row), 8);
    if (slots->source.prologue)
        emit_pack_row(e, &slots->source, &part, block->table, row, target);
    loop_end(e, &rows);
    if (!slots->source.prologue)
        emit_copy_rows(
            e, &slots->source, &part, emit_at(e, e->pointer, block->pointers, first),
            &(StepRows){block->packed_a, emit_int(e, PAIRED_ROW * 2), emit_int(e, STEP_BYTES)},
            count);
}

/* Two rows of a panel's columns as rows of pairs in both its tiles. */
static void store_pairs(Emitter *e, LLVMValueRef const rows[2], LLVMValueRef tiles,
                        LLVMValueRef place) {
    LLVMValueRef loaded[2], pairs[2];
    for (int i = 0; i < 2; i++)
        loaded[i] = emit_load_vector(e, LLVMVectorType(e->i16, TILE_PANEL), rows[i], NULL);
    emit_pair_rows(e, loaded, pairs);
    for (int half = 0; half < 2; half++) {
        LLVMValueRef tile = emit_add(e, place, emit_int(e, half * TILE_ELEMENTS));
        emit_store_vector(e, pairs[half], emit_at(e, e->i16, tiles, tile), NULL);
    }
}

/* What the taps read for a step's rows: right factors, [panel][step][tile]. Behind the stretch's
 * last row it is repeated, for a gradient of zero. */
static void pack_pairs(Emitter *e, const WeightBlock *block, LLVMValueRef step) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    pack_pair_rows(e, block, emit_mul(e, step, emit_int(e, TILE_DEPTH)));
    Loop panels = loop_begin(e, zero, block->rows, emit_int(e, TILE_PANEL));
    LLVMValueRef panel = emit_mul(e, panels.index, emit_int(e, TILED_STRETCH));
    panel = emit_add(e, panel, emit_mul(e, step, emit_int(e, 2 * TILE_ELEMENTS)));
    LLVMValueRef column = emit_at(e, e->i16, block->packed_a, panels.index);
    Loop pairs = loop_begin(e, zero, emit_int(e, TILE_DEPTH / 2), one);
    LLVMValueRef even = emit_mul(e, pairs.index, emit_int(e, 2 * PAIRED_ROW));
    LLVMValueRef odd = emit_add(e, even, emit_int(e, PAIRED_ROW));
    store_pairs(
        e, (LLVMValueRef[]){emit_at(e, e->i16, column, even), emit_at(e, e->i16, column, odd)},
        block->pairs, emit_add(e, panel, emit_mul(e, pairs.index, emit_int(e, TILE_DEPTH))));
    loop_end(e, &pairs);
    loop_end(e, &panels);
}

static LLVMValueRef gradient_entry(Emitter *e, const WeightBlock *block, LLVMValueRef row) {
    return emit_at(e, e->pointer, block->gradients, row);
}

/* Pointers to the block's columns of the `count` rows of a stretch that begins at row `first`. */
static void find_gradients(Emitter *e, const WeightBlock *block, LLVMValueRef first,
                           LLVMValueRef count) {
    const WeightSlots *slots = block->slots;
    LLVMValueRef column = emit_add(e, emit_mul(e, block->group, emit_slot(e, slots->out)),
                                   block->columns.first_column);
    RowCounter counter = row_counter_begin(e, &slots->space, first);
    Loop rows = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    RowPlace place = row_counter_take(e, &counter);
    LLVMValueRef address = emit_row_address(e, &slots->b, place.image, place.row);
    address = emit_at(e, emit_dtype(e, slots->b.dtype), address, column);
    emit_store(e, address, gradient_entry(e, block, rows.index), 8);
    loop_end(e, &rows);
}

/* Those of the rows that take part: all `count`, or those that the block's tap finds. Up to a whole
 * step, zeros. Returns how many they are. */
static LLVMValueRef choose_gradients(Emitter *e, const WeightBlock *block, LLVMValueRef count) {
    if (block->slots->skips) {
        count = list_present(e, block, count, TILE_DEPTH);
        Loop row = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
        LLVMValueRef number =
            emit_load(e, e->i64, emit_at(e, e->i64, block->numbers, row.index), 8);
        emit_store(e, emit_load(e, e->pointer, gradient_entry(e, block, number), 8),
                   gradient_entry(e, block, row.index), 8);
        loop_end(e, &row);
    }
    Loop padding = loop_begin(e, count, emit_round_up(e, count, TILE_DEPTH), emit_int(e, 1));
    emit_store(e, block->zeros, gradient_entry(e, block, padding.index), 8);
    loop_end(e, &padding);
    return count;
}

/* One row's lanes of 16 columns, as bf16 in the lower halves. */
static LLVMValueRef gradient_lanes(Emitter *e, const WeightBlock *block, LLVMValueRef pointers,
                                   int row, LLVMValueRef column, LLVMValueRef mask) {
    LLVMValueRef place = emit_at(e, e->pointer, pointers, emit_int(e, row));
    return emit_load_bf16(e, block->slots->b.dtype, emit_load(e, e->pointer, place, 8), column,
                          mask);
}

/* A step's rows of the incoming gradient, turned: left factors, [column][row]. */
static void pack_turned(Emitter *e, const WeightBlock *block, LLVMValueRef pointers,
                        LLVMValueRef step) {
    Loop columns =
        loop_begin(e, emit_int(e, 0), block->columns.column_count, emit_int(e, TILE_ROWS));
    LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, block->columns.column_count, columns.index));
    LLVMValueRef pairs[TILE_ROWS];
    for (int i = 0; i < TILE_ROWS; i++)
        pairs[i] = emit_pairs(e, gradient_lanes(e, block, pointers, 2 * i, columns.index, mask),
                              gradient_lanes(e, block, pointers, 2 * i + 1, columns.index, mask));
    emit_transpose(e, pairs);
    LLVMValueRef place = emit_add(e, emit_mul(e, columns.index, emit_int(e, TURNED_ROW)),
                                  emit_mul(e, step, emit_int(e, TILE_DEPTH)));
    LLVMValueRef target = emit_at(e, e->i16, block->packed_b, place);
    for (int i = 0; i < TILE_ROWS; i++)
        emit_store_vector(e, pairs[i],
                          emit_at(e, e->i16, target, emit_int(e, (int64_t)i * TURNED_ROW)), NULL);
    loop_end(e, &columns);
}

static void multiply_tiles(Emitter *e, const WeightBlock *block, LLVMValueRef steps,
                           LLVMValueRef accumulate) {
    LLVMValueRef rows = emit_round_up(e, block->columns.column_count, TILE_ROWS);
    Loop panels = loop_begin(e, emit_int(e, 0), block->rows, emit_int(e, TILE_PANEL));
    TileOperands o = {.a = block->packed_b,
                      .a_row = emit_int(e, TURNED_ROW * 2),
                      .a_step = emit_int(e, STEP_BYTES),
                      .b = emit_at(e, e->i16, block->pairs,
                                   emit_mul(e, panels.index, emit_int(e, TILED_STRETCH))),
                      .c = emit_at(e, e->f32, block->sums, panels.index),
                      .c_row = emit_int(e, TILED_BLOCK_ROWS),
                      .steps = steps,
                      .accumulate = accumulate};
    emit_tile_panel(e, &block->tiles, &o, rows, emit_int(e, TILE_PANEL));
    loop_end(e, &panels);
}

/* From row `first` on. */
static void sum_tiled_stretch(Emitter *e, const WeightBlock *block, LLVMValueRef first,
                              LLVMValueRef count, LLVMValueRef accumulate) {
    LLVMValueRef depth = emit_int(e, TILE_DEPTH);
    if (!block->slots->source.prologue || block->slots->skips)
        find_rows(e, block, block->part.first_tap, block->part.end_tap, count);
    find_gradients(e, block, first, count);
    count = choose_gradients(e, block, count);
    LLVMValueRef steps = emit_div(e, emit_round_up(e, count, TILE_DEPTH), depth);
    Loop step = loop_begin(e, emit_int(e, 0), steps, emit_int(e, 1));
    pack_pairs(e, block, step.index);
    LLVMValueRef row = emit_mul(e, step.index, depth);
    pack_turned(e, block, gradient_entry(e, block, row), step.index);
    loop_end(e, &step);
    multiply_tiles(e, block, steps, accumulate);
}

/* ---- Sums and totals ------------------------------------------------------------------------- */

static void flush_sums(Emitter *e, const WeightBlock *block, LLVMValueRef first) {
    LLVMValueRef width = emit_slot(e, block->slots->block_row);
    Loop rows = loop_begin(e, emit_int(e, 0), block->rows, emit_int(e, 1));
    LLVMValueRef start = emit_mul(e, rows.index, width);
    emit_add_sums(e, emit_at(e, e->f64, block->totals, start),
                  emit_at(e, e->f32, block->sums, start), block->columns.column_count, first);
    loop_end(e, &rows);
}

/* Where row number `row` of the block is in the weight, at the block's first column. */
static LLVMValueRef weight_row(Emitter *e, const void *context, LLVMValueRef row) {
    const WeightBlock *block = context;
    const WeightSlots *slots = block->slots;
    LLVMValueRef tap = emit_add(e, block->part.first_tap, emit_div(e, row, block->part.count));
    LLVMValueRef channel = emit_add(e, block->part.first, emit_rem(e, row, block->part.count));
    LLVMValueRef number = emit_tap_weight(e, &slots->source.taps, tap);
    return emit_at(e, e->f32, emit_weight_address(e, &slots->weight, number, block->group, channel),
                   block->columns.first_column);
}

/* Writes the block of the weight: the sum of `parts` totals, or turned sums, `step` elements apart.
 */
static void store_block(Emitter *e, const WeightBlock *block, LLVMValueRef first,
                        LLVMValueRef parts, LLVMValueRef step) {
    LLVMValueRef columns = block->columns.column_count;
    if (block->slots->tiled) {
        TurnedSums sums = {first, emit_int(e, TILED_BLOCK_ROWS), parts, step};
        emit_store_turned(e, &sums, block->rows, columns, weight_row, block);
        return;
    }
    Loop rows = loop_begin(e, emit_int(e, 0), block->rows, emit_int(e, 1));
    LLVMValueRef width = emit_slot(e, block->slots->block_row);
    Totals of_row = {.first = emit_at(e, e->f64, first, emit_mul(e, rows.index, width)),
                     .parts = parts,
                     .part = step,
                     .count = columns};
    emit_store_totals(e, &of_row, weight_row(e, block, rows.index));
    loop_end(e, &rows);
}

/* ---- Stages ---------------------------------------------------------------------------------- */

static void sum_stretch(Emitter *e, const WeightBlock *block, LLVMValueRef first, LLVMValueRef end,
                        LLVMValueRef accumulate) {
    const WeightSlots *slots = block->slots;
    LLVMValueRef count = emit_sub(e, end, first);
    emit_row_table(e, &slots->source.taps, &slots->space, first, count, block->table);
    if (slots->tiled) {
        sum_tiled_stretch(e, block, first, count, accumulate);
        return;
    }
    if (slots->direct && !slots->skips)
        find_rows(e, block, block->part.first_tap, block->part.end_tap, count);
    if (!slots->direct)
        pack_a(e, block, count);
    else if (!slots->skips)
        fetch_ahead(e, block, count);
    pack_b(e, block, first, count);
    multiply_stretch(e, block, count, accumulate);
}

/* The rows [first, last): totals of what is summed in fp32. */
static void sum_rows(Emitter *e, const WeightBlock *block, LLVMValueRef first, LLVMValueRef last) {
    LLVMValueRef together = emit_int(e, FLOAT_ROWS), step = emit_int(e, block->slots->stretch);
    Loop part = loop_begin(e, first, last, together);
    LLVMValueRef part_end = emit_min(e, emit_add(e, part.index, together), last);
    Loop stretch = loop_begin(e, part.index, part_end, step);
    LLVMValueRef end = emit_min(e, emit_add(e, stretch.index, step), part_end);
    sum_stretch(e, block, stretch.index, end,
                LLVMBuildICmp(e->builder, LLVMIntSGT, stretch.index, part.index, ""));
    loop_end(e, &stretch);
    flush_sums(e, block, LLVMBuildICmp(e->builder, LLVMIntEQ, part.index, first, ""));
    loop_end(e, &part);
}

/* The same from tiles: turned sums. */
static void sum_tiled_rows(Emitter *e, WeightBlock *block, LLVMValueRef first, LLVMValueRef last) {
    LLVMValueRef step = emit_int(e, block->slots->stretch);
    block->tiles = tiles_begin(e);
    Loop stretch = loop_begin(e, first, last, step);
    LLVMValueRef end = emit_min(e, emit_add(e, stretch.index, step), last);
    sum_stretch(e, block, stretch.index, end,
                LLVMBuildICmp(e->builder, LLVMIntSGT, stretch.index, first, ""));
    loop_end(e, &stretch);
    tiles_end(e);
}

static void emit_sums(Emitter *e, const WeightSlots *slots) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), blocks = emit_slot(e, slots->blocks);
    LLVMValueRef part_number = emit_div(e, e->chunk, blocks), nth = emit_rem(e, e->chunk, blocks);
    WeightBlock block = find_block(e, slots, nth);
    find_workspace(e, &block);
    LLVMValueRef whole = LLVMBuildICmp(e->builder, LLVMIntEQ, emit_slot(e, slots->parts), one, "");
    LLVMValueRef *kept = slots->tiled ? &block.sums : &block.totals;
    *kept = LLVMBuildSelect(e->builder, whole, *kept, part_sums(e, slots, part_number, nth), "");
    LLVMValueRef size = emit_slot(e, slots->part_rows), first = emit_mul(e, part_number, size);
    LLVMValueRef last = emit_min(e, emit_add(e, first, size), emit_slot(e, slots->rows));
    if (slots->tiled)
        sum_tiled_rows(e, &block, first, last);
    else
        sum_rows(e, &block, first, last);
    Branch store = branch_begin(e, whole);
    store_block(e, &block, *kept, one, zero);
    branch_end(e, &store);
}

static void emit_merge(Emitter *e, const WeightSlots *slots) {
    WeightBlock block = find_block(e, slots, e->chunk);
    store_block(e, &block, part_sums(e, slots, emit_int(e, 0), e->chunk),
                emit_slot(e, slots->parts),
                emit_mul(e, emit_slot(e, slots->block_elements), emit_slot(e, slots->blocks)));
}

static void emit_weight(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    if (contraction_takes_winograd(program, kernel, e->target)) {
        emit_weight_winograd(e, program, kernel, stage);
        return;
    }
    if (contraction_takes_strips(program, kernel, e->target)) {
        emit_weight_strips(e, program, kernel, stage);
        return;
    }
    Slots numbering = {.arena = e->arena, .program = program, .choices = e->choices};
    WeightSlots slots = slot_weight(&numbering, kernel, e->target, stage);
    if (stage == 0)
        emit_sums(e, &slots);
    else
        emit_merge(e, &slots);
}

const KernelEmitter cpu_emit_contract_weight = {2, bind_weight, emit_weight};
