#include "codegen/cpu/elements.h"

#include <string.h>

#include "base/fatal.h"

/* ---- How elements are walked ----------------------------------------------------------------- */

static bool has_rows(const Space *space) {
    return space->kind != SPACE_ONE && space->kind != SPACE_FLAT;
}

/* True if the view holds the rows of the space one behind the other without gaps. */
static bool is_contiguous(const View *view, int64_t rows, int64_t channels) {
    return view->channel_stride == 1 && view->row_stride == channels &&
           view->image_stride == rows * channels;
}

bool elements_read_flat(const Program *program, const Kernel *kernel) {
    int64_t rows = space_rows(&program->geometry, &kernel->space);
    if (!has_rows(&kernel->space))
        return true;
    for (int i = 0; i < kernel->operand_count; i++) {
        const Access *access = &kernel->operands[i];
        bool number = access->kind == ACCESS_ONE && access->channel == CHANNEL_FIRST;
        bool same = access->kind == ACCESS_ELEMENT && access->channel == CHANNEL_SAME &&
                    is_contiguous(&access->view, rows, kernel->channels);
        if (!number && !same)
            return false;
    }
    return !expression_uses_index(kernel->expression);
}

/* True if the elements of the kernel can be walked as one long row. */
static bool is_flat(const Program *program, const Kernel *kernel) {
    int64_t rows = space_rows(&program->geometry, &kernel->space);
    if (!has_rows(&kernel->space))
        return true;
    for (int i = 0; i < kernel->output_count; i++)
        if (!is_contiguous(&kernel->outputs[i], rows, kernel->channels))
            return false;
    return elements_read_flat(program, kernel);
}

static bool uses_segments(const Kernel *kernel) {
    for (int i = 0; i < kernel->operand_count; i++)
        if (kernel->operands[i].kind == ACCESS_SEGMENT)
            return true;
    return false;
}

ElementWalk elements_walk(const Program *program, const Kernel *kernel) {
    if (uses_segments(kernel) ||
        (kernel->kind == KERNEL_REDUCE && kernel->reduction.over == OVER_SEGMENT))
        return WALK_SEGMENTS;
    return is_flat(program, kernel) ? WALK_LONG_ROW : WALK_ROWS;
}

int slot_pieces(Slots *slots, int64_t chunk, int64_t *pieces) {
    const Program *program = slots->program;
    int table = slot_table(slots);
    *pieces = 0;
    for (size_t s = 0; s < program->segments.count; s++) {
        const Segment *segment = &program->segments.items[s];
        int64_t size = 1;
        for (int d = 0; d < segment->type.rank; d++)
            size *= segment->type.extent[d];
        for (int64_t start = 0; start < size; start += chunk) {
            int64_t end = start + chunk < size ? start + chunk : size;
            slot_table_entry(slots, segment->offset + start);
            slot_table_entry(slots, segment->offset + end);
            slot_table_entry(slots, (int64_t)s);
            ++*pieces;
        }
    }
    return table;
}

