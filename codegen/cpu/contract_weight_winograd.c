/* Gradients of weights by Winograd's tiles (winograd.h). A chunk of stage 0 owns a block of the
 * weight, some channels and columns at all frequencies, and runs over its part of the tiles: for
 * each stretch of them it transforms what they read and the incoming gradient, and adds to the sums
 * a product of matrices at each frequency. Sums are fp32 over at most PART_TILES tiles; then they
 * are transformed back to 3 x 3 taps. Where there are several parts, stage 1 adds them, in order,
 * in double. */
#include "base/integer.h"
#include "codegen/cpu/contract_weight.h"
#include "codegen/cpu/winograd.h"

enum {
    FREQUENCIES = WINOGRAD_FREQUENCIES,
    RESULTS = WINOGRAD_RESULTS * WINOGRAD_RESULTS,
    TILES = 48,       /* of a stretch */
    PART_TILES = 384, /* that are summed in fp32 */
    CHANNELS = 192,   /* of a block at most, */
    COLUMNS = 192,    /* and columns */
    UNIT = CPU_MAX_LANES,
    GAP = 16, /* elements from tile to tile, and frequency to frequency, are no power of two */
    MERGED_ROWS = 32 /* of the weight, that a chunk of stage 1 adds */
};

typedef struct WeightWinograd {
    WinogradSlots tiles;
    SpaceSlots space;
    ViewSlots b;
    WeightViewSlots weight;
    PanelSlots panels;
    int in, out, channels, channel_blocks; /* channels: of a block at most */
    int blocks, parts, part_tiles;
    int row, frequency; /* elements from transformed tile to tile, and frequency to frequency; */
    int gradient_frequency,
        sums_row; /* of the gradient likewise; of the sums, channel to channel */
    int gradient, transformed, sums, pointers; /* offsets in the workspace, behind a patch:
        [frequency][panel][tile][column], [frequency][tile][row], [frequency][channel][sums_row],
        [frequency][tile] */
    int part_sums, part_elements; /* pointer: [part][tap][channel][column]; elements of a part */
} WeightWinograd;

/* ---- Slots ----------------------------------------------------------------------------------- */

static void slot_workspace(Slots *slots, WeightWinograd *out, int64_t channels, int64_t widest) {
    int64_t row = channels + GAP, gradient = FREQUENCIES * channels;
    int64_t panels = TILES * widest + GAP, frequency = TILES * row + GAP;
    int64_t transformed = gradient + FREQUENCIES * panels;
    int64_t sums = transformed + FREQUENCIES * frequency;
    int64_t pointers = sums + FREQUENCIES * channels * widest;
    int64_t entry = (int64_t)(sizeof(void *) / sizeof(float));
    out->row = slot_number(slots, row);
    out->frequency = slot_number(slots, frequency);
    out->gradient_frequency = slot_number(slots, panels);
    out->sums_row = slot_number(slots, widest);
    out->gradient = slot_number(slots, gradient);
    out->transformed = slot_number(slots, transformed);
    out->sums = slot_number(slots, sums);
    out->pointers = slot_number(slots, pointers);
    slots->workspace = (pointers + FREQUENCIES * TILES * entry) * (int64_t)sizeof(float);
}

/* Enough parts for all threads, and for short sums. */
static void slot_parts(Slots *slots, WeightWinograd *out, int64_t tiles, int64_t blocks,
                       int64_t elements) {
    int64_t part_tiles, parts = weight_parts(tiles, integer_divide_up(tiles, PART_TILES), blocks,
                                             TILES, &part_tiles);
    out->blocks = slot_number(slots, blocks);
    out->parts = slot_number(slots, parts);
    out->part_tiles = slot_number(slots, part_tiles);
    out->part_elements = slot_number(slots, elements);
    out->part_sums =
        slot_shared(slots, (parts > 1 ? parts * elements : 1) * (int64_t)sizeof(float));
    slots->chunks = parts;
}

