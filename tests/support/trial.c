#include "tests/support/trial.h"

#include <CUnit/CUnit.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/random.h"
#include "ir/interpret/tolerance.h"
#include "ir/kernel_verify.h"
#include "passes/lower.h"
#include "tests/support/op_case.h"

/* ---- Bounds of all values -------------------------------------------------------------------- */

typedef struct Bound {
    const Value *value;
    const double *bounds;
    UT_hash_handle hh;
} Bound;

struct TrialBounds {
    Arena *arena;
    Interpreter *interpreter;
    Bound *table;
};

static const double *find_bounds(const TrialBounds *bounds, const Value *value) {
    Bound *found = NULL;
    HASH_FIND_PTR(bounds->table, &value, found);
    return found ? found->bounds : NULL;
}

static void keep_bounds(TrialBounds *bounds, const Value *value, const double *numbers,
                        size_t count) {
    Bound *bound = arena_new(bounds->arena, Bound);
    double *kept = arena_new_array(bounds->arena, double, count);
    memcpy(kept, numbers, count * sizeof *kept);
    bound->value = value;
    bound->bounds = kept;
    HASH_ADD_PTR(bounds->table, value, bound);
}

static void observe(void *context, const Value *value, const Tensor *tensor) {
    TrialBounds *bounds = context;
    const Node *node = value->node;
    Arena *scratch = arena_create();
    size_t operands = (size_t)node->operand_count;
    const double **of_operands = arena_new_array(scratch, const double *, operands + 1);
    for (size_t i = 0; i < operands; i++)
        of_operands[i] = node->operands[i] ? find_bounds(bounds, node->operands[i]) : NULL;
    const double *made = tolerance_bounds(bounds->interpreter, scratch, value, tensor, of_operands);
    for (size_t i = 0; i < tensor->count; i++)
        if (made[i] != 0) {
            keep_bounds(bounds, value, made, tensor->count);
            break;
        }
    arena_destroy(scratch);
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static void expect_fine(Status status) {
    if (status.message)
        fprintf(stderr, "\n%s\n", status.message);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
}

void trial_cells(const Graph *graph, int64_t image, double *cells) {
    int64_t count = graph_cells(graph), keep = graph->geometry.keep, found = 0;
    for (int64_t cell = 0; cell < count; cell++) {
        uint32_t word = random_word(1, 2, (uint32_t)image, (uint64_t)cell);
        if ((int64_t)(word % (uint32_t)(count - cell)) < keep - found)
            cells[found++] = (double)cell;
    }
}

static double *all_cells(const Graph *graph, Arena *arena, size_t *count) {
    int64_t batch = graph->geometry.batch, keep = graph->geometry.keep;
    *count = (size_t)(batch * keep);
    double *cells = arena_new_array(arena, double, *count);
    for (int64_t image = 0; image < batch; image++)
        trial_cells(graph, image, cells + image * keep);
    return cells;
}

static Tensor rounded(Tensor tensor) {
    for (size_t i = 0; i < tensor.count; i++)
        tensor.data[i] = (double)(float)tensor.data[i];
    return tensor;
}

static double scalar_value(const char *name) {
    static const struct {
        const char *name;
        double value;
    } known[] = {{"seed", 17}, {"step", 5}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].value;
    return 0.125;
}

static double state_number(const StateSlot *slot, size_t index) {
    return (double)(float)fabs(op_case_number(slot->name, index));
}

void trial_fill_interpreter(Arena *arena, const Graph *graph, Interpreter *interpreter) {
    size_t count;
    double *cells = all_cells(graph, arena, &count);
    if (count)
        expect_fine(interpreter_set_input(interpreter, arena, "cells", cells, count));
    graph_each(graph, node) {
        const char *name =
            node->op == OP_input || node->op == OP_scalar ? node_text(node, "name") : "cells";
        if (node->op == OP_scalar)
            interpreter_set_scalar(interpreter, name, scalar_value(name));
        if (strcmp(name, "cells") == 0 || node->op == OP_scalar)
            continue;
        Tensor tensor = rounded(op_case_input(arena, graph, node));
        expect_fine(interpreter_set_input(interpreter, arena, name, tensor.data, tensor.count));
    }
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        Tensor tensor = interpreter_param(interpreter, segment->name);
        for (size_t k = 0; k < tensor.count; k++)
            tensor.data[k] = (double)(float)op_case_number(segment->name, k);
    }
    for (size_t i = 0; i < graph->states.count; i++) {
        const StateSlot *slot = &graph->states.items[i];
        Tensor tensor = interpreter_state(interpreter, slot->name);
        for (size_t k = 0; k < tensor.count; k++)
            tensor.data[k] = state_number(slot, k);
    }
}

