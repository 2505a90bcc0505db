/* The gradient of a weight: what its ways share, and those by strips and by Winograd's tiles. */
#ifndef SPARKC_CODEGEN_CPU_CONTRACT_WEIGHT_H
#define SPARKC_CODEGEN_CPU_CONTRACT_WEIGHT_H

#include "codegen/cpu/gemm.h"

enum {
    WEIGHT_ENOUGH_CHUNKS = 16, /* so that threads end together */
    WEIGHT_PART_ROWS = 65536   /* from tiles: rows that are summed in fp32 at most, 32 at a time */
};

/* How many parts `rows` are cut into, each a number of whole `unit` rows, *size: enough chunks for
 * all threads if each part has `blocks` blocks, and at least `least`. */
int64_t weight_parts(int64_t rows, int64_t least, int64_t blocks, int64_t unit, int64_t *size);

/* totals[i] += sums[i], doubles and fp32, for i < count; both are padded to whole vectors. `first`
 * (i1): the totals are not there yet, and are zero. */
void emit_add_sums(Emitter *emitter, LLVMValueRef totals, LLVMValueRef sums, LLVMValueRef count,
                   LLVMValueRef first);

/* Totals of the parts of the rows, of `count` columns of a row of the weight: `parts` times, `part`
 * doubles from one to the next. */
typedef struct Totals {
    LLVMValueRef first, parts, part, count;
} Totals;

/* Their sums, in order, as fp32 to `target`; the same of parts that are fp32. */
void emit_store_totals(Emitter *emitter, const Totals *totals, LLVMValueRef target);
void emit_store_sums(Emitter *emitter, const Totals *sums, LLVMValueRef target);

/* Sums in fp32 that are [column][row of the weight], `row` elements from column to column; `parts`
 * times, `part` elements from one to the next. Rows and columns are whole tiles of them. */
typedef struct TurnedSums {
    LLVMValueRef first, row, parts, part;
} TurnedSums;

/* Where row number `row` of a block is in the weight, at the block's first column. */
typedef LLVMValueRef WeightRow(Emitter *emitter, const void *context, LLVMValueRef row);

/* Stores `rows` x `columns` of them in the weight, all parts added up, in order, in double. */
void emit_store_turned(Emitter *emitter, const TurnedSums *sums, LLVMValueRef rows,
                       LLVMValueRef columns, WeightRow *weight_row, const void *context);

/* The gradient from tiles where contraction_takes_strips: bind and emit of a KernelEmitter. */
void bind_weight_strips(Slots *slots, const Kernel *kernel, int stage);
void emit_weight_strips(Emitter *emitter, const Program *program, const Kernel *kernel, int stage);

/* The gradient where contraction_takes_winograd, likewise. */
void bind_weight_winograd(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage);
void emit_weight_winograd(Emitter *emitter, const Program *program, const Kernel *kernel,
                          int stage);

#endif
