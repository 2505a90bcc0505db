/* Classes by the nearest neighbours, as DINO's evaluation does it. */
#ifndef SPARKC_TOOLS_PROBE_PROBE_KNN_H
#define SPARKC_TOOLS_PROBE_PROBE_KNN_H

#include "runtime/threads.h"
#include "tools/execute/features.h"

enum { KNN_DEFAULT = 20, KNN_MOST = 1000 };

/* The class of each test row into predictions[test->count]: its k nearest training rows by the
 * cosine vote, each with weight exp(cosine / 0.07). Of equal neighbours the earlier are taken, of
 * equal votes the smaller class. k is 1 to KNN_MOST; where there are fewer training rows all vote.
 * Needs copies of both sets; the result does not depend on the number of threads. */
void knn_predict(Threads *threads, const Features *train, const Features *test, size_t class_count,
                 int k, uint32_t *predictions);

/* The share of rows whose class is the predicted one. */
double knn_accuracy(const Features *test, const uint32_t *predictions);

#endif
