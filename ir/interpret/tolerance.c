#include "ir/interpret/tolerance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/interpret/engine.h"

/* Half a unit in the last place, relative; what results may lose below the normal numbers. */
static const double UNIT = 0x1p-24, LOW_UNIT = 0x1p-8, UNDERFLOW = 0x1p-126;

typedef enum BoundKind {
    BOUND_NONE,
    BOUND_EXACT,      /* moves, compares, draws */
    BOUND_RESULT,     /* a few roundings of the result itself */
    BOUND_TERMS,      /* M is the op of the operands' magnitudes, see Rule.signs */
    BOUND_VALUE,      /* an activation: M = |x| + |y| */
    BOUND_DERIVATIVE, /* dy times an activation's derivative: M = (1 + |saved|) |dy| */
    BOUND_MOMENTS,
    BOUND_PATCHES
} BoundKind;

/* signs: for each operand '+' its magnitudes, '-' their negatives, '=' itself. */
typedef struct Rule {
    BoundKind kind;
    const char *signs;
} Rule;

#define ACTIVATION(name, ...)                                                                      \
    [OP_##name] = {BOUND_VALUE, NULL}, [OP_##name##_grad] = {BOUND_DERIVATIVE, NULL},

static const Rule rules[OP_COUNT] = {
    [OP_input] = {BOUND_EXACT, NULL},
    [OP_scalar] = {BOUND_RESULT, NULL},
    [OP_constant] = {BOUND_RESULT, NULL},
    [OP_param] = {BOUND_EXACT, NULL},
    [OP_state] = {BOUND_EXACT, NULL},
    [OP_parameters] = {BOUND_EXACT, NULL},
    [OP_segment_table] = {BOUND_RESULT, NULL},
    [OP_bernoulli] = {BOUND_RESULT, NULL},
    [OP_add] = {BOUND_TERMS, "++"},
    [OP_sub] = {BOUND_TERMS, "+-"},
    [OP_mul] = {BOUND_RESULT, NULL},
    [OP_div] = {BOUND_RESULT, NULL},
    [OP_minimum] = {BOUND_EXACT, NULL},
    [OP_greater] = {BOUND_EXACT, NULL},
    [OP_select] = {BOUND_EXACT, NULL},
    [OP_neg] = {BOUND_EXACT, NULL},
    [OP_sqrt] = {BOUND_RESULT, NULL},
    [OP_is_finite] = {BOUND_EXACT, NULL},
    [OP_broadcast] = {BOUND_EXACT, NULL},
    [OP_conv] = {BOUND_TERMS, "++"},
    [OP_conv_transpose] = {BOUND_TERMS, "++"},
    [OP_conv_weight_grad] = {BOUND_TERMS, "++"},
    [OP_linear] = {BOUND_TERMS, "++"},
    [OP_linear_weight_grad] = {BOUND_TERMS, "++"},
    [OP_max_pool] = {BOUND_EXACT, NULL},
    [OP_max_pool_grad] = {BOUND_TERMS, "=+"},
    [OP_avg_pool] = {BOUND_TERMS, "+"},
    [OP_avg_pool_grad] = {BOUND_TERMS, "+"},
    [OP_upsample] = {BOUND_TERMS, "+"},
    [OP_upsample_grad] = {BOUND_TERMS, "+"},
    [OP_sum] = {BOUND_TERMS, "+"},
    [OP_moments] = {BOUND_MOMENTS, "+"},
    [OP_rstd] = {BOUND_RESULT, NULL},
    [OP_normalise] = {BOUND_TERMS, "+-+++"},
    [OP_concat] = {BOUND_EXACT, NULL},
    [OP_slice] = {BOUND_EXACT, NULL},
    [OP_slice_grad] = {BOUND_EXACT, NULL},
    [OP_channel_shuffle] = {BOUND_EXACT, NULL},
    [OP_repeat_channels] = {BOUND_EXACT, NULL},
    [OP_flatten] = {BOUND_EXACT, NULL},
    [OP_unflatten] = {BOUND_EXACT, NULL},
    [OP_squeeze] = {BOUND_EXACT, NULL},
    [OP_mask] = {BOUND_EXACT, NULL},
    [OP_densify] = {BOUND_EXACT, NULL},
    [OP_gather] = {BOUND_EXACT, NULL},
    [OP_hidden] = {BOUND_EXACT, NULL},
    [OP_patch_normalise] = {BOUND_PATCHES, NULL},
    [OP_collect] = {BOUND_EXACT, NULL},
#include "ir/activations.def"
};
#undef ACTIVATION

static double units(double terms) {
    return UNIT * (4 + 4 * sqrt(terms));
}

/* ---- How many terms ----------------------------------------------------------------------------
 */

static double plain_elements(const Type *type) {
    double count = 1;
    for (int d = 0; d < type->rank; d++)
        count *= (double)type->extent[d];
    return count;
}

static double product(const Node *node, const char *attribute) {
    int count;
    const int64_t *values = node_ints(node, attribute, &count);
    double result = 1;
    for (int i = 0; i < count; i++)
        result *= (double)values[i];
    return result;
}

static double stored(const Graph *graph, const Type *type) {
    return (double)graph_elements(graph, type);
}

/* The most terms of one element of the first result. */
static double count_terms(const Graph *graph, const Node *node) {
    const Type *first = &node->operands[0]->type, *result = &node->results[0].type;
    switch (node->op) {
    case OP_conv:
    case OP_conv_transpose:
    case OP_linear:
        return plain_elements(&node->operands[1]->type) / (double)result->channels;
    case OP_conv_weight_grad:
    case OP_linear_weight_grad:
        return (double)graph_rows(graph, &node->operands[1]->type);
    case OP_max_pool_grad:
    case OP_avg_pool:
    case OP_avg_pool_grad:
        return product(node, "kernel");
    case OP_upsample:
    case OP_upsample_grad:
        return 4 * product(node, "factor");
    case OP_sum:
    case OP_moments:
        if (result->form == FORM_SEGMENTS)
            return stored(graph, first);
        return stored(graph, first) / stored(graph, result);
    default:
        return 1;
    }
}

/* ---- Magnitudes ---------------------------------------------------------------------------------
 */

static Tensor signed_magnitudes(Arena *arena, Tensor tensor, char sign) {
    if (!tensor.data || sign == '=')
        return tensor;
    double *data = arena_new_array(arena, double, tensor.count);
    for (size_t i = 0; i < tensor.count; i++)
        data[i] = sign == '-' ? -fabs(tensor.data[i]) : fabs(tensor.data[i]);
    tensor.data = data;
    return tensor;
}

/* The results of the node on operands with other signs, copied into the arena. */
static void evaluate(Interpreter *interpreter, Arena *arena, const Node *node, const char *signs,
                     Tensor results[OP_MAX_RESULTS]) {
    const Tensor *given = engine_operands(interpreter);
    Tensor *operands = arena_new_array(arena, Tensor, (size_t)node->operand_count);
    for (int i = 0; i < node->operand_count; i++)
        operands[i] = signed_magnitudes(arena, given[i], signs[i]);
    Status status = engine_evaluate(interpreter, arena, node, operands, results);
    invariant(status_fine(status), "%s", status.message);
    for (int i = 0; i < op_info(node->op)->result_count; i++) {
        double *data = arena_new_array(arena, double, results[i].count);
        memcpy(data, results[i].data, results[i].count * sizeof *data);
        free(results[i].data);
        results[i].data = data;
    }
}

static const char *unchanged(Arena *arena, const Node *node) {
    char *signs = arena_format(arena, "%*s", node->operand_count, "");
    memset(signs, '=', (size_t)node->operand_count);
    return signs;
}

/* ---- Bounds
 * --------------------------------------------------------------------------------------- */

typedef struct Bounding {
    Interpreter *interpreter;
    Arena *arena;
    const Graph *graph;
    const Node *node;
    int index;                      /* of the result */
    Tensor results[OP_MAX_RESULTS]; /* on the node's own operands */
    double *bounds;                 /* filled; zero at first */
} Bounding;

static void bound_result(Bounding *b) {
    const Tensor *result = &b->results[b->index];
    for (size_t i = 0; i < result->count; i++)
        b->bounds[i] = units(1) * fabs(result->data[i]);
}

static void bound_terms(Bounding *b) {
    Tensor magnitudes[OP_MAX_RESULTS];
    evaluate(b->interpreter, b->arena, b->node, rules[b->node->op].signs, magnitudes);
    double factor = units(count_terms(b->graph, b->node));
    for (size_t i = 0; i < magnitudes[b->index].count; i++)
        b->bounds[i] = factor * fabs(magnitudes[b->index].data[i]);
}

/* Activations: operand 0 is x; of derivatives operand 0 is what is saved, 1 is dy. */
static void bound_activation(Bounding *b) {
    const Tensor *operands = engine_operands(b->interpreter), *y = &b->results[0];
    bool derivative = rules[b->node->op].kind == BOUND_DERIVATIVE;
    for (size_t i = 0; i < y->count; i++) {
        double x = fabs(operands[0].data[i]);
        b->bounds[i] =
            units(1) * (derivative ? (1 + x) * fabs(operands[1].data[i]) : x + fabs(y->data[i]));
    }
}

/* m2 is a sum of squares about a mean that is itself rounded to u |mean|: each distance is that
 * much off. */
static void bound_moments(Bounding *b) {
    if (b->index < 2) {
        bound_terms(b);
        return;
    }
    double terms = count_terms(b->graph, b->node), n = b->results[0].data[0];
    for (size_t i = 0; i < b->results[2].count; i++) {
        double mean = fabs(b->results[1].data[i]), m2 = b->results[2].data[i];
        double offset = 4 * UNIT * mean;
        b->bounds[i] = units(terms) * m2 + 2 * offset * sqrt(n * m2) + n * offset * offset;
    }
}

/* Count, mean, sum of |x| and of squared distances of each patch. */
typedef struct Patch {
    double count, sum, magnitude, squares;
} Patch;

static size_t patch_of(const Bounding *b, const Type *type, size_t element) {
    int64_t side = node_int(b->node, "patch"), scale = 1;
    int64_t position = (int64_t)element / type->channels, place = 0;
    for (int d = type->rank - 1; d >= 0; d--) {
        place += position % type->extent[d] / side * scale;
        scale *= type->extent[d] / side;
        position /= type->extent[d];
    }
    return (size_t)(position * scale + place);
}

static Patch *measure_patches(const Bounding *b, const Tensor *x) {
    Patch *patches = arena_new_array(b->arena, Patch, x->count);
    for (size_t i = 0; i < x->count; i++) {
        Patch *patch = &patches[patch_of(b, &x->type, i)];
        patch->count++;
        patch->sum += x->data[i];
        patch->magnitude += fabs(x->data[i]);
    }
    for (size_t i = 0; i < x->count; i++) {
        Patch *patch = &patches[patch_of(b, &x->type, i)];
        double distance = x->data[i] - patch->sum / patch->count;
        patch->squares += distance * distance;
    }
    return patches;
}

/* (x - mean) / sd, where the mean is rounded, and sd as the moments' m2 is. */
static void bound_patches(Bounding *b) {
    const Tensor *x = &engine_operands(b->interpreter)[0];
    const Patch *patches = measure_patches(b, x);
    double eps = node_float(b->node, "eps");
    for (size_t i = 0; i < x->count; i++) {
        const Patch *patch = &patches[patch_of(b, &x->type, i)];
        double sd = sqrt(patch->squares / (patch->count - 1) + eps);
        double mean = patch->magnitude / patch->count, y = fabs(b->results[0].data[i]);
        b->bounds[i] = units(patch->count) * ((fabs(x->data[i]) + mean) / sd + y * (1 + mean / sd));
    }
}

/* What rounding to the result's own dtype adds. */
static void add_storage(Bounding *b) {
    const Tensor *result = &b->results[b->index];
    double unit = result->type.dtype == DTYPE_BF16 ? LOW_UNIT : 0;
    double low = result->type.dtype == DTYPE_I32 || result->type.dtype == DTYPE_U32 ? 0 : UNDERFLOW;
    for (size_t i = 0; i < result->count; i++)
        b->bounds[i] = low > 0 ? b->bounds[i] + unit * fabs(result->data[i]) + low : 0;
}

const double *tolerance_bounds(Interpreter *interpreter, Arena *arena, const Value *value) {
    static void (*const functions[])(Bounding *) = {
        [BOUND_RESULT] = bound_result,    [BOUND_TERMS] = bound_terms,
        [BOUND_VALUE] = bound_activation, [BOUND_DERIVATIVE] = bound_activation,
        [BOUND_MOMENTS] = bound_moments,  [BOUND_PATCHES] = bound_patches,
    };
    const Node *node = value->node;
    const Rule *rule = &rules[node->op];
    invariant(rule->kind != BOUND_NONE, "op %s has no tolerance", op_info(node->op)->name);
    Bounding b = {.interpreter = interpreter,
                  .arena = arena,
                  .graph = engine_graph(interpreter),
                  .node = node,
                  .index = value->index};
    size_t count = engine_count(b.graph, &value->type);
    b.bounds = arena_new_array(arena, double, count);
    if (rule->kind == BOUND_EXACT)
        return b.bounds;
    evaluate(interpreter, arena, node, unchanged(arena, node), b.results);
    functions[rule->kind](&b);
    add_storage(&b);
    return b.bounds;
}

/* ---- Comparing
 * ------------------------------------------------------------------------------------ */

static double ratio_of(double actual, double expected, double bound) {
    if (actual == expected || (isnan(actual) && isnan(expected)))
        return 0;
    double ratio = fabs(actual - expected) / bound;
    return isnan(ratio) || !isfinite(actual) || !isfinite(expected) ? (double)INFINITY : ratio;
}

ToleranceResult tolerance_compare(const double *actual, const double *expected,
                                  const double *bounds, size_t count) {
    ToleranceResult worst = {.ratio = -1};
    for (size_t i = 0; i < count; i++) {
        double ratio = ratio_of(actual[i], expected[i], bounds[i]);
        if (ratio > worst.ratio)
            worst = (ToleranceResult){
                ratio, fabs(actual[i] - expected[i]), bounds[i], actual[i], expected[i], i};
    }
    return worst;
}
