#include "ir/interpret/kernel_interpret.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/interpret/kernel_run.h"

struct KernelInterpreter {
    const Program *program;
    Arena *arena;
    bool planned;
    void **buffers;    /* bytes; NULL: a scratch buffer that is not alive */
    bool *given;       /* inputs: has a value */
    int *first, *last; /* the kernels that use each buffer; first -1: none */
    KernelObserver *observer;
    void *context;
};

/* ---- Kernels --------------------------------------------------------------------------------- */

void kernel_interpreter_run_kernel(const Program *program, const Kernel *kernel,
                                   void *const *buffers) {
    static void (*const functions[])(const Run *) = {
        [KERNEL_MAP] = kernel_run_map,
        [KERNEL_CONTRACT] = kernel_run_contract,
        [KERNEL_CONTRACT_WEIGHT] = kernel_run_contract_weight,
        [KERNEL_WINDOW] = kernel_run_window,
        [KERNEL_REDUCE] = kernel_run_reduce,
        [KERNEL_POSITION_MAP] = kernel_run_position_map,
    };
    Run run = {program, kernel, buffers, arena_create()};
    functions[kernel->kind](&run);
    arena_destroy(run.arena);
}

/* ---- Buffers --------------------------------------------------------------------------------- */

static size_t buffer_bytes(const Buffer *buffer) {
    return (size_t)buffer->elements * dtype_size(buffer->dtype);
}

/* A pattern that is NaN as f32 and bf16 and far out of range as i32. */
static void poison(void *bytes, size_t count) {
    static const unsigned char pattern[2] = {0xC0, 0x7F};
    for (size_t i = 0; i < count; i++)
        ((unsigned char *)bytes)[i] = pattern[i % 2];
}

static void *allocate(size_t bytes) {
    void *result = calloc(bytes ? bytes : 1, 1);
    if (!result)
        fatal("out of memory (%zu bytes wanted)", bytes);
    return result;
}

static void find_lifetimes(KernelInterpreter *interpreter) {
    const Program *program = interpreter->program;
    for (size_t i = 0; i < program->buffers.count; i++)
        interpreter->first[i] = interpreter->last[i] = -1;
    for (size_t k = 0; k < program->kernels.count; k++) {
        KernelUse uses[KERNEL_MAX_USES];
        int count = kernel_uses(program, program->kernels.items[k], uses);
        for (int i = 0; i < count; i++) {
            int buffer = uses[i].buffer;
            if (interpreter->first[buffer] < 0)
                interpreter->first[buffer] = (int)k;
            interpreter->last[buffer] = (int)k;
        }
    }
}

/* Writes the numbers of a buffer through the same rounding as a kernel's results. */
static void write_numbers(KernelInterpreter *interpreter, int buffer, int64_t base,
                          const double *data, size_t count) {
    Kernel nobody = {.name = "(the host)"};
    Run run = {interpreter->program, &nobody, interpreter->buffers, NULL};
    for (size_t i = 0; i < count; i++)
        kernel_run_store(&run, buffer, base + (int64_t)i, data[i]);
}

static void fill_segment_columns(KernelInterpreter *interpreter) {
    const Program *program = interpreter->program;
    int decays = kernel_find_buffer(program, REGION_INPUTS, KERNEL_COLUMN_DECAYS);
    int lr_scale = kernel_find_buffer(program, REGION_INPUTS, KERNEL_COLUMN_LR_SCALE);
    for (size_t i = 0; i < program->segments.count; i++) {
        const Segment *segment = &program->segments.items[i];
        double decay = segment->decays ? 1 : 0;
        if (decays >= 0)
            write_numbers(interpreter, decays, (int64_t)i, &decay, 1);
        if (lr_scale >= 0)
            write_numbers(interpreter, lr_scale, (int64_t)i, &segment->lr_scale, 1);
    }
    if (decays >= 0)
        interpreter->given[decays] = true;
    if (lr_scale >= 0)
        interpreter->given[lr_scale] = true;
}

static KernelInterpreter *create(const Program *program, bool planned) {
    Arena *arena = arena_create();
    KernelInterpreter *interpreter = arena_new(arena, KernelInterpreter);
    size_t count = program->buffers.count;
    interpreter->program = program;
    interpreter->arena = arena;
    interpreter->planned = planned;
    interpreter->buffers = arena_new_array(arena, void *, count);
    interpreter->given = arena_new_array(arena, bool, count);
    interpreter->first = arena_new_array(arena, int, count);
    interpreter->last = arena_new_array(arena, int, count);
    find_lifetimes(interpreter);
    return interpreter;
}

