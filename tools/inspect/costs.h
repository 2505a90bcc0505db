/* What the ops of a graph and the kernels of a program cost: multiply-adds, bytes read and written.
 */
#ifndef SPARKC_TOOLS_INSPECT_COSTS_H
#define SPARKC_TOOLS_INSPECT_COSTS_H

#include "base/text.h"
#include "ir/kernel.h"

/* Sums stop at INT64_MAX. */
typedef struct Cost {
    int64_t multiply_adds, bytes;
} Cost;

Cost cost_sum(Cost a, Cost b);

/* Appends three digits with a unit: "4.13 MMAC", "512 B". */
void cost_append(Text *text, int64_t count, const char *unit);

/* Of an op on its own: its operands are read once and its results written once; parameters and
 * inputs cost nothing until they are read. */
Cost cost_of_node(const Graph *graph, const Node *node);
Cost cost_of_graph(const Graph *graph);

/* Of a kernel whose fields are legal; bytes as by kernel_traffic (ir/kernel_footprint.h). */
Cost cost_of_kernel(const Program *program, const Kernel *kernel);
Cost cost_of_program(const Program *program);

#endif
