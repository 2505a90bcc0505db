#include "codegen/cpu/gemm.h"

#include "base/integer.h"
#include "codegen/cpu/elements.h"

enum { MAX_BLOCK_ROWS = 8, BLOCK_VECTORS = 3, DIRECT_CHANNELS = 8, CACHE_LINE = 64 };

GemmBlock gemm_block(const CpuTarget *target) {
    /* rows x vectors accumulators, `vectors` for B and one for the broadcast of A must fit. */
    return (GemmBlock){target->registers >= 32 ? MAX_BLOCK_ROWS : 4, BLOCK_VECTORS};
}

/* ---- Panels ---------------------------------------------------------------------------------- */

Panels gemm_panels(const CpuTarget *target, int64_t columns, int64_t most) {
    Panels panels = {.vectors = integer_divide_up(columns, target->lanes)};
    int64_t widest = BLOCK_VECTORS * target->lanes, all = panels.vectors * target->lanes;
    int64_t rest = panels.vectors % BLOCK_VECTORS, pairs = rest == 1 ? 2 : rest == 2 ? 1 : 0;
    if (panels.vectors == 1)
        pairs = 1; /* cut short */
    else
        panels.wide = (panels.vectors - 2 * pairs) / BLOCK_VECTORS;
    panels.count = panels.wide + pairs;
    int64_t blocks = integer_divide_up(panels.count, most / widest);
    panels.per_block = integer_divide_up(panels.count, blocks);
    panels.blocks = integer_divide_up(panels.count, panels.per_block);
    panels.widest = panels.blocks > 1 ? panels.per_block * widest : all;
    return panels;
}

PanelSlots slot_panels(Slots *slots, const Panels *panels, int64_t columns) {
    return (PanelSlots){.columns = slot_number(slots, columns),
                        .vectors = slot_number(slots, panels->vectors),
                        .wide = slot_number(slots, panels->wide),
                        .count = slot_number(slots, panels->count),
                        .per_block = slot_number(slots, panels->per_block),
                        .blocks = slot_number(slots, panels->blocks)};
}

PanelBlock emit_panel_block(Emitter *e, const PanelSlots *slots, LLVMValueRef number) {
    LLVMValueRef size = emit_slot(e, slots->per_block);
    PanelBlock block = {.first = emit_mul(e, number, size)};
    block.end = emit_min(e, emit_add(e, block.first, size), emit_slot(e, slots->count));
    block.first_column = emit_panel_start(e, slots, block.first);
    LLVMValueRef end =
        emit_min(e, emit_panel_start(e, slots, block.end), emit_slot(e, slots->columns));
    block.column_count = emit_sub(e, end, block.first_column);
    return block;
}

LLVMValueRef emit_panel_start(Emitter *e, const PanelSlots *slots, LLVMValueRef panel) {
    LLVMValueRef wide = emit_min(e, panel, emit_slot(e, slots->wide));
    LLVMValueRef start = emit_add(e, emit_mul(e, panel, emit_int(e, 2)), wide);
    LLVMValueRef vectors = emit_min(e, start, emit_slot(e, slots->vectors));
    return emit_mul(e, vectors, emit_int(e, e->target->lanes));
}

LLVMValueRef emit_panel_width(Emitter *e, const PanelSlots *slots, LLVMValueRef panel) {
    LLVMValueRef next = emit_panel_start(e, slots, emit_add(e, panel, emit_int(e, 1)));
    return emit_sub(e, next, emit_panel_start(e, slots, panel));
}

/* ---- The product of a register block --------------------------------------------------------- */

typedef struct Accumulators {
    LLVMValueRef at[MAX_BLOCK_ROWS][BLOCK_VECTORS];
    int rows, vectors;
} Accumulators;

static LLVMValueRef row_number(Emitter *e, const GemmOperands *o, LLVMValueRef entry) {
    return o->rows ? emit_load(e, e->i64, emit_at(e, e->i64, o->rows, entry), 8) : entry;
}

static LLVMValueRef c_address(Emitter *e, const GemmOperands *o, int m, int v) {
    LLVMValueRef row = emit_mul(e, o->c_row, row_number(e, o, emit_int(e, m)));
    return emit_at(e, e->f32, o->c, emit_add(e, row, emit_int(e, (int64_t)v * e->target->lanes)));
}

