/* A chunk of stage 1 takes some tiles and columns: it transforms what the tiles read and multiplies
 * it with the transformed weight, a product of matrices at each frequency; what these give is
 * transformed back, a panel at a time, to the sums of the tiles' rows, on which the kernel's
 * expression runs. Stage 0 transforms the weight into panels of columns:
 * [panel][frequency][channel][column]. */
#include "base/integer.h"
#include "codegen/cpu/contract.h"
#include "codegen/cpu/winograd.h"

enum {
    FREQUENCIES = WINOGRAD_FREQUENCIES,
    RESULTS = WINOGRAD_RESULTS * WINOGRAD_RESULTS,
    TILES = 16,      /* of a chunk: whole register blocks, */
    DEEP_TILES = 32, /* more where each meets much of the weight, */
    DEEP = 512,      /* from so many channels on */
    COLUMNS = 512,   /* of a chunk at most */
    GAP = 16, /* elements from tile to tile, and frequency to frequency, are no power of two */
    WEIGHT_CHANNELS = 64, /* that a chunk transforms; the last one up to twice as many */
};

typedef struct ContractWinograd {
    WinogradSlots tiles;
    ElementSlots elements;
    WeightViewSlots weight;
    PanelSlots panels;
    int packed; /* pointer */
    int in, out;
    int row, frequency; /* elements from transformed tile to tile, and frequency to frequency */
    int chunk_tiles, tile_blocks, channel_blocks;
    int transformed, products, sums, sums_row, pointers; /* offsets in the workspace, behind a
        patch: [frequency][tile][row], [frequency][tile][columns of a panel],
        [tile][result][sums_row], [frequency][tile] */
} ContractWinograd;

/* ---- Slots ----------------------------------------------------------------------------------- */

static int64_t panel_columns(const CpuTarget *target) {
    return (int64_t)gemm_block(target).vectors * target->lanes;
}

static void slot_workspace(Slots *slots, ContractWinograd *out, const CpuTarget *target, int64_t in,
                           int64_t tiles, int64_t widest) {
    int64_t all = FREQUENCIES * tiles, row = integer_round_up(in, target->lanes) + GAP;
    int64_t frequency = tiles * row + GAP, transformed = FREQUENCIES * row;
    int64_t products = transformed + FREQUENCIES * frequency;
    int64_t sums = products + all * panel_columns(target);
    int64_t pointers = sums + RESULTS * tiles * widest;
    int64_t entry = (int64_t)(sizeof(void *) / sizeof(float));
    out->row = slot_number(slots, row);
    out->frequency = slot_number(slots, frequency);
    out->chunk_tiles = slot_number(slots, tiles);
    out->transformed = slot_number(slots, transformed);
    out->products = slot_number(slots, products);
    out->sums = slot_number(slots, sums);
    out->sums_row = slot_number(slots, widest);
    out->pointers = slot_number(slots, pointers);
    slots->workspace = (pointers + all * entry) * (int64_t)sizeof(float);
}

static ContractWinograd slot_contract(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                                      int stage) {
    const Contraction *c = &kernel->contraction;
    ContractWinograd out = {.tiles = slot_winograd(slots, kernel)};
    Panels panels = gemm_panels(target, c->out, COLUMNS);
    int64_t tiles = c->in < DEEP ? TILES : DEEP_TILES;
    int64_t tile_blocks = integer_divide_up(winograd_tiles(slots->program, kernel), tiles);
    int64_t channel_blocks = c->in > WEIGHT_CHANNELS ? c->in / WEIGHT_CHANNELS : 1;
    int64_t packed = FREQUENCIES * c->in * panels.vectors * target->lanes;
    out.elements = slot_elements(slots, kernel);
    out.weight = slot_weight_view(slots, &c->weight);
    out.panels = slot_panels(slots, &panels, c->out);
    out.packed = slot_shared(slots, packed * (int64_t)sizeof(float));
    out.in = slot_number(slots, c->in);
    out.out = slot_number(slots, c->out);
    out.tile_blocks = slot_number(slots, tile_blocks);
    out.channel_blocks = slot_number(slots, channel_blocks);
    slot_workspace(slots, &out, target, c->in, tiles, panels.widest);
    slots->chunks = stage == 0 ? panels.count * channel_blocks : tile_blocks * panels.blocks;
    return out;
}

