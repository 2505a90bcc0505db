#include "passes/lowerable.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ir/kernel_verify.h"
#include "passes/lower.h"

/* Hash tables take their memory from the `arena` in scope. */
#define uthash_malloc(size)       arena_alloc(arena, 1, size)
#define uthash_free(memory, size) ((void)0)
#include <uthash.h>

/* Taps of all windows of a graph, those of each phase counted, and kernels that differ in their
 * phase only. */
enum { MOST_TAPS = 1 << 24, MOST_PHASES = 1 << 15 };

/* The type under which an input's memory was met first. */
typedef struct Input {
    const char *name;
    Type type;
    UT_hash_handle hh;
} Input;

typedef struct Lowerable {
    const Graph *graph;
    Diagnostics *diagnostics;
    Arena *arena; /* dies with the check */
    Input *inputs;
    int64_t taps, phases; /* so far */
} Lowerable;

/* Always false. */
__attribute__((format(printf, 3, 4))) static bool refuse(const Lowerable *check, const Node *node,
                                                         const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *message = arena_vformat(check->arena, format, arguments);
    va_end(arguments);
    const char *op = op_info(node->op)->name;
    bool named = op_info(node->op)->result_count > 0;
    diagnostics_report(check->diagnostics, SEVERITY_ERROR, node->location,
                       "no kernel computes %s%s%s: %s", named ? "%" : op,
                       named ? node->results[0].name : "",
                       named ? arena_format(check->arena, " = %s", op) : "", message);
    return false;
}

/* ---- Types ----------------------------------------------------------------------------------- */

static bool is_whole(DType dtype) {
    return dtype == DTYPE_I32 || dtype == DTYPE_U32;
}

/* Ops that copy whole numbers, or have a form for them. */
static bool takes_whole(const Node *node) {
    switch (node->op) {
    case OP_output:
    case OP_commit:
    case OP_add:
    case OP_mul:
    case OP_broadcast:
    case OP_bernoulli:
    case OP_mask:
    case OP_hidden:
        return true;
    default:
        return (op_info(node->op)->flags & OP_SOURCE) != 0;
    }
}

static bool check_type(const Lowerable *check, const Node *node, const Value *value) {
    const Type *type = &value->type;
    bool counted = type_has_space(type) || type->form == FORM_PER_IMAGE;
    int64_t batch = check->graph->geometry.batch;
    bool of_segments = type->form == FORM_FLAT || type->form == FORM_SEGMENTS;
    if (type->dtype == DTYPE_BF16)
        return refuse(check, node, "not supported: %%%s is %s", value->name,
                      type_text(check->arena, type));
    if (is_whole(type->dtype) && !takes_whole(node))
        return refuse(check, node, "%%%s is %s, and the op takes floating-point numbers",
                      value->name, type_text(check->arena, type));
    if (counted && type->batch != batch)
        return refuse(check, node, "%%%s has a batch of %" PRId64 ", the geometry one of %" PRId64,
                      value->name, type->batch, batch);
    if (of_segments && check->graph->segments.count == 0)
        return refuse(check, node, "%%%s goes over all parameters, and there are none",
                      value->name);
    if (graph_elements(check->graph, type) > KERNEL_CHECK_MOST_ELEMENTS)
        return refuse(check, node, "%%%s has more elements than can be addressed", value->name);
    return true;
}

static bool check_types(const Lowerable *check, const Node *node) {
    bool fine = true;
    for (int i = 0; fine && i < node->operand_count; i++)
        fine = !node->operands[i] || check_type(check, node, node->operands[i]);
    for (int i = 0; fine && i < op_info(node->op)->result_count; i++)
        fine = check_type(check, node, &node->results[i]);
    return fine;
}

/* ---- Sources --------------------------------------------------------------------------------- */

/* False if memory of the name has another type already. */
static bool note_input(Lowerable *check, const char *name, const Type *type) {
    Arena *arena = check->arena;
    Input *input;
    HASH_FIND_STR(check->inputs, name, input);
    if (input)
        return type_equal(&input->type, type);
    input = arena_new(arena, Input);
    input->name = name;
    input->type = *type;
    HASH_ADD_KEYPTR(hh, check->inputs, input->name, strlen(input->name), input);
    return true;
}

