/* The expression table against C's own functions, and what the builder, the formulas and the text
 * do. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "ir/interpret/kernel_scalar.h"
#include "ir/kernel.h"
#include "tests/unit/kernel_suites.h"

enum { RANDOM_SAMPLES = 20000 };

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Sample i: first the special numbers, then every exponent, then random bits. */
static float sample(size_t i) {
    static const float special[] = {
        0.0f,      -0.0f,        1.0f,           -1.0f,    INFINITY,   -INFINITY, NAN,
        FLT_MIN,   -FLT_MIN,     FLT_TRUE_MIN,   FLT_MAX,  -FLT_MAX,   88.7f,     -103.9f,
        0x1p-126f, -0x1.8p-130f, 0x1.fffffep23f, 0x1.8p0f, -0x1.4p-3f, 6.0f};
    const size_t count = sizeof special / sizeof *special;
    if (i < count)
        return special[i];
    if (i < count + 512)
        return float_of_bits((uint32_t)(i - count) << 23 | 0x345678);
    return float_of_bits(random_word(1, 2, 3, i));
}

static bool same(float a, float b) {
    return (isnan(a) && isnan(b)) || bits_of(a) == bits_of(b);
}

static Scalar apply(ScalarOp op, float a, float b) {
    const Scalar arguments[3] = {{.f = a}, {.f = b}, {.u = 0}};
    return kernel_scalar_apply(op, arguments);
}

static float reference_add(float a, float b) {
    return a + b;
}
static float reference_sub(float a, float b) {
    return a - b;
}
static float reference_mul(float a, float b) {
    return a * b;
}
static float reference_div(float a, float b) {
    return a / b;
}
static float reference_min(float a, float b) {
    return a < b ? a : b;
}

static void arithmetic_is_that_of_fp32(void) {
    static const struct {
        ScalarOp op;
        float (*function)(float, float);
    } rows[] = {{SCALAR_add, reference_add},
                {SCALAR_sub, reference_sub},
                {SCALAR_mul, reference_mul},
                {SCALAR_div, reference_div},
                {SCALAR_min, reference_min}};
    int wrong = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t i = 0; i < RANDOM_SAMPLES; i++) {
            float a = sample(i), b = sample(i * 7 % RANDOM_SAMPLES);
            wrong += !same(apply(rows[r].op, a, b).f, rows[r].function(a, b));
        }
    CU_ASSERT_EQUAL(wrong, 0);
}

/* Written in other ways than the interpreter does, in long double. */
static long double reference_sigmoid(long double x) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}
static long double reference_softplus(long double x) {
    return x > 40 ? x : log1pl(expl(x));
}
static long double reference_cdf(long double x) {
    return x < -1 ? erfcl(-x * sqrtl(0.5L)) / 2 : (1 + erfl(x * sqrtl(0.5L))) / 2;
}
static long double reference_pdf(long double x) {
    return expl(x * x * -0.5L) * 0.398942280401432677939946059934L;
}
static long double reference_rsqrt(long double x) {
    return 1 / sqrtl(x);
}

static void functions_are_rounded_once(void) {
    static const struct {
        ScalarOp op;
        long double (*function)(long double);
    } rows[] = {{SCALAR_sqrt, sqrtl},
                {SCALAR_rsqrt, reference_rsqrt},
                {SCALAR_exp, expl},
                {SCALAR_expm1, expm1l},
                {SCALAR_log, logl},
                {SCALAR_erf, erfl},
                {SCALAR_tanh, tanhl},
                {SCALAR_sigmoid, reference_sigmoid},
                {SCALAR_softplus, reference_softplus},
                {SCALAR_normal_cdf, reference_cdf},
                {SCALAR_normal_pdf, reference_pdf}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        int wrong = 0;
        for (size_t i = 0; i < RANDOM_SAMPLES; i++) {
            float x = sample(i), found = apply(rows[r].op, x, 0).f;
            float expected = (float)rows[r].function((long double)x);
            bool next = !isnan(found) && fabs((double)found - (double)expected) <=
                                             fabs((double)expected) * 0x1.01p-24 + 0x1p-149;
            wrong += !same(found, expected) && !next;
        }
        CU_ASSERT_EQUAL(wrong, 0);
        if (wrong)
            printf("\n%s: %d wrong\n", scalar_name(rows[r].op), wrong);
    }
}

