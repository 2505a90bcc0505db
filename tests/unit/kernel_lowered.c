/* Lowered programs against the graph interpreter: every op's cases with their gradients, and the
 * whole training step of small networks. Each program verifies, reads back from its text, and runs.
 */
#include <math.h>
#include <string.h>

#include "ir/interpret/kernel_interpret.h"
#include "ir/kernel_parse.h"
#include "ir/kernel_print.h"
#include "ir/kernel_verify.h"
#include "passes/lower.h"
#include "passes/passes.h"
#include "tests/support/network.h"
#include "tests/support/op_cases.h"
#include "tests/unit/kernel_suites.h"

/* Of the largest element of a tensor. An op: some hundred roundings to fp32, 2^-24 each, on the way
 * to it. A network: ten times that, since its gradients are sums of terms that nearly cancel. */
static const double op_tolerance = 2e-5, network_tolerance = 2e-4;

typedef struct Comparison {
    Arena *arena;
    const char *text; /* what is compared, for messages */
    double tolerance;
    Graph *graph;
    Program *program;
    Interpreter *expected;
    KernelInterpreter *actual;
} Comparison;

static void fail(const Comparison *c, const char *what, const char *detail) {
    printf("\n%s: %s: %s", c->text, what, detail);
    CU_FAIL("a lowered program differs");
}

/* ---- The same numbers for both --------------------------------------------------------------- */

static void check_status(const Comparison *c, Status status) {
    if (status.message)
        fail(c, "status", status.message);
}

/* Every k-th cell, others in each image. */
static void set_cells(const Comparison *c) {
    const Geometry *geometry = &c->graph->geometry;
    int64_t cells = graph_cells(c->graph), keep = geometry->keep;
    size_t count = (size_t)(geometry->batch * keep);
    double *data = arena_new_array(c->arena, double, count);
    for (int64_t i = 0; i < (int64_t)count; i++)
        data[i] = (double)(i % keep * cells / keep + (i / keep % 2 && cells > 2 * keep));
    if (keep == 0)
        return;
    check_status(c, interpreter_set_input(c->expected, c->arena, "cells", data, count));
    if (c->program->cells >= 0)
        check_status(c, kernel_interpreter_set_input(c->actual, c->arena, "cells", data, count));
}

static void set_input(const Comparison *c, const Node *node) {
    const char *name = node_text(node, "name");
    int buffer = kernel_find_buffer(c->program, REGION_INPUTS, name);
    if (strcmp(name, "cells") == 0)
        return;
    Tensor tensor = op_case_input(c->arena, c->graph, node);
    for (size_t i = 0; i < tensor.count; i++)
        tensor.data[i] = (double)(float)tensor.data[i];
    check_status(c, interpreter_set_input(c->expected, c->arena, name, tensor.data, tensor.count));
    CU_ASSERT_FATAL(buffer >= 0);
    View view = kernel_interpreter_whole_view(c->program, buffer, &tensor.type);
    kernel_interpreter_write(c->actual, &view, &tensor.type, tensor.data);
}

static void set_scalar(const Comparison *c, const char *name) {
    static const struct {
        const char *name;
        double value;
    } known[] = {{"seed", 17}, {"step", 5}, {"lr", 0.01}};
    double value = 0.125;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            value = known[i].value;
    interpreter_set_scalar(c->expected, name, value);
    kernel_interpreter_set_scalar(c->actual, name, value);
}

static void set_params(const Comparison *c) {
    for (size_t i = 0; i < c->graph->segments.count; i++) {
        const char *name = c->graph->segments.items[i].name;
        Tensor param = interpreter_param(c->expected, name);
        double scale = param.type.rank > 2 ? 0.25 : 1;
        for (size_t j = 0; j < param.count; j++)
            param.data[j] = (double)(float)(scale * op_case_number(name, j));
        check_status(
            c, kernel_interpreter_set_param(c->actual, c->arena, name, param.data, param.count));
    }
}

