/* Contracts of rows with rows: the gradient of a weight. A chunk owns a block of it (some taps,
 * some input channels, some columns) and runs over all rows, so nothing is shared between threads:
 * for each stretch of rows it packs what the taps read and the incoming gradient, and multiplies.
 * Sums are fp32 over at most 1,024 rows, then double. */
#include "base/fatal.h"
#include "base/integer.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/gemm.h"
#include "codegen/cpu/kinds.h"

enum {
    STRETCH = 256,     /* rows that are packed at a time */
    FLOAT_ROWS = 1024, /* rows that are summed in fp32 */
    BLOCK_ROWS =
        192, /* of the weight's rows (tap, input channel); a multiple of every register block */
    PACKED_ROW = BLOCK_ROWS + 16, /* elements from row to row, not a power of two times a line */
    BLOCK_COLUMNS = 256
};

typedef struct WeightSlots {
    PackedSource source;
    SpaceSlots space;
    ViewSlots b;
    WeightViewSlots weight;
    int in, out; /* channels per group */
    int rows;    /* of the space, all images */
    int taps_per_block, tap_blocks, channels_per_block, channel_blocks, block_columns,
        column_blocks;
    int packed_b, sums, totals, table; /* offsets in the workspace, in fp32 elements */
} WeightSlots;

static WeightSlots slot_weight(Slots *slots, const Kernel *kernel, const CpuTarget *target) {
    const Contraction *c = &kernel->contraction;
    invariant(c->weight.out_stride == 1, "a weight's output channels lie side by side");
    WeightSlots out = {.source = slot_packed_source(slots, kernel)};
    const Geometry *geometry = &slots->program->geometry;
    int64_t rows = space_rows(geometry, &kernel->space) * space_images(geometry, &kernel->space);
    int64_t in = c->in / c->groups, columns = c->out / c->groups, panel = gemm_panel(target);
    int64_t unit = gemm_block(target).rows;
    int64_t channels = in, taps = 1;
    if (in > BLOCK_ROWS) /* equal blocks of whole register blocks */
        channels =
            integer_divide_up(integer_divide_up(in, integer_divide_up(in, BLOCK_ROWS)), unit) *
            unit;
    else /* as many taps as fit, spread evenly */
        taps = integer_divide_up(c->taps.tap_count,
                                 integer_divide_up(c->taps.tap_count, BLOCK_ROWS / in));
    int64_t padded = integer_divide_up(columns, panel) * panel;
    int64_t block_columns = padded < BLOCK_COLUMNS ? padded : BLOCK_COLUMNS;
    out.space = slot_space(slots, &kernel->space, false);
    out.b = slot_view(slots, &c->b);
    out.weight = slot_weight_view(slots, &c->weight);
    out.in = slot_number(slots, in);
    out.out = slot_number(slots, columns);
    out.rows = slot_number(slots, rows);
    int64_t tap_blocks = integer_divide_up(c->taps.tap_count, taps);
    int64_t channel_blocks = integer_divide_up(in, channels);
    int64_t column_blocks = integer_divide_up(padded, block_columns);
    out.taps_per_block = slot_number(slots, taps);
    out.tap_blocks = slot_number(slots, tap_blocks);
    out.channels_per_block = slot_number(slots, channels);
    out.channel_blocks = slot_number(slots, channel_blocks);
    out.block_columns = slot_number(slots, block_columns);
    out.column_blocks = slot_number(slots, column_blocks);
    int64_t packed = (int64_t)STRETCH * PACKED_ROW, block = BLOCK_ROWS * block_columns;
    out.packed_b = slot_number(slots, packed);
    out.sums = slot_number(slots, packed + STRETCH * block_columns);
    out.totals = slot_number(slots, packed + STRETCH * block_columns + block);
    out.table = slot_number(slots, packed + STRETCH * block_columns + 3 * block);
    slots->workspace = (packed + STRETCH * block_columns + 3 * block) * (int64_t)sizeof(float) +
                       (int64_t)STRETCH * ROW_TABLE_ENTRIES * (int64_t)sizeof(int64_t);
    slots->chunks = c->groups * tap_blocks * channel_blocks * column_blocks;
    return out;
}

static int64_t bind_weight(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage) {
    (void)stage;
    slot_weight(slots, kernel, target);
    return 0;
}

typedef struct WeightBlock {
    const WeightSlots *slots;
    LLVMValueRef group, first_column, column_count;
    PackedTaps part;   /* channels within the group */
    LLVMValueRef rows; /* of the weight in this block: taps x channels */
    LLVMValueRef packed_a, packed_b, sums, totals, table;
} WeightBlock;

static LLVMValueRef workspace_at(Emitter *e, int slot) {
    return emit_at(e, e->f32, e->workspace, emit_slot(e, slot));
}

