#include "passes/lower.h"

#include <string.h>
#include <uthash.h>

#include "base/fatal.h"

/* ---- Values and views ------------------------------------------------------------------------ */

Lowered *lower_value(Lowering *lowering, const Value *value) {
    return &lowering->values[value->node->mark + value->index];
}

static int add_buffer(Lowering *lowering, const char *name, Region region, DType dtype,
                      int64_t elements) {
    Buffer buffer = {name, region, dtype, elements, -1};
    vector_push(lowering->arena, &lowering->program->buffers, buffer);
    return (int)lowering->program->buffers.count - 1;
}

/* The view of a whole buffer that holds a value of this type. */
static View whole_view(const Lowering *lowering, int buffer, const Type *type) {
    View view = {.buffer = buffer, .channel_stride = 1};
    if (type->form == FORM_DENSE || type->form == FORM_MASKED || type->form == FORM_PER_IMAGE) {
        view.row_stride = type->channels;
        view.image_stride = graph_rows(lowering->graph, type) / type->batch * type->channels;
    }
    return view;
}

View lower_new_view(Lowering *lowering, const char *name, Region region, const Type *type) {
    int buffer =
        add_buffer(lowering, name, region, type->dtype, graph_elements(lowering->graph, type));
    return whole_view(lowering, buffer, type);
}

View lower_operand_view(Lowering *lowering, const Value *value) {
    Lowered *lowered = lower_value(lowering, value);
    if (lowered->is_constant && !lowered->ready) {
        View view = lower_result_view(lowering, value);
        Kernel *kernel =
            lower_new_kernel(lowering, value->node, KERNEL_MAP, value->name, &value->type);
        ExpressionBuilder builder = expression_begin(lowering->arena);
        bool whole = value->type.dtype == DTYPE_I32 || value->type.dtype == DTYPE_U32;
        int result = whole ? expression_constant_u(&builder, (uint32_t)(int64_t)lowered->constant)
                           : expression_constant(&builder, lowered->constant);
        kernel->expression = expression_end(&builder, &result, 1);
        lower_add_output(kernel, view);
    }
    invariant(lowered->ready, "value %%%s is read before it is lowered", value->name);
    return lowered->view;
}

View lower_result_view(Lowering *lowering, const Value *value) {
    Lowered *lowered = lower_value(lowering, value);
    if (!lowered->ready)
        lowered->view = lower_new_view(lowering, value->name, REGION_SCRATCH, &value->type);
    lowered->ready = true;
    return lowered->view;
}

void lower_alias(Lowering *lowering, const Value *value, View view) {
    Lowered *lowered = lower_value(lowering, value);
    if (lowered->ready) { /* its place was decided beforehand: copy it there */
        Access source = lower_access(&value->type, &value->type, view);
        lower_copy(lowering, value->node, value->name, &value->type, source, lowered->view);
        return;
    }
    lowered->ready = true;
    lowered->view = view;
}

Access lower_access(const Type *result, const Type *operand, View view) {
    Access access = {.kind = ACCESS_ELEMENT, .channel = CHANNEL_SAME, .view = view};
    bool same_form = operand->form == result->form;
    switch (operand->form) {
    case FORM_PLAIN:
        if (!same_form || operand->rank != result->rank)
            access.kind = ACCESS_ONE;
        if (operand->rank == 0 && !(same_form && result->rank == 0))
            access.channel = CHANNEL_FIRST;
        break;
    case FORM_SEGMENTS:
        if (!same_form)
            access.kind = ACCESS_SEGMENT;
        break;
    case FORM_PER_IMAGE:
        if (!same_form)
            access.kind = ACCESS_IMAGE;
        if (operand->channels != result->channels)
            access.channel = CHANNEL_FIRST;
        break;
    default:
        if (type_has_space(operand) && operand->channels != result->channels)
            access.channel = CHANNEL_FIRST;
        break;
    }
    return access;
}

/* ---- Kernels --------------------------------------------------------------------------------- */

