/* Windows: per-channel sums and maxima over taps, and their gradients.
 *
 * For each row the taps that are rows are listed in the thread's workspace (address, factor,
 * number: of the weight, or of the row where a maximum looks); the channels then run over the list.
 * So hidden and outside taps cost nothing and need no zeros. */
#include "base/fatal.h"
#include "base/integer.h"
#include "codegen/cpu/elements.h"
#include "codegen/cpu/kinds.h"
#include "codegen/cpu/taps.h"
#include "ir/kernel_names.h"

enum {
    ROWS_PER_CHUNK = 64,
    GRADIENT_TILE_ROWS = 1024, /* rows whose products are summed in fp32 */
    ENTRY_BYTES = 16           /* of the list: address (8), factor (4), number (4) */
};

typedef struct WindowSlots {
    TapSlots taps;
    ElementSlots elements;
    ViewSlots a, b;
    int weight, tap_stride; /* pointer slot; slot */
    int rows, channels, chunk_rows;
    int pool_kernel[TYPE_MAX_SPACE], pool_stride[TYPE_MAX_SPACE], pool_pad[TYPE_MAX_SPACE];
    int pool_extent[TYPE_MAX_SPACE]; /* of the unpooled map */
    int factor[TYPE_MAX_SPACE];
    int partial, partial_count; /* weight gradient: [tile][tap][channel]; taps x channels */
    int target_rows;            /* max_grad: rows of the source per image */
} WindowSlots;

static bool is_bilinear(const Window *window) {
    return window->kind == WINDOW_BILINEAR || window->kind == WINDOW_BILINEAR_GRAD;
}

static bool is_maximum(WindowKind kind) {
    return kind == WINDOW_MAX || kind == WINDOW_MAX_BY;
}

static int64_t walked_rows(const Program *program, const Kernel *kernel) {
    const TapSet *taps = &kernel->window.taps;
    const Space *space = &kernel->space;
    int64_t rows = program->geometry.batch;
    if (space->kind == SPACE_MASKED)
        rows *= program->geometry.keep;
    for (int d = 0; d < space->rank; d++) {
        int64_t extent = space->kind == SPACE_MASKED ? program->geometry.ratio / space->stride
                                                     : space->extent[d];
        rows *= (extent - taps->phase[d] + taps->step[d] - 1) / taps->step[d];
    }
    return rows;
}

/* The extents of the map that is pooled: of `a` forward, of the walked space backward. */
static const Space *pooled_from(const Kernel *kernel) {
    bool grad = kernel->window.kind == WINDOW_AVERAGE_GRAD;
    return grad ? &kernel->space : &kernel->window.taps.source;
}

