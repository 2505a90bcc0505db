/*     %y = relu(%x)       =>    %side = greater(%x, 0)
 *                               output(%side) {name="decision.y"}                         to record
 *
 *                               %side = input() {name="decision.y"}
 *                               %y = %x select(%side > 1/2, 1, 0) + 0                     to replay
 *
 *     %y = max_pool(%x)   =>    output(%x) {name="decision.y"}
 *
 *                               %y = max_pool(%x, input() {name="decision.y"})
 *
 * An activation with kinks is a line on each side of them, y = slope x + offset, or x times such a
 * line; with the side given it has no kink left, and its derivative is the slope. Replacing
 * derivatives alone, behind autodiff, would leave the decisions of the forward run to chance. */
#include "passes/decisions.h"

#include <math.h>

#include "ir/builder.h"
#include "passes/network.h"
#include "passes/replace.h"

/* Side 0 is up to `low`, side 2 from `high` on, as the derivatives of ir/activations.def have it.
 */
typedef struct Kinks {
    Op op;
    double low, high;
    double slope[3], offset[3];
    bool times_x;
} Kinks;

static const Kinks table[] = {
    {OP_relu, 0, INFINITY, {0, 1, 1}, {0}, false},
    {OP_relu6, 0, 6, {0, 1, 0}, {0, 0, 6}, false},
    {OP_leaky_relu, 0, INFINITY, {NAN, 1, 1}, {0}, false}, /* NAN: the attribute */
    {OP_hard_sigmoid, -3, 3, {0, 1. / 6, 0}, {0, 0.5, 1}, false},
    {OP_hard_swish, -3, 3, {0, 1. / 6, 0}, {0, 0.5, 1}, true},
};

/* Of a node; false if it has none. */
static bool find_kinks(const Node *node, Kinks *kinks) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].op != node->op)
            continue;
        *kinks = table[i];
        if (isnan(kinks->slope[0]))
            kinks->slope[0] = node_float(node, "slope");
        return true;
    }
    return false;
}

static const char *name_of(Arena *arena, const Node *node) {
    return arena_format(arena, DECISIONS_PREFIX "%s", node->results[0].name);
}

/* ---- Recording ------------------------------------------------------------------------------- */

/* 0, 1 or 2 for each number of the operand. */
static Value *side_of(Builder *builder, const Kinks *kinks, Value *x) {
    Value *side =
        build_binary(builder, OP_greater, "above", x, build_constant(builder, kinks->low));
    if (isinf(kinks->high))
        return side;
    Value *inside =
        build_binary(builder, OP_greater, "inside", build_constant(builder, kinks->high), x);
    Value *beyond = build_binary(builder, OP_sub, "beyond", build_constant(builder, 1), inside);
    return build_binary(builder, OP_add, "side", side, beyond);
}

/* The output of a node's decision, behind it. */
static void give_back(Graph *graph, Node *node, Value *decision, Diagnostics *diagnostics) {
    Builder builder = {.graph = graph, .before = node->next, .location = node->location};
    const char *name = name_of(graph->arena, node);
    if (network_output_is_free(graph, name, diagnostics))
        build(&builder, OP_output, NULL, OPERANDS(decision),
              ATTRIBUTES(attribute_text("name", name)));
}

static void record(Graph *graph, Node *node, const Kinks *kinks, Diagnostics *diagnostics) {
    Builder builder = builder_at(graph, node);
    Value *x = node->operands[0];
    give_back(graph, node, kinks ? side_of(&builder, kinks, x) : x, diagnostics);
}

/* ---- Replaying ------------------------------------------------------------------------------- */

/* The input that holds a node's decision. */
static Value *take(Builder *builder, const Node *node) {
    const char *name = name_of(builder->graph->arena, node);
    return build_stated(builder, OP_input, "decision", node->operands[0]->type, NULL, 0,
                        ATTRIBUTES(attribute_text("name", name)));
}

/* `behind` where the side is greater than `threshold`, else `before`. */
static Value *step(Builder *builder, Value *side, double threshold, Value *before, double behind) {
    Value *passed =
        build_binary(builder, OP_greater, "passed", side, build_constant(builder, threshold));
    Node *chosen = build(builder, OP_select, "chosen",
                         OPERANDS(passed, build_constant(builder, behind), before), NO_ATTRIBUTES);
    return node_result(chosen, 0);
}

/* The number of each side. */
static Value *choose(Builder *builder, const Kinks *kinks, Value *side, const double *numbers) {
    Value *low = step(builder, side, 0.5, build_constant(builder, numbers[0]), numbers[1]);
    return isinf(kinks->high) ? low : step(builder, side, 1.5, low, numbers[2]);
}

static Value *activate(Builder *builder, const Kinks *kinks, Value *side, Value *x) {
    Value *slope = choose(builder, kinks, side, kinks->slope);
    Value *offset = choose(builder, kinks, side, kinks->offset);
    Value *line = build_binary(builder, OP_mul, "line", x, slope);
    Value *y = build_binary(builder, OP_add, "shifted", line, offset);
    return kinks->times_x ? build_binary(builder, OP_mul, "product", x, y) : y;
}

/* A maximum stays where it is, an activation becomes what it is on each side. */
static void replay(Replace *replace, Node *node, const Kinks *kinks) {
    Graph *graph = replace->graph;
    Builder builder = builder_at(graph, node);
    Value *decision = take(&builder, node);
    if (!kinks) {
        node->operands[1] = decision;
        return;
    }
    Value *y = activate(&builder, kinks, decision, node->operands[0]);
    const char *name = node->results[0].name;
    replace_value(replace, &node->results[0], y);
    graph_remove(graph, node);
    graph_name(graph, y, name);
}

/* ---- All ------------------------------------------------------------------------------------- */

/* Whether the node decides something: *found is its kinks, or NULL for the place of a maximum. */
static bool decides(const Node *node, Kinks *kinks, const Kinks **found) {
    *found = find_kinks(node, kinks) ? kinks : NULL;
    return *found || (node->op == OP_max_pool && !node_operand(node, 1));
}

bool decisions(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    bool changed = false;
    Replace replacements = {.graph = graph};
    if (options->decisions == DECISIONS_OWN)
        return false;
    graph_each(graph, node) {
        Kinks kinks;
        const Kinks *found;
        replace_operands(&replacements, node);
        if (!decides(node, &kinks, &found) ||
            !network_node_is_f32(node, "the decisions of", diagnostics))
            continue;
        if (options->decisions == DECISIONS_RECORDED)
            record(graph, node, found, diagnostics);
        else
            replay(&replacements, node, found);
        changed = true;
    }
    replace_finish(&replacements);
    return changed;
}
