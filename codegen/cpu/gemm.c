#include "codegen/cpu/gemm.h"

#include "codegen/cpu/elements.h"

enum { MAX_BLOCK_ROWS = 12, BLOCK_VECTORS = 2 };

GemmBlock gemm_block(const CpuTarget *target) {
    /* rows x vectors accumulators, `vectors` for B and one for the broadcast of A must fit. */
    return (GemmBlock){target->registers >= 32 ? MAX_BLOCK_ROWS : 6, BLOCK_VECTORS};
}

int gemm_panel(const CpuTarget *target) {
    return gemm_block(target).vectors * target->lanes;
}

typedef struct Accumulators {
    LLVMValueRef at[MAX_BLOCK_ROWS][BLOCK_VECTORS];
} Accumulators;

static LLVMValueRef c_address(Emitter *e, const GemmOperands *o, int m, int v) {
    LLVMValueRef row = emit_mul(e, o->c_row, emit_int(e, m));
    return emit_at(e, e->f32, o->c, emit_add(e, row, emit_int(e, (int64_t)v * e->target->lanes)));
}

static Accumulators begin_block(Emitter *e, const GemmOperands *o, GemmBlock block) {
    Accumulators acc;
    LLVMValueRef zero = LLVMConstNull(e->vector_f32);
    for (int m = 0; m < block.rows; m++)
        for (int v = 0; v < block.vectors; v++)
            acc.at[m][v] = emit_variable(e, e->vector_f32, zero);
    Branch add = branch_begin(e, o->accumulate);
    for (int m = 0; m < block.rows; m++)
        for (int v = 0; v < block.vectors; v++)
            emit_set(e, acc.at[m][v],
                     emit_load_vector(e, e->vector_f32, c_address(e, o, m, v), NULL));
    branch_end(e, &add);
    return acc;
}

void emit_gemm_block(Emitter *e, const GemmOperands *o, int vectors) {
    GemmBlock block = {gemm_block(e->target).rows, vectors};
    LLVMValueRef panel = emit_int(e, gemm_panel(e->target));
    Accumulators acc = begin_block(e, o, block);
    Loop depth = loop_begin(e, emit_int(e, 0), o->depth, emit_int(e, 1));
    LLVMValueRef b_row = emit_at(e, e->f32, o->b, emit_mul(e, depth.index, panel));
    LLVMValueRef a_column = emit_at(e, e->f32, o->a, emit_mul(e, depth.index, o->a_depth));
    LLVMValueRef b[BLOCK_VECTORS];
    for (int v = 0; v < block.vectors; v++)
        b[v] = emit_load_vector(
            e, e->vector_f32, emit_at(e, e->f32, b_row, emit_int(e, (int64_t)v * e->target->lanes)),
            NULL);
    for (int m = 0; m < block.rows; m++) {
        LLVMValueRef place = emit_at(e, e->f32, a_column, emit_mul(e, o->a_row, emit_int(e, m)));
        LLVMValueRef a = emit_splat(e, emit_load(e, e->f32, place, 4));
        for (int v = 0; v < block.vectors; v++)
            emit_set(e, acc.at[m][v],
                     emit_fma(e, a, b[v], emit_get(e, e->vector_f32, acc.at[m][v])));
    }
    loop_end(e, &depth);
    for (int m = 0; m < block.rows; m++)
        for (int v = 0; v < block.vectors; v++)
            emit_store_vector(e, emit_get(e, e->vector_f32, acc.at[m][v]), c_address(e, o, m, v),
                              NULL);
}

/* The rows of one panel, `vectors` vectors wide. */
static void emit_gemm_rows(Emitter *e, const GemmOperands *operands, LLVMValueRef rows,
                           int vectors) {
    GemmOperands o = *operands;
    Loop blocks = loop_begin(e, emit_int(e, 0), rows, emit_int(e, gemm_block(e->target).rows));
    o.a = emit_at(e, e->f32, operands->a, emit_mul(e, blocks.index, o.a_row));
    o.c = emit_at(e, e->f32, operands->c, emit_mul(e, blocks.index, o.c_row));
    emit_gemm_block(e, &o, vectors);
    loop_end(e, &blocks);
}

void emit_gemm_panel(Emitter *e, const GemmOperands *operands, LLVMValueRef rows,
                     LLVMValueRef columns) {
    LLVMValueRef narrow =
        LLVMBuildICmp(e->builder, LLVMIntSLE, columns, emit_int(e, e->target->lanes), "");
    Branch width = branch_begin(e, narrow);
    emit_gemm_rows(e, operands, rows, 1);
    branch_else(e, &width);
    emit_gemm_rows(e, operands, rows, BLOCK_VECTORS);
    branch_end(e, &width);
}

