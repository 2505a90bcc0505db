/* The kernel IR: how a graph is computed, for any target. A program is a list of kernels over
 * buffers; every kernel is of one of a few kinds, and what it means is said here and by the kernel
 * interpreter, never by a back end.
 *
 * Every kernel walks the rows of a space and the channels of a row. Its operands are read through
 * accesses (which row and channel of a buffer belong to row r, channel c), a scalar expression
 * combines them, and its results are written through views. The kinds add to that:
 *
 *     map              nothing: outputs[r, c] = expression(operands)
 *     contract         acc[r, co] = sum over taps t, channels ci of a[row(t, r), ci] w[t, ci, co],
 *                      outputs = expression(acc, operands)
 *     contract_weight  w[t, ci, co] = sum over rows r of a[row(t, r), ci] b[r, co]
 *     window           acc[r, c] from the taps of one channel (enum WindowKind),
 *                      outputs = expression(acc, operands)
 *     reduce           values = expression(operands), summed over rows, channels or segments
 *                      (struct Reduction)
 *     position_map     from the cell list: which row each position of a masked level has
 *
 * row(t, r): row r of the kernel's space is at image b and position p = step * i + phase in each
 * direction; tap t reads the source space at scale * i + offset[t]. That is a row, or OUTSIDE the
 * map, or HIDDEN (masked sources only); both contribute zero, after the prologue, unless the kind
 * says otherwise.
 *
 * Rows, extents and batch are arguments of the compiled code, never part of it: see
 * kernel_code_key. */
#ifndef SPARKC_IR_KERNEL_H
#define SPARKC_IR_KERNEL_H

#include "base/diagnostics.h"
#include "base/vector.h"
#include "ir/expression.h"
#include "ir/graph.h"

/* ---- Buffers --------------------------------------------------------------------------------- */

typedef enum Region {
    REGION_PARAMS,  /* one buffer: f32, the segments one after the other */
    REGION_STATE,   /* moments, running statistics, counters */
    REGION_INPUTS,  /* images, cells, scalars */
    REGION_OUTPUTS, /* what the entry gives back */
    REGION_SCRATCH  /* lives within one run */
} Region;

typedef struct Buffer {
    const char *name; /* unique in its region */
    Region region;
    DType dtype;
    int64_t elements; /* at this program's batch */
    int64_t offset;   /* bytes from the start of its region, a multiple of KERNEL_ALIGNMENT; -1: not
                         planned yet */
} Buffer;

enum { KERNEL_ALIGNMENT = 64 };

/* Where element (image b, row r of the image's rows, channel c) of a value lies in a buffer, in
 * elements: base + b * image_stride + r * row_stride + c * channel_stride. */
typedef struct View {
    int buffer; /* index in the program */
    int64_t base, image_stride, row_stride, channel_stride;
} View;

/* ---- Spaces ---------------------------------------------------------------------------------- */

typedef enum SpaceKind {
    SPACE_DENSE,  /* rows of an image: its positions, row-major */
    SPACE_MASKED, /* rows of an image: the positions of its visible cells, cell after cell,
                     row-major inside */
    SPACE_IMAGES, /* one row per image */
    SPACE_ONE,    /* a single row: parameters, statistics, scalars */
    SPACE_FLAT    /* one row, the elements of all segments as its channels */
} SpaceKind;

typedef struct Space {
    SpaceKind kind;
    int rank;                       /* dense, masked: spatial directions, 1..3 */
    int64_t extent[TYPE_MAX_SPACE]; /* dense, masked: the map's extents */
    int64_t stride;                 /* masked: image pixels per position */
} Space;

/* ---- Accesses -------------------------------------------------------------------------------- */

typedef enum AccessKind {
    ACCESS_ELEMENT, /* row r */
    ACCESS_IMAGE,   /* the image of row r; the view's row is 0 */
    ACCESS_ONE,     /* the same row for all: parameters, scalars */
    ACCESS_SEGMENT, /* flat: channel = the segment of the element */
    ACCESS_POSITION /* the row of `source` at the position of row r, divided by `divide` (floor);
                       its expression operand is 0 where that is hidden, see EXPRESSION_VISIBLE */
} AccessKind;