static Accumulators begin_block(Emitter *e, const GemmOperands *o, int vectors) {
    Accumulators acc = {.rows = gemm_block(e->target).rows, .vectors = vectors};
    LLVMValueRef zero = LLVMConstNull(e->vector_f32);
    for (int m = 0; m < acc.rows; m++)
        for (int v = 0; v < acc.vectors; v++)
            acc.at[m][v] = emit_variable(e, e->vector_f32, zero);
    Branch add = branch_begin(e, o->accumulate);
    for (int m = 0; m < acc.rows; m++)
        for (int v = 0; v < acc.vectors; v++)
            emit_set(e, acc.at[m][v],
                     emit_load_vector(e, e->vector_f32, c_address(e, o, m, v), NULL));
    branch_end(e, &add);
    return acc;
}

/* One step of the depth: a[m] and row `b_row` of the panel. */
static void multiply_add(Emitter *e, const Accumulators *acc, LLVMValueRef b_row,
                         LLVMValueRef const *a) {
    LLVMValueRef b[BLOCK_VECTORS];
    for (int v = 0; v < acc->vectors; v++)
        b[v] = emit_load_vector(
            e, e->vector_f32, emit_at(e, e->f32, b_row, emit_int(e, (int64_t)v * e->target->lanes)),
            NULL);
    for (int m = 0; m < acc->rows; m++) {
        LLVMValueRef value = emit_splat(e, emit_load(e, e->f32, a[m], 4));
        for (int v = 0; v < acc->vectors; v++)
            emit_set(e, acc->at[m][v],
                     emit_fma(e, value, b[v], emit_get(e, e->vector_f32, acc->at[m][v])));
    }
}

static LLVMValueRef load_pointer(Emitter *e, LLVMValueRef table, LLVMValueRef index) {
    return emit_load(e, e->pointer, emit_at(e, e->pointer, table, index), 8);
}

static void multiply_by_row(Emitter *e, const GemmOperands *o, const Accumulators *acc) {
    LLVMValueRef width = emit_int(e, (int64_t)acc->vectors * e->target->lanes);
    LLVMValueRef rows[MAX_BLOCK_ROWS], a[MAX_BLOCK_ROWS];
    Loop tap = loop_begin(e, emit_int(e, 0), o->taps, emit_int(e, 1));
    LLVMValueRef table = emit_at(e, e->pointer, o->a, emit_mul(e, tap.index, o->tap_step));
    for (int m = 0; m < acc->rows; m++)
        rows[m] = emit_at(e, e->f32, load_pointer(e, table, emit_int(e, m)), o->first);
    LLVMValueRef b =
        emit_at(e, e->f32, o->b, emit_mul(e, emit_mul(e, tap.index, o->b_step), width));
    Loop depth = loop_begin(e, emit_int(e, 0), o->depth, emit_int(e, 1));
    for (int m = 0; m < acc->rows; m++)
        a[m] = emit_at(e, e->f32, rows[m], depth.index);
    multiply_add(e, acc, emit_at(e, e->f32, b, emit_mul(e, depth.index, width)), a);
    loop_end(e, &depth);
    loop_end(e, &tap);
}

static void multiply_by_column(Emitter *e, const GemmOperands *o, const Accumulators *acc) {
    LLVMValueRef width = emit_int(e, (int64_t)acc->vectors * e->target->lanes);
    LLVMValueRef a[MAX_BLOCK_ROWS];
    Loop depth = loop_begin(e, emit_int(e, 0), o->depth, emit_int(e, 1));
    LLVMValueRef column = emit_at(e, e->f32, load_pointer(e, o->a, depth.index), o->first);
    for (int m = 0; m < acc->rows; m++)
        a[m] = emit_at(e, e->f32, column, emit_int(e, m));
    LLVMValueRef b_row = emit_mul(e, row_number(e, o, depth.index), width);
    multiply_add(e, acc, emit_at(e, e->f32, o->b, b_row), a);
    loop_end(e, &depth);
}

static void emit_gemm_block(Emitter *e, const GemmOperands *operands, int vectors) {
    GemmOperands c = *operands;
    if (c.by_column)
        c.rows = NULL; /* they are the panel's */
    Accumulators acc = begin_block(e, &c, vectors);
    if (c.by_column)
        multiply_by_column(e, operands, &acc);
    else
        multiply_by_row(e, operands, &acc);
    for (int m = 0; m < acc.rows; m++)
        for (int v = 0; v < acc.vectors; v++)
            emit_store_vector(e, emit_get(e, e->vector_f32, acc.at[m][v]), c_address(e, &c, m, v),
                              NULL);
}

