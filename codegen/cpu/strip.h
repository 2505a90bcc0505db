/* Strips: how a contraction of tiles finds its rows where they are positions of a dense map. Of
 * some lines of a picture all that the taps read is copied once, position behind position, zeros
 * where it is outside. Each tap reads the strip a constant number of positions further on, so tiles
 * load their rows from there. A line has the positions of the phase and behind them as many as taps
 * hang over: a few rows in each line that stand for nothing. */
#ifndef SPARKC_CODEGEN_CPU_STRIP_H
#define SPARKC_CODEGEN_CPU_STRIP_H

#include "codegen/cpu/gemm.h"

/* Positions of the source whose coordinates leave the same remainder by the scale lie together: a
 * block of a strip. */
typedef struct StripBlock {
    int64_t remainder[2];      /* of lines, of positions in a line */
    int64_t least[2], most[2]; /* quotients of the taps */
    int64_t start;             /* first position in the strip */
} StripBlock;

/* A position holds one row of the source or, of rows that are not whole tiles long, the rows that
 * `inner` taps side by side read, one behind the other: these count as one tap then. */
typedef struct Strip {
    TapSet taps;             /* the kernel's, line by line */
    int64_t inner, count;    /* taps of a position; those that count */
    int64_t height;          /* lines of the phase */
    int64_t line, width;     /* positions of a line: of the phase; with those that hang over */
    int64_t lines, strips;   /* of a strip at most; strips of an image */
    int64_t positions, rows; /* of a strip: positions with those that tiles read behind the last
                                line; rows of the product */
    int block_count;
    StripBlock *blocks;
} Strip;

/* Whether the rows that the taps of this contraction read can be taken so; fills in all but how an
 * image is cut. `beside`: a position may hold several taps. */
bool strip_plan(Arena *arena, const Program *program, const Kernel *kernel, bool beside,
                Strip *strip);

/* Whether a contraction on this target takes strips: one by tiles for which there is a plan. */
bool contraction_takes_strips(const Program *program, const Kernel *kernel,
                              const CpuTarget *target);

/* Cuts images into strips of at most `rows` rows and `lines` lines, but one line at least. */
void strip_cut(Strip *strip, int64_t rows, int64_t lines);

/* Positions from a row to what tap number `tap` of a strip that is cut reads. */
int64_t strip_place(const Strip *strip, int64_t tap);

typedef struct StripSlots {
    int inner, count, line, width, lines, strips;
    int block_count, blocks; /* a table: four numbers each */
    int places;              /* a table: positions from a row to what its tap reads */
} StripSlots;

StripSlots slot_strip(Slots *slots, const Strip *strip);

/* A strip in code: the lines of the phase that it has, in an image; rows of the product. */
typedef struct StripPlace {
    LLVMValueRef image, first, lines, rows;
} StripPlace;

/* Strip number `number`, counted over the batch. */
StripPlace emit_strip_place(Emitter *emitter, const StripSlots *slots, const TapSlots *taps,
                            LLVMValueRef number);

/* Copies channels [first, first + count) of the source, as the rows of the positions: whole steps,
 * zeros where less is there. Of positions with several taps all channels, and `count` is that of
 * all taps. */
typedef struct StripPart {
    LLVMValueRef first, count;
    StepRows target;
} StripPart;

void emit_pack_strip(Emitter *emitter, const PackedSource *source, const StripSlots *slots,
                     const StripPlace *place, const StripPart *part);

/* Pointers to channel `channel` of the source's row at each position of the strip, `count` of them;
 * to `zeros` where it is outside, and behind the last position. */
void emit_strip_pointers(Emitter *emitter, const PackedSource *source, const StripSlots *slots,
                         const StripPlace *place, LLVMValueRef channel, LLVMValueRef zeros,
                         LLVMValueRef pointers, LLVMValueRef count);

/* The row at line `line` of the strip and position `position` of the line. */
RowPlace emit_strip_row(Emitter *emitter, const TapSlots *taps, const SpaceSlots *walked,
                        const StripPlace *place, LLVMValueRef line, LLVMValueRef position);

#endif
