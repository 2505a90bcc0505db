/* Convolutions, linear layers and their gradients. Each is a sum over taps of products of rows with
 * one matrix per tap; a tap's list of (row of the large map, row of the small map) says which rows
 * meet. */
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/interpret/engine.h"
#include "ir/interpret/window.h"

enum { ROW_BLOCK = 16, CHANNEL_BLOCK = 32 };

/* Rows that meet in a tap: only those whose positions are both inside and visible. */
typedef struct Pairs {
    int64_t count;
    int64_t *large, *small;
} Pairs;

static Pairs pairs_create(int64_t capacity) {
    Pairs pairs = {0, malloc((size_t)capacity * sizeof(int64_t)),
                   malloc((size_t)capacity * sizeof(int64_t))};
    if (!pairs.large || !pairs.small)
        fatal("out of memory (the rows of a convolution in the interpreter)");
    return pairs;
}

static void pairs_destroy(Pairs *pairs) {
    free(pairs->large);
    free(pairs->small);
}

/* What conv, conv_transpose and conv_weight_grad have in common. */
typedef struct Contraction {
    int64_t batch, taps, large_positions, small_positions;
    const bool *large_visible, *small_visible;
    int64_t *table; /* see window_table */
    Pairs pairs;    /* of the current tap */
} Contraction;

static Contraction contraction_create(const OpCall *call, const Type *large, const Type *small) {
    MapWindow window = window_of(call->node);
    Extents large_space = window_space(large), small_space = window_space(small);
    return (Contraction){.batch = small->batch,
                         .taps = window_positions(&window.kernel),
                         .large_positions = window_positions(&large_space),
                         .small_positions = window_positions(&small_space),
                         .large_visible = engine_visible(call, large),
                         .small_visible = engine_visible(call, small),
                         .table = window_table(&window, &large_space, &small_space),
                         .pairs = pairs_create(small->batch * window_positions(&small_space))};
}

static void contraction_destroy(Contraction *contraction) {
    free(contraction->table);
    pairs_destroy(&contraction->pairs);
}

static void collect_pairs(Contraction *contraction, int64_t tap) {
    const int64_t *reached = contraction->table + tap * contraction->small_positions;
    Pairs *pairs = &contraction->pairs;
    pairs->count = 0;
    for (int64_t image = 0; image < contraction->batch; image++)
        for (int64_t position = 0; position < contraction->small_positions; position++) {
            int64_t large = image * contraction->large_positions + reached[position];
            int64_t small = image * contraction->small_positions + position;
            if (reached[position] < 0 ||
                (contraction->large_visible && !contraction->large_visible[large]) ||
                (contraction->small_visible && !contraction->small_visible[small]))
                continue;
            pairs->large[pairs->count] = large;
            pairs->small[pairs->count++] = small;
        }
}

/* Row from[r] of one map goes into row to[r] of another. */
typedef struct Rows {
    const int64_t *from, *to;
    int64_t count;
} Rows;

/* One tap's matrix for `groups` groups: [group_in, out], column o belongs to group o / group_out.
 */
typedef struct Matrix {
    const double *data;
    int64_t groups, group_in, group_out;
} Matrix;

static int64_t matrix_in(const Matrix *matrix) {
    return matrix->groups * matrix->group_in;
}

static int64_t matrix_out(const Matrix *matrix) {
    return matrix->groups * matrix->group_out;
}

enum { DEPTH = 4 };

/* y[o] += sum of x[i] lines[i][o] over `depth` (1 to DEPTH) lines i, for `width` outputs. */
static void add_products(double *restrict y, const double *x, const double *const *lines,
                         int64_t depth, int64_t width) {
    if (depth < DEPTH) {
        for (int64_t i = 0; i < depth; i++)
            for (int64_t o = 0; o < width; o++)
                y[o] += x[i] * lines[i][o];
        return;
    }
    const double x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
    const double *line0 = lines[0], *line1 = lines[1], *line2 = lines[2], *line3 = lines[3];
    for (int64_t o = 0; o < width; o++)
        y[o] += x0 * line0[o] + x1 * line1[o] + x2 * line2[o] + x3 * line3[o];
}

static int64_t depth_at(int64_t begin, int64_t end) {
    return end - begin < DEPTH ? end - begin : DEPTH;
}

/* One output channel per group, as in a depthwise convolution. */
static void multiply_narrow(const Matrix *matrix, const double *restrict x, double *restrict y) {
    for (int64_t i = 0; i < matrix->group_in; i++)
        for (int64_t o = 0; o < matrix->groups; o++)
            y[o] += x[o * matrix->group_in + i] * matrix->data[i * matrix->groups + o];
}

static void multiply_block(const Matrix *matrix, int64_t group, const double *x, double *y,
                           Rows rows) {
    int64_t in = matrix_in(matrix), out = matrix_out(matrix);
    x += group * matrix->group_in;
    y += group * matrix->group_out;
    for (int64_t i = 0; i < matrix->group_in; i += DEPTH) {
        const double *lines[DEPTH];
        int64_t depth = depth_at(i, matrix->group_in);
        for (int64_t k = 0; k < depth; k++)
            lines[k] = matrix->data + (i + k) * out + group * matrix->group_out;
        for (int64_t row = 0; row < rows.count; row++)
            add_products(y + rows.to[row] * out, x + rows.from[row] * in + i, lines, depth,
                         matrix->group_out);
    }
}

