/* Single kernels, most of them over bf16 buffers, as compiled code for every instruction set of
 * this machine, against the kernel interpreter. The numbers are such that all sums and products are
 * exact in fp32, in whatever order: so what is loaded, rounded and stored has to be the same to the
 * bit. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "tests/support/compiled.h"
#include "tests/unit/harness.h"
#include "tests/unit/kernel_fixture.h"

enum { ROWS = FIXTURE_BATCH * FIXTURE_HEIGHT * FIXTURE_WIDTH };

/* A kernel's text, in which C stands for the channels, I for those of an image, S for C x C, K and
 * N for 9 times S and C, H, L and M for those of 48, 92 and 24 rows, Q for 40 C, R for 9 C Q. */
typedef struct Case {
    const char *name;
    const char *output;          /* type of y */
    const char *result, *kernel; /* dtype of the buffer y; behind a bar the lines that
                                    follow its space, of extents [8, 12], or others before a bar;
                                    "masked": that of visible rows */
    bool fine;                   /* x and f have more digits than bf16 holds */
} Case;

#define PLACES_3x3                                                                                 \
    "tap 0 [-1, -1], 1 [-1, 0], 2 [-1, 1], 3 [0, -1], 4 [0, 0], 5 [0, 1], 6 [1, -1], 7 [1, 0], "   \
    "8 [1, 1]\n"
#define TAPS_3x3 "taps dense {extent=[8, 12]}\n" PLACES_3x3
#define TAP      "taps dense {extent=[8, 12]}\ntap 0 [0, 0]\n"
#define TAPS_2x2 "taps dense {extent=[8, 12]}\ntap 0 [0, 0], 1 [0, 1], 2 [1, 0], 3 [1, 1]\n"
/* Lines of one strip, of a few positions; taps of a stride, and in no order. */
#define TAPS_OF_LINES                                                                              \
    "taps dense {extent=[24, 4]}\n"                                                                \
    "tap 0 [0, 0], 1 [-1, 0], 2 [-1, 1], 3 [0, -1], 4 [-1, -1], 5 [0, 1], 6 [1, 1], 7 [1, 0], "    \
    "8 [1, -1]\n"
#define TAPS_SCALED                                                                                \
    "taps dense {extent=[8, 12]} {scale=[2, 2]}\n"                                                 \
    "tap 0 [-1, -1], 1 [-1, 0], 2 [-1, 1], 3 [0, -1], 4 [0, 0], 5 [0, 1], 6 [1, -1], 7 [1, 0], "   \
    "8 [2, 2]\n"
#define TAPS_HIDDEN "taps masked {extent=[8, 12], stride=1}\n" PLACES_3x3
#define TAP_HIDDEN  "taps masked {extent=[8, 12], stride=1}\ntap 0 [0, 1]\n"
#define TURNED      "weight %inputs:w {tap=5, in=1, out=C}\n"
#define TAPS_APART                                                                                 \
    "taps dense {extent=[8, 12]}\n"                                                                \
    "tap 0 [-2, -3], 1 [-2, 0], 2 [-2, 3], 3 [2, -3], 4 [2, 0], 5 [2, 3]\n"
#define TAPS_CROSS                                                                                 \
    "taps dense {extent=[8, 12]}\n"                                                                \
    "tap 0 [-1, 0], 1 [0, -1], 2 [0, 0], 3 [0, 1], 4 [1, 0]\n"
#define TIMES_F                                                                                    \
    "prologue_operand element same " F                                                             \
    "\nprologue t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; -> t2\n"
#define X      "%inputs:x {image=I, row=C}"
#define F      "%inputs:f {image=I, row=C}"
#define Y      "out %outputs:y {image=I, row=C}\n"
#define WEIGHT "weight %inputs:w {tap=5, in=1, out=7}\n"
#define PASS   "expression t0 = operand 0; -> t0\n"

#define LINES "contract of lines of taps behind a prologue"