static WindowSlots slot_window(Slots *slots, const Kernel *kernel, int stage) {
    const Window *window = &kernel->window;
    const Program *program = slots->program;
    WindowSlots out = {.taps = slot_taps(slots, &window->taps, &kernel->space)};
    int64_t rows = walked_rows(program, kernel), chunk = ROWS_PER_CHUNK;
    int64_t taps = is_bilinear(window) ? 1 : window->taps.tap_count;
    for (int d = 0; d < kernel->space.rank; d++) {
        out.pool_kernel[d] = slot_number(slots, window->pool_kernel[d]);
        out.pool_stride[d] = slot_number(slots, window->pool_stride[d]);
        out.pool_pad[d] = slot_number(slots, window->pool_pad[d]);
        out.pool_extent[d] = slot_number(slots, pooled_from(kernel)->extent[d]);
        out.factor[d] = slot_number(slots, window->factor[d]);
        if (is_bilinear(window))
            taps *= window->kind == WINDOW_BILINEAR ? 2 : 2 * window->factor[d];
    }
    out.elements = slot_elements(slots, kernel);
    out.a = slot_view(slots, &window->a);
    if (kernel_window_has_b(window->kind))
        out.b = slot_view(slots, &window->b);
    bool weighted = window->kind == WINDOW_WEIGHTED || window->kind == WINDOW_WEIGHT_GRAD;
    if (weighted) {
        out.weight = slot_buffer(slots, window->weight.buffer, window->weight.base);
        out.tap_stride = slot_number(slots, window->weight.tap_stride);
        invariant(window->weight.out_stride == 1, "depthwise weights lie channel by channel");
    }
    if (window->kind == WINDOW_WEIGHT_GRAD)
        chunk = GRADIENT_TILE_ROWS;
    if (window->kind == WINDOW_MAX_GRAD) {
        chunk = rows / program->geometry.batch;
        out.target_rows = slot_number(slots, space_rows(&program->geometry, &window->taps.source));
    }
    out.rows = slot_number(slots, rows);
    out.channels = slot_number(slots, kernel->channels);
    out.chunk_rows = slot_number(slots, chunk);
    slots->chunks =
        window->kind == WINDOW_MAX_GRAD ? program->geometry.batch : integer_divide_up(rows, chunk);
    slots->workspace = (taps > 0 ? taps : 1) * ENTRY_BYTES;
    if (window->kind == WINDOW_WEIGHT_GRAD) {
        int64_t count = taps * kernel->channels;
        out.partial_count = slot_number(slots, count);
        out.partial = slot_shared(slots, slots->chunks * count * (int64_t)sizeof(float));
        if (stage == 1)
            slots->chunks = taps;
    } else if (stage == 1) {
        slots->chunks = 0;
    }
    return out;
}

static int64_t bind_window(Slots *slots, const Kernel *kernel, const CpuTarget *target, int stage) {
    (void)target;
    slot_window(slots, kernel, stage);
    return 0;
}

/* ---- The list of taps ------------------------------------------------------------------------ */

typedef struct TapList {
    LLVMValueRef count; /* variable, i64 */
} TapList;

static LLVMValueRef entry_at(Emitter *e, LLVMValueRef index, int64_t field) {
    LLVMValueRef bytes =
        emit_add(e, emit_mul(e, index, emit_int(e, ENTRY_BYTES)), emit_int(e, field));
    return emit_at(e, e->i8, e->workspace, bytes);
}

static void list_add(Emitter *e, const TapList *list, LLVMValueRef address, LLVMValueRef factor,
                     LLVMValueRef number) {
    LLVMValueRef index = emit_get(e, e->i64, list->count);
    emit_store(e, address, entry_at(e, index, 0), 8);
    emit_store(e, factor, entry_at(e, index, 8), 4);
    emit_store(e, LLVMBuildTrunc(e->builder, number, e->i32, ""), entry_at(e, index, 12), 4);
    emit_set(e, list->count, emit_add(e, index, emit_int(e, 1)));
}

/* The divisor of the average at pooled position `position`: the taps inside the picture, or inside
 * it widened by the padding. */
static LLVMValueRef divisor_at(Emitter *e, const WindowSlots *slots, const Window *window,
                               LLVMValueRef const *position) {
    LLVMValueRef product = emit_int(e, 1), zero = emit_int(e, 0);
    for (int d = 0; d < slots->taps.rank; d++) {
        LLVMValueRef pad = emit_slot(e, slots->pool_pad[d]);
        LLVMValueRef extent = emit_slot(e, slots->pool_extent[d]);
        LLVMValueRef begin =
            emit_sub(e, emit_mul(e, position[d], emit_slot(e, slots->pool_stride[d])), pad);
        LLVMValueRef end = emit_add(e, begin, emit_slot(e, slots->pool_kernel[d]));
        LLVMValueRef low = zero, high = extent;
        if (window->count_pad) {
            low = emit_sub(e, zero, pad);
            high = emit_add(e, extent, pad);
        }
        begin = emit_max(e, begin, low);
        end = emit_min(e, end, high);
        product = emit_mul(e, product, emit_sub(e, end, begin));
    }
    return product;
}

static LLVMValueRef inverse(Emitter *e, LLVMValueRef count) {
    LLVMValueRef number = LLVMBuildSIToFP(e->builder, count, e->f32, "");
    return LLVMBuildFDiv(e->builder, emit_float(e, 1), number, "");
}

