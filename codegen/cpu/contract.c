/* Contracts: rows to rows. Stage 0 packs the weight into panels of columns, shared by all threads.
 * Stage 1 takes a block of rows and columns a chunk: for each part of the depth (some taps, some
 * input channels) it finds the rows that the taps read, or packs them behind the prologue, and
 * multiplies them with the panels, summing in the thread's workspace; then the kernel's expression
 * runs over the sums. Where kernel_skips_hidden, a part has one tap, and only the rows that it
 * finds are packed and multiplied, each into the sums of its own row. */
#include "base/integer.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/gemm.h"
#include "codegen/cpu/kinds.h"

enum {
    DEPTH = 256,             /* terms of a part: a panel of them stays near */
    PACKED_ROW = DEPTH + 16, /* from row to row: no power of two, to spread over the cache */
    BLOCK_ROWS = 240,        /* rows of a chunk at most; a multiple of every register block */
    BLOCK_COLUMNS = 256,     /* columns of a chunk at most */
    ENOUGH_CHUNKS = 16       /* so that threads end together */
};
_Static_assert((int)BLOCK_ROWS <= (int)ROW_TABLE_ROWS, "a row table holds the rows of a chunk");

typedef struct ContractSlots {
    PackedSource source;
    ElementSlots elements;
    WeightViewSlots weight;
    PanelSlots panels;
    int in, out, depth; /* channels per group; taps x in */
    int packed;         /* pointer: [group][panel][depth][columns] */
    int packed_group;   /* elements of a group there */
    int rows;           /* of this phase, all images */
    int block_rows, row_blocks;
    int taps_per_part, channels_per_part;
    int sums, sums_row, zeros, table, pointers; /* offsets in the workspace: behind the packed rows
        [block_rows][sums_row], zeros [in], row table, pointers [taps][block_rows] */
    int found, numbers; /* where rows are skipped: what a tap finds, and which rows that are */
} ContractSlots;

/* Rows of a chunk: as many as fit, fewer where there would be too few chunks. */
static int64_t choose_block_rows(int64_t rows, int64_t column_blocks, const CpuTarget *target) {
    int64_t unit = gemm_block(target).rows;
    int64_t wanted = integer_divide_up(rows * column_blocks, ENOUGH_CHUNKS);
    int64_t block = integer_divide_up(wanted < BLOCK_ROWS ? wanted : BLOCK_ROWS, unit) * unit;
    return block < unit ? unit : block;
}

/* Where things are in the workspace; rows are packed, or pointed to. */
static void slot_workspace(Slots *slots, ContractSlots *out, int64_t taps, int64_t in,
                           int64_t sums_row, bool direct, bool skips) {
    int64_t packed = direct ? 0 : BLOCK_ROWS * PACKED_ROW;
    int64_t sums = (BLOCK_ROWS + skips) * sums_row; /* a spare one for what fills register blocks */
    int64_t zeros = direct ? integer_divide_up(in, 16) * 16 : 0;
    int64_t table = packed + sums + zeros;
    int64_t pointers = table + ROW_TABLE_BYTES / (int64_t)sizeof(float);
    int64_t entries = ROW_TABLE_ROWS * (int64_t)(sizeof(void *) / sizeof(float));
    int64_t found = pointers + (direct && skips ? 0 : direct ? taps : 1) * entries;
    out->sums = slot_number(slots, packed);
    out->sums_row = slot_number(slots, sums_row);
    out->zeros = slot_number(slots, packed + sums);
    out->table = slot_number(slots, table);
    out->pointers = slot_number(slots, pointers);
    out->found = slot_number(slots, found);
    out->numbers = slot_number(slots, found + entries);
    slots->workspace = (found + (skips ? 2 * entries : 0)) * (int64_t)sizeof(float);
}