KernelInterpreter *kernel_interpreter_create(const Program *program) {
    KernelInterpreter *interpreter = create(program, false);
    for (size_t i = 0; i < program->buffers.count; i++)
        if (program->buffers.items[i].region != REGION_SCRATCH)
            interpreter->buffers[i] = allocate(buffer_bytes(&program->buffers.items[i]));
    fill_segment_columns(interpreter);
    return interpreter;
}

KernelInterpreter *kernel_interpreter_create_over(const Program *program, void *const *buffers) {
    KernelInterpreter *interpreter = create(program, true);
    for (size_t i = 0; i < program->buffers.count; i++) {
        interpreter->buffers[i] = buffers[i];
        interpreter->given[i] = true;
    }
    fill_segment_columns(interpreter);
    return interpreter;
}

KernelInterpreter *kernel_interpreter_create_planned(const Program *program, void *const *regions) {
    Arena *arena = arena_create();
    void **buffers = arena_new_array(arena, void *, program->buffers.count);
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        invariant(buffer->offset >= 0, "buffer %s is not planned", buffer->name);
        buffers[i] = (unsigned char *)regions[buffer->region] + buffer->offset;
    }
    KernelInterpreter *interpreter = kernel_interpreter_create_over(program, buffers);
    arena_destroy(arena);
    return interpreter;
}

void kernel_interpreter_destroy(KernelInterpreter *interpreter) {
    if (!interpreter)
        return;
    for (size_t i = 0; !interpreter->planned && i < interpreter->program->buffers.count; i++)
        free(interpreter->buffers[i]);
    arena_destroy(interpreter->arena);
}

/* ---- Values from outside --------------------------------------------------------------------- */

static const Segment *find_segment(const Program *program, const char *name) {
    for (size_t i = 0; i < program->segments.count; i++)
        if (strcmp(program->segments.items[i].name, name) == 0)
            return &program->segments.items[i];
    return NULL;
}

static const StateSlot *find_state(const Program *program, const char *name) {
    for (size_t i = 0; i < program->states.count; i++)
        if (strcmp(program->states.items[i].name, name) == 0)
            return &program->states.items[i];
    return NULL;
}

/* The one buffer of the region params, or -1. */
static int params_buffer(const Program *program) {
    for (size_t i = 0; i < program->buffers.count; i++)
        if (program->buffers.items[i].region == REGION_PARAMS)
            return (int)i;
    return -1;
}

Status kernel_interpreter_set_param(KernelInterpreter *interpreter, Arena *arena,
                                    const char *segment, const double *data, size_t count) {
    const Segment *found = find_segment(interpreter->program, segment);
    int buffer = params_buffer(interpreter->program);
    if (!found || buffer < 0)
        return status_failure(arena, "the program has no parameter \"%s\"", segment);
    if (count != (size_t)type_plain_elements(&found->type))
        return status_failure(arena, "parameter \"%s\" has %zu elements, got %zu", segment,
                              (size_t)type_plain_elements(&found->type), count);
    write_numbers(interpreter, buffer, found->offset, data, count);
    return STATUS_FINE;
}

static Status set_buffer(KernelInterpreter *interpreter, Arena *arena, Region region,
                         const char *what, const char *name, const double *data, size_t count) {
    int index = kernel_find_buffer(interpreter->program, region, name);
    if (index < 0)
        return status_failure(arena, "the program has no %s \"%s\"", what, name);
    const Buffer *buffer = &interpreter->program->buffers.items[index];
    if (count != (size_t)buffer->elements)
        return status_failure(arena, "%s \"%s\" has %lld elements, got %zu", what, name,
                              (long long)buffer->elements, count);
    write_numbers(interpreter, index, 0, data, count);
    interpreter->given[index] = true;
    return STATUS_FINE;
}

Status kernel_interpreter_set_state(KernelInterpreter *interpreter, Arena *arena, const char *name,
                                    const double *data, size_t count) {
    return set_buffer(interpreter, arena, REGION_STATE, "state", name, data, count);
}

/* Fails if the visible cells of an image are not ascending whole numbers in range. */
static Status check_cells(const Geometry *geometry, Arena *arena, const double *data,
                          size_t count) {
    int64_t cells = 1;
    for (int d = 0; d < geometry->space; d++)
        cells *= geometry->image[d] / geometry->ratio;
    for (size_t i = 0; i < count; i++) {
        double least = i % (size_t)geometry->keep ? data[i - 1] + 1 : 0;
        if (!(data[i] >= least && data[i] < (double)cells) || data[i] != floor(data[i]))
            return status_failure(
                arena,
                "cells: the list of an image must be ascending whole numbers from "
                "0 to %lld, but %g stands at place %zu",
                (long long)cells - 1, data[i], i);
    }
    return STATUS_FINE;
}