static void comparisons_are_false_for_nan(void) {
    CU_ASSERT_TRUE(apply(SCALAR_less, 1, 2).b);
    CU_ASSERT_FALSE(apply(SCALAR_less, 2, 2).b);
    CU_ASSERT_FALSE(apply(SCALAR_less, NAN, 2).b);
    CU_ASSERT_FALSE(apply(SCALAR_equal, NAN, NAN).b);
    CU_ASSERT_TRUE(apply(SCALAR_equal, 0.0f, -0.0f).b);
    CU_ASSERT_FALSE(apply(SCALAR_is_finite, NAN, 0).b);
    CU_ASSERT_FALSE(apply(SCALAR_is_finite, -INFINITY, 0).b);
    CU_ASSERT_TRUE(apply(SCALAR_is_finite, FLT_MAX, 0).b);
    CU_ASSERT_EQUAL(bits_of(apply(SCALAR_neg, 0.0f, 0).f), 0x80000000u);
}

static uint32_t apply_u(ScalarOp op, uint32_t a, uint32_t b) {
    const Scalar arguments[3] = {{.u = a}, {.u = b}, {.u = 0}};
    return kernel_scalar_apply(op, arguments).u;
}

static void whole_numbers_wrap(void) {
    CU_ASSERT_EQUAL(apply_u(SCALAR_add_u, 0xFFFFFFFFu, 2), 1);
    CU_ASSERT_EQUAL(apply_u(SCALAR_mul_u, 0xD2511F53u, 0x10001u), 0xD2511F53u * 0x10001u);
    CU_ASSERT_EQUAL(apply_u(SCALAR_mulhi_u, 0xFFFFFFFFu, 0xFFFFFFFFu), 0xFFFFFFFEu);
    CU_ASSERT_EQUAL(apply_u(SCALAR_xor_u, 0xF0F0u, 0xFFFFu), 0x0F0Fu);
    CU_ASSERT_EQUAL(apply_u(SCALAR_shift_right_u, 0x80000000u, 31), 1);
    CU_ASSERT_EQUAL(apply_u(SCALAR_shift_right_u, 5, 32), 5);
    const Scalar pair[3] = {{.u = 3}, {.u = 0xFFFFFFFFu}, {.u = 0}};
    CU_ASSERT_TRUE(kernel_scalar_apply(SCALAR_less_u, pair).b);
    const Scalar largest[3] = {{.u = 0xFFFFFFFFu}, {.u = 0}, {.u = 0}};
    CU_ASSERT_EQUAL(kernel_scalar_apply(SCALAR_to_float, largest).f, 4294967296.0f);
    CU_ASSERT_EQUAL(apply(SCALAR_to_u, 3.99f, 0).u, 3);
    CU_ASSERT_EQUAL(apply(SCALAR_to_u, -1, 0).u, 0);
    CU_ASSERT_EQUAL(apply(SCALAR_to_u, NAN, 0).u, 0);
    CU_ASSERT_EQUAL(apply(SCALAR_to_u, 5e9f, 0).u, UINT32_MAX);
}

/* ---- The builder ----------------------------------------------------------------------------- */

static void equal_instructions_are_one(void) {
    Arena *arena = arena_create();
    ExpressionBuilder b = expression_begin(arena);
    int x = expression_operand(&b, 0), y = expression_operand(&b, 1);
    int sum = expression_apply(&b, SCALAR_add, x, y, -1);
    CU_ASSERT_EQUAL(expression_operand(&b, 0), x);
    CU_ASSERT_EQUAL(expression_apply(&b, SCALAR_add, x, y, -1), sum);
    CU_ASSERT_NOT_EQUAL(expression_apply(&b, SCALAR_add, y, x, -1), sum);
    CU_ASSERT_NOT_EQUAL(expression_constant(&b, 0.0), expression_constant(&b, -0.0));
    CU_ASSERT_EQUAL(expression_constant(&b, NAN), expression_constant(&b, NAN));
    Expression *expression = expression_end(&b, &sum, 1);
    CU_ASSERT_EQUAL(expression->instruction_count, 3);
    CU_ASSERT_EQUAL(expression_operand_count(expression), 2);
    CU_ASSERT_EQUAL(expression_value_kind(expression, 0), 'f');
    arena_destroy(arena);
}

