/* Contractions with every candidate of every choice (codegen/cpu/choices.def), for the best
 * instruction set of this machine, every third one for the others, and one to three threads: the
 * bits are those of the defaults. The numbers have all their digits, so that another order of a sum
 * would show. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "codegen/cpu/choices.h"
#include "tests/support/compiled.h"
#include "tests/unit/harness.h"
#include "tests/unit/kernel_fixture.h"

/* A program with one contraction, from the inputs x (and b) and w to the output y. */
typedef struct Case {
    const char *name, *buffers, *kernel;
    bool cancels; /* sums of some 1,024 rows are huge, and cancel one another */
    bool tiled;   /* in bf16 */
    bool masked;  /* rows of x are those of visible positions */
} Case;

/* Not around their position: so Winograd's tiles, which have no choices, are not taken. */
#define TAPS                                                                                       \
    "tap 0 [-1, 0], 1 [-1, 1], 2 [-1, 2], 3 [0, 0], 4 [0, 1], 5 [0, 2], 6 [1, 0], 7 [1, 1], "      \
    "8 [1, 2]\n"
#define PASS "expression t0 = operand 0; -> t0\n"
#define SQUARED                                                                                    \
    "prologue_operand element same %inputs:x {image=119808, row=72}\n"                             \
    "prologue t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; -> t2\n"

/* 3,328 rows of 72 channels, from and to. */
#define X72      "buffer x : f32 inputs {elements=239616}\n"
#define B100     "buffer b : f32 inputs {elements=332800}\n"
#define W72      "buffer w : f32 inputs {elements=64800}\n"
#define SPACE    "space dense {extent=[32, 52]}\n"
#define FROM     "taps dense {extent=[32, 52]}\n"
#define FROM_X72 "contraction {in=72, out=100}\n" FROM TAPS "a %inputs:x {image=119808, row=72}\n"
#define TO_Y100  "out %outputs:y {image=166400, row=100}\n"
#define B_TO_Y   "b %inputs:b {image=166400, row=100}\nweight %outputs:y {tap=7200, in=100, out=1}\n"
#define BY_W     "weight %inputs:w {tap=7200, in=100, out=1}\n"

