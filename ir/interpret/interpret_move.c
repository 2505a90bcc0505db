/* Moving channels and positions; nothing here computes. */
#include <string.h>

#include "base/fatal.h"
#include "ir/interpret/engine.h"

/* The rows of map-like values: an image's position, or an image. */
static int64_t rows_of(const OpCall *call, const Tensor *tensor) {
    return engine_rows(call->graph, &tensor->type);
}

/* Copies `count` channels of every row from channel `from_begin` on to channel `to_begin` on. */
static void copy_channels(const OpCall *call, const Tensor *from, int64_t from_begin,
                          const Tensor *to, int64_t to_begin, int64_t count) {
    for (int64_t row = 0; row < rows_of(call, from); row++)
        memcpy(to->data + row * to->type.channels + to_begin,
               from->data + row * from->type.channels + from_begin, (size_t)count * sizeof(double));
}

void interpret_concat(OpCall *call) {
    int64_t begin = 0;
    for (int i = 0; i < call->node->operand_count; i++) {
        const Tensor *x = &call->operands[i];
        copy_channels(call, x, 0, &call->results[0], begin, x->type.channels);
        begin += x->type.channels;
    }
}

void interpret_slice(OpCall *call) {
    copy_channels(call, &call->operands[0], node_int(call->node, "start"), &call->results[0], 0,
                  call->results[0].type.channels);
}

void interpret_slice_grad(OpCall *call) {
    copy_channels(call, &call->operands[0], 0, &call->results[0], node_int(call->node, "start"),
                  call->operands[0].type.channels);
}

/* Channels as [groups, size] become [size, groups]. */
void interpret_channel_shuffle(OpCall *call) {
    const Tensor *x = &call->operands[0], *y = &call->results[0];
    int64_t groups = node_int(call->node, "groups"), channels = x->type.channels;
    int64_t size = channels / groups;
    for (int64_t row = 0; row < rows_of(call, x); row++)
        for (int64_t c = 0; c < channels; c++)
            y->data[row * channels + c % size * groups + c / size] = x->data[row * channels + c];
}

void interpret_repeat_channels(OpCall *call) {
    const Tensor *x = &call->operands[0];
    int64_t times = node_int(call->node, "times");
    for (size_t i = 0; i < call->results[0].count; i++)
        call->results[0].data[i] = x->data[(int64_t)i / times];
}

/* Between a map [image][position][channel] and a row of features [image][channel][position]. */
static void reorder(const Tensor *map, const Tensor *features, bool to_features) {
    int64_t positions = type_positions(&map->type), channels = map->type.channels, i = 0;
    for (int64_t image = 0; image < map->type.batch; image++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t position = 0; position < positions; position++, i++) {
                double *element = &map->data[(image * positions + position) * channels + c];
                if (to_features)
                    features->data[i] = *element;
                else
                    *element = features->data[i];
            }
}

void interpret_flatten(OpCall *call) {
    reorder(&call->operands[0], &call->results[0], true);
}

void interpret_unflatten(OpCall *call) {
    reorder(&call->results[0], &call->operands[0], false);
}

void interpret_squeeze(OpCall *call) {
    const Tensor *x = &call->operands[0];
    invariant(x->count == call->results[0].count, "squeeze of more than one position");
    memcpy(call->results[0].data, x->data, x->count * sizeof(double));
}

void interpret_collect(OpCall *call) {
    const Graph *graph = call->graph;
    invariant((size_t)call->node->operand_count == graph->segments.count,
              "collect takes one gradient per segment");
    for (int i = 0; i < call->node->operand_count; i++) {
        const Tensor *gradient = &call->operands[i];
        invariant(gradient->count == engine_count(graph, &graph->segments.items[i].type),
                  "the gradient of segment %s has another size", graph->segments.items[i].name);
        memcpy(call->results[0].data + graph->segments.items[i].offset, gradient->data,
               gradient->count * sizeof(double));
    }
}