/* y[to[r]] += x[from[r]] times the matrix. */
static void multiply_rows(const Matrix *matrix, const double *x, double *y, Rows rows) {
    if (matrix->group_out == 1) {
        for (int64_t r = 0; r < rows.count; r++)
            multiply_narrow(matrix, x + rows.from[r] * matrix_in(matrix),
                            y + rows.to[r] * matrix_out(matrix));
        return;
    }
    for (int64_t begin = 0; begin < rows.count; begin += ROW_BLOCK) {
        int64_t left = rows.count - begin;
        Rows block = {rows.from + begin, rows.to + begin, left < ROW_BLOCK ? left : ROW_BLOCK};
        for (int64_t group = 0; group < matrix->groups; group++)
            multiply_block(matrix, group, x, y, block);
    }
}

/* The matrix whose groups are transposed; its data are on the heap. */
static Matrix transpose(const Matrix *matrix) {
    Matrix result = {NULL, matrix->groups, matrix->group_out, matrix->group_in};
    int64_t in = matrix_in(matrix), out = matrix_out(matrix);
    double *data = engine_allocate((size_t)(in * matrix->group_out));
    for (int64_t i = 0; i < matrix->group_in; i++)
        for (int64_t o = 0; o < out; o++) {
            int64_t group = o / matrix->group_out, column = o % matrix->group_out;
            data[column * in + group * matrix->group_in + i] = matrix->data[i * out + o];
        }
    result.data = data;
    return result;
}

/* The gradient of multiply_block to inputs [begin, end) of the group: gradient[i][o] += sum of
 * x[from[r]][i] dy[to[r]][o] over rows. Of the matrix only the shape is used. */
static void add_outer_products(const Matrix *matrix, double *gradient, int64_t group, int64_t begin,
                               int64_t end, const double *x, const double *dy, Rows rows) {
    int64_t in = matrix_in(matrix), out = matrix_out(matrix), width = matrix->group_out;
    x += group * matrix->group_in;
    for (int64_t row = 0; row < rows.count; row += DEPTH) {
        const double *lines[DEPTH];
        int64_t depth = depth_at(row, rows.count);
        for (int64_t k = 0; k < depth; k++)
            lines[k] = dy + rows.to[row + k] * out + group * width;
        for (int64_t i = begin; i < end; i++) {
            double factors[DEPTH];
            for (int64_t k = 0; k < depth; k++)
                factors[k] = x[rows.from[row + k] * in + i];
            add_products(gradient + i * out + group * width, factors, lines, depth, width);
        }
    }
}

static void narrow_outer_products(const Matrix *matrix, double *restrict gradient,
                                  const double *restrict x, const double *restrict dy) {
    for (int64_t i = 0; i < matrix->group_in; i++)
        for (int64_t o = 0; o < matrix->groups; o++)
            gradient[i * matrix->groups + o] += x[o * matrix->group_in + i] * dy[o];
}

/* The gradient of multiply_rows to its matrix. */
static void gradient_rows(const Matrix *matrix, double *gradient, const double *x, const double *dy,
                          Rows rows) {
    if (matrix->group_out == 1) {
        for (int64_t r = 0; r < rows.count; r++)
            narrow_outer_products(matrix, gradient, x + rows.from[r] * matrix_in(matrix),
                                  dy + rows.to[r] * matrix_out(matrix));
        return;
    }
    for (int64_t group = 0; group < matrix->groups; group++)
        for (int64_t begin = 0; begin < matrix->group_in; begin += CHANNEL_BLOCK) {
            int64_t end = begin + CHANNEL_BLOCK;
            add_outer_products(matrix, gradient, group, begin,
                               end < matrix->group_in ? end : matrix->group_in, x, dy, rows);
        }
}

static Rows to_small(const Pairs *pairs) {
    return (Rows){pairs->large, pairs->small, pairs->count};
}

static Rows to_large(const Pairs *pairs) {
    return (Rows){pairs->small, pairs->large, pairs->count};
}

static Matrix matrix_of(const Node *node, int64_t large_channels, int64_t small_channels) {
    int64_t groups = op_attribute_index(node->op, "groups") < 0 ? 1 : node_int(node, "groups");
    return (Matrix){NULL, groups, large_channels / groups, small_channels / groups};
}

static int64_t matrix_size(const Matrix *matrix) {
    return matrix->group_in * matrix_out(matrix);
}

void interpret_conv(OpCall *call) {
    const Tensor *x = &call->operands[0], *y = &call->results[0];
    Contraction contraction = contraction_create(call, &x->type, &y->type);
    Matrix matrix = matrix_of(call->node, x->type.channels, y->type.channels);
    const Pairs *pairs = &contraction.pairs;
    for (int64_t tap = 0; tap < contraction.taps; tap++) {
        collect_pairs(&contraction, tap);
        matrix.data = call->operands[1].data + tap * matrix_size(&matrix);
        multiply_rows(&matrix, x->data, y->data, to_small(pairs));
    }
    contraction_destroy(&contraction);
}

