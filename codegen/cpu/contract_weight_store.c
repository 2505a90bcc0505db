#include "codegen/cpu/contract_weight.h"
#include "codegen/cpu/tiles.h"

typedef struct Flush {
    LLVMValueRef sums, totals, first;
} Flush;

static void flush_vector(Emitter *e, void *context, LLVMValueRef column, LLVMValueRef mask) {
    const Flush *flush = context;
    (void)mask;
    LLVMValueRef sum =
        emit_load_vector(e, e->vector_f32, emit_at(e, e->f32, flush->sums, column), NULL);
    LLVMValueRef place = emit_at(e, e->f64, flush->totals, column);
    LLVMValueRef total = emit_load(e, e->vector_f64, place, 8);
    total = LLVMBuildSelect(e->builder, flush->first, LLVMConstNull(e->vector_f64), total, "");
    sum = LLVMBuildFPExt(e->builder, sum, e->vector_f64, "");
    emit_store(e, LLVMBuildFAdd(e->builder, total, sum, ""), place, 8);
}

void emit_add_sums(Emitter *e, LLVMValueRef totals, LLVMValueRef sums, LLVMValueRef count,
                   LLVMValueRef first) {
    Flush flush = {sums, totals, first};
    elements_each_vector(e, emit_int(e, 0), count, flush_vector, &flush);
}

/* The sums of parts of the rows, doubles or fp32: `count` times, `step` elements apart. */
typedef struct Parts {
    LLVMTypeRef element;
    LLVMValueRef first, count, step;
    LLVMValueRef mask; /* of the lanes that there are, fp32 only; NULL: all */
} Parts;

/* A vector of them from element `place` on, added up in double, in order; as fp32. */
static LLVMValueRef add_parts(Emitter *e, const Parts *parts, LLVMValueRef place) {
    LLVMValueRef all = emit_variable(e, e->vector_f64, LLVMConstNull(e->vector_f64));
    Loop part = loop_begin(e, emit_int(e, 0), parts->count, emit_int(e, 1));
    LLVMValueRef from = emit_add(e, place, emit_mul(e, part.index, parts->step)), sum;
    from = emit_at(e, parts->element, parts->first, from);
    if (parts->element == e->f64)
        sum = emit_load(e, e->vector_f64, from, 8);
    else
        sum = LLVMBuildFPExt(e->builder, emit_load_vector(e, e->vector_f32, from, parts->mask),
                             e->vector_f64, "");
    emit_set(e, all, LLVMBuildFAdd(e->builder, emit_get(e, e->vector_f64, all), sum, ""));
    loop_end(e, &part);
    return LLVMBuildFPTrunc(e->builder, emit_get(e, e->vector_f64, all), e->vector_f32, "");
}

typedef struct StoredTotals {
    Parts parts;
    LLVMValueRef target;
} StoredTotals;

static void store_vector(Emitter *e, void *context, LLVMValueRef column, LLVMValueRef mask) {
    StoredTotals stored = *(const StoredTotals *)context;
    stored.parts.mask = mask;
    emit_store_vector(e, add_parts(e, &stored.parts, column),
                      emit_at(e, e->f32, stored.target, column), mask);
}

static void store_parts(Emitter *e, LLVMTypeRef element, const Totals *totals,
                        LLVMValueRef target) {
    StoredTotals stored = {{element, totals->first, totals->parts, totals->part, NULL}, target};
    elements_each_vector(e, emit_int(e, 0), totals->count, store_vector, &stored);
}

void emit_store_totals(Emitter *e, const Totals *totals, LLVMValueRef target) {
    store_parts(e, e->f64, totals, target);
}

void emit_store_sums(Emitter *e, const Totals *sums, LLVMValueRef target) {
    store_parts(e, e->f32, sums, target);
}

/* ---- From tiles ------------------------------------------------------------------------------ */

/* The sums of 16 rows and columns, from these on, turned, to `tile`: [row][column]. */
static void turn_sums(Emitter *e, const TurnedSums *sums, LLVMValueRef row, LLVMValueRef column,
                      LLVMValueRef tile) {
    LLVMValueRef turned[TILE_ROWS], places[TILE_ROWS];
    Parts parts = {e->f32, sums->first, sums->parts, sums->part, NULL};
    Loop columns = loop_begin(e, emit_int(e, 0), emit_int(e, TILE_COLUMNS), emit_int(e, 1));
    LLVMValueRef place = emit_mul(e, emit_add(e, column, columns.index), sums->row);
    LLVMValueRef target = emit_mul(e, columns.index, emit_int(e, TILE_ROWS));
    emit_store_vector(e, add_parts(e, &parts, emit_add(e, place, row)),
                      emit_at(e, e->f32, tile, target), NULL);
    loop_end(e, &columns);
    for (int i = 0; i < TILE_ROWS; i++) {
        places[i] = emit_at(e, e->f32, tile, emit_int(e, (int64_t)i * TILE_COLUMNS));
        turned[i] = emit_load_vector(e, e->vector_i32, places[i], NULL);
    }
    emit_transpose(e, turned);
    for (int i = 0; i < TILE_ROWS; i++)
        emit_store_vector(e, turned[i], places[i], NULL);
}

void emit_store_turned(Emitter *e, const TurnedSums *sums, LLVMValueRef rows, LLVMValueRef columns,
                       WeightRow *weight_row, const void *context) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), unit = emit_int(e, TILE_ROWS);
    LLVMValueRef tile = emit_array(e, e->f32, TILE_ROWS * TILE_COLUMNS);
    LLVMValueRef targets = emit_array(e, e->pointer, TILE_ROWS);
    Loop row = loop_begin(e, zero, rows, unit);
    LLVMValueRef count = emit_min(e, emit_sub(e, rows, row.index), unit);
    Loop found = loop_begin(e, zero, count, one);
    emit_store(e, weight_row(e, context, emit_add(e, row.index, found.index)),
               emit_at(e, e->pointer, targets, found.index), 8);
    loop_end(e, &found);
    Loop column = loop_begin(e, zero, columns, emit_int(e, TILE_COLUMNS));
    LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, columns, column.index));
    turn_sums(e, sums, row.index, column.index, tile);
    Loop stored = loop_begin(e, zero, count, one);
    LLVMValueRef from =
        emit_at(e, e->f32, tile, emit_mul(e, stored.index, emit_int(e, TILE_COLUMNS)));
    LLVMValueRef target =
        emit_load(e, e->pointer, emit_at(e, e->pointer, targets, stored.index), 8);
    emit_store_vector(e, emit_load_vector(e, e->vector_f32, from, NULL),
                      emit_at(e, e->f32, target, column.index), mask);
    loop_end(e, &stored);
    loop_end(e, &column);
    loop_end(e, &row);
}
