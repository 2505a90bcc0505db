/* Contracts: rows to rows. Stage 0 packs the weight into panels of columns, shared by all threads.
 * Stage 1 takes a block of rows and columns a chunk: for each part of the depth (some taps, some
 * input channels) it finds the rows that the taps read, or packs them (behind the prologue, for a
 * line of taps at once where they form lines, or as bf16 for tiles), and multiplies them with the
 * panels, summing in the thread's workspace; then the kernel's expression runs over the sums. Where
 * kernel_skips_hidden, a part has one tap, and only the rows that it finds are packed and
 * multiplied, each into the sums of its own row. */
#include "base/fatal.h"
#include "base/integer.h"
#include "codegen/cpu/choices.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/gemm.h"
#include "codegen/cpu/kinds.h"
#include "codegen/cpu/row_lines.h"
#include "codegen/cpu/tiles.h"

enum {
    PACKED_GAP = 16, /* from row to row is no power of two, to spread over the cache */
    TILED_UNIT = 2 * TILE_ROWS,
    ENOUGH_CHUNKS = 16 /* so that threads end together */
};

/* How the rows that the taps read come to the product. */
typedef enum RowForm { ROWS_PACKED, ROWS_SHARED, ROWS_IN_PLACE, ROWS_TILED } RowForm;
enum { ROW_FORMS = ROWS_TILED + 1 };

static RowForm row_form(const Slots *slots, const Kernel *kernel, const CpuTarget *target) {
    ChoiceForm form = choices_form(kernel, target);
    if (form == CHOICE_CONTRACT_TILED)
        return ROWS_TILED;
    bool packed = choices_value(slots->choices, form, CHOICE_READ) == CHOICE_PACKED;
    if (choices_may_read_in_place(slots->program, kernel, target) && !packed)
        return ROWS_IN_PLACE;
    return lines_share_rows(kernel) ? ROWS_SHARED : ROWS_PACKED;
}

/* How it is cut, by its choices (codegen/cpu/choices.def). */
typedef struct Cut {
    int64_t depth, rows, columns;
} Cut;

static Cut find_cut(const Slots *slots, const Kernel *kernel, const CpuTarget *target) {
    ChoiceForm form = choices_form(kernel, target);
    Cut cut = {.depth = choices_value(slots->choices, form, CHOICE_DEPTH),
               .rows = choices_value(slots->choices, form, CHOICE_ROWS),
               .columns = choices_value(slots->choices, form, CHOICE_COLUMNS)};
    invariant(cut.rows <= ROW_TABLE_ROWS, "a row table holds the rows of a chunk");
    return cut;
}

typedef struct ContractSlots {
    RowForm form;
    bool skips; /* what is hidden */
    Cut cut;
    int64_t packed_row; /* elements from packed row to packed row, not of tiles */
    PackedSource source;
    ElementSlots elements;
    WeightViewSlots weight;
    PanelSlots panels;
    int in, out, depth; /* channels per group; taps x in */
    int packed;         /* pointer: [group][panel][depth][columns]; tiles: TileOperands.b */
    int packed_group;   /* elements of a group there */
    int part_depth;     /* tiles: terms of a part, each padded to whole tiles */
    int channel_parts;  /* tiles: parts of the channels at a tap */
    int row_bytes;      /* tiles: from packed row to packed row */
    int rows;           /* of this phase, all images */
    int block_rows, row_blocks;
    int taps_per_part, channels_per_part;
    int sums, sums_row, zeros, table, pointers; /* offsets in the workspace: behind the packed rows
        [block_rows][sums_row], zeros [in], row table, pointers [taps][block_rows] */
    int found, numbers; /* where rows are skipped: what a tap finds, and which rows that are */
} ContractSlots;

/* Rows of a chunk: as many as fit, fewer where there would be too few chunks. */
static int64_t choose_block_rows(int64_t rows, int64_t column_blocks, int64_t most, int64_t unit) {
    int64_t wanted = integer_divide_up(rows * column_blocks, ENOUGH_CHUNKS);
    int64_t block = integer_divide_up(wanted < most ? wanted : most, unit) * unit;
    return block < unit ? unit : block;
}

