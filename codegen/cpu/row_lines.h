/* Lines of taps. Where a dense map is read behind a prologue at taps that lie side by side, as a
 * 3x3 convolution does, the taps of a line find consecutive rows for consecutive rows, all but the
 * same ones: the prologue runs once for each of them instead of once a tap. */
#ifndef SPARKC_CODEGEN_CPU_ROW_LINES_H
#define SPARKC_CODEGEN_CPU_ROW_LINES_H

#include "codegen/cpu/gemm.h"

/* The most rows by which the first and the last tap of a line lie apart. */
enum { LINE_SPREAD = 16 };

/* Whether the taps of a contraction form lines: in fp32, behind a prologue, of a dense map of the
 * extents that are walked, without strides or phases. */
bool lines_share_rows(const Kernel *kernel);

/* How many taps a line has; only where lines_share_rows. */
int64_t line_taps(const Kernel *kernel);

/* The rows that the taps [first_tap, end_tap), of one line, find for rows [first, first + count) of
 * the batch; they will be at `rows`, `step` fp32 from one to the next. */
RowRange emit_line_range(Emitter *emitter, const PackedSource *source, LLVMValueRef first_tap,
                         LLVMValueRef end_tap, LLVMValueRef first, LLVMValueRef count,
                         LLVMValueRef rows, int64_t step);

/* Packs the channels part.first .. of those rows that there are; the part's taps are not looked
 * at. */
void emit_pack_range(Emitter *emitter, const PackedSource *source, const PackedTaps *part,
                     const RowRange *range);

#endif