int64_t bind_contract_winograd(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                               int stage) {
    slot_contract(slots, kernel, target, stage);
    return stage == 0 ? (int64_t)contract_weight_form(kernel) : 0;
}

/* ---- Stage 0 --------------------------------------------------------------------------------- */

/* Some channels and columns of the weight, as many of each as a vector has lanes: [place][channel]
 * [column] at `block`. */
static void load_block(Emitter *e, const Kernel *kernel, const ContractWinograd *slots,
                       LLVMValueRef channel, LLVMValueRef column, LLVMValueRef block) {
    LLVMValueRef out = emit_slot(e, slots->out), values[CPU_MAX_LANES];
    WeightForm form = contract_weight_form(kernel);
    int lanes = e->target->lanes;
    Loop place = loop_begin(e, emit_int(e, 0), emit_int(e, WINOGRAD_TAPS), emit_int(e, 1));
    LLVMValueRef number = emit_place_weight(e, &slots->tiles, place.index);
    for (int i = 0; i < lanes; i++) {
        bool turned = form == WEIGHT_TURNED;
        LLVMValueRef nth = emit_int(e, i), term = turned ? channel : emit_add(e, channel, nth);
        LLVMValueRef row = emit_weight_address(e, &slots->weight, number, emit_int(e, 0), term);
        values[i] = turned
                        ? contract_load_terms(e, &slots->weight, out, row, emit_add(e, column, nth))
                        : contract_load_columns(e, &slots->weight, out, form, row, NULL, column);
    }
    if (form == WEIGHT_TURNED)
        emit_transpose(e, values);
    LLVMValueRef first = emit_mul(e, place.index, emit_int(e, (int64_t)lanes * lanes));
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef target = emit_add(e, first, emit_int(e, (int64_t)i * lanes));
        if (kernel->contraction.bf16)
            values[i] = emit_round_to_bf16(e, values[i]);
        emit_store_vector(e, values[i], emit_at(e, e->f32, block, target), NULL);
    }
    loop_end(e, &place);
}

/* A channel of a block, and where its frequencies go, `step` elements from one to the next. */
typedef struct BlockChannel {
    LLVMValueRef block, channel, target, step;
} BlockChannel;

static LLVMValueRef load_tap(Emitter *e, void *context, int line, int column) {
    const BlockChannel *c = context;
    int lanes = e->target->lanes;
    LLVMValueRef place = emit_int(e, (int64_t)(line * winograd_g.columns + column) * lanes);
    place = emit_mul(e, emit_add(e, place, c->channel), emit_int(e, lanes));
    return emit_load_vector(e, e->vector_f32, emit_at(e, e->f32, c->block, place), NULL);
}

static void store_frequency(Emitter *e, void *context, int line, int column, LLVMValueRef value) {
    const BlockChannel *c = context;
    LLVMValueRef place = emit_int(e, (int64_t)line * WINOGRAD_SIDE + column);
    place = emit_at(e, e->f32, c->target, emit_mul(e, c->step, place));
    emit_store_past_caches(e, value, place);
}

/* The transformed panel that starts at `column`. */
static LLVMValueRef packed_panel(Emitter *e, const ContractWinograd *slots, LLVMValueRef column) {
    LLVMValueRef size = emit_mul(e, emit_slot(e, slots->in), emit_int(e, FREQUENCIES));
    return emit_at(e, e->f32, emit_slot_pointer(e, slots->packed), emit_mul(e, column, size));
}

/* The channels [first, end) of a chunk: the last has what is left. */
static void weight_channels(Emitter *e, const ContractWinograd *slots, LLVMValueRef nth,
                            LLVMValueRef *first, LLVMValueRef *end) {
    LLVMValueRef unit = emit_int(e, WEIGHT_CHANNELS), in = emit_slot(e, slots->in);
    LLVMValueRef next = emit_add(e, nth, emit_int(e, 1));
    LLVMValueRef more = emit_less(e, next, emit_slot(e, slots->channel_blocks));
    *first = emit_mul(e, nth, unit);
    *end = LLVMBuildSelect(e->builder, more, emit_mul(e, next, unit), in, "");
}

/* As many channels at a time as a vector has lanes: the last ones again, where they do not fill
 * another block. */
