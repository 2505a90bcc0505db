/* Any bytes as the text of a program: errors, or a program that prints as a text that reads back as
 * the same program. What is small goes the way of any program: through the passes that are left to
 * the compiler. Its code, where the back end has some, and the kernel interpreter run it on
 * synthetic values in guarded memory, where a touch of anything but its buffers ends the process;
 * what the code computes must not depend on where buffers lie, on what memory held before or on the
 * number of threads. With libFuzzer (tests/fuzz/meson.build) or with tests/fuzz/replay.c. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "codegen/cpu/cpu.h"
#include "ir/kernel_parse.h"
#include "ir/kernel_print.h"
#include "passes/program.h"
#include "tools/execute/compiled_program.h"
#include "tools/execute/guarded_memory.h"
#include "tools/execute/program_interface.h"
#include "tools/execute/program_run.h"
#include "tools/execute/synthetic_fill.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of a program that is run. */
enum { MOST_KERNELS = 24, MOST_ELEMENTS = 1 << 16, MOST_TERMS = 1 << 20, THREADS = 3 };

static void check_again(Arena *arena, const Program *program) {
    char *text = kernel_print_text(arena, program);
    Diagnostics *diagnostics = diagnostics_create(arena, 1);
    Program *again = kernel_parse(arena, diagnostics, "again", text, strlen(text));
    invariant(again, "the text of a program does not read back: %s\n%s",
              diagnostics_text(diagnostics, false), text);
    invariant(strcmp(kernel_print_text(arena, again), text) == 0,
              "the text of a program reads back as another:\n%s", text);
}

/* ---- Size ------------------------------------------------------------------------------------ */

/* Multiplies, up to one more than the most that is of interest. */
static int64_t times(int64_t product, int64_t factor) {
    return product > MOST_TERMS || factor > MOST_TERMS ? MOST_TERMS + 1 : product * factor;
}

/* Rows x channels x taps x channels of a tap. */
static int64_t terms_of(const Program *program, const Kernel *kernel) {
    const TapSet *taps = kernel_taps(kernel);
    bool contracts = kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT;
    int64_t terms = times(space_images(&program->geometry, &kernel->space),
                          space_rows(&program->geometry, &kernel->space));
    terms = times(terms, kernel->channels);
    terms = times(terms, taps && taps->tap_count ? taps->tap_count : 1);
    return contracts ? times(terms, kernel->contraction.in) : terms;
}

static bool is_small(const Program *program) {
    int64_t elements = 0, terms = 0;
    if (program->kernels.count > MOST_KERNELS)
        return false;
    for (size_t i = 0; i < program->buffers.count && elements <= MOST_ELEMENTS; i++)
        elements += program->buffers.items[i].elements;
    for (size_t i = 0; i < program->kernels.count && terms <= MOST_TERMS; i++)
        terms += terms_of(program, program->kernels.items[i]);
    return elements <= MOST_ELEMENTS && terms <= MOST_TERMS;
}

/* ---- Running --------------------------------------------------------------------------------- */

static void require(Status status) {
    invariant(status_fine(status), "%s", status.message);
}

/* Memory of the kind, filled and worked on; the caller destroys it. NULL: the tables of the program
 * do not go with its buffers, which whoever gives it weights is told. */
static ProgramRun *run_in(Arena *arena, const RunCode *code, RunMemory memory,
                          const Graph *interface) {
    static const PassOptions options = {.batch = 1, .beta1 = 0.9, .beta2 = 0.999};
    ProgramRun *run;
    require(program_run_create(arena, code, memory, &run));
    SyntheticFill fill = {.arena = arena,
                          .graph = interface,
                          .options = &options,
                          .seed = 1,
                          .lively = true,
                          .receivers = {synthetic_to_kernels(program_run_values(run))}};
    if (status_fine(synthetic_fill(&fill))) {
        require(program_run_all(run, arena));
        return run;
    }
    program_run_destroy(run);
    return NULL;
}

/* By compiled code in two kinds of memory, with and without other threads. */
static void run_code(Arena *arena, Program *program, const Graph *interface) {
    const ExecutorOptions options = {.threads = THREADS};
    CompiledProgram compiled;
    Threads *single;
    require(compiled_program_create_of(arena, interface, program, &options, &compiled));
    require(threads_create(arena, 1, &single));
    RunCode code = {program, compiled.plan, compiled.threads};
    RunCode code_alone = {program, compiled.plan, single};
    ProgramRun *guarded = run_in(arena, &code, RUN_GUARDED, interface);
    ProgramRun *poisoned = run_in(arena, &code_alone, RUN_POISONED, interface);
    require(program_run_compare(poisoned, program_run_buffers(guarded), arena));
    program_run_destroy(guarded);
    program_run_destroy(poisoned);
    threads_destroy(single);
    compiled_program_destroy(&compiled);
}

static void run_program(Arena *arena, Program *program) {
    RunCode code = {.program = program};
    Graph *interface = program_interface(arena, program);
    ProgramRun *interpreted = run_in(arena, &code, RUN_GUARDED, interface);
    if (interpreted && status_fine(cpu_accepts(arena, program)))
        run_code(arena, program, interface);
    program_run_destroy(interpreted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    guarded_memory_end_with(abort);
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    char *text = arena_copy_text(arena, (const char *)data, size);
    Program *program = kernel_parse(arena, diagnostics, "fuzz", text, size);
    invariant(!program == (diagnostics_error_count(diagnostics) > 0),
              "neither a program nor an error, or both");
    diagnostics_text(diagnostics, true);
    if (program)
        check_again(arena, program);
    ProgramBuild build = {.arena = arena, .program = program};
    if (program && is_small(program) && program_passes_run(&build, NULL, diagnostics, NULL, NULL))
        run_program(arena, build.program);
    arena_destroy(arena);
    return 0;
}