static ContractSlots slot_contract(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                                   int stage) {
    const Contraction *c = &kernel->contraction;
    ContractSlots out = {.source = slot_packed_source(slots, kernel)};
    int64_t in = c->in / c->groups, columns = c->out / c->groups, lanes = target->lanes;
    int64_t depth = in * c->taps.tap_count;
    Panels panels = gemm_panels(target, columns, BLOCK_COLUMNS);
    int64_t rows = kernel_rows(slots->program, kernel) *
                   space_images(&slots->program->geometry, &kernel->space);
    int64_t block_rows = choose_block_rows(rows, panels.blocks * c->groups, target);
    int64_t channels = integer_divide_up(in, integer_divide_up(in, DEPTH));
    bool skips = kernel_skips_hidden(kernel);
    int64_t taps = in < DEPTH && !skips ? DEPTH / in : 1;
    out.elements = slot_elements(slots, kernel);
    out.weight = slot_weight_view(slots, &c->weight);
    out.panels = slot_panels(slots, &panels, columns);
    out.in = slot_number(slots, in);
    out.out = slot_number(slots, columns);
    out.depth = slot_number(slots, depth);
    int64_t packed_group = panels.vectors * lanes * depth;
    out.packed = slot_shared(slots, c->groups * packed_group * (int64_t)sizeof(float));
    out.packed_group = slot_number(slots, packed_group);
    out.rows = slot_number(slots, rows);
    out.block_rows = slot_number(slots, block_rows);
    out.row_blocks = slot_number(slots, integer_divide_up(rows, block_rows));
    out.taps_per_part = slot_number(slots, taps);
    out.channels_per_part = slot_number(slots, channels);
    slot_workspace(slots, &out, taps, in, panels.widest, gemm_reads_rows(slots->program, kernel),
                   skips);
    slots->chunks = stage == 0 ? c->groups * panels.count
                               : integer_divide_up(rows, block_rows) * panels.blocks * c->groups;
    return out;
}

/* Weights whose output channels lie side by side are packed by copying, others by gathering; rows
 * are packed, or read where they are; all, or those that are not hidden. */
static int64_t bind_contract(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                             int stage) {
    slot_contract(slots, kernel, target, stage);
    if (stage == 0)
        return kernel->contraction.weight.out_stride == 1;
    return gemm_reads_rows(slots->program, kernel) + 2 * kernel_skips_hidden(kernel);
}

/* ---- Stage 0: packing the weight ------------------------------------------------------------- */

/* Where the panel of a group that starts at `column` is. */
static LLVMValueRef packed_panel(Emitter *e, const ContractSlots *slots, LLVMValueRef group,
                                 LLVMValueRef column) {
    LLVMValueRef start = emit_mul(e, group, emit_slot(e, slots->packed_group));
    start = emit_add(e, start, emit_mul(e, column, emit_slot(e, slots->depth)));
    return emit_at(e, e->f32, emit_slot_pointer(e, slots->packed), start);
}

static LLVMValueRef gather_columns(Emitter *e, const ContractSlots *slots, LLVMValueRef address,
                                   LLVMValueRef mask) {
    LLVMValueRef stride = emit_splat(e, emit_slot(e, slots->weight.out_stride));
    LLVMValueRef steps = LLVMBuildMul(e->builder, emit_lane_numbers(e, emit_int(e, 0)), stride, "");
    return emit_gather(e, e->vector_f32, emit_at(e, e->f32, address, steps), mask);
}

static void emit_pack_weight(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    bool side_by_side = kernel->contraction.weight.out_stride == 1;
    LLVMValueRef panels = emit_slot(e, slots->panels.count), in = emit_slot(e, slots->in);
    LLVMValueRef group = emit_div(e, e->chunk, panels), panel = emit_rem(e, e->chunk, panels);
    LLVMValueRef column = emit_panel_start(e, &slots->panels, panel);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panel);
    LLVMValueRef target = packed_panel(e, slots, group, column);
    Loop tap =
        loop_begin(e, emit_int(e, 0), emit_slot(e, slots->source.taps.count), emit_int(e, 1));
    LLVMValueRef number = emit_tap_weight(e, &slots->source.taps, tap.index);
    Loop channel = loop_begin(e, emit_int(e, 0), in, emit_int(e, 1));
    LLVMValueRef row = emit_weight_address(e, &slots->weight, number, group, channel.index);
    LLVMValueRef k = emit_add(e, emit_mul(e, tap.index, in), channel.index);
    LLVMValueRef packed = emit_at(e, e->f32, target, emit_mul(e, k, width));
    Loop lane = loop_begin(e, emit_int(e, 0), width, emit_int(e, e->target->lanes));
    LLVMValueRef first = emit_add(e, column, lane.index);
    LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, emit_slot(e, slots->out), first));
    LLVMValueRef offset = emit_mul(e, first, emit_slot(e, slots->weight.out_stride));
    LLVMValueRef source = emit_at(e, e->f32, row, offset);
    LLVMValueRef value = side_by_side ? emit_load_vector(e, e->vector_f32, source, mask)
                                      : gather_columns(e, slots, source, mask);
    if (kernel->contraction.bf16)
        value = emit_round_to_bf16(e, value);
    emit_store_vector(e, value, emit_at(e, e->f32, packed, lane.index), NULL);
    loop_end(e, &lane);
    loop_end(e, &channel);
    loop_end(e, &tap);
}