static const Case cases[] = {
    {.name = "contract",
     .buffers = X72 W72 "buffer y : f32 outputs {elements=332800}\n",
     .kernel = "kernel k : contract x 100\n" SPACE FROM_X72 BY_W PASS TO_Y100},
    {.name = "contract behind a prologue",
     .buffers = X72 W72 "buffer y : f32 outputs {elements=332800}\n",
     .kernel = "kernel k : contract x 100\n" SPACE FROM_X72 SQUARED BY_W PASS TO_Y100},
    {.name = "contract of many channels behind a prologue",
     .buffers = "buffer x : f32 inputs {elements=998400}\n"
                "buffer w : f32 inputs {elements=54000}\nbuffer y : f32 outputs {elements=66560}\n",
     .kernel = "kernel k : contract x 20\n" SPACE "contraction {in=300, out=20}\n" FROM TAPS
               "a %inputs:x {image=499200, row=300}\n"
               "prologue_operand element same %inputs:x {image=499200, row=300}\n"
               "prologue t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; -> t2\n"
               "weight %inputs:w {tap=6000, in=20, out=1}\n" PASS
               "out %outputs:y {image=33280, row=20}\n"},
    {.name = "contract of many channels",
     .buffers = "buffer x : f32 inputs {elements=2396160}\n"
                "buffer w : f32 inputs {elements=14400}\nbuffer y : f32 outputs {elements=66560}\n",
     .kernel = "kernel k : contract x 20\n" SPACE "contraction {in=720, out=20}\n" FROM
               "tap 0 [0, 0]\na %inputs:x {image=1198080, row=720}\n"
               "weight %inputs:w {tap=14400, in=1, out=720}\n" PASS
               "out %outputs:y {image=33280, row=20}\n"},
    {.name = "contract of visible rows",
     .buffers = "buffer x : f32 inputs {elements=7680}\nbuffer w : f32 inputs {elements=216000}\n"
                "buffer y : f32 outputs {elements=57600}\n",
     .kernel =
         "kernel k : contract x 300\nspace dense {extent=[8, 12]}\n"
         "contraction {in=80, out=300}\ntaps masked {extent=[8, 12], stride=1}\n" TAPS
         "a %inputs:x {image=3840, row=80}\nweight %inputs:w {tap=24000, in=300, out=1}\n" PASS
         "out %outputs:y {image=28800, row=300}\n",
     .masked = true},
    {.name = "contract_weight",
     .buffers = X72 B100 "buffer y : f32 outputs {elements=64800}\n",
     .kernel = "kernel k : contract_weight x 100\n" SPACE FROM_X72 B_TO_Y},
    {.name = "contract_weight behind a prologue",
     .buffers = X72 B100 "buffer y : f32 outputs {elements=64800}\n",
     .kernel = "kernel k : contract_weight x 100\n" SPACE FROM_X72 SQUARED B_TO_Y},
    {.name = "contract_weight of long rows",
     .buffers = "buffer x : f32 inputs {elements=49920}\nbuffer b : f32 inputs {elements=57600}\n"
                "buffer y : f32 outputs {elements=702000}\n",
     .kernel = "kernel k : contract_weight x 300\nspace dense {extent=[8, 12]}\n"
               "contraction {in=260, out=300}\ntaps dense {extent=[8, 12]}\n" TAPS
               "a %inputs:x {image=24960, row=260}\nb %inputs:b {image=28800, row=300}\n"
               "weight %outputs:y {tap=78000, in=300, out=1}\n"},
    {.name = "contract_weight of visible rows",
     .buffers = "buffer x : f32 inputs {elements=7680}\nbuffer b : f32 inputs {elements=57600}\n"
                "buffer y : f32 outputs {elements=216000}\n",
     .kernel = "kernel k : contract_weight x 300\nspace dense {extent=[8, 12]}\n"
               "contraction {in=80, out=300}\ntaps masked {extent=[8, 12], stride=1}\n" TAPS
               "a %inputs:x {image=3840, row=80}\nb %inputs:b {image=28800, row=300}\n"
               "weight %outputs:y {tap=24000, in=300, out=1}\n",
     .masked = true},
    {.name = "contract_weight whose rows are cut into parts",
     .buffers =
         "buffer x : f32 inputs {elements=2496000}\nbuffer b : f32 inputs {elements=166400}\n"
         "buffer y : f32 outputs {elements=24000}\n",
     .kernel = "kernel k : contract_weight x 40\nspace dense {extent=[40, 52]}\n"
               "contraction {in=600, out=40}\ntaps dense {extent=[40, 52]}\ntap 0 [0, 0]\n"
               "a %inputs:x {image=1248000, row=600}\nb %inputs:b {image=83200, row=40}\n"
               "weight %outputs:y {tap=24000, in=40, out=1}\n",
     .cancels = true},
    {.name = "contract in bf16",
     .buffers = "buffer x : f32 inputs {elements=212992}\nbuffer w : f32 inputs {elements=230400}\n"
                "buffer y : f32 outputs {elements=1331200}\n",
     .kernel =
         "kernel k : contract x 400\n" SPACE "contraction {in=64, out=400, bf16=true}\n" FROM TAPS
         "a %inputs:x {image=106496, row=64}\n"
         "weight %inputs:w {tap=25600, in=400, out=1}\n" PASS
         "out %outputs:y {image=665600, row=400}\n",
     .tiled = true},
    {.name = "contract in bf16 of channels that fill no tiles",
     .buffers = "buffer x : f32 inputs {elements=159744}\nbuffer w : f32 inputs {elements=172800}\n"
                "buffer y : f32 outputs {elements=1331200}\n",
     .kernel =
         "kernel k : contract x 400\n" SPACE "contraction {in=48, out=400, bf16=true}\n" FROM TAPS
         "a %inputs:x {image=79872, row=48}\n"
         "weight %inputs:w {tap=19200, in=400, out=1}\n" PASS
         "out %outputs:y {image=665600, row=400}\n",
     .tiled = true},
    {.name = "contract in bf16 of many channels",
     .buffers = "buffer x : f32 inputs {elements=2555904}\n"
                "buffer w : f32 inputs {elements=30720}\n"
                "buffer y : f32 outputs {elements=133120}\n",
     .kernel = "kernel k : contract x 40\n" SPACE "contraction {in=768, out=40, bf16=true}\n" FROM
               "tap 0 [0, 0]\na %inputs:x {image=1277952, row=768}\n"
               "weight %inputs:w {tap=30720, in=40, out=1}\n" PASS
               "out %outputs:y {image=66560, row=40}\n",
     .tiled = true},
    {.name = "contract in bf16 of strips",
     .buffers =
         "buffer x : bf16 inputs {elements=159744}\nbuffer w : f32 inputs {elements=172800}\n"
         "buffer y : f32 outputs {elements=1331200}\n",
     .kernel =
         "kernel k : contract x 400\n" SPACE "contraction {in=48, out=400, bf16=true}\n" FROM TAPS
         "a %inputs:x {image=79872, row=48}\n"
         "weight %inputs:w {tap=19200, in=400, out=1}\n" PASS
         "out %outputs:y {image=665600, row=400}\n",
     .tiled = true},
    {.name = "contract_weight in bf16",
     .buffers = "buffer x : f32 inputs {elements=159744}\nbuffer b : f32 inputs {elements=998400}\n"
                "buffer y : f32 outputs {elements=129600}\n",
     .kernel =
         "kernel k : contract_weight x 300\n" SPACE
         "contraction {in=48, out=300, bf16=true}\n" FROM TAPS "a %inputs:x {image=79872, row=48}\n"
         "b %inputs:b {image=499200, row=300}\n"
         "weight %outputs:y {tap=14400, in=300, out=1}\n",
     .tiled = true},
};

