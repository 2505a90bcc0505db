#include "ir/interpret/interpret.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/fatal.h"
#include "ir/interpret/engine.h"

enum { KEPT = INT_MAX, STRIDE_COUNT = 63 };

/* A value while it is alive. */
typedef struct Slot {
    const Value *value;
    Tensor tensor;
    bool borrowed;     /* its data belong to a region */
    int last_use;      /* the step after which it is freed; KEPT: with the next run */
    UT_hash_handle hh; /* by value, while the steps are made */
} Slot;

typedef struct Step {
    const Node *node;
    Slot **operands; /* NULL: absent */
    Slot **results;
} Step;

typedef struct Named {
    const char *name;
    Tensor tensor;
    bool given;
    UT_hash_handle hh;
} Named;

struct Interpreter {
    const Graph *graph;
    Arena *arena;
    VECTOR(Step) steps;
    VECTOR(Slot *) slots;
    Tensor *operand_scratch; /* as many as the widest node has */
    Named *inputs, *scalars, *states;
    Tensor params;
    bool *cell_visible;          /* batch x cells; NULL if the geometry keeps no cells */
    bool *visible[STRIDE_COUNT]; /* rows of a map of stride 2^i, made on demand */
    bool needs_cells, cells_given;
    bool training;
    InterpreterObserver *observer;
    void *observer_context;
};

/* --- preparing --- */

static Slot *find_slot(Slot *table, const Value *value) {
    Slot *slot;
    HASH_FIND_PTR(table, &value, slot);
    invariant(slot, "%%%s is used before it is computed", value->name);
    return slot;
}

static Slot *add_slot(Interpreter *interpreter, Slot **table, const Value *value, int step) {
    Slot *slot = arena_new(interpreter->arena, Slot);
    slot->value = value;
    slot->last_use = step;
    slot->tensor.type = value->type;
    slot->tensor.count = engine_count(interpreter->graph, &value->type);
    vector_push(interpreter->arena, &interpreter->slots, slot);
    HASH_ADD_PTR(*table, value, slot);
    return slot;
}

static bool needs_cells(const Node *node) {
    for (int i = 0; i < op_info(node->op)->result_count; i++)
        if (node->results[i].type.form == FORM_MASKED)
            return true;
    return node->op == OP_hidden;
}

static void add_step(Interpreter *interpreter, Slot **table, const Node *node) {
    int index = (int)interpreter->steps.count;
    int result_count = op_info(node->op)->result_count;
    size_t operand_count = (size_t)node->operand_count;
    Step step = {node, arena_new_array(interpreter->arena, Slot *, operand_count),
                 arena_new_array(interpreter->arena, Slot *, OP_MAX_RESULTS)};
    interpreter->needs_cells |= needs_cells(node);
    bool keeps = node->op == OP_output || node->op == OP_commit;
    for (int i = 0; i < node->operand_count; i++) {
        if (!node->operands[i])
            continue;
        step.operands[i] = find_slot(*table, node->operands[i]);
        if (step.operands[i]->last_use != KEPT)
            step.operands[i]->last_use = keeps ? KEPT : index;
    }
    for (int i = 0; i < result_count; i++)
        step.results[i] = add_slot(interpreter, table, &node->results[i], index);
    vector_push(interpreter->arena, &interpreter->steps, step);
}

static Named *find_named(Named *table, const char *name) {
    Named *named;
    HASH_FIND_STR(table, name, named);
    return named;
}

static Named *add_named(Interpreter *interpreter, Named **table, const char *name, Type type) {
    Named *named = find_named(*table, name);
    if (named)
        return named;
    named = arena_new(interpreter->arena, Named);
    named->name = arena_copy_text(interpreter->arena, name, strlen(name));
    named->tensor.type = type;
    named->tensor.count = engine_count(interpreter->graph, &type);
    named->tensor.data = engine_allocate(named->tensor.count);
    HASH_ADD_KEYPTR(hh, *table, named->name, strlen(named->name), named);
    return named;
}

static void add_regions(Interpreter *interpreter) {
    const Graph *graph = interpreter->graph;
    interpreter->params.type = type_flat(DTYPE_F32);
    interpreter->params.count = engine_count(graph, &interpreter->params.type);
    interpreter->params.data = engine_allocate(interpreter->params.count);
    for (size_t i = 0; i < graph->states.count; i++)
        add_named(interpreter, &interpreter->states, graph->states.items[i].name,
                  graph->states.items[i].type);
}

