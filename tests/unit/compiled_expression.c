/* The scalar operations as compiled code, over a dense sample of all floats, against the exact
 * result (libm's long double), for every instruction set of this machine. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "ir/interpret/kernel_scalar.h"
#include "ir/kernel_verify.h"
#include "tests/support/compiled.h"
#include "tests/unit/compiled_suites.h"

/* ---- Programs of one kernel per operation ---------------------------------------------------- */

static View whole(int buffer) {
    return (View){.buffer = buffer, .channel_stride = 1};
}

static int add_buffer(Program *program, const char *name, Region region, DType dtype,
                      int64_t count) {
    Buffer buffer = {name, region, dtype, count, -1};
    vector_push(program->arena, &program->buffers, buffer);
    return (int)program->buffers.count - 1;
}

enum { REAL_INPUTS = 2, WHOLE_INPUTS = 2 };

static Program *create_program(Arena *arena, int64_t count) {
    Program *program = arena_new(arena, Program);
    *program = (Program){.arena = arena, .network = "table", .stage = "lower", .cells = -1};
    program->geometry = (Geometry){.batch = 1, .space = 1, .image = {1}, .channels = 1};
    add_buffer(program, "a", REGION_INPUTS, DTYPE_F32, count);
    add_buffer(program, "b", REGION_INPUTS, DTYPE_F32, count);
    add_buffer(program, "u", REGION_INPUTS, DTYPE_U32, count);
    add_buffer(program, "v", REGION_INPUTS, DTYPE_U32, count);
    return program;
}

/* An argument of the operation: fp32 and whole operands by their place; a condition is a < b. */
static int argument(ExpressionBuilder *builder, char kind, int place) {
    if (kind == 'b')
        return expression_apply(builder, SCALAR_less, expression_operand(builder, 0),
                                expression_operand(builder, 1), -1);
    place = place > 1 ? 1 : place;
    return kind == 'f' ? expression_operand(builder, place)
                       : expression_operand_u(builder, REAL_INPUTS + place);
}

static Expression *table_expression(Arena *arena, ScalarOp op) {
    ExpressionBuilder builder = expression_begin(arena);
    int arguments[3] = {-1, -1, -1};
    const char *operands = scalar_operands(op);
    bool condition = operands[0] == 'b';
    for (int i = 0; operands[i]; i++)
        arguments[i] = argument(&builder, operands[i], condition ? i - 1 : i);
    int result = expression_apply(&builder, op, arguments[0], arguments[1], arguments[2]);
    if (scalar_result(op) == 'b')
        result = expression_apply(&builder, SCALAR_select, result, expression_constant(&builder, 1),
                                  expression_constant(&builder, 0));
    return expression_end(&builder, &result, 1);
}

static void add_kernel(Program *program, ScalarOp op) {
    Kernel *kernel = arena_new(program->arena, Kernel);
    int64_t count = program->buffers.items[0].elements;
    kernel->kind = KERNEL_MAP;
    kernel->name = scalar_name(op);
    kernel->space = (Space){.kind = SPACE_ONE};
    kernel->channels = count;
    for (int i = 0; i < REAL_INPUTS + WHOLE_INPUTS; i++)
        kernel->operands[kernel->operand_count++] =
            (Access){.kind = ACCESS_ELEMENT, .view = whole(i)};
    kernel->expression = table_expression(program->arena, op);
    DType dtype = scalar_result(op) == 'u' ? DTYPE_U32 : DTYPE_F32;
    int output = add_buffer(program, kernel->name, REGION_OUTPUTS, dtype, count);
    kernel->outputs[kernel->output_count++] = whole(output);
    vector_push(program->arena, &program->kernels, kernel);
}

