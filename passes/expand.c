/* expand: composites become primitives, whose derivatives and kernels are simple.
 *
 *     %y = batch_norm %x, %m, %v, %n, %w, %b
 *         =>
 *     %y.count, %y.mean, %y.m2 = moments %x {over=batch}
 *     %y.rstd = rstd %y.m2, %y.count
 *     %y = normalise %x, %y.mean, %y.rstd, %w, %b
 *     commit (m + momentum (mean - m)) {region=state ...}, and so for %v and %n
 *
 * Expanding later, after autodiff, would need a derivative rule per composite, each a copy of the
 * same formulas, and would hide the statistics: as values of their own they are computed once for
 * forward, backward and the running statistics, and an all-reduce fits between them and the
 * normalisation. The variance is m2 / count, from squared distances: a difference of two large sums
 * loses all digits when the mean is much larger than the deviation.
 *
 * needs: nothing of other passes; expands plain and masked forms alike.
 * keeps: names, locations and types of the results. */
#include "base/fatal.h"
#include "ir/builder.h"
#include "passes/network.h"
#include "passes/replace.h"

/* One composite at work. A rule returns the value that takes the place of the node's result, or
 * NULL after it has reported an error. */
typedef struct Expansion {
    Builder builder;
    Node *node;
    const PassOptions *options;
    Diagnostics *diagnostics;
    bool *moved; /* by state: a norm commits it */
} Expansion;

/* count, mean and m2 of x, as results 0, 1 and 2. */
static Node *build_moments(Builder *builder, Value *x, const char *over, int64_t groups) {
    return build(builder, OP_moments, NULL, OPERANDS(x),
                 ATTRIBUTES(attribute_text("over", over), attribute_int("groups", groups)));
}

static Value *build_rstd(Expansion *expansion, Value *m2, Value *count) {
    Node *rstd = build(&expansion->builder, OP_rstd, "rstd", OPERANDS(m2, count),
                       ATTRIBUTES(attribute_float("eps", node_float(expansion->node, "eps"))));
    return node_result(rstd, 0);
}

/* (x - mean) rstd weight + bias, with the weight and bias at these places of the composite. */
static Value *build_normalise(Expansion *expansion, Value *mean, Value *rstd, int weight) {
    const Node *node = expansion->node;
    Node *y = build(&expansion->builder, OP_normalise, "normalise",
                    OPERANDS(node->operands[0], mean, rstd, node_operand(node, weight),
                             node_operand(node, weight + 1)),
                    NO_ATTRIBUTES);
    return node_result(y, 0);
}

static Value *repeat_channels(Builder *builder, const char *hint, Value *x, int64_t times) {
    Node *y = build(builder, OP_repeat_channels, hint, OPERANDS(x),
                    ATTRIBUTES(attribute_int("times", times)));
    return node_result(y, 0);
}

/* The sum over an image's positions; a value without positions is its own. */
static Value *image_sum(Builder *builder, const char *hint, Value *x) {
    return type_has_space(&x->type) ? build_sum(builder, hint, x, "image") : x;
}

static Value *constant_like(Builder *builder, const char *hint, const Value *like, double value) {
    return build_stated(builder, OP_constant, hint, type_scalar(like->type.dtype), NULL, 0,
                        ATTRIBUTES(attribute_float("value", value)));
}

/* Commits `new_value` to the state that `old` reads. */
static void commit(Builder *builder, const Value *old, Value *new_value) {
    build(builder, OP_commit, NULL, OPERANDS(new_value),
          ATTRIBUTES(attribute_text("region", "state"),
                     attribute_text("name", node_text(old->node, "name"))));
}

/* old + momentum (target - old), committed. */
static void commit_average(Expansion *expansion, const char *hint, Value *old, Value *target) {
    Builder *builder = &expansion->builder;
    Value *distance = build_binary(builder, OP_sub, "distance", target, old);
    Value *step = build_scale(builder, "step", distance, node_float(expansion->node, "momentum"));
    commit(builder, old, build_binary(builder, OP_add, hint, old, step));
}

enum { BATCH_NORM_X, BATCH_NORM_MEAN, BATCH_NORM_VAR, BATCH_NORM_BATCHES, BATCH_NORM_WEIGHT };

/* The running mean and the running unbiased variance follow the batch; one more batch is counted.
 */