Interpreter *interpreter_create(const Graph *graph) {
    Arena *arena = arena_create();
    Interpreter *interpreter = arena_new(arena, Interpreter);
    interpreter->graph = graph;
    interpreter->arena = arena;
    add_regions(interpreter);
    if (graph->geometry.keep > 0)
        interpreter->cell_visible =
            arena_new_array(arena, bool, (size_t)(graph->geometry.batch * graph_cells(graph)));
    Slot *table = NULL;
    int widest = 0;
    for (const Node *node = graph->first; node; node = node->next) {
        add_step(interpreter, &table, node);
        if (node->op == OP_input)
            add_named(interpreter, &interpreter->inputs, node_text(node, "name"),
                      node->results[0].type);
        widest = node->operand_count > widest ? node->operand_count : widest;
    }
    HASH_CLEAR(hh, table);
    interpreter->operand_scratch = arena_new_array(arena, Tensor, (size_t)widest);
    return interpreter;
}

/* --- destroying --- */

static void release(Slot *slot) {
    if (!slot->borrowed)
        free(slot->tensor.data);
    slot->tensor.data = NULL;
    slot->borrowed = false;
}

static void release_all(Interpreter *interpreter) {
    for (size_t i = 0; i < interpreter->slots.count; i++)
        release(interpreter->slots.items[i]);
}

static void destroy_table(Named **table) {
    for (Named *named = *table; named; named = named->hh.next)
        free(named->tensor.data);
    HASH_CLEAR(hh, *table);
}

static void forget_visible(Interpreter *interpreter) {
    for (int i = 0; i < STRIDE_COUNT; i++) {
        free(interpreter->visible[i]);
        interpreter->visible[i] = NULL;
    }
}

void interpreter_destroy(Interpreter *interpreter) {
    if (!interpreter)
        return;
    release_all(interpreter);
    destroy_table(&interpreter->inputs);
    destroy_table(&interpreter->scalars);
    destroy_table(&interpreter->states);
    forget_visible(interpreter);
    free(interpreter->params.data);
    arena_destroy(interpreter->arena);
}

/* --- regions, inputs, outputs --- */

static Tensor no_tensor(void) {
    return (Tensor){.data = NULL};
}

Tensor interpreter_param(Interpreter *interpreter, const char *segment) {
    if (!segment)
        return interpreter->params;
    const Segment *found = graph_find_segment(interpreter->graph, segment);
    if (!found)
        return no_tensor();
    return (Tensor){found->type, engine_count(interpreter->graph, &found->type),
                    interpreter->params.data + found->offset};
}

Tensor interpreter_state(Interpreter *interpreter, const char *name) {
    const Named *named = find_named(interpreter->states, name);
    return named ? named->tensor : no_tensor();
}

/* Fails if the visible cells of an image are not ascending whole numbers in range. */
static Status check_cells(const Graph *graph, Arena *arena, const double *data, size_t count) {
    int64_t batch = graph->geometry.batch, keep = graph->geometry.keep, cells = graph_cells(graph);
    if (count != (size_t)(batch * keep))
        return status_failure(arena, "cells: expected %lld x %lld indices, got %zu",
                              (long long)batch, (long long)keep, count);
    for (int64_t i = 0; i < batch * keep; i++) {
        double least = i % keep ? data[i - 1] + 1 : 0;
        if (!(data[i] >= least && data[i] < (double)cells) || data[i] != floor(data[i]))
            return status_failure(
                arena,
                "cells: the list of an image must be ascending whole numbers from "
                "0 to %lld, but %g stands at place %lld of image %lld",
                (long long)cells - 1, data[i], (long long)(i % keep), (long long)(i / keep));
    }
    return STATUS_FINE;
}

static void mark_cells(Interpreter *interpreter, const double *data) {
    const Geometry *geometry = &interpreter->graph->geometry;
    int64_t cells = graph_cells(interpreter->graph), keep = geometry->keep;
    memset(interpreter->cell_visible, 0, (size_t)(geometry->batch * cells));
    for (int64_t i = 0; i < geometry->batch * keep; i++)
        interpreter->cell_visible[i / keep * cells + (int64_t)data[i]] = true;
    interpreter->cells_given = true;
    forget_visible(interpreter);
}

Status interpreter_set_input(Interpreter *interpreter, Arena *arena, const char *name,
                             const double *data, size_t count) {
    Named *input = find_named(interpreter->inputs, name);
    bool cells = interpreter->cell_visible && strcmp(name, "cells") == 0;
    if (!input && !cells)
        return status_failure(arena, "the graph has no input \"%s\"", name);
    if (input && count != input->tensor.count)
        return status_failure(arena, "input \"%s\" has %zu elements, got %zu", name,
                              input->tensor.count, count);
    if (cells) {
        status_return_if_failed(check_cells(interpreter->graph, arena, data, count));
        mark_cells(interpreter, data);
    }
    if (input) {
        memcpy(input->tensor.data, data, count * sizeof *data);
        input->given = true;
    }
    return STATUS_FINE;
}

