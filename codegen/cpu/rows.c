#include "codegen/cpu/rows.h"

#include "base/fatal.h"

static const Level *find_level(const Program *program, const Space *space) {
    for (size_t i = 0; i < program->levels.count; i++)
        if (space_equal(&program->levels.items[i].space, space))
            return &program->levels.items[i];
    invariant(false, "a masked space is looked up that has no position map");
}

static void slot_cells(Slots *slots, SpaceSlots *out, const Space *space) {
    const Geometry *geometry = &slots->program->geometry;
    int64_t side = geometry->ratio / space->stride, cell_rows = 1;
    for (int d = 0; d < space->rank; d++) {
        cell_rows *= side;
        out->grid[d] = slot_number(slots, geometry->image[d] / geometry->ratio);
    }
    out->side = slot_number(slots, side);
    out->cell_rows = slot_number(slots, cell_rows);
    out->keep = slot_number(slots, geometry->keep);
    out->cells = slot_buffer(slots, slots->program->cells, 0);
}

static void slot_map(Slots *slots, SpaceSlots *out, const Space *space) {
    const Level *level = find_level(slots->program, space);
    int64_t entries = 1;
    for (int d = 0; d < space->rank; d++) {
        entries *= space->extent[d] + 2 * level->border[d];
        out->border[d] = slot_number(slots, level->border[d]);
    }
    out->map_rows = slot_number(slots, entries);
    out->map = slot_buffer(slots, level->buffer, 0);
}

SpaceSlots slot_space(Slots *slots, const Space *space, bool lookup) {
    SpaceSlots out = {.kind = space->kind, .rank = space->rank};
    out.rows = slot_number(slots, space_rows(&slots->program->geometry, space));
    for (int d = 0; d < space->rank; d++)
        out.extent[d] = slot_number(slots, space->extent[d]);
    if (space->kind == SPACE_MASKED && lookup)
        slot_map(slots, &out, space);
    else if (space->kind == SPACE_MASKED)
        slot_cells(slots, &out, space);
    return out;
}

RowPlace emit_row_place(Emitter *e, const SpaceSlots *space, LLVMValueRef number) {
    RowPlace place = {0};
    if (space->kind == SPACE_ONE || space->kind == SPACE_FLAT) {
        place.image = place.row = emit_int(e, 0);
    } else if (space->kind == SPACE_IMAGES) {
        place.image = number;
        place.row = emit_int(e, 0);
    } else {
        LLVMValueRef rows = emit_slot(e, space->rows);
        place.image = emit_div(e, number, rows);
        place.row = emit_rem(e, number, rows);
    }
    return place;
}

RowCounter row_counter_begin(Emitter *e, const SpaceSlots *space, LLVMValueRef number) {
    RowPlace place = emit_row_place(e, space, number);
    return (RowCounter){space, emit_variable(e, e->i64, place.image),
                        emit_variable(e, e->i64, place.row)};
}

RowPlace row_counter_take(Emitter *e, const RowCounter *counter) {
    RowPlace place = {.image = emit_get(e, e->i64, counter->image_),
                      .row = emit_get(e, e->i64, counter->row_)};
    LLVMValueRef next = emit_add(e, place.row, emit_int(e, 1));
    LLVMValueRef rows = emit_slot(e, counter->space_->rows);
    LLVMValueRef over = LLVMBuildICmp(e->builder, LLVMIntEQ, next, rows, "");
    LLVMValueRef carry = LLVMBuildZExt(e->builder, over, e->i64, "");
    emit_set(e, counter->row_, LLVMBuildSelect(e->builder, over, emit_int(e, 0), next, ""));
    emit_set(e, counter->image_, emit_add(e, place.image, carry));
    return place;
}

/* Splits `number` into coordinates of the extents (slots), last direction fastest. */
static void split(Emitter *e, LLVMValueRef number, int rank, const int *extents, int uniform,
                  LLVMValueRef *coordinates) {
    for (int d = rank - 1; d >= 0; d--) {
        LLVMValueRef extent = emit_slot(e, extents ? extents[d] : uniform);
        coordinates[d] = d ? emit_rem(e, number, extent) : number;
        number = d ? emit_div(e, number, extent) : number;
    }
}

void emit_cell_corner(Emitter *e, const SpaceSlots *space, LLVMValueRef image, LLVMValueRef nth,
                      LLVMValueRef *corner) {
    LLVMValueRef index = emit_add(e, emit_mul(e, image, emit_slot(e, space->keep)), nth);
    LLVMValueRef cell =
        emit_load(e, e->i32, emit_at(e, e->i32, emit_slot_pointer(e, space->cells), index), 4);
    split(e, LLVMBuildZExt(e->builder, cell, e->i64, ""), space->rank, space->grid, 0, corner);
}

void emit_row_position(Emitter *e, const SpaceSlots *space, RowPlace *place) {
    if (space->kind == SPACE_DENSE)
        split(e, place->row, space->rank, space->extent, 0, place->position);
    if (space->kind != SPACE_MASKED)
        return;
    LLVMValueRef cell_rows = emit_slot(e, space->cell_rows);
    LLVMValueRef corner[TYPE_MAX_SPACE], inside[TYPE_MAX_SPACE];
    emit_cell_corner(e, space, place->image, emit_div(e, place->row, cell_rows), corner);
    split(e, emit_rem(e, place->row, cell_rows), space->rank, NULL, space->side, inside);
    for (int d = 0; d < space->rank; d++)
        place->position[d] =
            emit_add(e, emit_mul(e, corner[d], emit_slot(e, space->side)), inside[d]);
}

