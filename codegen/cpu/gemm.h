/* The inner parts of matrix products (Goto and van de Geijn, 2008): packing the rows that taps
 * read, and the register-blocked product of a packed block with a packed panel. */
#ifndef SPARKC_CODEGEN_CPU_GEMM_H
#define SPARKC_CODEGEN_CPU_GEMM_H

#include "codegen/cpu/elements.h"
#include "codegen/cpu/taps.h"

/* Rows and vectors of the block that is held in registers: rows x vectors accumulators. */
typedef struct GemmBlock {
    int rows, vectors;
} GemmBlock;

/* The block that suits the registers of a target. */
GemmBlock gemm_block(const CpuTarget *target);

/* Columns of a panel: vectors x lanes. */
int gemm_panel(const CpuTarget *target);

/* C[rows x columns] = [C +] A B for one register block, `vectors` vectors of the panel's columns
 * wide. A element (m, k) at a + m * a_row + k * a_depth, B row k at b + k * panel, C row m at c + m
 * * c_row (fp32 elements). `accumulate` (i1): whether C is read. */
typedef struct GemmOperands {
    LLVMValueRef a, a_row, a_depth, b, c, c_row, depth, accumulate;
} GemmOperands;

/* Emits it. */
void emit_gemm_block(Emitter *emitter, const GemmOperands *operands, int vectors);

/* The same for all `rows` (a whole number of register blocks) of A and C, whose first rows
 * `operands` gives; only the vectors that hold some of the `columns` columns left in this panel are
 * computed. */
void emit_gemm_panel(Emitter *emitter, const GemmOperands *operands, LLVMValueRef rows,
                     LLVMValueRef columns);

/* The slots of what is packed: a behind its prologue, at the taps. */
typedef struct PackedSource {
    bool bf16; /* rounded, see Contraction */
    TapSlots taps;
    ViewSlots a;
    const Kernel *prologue; /* kernel_prologue's, or NULL */
    ElementSlots elements;  /* of the prologue */
} PackedSource;

/* Adds the slots. */
PackedSource slot_packed_source(Slots *slots, const Kernel *kernel);

/* The channels `first` .. `first + count` of taps [first_tap, end_tap) of a row, one tap behind the
 * other, as fp32 at `target`; hidden and outside taps give zeros. The row is entry `row` of a row
 * table. */
typedef struct PackedTaps {
    LLVMValueRef first_tap, end_tap, first, count;
} PackedTaps;

void emit_pack_row(Emitter *emitter, const PackedSource *source, const PackedTaps *part,
                   LLVMValueRef table, LLVMValueRef row, LLVMValueRef target);

/* Where the taps of rows [first, first + count) of the phase start: for each its image and, per
 * direction, what the offsets are added to; ROW_TABLE_ENTRIES i64 a row. Rows are found once and
 * packed many times. */
enum { ROW_TABLE_ENTRIES = 1 + TYPE_MAX_SPACE };

void emit_row_table(Emitter *emitter, const TapSlots *taps, const SpaceSlots *walked,
                    LLVMValueRef first, LLVMValueRef count, LLVMValueRef table);

/* fp32 zeros at pointer[0 .. count). */
void emit_clear(Emitter *emitter, LLVMValueRef pointer, LLVMValueRef count);

#endif
