/* A chunk of stage 1 takes some tiles and columns. For each tile it packs the 4 x 4 positions that
 * the tile reads (behind the prologue; those that it shares with the tile before stay), transforms
 * them, B^T d B, and multiplies all tiles with the transformed weight, 16 products of matrices;
 * what these give is transformed back, A^T m A, to the sums of 2 x 2 rows, on which the kernel's
 * expression runs. Stage 0 transforms the weight, G g G^T, into panels of columns:
 * [panel][frequency][channel][column]. */
#include "codegen/cpu/contract_winograd.h"

#include "base/integer.h"
#include "codegen/cpu/contract.h"

enum {
    TAPS = 9,
    SIDE = 4, /* positions that a tile reads, in a direction; it has 2 results */
    FREQUENCIES = SIDE * SIDE,
    RESULTS = 4,
    TILES = 32, /* of a chunk: whole register blocks */
    COLUMNS = 512,
    GAP = 16,                    /* elements from tile to tile are no power of two */
    WEIGHT_CHANNELS = 64,        /* that a chunk transforms */
    LEAST_CHANNELS = 48,         /* of either side, */
    LEAST_PRODUCTS = 48 * 96,    /* and of both */
    CHANNEL_UNIT = CPU_MAX_LANES /* whole vectors of any target */
};

typedef struct WinogradSlots {
    PackedSource source;
    ElementSlots elements;
    WeightViewSlots weight;
    PanelSlots panels;
    int packed;                     /* pointer */
    int by_place;                   /* table: the tap at each place of 3 x 3 */
    int in, out, row;               /* row: elements from transformed tile to tile */
    int tiles, per_image, per_line; /* all tiles, those of an image, of a line */
    int tile_blocks, channel_blocks;
    int transformed, products, sums, sums_row, pointers; /* offsets in the workspace, behind the
        patch [4][4][in]: [frequency][tile][row], [frequency][tile][columns of a panel],
        [tile][2 x 2][sums_row], [frequency][tile] */
} WinogradSlots;

/* ---- Which ----------------------------------------------------------------------------------- */

static bool fills_square(const TapSet *taps) {
    unsigned found = 0;
    if (taps->tap_count != TAPS)
        return false;
    for (int64_t t = 0; t < TAPS; t++) {
        const int64_t *offset = taps->taps[t].offset;
        if (offset[0] < -1 || offset[0] > 1 || offset[1] < -1 || offset[1] > 1)
            return false;
        found |= 1U << ((offset[0] + 1) * 3 + offset[1] + 1);
    }
    return found == (1U << TAPS) - 1;
}

bool contract_takes_winograd(const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    const TapSet *taps = &c->taps;
    if (kernel->kind != KERNEL_CONTRACT || c->bf16 || c->groups != 1 ||
        kernel->space.kind != SPACE_DENSE || kernel->space.rank != 2 ||
        !space_equal(&kernel->space, &taps->source) || c->in % CHANNEL_UNIT != 0)
        return false;
    for (int d = 0; d < 2; d++)
        if (taps->scale[d] != 1 || taps->step[d] != 1 || taps->phase[d] != 0)
            return false;
    return c->in >= LEAST_CHANNELS && c->out >= LEAST_CHANNELS &&
           c->in * c->out >= LEAST_PRODUCTS && fills_square(taps);
}

static int64_t tiles_along(const Kernel *kernel, int d) {
    return integer_divide_up(kernel->space.extent[d], 2);
}

static int64_t count_tiles(const Program *program, const Kernel *kernel) {
    return space_images(&program->geometry, &kernel->space) * tiles_along(kernel, 0) *
           tiles_along(kernel, 1);
}

