#include "tools/execute/program_run.h"

#include <string.h>

#include "tools/execute/guarded_memory.h"

struct ProgramRun {
    RunCode code;
    RunMemory memory;
    GuardedMemory *guarded; /* or NULL */
    PlanExecutor *executor; /* with a plan */
    KernelInterpreter *values;
    void *const *buffers; /* by the program's index */
    int *first_launch;    /* of each kernel; one more entry at the end */
};

/* ---- Making ---------------------------------------------------------------------------------- */

/* The launches of one kernel follow one another and bear its name. */
static void find_launches(Arena *arena, ProgramRun *run) {
    const Program *program = run->code.program;
    const Plan *plan = run->code.plan;
    int launch = 0;
    run->first_launch = arena_new_array(arena, int, program->kernels.count + 1);
    for (size_t k = 0; k < program->kernels.count; k++) {
        run->first_launch[k] = launch;
        while (launch < plan->launch_count &&
               strcmp(plan->launches[launch].kernel, program->kernels.items[k]->name) == 0)
            launch++;
    }
    run->first_launch[program->kernels.count] = launch;
}

static void *guarded_address(const void *context, const PlanPointer *pointer) {
    const ProgramRun *run = context;
    const Program *program = run->code.program;
    int64_t start = pointer->shared;
    size_t buffer = program->buffers.count;
    if (pointer->buffer >= 0) {
        buffer = (size_t)pointer->buffer;
        start = program->buffers.items[buffer].offset;
    }
    return (char *)run->buffers[buffer] + (pointer->offset - start);
}

static Status create_guarded(Arena *arena, ProgramRun *run) {
    int64_t shared = run->code.plan ? run->code.plan->shared_bytes + PLAN_ALIGNMENT : 0;
    status_return_if_failed(guarded_memory_create(arena, run->code.program, shared, &run->guarded));
    run->buffers = guarded_memory_buffers(run->guarded);
    if (!run->code.plan)
        return STATUS_FINE;
    return plan_executor_create_over(arena, run->code.plan, run->code.threads, guarded_address, run,
                                     &run->executor);
}

static Status create_planned(Arena *arena, ProgramRun *run) {
    const Program *program = run->code.program;
    status_return_if_failed(
        plan_executor_create(arena, run->code.plan, run->code.threads, &run->executor));
    void **buffers = arena_new_array(arena, void *, program->buffers.count);
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        buffers[i] =
            (char *)plan_executor_region(run->executor, (int)buffer->region) + buffer->offset;
    }
    run->buffers = buffers;
    return STATUS_FINE;
}

Status program_run_create(Arena *arena, const RunCode *code, RunMemory memory, ProgramRun **out) {
    ProgramRun *run = arena_new(arena, ProgramRun);
    run->code = *code;
    run->memory = memory;
    if (code->plan)
        find_launches(arena, run);
    Status status = memory == RUN_GUARDED ? create_guarded(arena, run) : create_planned(arena, run);
    if (!status_fine(status)) {
        program_run_destroy(run);
        return status;
    }
    run->values = kernel_interpreter_create_over(code->program, run->buffers);
    *out = run;
    return STATUS_FINE;
}

void program_run_destroy(ProgramRun *run) {
    if (!run)
        return;
    kernel_interpreter_destroy(run->values);
    plan_executor_destroy(run->executor);
    guarded_memory_destroy(run->guarded);
}

KernelInterpreter *program_run_values(const ProgramRun *run) {
    return run->values;
}

/* ---- Running --------------------------------------------------------------------------------- */

static size_t buffer_bytes(const Buffer *buffer) {
    return (size_t)buffer->elements * dtype_size(buffer->dtype);
}

void program_run_begin(ProgramRun *run) {
    const Program *program = run->code.program;
    if (run->memory == RUN_PLANNED)
        return;
    if (run->memory == RUN_POISONED)
        guarded_memory_poison(plan_executor_region(run->executor, PLAN_SCRATCH),
                              (size_t)run->code.plan->region_bytes[PLAN_SCRATCH]);
    for (size_t i = 0; i < program->buffers.count; i++)
        if (program->buffers.items[i].region == REGION_OUTPUTS)
            guarded_memory_poison(run->buffers[i], buffer_bytes(&program->buffers.items[i]));
}

static void run_launches(ProgramRun *run, int kernel) {
    size_t bytes;
    void *workspace = plan_executor_workspace(run->executor, &bytes);
    if (run->guarded)
        guarded_memory_poison(workspace, bytes);
    for (int i = run->first_launch[kernel]; i < run->first_launch[kernel + 1]; i++)
        plan_executor_run_launch(run->executor, i);
}

Status program_run_kernel(ProgramRun *run, Arena *arena, int kernel) {
    const Program *program = run->code.program;
    if (run->guarded)
        guarded_memory_before(run->guarded, kernel);
    if (run->code.plan)
        run_launches(run, kernel);
    else
        kernel_interpreter_run_kernel(program, program->kernels.items[kernel], run->buffers);
    return run->guarded ? guarded_memory_after(run->guarded, arena, kernel) : STATUS_FINE;
}

void program_run_release(ProgramRun *run, int kernel) {
    if (run->guarded)
        guarded_memory_release(run->guarded, kernel);
}

Status program_run_all(ProgramRun *run, Arena *arena) {
    program_run_begin(run);
    for (int k = 0; k < (int)run->code.program->kernels.count; k++) {
        status_return_if_failed(program_run_kernel(run, arena, k));
        program_run_release(run, k);
    }
    return STATUS_FINE;
}

void *const *program_run_buffers(const ProgramRun *run) {
    return run->buffers;
}

void program_run_copy(ProgramRun *run, void *const *from) {
    const Program *program = run->code.program;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        if (buffer->region <= REGION_INPUTS)
            memcpy(run->buffers[i], from[i], buffer_bytes(buffer));
    }
}

Status program_run_compare(const ProgramRun *run, void *const *other, Arena *arena) {
    const Program *program = run->code.program;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        if (buffer->region == REGION_SCRATCH || buffer->region == REGION_INPUTS)
            continue;
        if (memcmp(run->buffers[i], other[i], buffer_bytes(buffer)) != 0)
            return status_failure(arena,
                                  "%s depends on where buffers lie or on what memory held before",
                                  buffer->name);
    }
    return STATUS_FINE;
}