static int64_t type_channels(const Lowering *lowering, const Type *type) {
    bool has_rows = type_has_space(type) || type->form == FORM_PER_IMAGE;
    return has_rows ? type->channels : graph_elements(lowering->graph, type);
}

Kernel *lower_new_kernel(Lowering *lowering, const Node *node, KernelKind kind, const char *name,
                         const Type *type) {
    Kernel *kernel = arena_new(lowering->arena, Kernel);
    kernel->kind = kind;
    kernel->name = name;
    kernel->location = node->location;
    kernel->space = space_of_type(type);
    kernel->channels = type_channels(lowering, type);
    vector_push(lowering->arena, &lowering->program->kernels, kernel);
    return kernel;
}

int lower_add_operand(Kernel *kernel, Access access) {
    invariant(kernel->operand_count < KERNEL_MAX_OPERANDS, "kernel %s has too many operands",
              kernel->name);
    kernel->operands[kernel->operand_count] = access;
    return kernel->operand_count++;
}

void lower_add_output(Kernel *kernel, View view) {
    invariant(kernel->output_count < KERNEL_MAX_OUTPUTS, "kernel %s has too many outputs",
              kernel->name);
    kernel->outputs[kernel->output_count++] = view;
}

Expression *lower_identity(Lowering *lowering, int operand) {
    ExpressionBuilder builder = expression_begin(lowering->arena);
    int result = expression_operand(&builder, operand);
    return expression_end(&builder, &result, 1);
}

int lower_read_operand(ExpressionBuilder *builder, DType dtype, int operand) {
    bool whole = dtype == DTYPE_I32 || dtype == DTYPE_U32;
    return whole ? expression_operand_u(builder, operand) : expression_operand(builder, operand);
}

Kernel *lower_copy(Lowering *lowering, const Node *node, const char *name, const Type *type,
                   Access source, View target) {
    Kernel *kernel = lower_new_kernel(lowering, node, KERNEL_MAP, name, type);
    lower_add_operand(kernel, source);
    ExpressionBuilder builder = expression_begin(lowering->arena);
    int result = lower_read_operand(&builder, type->dtype, 0);
    kernel->expression = expression_end(&builder, &result, 1);
    lower_add_output(kernel, target);
    return kernel;
}

/* ---- Taps ------------------------------------------------------------------------------------ */

static bool has_attribute(const Node *node, const char *name) {
    return op_attribute_index(node->op, name) >= 0;
}

WindowShape lower_window_shape(const Node *node) {
    WindowShape window = {0};
    const int64_t *kernel = node_ints(node, "kernel", &window.rank);
    int count;
    const int64_t *stride = node_ints(node, "stride", &count);
    const int64_t *pad = node_ints(node, "pad", &count);
    const int64_t *dilation =
        has_attribute(node, "dilation") ? node_ints(node, "dilation", &count) : NULL;
    for (int d = 0; d < window.rank; d++) {
        window.kernel[d] = kernel[d];
        window.stride[d] = stride[d];
        window.pad[d] = pad[d];
        window.dilation[d] = dilation ? dilation[d] : 1;
    }
    return window;
}

int64_t lower_tap_count(const WindowShape *window) {
    int64_t count = 1;
    for (int d = 0; d < window->rank; d++)
        count *= window->kernel[d];
    return count;
}

/* The place of tap `index` (row-major) in each direction. */
static void tap_place(const WindowShape *window, int64_t index, int64_t *place) {
    for (int d = window->rank - 1; d >= 0; d--) {
        place[d] = index % window->kernel[d];
        index /= window->kernel[d];
    }
}

static TapSet empty_taps(Lowering *lowering, const Type *source, int64_t capacity) {
    TapSet taps = {.source = space_of_type(source)};
    taps.taps = arena_new_array(lowering->arena, Tap, (size_t)capacity);
    for (int d = 0; d < TYPE_MAX_SPACE; d++)
        taps.step[d] = taps.scale[d] = 1;
    return taps;
}

