/* The suites of the tests of the front end, one per file, and what they share. */
#ifndef SPARKC_TESTS_UNIT_FRONTEND_SUITES_H
#define SPARKC_TESTS_UNIT_FRONTEND_SUITES_H

#include "frontend/frontend.h"
#include "tests/unit/harness.h"

extern CU_TestInfo frontend_values[];
extern CU_TestInfo frontend_names[];
extern CU_TestInfo frontend_graphs[];
extern CU_TestInfo frontend_files[];
extern CU_TestInfo frontend_models[];

/* A text read from memory as "net.cnn", and one of its networks built. */
typedef struct Built {
    Arena *arena;
    FrontendFile *file; /* NULL after errors */
    Graph *graph;       /* NULL after errors */
    const char *messages;
} Built;

/* `options` NULL: none. The graph is verified. */
Built build_text(const char *text, const FrontendOptions *options);
void built_destroy(Built *built);

/* The same, for a text that must give a graph without any message; asserts it. */
Built build_quiet(const char *text, const FrontendOptions *options);

/* The names of all parameters and states, in order, joined by blanks, parameters first. */
const char *segment_names(const Built *built);
const char *state_names(const Built *built);

/* "8x3x7x7", the shape of a parameter in files; "" if there is none of the name. */
const char *segment_shape(const Built *built, const char *name);

#endif
