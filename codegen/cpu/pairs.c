#include "codegen/cpu/pairs.h"

#include "codegen/cpu/tiles.h"

enum { PAIRS = TILE_DEPTH / 2, VECTOR_BYTES = 64 };

PairBlock pair_block(int columns) {
    return (PairBlock){.rows = PAIR_BLOCK_SUMS / columns, .columns = columns};
}

static LLVMValueRef place_of(Emitter *e, LLVMValueRef c, LLVMValueRef c_bytes, int row,
                             int column) {
    LLVMValueRef offset = emit_add(e, emit_mul(e, c_bytes, emit_int(e, row)),
                                   emit_int(e, (int64_t)column * VECTOR_BYTES));
    return emit_at(e, e->i8, c, offset);
}

/* The variables are made here, at the first of the two. */
static void set_sum(Emitter *e, PairBlock *block, int sum, LLVMValueRef value) {
    if (!block->sums_[sum])
        block->sums_[sum] = emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32));
    emit_set(e, block->sums_[sum], value);
}

void pairs_clear(Emitter *e, PairBlock *block) {
    for (int i = 0; i < block->rows * block->columns; i++)
        set_sum(e, block, i, LLVMConstNull(e->vector_f32));
}

void pairs_load(Emitter *e, PairBlock *block, LLVMValueRef c, LLVMValueRef c_bytes) {
    for (int i = 0; i < block->rows * block->columns; i++) {
        LLVMValueRef place = place_of(e, c, c_bytes, i / block->columns, i % block->columns);
        set_sum(e, block, i, emit_load_vector(e, e->vector_f32, place, NULL));
    }
}

void pairs_store(Emitter *e, const PairBlock *block, LLVMValueRef c, LLVMValueRef c_bytes) {
    for (int i = 0; i < block->rows * block->columns; i++)
        emit_store_vector(e, emit_get(e, e->vector_f32, block->sums_[i]),
                          place_of(e, c, c_bytes, i / block->columns, i % block->columns), NULL);
}

/* The pairs in the lanes of a vector, as the instruction takes them. */
static LLVMValueRef as_bf16(Emitter *e, LLVMValueRef lanes) {
    LLVMTypeRef type = LLVMVectorType(LLVMBFloatTypeInContext(e->context), TILE_DEPTH);
    return LLVMBuildBitCast(e->builder, lanes, type, "");
}

void pairs_multiply(Emitter *e, const PairBlock *block, LLVMValueRef a, LLVMValueRef a_row,
                    LLVMValueRef b, LLVMValueRef b_tile) {
    LLVMValueRef right[PAIR_BLOCK_SUMS];
    for (int k = 0; k < PAIRS; k++) {
        for (int v = 0; v < block->columns; v++) {
            LLVMValueRef tile = emit_at(e, e->i8, b, emit_mul(e, b_tile, emit_int(e, v)));
            LLVMValueRef place = emit_at(e, e->i8, tile, emit_int(e, (int64_t)k * VECTOR_BYTES));
            right[v] = as_bf16(e, emit_load_vector(e, e->vector_i32, place, NULL));
        }
        for (int m = 0; m < block->rows; m++) {
            LLVMValueRef row = emit_at(e, e->i8, a, emit_mul(e, a_row, emit_int(e, m)));
            LLVMValueRef place = emit_at(e, e->i32, row, emit_int(e, k));
            LLVMValueRef left = as_bf16(e, emit_splat(e, emit_load(e, e->i32, place, 2)));
            for (int v = 0; v < block->columns; v++) {
                LLVMValueRef variable = block->sums_[m * block->columns + v];
                LLVMValueRef arguments[] = {emit_get(e, e->vector_f32, variable), left, right[v]};
                emit_set(
                    e, variable,
                    emit_intrinsic(e, "llvm.x86.avx512bf16.dpbf16ps.512", NULL, 0, arguments, 3));
            }
        }
    }
}