/* Lists the taps of a row. A maximum needs hidden taps too: their address is null. */
static void list_taps(Emitter *e, const Kernel *kernel, const WindowSlots *slots,
                      const RowPlace *place, const TapList *list) {
    const Window *window = &kernel->window;
    LLVMValueRef origin[TYPE_MAX_SPACE];
    bool maximum = is_maximum(window->kind) || window->kind == WINDOW_MAX_GRAD;
    emit_set(e, list->count, emit_int(e, 0));
    emit_tap_origin(e, &slots->taps, place, origin);
    LLVMValueRef factor = emit_float(e, 1);
    if (window->kind == WINDOW_AVERAGE)
        factor = inverse(e, divisor_at(e, slots, window, place->position));
    Loop taps = loop_begin(e, emit_int(e, 0), emit_slot(e, slots->taps.count), emit_int(e, 1));
    LLVMValueRef row = emit_tap_row(e, &slots->taps, place->image, origin, taps.index);
    bool hidden_counts = maximum && slots->taps.source.kind == SPACE_MASKED;
    LLVMValueRef least = emit_int(e, hidden_counts ? KERNEL_HIDDEN : 0);
    Branch inside = branch_begin(e, LLVMBuildICmp(e->builder, LLVMIntSGE, row, least, ""));
    LLVMValueRef address = emit_row_address(e, &slots->a, place->image, row);
    if (hidden_counts)
        address = LLVMBuildSelect(e->builder, emit_less(e, row, emit_int(e, 0)),
                                  LLVMConstNull(e->pointer), address, "");
    if (window->kind == WINDOW_AVERAGE_GRAD) {
        LLVMValueRef position[TYPE_MAX_SPACE];
        for (int d = 0; d < slots->taps.rank; d++) {
            LLVMValueRef offset = emit_tap_offset(e, &slots->taps, taps.index, d);
            position[d] = emit_add(e, origin[d], offset);
        }
        factor = inverse(e, divisor_at(e, slots, window, position));
    }
    LLVMValueRef number = maximum ? row : emit_tap_weight(e, &slots->taps, taps.index);
    list_add(e, list, address, factor, number);
    branch_end(e, &inside);
    loop_end(e, &taps);
}

/* ---- Bilinear upsampling: (p + 0.5) / factor - 0.5, cut at 0, between its two neighbours
 * ------------------ */

/* The source coordinate of position p of the large map, fp32. */
static LLVMValueRef bilinear_source(Emitter *e, LLVMValueRef position, LLVMValueRef factor) {
    LLVMBuilderRef b = e->builder;
    LLVMValueRef half = emit_float(e, 0.5f);
    LLVMValueRef p = LLVMBuildFAdd(b, LLVMBuildSIToFP(b, position, e->f32, ""), half, "");
    LLVMValueRef source =
        LLVMBuildFSub(b, LLVMBuildFDiv(b, p, LLVMBuildSIToFP(b, factor, e->f32, ""), ""), half, "");
    LLVMValueRef negative = LLVMBuildFCmp(b, LLVMRealOLT, source, emit_float(e, 0), "");
    return LLVMBuildSelect(b, negative, emit_float(e, 0), source, "");
}

/* The weight that position `large` gives to position `small` of a small map of `extent` positions
 * in one direction. */
static LLVMValueRef bilinear_weight(Emitter *e, LLVMValueRef large, LLVMValueRef small,
                                    LLVMValueRef factor, LLVMValueRef extent) {
    LLVMBuilderRef b = e->builder;
    LLVMValueRef source = bilinear_source(e, large, factor);
    LLVMValueRef lower = LLVMBuildFPToSI(b, source, e->i64, "");
    LLVMValueRef share = LLVMBuildFSub(b, source, LLVMBuildSIToFP(b, lower, e->f32, ""), "");
    LLVMValueRef upper =
        emit_min(e, emit_add(e, lower, emit_int(e, 1)), emit_sub(e, extent, emit_int(e, 1)));
    LLVMValueRef zero = emit_float(e, 0);
    LLVMValueRef is_lower = LLVMBuildICmp(b, LLVMIntEQ, small, lower, "");
    LLVMValueRef is_upper = LLVMBuildICmp(b, LLVMIntEQ, small, upper, "");
    LLVMValueRef low =
        LLVMBuildSelect(b, is_lower, LLVMBuildFSub(b, emit_float(e, 1), share, ""), zero, "");
    LLVMValueRef high = LLVMBuildSelect(b, is_upper, share, zero, "");
    return LLVMBuildFAdd(b, low, high, "");
}

