/* Dead code: removes the nodes that no output and no commit needs.
 *
 *     %a = relu(%x)                 %a = relu(%x)
 *     %b = neg(%a)             ->   output(%a)
 *     output(%a)
 *
 * Removing whatever has no user, again and again, would walk the graph as often as the longest
 * dead chain. Operands stand before their users, so one walk backwards sees every user of a node
 * before the node itself. */
#include "passes/dce.h"

#include "passes/passes.h"

static void mark_operands(Node *node) {
    for (int i = 0; i < node->operand_count; i++) {
        if (node->operands[i])
            node->operands[i]->node->mark = 1;
    }
}

bool dce_remove(Graph *graph, Rewrites *rewrites) {
    bool changed = false;
    for (Node *node = graph->last, *previous; node; node = previous) {
        previous = node->previous;
        bool needed = node->mark || (op_info(node->op)->flags & OP_EFFECT);
        if (needed || !rewrites_may(rewrites)) {
            mark_operands(node);
        } else {
            rewrites_count(rewrites, "dce", "%%%s is gone", node->results[0].name);
            graph_remove(graph, node);
            changed = true;
        }
    }
    graph_clear_marks(graph);
    return changed;
}

bool pass_dce(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    (void)diagnostics;
    return dce_remove(graph, options->rewrites);
}
