/* The autodiff pass beyond single derivatives: which segments get what, and what it refuses. */
#include <string.h>

#include "ir/builder.h"
#include "passes/passes.h"
#include "tests/support/op_case.h"
#include "tests/unit/autodiff_suites.h"

static Diagnostics *differentiate(Graph *graph, Entry entry) {
    PassOptions options = {.entry = entry, .training = true, .expose = true};
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 5);
    pass_autodiff(graph, &options, diagnostics);
    return diagnostics;
}

static Graph *create_graph(Arena *arena) {
    return graph_create(arena, "net",
                        (Geometry){.batch = 1, .space = 2, .image = {4, 4}, .channels = 3});
}

static Value *add_param(Builder *builder, const char *name, Type type) {
    Segment segment = {
        .name = name, .type = type, .file_rank = type.rank, .file_shape = {type.extent[0]}};
    graph_add_segment(builder->graph, segment);
    return build_stated(builder, OP_param, name, type, NULL, 0,
                        ATTRIBUTES(attribute_text("segment", name)));
}

static void add_loss(Builder *builder, Value *loss) {
    build(builder, OP_output, NULL, OPERANDS(loss), ATTRIBUTES(attribute_text("name", "loss")));
}

static void expect_gradient(Interpreter *interpreter, const char *output, double expected) {
    Tensor gradient = interpreter_output(interpreter, output);
    CU_ASSERT_PTR_NOT_NULL_FATAL(gradient.data);
    for (size_t i = 0; i < gradient.count; i++)
        CU_ASSERT_DOUBLE_EQUAL(gradient.data[i], expected, 1e-14);
}

static Interpreter *run(const Graph *graph, Arena *arena) {
    Interpreter *interpreter = interpreter_create(graph);
    CU_ASSERT_PTR_NULL_FATAL(interpreter_run(interpreter, arena).message);
    return interpreter;
}

/* loss = 3 a + 2 a, with two nodes that read a; b is read, but not by the loss; c is not read. */
static void test_segments(void) {
    Arena *arena = arena_create();
    Graph *graph = create_graph(arena);
    Builder builder = {.graph = graph};
    Value *a = add_param(&builder, "a", type_scalar(DTYPE_F32));
    Value *b = add_param(&builder, "b", type_vector(DTYPE_F32, 2));
    graph_add_segment(graph, (Segment){.name = "c", .type = type_vector(DTYPE_F32, 4)});
    Value *again = build_stated(&builder, OP_param, "a", a->type, NULL, 0,
                                ATTRIBUTES(attribute_text("segment", "a")));
    build_unary(&builder, OP_neg, "unused", b);
    add_loss(&builder, build_binary(&builder, OP_add, NULL, build_scale(&builder, NULL, a, 3),
                                    build_scale(&builder, NULL, again, 2)));
    CU_ASSERT_STRING_EQUAL(diagnostics_text(differentiate(graph, ENTRY_TRAIN_STEP), false), "");
    Interpreter *interpreter = run(graph, arena);
    expect_gradient(interpreter, "grad.a", 5);
    expect_gradient(interpreter, "grad.b", 0);
    expect_gradient(interpreter, "grad.c", 0);
    const Node *collect = NULL;
    graph_each(graph, node) collect = node->op == OP_collect ? node : collect;
    CU_ASSERT_PTR_NOT_NULL_FATAL(collect);
    CU_ASSERT_EQUAL(collect->operand_count, 3);
    CU_ASSERT_STRING_EQUAL(collect->results[0].name, "gradients");
    interpreter_destroy(interpreter);
    arena_destroy(arena);
}

/* The derivative of sqrt is taken for 0 at 0, as PyTorch does for the norm of a zero vector. */
static void test_sqrt_of_zero(void) {
    Arena *arena = arena_create();
    Graph *graph = create_graph(arena);
    Builder builder = {.graph = graph};
    Value *a = add_param(&builder, "a", type_vector(DTYPE_F32, 2));
    Value *root = build_unary(&builder, OP_sqrt, NULL, build_binary(&builder, OP_mul, NULL, a, a));
    add_loss(&builder, build_sum(&builder, NULL, root, "all"));
    differentiate(graph, ENTRY_TRAIN_STEP);
    Interpreter *interpreter = run(graph, arena);
    expect_gradient(interpreter, "grad.a", 0);
    interpreter_destroy(interpreter);
    arena_destroy(arena);
}