/* Lists the positions of the other map that a row of a bilinear kernel reads, one loop per
 * direction. */
static void list_bilinear(Emitter *e, const Kernel *kernel, const WindowSlots *slots,
                          const RowPlace *place, const TapList *list) {
    bool grad = kernel->window.kind == WINDOW_BILINEAR_GRAD;
    int rank = kernel->space.rank;
    Loop loops[TYPE_MAX_SPACE];
    LLVMValueRef position[TYPE_MAX_SPACE], factor = emit_float(e, 1), one = emit_int(e, 1);
    emit_set(e, list->count, emit_int(e, 0));
    for (int d = 0; d < rank; d++) {
        LLVMValueRef scale = emit_slot(e, slots->factor[d]);
        LLVMValueRef walked = emit_slot(e, slots->elements.space.extent[d]);
        LLVMValueRef source = emit_slot(e, slots->taps.source.extent[d]);
        LLVMValueRef begin, count;
        if (grad) { /* from the middle of the position before to the middle of the one behind */
            LLVMValueRef twice = emit_mul(e, emit_int(e, 2), place->position[d]);
            begin = emit_sub(e, emit_mul(e, twice, scale), scale);
            begin = LLVMBuildSDiv(e->builder, begin, emit_int(e, 2), "");
            count = emit_mul(e, scale, emit_int(e, 2));
        } else {
            begin = LLVMBuildFPToSI(e->builder, bilinear_source(e, place->position[d], scale),
                                    e->i64, "");
            count = emit_int(e, 2);
        }
        begin = emit_max(e, begin, emit_int(e, 0));
        LLVMValueRef end = emit_min(e, emit_add(e, begin, count), source);
        loops[d] = loop_begin(e, begin, end, one);
        position[d] = loops[d].index;
        LLVMValueRef weight =
            grad ? bilinear_weight(e, position[d], place->position[d], scale, walked)
                 : bilinear_weight(e, place->position[d], position[d], scale, source);
        factor = LLVMBuildFMul(e->builder, factor, weight, "");
    }
    LLVMValueRef row = emit_row_at(e, &slots->taps.source, place->image, position);
    list_add(e, list, emit_row_address(e, &slots->a, place->image, row), factor, emit_int(e, 0));
    for (int d = rank - 1; d >= 0; d--)
        loop_end(e, &loops[d]);
}

/* ---- Rows to rows ---------------------------------------------------------------------------- */

typedef struct WindowRow {
    const Kernel *kernel;
    const WindowSlots *slots;
    const TapList *list;
    LLVMValueRef image, best; /* max_by: of the row; variable, the largest of b so far */
    ElementRow row;
} WindowRow;

static LLVMValueRef load_tap(Emitter *e, const WindowSlots *slots, LLVMValueRef index,
                             LLVMValueRef channel, LLVMValueRef mask) {
    LLVMValueRef address = emit_load(e, e->pointer, entry_at(e, index, 0), 8);
    return emit_load_elements(e, slots->a.dtype, address, channel, mask);
}

/* What lies at `address`, in the row of a listed tap; 0 if the tap is hidden. */
static LLVMValueRef load_or_zero(Emitter *e, DType dtype, LLVMValueRef index, LLVMValueRef address,
                                 LLVMValueRef channel, LLVMValueRef mask) {
    LLVMValueRef tap = emit_load(e, e->pointer, entry_at(e, index, 0), 8);
    LLVMValueRef value = emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32));
    Branch there = branch_begin(e, LLVMBuildIsNotNull(e->builder, tap, ""));
    emit_set(e, value, emit_load_elements(e, dtype, address, channel, mask));
    branch_end(e, &there);
    return emit_get(e, e->vector_f32, value);
}