TapSet lower_forward_taps(Lowering *lowering, const WindowShape *window, const Type *source) {
    int64_t count = lower_tap_count(window);
    TapSet taps = empty_taps(lowering, source, count);
    taps.tap_count = (int)count;
    for (int64_t t = 0; t < count; t++) {
        int64_t place[TYPE_MAX_SPACE];
        tap_place(window, t, place);
        taps.taps[t].weight = t;
        for (int d = 0; d < window->rank; d++)
            taps.taps[t].offset[d] = place[d] * window->dilation[d] - window->pad[d];
    }
    for (int d = 0; d < window->rank; d++)
        taps.scale[d] = window->stride[d];
    return taps;
}

TapSet lower_transposed_taps(Lowering *lowering, const WindowShape *window, const Type *source,
                             const int64_t *phase) {
    int64_t count = lower_tap_count(window);
    TapSet taps = empty_taps(lowering, source, count);
    for (int64_t t = 0; t < count; t++) {
        int64_t place[TYPE_MAX_SPACE];
        tap_place(window, t, place);
        Tap tap = {.weight = t};
        bool reaches = true;
        for (int d = 0; d < window->rank; d++) {
            int64_t distance = phase[d] + window->pad[d] - place[d] * window->dilation[d];
            reaches = reaches && distance % window->stride[d] == 0;
            tap.offset[d] = distance / window->stride[d];
        }
        if (reaches)
            taps.taps[taps.tap_count++] = tap;
    }
    for (int d = 0; d < window->rank; d++) {
        taps.step[d] = window->stride[d];
        taps.phase[d] = phase[d];
    }
    return taps;
}

TapSet lower_point_taps(Lowering *lowering, const Type *source) {
    TapSet taps = empty_taps(lowering, source, 1);
    taps.tap_count = 1;
    return taps;
}

bool lower_next_phase(const WindowShape *window, int64_t *phase) {
    for (int d = window->rank - 1; d >= 0; d--) {
        if (++phase[d] < window->stride[d])
            return true;
        phase[d] = 0;
    }
    return false;
}

void lower_use_level(Lowering *lowering, const Space *space, const int64_t *low,
                     const int64_t *high) {
    Program *program = lowering->program;
    Level *level = NULL;
    for (size_t i = 0; i < program->levels.count && !level; i++)
        if (space_equal(&program->levels.items[i].space, space))
            level = &program->levels.items[i];
    if (!level) {
        Level fresh = {.space = *space, .buffer = -1};
        vector_push(lowering->arena, &program->levels, fresh);
        level = &program->levels.items[program->levels.count - 1];
    }
    for (int d = 0; d < space->rank; d++) {
        int64_t over = high[d] - (space->extent[d] - 1);
        if (-low[d] > level->border[d])
            level->border[d] = -low[d];
        if (over > level->border[d])
            level->border[d] = over;
    }
}

/* ---- Position maps --------------------------------------------------------------------------- */

/* The positions of a masked source that a tap set reads from a kernel's space. */
static void use_taps(Lowering *lowering, const Space *walked, const TapSet *taps) {
    int64_t low[TYPE_MAX_SPACE] = {0}, high[TYPE_MAX_SPACE] = {0};
    if (taps->source.kind != SPACE_MASKED)
        return;
    for (int d = 0; d < taps->source.rank; d++) {
        int64_t last = (walked->extent[d] - 1 - taps->phase[d]) / taps->step[d] * taps->scale[d];
        for (int t = 0; t < taps->tap_count; t++) {
            int64_t offset = taps->taps[t].offset[d];
            low[d] = offset < low[d] ? offset : low[d];
            high[d] = last + offset > high[d] ? last + offset : high[d];
        }
    }
    lower_use_level(lowering, &taps->source, low, high);
}

static void use_levels(Lowering *lowering, const Kernel *kernel) {
    const int64_t inside[TYPE_MAX_SPACE] = {0};
    if (kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT)
        use_taps(lowering, &kernel->space, &kernel->contraction.taps);
    if (kernel->kind == KERNEL_WINDOW)
        use_taps(lowering, &kernel->space, &kernel->window.taps);
    for (int i = 0; i < kernel->operand_count; i++) {
        const Access *access = &kernel->operands[i];
        if (access->kind == ACCESS_POSITION && access->source.kind == SPACE_MASKED)
            lower_use_level(lowering, &access->source, inside, inside);
    }
}

