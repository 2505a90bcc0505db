/* Sources and sinks: inputs, constants, what is read from the regions, random numbers. */
#include <math.h>
#include <string.h>

#include "base/fatal.h"
#include "base/random.h"
#include "ir/interpret/engine.h"

void interpret_input(OpCall *call) {
    const double *data = engine_input(call, node_text(call->node, "name"));
    if (data)
        memcpy(call->results[0].data, data, call->results[0].count * sizeof *data);
}

void interpret_scalar(OpCall *call) {
    const double *data = engine_scalar(call, node_text(call->node, "name"));
    if (data)
        call->results[0].data[0] = *data;
}

void interpret_constant(OpCall *call) {
    double value = node_float(call->node, "value");
    for (size_t i = 0; i < call->results[0].count; i++)
        call->results[0].data[i] = value;
}

void interpret_param(OpCall *call) {
    const char *name = node_text(call->node, "segment");
    const Segment *segment = graph_find_segment(call->graph, name);
    invariant(segment, "there is no segment \"%s\"", name);
    engine_view_params(call, segment->offset);
}

void interpret_parameters(OpCall *call) {
    engine_view_params(call, 0);
}

void interpret_state(OpCall *call) {
    engine_view_state(call, node_text(call->node, "name"));
}

void interpret_segment_table(OpCall *call) {
    const char *column = node_text(call->node, "column");
    bool decays = strcmp(column, "decays") == 0;
    invariant(decays || strcmp(column, "lr_scale") == 0, "the segment table has no column %s",
              column);
    for (size_t i = 0; i < call->graph->segments.count; i++) {
        const Segment *segment = &call->graph->segments.items[i];
        call->results[0].data[i] = decays ? (segment->decays ? 1 : 0) : segment->lr_scale;
    }
}

void interpret_bernoulli(OpCall *call) {
    double rate = node_float(call->node, "rate");
    uint32_t stream = (uint32_t)node_int(call->node, "stream");
    uint32_t seed = (uint32_t)engine_round(DTYPE_U32, call->operands[0].data[0]);
    uint32_t step = (uint32_t)engine_round(DTYPE_U32, call->operands[1].data[0]);
    for (size_t i = 0; i < call->results[0].count; i++)
        call->results[0].data[i] = random_keeps(seed, stream, step, i, rate) ? 1 / (1 - rate) : 0;
}

/* The engine keeps the operand; there is nothing to compute. */
void interpret_output(OpCall *call) {
    (void)call;
}

void interpret_commit(OpCall *call) {
    (void)call;
}
