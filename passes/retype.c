#include "passes/retype.h"

#include "ir/rules.h"

enum { MARK_CHANGED = 1, MARK_REFUSED = 2 };

/* The largest mark among the producers of the operands. */
static int64_t operand_mark(const Node *node) {
    int64_t mark = 0;
    for (int i = 0; i < node->operand_count; i++) {
        const Value *operand = node->operands[i];
        if (operand && operand->node->mark > mark)
            mark = operand->node->mark;
    }
    return mark;
}

static bool infer(Graph *graph, Node *node, RetypeCheck *check, Diagnostics *diagnostics) {
    if (check && !check(graph, node, diagnostics))
        return false;
    RuleError error;
    if (rules_infer(graph, node, &error))
        return true;
    diagnostics_report(diagnostics, SEVERITY_ERROR, node->location, "%s", error.message);
    if (error.hint)
        diagnostics_hint(diagnostics, "%s", error.hint);
    return false;
}

void retype_users(Graph *graph, Value *changed, RetypeCheck *check, Diagnostics *diagnostics) {
    changed->node->mark = MARK_CHANGED;
    for (Node *node = changed->node->next; node; node = node->next) {
        node->mark = operand_mark(node);
        if (node->mark == MARK_CHANGED && !infer(graph, node, check, diagnostics))
            node->mark = MARK_REFUSED;
    }
    graph_clear_marks(graph);
}