static void commit_statistics(Expansion *expansion, Node *moments) {
    Builder *builder = &expansion->builder;
    Value *const *in = expansion->node->operands;
    Value *one = build_constant(builder, 1);
    Value *freedom = build_binary(builder, OP_sub, "freedom", node_result(moments, 0), one);
    Value *unbiased = build_binary(builder, OP_div, "unbiased", node_result(moments, 2), freedom);
    commit_average(expansion, "running_mean", in[BATCH_NORM_MEAN], node_result(moments, 1));
    commit_average(expansion, "running_var", in[BATCH_NORM_VAR], unbiased);
    Value *batches = in[BATCH_NORM_BATCHES];
    Value *step = constant_like(builder, "one", batches, 1);
    commit(builder, batches, build_binary(builder, OP_add, "batches", batches, step));
}

/* Running statistics must be states, and of no other norm. */
static bool check_statistics(Expansion *expansion) {
    const Node *node = expansion->node;
    for (int i = BATCH_NORM_MEAN; i <= BATCH_NORM_BATCHES; i++) {
        const Node *state = node->operands[i]->node;
        const char *what = op_info(node->op)->operands[i], *layer = node->results[0].name;
        bool is_state = state->op == OP_state;
        int slot =
            is_state ? graph_state_index(expansion->builder.graph, node_text(state, "name")) : 0;
        if (is_state && !expansion->moved[slot]) {
            expansion->moved[slot] = true;
            continue;
        }
        diagnostics_report(expansion->diagnostics, SEVERITY_ERROR, node->location,
                           is_state ? "%s: %s of batch_norm moves with another norm already"
                                    : "%s: %s of batch_norm must be a state",
                           layer, what);
        return false;
    }
    return true;
}

/* The statistics of one value per channel have no variance. */
static bool batch_norm_fits(Expansion *expansion) {
    const Node *node = expansion->node;
    const char *layer = node->results[0].name;
    if (!check_statistics(expansion))
        return false;
    if (graph_rows(expansion->builder.graph, &node->operands[BATCH_NORM_X]->type) > 1)
        return true;
    diagnostics_report(expansion->diagnostics, SEVERITY_ERROR, node->location,
                       "batch_norm over one value: %s has a batch of 1 and one position, "
                       "and statistics need at least two values per channel",
                       layer);
    diagnostics_hint(expansion->diagnostics, "take a larger batch or a larger input");
    return false;
}

static Value *expand_batch_norm(Expansion *expansion) {
    Builder *builder = &expansion->builder;
    Value *const *in = expansion->node->operands;
    if (!expansion->options->training) {
        Value *rstd = build_rstd(expansion, in[BATCH_NORM_VAR], build_constant(builder, 1));
        return build_normalise(expansion, in[BATCH_NORM_MEAN], rstd, BATCH_NORM_WEIGHT);
    }
    if (!batch_norm_fits(expansion))
        return NULL;
    Node *moments = build_moments(builder, in[BATCH_NORM_X], "batch", 0);
    Value *rstd = build_rstd(expansion, node_result(moments, 2), node_result(moments, 0));
    commit_statistics(expansion, moments);
    return build_normalise(expansion, node_result(moments, 1), rstd, BATCH_NORM_WEIGHT);
}

/* The norms whose statistics belong to one image; groups 0: to each channel alone. */
static Value *expand_own_statistics(Expansion *expansion, const char *over, int64_t groups) {
    Builder *builder = &expansion->builder;
    Value *x = expansion->node->operands[0];
    Node *moments = build_moments(builder, x, over, groups);
    Value *mean = node_result(moments, 1);
    Value *rstd = build_rstd(expansion, node_result(moments, 2), node_result(moments, 0));
    if (groups > 0) {
        mean = repeat_channels(builder, "means", mean, x->type.channels / groups);
        rstd = repeat_channels(builder, "rstds", rstd, x->type.channels / groups);
    }
    return build_normalise(expansion, mean, rstd, 1);
}

static Value *expand_layer_norm(Expansion *expansion) {
    return expand_own_statistics(expansion, "row", 0);
}

static Value *expand_group_norm(Expansion *expansion) {
    return expand_own_statistics(expansion, "image", node_int(expansion->node, "groups"));
}

static Value *expand_instance_norm(Expansion *expansion) {
    return expand_own_statistics(expansion, "image", 0);
}

/* Global response normalisation (Woo et al., ConvNeXt V2, algorithm 1): g = |x| of an image's
 * channel, y = x + weight x g / (mean of g over the channels + eps) + bias. */