Status kernel_interpreter_set_input(KernelInterpreter *interpreter, Arena *arena, const char *name,
                                    const double *data, size_t count) {
    const Program *program = interpreter->program;
    int index = kernel_find_buffer(program, REGION_INPUTS, name);
    if (index >= 0 && index == program->cells &&
        count == (size_t)program->buffers.items[index].elements)
        status_return_if_failed(check_cells(&program->geometry, arena, data, count));
    return set_buffer(interpreter, arena, REGION_INPUTS, "input", name, data, count);
}

void kernel_interpreter_set_scalar(KernelInterpreter *interpreter, const char *name, double value) {
    int index = kernel_find_buffer(interpreter->program, REGION_INPUTS, name);
    if (index < 0 || interpreter->program->buffers.items[index].elements != 1)
        return;
    write_numbers(interpreter, index, 0, &value, 1);
    interpreter->given[index] = true;
}

/* ---- Running --------------------------------------------------------------------------------- */

static Status check_inputs(const KernelInterpreter *interpreter, Arena *arena) {
    for (size_t i = 0; i < interpreter->program->buffers.count; i++) {
        const Buffer *buffer = &interpreter->program->buffers.items[i];
        if (buffer->region == REGION_INPUTS && interpreter->first[i] >= 0 && !interpreter->given[i])
            return status_failure(arena, "input \"%s\" has no value", buffer->name);
    }
    return STATUS_FINE;
}

static void poison_results(KernelInterpreter *interpreter) {
    for (size_t i = 0; i < interpreter->program->buffers.count; i++) {
        const Buffer *buffer = &interpreter->program->buffers.items[i];
        if (buffer->region == REGION_OUTPUTS ||
            (buffer->region == REGION_SCRATCH && interpreter->planned))
            poison(interpreter->buffers[i], buffer_bytes(buffer));
    }
}

/* Scratch buffers of their own: born before kernel `k`, or gone after it. */
static void change_alive(KernelInterpreter *interpreter, int k, bool birth) {
    const Program *program = interpreter->program;
    KernelUse uses[KERNEL_MAX_USES];
    int count = kernel_uses(program, program->kernels.items[k], uses);
    for (int i = 0; i < count; i++) {
        int index = uses[i].buffer;
        const Buffer *buffer = &program->buffers.items[index];
        if (buffer->region != REGION_SCRATCH)
            continue;
        if (birth && interpreter->first[index] == k && !interpreter->buffers[index]) {
            interpreter->buffers[index] = allocate(buffer_bytes(buffer));
            poison(interpreter->buffers[index], buffer_bytes(buffer));
        } else if (!birth && interpreter->last[index] == k) {
            free(interpreter->buffers[index]);
            interpreter->buffers[index] = NULL;
        }
    }
}

Status kernel_interpreter_run(KernelInterpreter *interpreter, Arena *arena) {
    const Program *program = interpreter->program;
    status_return_if_failed(check_inputs(interpreter, arena));
    poison_results(interpreter);
    for (int k = 0; k < (int)program->kernels.count; k++) {
        const Kernel *kernel = program->kernels.items[k];
        if (!interpreter->planned)
            change_alive(interpreter, k, true);
        kernel_interpreter_run_kernel(program, kernel, interpreter->buffers);
        if (interpreter->observer)
            interpreter->observer(interpreter->context, interpreter, kernel);
        if (!interpreter->planned)
            change_alive(interpreter, k, false);
    }
    return STATUS_FINE;
}

void kernel_interpreter_observe(KernelInterpreter *interpreter, KernelObserver *observer,
                                void *context) {
    interpreter->observer = observer;
    interpreter->context = context;
}

/* ---- Values for outside ---------------------------------------------------------------------- */

/* The channels of a type's space. */
static int64_t type_channels(const Program *program, const Type *type) {
    switch (type->form) {
    case FORM_PLAIN:
        return type_plain_elements(type);
    case FORM_SEGMENTS:
        return (int64_t)program->segments.count;
    case FORM_FLAT:
        return program->segments.count
                   ? program->segments.items[program->segments.count - 1].offset +
                         type_plain_elements(
                             &program->segments.items[program->segments.count - 1].type)
                   : 0;
    default:
        return type->channels;
    }
}

View kernel_interpreter_whole_view(const Program *program, int buffer, const Type *type) {
    Space space = space_of_type(type);
    int64_t channels = type_channels(program, type);
    return (View){.buffer = buffer,
                  .image_stride = space_rows(&program->geometry, &space) * channels,
                  .row_stride = channels,
                  .channel_stride = 1};
}

/* The elements of a value of some type, in a buffer and in dense x mask form side by side. */
typedef struct Elements {
    Run run;
    Walk walk;
    Space space, whole; /* as it is stored; with all positions */
    int64_t rows, channels;
} Elements;

