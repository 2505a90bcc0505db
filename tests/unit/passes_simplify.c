/* The rewrites of the simplify pass, one case each: which ops are left, and that the value is the
 * same. Then the passes that remove equal and dead ops. */
#include <math.h>
#include <string.h>

#include "passes/cse.h"
#include "passes/passes.h"
#include "passes/simplify.h"
#include "tests/support/fixture.h"
#include "tests/unit/passes_suites.h"

typedef Value *MakeValue(Fixture *fixture);

/* A rewrite, by its text; an expression that it applies to; the ops that are left. */
typedef struct RewriteCase {
    const char *rewrite;
    MakeValue *make;
    const char *left;
} RewriteCase;

static Value *map(Fixture *fixture, const char *name) {
    return fixture_random(fixture, name, fixture_map(2, 3, 3, 4));
}

static Value *number(Fixture *fixture, double value) {
    return build_constant(&fixture->builder, value);
}

static Value *unary(Fixture *fixture, Op op, Value *x) {
    return build_unary(&fixture->builder, op, NULL, x);
}

static Value *binary(Fixture *fixture, Op op, Value *a, Value *b) {
    return build_binary(&fixture->builder, op, NULL, a, b);
}

static Value *slice(Fixture *fixture, Value *x, int64_t start, int64_t channels) {
    Node *node =
        build(&fixture->builder, OP_slice, NULL, OPERANDS(x),
              ATTRIBUTES(attribute_int("start", start), attribute_int("channels", channels)));
    return node_result(node, 0);
}

static Value *slice_grad(Fixture *fixture, Value *dy, int64_t start, int64_t channels) {
    Node *node =
        build(&fixture->builder, OP_slice_grad, NULL, OPERANDS(dy),
              ATTRIBUTES(attribute_int("start", start), attribute_int("channels", channels)));
    return node_result(node, 0);
}

static Value *select(Fixture *fixture, Value *condition, Value *a, Value *b) {
    Node *node =
        build(&fixture->builder, OP_select, NULL, OPERANDS(condition, a, b), NO_ATTRIBUTES);
    return node_result(node, 0);
}

/* x + (an op of numbers), so that something is left. */
static Value *folded(Fixture *fixture, Op op) {
    Value *a = number(fixture, 2.5), *b = number(fixture, 0.3);
    Value *result =
        op_info(op)->operand_count == 1 ? unary(fixture, op, a) : binary(fixture, op, a, b);
    return binary(fixture, OP_add, map(fixture, "x"), result);
}

#define MAKE(name, value)                                                                          \
    static Value *name(Fixture *f) {                                                               \
        return value;                                                                              \
    }

MAKE(sum_of_numbers, folded(f, OP_add))
MAKE(difference_of_numbers, folded(f, OP_sub))
MAKE(product_of_numbers, folded(f, OP_mul))
MAKE(quotient_of_numbers, folded(f, OP_div))
MAKE(smaller_of_numbers, folded(f, OP_minimum))
MAKE(greater_of_numbers, folded(f, OP_greater))
MAKE(negative_of_number, folded(f, OP_neg))
MAKE(root_of_number, folded(f, OP_sqrt))
MAKE(times_one, unary(f, OP_relu, binary(f, OP_mul, map(f, "x"), number(f, 1))))
MAKE(times_minus_one, binary(f, OP_mul, number(f, -1), map(f, "x")))
MAKE(times_twice, binary(f, OP_mul, binary(f, OP_mul, map(f, "x"), number(f, 3)), number(f, 0.1)))
MAKE(over_one, unary(f, OP_relu, binary(f, OP_div, map(f, "x"), number(f, 1))))
MAKE(over_eight, binary(f, OP_div, map(f, "x"), number(f, 8)))
MAKE(plus_zero, unary(f, OP_relu, binary(f, OP_add, number(f, 0), map(f, "x"))))
MAKE(plus_negative, binary(f, OP_add, unary(f, OP_neg, map(f, "x")), map(f, "y")))
MAKE(minus_zero, unary(f, OP_relu, binary(f, OP_sub, map(f, "x"), number(f, 0))))
MAKE(zero_minus, binary(f, OP_sub, number(f, 0), map(f, "x")))
MAKE(minus_negative, binary(f, OP_sub, map(f, "x"), unary(f, OP_neg, map(f, "y"))))
MAKE(negative_twice, unary(f, OP_relu, unary(f, OP_neg, unary(f, OP_neg, map(f, "x")))))
MAKE(negative_of_scaled, unary(f, OP_neg, binary(f, OP_mul, map(f, "x"), number(f, 3))))
MAKE(select_known, unary(f, OP_relu, select(f, number(f, 0), map(f, "x"), map(f, "y"))))
MAKE(slice_all, unary(f, OP_relu, slice(f, map(f, "x"), 0, 4)))
MAKE(slice_of_slice, slice(f, slice(f, map(f, "x"), 1, 3), 1, 2))
MAKE(slice_grad_all, unary(f, OP_relu, slice_grad(f, map(f, "x"), 0, 4)))

