/* Contracts: rows to rows. Stage 0 packs the weight into panels of columns, shared by all threads.
 * Stage 1 takes a block of rows and columns a chunk: for each part of the depth (some taps, some
 * input channels) it finds the rows that the taps read, or packs them (behind the prologue, for a
 * line of taps at once where they form lines, or as bf16 for tiles), and multiplies them with the
 * panels, summing in the thread's workspace; then the kernel's expression runs over the sums. Where
 * kernel_skips_hidden, a part has one tap, and only the rows that it finds are packed and
 * multiplied, each into the sums of its own row. */
#include "codegen/cpu/contract.h"

#include "base/fatal.h"
#include "base/integer.h"
#include "codegen/cpu/choices.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/kinds.h"
#include "codegen/cpu/row_lines.h"
#include "codegen/cpu/tiles.h"
#include "codegen/cpu/winograd.h"

enum {
    IN_PLACE_DEPTH = 1024, /* terms of a part, of rows that are read where they are */
    TILES_DEPTH = 1024,    /* by tiles: each part costs them a way through memory; */
    PAIRS_DEPTH = 512,     /* by pairs a panel rather stays near */
    PACKED_GAP = 16,       /* from row to row is no power of two, to spread over the cache */
    TILED_UNIT = 2 * TILE_ROWS,
    STRIP_DEPTH = 320,       /* of a part of strips: terms at most, a step of tiles at least */
    STRIP_BYTES = 512 << 10, /* that are packed at most, if it is more than a part */
    STRIP_SUMS = 64 << 10,   /* sums of a chunk at most, */
    STRIP_ROWS = 1024,       /* and rows, */
    ENOUGH_CHUNKS = 16,      /* so that threads end together */
    WINOGRAD_VARIANT = 2 * ROW_FORMS
};

/* Fills in *strip where they are strips. */
static RowForm row_form(const Slots *slots, const Kernel *kernel, const CpuTarget *target,
                        Strip *strip) {
    ChoiceForm form = choices_form(kernel, target);
    if (form == CHOICE_CONTRACT_TILED)
        return strip_plan(slots->arena, slots->program, kernel, true, strip) ? ROWS_STRIP
                                                                             : ROWS_TILED;
    bool packed = choices_value(slots->choices, form, CHOICE_READ) == CHOICE_PACKED;
    if (choices_may_read_in_place(slots->program, kernel, target) && !packed)
        return ROWS_IN_PLACE;
    return lines_share_rows(kernel) ? ROWS_SHARED : ROWS_PACKED;
}

/* The terms of a part where none are chosen. */
static int usual_depth(const CpuTarget *target, RowForm rows) {
    if (contract_is_tiled(rows))
        return target->tiles == CPU_TILES_PAIRS ? PAIRS_DEPTH : TILES_DEPTH;
    return rows == ROWS_IN_PLACE ? IN_PLACE_DEPTH : CHOICE_PACKED_DEPTH;
}

static ContractCut find_cut(const Slots *slots, const Kernel *kernel, const CpuTarget *target,
                            RowForm rows) {
    ChoiceForm form = choices_form(kernel, target);
    int depth = choices_value(slots->choices, form, CHOICE_DEPTH);
    ContractCut cut = {.depth = depth ? depth : usual_depth(target, rows),
                       .rows = choices_value(slots->choices, form, CHOICE_ROWS),
                       .columns = choices_columns(slots->choices, kernel, form)};
    invariant(cut.rows <= ROW_TABLE_ROWS, "a row table holds the rows of a chunk");
    return cut;
}

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

/* The same of strips: all taps of all channels, or of some, whole tiles of them. */
static Parts cut_strip_depth(const Strip *strip, int64_t in) {
    int64_t unit = TILE_DEPTH, most = STRIP_DEPTH / strip->count / unit * unit;
    Parts parts = {.taps = strip->taps.tap_count, .channels = in, .tap_parts = 1};
    if (in % unit == 0) {
        parts.channels = integer_divide_up(in, integer_divide_up(in, most < unit ? unit : most));
        parts.channels = integer_divide_up(parts.channels, unit) * unit;
    }
    parts.depth = strip->count * integer_divide_up(strip->inner * parts.channels, unit) * unit;
    parts.channel_parts = integer_divide_up(in, parts.channels);
    return parts;
}

/* The channels of a strip that are packed together: whole parts, as many as fit. Where there are
 * tiles, sums then stay in them; vectors rather have a short panel in the first cache. */