LLVMValueRef emit_piece(Emitter *e, int table, LLVMValueRef piece, int field) {
    LLVMValueRef entry = emit_mul(e, piece, emit_int(e, 3));
    return emit_table_entry(e, table, emit_add(e, entry, emit_int(e, field)));
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static AccessSlots slot_access(Slots *slots, const Access *access, int64_t channels) {
    AccessSlots out = {.view = slot_view(slots, &access->view)};
    if (access->kind == ACCESS_POSITION) {
        out.source = slot_space(slots, &access->source, true);
        for (int d = 0; d < access->source.rank; d++)
            out.divide[d] = slot_number(slots, access->divide[d]);
    }
    int64_t parameter = access->channel_parameter ? access->channel_parameter : 1;
    out.channel_parameter = slot_number(slots, parameter);
    out.shuffle_width = slot_number(slots, channels / parameter);
    return out;
}

static int slot_constants(Slots *slots, const Expression *expression) {
    int first = (int)slots->numbers.count;
    for (int i = 0; expression && i < expression->instruction_count; i++) {
        uint32_t bits;
        if (expression->instructions[i].op != SCALAR_CONSTANT)
            continue;
        memcpy(&bits, &expression->instructions[i].constant, sizeof bits);
        slot_number(slots, bits);
    }
    return first;
}

ElementSlots slot_elements(Slots *slots, const Kernel *kernel) {
    ElementSlots out = {.space = slot_space(slots, &kernel->space, false)};
    out.channels = slot_number(slots, kernel->channels);
    for (int i = 0; i < kernel->operand_count; i++)
        out.operands[i] = slot_access(slots, &kernel->operands[i], kernel->channels);
    for (int i = 0; i < kernel->output_count; i++)
        out.outputs[i] = slot_view(slots, &kernel->outputs[i]);
    out.constants = slot_constants(slots, kernel->expression);
    return out;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static LLVMValueRef position_address(Emitter *e, const Access *access, const AccessSlots *slots,
                                     const RowPlace *place, LLVMValueRef *visible) {
    LLVMValueRef position[TYPE_MAX_SPACE];
    for (int d = 0; d < access->source.rank; d++)
        position[d] = emit_div(e, place->position[d], emit_slot(e, slots->divide[d]));
    LLVMValueRef row = emit_row_at(e, &slots->source, place->image, position);
    *visible = LLVMBuildICmp(e->builder, LLVMIntSGE, row, emit_int(e, 0), "");
    row = LLVMBuildSelect(e->builder, *visible, row, emit_int(e, 0), "");
    return emit_row_address(e, &slots->view, place->image, row);
}

ElementRow elements_begin(Emitter *e, const Kernel *kernel, const ElementSlots *slots_of,
                          RowPlace *place) {
    ElementRow result = {.kernel = kernel, .slots = slots_of}, *row = &result;
    bool positions = expression_uses_index(kernel->expression);
    for (int i = 0; i < kernel->operand_count; i++)
        positions = positions || kernel->operands[i].kind == ACCESS_POSITION;
    if (positions)
        emit_row_position(e, &row->slots->space, place);
    if (expression_uses_index(kernel->expression))
        row->logical_row = emit_logical_row(e, &row->slots->space, place);
    for (int i = 0; i < kernel->operand_count; i++) {
        const AccessSlots *slots = &row->slots->operands[i];
        const Access *access = &kernel->operands[i];
        if (access->kind == ACCESS_POSITION)
            row->address[i] = position_address(e, access, slots, place, &row->visible[i]);
        else if (access->kind == ACCESS_ELEMENT)
            row->address[i] = emit_row_address(e, &slots->view, place->image, place->row);
        else if (access->kind == ACCESS_IMAGE)
            row->address[i] = emit_row_address(e, &slots->view, place->image, NULL);
        else
            row->address[i] = emit_row_address(e, &slots->view, NULL, NULL);
    }
    for (int i = 0; i < kernel->output_count; i++)
        row->output[i] = emit_row_address(e, &row->slots->outputs[i], place->image, place->row);
    return result;
}

/* ---- Vectors of channels --------------------------------------------------------------------- */

LLVMValueRef emit_lane_numbers(Emitter *e, LLVMValueRef channel) {
    LLVMValueRef lanes[CPU_MAX_LANES];
    for (int i = 0; i < e->target->lanes; i++)
        lanes[i] = emit_int(e, i);
    LLVMValueRef steps = LLVMConstVector(lanes, (unsigned)e->target->lanes);
    return LLVMBuildAdd(e->builder, emit_splat(e, channel), steps, "");
}

/* The addresses of elements at index * stride behind an address. */
static LLVMValueRef strided(Emitter *e, LLVMTypeRef element, LLVMValueRef address,
                            LLVMValueRef indices, int64_t stride) {
    LLVMValueRef scaled = LLVMBuildMul(e->builder, indices, emit_splat(e, emit_int(e, stride)), "");
    return emit_at(e, element, address, scaled);
}

static void scatter(Emitter *e, DType dtype, LLVMValueRef value, LLVMValueRef places,
                    LLVMValueRef mask) {
    LLVMValueRef stored = emit_narrow(e, dtype, value);
    LLVMTypeRef types[] = {LLVMTypeOf(stored), LLVMTypeOf(places)};
    LLVMValueRef all = LLVMConstAllOnes(e->vector_i1);
    LLVMValueRef align = emit_int32(e, (int32_t)dtype_size(dtype));
    emit_intrinsic(e, "llvm.masked.scatter", types, 2,
                   (LLVMValueRef[]){stored, places, align, mask ? mask : all}, 4);
}

/* Which channels of the operand the lanes read; NULL: the same, in order. */
static LLVMValueRef operand_channels(Emitter *e, const Access *access, const AccessSlots *slots,
                                     LLVMValueRef channel) {
    bool plain = access->channel == CHANNEL_SAME;
    if (plain && access->view.channel_stride == 1)
        return NULL;
    LLVMValueRef channels = emit_lane_numbers(e, channel);
    LLVMValueRef parameter = emit_splat(e, emit_slot(e, slots->channel_parameter));
    if (access->channel == CHANNEL_REPEAT)
        return LLVMBuildUDiv(e->builder, channels, parameter, "");
    if (access->channel == CHANNEL_SHUFFLE) {
        LLVMValueRef group = LLVMBuildURem(e->builder, channels, parameter, "");
        LLVMValueRef place = LLVMBuildUDiv(e->builder, channels, parameter, "");
        LLVMValueRef width = emit_splat(e, emit_slot(e, slots->shuffle_width));
        return LLVMBuildAdd(e->builder, LLVMBuildMul(e->builder, group, width, ""), place, "");
    }
    return channels;
}

/* As it is stored. */
static LLVMValueRef load_stored(Emitter *e, const ElementRow *row, int i, LLVMValueRef channel,
                                LLVMValueRef mask) {
    const Access *access = &row->kernel->operands[i];
    const AccessSlots *slots = &row->slots->operands[i];
    DType dtype = slots->view.dtype;
    LLVMTypeRef element = emit_dtype(e, dtype);
    LLVMTypeRef vector = LLVMVectorType(element, (unsigned)e->target->lanes);
    unsigned align = (unsigned)dtype_size(dtype);
    LLVMValueRef value, channels;
    if (access->view.buffer < 0)
        return LLVMConstNull(vector);
    if (access->channel == CHANNEL_FIRST)
        value = emit_splat(e, emit_load(e, element, row->address[i], align));
    else if (access->kind == ACCESS_SEGMENT)
        value = emit_splat(
            e, emit_load(e, element, emit_at(e, element, row->address[i], row->segment), align));
    else if ((channels = operand_channels(e, access, slots, channel)))
        value = emit_gather(
            e, vector, strided(e, element, row->address[i], channels, access->view.channel_stride),
            mask);
    else
        value = emit_load_vector(e, vector, emit_at(e, element, row->address[i], channel), mask);
    if (row->visible[i])
        value = LLVMBuildSelect(e->builder, row->visible[i], value, LLVMConstNull(vector), "");
    return value;
}

static LLVMValueRef load_operand(Emitter *e, const ElementRow *row, int i, LLVMValueRef channel,
                                 LLVMValueRef mask) {
    return emit_widen(e, row->slots->operands[i].view.dtype, load_stored(e, row, i, channel, mask));
}

void elements_evaluate(Emitter *e, const ElementRow *row, LLVMValueRef channel, LLVMValueRef mask,
                       LLVMValueRef acc, LLVMValueRef *values) {
    const Kernel *kernel = row->kernel;
    ExpressionInputs inputs = {.constants_in_slots = true, .constants = row->slots->constants};
    for (int i = 0; i < kernel->operand_count; i++) {
        inputs.operands[i] = load_operand(e, row, i, channel, mask);
        if (row->visible[i])
            inputs.visible[i] = emit_splat(e, row->visible[i]);
    }
    if (acc)
        inputs.operands[kernel->operand_count] = acc;
    if (expression_uses_index(kernel->expression)) {
        LLVMValueRef width = emit_slot(e, row->slots->channels);
        LLVMValueRef first = emit_add(e, emit_mul(e, row->logical_row, width), channel);
        LLVMValueRef index = emit_lane_numbers(e, first);
        LLVMValueRef high = LLVMBuildLShr(e->builder, index, emit_splat(e, emit_int(e, 32)), "");
        inputs.index_low = LLVMBuildTrunc(e->builder, index, e->vector_i32, "");
        inputs.index_high = LLVMBuildTrunc(e->builder, high, e->vector_i32, "");
    }
    emit_expression(e, kernel->expression, e->target->lanes, &inputs, values);
}

void elements_store(Emitter *e, const ElementRow *row, LLVMValueRef channel, LLVMValueRef mask,
                    LLVMValueRef const *values) {
    const Kernel *kernel = row->kernel;
    for (int i = 0; i < kernel->output_count; i++) {
        DType dtype = row->slots->outputs[i].dtype;
        int64_t stride = kernel->outputs[i].channel_stride;
        if (stride == 1)
            emit_store_elements(e, dtype, values[i], row->output[i], channel, mask);
        else
            scatter(e, dtype, values[i],
                    strided(e, emit_dtype(e, dtype), row->output[i], emit_lane_numbers(e, channel),
                            stride),
                    mask);
    }
}

void elements_each_vector(Emitter *e, LLVMValueRef begin, LLVMValueRef end, ElementBody *body,
                          void *context) {
    LLVMValueRef lanes = emit_int(e, e->target->lanes);
    LLVMValueRef whole = emit_mul(e, emit_div(e, emit_sub(e, end, begin), lanes), lanes);
    LLVMValueRef middle = emit_add(e, begin, whole);
    Loop loop = loop_begin(e, begin, middle, lanes);
    body(e, context, loop.index, NULL);
    loop_end(e, &loop);
    Branch tail = branch_begin(e, emit_less(e, middle, end));
    body(e, context, middle, emit_lane_mask(e, emit_sub(e, end, middle)));
    branch_end(e, &tail);
}

ElementRange elements_chunk(Emitter *e, ElementRow *row, ElementCut cut) {
    if (cut.walk == WALK_SEGMENTS) {
        row->segment = emit_piece(e, cut.pieces, e->chunk, 2);
        return (ElementRange){emit_piece(e, cut.pieces, e->chunk, 0),
                              emit_piece(e, cut.pieces, e->chunk, 1)};
    }
    LLVMValueRef step = emit_slot(e, cut.size), begin = emit_mul(e, e->chunk, step);
    LLVMValueRef end = emit_min(e, emit_add(e, begin, step), emit_slot(e, cut.channels));
    return (ElementRange){begin, end};
}
