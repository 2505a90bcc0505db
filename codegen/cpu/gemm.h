/* The inner parts of matrix products (Goto and van de Geijn, 2008): packing the rows that taps
 * read, and the register-blocked product of a packed block with a packed panel. */
#ifndef SPARKC_CODEGEN_CPU_GEMM_H
#define SPARKC_CODEGEN_CPU_GEMM_H

#include "codegen/cpu/elements.h"
#include "codegen/cpu/taps.h"

/* Rows and vectors of the largest block that is held in registers: rows x vectors accumulators. */
typedef struct GemmBlock {
    int rows, vectors;
} GemmBlock;

/* The block that suits the registers of a target. */
GemmBlock gemm_block(const CpuTarget *target);

/* Columns cut into panels, each as wide as a register block: `wide` panels of gemm_block's vectors,
 * behind them narrower ones of two; a single vector is a panel of its own. No vector is padding.
 * `blocks` blocks have `per_block` panels each, the last one what is left; `widest` columns are as
 * wide as any of them. */
typedef struct Panels {
    int64_t vectors, wide, count, per_block, blocks, widest;
} Panels;

/* Blocks of at most `most` columns. */
Panels gemm_panels(const CpuTarget *target, int64_t columns, int64_t most);

/* Its slots. */
typedef struct PanelSlots {
    int columns, vectors, wide, count, per_block, blocks;
} PanelSlots;

PanelSlots slot_panels(Slots *slots, const Panels *panels, int64_t columns);

/* The panels [first, end) of a block, and its columns. */
typedef struct PanelBlock {
    LLVMValueRef first, end, first_column, column_count;
} PanelBlock;

PanelBlock emit_panel_block(Emitter *emitter, const PanelSlots *slots, LLVMValueRef block);

/* Where panel number `panel` starts (panel may be the count: the end), and its width; in columns,
 * whole vectors. */
LLVMValueRef emit_panel_start(Emitter *emitter, const PanelSlots *slots, LLVMValueRef panel);
LLVMValueRef emit_panel_width(Emitter *emitter, const PanelSlots *slots, LLVMValueRef panel);

/* C[rows x columns] = [C +] A B for a panel of B: `depth` rows of `width` fp32, one behind the
 * other (for each tap). A is read through a table of pointers to its rows, from element `first` on:
 * - by row: entry m + tap * tap_step points to row m, and the product runs along it, `taps` times;
 * - by column: entry k points to what all rows of C take at depth k, row m element first + m.
 * C row m starts at c + m * c_row. `accumulate` (i1): whether C is read. By row, the rows of B for
 * a tap start `b_step` rows behind those of the one before. `rows` (NULL: none) is a table of row
 * numbers, i64, beside the one of pointers, where only some rows take part: entry m is the row of C
 * (by row), entry k that of the panel (by column). */
typedef struct GemmOperands {
    bool by_column;
    LLVMValueRef a, first, taps, tap_step, b, b_step, c, c_row, depth, accumulate, rows;
} GemmOperands;

/* Emits it for `rows` rows, a whole number of register blocks, and a panel `width` columns wide. */
void emit_gemm_panel(Emitter *emitter, const GemmOperands *operands, LLVMValueRef rows,
                     LLVMValueRef width);

/* The slots of what is packed: a behind its prologue, at the taps. */
typedef struct PackedSource {
    bool bf16;    /* rounded, see Contraction */
    DType packed; /* as what it is packed: fp32, or, of what is rounded, bf16 */
    TapSlots taps;
    ViewSlots a;
    const Kernel *prologue; /* kernel_prologue's, or NULL */
    ElementSlots elements;  /* of the prologue */
    int rows;               /* of the source, all images */
} PackedSource;

/* Adds the slots. */
PackedSource slot_packed_source(Slots *slots, const Kernel *kernel, DType packed);

/* The channels `first` .. `first + count` of taps [first_tap, end_tap) of a row, one tap behind the
 * other, as fp32 at `target`; hidden and outside taps give zeros. The row is entry `row` of a row
 * table. */
typedef struct PackedTaps {
    LLVMValueRef first_tap, end_tap, first, count;
} PackedTaps;

