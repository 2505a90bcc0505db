#include "codegen/cpu/contract.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/tiles.h"

/* What is fetched from memory while a weight is packed: rows and terms behind those being read. */
enum { ROWS_AHEAD = 8, TERMS_AHEAD = 32 };

bool contract_is_tiled(RowForm form) {
    return form == ROWS_TILED || form == ROWS_STRIP;
}

WeightForm contract_weight_form(const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    if (c->weight.out_stride == 1)
        return WEIGHT_ROWS;
    bool whole = c->in / c->groups % TILE_DEPTH == 0;
    return c->weight.in_stride == 1 && whole ? WEIGHT_TURNED : WEIGHT_APART;
}

LLVMValueRef contract_packed_panel(Emitter *e, const ContractSlots *slots, LLVMValueRef group,
                                   LLVMValueRef column) {
    LLVMTypeRef element = emit_dtype(e, slots->source.packed);
    LLVMValueRef start = emit_mul(e, group, emit_slot(e, slots->packed_group));
    start = emit_add(e, start, emit_mul(e, column, emit_slot(e, slots->depth)));
    return emit_at(e, element, emit_slot_pointer(e, slots->packed), start);
}

LLVMValueRef contract_part_number(Emitter *e, const ContractSlots *slots, const PackedTaps *part) {
    LLVMValueRef line = emit_div(e, part->first_tap, emit_slot(e, slots->taps_per_part));
    LLVMValueRef place = emit_div(e, part->first, emit_slot(e, slots->channels_per_part));
    return emit_add(e, emit_mul(e, line, emit_slot(e, slots->channel_parts)), place);
}

LLVMValueRef contract_packed_part(Emitter *e, const ContractSlots *slots, LLVMValueRef panel,
                                  LLVMValueRef width, LLVMValueRef number) {
    LLVMValueRef size = emit_mul(e, emit_slot(e, slots->part_depth), width);
    return emit_at(e, e->i16, panel, emit_mul(e, number, size));
}

static LLVMValueRef gather_columns(Emitter *e, const WeightViewSlots *weight, LLVMValueRef address,
                                   LLVMValueRef mask) {
    LLVMValueRef stride = emit_splat(e, emit_slot(e, weight->out_stride));
    LLVMValueRef steps = LLVMBuildMul(e->builder, emit_lane_numbers(e, emit_int(e, 0)), stride, "");
    return emit_gather(e, e->vector_f32, emit_at(e, e->f32, address, steps), mask);
}

LLVMValueRef contract_load_columns(Emitter *e, const WeightViewSlots *weight, LLVMValueRef out,
                                   WeightForm form, LLVMValueRef row, LLVMValueRef there,
                                   LLVMValueRef column) {
    LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, out, column));
    if (there)
        mask = LLVMBuildSelect(e->builder, there, mask, LLVMConstNull(e->vector_i1), "");
    LLVMValueRef offset = emit_mul(e, column, emit_slot(e, weight->out_stride));
    LLVMValueRef source = emit_at(e, e->f32, row, offset);
    if (form != WEIGHT_ROWS)
        return gather_columns(e, weight, source, mask);
    LLVMValueRef ahead = emit_mul(e, emit_slot(e, weight->in_stride), emit_int(e, ROWS_AHEAD));
    emit_prefetch(e, emit_at(e, e->f32, source, ahead));
    return emit_load_vector(e, e->vector_f32, source, mask);
}

LLVMValueRef contract_load_terms(Emitter *e, const WeightViewSlots *weight, LLVMValueRef out,
                                 LLVMValueRef row, LLVMValueRef column) {
    LLVMValueRef there = emit_splat(e, emit_less(e, column, out));
    LLVMValueRef offset = emit_mul(e, column, emit_slot(e, weight->out_stride));
    LLVMValueRef source = emit_at(e, e->f32, row, offset);
    emit_prefetch(e, emit_at(e, e->f32, source, emit_int(e, TERMS_AHEAD)));
    return emit_load_vector(e, e->vector_f32, source, there);
}

/* ---- Panels of fp32 -------------------------------------------------------------------------- */

/* A tap of a panel while it is packed: `width` columns of `column` on, for each term. */
typedef struct PackedPanel {
    const Kernel *kernel;
    const ContractSlots *slots;
    LLVMValueRef group, weight_tap, column, width, target;
} PackedPanel;

