/* Layers that a pass adds, with their parameters: names, layouts and files as PyTorch has them. */
#ifndef SPARKC_PASSES_LAYERS_H
#define SPARKC_PASSES_LAYERS_H

#include "ir/builder.h"

/* A convolution, the same in all directions. Parameters: <name>.weight, and <name>.bias if it has
 * one. */
typedef struct ConvLayer {
    const char *name;
    Part part;
    bool transposed; /* conv_transpose with an output of stride x input */
    bool bias;
    int64_t in, out, kernel, stride, pad;
    Init weight_init, bias_init;
} ConvLayer;

/* A norm with weight 1 and bias 0 at first. A batch norm has the three states of PyTorch's as well.
 */
typedef struct NormLayer {
    const char *name;
    Part part;
    bool batch; /* else over the channels of a position */
    int64_t channels;
    double eps;
} NormLayer;

/* Adds the layer's segments and states to the graph's tables. False if a name is taken. */
bool layers_add_conv(Graph *graph, const ConvLayer *layer);
bool layers_add_norm(Graph *graph, const NormLayer *layer);

/* Applies a layer whose segments exist. The result is named after the layer. */
Value *layers_conv(Builder *builder, const ConvLayer *layer, Value *x);
Value *layers_norm(Builder *builder, const NormLayer *layer, Value *x);

#endif