static void clear_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    emit_store_vector(e, LLVMConstNull(e->vector_f32), emit_at(e, e->f32, context, channel), mask);
}

void emit_clear(Emitter *e, LLVMValueRef pointer, LLVMValueRef count) {
    elements_each_vector(e, emit_int(e, 0), count, clear_vector, pointer);
}

static LLVMValueRef table_entry(Emitter *e, LLVMValueRef table, LLVMValueRef row, int field) {
    LLVMValueRef index =
        emit_add(e, emit_mul(e, row, emit_int(e, ROW_TABLE_ENTRIES)), emit_int(e, field));
    return emit_at(e, e->i64, table, index);
}

void emit_row_table(Emitter *e, const TapSlots *taps, const SpaceSlots *walked, LLVMValueRef first,
                    LLVMValueRef count, LLVMValueRef table) {
    Loop rows = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef origin[TYPE_MAX_SPACE];
    RowPlace place = emit_phase_row(e, taps, walked, emit_add(e, first, rows.index));
    emit_tap_origin(e, taps, &place, origin);
    emit_store(e, place.image, table_entry(e, table, rows.index, 0), 8);
    for (int d = 0; d < taps->source.rank; d++)
        emit_store(e, origin[d], table_entry(e, table, rows.index, 1 + d), 8);
    loop_end(e, &rows);
}

/* ---- Packing --------------------------------------------------------------------------------- */

PackedSource slot_packed_source(Slots *slots, const Kernel *kernel) {
    const Contraction *contraction = &kernel->contraction;
    PackedSource source = {.bf16 = contraction->bf16,
                           .taps = slot_taps(slots, &contraction->taps, &kernel->space),
                           .a = slot_view(slots, &contraction->a)};
    if (!contraction->prologue)
        return source;
    Kernel *prologue = arena_new(slots->arena, Kernel);
    *prologue = kernel_prologue(kernel);
    source.prologue = prologue;
    source.elements = slot_elements(slots, prologue);
    return source;
}

typedef struct PackedRow {
    const PackedSource *source;
    const ElementRow *row; /* of the prologue; NULL: `address` is the row */
    LLVMValueRef address;
    LLVMValueRef first; /* channel */
    LLVMValueRef target;
} PackedRow;

static void pack_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const PackedRow *packed = context;
    DType dtype = packed->source->a.dtype;
    LLVMValueRef value, from = emit_add(e, packed->first, channel);
    if (packed->row)
        elements_evaluate(e, packed->row, from, mask, NULL, &value);
    else
        value = emit_load_elements(e, dtype, packed->address, from, mask);
    if (packed->source->bf16 && (packed->row || dtype != DTYPE_BF16))
        value = emit_round_to_bf16(e, value);
    emit_store_vector(e, value, emit_at(e, e->f32, packed->target, channel), mask);
}

/* One row of the source, `count` channels from `first` on. */
static void pack_source_row(Emitter *e, const PackedSource *source, RowPlace *place,
                            const PackedTaps *part, LLVMValueRef target) {
    PackedRow packed = {.source = source, .first = part->first, .target = target};
    ElementRow row;
    if (source->prologue) {
        row = elements_begin(e, source->prologue, &source->elements, place);
        packed.row = &row;
    } else {
        packed.address = emit_row_address(e, &source->a, place->image, place->row);
    }
    elements_each_vector(e, emit_int(e, 0), part->count, pack_vector, &packed);
}

void emit_pack_row(Emitter *e, const PackedSource *source, const PackedTaps *part,
                   LLVMValueRef table, LLVMValueRef row_index, LLVMValueRef target) {
    const TapSlots *taps = &source->taps;
    LLVMValueRef origin[TYPE_MAX_SPACE];
    RowPlace place = {.image = emit_load(e, e->i64, table_entry(e, table, row_index, 0), 8)};
    for (int d = 0; d < taps->source.rank; d++)
        origin[d] = emit_load(e, e->i64, table_entry(e, table, row_index, 1 + d), 8);
    Loop tap = loop_begin(e, part->first_tap, part->end_tap, emit_int(e, 1));
    LLVMValueRef nth = emit_sub(e, tap.index, part->first_tap);
    LLVMValueRef here = emit_at(e, e->f32, target, emit_mul(e, nth, part->count));
    place.row = emit_tap_row(e, taps, place.image, origin, tap.index);
    Branch there =
        branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntSGE, place.row, emit_int(e, 0), ""));
    pack_source_row(e, source, &place, part, here);
    branch_else(e, &there);
    emit_clear(e, here, part->count);
    branch_end(e, &there);
    loop_end(e, &tap);
}