void interpreter_set_scalar(Interpreter *interpreter, const char *name, double value) {
    Named *scalar = add_named(interpreter, &interpreter->scalars, name, type_scalar(DTYPE_F32));
    scalar->tensor.data[0] = value;
    scalar->given = true;
}

void interpreter_set_training(Interpreter *interpreter, bool training) {
    interpreter->training = training;
}

void interpreter_observe(Interpreter *interpreter, InterpreterObserver *observer, void *context) {
    interpreter->observer = observer;
    interpreter->observer_context = context;
}

Tensor interpreter_output(Interpreter *interpreter, const char *name) {
    for (size_t i = 0; i < interpreter->steps.count; i++) {
        const Step *step = &interpreter->steps.items[i];
        if (step->node->op == OP_output && strcmp(node_text(step->node, "name"), name) == 0)
            return step->operands[0]->tensor.data ? step->operands[0]->tensor : no_tensor();
    }
    return no_tensor();
}

/* --- what ops ask of the engine --- */

static const double *named_data(OpCall *call, Named *table, const char *kind, const char *name) {
    const Named *named = find_named(table, name);
    if (!named || !named->given) {
        call->status = status_failure(call->arena, "%s \"%s\" has no value", kind, name);
        return NULL;
    }
    return named->tensor.data;
}

const double *engine_input(OpCall *call, const char *name) {
    return named_data(call, call->interpreter->inputs, "input", name);
}

const double *engine_scalar(OpCall *call, const char *name) {
    return named_data(call, call->interpreter->scalars, "scalar", name);
}

/* Results are allocated before an op runs; a view of f32 needs no copy of its own. */
static void view(OpCall *call, double *data) {
    Tensor *result = &call->results[0];
    if (result->type.dtype != DTYPE_F32) {
        memcpy(result->data, data, result->count * sizeof *data);
        return;
    }
    free(result->data);
    result->data = data;
    call->borrowed = true;
}

void engine_view_params(OpCall *call, int64_t offset) {
    invariant((size_t)offset + call->results[0].count <= call->interpreter->params.count,
              "%%%s reads past the parameters", call->node->results[0].name);
    view(call, call->interpreter->params.data + offset);
}

void engine_view_state(OpCall *call, const char *name) {
    const Named *state = find_named(call->interpreter->states, name);
    invariant(state && state->tensor.count == call->results[0].count,
              "there is no state \"%s\" of the type of %%%s", name, call->node->results[0].name);
    view(call, state->tensor.data);
}

/* The cell of a position of a map of this type; both are row-major numbers. */
static int64_t cell_of_position(const Graph *graph, const Type *type, int64_t position) {
    int64_t cell = 0, scale = 1;
    for (int d = type->rank - 1; d >= 0; d--) {
        int64_t place = position % type->extent[d] * type->stride / graph->geometry.ratio;
        position /= type->extent[d];
        cell += place * scale;
        scale *= graph_grid(graph, d);
    }
    return cell;
}

static bool *make_visible(const Interpreter *interpreter, const Type *type) {
    int64_t cells = graph_cells(interpreter->graph), positions = type_positions(type);
    bool *visible = calloc((size_t)(type->batch * positions), sizeof *visible);
    if (!visible)
        fatal("out of memory (the mask of a map in the interpreter)");
    for (int64_t position = 0; position < positions; position++) {
        int64_t cell = cell_of_position(interpreter->graph, type, position);
        for (int64_t image = 0; image < type->batch; image++)
            visible[image * positions + position] = interpreter->cell_visible[image * cells + cell];
    }
    return visible;
}

const bool *engine_visible(const OpCall *call, const Type *type) {
    if (type->form != FORM_MASKED)
        return NULL;
    int place = 0;
    while (place < STRIDE_COUNT - 1 && (INT64_C(1) << place) < type->stride)
        place++;
    bool **visible = &call->interpreter->visible[place];
    if (!*visible)
        *visible = make_visible(call->interpreter, type);
    return *visible;
}

/* --- running --- */

#define OP(name, ...) interpret_##name,
static InterpretFunction *const functions[OP_COUNT] = {
#include "ir/ops.def"
};
#undef OP

static void finish_result(const OpCall *call, Tensor *tensor) {
    const bool *visible = engine_visible(call, &tensor->type);
    int64_t channels = tensor->type.channels;
    if (visible)
        for (int64_t row = 0; row < engine_rows(call->graph, &tensor->type); row++)
            if (!visible[row])
                memset(tensor->data + row * channels, 0, (size_t)channels * sizeof(double));
    if (tensor->type.dtype == DTYPE_F32)
        return;
    for (size_t i = 0; i < tensor->count; i++)
        tensor->data[i] = engine_round(tensor->type.dtype, tensor->data[i]);
}

