/* Sources and sinks: which memory is read and written. */
#include <string.h>

#include "base/fatal.h"
#include "passes/lower.h"

static View find_or_add(Lowering *lowering, const char *name, Region region, const Type *type) {
    Program *program = lowering->program;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        if (buffer->region == region && strcmp(buffer->name, name) == 0) {
            View view = lower_new_view(lowering, name, region, type);
            program->buffers.count--;
            view.buffer = (int)i;
            return view;
        }
    }
    return lower_new_view(lowering, name, region, type);
}

void lower_input(Lowering *lowering, Node *node) {
    const Value *value = &node->results[0];
    View view = find_or_add(lowering, node_text(node, "name"), REGION_INPUTS, &value->type);
    if (strcmp(node_text(node, "name"), "cells") == 0)
        lowering->program->cells = view.buffer;
    lower_alias(lowering, value, view);
}

void lower_scalar(Lowering *lowering, Node *node) {
    const Value *value = &node->results[0];
    lower_alias(lowering, value,
                find_or_add(lowering, node_text(node, "name"), REGION_INPUTS, &value->type));
}

void lower_constant(Lowering *lowering, Node *node) {
    Lowered *lowered = lower_value(lowering, &node->results[0]);
    lowered->is_constant = true;
    lowered->constant = node_float(node, "value");
}

void lower_param(Lowering *lowering, Node *node) {
    const Segment *segment = graph_find_segment(lowering->graph, node_text(node, "segment"));
    View view = {.buffer = lowering->params_buffer, .base = segment->offset, .channel_stride = 1};
    lower_alias(lowering, &node->results[0], view);
}

void lower_state(Lowering *lowering, Node *node) {
    const Value *value = &node->results[0];
    lower_alias(lowering, value,
                find_or_add(lowering, node_text(node, "name"), REGION_STATE, &value->type));
}

void lower_parameters(Lowering *lowering, Node *node) {
    View view = {.buffer = lowering->params_buffer, .channel_stride = 1};
    lower_alias(lowering, &node->results[0], view);
}

const char *lower_segment_column(Arena *arena, const char *column) {
    return arena_format(arena, "segments.%s", column);
}

/* A column of the segment table is an input that the host fills once, so that changing a
 * learning-rate scale compiles nothing. */
void lower_segment_table(Lowering *lowering, Node *node) {
    const Value *value = &node->results[0];
    const char *name = lower_segment_column(lowering->arena, node_text(node, "column"));
    lower_alias(lowering, value, find_or_add(lowering, name, REGION_INPUTS, &value->type));
}

void lower_output(Lowering *lowering, Node *node) {
    const Value *value = node->operands[0];
    View source = lower_operand_view(lowering, value);
    View target = lower_new_view(lowering, node_text(node, "name"), REGION_OUTPUTS, &value->type);
    lower_copy(lowering, node, arena_format(lowering->arena, "output.%s", node_text(node, "name")),
               &value->type, lower_access(&value->type, &value->type, source), target);
}

void lower_commit(Lowering *lowering, Node *node) {
    const Value *value = node->operands[0];
    const char *name = node_text(node, "name");
    bool params = strcmp(node_text(node, "region"), "params") == 0;
    View source = lower_operand_view(lowering, value);
    View target = {.buffer = lowering->params_buffer, .channel_stride = 1};
    if (!params)
        target = find_or_add(lowering, name, REGION_STATE, &value->type);
    lower_copy(lowering, node, arena_format(lowering->arena, "commit.%s", params ? "params" : name),
               &value->type, lower_access(&value->type, &value->type, source), target);
}

static void never_lowered(const Node *node) {
    invariant(false, "op %s has no kernel: expand runs before lowering", op_info(node->op)->name);
}

#define COMPOSITE(name)                                                                            \
    void lower_##name(Lowering *lowering, Node *node) {                                            \
        (void)lowering;                                                                            \
        never_lowered(node);                                                                       \
    }
COMPOSITE(batch_norm)
COMPOSITE(layer_norm)
COMPOSITE(group_norm)
COMPOSITE(instance_norm)
COMPOSITE(grn)
COMPOSITE(global_avg_pool)
COMPOSITE(dropout)
COMPOSITE(drop_path)