int64_t winograd_multiply_adds(const Program *program, const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    return count_tiles(program, kernel) * FREQUENCIES * c->in * c->out;
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static int slot_places(Slots *slots, const TapSet *taps) {
    int table = slot_table(slots);
    for (int place = 0; place < TAPS; place++)
        for (int64_t t = 0; t < TAPS; t++)
            if ((taps->taps[t].offset[0] + 1) * 3 + taps->taps[t].offset[1] + 1 == place)
                slot_table_entry(slots, t);
    return table;
}

static int64_t panel_columns(const CpuTarget *target) {
    return (int64_t)gemm_block(target).vectors * target->lanes;
}

static void slot_workspace(Slots *slots, WinogradSlots *out, const CpuTarget *target, int64_t in,
                           int64_t widest) {
    int64_t all = (int64_t)FREQUENCIES * TILES, row = in + GAP;
    int64_t transformed = FREQUENCIES * in, products = transformed + all * row;
    int64_t sums = products + all * panel_columns(target);
    int64_t pointers = sums + (int64_t)RESULTS * TILES * widest;
    int64_t entry = (int64_t)(sizeof(void *) / sizeof(float));
    out->row = slot_number(slots, row);
    out->transformed = slot_number(slots, transformed);
    out->products = slot_number(slots, products);
    out->sums = slot_number(slots, sums);
    out->sums_row = slot_number(slots, widest);
    out->pointers = slot_number(slots, pointers);
    slots->workspace = (pointers + all * entry) * (int64_t)sizeof(float);
}

static WinogradSlots slot_winograd(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                                   int stage) {
    const Contraction *c = &kernel->contraction;
    WinogradSlots out = {.source = slot_packed_source(slots, kernel, DTYPE_F32)};
    Panels panels = gemm_panels(target, c->out, COLUMNS);
    int64_t tiles = count_tiles(slots->program, kernel);
    int64_t tile_blocks = integer_divide_up(tiles, TILES);
    int64_t channel_blocks = integer_divide_up(c->in, WEIGHT_CHANNELS);
    out.elements = slot_elements(slots, kernel);
    out.weight = slot_weight_view(slots, &c->weight);
    out.panels = slot_panels(slots, &panels, c->out);
    out.packed = slot_shared(slots, FREQUENCIES * c->in * panels.vectors * target->lanes *
                                        (int64_t)sizeof(float));
    out.by_place = slot_places(slots, &c->taps);
    out.in = slot_number(slots, c->in);
    out.out = slot_number(slots, c->out);
    out.tiles = slot_number(slots, tiles);
    out.per_image = slot_number(slots, tiles_along(kernel, 0) * tiles_along(kernel, 1));
    out.per_line = slot_number(slots, tiles_along(kernel, 1));
    out.tile_blocks = slot_number(slots, tile_blocks);
    out.channel_blocks = slot_number(slots, channel_blocks);
    slot_workspace(slots, &out, target, c->in, panels.widest);
    slots->chunks = stage == 0 ? panels.count * channel_blocks : tile_blocks * panels.blocks;
    return out;
}

int64_t bind_winograd(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage) {
    slot_winograd(slots, kernel, target, stage);
    return stage == 0 ? (int64_t)contract_weight_form(kernel) : 0;
}

/* ---- Transforms ------------------------------------------------------------------------------ */

static LLVMValueRef plus(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFAdd(e->builder, a, b, "");
}

static LLVMValueRef minus(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFSub(e->builder, a, b, "");
}

/* B^T: four numbers to four. */
static void transform_input(Emitter *e, LLVMValueRef const d[SIDE], LLVMValueRef to[SIDE]) {
    to[0] = minus(e, d[0], d[2]);
    to[1] = plus(e, d[1], d[2]);
    to[2] = minus(e, d[2], d[1]);
    to[3] = minus(e, d[1], d[3]);
}

/* G: three numbers to four. */
static void transform_weight(Emitter *e, LLVMValueRef const g[3], LLVMValueRef to[SIDE]) {
    LLVMValueRef half = emit_splat(e, emit_float(e, 0.5F)), ends = plus(e, g[0], g[2]);
    to[0] = g[0];
    to[1] = LLVMBuildFMul(e->builder, plus(e, ends, g[1]), half, "");
    to[2] = LLVMBuildFMul(e->builder, minus(e, ends, g[1]), half, "");
    to[3] = g[2];
}

/* A^T: four numbers to two. */
static void transform_back(Emitter *e, LLVMValueRef const m[SIDE], LLVMValueRef to[2]) {
    to[0] = plus(e, plus(e, m[0], m[1]), m[2]);
    to[1] = minus(e, minus(e, m[1], m[2]), m[3]);
}

/* ---- Stage 0 --------------------------------------------------------------------------------- */

/* Some channels and columns of the weight, as many of each as a vector has lanes: [place][channel]
 * [column] at `block`. */
static void load_block(Emitter *e, const Kernel *kernel, const WinogradSlots *slots,
                       LLVMValueRef channel, LLVMValueRef column, LLVMValueRef block) {
    LLVMValueRef out = emit_slot(e, slots->out), values[CPU_MAX_LANES];
    WeightForm form = contract_weight_form(kernel);
    int lanes = e->target->lanes;
    Loop place = loop_begin(e, emit_int(e, 0), emit_int(e, TAPS), emit_int(e, 1));
    LLVMValueRef tap = emit_table_entry(e, slots->by_place, place.index);
    LLVMValueRef number = emit_tap_weight(e, &slots->source.taps, tap);
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef term = form == WEIGHT_TURNED ? channel : emit_add(e, channel, emit_int(e, i));
        LLVMValueRef row = emit_weight_address(e, &slots->weight, number, emit_int(e, 0), term);
        values[i] = form == WEIGHT_TURNED
                        ? contract_load_terms(e, &slots->weight, out, row,
                                              emit_add(e, column, emit_int(e, i)))
                        : contract_load_columns(e, &slots->weight, out, form, row, NULL, column);
    }
    if (form == WEIGHT_TURNED)
        emit_transpose(e, values);
    LLVMValueRef first = emit_mul(e, place.index, emit_int(e, (int64_t)lanes * lanes));
    for (int i = 0; i < lanes; i++)
        emit_store_vector(e, values[i],
                          emit_at(e, e->f32, block, emit_add(e, first, emit_int(e, i * lanes))),
                          NULL);
    loop_end(e, &place);
}