/* Gives a kept value data of its own, which a commit cannot change. */
static void own(Slot *slot) {
    if (!slot->borrowed)
        return;
    double *copy = engine_allocate(slot->tensor.count);
    memcpy(copy, slot->tensor.data, slot->tensor.count * sizeof *copy);
    slot->tensor.data = copy;
    slot->borrowed = false;
}

static void store_results(Interpreter *interpreter, const Step *step, const OpCall *call) {
    for (int i = 0; i < op_info(step->node->op)->result_count; i++) {
        Slot *slot = step->results[i];
        slot->borrowed = call->borrowed;
        slot->tensor.data = call->results[i].data;
        if (!slot->borrowed)
            finish_result(call, &slot->tensor);
        if (interpreter->observer)
            interpreter->observer(interpreter->observer_context, slot->value, &slot->tensor);
    }
}

static void release_dead(const Step *step, int index) {
    for (int i = 0; i < step->node->operand_count; i++)
        if (step->operands[i] && step->operands[i]->last_use == index)
            release(step->operands[i]);
    for (int i = 0; i < op_info(step->node->op)->result_count; i++)
        if (step->results[i]->last_use == index)
            release(step->results[i]);
}

/* Runs a node's function; `results` get their types and new memory, or a view of a region. */
static OpCall evaluate(Interpreter *interpreter, Arena *arena, const Node *node,
                       const Tensor *operands, Tensor results[OP_MAX_RESULTS]) {
    for (int i = 0; i < op_info(node->op)->result_count; i++) {
        results[i].type = node->results[i].type;
        results[i].count = engine_count(interpreter->graph, &results[i].type);
        results[i].data = engine_allocate(results[i].count);
    }
    OpCall call = {.interpreter = interpreter,
                   .graph = interpreter->graph,
                   .node = node,
                   .operands = operands,
                   .results = results,
                   .training = interpreter->training,
                   .arena = arena};
    functions[node->op](&call);
    return call;
}

static Status run_step(Interpreter *interpreter, Arena *arena, int index) {
    const Step *step = &interpreter->steps.items[index];
    Tensor results[OP_MAX_RESULTS];
    for (int i = 0; i < step->node->operand_count; i++)
        interpreter->operand_scratch[i] =
            step->operands[i] ? step->operands[i]->tensor : no_tensor();
    OpCall call = evaluate(interpreter, arena, step->node, interpreter->operand_scratch, results);
    store_results(interpreter, step, &call);
    release_dead(step, index);
    return call.status;
}

const Graph *engine_graph(const Interpreter *interpreter) {
    return interpreter->graph;
}

const Tensor *engine_operands(const Interpreter *interpreter) {
    return interpreter->operand_scratch;
}

Status engine_evaluate(Interpreter *interpreter, Arena *arena, const Node *node,
                       const Tensor *operands, Tensor results[OP_MAX_RESULTS]) {
    OpCall call = evaluate(interpreter, arena, node, operands, results);
    for (int i = 0; i < op_info(node->op)->result_count && !call.borrowed; i++)
        finish_result(&call, &results[i]);
    return call.status;
}

static void apply_commit(Interpreter *interpreter, const Step *step) {
    const char *name = node_text(step->node, "name");
    const Tensor *from = &step->operands[0]->tensor;
    Tensor to = strcmp(node_text(step->node, "region"), "state") == 0
                    ? interpreter_state(interpreter, name)
                    : interpreter_param(interpreter, *name ? name : NULL);
    invariant(to.data && to.count == from->count, "commit to \"%s\" does not fit", name);
    memcpy(to.data, from->data, to.count * sizeof *to.data);
}

static Status run_steps(Interpreter *interpreter, Arena *arena) {
    for (size_t i = 0; i < interpreter->steps.count; i++) {
        const Step *step = &interpreter->steps.items[i];
        status_return_if_failed(run_step(interpreter, arena, (int)i));
        if (step->node->op == OP_output || step->node->op == OP_commit)
            own(step->operands[0]);
    }
    return STATUS_FINE;
}

Status interpreter_run(Interpreter *interpreter, Arena *arena) {
    release_all(interpreter);
    if (interpreter->needs_cells && !interpreter->cells_given)
        return status_failure(arena, "input \"cells\" has no value");
    Status status = run_steps(interpreter, arena);
    if (!status_fine(status)) {
        release_all(interpreter);
        return status;
    }
    for (size_t i = 0; i < interpreter->steps.count; i++)
        if (interpreter->steps.items[i].node->op == OP_commit)
            apply_commit(interpreter, &interpreter->steps.items[i]);
    return STATUS_FINE;
}