static const Case cases[] = {
    {"map", "f32<2x8x12xC>", "bf16",
     "map x C|operand element same " X "\noperand element same " F "\noperand one same %inputs:w\n"
     "expression t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; t3 = operand 2; t4 = add t2 t3; "
     "-> t4\n" Y,
     true},
    {"map to fp32", "f32<2x8x12xC>", "f32", "map x C|operand element same " X "\n" PASS Y, true},
    {"one number", "f32<2x8x12xC>", "bf16",
     "map x C|operand element first " X "\noperand image same " X "\n"
     "expression t0 = operand 0; t1 = operand 1; t2 = add t0 t1; -> t2\n" Y,
     false},
    {"channels apart", "f32<2x8x12xC>", "bf16",
     "map x C|operand element same %inputs:x {image=I, row=C, channel=1}\n"
     "operand one same %inputs:x {channel=3}\noperand element repeat 2 " X "\n"
     "expression t0 = operand 0; t1 = operand 1; t2 = operand 2; t3 = add t0 t1; t4 = add t3 t2; "
     "-> t4\n"
     "out %outputs:y {image=I, row=C, channel=1}\n",
     false},
    {"result apart", "f32<2x8x12xC>", "bf16",
     "map x C|operand element same " F "\n" PASS "out %outputs:y {image=I, row=1, channel=96}\n",
     true},
    {"contract", "f32<2x8x12xC>", "bf16",
     "contract x C|contraction {in=C, out=C}\n" TAPS_3x3 "a " X "\n" WEIGHT PASS Y, false},
    {"contract in bf16", "f32<2x8x12xC>", "f32",
     "contract x C|contraction {in=C, out=C, bf16=true}\n" TAP "a " F "\n" WEIGHT PASS Y, true},
    {"contract in bf16 of bf16", "f32<2x8x12xC>", "bf16",
     "contract x C|contraction {in=C, out=C, bf16=true}\n" TAP "a " X
     "\nweight %inputs:w {tap=5, in=C, out=1}\n" PASS Y,
     true},
    {"contract in bf16 of taps", "f32<2x8x12xC>", "f32",
     "contract x C|contraction {in=C, out=C, bf16=true}\n" TAPS_3x3 "a " X "\n" WEIGHT PASS Y,
     false},
    {"contract in bf16 of taps of fp32", "f32<2x8x12xC>", "bf16",
     "contract x C|contraction {in=C, out=C, bf16=true}\n" TAPS_3x3 "a " F "\n" WEIGHT PASS Y,
     false},
    {"contract in bf16 of lines", "f32<2x24x4xC>", "f32",
     "contract x C|[24, 4]|contraction {in=C, out=C, bf16=true}\n" TAPS_OF_LINES "a " X
     "\n" TURNED PASS Y,
     false},
    {"contract in bf16 of fewer lines", "f32<2x23x4xC>", "f32",
     "contract x C|[23, 4]|contraction {in=C, out=C, bf16=true}\n" TAPS_OF_LINES "a " X
     "\nweight %inputs:w {tap=5, in=C, out=1}\n" PASS "out %outputs:y {image=L, row=C}\n",
     false},
    {"contract in bf16 with a stride", "f32<2x4x6xC>", "f32",
     "contract x C|[4, 6]|contraction {in=C, out=C, bf16=true}\n" TAPS_SCALED "a " X
     "\n" TURNED PASS "out %outputs:y {image=M, row=C}\n",
     false},
    {"contract in bf16 to few columns", "f32<2x8x12x5>", "bf16",
     "contract x 5|contraction {in=C, out=5, bf16=true}\n" TAPS_3x3 "a " X
     "\nweight %inputs:w {tap=5, in=1, out=C}\n" PASS "out %outputs:y {image=480, row=5}\n",
     false},
    {"contract of taps behind a prologue", "f32<2x8x12xC>", "f32",
     "contract x C|contraction {in=C, out=C, bf16=true}\n" TAPS_3x3 "a " X "\n"
     "prologue_operand element same " F "\n"
     "prologue t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; -> t2\n" WEIGHT PASS Y,
     false},
    {LINES, "f32<2x8x12xC>", "f32",
     "contract x C|contraction {in=C, out=C}\n" TAPS_3x3 "a " X "\n" TIMES_F WEIGHT PASS Y, false},
    {"contract of taps apart behind a prologue", "f32<2x8x12xC>", "f32",
     "contract x C|contraction {in=C, out=C}\n" TAPS_APART "a " X "\n" TIMES_F WEIGHT PASS Y,
     false},
    {"contract of two by two taps behind a prologue", "f32<2x8x12xC>", "f32",
     "contract x C|contraction {in=C, out=C}\n" TAPS_2x2 "a " X "\n" TIMES_F WEIGHT PASS Y, false},
    {"contract of a cross of taps behind a prologue", "f32<2x8x12xC>", "f32",
     "contract x C|contraction {in=C, out=C}\n" TAPS_CROSS "a " X "\n" TIMES_F WEIGHT PASS Y,
     false},
    {"contract behind a prologue", "f32<2x8x12xC>", "bf16",
     "contract x C|contraction {in=C, out=C, bf16=true}\n" TAP "a " X "\n"
     "prologue_operand element same " F "\n"
     "prologue t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; -> t2\n" WEIGHT
     "operand element same " X "\n"
     "expression t0 = operand 0; t1 = operand 1; t2 = add t0 t1; -> t2\n" Y,
     true},
    {"contract_weight", "f32[K]", "f32",
     "contract_weight x C|contraction {in=C, out=C}\n" TAPS_3x3 "a " X "\nb " X
     "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"contract_weight in bf16", "f32[S]", "f32",
     "contract_weight x C|contraction {in=C, out=C, bf16=true}\n" TAP "a " F "\nb " F
     "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     true},
    {"contract_weight in bf16 of taps", "f32[K]", "f32",
     "contract_weight x C|contraction {in=C, out=C, bf16=true}\n" TAPS_3x3 "a " X "\nb " F
     "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"contract_weight in bf16 of few rows", "f32[K]", "f32",
     "contract_weight x C|[5, 7]|contraction {in=C, out=C, bf16=true}\n" TAPS_3x3 "a " X "\nb " F
     "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"contract_weight in bf16 of lines", "f32[K]", "f32",
     "contract_weight x C|[23, 4]|contraction {in=C, out=C, bf16=true}\n" TAPS_OF_LINES "a " X
     "\nb " X "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"contract_weight in bf16 with a stride", "f32[K]", "f32",
     "contract_weight x C|[4, 6]|contraction {in=C, out=C, bf16=true}\n" TAPS_SCALED "a " X
     "\nb %inputs:f {image=M, row=C}\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"contract_weight of taps behind a prologue", "f32[K]", "f32",
     "contract_weight x C|contraction {in=C, out=C, bf16=true}\n" TAPS_3x3 "a " X "\n"
     "prologue_operand element same " X "\n"
     "prologue t0 = operand 0; t1 = operand 1; t2 = add t0 t1; -> t2\nb " X
     "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"contract_weight behind a prologue", "f32[S]", "f32",
     "contract_weight x C|contraction {in=C, out=C, bf16=true}\n" TAP "a " X "\n"
     "prologue_operand element same " X "\n"
     "prologue t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; -> t2\nb " X
     "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"contract in bf16 of visible rows", "f32<2x8x12xC>", "f32",
     "contract x C|contraction {in=C, out=C, bf16=true}\n" TAPS_HIDDEN "a " X "\n" WEIGHT PASS Y,
     false},
    {"contract in bf16 of visible rows by a turned weight", "f32<2x8x12xC>", "bf16",
     "contract x C|contraction {in=C, out=C, bf16=true}\n" TAPS_HIDDEN "a " F "\n" TURNED PASS Y,
     false},
    {"contract in bf16 of visible rows behind a prologue", "f32<2x8x12xC>", "f32",
     "contract x C|contraction {in=C, out=C, bf16=true}\n" TAP_HIDDEN "a " X
     "\n" TIMES_F WEIGHT PASS Y,
     false},
    {"contract in bf16 between visible rows", "f32<2x8x12xC masked 1>", "f32",
     "contract x C|masked|contraction {in=C, out=C, bf16=true}\n" TAPS_HIDDEN "a " X
     "\n" WEIGHT PASS "out %outputs:y {image=H, row=C}\n",
     false},
    {"contract_weight in bf16 of visible rows", "f32[K]", "f32",
     "contract_weight x C|contraction {in=C, out=C, bf16=true}\n" TAPS_HIDDEN "a " X "\nb " F
     "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"contract_weight in bf16 of visible rows behind a prologue", "f32[S]", "f32",
     "contract_weight x C|contraction {in=C, out=C, bf16=true}\n" TAP_HIDDEN "a " X "\n" TIMES_F
     "b " X "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"contract_weight in bf16 between visible rows", "f32[K]", "f32",
     "contract_weight x C|masked|contraction {in=C, out=C, bf16=true}\n" TAPS_HIDDEN "a " X "\nb " X
     "\nweight %outputs:y {tap=S, in=C, out=1}\n",
     false},
    {"weighted", "f32<2x8x12xC>", "bf16",
     "window x C|window weighted\n" TAPS_3x3 "a " X "\nweight %inputs:w {tap=C, out=1}\n"
     "operand element same " X "\n"
     "expression t0 = operand 0; t1 = operand 1; t2 = add t0 t1; -> t2\n" Y,
     false},
    {"sum", "f32<2x8x12xC>", "bf16", "window x C|window sum\n" TAPS_3x3 "a " X "\n" PASS Y, true},
    {"average", "f32<2x8x12xC>", "bf16",
     "window x C|window average {kernel=[2, 2], stride=[1, 1]}\n" TAPS_2x2 "a " X "\n" PASS Y,
     false},
    {"max", "f32<2x8x12xC>", "bf16", "window x C|window max\n" TAPS_3x3 "a " X "\n" PASS Y, true},
    {"max_by", "f32<2x8x12xC>", "bf16",
     "window x C|window max_by\n" TAPS_3x3 "a " X "\nb " X "\n" PASS Y, true},
    {"bilinear", "f32<2x8x12xC>", "bf16",
     "window x C|window bilinear {factor=[2, 2]}\ntaps dense {extent=[4, 6]}\ntap 0 [0, 0]\n"
     "a " X "\n" PASS Y,
     false},
    {"average_grad", "f32<2x8x12xC>", "bf16",
     "window x C|window average_grad {kernel=[2, 2], stride=[1, 1]}\n"
     "taps dense {extent=[7, 11]}\ntap 0 [0, 0], 1 [0, -1], 2 [-1, 0], 3 [-1, -1]\n"
     "a " X "\n" PASS Y,
     false},
    {"max_grad", "f32<2x8x12xC>", "f32",
     "window x C|window max_grad\n" TAPS_3x3 "a " X "\nb " X "\n" Y, true},
    {"weight_grad", "f32[N]", "f32",
     "window x C|window weight_grad\n" TAPS_3x3 "a " X "\nb " X
     "\nweight %outputs:y {tap=C, out=1}\n",
     false},
    {"sum over batch", "f32[C]", "f32",
     "reduce x C|reduction sum over batch\noperand element same " X "\n" PASS "out %outputs:y\n",
     true},
    {"sum over row", "f32<2x8x12x1>", "f32",
     "reduce x C|reduction sum over row\noperand element same " X "\n" PASS
     "out %outputs:y {image=96, row=1}\n",
     true},
    {"sum over all", "f32[]", "f32",
     "reduce x C|reduction sum over all\noperand element same " X "\n" PASS "out %outputs:y\n",
     true},
};

/* The text with the letters of Case replaced. */
static const char *fill(Arena *arena, const char *text, int channels) {
    const struct {
        char letter;
        int number;
    } letters[] = {
        {'C', channels},       {'D', 2 * channels},        {'I', 96 * channels},
        {'J', 192 * channels}, {'S', channels * channels}, {'K', 9 * channels * channels},
        {'N', 9 * channels},   {'H', 48 * channels},       {'L', 92 * channels},
        {'M', 24 * channels},  {'Q', 40 * channels},       {'R', 360 * channels * channels}};
    Text out = text_create(arena);
    for (; *text; text++) {
        bool found = false;
        for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
            if (*text == letters[i].letter && (text[1] < 'A' || text[1] > 'Z') &&
                (text[1] < 'a' || text[1] > 'z')) {
                text_append(&out, "%d", letters[i].number);
                found = true;
            }
        if (!found)
            text_append_bytes(&out, text, 1);
    }
    return out.data;
}

enum { WEIGHTS = 1 << 16 };

static const char *program_text(Arena *arena, const Case *test, int channels) {
    const char *bar = strchr(test->kernel, '|'), *lines = strrchr(test->kernel, '|');
    CU_ASSERT_PTR_NOT_NULL_FATAL(bar);
    const char *space =
        bar == lines ? "[8, 12]" : arena_format(arena, "%.*s", (int)(lines - bar - 1), bar + 1);
    bool masked = strcmp(space, "masked") == 0, hides = strstr(lines, "taps masked") != NULL;
    space = masked ? "masked {extent=[8, 12], stride=1}"
                   : arena_format(arena, "dense {extent=%s}", space);
    Type type;
    const char *output = fill(arena, test->output, channels);
    CU_ASSERT_FATAL(type_parse(&output, &type));
    int64_t elements = type.form == FORM_PLAIN
                           ? type_plain_elements(&type)
                           : FIXTURE_BATCH * type.extent[0] * type.extent[1] * type.channels;
    if (type.form == FORM_MASKED)
        elements /= 2;
    return arena_format(
        arena,
        "%sbuffer x : bf16 inputs {elements=%d}\nbuffer f : f32 inputs {elements=%d}\n"
        "buffer w : f32 inputs {elements=%d}\nbuffer y : %s outputs {elements=%lld}\n"
        "%skernel k : %s\nspace %s\n%s",
        hides ? kernel_fixture_levels : "", ROWS * channels, ROWS * channels, WEIGHTS, test->result,
        (long long)elements, hides ? kernel_fixture_maps : "",
        fill(arena, arena_format(arena, "%.*s", (int)(bar - test->kernel), test->kernel), channels),
        space, fill(arena, lines + 1, channels));
}

/* Coarse: multiples of 1/8 below 2, exact in bf16. Fine: in [1, 2) and (-2, -1] with 10 digits
 * behind the point, of which bf16 holds 7; halves of its unit are among them. */
static double *draw(Arena *arena, size_t count, uint32_t stream, bool fine) {
    double *data = arena_new_array(arena, double, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t word = random_word(1, stream, 0, i);
        double size = fine ? (double)(1024 + word % 1024) / 1024 : (double)(word % 16) / 8;
        data[i] = word >> 31 ? -size : size;
    }
    return data;
}

static void give(const Program *program, KernelInterpreter *values, const char *name, size_t count,
                 const double *data) {
    Type type = type_plain(DTYPE_F32, 1, (int64_t[]){(int64_t)count});
    View view = kernel_interpreter_whole_view(
        program, kernel_find_buffer(program, REGION_INPUTS, name), &type);
    kernel_interpreter_write(values, &view, &type, data);
}

/* Numbers are equal, or both not a number. */
static bool same(double a, double b) {
    return a == b ? signbit(a) == signbit(b) : isnan(a) && isnan(b);
}

static void compare(const Tensor *expected, const Tensor *actual, const char *what) {
    CU_ASSERT_EQUAL_FATAL(expected->count, actual->count);
    for (size_t i = 0; i < expected->count; i++)
        if (!same(expected->data[i], actual->data[i])) {
            CU_FAIL(what);
            printf("\n%s: element %zu is %.9g, expected %.9g\n", what, i, actual->data[i],
                   expected->data[i]);
            return;
        }
}

typedef struct Numbers {
    size_t elements;
    const double *x, *f, *w;
} Numbers;

static void give_all(const Program *program, KernelInterpreter *values, const Numbers *numbers) {
    give(program, values, "x", numbers->elements, numbers->x);
    give(program, values, "f", numbers->elements, numbers->f);
    give(program, values, "w", WEIGHTS, numbers->w);
}

/* One program by the interpreter, and as code for each level. */
static void compare_program(const char *text, const char *output, const Numbers *numbers,
                            const char *what) {
    KernelFixture fixture = kernel_fixture_create(text);
    Type type;
    int levels;
    CU_ASSERT_FATAL(type_parse(&output, &type));
    give_all(fixture.program, fixture.interpreter, numbers);
    kernel_fixture_run(&fixture);
    Tensor expected = kernel_interpreter_output(fixture.interpreter, fixture.arena, "y", &type);
    const char *const *cpus = compiled_bf16_cpus(&levels);
    for (int i = 0; i < levels; i++) {
        CompiledOptions options = {.cpu = cpus[i], .poisoned = true};
        Compiled *compiled = compiled_create(fixture.program, &options);
        give_all(fixture.program, compiled->values, numbers);
        if (fixture.program->cells >= 0)
            kernel_fixture_give_cells(compiled->values, fixture.arena);
        compiled_run(compiled);
        Tensor actual = kernel_interpreter_output(compiled->values, fixture.arena, "y", &type);
        compare(&expected, &actual,
                arena_format(fixture.arena, "%s for %s", what, cpus[i] ? cpus[i] : "this CPU"));
        compiled_destroy(compiled);
    }
    kernel_fixture_destroy(&fixture);
}

static void run_case(const Case *test, int channels, bool broken) {
    Arena *arena = arena_create();
    size_t elements = (size_t)(ROWS * channels);
    double *x = draw(arena, elements, 1, test->fine), *f = draw(arena, elements, 2, test->fine);
    if (broken) /* of a row in the middle, and of the last */
        x[elements / 2] = f[elements / 2] = x[elements - 1] = f[elements - 1] = NAN;
    Numbers numbers = {elements, x, f, draw(arena, WEIGHTS, 3, test->fine)};
    compare_program(program_text(arena, test, channels), fill(arena, test->output, channels),
                    &numbers, arena_format(arena, "%s of %d channels", test->name, channels));
    arena_destroy(arena);
}

/* Whether a case differs at this width from one it is run at: of visible rows only those do that
 * are too few channels to skip hidden taps, those of a whole number of steps, and others. */
static bool is_telling(const Case *test, int width) {
    return !strstr(test->kernel, "taps masked") || width == 17 || width == 33 || width == 64;
}

static void test_kinds(void) {
    static const int widths[] = {1, 3, 17, 33, 64, 70};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            if (is_telling(&cases[i], widths[w]))
                run_case(&cases[i], widths[w], false);
}

static const Case *find_case(const char *name) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, name) == 0)
            return &cases[i];
    CU_FAIL_FATAL("no such case");
    return NULL;
}

