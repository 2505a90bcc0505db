#include "ir/interpret/interpret.h"

#include <string.h>

#include "tools/execute/executor.h"

typedef struct InterpreterExecutor {
    Executor base; /* first, so that the one is the other */
    Interpreter *interpreter;
} InterpreterExecutor;

static Interpreter *interpreter_of(Executor *executor) {
    return ((InterpreterExecutor *)executor)->interpreter;
}

static ExecutorTensor readable(Tensor tensor) {
    return (ExecutorTensor){tensor.type, tensor.count, tensor.data};
}

static Status copy_in(Arena *arena, Tensor to, const char *name, const double *values,
                      size_t count) {
    if (!to.data || to.count != count)
        return status_failure(arena, "the program has no %s of %zu elements", name, count);
    memcpy(to.data, values, count * sizeof *values);
    return STATUS_FINE;
}

static Status write_param(Executor *executor, Arena *arena, const char *segment,
                          const double *values, size_t count) {
    Tensor to = interpreter_param(interpreter_of(executor), segment);
    return copy_in(arena, to, segment, values, count);
}

static Status write_state(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count) {
    Tensor to = interpreter_state(interpreter_of(executor), name);
    return copy_in(arena, to, name, values, count);
}

static Status write_input(Executor *executor, Arena *arena, const char *name, const double *values,
                          size_t count) {
    return interpreter_set_input(interpreter_of(executor), arena, name, values, count);
}

static Status write_scalar(Executor *executor, Arena *arena, const char *name, double value) {
    (void)arena;
    interpreter_set_scalar(interpreter_of(executor), name, value);
    return STATUS_FINE;
}

static ExecutorTensor param(Executor *executor, const char *segment) {
    return readable(interpreter_param(interpreter_of(executor), segment));
}

static ExecutorTensor state(Executor *executor, const char *name) {
    return readable(interpreter_state(interpreter_of(executor), name));
}

static ExecutorTensor output(Executor *executor, const char *name) {
    return readable(interpreter_output(interpreter_of(executor), name));
}

static Status run(Executor *executor, Arena *arena) {
    return interpreter_run(interpreter_of(executor), arena);
}

static void destroy(Executor *executor) {
    interpreter_destroy(interpreter_of(executor));
}

static const ExecutorOperations operations = {
    write_param, write_state, write_input, write_scalar, param, state, output, run, destroy};

/* States are set from their slots, since the interpreter starts them at zero. */
static void set_initial_states(Interpreter *interpreter, const Graph *graph) {
    for (size_t i = 0; i < graph->states.count; i++) {
        const StateSlot *slot = &graph->states.items[i];
        Tensor tensor = interpreter_state(interpreter, slot->name);
        for (size_t k = 0; k < tensor.count; k++)
            tensor.data[k] = slot->init;
    }
}

static Status create(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                     Executor **executor) {
    (void)options;
    InterpreterExecutor *made = arena_new(arena, InterpreterExecutor);
    made->base.operations = &operations;
    made->base.graph = graph;
    made->interpreter = interpreter_create(graph);
    set_initial_states(made->interpreter, graph);
    *executor = &made->base;
    return STATUS_FINE;
}

const ExecutorKind executor_interpreter = {"interpreter", create};
