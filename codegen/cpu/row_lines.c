#include "codegen/cpu/row_lines.h"

#include "base/fatal.h"

/* ---- Which kernels have lines ---------------------------------------------------------------- */

static bool is_unit(const TapSet *taps, int rank) {
    for (int d = 0; d < rank; d++)
        if (taps->step[d] != 1 || taps->phase[d] != 0 || taps->scale[d] != 1)
            return false;
    return true;
}

/* How far behind tap `t` the next one reads in the last direction; 0: not in the same line. */
static int64_t next_in_line(const TapSet *taps, int t) {
    int last = taps->source.rank - 1;
    for (int d = 0; d < last; d++)
        if (taps->taps[t + 1].offset[d] != taps->taps[t].offset[d])
            return 0;
    int64_t step = taps->taps[t + 1].offset[last] - taps->taps[t].offset[last];
    return step > 0 ? step : 0;
}

/* Taps of the first line, or 0 if the lines differ. */
static int64_t count_line(const TapSet *taps) {
    int length = 1;
    while (length < taps->tap_count && next_in_line(taps, length - 1) > 0)
        length++;
    if (taps->tap_count % length != 0)
        return 0;
    for (int t = 0; t + 1 < taps->tap_count; t++)
        if ((next_in_line(taps, t) > 0) != ((t + 1) % length != 0))
            return 0;
    return length;
}

static bool is_short(const TapSet *taps, int64_t length) {
    int last = taps->source.rank - 1;
    for (int64_t t = 0; t < taps->tap_count; t += length)
        if (taps->taps[t + length - 1].offset[last] - taps->taps[t].offset[last] > LINE_SPREAD)
            return false;
    return true;
}

bool lines_share_rows(const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    const TapSet *taps = &c->taps;
    if (!c->prologue || c->bf16 || kernel->space.kind != SPACE_DENSE || taps->tap_count < 2 ||
        !space_equal(&taps->source, &kernel->space) || !is_unit(taps, kernel->space.rank))
        return false;
    int64_t length = count_line(taps);
    return length > 1 && is_short(taps, length);
}

int64_t line_taps(const Kernel *kernel) {
    int64_t length = count_line(&kernel->contraction.taps);
    invariant(length > 0, "the taps of %s form no lines", kernel->name);
    return length;
}

/* ---- Their rows ------------------------------------------------------------------------------ */

/* How many rows behind its own a row's tap reads. */
static LLVMValueRef rows_behind(Emitter *e, const TapSlots *taps, LLVMValueRef tap) {
    LLVMValueRef rows = emit_int(e, 0);
    for (int d = 0; d < taps->source.rank; d++) {
        rows = emit_mul(e, rows, emit_slot(e, taps->source.extent[d]));
        rows = emit_add(e, rows, emit_tap_offset(e, taps, tap, d));
    }
    return rows;
}

RowRange emit_line_range(Emitter *e, const PackedSource *source, LLVMValueRef first_tap,
                         LLVMValueRef end_tap, LLVMValueRef first, LLVMValueRef count,
                         LLVMValueRef rows, int64_t step) {
    LLVMValueRef least = rows_behind(e, &source->taps, first_tap);
    LLVMValueRef most = rows_behind(e, &source->taps, emit_sub(e, end_tap, emit_int(e, 1)));
    return (RowRange){.first = emit_add(e, first, least),
                      .count = emit_add(e, count, emit_sub(e, most, least)),
                      .rows = rows,
                      .step = step};
}

void emit_pack_range(Emitter *e, const PackedSource *source, const PackedTaps *part,
                     const RowRange *range) {
    LLVMValueRef zero = emit_int(e, 0), all = emit_slot(e, source->rows);
    LLVMValueRef begin = emit_max(e, range->first, zero);
    LLVMValueRef end = emit_min(e, emit_add(e, range->first, range->count), all);
    RowCounter counter = row_counter_begin(e, &source->taps.source, begin);
    Loop rows = loop_begin(e, begin, end, emit_int(e, 1));
    RowPlace place = row_counter_take(e, &counter);
    LLVMValueRef nth = emit_sub(e, rows.index, range->first);
    LLVMValueRef target =
        emit_at(e, e->f32, range->rows, emit_mul(e, nth, emit_int(e, range->step)));
    emit_pack_place(e, source, &place, part, target);
    loop_end(e, &rows);
}
