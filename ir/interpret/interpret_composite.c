/* Composites straight from their formulas, so that what the expand pass makes of them can be
 * compared. */
#include <math.h>
#include <stdlib.h>

#include "base/fatal.h"
#include "base/random.h"
#include "ir/interpret/engine.h"

/* The operand's value for a channel; `missing` if the operand is absent. */
static double per_channel(const OpCall *call, int index, int64_t channel, double missing) {
    if (index >= call->node->operand_count || !call->operands[index].data)
        return missing;
    return call->operands[index].data[channel];
}

/* Part of a map: rows [begin, end), channels [first, first + channels) of each. */
typedef struct Block {
    int64_t begin, end, first, channels;
} Block;

typedef struct Statistics {
    double mean, variance; /* biased */
} Statistics;

/* Over the visible rows of a block. */
static Statistics statistics_of(const OpCall *call, const Block *block) {
    const Tensor *x = &call->operands[0];
    const bool *visible = engine_visible(call, &x->type);
    Statistics statistics = {0, 0};
    for (int pass = 0; pass < 2; pass++) {
        double sum = 0, count = 0;
        for (int64_t row = block->begin; row < block->end; row++)
            for (int64_t c = 0; c < block->channels && (!visible || visible[row]); c++) {
                double value = x->data[row * x->type.channels + block->first + c] - statistics.mean;
                sum += pass ? value * value : value;
                count++;
            }
        *(pass ? &statistics.variance : &statistics.mean) = count > 0 ? sum / count : 0;
    }
    return statistics;
}

/* y = (x - mean) / sqrt(variance + eps) * weight + bias over a block; operand `affine` is the
 * weight, the next one the bias. */
static void normalise_block(OpCall *call, const Block *block, Statistics statistics, int affine) {
    int64_t channels = call->operands[0].type.channels;
    double scale = 1 / sqrt(statistics.variance + node_float(call->node, "eps"));
    for (int64_t row = block->begin; row < block->end; row++)
        for (int64_t c = block->first; c < block->first + block->channels; c++)
            call->results[0].data[row * channels + c] =
                (call->operands[0].data[row * channels + c] - statistics.mean) * scale *
                    per_channel(call, affine, c, 1) +
                per_channel(call, affine + 1, c, 0);
}

static int64_t rows_of(const OpCall *call) {
    return engine_rows(call->graph, &call->operands[0].type);
}

void interpret_batch_norm(OpCall *call) {
    for (int64_t c = 0; c < call->operands[0].type.channels; c++) {
        Block block = {0, rows_of(call), c, 1};
        Statistics running = {call->operands[1].data[c], call->operands[2].data[c]};
        normalise_block(call, &block, call->training ? statistics_of(call, &block) : running, 4);
    }
}

void interpret_layer_norm(OpCall *call) {
    for (int64_t row = 0; row < rows_of(call); row++) {
        Block block = {row, row + 1, 0, call->operands[0].type.channels};
        normalise_block(call, &block, statistics_of(call, &block), 1);
    }
}

static void normalise_groups(OpCall *call, int64_t groups) {
    const Type *type = &call->operands[0].type;
    int64_t positions = type_positions(type), width = type->channels / groups;
    for (int64_t image = 0; image < type->batch; image++)
        for (int64_t group = 0; group < groups; group++) {
            Block block = {image * positions, (image + 1) * positions, group * width, width};
            normalise_block(call, &block, statistics_of(call, &block), 1);
        }
}

void interpret_group_norm(OpCall *call) {
    normalise_groups(call, node_int(call->node, "groups"));
}

void interpret_instance_norm(OpCall *call) {
    normalise_groups(call, call->operands[0].type.channels);
}

/* y = x + weight * x * g / (mean of g over the channels + eps) + bias; g the L2 norm of a channel
 * of an image (Woo et al. 2023, ConvNeXt V2). */
static void respond(OpCall *call, int64_t image) {
    const Type *type = &call->operands[0].type;
    int64_t positions = type_positions(type), channels = type->channels;
    int64_t begin = image * positions * channels;
    const double *x = call->operands[0].data + begin;
    double *y = call->results[0].data + begin, *norm = engine_allocate((size_t)channels), mean = 0;
    for (int64_t i = 0; i < positions * channels; i++)
        norm[i % channels] += x[i] * x[i];
    for (int64_t c = 0; c < channels; c++) {
        norm[c] = sqrt(norm[c]);
        mean += norm[c] / (double)channels;
    }
    double eps = node_float(call->node, "eps");
    for (int64_t i = 0; i < positions * channels; i++)
        y[i] = x[i] +
               call->operands[1].data[i % channels] * x[i] * norm[i % channels] / (mean + eps) +
               call->operands[2].data[i % channels];
    free(norm);
}

void interpret_grn(OpCall *call) {
    for (int64_t image = 0; image < call->operands[0].type.batch; image++)
        respond(call, image);
}

void interpret_global_avg_pool(OpCall *call) {
    const Type *type = &call->operands[0].type;
    int64_t positions = type_positions(type);
    for (int64_t image = 0; image < type->batch; image++)
        for (int64_t c = 0; c < type->channels; c++) {
            Block block = {image * positions, (image + 1) * positions, c, 1};
            call->results[0].data[image * type->channels + c] = statistics_of(call, &block).mean;
        }
}

/* Scales element i of x by 0 or 1 / (1 - rate), drawn for number i / share. */
static void drop(OpCall *call, size_t share) {
    const Tensor *x = &call->operands[0];
    double rate = node_float(call->node, "rate");
    double *y = call->results[0].data;
    for (size_t i = 0; i < x->count; i++)
        y[i] = x->data[i];
    if (!call->training || rate <= 0)
        return;
    const double *seed = engine_scalar(call, "seed"), *step = engine_scalar(call, "step");
    if (!seed || !step)
        return;
    uint32_t stream = (uint32_t)node_int(call->node, "stream");
    for (size_t i = 0; i < x->count; i++)
        y[i] *= random_keeps((uint32_t)engine_round(DTYPE_U32, *seed), stream,
                             (uint32_t)engine_round(DTYPE_U32, *step), i / share, rate)
                    ? 1 / (1 - rate)
                    : 0;
}

void interpret_dropout(OpCall *call) {
    drop(call, 1);
}

void interpret_drop_path(OpCall *call) {
    drop(call, call->operands[0].count / (size_t)call->operands[0].type.batch);
}