/* Puts the kernels that build the position maps in front of all others. */
static void add_position_maps(Lowering *lowering) {
    Program *program = lowering->program;
    for (size_t i = 0; i < program->kernels.count; i++)
        use_levels(lowering, program->kernels.items[i]);
    size_t kernels = program->kernels.count;
    Kernel **body = program->kernels.items;
    memset(&program->kernels, 0, sizeof program->kernels);
    for (size_t i = 0; i < program->levels.count; i++) {
        Level *level = &program->levels.items[i];
        int64_t elements = program->geometry.batch;
        for (int d = 0; d < level->space.rank; d++)
            elements *= level->space.extent[d] + 2 * level->border[d];
        const char *name =
            arena_format(lowering->arena, "positions.%lld", (long long)level->space.stride);
        level->buffer = add_buffer(lowering, name, REGION_SCRATCH, DTYPE_I32, elements);
        Kernel *kernel = arena_new(lowering->arena, Kernel);
        *kernel = (Kernel){.kind = KERNEL_POSITION_MAP, .name = name, .space = level->space};
        kernel->channels = 1;
        kernel->position_map.level = (int)i;
        vector_push(lowering->arena, &program->kernels, kernel);
    }
    for (size_t i = 0; i < kernels; i++)
        vector_push(lowering->arena, &program->kernels, body[i]);
}

/* Where something is masked there is a cell list, even if no op of the graph reads it. */
static void add_cells(Lowering *lowering) {
    Program *program = lowering->program;
    bool masked = program->levels.count > 0;
    for (size_t i = 0; i < program->kernels.count; i++)
        masked = masked || program->kernels.items[i]->space.kind == SPACE_MASKED;
    if (masked && program->cells < 0)
        program->cells = add_buffer(lowering, "cells", REGION_INPUTS, DTYPE_I32,
                                    program->geometry.batch * program->geometry.keep);
}

/* ---- The whole graph ------------------------------------------------------------------------- */

static LowerFunction *const lower_functions[OP_COUNT] = {
#define OP(name, ...) [OP_##name] = lower_##name,
#include "ir/ops.def"
#undef OP
};

/* Gives every value its number. */
static void number_values(Lowering *lowering) {
    int64_t count = 0;
    graph_each(lowering->graph, node) {
        node->mark = count;
        count += OP_MAX_RESULTS;
    }
    lowering->values = arena_new_array(lowering->arena, Lowered, (size_t)count);
}

/* Decides that gradients are written straight to their segment of the flat array. */
static void place_gradients(Lowering *lowering) {
    graph_each(lowering->graph, node) {
        if (node->op != OP_collect)
            continue;
        View flat = lower_result_view(lowering, &node->results[0]);
        for (int i = 0; i < node->operand_count; i++) {
            const Value *gradient = node->operands[i];
            Lowered *lowered = lower_value(lowering, gradient);
            bool count = gradient->node->op == OP_moments && gradient->index == 0;
            if (lowered->ready || count || (op_info(gradient->node->op)->flags & OP_SOURCE))
                continue;
            lowered->ready = true;
            lowered->view = flat;
            lowered->view.base = lowering->graph->segments.items[i].offset;
        }
    }
}

/* Every state has its place in the region, whether this entry uses it or not: all entries of a
 * network work on the same regions. */
static void place_regions(Lowering *lowering) {
    Program *program = lowering->program;
    const Graph *graph = lowering->graph;
    for (size_t i = 0; i < graph->segments.count; i++)
        vector_push(lowering->arena, &program->segments, graph->segments.items[i]);
    for (size_t i = 0; i < graph->states.count; i++) {
        const StateSlot *slot = &graph->states.items[i];
        vector_push(lowering->arena, &program->states, *slot);
        lower_new_view(lowering, slot->name, REGION_STATE, &slot->type);
    }
    Type flat = type_flat(DTYPE_F32);
    if (graph->segments.count)
        lowering->params_buffer =
            add_buffer(lowering, "params", REGION_PARAMS, DTYPE_F32, graph_elements(graph, &flat));
}

