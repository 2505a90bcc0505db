#include "tools/verify/program_check.h"

#include <math.h>
#include <string.h>

#include "ir/interpret/tolerance.h"
#include "ir/kernel_names.h"
#include "tools/execute/compiled_program.h"
#include "tools/execute/program_interface.h"
#include "tools/execute/program_run.h"
#include "tools/execute/synthetic_fill.h"

/* Sums of up to millions of terms in another order; a wrong term is far beyond. */
static const double tolerance = 1e-4;

typedef struct ProgramCheck {
    Arena *arena;
    const SelfCheckOptions *options;
    const Program *program;
    const Graph *interface;
    Comparison *comparison;
    ProgramRun *code, *interpreted;
} ProgramCheck;

/* ---- Kernel by kernel ------------------------------------------------------------------------ */

/* How far two numbers are apart; 0 for two that are not a number. */
static double distance(double a, double b) {
    if (isnan(a) && isnan(b))
        return 0;
    return a == b ? 0 : isfinite(a - b) ? fabs(a - b) : (double)INFINITY;
}

/* The same of what was rounded when it was stored, less what that may have added. */
static double stored_distance(double a, double b, DType dtype) {
    double apart = distance(a, b), unit = 2 * tolerance_of_storage(dtype);
    return isfinite(apart) ? fmax(0, apart - unit * fmax(fabs(a), fabs(b))) : apart;
}

static void compare_buffer(const ProgramCheck *check, const Kernel *kernel, int index) {
    const Buffer *buffer = &check->program->buffers.items[index];
    const void *actual = program_run_buffers(check->code)[index];
    void *expected = program_run_buffers(check->interpreted)[index];
    double largest = 0, error = 0;
    for (int64_t i = 0; i < buffer->elements; i++) {
        double a = kernel_interpreter_element(actual, buffer->dtype, i);
        double e = kernel_interpreter_element(expected, buffer->dtype, i);
        largest = fmax(largest, isfinite(e) ? fabs(e) : 0);
        error = fmax(error, stored_distance(a, e, buffer->dtype));
    }
    compare_error_within(check->comparison, kernel_kind_name(kernel->kind), "max", kernel->name,
                         largest > 0 ? error / largest : error, tolerance);
    memcpy(expected, actual, (size_t)buffer->elements * dtype_size(buffer->dtype));
}

static Status check_kernel(const ProgramCheck *check, int k) {
    const Kernel *kernel = check->program->kernels.items[k];
    KernelUse uses[KERNEL_MAX_USES];
    status_return_if_failed(program_run_kernel(check->code, check->arena, k));
    status_return_if_failed(program_run_kernel(check->interpreted, check->arena, k));
    int count = kernel_uses(check->program, kernel, uses);
    for (int i = 0; i < count; i++) {
        if (uses[i].write)
            compare_buffer(check, kernel, uses[i].buffer);
    }
    program_run_release(check->code, k);
    program_run_release(check->interpreted, k);
    return STATUS_FINE;
}

static Status fill(const ProgramCheck *check, ProgramRun *run) {
    SyntheticFill values = {.arena = check->arena,
                            .graph = check->interface,
                            .options = &check->options->pass,
                            .seed = check->options->seed,
                            .lively = true,
                            .receivers = {synthetic_to_kernels(program_run_values(run))}};
    return synthetic_fill(&values);
}

/* Both runs begin with the same memory: what no kernel writes of a buffer is equal as well. */
static Status check_kernels(const ProgramCheck *check) {
    Status status = fill(check, check->code);
    if (status_fine(status))
        status = fill(check, check->interpreted);
    program_run_begin(check->code);
    program_run_begin(check->interpreted);
    for (int k = 0; k < (int)check->program->kernels.count && status_fine(status); k++)
        status = check_kernel(check, k);
    return status;
}

Status program_check(Arena *arena, Program *program, const SelfCheckOptions *options,
                     Comparison *comparison) {
    ProgramCheck check = {.arena = arena,
                          .options = options,
                          .program = program,
                          .interface = program_interface(arena, program),
                          .comparison = comparison};
    CompiledProgram compiled;
    status_return_if_failed(
        compiled_program_create_of(arena, check.interface, program, &options->run, &compiled));
    RunCode code = {program, compiled.plan, compiled.threads}, none = {.program = program};
    Status status = program_run_create(arena, &code, RUN_GUARDED, &check.code);
    if (status_fine(status))
        status = program_run_create(arena, &none, RUN_GUARDED, &check.interpreted);
    if (status_fine(status))
        status = check_kernels(&check);
    program_run_destroy(check.code);
    program_run_destroy(check.interpreted);
    compiled_program_destroy(&compiled);
    return status;
}
