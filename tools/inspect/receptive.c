#include "tools/inspect/receptive.h"

#include <string.h>

/* A value's field, and the distance in pixels between neighbours on it. */
typedef struct Reach {
    int64_t extent[TYPE_MAX_SPACE], step[TYPE_MAX_SPACE];
    bool whole_image;
} Reach;

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Everything that the operands see. */
static Reach join_operands(const Node *node, const Reach *reaches) {
    Reach reach = {.extent = {1, 1, 1}, .step = {1, 1, 1}};
    for (int i = 0; i < node->operand_count; i++) {
        if (!node->operands[i])
            continue;
        const Reach *operand = &reaches[node->operands[i]->node->mark];
        reach.whole_image = reach.whole_image || operand->whole_image;
        for (int d = 0; d < TYPE_MAX_SPACE; d++) {
            reach.extent[d] = most(reach.extent[d], operand->extent[d]);
            reach.step[d] = most(reach.step[d], operand->step[d]);
        }
    }
    return reach;
}

/* The attribute of a window op in a direction; 1 where the op does not have it. */
static int64_t along(const Node *node, const char *name, int d) {
    int count;
    if (op_attribute_index(node->op, name) < 0)
        return 1;
    const int64_t *values = node_ints(node, name, &count);
    return d < count ? values[d] : 1;
}

/* One operand's reach widened by the taps that a result reads. */
static void widen(const Node *node, Reach *reach) {
    for (int d = 0; d < TYPE_MAX_SPACE; d++) {
        int64_t stride = along(node, "stride", d), factor = along(node, "factor", d);
        int64_t taps = (along(node, "kernel", d) - 1) * along(node, "dilation", d);
        if (node->op == OP_conv_transpose) {
            reach->extent[d] += (taps + stride - 1) / stride * reach->step[d];
            reach->step[d] = most(1, reach->step[d] / stride);
            continue;
        }
        reach->extent[d] += taps * reach->step[d];
        reach->step[d] = most(1, reach->step[d] * stride / factor);
    }
}

static Reach reach_of(const Node *node, const Reach *reaches) {
    Reach reach = join_operands(node, reaches);
    if (op_attribute_index(node->op, "kernel") >= 0 || node->op == OP_upsample)
        widen(node, &reach);
    if (op_info(node->op)->masked == MASKED_IMAGE)
        reach.whole_image = true;
    return reach;
}

static ReceptiveField clip(const Reach *reach, const Geometry *geometry) {
    ReceptiveField field = {.whole_image = reach->whole_image};
    for (int d = 0; d < geometry->space; d++) {
        bool all = reach->whole_image || reach->extent[d] > geometry->image[d];
        field.extent[d] = all ? geometry->image[d] : reach->extent[d];
    }
    return field;
}

const ReceptiveEntry *receptive_fields(Graph *graph, Arena *arena, size_t *count) {
    size_t nodes = 0, found = 0;
    graph_each(graph, node) node->mark = (int64_t)nodes++;
    Reach *reaches = arena_new_array(arena, Reach, nodes);
    ReceptiveEntry *entries = arena_new_array(arena, ReceptiveEntry, nodes);
    graph_each(graph, each) {
        reaches[each->mark] = reach_of(each, reaches);
        if (each->results[0].name)
            entries[found++] = (ReceptiveEntry){each->results[0].name,
                                                clip(&reaches[each->mark], &graph->geometry)};
    }
    graph_clear_marks(graph);
    *count = found;
    return entries;
}
