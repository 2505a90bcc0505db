/* Contracts and gradients of weights that are computed by Winograd's tiles, as compiled code for
 * every instruction set of this machine, against the kernel interpreter. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "ir/interpret/tolerance.h"
#include "tests/support/compiled.h"
#include "tests/unit/harness.h"
#include "tests/unit/kernel_fixture.h"

enum { BATCH = FIXTURE_BATCH, TAPS = 9 };

/* What a kernel is beside a contract of fp32 by a weight [tap][in][out]. */
enum {
    PLAIN = 0,
    WEIGHT = 1,   /* a contract_weight */
    BF16 = 2,     /* operands are rounded to it, x is stored in it */
    PROLOGUE = 4, /* x times f, as an operand */
    TURNED = 8,   /* the weight is [out][tap][in] */
    ROUNDED = 16  /* g is added to the result, which is stored in bf16 */
};

/* A kernel over pictures of height x width. */
typedef struct Case {
    const char *name;
    int height, width, in, out, is;
} Case;

/* Numbers of x, f, w and g, the incoming gradient or what is added. */
enum { INPUTS = 4 };
static const char *const input_names[INPUTS] = {"x", "f", "w", "g"};

static int64_t rows_of(const Case *c) {
    return (int64_t)BATCH * c->height * c->width;
}

static int64_t input_elements(const Case *c, int input) {
    const int64_t counts[INPUTS] = {rows_of(c) * c->in, rows_of(c) * c->in,
                                    (int64_t)TAPS * c->in * c->out, rows_of(c) * c->out};
    return counts[input];
}

/* ---- Programs -------------------------------------------------------------------------------- */

static const char *operands_text(Arena *arena, const Case *c) {
    int positions = c->height * c->width, square = c->in * c->out;
    const char *view = arena_format(arena, "{image=%d, row=%d}", positions * c->out, c->out);
    if ((c->is & WEIGHT))
        return arena_format(arena, "b %%inputs:g %s\nweight %%outputs:y {tap=%d, in=%d, out=1}\n",
                            view, square, c->out);
    return arena_format(arena, "weight %%inputs:w {tap=%d, in=%d, out=%d}\n%s out %%outputs:y %s\n",
                        (c->is & TURNED) ? c->in : square, (c->is & TURNED) ? 1 : c->out,
                        (c->is & TURNED) ? TAPS * c->in : 1,
                        (c->is & ROUNDED)
                            ? arena_format(arena,
                                           "operand element same %%inputs:g %s\nexpression t0 = "
                                           "operand 0; t1 = operand 1; t2 = add t0 t1; -> t2\n",
                                           view)
                            : "expression t0 = operand 0; -> t0\n",
                        view);
}

/* Taps are in no order. */
static const char *kernel_text(Arena *arena, const Case *c) {
    const char *view =
        arena_format(arena, "{image=%d, row=%d}", c->height * c->width * c->in, c->in);
    return arena_format(
        arena,
        "kernel k : %s x %d\nspace dense {extent=[%d, %d]}\ncontraction {in=%d, out=%d%s}\n"
        "taps dense {extent=[%d, %d]}\n"
        "tap 0 [0, 0], 1 [-1, 0], 2 [-1, 1], 3 [0, -1], 4 [-1, -1], 5 [0, 1], 6 [1, 1], 7 [1, 0], "
        "8 [1, -1]\na %%inputs:x %s\n%s%s",
        (c->is & WEIGHT) ? "contract_weight" : "contract", c->out, c->height, c->width, c->in,
        c->out, (c->is & BF16) ? ", bf16=true" : "", c->height, c->width, view,
        (c->is & PROLOGUE)
            ? arena_format(arena,
                           "prologue_operand element same %%inputs:f %s\n"
                           "prologue t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; -> "
                           "t2\n",
                           view)
            : "",
        operands_text(arena, c));
}

