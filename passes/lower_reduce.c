/* Sums, moments and the normalised target. */
#include <string.h>

#include "base/fatal.h"
#include "passes/lower.h"

static const struct {
    const char *word;
    ReduceOver over;
} over_words[] = {{"row", OVER_ROW},   {"image", OVER_IMAGE}, {"batch", OVER_BATCH},
                  {"group", OVER_ROW}, {"all", OVER_ALL},     {"segment", OVER_SEGMENT}};

static ReduceOver over_of(const Node *node) {
    for (size_t i = 0; i < sizeof over_words / sizeof *over_words; i++)
        if (strcmp(node_text(node, "over"), over_words[i].word) == 0)
            return over_words[i].over;
    invariant(false, "no reduction is called %s", node_text(node, "over"));
}

/* A reduction of values with the given accesses in the space of `walked`; the expression hands on
 * its operands. */
static Kernel *add_reduction(Lowering *lowering, const Node *node, const char *name,
                             const Type *walked, const View *sources, int source_count,
                             Reduction reduction) {
    Kernel *kernel = lower_new_kernel(lowering, node, KERNEL_REDUCE, name, walked);
    ExpressionBuilder builder = expression_begin(lowering->arena);
    int values[2];
    for (int i = 0; i < source_count; i++) {
        lower_add_operand(kernel, lower_access(walked, walked, sources[i]));
        values[i] = expression_operand(&builder, i);
    }
    kernel->expression = expression_end(&builder, values, source_count);
    kernel->reduction = reduction;
    return kernel;
}

/* The per-image sums of each channel, when `groups` of them are to be joined afterwards. */
static Type per_channel_type(const Value *x) {
    return type_per_image(x->type.dtype, x->type.batch, x->type.channels);
}

void lower_sum(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *y = &node->results[0];
    View source = lower_operand_view(lowering, x);
    Reduction reduction = {.kind = REDUCE_SUM, .over = over_of(node), .groups = 1};
    int64_t groups = node_int(node, "groups");
    Type walked = x->type;
    if (groups > 0 && reduction.over == OVER_IMAGE) {
        Type channels = per_channel_type(x);
        const char *name = arena_format(lowering->arena, "%s.channels", y->name);
        View partial = lower_new_view(lowering, name, REGION_SCRATCH, &channels);
        lower_add_output(add_reduction(lowering, node, name, &walked, &source, 1, reduction),
                         partial);
        source = partial;
        walked = channels;
        reduction.over = OVER_ROW;
    }
    if (groups > 0)
        reduction.groups = groups;
    View target = lower_result_view(lowering, y);
    lower_add_output(add_reduction(lowering, node, y->name, &walked, &source, 1, reduction),
                     target);
}

static int64_t term_count(const Lowering *lowering, const Node *node, const Type *x) {
    int64_t rows = graph_rows(lowering->graph, x), groups = node_int(node, "groups");
    switch (over_of(node)) {
    case OVER_BATCH:
        return rows;
    case OVER_IMAGE:
        return rows / x->batch * (groups ? x->channels / groups : 1);
    case OVER_ROW:
        return x->channels;
    default:
        invariant(false, "moments over %s", node_text(node, "over"));
    }
}

void lower_moments(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *mean = &node->results[1], *m2 = &node->results[2];
    Lowered *count = lower_value(lowering, &node->results[0]);
    count->is_constant = true;
    count->constant = (double)term_count(lowering, node, &x->type);
    View sources[2] = {lower_operand_view(lowering, x)};
    int source_count = 1;
    Reduction reduction = {.kind = REDUCE_MOMENTS, .over = over_of(node), .groups = 1};
    int64_t groups = node_int(node, "groups");
    Type walked = x->type;
    if (groups > 0) {
        Type channels = per_channel_type(x);
        const char *name = arena_format(lowering->arena, "%s.channels", mean->name);
        Kernel *kernel = add_reduction(lowering, node, name, &walked, sources, 1, reduction);
        sources[0] = lower_new_view(lowering, name, REGION_SCRATCH, &channels);
        sources[1] = lower_new_view(lowering, arena_format(lowering->arena, "%s.m2", name),
                                    REGION_SCRATCH, &channels);
        lower_add_output(kernel, sources[0]);
        lower_add_output(kernel, sources[1]);
        source_count = 2;
        reduction =
            (Reduction){.kind = REDUCE_MERGE,
                        .over = OVER_ROW,
                        .groups = groups,
                        .merge_count = graph_rows(lowering->graph, &x->type) / x->type.batch};
        walked = channels;
    }
    View targets[2] = {lower_result_view(lowering, mean), lower_result_view(lowering, m2)};
    Kernel *kernel =
        add_reduction(lowering, node, mean->name, &walked, sources, source_count, reduction);
    lower_add_output(kernel, targets[0]);
    lower_add_output(kernel, targets[1]);
}

/* Mean and squared distances of each cell, then (x - mean) / sqrt(m2 / (n - 1) + eps) at every
 * position. */