/* A channel of the block, at all frequencies, to `target`, `step` elements from one to the next. */
static void transform_channel(Emitter *e, LLVMValueRef block, LLVMValueRef channel,
                              LLVMValueRef target, LLVMValueRef step) {
    LLVMValueRef columns[3][SIDE], line[3], to[SIDE];
    int lanes = e->target->lanes;
    for (int j = 0; j < 3; j++) {
        for (int i = 0; i < 3; i++) {
            LLVMValueRef place = emit_add(e, emit_int(e, (int64_t)(i * 3 + j) * lanes), channel);
            place = emit_at(e, e->f32, block, emit_mul(e, place, emit_int(e, lanes)));
            line[i] = emit_load_vector(e, e->vector_f32, place, NULL);
        }
        transform_weight(e, line, columns[j]);
    }
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < 3; j++)
            line[j] = columns[j][i];
        transform_weight(e, line, to);
        for (int j = 0; j < SIDE; j++) {
            LLVMValueRef place = emit_mul(e, step, emit_int(e, (int64_t)i * SIDE + j));
            emit_store_vector(e, to[j], emit_at(e, e->f32, target, place), NULL);
        }
    }
}

/* The transformed panel that starts at `column`. */
static LLVMValueRef packed_panel(Emitter *e, const WinogradSlots *slots, LLVMValueRef column) {
    LLVMValueRef size = emit_mul(e, emit_slot(e, slots->in), emit_int(e, FREQUENCIES));
    return emit_at(e, e->f32, emit_slot_pointer(e, slots->packed), emit_mul(e, column, size));
}

static void emit_packing(Emitter *e, const Kernel *kernel, const WinogradSlots *slots) {
    LLVMValueRef zero = emit_int(e, 0), lanes = emit_int(e, e->target->lanes);
    LLVMValueRef blocks = emit_slot(e, slots->channel_blocks), in = emit_slot(e, slots->in);
    LLVMValueRef panel = emit_div(e, e->chunk, blocks), unit = emit_int(e, WEIGHT_CHANNELS);
    LLVMValueRef first = emit_mul(e, emit_rem(e, e->chunk, blocks), unit);
    LLVMValueRef start = emit_panel_start(e, &slots->panels, panel);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panel);
    LLVMValueRef target = packed_panel(e, slots, start), step = emit_mul(e, in, width);
    LLVMValueRef block = emit_array(e, e->f32, TAPS * e->target->lanes * e->target->lanes);
    Loop channels = loop_begin(e, first, emit_min(e, in, emit_add(e, first, unit)), lanes);
    Loop lane = loop_begin(e, zero, width, lanes);
    load_block(e, kernel, slots, channels.index, emit_add(e, start, lane.index), block);
    Loop channel = loop_begin(e, zero, lanes, emit_int(e, 1));
    LLVMValueRef row = emit_mul(e, emit_add(e, channels.index, channel.index), width);
    transform_channel(e, block, channel.index,
                      emit_at(e, e->f32, target, emit_add(e, row, lane.index)), step);
    loop_end(e, &channel);
    loop_end(e, &lane);
    loop_end(e, &channels);
}

