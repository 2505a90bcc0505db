/* What verify without a reference is worth: it passes on a right program, finds each kind of wrong
 * one, and guarded memory catches every access outside of a buffer's place and time. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/machine.h"
#include "passes/program.h"
#include "tests/support/random_network.h"
#include "tests/support/text_network.h"
#include "tests/unit/harness.h"
#include "tools/execute/guarded_memory.h"
#include "tools/execute/synthetic_fill.h"
#include "tools/verify/op_check.h"
#include "tools/verify/self_check.h"

static const char text[] =
    "network n(image = [3, 16, 24]) {\n"
    "    x = image |> c1: conv(8, kernel = 3, stride = 2, pad = 1) |> n1: batch_norm |> relu\n"
    "    feature x\n"
    "    x = x |> c2: conv(12, kernel = 3, stride = 2, pad = 1) |> n2: batch_norm |> silu\n"
    "    x = x + (x |> dw: conv(12, kernel = 3, pad = 1, groups = 12) |> n3: layer_norm)\n"
    "    feature x\n"
    "}\n";

/* The training step of that network, lowered. */
typedef struct Subject {
    Arena *arena;
    PassOptions pass;
    Graph *graph;
    LoweredValues values;
    ProgramBuild build;
} Subject;

static Subject create_subject(void) {
    Subject s = {.arena = arena_create(), .pass = pass_options_default()};
    Diagnostics *diagnostics = diagnostics_create(s.arena, FRONTEND_ERROR_LIMIT);
    s.pass.batch = 2;
    s.pass.decoder_width = 8;
    s.graph = text_network(s.arena, diagnostics, text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s.graph);
    CU_ASSERT_TRUE_FATAL(passes_run(s.graph, &s.pass, NULL, diagnostics, NULL, NULL));
    s.build = (ProgramBuild){.arena = s.arena, .graph = s.graph, .values = &s.values};
    CU_ASSERT_TRUE_FATAL(status_fine(program_build(&s.build)));
    s.build.values = &s.values;
    return s;
}

static void set_all(const Subject *s, Interpreter *interpreter, KernelInterpreter *values) {
    SyntheticFill fill = {
        .arena = s->arena,
        .graph = s->graph,
        .options = &s->pass,
        .seed = 1,
        .lively = true,
        .receivers = {synthetic_to_interpreter(interpreter), synthetic_to_kernels(values)}};
    CU_ASSERT_PTR_NULL_FATAL(synthetic_fill(&fill).message);
}

/* The worst result beyond its bound. */
typedef struct Found {
    double ratio;
    const char *op;
    int compared;
} Found;

static void find_worst(void *context, const OpCheckResult *result) {
    Found *found = context;
    found->compared++;
    if (result->worst.ratio > found->ratio) {
        found->ratio = result->worst.ratio;
        found->op = op_info(result->value->node->op)->name;
    }
}

/* Runs the program by the kernel interpreter in guarded memory against the graph. */
static Found check_subject(const Subject *s) {
    Found found = {0, "", 0};
    RunCode code = {.program = s->build.program};
    ProgramRun *run;
    Interpreter *interpreter = interpreter_create(s->graph);
    CU_ASSERT_TRUE_FATAL(status_fine(program_run_create(s->arena, &code, RUN_GUARDED, &run)));
    set_all(s, interpreter, program_run_values(run));
    OpCheck check = {interpreter, s->graph, s->build.program, &s->values, run};
    Status status = op_check_run(&check, s->arena, find_worst, &found);
    CU_ASSERT_PTR_NULL(status.message);
    program_run_destroy(run);
    interpreter_destroy(interpreter);
    return found;
}

static Kernel *find_kernel(const Subject *s, KernelKind kind, int number) {
    for (size_t k = 0; k < s->build.program->kernels.count; k++)
        if (s->build.program->kernels.items[k]->kind == kind && number-- == 0)
            return s->build.program->kernels.items[k];
    CU_FAIL_FATAL("the program has no such kernel");
    return NULL;
}

static void accepts_a_right_program(void) {
    Subject s = create_subject();
    Found found = check_subject(&s);
    CU_ASSERT_TRUE(found.ratio <= 1);
    CU_ASSERT_TRUE(found.compared > 50);
    arena_destroy(s.arena);
}

/* Each changes one thing in the program. */

static void swap_taps(Subject *s) {
    TapSet *taps = &find_kernel(s, KERNEL_CONTRACT, 0)->contraction.taps;
    int64_t weight = taps->taps[0].weight;
    taps->taps[0].weight = taps->taps[1].weight;
    taps->taps[1].weight = weight;
}

static void lose_a_tap(Subject *s) {
    find_kernel(s, KERNEL_WINDOW, 0)->window.taps.tap_count--;
}

