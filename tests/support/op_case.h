/* Tests as data: an op, the types of its operands and its attributes, from which a graph is made
 * whose "loss" weighs every element of every result differently. */
#ifndef SPARKC_TESTS_SUPPORT_OP_CASE_H
#define SPARKC_TESTS_SUPPORT_OP_CASE_H

#include "ir/graph.h"
#include "ir/interpret/interpret.h"

/* Images are 2 x 8 x 12 x 3 in cells of 4 x 4, of which 3 of 6 are visible.
 *
 * operands    types as in the IR's text with ", " between them; in front of one
 *             (nothing)  every element comes from a parameter, in [-1, 1)
 *             "+"        the same, in [0.5, 1.5)
 *             "~"        the same, in [-8, 8)
 *             "<"        the same, in [-1.5, -0.5)
 *             "^"        the same, in [999, 1001)
 *             "@"        the same, all equal
 *             "#"        the same, of -1, -0.5, 0, 0.5, 1
 *             "?"        the same, and every fourth NaN, infinite, a zero or denormal
 *             "!", "!+"  an input
 *             "$", "$+"  a state
 *             and "-" alone: an absent operand
 * attributes  "name=value name=value"; ints with commas: "kernel=3,3 over=batch";
 *             of an op whose type is stated: the type of its result */
typedef struct OpCase {
    Op op;
    const char *operands, *attributes;
} OpCase;

/* The graph of a case: outputs "loss" and "y0", "y1", .. for its results. A case whose op is not
 * legal ends the test. The segments and states are named after the operands' places, "x0", "x1", ..
 */
Graph *op_case_graph(Arena *arena, const OpCase *op_case);

/* Appends a case to a graph of any geometry. All its names begin with `prefix`; the outputs are
 * "<prefix>y0", .. Returns the value that weighs the results' elements, one number, which is no
 * output. */
Value *op_case_add(Graph *graph, const char *prefix, const OpCase *op_case);

/* "conv f32<..>, f32[..] {kernel=3,3}", for messages. */
const char *op_case_text(Arena *arena, const OpCase *op_case);

/* True if an operand of the case is masked. */
bool op_case_is_masked(const OpCase *op_case);

/* Element `index` of the parameter or state of that name. */
double op_case_number(const char *name, size_t index);

/* The numbers of an `input` node but the cell list, in dense x mask form. */
Tensor op_case_input(Arena *arena, const Graph *graph, const Node *node);

/* Sets every input, scalar, state and parameter of a graph that came from a case (through any
 * passes): the numbers depend on the names only. */
void op_case_fill(Interpreter *interpreter, Arena *arena, const Graph *graph);

#endif