typedef enum ChannelKind {
    CHANNEL_SAME,   /* channel c */
    CHANNEL_FIRST,  /* channel 0: one number for all */
    CHANNEL_REPEAT, /* channel c / parameter */
    CHANNEL_SHUFFLE /* channel_shuffle into `parameter` groups: c = j * groups + g reads g *
                       (channels / groups) + j */
} ChannelKind;

typedef struct Access {
    AccessKind kind;
    ChannelKind channel;
    int64_t channel_parameter;
    View view;                      /* buffer -1: POSITION of which only the visibility is asked */
    Space source;                   /* POSITION: where the view's rows live */
    int64_t divide[TYPE_MAX_SPACE]; /* POSITION: per direction, at least 1 */
} Access;

/* ---- Taps ------------------------------------------------------------------------------------ */

typedef struct Tap {
    int64_t offset[TYPE_MAX_SPACE];
    int64_t weight; /* index of the tap in the weight's first dimension */
} Tap;

/* Position p = step * i + phase of the kernel's space reads scale * i + offset of the source. Only
 * rows whose position has this phase are computed. conv: step 1, phase 0, scale = stride.
 * Transposed conv: one kernel per phase, step = stride, scale 1, with just the taps that reach it
 * (none: the rows are still written, acc = 0). */
typedef struct TapSet {
    Space source;
    int64_t step[TYPE_MAX_SPACE], phase[TYPE_MAX_SPACE], scale[TYPE_MAX_SPACE];
    int tap_count;
    Tap *taps;
} TapSet;

/* ---- Kinds ----------------------------------------------------------------------------------- */

typedef enum KernelKind {
    KERNEL_MAP,
    KERNEL_CONTRACT,
    KERNEL_CONTRACT_WEIGHT,
    KERNEL_WINDOW,
    KERNEL_REDUCE,
    KERNEL_POSITION_MAP
} KernelKind;

/* The weight of a contract: element (tap, group, ci, co), channels counted within their group, at
 * base + tap * tap_stride + group * group_stride + ci * in_stride + co * out_stride elements.
 * Output channel k of all belongs to group k / (out / groups). */
typedef struct WeightView {
    int buffer;
    int64_t base, tap_stride, in_stride, out_stride, group_stride;
} WeightView;

typedef struct Contraction {
    TapSet taps;
    View a;               /* rows of taps.source, `in` channels */
    Expression *prologue; /* applied to each element of a that is a row; NULL: none. Operand 0 is
                             the element, the others are `prologue_operands` in taps.source */
    int prologue_operand_count;
    Access *prologue_operands;
    View b;                  /* contract_weight: rows of the kernel's space, `out` channels */
    WeightView weight;       /* read by contract, written by contract_weight */
    int64_t in, out, groups; /* all channels, over all groups */
    bool bf16; /* what is multiplied is rounded to bf16 before, a behind the prologue, weight and b;
                  products and sums are not */
} Contraction;

typedef enum WindowKind {
    WINDOW_WEIGHTED,    /* depthwise: sum of a[row(t, r), c] * w[t, c] */
    WINDOW_WEIGHT_GRAD, /* w[t, c] = sum over rows of a[row(t, r), c] * b[r, c]; no expression */
    WINDOW_SUM,         /* sum of a[row(t, r), c] */
    WINDOW_AVERAGE,     /* that divided by the number of taps inside the picture, see `count_pad` */
    WINDOW_AVERAGE_GRAD, /* transposed: the sum over taps of a[row(t, r), c] / the divisor of that
                            row */
    WINDOW_MAX,          /* hidden taps take part as 0, outside ones do not */
    WINDOW_MAX_BY,       /* a at the first tap in order where b, in the source space as well, has
                            its maximum; 0 if that tap is hidden */
    WINDOW_MAX_GRAD,     /* gradient b of the maximum of a, to a's rows: see below */
    WINDOW_BILINEAR,     /* bilinear upsampling by `factor`, and its transpose */
    WINDOW_BILINEAR_GRAD
} WindowKind;

