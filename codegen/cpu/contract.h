/* Contracts: what their stages share, and the way by Winograd's tiles. */
#ifndef SPARKC_CODEGEN_CPU_CONTRACT_H
#define SPARKC_CODEGEN_CPU_CONTRACT_H

#include "codegen/cpu/gemm.h"
#include "codegen/cpu/strip.h"

/* How the rows that the taps read come to the product. */
typedef enum RowForm { ROWS_PACKED, ROWS_SHARED, ROWS_IN_PLACE, ROWS_TILED, ROWS_STRIP } RowForm;
enum { ROW_FORMS = ROWS_STRIP + 1 };

/* How the weight lies: its output channels side by side; its input channels, whole tiles of them;
 * or neither. */
typedef enum WeightForm { WEIGHT_ROWS, WEIGHT_TURNED, WEIGHT_APART } WeightForm;
enum { WEIGHT_FORMS = WEIGHT_APART + 1 };

WeightForm contract_weight_form(const Kernel *kernel);

/* Of tiles: panels that a chunk packs. */
enum { CONTRACT_PACKED_PANELS = 8 };

/* How it is cut, by its choices (codegen/cpu/choices.def). */
typedef struct ContractCut {
    int64_t depth, rows, columns;
} ContractCut;

typedef struct ContractSlots {
    RowForm form;
    bool skips; /* what is hidden */
    ContractCut cut;
    int64_t packed_row; /* elements from packed row to packed row, not of tiles */
    StripSlots strip;
    PackedSource source;
    ElementSlots elements;
    WeightViewSlots weight;
    PanelSlots panels;
    int in, out, depth;   /* channels per group; taps x in */
    int packed;           /* pointer: [group][panel][depth][columns]; tiles: TileOperands.b */
    int packed_group;     /* elements of a group there */
    int part_depth;       /* tiles: terms of a part, each padded to whole tiles */
    int channel_parts;    /* tiles: parts of the channels at a tap */
    int parts;            /* tiles: of the whole depth */
    int row_bytes;        /* tiles: from packed row, or position of a strip, to the next */
    int step_bytes;       /* tiles: and from step to step of the depth */
    int channels_at_once; /* of which rows are packed together: of some parts */
    int rows;             /* of this phase, all images */
    int block_rows, row_blocks;
    int taps_per_part, channels_per_part;
    int sums, sums_row, zeros, table, pointers; /* offsets in the workspace: behind the packed rows
        [block_rows][sums_row], zeros [in], row table, pointers [taps][block_rows] */
    int found, numbers, products; /* where rows are skipped: what a tap finds, and which rows that
        are; tiles: their sums at a panel's columns */
} ContractSlots;

/* Whether rows come as bf16 for tiles. */
bool contract_is_tiled(RowForm form);

/* Where the packed panel of a group that starts at `column` is; and, in one for tiles of `width`
 * columns, part number `number` of the depth. */
LLVMValueRef contract_packed_panel(Emitter *emitter, const ContractSlots *slots, LLVMValueRef group,
                                   LLVMValueRef column);
LLVMValueRef contract_packed_part(Emitter *emitter, const ContractSlots *slots, LLVMValueRef panel,
                                  LLVMValueRef width, LLVMValueRef number);

/* The number of the part of the depth that begins where `part` does. */
LLVMValueRef contract_part_number(Emitter *emitter, const ContractSlots *slots,
                                  const PackedTaps *part);

/* Terms that lie one behind the other in a part for tiles, whole tiles of them: all, or, in strips,
 * those of a position. */
LLVMValueRef contract_tap_depth(Emitter *emitter, const ContractSlots *slots,
                                const PackedTaps *part);

/* `lanes` columns, from `column` on, of the weight's row (tap, input channel) at `row`; zeros where
 * there are none of `out`, or the row is not `there` (i1, NULL: it is). Has those some rows further
 * on fetched. */
LLVMValueRef contract_load_columns(Emitter *emitter, const WeightViewSlots *weight,
                                   LLVMValueRef out, WeightForm form, LLVMValueRef row,
                                   LLVMValueRef there, LLVMValueRef column);

/* WEIGHT_TURNED: `lanes` rows of a column, which lie side by side, from `row` on; zeros where there
 * is no such column. Has further ones fetched. */
LLVMValueRef contract_load_terms(Emitter *emitter, const WeightViewSlots *weight, LLVMValueRef out,
                                 LLVMValueRef row, LLVMValueRef column);

/* Runs the kernel's expression over the sums of a row at `place`, channels [first, first + count),
 * and stores what it gives. */
void contract_finish_row(Emitter *emitter, const Kernel *kernel, const ElementSlots *slots,
                         RowPlace *place, LLVMValueRef sums, LLVMValueRef first,
                         LLVMValueRef count);

/* Stage 0: a chunk packs a tap of a panel; for tiles, a part of the depth at some panels. */
void emit_contract_packing(Emitter *emitter, const Kernel *kernel, const ContractSlots *slots);

/* The contract where contraction_takes_winograd: bind and emit of a KernelEmitter. Stage 0
 * transforms and packs the weight, stage 1 computes. */
int64_t bind_contract_winograd(Slots *slots, const Kernel *kernel, const CpuTarget *target,
                               int stage);
void emit_contract_winograd(Emitter *emitter, const Program *program, const Kernel *kernel,
                            int stage);

#endif
