#include "codegen/cpu/taps.h"

#include "base/fatal.h"

/* Positions p = step * i + phase with 0 <= p < extent. */
static int64_t phase_count(int64_t extent, int64_t step, int64_t phase) {
    return extent > phase ? (extent - phase + step - 1) / step : 0;
}

TapSlots slot_taps(Slots *slots, const TapSet *taps, const Space *walked) {
    TapSlots out = {.source = slot_space(slots, &taps->source, true), .rank = walked->rank};
    const Geometry *geometry = &slots->program->geometry;
    int64_t rows = 1;
    for (int d = 0; d < walked->rank; d++) {
        out.step[d] = slot_number(slots, taps->step[d]);
        out.phase[d] = slot_number(slots, taps->phase[d]);
        out.scale[d] = slot_number(slots, taps->scale[d]);
        bool masked = walked->kind == SPACE_MASKED;
        int64_t extent = masked ? geometry->ratio / walked->stride : walked->extent[d];
        int64_t count = phase_count(extent, taps->step[d], taps->phase[d]);
        out.phase_extent[d] = slot_number(slots, count);
        rows *= count;
    }
    if (walked->kind == SPACE_MASKED)
        rows *= geometry->keep;
    out.phase_rows = slot_number(slots, rows);
    out.count = slot_number(slots, taps->tap_count);
    out.table = slot_table(slots);
    for (int t = 0; t < taps->tap_count; t++) {
        for (int d = 0; d < walked->rank; d++)
            slot_table_entry(slots, taps->taps[t].offset[d]);
        slot_table_entry(slots, taps->taps[t].weight);
    }
    return out;
}

RowPlace emit_phase_row(Emitter *e, const TapSlots *taps, const SpaceSlots *walked,
                        LLVMValueRef number) {
    if (walked->kind != SPACE_DENSE && walked->kind != SPACE_MASKED)
        return emit_row_place(e, walked, number);
    LLVMValueRef rows = emit_slot(e, taps->phase_rows);
    RowPlace place = {.image = emit_div(e, number, rows)};
    LLVMValueRef rest = emit_rem(e, number, rows), inside[TYPE_MAX_SPACE];
    for (int d = taps->rank - 1; d >= 0; d--) {
        LLVMValueRef extent = emit_slot(e, taps->phase_extent[d]);
        LLVMValueRef index = emit_rem(e, rest, extent);
        rest = emit_div(e, rest, extent);
        inside[d] = emit_add(e, emit_mul(e, index, emit_slot(e, taps->step[d])),
                             emit_slot(e, taps->phase[d]));
    }
    bool masked = walked->kind == SPACE_MASKED; /* then `rest` is the number of the visible cell */
    place.row = masked ? rest : emit_int(e, 0);
    for (int d = 0; d < taps->rank; d++) {
        LLVMValueRef side = emit_slot(e, masked ? walked->side : walked->extent[d]);
        place.row = emit_add(e, emit_mul(e, place.row, side), inside[d]);
    }
    emit_row_position(e, walked, &place);
    return place;
}

void emit_tap_origin(Emitter *e, const TapSlots *taps, const RowPlace *place,
                     LLVMValueRef *origin) {
    for (int d = 0; d < taps->source.rank; d++) {
        LLVMValueRef steps =
            emit_div(e, emit_sub(e, place->position[d], emit_slot(e, taps->phase[d])),
                     emit_slot(e, taps->step[d]));
        origin[d] = emit_mul(e, steps, emit_slot(e, taps->scale[d]));
    }
}

LLVMValueRef emit_tap_offset(Emitter *e, const TapSlots *taps, LLVMValueRef tap, int direction) {
    LLVMValueRef entry = emit_mul(e, tap, emit_int(e, taps->rank + 1));
    return emit_table_entry(e, taps->table, emit_add(e, entry, emit_int(e, direction)));
}

LLVMValueRef emit_tap_row(Emitter *e, const TapSlots *taps, LLVMValueRef image,
                          LLVMValueRef const *origin, LLVMValueRef tap) {
    LLVMValueRef position[TYPE_MAX_SPACE];
    for (int d = 0; d < taps->source.rank; d++)
        position[d] = emit_add(e, origin[d], emit_tap_offset(e, taps, tap, d));
    return emit_row_at(e, &taps->source, image, position);
}

LLVMValueRef emit_tap_weight(Emitter *e, const TapSlots *taps, LLVMValueRef tap) {
    return emit_tap_offset(e, taps, tap, taps->rank);
}
