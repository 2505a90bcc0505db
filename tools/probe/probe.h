/* How good the features of a run's network are for telling labelled pictures apart. */
#ifndef SPARKC_TOOLS_PROBE_PROBE_H
#define SPARKC_TOOLS_PROBE_PROBE_H

#include "tools/probe/probe_linear.h"
#include "tools/train/pretrain.h"

/* Labelled pictures, as they were given. */
typedef struct ProbeSet {
    VECTOR(const char *) paths;
    size_t used, bad; /* pictures with features; that could not be decoded */
} ProbeSet;

typedef struct Probe {
    PretrainRun run; /* arena, folder, code, progress are set */
    ProbeSet train, test;
    const char *weights; /* a file; NULL: the run's newest checkpoint, whose path it becomes */
    bool random;         /* weights are drawn */
    uint32_t seed;       /* of random weights, and of the choice of training pictures */
    int k;
    int64_t count; /* training pictures; 0: all */

    /* What comes out. */
    const char *const *class_names;
    size_t class_count, width;
    double knn;
    LinearResult linear;
    double feature_seconds, knn_seconds, linear_seconds;
} Probe;

/* Reads both sets, computes features, judges them. Tells of bad pictures, weights and, on a
 * terminal, of its progress on stderr. */
Status probe_run(Probe *probe);

#endif
