/* Sums and statistics, and the two steps of a norm. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/interpret/engine.h"

typedef enum Over { OVER_ROW, OVER_IMAGE, OVER_BATCH, OVER_GROUP, OVER_ALL, OVER_SEGMENT } Over;

static Over over_of(const Node *node) {
    static const char *const names[] = {"row", "image", "batch", "group", "all", "segment"};
    const char *word = node_text(node, "over");
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(word, names[i]) == 0)
            return (Over)i;
    invariant(false, "no reduction is over %s", word);
    return OVER_ALL;
}

/* The elements of a row fall into bins of `width` neighbours; element c belongs to element
 * first + c / width of the result. */
typedef struct Bins {
    int64_t first, width;
} Bins;

static Bins bins_of(const OpCall *call, Over over, int64_t row, int64_t length) {
    const Type *type = &call->operands[0].type;
    int64_t groups = node_int(call->node, "groups");
    int64_t count = groups ? groups : over == OVER_ROW ? 1 : length;
    switch (over) {
    case OVER_ROW:
    case OVER_GROUP:
        return (Bins){row * count, length / count};
    case OVER_IMAGE:
        return (Bins){row / type_positions(type) * count, length / count};
    case OVER_BATCH:
        return (Bins){0, length / count};
    case OVER_SEGMENT:
        return (Bins){row, length};
    case OVER_ALL:
        break;
    }
    return (Bins){0, length};
}

typedef void Term(double *totals, int64_t bin, double x, const double *mean);

/* Calls `term` for each visible element of operand 0 with the result element it belongs to. */
static void each_term(const OpCall *call, Term *term, double *totals, const double *mean) {
    const Tensor *x = &call->operands[0];
    const bool *visible = engine_visible(call, &x->type);
    Over over = over_of(call->node);
    for (int64_t row = 0; row < engine_rows(call->graph, &x->type); row++) {
        if (visible && !visible[row])
            continue;
        int64_t length = engine_row_length(call->graph, &x->type, row);
        const double *data = x->data + engine_row_begin(call->graph, &x->type, row);
        Bins bins = bins_of(call, over, row, length);
        for (int64_t c = 0; c < length; c++)
            term(totals, bins.first + c / bins.width, data[c], mean);
    }
}

static void add_value(double *totals, int64_t bin, double x, const double *mean) {
    (void)mean;
    totals[bin] += x;
}

static void add_one(double *totals, int64_t bin, double x, const double *mean) {
    (void)mean, (void)x;
    totals[bin] += 1;
}

static void add_square(double *totals, int64_t bin, double x, const double *mean) {
    totals[bin] += (x - mean[bin]) * (x - mean[bin]);
}

void interpret_sum(OpCall *call) {
    each_term(call, add_value, call->results[0].data, NULL);
}

/* All bins have the same number of terms, but those of hidden rows, which have none. */
void interpret_moments(OpCall *call) {
    const Tensor *count = &call->results[0], *mean = &call->results[1], *m2 = &call->results[2];
    double *terms = engine_allocate(mean->count), most = 0;
    each_term(call, add_one, terms, NULL);
    each_term(call, add_value, mean->data, NULL);
    for (size_t bin = 0; bin < mean->count; bin++) {
        mean->data[bin] = terms[bin] > 0 ? mean->data[bin] / terms[bin] : 0;
        most = fmax(most, terms[bin]);
    }
    each_term(call, add_square, m2->data, mean->data);
    for (size_t i = 0; i < count->count; i++)
        count->data[i] = most;
    free(terms);
}

void interpret_rstd(OpCall *call) {
    double eps = node_float(call->node, "eps");
    const Tensor *m2 = &call->operands[0], *count = &call->operands[1];
    for (size_t i = 0; i < m2->count; i++)
        call->results[0].data[i] =
            1 / sqrt(m2->data[i] / count->data[count->count == 1 ? 0 : i] + eps);
}

/* An optional factor or addend of a row. */
static OperandRow optional_row(const OpCall *call, int index, const double *otherwise,
                               int64_t row) {
    if (index >= call->node->operand_count || !call->operands[index].data)
        return (OperandRow){otherwise, 0};
    return engine_operand_row(call->graph, &call->operands[index], &call->results[0].type, row);
}

void interpret_normalise(OpCall *call) {
    static const double zero = 0, one = 1;
    const Type *type = &call->results[0].type;
    for (int64_t row = 0; row < engine_rows(call->graph, type); row++) {
        OperandRow mean = optional_row(call, 1, &zero, row),
                   rstd = optional_row(call, 2, &one, row),
                   weight = optional_row(call, 3, &one, row),
                   bias = optional_row(call, 4, &zero, row);
        int64_t length = engine_row_length(call->graph, type, row);
        int64_t begin = engine_row_begin(call->graph, type, row);
        const double *x = call->operands[0].data + begin;
        for (int64_t c = 0; c < length; c++)
            call->results[0].data[begin + c] = (x[c] - mean.data[c * mean.step]) *
                                                   rstd.data[c * rstd.step] *
                                                   weight.data[c * weight.step] +
                                               bias.data[c * bias.step];
    }
}

/* x - max - log(sum of exp(x - max)) of each row: no power overflows, and one of them is 1. */
void interpret_log_softmax(OpCall *call) {
    const Type *type = &call->results[0].type;
    for (int64_t row = 0; row < engine_rows(call->graph, type); row++) {
        int64_t length = engine_row_length(call->graph, type, row);
        int64_t begin = engine_row_begin(call->graph, type, row);
        const double *x = call->operands[0].data + begin;
        double most = x[0], sum = 0;
        for (int64_t c = 1; c < length; c++)
            most = x[c] > most ? x[c] : most;
        for (int64_t c = 0; c < length; c++)
            sum += exp(x[c] - most);
        for (int64_t c = 0; c < length; c++)
            call->results[0].data[begin + c] = x[c] - most - log(sum);
    }
}

void interpret_log_softmax_grad(OpCall *call) {
    const Type *type = &call->results[0].type;
    for (int64_t row = 0; row < engine_rows(call->graph, type); row++) {
        int64_t length = engine_row_length(call->graph, type, row);
        int64_t begin = engine_row_begin(call->graph, type, row);
        const double *y = call->operands[0].data + begin, *dy = call->operands[1].data + begin;
        double sum = 0;
        for (int64_t c = 0; c < length; c++)
            sum += dy[c];
        for (int64_t c = 0; c < length; c++)
            call->results[0].data[begin + c] = dy[c] - exp(y[c]) * sum;
    }
}