/* A vector of the panel, from column `lane` on, of term `channel`. */
static void store_columns(Emitter *e, const PackedPanel *panel, LLVMValueRef value,
                          LLVMValueRef channel, LLVMValueRef lane) {
    if (panel->kernel->contraction.bf16)
        value = emit_round_to_bf16(e, value);
    LLVMValueRef place = emit_add(e, emit_mul(e, channel, panel->width), lane);
    emit_store_vector(e, value, emit_at(e, e->f32, panel->target, place), NULL);
}

static LLVMValueRef panel_row(Emitter *e, const PackedPanel *panel, LLVMValueRef channel) {
    return emit_weight_address(e, &panel->slots->weight, panel->weight_tap, panel->group, channel);
}

/* Term by term. */
static void pack_panel_rows(Emitter *e, const PackedPanel *panel) {
    LLVMValueRef zero = emit_int(e, 0), in = emit_slot(e, panel->slots->in);
    WeightForm form = contract_weight_form(panel->kernel);
    Loop channel = loop_begin(e, zero, in, emit_int(e, 1));
    LLVMValueRef row = panel_row(e, panel, channel.index);
    Loop lane = loop_begin(e, zero, panel->width, emit_int(e, e->target->lanes));
    LLVMValueRef column = emit_add(e, panel->column, lane.index);
    LLVMValueRef value = contract_load_columns(
        e, &panel->slots->weight, emit_slot(e, panel->slots->out), form, row, NULL, column);
    store_columns(e, panel, value, channel.index, lane.index);
    loop_end(e, &lane);
    loop_end(e, &channel);
}

/* Some terms of some columns at a time, turned. */
static void pack_panel_turned(Emitter *e, const PackedPanel *panel) {
    LLVMValueRef zero = emit_int(e, 0), lanes = emit_int(e, e->target->lanes);
    LLVMValueRef values[CPU_MAX_LANES];
    Loop channel = loop_begin(e, zero, emit_slot(e, panel->slots->in), lanes);
    LLVMValueRef row = panel_row(e, panel, channel.index);
    Loop lane = loop_begin(e, zero, panel->width, lanes);
    LLVMValueRef column = emit_add(e, panel->column, lane.index);
    for (int i = 0; i < e->target->lanes; i++)
        values[i] = contract_load_terms(e, &panel->slots->weight, emit_slot(e, panel->slots->out),
                                        row, emit_add(e, column, emit_int(e, i)));
    emit_transpose(e, values);
    for (int i = 0; i < e->target->lanes; i++)
        store_columns(e, panel, values[i], emit_add(e, channel.index, emit_int(e, i)), lane.index);
    loop_end(e, &lane);
    loop_end(e, &channel);
}

static void pack_panel(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    LLVMValueRef panels = emit_slot(e, slots->panels.count);
    LLVMValueRef taps = emit_slot(e, slots->source.taps.count);
    LLVMValueRef number = emit_rem(e, e->chunk, panels), rest = emit_div(e, e->chunk, panels);
    LLVMValueRef tap = emit_rem(e, rest, taps);
    PackedPanel panel = {.kernel = kernel,
                         .slots = slots,
                         .group = emit_div(e, rest, taps),
                         .weight_tap = emit_tap_weight(e, &slots->source.taps, tap),
                         .column = emit_panel_start(e, &slots->panels, number),
                         .width = emit_panel_width(e, &slots->panels, number)};
    LLVMValueRef first = emit_mul(e, emit_mul(e, tap, emit_slot(e, slots->in)), panel.width);
    panel.target =
        emit_at(e, e->f32, contract_packed_panel(e, slots, panel.group, panel.column), first);
    if (contract_weight_form(kernel) == WEIGHT_TURNED)
        pack_panel_turned(e, &panel);
    else
        pack_panel_rows(e, &panel);
}

/* ---- Tiles ----------------------------------------------------------------------------------- */

static LLVMValueRef tap_terms(Emitter *e, const ContractSlots *slots, const PackedTaps *part) {
    LLVMValueRef taps = slots->form == ROWS_STRIP ? emit_slot(e, slots->strip.inner)
                                                  : emit_sub(e, part->end_tap, part->first_tap);
    return emit_mul(e, taps, part->count);
}

LLVMValueRef contract_tap_depth(Emitter *e, const ContractSlots *slots, const PackedTaps *part) {
    return emit_round_up(e, tap_terms(e, slots, part), TILE_DEPTH);
}