static void lose_a_term(Subject *s) {
    find_kernel(s, KERNEL_CONTRACT_WEIGHT, 0)->contraction.taps.tap_count--;
}

static void shift_a_view(Subject *s) {
    Kernel *kernel = find_kernel(s, KERNEL_CONTRACT, 1);
    kernel->contraction.weight.base++;
}

/* All taps read the position itself, so that none is hidden or outside. */
static void read_one_place(Subject *s) {
    TapSet *taps = &find_kernel(s, KERNEL_WINDOW, 0)->window.taps;
    for (int t = 0; t < taps->tap_count; t++)
        for (int d = 0; d < taps->source.rank; d++)
            taps->taps[t].offset[d] = 0;
}

static void finds_wrong_programs(void) {
    static void (*const changes[])(Subject *) = {swap_taps, lose_a_tap, lose_a_term, shift_a_view,
                                                 read_one_place};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        Subject s = create_subject();
        changes[i](&s);
        CU_ASSERT_TRUE(check_subject(&s).ratio > 100);
        arena_destroy(s.arena);
    }
}

/* Runs an access in a child; what it printed, and its exit status in *status. */
static char *run_in_child(Arena *arena, void (*access)(void), int *status) {
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        access();
        _exit(0);
    }
    close(ends[1]);
    char *printed = arena_alloc(arena, 1024, 1);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], printed + length, 1023 - length)) > 0)
        length += (size_t)got;
    close(ends[0]);
    waitpid(child, status, 0);
    return printed;
}

/* Two buffers, the first used by kernels 0 and 1, the second by kernel 2. */
static GuardedMemory *create_memory(Arena *arena) {
    Program *program = arena_new(arena, Program);
    program->arena = arena;
    program->cells = -1;
    static const char *const names[] = {"first", "second"};
    for (int i = 0; i < 2; i++) {
        Buffer buffer = {names[i], REGION_SCRATCH, DTYPE_F32, 10, -1};
        vector_push(arena, &program->buffers, buffer);
    }
    static const char *const kernels[] = {"write", "again", "other"};
    for (int i = 0; i < 3; i++) {
        Kernel *kernel = arena_new(arena, Kernel);
        *kernel = (Kernel){.kind = KERNEL_MAP, .name = kernels[i], .space = {.kind = SPACE_ONE}};
        kernel->channels = 10;
        kernel->output_count = 1;
        kernel->outputs[0] = (View){.buffer = i / 2, .channel_stride = 1};
        vector_push(arena, &program->kernels, kernel);
    }
    GuardedMemory *memory;
    CU_ASSERT_TRUE_FATAL(status_fine(guarded_memory_create(arena, program, 0, &memory)));
    return memory;
}

/* Kernel `kernel` writes element `element` of a buffer. */
static void touch(int kernel, int buffer, int element) {
    Arena *arena = arena_create();
    GuardedMemory *memory = create_memory(arena);
    for (int k = 0; k < kernel; k++) {
        guarded_memory_before(memory, k);
        guarded_memory_after(memory, arena, k);
        guarded_memory_release(memory, k);
    }
    guarded_memory_before(memory, kernel);
    volatile float *data = guarded_memory_buffers(memory)[buffer];
    data[element] = 1;
    Status status = guarded_memory_after(memory, arena, kernel);
    if (!status_fine(status))
        dprintf(STDERR_FILENO, "%s\n", status.message);
    guarded_memory_destroy(memory);
    arena_destroy(arena);
}

static void write_inside(void) {
    touch(1, 0, 9);
}

static void write_behind(void) {
    touch(0, 0, 16);
}

static void write_to_the_rest(void) {
    touch(0, 0, 10);
}

static void write_before(void) {
    touch(0, 0, -1);
}

static void write_too_early(void) {
    touch(0, 1, 0);
}

static void write_too_late(void) {
    touch(2, 0, 0);
}

static void catches_every_wrong_access(void) {
    static const struct {
        void (*access)(void);
        const char *message; /* "": a fine one */
    } cases[] = {
        {write_inside, ""},
        {write_behind, "sparkc: kernel write touches byte 64 of buffer first, behind its end\n"},
        {write_to_the_rest, "kernel write writes outside of buffer first\n"},
        {write_before, "kernel write writes outside of buffer first\n"},
        {write_too_early,
         "sparkc: kernel write touches byte 0 of buffer second, before its first use\n"},
        {write_too_late,
         "sparkc: kernel other touches byte 0 of buffer first, after its last use\n"},
    };
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = 0;
        const char *printed = run_in_child(arena, cases[i].access, &status);
        CU_ASSERT_STRING_EQUAL(printed, cases[i].message);
    }
    arena_destroy(arena);
}