static const char *program_text(Arena *arena, const Case *c) {
    long long elements = (long long)input_elements(c, (c->is & WEIGHT) ? 2 : 3);
    return arena_format(arena,
                        "buffer x : %s inputs {elements=%lld}\nbuffer f : f32 inputs "
                        "{elements=%lld}\nbuffer w : f32 inputs {elements=%lld}\nbuffer g : f32 "
                        "inputs {elements=%lld}\nbuffer y : %s outputs {elements=%lld}\n%s",
                        (c->is & BF16) ? "bf16" : "f32", (long long)input_elements(c, 0),
                        (long long)input_elements(c, 1), (long long)input_elements(c, 2),
                        (long long)input_elements(c, 3), (c->is & ROUNDED) ? "bf16" : "f32",
                        elements, kernel_text(arena, c));
}

static Type output_type(const Case *c) {
    return type_plain((c->is & ROUNDED) ? DTYPE_BF16 : DTYPE_F32, 1,
                      (int64_t[]){input_elements(c, (c->is & WEIGHT) ? 2 : 3)});
}

/* ---- Numbers --------------------------------------------------------------------------------- */

/* In (-1, 1): x with 7 digits behind the point, which bf16 holds, the others with 20. */
static double *draw(Arena *arena, const Case *c, int input) {
    size_t count = (size_t)input_elements(c, input);
    double *data = arena_new_array(arena, double, count), unit = input == 0 ? 0x1p-7 : 0x1p-20;
    for (size_t i = 0; i < count; i++)
        data[i] =
            unit * (2 * floor(random_word(1, (uint32_t)input, 0, i) * 0x1p-32 / unit) + 1) - 1;
    return data;
}

static void give(const Program *program, KernelInterpreter *values, const Case *c,
                 double *const *inputs, bool magnitudes) {
    for (int i = 0; i < INPUTS; i++) {
        Arena *arena = arena_create();
        Type type = type_plain(DTYPE_F32, 1, (int64_t[]){input_elements(c, i)});
        View view = kernel_interpreter_whole_view(
            program, kernel_find_buffer(program, REGION_INPUTS, input_names[i]), &type);
        double *data = arena_new_array(arena, double, (size_t)input_elements(c, i));
        for (int64_t n = 0; n < input_elements(c, i); n++)
            data[n] = magnitudes ? fabs(inputs[i][n]) : inputs[i][n];
        kernel_interpreter_write(values, &view, &type, data);
        arena_destroy(arena);
    }
}

/* What the interpreter makes of them, or of their magnitudes. */
static const double *interpret(Arena *arena, const Case *c, double *const *inputs,
                               bool magnitudes) {
    KernelFixture fixture = kernel_fixture_create(program_text(arena, c));
    Type type = output_type(c);
    give(fixture.program, fixture.interpreter, c, inputs, magnitudes);
    kernel_fixture_run(&fixture);
    const double *result = kernel_interpreter_output(fixture.interpreter, arena, "y", &type).data;
    kernel_fixture_destroy(&fixture);
    return result;
}

/* The terms of a sum, and those that are added to it. */
static double *bounds_of(Arena *arena, const Case *c, double *const *inputs,
                         const double *expected) {
    const double *magnitudes = interpret(arena, c, inputs, true);
    size_t count = (size_t)output_type(c).extent[0];
    double *bounds = arena_new_array(arena, double, count);
    double terms = (c->is & WEIGHT) ? (double)rows_of(c) : (double)TAPS * c->in + 1;
    for (size_t i = 0; i < count; i++) {
        bounds[i] = tolerance_of_terms(terms) * magnitudes[i];
        if ((c->is & ROUNDED))
            bounds[i] += 2 * tolerance_of_storage(DTYPE_BF16) * (fabs(expected[i]) + bounds[i]);
    }
    return bounds;
}

/* ---- Comparison ------------------------------------------------------------------------------ */

/* Calls `body` with what the code for each instruction set makes of the numbers. */
typedef void Judge(const Case *c, const char *cpu, const double *actual, void *context);