void emit_pack_row(Emitter *emitter, const PackedSource *source, const PackedTaps *part,
                   LLVMValueRef table, LLVMValueRef row, LLVMValueRef target);

/* The same of a row of the source, without regard to taps. */
void emit_pack_place(Emitter *emitter, const PackedSource *source, RowPlace *place,
                     const PackedTaps *part, LLVMValueRef target);

/* Rows [first, first + count) of a source, counted over the batch, that are packed: row r is at
 * rows
 * + (r - first) * step fp32. */
typedef struct RowRange {
    LLVMValueRef first, count, rows;
    int64_t step;
} RowRange;

/* Where the taps of rows [first, first + count) of the phase start: the image and, per direction,
 * what the offsets are added to; a table of ROW_TABLE_ROWS i64 each. Rows are found once and read
 * many times. Behind `count` the last row is repeated up to a whole number of vectors and of
 * register blocks; for a target with tiles, of ROW_UNIT. */
enum {
    ROW_UNIT = 32,
    ROW_TABLE_ROWS = 256,
    ROW_TABLE_BYTES = 8 * ROW_TABLE_ROWS * (1 + TYPE_MAX_SPACE)
};

void emit_row_table(Emitter *emitter, const TapSlots *taps, const SpaceSlots *walked,
                    LLVMValueRef first, LLVMValueRef count, LLVMValueRef table);

/* Whether rows are read where they are, through pointers, instead of being packed: fp32 without a
 * prologue, multiplied as they are, and enough of each for finding it. */
bool gemm_reads_rows(const Program *program, const Kernel *kernel);

/* Pointers to the rows that the taps [first_tap, end_tap) read, for `count` rows of a row table
 * (and those repeated behind); ROW_TABLE_ROWS pointers for each tap: to channel `channel` of the
 * row, or, of a range, to the packed row, or to `zeros` where it is hidden or outside. */
typedef struct RowPointers {
    LLVMValueRef first_tap, end_tap, table, count, channel, zeros;
    const RowRange *range; /* or NULL */
} RowPointers;

void emit_row_pointers(Emitter *emitter, const PackedSource *source, const RowPointers *rows,
                       LLVMValueRef pointers);

/* Terms of a step of tiles, and their bytes in bf16. */
enum { STEP_TERMS = 32, STEP_BYTES = 64 };

/* How rows of bf16 lie for tiles: step s of row m at start + m * row + s * step bytes. */
typedef struct StepRows {
    LLVMValueRef start, row, step;
} StepRows;

/* A step of a row, as bf16: 32 elements of `address` on, of which there are `count`; zeros behind
 * them. For a target of 16 lanes. */
LLVMValueRef emit_load_step(Emitter *emitter, DType dtype, LLVMValueRef address,
                            LLVMValueRef count);

/* Copies what such pointers point at, `count` rows, as emit_pack_row does, as bf16. Up to 31
 * elements behind a row become zero. Where the channels of a tap are no whole steps, the steps of a
 * row lie one behind the other. */
void emit_copy_rows(Emitter *emitter, const PackedSource *source, const PackedTaps *part,
                    LLVMValueRef pointers, const StepRows *target, LLVMValueRef count);

/* Of `count` pointers to rows as emit_row_pointers makes them for a tap, those that are not `zeros`
 * move to the front, in order; `numbers` (i64) tells where each was. Both are filled up to a
 * multiple of `unit`, with `zeros` and the number `spare`. Returns how many are there. */
typedef struct PresentRows {
    LLVMValueRef pointers, zeros, count, numbers;
    int64_t unit, spare;
} PresentRows;

LLVMValueRef emit_present_rows(Emitter *emitter, const PresentRows *rows);

/* Pointers to `count` rows at `rows`, `step` fp32 from one to the next. */
void emit_even_pointers(Emitter *emitter, LLVMValueRef rows, LLVMValueRef step, LLVMValueRef count,
                        LLVMValueRef pointers);

/* Has `count` elements of a row, wherever it is, brought into the second cache. */
void emit_fetch_row(Emitter *emitter, DType dtype, LLVMValueRef row, LLVMValueRef count);

/* Zeros at pointer[0 .. count). */
void emit_clear(Emitter *emitter, DType dtype, LLVMValueRef pointer, LLVMValueRef count);

#endif
