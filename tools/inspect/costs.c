#include "tools/inspect/costs.h"

#include "base/integer.h"
#include "ir/kernel_footprint.h"
#include "passes/report.h"

Cost cost_sum(Cost a, Cost b) {
    return (Cost){integer_add(a.multiply_adds, b.multiply_adds), integer_add(a.bytes, b.bytes)};
}

void cost_append(Text *text, int64_t count, const char *unit) {
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
    double value = (double)count;
    int prefix = 0;
    for (; value >= 999.5; prefix++)
        value /= 1000;
    text_append(text, "%.3g %s%s", value, prefixes[prefix], unit);
}

static int64_t value_bytes(const Graph *graph, const Value *value) {
    return type_multiply(graph_elements(graph, &value->type),
                         (int64_t)dtype_size(value->type.dtype));
}

Cost cost_of_node(const Graph *graph, const Node *node) {
    Cost cost = {.multiply_adds = report_macs(graph, node)};
    if (node->operand_count == 0)
        return cost;
    for (int i = 0; i < node->operand_count; i++) {
        if (node->operands[i])
            cost.bytes = integer_add(cost.bytes, value_bytes(graph, node->operands[i]));
    }
    for (int i = 0; i < op_info(node->op)->result_count; i++)
        cost.bytes = integer_add(cost.bytes, value_bytes(graph, &node->results[i]));
    return cost;
}

Cost cost_of_graph(const Graph *graph) {
    Cost sum = {0};
    for (const Node *node = graph->first; node; node = node->next)
        sum = cost_sum(sum, cost_of_node(graph, node));
    return sum;
}

Cost cost_of_kernel(const Program *program, const Kernel *kernel) {
    KernelTraffic traffic = kernel_traffic(program, kernel);
    return (Cost){kernel_multiply_adds(program, kernel),
                  integer_add(traffic.read, traffic.written)};
}

Cost cost_of_program(const Program *program) {
    Cost sum = {0};
    for (size_t i = 0; i < program->kernels.count; i++)
        sum = cost_sum(sum, cost_of_kernel(program, program->kernels.items[i]));
    return sum;
}
