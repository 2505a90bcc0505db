#include "passes/layer_groups.h"

#include <math.h>

#include "passes/network.h"

/* The layers of the network in the block's order: the nodes that depend on the image, without
 * outputs. A node's mark is its place + 1, and 0 for all others. */
typedef VECTOR(Node *) Layers;

typedef struct Grouping {
    Graph *graph;
    Arena *arena;
    Layers layers;
    bool *forks;  /* by layer: it is part of a stretch that forks */
    bool *joins;  /* by layer: a fork ends there */
    int *groups;  /* by layer */
    int next;     /* the first group that is not taken */
    size_t first; /* layer at which the level begins */
} Grouping;

static bool reads_layer(const Node *node) {
    for (int i = 0; i < node->operand_count; i++)
        if (node->operands[i] && node->operands[i]->node->mark)
            return true;
    return false;
}

static void find_layers(Grouping *grouping) {
    const Value *image = network_image(grouping->graph);
    graph_each(grouping->graph, node) {
        bool is_layer = (image && node == image->node) || reads_layer(node);
        if (!is_layer || (op_info(node->op)->flags & OP_EFFECT))
            continue;
        vector_push(grouping->arena, &grouping->layers, node);
        node->mark = (int64_t)grouping->layers.count;
    }
}

/* By layer, the last one that reads it; itself if none does. */
static size_t *find_last_readers(const Grouping *grouping) {
    size_t count = grouping->layers.count;
    size_t *last = arena_new_array(grouping->arena, size_t, count);
    for (size_t i = 0; i < count; i++) {
        const Node *node = grouping->layers.items[i];
        last[i] = i;
        for (int k = 0; k < node->operand_count; k++)
            if (node->operands[k] && node->operands[k]->node->mark)
                last[node->operands[k]->node->mark - 1] = i;
    }
    return last;
}

/* A layer that all paths go through is a cut: nothing before it is read behind it. Between two cuts
 * that follow each other immediately nothing forks. */
static void find_forks(Grouping *grouping) {
    size_t count = grouping->layers.count, cut = 0, reach = 0;
    const size_t *last = find_last_readers(grouping);
    grouping->forks = arena_new_array(grouping->arena, bool, count);
    grouping->joins = arena_new_array(grouping->arena, bool, count);
    for (size_t i = 0; i < count; i++) {
        if (reach <= i) {
            bool forked = i > cut + 1;
            grouping->joins[i] = forked;
            for (size_t k = cut + 1; forked && k <= i; k++)
                grouping->forks[k] = true;
            cut = i;
        }
        reach = last[i] > reach ? last[i] : reach;
    }
}

static bool is_contraction(const Node *node) {
    return node->op == OP_conv || node->op == OP_conv_transpose || node->op == OP_linear;
}

/* How many blocks make a group, of a level of n. */
static int group_size(int n) {
    if (n <= 3)
        return 3;
    if (n <= 5)
        return 2;
    return n % 4 == 0 ? 4 : 3;
}

/* Whether a layer is the last of a block (forking levels), or the first of one (others). */
static bool is_border(const Grouping *grouping, bool forking, size_t layer) {
    return forking ? grouping->joins[layer] : is_contraction(grouping->layers.items[layer]);
}

/* The level of the layers first .. end - 1 gets its groups. */
static void group_level(Grouping *grouping, size_t end) {
    size_t first = grouping->first, stem = first;
    int blocks = 0, block = 0, last_group = grouping->next - 1;
    bool forking = false;
    for (size_t i = first; i < end; i++)
        forking = forking || grouping->joins[i];
    for (size_t i = first; i < end; i++)
        blocks += is_border(grouping, forking, i);
    if (first == 0 && forking) {
        while (!grouping->forks[stem])
            grouping->groups[stem++] = 0;
        last_group = 0;
    }
    int start = last_group + 1, size = group_size(blocks);
    for (size_t i = stem; i < end; i++) {
        bool border = is_border(grouping, forking, i);
        int counted = forking ? block : block + border - 1;
        int index = counted < 0 ? 0 : counted < blocks ? counted : blocks - 1;
        last_group = blocks > 0 ? start + index / size : start;
        grouping->groups[i] = last_group;
        block += border;
    }
    grouping->next = blocks > 0 ? last_group + 1 : start;
    grouping->first = end;
}

/* The levels end at the features, in their order; what is behind the last one is one more group,
 * the head's. A network without features is a level; the head's parameters get the last group
 * anyway. */
static void group_layers(Grouping *grouping) {
    NetworkFeatures features = network_features(grouping->graph);
    grouping->groups = arena_new_array(grouping->arena, int, grouping->layers.count);
    for (size_t i = 0; i < features.count; i++) {
        size_t end = (size_t)features.items[i]->operands[0]->node->mark;
        if (end > grouping->first)
            group_level(grouping, end);
    }
    if (features.count == 0)
        group_level(grouping, grouping->layers.count);
    for (size_t i = grouping->first; i < grouping->layers.count; i++)
        grouping->groups[i] = grouping->next;
}

/* A parameter belongs to the first layer that reads it. */
static void group_segments(const Grouping *grouping, int *groups) {
    const Graph *graph = grouping->graph;
    bool *found = arena_new_array(grouping->arena, bool, graph->segments.count);
    for (size_t i = 0; i < grouping->layers.count; i++) {
        const Node *node = grouping->layers.items[i];
        for (int k = 0; k < node->operand_count; k++) {
            const Value *operand = node->operands[k];
            if (!operand || operand->node->op != OP_param)
                continue;
            int segment = graph_segment_index(graph, node_text(operand->node, "segment"));
            if (!found[segment])
                groups[segment] = grouping->groups[i];
            found[segment] = true;
        }
    }
    for (size_t i = 0; i < graph->segments.count; i++)
        if (graph->segments.items[i].part == PART_HEAD)
            groups[i] = grouping->next;
}

int *layer_groups(Graph *graph, Arena *arena, int *count) {
    Grouping grouping = {.graph = graph, .arena = arena};
    int *groups = arena_new_array(arena, int, graph->segments.count);
    find_layers(&grouping);
    find_forks(&grouping);
    group_layers(&grouping);
    group_segments(&grouping, groups);
    graph_clear_marks(graph);
    *count = grouping.next + 1;
    return groups;
}

void layer_groups_scale(Graph *graph, double decay) {
    int count;
    const int *groups = layer_groups(graph, graph->arena, &count);
    for (size_t i = 0; i < graph->segments.count; i++)
        graph->segments.items[i].lr_scale *= pow(decay, count - 1 - groups[i]);
}
