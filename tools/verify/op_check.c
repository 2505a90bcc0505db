#include "tools/verify/op_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/fatal.h"
#include "ir/kernel_footprint.h"

enum { NOT_COMPUTED = -1, NOWHERE = -2 };

/* A value of the graph, until its last reader has been checked. */
typedef struct Held {
    const Value *value;
    View view;
    int after;      /* the kernel after which it can be read; or NOT_COMPUTED: it is a part of what
                       was set; NOWHERE: fusion left it no memory */
    Arena *arena;   /* of `actual`; NULL: there is none */
    double *actual; /* the program's, from that kernel on until it is compared */
    double *bounds; /* how far the program's may be off: of a value that is nowhere; of one that is
                       rounded where it is stored, what the kernel that makes it has instead */
    int readers;    /* that have not been checked */
    UT_hash_handle hh;
} Held;

typedef struct Checking {
    const OpCheck *check;
    Arena *arena;
    OpCheckVisitor *visitor;
    void *context;
    Held *table;                   /* of all values */
    DType factors;                 /* what contractions round to before they multiply */
    VECTOR(Held *) * after_kernel; /* by kernel */
    int next;                      /* kernel */
    Status status;
} Checking;

/* ---- Where values can be read ---------------------------------------------------------------- */

/* The elements [low, high] of a buffer that one kernel writes. */
typedef struct Write {
    int kernel;
    int64_t low, high;
} Write;

typedef struct Writes {
    VECTOR(Write) list; /* by kernel, ascending */
} Writes;

static Write extent_of(const Footprint *footprint, int kernel) {
    Write write = {kernel, footprint->base, footprint->base};
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++) {
        int64_t span = (footprint->count[d] - 1) * footprint->stride[d];
        *(span < 0 ? &write.low : &write.high) += span;
    }
    return write;
}

static Writes *list_writes(const Program *program, Arena *arena) {
    Writes *writes = arena_new_array(arena, Writes, program->buffers.count + 1);
    Footprint *footprints = arena_new_array(arena, Footprint, FOOTPRINT_MAX);
    for (size_t k = 0; k < program->kernels.count; k++) {
        int count = kernel_footprints(program, program->kernels.items[k], footprints);
        for (int i = 0; i < count; i++) {
            if (footprints[i].buffer < 0 || !footprints[i].write)
                continue;
            Write write = extent_of(&footprints[i], (int)k);
            vector_push(arena, &writes[footprints[i].buffer].list, write);
        }
    }
    return writes;
}

/* The first and the last element of a value. */
static Write extent_of_value(const Program *program, const Graph *graph,
                             const LoweredValue *value) {
    const View *view = &value->view;
    Space space = space_of_type(&value->value->type);
    int64_t images = space_images(&program->geometry, &space);
    int64_t rows = space_rows(&program->geometry, &space);
    int64_t channels = graph_elements(graph, &value->value->type) / (images * rows);
    return (Write){0, view->base,
                   view->base + (images - 1) * view->image_stride + (rows - 1) * view->row_stride +
                       (channels - 1) * view->channel_stride};
}

static int readable_after(const OpCheck *check, const Writes *writes, const LoweredValue *value) {
    const Program *program = check->program;
    if (program->buffers.items[value->view.buffer].region != REGION_SCRATCH)
        return NOT_COMPUTED;
    Write own = extent_of_value(program, check->graph, value);
    int after = NOWHERE;
    const Writes *list = &writes[value->view.buffer];
    for (size_t i = 0; i < list->list.count; i++) {
        const Write *write = &list->list.items[i];
        if (write->low <= own.high && own.low <= write->high)
            after = write->kernel;
    }
    return after;
}

static Held *find(const Checking *checking, const Value *value) {
    Held *held;
    HASH_FIND_PTR(checking->table, &value, held);
    return held;
}

static void list_held(Checking *checking) {
    const OpCheck *check = checking->check;
    for (const Node *node = check->graph->first; node; node = node->next) {
        for (int i = 0; i < node->operand_count; i++)
            if (node->operands[i])
                find(checking, node->operands[i])->readers++;
        for (int i = 0; i < op_info(node->op)->result_count; i++) {
            Held *held = arena_new(checking->arena, Held);
            held->value = &node->results[i];
            held->after = NOWHERE;
            HASH_ADD_PTR(checking->table, value, held);
        }
    }
}

