/* The graph IR: one block of nodes in SSA form, and the tables that its text starts with.
 * Everything lives in the graph's arena; nodes that are removed stay there until it dies. */
#ifndef SPARKC_IR_GRAPH_H
#define SPARKC_IR_GRAPH_H

#include "base/arena.h"
#include "base/diagnostics.h"
#include "base/vector.h"
#include "ir/op.h"
#include "ir/type.h"

typedef struct Graph Graph;
typedef struct Node Node;

typedef struct Value {
    Node *node; /* that computes it */
    int index;  /* which of its results */
    Type type;
    const char *name; /* unique in the graph, without the % of the text */
} Value;

struct Node {
    Op op;
    Node *previous, *next; /* in the order of the block */
    Value **operands;      /* optional operands that are absent are NULL (never in the middle of
                              required ones); variadic ones follow one another */
    int operand_count;     /* entries of `operands`: op_info's operand_count, or as many as given */
    Value results[OP_MAX_RESULTS];
    Attribute attributes[OP_MAX_ATTRIBUTES]; /* in the order of the op's row */
    Location location;                       /* in the .cnn file; file NULL: made by a pass */
    int64_t mark;                            /* scratch of one pass at a time; 0 when it starts */
};

/* Which part of the model a parameter belongs to; decides its name in a SparK checkpoint:
 * encoder names get the prefix "sparse_encoder.sp_cnn.", the others are complete. */
typedef enum Part { PART_ENCODER, PART_HEAD, PART_DENSIFY, PART_DECODER, PART_TRAINING } Part;

typedef enum Role {
    ROLE_WEIGHT,      /* conv, conv_transpose, linear */
    ROLE_BIAS,        /* added per channel */
    ROLE_NORM_WEIGHT, /* scale of a norm, grn */
    ROLE_NORM_BIAS,
    ROLE_LAYER_SCALE, /* gamma */
    ROLE_MASK_TOKEN
} Role;

/* How a file's order of dimensions becomes the stored one. */
typedef enum Layout {
    LAYOUT_AS_IS, /* the same order; only dimensions of 1 may come or go */
    LAYOUT_CONV,  /* file [out, in / groups, kernel..], stored [kernel.., in / groups, out] */
    LAYOUT_LINEAR /* file [out, in], stored [in, out] */
} Layout;

typedef enum InitKind {
    INIT_CONSTANT,         /* a */
    INIT_NORMAL,           /* mean 0, standard deviation a */
    INIT_TRUNCATED_NORMAL, /* standard deviation a, cut at +-b */
    INIT_UNIFORM           /* in [-a, a) */
} InitKind;

typedef struct Init {
    InitKind kind;
    double a, b;
} Init;

/* A parameter: one stretch of the flat arrays (params, gradients, moments). */
typedef struct Segment {
    const char *name; /* unique; as in the plain network, "layer1.0.conv1.weight" */
    Part part;
    Role role;
    Type type; /* plain, stored shape; a conv weight is [kernel.., in / groups, out] */
    Layout layout;
    int file_rank; /* the shape in files, PyTorch's */
    int64_t file_shape[TYPE_MAX_RANK];
    Init init;
    bool decays; /* weight decay (and LAMB's trust ratio) apply: weights do, all else does not */
    double lr_scale; /* factor of the learning rate, 1 unless layer-wise decay is asked for */
    int64_t offset;  /* first element in the flat arrays */
} Segment;

/* A value that outlives a step besides the parameters. */
typedef struct StateSlot {
    const char *name; /* unique; "layer1.0.bn1.running_mean", "exp_avg" */
    Part part;
    Type type;
    double init;
} StateSlot;

/* The picture and its cells. */
typedef struct Geometry {
    int64_t batch;
    int space;                     /* spatial directions of the image, 1..3 */
    int64_t image[TYPE_MAX_SPACE]; /* extents in pixels */
    int64_t channels;              /* of the image */
    int64_t ratio; /* stride of the deepest feature = side of a cell in pixels; 0: no features */
    int64_t keep;  /* visible cells per image; 0: nothing is masked */
} Geometry;