static Value *select_same(Fixture *f) {
    Value *x = map(f, "x");
    return unary(f, OP_relu, select(f, map(f, "c"), x, x));
}

static Value *broadcast_same(Fixture *f) {
    Value *x = map(f, "x");
    return unary(
        f, OP_relu,
        build_stated(&f->builder, OP_broadcast, NULL, x->type, OPERANDS(x), NO_ATTRIBUTES));
}

static Value *concat_one(Fixture *f) {
    Value *x = map(f, "x");
    return unary(f, OP_relu, unary(f, OP_concat, x));
}

static Value *concat_slices(Fixture *f) {
    Value *x = map(f, "x");
    return binary(f, OP_concat, slice(f, x, 0, 1), slice(f, x, 1, 2));
}

static Value *slice_of_part(Fixture *f) {
    return slice(f, binary(f, OP_concat, map(f, "x"), map(f, "y")), 5, 2);
}

/* The gradient of a split into 4, 1 and 3 channels, as autodiff sums it. */
static Value *sum_of_slice_grads(Fixture *f) {
    Value *a = slice_grad(f, map(f, "x"), 0, 8);
    Value *b = slice_grad(f, fixture_random(f, "y", fixture_map(2, 3, 3, 1)), 4, 8);
    Value *c = slice_grad(f, fixture_random(f, "z", fixture_map(2, 3, 3, 3)), 5, 8);
    return binary(f, OP_add, binary(f, OP_add, c, b), a);
}

static Value *shuffle_one_group(Fixture *f) {
    Node *node = build(&f->builder, OP_channel_shuffle, NULL, OPERANDS(map(f, "x")),
                       ATTRIBUTES(attribute_int("groups", 1)));
    return unary(f, OP_relu, node_result(node, 0));
}

static Value *repeat_once(Fixture *f) {
    Node *node = build(&f->builder, OP_repeat_channels, NULL, OPERANDS(map(f, "x")),
                       ATTRIBUTES(attribute_int("times", 1)));
    return unary(f, OP_relu, node_result(node, 0));
}

static Value *upsample_once(Fixture *f) {
    Node *node = build(&f->builder, OP_upsample, NULL, OPERANDS(map(f, "x")),
                       ATTRIBUTES(attribute_ints("factor", (int64_t[]){1, 1}, 2)));
    return unary(f, OP_relu, node_result(node, 0));
}

static const RewriteCase cases[] = {
    {"add a, b of numbers -> their sum", sum_of_numbers, "add"},
    {"sub a, b of numbers -> their difference", difference_of_numbers, "add"},
    {"mul a, b of numbers -> their product", product_of_numbers, "add"},
    {"div a, b of numbers -> their quotient", quotient_of_numbers, "add"},
    {"minimum a, b of numbers -> the smaller", smaller_of_numbers, "add"},
    {"greater a, b of numbers -> 1 or 0", greater_of_numbers, "add"},
    {"neg a of a number -> -a", negative_of_number, "add"},
    {"sqrt a of a number -> its root", root_of_number, "add"},
    {"mul x, 1 -> x", times_one, "relu"},
    {"mul x, -1 -> neg x", times_minus_one, "neg"},
    {"mul (mul x, a), b of numbers -> mul x, a b", times_twice, "mul"},
    {"div x, 1 -> x", over_one, "relu"},
    {"div x, 2^k -> mul x, 2^-k", over_eight, "mul"},
    {"add x, 0 -> x", plus_zero, "relu"},
    {"add x, (neg y) -> sub x, y", plus_negative, "sub"},
    {"add of neighbouring slice_grads -> slice_grad of concat", sum_of_slice_grads,
     "concat concat"},
    {"sub x, 0 -> x", minus_zero, "relu"},
    {"sub 0, x -> neg x", zero_minus, "neg"},
    {"sub x, (neg y) -> add x, y", minus_negative, "add"},
    {"neg (neg x) -> x", negative_twice, "relu"},
    {"neg (mul x, a) -> mul x, -a", negative_of_scaled, "mul"},
    {"select of a known condition -> its branch", select_known, "relu"},
    {"select c, x, x -> x", select_same, "relu"},
    {"broadcast to the same type -> x", broadcast_same, "relu"},
    {"concat x -> x", concat_one, "relu"},
    {"concat of neighbouring slices -> slice", concat_slices, "slice"},
    {"slice of all channels -> x", slice_all, "relu"},
    {"slice of slice -> slice", slice_of_slice, "slice"},
    {"slice of concat inside one part -> slice of the part", slice_of_part, "slice"},
    {"slice_grad of all channels -> dy", slice_grad_all, "relu"},
    {"channel_shuffle of one group -> x", shuffle_one_group, "relu"},
    {"repeat_channels once -> x", repeat_once, "relu"},
    {"upsample by 1 -> x", upsample_once, "relu"},
};
enum { CASES = sizeof cases / sizeof *cases };

