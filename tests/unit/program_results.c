/* Fusing and planning change no bit of any result: the program as it was lowered, fused, and in
 * planned memory leave the same bytes in outputs, parameters and states. */
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "ir/interpret/kernel_interpret.h"
#include "ir/kernel_parse.h"
#include "tests/unit/program_fixture.h"
#include "tests/unit/program_suites.h"

/* ---- Memory ---------------------------------------------------------------------------------- */

static size_t buffer_bytes(const Buffer *buffer) {
    return (size_t)buffer->elements * dtype_size(buffer->dtype);
}

/* Every other cell, begun at another one in each image; `keep` is at most half of all. */
static void fill_cells(const Geometry *geometry, int32_t *cells) {
    for (int64_t i = 0; i < geometry->batch * geometry->keep; i++)
        cells[i] = (int32_t)(i % geometry->keep * 2 + i / geometry->keep % 2);
}

/* States are positive, as variances are; all else has both signs. */
static void fill_numbers(const Buffer *buffer, uint32_t seed, void *memory) {
    float least = buffer->region == REGION_STATE ? 0.25F : -0.5F;
    for (int64_t i = 0; i < buffer->elements; i++) {
        uint32_t word = random_word(7, seed, 0, (uint64_t)i);
        if (buffer->dtype == DTYPE_F32)
            ((float *)memory)[i] = (float)(word >> 8) * 0x1p-24F + least;
        else
            memcpy((char *)memory + i * (int64_t)dtype_size(buffer->dtype), &word,
                   dtype_size(buffer->dtype));
    }
}

static void fill(const Program *program, void *const *buffers) {
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        if ((int)i == program->cells)
            fill_cells(&program->geometry, buffers[i]);
        else if (buffer->region != REGION_SCRATCH)
            fill_numbers(buffer, (uint32_t)i, buffers[i]);
    }
}

/* A piece of memory for each buffer. */
static void **separate_buffers(Arena *arena, const Program *program) {
    void **buffers = arena_new_array(arena, void *, program->buffers.count + 1);
    for (size_t i = 0; i < program->buffers.count; i++)
        buffers[i] = arena_alloc(arena, buffer_bytes(&program->buffers.items[i]), 1);
    return buffers;
}

/* A block for each region. */
static void **planned_buffers(Arena *arena, const Program *program) {
    char *regions[REGION_SCRATCH + 1];
    for (int region = 0; region <= REGION_SCRATCH; region++)
        regions[region] =
            arena_alloc(arena, (size_t)kernel_region_bytes(program, (Region)region), 1);
    void **buffers = arena_new_array(arena, void *, program->buffers.count + 1);
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        buffers[i] = regions[buffer->region] + buffer->offset;
    }
    return buffers;
}

/* ---- Running and comparing ------------------------------------------------------------------- */

static void run(const Program *program, void *const *buffers) {
    fill(program, buffers);
    KernelInterpreter *interpreter = kernel_interpreter_create_over(program, buffers);
    for (size_t k = 0; k < program->kernels.count; k++)
        kernel_interpreter_run_kernel(program, program->kernels.items[k], buffers);
    kernel_interpreter_destroy(interpreter);
}

static void expect_same(const char *name, const char *stage, const Program *program, void *const *a,
                        void *const *b) {
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        bool same =
            buffer->region == REGION_SCRATCH || memcmp(a[i], b[i], buffer_bytes(buffer)) == 0;
        if (!same)
            printf("\n    %s: %s is not the same after %s", name, buffer->name, stage);
        CU_ASSERT(same);
    }
}

/* Returns what the program leaves in its buffers, by their number. */
static void **check_program(const char *name, Arena *arena, Program *program, bool *fused) {
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    ProgramBuild build = {.arena = arena, .program = program};
    void **before = separate_buffers(arena, program), **after = separate_buffers(arena, program);
    size_t kernels = program->kernels.count;
    run(program, before);
    bool fine = program_passes_run(&build, "fuse_kernels", diagnostics, NULL, NULL);
    program_fixture_expect(diagnostics, fine, name);
    *fused = program->kernels.count < kernels;
    run(program, after);
    expect_same(name, "fuse_kernels", program, before, after);
    fine = program_passes_run(&build, NULL, diagnostics, NULL, NULL);
    program_fixture_expect(diagnostics, fine, name);
    void **planned = planned_buffers(arena, program);
    run(program, planned);
    expect_same(name, "plan_memory", program, before, planned);
    return before;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

/* Files called *refused* must keep all kernels, all others lose some. */
static void check_golden(const char *path) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    const char *error, *name = strrchr(path, '/') + 1;
    size_t length;
    char *text = text_read_file(arena, path, 1 << 20, &length, &error);
    CU_ASSERT_FATAL(text != NULL);
    char *end = strstr(text, "// ---");
    CU_ASSERT_FATAL(end != NULL);
    *end = '\0';
    Program *program = kernel_parse(arena, diagnostics, name, text, strlen(text));
    program_fixture_expect(diagnostics, program != NULL, name);
    bool fused;
    check_program(name, arena, program, &fused);
    bool expected =
        strstr(name, "refused") == NULL || text_starts_with(name, "phases_refused_late");
    if (fused != expected)
        printf("\n    %s: kernels are %s", name, fused ? "fused" : "not fused");
    CU_ASSERT_EQUAL(fused, expected);
    arena_destroy(arena);
}

static void test_rules(void) {
    Arena *arena = arena_create();
    glob_t found = {0};
    glob(program_fixture_path(arena, "tests/golden/fuse_kernels/*.ir"), 0, NULL, &found);
    CU_ASSERT(found.gl_pathc > 10);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check_golden(found.gl_pathv[i]);
    globfree(&found);
    arena_destroy(arena);
}

/* The step counted: no result is infinite or NaN, so that equal bytes say something. */
static void expect_counted(const char *name, const Program *program, void *const *buffers) {
    int ok = kernel_find_buffer(program, REGION_OUTPUTS, "ok");
    CU_ASSERT_FATAL(ok >= 0);
    if (*(const float *)buffers[ok] != 1)
        printf("\n    %s: the step is refused", name);
    CU_ASSERT_EQUAL(*(const float *)buffers[ok], 1);
}

static void check_network(const char *path) {
    Arena *arena = arena_create();
    PassOptions options = pass_options_default();
    options.batch = 2;
    options.decoder_width = 32;
    Graph *graph = program_fixture_network(arena, program_fixture_file(arena, path), NULL);
    program_fixture_pass(graph, &options);
    bool fused;
    Program *program = lower_graph(arena, graph);
    void **buffers = check_program(path, arena, program, &fused);
    CU_ASSERT(fused);
    expect_counted(path, program, buffers);
    arena_destroy(arena);
}

static void test_networks(void) {
    check_network("tests/reference/custom-cnn.cnn");
    check_network("tests/reference/tiny-resnet.cnn");
    check_network("tests/reference/tiny-convnext.cnn");
}

CU_TestInfo program_results_tests[] = {
    {"every rule and refusal of fusion", test_rules},
    {"training steps", test_networks},
    CU_TEST_INFO_NULL,
};
