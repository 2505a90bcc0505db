/* Contracts: rows to rows. Stage 0 packs the weight into panels of consecutive columns, shared by
 * all threads. Stage 1 takes a block of rows and columns a chunk: for each part of the depth (some
 * taps, some input channels) it packs the rows that the taps read, behind the prologue, and
 * multiplies them with the panels, summing in the thread's workspace; then the kernel's expression
 * runs over the sums. */
#include "base/integer.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/gemm.h"
#include "codegen/cpu/kinds.h"

enum {
    DEPTH = 256,             /* terms of a part: a panel of them stays in the first cache */
    PACKED_ROW = DEPTH + 16, /* from row to row: no power of two, to spread over the cache */
    BLOCK_ROWS = 240,        /* rows of a chunk at most; a multiple of every register block */
    BLOCK_COLUMNS = 256,     /* columns of a chunk at most; a multiple of every panel */
    ENOUGH_CHUNKS = 16       /* so that threads end together */
};

typedef struct ContractSlots {
    PackedSource source;
    ElementSlots elements;
    WeightViewSlots weight;
    int in, out, depth; /* channels per group; taps x in */
    int panels;         /* per group */
    int packed;         /* pointer: [group][panel][depth][columns] */
    int rows;           /* of this phase, all images */
    int block_rows, row_blocks, block_columns, column_blocks; /* column blocks per group */
    int taps_per_part, channels_per_part;
    int sums, table; /* offsets in the workspace, behind the packed rows:
                        [block_rows][block_columns], row table */
} ContractSlots;

/* Rows of a chunk: as many as fit, fewer where there would be too few chunks. */
static int64_t choose_block_rows(int64_t rows, int64_t column_blocks, const CpuTarget *target) {
    int64_t unit = gemm_block(target).rows;
    int64_t wanted = integer_divide_up(rows * column_blocks, ENOUGH_CHUNKS);
    int64_t block = integer_divide_up(wanted < BLOCK_ROWS ? wanted : BLOCK_ROWS, unit) * unit;
    return block < unit ? unit : block;
}

static ContractSlots slot_contract(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                                   int stage) {
    const Contraction *c = &kernel->contraction;
    ContractSlots out = {.source = slot_packed_source(slots, kernel)};
    int64_t in = c->in / c->groups, columns = c->out / c->groups, panel = gemm_panel(target);
    int64_t depth = in * c->taps.tap_count, panels = integer_divide_up(columns, panel);
    int64_t block_columns = panels * panel < BLOCK_COLUMNS ? panels * panel : BLOCK_COLUMNS;
    int64_t column_blocks = integer_divide_up(panels * panel, block_columns);
    int64_t rows = kernel_rows(slots->program, kernel) *
                   space_images(&slots->program->geometry, &kernel->space);
    int64_t block_rows = choose_block_rows(rows, column_blocks * c->groups, target);
    int64_t channels = in < DEPTH ? in : DEPTH, taps = in < DEPTH ? DEPTH / in : 1;
    out.elements = slot_elements(slots, kernel);
    out.weight = slot_weight_view(slots, &c->weight);
    out.in = slot_number(slots, in);
    out.out = slot_number(slots, columns);
    out.depth = slot_number(slots, depth);
    out.panels = slot_number(slots, panels);
    out.packed = slot_shared(slots, c->groups * panels * depth * panel * (int64_t)sizeof(float));
    out.rows = slot_number(slots, rows);
    out.block_rows = slot_number(slots, block_rows);
    out.row_blocks = slot_number(slots, integer_divide_up(rows, block_rows));
    out.block_columns = slot_number(slots, block_columns);
    out.column_blocks = slot_number(slots, column_blocks);
    out.taps_per_part = slot_number(slots, taps);
    out.channels_per_part = slot_number(slots, channels);
    int64_t packed = block_rows * PACKED_ROW, sums = block_rows * block_columns;
    out.sums = slot_number(slots, packed);
    out.table = slot_number(slots, packed + sums);
    slots->workspace = (packed + sums) * (int64_t)sizeof(float) +
                       block_rows * ROW_TABLE_ENTRIES * (int64_t)sizeof(int64_t);
    slots->chunks = stage == 0 ? c->groups * panels
                               : integer_divide_up(rows, block_rows) * column_blocks * c->groups;
    return out;
}

