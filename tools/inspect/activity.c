#include "tools/inspect/activity.h"

#include <string.h>

#include "base/fatal.h"
#include "passes/network.h"

/* What is active of a value: of each position, or of all it has without positions. */
typedef struct Activity {
    bool has_space, any; /* any: of a value per image */
    int space;
    int64_t extent[TYPE_MAX_SPACE];
    bool *active;
} Activity;

typedef struct Walk {
    Arena *arena;
    Activity *activities; /* by the mark of the node */
} Walk;

static int64_t positions_of(const Activity *activity) {
    int64_t count = 1;
    for (int d = 0; d < activity->space; d++)
        count *= activity->extent[d];
    return count;
}

static bool *new_positions(Arena *arena, const Activity *activity) {
    return arena_new_array(arena, bool, (size_t)positions_of(activity));
}

static Activity activity_like(Arena *arena, const Type *type) {
    Activity activity = {.has_space = type_has_space(type), .space = type->rank};
    if (!activity.has_space)
        return (Activity){0};
    memcpy(activity.extent, type->extent, sizeof activity.extent);
    activity.active = new_positions(arena, &activity);
    return activity;
}

static bool is_any(const Activity *activity) {
    int64_t count = activity->has_space ? positions_of(activity) : 0;
    for (int64_t i = 0; i < count; i++) {
        if (activity->active[i])
            return true;
    }
    return activity->any;
}

/* How a result's index along one direction reads the operand's; windows are products of these. */
typedef struct Reading {
    Op op;
    bool bilinear;
    int64_t kernel, stride, pad, dilation, factor;
} Reading;

/* The attribute of a window op in a direction; `missing` where the op does not have it. */
static int64_t along(const Node *node, const char *name, int d, int64_t missing) {
    int count;
    if (op_attribute_index(node->op, name) < 0)
        return missing;
    const int64_t *values = node_ints(node, name, &count);
    return d < count ? values[d] : missing;
}

static Reading reading_of(const Node *node, int d) {
    return (Reading){.op = node->op,
                     .bilinear =
                         node->op == OP_upsample && strcmp(node_text(node, "mode"), "nearest") != 0,
                     .kernel = along(node, "kernel", d, 1),
                     .stride = along(node, "stride", d, 1),
                     .pad = along(node, "pad", d, 0),
                     .dilation = along(node, "dilation", d, 1),
                     .factor = along(node, "factor", d, 1)};
}

static int64_t tap_count(const Reading *reading) {
    return reading->op == OP_upsample ? 1 + reading->bilinear : reading->kernel;
}

/* The operand's index that a tap reads for result index `to`, or -1 if none. A result index of a
 * transposed conv reads those whose window would cover it; bilinear weights are those of PyTorch's
 * align_corners = False. */
static int64_t tap_source(const Reading *reading, int64_t to, int64_t tap) {
    if (reading->op == OP_conv_transpose) {
        int64_t from = to + reading->pad - tap * reading->dilation;
        return from >= 0 && from % reading->stride == 0 ? from / reading->stride : -1;
    }
    if (reading->op != OP_upsample)
        return to * reading->stride - reading->pad + tap * reading->dilation;
    if (!reading->bilinear)
        return to / reading->factor;
    int64_t place = 2 * to + 1 - reading->factor, step = 2 * reading->factor;
    if (place < 0)
        return tap == 0 ? 0 : -1;
    return tap == 0 ? place / step : place % step > 0 ? place / step + 1 : -1;
}

/* Reads along direction d, whose extent becomes `extent`. */
static Activity read_along(Arena *arena, const Activity *from, int d, int64_t extent,
                           const Reading *reading) {
    Activity to = *from;
    int64_t outer = 1, inner = 1, taps = tap_count(reading);
    to.extent[d] = extent;
    to.active = new_positions(arena, &to);
    for (int i = 0; i < from->space; i++)
        *(i < d ? &outer : &inner) *= i == d ? 1 : from->extent[i];
    for (int64_t index = 0; index < extent; index++) {
        for (int64_t tap = 0; tap < taps; tap++) {
            int64_t source = tap_source(reading, index, tap);
            if (source < 0 || source >= from->extent[d])
                continue;
            for (int64_t o = 0; o < outer; o++) {
                const bool *row = from->active + (o * from->extent[d] + source) * inner;
                bool *target = to.active + (o * extent + index) * inner;
                for (int64_t i = 0; i < inner; i++)
                    target[i] = target[i] || row[i];
            }
        }
    }
    return to;
}

static Activity read_window(Walk *walk, const Node *node, const Activity *x) {
    Activity activity = *x;
    for (int d = 0; activity.has_space && d < activity.space; d++) {
        Reading reading = reading_of(node, d);
        activity = read_along(walk->arena, &activity, d, node->results[0].type.extent[d], &reading);
    }
    return activity;
}

