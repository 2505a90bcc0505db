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
    BOUND_PATCHES,
    BOUND_LOG_SOFTMAX,
    BOUND_LOG_SOFTMAX_GRAD
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
    [OP_token_taps] = {BOUND_TERMS, "++"},
    [OP_token_taps_grad] = {BOUND_TERMS, "++"},
    [OP_token_taps_weight_grad] = {BOUND_RESULT, NULL},
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
    [OP_log_softmax] = {BOUND_LOG_SOFTMAX, NULL},
    [OP_log_softmax_grad] = {BOUND_LOG_SOFTMAX_GRAD, NULL},
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

double tolerance_of_terms(double terms) {
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
    case OP_token_taps:
    case OP_token_taps_grad:
        return plain_elements(&node->operands[1]->type) / plain_elements(result);
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

/* The node evaluated on other operands. Values may be as large as all parameters together, so what
 * is made for an evaluation goes with it. */
typedef struct Evaluation {
    Arena *arena; /* of the operands' data */
    Tensor *operands;
    Tensor results[OP_MAX_RESULTS];
} Evaluation;

/* The node's own operands, to be changed before evaluate. */
static Evaluation begin_evaluation(const Bounding *b) {
    size_t count = (size_t)b->node->operand_count;
    Evaluation evaluation = {.arena = arena_create()};
    evaluation.operands = arena_new_array(evaluation.arena, Tensor, count);
    for (size_t i = 0; i < count; i++)
        evaluation.operands[i] = b->operands[i];
    return evaluation;
}

/* Operand `operand` becomes magnitude * its magnitudes + value * its values + bound * its bounds.
 */
static void change_operand(const Bounding *b, Evaluation *evaluation, int operand, double magnitude,
                           double value, double bound) {
    const Tensor *x = &b->operands[operand];
    const double *bounds = operand_bound(b, operand);
    double *data = arena_new_array(evaluation->arena, double, x->count);
    for (size_t i = 0; i < x->count; i++)
        data[i] = (magnitude != 0 ? magnitude * fabs(x->data[i]) : 0) +
                  (value != 0 ? value * x->data[i] : 0) + (bounds ? bound * bounds[i] : 0);
    evaluation->operands[operand].data = data;
}

static void evaluate(const Bounding *b, Evaluation *evaluation) {
    Status status = engine_evaluate(b->interpreter, b->arena, b->node, evaluation->operands,
                                    evaluation->results);
    invariant(status_fine(status), "%s", status.message);
}

static void end_evaluation(const Bounding *b, Evaluation *evaluation) {
    for (int i = 0; i < op_info(b->node->op)->result_count; i++)
        free(evaluation->results[i].data);
    arena_destroy(evaluation->arena);
}

/* Raises `distances` to how far the result moves if an operand moves by `scale` of its bounds. */
static void measure_move(const Bounding *b, int operand, double scale, double *distances) {
    Evaluation evaluation = begin_evaluation(b);
    change_operand(b, &evaluation, operand, 0, 1, scale);
    evaluate(b, &evaluation);
    const double *other = evaluation.results[b->index].data;
    for (size_t i = 0; i < b->result->count; i++)
        distances[i] = fmax(distances[i], fabs(other[i] - b->result->data[i]));
    end_evaluation(b, &evaluation);
}

/* Adds how far the result moves if operand `operand` moves by its bounds, up or down. */
static void add_spread(const Bounding *b, int operand) {
    Arena *arena = arena_create();
    double *distances = arena_new_array(arena, double, b->result->count);
    measure_move(b, operand, 1, distances);
    measure_move(b, operand, -1, distances);
    for (size_t i = 0; i < b->result->count; i++)
        b->bounds[i] += distances[i];
    arena_destroy(arena);
}

static void add_spreads(const Bounding *b) {
    for (int i = 0; i < b->node->operand_count; i++)
        if (operand_bound(b, i))
            add_spread(b, i);
}

/* Adds `factor` times the result of the node on its operands' magnitudes, raised by their bounds or
 * not. */
static void add_magnitudes(const Bounding *b, bool raised, double factor) {
    const char *signs = rules[b->node->op].signs;
    Evaluation evaluation = begin_evaluation(b);
    for (int i = 0; i < b->node->operand_count; i++) {
        double sign = signs[i] == '-' ? -1 : 1;
        if (b->operands[i].data && signs[i] != '=')
            change_operand(b, &evaluation, i, sign, 0, raised ? sign : 0);
    }
    evaluate(b, &evaluation);
    for (size_t i = 0; i < b->result->count; i++)
        b->bounds[i] += factor * fabs(evaluation.results[b->index].data[i]);
    end_evaluation(b, &evaluation);
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

static void bound_exact(Bounding *b) {
    add_spreads(b);
}

static void bound_result(Bounding *b) {
    for (size_t i = 0; i < b->result->count; i++)
        b->bounds[i] = tolerance_of_terms(1) * fabs(b->result->data[i]);
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
            b->bounds[k] += off + tolerance_of_terms(1) * (fabs(b->operands[i].data[k]) + off);
        }
    }
    return plain;
}