/* Weights whose output channels lie side by side are packed by copying, others by gathering. */
static int64_t bind_contract(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                             int stage) {
    slot_contract(slots, kernel, target, stage);
    return kernel->contraction.weight.out_stride == 1;
}

/* ---- Stage 0: packing the weight ------------------------------------------------------------- */

static LLVMValueRef gather_columns(Emitter *e, const ContractSlots *slots, LLVMValueRef address,
                                   LLVMValueRef mask) {
    LLVMValueRef stride = emit_splat(e, emit_slot(e, slots->weight.out_stride));
    LLVMValueRef steps = LLVMBuildMul(e->builder, emit_lane_numbers(e, emit_int(e, 0)), stride, "");
    LLVMValueRef places = emit_at(e, e->f32, address, steps);
    LLVMTypeRef types[] = {e->vector_f32, LLVMVectorType(e->pointer, (unsigned)e->target->lanes)};
    return emit_intrinsic(
        e, "llvm.masked.gather", types, 2,
        (LLVMValueRef[]){places, emit_int32(e, 4), mask, LLVMConstNull(e->vector_f32)}, 4);
}

static void emit_pack_weight(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    bool side_by_side = kernel->contraction.weight.out_stride == 1;
    LLVMValueRef panels = emit_slot(e, slots->panels), in = emit_slot(e, slots->in);
    LLVMValueRef group = emit_div(e, e->chunk, panels), panel = emit_rem(e, e->chunk, panels);
    LLVMValueRef width = emit_int(e, gemm_panel(e->target));
    LLVMValueRef column = emit_mul(e, panel, width);
    LLVMValueRef depth = emit_slot(e, slots->depth);
    LLVMValueRef target = emit_at(e, e->f32, emit_slot_pointer(e, slots->packed),
                                  emit_mul(e, emit_mul(e, e->chunk, depth), width));
    Loop tap =
        loop_begin(e, emit_int(e, 0), emit_slot(e, slots->source.taps.count), emit_int(e, 1));
    LLVMValueRef number = emit_tap_weight(e, &slots->source.taps, tap.index);
    Loop channel = loop_begin(e, emit_int(e, 0), in, emit_int(e, 1));
    LLVMValueRef row = emit_weight_address(e, &slots->weight, number, group, channel.index);
    LLVMValueRef k = emit_add(e, emit_mul(e, tap.index, in), channel.index);
    for (int v = 0; v < gemm_block(e->target).vectors; v++) {
        LLVMValueRef lane = emit_int(e, (int64_t)v * e->target->lanes);
        LLVMValueRef first = emit_add(e, column, lane);
        LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, emit_slot(e, slots->out), first));
        LLVMValueRef offset = emit_mul(e, first, emit_slot(e, slots->weight.out_stride));
        LLVMValueRef source = emit_at(e, e->f32, row, offset);
        LLVMValueRef value = side_by_side ? emit_load_vector(e, e->vector_f32, source, mask)
                                          : gather_columns(e, slots, source, mask);
        if (kernel->contraction.bf16)
            value = emit_round_to_bf16(e, value);
        emit_store_vector(
            e, value, emit_at(e, e->f32, target, emit_add(e, emit_mul(e, k, width), lane)), NULL);
    }
    loop_end(e, &channel);
    loop_end(e, &tap);
}

/* ---- Stage 1 --------------------------------------------------------------------------------- */

/* One chunk's block of rows and columns. */
typedef struct Block {
    const Kernel *kernel;
    const ContractSlots *slots;
    LLVMValueRef group, first_row, row_count, padded_rows; /* padded to whole register blocks */
    LLVMValueRef first_panel, panel_count, first_column, column_count; /* within the group */
    LLVMValueRef packed_rows, sums, table;                             /* workspace */
} Block;