static void emit_packing(Emitter *e, const Kernel *kernel, const ContractWinograd *slots) {
    LLVMValueRef zero = emit_int(e, 0), lanes = emit_int(e, e->target->lanes), first, end;
    LLVMValueRef blocks = emit_slot(e, slots->channel_blocks), in = emit_slot(e, slots->in);
    LLVMValueRef panel = emit_div(e, e->chunk, blocks);
    LLVMValueRef start = emit_panel_start(e, &slots->panels, panel);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panel);
    LLVMValueRef target = packed_panel(e, slots, start), step = emit_mul(e, in, width);
    int elements = WINOGRAD_TAPS * e->target->lanes * e->target->lanes;
    LLVMValueRef block = emit_array(e, e->f32, elements);
    weight_channels(e, slots, emit_rem(e, e->chunk, blocks), &first, &end);
    Loop channels = loop_begin(e, first, end, lanes);
    LLVMValueRef begin = emit_min(e, channels.index, emit_sub(e, end, lanes));
    Loop lane = loop_begin(e, zero, width, lanes);
    load_block(e, kernel, slots, begin, emit_add(e, start, lane.index), block);
    Loop channel = loop_begin(e, zero, lanes, emit_int(e, 1));
    LLVMValueRef row = emit_mul(e, emit_add(e, begin, channel.index), width);
    BlockChannel transformed = {
        .block = block,
        .channel = channel.index,
        .target = emit_at(e, e->f32, target, emit_add(e, row, lane.index)),
        .step = step,
    };
    WinogradProduct product = {
        .matrix = &winograd_g, .load = load_tap, .store = store_frequency, .context = &transformed};
    emit_winograd_product(e, &product);
    loop_end(e, &channel);
    loop_end(e, &lane);
    loop_end(e, &channels);
    emit_fence(e);
}

/* ---- Stage 1 --------------------------------------------------------------------------------- */

/* A chunk's tiles and columns. */
typedef struct TileChunk {
    const Kernel *kernel;
    const ContractWinograd *slots;
    LLVMValueRef first, count;
    PanelBlock columns;
    LLVMValueRef transformed, products, sums, pointers; /* workspace */
} TileChunk;

static TileChunk begin_chunk(Emitter *e, const Kernel *kernel, const ContractWinograd *slots) {
    TileChunk chunk = {.kernel = kernel, .slots = slots};
    LLVMValueRef blocks = emit_slot(e, slots->tile_blocks), unit = emit_slot(e, slots->chunk_tiles);
    chunk.first = emit_mul(e, emit_rem(e, e->chunk, blocks), unit);
    chunk.count = emit_min(e, unit, emit_sub(e, emit_slot(e, slots->tiles.tiles), chunk.first));
    chunk.columns = emit_panel_block(e, &slots->panels, emit_div(e, e->chunk, blocks));
    chunk.transformed = emit_workspace(e, slots->transformed);
    chunk.products = emit_workspace(e, slots->products);
    chunk.sums = emit_workspace(e, slots->sums);
    chunk.pointers = emit_workspace(e, slots->pointers);
    return chunk;
}

static void transform_tiles(Emitter *e, const TileChunk *chunk) {
    WinogradInput input = {.slots = &chunk->slots->tiles,
                           .first = emit_int(e, 0),
                           .count = emit_slot(e, chunk->slots->in),
                           .patch = e->workspace,
                           .target = chunk->transformed,
                           .frequency = emit_slot(e, chunk->slots->frequency),
                           .row = emit_slot(e, chunk->slots->row)};
    emit_winograd_pointers(e, &input, emit_slot(e, chunk->slots->chunk_tiles), chunk->pointers);
    emit_winograd_input(e, &input, chunk->first, chunk->count);
}

/* All tiles with a panel, at each frequency. */
static void multiply_panel(Emitter *e, const TileChunk *chunk, LLVMValueRef column,
                           LLVMValueRef width) {
    const ContractWinograd *slots = chunk->slots;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), in = emit_slot(e, slots->in);
    LLVMValueRef rows = emit_round_up(e, chunk->count, gemm_block(e->target).rows);
    LLVMValueRef panel = packed_panel(e, slots, column);
    LLVMValueRef c_row = emit_int(e, panel_columns(e->target));
    Loop frequency = loop_begin(e, zero, emit_int(e, FREQUENCIES), one);
    LLVMValueRef first = emit_mul(e, frequency.index, emit_slot(e, slots->chunk_tiles));
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