static WeightWinograd slot_weight(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                                  int stage) {
    const Contraction *c = &kernel->contraction;
    WeightWinograd out = {.tiles = slot_winograd(slots, kernel)};
    Panels panels = gemm_panels(target, c->out, COLUMNS);
    int64_t channels = integer_divide_up(c->in, integer_divide_up(c->in, CHANNELS));
    channels = integer_divide_up(channels, UNIT) * UNIT;
    int64_t channel_blocks = integer_divide_up(c->in, channels);
    out.space = slot_space(slots, &kernel->space, false);
    out.b = slot_view(slots, &c->b);
    out.weight = slot_weight_view(slots, &c->weight);
    out.panels = slot_panels(slots, &panels, c->out);
    out.in = slot_number(slots, c->in);
    out.out = slot_number(slots, c->out);
    out.channels = slot_number(slots, channels);
    out.channel_blocks = slot_number(slots, channel_blocks);
    slot_workspace(slots, &out, channels, panels.widest);
    slot_parts(slots, &out, winograd_tiles(slots->program, kernel), panels.blocks * channel_blocks,
               WINOGRAD_TAPS * c->in * c->out);
    int64_t merged = slots->chunks > 1 ? WINOGRAD_TAPS * integer_divide_up(c->in, MERGED_ROWS) : 0;
    slots->chunks = stage == 0 ? slots->chunks * panels.blocks * channel_blocks : merged;
    return out;
}

void bind_weight_winograd(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage) {
    slot_weight(slots, kernel, target, stage);
}

/* ---- Stage 0 --------------------------------------------------------------------------------- */

/* A chunk's block of the weight, and its part of the tiles. */
typedef struct WeightBlock {
    const WeightWinograd *slots;
    LLVMValueRef channel, channels; /* the first, and how many */
    PanelBlock columns;
    LLVMValueRef part, first, end;                      /* tiles */
    LLVMValueRef gradient, transformed, sums, pointers; /* workspace */
} WeightBlock;

static WeightBlock begin_chunk(Emitter *e, const WeightWinograd *slots) {
    WeightBlock block = {.slots = slots};
    LLVMValueRef blocks = emit_slot(e, slots->blocks), size = emit_slot(e, slots->part_tiles);
    LLVMValueRef channel_blocks = emit_slot(e, slots->channel_blocks);
    LLVMValueRef channels = emit_slot(e, slots->channels), nth = emit_rem(e, e->chunk, blocks);
    block.part = emit_div(e, e->chunk, blocks);
    block.first = emit_mul(e, block.part, size);
    block.end = emit_min(e, emit_add(e, block.first, size), emit_slot(e, slots->tiles.tiles));
    block.channel = emit_mul(e, emit_rem(e, nth, channel_blocks), channels);
    block.channels = emit_min(e, channels, emit_sub(e, emit_slot(e, slots->in), block.channel));
    block.columns = emit_panel_block(e, &slots->panels, emit_div(e, nth, channel_blocks));
    block.gradient = emit_workspace(e, slots->gradient);
    block.transformed = emit_workspace(e, slots->transformed);
    block.sums = emit_workspace(e, slots->sums);
    block.pointers = emit_workspace(e, slots->pointers);
    return block;
}

/* Where frequency `frequency` of the gradient begins, in elements. */
static LLVMValueRef gradient_start(Emitter *e, const WeightBlock *block, LLVMValueRef frequency) {
    return emit_mul(e, frequency, emit_slot(e, block->slots->gradient_frequency));
}

/* Pointers to the incoming gradient of a tile's results; NULL outside. */
typedef struct GradientRows {
    const WeightBlock *block;
    LLVMValueRef pointers;
} GradientRows;

static void point_to_result(Emitter *e, void *context, LLVMValueRef result, RowPlace *place) {
    const GradientRows *rows = context;
    emit_store(e, emit_row_address(e, &rows->block->slots->b, place->image, place->row),
               emit_at(e, e->pointer, rows->pointers, result), 8);
}

/* A vector of the results' gradients: their rows, i1 whether there is one, the column (i64), the
 * columns there are, and where it goes. */
typedef struct GradientVector {
    const WeightBlock *block;
    LLVMValueRef rows[RESULTS], there[RESULTS];
    LLVMValueRef column, mask, target;
} GradientVector;

static LLVMValueRef load_result(Emitter *e, void *context, int line, int column) {
    const GradientVector *vector = context;
    const WeightWinograd *slots = vector->block->slots;
    int nth = line * WINOGRAD_RESULTS + column;
    LLVMValueRef none = LLVMConstNull(e->vector_i1);
    LLVMValueRef some = LLVMBuildSelect(e->builder, vector->there[nth], vector->mask, none, "");
    LLVMValueRef value =
        emit_load_elements(e, slots->b.dtype, vector->rows[nth], vector->column, some);
    return slots->tiles.source.bf16 && slots->b.dtype != DTYPE_BF16 ? emit_round_to_bf16(e, value)
                                                                    : value;
}

