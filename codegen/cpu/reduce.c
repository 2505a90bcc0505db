/* Reductions. Long ones run in two stages: tiles of at most 1,024 terms a lane in fp32, written to
 * shared scratch, then the merge of the tiles in double, in order. The tiles follow from the shapes
 * alone, so the result does not depend on the number of threads. Moments keep (mean, M2) per tile,
 * computed in two passes over the tile while it is in cache, and merge them by Chan, Golub and
 * LeVeque (1983). */
#include "base/fatal.h"
#include "base/integer.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/kinds.h"

enum {
    SUM_TILE_ROWS = 1024,
    MOMENTS_TILE_ROWS = 128,
    ROWS_AT_ONCE = 4,        /* rows that are added to a sum between its load and its store */
    NEXT_ROWS = 16,          /* fetched ahead; in a second pass, whose tile is in a cache, */
    NEXT_TILES = 2,          /* so many tiles, */
    FETCHED_BYTES = 1 << 18, /* if what lies between stays in the cache */
    MERGE_VECTORS = 4,       /* vectors of channels whose tiles are merged in a chunk */
    BLOCK_VECTORS = 8,       /* vectors of channels of a chunk at least, and whole blocks of them */
    ENOUGH_CHUNKS = 16,      /* so that threads end together */
    LONG_ROW_VECTORS = 1024, /* vectors per tile of a long row */
    ROWS_PER_CHUNK = 64      /* reductions within a row */
};

typedef struct ReduceSlots {
    ElementWalk walk;
    bool moments;
    int groups;           /* of rows: 1, or the images */
    int group_rows;       /* rows in each */
    int tile_rows, tiles; /* per group; long rows: elements per tile */
    int channels;
    int channel_blocks, block_channels; /* of a tile's chunks */
    int next_rows;                      /* that the second pass fetches ahead */
    int distances, squares;             /* offsets in the workspace, behind the sums */
    int outputs_per_group;
    int merge_count;         /* terms behind each pair that is merged */
    int partial, partial_m2; /* pointer slots: [group][tile][channel]; long rows: [tile] */
    int pieces, segments, segment_pieces; /* segments: tables; a table */
    ElementSlots elements;
} ReduceSlots;

/* ---- Slots ----------------------------------------------------------------------------------- */

/* For each segment the first piece, and one past the last of all. */
static int slot_segment_pieces(Slots *slots, int64_t tile) {
    const Program *program = slots->program;
    int64_t piece = 0;
    int table = slot_table(slots);
    slot_table_entry(slots, 0);
    for (size_t s = 0; s < program->segments.count; s++) {
        const Segment *segment = &program->segments.items[s];
        int64_t size = 1;
        for (int d = 0; d < segment->type.rank; d++)
            size *= segment->type.extent[d];
        piece += integer_divide_up(size, tile);
        slot_table_entry(slots, piece);
    }
    return table;
}

static ReduceSlots slot_long(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage,
                             ElementWalk walk) {
    ReduceSlots out = {.walk = walk};
    const Geometry *geometry = &slots->program->geometry;
    int64_t elements = kernel->channels, tile = (int64_t)LONG_ROW_VECTORS * target->lanes;
    if (kernel->space.kind != SPACE_ONE && kernel->space.kind != SPACE_FLAT)
        elements *= space_rows(geometry, &kernel->space) * geometry->batch;
    out.elements = slot_elements(slots, kernel);
    out.channels = slot_number(slots, elements);
    out.tile_rows = slot_number(slots, tile);
    int64_t tiles = integer_divide_up(elements, tile);
    if (walk == WALK_SEGMENTS) {
        out.pieces = slot_pieces(slots, tile, &tiles);
        out.segment_pieces = slot_segment_pieces(slots, tile);
    }
    out.tiles = slot_number(slots, tiles);
    out.partial = slot_shared(slots, tiles * (int64_t)sizeof(double));
    slots->chunks = stage == 0 ? tiles : 1;
    if (walk == WALK_SEGMENTS && stage == 1)
        slots->chunks = (int64_t)slots->program->segments.count;
    return out;
}

/* A tile is a chunk, or, where they are few, a chunk for each of some blocks of channels. */
static int64_t slot_channel_blocks(Slots *slots, ReduceSlots *out, int64_t channels, int64_t lanes,
                                   int64_t tiles) {
    int64_t unit = BLOCK_VECTORS * lanes, most = integer_divide_up(channels, unit);
    int64_t wanted = integer_divide_up(ENOUGH_CHUNKS, tiles);
    int64_t units = integer_divide_up(most, wanted < most ? wanted : most);
    int64_t blocks = integer_divide_up(most, units);
    int64_t padded = integer_divide_up(channels, lanes) * lanes;
    out->channel_blocks = slot_number(slots, blocks);
    out->block_channels = slot_number(slots, units * unit);
    out->distances = slot_number(slots, padded);
    out->squares = slot_number(slots, 2 * padded);
    slots->workspace = 3 * padded * (int64_t)sizeof(float);
    return blocks;
}

