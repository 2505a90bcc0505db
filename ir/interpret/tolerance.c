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

/* ---- How many terms -------------------------------------------------------------------------- */

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

/* ---- Evaluating on other operands ------------------------------------------------------------ */

typedef struct Bounding {
    Interpreter *interpreter;
    Arena *arena;
    const Graph *graph;
    const Node *node;
    int index; /* of the result */
    const Tensor *operands;
    const double *const *operand_bounds; /* NULL: all exact */
    const Tensor *result;                /* on these operands */
    double *bounds;                      /* filled; zero at first */
} Bounding;

static const double *operand_bound(const Bounding *b, int operand) {
    return b->operand_bounds ? b->operand_bounds[operand] : NULL;
}

static bool all_exact(const Bounding *b) {
    for (int i = 0; i < b->node->operand_count; i++)
        if (operand_bound(b, i))
            return false;
    return true;
}

/* The operands, of the node's number, in an array that may be changed. */
static Tensor *copy_operands(const Bounding *b) {
    size_t count = (size_t)b->node->operand_count;
    Tensor *operands = arena_new_array(b->arena, Tensor, count);
    for (size_t i = 0; i < count; i++)
        operands[i] = b->operands[i];
    return operands;
}

/* The results of the node on other operands, in the arena. */
static void evaluate(const Bounding *b, const Tensor *operands, Tensor results[OP_MAX_RESULTS]) {
    Status status = engine_evaluate(b->interpreter, b->arena, b->node, operands, results);
    invariant(status_fine(status), "%s", status.message);
    for (int i = 0; i < op_info(b->node->op)->result_count; i++) {
        double *data = arena_new_array(b->arena, double, results[i].count);
        memcpy(data, results[i].data, results[i].count * sizeof *data);
        free(results[i].data);
        results[i].data = data;
    }
}

/* x + scale * bounds, in the arena. */
static Tensor moved(Arena *arena, Tensor x, const double *bounds, double scale) {
    double *data = arena_new_array(arena, double, x.count);
    for (size_t i = 0; i < x.count; i++)
        data[i] = x.data[i] + scale * bounds[i];
    x.data = data;
    return x;
}

/* Adds how far the result moves if operand `operand` moves by its bounds, up or down. */
static void add_spread(const Bounding *b, int operand) {
    const double *bounds = operand_bound(b, operand);
    const Tensor *result = b->result;
    Tensor *operands = copy_operands(b), up[OP_MAX_RESULTS], down[OP_MAX_RESULTS];
    operands[operand] = moved(b->arena, b->operands[operand], bounds, 1);
    evaluate(b, operands, up);
    operands[operand] = moved(b->arena, b->operands[operand], bounds, -1);
    evaluate(b, operands, down);
    for (size_t i = 0; i < result->count; i++)
        b->bounds[i] += fmax(fabs(up[b->index].data[i] - result->data[i]),
                             fabs(down[b->index].data[i] - result->data[i]));
}

static void add_spreads(const Bounding *b) {
    for (int i = 0; i < b->node->operand_count; i++)
        if (operand_bound(b, i))
            add_spread(b, i);
}

/* The result of the node on its operands' magnitudes, raised by their bounds or not. */
static const double *magnitudes(const Bounding *b, bool raised) {
    const char *signs = rules[b->node->op].signs;
    Tensor *operands = copy_operands(b), results[OP_MAX_RESULTS];
    for (int i = 0; i < b->node->operand_count; i++) {
        const double *bounds = raised ? operand_bound(b, i) : NULL;
        if (!operands[i].data || signs[i] == '=')
            continue;
        double sign = signs[i] == '-' ? -1 : 1;
        double *data = arena_new_array(b->arena, double, operands[i].count);
        for (size_t k = 0; k < operands[i].count; k++)
            data[k] = sign * (fabs(operands[i].data[k]) + (bounds ? bounds[k] : 0));
        operands[i].data = data;
    }
    evaluate(b, operands, results);
    return results[b->index].data;
}

/* ---- Bounds
 * --------------------------------------------------------------------------------------- */

static void bound_exact(Bounding *b) {
    add_spreads(b);
}

static void bound_result(Bounding *b) {
    for (size_t i = 0; i < b->result->count; i++)
        b->bounds[i] = units(1) * fabs(b->result->data[i]);
    add_spreads(b);
}

/* add and sub of operands that are not broadcast: no evaluation, which counts for flat values. */
static bool bound_plain_sum(Bounding *b) {
    bool plain = b->node->op == OP_add || b->node->op == OP_sub;
    for (int i = 0; plain && i < b->node->operand_count; i++)
        plain = b->operands[i].count == b->result->count;
    for (int i = 0; plain && i < b->node->operand_count; i++) {
        const double *bounds = operand_bound(b, i);
        for (size_t k = 0; k < b->result->count; k++) {
            double off = bounds ? bounds[k] : 0;
            b->bounds[k] += off + units(1) * (fabs(b->operands[i].data[k]) + off);
        }
    }
    return plain;
}