static char *print(Arena *arena, const Expression *expression) {
    Text text = text_create(arena);
    expression_print(&text, expression);
    return text.data;
}

static Expression *formula_of(Arena *arena, const char *formula, int operands) {
    static const char *const names[] = {"x", "y", "z"};
    ExpressionBuilder b = expression_begin(arena);
    int bound[3];
    for (int i = 0; i < operands; i++)
        bound[i] = expression_operand(&b, i);
    int value = expression_formula(&b, formula, names, bound, operands);
    return expression_end(&b, &value, 1);
}

static void fusion_puts_one_into_the_other(void) {
    Arena *arena = arena_create();
    Expression *first = formula_of(arena, "x + y", 2), *then = formula_of(arena, "x * y - x", 2);
    Expression *both = expression_compose(arena, first, then, 0, 2);
    CU_ASSERT_STRING_EQUAL(print(arena, both),
                           "t0 = operand 2; t1 = operand 3; t2 = add t0 t1; t3 = operand 1; "
                           "t4 = mul t2 t3; t5 = sub t4 t2; -> t5");
    const int renamed[] = {7, 1, 0, 2};
    CU_ASSERT_STRING_EQUAL(print(arena, expression_rename_operands(arena, both, renamed, 4)),
                           "t0 = operand 0; t1 = operand 2; t2 = add t0 t1; t3 = operand 1; "
                           "t4 = mul t2 t3; t5 = sub t4 t2; -> t5");
    arena_destroy(arena);
}

static float evaluate(Arena *arena, const Expression *expression, const float *operands) {
    ScalarOperand loaded[3] = {0};
    for (int i = 0; i < expression_operand_count(expression); i++)
        loaded[i].value.f = operands[i];
    Scalar *results = arena_new_array(arena, Scalar, (size_t)expression->instruction_count);
    kernel_scalar_evaluate(expression, loaded, 0, results);
    return results[expression->values[0]].f;
}