static WeightBlock begin_chunk(Emitter *e, const WeightSlots *slots) {
    WeightBlock block = {.slots = slots};
    LLVMValueRef column_blocks = emit_slot(e, slots->column_blocks);
    LLVMValueRef channel_blocks = emit_slot(e, slots->channel_blocks);
    LLVMValueRef tap_blocks = emit_slot(e, slots->tap_blocks);
    LLVMValueRef columns = emit_slot(e, slots->block_columns);
    LLVMValueRef channels = emit_slot(e, slots->channels_per_block);
    LLVMValueRef taps = emit_slot(e, slots->taps_per_block);
    LLVMValueRef rest = e->chunk;
    block.first_column = emit_mul(e, emit_rem(e, rest, column_blocks), columns);
    rest = emit_div(e, rest, column_blocks);
    block.part.first = emit_mul(e, emit_rem(e, rest, channel_blocks), channels);
    rest = emit_div(e, rest, channel_blocks);
    block.part.first_tap = emit_mul(e, emit_rem(e, rest, tap_blocks), taps);
    block.group = emit_div(e, rest, tap_blocks);
    block.part.end_tap = emit_min(e, emit_add(e, block.part.first_tap, taps),
                                  emit_slot(e, slots->source.taps.count));
    block.part.count =
        emit_min(e, channels, emit_sub(e, emit_slot(e, slots->in), block.part.first));
    block.column_count =
        emit_min(e, columns, emit_sub(e, emit_slot(e, slots->out), block.first_column));
    block.rows =
        emit_mul(e, emit_sub(e, block.part.end_tap, block.part.first_tap), block.part.count);
    block.packed_a = e->workspace;
    block.packed_b = workspace_at(e, slots->packed_b);
    block.sums = workspace_at(e, slots->sums);
    block.totals = workspace_at(e, slots->totals);
    block.table = workspace_at(e, slots->table);
    return block;
}

/* Packs rows [first, end) of both sides: a as [row][BLOCK_ROWS], b as [panel][row][columns of a
 * panel]. */
static void pack_stretch(Emitter *e, const WeightBlock *block, LLVMValueRef first,
                         LLVMValueRef end) {
    const WeightSlots *slots = block->slots;
    int panel = gemm_panel(e->target);
    LLVMValueRef in_start = emit_mul(e, block->group, emit_slot(e, slots->in));
    LLVMValueRef out_start =
        emit_add(e, emit_mul(e, block->group, emit_slot(e, slots->out)), block->first_column);
    PackedTaps part = block->part;
    part.first = emit_add(e, part.first, in_start);
    emit_row_table(e, &slots->source.taps, &slots->space, first, emit_sub(e, end, first),
                   block->table);
    Loop rows = loop_begin(e, first, end, emit_int(e, 1));
    LLVMValueRef nth = emit_sub(e, rows.index, first);
    emit_pack_row(e, &slots->source, &part, block->table, nth,
                  emit_at(e, e->f32, block->packed_a, emit_mul(e, nth, emit_int(e, PACKED_ROW))));
    RowPlace place = emit_row_place(e, &slots->space, rows.index);
    LLVMValueRef source = emit_row_address(e, &slots->b, place.image, place.row);
    Loop panels = loop_begin(e, emit_int(e, 0), block->column_count, emit_int(e, panel));
    LLVMValueRef row = emit_add(e, emit_mul(e, panels.index, emit_int(e, STRETCH)),
                                emit_mul(e, nth, emit_int(e, panel)));
    for (int v = 0; v < gemm_block(e->target).vectors; v++) {
        LLVMValueRef lane = emit_int(e, (int64_t)v * e->target->lanes);
        LLVMValueRef column = emit_add(e, panels.index, lane);
        LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, block->column_count, column));
        LLVMValueRef value =
            emit_load_elements(e, slots->b.dtype, source, emit_add(e, out_start, column), mask);
        if (slots->source.bf16 && slots->b.dtype != DTYPE_BF16)
            value = emit_round_to_bf16(e, value);
        emit_store_vector(e, value, emit_at(e, e->f32, block->packed_b, emit_add(e, row, lane)),
                          NULL);
    }
    loop_end(e, &panels);
    loop_end(e, &rows);
}