/* The terms' own bounds add up as they are: raised magnitudes less the magnitudes. */
static void bound_terms(Bounding *b) {
    if (bound_plain_sum(b))
        return;
    const char *signs = rules[b->node->op].signs;
    const double *raised = magnitudes(b, true),
                 *plain = all_exact(b) ? raised : magnitudes(b, false);
    double factor = units(count_terms(b->graph, b->node));
    for (size_t i = 0; i < b->result->count; i++)
        b->bounds[i] = factor * fabs(raised[i]) + fabs(raised[i] - plain[i]);
    for (int i = 0; i < b->node->operand_count; i++)
        if (signs[i] == '=' && operand_bound(b, i))
            add_spread(b, i);
}

/* Activations: operand 0 is x; of derivatives operand 0 is what is saved, 1 is dy. */
static void bound_activation(Bounding *b) {
    const Tensor *y = b->result;
    bool derivative = rules[b->node->op].kind == BOUND_DERIVATIVE;
    for (size_t i = 0; i < y->count; i++) {
        double x = fabs(b->operands[0].data[i]);
        double magnitude =
            derivative ? (1 + x) * fabs(b->operands[1].data[i]) : x + fabs(y->data[i]);
        b->bounds[i] = units(1) * magnitude;
    }
    add_spreads(b);
}

/* m2 is a sum of squares about a mean that is itself rounded: each distance is that much off. If
 * the terms are off by d, by Cauchy and Schwarz m2 is by up to 2 sqrt(m2 sum d^2) + sum d^2. */
static void bound_moments(Bounding *b) {
    if (b->index < 2) {
        bound_terms(b);
        return;
    }
    Tensor results[OP_MAX_RESULTS];
    evaluate(b, b->operands, results);
    double terms = count_terms(b->graph, b->node), n = results[0].data[0];
    Tensor off[OP_MAX_RESULTS], *operands = copy_operands(b);
    if (!all_exact(b)) {
        operands[0] = moved(b->arena, b->operands[0], operand_bound(b, 0), 1);
        for (size_t i = 0; i < operands[0].count; i++)
            operands[0].data[i] -= b->operands[0].data[i];
        evaluate(b, operands, off);
    }
    for (size_t i = 0; i < b->result->count; i++) {
        double mean = results[1].data[i], m2 = results[2].data[i];
        double rounding = 4 * UNIT * mean, squares = n * rounding * rounding;
        if (!all_exact(b))
            squares += off[2].data[i] + n * off[1].data[i] * off[1].data[i];
        b->bounds[i] = units(terms) * m2 + 2 * sqrt(m2 * squares) + squares;
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
    const Tensor *x = &b->operands[0];
    const Patch *patches = measure_patches(b, x);
    double eps = node_float(b->node, "eps");
    for (size_t i = 0; i < x->count; i++) {
        const Patch *patch = &patches[patch_of(b, &x->type, i)];
        double sd = sqrt(patch->squares / (patch->count - 1) + eps);
        double mean = patch->magnitude / patch->count, y = fabs(b->result->data[i]);
        b->bounds[i] = units(patch->count) * ((fabs(x->data[i]) + mean) / sd + y * (1 + mean / sd));
    }
    add_spreads(b);
}

/* What rounding to the result's own dtype adds. */
static void add_storage(Bounding *b) {
    const Tensor *result = b->result;
    double unit = result->type.dtype == DTYPE_BF16 ? LOW_UNIT : 0;
    double low = result->type.dtype == DTYPE_I32 || result->type.dtype == DTYPE_U32 ? 0 : UNDERFLOW;
    for (size_t i = 0; i < result->count; i++)
        b->bounds[i] = low > 0 ? b->bounds[i] + unit * fabs(result->data[i]) + low : 0;
}

const double *tolerance_bounds(Interpreter *interpreter, Arena *arena, const Value *value,
                               const Tensor *tensor, const double *const *operand_bounds) {
    static void (*const functions[])(Bounding *) = {
        [BOUND_EXACT] = bound_exact,           [BOUND_RESULT] = bound_result,
        [BOUND_TERMS] = bound_terms,           [BOUND_VALUE] = bound_activation,
        [BOUND_DERIVATIVE] = bound_activation, [BOUND_MOMENTS] = bound_moments,
        [BOUND_PATCHES] = bound_patches,
    };
    const Node *node = value->node;
    const Rule *rule = &rules[node->op];
    invariant(rule->kind != BOUND_NONE, "op %s has no tolerance", op_info(node->op)->name);
    Bounding b = {.interpreter = interpreter,
                  .arena = arena,
                  .graph = engine_graph(interpreter),
                  .node = node,
                  .index = value->index,
                  .operands = engine_operands(interpreter),
                  .result = tensor,
                  .operand_bounds = operand_bounds};
    b.bounds = arena_new_array(arena, double, tensor->count);
    if (rule->kind == BOUND_EXACT && all_exact(&b))
        return b.bounds;
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