/* A part of the weight's depth while it is packed, at the columns of some panels. */
typedef struct PackedPart {
    const ContractSlots *slots;
    WeightForm form;
    PackedTaps part;
    LLVMValueRef number, group, first_panel, end_panel;
} PackedPart;

/* The row of the weight that is term `k` of the part; *there: whether there is one. */
static LLVMValueRef weight_term(Emitter *e, const PackedPart *packed, LLVMValueRef k,
                                LLVMValueRef *there) {
    const ContractSlots *slots = packed->slots;
    const PackedTaps *part = &packed->part;
    LLVMValueRef depth = contract_tap_depth(e, slots, part), terms = tap_terms(e, slots, part);
    LLVMValueRef taps = emit_div(e, terms, part->count), nth = emit_rem(e, k, depth);
    *there = emit_less(e, nth, terms);
    nth = LLVMBuildSelect(e->builder, *there, nth, emit_int(e, 0), "");
    LLVMValueRef tap =
        emit_add(e, emit_mul(e, emit_div(e, k, depth), taps), emit_div(e, nth, part->count));
    LLVMValueRef number =
        emit_tap_weight(e, &slots->source.taps, emit_add(e, part->first_tap, tap));
    return emit_weight_address(e, &slots->weight, number, packed->group,
                               emit_add(e, part->first, emit_rem(e, nth, part->count)));
}

/* A panel of the part, from step `step` on. */
typedef struct PackedStep {
    LLVMValueRef column, width, target;
} PackedStep;

static PackedStep packed_step(Emitter *e, const PackedPart *packed, LLVMValueRef panel,
                              LLVMValueRef step) {
    const ContractSlots *slots = packed->slots;
    PackedStep at = {.column = emit_panel_start(e, &slots->panels, panel),
                     .width = emit_panel_width(e, &slots->panels, panel)};
    LLVMValueRef place = contract_packed_panel(e, slots, packed->group, at.column);
    place = contract_packed_part(e, slots, place, at.width, packed->number);
    LLVMValueRef size = emit_mul(e, at.width, emit_int(e, TILE_DEPTH));
    at.target = emit_at(e, e->i16, place, emit_mul(e, step, size));
    return at;
}

/* The pairs of rows of a step, in all panels. */
static void pack_pairs(Emitter *e, const PackedPart *packed, LLVMValueRef step) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), depth = emit_int(e, TILE_DEPTH);
    LLVMValueRef rows[2], there[2], halves[2];
    Loop pair = loop_begin(e, zero, emit_int(e, TILE_DEPTH / 2), one);
    LLVMValueRef k = emit_add(e, emit_mul(e, step, depth), emit_mul(e, pair.index, emit_int(e, 2)));
    for (int i = 0; i < 2; i++)
        rows[i] = weight_term(e, packed, emit_add(e, k, emit_int(e, i)), &there[i]);
    Loop panel = loop_begin(e, packed->first_panel, packed->end_panel, one);
    PackedStep at = packed_step(e, packed, panel.index, step);
    Loop lane = loop_begin(e, zero, at.width, emit_int(e, TILE_COLUMNS));
    for (int i = 0; i < 2; i++) {
        LLVMValueRef value = contract_load_columns(
            e, &packed->slots->weight, emit_slot(e, packed->slots->out), packed->form, rows[i],
            there[i], emit_add(e, at.column, lane.index));
        halves[i] = LLVMBuildZExt(e->builder, emit_narrow(e, DTYPE_BF16, value), e->vector_i32, "");
    }
    LLVMValueRef place = emit_mul(e, emit_add(e, lane.index, pair.index), depth);
    emit_store_vector(e, emit_pairs(e, halves[0], halves[1]), emit_at(e, e->i16, at.target, place),
                      NULL);
    loop_end(e, &lane);
    loop_end(e, &panel);
    loop_end(e, &pair);
}