/* ---- Stage 1 --------------------------------------------------------------------------------- */

/* One chunk's block of rows and columns. */
typedef struct Block {
    const Kernel *kernel;
    const ContractSlots *slots;
    bool direct;                                            /* rows are read where they are */
    LLVMValueRef group, first_row, row_count, padded_rows;  /* padded to whole register blocks */
    PanelBlock columns;                                     /* within the group */
    LLVMValueRef packed_rows, sums, zeros, table, pointers; /* workspace */
    bool skips;                                             /* what is hidden */
    LLVMValueRef found, numbers;                            /* workspace, if it skips */
} Block;

static Block begin_chunk(Emitter *e, const Kernel *kernel, const ContractSlots *slots,
                         bool direct) {
    Block block = {
        .kernel = kernel, .slots = slots, .direct = direct, .skips = kernel_skips_hidden(kernel)};
    LLVMValueRef row_blocks = emit_slot(e, slots->row_blocks);
    LLVMValueRef column_blocks = emit_slot(e, slots->panels.blocks);
    LLVMValueRef rest = emit_div(e, e->chunk, row_blocks);
    LLVMValueRef size = emit_slot(e, slots->block_rows);
    block.group = emit_div(e, rest, column_blocks);
    block.first_row = emit_mul(e, emit_rem(e, e->chunk, row_blocks), size);
    block.row_count = emit_min(e, size, emit_sub(e, emit_slot(e, slots->rows), block.first_row));
    block.padded_rows = emit_round_up(e, block.row_count, gemm_block(e->target).rows);
    block.columns = emit_panel_block(e, &slots->panels, emit_rem(e, rest, column_blocks));
    block.packed_rows = e->workspace;
    block.sums = emit_workspace(e, slots->sums);
    block.zeros = emit_workspace(e, slots->zeros);
    block.table = emit_workspace(e, slots->table);
    block.pointers = emit_workspace(e, slots->pointers);
    block.found = direct ? block.pointers : emit_workspace(e, slots->found);
    block.numbers = emit_workspace(e, slots->numbers);
    return block;
}

/* The `count` packed rows of one part of the depth: those of the block, or those that the tap
 * finds; rows of padding repeat nothing and are zero. */
static void pack_rows(Emitter *e, const Block *block, const PackedTaps *part, LLVMValueRef count) {
    const ContractSlots *slots = block->slots;
    PackedTaps shifted = *part;
    shifted.first = emit_add(e, part->first, emit_mul(e, block->group, emit_slot(e, slots->in)));
    Loop rows = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef target =
        emit_at(e, e->f32, block->packed_rows, emit_mul(e, rows.index, emit_int(e, PACKED_ROW)));
    LLVMValueRef row = rows.index;
    if (block->skips)
        row = emit_load(e, e->i64, emit_at(e, e->i64, block->numbers, row), 8);
    emit_pack_row(e, &slots->source, &shifted, block->table, row, target);
    loop_end(e, &rows);
    LLVMValueRef padded = emit_round_up(e, count, gemm_block(e->target).rows);
    Loop padding = loop_begin(e, count, padded, emit_int(e, 1));
    emit_clear(
        e,
        emit_at(e, e->f32, block->packed_rows, emit_mul(e, padding.index, emit_int(e, PACKED_ROW))),
        emit_int(e, DEPTH));
    loop_end(e, &padding);
}

/* Pointers to the rows that each of the taps [first, end) reads. Returns how many rows of the block
 * take part: all, or those that the one tap finds, which come first then. */
static LLVMValueRef find_rows(Emitter *e, const Block *block, LLVMValueRef first,
                              LLVMValueRef end) {
    if (!block->direct && !block->skips)
        return block->row_count;
    RowPointers rows = {.first_tap = first,
                        .end_tap = end,
                        .table = block->table,
                        .count = block->row_count,
                        .channel = emit_mul(e, block->group, emit_slot(e, block->slots->in)),
                        .zeros = block->zeros};
    emit_row_pointers(e, &block->slots->source, &rows, block->found);
    if (!block->skips)
        return block->row_count;
    return emit_present_rows(e, block->found, block->zeros, block->row_count, block->numbers,
                             BLOCK_ROWS);
}