/* max_grad: the kernel's space is the pooled one and a, b its input and incoming gradient; the one
 * output is in the source space: zero, plus b[r, c] at the first tap in order whose value is the
 * maximum; dropped if that tap is hidden. The pooled geometry of average and average_grad is
 * (kernel, stride, pad) and, with ceil_mode, windows may hang over; divisor = taps inside the
 * picture widened by pad on both sides (count_pad) or inside the picture. */
typedef struct Window {
    WindowKind kind;
    TapSet taps;
    View a, b;         /* b: as the kind says */
    WeightView weight; /* weighted, weight_grad: in = out = 1 per channel, channel by out_stride */
    bool count_pad;
    int64_t pool_kernel[TYPE_MAX_SPACE], pool_stride[TYPE_MAX_SPACE], pool_pad[TYPE_MAX_SPACE];
    int64_t factor[TYPE_MAX_SPACE]; /* bilinear */
} Window;

typedef enum ReduceKind {
    REDUCE_SUM,
    REDUCE_MOMENTS, /* of the one value of the expression: outputs mean, m2 */
    REDUCE_MERGE /* of equally large groups given as (mean, m2): the expression gives two values */
} ReduceKind;

typedef enum ReduceOver {
    OVER_BATCH,  /* all rows, per channel -> ONE [channels] */
    OVER_IMAGE,  /* the rows of each image, per channel -> IMAGES [channels] */
    OVER_ROW,    /* the channels of each row, in `groups` groups -> the same space [groups] */
    OVER_CELL,   /* each patch x patch square with its channels -> dense space of squares [1] */
    OVER_ALL,    /* everything -> ONE [1] */
    OVER_SEGMENT /* flat -> ONE [segments] */
} ReduceOver;

/* Long sums: fp32 over at most 1,024 terms a lane, then double. The tiles, and the order in which
 * they are merged, depend on the shapes and the target alone, never on the number of threads. */
typedef struct Reduction {
    ReduceKind kind;
    ReduceOver over;
    int64_t groups;      /* OVER_ROW: 1 or more */
    int64_t patch;       /* OVER_CELL */
    int64_t merge_count; /* MERGE: terms behind each (mean, m2) */
} Reduction;

/* Builds the position map of a masked level: int32 [batch, (extent + 2 border)..], each the row
 * index within the image's rows, KERNEL_HIDDEN or KERNEL_OUTSIDE. */
enum { KERNEL_HIDDEN = -1, KERNEL_OUTSIDE = -2 };

typedef struct PositionMap {
    int level; /* index in the program's levels */
} PositionMap;

typedef struct Level {
    Space space;
    int64_t border[TYPE_MAX_SPACE]; /* the farthest tap outside, per direction */
    int buffer;                     /* the map */
} Level;

enum { KERNEL_MAX_OPERANDS = 16, KERNEL_MAX_OUTPUTS = 4 };

typedef struct Kernel {
    KernelKind kind;
    const char *name; /* of the graph value or values it computes; unique */
    Location location;
    Space space;      /* the rows that are walked */
    int64_t channels; /* of the space's rows as walked; contract: out */
    int operand_count;
    Access operands[KERNEL_MAX_OPERANDS];
    Expression *expression; /* operand i of the expression is operand i here; contract and window
                               (but gradients) have acc as an extra last operand */
    int output_count;
    View outputs[KERNEL_MAX_OUTPUTS]; /* value i of the expression; rows in the space that the kind
                                         says */
    union {
        Contraction contraction;
        Window window;
        Reduction reduction;
        PositionMap position_map;
    };
} Kernel;

typedef struct Program {
    Arena *arena;
    const char *network;
    const char *stage;
    Geometry geometry;
    VECTOR(Segment) segments;
    VECTOR(StateSlot) states;
    VECTOR(Buffer) buffers;
    VECTOR(Level) levels;
    VECTOR(Kernel *) kernels; /* in the order they run */
    int cells; /* buffer of the cell list (int32 [batch, keep]); -1: nothing is masked */
} Program;