void lower_patch_normalise(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *y = &node->results[0];
    int64_t patch = node_int(node, "patch");
    View source = lower_operand_view(lowering, x);
    Type grid = type_with_channels(x->type, 1);
    int64_t terms = x->type.channels;
    for (int d = 0; d < grid.rank; d++) {
        grid.extent[d] /= patch;
        terms *= patch;
    }
    const char *name = arena_format(lowering->arena, "%s.moments", y->name);
    Kernel *moments = add_reduction(
        lowering, node, name, &x->type, &source, 1,
        (Reduction){.kind = REDUCE_MOMENTS, .over = OVER_CELL, .groups = 1, .patch = patch});
    Kernel *map = lower_new_kernel(lowering, node, KERNEL_MAP, y->name, &y->type);
    lower_add_operand(map, lower_access(&x->type, &x->type, source));
    for (int i = 0; i < 2; i++) {
        View statistic = lower_new_view(
            lowering, arena_format(lowering->arena, "%s.%s", y->name, i ? "m2" : "mean"),
            REGION_SCRATCH, &grid);
        lower_add_output(moments, statistic);
        Access access = {.kind = ACCESS_POSITION,
                         .channel = CHANNEL_FIRST,
                         .view = statistic,
                         .source = space_of_type(&grid)};
        for (int d = 0; d < grid.rank; d++)
            access.divide[d] = patch;
        lower_add_operand(map, access);
    }
    ExpressionBuilder builder = expression_begin(lowering->arena);
    const char *const names[] = {"x", "mean", "m2", "freedom", "eps"};
    const int bound[] = {expression_operand(&builder, 0), expression_operand(&builder, 1),
                         expression_operand(&builder, 2),
                         expression_constant(&builder, (double)(terms - 1)),
                         expression_constant(&builder, node_float(node, "eps"))};
    int result =
        expression_formula(&builder, "(x - mean) * rsqrt(m2 / freedom + eps)", names, bound, 5);
    map->expression = expression_end(&builder, &result, 1);
    lower_add_output(map, lower_result_view(lowering, y));
}

/* A map over the rows of `type` whose operands are read through the accesses; one formula. */
static void add_formula(Lowering *lowering, const Node *node, const char *name, const Type *type,
                        const Access *accesses, int count, const char *formula, View target) {
    static const char *const names[] = {"a", "b", "c"};
    Kernel *kernel = lower_new_kernel(lowering, node, KERNEL_MAP, name, type);
    ExpressionBuilder builder = expression_begin(lowering->arena);
    int bound[3];
    for (int i = 0; i < count; i++) {
        lower_add_operand(kernel, accesses[i]);
        bound[i] = expression_operand(&builder, i);
    }
    int result = expression_formula(&builder, formula, names, bound, count);
    kernel->expression = expression_end(&builder, &result, 1);
    lower_add_output(kernel, target);
}

/* The largest channel of each row: the larger ones of its two halves, which overlap if their number
 * is odd, until one is left. What is NaN may get lost. */
static View row_maximum(Lowering *lowering, const Node *node, const char *name, View source) {
    int64_t width = node->operands[0]->type.channels;
    while (width > 1) {
        int64_t half = (width + 1) / 2;
        Type type = type_with_channels(node->operands[0]->type, half);
        View upper = source;
        upper.base += (width - half) * source.channel_stride;
        const char *step = arena_format(lowering->arena, "%s.max%lld", name, (long long)half);
        View target = lower_new_view(lowering, step, REGION_SCRATCH, &type);
        const Access halves[] = {lower_access(&type, &type, source),
                                 lower_access(&type, &type, upper)};
        add_formula(lowering, node, step, &type, halves, 2, "a < b ? b : a", target);
        source = target;
        width = half;
    }
    return source;
}

/* (x - max) - log(sum of exp(x - max)). */
void lower_log_softmax(Lowering *lowering, Node *node) {
    const Value *y = &node->results[0];
    const Type *type = &y->type;
    Type single = type_with_channels(*type, 1);
    View x = lower_operand_view(lowering, node->operands[0]);
    View most = row_maximum(lowering, node, y->name, x);
    const char *name = arena_format(lowering->arena, "%s.sum", y->name);
    View sum = lower_new_view(lowering, name, REGION_SCRATCH, &single);
    Kernel *powers = lower_new_kernel(lowering, node, KERNEL_REDUCE, name, type);
    const Access accesses[] = {lower_access(type, type, x), lower_access(type, &single, most),
                               lower_access(type, &single, sum)};
    ExpressionBuilder builder = expression_begin(lowering->arena);
    int shifted = expression_apply(&builder, SCALAR_sub, expression_operand(&builder, 0),
                                   expression_operand(&builder, 1), -1);
    int power = expression_apply(&builder, SCALAR_exp, shifted, -1, -1);
    powers->expression = expression_end(&builder, &power, 1);
    powers->reduction = (Reduction){.kind = REDUCE_SUM, .over = OVER_ROW, .groups = 1};
    lower_add_operand(powers, accesses[0]);
    lower_add_operand(powers, accesses[1]);
    lower_add_output(powers, sum);
    add_formula(lowering, node, y->name, type, accesses, 3, "a - b - log(c)",
                lower_result_view(lowering, y));
}

/* dy - exp(y) (sum of dy). */
void lower_log_softmax_grad(Lowering *lowering, Node *node) {
    const Value *dx = &node->results[0];
    const Type *type = &dx->type;
    Type single = type_with_channels(*type, 1);
    View y = lower_operand_view(lowering, node->operands[0]);
    View dy = lower_operand_view(lowering, node->operands[1]);
    const char *name = arena_format(lowering->arena, "%s.sum", dx->name);
    View sum = lower_new_view(lowering, name, REGION_SCRATCH, &single);
    Reduction reduction = {.kind = REDUCE_SUM, .over = OVER_ROW, .groups = 1};
    lower_add_output(add_reduction(lowering, node, name, type, &dy, 1, reduction), sum);
    const Access accesses[] = {lower_access(type, type, dy), lower_access(type, type, y),
                               lower_access(type, &single, sum)};
    add_formula(lowering, node, dx->name, type, accesses, 3, "a - exp(b) * c",
                lower_result_view(lowering, dx));
}
