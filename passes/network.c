#include "passes/network.h"

#include "base/text.h"

bool network_entry_has_head(Entry entry) {
    return entry == ENTRY_LOGITS || entry == ENTRY_FINETUNE_STEP;
}

bool network_entry_is_masked(Entry entry) {
    return entry != ENTRY_FEATURES && !network_entry_has_head(entry);
}

bool network_entry_has_gradients(Entry entry) {
    return entry == ENTRY_TRAIN_STEP || entry == ENTRY_ACCUMULATE || entry == ENTRY_FINETUNE_STEP;
}

bool network_entry_is_update(Entry entry) {
    return entry == ENTRY_UPDATE || entry == ENTRY_APPLY;
}

Value *network_image(const Graph *graph) {
    return graph_find_input(graph, "image");
}

bool network_is_feature(const Node *node) {
    return node->op == OP_output && text_starts_with(node_text(node, "name"), "feature.");
}

NetworkFeatures network_features(const Graph *graph) {
    NetworkFeatures features = {0};
    graph_each(graph, node) {
        if (network_is_feature(node))
            vector_push(graph->arena, &features, node);
    }
    return features;
}

bool network_node_is_f32(const Node *node, const char *what, Diagnostics *diagnostics) {
    const OpInfo *info = op_info(node->op);
    for (int i = 0; i < node->operand_count + info->result_count; i++) {
        const Value *value =
            i < node->operand_count ? node->operands[i] : &node->results[i - node->operand_count];
        if (!value || value->type.dtype != DTYPE_BF16)
            continue;
        diagnostics_report(diagnostics, SEVERITY_ERROR, node->location,
                           "not supported: %s %s, where %%%s is bf16", what, info->name,
                           value->name);
        return false;
    }
    return true;
}

bool network_output_is_free(const Graph *graph, const char *name, Diagnostics *diagnostics) {
    const Node *output = graph_find_output(graph, name);
    if (output == NULL)
        return true;
    diagnostics_report(diagnostics, SEVERITY_ERROR, output->location,
                       "the graph has an output \"%s\" already", name);
    return false;
}

bool network_uses_batch_norm(const Graph *graph) {
    for (size_t i = 0; i < graph->states.count; i++) {
        const StateSlot *state = &graph->states.items[i];
        if (state->part == PART_ENCODER && text_ends_with(state->name, ".running_mean"))
            return true;
    }
    return false;
}