static LLVMValueRef load_tap_or_zero(Emitter *e, const WindowSlots *slots, LLVMValueRef index,
                                     LLVMValueRef channel, LLVMValueRef mask) {
    LLVMValueRef address = emit_load(e, e->pointer, entry_at(e, index, 0), 8);
    return load_or_zero(e, slots->a.dtype, index, address, channel, mask);
}

static LLVMValueRef load_factor(Emitter *e, LLVMValueRef index) {
    return emit_splat(e, emit_load(e, e->f32, entry_at(e, index, 8), 4));
}

static LLVMValueRef load_number(Emitter *e, LLVMValueRef index) {
    LLVMValueRef number = emit_load(e, e->i32, entry_at(e, index, 12), 4);
    return LLVMBuildZExt(e->builder, number, e->i64, "");
}

/* The weights of a listed tap for a vector of channels. */
static LLVMValueRef weight_address(Emitter *e, const WindowSlots *slots, LLVMValueRef index,
                                   LLVMValueRef channel) {
    LLVMValueRef tap = emit_mul(e, load_number(e, index), emit_slot(e, slots->tap_stride));
    return emit_at(e, e->f32, emit_slot_pointer(e, slots->weight), emit_add(e, tap, channel));
}

/* a > best, or NaN: PyTorch's maximum keeps NaN. */
static LLVMValueRef is_larger(Emitter *e, LLVMValueRef value, LLVMValueRef best) {
    LLVMValueRef larger = LLVMBuildFCmp(e->builder, LLVMRealOGT, value, best, "");
    LLVMValueRef nan = LLVMBuildFCmp(e->builder, LLVMRealUNO, value, value, "");
    return LLVMBuildOr(e->builder, larger, nan, "");
}

/* a of a listed tap where its b is the largest so far or the tap is the first, else `so_far`. */
static LLVMValueRef larger_by(Emitter *e, const WindowRow *at, LLVMValueRef index,
                              LLVMValueRef channel, LLVMValueRef mask, LLVMValueRef so_far) {
    LLVMBuilderRef b = e->builder;
    LLVMValueRef row = emit_row_address(e, &at->slots->b, at->image, load_number(e, index));
    LLVMValueRef by = load_or_zero(e, at->slots->b.dtype, index, row, channel, mask);
    LLVMValueRef best = emit_get(e, e->vector_f32, at->best);
    LLVMValueRef wins = is_larger(e, by, best);
    LLVMValueRef first = LLVMBuildICmp(b, LLVMIntEQ, index, emit_int(e, 0), "");
    wins = LLVMBuildSelect(b, first, LLVMConstAllOnes(LLVMTypeOf(wins)), wins, "");
    emit_set(e, at->best, LLVMBuildSelect(b, wins, by, best, ""));
    LLVMValueRef value = load_tap_or_zero(e, at->slots, index, channel, mask);
    return LLVMBuildSelect(b, wins, value, so_far, "");
}