/* ---- Stage 1 --------------------------------------------------------------------------------- */

/* A chunk's tiles and columns. */
typedef struct TileChunk {
    const Kernel *kernel;
    const WinogradSlots *slots;
    LLVMValueRef first, count;
    PanelBlock columns;
    LLVMValueRef patch, transformed, products, sums, pointers; /* workspace */
} TileChunk;

static TileChunk begin_chunk(Emitter *e, const Kernel *kernel, const WinogradSlots *slots) {
    TileChunk chunk = {.kernel = kernel, .slots = slots};
    LLVMValueRef blocks = emit_slot(e, slots->tile_blocks), unit = emit_int(e, TILES);
    chunk.first = emit_mul(e, emit_rem(e, e->chunk, blocks), unit);
    chunk.count = emit_min(e, unit, emit_sub(e, emit_slot(e, slots->tiles), chunk.first));
    chunk.columns = emit_panel_block(e, &slots->panels, emit_div(e, e->chunk, blocks));
    chunk.patch = e->workspace;
    chunk.transformed = emit_workspace(e, slots->transformed);
    chunk.products = emit_workspace(e, slots->products);
    chunk.sums = emit_workspace(e, slots->sums);
    chunk.pointers = emit_workspace(e, slots->pointers);
    return chunk;
}

/* A tile's image, and its line and place there, in tiles. */
typedef struct Tile {
    LLVMValueRef image, line, place;
} Tile;

static Tile find_tile(Emitter *e, const TileChunk *chunk, LLVMValueRef nth) {
    LLVMValueRef number = emit_add(e, chunk->first, nth);
    LLVMValueRef per_image = emit_slot(e, chunk->slots->per_image);
    LLVMValueRef per_line = emit_slot(e, chunk->slots->per_line);
    LLVMValueRef rest = emit_rem(e, number, per_image);
    return (Tile){emit_div(e, number, per_image), emit_div(e, rest, per_line),
                  emit_rem(e, rest, per_line)};
}

/* Number `nth` of the positions around a tile in a direction, where it is number `at` there. */
static LLVMValueRef position_of(Emitter *e, LLVMValueRef at, LLVMValueRef nth) {
    return emit_add(e, emit_mul(e, at, emit_int(e, 2)), emit_sub(e, nth, emit_int(e, 1)));
}

/* Where the patch has column `column` of the picture at its line `line`: columns go round. */
static LLVMValueRef patch_place(Emitter *e, const TileChunk *chunk, LLVMValueRef line,
                                LLVMValueRef column) {
    LLVMValueRef side = emit_int(e, SIDE);
    LLVMValueRef nth = emit_rem(e, emit_add(e, column, side), side);
    LLVMValueRef place = emit_add(e, emit_mul(e, line, side), nth);
    return emit_at(e, e->f32, chunk->patch, emit_mul(e, place, emit_slot(e, chunk->slots->in)));
}

/* Packs what a tile reads; of one that is not the first of a line or of the chunk the two columns
 * that the tile before did not read. */
static void pack_patch(Emitter *e, const TileChunk *chunk, const Tile *tile, LLVMValueRef nth) {
    const PackedSource *source = &chunk->slots->source;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), side = emit_int(e, SIDE);
    LLVMValueRef in = emit_slot(e, chunk->slots->in);
    LLVMValueRef first = LLVMBuildICmp(e->builder, LLVMIntEQ, nth, zero, "");
    LLVMValueRef starts = LLVMBuildICmp(e->builder, LLVMIntEQ, tile->place, zero, "");
    LLVMValueRef all = LLVMBuildOr(e->builder, first, starts, "");
    PackedTaps part = {.first = zero, .count = in};
    Loop column =
        loop_begin(e, LLVMBuildSelect(e->builder, all, zero, emit_int(e, 2), ""), side, one);
    Loop line = loop_begin(e, zero, side, one);
    LLVMValueRef position[TYPE_MAX_SPACE] = {position_of(e, tile->line, line.index),
                                             position_of(e, tile->place, column.index)};
    LLVMValueRef target = patch_place(e, chunk, line.index, position[1]);
    RowPlace place = {.image = tile->image,
                      .row = emit_row_at(e, &source->taps.source, tile->image, position)};
    Branch there = branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntSGE, place.row, zero, ""));
    emit_pack_place(e, source, &place, &part, target);
    branch_else(e, &there);
    emit_clear(e, DTYPE_F32, target, in);
    branch_end(e, &there);
    loop_end(e, &line);
    loop_end(e, &column);
}