/* How the depth is cut: some taps with all channels, or some channels of a tap or of a line of
 * them. */
typedef struct Parts {
    int64_t taps, channels;
    int64_t depth;                    /* of a part, tiles: padded */
    int64_t tap_parts, channel_parts; /* of the whole depth */
} Parts;

static Parts cut_depth(const Kernel *kernel, RowForm form, bool skips, int64_t most) {
    const Contraction *c = &kernel->contraction;
    int64_t taps = c->taps.tap_count, in = c->in / c->groups;
    int64_t unit = TILE_DEPTH;
    Parts parts = {.taps = in < most && !skips ? most / in : 1};
    if (form == ROWS_SHARED)
        parts.taps = line_taps(kernel);
    if (parts.taps > taps)
        parts.taps = taps > 0 ? taps : 1;
    parts.channels = integer_divide_up(in, integer_divide_up(in, most));
    if (form == ROWS_TILED && in > most)
        parts.channels = integer_divide_up(parts.channels, unit) * unit;
    parts.depth = integer_divide_up(parts.taps * parts.channels, unit) * unit;
    parts.tap_parts = integer_divide_up(taps, parts.taps);
    parts.channel_parts = integer_divide_up(in, parts.channels);
    return parts;
}

/* Where things are in the workspace; rows are packed, pointed to, or both. */
static void slot_workspace(Slots *slots, ContractSlots *out, const Parts *parts, int64_t in,
                           int64_t sums_row) {
    bool tiled = out->form == ROWS_TILED, direct = out->form != ROWS_PACKED;
    int64_t row = tiled ? parts->depth / 2 + TILE_COLUMNS : out->packed_row;
    int64_t rows = out->cut.rows;
    int64_t spread = out->form == ROWS_SHARED ? LINE_SPREAD : 0;
    int64_t packed = out->form == ROWS_IN_PLACE ? 0 : (rows + spread) * row;
    int64_t sums = (rows + out->skips) * sums_row; /* a spare one for what fills register blocks */
    int64_t zeros = direct ? integer_divide_up(in, 16) * 16 : 0, taps = parts->taps;
    out->row_bytes = slot_number(slots, row * (int64_t)sizeof(float));
    int64_t table = packed + sums + zeros;
    int64_t pointers = table + ROW_TABLE_BYTES / (int64_t)sizeof(float);
    out->sums = slot_number(slots, packed);
    out->sums_row = slot_number(slots, sums_row);
    out->zeros = slot_number(slots, packed + sums);
    out->table = slot_number(slots, table);
    out->pointers = slot_number(slots, pointers);
    int64_t entries = ROW_TABLE_ROWS * (int64_t)(sizeof(void *) / sizeof(float));
    int64_t tables = !direct      ? 1
                     : out->skips ? 0
                                  : taps; /* in place, what is found is pointed to */
    int64_t found = pointers + tables * entries;
    out->found = slot_number(slots, found);
    out->numbers = slot_number(slots, found + entries);
    slots->workspace = (found + (out->skips ? 2 * entries : 0)) * (int64_t)sizeof(float);
}

/* The packed weight. */
static void slot_weight(Slots *slots, ContractSlots *out, const Kernel *kernel,
                        const Panels *panels, const Parts *parts, int64_t lanes) {
    const Contraction *c = &kernel->contraction;
    int64_t depth = c->in / c->groups * c->taps.tap_count, bytes = sizeof(float);
    if (out->form == ROWS_TILED) {
        depth = parts->tap_parts * parts->channel_parts * parts->depth;
        bytes /= 2;
    }
    int64_t group = panels->vectors * lanes * depth;
    out->weight = slot_weight_view(slots, &c->weight);
    out->depth = slot_number(slots, depth);
    out->packed = slot_shared(slots, c->groups * group * bytes);
    out->packed_group = slot_number(slots, group);
    out->part_depth = slot_number(slots, parts->depth);
    out->channel_parts = slot_number(slots, parts->channel_parts);
}