/* ---- Numbers --------------------------------------------------------------------------------- */

static float draw(uint32_t stream, uint64_t index) {
    return ldexpf((float)(int32_t)random_word(5, stream, 0, index), -31);
}

/* Of 1,024 rows each, the third like the second, but that the gradient is huge in both and has
 * another sign. */
static float draw_cancelling(const char *buffer, int64_t element) {
    enum { ROWS = 1024 };
    bool gradient = *buffer == 'b';
    int64_t width = gradient ? 40 : 600, rows = element / width / ROWS;
    int64_t like = rows == 2 ? element - ROWS * width : element;
    float value = draw((uint32_t)*buffer, (uint64_t)like);
    return !gradient || (rows != 1 && rows != 2) ? value : ldexpf(rows == 2 ? -value : value, 60);
}

static void fill(const Compiled *compiled, const Case *test) {
    static const int32_t cells[] = {0, 2, 5, 1, 3, 4};
    for (int i = 0; i < compiled->plan->buffer_count; i++) {
        const PlanBuffer *buffer = &compiled->plan->buffers[i];
        void *place = plan_executor_buffer(compiled->executor, buffer->region, buffer->name);
        float *numbers = place;
        if (buffer->region != PLAN_INPUTS)
            continue;
        if (strcmp(buffer->name, "cells") == 0) {
            memcpy(place, cells, sizeof cells);
            continue;
        }
        for (int64_t k = 0; k < buffer->elements; k++) {
            float number = test->cancels ? draw_cancelling(buffer->name, k)
                                         : draw((uint32_t)*buffer->name, (uint64_t)k);
            if (buffer->element_bytes == sizeof number)
                numbers[k] = number;
            else /* the upper half is a bf16 */
                memcpy((uint16_t *)place + k, (char *)&number + 2, 2);
        }
    }
}

/* ---- Candidates ------------------------------------------------------------------------------ */

/* A contraction on one level. */
typedef struct Trial {
    const Case *test;
    Program *program;
    const Kernel *kernel;
    CpuTarget target;
    const char *cpu;
    Compiled *usual;
    int step;  /* candidates from one that is tried to the next */
    int count; /* choices tried */
} Trial;

static void try_choices(Trial *trial, const Choices *choices) {
    Arena *arena = arena_create();
    CpuTuning tuning = {.arena = arena};
    char *key = tuning_key(arena, trial->program, trial->kernel, &trial->target);
    CU_ASSERT_TRUE(choices_legal(trial->program, trial->kernel, &trial->target, choices));
    tuning_set(&tuning, key, choices);
    CompiledOptions options = {
        .cpu = trial->cpu, .threads = 1 + trial->count++ % 3, .poisoned = true, .tuning = &tuning};
    Compiled *compiled = compiled_create(trial->program, &options);
    fill(compiled, trial->test);
    compiled_run(compiled);
    compiled_expect_same(trial->usual, compiled,
                         arena_format(arena, "%s for %s, %s", trial->test->name, trial->cpu,
                                      choices_text(arena, choices)));
    compiled_destroy(compiled);
    arena_destroy(arena);
}

/* Each candidate of each choice alone, or some of them, then the first and the last ones of all
 * choices. */
static void try_all(Trial *trial) {
    Choices first = {0}, last = {0};
    for (int name = 0; name < CHOICE_NAMES; name++) {
        int values[CHOICE_MOST_CANDIDATES];
        int count = choices_candidates(trial->program, trial->kernel, &trial->target,
                                       (ChoiceName)name, values);
        for (int i = 0; i < count; i += trial->step) {
            Choices choices = {0};
            choices.value[name] = values[i];
            try_choices(trial, &choices);
        }
        first.value[name] = count ? values[0] : 0;
        last.value[name] = count ? values[count - 1] : 0;
    }
    try_choices(trial, &first);
    try_choices(trial, &last);
}