/* The inputs' memory that a source reads, or NULL. */
static const char *input_name(const Lowerable *check, const Node *node) {
    if (node->op == OP_input || node->op == OP_scalar)
        return node_text(node, "name");
    if (node->op == OP_segment_table)
        return lower_segment_column(check->arena, node_text(node, "column"));
    return NULL;
}

static bool check_source(Lowerable *check, const Node *node) {
    const char *name = input_name(check, node);
    const Type *type = op_info(node->op)->result_count ? &node->results[0].type : NULL;
    if (name && !note_input(check, name, type))
        return refuse(check, node, "another input of the name \"%s\" has another type", name);
    if (node->op != OP_constant || !is_whole(type->dtype))
        return true;
    double value = node_float(node, "value");
    return (value == floor(value) && fabs(value) <= UINT32_MAX) ||
           refuse(check, node, "%g is no number of 32 bits", value);
}

/* Kernels find the cells in the input of that name. */
static bool check_cells(const Lowerable *check, const Node *node) {
    int place = node->op == OP_mask ? 1 : node->op == OP_hidden ? 0 : -1;
    if (place < 0)
        return true;
    const Node *cells = node->operands[place]->node;
    return (cells->op == OP_input && strcmp(node_text(cells, "name"), "cells") == 0) ||
           refuse(check, node, "%%%s is not the input \"cells\"", node->operands[place]->name);
}

/* ---- Windows --------------------------------------------------------------------------------- */

/* The window of an op that has one, seen from the larger map; false if it has none. */
static bool window_of(const Node *node, WindowShape *window) {
    if (node->op == OP_upsample_grad)
        *window = lower_upsample_shape(node);
    else if (op_attribute_index(node->op, "kernel") >= 0)
        *window = lower_window_shape(node);
    else
        return false;
    return true;
}

static int64_t product(const int64_t *numbers, int count) {
    int64_t result = 1;
    for (int d = 0; d < count; d++)
        result = type_multiply(result, numbers[d]);
    return result;
}

/* The positions of a map widened by all that the window reaches beyond it. */
static int64_t reached(const Type *map, const WindowShape *window) {
    int64_t positions = map->batch;
    for (int d = 0; d < map->rank; d++) {
        int64_t reach = window->pad[d] + type_multiply(window->dilation[d], window->kernel[d]);
        positions =
            reach > INT32_MAX ? INT64_MAX : type_multiply(positions, map->extent[d] + 2 * reach);
    }
    return positions;
}

/* The multiply-adds of an op of the window, at most. */
static int64_t terms_of(const Lowerable *check, const Node *node, int64_t taps) {
    int64_t most = 0;
    for (int i = 0; i < node->operand_count + op_info(node->op)->result_count; i++) {
        const Value *value =
            i < node->operand_count ? node->operands[i] : &node->results[i - node->operand_count];
        int64_t elements = value ? graph_elements(check->graph, &value->type) : 0;
        most = elements > most ? elements : most;
    }
    return type_multiply(most, taps);
}

/* Rows x taps x input channels of a group x output channels; the rows are those of the op's larger
 * map. */
static int64_t contraction_terms(const Lowerable *check, const Node *node, int64_t taps) {
    const Value *x = node->operands[0];
    bool gradient = node->op == OP_conv_weight_grad || node->op == OP_linear_weight_grad;
    const Value *y = gradient ? node->operands[1] : &node->results[0];
    bool grouped = op_attribute_index(node->op, "groups") >= 0;
    int64_t in = x->type.channels / (grouped ? node_int(node, "groups") : 1);
    int64_t rows = graph_rows(check->graph, &x->type);
    int64_t other = graph_rows(check->graph, &y->type);
    int64_t terms = type_multiply(type_multiply(rows > other ? rows : other, taps), in);
    return type_multiply(terms, y->type.channels);
}

static bool is_contraction(const Node *node) {
    return node->op == OP_conv || node->op == OP_conv_transpose ||
           node->op == OP_conv_weight_grad || node->op == OP_linear ||
           node->op == OP_linear_weight_grad;
}

/* One kernel for each phase, which has those taps that reach it. */
static int64_t phases_of(const Node *node, const WindowShape *window) {
    bool phased = node->op == OP_conv_transpose || node->op == OP_avg_pool_grad;
    return phased ? product(window->stride, window->rank) : 1;
}