static Block begin_chunk(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    Block block = {.kernel = kernel, .slots = slots};
    LLVMValueRef row_blocks = emit_slot(e, slots->row_blocks);
    LLVMValueRef column_blocks = emit_slot(e, slots->column_blocks);
    LLVMValueRef rest = emit_div(e, e->chunk, row_blocks);
    LLVMValueRef size = emit_slot(e, slots->block_rows);
    LLVMValueRef panel = emit_int(e, gemm_panel(e->target));
    LLVMValueRef unit = emit_int(e, gemm_block(e->target).rows);
    block.group = emit_div(e, rest, column_blocks);
    block.first_row = emit_mul(e, emit_rem(e, e->chunk, row_blocks), size);
    block.row_count = emit_min(e, size, emit_sub(e, emit_slot(e, slots->rows), block.first_row));
    LLVMValueRef up = emit_sub(e, unit, emit_int(e, 1));
    block.padded_rows = emit_mul(e, emit_div(e, emit_add(e, block.row_count, up), unit), unit);
    LLVMValueRef columns = emit_slot(e, slots->block_columns);
    block.first_column = emit_mul(e, emit_rem(e, rest, column_blocks), columns);
    block.column_count =
        emit_min(e, columns, emit_sub(e, emit_slot(e, slots->out), block.first_column));
    block.first_panel = emit_div(e, block.first_column, panel);
    block.panel_count = emit_min(e, emit_div(e, columns, panel),
                                 emit_sub(e, emit_slot(e, slots->panels), block.first_panel));
    block.packed_rows = e->workspace;
    block.sums = emit_at(e, e->f32, e->workspace, emit_slot(e, slots->sums));
    block.table = emit_at(e, e->f32, e->workspace, emit_slot(e, slots->table));
    return block;
}

/* The packed rows of one part of the depth; rows of padding repeat nothing and are zero. */
static void pack_rows(Emitter *e, const Block *block, const PackedTaps *part) {
    const ContractSlots *slots = block->slots;
    PackedTaps shifted = *part;
    shifted.first = emit_add(e, part->first, emit_mul(e, block->group, emit_slot(e, slots->in)));
    Loop rows = loop_begin(e, emit_int(e, 0), block->row_count, emit_int(e, 1));
    LLVMValueRef target =
        emit_at(e, e->f32, block->packed_rows, emit_mul(e, rows.index, emit_int(e, PACKED_ROW)));
    emit_pack_row(e, &slots->source, &shifted, block->table, rows.index, target);
    loop_end(e, &rows);
    Loop padding = loop_begin(e, block->row_count, block->padded_rows, emit_int(e, 1));
    emit_clear(
        e,
        emit_at(e, e->f32, block->packed_rows, emit_mul(e, padding.index, emit_int(e, PACKED_ROW))),
        emit_int(e, DEPTH));
    loop_end(e, &padding);
}

/* sums += packed rows x panels, for the `depth` terms that start at `first_term` of the panels. */
static void multiply(Emitter *e, const Block *block, LLVMValueRef first_term, LLVMValueRef depth) {
    const ContractSlots *slots = block->slots;
    LLVMValueRef width = emit_int(e, gemm_panel(e->target)), zero = emit_int(e, 0);
    LLVMValueRef all = emit_slot(e, slots->depth);
    LLVMValueRef group_panels = emit_mul(e, block->group, emit_slot(e, slots->panels));
    Loop panels = loop_begin(e, zero, block->panel_count, emit_int(e, 1));
    LLVMValueRef number = emit_add(e, group_panels, emit_add(e, block->first_panel, panels.index));
    LLVMValueRef term = emit_add(e, emit_mul(e, number, all), first_term);
    LLVMValueRef column = emit_mul(e, panels.index, width);
    GemmOperands o = {
        .a = block->packed_rows,
        .a_row = emit_int(e, PACKED_ROW),
        .a_depth = emit_int(e, 1),
        .b = emit_at(e, e->f32, emit_slot_pointer(e, slots->packed), emit_mul(e, term, width)),
        .c = emit_at(e, e->f32, block->sums, column),
        .c_row = emit_slot(e, slots->block_columns),
        .depth = depth,
        .accumulate = LLVMBuildICmp(e->builder, LLVMIntSGT, first_term, zero, "")};
    emit_gemm_panel(e, &o, block->padded_rows, emit_sub(e, block->column_count, column));
    loop_end(e, &panels);
}