static void each_level(const Case *c, double *const *inputs, Judge *judge, void *context) {
    Arena *arena = arena_create();
    KernelFixture fixture = kernel_fixture_create(program_text(arena, c));
    Type type = output_type(c);
    int levels;
    const char *const *cpus = compiled_bf16_cpus(&levels);
    for (int i = 0; i < levels; i++) {
        CompiledOptions options = {.cpu = cpus[i], .poisoned = true};
        Compiled *compiled = compiled_create(fixture.program, &options);
        give(fixture.program, compiled->values, c, inputs, false);
        compiled_run(compiled);
        judge(c, cpus[i] ? cpus[i] : "this CPU",
              kernel_interpreter_output(compiled->values, arena, "y", &type).data, context);
        compiled_destroy(compiled);
    }
    kernel_fixture_destroy(&fixture);
    arena_destroy(arena);
}

typedef struct Expected {
    const double *numbers, *bounds;
} Expected;

static void judge_bounds(const Case *c, const char *cpu, const double *actual, void *context) {
    const Expected *expected = context;
    ToleranceResult result = tolerance_compare(actual, expected->numbers, expected->bounds,
                                               (size_t)output_type(c).extent[0]);
    CU_ASSERT(result.ratio <= 1);
    if (!(result.ratio <= 1))
        printf("\n%s for %s: element %zu is %.9g, expected %.9g, %g times its bound\n", c->name,
               cpu, result.element, result.actual, result.expected, result.ratio);
}

static void run_case(const Case *c) {
    Arena *arena = arena_create();
    double *inputs[INPUTS];
    for (int i = 0; i < INPUTS; i++)
        inputs[i] = draw(arena, c, i);
    Expected expected = {.numbers = interpret(arena, c, inputs, false)};
    expected.bounds = bounds_of(arena, c, inputs, expected.numbers);
    each_level(c, inputs, judge_bounds, &expected);
    arena_destroy(arena);
}