struct Graph {
    Arena *arena;
    const char *network; /* its name */
    const char *stage;   /* the name of the last pass that ran, "frontend" at first */
    Geometry geometry;
    VECTOR(Segment) segments; /* in order of evaluation; offsets follow one another */
    VECTOR(StateSlot) states;
    Node *first, *last;
    struct NameTable *names; /* of all values */
};

/* An empty graph; everything in it is allocated from `arena`. */
Graph *graph_create(Arena *arena, const char *network, Geometry geometry);

/* A deep copy in another arena. */
Graph *graph_copy(const Graph *graph, Arena *arena);

/* The number of cells of an image; image extent / ratio in direction d. */
int64_t graph_cells(const Graph *graph);
int64_t graph_grid(const Graph *graph, int d);

/* Rows and elements are INT64_MAX where that is too small.
 *
 * The number of rows (positions that are stored) of a value: batch x positions if dense, batch x
 * keep x (ratio / stride)^space if masked, batch if per image, 1 else. */
int64_t graph_rows(const Graph *graph, const Type *type);

/* The number of stored elements; for flat and segments from the segment table. */
int64_t graph_elements(const Graph *graph, const Type *type);

/* Adds a segment behind the last; its offset is set. Fails (NULL) if the name is taken. The
 * pointer is good until the next one is added. */
Segment *graph_add_segment(Graph *graph, Segment segment);
const Segment *graph_find_segment(const Graph *graph, const char *name);
StateSlot *graph_add_state(Graph *graph, StateSlot state);
const StateSlot *graph_find_state(const Graph *graph, const char *name);

/* The index of a segment or state by name, or -1. */
int graph_segment_index(const Graph *graph, const char *name);
int graph_state_index(const Graph *graph, const char *name);

/* Removes the segments and states of a part of the model, which nothing may read any more; the
 * others keep their order and close up. True if there were any. */
bool graph_drop_part(Graph *graph, Part part);

/* Makes a node and puts it before `before` (NULL: at the end). Operands are copied; attributes
 * are at their defaults. `count` is at most the op's operand_count unless it is variadic. Results
 * have no types and no names yet: see rules_infer (ir/rules.h), graph_name, and ir/builder.h, which
 * most code uses. */
Node *graph_insert(Graph *graph, Op op, Value *const *operands, int count, Node *before);

/* Names a value; a name that is taken gets a suffix "_2", "_3", ... NULL: the op's name. */
void graph_name(Graph *graph, Value *value, const char *name);

/* Unlinks a node. Its results must have no users left. */
void graph_remove(Graph *graph, Node *node);

/* Makes every user of `old` read `new_value` instead. One walk over the graph. */
void graph_replace_uses(Graph *graph, Value *old, Value *new_value);

/* Renumbers nothing, clears the scratch mark of every node. */
void graph_clear_marks(Graph *graph);

/* The attribute of a node by name; the name must be in the op's row and of that kind. */
int64_t node_int(const Node *node, const char *name);
bool node_bool(const Node *node, const char *name);
double node_float(const Node *node, const char *name);
const char *node_text(const Node *node, const char *name); /* text or word */
const int64_t *node_ints(const Node *node, const char *name, int *count);

/* Sets an attribute; texts are copied into the graph's arena. */
void node_set_int(Node *node, const char *name, int64_t value);
void node_set_bool(Node *node, const char *name, bool value);
void node_set_float(Node *node, const char *name, double value);
void node_set_text(Graph *graph, Node *node, const char *name, const char *value);
void node_set_ints(Node *node, const char *name, const int64_t *values, int count);

/* The operand at a place, NULL if absent. */
Value *node_operand(const Node *node, int index);

/* The node that produces the output of a name, or NULL: `output {name = ...}`. */
Node *graph_find_output(const Graph *graph, const char *name);

/* A source node (input, scalar, param, state) by what it reads, or NULL; the one made last if
 * there are several. Texts of sources are therefore set by node_set_text only. */
Node *graph_find_source(const Graph *graph, Op op, const char *name);

/* The value of the `input` node of a name, or NULL. */
Value *graph_find_input(const Graph *graph, const char *name);

/* Walks all nodes in order; `node` may be removed in the body. */
#define graph_each(graph, node)                                                                    \
    for (Node *node = (graph)->first, *node##_next; node && (node##_next = node->next, 1);         \
         node = node##_next)

#endif