static ContractSlots slot_contract(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                                   int stage) {
    const Contraction *c = &kernel->contraction;
    ContractSlots out = {.form = row_form(slots, kernel, target),
                         .skips = kernel_skips_hidden(kernel),
                         .cut = find_cut(slots, kernel, target)};
    bool tiled = out.form == ROWS_TILED;
    out.packed_row = out.cut.depth + PACKED_GAP;
    int64_t in = c->in / c->groups, columns = c->out / c->groups;
    Panels panels = tiled ? tile_panels(columns, out.cut.columns)
                          : gemm_panels(target, columns, out.cut.columns);
    int64_t rows = kernel_rows(slots->program, kernel) *
                   space_images(&slots->program->geometry, &kernel->space);
    int64_t block_rows = choose_block_rows(rows, panels.blocks * c->groups, out.cut.rows,
                                           tiled ? TILED_UNIT : gemm_block(target).rows);
    Parts parts = cut_depth(kernel, out.form, out.skips, out.cut.depth);
    out.source = slot_packed_source(slots, kernel, tiled ? DTYPE_BF16 : DTYPE_F32);
    out.elements = slot_elements(slots, kernel);
    out.panels = slot_panels(slots, &panels, columns);
    out.in = slot_number(slots, in);
    out.out = slot_number(slots, columns);
    slot_weight(slots, &out, kernel, &panels, &parts, target->lanes);
    out.rows = slot_number(slots, rows);
    out.block_rows = slot_number(slots, block_rows);
    out.row_blocks = slot_number(slots, integer_divide_up(rows, block_rows));
    out.taps_per_part = slot_number(slots, parts.taps);
    out.channels_per_part = slot_number(slots, parts.channels);
    slot_workspace(slots, &out, &parts, in, panels.widest);
    slots->chunks = stage == 0 ? c->groups * panels.count
                               : integer_divide_up(rows, block_rows) * panels.blocks * c->groups;
    return out;
}

/* Weights whose output channels lie side by side are packed by copying, others by gathering; rows
 * are packed, each tap's or those of a line of taps, or read where they are; all, or those that are
 * not hidden. */
static int64_t bind_contract(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                             int stage) {
    ContractSlots out = slot_contract(slots, kernel, target, stage);
    if (stage == 0)
        return kernel->contraction.weight.out_stride == 1;
    return (int64_t)out.form + ROW_FORMS * out.skips;
}

/* ---- Stage 0: packing the weight ------------------------------------------------------------- */

/* Where the panel of a group that starts at `column` is. */
static LLVMValueRef packed_panel(Emitter *e, const ContractSlots *slots, LLVMValueRef group,
                                 LLVMValueRef column) {
    LLVMTypeRef element = emit_dtype(e, slots->source.packed);
    LLVMValueRef start = emit_mul(e, group, emit_slot(e, slots->packed_group));
    start = emit_add(e, start, emit_mul(e, column, emit_slot(e, slots->depth)));
    return emit_at(e, element, emit_slot_pointer(e, slots->packed), start);
}

static LLVMValueRef gather_columns(Emitter *e, const ContractSlots *slots, LLVMValueRef address,
                                   LLVMValueRef mask) {
    LLVMValueRef stride = emit_splat(e, emit_slot(e, slots->weight.out_stride));
    LLVMValueRef steps = LLVMBuildMul(e->builder, emit_lane_numbers(e, emit_int(e, 0)), stride, "");
    return emit_gather(e, e->vector_f32, emit_at(e, e->f32, address, steps), mask);
}

/* A panel while it is packed. */
typedef struct PackedPanel {
    const Kernel *kernel;
    const ContractSlots *slots;
    LLVMValueRef group, column, width, target;
} PackedPanel;

/* `lanes` columns, from `lane` of the panel on, of the weight's row `row`. */
static LLVMValueRef load_columns(Emitter *e, const PackedPanel *panel, LLVMValueRef row,
                                 LLVMValueRef lane) {
    const ContractSlots *slots = panel->slots;
    LLVMValueRef first = emit_add(e, panel->column, lane);
    LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, emit_slot(e, slots->out), first));
    LLVMValueRef offset = emit_mul(e, first, emit_slot(e, slots->weight.out_stride));
    LLVMValueRef source = emit_at(e, e->f32, row, offset);
    return panel->kernel->contraction.weight.out_stride == 1
               ? emit_load_vector(e, e->vector_f32, source, mask)
               : gather_columns(e, slots, source, mask);
}

