#include "codegen/cpu/tiles.h"

#include "base/integer.h"
#include "codegen/cpu/pairs.h"

enum {
    TILES = 8,
    FIRST_A = 4,
    FIRST_B = 6,
    FACTORS = 2, /* tiles of A, and of B */
    SUMS = 4,    /* tiles of sums: as many products are under way */
    BLOCK = 2    /* columns of tiles in a panel */
};

/* ---- Single tiles ---------------------------------------------------------------------------- */

static bool has_instructions(const Emitter *e) {
    return e->target->tiles == CPU_TILES_AMX;
}

/* Whether sums stay in vector registers instead of tiles. */
static bool multiplies_pairs(const Emitter *e) {
    return e->target->tiles == CPU_TILES_PAIRS;
}

static LLVMValueRef tile_number(Emitter *e, int tile) {
    return LLVMConstInt(e->i8, (unsigned long long)tile, 0);
}

/* LDTILECFG's 64 bytes: palette 1; bytes of a row (16 bits) from byte 16 on, rows (8 bits) from
 * byte 48 on, of each tile. */
static LLVMValueRef emit_configuration(Emitter *e) {
    static const int64_t words[] = {1, 0, 0x0040004000400040, 0x0040004000400040,
                                    0, 0, 0x1010101010101010, 0};
    LLVMValueRef memory = emit_array(e, e->i64, 8);
    for (int i = 0; i < 8; i++)
        emit_store(e, emit_int(e, words[i]), emit_at(e, e->i64, memory, emit_int(e, i)), 8);
    return memory;
}

Tiles tiles_begin(Emitter *e) {
    if (multiplies_pairs(e))
        return (Tiles){NULL};
    if (!has_instructions(e))
        return (Tiles){emit_array(e, e->i8, TILES * TILE_ROWS * STEP_BYTES)};
    LLVMValueRef configuration = emit_configuration(e);
    emit_intrinsic(e, "llvm.x86.ldtilecfg", NULL, 0, &configuration, 1);
    return (Tiles){NULL};
}

void tiles_end(Emitter *e) {
    if (has_instructions(e))
        emit_intrinsic(e, "llvm.x86.tilerelease", NULL, 0, NULL, 0);
}

/* Row `row` of a tile that is written out. */
static LLVMValueRef row_of(Emitter *e, const Tiles *tiles, int tile, LLVMValueRef row) {
    LLVMValueRef number = emit_add(e, emit_int(e, (int64_t)tile * TILE_ROWS), row);
    return emit_at(e, e->i8, tiles->memory_, emit_mul(e, number, emit_int(e, STEP_BYTES)));
}

/* Loads a tile from rows in memory, `step` bytes apart, or stores it there. */
static void move_tile(Emitter *e, const Tiles *tiles, int tile, LLVMValueRef place,
                      LLVMValueRef step, bool load) {
    LLVMValueRef arguments[] = {tile_number(e, tile), place, step};
    if (has_instructions(e)) {
        emit_intrinsic(e, load ? "llvm.x86.tileloadd64" : "llvm.x86.tilestored64", NULL, 0,
                       arguments, 3);
        return;
    }
    Loop rows = loop_begin(e, emit_int(e, 0), emit_int(e, TILE_ROWS), emit_int(e, 1));
    LLVMValueRef outside = emit_at(e, e->i8, place, emit_mul(e, rows.index, step));
    LLVMValueRef inside = row_of(e, tiles, tile, rows.index);
    LLVMValueRef row = emit_load_vector(e, e->vector_i32, load ? outside : inside, NULL);
    emit_store_vector(e, row, load ? inside : outside, NULL);
    loop_end(e, &rows);
}

static void load_tile(Emitter *e, const Tiles *tiles, int tile, LLVMValueRef place,
                      LLVMValueRef step) {
    move_tile(e, tiles, tile, place, step, true);
}

static void store_tile(Emitter *e, const Tiles *tiles, int tile, LLVMValueRef place,
                       LLVMValueRef step) {
    move_tile(e, tiles, tile, place, step, false);
}

static void clear_tile(Emitter *e, const Tiles *tiles, int tile) {
    LLVMValueRef number = tile_number(e, tile);
    if (has_instructions(e)) {
        emit_intrinsic(e, "llvm.x86.tilezero", NULL, 0, &number, 1);
        return;
    }
    Loop rows = loop_begin(e, emit_int(e, 0), emit_int(e, TILE_ROWS), emit_int(e, 1));
    emit_store_vector(e, LLVMConstNull(e->vector_i32), row_of(e, tiles, tile, rows.index), NULL);
    loop_end(e, &rows);
}