typedef struct Epilogue {
    const ElementRow *row;
    LLVMValueRef sums, first_column; /* of the group: channel = group's first + column */
} Epilogue;

static void finish_vector(Emitter *e, void *context, LLVMValueRef column, LLVMValueRef mask) {
    const Epilogue *epilogue = context;
    LLVMValueRef values[EXPRESSION_MAX_VALUES];
    LLVMValueRef acc =
        emit_load_vector(e, e->vector_f32, emit_at(e, e->f32, epilogue->sums, column), mask);
    LLVMValueRef channel = emit_add(e, epilogue->first_column, column);
    elements_evaluate(e, epilogue->row, channel, mask, acc, values);
    elements_store(e, epilogue->row, channel, mask, values);
}

static void finish_rows(Emitter *e, const Block *block) {
    const ContractSlots *slots = block->slots;
    LLVMValueRef group_start = emit_mul(e, block->group, emit_slot(e, slots->out));
    Loop rows = loop_begin(e, emit_int(e, 0), block->row_count, emit_int(e, 1));
    RowPlace place = emit_phase_row(e, &slots->source.taps, &slots->elements.space,
                                    emit_add(e, block->first_row, rows.index));
    ElementRow row = elements_begin(e, block->kernel, &slots->elements, &place);
    Epilogue epilogue = {&row,
                         emit_at(e, e->f32, block->sums,
                                 emit_mul(e, rows.index, emit_slot(e, slots->block_columns))),
                         emit_add(e, group_start, block->first_column)};
    elements_each_vector(e, emit_int(e, 0), block->column_count, finish_vector, &epilogue);
    loop_end(e, &rows);
}

static void emit_block(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    Block block = begin_chunk(e, kernel, slots);
    LLVMValueRef zero = emit_int(e, 0), in = emit_slot(e, slots->in);
    LLVMValueRef taps = emit_slot(e, slots->source.taps.count);
    Branch nothing = branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntEQ, taps, zero, ""));
    emit_clear(e, block.sums, emit_mul(e, block.padded_rows, emit_slot(e, slots->block_columns)));
    branch_end(e, &nothing);
    emit_row_table(e, &slots->source.taps, &slots->elements.space, block.first_row, block.row_count,
                   block.table);
    LLVMValueRef tap_step = emit_slot(e, slots->taps_per_part);
    LLVMValueRef channel_step = emit_slot(e, slots->channels_per_part);
    Loop tap = loop_begin(e, zero, taps, tap_step);
    Loop channel = loop_begin(e, zero, in, channel_step);
    PackedTaps part = {.first_tap = tap.index,
                       .end_tap = emit_min(e, emit_add(e, tap.index, tap_step), taps),
                       .first = channel.index,
                       .count = emit_min(e, channel_step, emit_sub(e, in, channel.index))};
    pack_rows(e, &block, &part);
    LLVMValueRef first_term = emit_add(e, emit_mul(e, tap.index, in), channel.index);
    LLVMValueRef depth = emit_mul(e, emit_sub(e, part.end_tap, part.first_tap), part.count);
    multiply(e, &block, first_term, depth);
    loop_end(e, &channel);
    loop_end(e, &tap);
    finish_rows(e, &block);
}

static void emit_contract(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    Slots numbering = {.arena = e->arena, .program = program};
    ContractSlots slots = slot_contract(&numbering, kernel, e->target, stage);
    if (stage == 0)
        emit_pack_weight(e, kernel, &slots);
    else
        emit_block(e, kernel, &slots);
}

const KernelEmitter cpu_emit_contract = {2, bind_contract, emit_contract};