static ReduceSlots slot_rows(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                             int stage) {
    const Geometry *geometry = &slots->program->geometry;
    const Reduction *reduction = &kernel->reduction;
    ReduceSlots out = {.walk = WALK_ROWS, .moments = reduction->kind == REDUCE_MOMENTS};
    int64_t rows = space_rows(geometry, &kernel->space), groups = 1;
    bool has_images = kernel->space.kind != SPACE_ONE && kernel->space.kind != SPACE_FLAT;
    if (reduction->over == OVER_IMAGE)
        groups = geometry->batch;
    else if (has_images)
        rows *= geometry->batch;
    int64_t tile = out.moments ? MOMENTS_TILE_ROWS : SUM_TILE_ROWS;
    int64_t tiles = integer_divide_up(rows, tile), block = (int64_t)MERGE_VECTORS * target->lanes;
    out.elements = slot_elements(slots, kernel);
    out.groups = slot_number(slots, groups);
    out.group_rows = slot_number(slots, rows);
    out.tile_rows = slot_number(slots, tile);
    out.tiles = slot_number(slots, tiles);
    out.channels = slot_number(slots, kernel->channels);
    int64_t partials = groups * tiles * kernel->channels * (int64_t)sizeof(float);
    out.partial = slot_shared(slots, partials);
    int64_t next = NEXT_TILES * tile;
    bool near = next * kernel->channels * (int64_t)sizeof(float) <= FETCHED_BYTES;
    out.next_rows = slot_number(slots, near ? next : 0);
    if (out.moments)
        out.partial_m2 = slot_shared(slots, partials);
    int64_t blocks =
        slot_channel_blocks(slots, &out, kernel->channels, target->lanes, groups * tiles);
    slots->chunks =
        stage == 0 ? groups * tiles * blocks : groups * integer_divide_up(kernel->channels, block);
    if (stage == 1 && reduction->over == OVER_ALL)
        slots->chunks = 1;
    return out;
}

/* Reductions within a row, or within the cells of a dense map. */
static ReduceSlots slot_within(Slots *slots, const Kernel *kernel) {
    const Geometry *geometry = &slots->program->geometry;
    const Reduction *reduction = &kernel->reduction;
    ReduceSlots out = {.walk = WALK_ROWS, .moments = reduction->kind == REDUCE_MOMENTS};
    int64_t rows = space_rows(geometry, &kernel->space);
    if (kernel->space.kind != SPACE_ONE && kernel->space.kind != SPACE_FLAT)
        rows *= geometry->batch;
    out.elements = slot_elements(slots, kernel);
    out.group_rows = slot_number(slots, rows);
    out.groups = slot_number(slots, reduction->groups);
    out.channels = slot_number(slots, kernel->channels);
    out.outputs_per_group = slot_number(slots, kernel->channels / reduction->groups);
    out.merge_count = slot_number(slots, reduction->merge_count);
    out.tile_rows = slot_number(slots, ROWS_PER_CHUNK);
    slots->chunks = integer_divide_up(rows, ROWS_PER_CHUNK);
    return out;
}

/* ---- Accumulating tiles of rows -------------------------------------------------------------- */

/* A chunk: some rows and channels, and the sums of them in the workspace, one a channel. */
typedef struct Tile {
    const Kernel *kernel;
    const ReduceSlots *slots;
    LLVMValueRef first_row, end_row; /* counted over the batch */
    LLVMValueRef begin, end;         /* channels */
    LLVMValueRef partial;            /* row of the partial arrays */
    LLVMValueRef sums, distances, squares;
} Tile;

static Tile begin_tile(Emitter *e, const Kernel *kernel, const ReduceSlots *slots) {
    Tile tile = {.kernel = kernel, .slots = slots};
    LLVMValueRef tiles = emit_slot(e, slots->tiles), rows = emit_slot(e, slots->group_rows);
    LLVMValueRef blocks = emit_slot(e, slots->channel_blocks);
    LLVMValueRef width = emit_slot(e, slots->block_channels);
    tile.partial = emit_div(e, e->chunk, blocks);
    tile.begin = emit_mul(e, emit_rem(e, e->chunk, blocks), width);
    tile.end = emit_min(e, emit_add(e, tile.begin, width), emit_slot(e, slots->channels));
    LLVMValueRef size = emit_slot(e, slots->tile_rows);
    LLVMValueRef base = emit_mul(e, emit_div(e, tile.partial, tiles), rows);
    LLVMValueRef first = emit_mul(e, emit_rem(e, tile.partial, tiles), size);
    tile.first_row = emit_add(e, base, first);
    tile.end_row = emit_add(e, base, emit_min(e, emit_add(e, first, size), rows));
    tile.sums = e->workspace;
    tile.distances = emit_workspace(e, slots->distances);
    tile.squares = emit_workspace(e, slots->squares);
    return tile;
}

static LLVMValueRef load_sum(Emitter *e, LLVMValueRef sums, LLVMValueRef channel) {
    return emit_load_vector(e, e->vector_f32, emit_at(e, e->f32, sums, channel), NULL);
}

static void store_sum(Emitter *e, LLVMValueRef sums, LLVMValueRef channel, LLVMValueRef value) {
    emit_store_vector(e, value, emit_at(e, e->f32, sums, channel), NULL);
}

