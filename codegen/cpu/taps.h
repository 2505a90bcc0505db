/* Tap sets in emitted code. */
#ifndef SPARKC_CODEGEN_CPU_TAPS_H
#define SPARKC_CODEGEN_CPU_TAPS_H

#include "codegen/cpu/rows.h"

/* The slots of a tap set. Offsets and weight numbers are a table: (rank + 1) entries a tap. */
typedef struct TapSlots {
    SpaceSlots source;
    int rank, count; /* directions; slot of the number of taps */
    int step[TYPE_MAX_SPACE], phase[TYPE_MAX_SPACE], scale[TYPE_MAX_SPACE];
    int table;
    int phase_rows;                   /* rows of this phase per image, of the walked space */
    int phase_extent[TYPE_MAX_SPACE]; /* positions of this phase per direction: of the map, or of a
                                         cell */
} TapSlots;

/* Adds the slots, for taps of a kernel that walks `walked`. */
TapSlots slot_taps(Slots *slots, const TapSet *taps, const Space *walked);

/* Place and position of row `number` of the rows of this phase, counted over the batch. */
RowPlace emit_phase_row(Emitter *emitter, const TapSlots *taps, const SpaceSlots *walked,
                        LLVMValueRef number);

/* Where the positions of a row's taps start: scale * (position - phase) / step, per direction. */
void emit_tap_origin(Emitter *emitter, const TapSlots *taps, const RowPlace *place,
                     LLVMValueRef *origin);

/* A walk over rows of the phase, one after the other: the same as emit_phase_row and
 * emit_tap_origin for each, without their divisions. */
typedef struct RowWalk {
    const TapSlots *taps_;
    const SpaceSlots *walked_;
    LLVMValueRef image_, cell_, new_cell_; /* variables; cells: masked */
    LLVMValueRef index_[TYPE_MAX_SPACE],
        steps_[TYPE_MAX_SPACE]; /* within the cell or map; before it */
} RowWalk;

/* Starts at row `first`, counted over the batch. */
RowWalk row_walk_begin(Emitter *emitter, const TapSlots *taps, const SpaceSlots *walked,
                       LLVMValueRef first);

/* Fills in the row's origin as emit_tap_origin does, and returns its image. */
LLVMValueRef row_walk_origin(Emitter *emitter, const RowWalk *walk, LLVMValueRef *origin);

/* The row and its image, as emit_phase_row does; not its position. */
RowPlace row_walk_place(Emitter *emitter, const RowWalk *walk);

/* Goes to the next row; behind the last one there may be none. */
void row_walk_next(Emitter *emitter, const RowWalk *walk);

/* The row that tap `tap` (i64) reads, negative if hidden or outside: origin + the tap's offset.
 * KERNEL_OUTSIDE and KERNEL_HIDDEN are told apart for masked sources; dense ones give -1. Image and
 * origin may be vectors of `lanes` rows, and the result is one then. */
LLVMValueRef emit_tap_row(Emitter *emitter, const TapSlots *taps, LLVMValueRef image,
                          LLVMValueRef const *origin, LLVMValueRef tap);

/* The offset of tap `tap` in a direction. */
LLVMValueRef emit_tap_offset(Emitter *emitter, const TapSlots *taps, LLVMValueRef tap,
                             int direction);

/* The weight number of tap `tap`. */
LLVMValueRef emit_tap_weight(Emitter *emitter, const TapSlots *taps, LLVMValueRef tap);

#endif
