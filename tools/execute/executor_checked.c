#include "tools/execute/executor_program.h"
#include "tools/execute/program_run.h"

enum { CHECKS = 2 };

typedef struct CheckedExecutor {
    Executor base; /* first, so that the one is the other */
    Arena *arena;
    Executor *checked; /* of kind executor_compiled: what is set, run and read */
    void **buffers;    /* its memory, by the program's buffers */
    ProgramRun *runs[CHECKS];
} CheckedExecutor;

static CheckedExecutor *checked_of(Executor *executor) {
    return (CheckedExecutor *)executor;
}

static const ExecutorOperations *operations_of(Executor *executor) {
    return checked_of(executor)->checked->operations;
}

static Status write_param(Executor *executor, Arena *arena, const char *segment,
                          const double *values, size_t count) {
    return operations_of(executor)->write_param(checked_of(executor)->checked, arena, segment,
                                                values, count);
}

static Status write_state(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count) {
    return operations_of(executor)->write_state(checked_of(executor)->checked, arena, name, values,
                                                count);
}

static Status write_input(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count) {
    return operations_of(executor)->write_input(checked_of(executor)->checked, arena, name, values,
                                                count);
}

static Status write_scalar(Executor *executor, Arena *arena, const char *name, double value) {
    return operations_of(executor)->write_scalar(checked_of(executor)->checked, arena, name, value);
}

static ExecutorTensor param(Executor *executor, const char *segment) {
    return operations_of(executor)->param(checked_of(executor)->checked, segment);
}

static ExecutorTensor state(Executor *executor, const char *name) {
    return operations_of(executor)->state(checked_of(executor)->checked, name);
}

static ExecutorTensor output(Executor *executor, const char *name) {
    return operations_of(executor)->output(checked_of(executor)->checked, name);
}

/* All begin with the same parameters, states and inputs and must end with the same bits. */
static Status run(Executor *executor, Arena *arena) {
    CheckedExecutor *made = checked_of(executor);
    for (int i = 0; i < CHECKS; i++) {
        program_run_copy(made->runs[i], made->buffers);
        status_return_if_failed(program_run_all(made->runs[i], arena));
    }
    status_return_if_failed(operations_of(executor)->run(made->checked, arena));
    for (int i = 0; i < CHECKS; i++)
        status_return_if_failed(program_run_compare(made->runs[i], made->buffers, arena));
    return STATUS_FINE;
}

static void destroy(Executor *executor) {
    CheckedExecutor *made = checked_of(executor);
    for (int i = 0; i < CHECKS; i++)
        program_run_destroy(made->runs[i]);
    operations_of(executor)->destroy(made->checked);
    arena_destroy(made->arena);
}

static const ExecutorOperations operations = {
    write_param, write_state, write_input, write_scalar, param, state, output, run, destroy};

static void find_buffers(CheckedExecutor *made, const CompiledProgram *compiled) {
    const Program *program = compiled->program;
    made->buffers = arena_new_array(made->arena, void *, program->buffers.count);
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        made->buffers[i] =
            (char *)plan_executor_region(compiled->executor, (int)buffer->region) + buffer->offset;
    }
}

static Status create_runs(CheckedExecutor *made, const CompiledProgram *compiled) {
    static const RunMemory memories[CHECKS] = {RUN_GUARDED, RUN_POISONED};
    RunCode code = {compiled->program, compiled->plan, compiled->threads};
    for (int i = 0; i < CHECKS; i++)
        status_return_if_failed(
            program_run_create(made->arena, &code, memories[i], &made->runs[i]));
    return STATUS_FINE;
}

static Status create(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                     Executor **executor) {
    Executor *checked;
    status_return_if_failed(executor_compiled.create(arena, graph, options, &checked));
    Arena *own = arena_create();
    CheckedExecutor *made = arena_new(own, CheckedExecutor);
    *made = (CheckedExecutor){{&operations, graph}, own, checked, NULL, {NULL}};
    const CompiledProgram *compiled = executor_compiled_program(checked);
    find_buffers(made, compiled);
    Status status = create_runs(made, compiled);
    if (!status_fine(status)) {
        status = status_failure(arena, "%s", status.message);
        destroy(&made->base);
        return status;
    }
    *executor = &made->base;
    return STATUS_FINE;
}

const ExecutorKind executor_checked = {"compiled code, memory checked", create};
