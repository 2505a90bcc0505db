/* Numbers as they lie in memory and as emitted code computes with them. bf16 numbers are the upper
 * halves of fp32 ones: they are loaded as fp32, and rounded to nearest, ties to even, where they
 * are stored; NaN stays NaN. Whole-number arithmetic, so that every target gives the same bits. */
#ifndef SPARKC_CODEGEN_CPU_DTYPE_H
#define SPARKC_CODEGEN_CPU_DTYPE_H

#include "codegen/cpu/emitter.h"

/* The LLVM type of a stored element. */
LLVMTypeRef emit_dtype(Emitter *emitter, DType dtype);

/* A vector of `lanes` stored elements as what is computed with: bf16 becomes fp32, all else is left
 * as it is. And back. */
LLVMValueRef emit_widen(Emitter *emitter, DType dtype, LLVMValueRef stored);
LLVMValueRef emit_narrow(Emitter *emitter, DType dtype, LLVMValueRef value);

/* The nearest bf16 number of each lane, as fp32. */
LLVMValueRef emit_round_to_bf16(Emitter *emitter, LLVMValueRef value);

/* `lanes` elements as bf16, each in the lower half of 32 bits, the upper one zero. mask as below.
 */
LLVMValueRef emit_load_bf16(Emitter *emitter, DType dtype, LLVMValueRef address, LLVMValueRef index,
                            LLVMValueRef mask);

/* `lanes` elements from number `index` behind an address, widened; the other way, narrowed. mask
 * NULL: all lanes; else those that are off are not touched, and give zero. */
LLVMValueRef emit_load_elements(Emitter *emitter, DType dtype, LLVMValueRef address,
                                LLVMValueRef index, LLVMValueRef mask);
void emit_store_elements(Emitter *emitter, DType dtype, LLVMValueRef value, LLVMValueRef address,
                         LLVMValueRef index, LLVMValueRef mask);

#endif