/* The terms' own bounds add up as they are: raised magnitudes less the magnitudes. */
static void bound_terms(Bounding *b) {
    const char *signs = rules[b->node->op].signs;
    double factor = tolerance_of_terms(count_terms(b->graph, b->node));
    if (bound_plain_sum(b))
        return;
    add_magnitudes(b, true, all_exact(b) ? factor : 1 + factor);
    if (!all_exact(b))
        add_magnitudes(b, false, -1);
    for (int i = 0; i < b->node->operand_count; i++)
        if (signs[i] == '=' && operand_bound(b, i))
            add_spread(b, i);
}

/* Activations: operand 0 is x; of derivatives operand 0 is what is saved, 1 is dy. */
static void bound_activation(Bounding *b) {
    const Tensor *y = b->result;
    bool derivative = rules[b->node->op].kind == BOUND_DERIVATIVE;
    for (size_t i = 0; i < y->count; i++) {
        double saved = b->operands[0].data[i];
        double x = isfinite(saved) ? fabs(saved) : 0; /* else a finite result is a constant's */
        double magnitude =
            derivative ? (1 + x) * fabs(b->operands[1].data[i]) : x + fabs(y->data[i]);
        b->bounds[i] = tolerance_of_terms(1) * magnitude;
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
    Evaluation own = begin_evaluation(b), off = begin_evaluation(b);
    evaluate(b, &own);
    change_operand(b, &off, 0, 0, 0, 1);
    evaluate(b, &off);
    double terms = count_terms(b->graph, b->node), n = own.results[0].data[0];
    for (size_t i = 0; i < b->result->count; i++) {
        double mean = own.results[1].data[i], m2 = own.results[2].data[i];
        double distance = off.results[1].data[i], rounding = 4 * UNIT * mean;
        double squares = n * rounding * rounding + off.results[2].data[i] + n * distance * distance;
        b->bounds[i] = tolerance_of_terms(terms) * m2 + 2 * sqrt(m2 * squares) + squares;
    }
    end_evaluation(b, &off);
    end_evaluation(b, &own);
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
        b->bounds[i] = tolerance_of_terms(patch->count) *
                       ((fabs(x->data[i]) + mean) / sd + y * (1 + mean / sd));
    }
    add_spreads(b);
}

/* The bound of an operand's element; 0 if it is exact. */
static double bound_at(const Bounding *b, int operand, size_t element) {
    const double *bounds = operand_bound(b, operand);
    return bounds ? bounds[element] : 0;
}

/* The logarithm's own error is what the sum of the powers is off, relative to it; it moves by at
 * most as much as the most of the row's elements. */