void interpret_conv_transpose(OpCall *call) {
    const Tensor *x = &call->operands[0], *y = &call->results[0];
    Contraction contraction = contraction_create(call, &y->type, &x->type);
    Matrix matrix = matrix_of(call->node, y->type.channels, x->type.channels);
    const Pairs *pairs = &contraction.pairs;
    for (int64_t tap = 0; tap < contraction.taps; tap++) {
        collect_pairs(&contraction, tap);
        matrix.data = call->operands[1].data + tap * matrix_size(&matrix);
        Matrix transposed = transpose(&matrix);
        multiply_rows(&transposed, x->data, y->data, to_large(pairs));
        free((double *)transposed.data);
    }
    contraction_destroy(&contraction);
}

void interpret_conv_weight_grad(OpCall *call) {
    const Tensor *x = &call->operands[0], *dy = &call->operands[1];
    Contraction contraction = contraction_create(call, &x->type, &dy->type);
    Matrix matrix = matrix_of(call->node, x->type.channels, dy->type.channels);
    const Pairs *pairs = &contraction.pairs;
    for (int64_t tap = 0; tap < contraction.taps; tap++) {
        collect_pairs(&contraction, tap);
        gradient_rows(&matrix, call->results[0].data + tap * matrix_size(&matrix), x->data,
                      dy->data, to_small(pairs));
    }
    contraction_destroy(&contraction);
}

/* What the taps of a conv give for one constant row, and its gradients: in channels, out channels,
 * and how many of such matrices lie one behind the other. */
typedef struct TokenTaps {
    size_t taps, in, out;
} TokenTaps;

static TokenTaps token_taps_of(const Type *weight) {
    TokenTaps shape = {.in = (size_t)weight->extent[weight->rank - 2],
                       .out = (size_t)weight->extent[weight->rank - 1]};
    shape.taps = (size_t)type_plain_elements(weight) / (shape.in * shape.out);
    return shape;
}

void interpret_token_taps(OpCall *call) {
    const double *token = call->operands[0].data, *weight = call->operands[1].data;
    TokenTaps shape = token_taps_of(&call->operands[1].type);
    for (size_t t = 0; t < shape.taps; t++)
        for (size_t i = 0; i < shape.in; i++)
            for (size_t o = 0; o < shape.out; o++)
                call->results[0].data[t * shape.out + o] +=
                    token[i] * weight[(t * shape.in + i) * shape.out + o];
}

void interpret_token_taps_grad(OpCall *call) {
    const double *dy = call->operands[0].data, *weight = call->operands[1].data;
    TokenTaps shape = token_taps_of(&call->operands[1].type);
    for (size_t t = 0; t < shape.taps; t++)
        for (size_t i = 0; i < shape.in; i++)
            for (size_t o = 0; o < shape.out; o++)
                call->results[0].data[i] +=
                    dy[t * shape.out + o] * weight[(t * shape.in + i) * shape.out + o];
}

void interpret_token_taps_weight_grad(OpCall *call) {
    const double *token = call->operands[0].data, *dy = call->operands[1].data;
    TokenTaps shape = token_taps_of(&call->results[0].type);
    for (size_t t = 0; t < shape.taps; t++)
        for (size_t i = 0; i < shape.in; i++)
            for (size_t o = 0; o < shape.out; o++)
                call->results[0].data[(t * shape.in + i) * shape.out + o] =
                    token[i] * dy[t * shape.out + o];
}

/* A linear layer is one tap in which each row meets itself. */
static Pairs own_rows(const OpCall *call, const Type *type) {
    int64_t rows = engine_rows(call->graph, type);
    const bool *visible = engine_visible(call, type);
    Pairs pairs = pairs_create(rows);
    for (int64_t row = 0; row < rows; row++)
        if (!visible || visible[row])
            pairs.large[pairs.count] = pairs.small[pairs.count] = row, pairs.count++;
    return pairs;
}

void interpret_linear(OpCall *call) {
    const Tensor *x = &call->operands[0], *weight = &call->operands[1], *y = &call->results[0];
    Matrix stored = {weight->data, 1, weight->type.extent[0], weight->type.extent[1]};
    bool transposes = node_bool(call->node, "transpose");
    Matrix matrix = transposes ? transpose(&stored) : stored;
    Pairs pairs = own_rows(call, &x->type);
    multiply_rows(&matrix, x->data, y->data, to_small(&pairs));
    pairs_destroy(&pairs);
    if (transposes)
        free((double *)matrix.data);
}

void interpret_linear_weight_grad(OpCall *call) {
    const Tensor *x = &call->operands[0], *dy = &call->operands[1];
    Matrix matrix = {NULL, 1, x->type.channels, dy->type.channels};
    Pairs pairs = own_rows(call, &x->type);
    gradient_rows(&matrix, call->results[0].data, x->data, dy->data, to_small(&pairs));
    pairs_destroy(&pairs);
}
