/* Maps: every element of the rows of a space through one scalar expression. Rows are walked in
 * chunks, channels in vectors with a masked tail. */
#include "base/integer.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/kinds.h"

enum { CHUNK_ELEMENTS = 16384 };

typedef struct MapSlots {
    ElementWalk walk;
    int rows, channels, chunk_size; /* all rows of the batch; chunk_size in rows or channels */
    int pieces;                     /* along segments: first slot, see slot_pieces */
    ElementSlots elements;
} MapSlots;

static MapSlots slot_map(Slots *slots, const Kernel *kernel) {
    MapSlots map = {.walk = elements_walk(slots->program, kernel)};
    const Geometry *geometry = &slots->program->geometry;
    int64_t rows = space_rows(geometry, &kernel->space), channels = kernel->channels;
    if (kernel->space.kind != SPACE_ONE && kernel->space.kind != SPACE_FLAT)
        rows *= geometry->batch;
    if (map.walk != WALK_ROWS) {
        channels *= rows;
        rows = 1;
    }
    bool by_row = map.walk == WALK_ROWS;
    int64_t chunk = by_row ? integer_divide_up(CHUNK_ELEMENTS, channels) : CHUNK_ELEMENTS;
    map.rows = slot_number(slots, rows);
    map.channels = slot_number(slots, channels);
    map.chunk_size = slot_number(slots, chunk);
    slots->chunks = integer_divide_up(by_row ? rows : channels, chunk);
    map.elements = slot_elements(slots, kernel);
    if (map.walk == WALK_SEGMENTS)
        map.pieces = slot_pieces(slots, CHUNK_ELEMENTS, &slots->chunks);
    return map;
}

static int64_t bind_map(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage) {
    (void)target, (void)stage;
    return slot_map(slots, kernel).walk;
}

static void emit_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const ElementRow *row = context;
    LLVMValueRef values[EXPRESSION_MAX_VALUES];
    elements_evaluate(e, row, channel, mask, NULL, values);
    elements_store(e, row, channel, mask, values);
}

static void emit_rows(Emitter *e, const Kernel *kernel, const MapSlots *slots) {
    LLVMValueRef size = emit_slot(e, slots->chunk_size);
    LLVMValueRef begin = emit_mul(e, e->chunk, size);
    LLVMValueRef end = emit_min(e, emit_add(e, begin, size), emit_slot(e, slots->rows));
    RowCounter counter = row_counter_begin(e, &slots->elements.space, begin);
    Loop loop = loop_begin(e, begin, end, emit_int(e, 1));
    RowPlace place = row_counter_take(e, &counter);
    ElementRow row = elements_begin(e, kernel, &slots->elements, &place);
    elements_each_vector(e, emit_int(e, 0), emit_slot(e, slots->channels), emit_vector, &row);
    loop_end(e, &loop);
}

static void emit_long_row(Emitter *e, const Kernel *kernel, const MapSlots *slots) {
    RowPlace place = {.image = emit_int(e, 0), .row = emit_int(e, 0)};
    ElementRow row = elements_begin(e, kernel, &slots->elements, &place);
    ElementRange range = elements_chunk(
        e, &row, (ElementCut){slots->walk, slots->pieces, slots->chunk_size, slots->channels});
    elements_each_vector(e, range.begin, range.end, emit_vector, &row);
}

static void emit_map(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    (void)stage;
    Slots numbering = {.arena = e->arena, .program = program};
    MapSlots slots = slot_map(&numbering, kernel);
    if (slots.walk == WALK_ROWS)
        emit_rows(e, kernel, &slots);
    else
        emit_long_row(e, kernel, &slots);
}

const KernelEmitter cpu_emit_map = {1, bind_map, emit_map};