/* The row of a dense map, or -1 outside. */
static LLVMValueRef dense_row_at(Emitter *e, const SpaceSlots *space,
                                 LLVMValueRef const *position) {
    LLVMValueRef row = NULL, inside = NULL;
    for (int d = 0; d < space->rank; d++) {
        LLVMValueRef extent = emit_alike(e, emit_slot(e, space->extent[d]), position[d]);
        LLVMValueRef below = LLVMBuildICmp(e->builder, LLVMIntULT, position[d], extent, "");
        inside = inside ? LLVMBuildAnd(e->builder, inside, below, "") : below;
        row = row ? emit_add(e, emit_mul(e, row, extent), position[d]) : position[d];
    }
    LLVMValueRef outside = emit_alike(e, emit_int(e, -1), row);
    return LLVMBuildSelect(e->builder, inside, row, outside, "");
}

static LLVMValueRef masked_row_at(Emitter *e, const SpaceSlots *space, LLVMValueRef image,
                                  LLVMValueRef const *position) {
    LLVMValueRef index = emit_mul(e, image, emit_alike(e, emit_slot(e, space->map_rows), image));
    LLVMValueRef within = NULL;
    for (int d = 0; d < space->rank; d++) {
        LLVMValueRef border = emit_slot(e, space->border[d]);
        LLVMValueRef width =
            emit_add(e, emit_slot(e, space->extent[d]), emit_mul(e, emit_int(e, 2), border));
        LLVMValueRef here = emit_add(e, position[d], emit_alike(e, border, image));
        within =
            within ? emit_add(e, emit_mul(e, within, emit_alike(e, width, image)), here) : here;
    }
    index = emit_add(e, index, within);
    LLVMValueRef place = emit_at(e, e->i32, emit_slot_pointer(e, space->map), index);
    LLVMValueRef entry = emit_is_vector(index) ? emit_gather(e, e->vector_i32, place, NULL)
                                               : emit_load(e, e->i32, place, 4);
    return LLVMBuildSExt(e->builder, entry, LLVMTypeOf(index), "");
}

LLVMValueRef emit_row_at(Emitter *e, const SpaceSlots *space, LLVMValueRef image,
                         LLVMValueRef const *position) {
    if (space->kind == SPACE_DENSE)
        return dense_row_at(e, space, position);
    if (space->kind == SPACE_MASKED)
        return masked_row_at(e, space, image, position);
    return LLVMConstNull(LLVMTypeOf(image));
}

LLVMValueRef emit_logical_row(Emitter *e, const SpaceSlots *space, const RowPlace *place) {
    if (space->kind != SPACE_DENSE && space->kind != SPACE_MASKED)
        return place->image;
    LLVMValueRef row = place->image;
    for (int d = 0; d < space->rank; d++)
        row = emit_add(e, emit_mul(e, row, emit_slot(e, space->extent[d])), place->position[d]);
    return row;
}

ViewSlots slot_view(Slots *slots, const View *view) {
    ViewSlots out = {.channel_stride = view->channel_stride, .dtype = DTYPE_F32};
    if (view->buffer >= 0)
        out.dtype = slots->program->buffers.items[view->buffer].dtype;
    out.pointer = slot_buffer(slots, view->buffer, view->base);
    out.image_stride = slot_number(slots, view->image_stride);
    out.row_stride = slot_number(slots, view->row_stride);
    return out;
}

LLVMValueRef emit_row_address(Emitter *e, const ViewSlots *view, LLVMValueRef image,
                              LLVMValueRef row) {
    LLVMValueRef offset = emit_int(e, 0);
    if (image)
        offset = emit_mul(e, image, emit_alike(e, emit_slot(e, view->image_stride), image));
    if (row)
        offset = emit_add(e, emit_alike(e, offset, row),
                          emit_mul(e, row, emit_alike(e, emit_slot(e, view->row_stride), row)));
    return emit_at(e, emit_dtype(e, view->dtype), emit_slot_pointer(e, view->pointer), offset);
}

WeightViewSlots slot_weight_view(Slots *slots, const WeightView *weight) {
    WeightViewSlots out = {.pointer = slot_buffer(slots, weight->buffer, weight->base)};
    out.tap_stride = slot_number(slots, weight->tap_stride);
    out.group_stride = slot_number(slots, weight->group_stride);
    out.in_stride = slot_number(slots, weight->in_stride);
    out.out_stride = slot_number(slots, weight->out_stride);
    return out;
}

LLVMValueRef emit_weight_address(Emitter *e, const WeightViewSlots *weight, LLVMValueRef tap,
                                 LLVMValueRef group, LLVMValueRef in) {
    LLVMValueRef offset = emit_mul(e, tap, emit_slot(e, weight->tap_stride));
    offset = emit_add(e, offset, emit_mul(e, group, emit_slot(e, weight->group_stride)));
    offset = emit_add(e, offset, emit_mul(e, in, emit_slot(e, weight->in_stride)));
    return emit_at(e, e->f32, emit_slot_pointer(e, weight->pointer), offset);
}
