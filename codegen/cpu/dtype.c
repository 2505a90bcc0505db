#include "codegen/cpu/dtype.h"

enum { HALF = 16 }; /* bits of bf16, and those of fp32 that it lacks */

LLVMTypeRef emit_dtype(Emitter *e, DType dtype) {
    switch (dtype) {
    case DTYPE_F32:
        return e->f32;
    case DTYPE_BF16:
        return e->i16;
    default:
        return e->i32;
    }
}

static LLVMTypeRef vector_of(Emitter *e, DType dtype) {
    return LLVMVectorType(emit_dtype(e, dtype), (unsigned)e->target->lanes);
}

static LLVMValueRef splat_bits(Emitter *e, int32_t bits) {
    return emit_splat(e, emit_int32(e, bits));
}

LLVMValueRef emit_widen(Emitter *e, DType dtype, LLVMValueRef stored) {
    if (dtype != DTYPE_BF16)
        return stored;
    LLVMValueRef low = LLVMBuildZExt(e->builder, stored, e->vector_i32, "");
    LLVMValueRef bits = LLVMBuildShl(e->builder, low, splat_bits(e, HALF), "");
    return LLVMBuildBitCast(e->builder, bits, e->vector_f32, "");
}

/* The bits of the nearest bf16 number in the low half: adding just below half a unit, and the last
 * bit that is kept, carries where it has to be rounded up. A NaN keeps its upper half, made quiet,
 * since its lower half may be all that is not zero. */
static LLVMValueRef nearest_bits(Emitter *e, LLVMValueRef value) {
    LLVMBuilderRef b = e->builder;
    LLVMValueRef bits = LLVMBuildBitCast(b, value, e->vector_i32, "");
    LLVMValueRef upper = LLVMBuildLShr(b, bits, splat_bits(e, HALF), "");
    LLVMValueRef last = LLVMBuildAnd(b, upper, splat_bits(e, 1), "");
    LLVMValueRef sum = LLVMBuildAdd(b, bits, splat_bits(e, 0x7FFF), "");
    sum = LLVMBuildAdd(b, sum, last, "");
    LLVMValueRef rounded = LLVMBuildLShr(b, sum, splat_bits(e, HALF), "");
    LLVMValueRef quiet = LLVMBuildOr(b, upper, splat_bits(e, 0x40), "");
    LLVMValueRef nan = LLVMBuildFCmp(b, LLVMRealUNO, value, value, "");
    return LLVMBuildSelect(b, nan, quiet, rounded, "");
}

LLVMValueRef emit_narrow(Emitter *e, DType dtype, LLVMValueRef value) {
    if (dtype != DTYPE_BF16)
        return value;
    return LLVMBuildTrunc(e->builder, nearest_bits(e, value), vector_of(e, dtype), "");
}

LLVMValueRef emit_round_to_bf16(Emitter *e, LLVMValueRef value) {
    LLVMValueRef bits = LLVMBuildShl(e->builder, nearest_bits(e, value), splat_bits(e, HALF), "");
    return LLVMBuildBitCast(e->builder, bits, e->vector_f32, "");
}

LLVMValueRef emit_load_bf16(Emitter *e, DType dtype, LLVMValueRef address, LLVMValueRef index,
                            LLVMValueRef mask) {
    LLVMValueRef place = emit_at(e, emit_dtype(e, dtype), address, index);
    LLVMValueRef stored = emit_load_vector(e, vector_of(e, dtype), place, mask);
    if (dtype != DTYPE_BF16)
        return nearest_bits(e, stored);
    return LLVMBuildZExt(e->builder, stored, e->vector_i32, "");
}

LLVMValueRef emit_load_elements(Emitter *e, DType dtype, LLVMValueRef address, LLVMValueRef index,
                                LLVMValueRef mask) {
    LLVMValueRef place = emit_at(e, emit_dtype(e, dtype), address, index);
    return emit_widen(e, dtype, emit_load_vector(e, vector_of(e, dtype), place, mask));
}

void emit_store_elements(Emitter *e, DType dtype, LLVMValueRef value, LLVMValueRef address,
                         LLVMValueRef index, LLVMValueRef mask) {
    LLVMValueRef place = emit_at(e, emit_dtype(e, dtype), address, index);
    emit_store_vector(e, emit_narrow(e, dtype, value), place, mask);
}
