#include "codegen/cpu/winograd.h"

#include "base/integer.h"

enum {
    SIDE = WINOGRAD_SIDE,
    LEAST_CHANNELS = 24,      /* of either side, */
    LEAST_PRODUCTS = 24 * 48, /* and of both */
    LEAST_TILES = 32,         /* that transforming the weight pays for; */
    LEAST_TILES_PAIRS = 128   /* and where products of pairs are what it saves */
};

/* ---- Matrices -------------------------------------------------------------------------------- */

/* Of the points 0, p, -p, q and -q. With 5/8 and 3/2 rounding errors are less than half of those
 * with 1 and 2; all elements but those of G are exact in fp32. */
#define P    (5. / 8)
#define Q    (3. / 2)
#define P2   (P * P)
#define Q2   (Q * Q)
#define P3   (P * P2)
#define Q3   (Q * Q2)
#define PQ2  (P * Q2)
#define QP2  (Q * P2)
#define P2Q2 (P2 * Q2)

/* Of G: the powers of a point, divided by the product of its differences from the others. */
#define OF_0(power) ((power) / P2Q2)
#define OF_P(power) ((power) / (2 * P2 * (P2 - Q2)))
#define OF_Q(power) ((power) / (2 * Q2 * (Q2 - P2)))

static const double a_turned[] = {
    1, 1,  1,   1,  1,   0, /* */
    0, P,  -P,  Q,  -Q,  0, /* */
    0, P2, P2,  Q2, Q2,  0, /* */
    0, P3, -P3, Q3, -Q3, 1,
};
static const double b_turned[] = {
    P2Q2, 0,    -P2 - Q2, 0,        1, 0, /* */
    0,    -PQ2, -Q2,      P,        1, 0, /* */
    0,    PQ2,  -Q2,      -P,       1, 0, /* */
    0,    -QP2, -P2,      Q,        1, 0, /* */
    0,    QP2,  -P2,      -Q,       1, 0, /* */
    0,    P2Q2, 0,        -P2 - Q2, 0, 1,
};
static const double g[] = {
    OF_0(1), 0,        0,        /* */
    OF_P(1), OF_P(P),  OF_P(P2), /* */
    OF_P(1), OF_P(-P), OF_P(P2), /* */
    OF_Q(1), OF_Q(Q),  OF_Q(Q2), /* */
    OF_Q(1), OF_Q(-Q), OF_Q(Q2), /* */
    0,       0,        1,
};

const WinogradMatrix winograd_a = {WINOGRAD_RESULTS, SIDE, a_turned};
const WinogradMatrix winograd_b = {SIDE, SIDE, b_turned};
const WinogradMatrix winograd_g = {SIDE, 3, g};

/* ---- Which ----------------------------------------------------------------------------------- */

static int64_t place_of(const Tap *tap) {
    return (tap->offset[0] + 1) * 3 + tap->offset[1] + 1;
}

static bool fills_square(const TapSet *taps) {
    unsigned found = 0;
    if (taps->tap_count != WINOGRAD_TAPS)
        return false;
    for (int64_t t = 0; t < WINOGRAD_TAPS; t++) {
        for (int d = 0; d < 2; d++)
            if (taps->taps[t].offset[d] < -1 || taps->taps[t].offset[d] > 1)
                return false;
        found |= 1U << place_of(&taps->taps[t]);
    }
    return found == (1U << WINOGRAD_TAPS) - 1;
}

static bool is_plain(const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    const TapSet *taps = &c->taps;
    if ((kernel->kind != KERNEL_CONTRACT && kernel->kind != KERNEL_CONTRACT_WEIGHT) ||
        c->groups != 1 || kernel->space.kind != SPACE_DENSE || kernel->space.rank != 2 ||
        !space_equal(&kernel->space, &taps->source))
        return false;
    for (int d = 0; d < 2; d++)
        if (taps->scale[d] != 1 || taps->step[d] != 1 || taps->phase[d] != 0)
            return false;
    return fills_square(taps);
}

