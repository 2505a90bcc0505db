/* Position maps: which row each position of a masked level has. One chunk an image. */
#include "codegen/cpu/kinds.h"
#include "codegen/cpu/rows.h"

typedef struct PositionMapSlots {
    SpaceSlots walked, map;
    int positions; /* of the map without its border */
} PositionMapSlots;

static PositionMapSlots slot_position_map(Slots *slots, const Kernel *kernel) {
    PositionMapSlots out = {.walked = slot_space(slots, &kernel->space, false),
                            .map = slot_space(slots, &kernel->space, true)};
    int64_t positions = 1;
    for (int d = 0; d < kernel->space.rank; d++)
        positions *= kernel->space.extent[d];
    out.positions = slot_number(slots, positions);
    slots->chunks = slots->program->geometry.batch;
    return out;
}

static int64_t bind_position_map(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                                 int stage) {
    (void)target, (void)stage;
    slot_position_map(slots, kernel);
    return kernel->space.rank;
}

/* Writes `entry` at a position of this image's map. */
static void set_entry(Emitter *e, const PositionMapSlots *slots, LLVMValueRef const *position,
                      LLVMValueRef entry) {
    LLVMValueRef index = emit_int(e, 0);
    for (int d = 0; d < slots->map.rank; d++) {
        LLVMValueRef border = emit_slot(e, slots->map.border[d]);
        LLVMValueRef width =
            emit_add(e, emit_slot(e, slots->map.extent[d]), emit_mul(e, emit_int(e, 2), border));
        index = emit_add(e, emit_mul(e, index, width), emit_add(e, position[d], border));
    }
    index = emit_add(e, index, emit_mul(e, e->chunk, emit_slot(e, slots->map.map_rows)));
    emit_store(e, entry, emit_at(e, e->i32, emit_slot_pointer(e, slots->map.map), index), 4);
}

static void emit_position_map(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    (void)stage;
    Slots numbering = {.arena = e->arena, .program = program};
    PositionMapSlots slots = slot_position_map(&numbering, kernel);
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    LLVMValueRef entries = emit_slot(e, slots.map.map_rows);
    LLVMValueRef first = emit_mul(e, e->chunk, entries);
    Loop all = loop_begin(e, zero, entries, one);
    LLVMValueRef place = emit_add(e, first, all.index);
    emit_store(e, emit_int32(e, KERNEL_OUTSIDE),
               emit_at(e, e->i32, emit_slot_pointer(e, slots.map.map), place), 4);
    loop_end(e, &all);

    SpaceSlots dense = slots.map;
    dense.kind = SPACE_DENSE;
    Loop inside = loop_begin(e, zero, emit_slot(e, slots.positions), one);
    RowPlace position = {.image = e->chunk, .row = inside.index};
    emit_row_position(e, &dense, &position);
    set_entry(e, &slots, position.position, emit_int32(e, KERNEL_HIDDEN));
    loop_end(e, &inside);

    Loop rows = loop_begin(e, zero, emit_slot(e, slots.walked.rows), one);
    RowPlace visible = {.image = e->chunk, .row = rows.index};
    emit_row_position(e, &slots.walked, &visible);
    set_entry(e, &slots, visible.position, LLVMBuildTrunc(e->builder, rows.index, e->i32, ""));
    loop_end(e, &rows);
}

const KernelEmitter cpu_emit_position_map = {1, bind_position_map, emit_position_map};