static void window_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const WindowRow *at = context;
    WindowKind kind = at->kernel->window.kind;
    LLVMValueRef start = LLVMConstNull(e->vector_f32);
    if (is_maximum(kind))
        start = emit_splat(e, emit_float(e, -__builtin_inff()));
    LLVMValueRef acc = emit_variable(e, e->vector_f32, start);
    Loop taps = loop_begin(e, emit_int(e, 0), emit_get(e, e->i64, at->list->count), emit_int(e, 1));
    LLVMValueRef so_far = emit_get(e, e->vector_f32, acc);
    if (kind == WINDOW_MAX) {
        LLVMValueRef value = load_tap_or_zero(e, at->slots, taps.index, channel, mask);
        so_far = LLVMBuildSelect(e->builder, is_larger(e, value, so_far), value, so_far, "");
    } else if (kind == WINDOW_MAX_BY) {
        so_far = larger_by(e, at, taps.index, channel, mask, so_far);
    } else if (kind == WINDOW_WEIGHTED) {
        LLVMValueRef weight = emit_load_vector(
            e, e->vector_f32, weight_address(e, at->slots, taps.index, channel), mask);
        so_far = emit_fma(e, load_tap(e, at->slots, taps.index, channel, mask), weight, so_far);
    } else if (kind == WINDOW_SUM) {
        so_far = LLVMBuildFAdd(e->builder, so_far,
                               load_tap(e, at->slots, taps.index, channel, mask), "");
    } else {
        so_far = emit_fma(e, load_tap(e, at->slots, taps.index, channel, mask),
                          load_factor(e, taps.index), so_far);
    }
    emit_set(e, acc, so_far);
    loop_end(e, &taps);
    LLVMValueRef values[EXPRESSION_MAX_VALUES];
    elements_evaluate(e, &at->row, channel, mask, emit_get(e, e->vector_f32, acc), values);
    elements_store(e, &at->row, channel, mask, values);
}

static void list_row(Emitter *e, const Kernel *kernel, const WindowSlots *slots,
                     const RowPlace *place, const TapList *list) {
    if (is_bilinear(&kernel->window))
        list_bilinear(e, kernel, slots, place, list);
    else
        list_taps(e, kernel, slots, place, list);
}

static Loop chunk_rows(Emitter *e, const WindowSlots *slots) {
    LLVMValueRef size = emit_slot(e, slots->chunk_rows);
    LLVMValueRef begin = emit_mul(e, e->chunk, size);
    LLVMValueRef end = emit_min(e, emit_add(e, begin, size), emit_slot(e, slots->rows));
    return loop_begin(e, begin, end, emit_int(e, 1));
}

static void emit_rows(Emitter *e, const Kernel *kernel, const WindowSlots *slots) {
    TapList list = {emit_variable(e, e->i64, emit_int(e, 0))};
    Loop rows = chunk_rows(e, slots);
    RowPlace place = emit_phase_row(e, &slots->taps, &slots->elements.space, rows.index);
    list_row(e, kernel, slots, &place, &list);
    WindowRow at = {.kernel = kernel, .slots = slots, .list = &list, .image = place.image};
    if (kernel->window.kind == WINDOW_MAX_BY)
        at.best = emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32));
    at.row = elements_begin(e, kernel, &slots->elements, &place);
    elements_each_vector(e, emit_int(e, 0), emit_slot(e, slots->channels), window_vector, &at);
    loop_end(e, &rows);
}

/* ---- Gradient of the maximum: one chunk an image, rows in order ------------------------------ */

typedef struct MaxGrad {
    const WindowSlots *slots;
    const ViewSlots *output;
    const TapList *list;
    LLVMValueRef gradient, image; /* address of the row of b; number */
} MaxGrad;