/* The lower, or the upper, bf16 numbers of pairs, as fp32. */
static LLVMValueRef half_of(Emitter *e, LLVMValueRef pairs, bool upper) {
    LLVMValueRef mask = emit_splat(e, emit_int32(e, (int32_t)0xFFFF0000));
    LLVMValueRef shift = emit_splat(e, emit_int32(e, 16));
    LLVMValueRef bits = upper ? LLVMBuildAnd(e->builder, pairs, mask, "")
                              : LLVMBuildShl(e->builder, pairs, shift, "");
    return LLVMBuildBitCast(e->builder, bits, e->vector_f32, "");
}

/* c += a b, as the instruction does it: the lower numbers of the pairs and the upper ones are
 * summed apart. */
static void multiply_written_out(Emitter *e, const Tiles *tiles, int c, int a, int b) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), sums[2];
    Loop rows = loop_begin(e, zero, emit_int(e, TILE_ROWS), one);
    for (int i = 0; i < 2; i++)
        sums[i] = emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32));
    Loop depth = loop_begin(e, zero, emit_int(e, TILE_DEPTH / 2), one);
    LLVMValueRef left = emit_at(e, e->i32, row_of(e, tiles, a, rows.index), depth.index);
    LLVMValueRef pair = emit_splat(e, emit_load(e, e->i32, left, 4));
    LLVMValueRef pairs = emit_load_vector(e, e->vector_i32, row_of(e, tiles, b, depth.index), NULL);
    for (int i = 0; i < 2; i++)
        emit_set(e, sums[i],
                 emit_fma(e, half_of(e, pair, i), half_of(e, pairs, i),
                          emit_get(e, e->vector_f32, sums[i])));
    loop_end(e, &depth);
    LLVMValueRef both = LLVMBuildFAdd(e->builder, emit_get(e, e->vector_f32, sums[0]),
                                      emit_get(e, e->vector_f32, sums[1]), "");
    LLVMValueRef place = row_of(e, tiles, c, rows.index);
    LLVMValueRef sum = emit_load_vector(e, e->vector_f32, place, NULL);
    emit_store_vector(e, LLVMBuildFAdd(e->builder, sum, both, ""), place, NULL);
    loop_end(e, &rows);
}

static void multiply_tiles(Emitter *e, const Tiles *tiles, int c, int a, int b) {
    LLVMValueRef arguments[] = {tile_number(e, c), tile_number(e, a), tile_number(e, b)};
    if (has_instructions(e))
        emit_intrinsic(e, "llvm.x86.tdpbf16ps", NULL, 0, arguments, 3);
    else
        multiply_written_out(e, tiles, c, a, b);
}

/* ---- Blocks of tiles ------------------------------------------------------------------------- */

/* A block of `rows` x `columns` tiles of sums, at most SUMS; or, of pairs, `pairs`. */
typedef struct TileBlock {
    const Tiles *tiles;
    const TileOperands *operands;
    LLVMValueRef a, b, c, c_bytes; /* of the block's first row and step; from row to row of C */
    int rows, columns;
    PairBlock pairs;
} TileBlock;

static LLVMValueRef c_place(Emitter *e, const TileBlock *block, int m, int v) {
    LLVMValueRef row = emit_mul(e, block->c_bytes, emit_int(e, (int64_t)m * TILE_ROWS));
    return emit_at(e, e->i8, block->c, emit_add(e, row, emit_int(e, (int64_t)v * STEP_BYTES)));
}

/* Loads the sums from C, or stores them there. */
static void move_sums(Emitter *e, TileBlock *block, bool load) {
    if (multiplies_pairs(e)) {
        if (load)
            pairs_load(e, &block->pairs, block->c, block->c_bytes);
        else
            pairs_store(e, &block->pairs, block->c, block->c_bytes);
        return;
    }
    for (int m = 0; m < block->rows; m++)
        for (int v = 0; v < block->columns; v++)
            move_tile(e, block->tiles, m * block->columns + v, c_place(e, block, m, v),
                      block->c_bytes, load);
}

static void clear_sums(Emitter *e, TileBlock *block) {
    if (multiplies_pairs(e)) {
        pairs_clear(e, &block->pairs);
        return;
    }
    for (int m = 0; m < block->rows; m++)
        for (int v = 0; v < block->columns; v++)
            clear_tile(e, block->tiles, m * block->columns + v);
}

static void begin_sums(Emitter *e, TileBlock *block) {
    Branch add = branch_begin(e, block->operands->accumulate);
    move_sums(e, block, true);
    branch_else(e, &add);
    clear_sums(e, block);
    branch_end(e, &add);
}

static LLVMValueRef a_place(Emitter *e, const TileBlock *block, LLVMValueRef step) {
    return emit_at(e, e->i8, block->a, emit_mul(e, step, block->operands->a_step));
}

