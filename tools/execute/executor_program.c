/* Executors that lower the graph to kernels: run by the kernel interpreter, or compiled for this
 * CPU. Values go in and out through the kernel interpreter's view of the regions in both cases. */
#include <string.h>

#include "ir/interpret/kernel_interpret.h"
#include "tools/execute/executor_program.h"

typedef struct ProgramExecutor {
    Executor base; /* first, so that the one is the other */
    Arena *arena;
    KernelInterpreter *interpreter;
    CompiledProgram compiled; /* interpreted: `program` alone */
} ProgramExecutor;

static ProgramExecutor *program_of(Executor *executor) {
    return (ProgramExecutor *)executor;
}

const CompiledProgram *executor_compiled_program(const Executor *executor) {
    return &((const ProgramExecutor *)executor)->compiled;
}

static Status write_param(Executor *executor, Arena *arena, const char *segment,
                          const double *values, size_t count) {
    return kernel_interpreter_set_param(program_of(executor)->interpreter, arena, segment, values,
                                        count);
}

static Status write_state(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count) {
    return kernel_interpreter_set_state(program_of(executor)->interpreter, arena, name, values,
                                        count);
}

static Status write_input(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count) {
    ProgramExecutor *program = program_of(executor);
    const Value *input = graph_find_input(executor->graph, name);
    return input ? kernel_interpreter_set_map(program->interpreter, arena, name, &input->type,
                                              values, count)
                 : kernel_interpreter_set_input(program->interpreter, arena, name, values, count);
}

static Status write_scalar(Executor *executor, Arena *arena, const char *name, double value) {
    (void)arena;
    kernel_interpreter_set_scalar(program_of(executor)->interpreter, name, value);
    return STATUS_FINE;
}

static ExecutorTensor readable(Tensor tensor) {
    return (ExecutorTensor){tensor.type, tensor.count, tensor.data};
}

static ExecutorTensor param(Executor *executor, const char *segment) {
    ProgramExecutor *program = program_of(executor);
    return readable(kernel_interpreter_param(program->interpreter, program->arena, segment));
}

static ExecutorTensor state(Executor *executor, const char *name) {
    ProgramExecutor *program = program_of(executor);
    return readable(kernel_interpreter_state(program->interpreter, program->arena, name));
}

static ExecutorTensor output(Executor *executor, const char *name) {
    ProgramExecutor *program = program_of(executor);
    Node *node = graph_find_output(executor->graph, name);
    if (!node)
        return (ExecutorTensor){0};
    return readable(kernel_interpreter_output(program->interpreter, program->arena, name,
                                              &node->operands[0]->type));
}

static Status run(Executor *executor, Arena *arena) {
    ProgramExecutor *program = program_of(executor);
    if (!program->compiled.executor)
        return kernel_interpreter_run(program->interpreter, arena);
    plan_executor_run(program->compiled.executor);
    return STATUS_FINE;
}

static void destroy(Executor *executor) {
    ProgramExecutor *program = program_of(executor);
    kernel_interpreter_destroy(program->interpreter);
    compiled_program_destroy(&program->compiled);
    arena_destroy(program->arena);
}

static const ExecutorOperations operations = {
    write_param, write_state, write_input, write_scalar, param, state, output, run, destroy};

/* Memory begins as zeros, so that most states need nothing. */
static void set_initial_states(ProgramExecutor *program, Arena *arena) {
    for (size_t i = 0; i < program->base.graph->states.count; i++) {
        const StateSlot *slot = &program->base.graph->states.items[i];
        if (slot->init == 0)
            continue;
        size_t count = (size_t)graph_elements(program->base.graph, &slot->type);
        double *values = arena_new_array(arena, double, count);
        for (size_t k = 0; k < count; k++)
            values[k] = slot->init;
        kernel_interpreter_set_state(program->interpreter, arena, slot->name, values, count);
    }
}

static ProgramExecutor *begin(const Graph *graph) {
    Arena *arena = arena_create();
    ProgramExecutor *made = arena_new(arena, ProgramExecutor);
    made->arena = arena;
    made->base.operations = &operations;
    made->base.graph = graph;
    return made;
}

/* `status` in memory that outlives what was begun. */
static Status give_up(Arena *messages, ProgramExecutor *made, Status status) {
    status = status_failure(messages, "%s", status.message);
    arena_destroy(made->arena);
    return status;
}

static Status finish(ProgramExecutor *made, Executor **executor) {
    Arena *scratch = arena_create();
    set_initial_states(made, scratch);
    arena_destroy(scratch);
    *executor = &made->base;
    return STATUS_FINE;
}

static Status create_interpreted(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                                 Executor **executor) {
    ProgramExecutor *made = begin(graph);
    ExecutorOptions none = {0};
    Status status =
        compiled_program_lower(made->arena, graph, options ? options : &none, &made->compiled);
    if (!status_fine(status))
        return give_up(arena, made, status);
    made->interpreter = kernel_interpreter_create(made->compiled.program);
    return finish(made, executor);
}

/* The values of a compiled program go in and out by its regions. */
static Status open_regions(ProgramExecutor *made, Executor **executor) {
    void *regions[PLAN_REGIONS];
    for (int r = 0; r < PLAN_REGIONS; r++)
        regions[r] = plan_executor_region(made->compiled.executor, r);
    made->interpreter = kernel_interpreter_create_planned(made->compiled.program, regions);
    return finish(made, executor);
}

static Status create_compiled(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                              Executor **executor) {
    ProgramExecutor *made = begin(graph);
    Status status = compiled_program_create(made->arena, graph, options, NULL, &made->compiled);
    return status_fine(status) ? open_regions(made, executor) : give_up(arena, made, status);
}

Status executor_create_of_program(Arena *arena, const Graph *graph, Program *program,
                                  const ExecutorOptions *options, Executor **executor) {
    ProgramExecutor *made = begin(graph);
    Status status =
        compiled_program_create_of(made->arena, graph, program, options, &made->compiled);
    return status_fine(status) ? open_regions(made, executor) : give_up(arena, made, status);
}

const ExecutorKind executor_kernels = {"kernel interpreter", create_interpreted};
const ExecutorKind executor_compiled = {"compiled code", create_compiled};