/* The panel's columns of one row of the weight, in fp32. */
static void pack_weight_row(Emitter *e, const PackedPanel *panel, LLVMValueRef row,
                            LLVMValueRef target) {
    Loop lane = loop_begin(e, emit_int(e, 0), panel->width, emit_int(e, e->target->lanes));
    LLVMValueRef value = load_columns(e, panel, row, lane.index);
    if (panel->kernel->contraction.bf16)
        value = emit_round_to_bf16(e, value);
    emit_store_vector(e, value, emit_at(e, e->f32, target, lane.index), NULL);
    loop_end(e, &lane);
}

/* The same of row `k` of a part for tiles: into the lower halves of pairs if k is even, beside them
 * if it is odd. */
static void pack_tile_row(Emitter *e, const PackedPanel *panel, LLVMValueRef row, LLVMValueRef part,
                          LLVMValueRef k) {
    LLVMValueRef depth = emit_int(e, TILE_DEPTH), two = emit_int(e, 2);
    LLVMValueRef step = emit_mul(e, emit_div(e, k, depth), emit_mul(e, panel->width, depth));
    LLVMValueRef pair = emit_div(e, emit_rem(e, k, depth), two);
    LLVMValueRef odd =
        LLVMBuildICmp(e->builder, LLVMIntEQ, emit_rem(e, k, two), emit_int(e, 1), "");
    LLVMValueRef target = emit_add(e, step, emit_mul(e, pair, depth));
    Loop lane = loop_begin(e, emit_int(e, 0), panel->width, emit_int(e, TILE_COLUMNS));
    LLVMValueRef value = emit_narrow(e, DTYPE_BF16, load_columns(e, panel, row, lane.index));
    value = LLVMBuildZExt(e->builder, value, e->vector_i32, "");
    LLVMValueRef place =
        emit_at(e, e->i16, part, emit_add(e, target, emit_mul(e, lane.index, depth)));
    Branch beside = branch_begin(e, odd);
    LLVMValueRef low = emit_load_vector(e, e->vector_i32, place, NULL);
    emit_store_vector(e, emit_pairs(e, low, value), place, NULL);
    branch_else(e, &beside);
    emit_store_vector(e, value, place, NULL);
    branch_end(e, &beside);
    loop_end(e, &lane);
}

/* A loop over the parts of the depth. */
typedef struct PartLoop {
    Loop tap, channel;
    PackedTaps part;
} PartLoop;

static LLVMValueRef packed_row(Emitter *e, const PackedPanel *panel, LLVMValueRef tap,
                               LLVMValueRef channel) {
    LLVMValueRef number = emit_tap_weight(e, &panel->slots->source.taps, tap);
    return emit_weight_address(e, &panel->slots->weight, number, panel->group, channel);
}

static void pack_panel(Emitter *e, const PackedPanel *panel) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    LLVMValueRef in = emit_slot(e, panel->slots->in);
    Loop tap = loop_begin(e, zero, emit_slot(e, panel->slots->source.taps.count), one);
    Loop channel = loop_begin(e, zero, in, one);
    LLVMValueRef k = emit_add(e, emit_mul(e, tap.index, in), channel.index);
    pack_weight_row(e, panel, packed_row(e, panel, tap.index, channel.index),
                    emit_at(e, e->f32, panel->target, emit_mul(e, k, panel->width)));
    loop_end(e, &channel);
    loop_end(e, &tap);
}

/* Where a part of the depth lies in a panel for tiles. */
static LLVMValueRef packed_part(Emitter *e, const ContractSlots *slots, LLVMValueRef panel,
                                LLVMValueRef width, const PackedTaps *part) {
    LLVMValueRef number = emit_div(e, part->first_tap, emit_slot(e, slots->taps_per_part));
    number = emit_add(e, emit_mul(e, number, emit_slot(e, slots->channel_parts)),
                      emit_div(e, part->first, emit_slot(e, slots->channels_per_part)));
    LLVMValueRef size = emit_mul(e, emit_slot(e, slots->part_depth), width);
    return emit_at(e, e->i16, panel, emit_mul(e, number, size));
}