/* Rows whose terms are added. */
typedef struct Terms {
    const Tile *tile;
    bool centred; /* what is summed is the distances from the means, and their squares */
    ElementRow rows[ROWS_AT_ONCE];
    int count;
} Terms;

/* Has what a row's operands have at `channel` some rows further on fetched. */
static void fetch_ahead(Emitter *e, const Terms *terms, const ElementRow *row,
                        LLVMValueRef channel) {
    const Kernel *kernel = terms->tile->kernel;
    const ReduceSlots *slots = terms->tile->slots;
    LLVMValueRef ahead = terms->centred ? emit_slot(e, slots->next_rows) : emit_int(e, NEXT_ROWS);
    for (int i = 0; i < kernel->operand_count; i++) {
        const ViewSlots *view = &slots->elements.operands[i].view;
        if (kernel->operands[i].kind != ACCESS_ELEMENT || view->channel_stride != 1)
            continue;
        LLVMValueRef element =
            emit_add(e, emit_mul(e, emit_slot(e, view->row_stride), ahead), channel);
        emit_prefetch(e, emit_at(e, emit_dtype(e, view->dtype), row->address[i], element));
    }
}

static void add_terms(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const Terms *terms = context;
    const Tile *tile = terms->tile;
    LLVMValueRef place = terms->centred ? tile->distances : tile->sums, term;
    LLVMValueRef sum = load_sum(e, place, channel), mean = NULL, squares = NULL;
    if (terms->centred) {
        mean = load_sum(e, tile->sums, channel);
        squares = load_sum(e, tile->squares, channel);
    }
    for (int r = 0; r < terms->count; r++) {
        fetch_ahead(e, terms, &terms->rows[r], channel);
        elements_evaluate(e, &terms->rows[r], channel, mask, NULL, &term);
        if (terms->centred) {
            term = LLVMBuildFSub(e->builder, term, mean, "");
            squares = emit_fma(e, term, term, squares);
        }
        sum = LLVMBuildFAdd(e->builder, sum, term, "");
    }
    store_sum(e, place, channel, sum);
    if (terms->centred)
        store_sum(e, tile->squares, channel, squares);
}

/* Rows [first, end), `at_once` at a time. */
static void add_rows(Emitter *e, Terms *terms, const RowCounter *counter, LLVMValueRef first,
                     LLVMValueRef end, int at_once) {
    const Tile *tile = terms->tile;
    Loop loop = loop_begin(e, first, end, emit_int(e, at_once));
    terms->count = at_once;
    for (int r = 0; r < at_once; r++) {
        RowPlace place = row_counter_take(e, counter);
        terms->rows[r] = elements_begin(e, tile->kernel, &tile->slots->elements, &place);
    }
    elements_each_vector(e, tile->begin, tile->end, add_terms, terms);
    loop_end(e, &loop);
}

/* Every channel's sum is one chain over the rows, whatever is taken at once. */
static void add_tile(Emitter *e, const Tile *tile, bool centred) {
    Terms terms = {.tile = tile, .centred = centred};
    RowCounter counter = row_counter_begin(e, &tile->slots->elements.space, tile->first_row);
    LLVMValueRef count = emit_sub(e, tile->end_row, tile->first_row);
    LLVMValueRef whole = emit_sub(e, count, emit_rem(e, count, emit_int(e, ROWS_AT_ONCE)));
    LLVMValueRef middle = emit_add(e, tile->first_row, whole);
    add_rows(e, &terms, &counter, tile->first_row, middle, ROWS_AT_ONCE);
    add_rows(e, &terms, &counter, middle, tile->end_row, 1);
}

static LLVMValueRef count_rows(Emitter *e, const Tile *tile) {
    LLVMValueRef count = emit_sub(e, tile->end_row, tile->first_row);
    return emit_splat(e, LLVMBuildSIToFP(e->builder, count, e->f32, ""));
}

static void clear_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const Tile *tile = context;
    (void)mask; /* sums are padded to whole vectors */
    LLVMValueRef zero = LLVMConstNull(e->vector_f32);
    store_sum(e, tile->sums, channel, zero);
    if (!tile->slots->moments)
        return;
    store_sum(e, tile->distances, channel, zero);
    store_sum(e, tile->squares, channel, zero);
}

static void divide_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const Tile *tile = context;
    (void)mask;
    LLVMValueRef sum = load_sum(e, tile->sums, channel);
    store_sum(e, tile->sums, channel, LLVMBuildFDiv(e->builder, sum, count_rows(e, tile), ""));
}

static void store_partial(Emitter *e, const Tile *tile, int slot, LLVMValueRef channel,
                          LLVMValueRef mask, LLVMValueRef value) {
    LLVMValueRef row = emit_mul(e, tile->partial, emit_slot(e, tile->slots->channels));
    LLVMValueRef place = emit_at(e, e->f32, emit_slot_pointer(e, slot), emit_add(e, row, channel));
    emit_store_vector(e, value, place, mask);
}

static void finish_sum(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const Tile *tile = context;
    LLVMValueRef sum = load_sum(e, tile->sums, channel);
    store_partial(e, tile, tile->slots->partial, channel, mask, sum);
}