static LLVMValueRef b_place(Emitter *e, const TileBlock *block, LLVMValueRef step) {
    int64_t tiles = block->operands->b_tile ? 1 : block->columns;
    return emit_at(e, e->i8, block->b, emit_mul(e, step, emit_int(e, tiles * TILE_BYTES)));
}

static LLVMValueRef b_tile_step(Emitter *e, const TileBlock *block) {
    LLVMValueRef apart = block->operands->b_tile;
    return apart ? apart : emit_int(e, TILE_BYTES);
}

static void load_a(Emitter *e, const TileBlock *block, LLVMValueRef step, int m) {
    LLVMValueRef row = block->operands->a_row;
    LLVMValueRef first = emit_mul(e, row, emit_int(e, (int64_t)m * TILE_ROWS));
    load_tile(e, block->tiles, FIRST_A + m % FACTORS,
              emit_at(e, e->i8, a_place(e, block, step), first), row);
}

static void load_b(Emitter *e, const TileBlock *block, LLVMValueRef step, int v) {
    LLVMValueRef tile = emit_mul(e, b_tile_step(e, block), emit_int(e, v));
    load_tile(e, block->tiles, FIRST_B + v, emit_at(e, e->i8, b_place(e, block, step), tile),
              emit_int(e, STEP_BYTES));
}

/* One step of the depth. */
static void multiply_pairs(Emitter *e, const TileBlock *block, LLVMValueRef step) {
    const TileOperands *o = block->operands;
    pairs_multiply(e, &block->pairs, a_place(e, block, step), o->a_row, b_place(e, block, step),
                   b_tile_step(e, block));
}

/* The same by tiles; a product waits only for those that it needs. */
static void multiply_step(Emitter *e, const TileBlock *block, LLVMValueRef step) {
    if (multiplies_pairs(e)) {
        multiply_pairs(e, block, step);
        return;
    }
    for (int m = 0; m < block->rows; m++) {
        load_a(e, block, step, m);
        for (int v = 0; v < block->columns; v++) {
            if (m == 0)
                load_b(e, block, step, v);
            multiply_tiles(e, block->tiles, m * block->columns + v, FIRST_A + m % FACTORS,
                           FIRST_B + v);
        }
    }
}

/* The steps of one tap of a slice, or all. */
static void multiply_steps(Emitter *e, const TileBlock *block, LLVMValueRef count) {
    Loop steps = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    multiply_step(e, block, steps.index);
    loop_end(e, &steps);
}

static void multiply_taps(Emitter *e, const TileBlock *block, LLVMValueRef steps) {
    const TileOperands *o = block->operands;
    Loop taps = loop_begin(e, emit_int(e, 0), o->taps, emit_int(e, 1));
    TileBlock tap = *block;
    LLVMValueRef row = emit_table_entry(e, o->places, taps.index);
    tap.a = emit_at(e, e->i8, block->a, emit_mul(e, row, o->a_row));
    tap.b = b_place(e, block, emit_mul(e, taps.index, steps));
    multiply_steps(e, &tap, steps);
    loop_end(e, &taps);
}

static void multiply_slices(Emitter *e, const TileBlock *block) {
    const TileOperands *o = block->operands;
    LLVMValueRef one = emit_int(e, 1), last = emit_sub(e, o->slices, one);
    Loop slices = loop_begin(e, emit_int(e, 0), o->slices, one);
    TileBlock slice = *block;
    LLVMValueRef before = emit_mul(e, slices.index, o->steps);
    slice.a = a_place(e, block, before);
    if (o->taps) {
        LLVMValueRef more = emit_less(e, slices.index, last);
        slice.b = b_place(e, block, emit_mul(e, before, o->taps));
        multiply_taps(e, &slice, LLVMBuildSelect(e->builder, more, o->steps, o->last_steps, ""));
    } else {
        slice.b = emit_at(e, e->i8, block->b, emit_mul(e, slices.index, o->b_slice));
        multiply_steps(e, &slice, o->steps);
    }
    loop_end(e, &slices);
}

static void emit_tile_block(Emitter *e, TileBlock *block) {
    begin_sums(e, block);
    if (block->operands->slices)
        multiply_slices(e, block);
    else
        multiply_steps(e, block, block->operands->steps);
    move_sums(e, block, false);
}

/* Blocks of `tall` tiles, or of pairs, from row `first` on, as many as fit. Returns the row behind
 * them. */