static Value *expand_grn(Expansion *expansion) {
    Builder *builder = &expansion->builder;
    const Node *node = expansion->node;
    Value *x = node->operands[0], *weight = node->operands[1], *bias = node->operands[2];
    Value *square = build_binary(builder, OP_mul, "square", x, x);
    Value *norm = build_unary(builder, OP_sqrt, "norm", image_sum(builder, "energy", square));
    Value *mean = build_scale(builder, "mean", build_sum(builder, "sum", norm, "row"),
                              1 / (double)x->type.channels);
    Value *eps = build_constant(builder, node_float(node, "eps"));
    Value *divisor = build_binary(builder, OP_add, "divisor", mean, eps);
    Value *response = build_binary(builder, OP_div, "response", norm, divisor);
    Value *gain = build_binary(builder, OP_mul, "gain", response, weight);
    Value *scaled = build_binary(builder, OP_mul, "scaled", x, gain);
    Value *sum = build_binary(builder, OP_add, "added", x, scaled);
    return build_binary(builder, OP_add, "grn", sum, bias);
}

/* The mean over an image's stored positions: of a masked map the visible ones. */
static Value *expand_global_avg_pool(Expansion *expansion) {
    Builder *builder = &expansion->builder;
    Value *x = expansion->node->operands[0];
    int64_t positions = graph_rows(builder->graph, &x->type) / x->type.batch;
    Value *sum = image_sum(builder, "sum", x);
    return positions > 1 ? build_scale(builder, "mean", sum, 1 / (double)positions) : sum;
}

/* x times a value of 0 or 1 / (1 - rate), drawn for each element of `drawn`. */
static Value *drop(Expansion *expansion, Type drawn) {
    Builder *builder = &expansion->builder;
    const Node *node = expansion->node;
    double rate = node_float(node, "rate");
    const PassOptions *options = expansion->options;
    if (!options->training || !options->stochastic || rate == 0)
        return node->operands[0];
    Value *seed = build_scalar(builder, DTYPE_U32, "seed");
    Value *step = build_scalar(builder, DTYPE_U32, "step");
    Value *kept = build_stated(builder, OP_bernoulli, "kept", drawn, OPERANDS(seed, step),
                               ATTRIBUTES(attribute_float("rate", rate),
                                          attribute_int("stream", node_int(node, "stream"))));
    return build_binary(builder, OP_mul, "dropped", node->operands[0], kept);
}

static Value *expand_dropout(Expansion *expansion) {
    return drop(expansion, expansion->node->operands[0]->type);
}

static Value *expand_drop_path(Expansion *expansion) {
    const Type *x = &expansion->node->operands[0]->type;
    return drop(expansion, type_per_image(x->dtype, x->batch, 1));
}

typedef Value *ExpandRule(Expansion *expansion);

/* The rule of each composite; one that is missing is found by the pass. */
static ExpandRule *const rules[OP_COUNT] = {
    [OP_batch_norm] = expand_batch_norm,
    [OP_layer_norm] = expand_layer_norm,
    [OP_group_norm] = expand_group_norm,
    [OP_instance_norm] = expand_instance_norm,
    [OP_grn] = expand_grn,
    [OP_global_avg_pool] = expand_global_avg_pool,
    [OP_dropout] = expand_dropout,
    [OP_drop_path] = expand_drop_path,
};

/* Removes the node, whose result `value` stands for; a value made for it takes its name too. */
static void remove_expanded(Graph *graph, Node *node, Value *value) {
    const char *name = node->results[0].name;
    bool identity = value == node->operands[0];
    graph_remove(graph, node);
    if (!identity)
        graph_name(graph, value, name);
}

bool pass_expand(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    bool changed = false;
    Replace replace = {.graph = graph};
    bool *moved = arena_new_array(graph->arena, bool, graph->states.count);
    graph_each(graph, node) {
        replace_operands(&replace, node);
        if (!(op_info(node->op)->flags & OP_COMPOSITE))
            continue;
        invariant(rules[node->op], "no expansion of %s", op_info(node->op)->name);
        Expansion expansion = {.builder = builder_at(graph, node),
                               .node = node,
                               .options = options,
                               .diagnostics = diagnostics,
                               .moved = moved};
        Value *value = network_node_is_f32(node, "expanding", diagnostics)
                           ? rules[node->op](&expansion)
                           : NULL;
        if (value) {
            replace_value(&replace, &node->results[0], value);
            remove_expanded(graph, node, value);
            changed = true;
        }
    }
    replace_finish(&replace);
    return changed;
}