/* All blocks of a panel, `vectors` vectors wide. */
static void emit_gemm_rows(Emitter *e, const GemmOperands *operands, LLVMValueRef rows,
                           int vectors) {
    GemmOperands o = *operands;
    Loop blocks = loop_begin(e, emit_int(e, 0), rows, emit_int(e, gemm_block(e->target).rows));
    if (o.by_column)
        o.first = emit_add(e, operands->first, blocks.index);
    else
        o.a = emit_at(e, e->pointer, operands->a, blocks.index);
    if (o.rows && !o.by_column)
        o.rows = emit_at(e, e->i64, operands->rows, blocks.index);
    else
        o.c = emit_at(e, e->f32, operands->c, emit_mul(e, blocks.index, o.c_row));
    emit_gemm_block(e, &o, vectors);
    loop_end(e, &blocks);
}

void emit_gemm_panel(Emitter *e, const GemmOperands *operands, LLVMValueRef rows,
                     LLVMValueRef width) {
    Branch branches[BLOCK_VECTORS];
    for (int vectors = BLOCK_VECTORS; vectors > 1; vectors--) {
        LLVMValueRef wide = emit_int(e, (int64_t)vectors * e->target->lanes);
        branches[vectors - 1] =
            branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntEQ, width, wide, ""));
        emit_gemm_rows(e, operands, rows, vectors);
        branch_else(e, &branches[vectors - 1]);
    }
    emit_gemm_rows(e, operands, rows, 1);
    for (int vectors = 2; vectors <= BLOCK_VECTORS; vectors++)
        branch_end(e, &branches[vectors - 1]);
}

/* ---- Zeros ----------------------------------------------------------------------------------- */

typedef struct Cleared {
    DType dtype;
    LLVMValueRef pointer;
} Cleared;

static void clear_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const Cleared *cleared = context;
    emit_store_elements(e, cleared->dtype, LLVMConstNull(e->vector_f32), cleared->pointer, channel,
                        mask);
}

void emit_clear(Emitter *e, DType dtype, LLVMValueRef pointer, LLVMValueRef count) {
    Cleared cleared = {dtype, pointer};
    elements_each_vector(e, emit_int(e, 0), count, clear_vector, &cleared);
}

/* ---- What will be read ----------------------------------------------------------------------- */