static void store_frequency(Emitter *e, void *context, int line, int column, LLVMValueRef value) {
    const GradientVector *vector = context;
    int64_t number = (int64_t)line * WINOGRAD_SIDE + column;
    LLVMValueRef start = gradient_start(e, vector->block, emit_int(e, number));
    emit_store_vector(e, value, emit_at(e, e->f32, vector->target, start), NULL);
}

/* Finds the rows of a tile's results. */
static void find_rows(Emitter *e, GradientVector *vector, const WinogradTile *tile,
                      LLVMValueRef pointers) {
    const WeightWinograd *slots = vector->block->slots;
    LLVMValueRef null = LLVMConstNull(e->pointer);
    GradientRows found = {vector->block, pointers};
    for (int i = 0; i < RESULTS; i++)
        emit_store(e, null, emit_at(e, e->pointer, pointers, emit_int(e, i)), 8);
    emit_winograd_results(e, tile, &slots->space, point_to_result, &found);
    for (int i = 0; i < RESULTS; i++) {
        LLVMValueRef place = emit_at(e, e->pointer, pointers, emit_int(e, i));
        vector->rows[i] = emit_load(e, e->pointer, place, 8);
        vector->there[i] =
            emit_splat(e, LLVMBuildICmp(e->builder, LLVMIntNE, vector->rows[i], null, ""));
    }
}

/* A dy A^T of tile number `number`, which is number `nth` of the stretch, at the columns. */
static void pack_gradient(Emitter *e, const WeightBlock *block, LLVMValueRef number,
                          LLVMValueRef nth, LLVMValueRef pointers) {
    const WeightWinograd *slots = block->slots;
    WinogradTile tile = emit_winograd_tile(e, &slots->tiles, number);
    GradientVector vector = {.block = block};
    find_rows(e, &vector, &tile, pointers);
    Loop panels = loop_begin(e, block->columns.first, block->columns.end, emit_int(e, 1));
    LLVMValueRef start = emit_panel_start(e, &slots->panels, panels.index);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panels.index);
    LLVMValueRef panel = emit_sub(e, start, block->columns.first_column);
    panel = emit_add(e, emit_mul(e, panel, emit_int(e, TILES)), emit_mul(e, nth, width));
    Loop lane = loop_begin(e, emit_int(e, 0), width, emit_int(e, e->target->lanes));
    vector.column = emit_add(e, start, lane.index);
    vector.mask = emit_lane_mask(e, emit_sub(e, emit_slot(e, slots->out), vector.column));
    vector.target = emit_at(e, e->f32, block->gradient, emit_add(e, panel, lane.index));
    WinogradProduct product = {.matrix = &winograd_a,
                               .turned = true,
                               .load = load_result,
                               .store = store_frequency,
                               .context = &vector};
    emit_winograd_product(e, &product);
    loop_end(e, &lane);
    loop_end(e, &panels);
}

/* Adds the products of `count` tiles to the sums of all frequencies. */
static void multiply_stretch(Emitter *e, const WeightBlock *block, LLVMValueRef count,
                             LLVMValueRef accumulate) {
    const WeightWinograd *slots = block->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    LLVMValueRef row = emit_slot(e, slots->sums_row);
    LLVMValueRef size = emit_mul(e, emit_slot(e, slots->channels), row);
    Loop frequency = loop_begin(e, zero, emit_int(e, FREQUENCIES), one);
    LLVMValueRef tiles = emit_mul(e, frequency.index, emit_int(e, TILES));
    LLVMValueRef sums = emit_at(e, e->f32, block->sums, emit_mul(e, frequency.index, size));
    LLVMValueRef gradient =
        emit_at(e, e->f32, block->gradient, gradient_start(e, block, frequency.index));
    Loop panels = loop_begin(e, block->columns.first, block->columns.end, one);
    LLVMValueRef column =
        emit_sub(e, emit_panel_start(e, &slots->panels, panels.index), block->columns.first_column);
    GemmOperands o = {.by_column = true,
                      .a = emit_at(e, e->pointer, block->pointers, tiles),
                      .first = zero,
                      .b = emit_at(e, e->f32, gradient, emit_mul(e, column, emit_int(e, TILES))),
                      .c = emit_at(e, e->f32, sums, column),
                      .c_row = row,
                      .depth = count,
                      .accumulate = accumulate};
    emit_gemm_panel(e, &o, block->channels, emit_panel_width(e, &slots->panels, panels.index));
    loop_end(e, &panels);
    loop_end(e, &frequency);
}

