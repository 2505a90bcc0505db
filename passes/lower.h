/* Lowering: the graph IR becomes a program of kernels. Each op is lowered on its own, by lower_<op>
 * in lower_<family>.c; what belongs together is joined later, on the program.
 *
 * Values become views of buffers: a slice or squeeze is a view of its operand, gradients are
 * written straight to their place in the flat array. */
#ifndef SPARKC_PASSES_LOWER_H
#define SPARKC_PASSES_LOWER_H

#include "ir/graph.h"
#include "ir/kernel.h"

/* The program of a graph that is lowerable (passes/lowerable.h), as every one is that the passes
 * make of a network. Buffers are not planned yet. All memory comes from `arena`; names and tables
 * are shared with the graph, which must live as long. */
Program *lower_graph(Arena *arena, Graph *graph);

/* Where a value of the graph lies while the program runs: in a scratch buffer from the last kernel
 * that writes there until the next one, in another region at the start. */
typedef struct LoweredValue {
    const Value *value;
    View view;
} LoweredValue;

typedef struct LoweredValues {
    VECTOR(LoweredValue) list;
} LoweredValues;

/* The same, and adds the values that have a place, in the order of the graph. */
Program *lower_graph_values(Arena *arena, Graph *graph, LoweredValues *values);

/* ---- For the rules in lower_<family>.c ------------------------------------------------------- */

/* What is known of a value: where it lies, or that it is one number. */
typedef struct Lowered {
    bool ready;       /* `view` is set */
    bool is_constant; /* every element is `constant`; no buffer unless one is asked for */
    double constant;
    View view;
} Lowered;

typedef struct Lowering {
    Arena *arena;
    Graph *graph;
    Program *program;
    Lowered *values; /* by node->mark + result index */
    int params_buffer;
} Lowering;

typedef void LowerFunction(Lowering *lowering, Node *node);

#define OP(name, ...) LowerFunction lower_##name;
#include "ir/ops.def"
#undef OP

/* What is known of a value; good until the lowering ends. */
Lowered *lower_value(Lowering *lowering, const Value *value);

/* A new buffer of a value's type and the view of the whole of it. */
View lower_new_view(Lowering *lowering, const char *name, Region region, const Type *type);

/* The view of an operand; a constant is written to a buffer first. */
View lower_operand_view(Lowering *lowering, const Value *value);

/* The view that a result is to be written through: decided beforehand (gradients)
 * or a new scratch buffer. The value is ready afterwards. */
View lower_result_view(Lowering *lowering, const Value *value);

/* Declares that `value` is the same memory as `view`. */
void lower_alias(Lowering *lowering, const Value *value, View view);

/* How `operand` is read in a kernel that walks the space of `result`: broadcasting by their types.
 */
Access lower_access(const Type *result, const Type *operand, View view);

/* Appends a kernel named after `value` (or node's first result), with space and channels of `type`.
 */
Kernel *lower_new_kernel(Lowering *lowering, const Node *node, KernelKind kind, const char *name,
                         const Type *type);

/* Adds an operand to a kernel; returns its number. */
int lower_add_operand(Kernel *kernel, Access access);

/* Adds an output. */
void lower_add_output(Kernel *kernel, View view);

/* A map that copies operand to the view, walking the space and channels of `type`. */
Kernel *lower_copy(Lowering *lowering, const Node *node, const char *name, const Type *type,
                   Access source, View target);

/* The instruction that reads an operand of a dtype: whole numbers as u32, all others as fp32. */
int lower_read_operand(ExpressionBuilder *builder, DType dtype, int operand);

/* The expression "operand n", fp32. */
Expression *lower_identity(Lowering *lowering, int operand);

/* The taps of a window of the op's attributes: kernel, stride, pad, dilation (1 if it has none). */
typedef struct WindowShape {
    int rank;
    int64_t kernel[TYPE_MAX_SPACE], stride[TYPE_MAX_SPACE], pad[TYPE_MAX_SPACE],
        dilation[TYPE_MAX_SPACE];
} WindowShape;

/* The window of a node, and its taps: the product of the kernel extents. */
WindowShape lower_window_shape(const Node *node);
int64_t lower_tap_count(const WindowShape *window);

/* The window of an upsampling seen from the small map: factor x factor, stride factor. */
WindowShape lower_upsample_shape(const Node *node);

/* The input that a column of the segment table is. */
const char *lower_segment_column(Arena *arena, const char *column);

/* Output position i reads scale = stride, offset = tap * dilation - pad of `source`. */
TapSet lower_forward_taps(Lowering *lowering, const WindowShape *window, const Type *source);

/* The transposed set for one phase (0 <= phase < stride): position stride * i + phase reads i +
 * offset of `source` for the taps that reach it. */
TapSet lower_transposed_taps(Lowering *lowering, const WindowShape *window, const Type *source,
                             const int64_t *phase);

/* The one tap of a per-position op. */
TapSet lower_point_taps(Lowering *lowering, const Type *source);

/* Moves `phase` to the next of all phases 0 .. stride - 1 (last direction fastest); false after the
 * last. */
bool lower_next_phase(const WindowShape *window, int64_t *phase);

/* The reading of the level of a masked type through taps or positions: registers it and widens its
 * border so that positions low .. high (per direction) are inside. */
void lower_use_level(Lowering *lowering, const Space *space, const int64_t *low,
                     const int64_t *high);

#endif
