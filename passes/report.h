/* What masking does to each layer, for `sparkc check`. */
#ifndef SPARKC_PASSES_REPORT_H
#define SPARKC_PASSES_REPORT_H

#include "base/diagnostics.h"
#include "base/vector.h"
#include "passes/passes.h"

typedef struct ReportLayer {
    const char *name; /* of the op's value: the labels on the way to it, or the op's name */
    Op op;
    Part part;           /* encoder, densify or decoder; head: not part of pretraining */
    const char *rule;    /* the op's masked rule in words; what replaces it outside the encoder */
    Location location;   /* in the .cnn; file NULL: added for pretraining */
    Type before, after;  /* whole and masked; equal outside the encoder */
    int64_t macs_dense;  /* multiply-adds on whole pictures, for the batch of the graph; INT64_MAX:
                            too many to count */
    int64_t macs_masked; /* the same in pretraining; 0 in the head */
} ReportLayer;

typedef struct Report {
    VECTOR(ReportLayer) layers;      /* in order of evaluation */
    int64_t macs_dense, macs_masked; /* of encoder, densifying and decoder together */
} Report;

/* The layers of a graph as the front end made it. `graph` is not changed; the result lives in
 * `arena`. False if the network cannot be pretrained, which is then in `diagnostics`. */
bool report_create(const Graph *graph, const PassOptions *options, Arena *arena,
                   Diagnostics *diagnostics, Report *report);

/* Multiply-adds of a node: of convolutions and linear layers, and their gradients; 0 for others. */
int64_t report_macs(const Graph *graph, const Node *node);

#endif