/* Outside: over taps, [first_tap, end_tap) of the part. */
static PartLoop part_loop_taps(Emitter *e, const ContractSlots *slots) {
    LLVMValueRef taps = emit_slot(e, slots->source.taps.count);
    LLVMValueRef step = emit_slot(e, slots->taps_per_part);
    PartLoop loop = {.tap = loop_begin(e, emit_int(e, 0), taps, step)};
    loop.part.first_tap = loop.tap.index;
    loop.part.end_tap = emit_min(e, emit_add(e, loop.tap.index, step), taps);
    return loop;
}

/* Inside: over channels. */
static void part_loop_channels(Emitter *e, const ContractSlots *slots, PartLoop *loop) {
    LLVMValueRef in = emit_slot(e, slots->in), step = emit_slot(e, slots->channels_per_part);
    loop->channel = loop_begin(e, emit_int(e, 0), in, step);
    loop->part.first = loop->channel.index;
    loop->part.count = emit_min(e, step, emit_sub(e, in, loop->channel.index));
}

static void part_loop_end(Emitter *e, PartLoop *loop) {
    loop_end(e, &loop->channel);
    loop_end(e, &loop->tap);
}

static void pack_tile_panel(Emitter *e, const PackedPanel *panel) {
    const ContractSlots *slots = panel->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    LLVMValueRef size = emit_mul(e, emit_slot(e, slots->depth), panel->width);
    emit_clear(e, DTYPE_BF16, panel->target, size); /* pads */
    PartLoop parts = part_loop_taps(e, slots);
    part_loop_channels(e, slots, &parts);
    const PackedTaps *part = &parts.part;
    LLVMValueRef place = packed_part(e, slots, panel->target, panel->width, part);
    Loop tap = loop_begin(e, part->first_tap, part->end_tap, one);
    LLVMValueRef start = emit_mul(e, emit_sub(e, tap.index, part->first_tap), part->count);
    Loop channel = loop_begin(e, zero, part->count, one);
    LLVMValueRef row = packed_row(e, panel, tap.index, emit_add(e, part->first, channel.index));
    pack_tile_row(e, panel, row, place, emit_add(e, start, channel.index));
    loop_end(e, &channel);
    loop_end(e, &tap);
    part_loop_end(e, &parts);
}

static void emit_pack_weight(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    LLVMValueRef panels = emit_slot(e, slots->panels.count);
    LLVMValueRef number = emit_rem(e, e->chunk, panels);
    PackedPanel panel = {.kernel = kernel, .slots = slots, .group = emit_div(e, e->chunk, panels)};
    panel.column = emit_panel_start(e, &slots->panels, number);
    panel.width = emit_panel_width(e, &slots->panels, number);
    panel.target = packed_panel(e, slots, panel.group, panel.column);
    if (slots->form == ROWS_TILED)
        pack_tile_panel(e, &panel);
    else
        pack_panel(e, &panel);
}

/* ---- Stage 1 --------------------------------------------------------------------------------- */

/* One chunk's block of rows and columns. */
typedef struct Block {
    const Kernel *kernel;
    const ContractSlots *slots;
    Tiles tiles;
    LLVMValueRef group, first_row, row_count, padded_rows;  /* padded to whole register blocks */
    PanelBlock columns;                                     /* within the group */
    LLVMValueRef packed_rows, sums, zeros, table, pointers; /* workspace */
    LLVMValueRef found, numbers;                            /* workspace, if it skips */
} Block;