/* Adds the values that have a place; `values` NULL: nobody asks. */
static void list_values(const Lowering *lowering, LoweredValues *values) {
    for (const Node *node = lowering->graph->first; values && node; node = node->next)
        for (int i = 0; i < op_info(node->op)->result_count; i++) {
            const Lowered *lowered = &lowering->values[node->mark + i];
            LoweredValue listed = {&node->results[i], lowered->view};
            if (lowered->ready)
                vector_push(lowering->arena, &values->list, listed);
        }
}

/* All reads of the graph see parameters and states as they were before the run: what is committed
 * and still lies there moves to memory of its own first. */
static void keep_committed(Lowering *lowering, Node *commit) {
    const Value *value = commit->operands[0];
    View source = lower_operand_view(lowering, value);
    Region region = lowering->program->buffers.items[source.buffer].region;
    if (region != REGION_PARAMS && region != REGION_STATE)
        return;
    const char *name = arena_format(lowering->arena, "%s.kept", value->name);
    View kept = lower_new_view(lowering, name, REGION_SCRATCH, &value->type);
    lower_copy(lowering, commit, name, &value->type,
               lower_access(&value->type, &value->type, source), kept);
    lower_value(lowering, value)->view = kept;
}

/* Commits come last. */
static void lower_nodes(Lowering *lowering) {
    graph_each(lowering->graph, node) {
        if (node->op != OP_commit)
            lower_functions[node->op](lowering, node);
    }
    graph_each(lowering->graph, node) {
        if (node->op == OP_commit)
            keep_committed(lowering, node);
    }
    graph_each(lowering->graph, node) {
        if (node->op == OP_commit)
            lower_functions[node->op](lowering, node);
    }
}

/* ---- Names ----------------------------------------------------------------------------------- */

typedef struct Name {
    const char *text;
    UT_hash_handle hh;
} Name;

/* The name, or with the first free number behind it; taken from now on. */
static const char *take_name(Arena *arena, Name **names, const char *name) {
    const char *text = name;
    Name *found = NULL;
    HASH_FIND_STR(*names, text, found);
    for (int i = 2; found; i++) {
        text = arena_format(arena, "%s.%d", name, i);
        HASH_FIND_STR(*names, text, found);
    }
    Name *taken = arena_new(arena, Name);
    taken->text = text;
    HASH_ADD_KEYPTR(hh, *names, taken->text, strlen(taken->text), taken);
    return text;
}

/* Labels may be any: what is named after something else than a value may have the name of one. */
static void make_names_unique(const Lowering *lowering) {
    Program *program = lowering->program;
    Name *kernels = NULL, *buffers = NULL;
    for (size_t i = 0; i < program->kernels.count; i++) {
        Kernel *kernel = program->kernels.items[i];
        kernel->name = take_name(lowering->arena, &kernels, kernel->name);
    }
    for (size_t i = 0; i < program->buffers.count; i++) {
        Buffer *buffer = &program->buffers.items[i];
        if (buffer->region == REGION_SCRATCH)
            buffer->name = take_name(lowering->arena, &buffers, buffer->name);
    }
    HASH_CLEAR(hh, kernels);
    HASH_CLEAR(hh, buffers);
}

Program *lower_graph(Arena *arena, Graph *graph) {
    return lower_graph_values(arena, graph, NULL);
}

Program *lower_graph_values(Arena *arena, Graph *graph, LoweredValues *values) {
    Program *program = arena_new(arena, Program);
    program->arena = arena;
    program->network = graph->network;
    program->stage = "lower";
    program->geometry = graph->geometry;
    program->cells = -1;
    Lowering lowering = {.arena = arena, .graph = graph, .program = program, .params_buffer = -1};
    place_regions(&lowering);
    number_values(&lowering);
    place_gradients(&lowering);
    lower_nodes(&lowering);
    add_position_maps(&lowering);
    add_cells(&lowering);
    make_names_unique(&lowering);
    list_values(&lowering, values);
    graph_clear_marks(graph);
    return program;
}
