/* Products of tiles: 16 x 16 fp32 sums of 16 x 32 by 32 x 16 bf16 numbers, eight tiles at hand
 * (Intel AMX: Intel 64 and IA-32 Architectures Software Developer's Manual, TDPBF16PS). Where the
 * target has no such instructions but is asked for tiles, they are written out in vectors, slowly:
 * so what is built of them can be tested on any machine. */
#ifndef SPARKC_CODEGEN_CPU_TILES_H
#define SPARKC_CODEGEN_CPU_TILES_H

#include "codegen/cpu/gemm.h"

/* Elements of a tile: of sums, rows x columns; of the left factor, rows x depth; of the right one,
 * depth / 2 rows of `columns` pairs: numbers 2k and 2k + 1 of a column lie side by side. */
enum {
    TILE_ROWS = 16,
    TILE_COLUMNS = 16,
    TILE_PANEL = 2 * TILE_COLUMNS, /* columns of a panel at most */
    TILE_DEPTH = STEP_TERMS,
    TILE_ELEMENTS = 512,
    TILE_BYTES = 1024
};

/* The tiles of the function that is being emitted. */
typedef struct Tiles {
    LLVMValueRef memory_; /* written out: of all eight */
} Tiles;

/* Makes the tiles ready, gives them back. In between their values last; no call may be made. */
Tiles tiles_begin(Emitter *emitter);
void tiles_end(Emitter *emitter);

/* Columns cut into panels of two tiles; the last one may have one. Blocks of at most `most`
 * columns. */
Panels tile_panels(int64_t columns, int64_t most);

/* C[rows x columns] = [C +] A B for a panel of B, in `steps` steps of TILE_DEPTH. A: step s of row
 * m is 32 bf16 numbers at a + s * a_step + m * a_row bytes. B: the tiles of a step lie one behind
 * the other, and so do the steps; if `b_tile` is not NULL, the steps of one tile do, and the next
 * tile begins so many bytes further on. C: fp32, row m at c + m * c_row elements. `accumulate`
 * (i1): whether C is read.
 * With `slices` (NULL: one) the depth is so many times `steps` steps, in A one behind the other; in
 * B the next slice begins `b_slice` bytes further on. With `taps` (NULL: none) a slice is so many
 * times `steps` steps in B, which has no gaps then; in A each tap reads the same steps, but t from
 * row m + entry t of the table `places`; and the last slice has `last_steps`. */
typedef struct TileOperands {
    LLVMValueRef a, a_row, a_step, b, b_tile, c, c_row, steps, accumulate;
    LLVMValueRef slices, b_slice, taps, last_steps;
    int places;
} TileOperands;

/* Emits it for `rows` rows, whole tiles of them, and a panel `width` columns wide. */
void emit_tile_panel(Emitter *emitter, const Tiles *tiles, const TileOperands *operands,
                     LLVMValueRef rows, LLVMValueRef width);

/* What tiles can do at most: `steps` times products into all four tiles of sums, which come from
 * nowhere (pairs: from `place`) and of which one goes to `place`. TILE_PEAK multiply-adds each
 * time. */
enum { TILE_PEAK = 4 * TILE_ROWS * TILE_COLUMNS * TILE_DEPTH };
void emit_tile_peak(Emitter *emitter, LLVMValueRef steps, LLVMValueRef place);

/* In the lanes of 32 bits: the bf16 numbers of `low` (each in the low half, the upper one zero)
 * beside those of `high`. */
LLVMValueRef emit_pairs(Emitter *emitter, LLVMValueRef low, LLVMValueRef high);

/* Two rows of 32 bf16 numbers as rows of pairs, each for 16 columns: numbers of one column lie side
 * by side. */
void emit_pair_rows(Emitter *emitter, LLVMValueRef const rows[2], LLVMValueRef pairs[2]);

#endif