/* A vector of a tile's products: its column (i64) in the panel and in the sums. */
typedef struct ProductVector {
    const TileChunk *chunk;
    LLVMValueRef tile, lane, column;
} ProductVector;

static LLVMValueRef load_product(Emitter *e, void *context, int line, int column) {
    const ProductVector *vector = context;
    LLVMValueRef place = emit_mul(e, emit_slot(e, vector->chunk->slots->chunk_tiles),
                                  emit_int(e, (int64_t)line * WINOGRAD_SIDE + column));
    place = emit_mul(e, emit_add(e, place, vector->tile), emit_int(e, panel_columns(e->target)));
    place = emit_at(e, e->f32, vector->chunk->products, emit_add(e, place, vector->lane));
    return emit_load_vector(e, e->vector_f32, place, NULL);
}

static void store_sum(Emitter *e, void *context, int line, int column, LLVMValueRef value) {
    const ProductVector *vector = context;
    const ContractWinograd *slots = vector->chunk->slots;
    LLVMValueRef row = emit_mul(e, vector->tile, emit_int(e, RESULTS));
    row = emit_add(e, row, emit_int(e, (int64_t)line * WINOGRAD_RESULTS + column));
    LLVMValueRef place =
        emit_add(e, emit_mul(e, row, emit_slot(e, slots->sums_row)), vector->column);
    emit_store_vector(e, value, emit_at(e, e->f32, vector->chunk->sums, place), NULL);
}

/* The products of a panel's columns, transformed back, to the sums. */
static void transform_products(Emitter *e, const TileChunk *chunk, LLVMValueRef column,
                               LLVMValueRef width) {
    LLVMValueRef zero = emit_int(e, 0);
    Loop tile = loop_begin(e, zero, chunk->count, emit_int(e, 1));
    Loop lane = loop_begin(e, zero, width, emit_int(e, e->target->lanes));
    ProductVector vector = {chunk, tile.index, lane.index, emit_add(e, column, lane.index)};
    WinogradProduct product = {
        .matrix = &winograd_a, .load = load_product, .store = store_sum, .context = &vector};
    emit_winograd_product(e, &product);
    loop_end(e, &lane);
    loop_end(e, &tile);
}

/* A tile whose sums are to be finished. */
typedef struct FinishedTile {
    const TileChunk *chunk;
    LLVMValueRef nth;
} FinishedTile;

static void finish_result(Emitter *e, void *context, LLVMValueRef result, RowPlace *place) {
    const FinishedTile *tile = context;
    const TileChunk *chunk = tile->chunk;
    LLVMValueRef row = emit_add(e, emit_mul(e, tile->nth, emit_int(e, RESULTS)), result);
    row = emit_mul(e, row, emit_slot(e, chunk->slots->sums_row));
    contract_finish_row(e, chunk->kernel, &chunk->slots->elements, place,
                        emit_at(e, e->f32, chunk->sums, row), chunk->columns.first_column,
                        chunk->columns.column_count);
}

static void emit_tiles(Emitter *e, const Kernel *kernel, const ContractWinograd *slots) {
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    TileChunk chunk = begin_chunk(e, kernel, slots);
    transform_tiles(e, &chunk);
    Loop panels = loop_begin(e, chunk.columns.first, chunk.columns.end, one);
    LLVMValueRef column = emit_panel_start(e, &slots->panels, panels.index);
    LLVMValueRef width = emit_panel_width(e, &slots->panels, panels.index);
    multiply_panel(e, &chunk, column, width);
    transform_products(e, &chunk, emit_sub(e, column, chunk.columns.first_column), width);
    loop_end(e, &panels);
    Loop nth = loop_begin(e, zero, chunk.count, one);
    WinogradTile tile = emit_winograd_tile(e, &slots->tiles, emit_add(e, chunk.first, nth.index));
    FinishedTile finished = {&chunk, nth.index};
    emit_winograd_results(e, &tile, &slots->elements.space, finish_result, &finished);
    loop_end(e, &nth);
}

void emit_contract_winograd(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    Slots numbering = {.arena = e->arena, .program = program, .choices = e->choices};
    ContractWinograd slots = slot_contract(&numbering, kernel, e->target, stage);
    if (stage == 0)
        emit_packing(e, kernel, &slots);
    else
        emit_tiles(e, kernel, &slots);
}