/* The patch, transformed, to row `nth` of each frequency. */
static void transform_patch(Emitter *e, const TileChunk *chunk, const Tile *tile,
                            LLVMValueRef nth) {
    LLVMValueRef row = emit_slot(e, chunk->slots->row), from[SIDE][SIDE];
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            from[i][j] =
                patch_place(e, chunk, emit_int(e, i), position_of(e, tile->place, emit_int(e, j)));
    Loop channel = loop_begin(e, emit_int(e, 0), emit_slot(e, chunk->slots->in),
                              emit_int(e, e->target->lanes));
    LLVMValueRef lines[SIDE][SIDE], column[SIDE], to[SIDE];
    for (int j = 0; j < SIDE; j++) {
        for (int i = 0; i < SIDE; i++)
            column[i] = emit_load_vector(e, e->vector_f32,
                                         emit_at(e, e->f32, from[i][j], channel.index), NULL);
        transform_input(e, column, to);
        for (int i = 0; i < SIDE; i++)
            lines[i][j] = to[i];
    }
    for (int i = 0; i < SIDE; i++) {
        transform_input(e, lines[i], to);
        for (int j = 0; j < SIDE; j++) {
            LLVMValueRef place = emit_add(e, emit_int(e, (int64_t)(i * SIDE + j) * TILES), nth);
            place = emit_add(e, emit_mul(e, place, row), channel.index);
            emit_store_vector(e, to[j], emit_at(e, e->f32, chunk->transformed, place), NULL);
        }
    }
    loop_end(e, &channel);
}

/* All tiles with a panel, at each frequency. */
static void multiply_panel(Emitter *e, const TileChunk *chunk, LLVMValueRef column,
                           LLVMValueRef width) {
    const WinogradSlots *slots = chunk->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), in = emit_slot(e, slots->in);
    LLVMValueRef rows = emit_round_up(e, chunk->count, gemm_block(e->target).rows);
    LLVMValueRef panel = packed_panel(e, slots, column);
    LLVMValueRef c_row = emit_int(e, panel_columns(e->target));
    Loop frequency = loop_begin(e, zero, emit_int(e, FREQUENCIES), one);
    LLVMValueRef first = emit_mul(e, frequency.index, emit_int(e, TILES));
    LLVMValueRef terms = emit_mul(e, frequency.index, in);
    GemmOperands o = {.a = emit_at(e, e->pointer, chunk->pointers, first),
                      .first = zero,
                      .taps = one,
                      .tap_step = zero,
                      .b = emit_at(e, e->f32, panel, emit_mul(e, terms, width)),
                      .c = emit_at(e, e->f32, chunk->products, emit_mul(e, first, c_row)),
                      .c_row = c_row,
                      .b_step = in,
                      .depth = in,
                      .accumulate = LLVMConstInt(e->i1, 0, false)};
    emit_gemm_panel(e, &o, rows, width);
    loop_end(e, &frequency);
}

/* The products of a panel's columns, transformed back, to the sums. */
static void transform_products(Emitter *e, const TileChunk *chunk, LLVMValueRef column,
                               LLVMValueRef width) {
    LLVMValueRef zero = emit_int(e, 0), c_row = emit_int(e, panel_columns(e->target));
    LLVMValueRef sums_row = emit_slot(e, chunk->slots->sums_row);
    Loop tile = loop_begin(e, zero, chunk->count, emit_int(e, 1));
    Loop lane = loop_begin(e, zero, width, emit_int(e, e->target->lanes));
    LLVMValueRef lines[2][SIDE], products[SIDE], to[2];
    for (int j = 0; j < SIDE; j++) {
        for (int i = 0; i < SIDE; i++) {
            LLVMValueRef place =
                emit_add(e, emit_int(e, (int64_t)(i * SIDE + j) * TILES), tile.index);
            place = emit_add(e, emit_mul(e, place, c_row), lane.index);
            products[i] = emit_load_vector(e, e->vector_f32,
                                           emit_at(e, e->f32, chunk->products, place), NULL);
        }
        transform_back(e, products, to);
        for (int i = 0; i < 2; i++)
            lines[i][j] = to[i];
    }
    LLVMValueRef first = emit_mul(e, tile.index, emit_int(e, RESULTS));
    LLVMValueRef at = emit_add(e, column, lane.index);
    for (int i = 0; i < 2; i++) {
        transform_back(e, lines[i], to);
        for (int j = 0; j < 2; j++) {
            LLVMValueRef place = emit_add(e, first, emit_int(e, (int64_t)i * 2 + j));
            place = emit_add(e, emit_mul(e, place, sums_row), at);
            emit_store_vector(e, to[j], emit_at(e, e->f32, chunk->sums, place), NULL);
        }
    }
    loop_end(e, &lane);
    loop_end(e, &tile);
}

