/* Products of bf16 tiles in vectors, by products of pairs (VDPBF16PS of AVX512-BF16: Intel 64 and
 * IA-32 Architectures Software Developer's Manual; AMD64 Architecture Programmer's Manual, volume
 * 4): each lane of 32 bits adds the two products of a pair. A block of sums stays in registers. */
#ifndef SPARKC_CODEGEN_CPU_PAIRS_H
#define SPARKC_CODEGEN_CPU_PAIRS_H

#include "codegen/cpu/emitter.h"

enum { PAIR_BLOCK_SUMS = 16 };

/* `rows` x `columns` vectors of fp32 sums, at most PAIR_BLOCK_SUMS of them. */
typedef struct PairBlock {
    int rows, columns;
    LLVMValueRef sums_[PAIR_BLOCK_SUMS];
} PairBlock;

/* The block for panels of so many vectors: as many rows as keep the multipliers busy. */
PairBlock pair_block(int columns);

/* The sums come from c, rows `c_bytes` apart, or from nowhere; they go there. */
void pairs_load(Emitter *emitter, PairBlock *block, LLVMValueRef c, LLVMValueRef c_bytes);
void pairs_clear(Emitter *emitter, PairBlock *block);
void pairs_store(Emitter *emitter, const PairBlock *block, LLVMValueRef c, LLVMValueRef c_bytes);

/* Adds the product over 32 terms: of a, bf16 rows `a_row` bytes apart, and of b, the block's tiles,
 * `b_tile` bytes apart, each 16 rows of 16 pairs. */
void pairs_multiply(Emitter *emitter, const PairBlock *block, LLVMValueRef a, LLVMValueRef a_row,
                    LLVMValueRef b, LLVMValueRef b_tile);

#endif