static void formulas_mean_what_c_means(void) {
    Arena *arena = arena_create();
    const float at[3] = {3, 5, -2};
    static const struct {
        const char *formula;
        float expected;
    } rows[] = {{"x - y - z", 3 - 5 + 2},
                {"x - y * z", 3 + 10},
                {"x / y / z", 3.0f / 5.0f / -2.0f},
                {"-x * y", -15},
                {"- 2.5e-1 + -z", 1.75f},
                {"x > y ? 1 : x < y ? 2 : 3", 2},
                {"(x > 0 ? x : 0) * (y - (z))", 21},
                {"min(x, select(x < y, z, y))", -2},
                {"sqrt(x * x + 16)", 5}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CU_ASSERT_EQUAL(evaluate(arena, formula_of(arena, rows[i].formula, 3), at),
                        rows[i].expected);
    arena_destroy(arena);
}

/* Every row of ir/activations.def, with its attributes at 0.25. */
static void activations_are_formulas(void) {
    Arena *arena = arena_create();
    static const char *const formulas[] = {
#define ACTIVATION(name, attributes, saved, value, derivative) value, derivative,
#include "ir/activations.def"
#undef ACTIVATION
    };
    static const char *const names[] = {"x", "y", "slope", "alpha", "beta"};
    for (size_t i = 0; i < sizeof formulas / sizeof *formulas; i++) {
        ExpressionBuilder b = expression_begin(arena);
        int operand = expression_operand(&b, 0), quarter = expression_constant(&b, 0.25);
        const int bound[] = {operand, operand, quarter, quarter, quarter};
        int value = expression_formula(&b, formulas[i], names, bound, 5);
        const float at = 0.5f;
        CU_ASSERT_TRUE(isfinite(evaluate(arena, expression_end(&b, &value, 1), &at)));
    }
    arena_destroy(arena);
}

/* ---- The text -------------------------------------------------------------------------------- */

static void expressions_read_back(void) {
    Arena *arena = arena_create();
    for (size_t i = 0; i < 2000; i++) {
        ExpressionBuilder b = expression_begin(arena);
        float constant = sample(i);
        int x = expression_operand(&b, 1), c = expression_constant(&b, (double)constant);
        int u = expression_apply(&b, SCALAR_xor_u, expression_operand_u(&b, 2),
                                 expression_constant_u(&b, random_word(4, 4, 4, i)), -1);
        int chosen = expression_apply(&b, SCALAR_select, expression_visible(&b, 0), x, c);
        u = expression_apply(&b, SCALAR_add_u, u, expression_index(&b, i % 2), -1);
        const int values[] = {chosen, u};
        Expression *expression = expression_end(&b, values, 2);
        char *text = print(arena, expression);
        const char *cursor = text, *error = NULL;
        Expression *read = expression_parse(arena, &cursor, &error);
        CU_ASSERT_PTR_NOT_NULL_FATAL(read);
        CU_ASSERT_EQUAL(*cursor, '\0');
        CU_ASSERT_STRING_EQUAL(print(arena, read), text);
        CU_ASSERT_TRUE(same(read->instructions[c].constant, constant) || isnan(constant));
    }
    arena_destroy(arena);
}

static void wrong_expressions_are_refused(void) {
    static const struct {
        const char *text, *rest, *error;
    } rows[] = {
        {"", "", "expected t or ->"},
        {"-> ", "", "expected t and the number of an earlier operation"},
        {"-> t0", "0", "not the number of an earlier operation"},
        {"t1 = operand 0; -> t1", " = operand 0; -> t1",
         "operations must be numbered one after the other"},
        {"t0 = operand 64; -> t0", "64; -> t0", "no kernel has an operand of this number"},
        {"t0 = operand -1; -> t0", "-1; -> t0", "expected a whole number"},
        {"t0 = frobnicate 1; -> t0", "frobnicate 1; -> t0", "unknown scalar operation"},
        {"t0 = operand 0; t1 = neg t1; -> t1", "1; -> t1",
         "not the number of an earlier operation"},
        {"t0 = operand 0; t1 = less t0 t0; -> t1", "1",
         "the operation has a result of another kind than is needed here"},
        {"t0 = operand_u 0; t1 = neg t0; -> t1", "0; -> t1",
         "the operation has a result of another kind than is needed here"},
        {"t0 = constant 1x; -> t0", "1x; -> t0", "expected a number"},
        {"t0 = constant 1, -> t0", ", -> t0", "expected ;"},
        {"t0 = constant_u 4294967296; -> t0", "4294967296; -> t0",
         "this number must be below 2^32"},
        {"t0 = operand 0; -> t0, t0, t0, t0, t0", " t0", "an expression has at most 4 values"},
    };
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *cursor = rows[i].text, *error = NULL;
        CU_ASSERT_PTR_NULL(expression_parse(arena, &cursor, &error));
        CU_ASSERT_PTR_NOT_NULL_FATAL(error);
        CU_ASSERT_STRING_EQUAL(error, rows[i].error);
        CU_ASSERT_STRING_EQUAL(cursor, rows[i].rest);
    }
    arena_destroy(arena);
}

CU_TestInfo kernel_expression_tests[] = {
    {"arithmetic is that of fp32", arithmetic_is_that_of_fp32},
    {"functions are rounded once", functions_are_rounded_once},
    {"comparisons are false for NaN", comparisons_are_false_for_nan},
    {"whole numbers wrap", whole_numbers_wrap},
    {"equal instructions are one", equal_instructions_are_one},
    {"fusion puts one expression into the other", fusion_puts_one_into_the_other},
    {"formulas mean what C means", formulas_mean_what_c_means},
    {"activations are formulas", activations_are_formulas},
    {"expressions read back", expressions_read_back},
    {"wrong expressions are refused", wrong_expressions_are_refused},
    CU_TEST_INFO_NULL,
};