static void write_input(Arena *arena, const Graph *graph, KernelInterpreter *values,
                        const Program *program, const Node *node) {
    const char *name = node_text(node, "name");
    int buffer = kernel_find_buffer(program, REGION_INPUTS, name);
    if (buffer < 0 || strcmp(name, "cells") == 0)
        return;
    Tensor tensor = rounded(op_case_input(arena, graph, node));
    View view = kernel_interpreter_whole_view(program, buffer, &tensor.type);
    kernel_interpreter_write(values, &view, &tensor.type, tensor.data);
}

static void write_param(Arena *arena, const Graph *graph, KernelInterpreter *values,
                        const Segment *segment) {
    size_t count = (size_t)graph_elements(graph, &segment->type);
    double *numbers = arena_new_array(arena, double, count);
    for (size_t k = 0; k < count; k++)
        numbers[k] = (double)(float)op_case_number(segment->name, k);
    expect_fine(kernel_interpreter_set_param(values, arena, segment->name, numbers, count));
}

static void write_state(Arena *arena, const Graph *graph, KernelInterpreter *values,
                        const StateSlot *slot) {
    size_t count = (size_t)graph_elements(graph, &slot->type);
    double *numbers = arena_new_array(arena, double, count);
    for (size_t k = 0; k < count; k++)
        numbers[k] = state_number(slot, k);
    expect_fine(kernel_interpreter_set_state(values, arena, slot->name, numbers, count));
}

void trial_fill(Arena *arena, const Graph *graph, KernelInterpreter *values,
                const Program *program) {
    size_t count;
    double *cells = all_cells(graph, arena, &count);
    if (program->cells >= 0)
        expect_fine(kernel_interpreter_set_input(values, arena, "cells", cells, count));
    graph_each(graph, node) {
        if (node->op == OP_input)
            write_input(arena, graph, values, program, node);
        else if (node->op == OP_scalar)
            kernel_interpreter_set_scalar(values, node_text(node, "name"),
                                          scalar_value(node_text(node, "name")));
    }
    for (size_t i = 0; i < graph->segments.count; i++)
        write_param(arena, graph, values, &graph->segments.items[i]);
    for (size_t i = 0; i < graph->states.count; i++)
        write_state(arena, graph, values, &graph->states.items[i]);
}

/* ---- Running and comparing ------------------------------------------------------------------- */

Trial *trial_create(Arena *arena, Graph *graph) {
    Trial *trial = arena_new(arena, Trial);
    trial->arena = arena;
    trial->graph = graph;
    trial->program = lower_graph(arena, graph);
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    if (!kernel_verify(trial->program, diagnostics))
        fprintf(stderr, "\n%s", diagnostics_text(diagnostics, false));
    CU_ASSERT_EQUAL_FATAL(diagnostics_error_count(diagnostics), 0);
    trial->expected = interpreter_create(graph);
    trial->bounds = arena_new(arena, TrialBounds);
    *trial->bounds = (TrialBounds){.arena = arena, .interpreter = trial->expected};
    trial_fill_interpreter(arena, graph, trial->expected);
    interpreter_observe(trial->expected, observe, trial->bounds);
    expect_fine(interpreter_run(trial->expected, arena));
    return trial;
}

void trial_destroy(Trial *trial) {
    HASH_CLEAR(hh, trial->bounds->table);
    interpreter_destroy(trial->expected);
}

static void compare_output(const Trial *trial, KernelInterpreter *values, const Node *node,
                           const char *who, TrialDescribe *describe, const void *context) {
    Arena *scratch = arena_create();
    const char *name = node_text(node, "name");
    const Value *value = node->operands[0];
    Tensor expected = interpreter_output(trial->expected, name);
    Tensor actual = kernel_interpreter_output(values, scratch, name, &value->type);
    CU_ASSERT_EQUAL_FATAL(expected.count, actual.count);
    const double *bounds = find_bounds(trial->bounds, value);
    if (!bounds)
        bounds = arena_new_array(scratch, double, expected.count);
    ToleranceResult worst = tolerance_compare(actual.data, expected.data, bounds, expected.count);
    if (getenv("SPARKC_TEST_VERBOSE") && worst.ratio > 0.5)
        fprintf(stderr, "\n%s: %s: %s: ratio %.3g", who, describe(scratch, context, name), name,
                worst.ratio);
    if (worst.ratio > 1) {
        fprintf(stderr,
                "\n%s: %s: element %zu of %s is %.9g, expected %.9g; off by %.3g, of which %.3g "
                "are fine",
                who, describe(scratch, context, name), worst.element, name, worst.actual,
                worst.expected, worst.error, worst.bound);
        CU_FAIL("a result differs");
    }
    arena_destroy(scratch);
}

void trial_compare(const Trial *trial, KernelInterpreter *values, const char *who,
                   TrialDescribe *describe, const void *context) {
    graph_each(trial->graph, node) {
        if (node->op == OP_output)
            compare_output(trial, values, node, who, describe, context);
    }
}