void emit_fetch_row(Emitter *e, DType dtype, LLVMValueRef row, LLVMValueRef count) {
    int64_t step = CACHE_LINE / (int64_t)dtype_size(dtype);
    Loop line = loop_begin(e, emit_int(e, 0), count, emit_int(e, step));
    emit_prefetch(e, emit_at(e, emit_dtype(e, dtype), row, line.index));
    loop_end(e, &line);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static LLVMValueRef table_entry(Emitter *e, LLVMValueRef table, LLVMValueRef row, int field) {
    LLVMValueRef index = emit_add(e, row, emit_int(e, (int64_t)field * ROW_TABLE_ROWS));
    return emit_at(e, e->i64, table, index);
}

static void store_row(Emitter *e, LLVMValueRef table, LLVMValueRef row, LLVMValueRef image,
                      LLVMValueRef const *origin, int rank) {
    emit_store(e, image, table_entry(e, table, row, 0), 8);
    for (int d = 0; d < rank; d++)
        emit_store(e, origin[d], table_entry(e, table, row, 1 + d), 8);
}

/* Up to a whole number of vectors, of register blocks and of the steps of tiles. */
static LLVMValueRef padded_count(Emitter *e, LLVMValueRef count) {
    int lanes = e->target->lanes, rows = gemm_block(e->target).rows;
    int unit = lanes > rows ? lanes : rows;
    return emit_round_up(e, count, e->target->tiles == CPU_TILES_NONE ? unit : ROW_UNIT);
}

void emit_row_table(Emitter *e, const TapSlots *taps, const SpaceSlots *walked, LLVMValueRef first,
                    LLVMValueRef count, LLVMValueRef table) {
    LLVMValueRef origin[TYPE_MAX_SPACE];
    int rank = taps->source.rank;
    RowWalk walk = row_walk_begin(e, taps, walked, first);
    Loop loop = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef image = row_walk_origin(e, &walk, origin);
    store_row(e, table, loop.index, image, origin, rank);
    row_walk_next(e, &walk);
    loop_end(e, &loop);
    LLVMValueRef last = emit_sub(e, count, emit_int(e, 1));
    image = emit_load(e, e->i64, table_entry(e, table, last, 0), 8);
    for (int d = 0; d < rank; d++)
        origin[d] = emit_load(e, e->i64, table_entry(e, table, last, 1 + d), 8);
    Loop padding = loop_begin(e, count, padded_count(e, count), emit_int(e, 1));
    store_row(e, table, padding.index, image, origin, rank);
    loop_end(e, &padding);
}

bool gemm_reads_rows(const Program *program, const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    return !c->prologue && !c->bf16 && c->in / c->groups >= DIRECT_CHANNELS &&
           c->a.channel_stride == 1 && c->a.buffer >= 0 &&
           program->buffers.items[c->a.buffer].dtype == DTYPE_F32;
}

/* Where rows of a source start, or where they are packed; vectors. */
static LLVMValueRef find_places(Emitter *e, const PackedSource *source, const RowPointers *to,
                                LLVMValueRef image, LLVMValueRef row) {
    const RowRange *range = to->range;
    if (!range)
        return emit_at(e, emit_dtype(e, source->a.dtype),
                       emit_row_address(e, &source->a, image, row), emit_splat(e, to->channel));
    LLVMValueRef rows = emit_splat(e, emit_slot(e, source->taps.source.rows));
    LLVMValueRef number = emit_add(e, emit_mul(e, image, rows), row);
    LLVMValueRef nth = emit_sub(e, number, emit_splat(e, range->first));
    return emit_at(e, e->f32, range->rows,
                   emit_mul(e, nth, emit_splat(e, emit_int(e, range->step))));
}

/* For one tap. */
static void emit_tap_pointers(Emitter *e, const PackedSource *source, const RowPointers *to,
                              LLVMValueRef tap, LLVMValueRef pointers) {
    LLVMTypeRef numbers = LLVMVectorType(e->i64, (unsigned)e->target->lanes);
    LLVMValueRef origin[TYPE_MAX_SPACE];
    Loop rows =
        loop_begin(e, emit_int(e, 0), padded_count(e, to->count), emit_int(e, e->target->lanes));
    LLVMValueRef image = emit_load(e, numbers, table_entry(e, to->table, rows.index, 0), 8);
    for (int d = 0; d < source->taps.source.rank; d++)
        origin[d] = emit_load(e, numbers, table_entry(e, to->table, rows.index, 1 + d), 8);
    LLVMValueRef row = emit_tap_row(e, &source->taps, image, origin, tap);
    LLVMValueRef there =
        LLVMBuildICmp(e->builder, LLVMIntSGE, row, LLVMConstNull(LLVMTypeOf(row)), "");
    LLVMValueRef place = find_places(e, source, to, image, row);
    place = LLVMBuildSelect(e->builder, there, place, emit_splat(e, to->zeros), "");
    emit_store(e, place, emit_at(e, e->pointer, pointers, rows.index), 8);
    loop_end(e, &rows);
}

void emit_row_pointers(Emitter *e, const PackedSource *source, const RowPointers *rows,
                       LLVMValueRef pointers) {
    Loop tap = loop_begin(e, rows->first_tap, rows->end_tap, emit_int(e, 1));
    LLVMValueRef nth = emit_sub(e, tap.index, rows->first_tap);
    LLVMValueRef start = emit_mul(e, nth, emit_int(e, ROW_TABLE_ROWS));
    emit_tap_pointers(e, source, rows, tap.index, emit_at(e, e->pointer, pointers, start));
    loop_end(e, &tap);
}

static void store_found(Emitter *e, const PresentRows *rows, LLVMValueRef at, LLVMValueRef pointer,
                        LLVMValueRef number) {
    emit_store(e, pointer, emit_at(e, e->pointer, rows->pointers, at), 8);
    emit_store(e, number, emit_at(e, e->i64, rows->numbers, at), 8);
}

LLVMValueRef emit_present_rows(Emitter *e, const PresentRows *rows) {
    LLVMValueRef found = emit_variable(e, e->i64, emit_int(e, 0));
    Loop row = loop_begin(e, emit_int(e, 0), rows->count, emit_int(e, 1));
    LLVMValueRef pointer = load_pointer(e, rows->pointers, row.index);
    LLVMValueRef next = emit_get(e, e->i64, found);
    store_found(e, rows, next, pointer, row.index);
    LLVMValueRef there = LLVMBuildICmp(e->builder, LLVMIntNE, pointer, rows->zeros, "");
    emit_set(e, found, emit_add(e, next, LLVMBuildZExt(e->builder, there, e->i64, "")));
    loop_end(e, &row);
    LLVMValueRef all = emit_get(e, e->i64, found);
    Loop padding = loop_begin(e, all, emit_round_up(e, all, rows->unit), emit_int(e, 1));
    store_found(e, rows, padding.index, rows->zeros, emit_int(e, rows->spare));
    loop_end(e, &padding);
    return all;
}

void emit_even_pointers(Emitter *e, LLVMValueRef rows, LLVMValueRef step, LLVMValueRef count,
                        LLVMValueRef pointers) {
    Loop row = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef place = emit_at(e, e->f32, rows, emit_mul(e, row.index, step));
    emit_store(e, place, emit_at(e, e->pointer, pointers, row.index), 8);
    loop_end(e, &row);
}

/* ---- Packing --------------------------------------------------------------------------------- */

PackedSource slot_packed_source(Slots *slots, const Kernel *kernel, DType packed) {
    const Contraction *contraction = &kernel->contraction;
    PackedSource source = {.bf16 = contraction->bf16,
                           .packed = packed,
                           .taps = slot_taps(slots, &contraction->taps, &kernel->space),
                           .a = slot_view(slots, &contraction->a)};
    const Geometry *geometry = &slots->program->geometry;
    const Space *read = &contraction->taps.source;
    source.rows = slot_number(slots, space_rows(geometry, read) * space_images(geometry, read));
    if (!contraction->prologue)
        return source;
    Kernel *prologue = arena_new(slots->arena, Kernel);
    *prologue = kernel_prologue(kernel);
    source.prologue = prologue;
    source.elements = slot_elements(slots, prologue);
    return source;
}

typedef struct PackedRow {
    const PackedSource *source;
    const ElementRow *row; /* of the prologue; NULL: `address` is the row */
    LLVMValueRef address;
    LLVMValueRef first; /* channel */
    LLVMValueRef target;
} PackedRow;

static void pack_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const PackedRow *packed = context;
    const PackedSource *source = packed->source;
    LLVMValueRef value, from = emit_add(e, packed->first, channel);
    if (packed->row)
        elements_evaluate(e, packed->row, from, mask, NULL, &value);
    else
        value = emit_load_elements(e, source->a.dtype, packed->address, from, mask);
    bool exact = !packed->row && source->a.dtype == DTYPE_BF16;
    if (source->bf16 && source->packed == DTYPE_F32 && !exact)
        value = emit_round_to_bf16(e, value);
    emit_store_elements(e, source->packed, value, packed->target, channel, mask);
}