static void begin_elements(Elements *elements, const KernelInterpreter *interpreter, Arena *arena,
                           const Type *type) {
    static const Kernel host = {.name = "(the host)"};
    const Program *program = interpreter->program;
    elements->run = (Run){program, &host, interpreter->buffers, arena};
    elements->space = elements->whole = space_of_type(type);
    if (elements->whole.kind == SPACE_MASKED)
        elements->whole.kind = SPACE_DENSE;
    elements->rows = space_rows(&program->geometry, &elements->whole);
    elements->channels = type_channels(program, type);
    elements->walk = kernel_run_walk(&elements->run, &elements->space, NULL);
}

/* Where the current row begins in dense x mask form. */
static int64_t row_begin(const Elements *elements) {
    const Row *row = &elements->walk.row;
    int64_t place = kernel_run_row_at(&elements->run, &elements->whole, row->image, row->position);
    return (row->image * elements->rows + place) * elements->channels;
}

Tensor kernel_interpreter_read(const KernelInterpreter *interpreter, Arena *arena, const View *view,
                               const Type *type) {
    if (view->buffer < 0 || !interpreter->buffers[view->buffer])
        return (Tensor){.type = *type};
    Elements e;
    begin_elements(&e, interpreter, arena, type);
    size_t count =
        (size_t)(e.rows * space_images(&interpreter->program->geometry, &e.space) * e.channels);
    Tensor tensor = {*type, count, arena_new_array(arena, double, count)};
    while (kernel_run_next(&e.walk)) {
        double *row = tensor.data + row_begin(&e);
        for (int64_t c = 0; c < e.channels; c++)
            row[c] = kernel_run_load(&e.run, view->buffer,
                                     kernel_run_element(view, e.walk.row.image, e.walk.row.row, c));
    }
    return tensor;
}

void kernel_interpreter_write(KernelInterpreter *interpreter, const View *view, const Type *type,
                              const double *data) {
    Elements e;
    begin_elements(&e, interpreter, NULL, type);
    while (kernel_run_next(&e.walk)) {
        const double *row = data + row_begin(&e);
        for (int64_t c = 0; c < e.channels; c++)
            kernel_run_store(&e.run, view->buffer,
                             kernel_run_element(view, e.walk.row.image, e.walk.row.row, c), row[c]);
    }
    interpreter->given[view->buffer] = true;
}

Status kernel_interpreter_set_map(KernelInterpreter *interpreter, Arena *arena, const char *name,
                                  const Type *type, const double *data, size_t count) {
    const Program *program = interpreter->program;
    int buffer = kernel_find_buffer(program, REGION_INPUTS, name);
    int64_t elements = type->batch * type_positions(type) * type->channels;
    if (buffer < 0 || type->form != FORM_MASKED)
        return kernel_interpreter_set_input(interpreter, arena, name, data, count);
    if (count != (size_t)elements)
        return status_failure(arena, "input \"%s\" has %lld elements, got %zu", name,
                              (long long)elements, count);
    if (program->cells < 0 || !interpreter->given[program->cells])
        return status_failure(arena, "input \"%s\" is masked: set the cells before", name);
    View view = kernel_interpreter_whole_view(program, buffer, type);
    kernel_interpreter_write(interpreter, &view, type, data);
    return STATUS_FINE;
}

Tensor kernel_interpreter_param(const KernelInterpreter *interpreter, Arena *arena,
                                const char *segment) {
    const Segment *found = find_segment(interpreter->program, segment);
    int buffer = params_buffer(interpreter->program);
    if (!found || buffer < 0)
        return (Tensor){0};
    View view = {.buffer = buffer, .base = found->offset, .channel_stride = 1};
    return kernel_interpreter_read(interpreter, arena, &view, &found->type);
}

Tensor kernel_interpreter_state(const KernelInterpreter *interpreter, Arena *arena,
                                const char *name) {
    const StateSlot *found = find_state(interpreter->program, name);
    int buffer = kernel_find_buffer(interpreter->program, REGION_STATE, name);
    if (!found || buffer < 0)
        return (Tensor){0};
    View view = kernel_interpreter_whole_view(interpreter->program, buffer, &found->type);
    return kernel_interpreter_read(interpreter, arena, &view, &found->type);
}

Tensor kernel_interpreter_output(const KernelInterpreter *interpreter, Arena *arena,
                                 const char *name, const Type *type) {
    int buffer = kernel_find_buffer(interpreter->program, REGION_OUTPUTS, name);
    if (buffer < 0)
        return (Tensor){.type = *type};
    View view = kernel_interpreter_whole_view(interpreter->program, buffer, type);
    return kernel_interpreter_read(interpreter, arena, &view, type);
}
