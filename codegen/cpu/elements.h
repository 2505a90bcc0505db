/* The elements of a kernel in emitted code: reading operands of a row by their accesses, evaluating
 * the kernel's expression on a vector of channels, storing the values. Shared by all kinds of
 * kernels. */
#ifndef SPARKC_CODEGEN_CPU_ELEMENTS_H
#define SPARKC_CODEGEN_CPU_ELEMENTS_H

#include "codegen/cpu/expression.h"
#include "codegen/cpu/rows.h"

typedef struct AccessSlots {
    ViewSlots view;
    SpaceSlots source;
    int divide[TYPE_MAX_SPACE];
    int channel_parameter, shuffle_width; /* shuffle_width: channels / groups */
} AccessSlots;

/* The slots of a kernel's space, operands and outputs. */
typedef struct ElementSlots {
    SpaceSlots space;
    int channels;
    AccessSlots operands[KERNEL_MAX_OPERANDS];
    ViewSlots outputs[KERNEL_MAX_OUTPUTS];
    int constants; /* first of the expression's fp32 constants, as bits */
} ElementSlots;

/* Adds the slots. */
ElementSlots slot_elements(Slots *slots, const Kernel *kernel);

/* A row in code: where its operands' and outputs' rows start. */
typedef struct ElementRow {
    const Kernel *kernel;
    const ElementSlots *slots;
    LLVMValueRef address[KERNEL_MAX_OPERANDS], output[KERNEL_MAX_OUTPUTS];
    LLVMValueRef visible[KERNEL_MAX_OPERANDS]; /* i1, POSITION only */
    LLVMValueRef segment;                      /* i64, if an operand is read by segment */
    LLVMValueRef logical_row;                  /* if the expression uses the index */
} ElementRow;

/* Starts a row; fills in the position in `place` if an operand or the index needs it. */
ElementRow elements_begin(Emitter *emitter, const Kernel *kernel, const ElementSlots *slots,
                          RowPlace *place);

/* The expression's values for `lanes` channels from `channel`. mask NULL: all lanes; `acc` is the
 * extra last operand, NULL if the kind has none. */
void elements_evaluate(Emitter *emitter, const ElementRow *row, LLVMValueRef channel,
                       LLVMValueRef mask, LLVMValueRef acc, LLVMValueRef *values);

/* Stores the values through the kernel's outputs. */
void elements_store(Emitter *emitter, const ElementRow *row, LLVMValueRef channel,
                    LLVMValueRef mask, LLVMValueRef const *values);

/* Calls `body` for channels [begin, end): whole vectors with mask NULL, the rest under a mask. */
typedef void ElementBody(Emitter *emitter, void *context, LLVMValueRef channel, LLVMValueRef mask);
void elements_each_vector(Emitter *emitter, LLVMValueRef begin, LLVMValueRef end, ElementBody *body,
                          void *context);

/* The numbers channel, channel + 1, .. as a vector of i64. */
LLVMValueRef emit_lane_numbers(Emitter *emitter, LLVMValueRef channel);

/* How a kernel's elements are walked: row by row, or as one long row cut into chunks of channels (a
 * space of one row; or all operands lie like the result and none depends on the channel), or along
 * the segments. */
typedef enum ElementWalk { WALK_ROWS, WALK_LONG_ROW, WALK_SEGMENTS } ElementWalk;

/* Whether all that the kernel reads lies as one long row, and none of it depends on the channel:
 * neighbouring rows can be read as one. */
bool elements_read_flat(const Program *program, const Kernel *kernel);

/* How the elements of this kernel are walked. */
ElementWalk elements_walk(const Program *program, const Kernel *kernel);

/* The flat array cut at segments and every `chunk` elements, as a table: three entries a piece:
 * start, end, segment. Returns its slot; *pieces is their count. */
int slot_pieces(Slots *slots, int64_t chunk, int64_t *pieces);

/* How a long row is cut into chunks: slots. */
typedef struct ElementCut {
    ElementWalk walk;
    int pieces;         /* segments: the table */
    int size, channels; /* else: channels per chunk, in all */
} ElementCut;

/* The channels of a long row that belong to this chunk. Sets the row's segment. */
typedef struct ElementRange {
    LLVMValueRef begin, end;
} ElementRange;

ElementRange elements_chunk(Emitter *emitter, ElementRow *row, ElementCut cut);

/* The number `field` (0 start, 1 end, 2 segment) of piece `piece`. */
LLVMValueRef emit_piece(Emitter *emitter, int table, LLVMValueRef piece, int field);

#endif
