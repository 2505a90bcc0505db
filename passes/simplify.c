/* simplify: replaces ops by simpler ones, looking at a node and its operands only.
 *
 *     %a = mul %x, 1                    %b = sub %y, %z
 *     %n = neg %z               ->
 *     %b = add %y, %n
 *
 * Rules written as code that searches the graph end up depending on each other; here each is a row
 * of one table (simplify_rules.c), and this file owns the walk. One walk forward is enough: a node
 * sees its operands in their final form, and what a rule makes is offered to the rules again. */
#include "passes/simplify.h"

#include "passes/passes.h"
#include "passes/replace.h"

/* The value of the first rewrite that applies, or NULL. */
static Value *rewrite(Graph *graph, Node *node, Rewrites *counted) {
    Builder builder = builder_at(graph, node);
    int count;
    const Rewrite *rewrites = simplify_rewrites(&count);
    for (int i = 0; i < count && rewrites_may(counted); i++) {
        Value *value = rewrites[i].op == node->op ? rewrites[i].apply(&builder, node) : NULL;
        if (!value)
            continue;
        rewrites_count(counted, "simplify", "%s, at %%%s", rewrites[i].text, node->results[0].name);
        return value;
    }
    return NULL;
}

/* Replaces a node, and what replaces it, until no rewrite applies. Each rewrite removes an op,
 * moves a negation outwards, or makes a constant, so this ends. */
static void simplify_node(Replace *replace, Node *node, Rewrites *counted) {
    for (;;) {
        Node *before = node->previous;
        Value *value = rewrite(replace->graph, node, counted);
        if (value == NULL)
            return;
        bool is_new = node->previous != before && value->node == node->previous;
        if (!is_new) {
            replace_value(replace, &node->results[0], value);
            return;
        }
        replace_named(replace, &node->results[0], value);
        node = value->node;
    }
}

bool pass_simplify(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    (void)diagnostics;
    Replace replace = {.graph = graph};
    graph_each(graph, node) {
        replace_operands(&replace, node);
        simplify_node(&replace, node, options->rewrites);
    }
    bool changed = replace.list.count > 0;
    replace_remove(&replace);
    replace_finish(&replace);
    return changed;
}