/* Every `step`-th candidate. */
static void run_level(const Case *test, const char *text, const char *cpu, int step) {
    KernelFixture fixture = kernel_fixture_create(text);
    const Kernel *kernel = fixture.program->kernels.items[fixture.program->kernels.count - 1];
    Trial trial = {
        .test = test, .program = fixture.program, .kernel = kernel, .cpu = cpu, .step = step};
    CompiledOptions options = {.cpu = cpu, .poisoned = true};
    CU_ASSERT_FATAL(status_fine(cpu_target(fixture.arena, NULL, cpu, false, &trial.target)));
    trial.usual = compiled_create(fixture.program, &options);
    fill(trial.usual, test);
    compiled_run(trial.usual);
    try_all(&trial);
    CU_ASSERT(trial.count > 6 / step);
    compiled_destroy(trial.usual);
    kernel_fixture_destroy(&fixture);
}

/* The first level that has tiles; 0 if there is none. */
static int first_tiled(const char *const *cpus, int levels) {
    for (int i = 0; i < levels; i++)
        if (cpus[i] && strcmp(cpus[i], "x86-64-v4-tiles") == 0)
            return i;
    return 0;
}

static void run_case(const Case *test) {
    int levels;
    const char *const *cpus = test->tiled ? compiled_bf16_cpus(&levels) : compiled_cpus(&levels);
    Arena *arena = arena_create();
    const char *text =
        arena_format(arena, "%s%s%s%s", test->masked ? kernel_fixture_levels : "", test->buffers,
                     test->masked ? kernel_fixture_maps : "", test->kernel);
    for (int i = test->tiled ? first_tiled(cpus, levels) : 0; i < levels; i++)
        run_level(test, text, cpus[i], i + 1 < levels ? 3 : 1);
    arena_destroy(arena);
}

static void test_bits(void) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_case(&cases[i]);
}

/* ---- What is legal --------------------------------------------------------------------------- */

/* How many candidates a choice has, of a case on a level; -1: this machine cannot run it. */
static int count_candidates(const char *name, const char *cpu, ChoiceName choice) {
    const Case *test = cases;
    int values[CHOICE_MOST_CANDIDATES], count = -1;
    CpuTarget target;
    while (strcmp(test->name, name) != 0)
        test++;
    Arena *arena = arena_create();
    KernelFixture fixture =
        kernel_fixture_create(arena_format(arena, "%s%s", test->buffers, test->kernel));
    if (status_fine(cpu_target(arena, NULL, cpu, true, &target)))
        count = choices_candidates(fixture.program, fixture.program->kernels.items[0], &target,
                                   choice, values);
    kernel_fixture_destroy(&fixture);
    arena_destroy(arena);
    return count;
}

static void test_open(void) {
    static const char tiles[] = "x86-64-v4-tiles", vectors[] = "x86-64-v4";
    CU_ASSERT(count_candidates("contract", vectors, CHOICE_READ) == 2);
    CU_ASSERT(count_candidates("contract", vectors, CHOICE_STRETCH) == 0);
    CU_ASSERT(count_candidates("contract behind a prologue", vectors, CHOICE_READ) == 0);
    CU_ASSERT(count_candidates("contract behind a prologue", vectors, CHOICE_DEPTH) > 2);
    CU_ASSERT(count_candidates("contract of many channels", vectors, CHOICE_DEPTH) > 2);
    CU_ASSERT(count_candidates("contract of many channels behind a prologue", vectors,
                               CHOICE_DEPTH) == 2);
    CU_ASSERT(count_candidates("contract_weight", vectors, CHOICE_READ) == 2);
    CU_ASSERT(count_candidates("contract_weight", vectors, CHOICE_DEPTH) == 0);
    CU_ASSERT(count_candidates("contract_weight of long rows", vectors, CHOICE_READ) == 0);
    CU_ASSERT(count_candidates("contract in bf16", tiles, CHOICE_DEPTH) > 1);
    CU_ASSERT(count_candidates("contract in bf16", tiles, CHOICE_READ) == 0);
    CU_ASSERT(count_candidates("contract in bf16 of channels that fill no tiles", tiles,
                               CHOICE_DEPTH) == 0);
    CU_ASSERT(count_candidates("contract_weight in bf16", tiles, CHOICE_STRETCH) == 0);
    CU_ASSERT(count_candidates("contract in bf16 of strips", tiles, CHOICE_ROWS) == 0);
    CU_ASSERT(count_candidates("contract in bf16 of strips", tiles, CHOICE_COLUMNS) > 2);
    CU_ASSERT(count_candidates("contract in bf16 of strips", vectors, CHOICE_ROWS) > 2);
}