static const RewriteCase *find_case(const char *rewrite) {
    for (int i = 0; i < CASES; i++) {
        if (strcmp(cases[i].rewrite, rewrite) == 0)
            return &cases[i];
    }
    return NULL;
}

/* The ops of a graph, but for its sources and outputs. */
static char *list_ops(const Graph *graph) {
    Text text = text_create(graph->arena);
    graph_each(graph, node) {
        if (node->op != OP_output && !(op_info(node->op)->flags & OP_SOURCE))
            text_append(&text, "%s%s", text.length ? " " : "", op_info(node->op)->name);
    }
    return text.data;
}

static bool run_pass(PassFunction *pass, Graph *graph) {
    PassOptions options = pass_options_default();
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 5);
    bool changed = pass(graph, &options, diagnostics);
    CU_ASSERT_EQUAL(diagnostics_error_count(diagnostics), 0);
    return changed;
}

/* The output "y" of the expression, simplified or not, in `arena`. */
static double *evaluate(const RewriteCase *test, bool simplify, Arena *arena, size_t *count) {
    Fixture fixture = fixture_create();
    fixture_output(&fixture, "y", test->make(&fixture));
    if (simplify) {
        CU_ASSERT_TRUE(run_pass(pass_simplify, fixture.graph));
        run_pass(pass_dce, fixture.graph);
        CU_ASSERT_STRING_EQUAL(list_ops(fixture.graph), test->left);
        CU_ASSERT_FALSE(run_pass(pass_simplify, fixture.graph));
    }
    fixture.interpreter = interpreter_create(fixture.graph);
    for (size_t i = fixture.inputs.count; i > 0; i--) {
        if (!graph_find_input(fixture.graph, fixture.inputs.items[i - 1].name))
            fixture.inputs.items[i - 1] = fixture.inputs.items[--fixture.inputs.count];
    }
    fixture_run(&fixture);
    Tensor tensor = fixture_tensor(&fixture, "y");
    double *values = arena_new_array(arena, double, tensor.count);
    memcpy(values, tensor.data, tensor.count * sizeof *values);
    *count = tensor.count;
    fixture_destroy(&fixture);
    return values;
}

static void compare(const Rewrite *rewrite, const RewriteCase *test) {
    Arena *arena = arena_create();
    size_t count, simplified_count;
    const double *whole = evaluate(test, false, arena, &count);
    const double *simplified = evaluate(test, true, arena, &simplified_count);
    CU_ASSERT_EQUAL_FATAL(simplified_count, count);
    for (size_t i = 0; i < count; i++) {
        double tolerance = rewrite->exact ? 0 : 1e-15 * fabs(whole[i]);
        CU_ASSERT_DOUBLE_EQUAL(simplified[i], whole[i], tolerance);
    }
    arena_destroy(arena);
}

static void every_rewrite_keeps_the_value(void) {
    int count;
    const Rewrite *rewrites = simplify_rewrites(&count);
    CU_ASSERT_EQUAL(count, CASES);
    for (int i = 0; i < count; i++) {
        const RewriteCase *test = find_case(rewrites[i].text);
        CU_ASSERT_PTR_NOT_NULL_FATAL(test);
        compare(&rewrites[i], test);
    }
}