/* More channels than are packed at a time, and than a slice of a strip has, the last one fewer. */
static void test_channels_in_parts(void) {
    static const Case slices = {"contract in bf16 of slices", "f32<2x8x12xC>", "bf16",
                                "contract x C|contraction {in=C, out=C, bf16=true}\n" TAPS_2x2
                                "a " X "\n" WEIGHT PASS Y,
                                false};
    run_case(&slices, 96, false);
    run_case(find_case(LINES), 300, false);
}

/* As many channels as it takes to skip hidden taps between visible rows; more than a part of the
 * depth, or a block of a weight's gradient, has. */
static void test_visible_rows(void) {
    static const Case deep = {
        "contract in bf16 of visible rows to few columns", "f32<2x8x12x5>", "f32",
        "contract x 5|contraction {in=C, out=5, bf16=true}\n" TAPS_HIDDEN "a " X
        "\nweight %inputs:w {tap=5, in=1, out=C}\n" PASS "out %outputs:y {image=480, row=5}\n",
        false};
    static const Case behind = {
        "contract in bf16 of visible rows to few, behind a prologue", "f32<2x8x12x5>", "f32",
        "contract x 5|contraction {in=C, out=5, bf16=true}\n" TAP_HIDDEN "a " X "\n" TIMES_F
        "weight %inputs:w {tap=5, in=5, out=1}\n" PASS "out %outputs:y {image=480, row=5}\n",
        false};
    run_case(find_case("contract in bf16 between visible rows"), 136, false);
    run_case(find_case("contract_weight in bf16 between visible rows"), 136, false);
    run_case(find_case("contract_weight in bf16 of visible rows"), 400, false);
    run_case(&deep, 1100, false);
    run_case(&behind, 1100, false);
}