/* The kernel's expression over the results of a tile that are in the picture. */
static void finish_tile(Emitter *e, const TileChunk *chunk, LLVMValueRef nth) {
    const SpaceSlots *space = &chunk->slots->elements.space;
    LLVMValueRef zero = emit_int(e, 0), two = emit_int(e, 2), one = emit_int(e, 1);
    Tile tile = find_tile(e, chunk, nth);
    Loop result = loop_begin(e, zero, emit_int(e, RESULTS), one);
    LLVMValueRef line = emit_add(e, emit_mul(e, tile.line, two), emit_div(e, result.index, two));
    LLVMValueRef column = emit_add(e, emit_mul(e, tile.place, two), emit_rem(e, result.index, two));
    LLVMValueRef width = emit_slot(e, space->extent[1]);
    LLVMValueRef inside =
        LLVMBuildAnd(e->builder, emit_less(e, line, emit_slot(e, space->extent[0])),
                     emit_less(e, column, width), "");
    Branch there = branch_begin(e, inside);
    RowPlace place = {.image = tile.image, .row = emit_add(e, emit_mul(e, line, width), column)};
    LLVMValueRef row = emit_add(e, emit_mul(e, nth, emit_int(e, RESULTS)), result.index);
    row = emit_mul(e, row, emit_slot(e, chunk->slots->sums_row));
    contract_finish_row(e, chunk->kernel, &chunk->slots->elements, &place,
                        emit_at(e, e->f32, chunk->sums, row), chunk->columns.first_column,
                        chunk->columns.column_count);
    branch_end(e, &there);
    loop_end(e, &result);
}

/* Pointers to the transformed rows. */
static void point_to_rows(Emitter *e, const TileChunk *chunk) {
    LLVMValueRef step = emit_slot(e, chunk->slots->row);
    Loop row = loop_begin(e, emit_int(e, 0), emit_int(e, FREQUENCIES * TILES), emit_int(e, 1));
    emit_store(e, emit_at(e, e->f32, chunk->transformed, emit_mul(e, row.index, step)),
               emit_at(e, e->pointer, chunk->pointers, row.index), 8);
    loop_end(e, &row);
}

static void emit_tiles(Emitter *e, const Kernel *kernel, const WinogradSlots *slots) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    TileChunk chunk = begin_chunk(e, kernel, slots);
    point_to_rows(e, &chunk);
    Loop tiles = loop_begin(e, zero, chunk.count, one);
    Tile tile = find_tile(e, &chunk, tiles.index);
    pack_patch(e, &chunk, &tile, tiles.index);
    transform_patch(e, &chunk, &tile, tiles.index);
    loop_end(e, &tiles);
    Loop panels = loop_begin(e, chunk.columns.first, chunk.columns.end, one);
    LLVMValueRef column = emit_panel_start(e, &slots->panels, panels.index);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panels.index);
    multiply_panel(e, &chunk, column, width);
    transform_products(e, &chunk, emit_sub(e, column, chunk.columns.first_column), width);
    loop_end(e, &panels);
    Loop finished = loop_begin(e, zero, chunk.count, one);
    finish_tile(e, &chunk, finished.index);
    loop_end(e, &finished);
}

void emit_winograd(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    Slots numbering = {.arena = e->arena, .program = program, .choices = e->choices};
    WinogradSlots slots = slot_winograd(&numbering, kernel, e->target, stage);
    if (stage == 0)
        emit_packing(e, kernel, &slots);
    else
        emit_tiles(e, kernel, &slots);
}