/* Fetches what tiles [begin, begin + TILES) of the part read, while others are multiplied: all
 * channels of the results' positions. Where one block has the whole weight; of several, each would
 * fetch the same. */
static void fetch_stretch(Emitter *e, const WeightBlock *block, LLVMValueRef begin) {
    const WeightWinograd *slots = block->slots;
    const ViewSlots *maps[] = {&slots->tiles.source.a, &slots->b};
    LLVMValueRef blocks = emit_slot(e, slots->blocks), one = emit_int(e, 1);
    LLVMValueRef side = emit_int(e, WINOGRAD_RESULTS), width = emit_slot(e, slots->space.extent[1]);
    LLVMValueRef end = emit_min(e, block->end, emit_add(e, begin, emit_int(e, TILES)));
    Branch single = branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntEQ, blocks, one, ""));
    Loop number = loop_begin(e, begin, end, one);
    WinogradTile tile = emit_winograd_tile(e, &slots->tiles, number.index);
    LLVMValueRef first = emit_mul(e, tile.line, side), column = emit_mul(e, tile.place, side);
    LLVMValueRef last = emit_min(e, emit_slot(e, slots->space.extent[0]), emit_add(e, first, side));
    LLVMValueRef positions = emit_min(e, side, emit_sub(e, width, column));
    Loop line = loop_begin(e, first, last, one);
    LLVMValueRef row = emit_add(e, emit_mul(e, line.index, width), column);
    for (int i = 0; i < 2; i++)
        emit_fetch_row(e, maps[i]->dtype, emit_row_address(e, maps[i], tile.image, row),
                       emit_mul(e, positions, emit_slot(e, maps[i]->row_stride)));
    loop_end(e, &line);
    loop_end(e, &number);
    branch_end(e, &single);
}

static void sum_tiles(Emitter *e, const WeightBlock *block) {
    const WeightWinograd *slots = block->slots;
    LLVMValueRef unit = emit_int(e, TILES);
    LLVMValueRef pointers = emit_array(e, e->pointer, RESULTS);
    WinogradInput input = {.slots = &slots->tiles,
                           .first = block->channel,
                           .count = block->channels,
                           .patch = e->workspace,
                           .target = block->transformed,
                           .frequency = emit_slot(e, slots->frequency),
                           .row = emit_slot(e, slots->row)};
    emit_winograd_pointers(e, &input, unit, block->pointers);
    Loop stretch = loop_begin(e, block->first, block->end, unit);
    LLVMValueRef count = emit_min(e, unit, emit_sub(e, block->end, stretch.index));
    emit_winograd_input(e, &input, stretch.index, count);
    Loop nth = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    pack_gradient(e, block, emit_add(e, stretch.index, nth.index), nth.index, pointers);
    loop_end(e, &nth);
    fetch_stretch(e, block, emit_add(e, stretch.index, unit));
    multiply_stretch(e, block, count, emit_less(e, block->first, stretch.index));
    loop_end(e, &stretch);
}

/* A vector of the sums of a channel, and the rows of the taps. */
typedef struct SumVector {
    const WeightBlock *block;
    LLVMValueRef place; /* i64: in the sums of a frequency */
    LLVMValueRef rows[WINOGRAD_TAPS], column, mask;
} SumVector;

static LLVMValueRef load_sum(Emitter *e, void *context, int line, int column) {
    const SumVector *vector = context;
    const WeightWinograd *slots = vector->block->slots;
    LLVMValueRef size = emit_mul(e, emit_slot(e, slots->channels), emit_slot(e, slots->sums_row));
    LLVMValueRef nth = emit_int(e, (int64_t)line * WINOGRAD_SIDE + column);
    LLVMValueRef place = emit_add(e, emit_mul(e, size, nth), vector->place);
    return emit_load_vector(e, e->vector_f32, emit_at(e, e->f32, vector->block->sums, place), NULL);
}