/* The mean from a first one and the sum of the distances from it, and M2 likewise: what the first
 * one was rounded by is known then (Chan, Golub, LeVeque 1983, the corrected two-pass algorithm).
 */
static void finish_moments(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const Tile *tile = context;
    LLVMBuilderRef b = e->builder;
    LLVMValueRef zero = LLVMConstNull(e->vector_f32), mean = load_sum(e, tile->sums, channel);
    LLVMValueRef distances = load_sum(e, tile->distances, channel);
    LLVMValueRef off = LLVMBuildFDiv(b, distances, count_rows(e, tile), "");
    LLVMValueRef less = LLVMBuildFSub(b, load_sum(e, tile->squares, channel),
                                      LLVMBuildFMul(b, distances, off, ""), "");
    LLVMValueRef below = LLVMBuildFCmp(b, LLVMRealOLT, less, zero, "");
    store_partial(e, tile, tile->slots->partial, channel, mask, LLVMBuildFAdd(b, mean, off, ""));
    store_partial(e, tile, tile->slots->partial_m2, channel, mask,
                  LLVMBuildSelect(b, below, zero, less, ""));
}

static void emit_tiles(Emitter *e, const Kernel *kernel, const ReduceSlots *slots) {
    Tile tile = begin_tile(e, kernel, slots);
    elements_each_vector(e, tile.begin, tile.end, clear_vector, &tile);
    add_tile(e, &tile, false);
    if (slots->moments) {
        elements_each_vector(e, tile.begin, tile.end, divide_vector, &tile);
        add_tile(e, &tile, true);
    }
    elements_each_vector(e, tile.begin, tile.end, slots->moments ? finish_moments : finish_sum,
                         &tile);
}

/* ---- Merging tiles --------------------------------------------------------------------------- */

static LLVMValueRef widen(Emitter *e, LLVMValueRef vector) {
    return LLVMBuildFPExt(e->builder, vector, e->vector_f64, "");
}

typedef struct Merge {
    const Kernel *kernel;
    const ReduceSlots *slots;
    LLVMValueRef group;
} Merge;

/* A vector of the partials of tile `tile` of the group. */
static LLVMValueRef load_partial(Emitter *e, const Merge *merge, int slot, LLVMValueRef tile,
                                 LLVMValueRef channel, LLVMValueRef mask) {
    LLVMValueRef row =
        emit_add(e, emit_mul(e, merge->group, emit_slot(e, merge->slots->tiles)), tile);
    LLVMValueRef index =
        emit_add(e, emit_mul(e, row, emit_slot(e, merge->slots->channels)), channel);
    return widen(e, emit_load_vector(e, e->vector_f32,
                                     emit_at(e, e->f32, emit_slot_pointer(e, slot), index), mask));
}

static void store_merged(Emitter *e, const Merge *merge, int output, LLVMValueRef channel,
                         LLVMValueRef mask, LLVMValueRef value) {
    const ViewSlots *view = &merge->slots->elements.outputs[output];
    invariant(view->channel_stride == 1, "a reduction writes neighbouring channels");
    LLVMValueRef row = emit_row_address(e, view, merge->group, NULL);
    emit_store_vector(e, LLVMBuildFPTrunc(e->builder, value, e->vector_f32, ""),
                      emit_at(e, e->f32, row, channel), mask);
}

/* The rows of tile `tile`, as fp64. */
static LLVMValueRef tile_count(Emitter *e, const ReduceSlots *slots, LLVMValueRef tile) {
    LLVMValueRef size = emit_slot(e, slots->tile_rows);
    LLVMValueRef rest = emit_sub(e, emit_slot(e, slots->group_rows), emit_mul(e, tile, size));
    return LLVMBuildSIToFP(e->builder, emit_min(e, size, rest), e->f64, "");
}

static void merge_sums(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const Merge *merge = context;
    LLVMTypeRef type = e->vector_f64;
    LLVMValueRef sum = emit_variable(e, type, LLVMConstNull(type));
    Loop tiles = loop_begin(e, emit_int(e, 0), emit_slot(e, merge->slots->tiles), emit_int(e, 1));
    LLVMValueRef term = load_partial(e, merge, merge->slots->partial, tiles.index, channel, mask);
    emit_set(e, sum, LLVMBuildFAdd(e->builder, emit_get(e, type, sum), term, ""));
    loop_end(e, &tiles);
    store_merged(e, merge, 0, channel, mask, emit_get(e, type, sum));
}

/* n, mean, M2 += tile: d = mean_t - mean; mean += d n_t / (n + n_t); M2 += M2_t + d d n n_t / (n +
 * n_t). */
