#include "codegen/cpu/winograd.h"

#include "base/integer.h"

enum {
    SIDE = WINOGRAD_SIDE,
    LEAST_CHANNELS = 48,         /* of either side, */
    LEAST_PRODUCTS = 48 * 96,    /* and of both */
    CHANNEL_UNIT = CPU_MAX_LANES /* whole vectors of any target */
};

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

bool contraction_takes_winograd(const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    const TapSet *taps = &c->taps;
    if ((kernel->kind != KERNEL_CONTRACT && kernel->kind != KERNEL_CONTRACT_WEIGHT) || c->bf16 ||
        c->groups != 1 || kernel->space.kind != SPACE_DENSE || kernel->space.rank != 2 ||
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

int64_t winograd_tiles(const Program *program, const Kernel *kernel) {
    return space_images(&program->geometry, &kernel->space) * tiles_along(kernel, 0) *
           tiles_along(kernel, 1);
}

int64_t winograd_multiply_adds(const Program *program, const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    return winograd_tiles(program, kernel) * WINOGRAD_FREQUENCIES * c->in * c->out;
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
    WinogradSlots out = {.source = slot_packed_source(slots, kernel, DTYPE_F32)};
    int64_t per_line = tiles_along(kernel, 1);
    out.by_place = slot_places(slots, &kernel->contraction.taps);
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
    LLVMValueRef two = emit_int(e, 2), width = emit_slot(e, space->extent[1]);
    Loop result = loop_begin(e, emit_int(e, 0), emit_int(e, 4), emit_int(e, 1));
    LLVMValueRef line = emit_add(e, emit_mul(e, tile->line, two), emit_div(e, result.index, two));
    LLVMValueRef column =
        emit_add(e, emit_mul(e, tile->place, two), emit_rem(e, result.index, two));
    LLVMValueRef below = emit_less(e, line, emit_slot(e, space->extent[0]));
    LLVMValueRef inside = LLVMBuildAnd(e->builder, below, emit_less(e, column, width), "");
    Branch there = branch_begin(e, inside);
    RowPlace place = {.image = tile->image, .row = emit_add(e, emit_mul(e, line, width), column)};
    body(e, context, result.index, &place);
    branch_end(e, &there);
    loop_end(e, &result);
}

/* ---- What tiles read ------------------------------------------------------------------------- */

/* Number `nth` of the positions that a tile reads in a direction, where it is number `at` there. */
static LLVMValueRef position_of(Emitter *e, LLVMValueRef at, LLVMValueRef nth) {
    return emit_add(e, emit_mul(e, at, emit_int(e, 2)), emit_sub(e, nth, emit_int(e, 1)));
}

/* Where the patch has column `column` of the picture at its line `line`: columns go round. */
static LLVMValueRef patch_place(Emitter *e, const WinogradInput *input, LLVMValueRef line,
                                LLVMValueRef column) {
    LLVMValueRef side = emit_int(e, SIDE);
    LLVMValueRef nth = emit_rem(e, emit_add(e, column, side), side);
    LLVMValueRef place = emit_add(e, emit_mul(e, line, side), nth);
    return emit_at(e, e->f32, input->patch, emit_mul(e, place, input->count));
}

/* Packs what a tile reads: all of it, or, if the one before was the tile's neighbour (i1), the two
 * columns that this one did not read. */
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
    emit_clear(e, DTYPE_F32, target, input->count);
    branch_end(e, &there);
    loop_end(e, &line);
    loop_end(e, &column);
}

static LLVMValueRef plus(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFAdd(e->builder, a, b, "");
}

static LLVMValueRef minus(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFSub(e->builder, a, b, "");
}

/* B^T. */
static void transform_input(Emitter *e, LLVMValueRef const d[SIDE], LLVMValueRef to[SIDE]) {
    to[0] = minus(e, d[0], d[2]);
    to[1] = plus(e, d[1], d[2]);
    to[2] = minus(e, d[2], d[1]);
    to[3] = minus(e, d[1], d[3]);
}

/* The patch to row `nth` of each frequency. */
static void transform_patch(Emitter *e, const WinogradInput *input, const WinogradTile *tile,
                            LLVMValueRef nth) {
    LLVMValueRef from[SIDE][SIDE], target = emit_mul(e, nth, input->row);
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            from[i][j] =
                patch_place(e, input, emit_int(e, i), position_of(e, tile->place, emit_int(e, j)));
    Loop channel = loop_begin(e, emit_int(e, 0), input->count, emit_int(e, e->target->lanes));
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
            LLVMValueRef place = emit_mul(e, input->frequency, emit_int(e, (int64_t)i * SIDE + j));
            place = emit_add(e, emit_add(e, place, target), channel.index);
            emit_store_vector(e, to[j], emit_at(e, e->f32, input->target, place), NULL);
        }
    }
    loop_end(e, &channel);
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

/* ---- Transforms ------------------------------------------------------------------------------ */

static LLVMValueRef half(Emitter *e, LLVMValueRef a) {
    return LLVMBuildFMul(e->builder, a, emit_splat(e, emit_float(e, 0.5F)), "");
}

void emit_winograd_g(Emitter *e, LLVMValueRef const from[3], LLVMValueRef to[4]) {
    LLVMValueRef ends = plus(e, from[0], from[2]);
    to[0] = from[0];
    to[1] = half(e, plus(e, ends, from[1]));
    to[2] = half(e, minus(e, ends, from[1]));
    to[3] = from[2];
}

void emit_winograd_g_turned(Emitter *e, LLVMValueRef const from[4], LLVMValueRef to[3]) {
    LLVMValueRef sum = half(e, plus(e, from[1], from[2]));
    to[0] = plus(e, from[0], sum);
    to[1] = half(e, minus(e, from[1], from[2]));
    to[2] = plus(e, sum, from[3]);
}

void emit_winograd_a(Emitter *e, LLVMValueRef const from[2], LLVMValueRef to[4]) {
    to[0] = from[0];
    to[1] = plus(e, from[0], from[1]);
    to[2] = minus(e, from[0], from[1]);
    to[3] = LLVMBuildFNeg(e->builder, from[1], "");
}

void emit_winograd_a_turned(Emitter *e, LLVMValueRef const from[4], LLVMValueRef to[2]) {
    to[0] = plus(e, plus(e, from[0], from[1]), from[2]);
    to[1] = minus(e, minus(e, from[1], from[2]), from[3]);
}