/* What looks like a rewrite, but would change the type or the value. */
static void widening_operands_stay(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_random(&fixture, "x", type_vector(DTYPE_F32, 4));
    Value *ones = build_stated(&fixture.builder, OP_constant, NULL, type_vector(DTYPE_F32, 4), NULL,
                               0, ATTRIBUTES(attribute_float("value", 1)));
    Value *wide = binary(&fixture, OP_mul, number(&fixture, 3), ones);
    Value *infinite = binary(&fixture, OP_div, number(&fixture, 1), number(&fixture, 0));
    Value *apart =
        slice(&fixture, binary(&fixture, OP_concat, map(&fixture, "a"), map(&fixture, "b")), 3, 2);
    fixture_output(&fixture, "wide", wide);
    fixture_output(&fixture, "third", binary(&fixture, OP_div, x, number(&fixture, 3)));
    fixture_output(&fixture, "infinite", infinite);
    fixture_output(&fixture, "apart", apart);
    CU_ASSERT_FALSE(run_pass(pass_simplify, fixture.graph));
    fixture_destroy(&fixture);
}

static void equal_ops_become_one(void) {
    Fixture fixture = fixture_create();
    Value *x = map(&fixture, "x"), *y = map(&fixture, "y");
    Value *a = binary(&fixture, OP_add, x, y), *b = binary(&fixture, OP_add, y, x);
    Value *c = binary(&fixture, OP_sub, a, x), *d = binary(&fixture, OP_sub, b, x);
    fixture_output(&fixture, "y", binary(&fixture, OP_mul, c, d));
    CU_ASSERT_FALSE(cse_is_unique(fixture.graph));
    CU_ASSERT_TRUE(run_pass(pass_cse, fixture.graph));
    CU_ASSERT_STRING_EQUAL(list_ops(fixture.graph), "add sub mul");
    CU_ASSERT_TRUE(cse_is_unique(fixture.graph));
    CU_ASSERT_FALSE(run_pass(pass_cse, fixture.graph));
    fixture_destroy(&fixture);
}

static void different_ops_stay(void) {
    Fixture fixture = fixture_create();
    Value *x = map(&fixture, "x"), *y = map(&fixture, "y");
    Value *a = binary(&fixture, OP_sub, x, y), *b = binary(&fixture, OP_sub, y, x);
    Value *c = slice(&fixture, x, 0, 2), *d = slice(&fixture, x, 1, 2);
    Value *e = number(&fixture, 0.5), *f = number(&fixture, 0.25);
    fixture_output(&fixture, "ab", binary(&fixture, OP_mul, a, b));
    fixture_output(&fixture, "cd", binary(&fixture, OP_mul, c, d));
    fixture_output(&fixture, "ef", binary(&fixture, OP_mul, e, f));
    CU_ASSERT_TRUE(cse_is_unique(fixture.graph));
    CU_ASSERT_FALSE(run_pass(pass_cse, fixture.graph));
    fixture_destroy(&fixture);
}

static void dead_chains_go(void) {
    Fixture fixture = fixture_create();
    Value *x = map(&fixture, "x"), *dead = x;
    for (int i = 0; i < 5; i++)
        dead = unary(&fixture, OP_relu, dead);
    fixture_output(&fixture, "y", unary(&fixture, OP_neg, x));
    unary(&fixture, OP_sqrt, x);
    CU_ASSERT_TRUE(run_pass(pass_dce, fixture.graph));
    CU_ASSERT_STRING_EQUAL(list_ops(fixture.graph), "neg");
    CU_ASSERT_FALSE(run_pass(pass_dce, fixture.graph));
    fixture_destroy(&fixture);
}

static void commits_stay(void) {
    Fixture fixture = fixture_create();
    graph_add_state(fixture.graph, (StateSlot){.name = "s", .type = type_scalar(DTYPE_F32)});
    Value *next = binary(&fixture, OP_add, build_state(&fixture.builder, "s"), number(&fixture, 1));
    build(&fixture.builder, OP_commit, NULL, OPERANDS(next),
          ATTRIBUTES(attribute_text("region", "state"), attribute_text("name", "s")));
    CU_ASSERT_FALSE(run_pass(pass_dce, fixture.graph));
    CU_ASSERT_STRING_EQUAL(list_ops(fixture.graph), "add commit");
    fixture_destroy(&fixture);
}

CU_TestInfo passes_simplify_tests[] = {
    {"every rewrite keeps the value", every_rewrite_keeps_the_value},
    {"widening operands stay", widening_operands_stay},
    {"equal ops become one", equal_ops_become_one},
    {"different ops stay", different_ops_stay},
    {"dead chains go", dead_chains_go},
    {"commits stay", commits_stay},
    CU_TEST_INFO_NULL,
};
