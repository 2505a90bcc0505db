/* A network against the interpreter: the program that runs and the dense x mask form of the graph,
 * op by op, on synthetic weights and pictures. */
#ifndef SPARKC_TOOLS_VERIFY_SELF_CHECK_H
#define SPARKC_TOOLS_VERIFY_SELF_CHECK_H

#include "passes/passes.h"
#include "tools/execute/executor.h"
#include "tools/network.h"
#include "tools/verify/compare.h"

typedef struct SelfCheckOptions {
    PassOptions pass;
    ExecutorOptions run;
    bool interpret;      /* by the kernel interpreter instead of compiled code */
    bool check_rewrites; /* also the graph before simplify against the one behind dce, as a whole */
    bool check_memory;   /* also in guarded memory and on memory full of NaN: the same bits */
    uint32_t seed;
    uint64_t memory; /* bytes that a check may take; 0: what the machine has free */
} SelfCheckOptions;

/* Checks every entry that the network has: the training step, the update by accumulated gradients,
 * the reconstruction in evaluation mode, features and logits. A group per op kind; the error is the
 * largest one of a tensor over its largest element. Refuses, before anything is compiled or
 * computed, what would take more memory than there is. */
Status self_check_network(Arena *arena, const Graph *network, const SelfCheckOptions *options,
                          Diagnostics *diagnostics, Comparison *comparison);

/* About how many bytes the most demanding entry takes to be checked. */
Status self_check_memory(Arena *arena, const Graph *network, const SelfCheckOptions *options,
                         Diagnostics *diagnostics, uint64_t *bytes);

/* Checks one entry of a graph that is at any stage; the passes that are left run first.
 * Refuses what is too large as well. */
Status self_check_entry(Arena *arena, const Graph *graph, const SelfCheckOptions *options,
                        Entry entry, Diagnostics *diagnostics, Comparison *comparison);

/* The smallest image that the network can be pretrained on with these options, such as "3x64x32";
 * NULL if none is found up to the size that the network itself names. */
const char *self_check_smallest_input(Arena *arena, NetworkSource *source, const char *name,
                                      const PassOptions *options);

#endif