static int64_t tiles_along(const Kernel *kernel, int d) {
    return integer_divide_up(kernel->space.extent[d], WINOGRAD_RESULTS);
}

int64_t winograd_tiles(const Program *program, const Kernel *kernel) {
    return space_images(&program->geometry, &kernel->space) * tiles_along(kernel, 0) *
           tiles_along(kernel, 1);
}

int64_t winograd_multiply_adds(const Program *program, const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    return winograd_tiles(program, kernel) * WINOGRAD_FREQUENCIES * c->in * c->out;
}

/* Tiles that reach far over the edges save little. */
static bool saves_products(const Kernel *kernel) {
    const int64_t *extent = kernel->space.extent;
    int64_t products = tiles_along(kernel, 0) * tiles_along(kernel, 1) * WINOGRAD_FREQUENCIES;
    return 3 * products <= 2 * WINOGRAD_TAPS * extent[0] * extent[1];
}

bool contraction_takes_winograd(const Program *program, const Kernel *kernel,
                                const CpuTarget *target) {
    const Contraction *c = &kernel->contraction;
    if (!is_plain(kernel))
        return false;
    bool pairs = c->bf16 && target->tiles == CPU_TILES_PAIRS;
    if (c->bf16 && target->tiles != CPU_TILES_NONE && !pairs)
        return false;
    return c->in >= LEAST_CHANNELS && c->out >= LEAST_CHANNELS &&
           c->in * c->out >= LEAST_PRODUCTS && c->in % gemm_block(target).rows == 0 &&
           saves_products(kernel) &&
           winograd_tiles(program, kernel) >= (pairs ? LEAST_TILES_PAIRS : LEAST_TILES);
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static int slot_places(Slots *slots, const TapSet *taps) {
    int table = slot_table(slots);
    for (int64_t place = 0; place < WINOGRAD_TAPS; place++)
        for (int64_t t = 0; t < WINOGRAD_TAPS; t++)
            if (place_of(&taps->taps[t]) == place)
                slot_table_entry(slots, t);
    return table;
}

WinogradSlots slot_winograd(Slots *slots, const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    int64_t per_line = tiles_along(kernel, 1);
    WinogradSlots out = {
        .source = slot_packed_source(slots, kernel, c->bf16 ? DTYPE_BF16 : DTYPE_F32),
    };
    out.by_place = slot_places(slots, &c->taps);
    out.tiles = slot_number(slots, winograd_tiles(slots->program, kernel));
    out.per_image = slot_number(slots, tiles_along(kernel, 0) * per_line);
    out.per_line = slot_number(slots, per_line);
    return out;
}

LLVMValueRef emit_place_weight(Emitter *e, const WinogradSlots *slots, LLVMValueRef place) {
    return emit_tap_weight(e, &slots->source.taps, emit_table_entry(e, slots->by_place, place));
}

/* ---- Tiles ----------------------------------------------------------------------------------- */

WinogradTile emit_winograd_tile(Emitter *e, const WinogradSlots *slots, LLVMValueRef number) {
    LLVMValueRef per_image = emit_slot(e, slots->per_image);
    LLVMValueRef per_line = emit_slot(e, slots->per_line);
    LLVMValueRef rest = emit_rem(e, number, per_image);
    return (WinogradTile){emit_div(e, number, per_image), emit_div(e, rest, per_line),
                          emit_rem(e, rest, per_line)};
}

void emit_winograd_results(Emitter *e, const WinogradTile *tile, const SpaceSlots *space,
                           WinogradResult *body, void *context) {
    LLVMValueRef side = emit_int(e, WINOGRAD_RESULTS), width = emit_slot(e, space->extent[1]);
    LLVMValueRef all = emit_int(e, (int64_t)WINOGRAD_RESULTS * WINOGRAD_RESULTS);
    Loop result = loop_begin(e, emit_int(e, 0), all, emit_int(e, 1));
    LLVMValueRef line = emit_add(e, emit_mul(e, tile->line, side), emit_div(e, result.index, side));
    LLVMValueRef column =
        emit_add(e, emit_mul(e, tile->place, side), emit_rem(e, result.index, side));
    LLVMValueRef below = emit_less(e, line, emit_slot(e, space->extent[0]));
    LLVMValueRef inside = LLVMBuildAnd(e->builder, below, emit_less(e, column, width), "");
    Branch there = branch_begin(e, inside);
    RowPlace place = {.image = tile->image, .row = emit_add(e, emit_mul(e, line, width), column)};
    body(e, context, result.index, &place);
    branch_end(e, &there);
    loop_end(e, &result);
}

/* ---- Transforms ------------------------------------------------------------------------------ */

static double element_of(const WinogradProduct *product, int row, int column) {
    const WinogradMatrix *m = product->matrix;
    return product->turned ? m->elements[column * m->columns + row]
                           : m->elements[row * m->columns + column];
}

/* A row of the matrix times a column of `count` vectors. It begins with one that is taken as it is,
 * if there is any. */
static LLVMValueRef multiply_row(Emitter *e, const WinogradProduct *product, int row, int count,
                                 LLVMValueRef const *column) {
    LLVMValueRef sum = NULL;
    int first = 0;
    while (first < count && element_of(product, row, first) != 1)
        first++;
    for (int i = 0; i < count; i++) {
        int nth = (first + i) % count;
        double factor = element_of(product, row, nth);
        LLVMValueRef splat = emit_splat(e, emit_float(e, (float)factor));
        if (factor == 0)
            continue;
        if (!sum)
            sum = factor == 1 ? column[nth] : LLVMBuildFMul(e->builder, column[nth], splat, "");
        else if (factor == 1)
            sum = LLVMBuildFAdd(e->builder, sum, column[nth], "");
        else
            sum = emit_fma(e, column[nth], splat, sum);
    }
    return sum;
}

void emit_winograd_product(Emitter *e, const WinogradProduct *product) {
    const WinogradMatrix *m = product->matrix;
    int inputs = product->turned ? m->rows : m->columns;
    int results = product->turned ? m->columns : m->rows;
    LLVMValueRef lines[SIDE][SIDE], column[SIDE];
    for (int j = 0; j < inputs; j++) {
        for (int i = 0; i < inputs; i++)
            column[i] = product->load(e, product->context, i, j);
        for (int i = 0; i < results; i++)
            lines[i][j] = multiply_row(e, product, i, inputs, column);
    }
    for (int i = 0; i < results; i++)
        for (int j = 0; j < results; j++)
            product->store(e, product->context, i, j,
                           multiply_row(e, product, j, inputs, lines[i]));
}

/* ---- What tiles read ------------------------------------------------------------------------- */

/* Number `nth` of the positions that a tile reads in a direction, where it is number `at` there. */
static LLVMValueRef position_of(Emitter *e, LLVMValueRef at, LLVMValueRef nth) {
    LLVMValueRef first = emit_mul(e, at, emit_int(e, WINOGRAD_RESULTS));
    return emit_add(e, first, emit_sub(e, nth, emit_int(e, 1)));
}

/* Where the patch has column `column` of the picture at its line `line`: columns go round. */
static LLVMValueRef patch_place(Emitter *e, const WinogradInput *input, LLVMValueRef line,
                                LLVMValueRef column) {
    LLVMValueRef side = emit_int(e, SIDE);
    LLVMValueRef nth = emit_rem(e, emit_add(e, column, side), side);
    LLVMValueRef place = emit_add(e, emit_mul(e, line, side), nth);
    return emit_at(e, emit_dtype(e, input->slots->source.packed), input->patch,
                   emit_mul(e, place, input->count));
}

/* Packs what a tile reads: all of it, or, if the one before was the tile's neighbour (i1), all but
 * the two columns that this one read, too. */
static void pack_patch(Emitter *e, const WinogradInput *input, const WinogradTile *tile,
                       LLVMValueRef neighbour) {
    const PackedSource *source = &input->slots->source;
    LLVMValueRef zero = emit_int(e, 0), one = emit_int(e, 1), side = emit_int(e, SIDE);
    LLVMValueRef start = LLVMBuildSelect(e->builder, neighbour, emit_int(e, 2), zero, "");
    PackedTaps part = {.first = input->first, .count = input->count};
    Loop column = loop_begin(e, start, side, one);
    Loop line = loop_begin(e, zero, side, one);
    LLVMValueRef position[TYPE_MAX_SPACE] = {position_of(e, tile->line, line.index),
                                             position_of(e, tile->place, column.index)};
    LLVMValueRef target = patch_place(e, input, line.index, position[1]);
    RowPlace place = {.image = tile->image,
                      .row = emit_row_at(e, &source->taps.source, tile->image, position)};
    Branch there = branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntSGE, place.row, zero, ""));
    emit_pack_place(e, source, &place, &part, target);
    branch_else(e, &there);
    emit_clear(e, source->packed, target, input->count);
    branch_end(e, &there);
    loop_end(e, &line);
    loop_end(e, &column);
}