/* Choices that are not legal for a contraction count as none. */
static void test_illegal(void) {
    static const struct {
        const char *test;
        ChoiceName name;
        int value;
    } illegal[] = {{"contract", CHOICE_STRETCH, 64},
                   {"contract", CHOICE_DEPTH, 100},
                   {"contract", CHOICE_READ, 3},
                   {"contract behind a prologue", CHOICE_READ, CHOICE_IN_PLACE},
                   {"contract_weight", CHOICE_DEPTH, 128}};
    for (size_t i = 0; i < sizeof illegal / sizeof *illegal; i++) {
        const Case *test = cases;
        while (strcmp(test->name, illegal[i].test) != 0)
            test++;
        Arena *arena = arena_create();
        CpuTarget target;
        CpuTuning tuning = {.arena = arena};
        Choices choices = {0}, legal = {0};
        KernelFixture fixture =
            kernel_fixture_create(arena_format(arena, "%s%s", test->buffers, test->kernel));
        const Kernel *kernel = fixture.program->kernels.items[0];
        CU_ASSERT_FATAL(status_fine(cpu_target(arena, NULL, "x86-64", true, &target)));
        const char *key = tuning_key(arena, fixture.program, kernel, &target);
        legal.value[CHOICE_ROWS] = choices.value[CHOICE_ROWS] = 192;
        choices.value[illegal[i].name] = illegal[i].value;
        tuning_set(&tuning, key, &choices);
        Choices found = tuning_find(arena, &tuning, fixture.program, kernel, &target);
        CU_ASSERT_EQUAL(found.value[CHOICE_ROWS], 0);
        CU_ASSERT_EQUAL(found.value[illegal[i].name], 0);
        tuning_set(&tuning, key, &legal);
        found = tuning_find(arena, &tuning, fixture.program, kernel, &target);
        CU_ASSERT_EQUAL(found.value[CHOICE_ROWS], 192);
        tuning_remove(&tuning, key);
        CU_ASSERT_EQUAL(tuning.contractions.count, 0);
        kernel_fixture_destroy(&fixture);
        arena_destroy(arena);
    }
}

/* ---- Text ------------------------------------------------------------------------------------ */

static void test_text(void) {
    static const char *const refused[] = {"depth",
                                          "depth=",
                                          "depth=100",
                                          "depth=384x",
                                          "depth=-384",
                                          "stretch=64",
                                          "read=1",
                                          "read=packed=1",
                                          "depth=384  rows=96",
                                          "depth=384,",
                                          "unknown=1",
                                          "depth=384 depth=128",
                                          " depth=384",
                                          "depth=384\nrows=96"};
    Arena *arena = arena_create();
    Choices choices;
    CU_ASSERT_TRUE(choices_parse("rows=96 depth=384 read=in_place", CHOICE_CONTRACT, &choices));
    CU_ASSERT_STRING_EQUAL(choices_text(arena, &choices), "depth=384 rows=96 read=in_place");
    CU_ASSERT_TRUE(choices_parse("", CHOICE_WEIGHT, &choices));
    CU_ASSERT_STRING_EQUAL(choices_text(arena, &choices), "");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CU_ASSERT_FALSE(choices_parse(refused[i], CHOICE_CONTRACT, &choices));
    CU_ASSERT_FALSE(choices_parse("depth=384", CHOICE_NONE, &choices));
    CU_ASSERT_EQUAL(tuning_key_form("contract_weight rows=1"), CHOICE_WEIGHT);
    CU_ASSERT_EQUAL(tuning_key_form("contract_tiled rows=1"), CHOICE_CONTRACT_TILED);
    CU_ASSERT_EQUAL(tuning_key_form("contracts rows=1"), CHOICE_NONE);
    CU_ASSERT_EQUAL(tuning_key_form(""), CHOICE_NONE);
    arena_destroy(arena);
}

static CU_TestInfo tests[] = {
    {"every candidate gives the bits of the defaults", test_bits},
    {"candidates are those that are possible", test_open},
    {"what is not legal is not used", test_illegal},
    {"choices as text", test_text},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {{.pName = "choices", .pTests = tests}, CU_SUITE_INFO_NULL};