/* A kernel for each tap. */
static bool check_token_taps(Lowerable *check, const Node *node) {
    const Type *weight =
        &(node->op == OP_token_taps_weight_grad ? &node->results[0] : node->operands[1])->type;
    int64_t taps = 1;
    for (int d = 0; d < weight->rank - 2; d++)
        taps = type_multiply(taps, weight->extent[d]);
    check->phases += taps < MOST_PHASES ? taps : MOST_PHASES;
    return check->phases <= MOST_PHASES ||
           refuse(check, node, "too many taps, %" PRId64 " with a kernel each", taps);
}

static bool is_token_taps(const Node *node) {
    return node->op == OP_token_taps || node->op == OP_token_taps_grad ||
           node->op == OP_token_taps_weight_grad;
}

static bool check_window(Lowerable *check, const Node *node) {
    WindowShape window = {0};
    int64_t taps = 1;
    if (window_of(node, &window)) {
        taps = product(window.kernel, window.rank);
        int64_t phases = phases_of(node, &window), all = type_multiply(taps, phases);
        bool few = taps <= UINT16_MAX && phases <= MOST_PHASES && all <= MOST_TAPS;
        check->taps += few ? all : 0;
        check->phases += few ? phases : 0;
        if (!few || check->taps > MOST_TAPS || check->phases > MOST_PHASES)
            return refuse(check, node, "too many taps, %" PRId64 " in %" PRId64 " phases", taps,
                          phases);
        for (int i = 0; i < node->operand_count; i++)
            if (node->operands[i] && node->operands[i]->type.form == FORM_MASKED &&
                reached(&node->operands[i]->type, &window) > KERNEL_CHECK_MOST_ELEMENTS)
                return refuse(check, node, "the window reaches too far beyond the map");
    } else if (is_token_taps(node)) {
        return check_token_taps(check, node);
    } else if (!is_contraction(node)) {
        return true;
    }
    int64_t terms =
        is_contraction(node) ? contraction_terms(check, node, taps) : terms_of(check, node, taps);
    return terms <= KERNEL_CHECK_MOST_TERMS ||
           refuse(check, node, "more multiply-adds than can be counted");
}

/* ---- All ------------------------------------------------------------------------------------- */

static bool check_node(Lowerable *check, const Node *node) {
    const OpInfo *info = op_info(node->op);
    if (info->flags & OP_COMPOSITE) {
        diagnostics_report(check->diagnostics, SEVERITY_ERROR, node->location,
                           "no kernel computes %s, which the pass expand writes in other ops",
                           info->name);
        return false;
    }
    return check_types(check, node) && check_source(check, node) && check_cells(check, node) &&
           check_window(check, node);
}

/* Whatever the ops are, every state has its memory. */
static bool check_states(const Lowerable *check) {
    for (size_t i = 0; i < check->graph->states.count; i++) {
        const StateSlot *state = &check->graph->states.items[i];
        int64_t elements = graph_elements(check->graph, &state->type);
        if (elements >= 1 && elements <= KERNEL_CHECK_MOST_ELEMENTS)
            continue;
        diagnostics_report(check->diagnostics, SEVERITY_ERROR, (Location){0},
                           "there is no memory for state %s, %s", state->name,
                           elements < 1 ? "which has no elements" : "which is too large");
        return false;
    }
    return true;
}

bool lowerable(const Graph *graph, Diagnostics *diagnostics) {
    Lowerable check = {.graph = graph, .diagnostics = diagnostics, .arena = arena_create()};
    const Geometry *geometry = &graph->geometry;
    const int64_t shape[] = {geometry->batch, geometry->keep};
    Type cells = type_plain(DTYPE_I32, 2, shape), column = type_segments(DTYPE_F32);
    if (geometry->keep > 0)
        note_input(&check, "cells", &cells);
    note_input(&check, KERNEL_COLUMN_DECAYS, &column);
    note_input(&check, KERNEL_COLUMN_LR_SCALE, &column);
    bool fine = check_states(&check);
    for (const Node *node = graph->first; fine && node; node = node->next)
        fine = check_node(&check, node);
    arena_destroy(check.arena);
    return fine;
}