static LLVMValueRef emit_blocks(Emitter *e, const Tiles *tiles, const TileOperands *o,
                                LLVMValueRef first, LLVMValueRef all, int tall, int columns) {
    TileBlock block = {.tiles = tiles, .operands = o, .b = o->b, .rows = tall, .columns = columns};
    block.pairs = pair_block(columns);
    block.c_bytes = emit_mul(e, o->c_row, emit_int(e, sizeof(float)));
    LLVMValueRef height = emit_int(e, multiplies_pairs(e) ? block.pairs.rows : tall * TILE_ROWS);
    LLVMValueRef fit = emit_mul(e, emit_div(e, emit_sub(e, all, first), height), height);
    LLVMValueRef end = emit_add(e, first, fit);
    Loop rows = loop_begin(e, first, end, height);
    block.a = emit_at(e, e->i8, o->a, emit_mul(e, rows.index, o->a_row));
    block.c = emit_at(e, e->i8, o->c, emit_mul(e, rows.index, block.c_bytes));
    emit_tile_block(e, &block);
    loop_end(e, &rows);
    return end;
}

static void emit_columns(Emitter *e, const Tiles *tiles, const TileOperands *o, LLVMValueRef rows,
                         int columns) {
    if (multiplies_pairs(e)) {
        emit_blocks(e, tiles, o, emit_int(e, 0), rows, 1, columns);
        return;
    }
    LLVMValueRef first = emit_int(e, 0);
    for (int tall = SUMS / columns; tall > 0; tall /= 2)
        first = emit_blocks(e, tiles, o, first, rows, tall, columns);
}

void emit_tile_panel(Emitter *e, const Tiles *tiles, const TileOperands *o, LLVMValueRef rows,
                     LLVMValueRef width) {
    LLVMValueRef whole = emit_int(e, BLOCK * TILE_COLUMNS);
    Branch wide = branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntEQ, width, whole, ""));
    emit_columns(e, tiles, o, rows, BLOCK);
    branch_else(e, &wide);
    emit_columns(e, tiles, o, rows, 1);
    branch_end(e, &wide);
}

/* In vectors: the tile at `place`, which the sums come from, too, by itself. */
static void emit_pair_peak(Emitter *e, LLVMValueRef count, LLVMValueRef place) {
    PairBlock block = pair_block(1);
    int64_t products = (int64_t)block.rows * TILE_COLUMNS * TILE_DEPTH;
    pairs_load(e, &block, place, emit_int(e, STEP_BYTES));
    Loop steps = loop_begin(e, emit_int(e, 0),
                            emit_mul(e, count, emit_int(e, TILE_PEAK / products)), emit_int(e, 1));
    pairs_multiply(e, &block, place, emit_int(e, STEP_BYTES), place, emit_int(e, TILE_BYTES));
    loop_end(e, &steps);
    pairs_store(e, &block, place, emit_int(e, STEP_BYTES));
}

void emit_tile_peak(Emitter *e, LLVMValueRef count, LLVMValueRef place) {
    if (multiplies_pairs(e)) {
        emit_pair_peak(e, count, place);
        return;
    }
    Tiles tiles = tiles_begin(e);
    for (int i = 0; i < TILES; i++)
        clear_tile(e, &tiles, i);
    Loop steps = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    for (int i = 0; i < BLOCK * BLOCK; i++)
        multiply_tiles(e, &tiles, i, FIRST_A + i / BLOCK, FIRST_B + i % BLOCK);
    loop_end(e, &steps);
    store_tile(e, &tiles, 0, place, emit_int(e, STEP_BYTES));
    tiles_end(e);
}

Panels tile_panels(int64_t columns, int64_t most) {
    Panels panels = {.vectors = integer_divide_up(columns, TILE_COLUMNS)};
    panels.count = integer_divide_up(panels.vectors, BLOCK);
    int64_t blocks = integer_divide_up(panels.count, most / (BLOCK * TILE_COLUMNS));
    panels.per_block = integer_divide_up(panels.count, blocks);
    panels.blocks = integer_divide_up(panels.count, panels.per_block);
    panels.widest =
        panels.blocks > 1 ? panels.per_block * BLOCK * TILE_COLUMNS : panels.vectors * TILE_COLUMNS;
    return panels;
}

/* ---- Pairs ----------------------------------------------------------------------------------- */

LLVMValueRef emit_pairs(Emitter *e, LLVMValueRef low, LLVMValueRef high) {
    LLVMValueRef shift = emit_splat(e, emit_int32(e, 16));
    return LLVMBuildOr(e->builder, low, LLVMBuildShl(e->builder, high, shift, ""), "");
}

void emit_pair_rows(Emitter *e, LLVMValueRef const rows[2], LLVMValueRef pairs[2]) {
    for (int half = 0; half < 2; half++) {
        LLVMValueRef lanes[TILE_DEPTH];
        for (int l = 0; l < TILE_DEPTH; l++)
            lanes[l] = emit_int32(e, half * TILE_COLUMNS + l / 2 + (l % 2 ? TILE_DEPTH : 0));
        pairs[half] = LLVMBuildShuffleVector(e->builder, rows[0], rows[1],
                                             LLVMConstVector(lanes, TILE_DEPTH), "");
    }
}
