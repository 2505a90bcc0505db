#include "passes/replace.h"

#include "base/fatal.h"

void replace_value(Replace *replace, Value *old, Value *by) {
    Node *node = old->node;
    if (node->mark == 0) {
        vector_push(replace->graph->arena, &replace->list, ((Replacement){{NULL}}));
        node->mark = (int64_t)replace->list.count;
    }
    Value **slot = &replace->list.items[node->mark - 1].results[old->index];
    invariant(*slot == NULL, "%s is replaced twice", old->name);
    invariant(replace_find(replace, by) != old, "%s would replace itself", old->name);
    *slot = by;
}

Value *replace_find(const Replace *replace, Value *value) {
    while (value->node->mark != 0) {
        Value *next = replace->list.items[value->node->mark - 1].results[value->index];
        if (next == NULL)
            break;
        value = next;
    }
    return value;
}

void replace_operands(const Replace *replace, Node *node) {
    for (int i = 0; i < node->operand_count; i++) {
        if (node->operands[i])
            node->operands[i] = replace_find(replace, node->operands[i]);
    }
}

void replace_named(Replace *replace, Value *old, Value *by) {
    const char *name = old->name;
    replace_value(replace, old, by);
    graph_name(replace->graph, old, "replaced");
    graph_name(replace->graph, by, name);
}

void replace_remove(Replace *replace) {
    for (Node *node = replace->graph->last, *previous; node; node = previous) {
        previous = node->previous;
        if (node->mark)
            graph_remove(replace->graph, node);
    }
}

void replace_finish(Replace *replace) {
    graph_clear_marks(replace->graph);
}