static void *buffer_of(const Compiled *compiled, int region, const char *name) {
    void *data = plan_executor_buffer(compiled->executor, region, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    return data;
}

static void expect_verified(Program *program) {
    Diagnostics *diagnostics = diagnostics_create(program->arena, 5);
    kernel_verify(program, diagnostics);
    if (diagnostics_error_count(diagnostics))
        fprintf(stderr, "\n%s", diagnostics_text(diagnostics, false));
    CU_ASSERT_EQUAL_FATAL(diagnostics_error_count(diagnostics), 0);
}

/* ---- The sample ------------------------------------------------------------------------------ */

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Where formulas change, saturate, overflow or underflow. */
static const float kinks[] = {
    0.0f,   1e-4f,   0.5f,          0.625f,      0.70710678f,   1.0f,          1.41421356f,
    2.0f,   3.0f,    6.0f,          8.3f,        9.01f,         13.0f,         14.17f,
    14.5f,  15.0f,   16.6f,         17.3f,       60.0f,         87.33f,        88.72f,
    89.0f,  103.28f, 103.97f,       105.0f,      0.34657359f,   1.0397208f,    1.1754944e-38f,
    1e-45f, 3.0e38f, 3.4028235e38f, 16777216.0f, 2147483648.0f, 4294967296.0f,
};

enum { AROUND = 600, STRIDE = 4099 };

typedef struct Sample {
    float *values;
    int64_t count;
} Sample;

static void add_around(Sample *sample, float centre) {
    for (int64_t i = -AROUND; i <= AROUND; i++) {
        int64_t bits = (int64_t)to_bits(centre) + i;
        if (bits < 0)
            continue;
        sample->values[sample->count++] = from_bits((uint32_t)bits);
        sample->values[sample->count++] = from_bits((uint32_t)bits | 0x80000000u);
    }
}

/* Every STRIDE-th float, negative ones, NaN and infinities included, and all around the kinks. */
static Sample all_floats(Arena *arena, uint32_t stride) {
    size_t kink_count = sizeof kinks / sizeof *kinks;
    size_t most = ((size_t)1 << 32) / stride + 1 + (kink_count + 1) * 2 * (2 * AROUND + 1);
    Sample sample = {arena_new_array(arena, float, most), 0};
    for (uint64_t bits = 0; bits < (uint64_t)1 << 32; bits += stride)
        sample.values[sample.count++] = from_bits((uint32_t)bits);
    for (size_t i = 0; i < kink_count; i++)
        add_around(&sample, kinks[i]);
    add_around(&sample, INFINITY);
    return sample;
}

/* ---- Functions of one number ----------------------------------------------------------------- */

typedef long double Exact(long double x);

static long double exact_rsqrt(long double x) {
    return 1 / sqrtl(x);
}

static long double exact_sigmoid(long double x) {
    return 1 / (1 + expl(-x));
}

static long double exact_softplus(long double x) {
    return (x < 0 ? 0 : x) + log1pl(expl(-fabsl(x)));
}

static long double exact_normal_cdf(long double x) {
    return 0.5L * erfcl(-x / sqrtl(2));
}

static long double exact_normal_pdf(long double x) {
    return expl(-x * x / 2) / sqrtl(2 * acosl(-1));
}

/* `ulp`: what docs/kernel-ir.md promises of compiled code. */
static const struct {
    ScalarOp op;
    Exact *exact;
    double ulp;
} functions[] = {
    {SCALAR_sqrt, sqrtl, 0.5},
    {SCALAR_rsqrt, exact_rsqrt, 1.5},
    {SCALAR_exp, expl, 1},
    {SCALAR_expm1, expm1l, 1.5},
    {SCALAR_log, logl, 1},
    {SCALAR_erf, erfl, 1.5},
    {SCALAR_tanh, tanhl, 1.5},
    {SCALAR_sigmoid, exact_sigmoid, 1.5},
    {SCALAR_softplus, exact_softplus, 2},
    {SCALAR_normal_cdf, exact_normal_cdf, 2},
    {SCALAR_normal_pdf, exact_normal_pdf, 1.5},
};

enum { FUNCTION_COUNT = sizeof functions / sizeof *functions };

/* The distance of fp32 numbers where x lies; the smallest denormal at least. */
static long double ulp_at(long double x) {
    int exponent;
    frexpl(x, &exponent);
    return ldexpl(1, exponent < -125 ? -149 : exponent - 24);
}

/* How far y is from x in ulps; infinite if one of them is not a number, or finite, and the other
 * is. */
static double error_in_ulp(float y, long double x) {
    if (isnan(x) || isnan(y))
        return isnan(x) && isnan(y) ? 0 : INFINITY;
    if (isinf(y) || isinf(x)) /* the next number behind the largest one is infinity */
        return (long double)y == x || (float)x == y ? 0 : INFINITY;
    if (isinf((float)x))
        x = copysignl(0x1p128L, x);
    return (double)(fabsl((long double)y - x) / ulp_at(x));
}

/* The largest error of a function over the sample, and where. */
typedef struct Worst {
    double error;
    float at;
} Worst;

static void update(Worst *worst, double error, float at) {
    if (error > worst->error)
        *worst = (Worst){error, at};
}

static void report(const char *who, const char *function, Worst worst, double limit) {
    if (getenv("SPARKC_TEST_VERBOSE") || worst.error > limit)
        fprintf(stderr, "\n%s: %s is off by %.3f ulp at %a = %.9g (limit %g)", who, function,
                worst.error, (double)worst.at, (double)worst.at, limit);
    CU_ASSERT(worst.error <= limit);
}

static void check_interpreter(int function, const Sample *sample, const long double *exact) {
    Worst worst = {0};
    for (int64_t i = 0; i < sample->count; i++) {
        Scalar argument[3] = {{.f = sample->values[i]}};
        Scalar result = kernel_scalar_apply(functions[function].op, argument);
        update(&worst, error_in_ulp(result.f, exact[i]), sample->values[i]);
    }
    report("kernel interpreter", scalar_name(functions[function].op), worst, 0.501);
}

static void check_function(const char *cpu, const Compiled *compiled, int function,
                           const Sample *sample, const long double *exact) {
    const char *name = scalar_name(functions[function].op);
    const float *results = buffer_of(compiled, PLAN_OUTPUTS, name);
    Worst worst = {0};
    for (int64_t i = 0; i < sample->count; i++) {
        update(&worst, error_in_ulp(results[i], exact[i]), sample->values[i]);
        if (exact[i] == 0 && signbit(results[i]) != signbit((float)exact[i]))
            update(&worst, INFINITY, sample->values[i]);
    }
    report(cpu, name, worst, functions[function].ulp);
}

static uint32_t sample_stride(void) {
    const char *text = getenv("SPARKC_TEST_STRIDE");
    return text ? (uint32_t)atoi(text) : STRIDE;
}

static void test_functions(void) {
    Arena *arena = arena_create();
    Sample sample = all_floats(arena, sample_stride());
    Program *program = create_program(arena, sample.count);
    for (int f = 0; f < FUNCTION_COUNT; f++)
        add_kernel(program, functions[f].op);
    expect_verified(program);
    int cpus;
    const char *const *names = compiled_cpus(&cpus);
    Compiled *compiled[3];
    for (int c = 0; c < cpus; c++) {
        compiled[c] = compiled_create(program, &(CompiledOptions){.cpu = names[c]});
        memcpy(buffer_of(compiled[c], PLAN_INPUTS, "a"), sample.values,
               (size_t)sample.count * sizeof(float));
        compiled_run(compiled[c]);
    }
    long double *exact = arena_new_array(arena, long double, (size_t)sample.count);
    for (int f = 0; f < FUNCTION_COUNT; f++) {
        for (int64_t i = 0; i < sample.count; i++)
            exact[i] = functions[f].exact((long double)sample.values[i]);
        check_interpreter(f, &sample, exact);
        for (int c = 0; c < cpus; c++)
            check_function(names[c] ? names[c] : "host", compiled[c], f, &sample, exact);
    }
    for (int c = 0; c < cpus; c++)
        compiled_destroy(compiled[c]);
    arena_destroy(arena);
}

/* ---- Operations with exact results ----------------------------------------------------------- */

static bool is_function(ScalarOp op) {
    for (int f = 0; f < FUNCTION_COUNT; f++)
        if (functions[f].op == op)
            return true;
    return false;
}

enum { PAIRS = 200000 };

/* Numbers of all sizes, and now and then one of those with rules of their own. */
static uint32_t pattern(uint32_t stream, uint64_t index) {
    static const uint32_t special[] = {0,           0x80000000u, 0x7f800000u, 0xff800000u,
                                       0x7fc00000u, 1,           0x007fffffu, 0x00800000u,
                                       0x3f800000u, 0xbf800000u, 0x4f800000u, 0x4f7fffffu,
                                       0x7f7fffffu, 0xffffffffu, 31,          32};
    uint32_t word = random_word(stream, 0, 0, index);
    return word % 8 == 0 ? special[word / 8 % 16] : random_word(stream, 1, 0, index);
}

static Scalar apply_to(ScalarOp op, float a, float b, uint32_t u, uint32_t v) {
    const char *operands = scalar_operands(op);
    if (operands[0] == 'b') {
        Scalar arguments[3] = {{.b = a < b}};
        for (int i = 1; i < 3; i++)
            arguments[i] =
                operands[i] == 'f' ? (Scalar){.f = i == 1 ? a : b} : (Scalar){.u = i == 1 ? u : v};
        return kernel_scalar_apply(op, arguments);
    }
    Scalar arguments[3] = {{0}};
    for (int i = 0; operands[i]; i++)
        arguments[i] = operands[i] == 'f' ? (Scalar){.f = i ? b : a} : (Scalar){.u = i ? v : u};
    return kernel_scalar_apply(op, arguments);
}

/* Same bits, but all NaN are one. */
static bool same_result(ScalarOp op, Scalar expected, uint32_t actual) {
    if (scalar_result(op) == 'u')
        return expected.u == actual;
    float value = from_bits(actual);
    if (scalar_result(op) == 'b')
        return value == (expected.b ? 1.0f : 0.0f);
    return isnan(expected.f) ? isnan(value) : to_bits(expected.f) == actual;
}

static void check_exact(const char *cpu, const Compiled *compiled, ScalarOp op) {
    const float *a = buffer_of(compiled, PLAN_INPUTS, "a");
    const float *b = buffer_of(compiled, PLAN_INPUTS, "b");
    const uint32_t *u = buffer_of(compiled, PLAN_INPUTS, "u");
    const uint32_t *v = buffer_of(compiled, PLAN_INPUTS, "v");
    const uint32_t *results = buffer_of(compiled, PLAN_OUTPUTS, scalar_name(op));
    for (int i = 0; i < PAIRS; i++) {
        Scalar expected = apply_to(op, a[i], b[i], u[i], v[i]);
        if (same_result(op, expected, results[i]))
            continue;
        fprintf(stderr, "\n%s: %s of (%a, %a) or (%#x, %#x) is %#x, expected %#x", cpu,
                scalar_name(op), (double)a[i], (double)b[i], u[i], v[i], results[i], expected.u);
        CU_FAIL("an operation with an exact result differs");
        return;
    }
}

static void test_exact(void) {
    Arena *arena = arena_create();
    Program *program = create_program(arena, PAIRS);
    for (ScalarOp op = SCALAR_add; op < SCALAR_OP_COUNT; op++)
        if (!is_function(op))
            add_kernel(program, op);
    expect_verified(program);
    int cpus;
    const char *const *names = compiled_cpus(&cpus);
    for (int c = 0; c < cpus; c++) {
        Compiled *compiled = compiled_create(program, &(CompiledOptions){.cpu = names[c]});
        static const char *const inputs[] = {"a", "b", "u", "v"};
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t *data = buffer_of(compiled, PLAN_INPUTS, inputs[i]);
            for (int k = 0; k < PAIRS; k++)
                data[k] = pattern(i, (uint64_t)k);
        }
        compiled_run(compiled);
        for (ScalarOp op = SCALAR_add; op < SCALAR_OP_COUNT; op++)
            if (!is_function(op))
                check_exact(names[c] ? names[c] : "host", compiled, op);
        compiled_destroy(compiled);
    }
    arena_destroy(arena);
}

CU_TestInfo compiled_expression_tests[] = {
    {"functions within their bounds over all floats", test_functions},
    {"exact operations bit for bit", test_exact},
    CU_TEST_INFO_NULL,
};