/* A vector of the channels of a patch, and where its frequencies go. */
typedef struct PatchVector {
    const WinogradInput *input;
    LLVMValueRef places[SIDE][SIDE];
    LLVMValueRef channel, target; /* i64 */
} PatchVector;

static LLVMValueRef load_position(Emitter *e, void *context, int line, int column) {
    const PatchVector *patch = context;
    return emit_load_elements(e, patch->input->slots->source.packed, patch->places[line][column],
                              patch->channel, NULL);
}

static void store_frequency(Emitter *e, void *context, int line, int column, LLVMValueRef value) {
    const PatchVector *patch = context;
    const WinogradInput *input = patch->input;
    LLVMValueRef number = emit_int(e, (int64_t)line * SIDE + column);
    LLVMValueRef place = emit_add(e, emit_mul(e, input->frequency, number), patch->target);
    emit_store_vector(e, value, emit_at(e, e->f32, input->target, place), NULL);
}

/* The patch to row `nth` of each frequency. */
static void transform_patch(Emitter *e, const WinogradInput *input, const WinogradTile *tile,
                            LLVMValueRef nth) {
    PatchVector patch = {.input = input};
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            patch.places[i][j] =
                patch_place(e, input, emit_int(e, i), position_of(e, tile->place, emit_int(e, j)));
    Loop channel = loop_begin(e, emit_int(e, 0), input->count, emit_int(e, e->target->lanes));
    patch.channel = channel.index;
    patch.target = emit_add(e, emit_mul(e, nth, input->row), channel.index);
    WinogradProduct product = {
        .matrix = &winograd_b, .load = load_position, .store = store_frequency, .context = &patch};
    emit_winograd_product(e, &product);
    loop_end(e, &channel);
}