static void gives_scratch_without_values(void) {
    Arena *arena = arena_create();
    GuardedMemory *memory = create_memory(arena);
    guarded_memory_before(memory, 0);
    const float *data = guarded_memory_buffers(memory)[0];
    for (int i = 0; i < 10; i++)
        CU_ASSERT_TRUE(data[i] != data[i]);
    guarded_memory_destroy(memory);
    arena_destroy(arena);
}

/* The same seed gives the same text, other seeds others. */
static void draws_networks_from_a_seed(void) {
    Arena *arena = arena_create();
    CU_ASSERT_STRING_EQUAL(random_network(arena, 5), random_network(arena, 5));
    CU_ASSERT_STRING_NOT_EQUAL(random_network(arena, 5), random_network(arena, 6));
    arena_destroy(arena);
}

/* ---- How much memory it takes ---------------------------------------------------------------- */

/* A network of 2.4 million parameters and small maps, so that its update counts. */
static const char wide[] = "network n(image = [3, 16, 16]) {\n"
                           "    x = image |> c1: conv(256, kernel = 4, stride = 4) |> relu\n"
                           "    feature x\n"
                           "    x = x |> c2: conv(1024, kernel = 3, stride = 2, pad = 1) |> relu\n"
                           "    feature x\n"
                           "}\n";

static void the_machine_says_what_is_free(void) {
    uint64_t free = machine_free_memory();
    double all = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    CU_ASSERT_TRUE(free > 16 << 20);
    CU_ASSERT_TRUE((double)free < 16 * all); /* with swap */
}

static SelfCheckOptions wide_options(OptimizerKind optimizer) {
    SelfCheckOptions options = {.pass = pass_options_default(), .run = {.threads = 2}};
    options.pass.optimizer = optimizer;
    options.pass.batch = 2;
    options.pass.decoder_width = 16;
    return options;
}

static uint64_t estimate(Arena *arena, const Graph *network, const SelfCheckOptions *options) {
    uint64_t bytes = 0;
    Diagnostics *diagnostics = diagnostics_create(arena, 1);
    Status status = self_check_memory(arena, network, options, diagnostics, &bytes);
    CU_ASSERT_PTR_NULL(status.message);
    return bytes;
}

static void refuses_what_takes_more_memory_than_there_is(void) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 1);
    const Graph *network = text_network(arena, diagnostics, wide);
    CU_ASSERT_PTR_NOT_NULL_FATAL(network);
    SelfCheckOptions options = wide_options(OPTIMIZER_LAMB);
    Comparison *comparison = compare_create(arena);
    uint64_t lamb = estimate(arena, network, &options);
    options.memory = lamb - 1;
    Status status = self_check_network(arena, network, &options, diagnostics, comparison);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "GB are free; --optimizer sgd, a smaller"));
    CU_ASSERT_FALSE(compare_passed(comparison)); /* nothing was measured */
    SelfCheckOptions plain = wide_options(OPTIMIZER_SGD);
    CU_ASSERT_TRUE(estimate(arena, network, &plain) < lamb - lamb / 10);
    arena_destroy(arena);
}

/* Checks the network in a process that has no other peak; prints what is off. */
static void measure_a_check(void) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 1);
    SelfCheckOptions options = wide_options(OPTIMIZER_LAMB);
    const Graph *network = text_network(arena, diagnostics, wide);
    double estimated = (double)estimate(arena, network, &options), before = harness_peak_bytes();
    Status status =
        self_check_network(arena, network, &options, diagnostics, compare_create(arena));
    double taken = harness_peak_bytes() - before;
    if (!status_fine(status))
        fprintf(stderr, "%s", status.message);
    else if (taken > 1.15 * estimated || taken < 0.7 * estimated)
        fprintf(stderr, "%.0f bytes are taken, %.0f estimated", taken, estimated);
    arena_destroy(arena);
}

static void the_estimate_is_near_what_is_taken(void) {
    if (HARNESS_SANITIZED)
        return;
    Arena *arena = arena_create();
    int status = 0;
    CU_ASSERT_STRING_EQUAL(run_in_child(arena, measure_a_check, &status), "");
    CU_ASSERT_EQUAL(status, 0);
    arena_destroy(arena);
}

static CU_TestInfo tests[] = {
    {"accepts a right program", accepts_a_right_program},
    {"finds wrong programs", finds_wrong_programs},
    {"catches every wrong access", catches_every_wrong_access},
    {"gives scratch without values", gives_scratch_without_values},
    {"draws networks from a seed", draws_networks_from_a_seed},
    {"the machine says how much memory is free", the_machine_says_what_is_free},
    {"refuses what takes more memory than there is", refuses_what_takes_more_memory_than_there_is},
    {"the estimate is near what is taken", the_estimate_is_near_what_is_taken},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {HARNESS_SUITE("self check", tests), CU_SUITE_INFO_NULL};
