/* Rows and positions in emitted code: where row r of a space is in the picture, and which row a
 * space has at a position. */
#ifndef SPARKC_CODEGEN_CPU_ROWS_H
#define SPARKC_CODEGEN_CPU_ROWS_H

#include "codegen/cpu/dtype.h"

/* The slots that describe a space; numbers of slots, not values. */
typedef struct SpaceSlots {
    SpaceKind kind;
    int rank;
    int rows;                   /* per image */
    int extent[TYPE_MAX_SPACE]; /* dense, masked */
    int side;                   /* masked: of a cell in positions of this level */
    int cell_rows;              /* masked: side ^ rank */
    int keep, grid[TYPE_MAX_SPACE];
    int cells;                                 /* masked: pointer slot of the cell list */
    int map, border[TYPE_MAX_SPACE], map_rows; /* masked, if looked up: pointer slot, border,
                                                  entries per image */
} SpaceSlots;

/* Adds the slots of a space that is walked (`lookup` false) or looked up by position (true). */
SpaceSlots slot_space(Slots *slots, const Space *space, bool lookup);

/* A row in code. */
typedef struct RowPlace {
    LLVMValueRef image, row;               /* i64: the image, the row within it */
    LLVMValueRef position[TYPE_MAX_SPACE]; /* i64; only from emit_row_position */
} RowPlace;

/* Image and row of row number `number` (counted over the whole batch). */
RowPlace emit_row_place(Emitter *emitter, const SpaceSlots *space, LLVMValueRef number);

/* Rows taken one after the other, without a division for each. */
typedef struct RowCounter {
    const SpaceSlots *space_;
    LLVMValueRef image_, row_; /* variables */
} RowCounter;

/* Starts at row number `number`. */
RowCounter row_counter_begin(Emitter *emitter, const SpaceSlots *space, LLVMValueRef number);

/* The row that it is at; goes to the next one, and behind the last one there may be none. */
RowPlace row_counter_take(Emitter *emitter, const RowCounter *counter);

/* Fills in the position of the row. Spaces without positions have none. */
void emit_row_position(Emitter *emitter, const SpaceSlots *space, RowPlace *place);

/* The coordinates in the grid of an image's visible cell number `nth` of a masked space. */
void emit_cell_corner(Emitter *emitter, const SpaceSlots *space, LLVMValueRef image,
                      LLVMValueRef nth, LLVMValueRef *corner);

/* The row within the image at a position of a space, or a negative number: hidden, or outside
 * (dense: any position may be asked; masked: positions within the level's border). Image and
 * position may be vectors of `lanes` rows, and the result is one then. */
LLVMValueRef emit_row_at(Emitter *emitter, const SpaceSlots *space, LLVMValueRef image,
                         LLVMValueRef const *position);

/* The number of an element as if nothing were masked: ((image * positions + position) * channels +
 * channel). */
LLVMValueRef emit_logical_row(Emitter *emitter, const SpaceSlots *space, const RowPlace *place);

/* The slots of a view: its pointer and the strides. */
typedef struct ViewSlots {
    int pointer, image_stride, row_stride;
    int64_t channel_stride; /* compiled in */
    DType dtype;
} ViewSlots;

/* Adds the slots. */
ViewSlots slot_view(Slots *slots, const View *view);

/* The address of channel 0 of a row. NULL image or row: 0. Vectors give a vector of addresses. */
LLVMValueRef emit_row_address(Emitter *emitter, const ViewSlots *view, LLVMValueRef image,
                              LLVMValueRef row);

/* The slots of a contract's weight: its pointer and the strides. */
typedef struct WeightViewSlots {
    int pointer, tap_stride, group_stride, in_stride, out_stride;
} WeightViewSlots;

/* Adds the slots. */
WeightViewSlots slot_weight_view(Slots *slots, const WeightView *weight);

/* The address of a weight at a tap's weight number, a group and an input channel of the group, for
 * output channel 0. */
LLVMValueRef emit_weight_address(Emitter *emitter, const WeightViewSlots *weight, LLVMValueRef tap,
                                 LLVMValueRef group, LLVMValueRef in);

#endif
