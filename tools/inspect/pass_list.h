/* Passes that somebody chose, one after the other, on a network at any stage: `sparkc opt` and the
 * golden tests. */
#ifndef SPARKC_TOOLS_INSPECT_PASS_LIST_H
#define SPARKC_TOOLS_INSPECT_PASS_LIST_H

#include "tools/inspect/stages.h"

typedef struct PassListOptions {
    PassOptions pass;
    const char *passes; /* names of graph and program passes, separated by commas or blanks */
    bool verify_each;   /* after each: the result verifies, its text reads back as itself, and the
                           pass did not say that it changed nothing when it did */
} PassListOptions;

/* The first name of a list that no pass has, or NULL. */
const char *pass_list_unknown(Arena *arena, const char *passes);

/* Runs the passes in the order of the list, whatever the pipeline's is; the network's stage is
 * afterwards the last of them. What one cannot work on is refused: a pass of programs needs a
 * program (`lower` makes one), a pass of graphs a graph. The result verifies. False after errors,
 * which are in `diagnostics`. `observer` may be NULL. */
bool pass_list_run(Staged *staged, const PassListOptions *options, Diagnostics *diagnostics,
                   StagesObserver *observer, void *context);

/* Reports a text that does not read back as itself. */
void pass_list_check_text(const Staged *staged, Diagnostics *diagnostics);

#endif