static int64_t channels_at_once(const CpuTarget *target, const Parts *parts, const Strip *strip,
                                int64_t in) {
    int64_t part = parts->depth / strip->count * strip->positions * (int64_t)sizeof(uint16_t);
    int64_t fit = target->tiles == CPU_TILES_PAIRS ? 1 : STRIP_BYTES / part;
    int64_t groups = integer_divide_up(parts->channel_parts, fit > 1 ? fit : 1);
    int64_t together = integer_divide_up(parts->channel_parts, groups) * parts->channels;
    return together < in ? together : in;
}

/* How packed rows lie, in fp32 elements: of tiles and strips [step][row], or [row][step] where the
 * steps of a row are made one behind the other. */
typedef struct PackedRows {
    int64_t row, step, size;
} PackedRows;

static PackedRows lay_rows(const ContractSlots *out, const Kernel *kernel, const Parts *parts,
                           const Strip *strip, int64_t together) {
    int64_t unit = TILE_DEPTH / 2, rows = out->cut.rows, in = kernel->contraction.in;
    if (out->form == ROWS_STRIP) {
        int64_t steps = integer_divide_up(strip->inner * together, TILE_DEPTH);
        return (PackedRows){unit, strip->positions * unit, steps * strip->positions * unit};
    }
    if (out->form != ROWS_TILED) {
        int64_t spread = out->form == ROWS_SHARED ? LINE_SPREAD : 0;
        int64_t packed = out->form == ROWS_IN_PLACE ? 0 : rows + spread;
        return (PackedRows){out->packed_row, 0, packed * out->packed_row};
    }
    if (kernel->contraction.prologue || in / kernel->contraction.groups % TILE_DEPTH != 0) {
        int64_t row = parts->depth / 2 + TILE_COLUMNS;
        return (PackedRows){row, unit, rows * row};
    }
    int64_t step = (rows + TILED_UNIT) * unit;
    return (PackedRows){unit, step, parts->depth / TILE_DEPTH * step};
}

/* Where things are in the workspace; rows are packed, pointed to, or both. */
static void slot_workspace(Slots *slots, ContractSlots *out, const Parts *parts, int64_t in,
                           int64_t sums_row, int64_t rows, const PackedRows *lie) {
    bool direct = out->form != ROWS_PACKED && out->form != ROWS_STRIP;
    int64_t packed = lie->size;
    int64_t sums = (rows + out->skips) * sums_row; /* a spare one for what fills register blocks */
    int64_t zeros = direct ? integer_divide_up(in, 16) * 16 : 0, taps = parts->taps;
    out->row_bytes = slot_number(slots, lie->row * (int64_t)sizeof(float));
    out->step_bytes = slot_number(slots, lie->step * (int64_t)sizeof(float));
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
    int64_t products = found + (out->skips ? 2 * entries : 0);
    bool apart = out->skips && contract_is_tiled(out->form);
    out->numbers = slot_number(slots, found + entries);
    out->products = slot_number(slots, products);
    slots->workspace = (products + (apart ? rows * TILE_PANEL : 0)) * (int64_t)sizeof(float);
}