/* loss = sum of the means: m2 gets no gradient, and count, a constant, none that goes on. */
static void test_means_alone(void) {
    Arena *arena = arena_create();
    Graph *graph = create_graph(arena);
    Builder builder = {.graph = graph};
    const int64_t extents[] = {4, 4};
    Value *a = add_param(&builder, "a", type_vector(DTYPE_F32, 6));
    Value *x = build_stated(&builder, OP_broadcast, NULL, type_dense(DTYPE_F32, 1, 2, extents, 6),
                            OPERANDS(a), NO_ATTRIBUTES);
    Node *moments = build(&builder, OP_moments, NULL, OPERANDS(x),
                          ATTRIBUTES(attribute_text("over", "image"), attribute_int("groups", 2)));
    Value *product = build_binary(&builder, OP_mul, NULL, node_result(moments, 1),
                                  node_result(moments, 0)); /* mean x 48 terms */
    add_loss(&builder, build_sum(&builder, NULL, product, "all"));
    differentiate(graph, ENTRY_TRAIN_STEP);
    Interpreter *interpreter = run(graph, arena);
    expect_gradient(interpreter, "grad.a", 16); /* positions */
    interpreter_destroy(interpreter);
    arena_destroy(arena);
}

/* An op without derivative is refused only where a gradient reaches it. */
static void test_no_derivative(void) {
    Arena *arena = arena_create();
    Graph *graph = create_graph(arena);
    Builder builder = {.graph = graph};
    Value *a = add_param(&builder, "a", type_scalar(DTYPE_F32));
    Value *least = build_binary(&builder, OP_minimum, "least", a, build_constant(&builder, 1));
    Graph *beside = graph_copy(graph, arena);
    Builder beside_builder = {.graph = beside};
    add_loss(&builder, least);
    add_loss(&beside_builder, &beside->first->results[0]);
    CU_ASSERT_STRING_EQUAL(
        diagnostics_text(differentiate(graph, ENTRY_TRAIN_STEP), false),
        "error: least depends on parameters and the loss on it, but minimum has no derivative\n");
    CU_ASSERT_STRING_EQUAL(diagnostics_text(differentiate(beside, ENTRY_TRAIN_STEP), false), "");
    arena_destroy(arena);
}

/* The message for a graph whose loss is of this type, or that has none. */
static const char *complaint(Arena *arena, const Type *type, bool parameters) {
    Graph *graph = create_graph(arena);
    Builder builder = {.graph = graph};
    if (parameters)
        add_param(&builder, "a", type_scalar(DTYPE_F32));
    if (type)
        add_loss(&builder, build_stated(&builder, OP_constant, NULL, *type, NULL, 0,
                                        ATTRIBUTES(attribute_float("value", 1))));
    return diagnostics_text(differentiate(graph, ENTRY_TRAIN_STEP), false);
}

static void test_losses(void) {
    Arena *arena = arena_create();
    Type number = type_scalar(DTYPE_F32), vector = type_vector(DTYPE_F32, 3);
    CU_ASSERT_STRING_EQUAL(complaint(arena, &number, true), "");
    CU_ASSERT_STRING_EQUAL(complaint(arena, &vector, true),
                           "error: the loss must be one number, f32[], but it is f32[3]\n");
    CU_ASSERT_STRING_EQUAL(complaint(arena, NULL, true),
                           "error: net cannot be trained: it has no output \"loss\"\n");
    CU_ASSERT_STRING_EQUAL(complaint(arena, &number, false),
                           "error: net cannot be trained: it has no parameters\n");
    arena_destroy(arena);
}

/* Other entries have no gradients; nothing changes. */
static void test_other_entries(void) {
    Arena *arena = arena_create();
    Graph *graph = op_case_graph(arena, &(OpCase){OP_relu, "f32<2x4x6x3>", ""});
    const Node *last = graph->last;
    differentiate(graph, ENTRY_RECONSTRUCT);
    CU_ASSERT_PTR_EQUAL(graph->last, last);
    arena_destroy(arena);
}

/* Gradient ops say where they come from. */
static void test_names_and_locations(void) {
    Arena *arena = arena_create();
    Graph *graph = op_case_graph(arena, &(OpCase){OP_conv, "f32<2x4x6x3>, f32[1x1x3x2]",
                                                  "kernel=1,1 stride=1,1 pad=0,0 dilation=1,1"});
    graph_each(graph, node) {
        if (node->op == OP_conv)
            node->location = (Location){.file = "net.cnn", .line = 7, .column = 3, .width = 1};
    }
    differentiate(graph, ENTRY_TRAIN_STEP);
    const Node *weight_grad = NULL;
    graph_each(graph, node) weight_grad = node->op == OP_conv_weight_grad ? node : weight_grad;
    CU_ASSERT_PTR_NOT_NULL_FATAL(weight_grad);
    CU_ASSERT_STRING_EQUAL(weight_grad->results[0].name, "conv.grad.weight");
    CU_ASSERT_EQUAL(weight_grad->location.line, 7);
    arena_destroy(arena);
}

CU_TestInfo autodiff_tests[] = {
    {"every segment gets a gradient", test_segments},
    {"sqrt of zero", test_sqrt_of_zero},
    {"means alone", test_means_alone},
    {"ops without a derivative", test_no_derivative},
    {"losses", test_losses},
    {"other entries", test_other_entries},
    {"names and locations", test_names_and_locations},
    CU_TEST_INFO_NULL,
};
