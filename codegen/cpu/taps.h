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

/* The row that tap `tap` (i64) reads, negative if hidden or outside: origin + the tap's offset.
 * KERNEL_OUTSIDE and KERNEL_HIDDEN are told apart for masked sources; dense ones give -1. */
LLVMValueRef emit_tap_row(Emitter *emitter, const TapSlots *taps, LLVMValueRef image,
                          LLVMValueRef const *origin, LLVMValueRef tap);

/* The offset of tap `tap` in a direction. */
LLVMValueRef emit_tap_offset(Emitter *emitter, const TapSlots *taps, LLVMValueRef tap,
                             int direction);

/* The weight number of tap `tap`. */
LLVMValueRef emit_tap_weight(Emitter *emitter, const TapSlots *taps, LLVMValueRef tap);

#endif