/* So many columns that a part of the rows has both pictures, which are multiplied together. */
static void test_pictures_together(void) {
    static const Case test = {"contract_weight in bf16 of pictures together", "f32[R]", "f32",
                              "contract_weight x Q|contraction {in=C, out=Q, bf16=true}\n" TAPS_3x3
                              "a " X "\nb %inputs:f {image=M, row=1}\n"
                              "weight %outputs:y {tap=11560, in=Q, out=1}\n",
                              false};
    run_case(&test, 17, false);
}

/* What is not a number reaches the sums of its row, and no neighbour's. */
static void test_not_a_number(void) {
    static const int widths[] = {17, 24, 64};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            if (strncmp(cases[i].kernel, "contract x", strlen("contract x")) == 0 &&
                is_telling(&cases[i], widths[w]))
                run_case(&cases[i], widths[w], true);
}

/* ---- Rounding -------------------------------------------------------------------------------- */

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Each upper half with lower halves just below, at and just above the middle, among them
 * infinities, NaN (with nothing but a low half too), zeros, denormal numbers and those that round
 * to infinity. */
static void test_every_rounding(void) {
    static const uint32_t lower[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
    static const Case test = {"rounding", "f32<2x8x12x683>", "bf16",
                              "map x C|operand element same " F "\n" PASS Y, false};
    enum { CHANNELS = 683, HALVES = 1 << 16 };
    Arena *arena = arena_create();
    size_t elements = (size_t)ROWS * CHANNELS, all = sizeof lower / sizeof *lower;
    double *f = arena_new_array(arena, double, elements);
    for (size_t start = 0; start < HALVES * all; start += elements) {
        for (size_t i = 0; i < elements; i++) {
            size_t number = (start + i) % (HALVES * all);
            f[i] = (double)from_bits((uint32_t)(number / all) << 16 | lower[number % all]);
        }
        Numbers numbers = {elements, f, f, draw(arena, WEIGHTS, 3, false)};
        compare_program(program_text(arena, &test, CHANNELS), test.output, &numbers, "rounding");
    }
    arena_destroy(arena);
}

/* ---- The level that is chosen ---------------------------------------------------------------- */

/* What Linux says of the first processor, or nothing. */
static const char *read_processor(Arena *arena) {
    enum { SIZE = 1 << 14 };
    char *text = arena_new_array(arena, char, SIZE);
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file) {
        text[fread(text, 1, SIZE - 1, file)] = '\0';
        fclose(file);
    }
    return text;
}

/* Processors of AMD multiply pairs of bf16 faster than fp32, others with AVX-512 do not. */
static void test_chosen_level(void) {
    Arena *arena = arena_create();
    const char *processor = read_processor(arena);
    CpuTarget target;
    CU_ASSERT_FATAL(status_fine(cpu_target(arena, NULL, NULL, false, &target)));
    if (strstr(processor, "avx512vl") && !strstr(processor, "amx_bf16")) {
        bool pairs = strstr(processor, "AuthenticAMD") && strstr(processor, "avx512_bf16");
        CU_ASSERT_STRING_EQUAL(target.cpu, pairs ? "x86-64-v4-bf16" : "x86-64-v4");
    }
    arena_destroy(arena);
}

static CU_TestInfo tests[] = {
    {"every kind of kernel to the bit", test_kinds},
    {"more channels than are packed at a time", test_channels_in_parts},
    {"visible rows of many channels", test_visible_rows},
    {"gradient of a weight over pictures together", test_pictures_together},
    {"contractions of what is not a number", test_not_a_number},
    {"every rounding", test_every_rounding},
    {"the level for pairs is chosen on AMD's processors", test_chosen_level},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {{.pName = "kernels", .pTests = tests}, CU_SUITE_INFO_NULL};