static void max_grad_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const MaxGrad *at = context;
    LLVMBuilderRef b = e->builder;
    LLVMValueRef best =
        emit_variable(e, e->vector_f32, emit_splat(e, emit_float(e, -__builtin_inff())));
    LLVMValueRef winner = emit_variable(e, e->vector_i32, emit_splat(e, emit_int32(e, -1)));
    LLVMValueRef count = emit_get(e, e->i64, at->list->count), one = emit_int(e, 1);
    Loop taps = loop_begin(e, emit_int(e, 0), count, one);
    LLVMValueRef value = load_tap_or_zero(e, at->slots, taps.index, channel, mask);
    LLVMValueRef so_far = emit_get(e, e->vector_f32, best);
    LLVMValueRef who = emit_get(e, e->vector_i32, winner);
    LLVMValueRef number = emit_splat(e, LLVMBuildTrunc(b, taps.index, e->i32, ""));
    LLVMValueRef none = LLVMBuildICmp(b, LLVMIntSLT, who, LLVMConstNull(e->vector_i32), "");
    LLVMValueRef wins = LLVMBuildOr(b, is_larger(e, value, so_far), none, "");
    emit_set(e, best, LLVMBuildSelect(b, wins, value, so_far, ""));
    emit_set(e, winner, LLVMBuildSelect(b, wins, number, who, ""));
    loop_end(e, &taps);
    LLVMValueRef dy = emit_load_elements(e, at->slots->b.dtype, at->gradient, channel, mask);
    Loop again = loop_begin(e, emit_int(e, 0), count, one);
    LLVMValueRef address = emit_load(e, e->pointer, entry_at(e, again.index, 0), 8);
    Branch there = branch_begin(e, LLVMBuildIsNotNull(b, address, ""));
    LLVMValueRef row = emit_row_address(e, at->output, at->image, load_number(e, again.index));
    LLVMValueRef target = emit_at(e, e->f32, row, channel);
    LLVMValueRef mine =
        LLVMBuildICmp(b, LLVMIntEQ, emit_get(e, e->vector_i32, winner),
                      emit_splat(e, LLVMBuildTrunc(b, again.index, e->i32, "")), "");
    LLVMValueRef old = emit_load_vector(e, e->vector_f32, target, mask);
    LLVMValueRef share = LLVMBuildSelect(b, mine, dy, LLVMConstNull(e->vector_f32), "");
    emit_store_vector(e, LLVMBuildFAdd(b, old, share, ""), target, mask);
    branch_end(e, &there);
    loop_end(e, &again);
}

static void store_zero(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    emit_store_vector(e, LLVMConstNull(e->vector_f32), emit_at(e, e->f32, context, channel), mask);
}

static void emit_max_grad(Emitter *e, const Kernel *kernel, const WindowSlots *slots) {
    LLVMValueRef zero = emit_int(e, 0), channels = emit_slot(e, slots->channels);
    const ViewSlots *output = &slots->elements.outputs[0];
    Loop clear = loop_begin(e, zero, emit_slot(e, slots->target_rows), emit_int(e, 1));
    LLVMValueRef row = emit_row_address(e, output, e->chunk, clear.index);
    elements_each_vector(e, zero, channels, store_zero, row);
    loop_end(e, &clear);

    TapList list = {emit_variable(e, e->i64, zero)};
    Loop rows = chunk_rows(e, slots);
    RowPlace place = emit_phase_row(e, &slots->taps, &slots->elements.space, rows.index);
    list_taps(e, kernel, slots, &place, &list);
    MaxGrad at = {slots, output, &list, emit_row_address(e, &slots->b, place.image, place.row),
                  place.image};
    elements_each_vector(e, zero, channels, max_grad_vector, &at);
    loop_end(e, &rows);
}

/* ---- Gradient of depthwise weights: products of a tile of rows, then the tiles in double
 * ------------------ */

typedef struct WeightGrad {
    const WindowSlots *slots;
    LLVMValueRef a, b, partial; /* addresses of rows */
} WeightGrad;

static void weight_grad_vector(Emitter *e, void *context, LLVMValueRef channel, LLVMValueRef mask) {
    const WeightGrad *at = context;
    LLVMValueRef a = emit_load_elements(e, at->slots->a.dtype, at->a, channel, mask);
    LLVMValueRef b = emit_load_elements(e, at->slots->b.dtype, at->b, channel, mask);
    LLVMValueRef place = emit_at(e, e->f32, at->partial, channel);
    LLVMValueRef sum = emit_load_vector(e, e->vector_f32, place, mask);
    emit_store_vector(e, emit_fma(e, a, b, sum), place, mask);
}

static LLVMValueRef partial_row(Emitter *e, const WindowSlots *slots, LLVMValueRef tile,
                                LLVMValueRef tap) {
    LLVMValueRef index = emit_add(e, emit_mul(e, tile, emit_slot(e, slots->partial_count)),
                                  emit_mul(e, tap, emit_slot(e, slots->channels)));
    return emit_at(e, e->f32, emit_slot_pointer(e, slots->partial), index);
}