/* Rows of a space per image; 1 for ONE and FLAT. */
int64_t space_rows(const Geometry *geometry, const Space *space);
bool space_equal(const Space *a, const Space *b);

/* How many images a space has: the batch; 1 for ONE and FLAT. */
int64_t space_images(const Geometry *geometry, const Space *space);

/* Dense and masked. */
bool space_has_positions(const Space *space);

/* The side of a visible cell in positions of a masked space. */
int64_t kernel_cell_side(const Geometry *geometry, const Space *space);

/* The tap set of a contract, contract_weight or window; else NULL. */
const TapSet *kernel_taps(const Kernel *kernel);

/* The rows that a kernel walks in each image: those of its phase. */
int64_t kernel_rows(const Program *program, const Kernel *kernel);

/* One tap that is the row itself: row(t, r) = r. A 1x1 stride-1 convolution, a linear layer. */
bool kernel_taps_direct(const Kernel *kernel);

/* The space of a window's b, if it has one: that of the taps' source, or the kernel's own. */
const Space *kernel_window_b_space(const Kernel *kernel);

/* The expression has an accumulator as operand `operand_count`. */
bool kernel_has_acc(const Kernel *kernel);

/* The space and channel count of a graph type. plain: ONE with all elements as channels. */
Space space_of_type(const Type *type);

/* The bytes that a region needs: up to the end of its last planned buffer, at least 64. */
int64_t kernel_region_bytes(const Program *program, Region region);

/* The prologue of a contraction as the map that it is: over the rows of the source, with a as
 * operand 0 and no outputs. Only for a kernel that has one. */
Kernel kernel_prologue(const Kernel *kernel);

/* The index of a buffer by region and name, or -1. */
int kernel_find_buffer(const Program *program, Region region, const char *name);

/* The inputs that are columns of the segment table: f32, an element per segment, filled by whoever
 * runs the program. */
#define KERNEL_COLUMN_DECAYS   "segments.decays"
#define KERNEL_COLUMN_LR_SCALE "segments.lr_scale"
bool kernel_is_segment_column(const char *input);

/* The level of a masked space, or NULL. */
const Level *kernel_find_level(const Program *program, const Space *space);

/* A buffer that a kernel reads or writes; it may do both, in two entries. Position maps and the
 * cell list count as read where the kernel meets a masked space. */
typedef struct KernelUse {
    int buffer;
    bool write;
} KernelUse;

/* All uses of a kernel, in no order, without repetition. Returns how many. Each operand and each
 * operand of a prologue may use a buffer, the cell list and a map. */
enum { KERNEL_MAX_USES = 6 * KERNEL_MAX_OPERANDS + KERNEL_MAX_OUTPUTS + 8 };
int kernel_uses(const Program *program, const Kernel *kernel, KernelUse uses[KERNEL_MAX_USES]);

/* The text of everything that the compiled code of a kernel depends on, and nothing else: kernels
 * with the same key share code. Names, buffers, batch, extents and rows are not in it, nor the
 * values of the fp32 constants of its expression. */
char *kernel_code_key(Arena *arena, const Program *program, const Kernel *kernel);

/* Whether a contraction leaves out what hidden taps would contribute, instead of multiplying zeros:
 * where a tap may be hidden at some of the rows; of a weight's gradient, where whole blocks of
 * channels belong to it; in bf16, of so many channels from a masked space to a dense one, or
 * between masked ones, where most neighbours are visible if cells are large. */
enum { KERNEL_SKIP_UNIT = 8, KERNEL_SKIP_DENSE_BF16 = 32, KERNEL_SKIP_MASKED_BF16 = 128 };
bool kernel_skips_hidden(const Kernel *kernel);

/* Multiply-adds: those executed by a contract or weighted window (taps x rows x channels, rows with
 * hidden or outside taps counted), 0 for others. Where hidden taps are skipped, a tap counts for as
 * many rows as its source has: no more can find it, some do not, at the border and beside hidden
 * cells, so this is a bound that holds for every choice of cells. */
int64_t kernel_multiply_adds(const Program *program, const Kernel *kernel);

#endif