static Block begin_chunk(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    Block block = {.kernel = kernel, .slots = slots};
    bool tiled = slots->form == ROWS_TILED;
    if (tiled)
        block.tiles = tiles_begin(e);
    LLVMValueRef row_blocks = emit_slot(e, slots->row_blocks);
    LLVMValueRef column_blocks = emit_slot(e, slots->panels.blocks);
    LLVMValueRef rest = emit_div(e, e->chunk, row_blocks);
    LLVMValueRef size = emit_slot(e, slots->block_rows);
    block.group = emit_div(e, rest, column_blocks);
    block.first_row = emit_mul(e, emit_rem(e, e->chunk, row_blocks), size);
    block.row_count = emit_min(e, size, emit_sub(e, emit_slot(e, slots->rows), block.first_row));
    block.padded_rows =
        emit_round_up(e, block.row_count, tiled ? TILE_ROWS : gemm_block(e->target).rows);
    block.columns = emit_panel_block(e, &slots->panels, emit_rem(e, rest, column_blocks));
    block.packed_rows = e->workspace;
    block.sums = emit_workspace(e, slots->sums);
    block.zeros = emit_workspace(e, slots->zeros);
    block.table = emit_workspace(e, slots->table);
    block.pointers = emit_workspace(e, slots->pointers);
    bool apart = slots->form == ROWS_PACKED && slots->skips;
    block.found = apart ? emit_workspace(e, slots->found) : block.pointers;
    block.numbers = emit_workspace(e, slots->numbers);
    return block;
}

/* The `count` packed rows of one part of the depth: those of the block, or those that the tap
 * finds; rows of padding repeat nothing and are zero. */
static void pack_rows(Emitter *e, const Block *block, const PackedTaps *part, LLVMValueRef count) {
    const ContractSlots *slots = block->slots;
    PackedTaps shifted = *part;
    shifted.first = emit_add(e, part->first, emit_mul(e, block->group, emit_slot(e, slots->in)));
    LLVMValueRef step = emit_int(e, slots->packed_row);
    Loop rows = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef target = emit_at(e, e->f32, block->packed_rows, emit_mul(e, rows.index, step));
    LLVMValueRef row = rows.index;
    if (slots->skips)
        row = emit_load(e, e->i64, emit_at(e, e->i64, block->numbers, row), 8);
    emit_pack_row(e, &slots->source, &shifted, block->table, row, target);
    loop_end(e, &rows);
    LLVMValueRef padded = emit_round_up(e, count, gemm_block(e->target).rows);
    Loop padding = loop_begin(e, count, padded, emit_int(e, 1));
    emit_clear(e, DTYPE_F32,
               emit_at(e, e->f32, block->packed_rows, emit_mul(e, padding.index, step)),
               emit_int(e, slots->cut.depth));
    loop_end(e, &padding);
}

/* Packs the rows that the taps of a line find, and points each tap to its own. */
static void share_rows(Emitter *e, const Block *block, const PackedTaps *part) {
    const ContractSlots *slots = block->slots;
    PackedTaps shifted = *part;
    shifted.first = emit_add(e, part->first, emit_mul(e, block->group, emit_slot(e, slots->in)));
    RowRange range =
        emit_line_range(e, &slots->source, part->first_tap, part->end_tap, block->first_row,
                        block->row_count, block->packed_rows, slots->packed_row);
    emit_pack_range(e, &slots->source, &shifted, &range);
    RowPointers rows = {.first_tap = part->first_tap,
                        .end_tap = part->end_tap,
                        .table = block->table,
                        .count = block->row_count,
                        .zeros = block->zeros,
                        .range = &range};
    emit_row_pointers(e, &slots->source, &rows, block->pointers);
}

/* Rows are found by pointers: read there, copied from there, or some of them skipped. */
static bool finds_rows(const ContractSlots *slots) {
    return slots->form == ROWS_IN_PLACE || slots->skips ||
           (slots->form == ROWS_TILED && !slots->source.prologue);
}

/* Pointers to the rows that each of the taps [first, end) reads. Returns how many rows of the block
 * take part: all, or those that the one tap finds, which come first then. */