static void multiply_stretch(Emitter *e, const WeightBlock *block, LLVMValueRef depth,
                             LLVMValueRef accumulate) {
    LLVMValueRef zero = emit_int(e, 0), panel = emit_int(e, gemm_panel(e->target));
    LLVMValueRef unit = emit_int(e, gemm_block(e->target).rows);
    LLVMValueRef up = emit_add(e, block->rows, emit_sub(e, unit, emit_int(e, 1)));
    LLVMValueRef padded = emit_mul(e, emit_div(e, up, unit), unit);
    Loop panels = loop_begin(e, zero, block->column_count, panel);
    GemmOperands o = {
        .a = block->packed_a,
        .a_row = emit_int(e, 1),
        .a_depth = emit_int(e, PACKED_ROW),
        .b = emit_at(e, e->f32, block->packed_b, emit_mul(e, panels.index, emit_int(e, STRETCH))),
        .c = emit_at(e, e->f32, block->sums, panels.index),
        .c_row = emit_slot(e, block->slots->block_columns),
        .depth = depth,
        .accumulate = accumulate};
    emit_gemm_panel(e, &o, padded, emit_sub(e, block->column_count, panels.index));
    loop_end(e, &panels);
}

typedef struct Flush {
    LLVMValueRef sums, totals; /* rows */
} Flush;

/* totals += sums, in double. */
static void flush_vector(Emitter *e, void *context, LLVMValueRef column, LLVMValueRef mask) {
    const Flush *flush = context;
    (void)mask; /* rows are padded to whole vectors */
    LLVMValueRef sum =
        emit_load_vector(e, e->vector_f32, emit_at(e, e->f32, flush->sums, column), NULL);
    LLVMValueRef place = emit_at(e, e->f64, flush->totals, column);
    LLVMValueRef total = emit_load(e, e->vector_f64, place, 8);
    sum = LLVMBuildFPExt(e->builder, sum, e->vector_f64, "");
    emit_store(e, LLVMBuildFAdd(e->builder, total, sum, ""), place, 8);
}

static void store_vector(Emitter *e, void *context, LLVMValueRef column, LLVMValueRef mask) {
    const Flush *flush = context; /* sums: the row of the weight */
    LLVMValueRef total = emit_load(e, e->vector_f64, emit_at(e, e->f64, flush->totals, column), 8);
    emit_store_vector(e, LLVMBuildFPTrunc(e->builder, total, e->vector_f32, ""),
                      emit_at(e, e->f32, flush->sums, column), mask);
}

/* Runs `body` on the columns of every row of the block. */
static void each_row(Emitter *e, const WeightBlock *block, bool store) {
    const WeightSlots *slots = block->slots;
    LLVMValueRef width = emit_slot(e, slots->block_columns);
    Loop rows = loop_begin(e, emit_int(e, 0), block->rows, emit_int(e, 1));
    LLVMValueRef start = emit_mul(e, rows.index, width);
    Flush flush = {emit_at(e, e->f32, block->sums, start),
                   emit_at(e, e->f64, block->totals, start)};
    if (store) {
        LLVMValueRef tap =
            emit_add(e, block->part.first_tap, emit_div(e, rows.index, block->part.count));
        LLVMValueRef channel =
            emit_add(e, block->part.first, emit_rem(e, rows.index, block->part.count));
        LLVMValueRef number = emit_tap_weight(e, &slots->source.taps, tap);
        LLVMValueRef row = emit_weight_address(e, &slots->weight, number, block->group, channel);
        flush.sums = emit_at(e, e->f32, row, block->first_column);
    }
    elements_each_vector(e, emit_int(e, 0), block->column_count,
                         store ? store_vector : flush_vector, &flush);
    loop_end(e, &rows);
}

static void emit_weight(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    (void)stage;
    Slots numbering = {.arena = e->arena, .program = program};
    WeightSlots slots = slot_weight(&numbering, kernel, e->target);
    WeightBlock block = begin_chunk(e, &slots);
    LLVMValueRef zero = emit_int(e, 0), rows = emit_slot(e, slots.rows);
    LLVMValueRef width = emit_slot(e, slots.block_columns);
    emit_clear(e, block.totals,
               emit_mul(e, emit_int(e, 2), emit_mul(e, emit_int(e, BLOCK_ROWS), width)));
    Loop part = loop_begin(e, zero, rows, emit_int(e, FLOAT_ROWS));
    LLVMValueRef part_end = emit_min(e, emit_add(e, part.index, emit_int(e, FLOAT_ROWS)), rows);
    Loop stretch = loop_begin(e, part.index, part_end, emit_int(e, STRETCH));
    LLVMValueRef end = emit_min(e, emit_add(e, stretch.index, emit_int(e, STRETCH)), part_end);
    pack_stretch(e, &block, stretch.index, end);
    multiply_stretch(e, &block, emit_sub(e, end, stretch.index),
                     LLVMBuildICmp(e->builder, LLVMIntSGT, stretch.index, part.index, ""));
    loop_end(e, &stretch);
    each_row(e, &block, false);
    loop_end(e, &part);
    each_row(e, &block, true);
}

const KernelEmitter cpu_emit_contract_weight = {1, bind_weight, emit_weight};