/* The packed weight. */
static void slot_weight(Slots *slots, ContractSlots *out, const Kernel *kernel,
                        const Panels *panels, const Parts *parts, int64_t lanes) {
    const Contraction *c = &kernel->contraction;
    int64_t depth = c->in / c->groups * c->taps.tap_count, bytes = sizeof(float);
    if (contract_is_tiled(out->form)) {
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
    out->parts = slot_number(slots, parts->channel_parts * parts->tap_parts);
}

static ContractSlots slot_contract(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                                   int stage) {
    const Contraction *c = &kernel->contraction;
    Kernel ordered = *kernel; /* its taps as a strip has them */
    Strip strip = {0};
    ContractSlots out = {.form = row_form(slots, kernel, target, &strip),
                         .skips = kernel_skips_hidden(kernel)};
    out.cut = find_cut(slots, kernel, target, out.form);
    bool tiled = contract_is_tiled(out.form), strips = out.form == ROWS_STRIP;
    out.packed_row = out.cut.depth + PACKED_GAP;
    int64_t in = c->in / c->groups, columns = c->out / c->groups;
    Panels panels = tiled ? tile_panels(columns, out.cut.columns)
                          : gemm_panels(target, columns, out.cut.columns);
    int64_t images = space_images(&slots->program->geometry, &kernel->space);
    int64_t rows = kernel_rows(slots->program, kernel) * images;
    int64_t block_rows = choose_block_rows(rows, panels.blocks * c->groups, out.cut.rows,
                                           tiled ? TILED_UNIT : gemm_block(target).rows);
    int64_t row_blocks = integer_divide_up(rows, block_rows);
    if (strips) {
        ordered.contraction.taps = strip.taps;
        int64_t most = STRIP_SUMS / panels.widest;
        strip_cut(&strip, most < STRIP_ROWS ? most : STRIP_ROWS,
                  integer_divide_up(images * strip.height * panels.blocks, ENOUGH_CHUNKS));
        row_blocks = images * strip.strips;
    }
    Parts parts = strips ? cut_strip_depth(&strip, in)
                         : cut_depth(kernel, out.form, out.skips, out.cut.depth);
    out.strip = slot_strip(slots, &strip);
    out.source = slot_packed_source(slots, &ordered, tiled ? DTYPE_BF16 : DTYPE_F32);
    out.elements = slot_elements(slots, kernel);
    out.panels = slot_panels(slots, &panels, columns);
    out.in = slot_number(slots, in);
    out.out = slot_number(slots, columns);
    slot_weight(slots, &out, kernel, &panels, &parts, target->lanes);
    out.rows = slot_number(slots, rows);
    out.block_rows = slot_number(slots, block_rows);
    out.row_blocks = slot_number(slots, row_blocks);
    out.taps_per_part = slot_number(slots, parts.taps);
    out.channels_per_part = slot_number(slots, parts.channels);
    int64_t together = strips ? channels_at_once(target, &parts, &strip, in) : parts.channels;
    out.channels_at_once = slot_number(slots, together);
    PackedRows lie = lay_rows(&out, kernel, &parts, &strip, together);
    slot_workspace(slots, &out, &parts, in, panels.widest,
                   strips ? integer_divide_up(strip.rows, TILED_UNIT) * TILED_UNIT : out.cut.rows,
                   &lie);
    int64_t packing = tiled ? parts.channel_parts * parts.tap_parts *
                                  integer_divide_up(panels.count, CONTRACT_PACKED_PANELS)
                            : panels.count * c->taps.tap_count;
    slots->chunks = c->groups * (stage == 0 ? packing : row_blocks * panels.blocks);
    return out;
}

static int64_t weight_variant(const Kernel *kernel, RowForm form) {
    return (int64_t)contract_weight_form(kernel) + (form == ROWS_STRIP ? WEIGHT_FORMS : 0);
}

/* How the weight lies decides how it is packed; rows are packed, each tap's or those of a line of
 * taps, or read where they are; all, or those that are not hidden. */
static int64_t bind_contract(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                             int stage) {
    if (contraction_takes_winograd(slots->program, kernel, target))
        return WINOGRAD_VARIANT + bind_contract_winograd(slots, kernel, target, stage);
    ContractSlots out = slot_contract(slots, kernel, target, stage);
    if (stage == 0)
        return weight_variant(kernel, out.form);
    return (int64_t)out.form + ROW_FORMS * out.skips;
}

/* ---- Parts of the depth ---------------------------------------------------------------------- */

/* A loop over them. */
typedef struct PartLoop {
    Loop tap, channel;
    PackedTaps part;
} PartLoop;

/* Outside: over taps, [first_tap, end_tap) of the part. */
static PartLoop part_loop_taps(Emitter *e, const ContractSlots *slots) {
    LLVMValueRef taps = emit_slot(e, slots->source.taps.count);
    LLVMValueRef step = emit_slot(e, slots->taps_per_part);
    PartLoop loop = {.tap = loop_begin(e, emit_int(e, 0), taps, step)};
    loop.part.first_tap = loop.tap.index;
    loop.part.end_tap = emit_min(e, emit_add(e, loop.tap.index, step), taps);
    return loop;
}

/* Inside: over channels; of strips, of some parts. */
static void part_loop_channels(Emitter *e, const ContractSlots *slots, PartLoop *loop) {
    LLVMValueRef in = emit_slot(e, slots->in), step = emit_slot(e, slots->channels_at_once);
    loop->channel = loop_begin(e, emit_int(e, 0), in, step);
    loop->part.first = loop->channel.index;
    loop->part.count = emit_min(e, step, emit_sub(e, in, loop->channel.index));
}

static void part_loop_end(Emitter *e, PartLoop *loop) {
    loop_end(e, &loop->channel);
    loop_end(e, &loop->tap);
}

/* ---- Stage 1 --------------------------------------------------------------------------------- */

/* One chunk's block of rows and columns. */
typedef struct Block {
    const Kernel *kernel;
    const ContractSlots *slots;
    Tiles tiles;
    LLVMValueRef group, first_row, row_count, padded_rows;  /* padded to whole register blocks */
    StripPlace strip;                                       /* instead of first_row */
    PanelBlock columns;                                     /* within the group */
    LLVMValueRef packed_rows, sums, zeros, table, pointers; /* workspace */
    LLVMValueRef found, numbers, products;                  /* workspace, if it skips */
} Block;

static Block begin_chunk(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    Block block = {.kernel = kernel, .slots = slots};
    bool tiled = contract_is_tiled(slots->form);
    if (tiled)
        block.tiles = tiles_begin(e);
    LLVMValueRef row_blocks = emit_slot(e, slots->row_blocks);
    LLVMValueRef column_blocks = emit_slot(e, slots->panels.blocks);
    LLVMValueRef rest = emit_div(e, e->chunk, row_blocks);
    LLVMValueRef size = emit_slot(e, slots->block_rows);
    block.group = emit_div(e, rest, column_blocks);
    block.first_row = emit_mul(e, emit_rem(e, e->chunk, row_blocks), size);
    block.row_count = emit_min(e, size, emit_sub(e, emit_slot(e, slots->rows), block.first_row));
    if (slots->form == ROWS_STRIP) {
        block.strip = emit_strip_place(e, &slots->strip, &slots->source.taps,
                                       emit_rem(e, e->chunk, row_blocks));
        block.row_count = block.strip.rows;
    }
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
    block.products = emit_workspace(e, slots->products);
    return block;
}

/* Which row of the block is number `found` of those that take part. */
static LLVMValueRef found_row(Emitter *e, const Block *block, LLVMValueRef found) {
    if (!block->slots->skips)
        return found;
    return emit_load(e, e->i64, emit_at(e, e->i64, block->numbers, found), 8);
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
    emit_pack_row(e, &slots->source, &shifted, block->table, found_row(e, block, rows.index),
                  target);
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
    bool tiled = contract_is_tiled(block->slots->form);
    return emit_present_rows(e, &(PresentRows){.pointers = block->found,
                                               .zeros = block->zeros,
                                               .count = block->row_count,
                                               .numbers = block->numbers,
                                               .unit = tiled ? 1 : gemm_block(e->target).rows,
                                               .spare = block->slots->cut.rows});
}

/* Where packed rows lie, see lay_rows; the step from row to row of a strip is compiled in. */
static StepRows packed_step_rows(Emitter *e, const Block *block) {
    const ContractSlots *slots = block->slots;
    LLVMValueRef row =
        slots->form == ROWS_STRIP ? emit_int(e, STEP_BYTES) : emit_slot(e, slots->row_bytes);
    return (StepRows){block->packed_rows, row, emit_slot(e, slots->step_bytes)};
}

/* `count` rows of one part of the depth as bf16; zeros where the last step of tiles goes beyond it.
 */
static void pack_tile_rows(Emitter *e, const Block *block, const PackedTaps *part,
                           LLVMValueRef count, LLVMValueRef steps) {
    const ContractSlots *slots = block->slots;
    StepRows packed = packed_step_rows(e, block);
    LLVMValueRef last = emit_mul(e, emit_sub(e, steps, emit_int(e, 1)), packed.step);
    PackedTaps shifted = *part;
    shifted.first = emit_add(e, part->first, emit_mul(e, block->group, emit_slot(e, slots->in)));
    Loop rows = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef target = emit_at(e, e->i8, packed.start, emit_mul(e, rows.index, packed.row));
    emit_store_vector(e, LLVMConstNull(LLVMVectorType(e->i16, TILE_DEPTH)),
                      emit_at(e, e->i8, target, last), NULL);
    if (slots->source.prologue)
        emit_pack_row(e, &slots->source, &shifted, block->table, found_row(e, block, rows.index),
                      target);
    loop_end(e, &rows);
    if (!slots->source.prologue)
        emit_copy_rows(e, &slots->source, part, block->pointers, &packed, count);
}

/* True behind the first part of the depth. */
static LLVMValueRef is_later_part(Emitter *e, const PackedTaps *part) {
    LLVMValueRef either = LLVMBuildOr(e->builder, part->first_tap, part->first, "");
    return LLVMBuildICmp(e->builder, LLVMIntNE, either, emit_int(e, 0), "");
}

/* The strip at these channels. */
static void pack_strip(Emitter *e, const Block *block, const PackedTaps *part) {
    const ContractSlots *slots = block->slots;
    LLVMValueRef count = emit_mul(e, part->count, emit_slot(e, slots->strip.inner));
    emit_pack_strip(e, &slots->source, &slots->strip, &block->strip,
                    &(StripPart){part->first, count, packed_step_rows(e, block)});
}

/* Steps of a tap at `part`'s channels. */
static LLVMValueRef tap_steps(Emitter *e, const ContractSlots *slots, const PackedTaps *part) {
    return emit_div(e, contract_tap_depth(e, slots, part), emit_int(e, TILE_DEPTH));
}

/* Cuts the channels into parts. */
static void cut_slices(Emitter *e, const ContractSlots *slots, const PackedTaps *all,
                       TileOperands *o) {
    LLVMValueRef size = emit_slot(e, slots->channels_per_part), one = emit_int(e, 1);
    LLVMValueRef rest = emit_sub(e, all->count, one);
    PackedTaps part = *all;
    part.count = emit_min(e, size, all->count);
    o->steps = tap_steps(e, slots, &part);
    part.count = emit_add(e, emit_rem(e, rest, size), one);
    o->last_steps = tap_steps(e, slots, &part);
    o->slices = emit_add(e, emit_div(e, rest, size), one);
    o->taps = emit_slot(e, slots->strip.count);
    o->places = slots->strip.places;
}

/* Copies the sums of `count` rows that take part, `width` columns of `column` on, to where they are
 * multiplied, row by row behind each other, or back. */
static void move_products(Emitter *e, const Block *block, LLVMValueRef count, LLVMValueRef column,
                          LLVMValueRef width, bool back) {
    LLVMValueRef zero = emit_int(e, 0), step = emit_slot(e, block->slots->sums_row);
    Loop row = loop_begin(e, zero, count, emit_int(e, 1));
    LLVMValueRef place = emit_mul(e, found_row(e, block, row.index), step);
    LLVMValueRef sums = emit_at(e, e->f32, block->sums, emit_add(e, place, column));
    LLVMValueRef product = emit_mul(e, row.index, emit_int(e, TILE_PANEL));
    product = emit_at(e, e->f32, block->products, product);
    Loop lane = loop_begin(e, zero, width, emit_int(e, TILE_COLUMNS));
    LLVMValueRef from = emit_at(e, e->f32, back ? product : sums, lane.index);
    LLVMValueRef to = emit_at(e, e->f32, back ? sums : product, lane.index);
    emit_store_vector(e, emit_load_vector(e, e->vector_f32, from, NULL), to, NULL);
    loop_end(e, &lane);
    loop_end(e, &row);
}

/* The product of `count` packed rows with a panel, added to the sums from `column` on. */
static void multiply_panel(Emitter *e, const Block *block, TileOperands *o, LLVMValueRef count,
                           LLVMValueRef column, LLVMValueRef width) {
    bool skips = block->slots->skips;
    if (skips)
        move_products(e, block, count, column, width, false);
    o->c = skips ? block->products : emit_at(e, e->f32, block->sums, column);
    emit_tile_panel(e, &block->tiles, o,
                    skips ? emit_round_up(e, count, TILE_ROWS) : block->padded_rows, width);
    if (skips)
        move_products(e, block, count, column, width, true);
}

/* One part of the depth, or some, from tiles: packs `count` rows, sums += rows x panels. */
static void multiply_tiled(Emitter *e, const Block *block, const PackedTaps *part,
                           LLVMValueRef count) {
    const ContractSlots *slots = block->slots;
    StepRows packed = packed_step_rows(e, block);
    TileOperands o = {.a = packed.start,
                      .a_row = packed.row,
                      .a_step = packed.step,
                      .c_row = emit_slot(e, slots->sums_row),
                      .accumulate = is_later_part(e, part)};
    if (slots->skips) {
        o.c_row = emit_int(e, TILE_PANEL);
        o.accumulate = LLVMConstInt(e->i1, 1, false);
    }
    if (slots->form == ROWS_STRIP) {
        cut_slices(e, slots, part, &o);
        pack_strip(e, block, part);
    } else {
        o.steps = tap_steps(e, slots, part);
        pack_tile_rows(e, block, part, count, o.steps);
    }
    LLVMValueRef number = contract_part_number(e, slots, part);
    Loop panels = loop_begin(e, block->columns.first, block->columns.end, emit_int(e, 1));
    LLVMValueRef column = emit_panel_start(e, &slots->panels, panels.index);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panels.index);
    LLVMValueRef panel = contract_packed_panel(e, slots, block->group, column);
    o.b = contract_packed_part(e, slots, panel, width, number);
    multiply_panel(e, block, &o, count, emit_sub(e, column, block->columns.first_column), width);
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
        .b = emit_at(e, e->f32, contract_packed_panel(e, slots, block->group, column),
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

void contract_finish_row(Emitter *e, const Kernel *kernel, const ElementSlots *slots,
                         RowPlace *place, LLVMValueRef sums, LLVMValueRef first,
                         LLVMValueRef count) {
    ElementRow elements = elements_begin(e, kernel, slots, place);
    Epilogue epilogue = {&elements, sums, first};
    elements_each_vector(e, emit_int(e, 0), count, finish_vector, &epilogue);
}

/* The row at `place`, whose sums are in row `row`. */
static void finish_row(Emitter *e, const Block *block, RowPlace place, LLVMValueRef row) {
    const ContractSlots *slots = block->slots;
    LLVMValueRef group_start = emit_mul(e, block->group, emit_slot(e, slots->out));
    LLVMValueRef sums =
        emit_at(e, e->f32, block->sums, emit_mul(e, row, emit_slot(e, slots->sums_row)));
    contract_finish_row(e, block->kernel, &slots->elements, &place, sums,
                        emit_add(e, group_start, block->columns.first_column),
                        block->columns.column_count);
}

static void finish_strip(Emitter *e, const Block *block) {
    const ContractSlots *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    Loop line = loop_begin(e, zero, block->strip.lines, one);
    LLVMValueRef first = emit_mul(e, line.index, emit_slot(e, slots->strip.width));
    Loop position = loop_begin(e, zero, emit_slot(e, slots->strip.line), one);
    RowPlace place = emit_strip_row(e, &slots->source.taps, &slots->elements.space, &block->strip,
                                    line.index, position.index);
    finish_row(e, block, place, emit_add(e, first, position.index));
    loop_end(e, &position);
    loop_end(e, &line);
}

static void finish_rows(Emitter *e, const Block *block) {
    const ContractSlots *slots = block->slots;
    RowWalk walk = row_walk_begin(e, &slots->source.taps, &slots->elements.space, block->first_row);
    Loop rows = loop_begin(e, emit_int(e, 0), block->row_count, emit_int(e, 1));
    finish_row(e, block, row_walk_place(e, &walk), rows.index);
    row_walk_next(e, &walk);
    loop_end(e, &rows);
}

/* What the parts of the depth have in common. */
static void prepare_rows(Emitter *e, const Block *block) {
    const ContractSlots *slots = block->slots;
    if (slots->form == ROWS_STRIP)
        return;
    emit_row_table(e, &slots->source.taps, &slots->elements.space, block->first_row,
                   block->row_count, block->table);
    if (slots->form != ROWS_PACKED)
        emit_clear(e, DTYPE_F32, block->zeros, emit_slot(e, slots->in));
    else
        emit_even_pointers(e, block->packed_rows, emit_int(e, slots->packed_row),
                           block->padded_rows, block->pointers);
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
    if (contract_is_tiled(slots->form))
        multiply_tiled(e, &block, &parts.part, count);
    else
        multiply(e, &block, &parts.part, count);
    part_loop_end(e, &parts);
    if (slots->form == ROWS_STRIP)
        finish_strip(e, &block);
    else
        finish_rows(e, &block);
    if (contract_is_tiled(slots->form))
        tiles_end(e);
}

static void emit_contract(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    if (contraction_takes_winograd(program, kernel, e->target)) {
        emit_contract_winograd(e, program, kernel, stage);
        return;
    }
    Slots numbering = {.arena = e->arena, .program = program, .choices = e->choices};
    ContractSlots slots = slot_contract(&numbering, kernel, e->target, stage);
    if (stage == 0)
        emit_contract_packing(e, kernel, &slots);
    else
        emit_block(e, kernel, &slots);
}

const KernelEmitter cpu_emit_contract = {2, bind_contract, emit_contract};
