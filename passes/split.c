/* split: convolutions of densified maps. All hidden positions of one hold the token, so what a tap
 * gives there is one vector for all of them, and only visible rows need products of their own.
 *
 *     %d = densify %x, %token               %taps = token_taps %token, %w       [kernel.., 1, out]
 *     %y = conv %d, %w              ->      %hidden = hidden %cells             1 where hidden
 *                                           %pattern = conv %hidden, %taps
 *                                           %visible = conv %x, %w {dense=true}
 *                                           %y = add %visible, %pattern
 *
 * Exact but for rounding, at any position: a tap inside the picture is hidden or visible, one
 * outside gives nothing in either. It stands before autodiff, so that the gradients of input,
 * weight and token split by themselves; splitting each of them later would repeat this three times.
 * Strided and grouped convolutions stay: the decoder has none behind a densify. So do, in bf16,
 * those of few channels, of which kernels multiply what is hidden anyway. */
#include "passes/passes.h"
#include "passes/replace.h"

#include "ir/builder.h"
#include "ir/kernel.h"

static bool is_splittable(const Graph *graph, const Node *node, Precision precision) {
    if (node->op != OP_conv || node->operands[0]->node->op != OP_densify ||
        node_int(node, "groups") != 1 || node->results[0].type.dtype != DTYPE_F32)
        return false;
    if (precision == PRECISION_BF16 && node->operands[0]->type.channels < KERNEL_SKIP_DENSE_BF16)
        return false;
    int count;
    const int64_t *stride = node_ints(node, "stride", &count);
    for (int d = 0; d < count; d++)
        if (stride[d] != 1)
            return false;
    return graph->geometry.keep < graph_cells(graph); /* else there is nothing to save */
}

static NamedAttribute same_ints(const Node *node, const char *name) {
    int count;
    const int64_t *values = node_ints(node, name, &count);
    return attribute_ints(name, values, count);
}

/* conv of x with the window of a node. */
static Value *build_conv(Builder *builder, const Node *node, const char *hint, Value *x,
                         Value *weight, bool dense) {
    Node *conv = build(builder, OP_conv, hint, OPERANDS(x, weight),
                       ATTRIBUTES(same_ints(node, "kernel"), same_ints(node, "stride"),
                                  same_ints(node, "pad"), same_ints(node, "dilation"),
                                  attribute_bool("dense", dense)));
    return node_result(conv, 0);
}

static Value *split(Builder *builder, const Node *node, Value *cells) {
    const Node *densify = node->operands[0]->node;
    Value *x = densify->operands[0], *token = densify->operands[1], *weight = node->operands[1];
    Value *taps = build_binary(builder, OP_token_taps, "taps", token, weight);
    Node *hidden = build(builder, OP_hidden, "hidden", OPERANDS(cells),
                         ATTRIBUTES(attribute_ints("size", x->type.extent, x->type.rank)));
    Value *pattern = build_conv(builder, node, "pattern", node_result(hidden, 0), taps, false);
    Value *visible = build_conv(builder, node, "visible", x, weight, true);
    return build_binary(builder, OP_add, "split", visible, pattern);
}

bool pass_split(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    (void)diagnostics;
    Value *cells = graph_find_input(graph, "cells");
    if (!cells)
        return false;
    Replace replace = {.graph = graph};
    graph_each(graph, node) {
        replace_operands(&replace, node);
        if (!is_splittable(graph, node, options->precision) || !rewrites_may(options->rewrites))
            continue;
        Builder builder = builder_at(graph, node);
        replace_named(&replace, &node->results[0], split(&builder, node, cells));
        rewrites_count(options->rewrites, "split", "conv of a densified map, at %%%s",
                       builder.prefix);
    }
    bool changed = replace.list.count > 0;
    replace_remove(&replace);
    replace_finish(&replace);
    return changed;
}