static void store_tap(Emitter *e, void *context, int line, int column, LLVMValueRef value) {
    const SumVector *vector = context;
    LLVMValueRef row = vector->rows[line * winograd_g.columns + column];
    emit_store_vector(e, value, emit_at(e, e->f32, row, vector->column), vector->mask);
}

/* The row of the weight, or of a part of the sums, at a place of 3 x 3 and a channel. */
static LLVMValueRef weight_row(Emitter *e, const WeightWinograd *slots, LLVMValueRef place,
                               LLVMValueRef channel) {
    return emit_weight_address(e, &slots->weight, emit_place_weight(e, &slots->tiles, place),
                               emit_int(e, 0), channel);
}

static LLVMValueRef part_row(Emitter *e, const WeightWinograd *slots, LLVMValueRef part,
                             LLVMValueRef place, LLVMValueRef channel) {
    LLVMValueRef row = emit_add(e, emit_mul(e, place, emit_slot(e, slots->in)), channel);
    LLVMValueRef first = emit_mul(e, part, emit_slot(e, slots->part_elements));
    first = emit_add(e, first, emit_mul(e, row, emit_slot(e, slots->out)));
    return emit_at(e, e->f32, emit_slot_pointer(e, slots->part_sums), first);
}

/* Stores the block: in the weight, or, of several parts, in that of the sums. */
static void store_block(Emitter *e, const WeightBlock *block) {
    const WeightWinograd *slots = block->slots;
    LLVMValueRef one = emit_int(e, 1), zero = emit_int(e, 0);
    LLVMValueRef several = emit_less(e, one, emit_slot(e, slots->parts));
    SumVector vector = {.block = block};
    Loop channel = loop_begin(e, zero, block->channels, one);
    LLVMValueRef number = emit_add(e, block->channel, channel.index);
    LLVMValueRef first = emit_mul(e, channel.index, emit_slot(e, slots->sums_row));
    for (int i = 0; i < WINOGRAD_TAPS; i++) {
        LLVMValueRef place = emit_int(e, i);
        vector.rows[i] =
            LLVMBuildSelect(e->builder, several, part_row(e, slots, block->part, place, number),
                            weight_row(e, slots, place, number), "");
    }
    Loop lane = loop_begin(e, zero, block->columns.column_count, emit_int(e, e->target->lanes));
    vector.place = emit_add(e, first, lane.index);
    vector.mask = emit_lane_mask(e, emit_sub(e, block->columns.column_count, lane.index));
    vector.column = emit_add(e, block->columns.first_column, lane.index);
    WinogradProduct product = {.matrix = &winograd_g,
                               .turned = true,
                               .load = load_sum,
                               .store = store_tap,
                               .context = &vector};
    emit_winograd_product(e, &product);
    loop_end(e, &lane);
    loop_end(e, &channel);
}

static void emit_sums(Emitter *e, const WeightWinograd *slots) {
    WeightBlock block = begin_chunk(e, slots);
    sum_tiles(e, &block);
    store_block(e, &block);
}

/* ---- Stage 1 --------------------------------------------------------------------------------- */

/* A chunk: some rows of a tap. */
static void emit_merge(Emitter *e, const WeightWinograd *slots) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), unit = emit_int(e, MERGED_ROWS);
    LLVMValueRef taps = emit_int(e, WINOGRAD_TAPS), place = emit_rem(e, e->chunk, taps);
    LLVMValueRef first = emit_mul(e, emit_div(e, e->chunk, taps), unit);
    LLVMValueRef end = emit_min(e, emit_add(e, first, unit), emit_slot(e, slots->in));
    Loop channel = loop_begin(e, first, end, one);
    Totals parts = {.first = part_row(e, slots, zero, place, channel.index),
                    .parts = emit_slot(e, slots->parts),
                    .part = emit_slot(e, slots->part_elements),
                    .count = emit_slot(e, slots->out)};
    emit_store_sums(e, &parts, weight_row(e, slots, place, channel.index));
    loop_end(e, &channel);
}

void emit_weight_winograd(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    Slots numbering = {.arena = e->arena, .program = program, .choices = e->choices};
    WeightWinograd slots = slot_weight(&numbering, kernel, e->target, stage);
    if (stage == 0)
        emit_sums(e, &slots);
    else
        emit_merge(e, &slots);
}