static void run_cases(const Case *cases, size_t count) {
    for (size_t i = 0; i < count; i++)
        run_case(&cases[i]);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_contracts(void) {
    static const Case cases[] = {
        {"a weight of rows", 16, 16, 24, 48, PLAIN},
        {"a turned weight, behind a prologue, of odd sides", 13, 15, 64, 50,
         PROLOGUE | TURNED | ROUNDED},
        {"a weight whose columns lie apart", 15, 14, 72, 40, TURNED},
        {"many columns", 13, 13, 24, 560, PLAIN},
        {"many channels", 14, 19, 520, 24, PROLOGUE},
    };
    run_cases(cases, sizeof cases / sizeof *cases);
}

static void test_weights(void) {
    static const Case cases[] = {
        {"a gradient of odd sides behind a prologue", 13, 15, 24, 50, WEIGHT | PROLOGUE},
        {"blocks of channels and of columns", 13, 13, 200, 208, WEIGHT},
        {"parts of several stretches", 79, 78, 24, 48, WEIGHT},
    };
    run_cases(cases, sizeof cases / sizeof *cases);
}

/* Numbers with more digits than bf16 has are rounded first: f, w, and the gradient. */
static void test_bf16(void) {
    static const Case cases[] = {
        {"a contract in bf16", 31, 30, 24, 48, BF16 | ROUNDED},
        {"a contract in bf16 behind a prologue", 32, 32, 32, 40, BF16 | PROLOGUE | TURNED},
        {"a gradient in bf16", 32, 29, 24, 48, WEIGHT | BF16 | PROLOGUE},
    };
    run_cases(cases, sizeof cases / sizeof *cases);
}

/* One position that is not a number: whatever its taps reach is not one either, and what is far
 * from it is as it was. */
typedef struct Spoilt {
    Expected expected;
    int line, column;
} Spoilt;

static void judge_spoilt(const Case *c, const char *cpu, const double *actual, void *context) {
    const Spoilt *spoilt = context;
    const int reach = 5; /* a tile's side, less one */
    int wrong = 0;
    (void)cpu;
    for (int64_t i = 0; i < output_type(c).extent[0]; i++) {
        int64_t row = i / c->out, image = row / (c->height * c->width);
        int64_t line = row / c->width % c->height, column = row % c->width;
        int64_t distance = llabs(line - spoilt->line);
        if (llabs(column - spoilt->column) > distance)
            distance = llabs(column - spoilt->column);
        double apart = fabs(actual[i] - spoilt->expected.numbers[i]);
        if (image == 0 && distance <= 1)
            wrong += !isnan(actual[i]);
        else if (image != 0 || distance > reach)
            wrong += !(apart <= spoilt->expected.bounds[i]);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void test_not_a_number(void) {
    static const Case c = {"a position that is not a number", 16, 16, 24, 48, PLAIN};
    Arena *arena = arena_create();
    double *inputs[INPUTS];
    for (int i = 0; i < INPUTS; i++)
        inputs[i] = draw(arena, &c, i);
    Spoilt spoilt = {.line = 6, .column = 9};
    spoilt.expected.numbers = interpret(arena, &c, inputs, false);
    spoilt.expected.bounds = bounds_of(arena, &c, inputs, spoilt.expected.numbers);
    inputs[0][(spoilt.line * c.width + spoilt.column) * c.in + 5] = NAN;
    each_level(&c, inputs, judge_spoilt, &spoilt);
    arena_destroy(arena);
}

/* The multiply-adds that are executed for a case on a target, in those of its taps; and whether
 * they are multiplied as bf16. */
static double executed_share(const Case *c, const char *cpu, bool *tiles) {
    Arena *arena = arena_create();
    KernelFixture fixture = kernel_fixture_create(program_text(arena, c));
    const Kernel *kernel = fixture.program->kernels.items[0];
    CpuTarget target;
    CU_ASSERT_FATAL(status_fine(cpu_target(arena, "x86_64-unknown-linux-gnu", cpu, true, &target)));
    double needed = (double)kernel_multiply_adds(fixture.program, kernel);
    double executed = (double)cpu_multiply_adds(fixture.program, kernel, &target);
    *tiles = cpu_multiplies_tiles(fixture.program, kernel, &target);
    CU_ASSERT_EQUAL(kernel_multiply_adds(fixture.program, kernel),
                    rows_of(c) * TAPS * c->in * c->out);
    kernel_fixture_destroy(&fixture);
    arena_destroy(arena);
    return executed / needed;
}

static void expect_share(const Case *c, const char *cpu, double share, bool tiles) {
    bool found;
    CU_ASSERT_DOUBLE_EQUAL(executed_share(c, cpu, &found), share, 1e-9);
    CU_ASSERT_EQUAL(found, tiles);
}

/* 36 products of a tile's 144, from so many channels, tiles and results in a tile on. */
static void test_taken(void) {
    const double quarter = 0.25, whole = 1;
    const Case taken = {"", 16, 16, 24, 48, PLAIN}, weight = {"", 16, 16, 24, 48, WEIGHT};
    const Case channels = {"", 16, 16, 24, 40, PLAIN}, odd = {"", 16, 16, 28, 48, PLAIN};
    const Case few = {"", 16, 12, 24, 48, PLAIN}, over = {"", 40, 5, 24, 48, PLAIN},
               thin = {"", 1, 125, 24, 48, PLAIN};
    const Case half = {"", 32, 32, 24, 48, BF16}, less = {"", 32, 28, 24, 48, BF16};
    expect_share(&taken, "x86-64-v4", quarter, false);
    expect_share(&weight, "x86-64", quarter, false);
    expect_share(&channels, "x86-64-v4", whole, false);
    expect_share(&odd, "x86-64-v4", whole, false);
    expect_share(&odd, "x86-64-v3", quarter, false);
    expect_share(&few, "x86-64-v4", whole, false);
    expect_share(&over, "x86-64-v4", 0.4, false);
    expect_share(&thin, "x86-64-v4", whole, false);
    expect_share(&half, "x86-64-v4-bf16", quarter, false);
    expect_share(&less, "x86-64-v4-bf16", whole, true);
    expect_share(&less, "x86-64-v4", quarter, false);
    expect_share(&half, "x86-64-amx", whole, true);
}

static CU_TestInfo tests[] = {
    {"contracts", test_contracts},
    {"gradients of weights", test_weights},
    {"operands in bf16", test_bf16},
    {"a position that is not a number", test_not_a_number},
    {"where the tiles are taken, and what is executed", test_taken},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {{.pName = "winograd", .pTests = tests}, CU_SUITE_INFO_NULL};
