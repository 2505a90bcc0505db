/* Whether a graph means something: every fact that the rest of the program relies on. */
#ifndef SPARKC_IR_VERIFY_H
#define SPARKC_IR_VERIFY_H

#include "base/diagnostics.h"
#include "ir/graph.h"

/* Checks a graph and reports every error, each with the printed form of its node:
 * - the geometry is possible and its sizes fit;
 * - segments follow one another, have plain types and shapes in files of as many elements;
 * - nodes are linked both ways; operands are values of nodes that stand before;
 * - each result has a name of its own and the type that the op's rule infers;
 * - no op mixes dense and masked operands;
 * - no two outputs have one name, nothing is committed twice;
 * - only ops that may occur after graph->stage do.
 * Returns true if there is no error. Needs no scratch marks; the graph may be broken in any way
 * but its lists of nodes being cyclic. */
bool verify_graph(const Graph *graph, Diagnostics *diagnostics);

#endif