/* A column of a tile where its terms lie side by side, as pairs. */
static LLVMValueRef load_pairs(Emitter *e, const ContractSlots *slots, LLVMValueRef row,
                               LLVMValueRef column) {
    LLVMValueRef halves[2], lanes[TILE_DEPTH];
    for (int i = 0; i < 2; i++) {
        LLVMValueRef from = emit_at(e, e->f32, row, emit_int(e, i * TILE_DEPTH / 2));
        halves[i] = emit_narrow(
            e, DTYPE_BF16,
            contract_load_terms(e, &slots->weight, emit_slot(e, slots->out), from, column));
    }
    for (int l = 0; l < TILE_DEPTH; l++)
        lanes[l] = emit_int32(e, l);
    LLVMValueRef all = LLVMBuildShuffleVector(e->builder, halves[0], halves[1],
                                              LLVMConstVector(lanes, TILE_DEPTH), "");
    return LLVMBuildBitCast(e->builder, all, e->vector_i32, "");
}

/* The step in all panels, from there. */
static void pack_turned(Emitter *e, const PackedPart *packed, LLVMValueRef step) {
    LLVMValueRef zero = emit_int(e, 0), depth = emit_int(e, TILE_DEPTH), there, pairs[TILE_ROWS];
    LLVMValueRef row = weight_term(e, packed, emit_mul(e, step, depth), &there);
    Loop panel = loop_begin(e, packed->first_panel, packed->end_panel, emit_int(e, 1));
    PackedStep at = packed_step(e, packed, panel.index, step);
    Loop lane = loop_begin(e, zero, at.width, emit_int(e, TILE_COLUMNS));
    LLVMValueRef column = emit_add(e, at.column, lane.index);
    for (int i = 0; i < TILE_ROWS; i++)
        pairs[i] = load_pairs(e, packed->slots, row, emit_add(e, column, emit_int(e, i)));
    emit_transpose(e, pairs);
    for (int i = 0; i < TILE_ROWS; i++) {
        LLVMValueRef place = emit_mul(e, emit_add(e, lane.index, emit_int(e, i)), depth);
        emit_store_vector(e, pairs[i], emit_at(e, e->i16, at.target, place), NULL);
    }
    loop_end(e, &lane);
    loop_end(e, &panel);
}

/* Part number `number` of the depth. */
static PackedTaps nth_part(Emitter *e, const ContractSlots *slots, LLVMValueRef number) {
    LLVMValueRef parts = emit_slot(e, slots->channel_parts);
    LLVMValueRef taps = emit_slot(e, slots->taps_per_part);
    LLVMValueRef channels = emit_slot(e, slots->channels_per_part);
    PackedTaps part = {.first_tap = emit_mul(e, emit_div(e, number, parts), taps),
                       .first = emit_mul(e, emit_rem(e, number, parts), channels)};
    part.end_tap =
        emit_min(e, emit_add(e, part.first_tap, taps), emit_slot(e, slots->source.taps.count));
    part.count = emit_min(e, channels, emit_sub(e, emit_slot(e, slots->in), part.first));
    return part;
}

static void pack_tiles(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    LLVMValueRef one = emit_int(e, 1), most = emit_int(e, CONTRACT_PACKED_PANELS);
    LLVMValueRef panels = emit_slot(e, slots->panels.count), parts = emit_slot(e, slots->parts);
    LLVMValueRef blocks = emit_div(e, emit_round_up(e, panels, CONTRACT_PACKED_PANELS), most);
    LLVMValueRef number = emit_div(e, e->chunk, blocks);
    PackedPart packed = {.slots = slots,
                         .form = contract_weight_form(kernel),
                         .number = emit_rem(e, number, parts),
                         .group = emit_div(e, number, parts),
                         .first_panel = emit_mul(e, emit_rem(e, e->chunk, blocks), most)};
    packed.part = nth_part(e, slots, packed.number);
    packed.end_panel = emit_min(e, emit_add(e, packed.first_panel, most), panels);
    LLVMValueRef depth = contract_tap_depth(e, slots, &packed.part);
    if (slots->form == ROWS_STRIP)
        depth = emit_mul(e, depth, emit_slot(e, slots->strip.count));
    Loop step = loop_begin(e, emit_int(e, 0), emit_div(e, depth, emit_int(e, TILE_DEPTH)), one);
    if (packed.form == WEIGHT_TURNED)
        pack_turned(e, &packed, step.index);
    else
        pack_pairs(e, &packed, step.index);
    loop_end(e, &step);
}

void emit_contract_packing(Emitter *e, const Kernel *kernel, const ContractSlots *slots) {
    if (contract_is_tiled(slots->form))
        pack_tiles(e, kernel, slots);
    else
        pack_panel(e, kernel, slots);
}
