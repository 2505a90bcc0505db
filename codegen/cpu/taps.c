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

static bool has_positions(const SpaceSlots *space) {
    return space->kind == SPACE_DENSE || space->kind == SPACE_MASKED;
}

RowWalk row_walk_begin(Emitter *e, const TapSlots *taps, const SpaceSlots *walked,
                       LLVMValueRef first) {
    RowWalk walk = {.taps_ = taps, .walked_ = walked};
    if (!has_positions(walked)) {
        walk.image_ = emit_variable(e, e->i64, emit_row_place(e, walked, first).image);
        return walk;
    }
    LLVMValueRef rows = emit_slot(e, taps->phase_rows), rest = emit_rem(e, first, rows);
    walk.image_ = emit_variable(e, e->i64, emit_div(e, first, rows));
    for (int d = taps->rank - 1; d >= 0; d--) {
        LLVMValueRef extent = emit_slot(e, taps->phase_extent[d]);
        walk.index_[d] = emit_variable(e, e->i64, emit_rem(e, rest, extent));
        walk.steps_[d] = emit_variable(e, e->i64, emit_int(e, 0));
        rest = emit_div(e, rest, extent);
    }
    walk.cell_ = emit_variable(e, e->i64, rest);
    walk.new_cell_ = emit_variable(e, e->i1, LLVMConstInt(e->i1, 1, 0));
    return walk;
}

/* What lies before the cell, in steps of the phase. */
static void find_cell(Emitter *e, const RowWalk *walk) {
    LLVMValueRef corner[TYPE_MAX_SPACE];
    const SpaceSlots *walked = walk->walked_;
    Branch found = branch_begin(e, emit_get(e, e->i1, walk->new_cell_));
    emit_cell_corner(e, walked, emit_get(e, e->i64, walk->image_), emit_get(e, e->i64, walk->cell_),
                     corner);
    for (int d = 0; d < walk->taps_->rank; d++)
        emit_set(e, walk->steps_[d],
                 emit_div(e, emit_mul(e, corner[d], emit_slot(e, walked->side)),
                          emit_slot(e, walk->taps_->step[d])));
    emit_set(e, walk->new_cell_, LLVMConstInt(e->i1, 0, 0));
    branch_end(e, &found);
}

LLVMValueRef row_walk_origin(Emitter *e, const RowWalk *walk, LLVMValueRef *origin) {
    if (walk->walked_->kind == SPACE_MASKED)
        find_cell(e, walk);
    for (int d = 0; d < walk->taps_->source.rank; d++)
        origin[d] = emit_mul(
            e,
            emit_add(e, emit_get(e, e->i64, walk->index_[d]), emit_get(e, e->i64, walk->steps_[d])),
            emit_slot(e, walk->taps_->scale[d]));
    return emit_get(e, e->i64, walk->image_);
}

RowPlace row_walk_place(Emitter *e, const RowWalk *walk) {
    const SpaceSlots *walked = walk->walked_;
    const TapSlots *taps = walk->taps_;
    RowPlace place = {.image = emit_get(e, e->i64, walk->image_), .row = emit_int(e, 0)};
    if (!has_positions(walked))
        return place;
    bool masked = walked->kind == SPACE_MASKED;
    if (masked)
        place.row = emit_get(e, e->i64, walk->cell_);
    for (int d = 0; d < taps->rank; d++) {
        LLVMValueRef index = emit_get(e, e->i64, walk->index_[d]);
        LLVMValueRef side = emit_slot(e, masked ? walked->side : walked->extent[d]);
        index = emit_add(e, emit_mul(e, index, emit_slot(e, taps->step[d])),
                         emit_slot(e, taps->phase[d]));
        place.row = emit_add(e, emit_mul(e, place.row, side), index);
    }
    return place;
}

/* variable += carry; back to 0 at `end`, and a carry of 1 then. */
static LLVMValueRef count_up(Emitter *e, LLVMValueRef variable, LLVMValueRef carry,
                             LLVMValueRef end) {
    LLVMValueRef value = emit_add(e, emit_get(e, e->i64, variable), carry);
    LLVMValueRef over = LLVMBuildICmp(e->builder, LLVMIntEQ, value, end, "");
    emit_set(e, variable, LLVMBuildSelect(e->builder, over, emit_int(e, 0), value, ""));
    return LLVMBuildZExt(e->builder, over, e->i64, "");
}

void row_walk_next(Emitter *e, const RowWalk *walk) {
    const TapSlots *taps = walk->taps_;
    LLVMValueRef carry = emit_int(e, walk->walked_->kind != SPACE_ONE);
    if (has_positions(walk->walked_))
        for (int d = taps->rank - 1; d >= 0; d--)
            carry = count_up(e, walk->index_[d], carry, emit_slot(e, taps->phase_extent[d]));
    if (walk->walked_->kind == SPACE_MASKED) {
        LLVMValueRef next = LLVMBuildTrunc(e->builder, carry, e->i1, "");
        LLVMValueRef known = emit_get(e, e->i1, walk->new_cell_);
        emit_set(e, walk->new_cell_, LLVMBuildOr(e->builder, next, known, ""));
        carry = count_up(e, walk->cell_, carry, emit_slot(e, walk->walked_->keep));
    }
    emit_set(e, walk->image_, emit_add(e, emit_get(e, e->i64, walk->image_), carry));
}

LLVMValueRef emit_tap_offset(Emitter *e, const TapSlots *taps, LLVMValueRef tap, int direction) {
    LLVMValueRef entry = emit_mul(e, tap, emit_int(e, taps->rank + 1));
    return emit_table_entry(e, taps->table, emit_add(e, entry, emit_int(e, direction)));
}

LLVMValueRef emit_tap_row(Emitter *e, const TapSlots *taps, LLVMValueRef image,
                          LLVMValueRef const *origin, LLVMValueRef tap) {
    LLVMValueRef position[TYPE_MAX_SPACE];
    for (int d = 0; d < taps->source.rank; d++)
        position[d] =
            emit_add(e, origin[d], emit_alike(e, emit_tap_offset(e, taps, tap, d), origin[d]));
    return emit_row_at(e, &taps->source, image, position);
}

LLVMValueRef emit_tap_weight(Emitter *e, const TapSlots *taps, LLVMValueRef tap) {
    return emit_tap_offset(e, taps, tap, taps->rank);
}
