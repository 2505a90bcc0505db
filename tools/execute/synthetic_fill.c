#include "tools/execute/synthetic_fill.h"

#include <string.h>

#include "base/fatal.h"
#include "runtime/weights.h"

enum { SCALAR_STEPS = 100 };

/* ---- Receivers ------------------------------------------------------------------------------- */

static Status write_executor(void *to, Arena *arena, const SyntheticValue *value) {
    const ExecutorOperations *operations = ((Executor *)to)->operations;
    switch (value->kind) {
    case SYNTHETIC_PARAM:
        return operations->write_param(to, arena, value->name, value->values, value->count);
    case SYNTHETIC_STATE:
        return operations->write_state(to, arena, value->name, value->values, value->count);
    case SYNTHETIC_INPUT:
        return operations->write_input(to, arena, value->name, value->values, value->count);
    case SYNTHETIC_SCALAR:
        return operations->write_scalar(to, arena, value->name, *value->values);
    }
    invariant(false, "%s is nothing that a program reads", value->name);
}

SyntheticReceiver synthetic_to_executor(Executor *executor) {
    return (SyntheticReceiver){executor, write_executor};
}

static Status write_kernels(void *to, Arena *arena, const SyntheticValue *value) {
    switch (value->kind) {
    case SYNTHETIC_PARAM:
        return kernel_interpreter_set_param(to, arena, value->name, value->values, value->count);
    case SYNTHETIC_STATE:
        return kernel_interpreter_set_state(to, arena, value->name, value->values, value->count);
    case SYNTHETIC_INPUT:
        return kernel_interpreter_set_map(to, arena, value->name, value->type, value->values,
                                          value->count);
    case SYNTHETIC_SCALAR:
        kernel_interpreter_set_scalar(to, value->name, *value->values);
        return STATUS_FINE;
    }
    invariant(false, "%s is nothing that a program reads", value->name);
}

SyntheticReceiver synthetic_to_kernels(KernelInterpreter *interpreter) {
    return (SyntheticReceiver){interpreter, write_kernels};
}

static Status copy_in(Arena *arena, Tensor to, const SyntheticValue *value) {
    if (to.count != value->count)
        return status_failure(arena, "there is no %s of %zu elements", value->name, value->count);
    memcpy(to.data, value->values, value->count * sizeof *value->values);
    return STATUS_FINE;
}

static Status write_interpreter(void *to, Arena *arena, const SyntheticValue *value) {
    switch (value->kind) {
    case SYNTHETIC_PARAM:
        return copy_in(arena, interpreter_param(to, value->name), value);
    case SYNTHETIC_STATE:
        return copy_in(arena, interpreter_state(to, value->name), value);
    case SYNTHETIC_INPUT:
        return interpreter_set_input(to, arena, value->name, value->values, value->count);
    case SYNTHETIC_SCALAR:
        interpreter_set_scalar(to, value->name, *value->values);
        return STATUS_FINE;
    }
    invariant(false, "%s is nothing that a program reads", value->name);
}

SyntheticReceiver synthetic_to_interpreter(Interpreter *interpreter) {
    return (SyntheticReceiver){interpreter, write_interpreter};
}

/* ---- One value ------------------------------------------------------------------------------- */

static Status give(const SyntheticFill *fill, SyntheticValue value) {
    for (int i = 0; i < SYNTHETIC_MAX_RECEIVERS && fill->receivers[i].write; i++)
        status_return_if_failed(
            fill->receivers[i].write(fill->receivers[i].to, fill->arena, &value));
    return STATUS_FINE;
}

static Status fill_param(const SyntheticFill *fill, Arena *own, const Segment *segment) {
    size_t count = weights_count(segment);
    double *values = arena_new_array(own, double, count);
    synthetic_parameter(segment, fill->seed, fill->lively, values);
    return give(fill,
                (SyntheticValue){SYNTHETIC_PARAM, segment->name, &segment->type, values, count});
}

static Status fill_state(const SyntheticFill *fill, Arena *own, const StateSlot *slot) {
    size_t count = (size_t)graph_elements(fill->graph, &slot->type);
    double *values = arena_new_array(own, double, count);
    synthetic_state(fill->graph, slot, fill->seed, fill->lively, values);
    return give(fill, (SyntheticValue){SYNTHETIC_STATE, slot->name, &slot->type, values, count});
}

static Status fill_input(const SyntheticFill *fill, Arena *own, const Node *node, uint32_t step) {
    const Type *type = &node->results[0].type;
    size_t count = synthetic_input_count(fill->graph, type);
    double *values = arena_new_array(own, double, count);
    synthetic_input(fill->graph, node, fill->seed, step, values);
    return give(fill,
                (SyntheticValue){SYNTHETIC_INPUT, node_text(node, "name"), type, values, count});
}

static Status fill_scalar(const SyntheticFill *fill, const Node *node, uint32_t step) {
    const char *name = node_text(node, "name");
    double value = synthetic_scalar(fill->options, name, step);
    return give(fill, (SyntheticValue){SYNTHETIC_SCALAR, name, &node->results[0].type, &value, 1});
}

/* ---- All of a kind --------------------------------------------------------------------------- */

Status synthetic_fill_params(const SyntheticFill *fill) {
    Status status = STATUS_FINE;
    for (size_t i = 0; i < fill->graph->segments.count && status_fine(status); i++) {
        Arena *own = arena_create();
        status = fill_param(fill, own, &fill->graph->segments.items[i]);
        arena_destroy(own);
    }
    return status;
}

Status synthetic_fill_states(const SyntheticFill *fill) {
    Status status = STATUS_FINE;
    for (size_t i = 0; i < fill->graph->states.count && status_fine(status); i++) {
        Arena *own = arena_create();
        status = fill_state(fill, own, &fill->graph->states.items[i]);
        arena_destroy(own);
    }
    return status;
}

Status synthetic_fill_inputs(const SyntheticFill *fill, uint32_t step) {
    Status status = STATUS_FINE;
    for (const Node *node = fill->graph->first; node && status_fine(status); node = node->next) {
        if (node->op != OP_input)
            continue;
        Arena *own = arena_create();
        status = fill_input(fill, own, node, step);
        arena_destroy(own);
    }
    return status;
}

Status synthetic_fill_scalars(const SyntheticFill *fill, uint32_t step) {
    for (const Node *node = fill->graph->first; node; node = node->next)
        if (node->op == OP_scalar)
            status_return_if_failed(fill_scalar(fill, node, step));
    return STATUS_FINE;
}

Status synthetic_fill(const SyntheticFill *fill) {
    uint32_t step = fill->seed % SCALAR_STEPS;
    status_return_if_failed(synthetic_fill_params(fill));
    status_return_if_failed(synthetic_fill_states(fill));
    status_return_if_failed(synthetic_fill_inputs(fill, 0));
    return synthetic_fill_scalars(fill, step);
}