static LLVMValueRef find_rows(Emitter *e, const Block *block, LLVMValueRef first,
                              LLVMValueRef end) {
    if (!finds_rows(block->slots))
        return block->row_count;
    RowPointers rows = {.first_tap = first,
                        .end_tap = end,
                        .table = block->table,
                        .count = block->row_count,
                        .channel = emit_mul(e, block->group, emit_slot(e, block->slots->in)),
                        .zeros = block->zeros};
    emit_row_pointers(e, &block->slots->source, &rows, block->found);
    if (!block->slots->skips)
        return block->row_count;
    return emit_present_rows(e, block->found, block->zeros, block->row_count, block->numbers,
                             block->slots->cut.rows);
}

/* The rows of one part of the depth as bf16; zeros where the last step of tiles goes beyond it. */
static void pack_tile_rows(Emitter *e, const Block *block, const PackedTaps *part,
                           LLVMValueRef steps) {
    const ContractSlots *slots = block->slots;
    LLVMValueRef last = emit_mul(e, emit_sub(e, steps, emit_int(e, 1)), emit_int(e, TILE_DEPTH));
    LLVMValueRef row_bytes = emit_slot(e, slots->row_bytes);
    PackedTaps shifted = *part;
    shifted.first = emit_add(e, part->first, emit_mul(e, block->group, emit_slot(e, slots->in)));
    Loop rows = loop_begin(e, emit_int(e, 0), block->row_count, emit_int(e, 1));
    LLVMValueRef target = emit_at(e, e->i8, block->packed_rows, emit_mul(e, rows.index, row_bytes));
    emit_store_vector(e, LLVMConstNull(LLVMVectorType(e->i16, TILE_DEPTH)),
                      emit_at(e, e->i16, target, last), NULL);
    if (slots->source.prologue)
        emit_pack_row(e, &slots->source, &shifted, block->table, rows.index, target);
    loop_end(e, &rows);
    if (!slots->source.prologue)
        emit_copy_rows(e, &slots->source, part, block->pointers, block->packed_rows, row_bytes,
                       block->row_count);
}

/* True behind the first part of the depth. */
static LLVMValueRef is_later_part(Emitter *e, const PackedTaps *part) {
    LLVMValueRef either = LLVMBuildOr(e->builder, part->first_tap, part->first, "");
    return LLVMBuildICmp(e->builder, LLVMIntNE, either, emit_int(e, 0), "");
}

/* One part of the depth from tiles: packs the rows, sums += rows x panels. */
static void multiply_tiled(Emitter *e, const Block *block, const PackedTaps *part) {
    const ContractSlots *slots = block->slots;
    LLVMValueRef depth = emit_mul(e, emit_sub(e, part->end_tap, part->first_tap), part->count);
    LLVMValueRef steps = emit_div(e, emit_round_up(e, depth, TILE_DEPTH), emit_int(e, TILE_DEPTH));
    pack_tile_rows(e, block, part, steps);
    Loop panels = loop_begin(e, block->columns.first, block->columns.end, emit_int(e, 1));
    LLVMValueRef column = emit_panel_start(e, &slots->panels, panels.index);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panels.index);
    LLVMValueRef panel = packed_panel(e, slots, block->group, column);
    TileOperands o = {
        .a = block->packed_rows,
        .a_row = emit_slot(e, slots->row_bytes),
        .b = packed_part(e, slots, panel, width, part),
        .c = emit_at(e, e->f32, block->sums, emit_sub(e, column, block->columns.first_column)),
        .c_row = emit_slot(e, slots->sums_row),
        .steps = steps,
        .accumulate = is_later_part(e, part)};
    emit_tile_panel(e, &block->tiles, &o, block->padded_rows, width);
    loop_end(e, &panels);
}