static void emit_weight_tile(Emitter *e, const Kernel *kernel, const WindowSlots *slots) {
    LLVMValueRef zero = emit_int(e, 0), channels = emit_slot(e, slots->channels);
    LLVMValueRef start = partial_row(e, slots, e->chunk, zero);
    elements_each_vector(e, zero, emit_slot(e, slots->partial_count), store_zero, start);
    TapList list = {emit_variable(e, e->i64, zero)};
    Loop rows = chunk_rows(e, slots);
    RowPlace place = emit_phase_row(e, &slots->taps, &slots->elements.space, rows.index);
    list_taps(e, kernel, slots, &place, &list);
    LLVMValueRef gradient = emit_row_address(e, &slots->b, place.image, place.row);
    Loop taps = loop_begin(e, zero, emit_get(e, e->i64, list.count), emit_int(e, 1));
    LLVMValueRef number = load_number(e, taps.index);
    WeightGrad at = {slots, emit_load(e, e->pointer, entry_at(e, taps.index, 0), 8), gradient,
                     partial_row(e, slots, e->chunk, number)};
    elements_each_vector(e, zero, channels, weight_grad_vector, &at);
    loop_end(e, &taps);
    loop_end(e, &rows);
}

typedef struct WeightMerge {
    const WindowSlots *slots;
    LLVMValueRef tiles;
} WeightMerge;

static void merge_weight_vector(Emitter *e, void *context, LLVMValueRef channel,
                                LLVMValueRef mask) {
    const WeightMerge *merge = context;
    LLVMTypeRef type = LLVMVectorType(e->f64, (unsigned)e->target->lanes);
    LLVMValueRef sum = emit_variable(e, type, LLVMConstNull(type));
    Loop tiles = loop_begin(e, emit_int(e, 0), merge->tiles, emit_int(e, 1));
    LLVMValueRef row = partial_row(e, merge->slots, tiles.index, e->chunk);
    LLVMValueRef part = emit_load_vector(e, e->vector_f32, emit_at(e, e->f32, row, channel), mask);
    part = LLVMBuildFPExt(e->builder, part, type, "");
    emit_set(e, sum, LLVMBuildFAdd(e->builder, emit_get(e, type, sum), part, ""));
    loop_end(e, &tiles);
    LLVMValueRef tap = emit_mul(e, e->chunk, emit_slot(e, merge->slots->tap_stride));
    LLVMValueRef place =
        emit_at(e, e->f32, emit_slot_pointer(e, merge->slots->weight), emit_add(e, tap, channel));
    LLVMValueRef total = LLVMBuildFPTrunc(e->builder, emit_get(e, type, sum), e->vector_f32, "");
    emit_store_vector(e, total, place, mask);
}

static void emit_weight_merge(Emitter *e, const WindowSlots *slots) {
    LLVMValueRef size = emit_slot(e, slots->chunk_rows);
    LLVMValueRef tiles = emit_div(
        e, emit_add(e, emit_slot(e, slots->rows), emit_sub(e, size, emit_int(e, 1))), size);
    WeightMerge merge = {slots, tiles};
    elements_each_vector(e, emit_int(e, 0), emit_slot(e, slots->channels), merge_weight_vector,
                         &merge);
}

static void emit_window(Emitter *e, const Program *program, const Kernel *kernel, int stage) {
    Slots numbering = {.arena = e->arena, .program = program};
    WindowSlots slots = slot_window(&numbering, kernel, stage);
    if (kernel->window.kind == WINDOW_MAX_GRAD)
        emit_max_grad(e, kernel, &slots);
    else if (kernel->window.kind == WINDOW_WEIGHT_GRAD && stage == 0)
        emit_weight_tile(e, kernel, &slots);
    else if (kernel->window.kind == WINDOW_WEIGHT_GRAD)
        emit_weight_merge(e, &slots);
    else
        emit_rows(e, kernel, &slots);
}

const KernelEmitter cpu_emit_window = {2, bind_window, emit_window};