/* Running variances and second moments of the optimizer are positive. */
static void set_states(const Comparison *c) {
    for (size_t i = 0; i < c->graph->states.count; i++) {
        const char *name = c->graph->states.items[i].name;
        Tensor state = interpreter_state(c->expected, name);
        int buffer = kernel_find_buffer(c->program, REGION_STATE, name);
        for (size_t j = 0; j < state.count; j++)
            state.data[j] = (double)(float)fabs(op_case_number(name, j));
        if (buffer < 0)
            continue;
        View view = kernel_interpreter_whole_view(c->program, buffer, &state.type);
        kernel_interpreter_write(c->actual, &view, &state.type, state.data);
    }
}

static void set_values(const Comparison *c) {
    set_cells(c);
    graph_each(c->graph, node) {
        if (node->op == OP_input)
            set_input(c, node);
        else if (node->op == OP_scalar)
            set_scalar(c, node_text(node, "name"));
    }
    set_params(c);
    set_states(c);
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static void compare(const Comparison *c, const char *name, Tensor expected, Tensor actual) {
    double worst = 0, largest = 1e-3;
    CU_ASSERT_EQUAL_FATAL(expected.count, actual.count);
    for (size_t i = 0; i < expected.count; i++) {
        double distance = fabs(expected.data[i] - actual.data[i]);
        worst = distance <= worst ? worst : isnan(distance) ? INFINITY : distance;
        largest = fmax(largest, fabs(expected.data[i]));
    }
    if (worst > c->tolerance * largest)
        fail(c, name, arena_format(c->arena, "off by %g of %g", worst, largest));
}

static void compare_all(const Comparison *c) {
    graph_each(c->graph, node) {
        if (node->op != OP_output)
            continue;
        const char *name = node_text(node, "name");
        compare(c, name, interpreter_output(c->expected, name),
                kernel_interpreter_output(c->actual, c->arena, name, &node->operands[0]->type));
    }
    for (size_t i = 0; i < c->graph->segments.count; i++) {
        const char *name = c->graph->segments.items[i].name;
        compare(c, name, interpreter_param(c->expected, name),
                kernel_interpreter_param(c->actual, c->arena, name));
    }
    for (size_t i = 0; i < c->graph->states.count; i++) {
        const char *name = c->graph->states.items[i].name;
        if (kernel_find_buffer(c->program, REGION_STATE, name) >= 0)
            compare(c, name, interpreter_state(c->expected, name),
                    kernel_interpreter_state(c->actual, c->arena, name));
    }
}

/* The program as it reads back from its text; NULL after a failure. */
static Program *read_back(const Comparison *c, const Program *program) {
    Diagnostics *diagnostics = diagnostics_create(c->arena, 5);
    const char *text = kernel_print_text(c->arena, program);
    Program *read = kernel_parse(c->arena, diagnostics, "lowered.ir", text, strlen(text));
    if (!read)
        fail(c, "its text is refused", diagnostics_text(diagnostics, false));
    else if (strcmp(kernel_print_text(c->arena, read), text) != 0)
        fail(c, "its text reads back as another", text);
    for (size_t i = 0; read && i < program->kernels.count; i++)
        CU_ASSERT_STRING_EQUAL(kernel_code_key(c->arena, program, program->kernels.items[i]),
                               kernel_code_key(c->arena, read, read->kernels.items[i]));
    return read;
}

static void run_both(Comparison *c, bool training) {
    c->expected = interpreter_create(c->graph);
    c->actual = kernel_interpreter_create(c->program);
    interpreter_set_training(c->expected, training);
    set_values(c);
    check_status(c, interpreter_run(c->expected, c->arena));
    check_status(c, kernel_interpreter_run(c->actual, c->arena));
    compare_all(c);
    interpreter_destroy(c->expected);
    kernel_interpreter_destroy(c->actual);
}

/* Lowers the graph and compares what its program computes. */
static void check_graph(Arena *arena, const char *text, Graph *graph, double tolerance) {
    Comparison c = {.arena = arena, .text = text, .graph = graph, .tolerance = tolerance};
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    Program *program = lower_graph(arena, graph);
    if (!kernel_verify(program, diagnostics)) {
        fail(&c, "does not verify", diagnostics_text(diagnostics, false));
        return;
    }
    c.program = read_back(&c, program);
    if (c.program)
        run_both(&c, true);
}

/* ---- The cases ------------------------------------------------------------------------------- */

static void check_list(const OpCases *list) {
    for (size_t i = 0; i < list->count; i++) {
        Arena *arena = arena_create();
        Graph *graph = op_case_graph(arena, &list->cases[i]);
        PassOptions options = {
            .entry = ENTRY_TRAIN_STEP, .training = true, .stochastic = true, .expose = true};
        Diagnostics *diagnostics = diagnostics_create(arena, 5);
        pass_expand(graph, &options, diagnostics);
        pass_autodiff(graph, &options, diagnostics);
        check_graph(arena, op_case_text(arena, &list->cases[i]), graph, op_tolerance);
        arena_destroy(arena);
    }
}

#define CHECK_FAMILY(family)                                                                       \
    static void family##_ops(void) {                                                               \
        check_list(&op_cases_##family);                                                            \
    }
CHECK_FAMILY(pointwise)
CHECK_FAMILY(contraction)
CHECK_FAMILY(window)
CHECK_FAMILY(norm)
CHECK_FAMILY(move)
CHECK_FAMILY(activation)
CHECK_FAMILY(composite)

/* Ops that have no derivative. */
static void constant_ops(void) {
    static const OpCase cases[] = {
        {OP_minimum, "!f32<2x4x6x3>, !f32[3]", ""},
        {OP_greater, "!f32<2x4x6x3 masked 2>, !f32<2x3 per_image>", ""},
        {OP_select, "!f32<2x4x6x1>, !f32<2x4x6x3>, !f32[]", ""},
        {OP_is_finite, "!f32<2x4x6x3>", ""},
        {OP_patch_normalise, "!f32<2x8x12x3>", "patch=4 eps=1e-6"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *arena = arena_create();
        check_graph(arena, op_case_text(arena, &cases[i]), op_case_graph(arena, &cases[i]),
                    op_tolerance);
        arena_destroy(arena);
    }
}

/* Logits in [-300, 300): of the exponents less anything but the largest, some would overflow. */
static void log_softmax_of_wide_rows(void) {
    Arena *arena = arena_create();
    static const OpCase op_case = {OP_log_softmax, "!f32<2x11 per_image>", ""};
    Graph *graph = op_case_graph(arena, &op_case);
    Node *node = graph->first;
    while (node->op != OP_log_softmax)
        node = node->next;
    Builder builder = builder_at(graph, node);
    node->operands[0] = build_scale(&builder, "wide", node->operands[0], 300);
    check_graph(arena, "log_softmax of wide rows", graph, op_tolerance);
    arena_destroy(arena);
}

static void check_network(const SmallNetwork *network, Entry entry) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    Graph *graph = small_network(arena, network);
    PassOptions options = pass_options_default();
    options.decoder_width = 16;
    options.expose = true;
    options.entry = entry;
    options.training =
        entry == ENTRY_TRAIN_STEP || entry == ENTRY_ACCUMULATE || entry == ENTRY_FINETUNE_STEP;
    CU_ASSERT_TRUE_FATAL(passes_run(graph, &options, NULL, diagnostics, NULL, NULL));
    check_graph(arena, "network", graph, network_tolerance);
    arena_destroy(arena);
}

static void networks(void) {
    SmallNetwork network = {
        .levels = 2, .batch = 2, .channels = 3, .height = 16, .width = 24, .batch_norm = true};
    check_network(&network, ENTRY_TRAIN_STEP);
    check_network(&network, ENTRY_ACCUMULATE);
    check_network(&network, ENTRY_APPLY);
    network.batch_norm = false;
    network.head = true;
    check_network(&network, ENTRY_TRAIN_STEP);
    check_network(&network, ENTRY_LOGITS);
    check_network(&network, ENTRY_FINETUNE_STEP);
    check_network(&network, ENTRY_FEATURES);
}

CU_TestInfo kernel_lowered_tests[] = {
    {"pointwise ops", pointwise_ops},
    {"log_softmax of wide rows", log_softmax_of_wide_rows},
    {"contractions", contraction_ops},
    {"windows", window_ops},
    {"norms and sums", norm_ops},
    {"moves", move_ops},
    {"activations", activation_ops},
    {"composites", composite_ops},
    {"ops without derivative", constant_ops},
    {"whole networks", networks},
    CU_TEST_INFO_NULL,
};