/* The same from registers, for `count` rows; they are packed, or read where they are. */
static void multiply(Emitter *e, const Block *block, const PackedTaps *part, LLVMValueRef count) {
    const ContractSlots *slots = block->slots;
    bool packed = slots->form == ROWS_PACKED;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), in = emit_slot(e, slots->in);
    LLVMValueRef first_term = emit_add(e, emit_mul(e, part->first_tap, in), part->first);
    LLVMValueRef taps = emit_sub(e, part->end_tap, part->first_tap);
    if (packed)
        pack_rows(e, block, part, count);
    if (slots->form == ROWS_SHARED)
        share_rows(e, block, part);
    Loop panels = loop_begin(e, block->columns.first, block->columns.end, one);
    LLVMValueRef column = emit_panel_start(e, &slots->panels, panels.index);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panels.index);
    GemmOperands o = {
        .a = block->pointers,
        .first = slots->form == ROWS_IN_PLACE ? part->first : zero,
        .taps = packed ? one : taps,
        .tap_step = emit_int(e, ROW_TABLE_ROWS),
        .b = emit_at(e, e->f32, packed_panel(e, slots, block->group, column),
                     emit_mul(e, first_term, width)),
        .c = emit_at(e, e->f32, block->sums, emit_sub(e, column, block->columns.first_column)),
        .c_row = emit_slot(e, slots->sums_row),
        .b_step = in,
        .depth = packed ? emit_mul(e, taps, part->count) : part->count,
        .accumulate = is_later_part(e, part)};
    if (slots->skips) {
        o.rows = block->numbers;
        o.accumulate = LLVMConstInt(e->i1, 1, false);
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
    RowWalk walk = row_walk_begin(e, &slots->source.taps, &slots->elements.space, block->first_row);
    Loop rows = loop_begin(e, emit_int(e, 0), block->row_count, emit_int(e, 1));
    RowPlace place = row_walk_place(e, &walk);
    ElementRow row = elements_begin(e, block->kernel, &slots->elements, &place);
    Epilogue epilogue = {
        &row,
        emit_at(e, e->f32, block->sums, emit_mul(e, rows.index, emit_slot(e, slots->sums_row))),
        emit_add(e, group_start, block->columns.first_column)};
    elements_each_vector(e, emit_int(e, 0), block->columns.column_count, finish_vector, &epilogue);
    row_walk_next(e, &walk);
    loop_end(e, &rows);
}

/* What the parts of the depth have in common. */
static void prepare_rows(Emitter *e, const Block *block) {
    const ContractSlots *slots = block->slots;
    emit_row_table(e, &slots->source.taps, &slots->elements.space, block->first_row,
                   block->row_count, block->table);
    if (slots->form != ROWS_PACKED)
        emit_clear(e, DTYPE_F32, block->zeros, emit_slot(e, slots->in));
    else
        emit_even_pointers(e, block->packed_rows, slots->packed_row, block->padded_rows,
                           block->pointers);
}

/* What no product would write, or only some do. */
static void clear_sums(Emitter *e, const Block *block) {
    LLVMValueRef taps = emit_slot(e, block->slots->source.taps.count);
    LLVMValueRef size = emit_mul(e, block->padded_rows, emit_slot(e, block->slots->sums_row));
    LLVMValueRef nothing = LLVMBuildICmp(e->builder, LLVMIntEQ, taps, emit_int(e, 0), "");
    Branch clear = branch_begin(e, block->slots->skips ? LLVMConstInt(e->i1, 1, false) : nothing);
    emit_clear(e, DTYPE_F32, block->sums, size);
    branch_end(e, &clear);
}

static void emit_block(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    Block block = begin_chunk(e, kernel, slots);
    clear_sums(e, &block);
    prepare_rows(e, &block);
    PartLoop parts = part_loop_taps(e, slots);
    LLVMValueRef count = find_rows(e, &block, parts.part.first_tap, parts.part.end_tap);
    part_loop_channels(e, slots, &parts);
    if (slots->form == ROWS_TILED)
        multiply_tiled(e, &block, &parts.part);
    else
        multiply(e, &block, &parts.part, count);
    part_loop_end(e, &parts);
    finish_rows(e, &block);
    if (slots->form == ROWS_TILED)
        tiles_end(e);
}

static void emit_contract(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    Slots numbering = {.arena = e->arena, .program = program, .choices = e->choices};
    ContractSlots slots = slot_contract(&numbering, kernel, e->target, stage);
    if (stage == 0)
        emit_pack_weight(e, kernel, &slots);
    else
        emit_block(e, kernel, &slots);
}

const KernelEmitter cpu_emit_contract = {2, bind_contract, emit_contract};