/* Adds what an operand says of a map's positions; all of them for a value per image. `both`: only
 * what is active in both stays. */
static void merge(Activity *activity, const Activity *operand, bool both) {
    int64_t count = positions_of(activity);
    invariant(!operand->has_space || positions_of(operand) == count, "%s",
              "a pointwise op changed the positions");
    for (int64_t i = 0; i < count; i++) {
        bool other = operand->has_space ? operand->active[i] : operand->any;
        activity->active[i] = both ? activity->active[i] && other : activity->active[i] || other;
    }
}

static bool is_data(const Value *operand) {
    return operand && (type_has_space(&operand->type) || operand->type.form == FORM_PER_IMAGE);
}

/* Result positions are operand positions; or the result has none. */
static Activity join_operands(Walk *walk, const Node *node) {
    Activity activity = activity_like(walk->arena, &node->results[0].type);
    bool first = true;
    for (int i = 0; i < node->operand_count; i++) {
        if (!is_data(node->operands[i]))
            continue;
        const Activity *operand = &walk->activities[node->operands[i]->node->mark];
        bool both = node->op == OP_mul && !first;
        if (activity.has_space)
            merge(&activity, operand, both);
        else
            activity.any = both ? activity.any && is_any(operand) : activity.any || is_any(operand);
        first = false;
    }
    return activity;
}

static Activity activity_of_node(Walk *walk, const Node *node) {
    const Value *x = node->operand_count > 0 ? node->operands[0] : NULL;
    bool window = op_attribute_index(node->op, "kernel") >= 0 || node->op == OP_upsample;
    if (window && type_has_space(&x->type))
        return read_window(walk, node, &walk->activities[x->node->mark]);
    return op_info(node->op)->result_count > 0 ? join_operands(walk, node) : (Activity){0};
}

/* True at the positions of visible cells, for a map of these extents. */
static bool *visible_positions(Arena *arena, const Graph *graph, const Activity *like,
                               const int32_t *cells, int64_t keep) {
    bool *visible = arena_new_array(arena, bool, (size_t)graph_cells(graph));
    bool *active = new_positions(arena, like);
    for (int64_t i = 0; i < keep; i++)
        visible[cells[i]] = true;
    for (int64_t i = 0; i < positions_of(like); i++) {
        int64_t cell = 0, rest = i, factor = 1;
        for (int d = like->space - 1; d >= 0; d--) {
            int64_t grid = graph_grid(graph, d);
            cell += rest % like->extent[d] / (like->extent[d] / grid) * factor;
            rest /= like->extent[d];
            factor *= grid;
        }
        active[i] = visible[cell];
    }
    return active;
}

static double share(const bool *active, int64_t count) {
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += active[i];
    return (double)sum / (double)count;
}

static ActivityMap map_of(Arena *arena, const Graph *graph, const char *name,
                          const Activity *activity, const int32_t *cells, int64_t keep) {
    ActivityMap map = {.name = name,
                       .stride = graph->geometry.image[0] / activity->extent[0],
                       .space = activity->space,
                       .dense = activity->active,
                       .ours = visible_positions(arena, graph, activity, cells, keep)};
    memcpy(map.extent, activity->extent, sizeof map.extent);
    map.dense_share = share(map.dense, positions_of(activity));
    map.our_share = share(map.ours, positions_of(activity));
    return map;
}

const ActivityMap *activity_of(Graph *graph, Arena *arena, const int32_t *cells, int64_t keep,
                               size_t *count) {
    const Node *image = network_image(graph)->node;
    NetworkFeatures features = network_features(graph);
    int64_t nodes = 0;
    invariant(features.count > 0, "network %s has no features", graph->network);
    graph_each(graph, node) node->mark = nodes++;
    Walk walk = {arena, arena_new_array(arena, Activity, (size_t)nodes)};
    graph_each(graph, each) {
        Activity *activity = &walk.activities[each->mark];
        *activity = activity_of_node(&walk, each);
        if (each == image)
            activity->active = visible_positions(arena, graph, activity, cells, keep);
    }
    ActivityMap *maps = arena_new_array(arena, ActivityMap, features.count + 1);
    maps[0] = map_of(arena, graph, "image", &walk.activities[image->mark], cells, keep);
    for (size_t i = 0; i < features.count; i++) {
        const Node *output = features.items[i], *node = output->operands[0]->node;
        maps[i + 1] = map_of(arena, graph, node_text(output, "name"), &walk.activities[node->mark],
                             cells, keep);
    }
    graph_clear_marks(graph);
    *count = features.count + 1;
    return maps;
}