static void merge_moments(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const Merge *merge = context;
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef type = e->vector_f64;
    LLVMValueRef mean = emit_variable(e, type, LLVMConstNull(type));
    LLVMValueRef m2 = emit_variable(e, type, LLVMConstNull(type));
    LLVMValueRef count = emit_variable(e, e->f64, LLVMConstReal(e->f64, 0));
    Loop tiles = loop_begin(e, emit_int(e, 0), emit_slot(e, merge->slots->tiles), emit_int(e, 1));
    LLVMValueRef tile_mean =
        load_partial(e, merge, merge->slots->partial, tiles.index, channel, mask);
    LLVMValueRef tile_m2 =
        load_partial(e, merge, merge->slots->partial_m2, tiles.index, channel, mask);
    LLVMValueRef before = emit_get(e, e->f64, count);
    LLVMValueRef added = tile_count(e, merge->slots, tiles.index);
    LLVMValueRef total = LLVMBuildFAdd(b, before, added, "");
    LLVMValueRef share = LLVMBuildFDiv(b, added, total, "");
    LLVMValueRef weight = emit_splat(e, LLVMBuildFMul(b, before, share, ""));
    LLVMValueRef distance = LLVMBuildFSub(b, tile_mean, emit_get(e, type, mean), "");
    LLVMValueRef step = LLVMBuildFMul(b, distance, emit_splat(e, share), "");
    LLVMValueRef square = LLVMBuildFMul(b, distance, distance, "");
    LLVMValueRef between = LLVMBuildFMul(b, square, weight, "");
    emit_set(e, mean, LLVMBuildFAdd(b, emit_get(e, type, mean), step, ""));
    LLVMValueRef within = LLVMBuildFAdd(b, emit_get(e, type, m2), tile_m2, "");
    emit_set(e, m2, LLVMBuildFAdd(b, within, between, ""));
    emit_set(e, count, total);
    loop_end(e, &tiles);
    store_merged(e, merge, 0, channel, mask, emit_get(e, type, mean));
    store_merged(e, merge, 1, channel, mask, emit_get(e, type, m2));
}

/* The sum of `count` fp32 or fp64 numbers in double, one after the other. */
static LLVMValueRef sum_numbers(Emitter *e, LLVMTypeRef type, LLVMValueRef pointer,
                                LLVMValueRef begin, LLVMValueRef end) {
    LLVMValueRef sum = emit_variable(e, e->f64, LLVMConstReal(e->f64, 0));
    Loop loop = loop_begin(e, begin, end, emit_int(e, 1));
    LLVMValueRef term = emit_load(e, type, emit_at(e, type, pointer, loop.index), 4);
    if (type == e->f32)
        term = LLVMBuildFPExt(e->builder, term, e->f64, "");
    emit_set(e, sum, LLVMBuildFAdd(e->builder, emit_get(e, e->f64, sum), term, ""));
    loop_end(e, &loop);
    return emit_get(e, e->f64, sum);
}

static void store_number(Emitter *e, const ReduceSlots *slots, LLVMValueRef index,
                         LLVMValueRef value) {
    LLVMValueRef place = emit_row_address(e, &slots->elements.outputs[0], NULL, NULL);
    emit_store(e, LLVMBuildFPTrunc(e->builder, value, e->f32, ""), emit_at(e, e->f32, place, index),
               4);
}

static void emit_merge_rows(Emitter *e, const Kernel *kernel, const ReduceSlots *slots) {
    if (kernel->reduction.over == OVER_ALL) {
        LLVMValueRef count = emit_mul(e, emit_slot(e, slots->tiles), emit_slot(e, slots->channels));
        LLVMValueRef sum =
            sum_numbers(e, e->f32, emit_slot_pointer(e, slots->partial), emit_int(e, 0), count);
        store_number(e, slots, emit_int(e, 0), sum);
        return;
    }
    LLVMValueRef channels = emit_slot(e, slots->channels);
    LLVMValueRef block = emit_int(e, (int64_t)MERGE_VECTORS * e->target->lanes);
    LLVMValueRef blocks =
        emit_div(e, emit_add(e, channels, emit_sub(e, block, emit_int(e, 1))), block);
    Merge merge = {kernel, slots, emit_div(e, e->chunk, blocks)};
    LLVMValueRef begin = emit_mul(e, emit_rem(e, e->chunk, blocks), block);
    LLVMValueRef end = emit_min(e, emit_add(e, begin, block), channels);
    elements_each_vector(e, begin, end, slots->moments ? merge_moments : merge_sums, &merge);
}

/* ---- Long rows ------------------------------------------------------------------------------- */

typedef struct LongSum {
    const ElementRow *row;
    LLVMValueRef sum; /* variable */
} LongSum;

static void add_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const LongSum *sum = context;
    LLVMValueRef term;
    elements_evaluate(e, sum->row, channel, mask, NULL, &term);
    if (mask)
        term = LLVMBuildSelect(e->builder, mask, term, LLVMConstNull(e->vector_f32), "");
    emit_set(e, sum->sum,
             LLVMBuildFAdd(e->builder, emit_get(e, e->vector_f32, sum->sum), term, ""));
}

/* The lanes' sums in double, one after the other. */
static LLVMValueRef lanes_to_double(Emitter *e, LLVMValueRef vector) {
    LLVMValueRef sum = LLVMConstReal(e->f64, 0);
    for (int i = 0; i < e->target->lanes; i++) {
        LLVMValueRef lane = LLVMBuildExtractElement(e->builder, vector, emit_int32(e, i), "");
        sum = LLVMBuildFAdd(e->builder, sum, LLVMBuildFPExt(e->builder, lane, e->f64, ""), "");
    }
    return sum;
}