void emit_winograd_pointers(Emitter *e, const WinogradInput *input, LLVMValueRef tiles,
                            LLVMValueRef pointers) {
    Loop frequency =
        loop_begin(e, emit_int(e, 0), emit_int(e, WINOGRAD_FREQUENCIES), emit_int(e, 1));
    LLVMValueRef start = emit_mul(e, frequency.index, input->frequency);
    LLVMValueRef first = emit_mul(e, frequency.index, tiles);
    emit_even_pointers(e, emit_at(e, e->f32, input->target, start), input->row, tiles,
                       emit_at(e, e->pointer, pointers, first));
    loop_end(e, &frequency);
}

void emit_winograd_input(Emitter *e, const WinogradInput *input, LLVMValueRef begin,
                         LLVMValueRef tiles) {
    LLVMValueRef zero = emit_int(e, 0);
    Loop nth = loop_begin(e, zero, tiles, emit_int(e, 1));
    WinogradTile tile = emit_winograd_tile(e, input->slots, emit_add(e, begin, nth.index));
    LLVMValueRef neighbour =
        LLVMBuildAnd(e->builder, emit_less(e, zero, nth.index), emit_less(e, zero, tile.place), "");
    pack_patch(e, input, &tile, neighbour);
    transform_patch(e, input, &tile, nth.index);
    loop_end(e, &nth);
}