static void place_held(Checking *checking) {
    const OpCheck *check = checking->check;
    Writes *writes = list_writes(check->program, checking->arena);
    size_t kernels = check->program->kernels.count;
    checking->after_kernel =
        arena_alloc(checking->arena, kernels + 1, sizeof *checking->after_kernel);
    for (size_t i = 0; i < check->values->list.count; i++) {
        const LoweredValue *value = &check->values->list.items[i];
        Held *held = find(checking, value->value);
        held->view = value->view;
        held->after = readable_after(check, writes, value);
        if (held->after >= 0)
            vector_push(checking->arena, &checking->after_kernel[held->after], held);
    }
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void read_value(const Checking *checking, Held *held) {
    held->arena = arena_create();
    held->actual = kernel_interpreter_read(program_run_values(checking->check->run), held->arena,
                                           &held->view, &held->value->type)
                       .data;
}

static void forget_actual(Held *held) {
    if (held->arena)
        arena_destroy(held->arena);
    held->arena = NULL;
    held->actual = NULL;
}

/* Runs the program until a value has been read. */
static void advance_to(Checking *checking, const Held *held) {
    const OpCheck *check = checking->check;
    while (!held->arena && status_fine(checking->status)) {
        int kernel = checking->next++;
        checking->status = program_run_kernel(check->run, checking->arena, kernel);
        for (size_t i = 0; i < checking->after_kernel[kernel].count; i++)
            read_value(checking, checking->after_kernel[kernel].items[i]);
        program_run_release(check->run, kernel);
    }
}

static void finish_program(Checking *checking) {
    const OpCheck *check = checking->check;
    while (checking->next < (int)check->program->kernels.count && status_fine(checking->status)) {
        int kernel = checking->next++;
        checking->status = program_run_kernel(check->run, checking->arena, kernel);
        program_run_release(check->run, kernel);
    }
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static void report(Checking *checking, const Value *value, const double *actual,
                   const double *expected, const double *bounds, size_t count) {
    OpCheckResult result = {value, tolerance_compare(actual, expected, bounds, count), 0};
    for (size_t i = 0; i < count; i++)
        if (isfinite(expected[i]))
            result.scale = fmax(result.scale, fabs(expected[i]));
    checking->visitor(checking->context, &result);
}

/* Depthwise convolutions round nothing, and get no bounds of their own. */
static bool is_contraction(const Node *node) {
    return node->op == OP_conv || node->op == OP_conv_transpose || node->op == OP_linear ||
           node->op == OP_conv_weight_grad || node->op == OP_linear_weight_grad;
}

static DType find_factors(const Program *program) {
    for (size_t k = 0; k < program->kernels.count; k++) {
        const Kernel *kernel = program->kernels.items[k];
        if ((kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT) &&
            kernel->contraction.bf16)
            return DTYPE_BF16;
    }
    return DTYPE_F32;
}

/* How far off the program's operand may be where a node's result is made: what is stored is known,
 * but to the kernel that makes it, which has it before it is rounded. */
static const double *bounds_within(const Held *operand, const Held *result) {
    bool elsewhere = operand->after >= 0 && result->after >= 0 && operand->after != result->after;
    return elsewhere ? NULL : operand->bounds;
}

static const double *const *operand_bounds(const Checking *checking, Arena *arena,
                                           const Held *held) {
    const Node *node = held->value->node;
    const double **bounds = arena_new_array(arena, const double *, (size_t)node->operand_count);
    for (int i = 0; i < node->operand_count; i++) {
        bounds[i] =
            node->operands[i] ? bounds_within(find(checking, node->operands[i]), held) : NULL;
        if (is_contraction(node))
            bounds[i] = tolerance_of_rounded_operand(checking->check->interpreter, arena, i,
                                                     bounds[i], checking->factors);
    }
    return bounds;
}

static double *keep(const double *numbers, size_t count) {
    double *copy = malloc((count ? count : 1) * sizeof *copy);
    if (!copy)
        fatal("out of memory");
    memcpy(copy, numbers, count * sizeof *copy);
    return copy;
}

/* The interpreter has no values of its own for these: they are views of what was set. */
static bool is_view(const Node *node) {
    return node->op == OP_param || node->op == OP_state || node->op == OP_parameters;
}

/* What kernels are given is fp32; parameters and states were set so. */
static void round_given(const Node *node, const Tensor *tensor) {
    for (size_t i = 0; !is_view(node) && i < tensor->count; i++)
        tensor->data[i] = (double)(float)tensor->data[i];
}

static bool any_inexact(const double *bounds, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bounds[i] > 0)
            return true;
    return false;
}

static void check_value(Checking *checking, Arena *arena, Held *held, const Tensor *tensor) {
    const double *bounds = tolerance_bounds(checking->check->interpreter, arena, held->value,
                                            tensor, operand_bounds(checking, arena, held));
    if (held->after == NOWHERE) {
        held->bounds = any_inexact(bounds, tensor->count) ? keep(bounds, tensor->count) : NULL;
        return;
    }
    advance_to(checking, held);
    if (!status_fine(checking->status))
        return;
    DType dtype = checking->check->program->buffers.items[held->view.buffer].dtype;
    bounds = tolerance_of_stored(arena, tensor, bounds, dtype);
    report(checking, held->value, held->actual, tensor->data, bounds, tensor->count);
    memcpy(tensor->data, held->actual, tensor->count * sizeof *tensor->data);
    const double *rounding = tolerance_of_stored(arena, tensor, NULL, dtype);
    held->bounds = rounding ? keep(rounding, tensor->count) : NULL;
    forget_actual(held);
}

static void release_operands(const Checking *checking, const Node *node) {
    for (int i = 0; i < node->operand_count; i++) {
        Held *held = node->operands[i] ? find(checking, node->operands[i]) : NULL;
        if (!held || --held->readers > 0)
            continue;
        free(held->bounds);
        held->bounds = NULL;
    }
}

static void observe(void *context, const Value *value, const Tensor *tensor) {
    Checking *checking = context;
    const Node *node = value->node;
    if (!status_fine(checking->status))
        return;
    Arena *arena = arena_create();
    Held *held = find(checking, value);
    if (node->op == OP_constant || held->after == NOT_COMPUTED)
        round_given(node, tensor);
    else
        check_value(checking, arena, held, tensor);
    if (value->index == op_info(node->op)->result_count - 1)
        release_operands(checking, node);
    arena_destroy(arena);
}

/* ---- What is left behind --------------------------------------------------------------------- */

/* The program's tensor that a sink has written. */
static Tensor sink_actual(const Checking *checking, Arena *arena, const Node *node) {
    const KernelInterpreter *values = program_run_values(checking->check->run);
    const char *name = node_text(node, "name");
    if (node->op == OP_output)
        return kernel_interpreter_output(values, arena, name, &node->operands[0]->type);
    if (strcmp(node_text(node, "region"), "state") == 0)
        return kernel_interpreter_state(values, arena, name);
    int params = kernel_find_buffer(checking->check->program, REGION_PARAMS, "params");
    View view = {.buffer = params, .channel_stride = 1};
    if (*name)
        view.base = graph_find_segment(checking->check->graph, name)->offset;
    return kernel_interpreter_read(values, arena, &view, &node->operands[0]->type);
}

static Tensor sink_expected(const Checking *checking, const Node *node) {
    Interpreter *interpreter = checking->check->interpreter;
    const char *name = node_text(node, "name");
    if (node->op == OP_output)
        return interpreter_output(interpreter, name);
    if (strcmp(node_text(node, "region"), "state") == 0)
        return interpreter_state(interpreter, name);
    return interpreter_param(interpreter, *name ? name : NULL);
}

static void check_sink(Checking *checking, const Node *node) {
    Arena *arena = arena_create();
    Tensor actual = sink_actual(checking, arena, node), expected = sink_expected(checking, node);
    const double *bounds = find(checking, node->operands[0])->bounds;
    invariant(actual.count == expected.count && actual.data && expected.data,
              "%s is not as large as expected", node_text(node, "name"));
    report(checking, node->operands[0], actual.data, expected.data,
           bounds ? bounds : arena_new_array(arena, double, expected.count), expected.count);
    arena_destroy(arena);
}

static void check_sinks(Checking *checking) {
    for (const Node *node = checking->check->graph->first; node; node = node->next)
        if (node->op == OP_output || node->op == OP_commit)
            check_sink(checking, node);
}

static void free_held(Checking *checking) {
    for (Held *held = checking->table; held; held = held->hh.next) {
        forget_actual(held);
        free(held->bounds);
    }
    HASH_CLEAR(hh, checking->table);
}

/* ---- How much memory that takes -------------------------------------------------------------- */

static uint64_t value_bytes(const Checking *checking, const Value *value) {
    return (uint64_t)graph_elements(checking->check->graph, &value->type) * sizeof(double);
}

/* What is held of a value until its last reader is checked: the interpreter's numbers, and bounds
 * if the program has none. */
static uint64_t held_bytes(const Checking *checking, const Held *held) {
    if (is_view(held->value->node))
        return 0;
    return value_bytes(checking, held->value) * (held->after == NOWHERE ? 2 : 1);
}

/* What comes and goes with a node, at most: bounds, distances, and results of an evaluation on
 * other operands. */
static uint64_t passing_bytes(const Checking *checking, const Node *node) {
    uint64_t bytes = 0;
    for (int i = 0; !is_view(node) && i < op_info(node->op)->result_count; i++)
        bytes += 3 * value_bytes(checking, &node->results[i]);
    for (int i = 0; i < node->operand_count; i++)
        if (node->operands[i])
            bytes += value_bytes(checking, node->operands[i]);
    return bytes;
}

/* The operands whose last reader the node is, and results without any. */
static uint64_t released_bytes(const Checking *checking, const Node *node) {
    uint64_t bytes = 0;
    for (int i = 0; i < op_info(node->op)->result_count; i++) {
        const Held *held = find(checking, &node->results[i]);
        bytes += held->readers == 0 ? held_bytes(checking, held) : 0;
    }
    for (int i = 0; i < node->operand_count; i++) {
        Held *held = node->operands[i] ? find(checking, node->operands[i]) : NULL;
        if (held && op_info(node->op)->result_count > 0 && --held->readers == 0)
            bytes += held_bytes(checking, held);
    }
    return bytes;
}

static uint64_t most_values(const Checking *checking) {
    uint64_t held = 0, most = 0;
    for (const Node *node = checking->check->graph->first; node; node = node->next) {
        for (int i = 0; i < op_info(node->op)->result_count; i++)
            held += held_bytes(checking, find(checking, &node->results[i]));
        uint64_t now = held + passing_bytes(checking, node);
        most = now > most ? now : most;
        held -= released_bytes(checking, node);
    }
    return most;
}

/* Parameters and states are in the interpreter as well. */
static uint64_t region_bytes(const OpCheck *check) {
    Type parameters = type_flat(DTYPE_F32);
    uint64_t bytes = (uint64_t)graph_elements(check->graph, &parameters) * sizeof(double);
    for (size_t i = 0; i < check->graph->states.count; i++)
        bytes += (uint64_t)graph_elements(check->graph, &check->graph->states.items[i].type) *
                 sizeof(double);
    for (int region = 0; region <= REGION_SCRATCH; region++)
        bytes += (uint64_t)kernel_region_bytes(check->program, (Region)region);
    return bytes;
}

uint64_t op_check_memory(const OpCheck *check) {
    Checking checking = {.check = check, .arena = arena_create()};
    list_held(&checking);
    place_held(&checking);
    uint64_t bytes = region_bytes(check) + most_values(&checking);
    HASH_CLEAR(hh, checking.table);
    arena_destroy(checking.arena);
    return bytes;
}

/* ---- Running both ---------------------------------------------------------------------------- */

Status op_check_run(const OpCheck *check, Arena *arena, OpCheckVisitor *visitor, void *context) {
    Checking checking = {.check = check,
                         .arena = arena,
                         .visitor = visitor,
                         .context = context,
                         .factors = find_factors(check->program)};
    list_held(&checking);
    place_held(&checking);
    program_run_begin(check->run);
    interpreter_observe(check->interpreter, observe, &checking);
    Status status = interpreter_run(check->interpreter, arena);
    if (status_fine(status)) {
        finish_program(&checking);
        status = checking.status;
    }
    if (status_fine(status))
        check_sinks(&checking);
    free_held(&checking);
    return status;
}