static void emit_long_tile(Emitter *e, const Kernel *kernel, const ReduceSlots *slots) {
    RowPlace place = {.image = emit_int(e, 0), .row = emit_int(e, 0)};
    ElementRow row = elements_begin(e, kernel, &slots->elements, &place);
    ElementRange range = elements_chunk(
        e, &row, (ElementCut){slots->walk, slots->pieces, slots->tile_rows, slots->channels});
    LongSum sum = {&row, emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32))};
    elements_each_vector(e, range.begin, range.end, add_vector, &sum);
    LLVMValueRef total = lanes_to_double(e, emit_get(e, e->vector_f32, sum.sum));
    emit_store(e, total, emit_at(e, e->f64, emit_slot_pointer(e, slots->partial), e->chunk), 8);
}

static void emit_merge_long(Emitter *e, const Kernel *kernel, const ReduceSlots *slots) {
    LLVMValueRef begin = emit_int(e, 0), end = emit_slot(e, slots->tiles);
    LLVMValueRef index = emit_int(e, 0);
    if (kernel->reduction.over == OVER_SEGMENT) {
        index = e->chunk;
        begin = emit_table_entry(e, slots->segment_pieces, index);
        end = emit_table_entry(e, slots->segment_pieces, emit_add(e, index, emit_int(e, 1)));
    }
    store_number(e, slots, index,
                 sum_numbers(e, e->f64, emit_slot_pointer(e, slots->partial), begin, end));
}

/* ---- Within a row ---------------------------------------------------------------------------- */

typedef struct RowSum {
    const ElementRow *row;
    LLVMValueRef centre; /* NULL: sum the terms; else the squares of their distances from it */
    LLVMValueRef sum;    /* variable */
    LLVMValueRef second; /* variable: sum of the second value, merge only */
} RowSum;

static void add_row_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const RowSum *sum = context;
    LLVMValueRef values[EXPRESSION_MAX_VALUES];
    elements_evaluate(e, sum->row, channel, mask, NULL, values);
    LLVMValueRef term = values[0];
    if (sum->centre) {
        LLVMValueRef distance = LLVMBuildFSub(e->builder, term, sum->centre, "");
        term = LLVMBuildFMul(e->builder, distance, distance, "");
    }
    LLVMValueRef zero = LLVMConstNull(e->vector_f32);
    if (mask)
        term = LLVMBuildSelect(e->builder, mask, term, zero, "");
    emit_set(e, sum->sum,
             LLVMBuildFAdd(e->builder, emit_get(e, e->vector_f32, sum->sum), term, ""));
    if (!sum->second)
        return;
    LLVMValueRef second = mask ? LLVMBuildSelect(e->builder, mask, values[1], zero, "") : values[1];
    emit_set(e, sum->second,
             LLVMBuildFAdd(e->builder, emit_get(e, e->vector_f32, sum->second), second, ""));
}

/* Adds channels [begin, end) of the row to the variables. */
static void add_channels(Emitter *e, const ElementRow *row, LLVMValueRef begin, LLVMValueRef end,
                         const RowSum *to) {
    RowSum sum = *to;
    sum.row = row;
    elements_each_vector(e, begin, end, add_row_vector, &sum);
}

/* The sum over channels [begin, end) of the row, an fp32; *second: of the second value, if asked
 * for. */
static LLVMValueRef sum_channels(Emitter *e, const ElementRow *row, LLVMValueRef begin,
                                 LLVMValueRef end, LLVMValueRef centre, LLVMValueRef *second) {
    LLVMValueRef zero = LLVMConstNull(e->vector_f32);
    RowSum sum = {.centre = centre ? emit_splat(e, centre) : NULL};
    sum.sum = emit_variable(e, e->vector_f32, zero);
    if (second)
        sum.second = emit_variable(e, e->vector_f32, zero);
    add_channels(e, row, begin, end, &sum);
    if (second)
        *second = emit_lane_sum(e, emit_get(e, e->vector_f32, sum.second));
    return emit_lane_sum(e, emit_get(e, e->vector_f32, sum.sum));
}

static void store_row_value(Emitter *e, const ElementRow *row, int output, LLVMValueRef group,
                            LLVMValueRef value) {
    LLVMValueRef index =
        emit_mul(e, group, emit_int(e, row->kernel->outputs[output].channel_stride));
    emit_store(e, value, emit_at(e, e->f32, row->output[output], index), 4);
}