static void bound_log_softmax(Bounding *b) {
    size_t width = (size_t)b->result->type.channels;
    const double *x = b->operands[0].data;
    for (size_t row = 0; row < b->result->count; row += width) {
        double most = 0, off = 0;
        for (size_t i = row; i < row + width; i++) {
            most = fmax(most, fabs(x[i]));
            off = fmax(off, bound_at(b, 0, i));
        }
        for (size_t i = row; i < row + width; i++)
            b->bounds[i] = tolerance_of_terms((double)width) +
                           tolerance_of_terms(1) * (2 * most + fabs(b->result->data[i])) + off +
                           bound_at(b, 0, i);
    }
}

/* dy - exp(y) (sum of dy): the power is off by |y| roundings, and by the power of y's own bound. */
static void bound_log_softmax_grad(Bounding *b) {
    size_t width = (size_t)b->result->type.channels;
    const double *y = b->operands[0].data, *dy = b->operands[1].data;
    for (size_t row = 0; row < b->result->count; row += width) {
        double magnitudes = 0, off = 0;
        for (size_t i = row; i < row + width; i++) {
            magnitudes += fabs(dy[i]) + bound_at(b, 1, i);
            off += bound_at(b, 1, i);
        }
        for (size_t i = row; i < row + width; i++) {
            double power = exp(y[i] + bound_at(b, 0, i)), own = fabs(dy[i]) + bound_at(b, 1, i);
            b->bounds[i] =
                tolerance_of_terms((double)width) * (own + power * magnitudes * (1 + fabs(y[i]))) +
                bound_at(b, 1, i) + power * off + (power - exp(y[i])) * magnitudes;
        }
    }
}

double tolerance_of_storage(DType dtype) {
    return dtype == DTYPE_BF16 ? LOW_UNIT : 0;
}

/* What rounding to the result's own dtype adds. */
static void add_storage(Bounding *b) {
    const Tensor *result = b->result;
    double unit = tolerance_of_storage(result->type.dtype);
    double low = result->type.dtype == DTYPE_I32 || result->type.dtype == DTYPE_U32 ? 0 : UNDERFLOW;
    for (size_t i = 0; i < result->count; i++)
        b->bounds[i] = low > 0 ? b->bounds[i] + unit * fabs(result->data[i]) + low : 0;
}

const double *tolerance_bounds(Interpreter *interpreter, Arena *arena, const Value *value,
                               const Tensor *tensor, const double *const *operand_bounds) {
    static void (*const functions[])(Bounding *) = {
        [BOUND_EXACT] = bound_exact,
        [BOUND_RESULT] = bound_result,
        [BOUND_TERMS] = bound_terms,
        [BOUND_VALUE] = bound_activation,
        [BOUND_DERIVATIVE] = bound_activation,
        [BOUND_MOMENTS] = bound_moments,
        [BOUND_PATCHES] = bound_patches,
        [BOUND_LOG_SOFTMAX] = bound_log_softmax,
        [BOUND_LOG_SOFTMAX_GRAD] = bound_log_softmax_grad,
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

const double *tolerance_of_stored(Arena *arena, const Tensor *tensor, const double *bounds,
                                  DType dtype) {
    double unit = tolerance_of_storage(dtype);
    if (unit == 0)
        return bounds;
    double *stored = arena_new_array(arena, double, tensor->count);
    for (size_t i = 0; i < tensor->count; i++) {
        double off = bounds ? bounds[i] : 0;
        stored[i] = off + unit * (fabs(tensor->data[i]) + off) + UNDERFLOW;
    }
    return stored;
}

const double *tolerance_of_rounded_operand(const Interpreter *interpreter, Arena *arena,
                                           int operand, const double *bounds, DType dtype) {
    const Tensor *tensor = &engine_operands(interpreter)[operand];
    return tensor->data ? tolerance_of_stored(arena, tensor, bounds, dtype) : bounds;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

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