void emit_pack_place(Emitter *e, const PackedSource *source, RowPlace *place,
                     const PackedTaps *part, LLVMValueRef target) {
    PackedRow packed = {.source = source, .first = part->first, .target = target};
    ElementRow row;
    if (source->prologue) {
        row = elements_begin(e, source->prologue, &source->elements, place);
        packed.row = &row;
    } else {
        packed.address = emit_row_address(e, &source->a, place->image, place->row);
    }
    elements_each_vector(e, emit_int(e, 0), part->count, pack_vector, &packed);
}

void emit_pack_row(Emitter *e, const PackedSource *source, const PackedTaps *part,
                   LLVMValueRef table, LLVMValueRef row_index, LLVMValueRef target) {
    const TapSlots *taps = &source->taps;
    LLVMValueRef origin[TYPE_MAX_SPACE];
    RowPlace place = {.image = emit_load(e, e->i64, table_entry(e, table, row_index, 0), 8)};
    for (int d = 0; d < taps->source.rank; d++)
        origin[d] = emit_load(e, e->i64, table_entry(e, table, row_index, 1 + d), 8);
    Loop tap = loop_begin(e, part->first_tap, part->end_tap, emit_int(e, 1));
    LLVMValueRef nth = emit_sub(e, tap.index, part->first_tap);
    LLVMValueRef here =
        emit_at(e, emit_dtype(e, source->packed), target, emit_mul(e, nth, part->count));
    place.row = emit_tap_row(e, taps, place.image, origin, tap.index);
    Branch there =
        branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntSGE, place.row, emit_int(e, 0), ""));
    emit_pack_place(e, source, &place, part, here);
    branch_else(e, &there);
    emit_clear(e, source->packed, here, part->count);
    branch_end(e, &there);
    loop_end(e, &tap);
}

