/* One contraction of a program, alone: compiled several times with different choices, and timed, on
 * numbers out of thin air. */
#ifndef SPARKC_TOOLS_TUNE_LONE_H
#define SPARKC_TOOLS_TUNE_LONE_H

#include "codegen/cpu/choices.h"
#include "runtime/executor.h"

/* What all contractions of a program share: borrowed, but for the memory. */
typedef struct LoneHost {
    const Program *program;
    const CpuTarget *target;
    Threads *threads;
    int compile_threads;
    const struct CodeCache *cache; /* NULL: none */
    char *regions[PLAN_SCRATCH]; /* all but scratch: numbers, and cells of which some are hidden */
} LoneHost;

/* Allocates and fills the regions; a failure if there is not enough memory. */
Status lone_host_fill(Arena *arena, LoneHost *host);
void lone_host_free(LoneHost *host);

typedef struct Lone Lone;

/* A contraction of the host's program with the position maps that it needs, in scratch of its own.
 * It lives in `arena` until lone_destroy. */
Status lone_create(Arena *arena, const LoneHost *host, const Kernel *kernel, Lone **lone);
void lone_destroy(Lone *lone);

/* Compiles it with these choices, which must be legal, and runs it once. *variant is the number of
 * this compilation; where another one does the same work in the same chunks, that one's. */
Status lone_add(Lone *lone, const Choices *choices, int *variant);

/* The least seconds of some runs of a variant, one after the other. */
double lone_seconds(Lone *lone, int variant, int runs);

#endif
