/* One graph, run by the graph interpreter, the kernel interpreter and as compiled code on the same
 * numbers, and compared within the bounds of ir/interpret/tolerance.h, carried from op to op. */
#ifndef SPARKC_TESTS_SUPPORT_TRIAL_H
#define SPARKC_TESTS_SUPPORT_TRIAL_H

#include "ir/interpret/interpret.h"
#include "ir/interpret/kernel_interpret.h"
#include "tests/support/compiled.h"

typedef struct TrialBounds TrialBounds;

typedef struct Trial {
    Arena *arena; /* the caller's */
    Graph *graph; /* without composites */
    Program *program;
    Interpreter *expected; /* after its run */
    TrialBounds *bounds;   /* of each value */
} Trial;

/* Lowers the graph, gives it numbers that follow from the names (tests/support/op_case.h), and runs
 * the graph interpreter. */
Trial *trial_create(Arena *arena, Graph *graph);
void trial_destroy(Trial *trial);

/* The same numbers for a program of a graph: inputs, scalars, parameters, states. */
void trial_fill(Arena *arena, const Graph *graph, KernelInterpreter *values,
                const Program *program);

/* The same for the graph interpreter. */
void trial_fill_interpreter(Arena *arena, const Graph *graph, Interpreter *interpreter);

/* Compares all outputs with the graph interpreter's. A difference is a failure with the output's
 * name, `who`, and what `describe` says of it. */
typedef const char *TrialDescribe(Arena *arena, const void *context, const char *output);
void trial_compare(const Trial *trial, KernelInterpreter *values, const char *who,
                   TrialDescribe *describe, const void *context);

/* The visible cells of image `image`, drawn without replacement, ascending. */
void trial_cells(const Graph *graph, int64_t image, double *cells);

#endif
