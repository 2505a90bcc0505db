/* Common subexpressions: nodes of equal op, operands, attributes and types become one.
 *
 *     %a = mul(%x, %w)              %a = mul(%x, %w)
 *     %b = mul(%w, %x)         ->   %c = add(%a, %a)
 *     %c = add(%a, %b)
 *
 * Comparing each node with each other one would be quadratic; the earlier nodes stand in a hash
 * table instead. Users are redirected as the walk goes on, so equal operands are already the same
 * value when their users are compared and chains of equal nodes collapse in one walk. Reads of
 * parameters and state may be shared as well: all of them see the values before the step (commits
 * happen at its end). */
#include "passes/cse.h"

#include "passes/passes.h"
#include "passes/replace.h"

/* Open addressing with linear probing; at most half full. */
typedef struct NodeTable {
    Node **slots;
    size_t mask;
} NodeTable;

static NodeTable table_create(const Graph *graph) {
    size_t nodes = 0, size = 16;
    for (const Node *node = graph->first; node; node = node->next)
        nodes++;
    while (size < 2 * nodes)
        size *= 2;
    return (NodeTable){arena_new_array(graph->arena, Node *, size), size - 1};
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ (hash >> 29);
}

static uint64_t hash_text(const char *text) {
    uint64_t hash = 0;
    for (; *text; text++)
        hash = mix(hash, (unsigned char)*text);
    return hash;
}

static uint64_t hash_attribute(const Attribute *attribute) {
    if (attribute->kind == ATTRIBUTE_TEXT || attribute->kind == ATTRIBUTE_WORD)
        return hash_text(attribute->text);
    if (attribute->kind != ATTRIBUTE_INTS)
        return (uint64_t)attribute->integer;
    uint64_t hash = 0;
    for (int i = 0; i < attribute->count; i++)
        hash = mix(hash, (uint64_t)attribute->ints[i]);
    return hash;
}

/* Equal nodes have equal hashes; operands of a commutative op count in either order. */
static uint64_t hash_node(const Node *node) {
    const OpInfo *info = op_info(node->op);
    uint64_t hash = mix((uint64_t)node->op, (uint64_t)node->operand_count), sum = 0;
    for (int i = 0; i < node->operand_count; i++) {
        uint64_t operand = mix(1, (uint64_t)(uintptr_t)node->operands[i]);
        sum += operand;
        hash = info->flags & OP_COMMUTATIVE ? hash : mix(hash, operand);
    }
    hash = mix(hash, sum);
    for (int i = 0; i < info->attribute_count; i++)
        hash = mix(hash, hash_attribute(&node->attributes[i]));
    return hash;
}

static bool same_operands(const Node *a, const Node *b) {
    if (a->operand_count != b->operand_count)
        return false;
    if ((op_info(a->op)->flags & OP_COMMUTATIVE) && a->operands[0] == b->operands[1] &&
        a->operands[1] == b->operands[0])
        return true;
    for (int i = 0; i < a->operand_count; i++) {
        if (a->operands[i] != b->operands[i])
            return false;
    }
    return true;
}

static bool same_node(const Node *a, const Node *b) {
    if (a->op != b->op || !same_operands(a, b))
        return false;
    const OpInfo *info = op_info(a->op);
    for (int i = 0; i < info->attribute_count; i++) {
        if (!attribute_equal(&a->attributes[i], &b->attributes[i]))
            return false;
    }
    for (int i = 0; i < info->result_count; i++) {
        if (!type_equal(&a->results[i].type, &b->results[i].type))
            return false;
    }
    return true;
}

/* The earlier node equal to this one, or NULL after entering this one. */
static Node *find_or_enter(NodeTable *table, Node *node) {
    size_t slot = (size_t)hash_node(node) & table->mask;
    while (table->slots[slot]) {
        if (same_node(table->slots[slot], node))
            return table->slots[slot];
        slot = (slot + 1) & table->mask;
    }
    table->slots[slot] = node;
    return NULL;
}

static bool has_effect(const Node *node) {
    return op_info(node->op)->flags & OP_EFFECT;
}

bool cse_is_unique(const Graph *graph) {
    NodeTable table = table_create(graph);
    graph_each(graph, node) {
        if (!has_effect(node) && find_or_enter(&table, node))
            return false;
    }
    return true;
}

bool pass_cse(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    (void)diagnostics;
    NodeTable table = table_create(graph);
    Replace replace = {.graph = graph};
    graph_each(graph, node) {
        replace_operands(&replace, node);
        bool may = !has_effect(node) && rewrites_may(options->rewrites);
        Node *twin = may ? find_or_enter(&table, node) : NULL;
        if (twin)
            rewrites_count(options->rewrites, "cse", "%%%s is %%%s", node->results[0].name,
                           twin->results[0].name);
        for (int i = 0; twin && i < op_info(node->op)->result_count; i++)
            replace_value(&replace, &node->results[i], &twin->results[i]);
    }
    bool changed = replace.list.count > 0;
    graph_each(graph, node) {
        if (node->mark)
            graph_remove(graph, node);
    }
    replace_finish(&replace);
    return changed;
}
