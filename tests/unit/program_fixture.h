/* Networks of the source tree on their way to programs. A failure ends the test. */
#ifndef SPARKC_TESTS_UNIT_PROGRAM_FIXTURE_H
#define SPARKC_TESTS_UNIT_PROGRAM_FIXTURE_H

#include "frontend/frontend.h"
#include "passes/passes.h"
#include "passes/program.h"

/* A path in the source tree. */
const char *program_fixture_path(Arena *arena, const char *path);

FrontendFile *program_fixture_file(Arena *arena, const char *path);

/* The graph of a network as the front end makes it. `network` NULL: the only one. */
Graph *program_fixture_network(Arena *arena, FrontendFile *file, const char *network);

/* Runs all passes of the graph. */
void program_fixture_pass(Graph *graph, const PassOptions *options);

/* The planned program of a graph behind all passes. */
Program *program_fixture_program(Graph *graph);

/* Says what went wrong, if anything did. */
void program_fixture_expect(const Diagnostics *diagnostics, bool fine, const char *what);

#endif
