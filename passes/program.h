/* From a graph to a planned program, in passes of their own behind those of passes/passes.h:
 *
 *   lower -> fuse_kernels -> recompute -> precision -> schedule -> plan_memory
 *
 * program_passes.def has a row per pass; program.c runs them and verifies the program after each.
 */
#ifndef SPARKC_PASSES_PROGRAM_H
#define SPARKC_PASSES_PROGRAM_H

#include "base/diagnostics.h"
#include "base/status.h"
#include "passes/lower.h"
#include "passes/plan_memory.h"
#include "passes/precision.h"
#include "passes/rewrites.h"

/* A program on its way. Everything is allocated from `arena`. */
typedef struct ProgramBuild {
    Arena *arena;
    Graph *graph;          /* what is lowered, as the last pass of passes.def left it; must live as
                              long as the program. NULL: there is a program already */
    LoweredValues *values; /* gets the places of the graph's values; NULL: nobody asks */
    Rewrites *rewrites;    /* counts them and may stop them; NULL: nobody counts */
    Precision precision;   /* asked for */
    Program *program;      /* given, or made by `lower` */
    MemoryPlan memory;     /* set by `plan_memory` */
} ProgramBuild;

/* Returns true if it changed the program. */
typedef bool ProgramPassFunction(ProgramBuild *build, Diagnostics *diagnostics);

typedef struct ProgramPassInfo {
    const char *name, *help;
    ProgramPassFunction *run;
} ProgramPassInfo;

/* The passes in order; `count` is set. */
const ProgramPassInfo *program_passes(int *count);

/* Called after each pass. */
typedef void ProgramObserver(void *context, const ProgramPassInfo *pass, const Program *program,
                             bool changed, double seconds);

/* Runs the passes from the one after the program's stage (from the first without a program) up to
 * and including `until` (NULL: to the end), verifying after each. False after an error, which is in
 * `diagnostics`: a program from a text that does not verify or is of no known stage, or more memory
 * than can be addressed. */
bool program_passes_run(ProgramBuild *build, const char *until, Diagnostics *diagnostics,
                        ProgramObserver *observer, void *context);

/* All passes, for a graph. */
Status program_build(ProgramBuild *build);

#endif