static void reduce_group(Emitter *e, const ElementRow *row, const ReduceSlots *slots,
                         LLVMValueRef group) {
    const Reduction *reduction = &row->kernel->reduction;
    LLVMValueRef width = emit_slot(e, slots->outputs_per_group);
    LLVMValueRef begin = emit_mul(e, group, width), end = emit_add(e, begin, width);
    LLVMValueRef m2 = NULL;
    bool merge = reduction->kind == REDUCE_MERGE;
    LLVMValueRef sum = sum_channels(e, row, begin, end, NULL, merge ? &m2 : NULL);
    if (reduction->kind == REDUCE_SUM) {
        store_row_value(e, row, 0, group, sum);
        return;
    }
    LLVMValueRef count = LLVMBuildSIToFP(e->builder, width, e->f32, "");
    LLVMValueRef mean = LLVMBuildFDiv(e->builder, sum, count, "");
    LLVMValueRef squares = sum_channels(e, row, begin, end, mean, NULL);
    if (merge) { /* M2 of all = sum of M2 + terms each x sum of (mean_i - mean)^2 */
        LLVMValueRef terms = emit_slot(e, slots->merge_count);
        squares = emit_fma(e, squares, LLVMBuildSIToFP(e->builder, terms, e->f32, ""), m2);
    }
    store_row_value(e, row, 0, group, mean);
    store_row_value(e, row, 1, group, squares);
}

static void emit_within_rows(Emitter *e, const Kernel *kernel, const ReduceSlots *slots) {
    LLVMValueRef size = emit_slot(e, slots->tile_rows);
    LLVMValueRef begin = emit_mul(e, e->chunk, size);
    LLVMValueRef end = emit_min(e, emit_add(e, begin, size), emit_slot(e, slots->group_rows));
    RowCounter counter = row_counter_begin(e, &slots->elements.space, begin);
    Loop rows = loop_begin(e, begin, end, emit_int(e, 1));
    RowPlace place = row_counter_take(e, &counter);
    ElementRow row = elements_begin(e, kernel, &slots->elements, &place);
    Loop groups = loop_begin(e, emit_int(e, 0), emit_slot(e, slots->groups), emit_int(e, 1));
    reduce_group(e, &row, slots, groups.index);
    loop_end(e, &groups);
    loop_end(e, &rows);
}

/* ---- Cells of a dense map -------------------------------------------------------------------- */

typedef struct CellSlots {
    bool flat; /* a line of a cell is one row of what is read */
    ElementSlots elements;
    int patch, patch_rows, channels, grid[TYPE_MAX_SPACE], cells; /* cells: per image */
} CellSlots;

static CellSlots slot_cells(Slots *slots, const Kernel *kernel) {
    const Space *space = &kernel->space;
    int64_t patch = kernel->reduction.patch, cells = 1, rows = 1;
    CellSlots out = {.flat = elements_read_flat(slots->program, kernel),
                     .elements = slot_elements(slots, kernel)};
    out.patch = slot_number(slots, patch);
    for (int d = 0; d < space->rank; d++) {
        cells *= space->extent[d] / patch;
        rows *= patch;
        out.grid[d] = slot_number(slots, space->extent[d] / patch);
    }
    out.patch_rows = slot_number(slots, rows);
    out.channels = slot_number(slots, kernel->channels);
    out.cells = slot_number(slots, cells);
    slots->chunks = cells * slots->program->geometry.batch;
    return out;
}

/* The row where line `line` of this chunk's cell starts. */
static RowPlace cell_line(Emitter *e, const CellSlots *slots, LLVMValueRef line, int rank) {
    LLVMValueRef cells = emit_slot(e, slots->cells), patch = emit_slot(e, slots->patch);
    LLVMValueRef cell = emit_rem(e, e->chunk, cells);
    RowPlace place = {.image = emit_div(e, e->chunk, cells)};
    for (int d = rank - 1; d >= 0; d--) {
        LLVMValueRef grid = emit_slot(e, slots->grid[d]);
        place.position[d] = emit_mul(e, emit_rem(e, cell, grid), patch);
        cell = emit_div(e, cell, grid);
        if (d == rank - 1)
            continue;
        place.position[d] = emit_add(e, place.position[d], emit_rem(e, line, patch));
        line = emit_div(e, line, patch);
    }
    place.row = emit_int(e, 0);
    for (int d = 0; d < rank; d++)
        place.row =
            emit_add(e, emit_mul(e, place.row, emit_slot(e, slots->elements.space.extent[d])),
                     place.position[d]);
    return place;
}

static LLVMValueRef sum_lanes(Emitter *e, const RowSum *sum) {
    LLVMValueRef all = emit_lane_sum(e, emit_get(e, e->vector_f32, sum->sum));
    return LLVMBuildFPExt(e->builder, all, e->f64, "");
}

/* The sum over a line of the cell in fp32, as a double; the line is read as one row if it lies so.
 */
static LLVMValueRef sum_line(Emitter *e, const Kernel *kernel, const CellSlots *slots,
                             LLVMValueRef line, const RowSum *sum) {
    int last = kernel->space.rank - 1;
    RowPlace start = cell_line(e, slots, line, kernel->space.rank);
    LLVMValueRef channels = emit_slot(e, slots->channels), zero = emit_int(e, 0);
    emit_set(e, sum->sum, LLVMConstNull(e->vector_f32));
    if (slots->flat) {
        ElementRow row = elements_begin(e, kernel, &slots->elements, &start);
        add_channels(e, &row, zero, emit_mul(e, emit_slot(e, slots->patch), channels), sum);
        return sum_lanes(e, sum);
    }
    Loop along = loop_begin(e, zero, emit_slot(e, slots->patch), emit_int(e, 1));
    RowPlace place = start;
    place.position[last] = emit_add(e, start.position[last], along.index);
    place.row = emit_add(e, start.row, along.index);
    ElementRow row = elements_begin(e, kernel, &slots->elements, &place);
    add_channels(e, &row, zero, channels, sum);
    loop_end(e, &along);
    return sum_lanes(e, sum);
}