/* The first `count` of twice `lanes` elements. */
static LLVMValueRef wide_mask(Emitter *e, LLVMValueRef count) {
    unsigned width = 2 * (unsigned)e->target->lanes;
    LLVMTypeRef vector = LLVMVectorType(e->i16, width);
    LLVMValueRef numbers[128], zeros = LLVMConstNull(LLVMVectorType(e->i32, width));
    for (unsigned i = 0; i < width; i++)
        numbers[i] = LLVMConstInt(e->i16, i, 0);
    LLVMValueRef bounded =
        LLVMBuildTrunc(e->builder, emit_min(e, count, emit_int(e, width)), e->i16, "");
    LLVMValueRef limit =
        LLVMBuildInsertElement(e->builder, LLVMGetPoison(vector), bounded, emit_int32(e, 0), "");
    limit = LLVMBuildShuffleVector(e->builder, limit, limit, zeros, "");
    return LLVMBuildICmp(e->builder, LLVMIntSLT, LLVMConstVector(numbers, width), limit, "");
}

LLVMValueRef emit_load_step(Emitter *e, DType dtype, LLVMValueRef address, LLVMValueRef count) {
    LLVMValueRef halves[2], numbers[128];
    int lanes = e->target->lanes;
    if (dtype == DTYPE_BF16)
        return emit_load_vector(e, LLVMVectorType(e->i16, 2 * (unsigned)lanes), address,
                                wide_mask(e, count));
    for (int i = 0; i < 2; i++) {
        LLVMValueRef first = emit_int(e, (int64_t)i * lanes);
        LLVMValueRef mask = emit_lane_mask(e, emit_sub(e, count, first));
        halves[i] = emit_narrow(e, DTYPE_BF16, emit_load_elements(e, dtype, address, first, mask));
    }
    for (int i = 0; i < 2 * lanes; i++)
        numbers[i] = emit_int32(e, i);
    return LLVMBuildShuffleVector(e->builder, halves[0], halves[1],
                                  LLVMConstVector(numbers, 2 * (unsigned)lanes), "");
}

void emit_copy_rows(Emitter *e, const PackedSource *source, const PackedTaps *part,
                    LLVMValueRef pointers, const StepRows *target, LLVMValueRef count) {
    DType dtype = source->a.dtype;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1);
    Loop tap = loop_begin(e, part->first_tap, part->end_tap, one);
    LLVMValueRef nth = emit_sub(e, tap.index, part->first_tap);
    LLVMValueRef table =
        emit_at(e, e->pointer, pointers, emit_mul(e, nth, emit_int(e, ROW_TABLE_ROWS)));
    LLVMValueRef start = emit_mul(e, nth, part->count);
    Loop channel = loop_begin(e, zero, part->count, emit_int(e, 2 * (int64_t)e->target->lanes));
    LLVMValueRef from = emit_add(e, part->first, channel.index);
    LLVMValueRef number = emit_add(e, start, channel.index), step = emit_int(e, STEP_TERMS);
    LLVMValueRef to =
        emit_at(e, e->i8, target->start, emit_mul(e, emit_div(e, number, step), target->step));
    to = emit_at(e, e->i16, to, emit_rem(e, number, step));
    LLVMValueRef left = emit_sub(e, part->count, channel.index);
    Loop row = loop_begin(e, zero, count, one);
    LLVMValueRef place = emit_at(e, emit_dtype(e, dtype), load_pointer(e, table, row.index), from);
    emit_store_vector(e, emit_load_step(e, dtype, place, left),
                      emit_at(e, e->i8, to, emit_mul(e, row.index, target->row)), NULL);
    loop_end(e, &row);
    loop_end(e, &channel);
    loop_end(e, &tap);
}