/* sums += `count` rows x panels, for one part of the depth. */
static void multiply(Emitter *e, const Block *block, const PackedTaps *part, LLVMValueRef count) {
    const ContractSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), in = emit_slot(e, slots->in);
    LLVMValueRef first_term = emit_add(e, emit_mul(e, part->first_tap, in), part->first);
    LLVMValueRef taps = emit_sub(e, part->end_tap, part->first_tap);
    Loop panels = loop_begin(e, block->columns.first, block->columns.end, one);
    LLVMValueRef column = emit_panel_start(e, &slots->panels, panels.index);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panels.index);
    GemmOperands o = {
        .a = block->pointers,
        .first = block->direct ? part->first : zero,
        .taps = block->direct ? taps : one,
        .tap_step = emit_int(e, ROW_TABLE_ROWS),
        .b = emit_at(e, e->f32, packed_panel(e, slots, block->group, column),
                     emit_mul(e, first_term, width)),
        .c = emit_at(e, e->f32, block->sums, emit_sub(e, column, block->columns.first_column)),
        .c_row = emit_slot(e, slots->sums_row),
        .depth = block->direct ? part->count : emit_mul(e, taps, part->count),
        .accumulate = LLVMBuildICmp(e->builder, LLVMIntSGT, first_term, zero, "")};
    if (block->skips) {
        o.rows = block->numbers;
        o.accumulate = LLVMConstInt(LLVMInt1TypeInContext(e->context), 1, false);
    }
    emit_gemm_panel(e, &o, emit_round_up(e, count, gemm_block(e->target).rows), width);
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
    Epilogue epilogue = {
        &row,
        emit_at(e, e->f32, block->sums, emit_mul(e, rows.index, emit_slot(e, slots->sums_row))),
        emit_add(e, group_start, block->columns.first_column)};
    elements_each_vector(e, emit_int(e, 0), block->columns.column_count, finish_vector, &epilogue);
    loop_end(e, &rows);
}

/* What the parts of the depth have in common. */
static void prepare_rows(Emitter *e, const Block *block) {
    const ContractSlots *slots = block->slots;
    emit_row_table(e, &slots->source.taps, &slots->elements.space, block->first_row,
                   block->row_count, block->table);
    if (block->direct)
        emit_clear(e, block->zeros, emit_slot(e, slots->in));
    else
        emit_even_pointers(e, block->packed_rows, PACKED_ROW, block->padded_rows, block->pointers);
}

/* What no product would write, or only some do. */
static void clear_sums(Emitter *e, const Block *block, LLVMValueRef taps) {
    LLVMValueRef size = emit_mul(e, block->padded_rows, emit_slot(e, block->slots->sums_row));
    if (block->skips) {
        emit_clear(e, block->sums, size);
        return;
    }
    Branch nothing =
        branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntEQ, taps, emit_int(e, 0), ""));
    emit_clear(e, block->sums, size);
    branch_end(e, &nothing);
}

static void emit_block(Emitter *e, const Kernel *kernel, const ContractSlots *slots, bool direct) {
    Block block = begin_chunk(e, kernel, slots, direct);
    LLVMValueRef zero = emit_int(e, 0), in = emit_slot(e, slots->in);
    LLVMValueRef taps = emit_slot(e, slots->source.taps.count);
    clear_sums(e, &block, taps);
    prepare_rows(e, &block);
    LLVMValueRef tap_step = emit_slot(e, slots->taps_per_part);
    LLVMValueRef channel_step = emit_slot(e, slots->channels_per_part);
    Loop tap = loop_begin(e, zero, taps, tap_step);
    LLVMValueRef end_tap = emit_min(e, emit_add(e, tap.index, tap_step), taps);
    LLVMValueRef count = find_rows(e, &block, tap.index, end_tap);
    Loop channel = loop_begin(e, zero, in, channel_step);
    PackedTaps part = {.first_tap = tap.index,
                       .end_tap = end_tap,
                       .first = channel.index,
                       .count = emit_min(e, channel_step, emit_sub(e, in, channel.index))};
    if (!direct)
        pack_rows(e, &block, &part, count);
    multiply(e, &block, &part, count);
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
        emit_block(e, kernel, &slots, gemm_reads_rows(program, kernel));
}

const KernelEmitter cpu_emit_contract = {2, bind_contract, emit_contract};