/* The sum over the cell in double of the terms, or of their squared distances from `centre`. */
static LLVMValueRef sum_cell(Emitter *e, const Kernel *kernel, const CellSlots *slots,
                             LLVMValueRef centre) {
    RowSum line = {.centre = centre ? emit_splat(e, centre) : NULL};
    line.sum = emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32));
    LLVMValueRef sum = emit_variable(e, e->f64, LLVMConstReal(e->f64, 0));
    LLVMValueRef lines = emit_div(e, emit_slot(e, slots->patch_rows), emit_slot(e, slots->patch));
    Loop loop = loop_begin(e, emit_int(e, 0), lines, emit_int(e, 1));
    LLVMValueRef part = sum_line(e, kernel, slots, loop.index, &line);
    emit_set(e, sum, LLVMBuildFAdd(e->builder, emit_get(e, e->f64, sum), part, ""));
    loop_end(e, &loop);
    return emit_get(e, e->f64, sum);
}

static void emit_cells(Emitter *e, const Kernel *kernel, const CellSlots *slots) {
    LLVMValueRef count =
        emit_mul(e, emit_slot(e, slots->patch_rows), emit_slot(e, slots->channels));
    count = LLVMBuildSIToFP(e->builder, count, e->f64, "");
    LLVMValueRef mean = LLVMBuildFDiv(e->builder, sum_cell(e, kernel, slots, NULL), count, "");
    mean = LLVMBuildFPTrunc(e->builder, mean, e->f32, "");
    LLVMValueRef m2 = sum_cell(e, kernel, slots, mean);
    LLVMValueRef values[2] = {mean, LLVMBuildFPTrunc(e->builder, m2, e->f32, "")};
    LLVMValueRef cells = emit_slot(e, slots->cells);
    for (int i = 0; i < kernel->output_count; i++) {
        LLVMValueRef place =
            emit_row_address(e, &slots->elements.outputs[i], emit_div(e, e->chunk, cells),
                             emit_rem(e, e->chunk, cells));
        emit_store(e, values[i], place, 4);
    }
}

/* ---- Which form ------------------------------------------------------------------------------ */

typedef enum ReduceForm {
    FORM_WITHIN,
    FORM_CELLS,
    FORM_CELL_LINES, /* cells, flat */
    FORM_LONG,
    FORM_SEGMENT,
    FORM_TILES
} ReduceForm;

static ReduceForm form_of(const Program *program, const Kernel *kernel) {
    switch (kernel->reduction.over) {
    case OVER_ROW:
        return FORM_WITHIN;
    case OVER_CELL:
        return elements_read_flat(program, kernel) ? FORM_CELL_LINES : FORM_CELLS;
    case OVER_SEGMENT:
        return FORM_SEGMENT;
    case OVER_ALL:
        invariant(kernel->reduction.kind == REDUCE_SUM, "moments over everything");
        return elements_walk(program, kernel) == WALK_LONG_ROW ? FORM_LONG : FORM_TILES;
    default:
        return FORM_TILES;
    }
}

static ReduceSlots slot_reduce(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                               int stage, ReduceForm form) {
    if (form == FORM_WITHIN)
        return slot_within(slots, kernel);
    if (form == FORM_TILES)
        return slot_rows(slots, kernel, target, stage);
    return slot_long(slots, kernel, target, stage,
                     form == FORM_LONG ? WALK_LONG_ROW : WALK_SEGMENTS);
}

static int64_t bind_reduce(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage) {
    ReduceForm form = form_of(slots->program, kernel);
    bool cells = form == FORM_CELLS || form == FORM_CELL_LINES;
    if (cells)
        slot_cells(slots, kernel);
    else
        slot_reduce(slots, kernel, target, stage, form);
    if (stage == 1 && (form == FORM_WITHIN || cells))
        slots->chunks = 0;
    return form;
}

static void emit_reduce(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    Slots numbering = {.arena = e->arena, .program = program};
    ReduceForm form = form_of(program, kernel);
    if (form == FORM_CELLS || form == FORM_CELL_LINES) {
        CellSlots cells = slot_cells(&numbering, kernel);
        emit_cells(e, kernel, &cells);
        return;
    }
    ReduceSlots slots = slot_reduce(&numbering, kernel, e->target, stage, form);
    if (form == FORM_WITHIN)
        emit_within_rows(e, kernel, &slots);
    else if (form == FORM_TILES && stage == 0)
        emit_tiles(e, kernel, &slots);
    else if (form == FORM_TILES)
        emit_merge_rows(e, kernel, &slots);
    else if (stage == 0)
        emit_long_tile(e, kernel, &slots);
    else
        emit_merge_long(e, kernel, &slots);
}

const KernelEmitter cpu_emit_reduce = {2, bind_reduce, emit_reduce};
