#include "ir/kernel_footprint.h"

#include <string.h>

#include "base/fatal.h"
#include "base/integer.h"
#include "ir/kernel_names.h"

typedef struct Footprints {
    const Program *program;
    const Kernel *kernel;
    Footprint *items;
    int count;
} Footprints;

static Footprint *add(Footprints *footprints, int buffer, bool write, const char *what,
                      int number) {
    invariant(footprints->count < FOOTPRINT_MAX, "kernel %s touches too many buffers",
              footprints->kernel->name);
    Footprint *footprint = &footprints->items[footprints->count++];
    *footprint = (Footprint){.buffer = buffer, .write = write, .what = what, .number = number};
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++)
        footprint->count[d] = 1;
    return footprint;
}

/* Images x rows x channels through a view. */
static Footprint *add_view(Footprints *footprints, const View *view, const int64_t *counts,
                           bool write, const char *what, int number) {
    Footprint *footprint = add(footprints, view->buffer, write, what, number);
    const int64_t strides[3] = {view->image_stride, view->row_stride, view->channel_stride};
    footprint->base = view->base;
    for (int d = 0; d < 3; d++) {
        footprint->count[d] = counts[d];
        footprint->stride[d] = strides[d];
    }
    return footprint;
}

/* All rows of a space through a view. */
static Footprint *add_rows(Footprints *footprints, const Space *space, const View *view,
                           int64_t channels, bool write, const char *what, int number) {
    const Geometry *geometry = &footprints->program->geometry;
    const int64_t counts[3] = {space_images(geometry, space), space_rows(geometry, space),
                               channels};
    return add_view(footprints, view, counts, write, what, number);
}

static void add_whole(Footprints *footprints, int buffer, bool write, const char *what) {
    Footprint *footprint = add(footprints, buffer, write, what, -1);
    footprint->count[0] = footprints->program->buffers.items[buffer].elements;
    footprint->stride[0] = 1;
}

/* Rows of a masked space are found through the cell list, its positions through the map. */
static void add_space(Footprints *footprints, const Space *space, bool by_position) {
    if (space->kind != SPACE_MASKED)
        return;
    const Level *level = kernel_find_level(footprints->program, space);
    add_whole(footprints, footprints->program->cells, false, "the cell list");
    if (by_position && level)
        add_whole(footprints, level->buffer, false, "the position map");
}

static int64_t accessed_channels(const Access *access, int64_t channels) {
    switch (access->channel) {
    case CHANNEL_FIRST:
        return 1;
    case CHANNEL_REPEAT:
        return (channels - 1) / access->channel_parameter + 1;
    default:
        return channels;
    }
}

static void add_access(Footprints *footprints, const Access *access, const Space *space,
                       int64_t channels, const char *what, int number) {
    const Program *program = footprints->program;
    int64_t read = accessed_channels(access, channels);
    const int64_t images[3] = {space_images(&program->geometry, space), 1, read};
    const int64_t one[3] = {1, 1, read};
    const int64_t segments[3] = {1, 1, (int64_t)program->segments.count};
    if (access->kind == ACCESS_POSITION)
        add_space(footprints, &access->source, true);
    if (access->view.buffer < 0)
        return;
    switch (access->kind) {
    case ACCESS_ELEMENT:
        add_rows(footprints, space, &access->view, read, false, what, number)->same_element =
            access->channel == CHANNEL_SAME;
        break;
    case ACCESS_IMAGE:
        add_view(footprints, &access->view, images, false, what, number);
        break;
    case ACCESS_ONE:
        add_view(footprints, &access->view, one, false, what, number);
        break;
    case ACCESS_SEGMENT:
        add_view(footprints, &access->view, segments, false, what, number);
        break;
    case ACCESS_POSITION:
        add_rows(footprints, &access->source, &access->view, read, false, what, number)->most =
            type_multiply(type_multiply(images[0], space_rows(&program->geometry, space)), read);
        break;
    }
}

static int64_t weight_taps(const TapSet *taps) {
    int64_t highest = 0;
    for (int t = 0; t < taps->tap_count; t++)
        highest = taps->taps[t].weight > highest ? taps->taps[t].weight : highest;
    return highest + 1;
}

static void add_weight(Footprints *footprints, const WeightView *weight, const int64_t *counts,
                       bool write) {
    Footprint *footprint = add(footprints, weight->buffer, write, "the weight", -1);
    const int64_t strides[4] = {weight->tap_stride, weight->group_stride, weight->in_stride,
                                weight->out_stride};
    footprint->base = weight->base;
    for (int d = 0; d < 4; d++) {
        footprint->count[d] = counts[d];
        footprint->stride[d] = strides[d];
    }
}

static void add_contraction(Footprints *footprints) {
    const Kernel *kernel = footprints->kernel;
    const Contraction *contraction = &kernel->contraction;
    const Space *source = &contraction->taps.source;
    int64_t groups = contraction->groups;
    bool gradient = kernel->kind == KERNEL_CONTRACT_WEIGHT;
    int before = footprints->count;
    for (int i = 0; i < contraction->prologue_operand_count; i++)
        add_access(footprints, &contraction->prologue_operands[i], source, contraction->in,
                   "prologue operand", i);
    for (int i = before; i < footprints->count; i++) /* at the taps, not where the result is */
        footprints->items[i].same_element = false;
    add_rows(footprints, source, &contraction->a, contraction->in, false, "a", -1);
    if (gradient)
        add_rows(footprints, &kernel->space, &contraction->b, contraction->out, false, "b", -1);
    if (contraction->taps.tap_count == 0)
        return;
    const int64_t counts[4] = {weight_taps(&contraction->taps), groups, contraction->in / groups,
                               contraction->out / groups};
    add_weight(footprints, &contraction->weight, counts, gradient);
}

static void add_window(Footprints *footprints) {
    const Kernel *kernel = footprints->kernel;
    const Window *window = &kernel->window;
    const int64_t counts[4] = {weight_taps(&window->taps), 1, 1, kernel->channels};
    add_rows(footprints, &window->taps.source, &window->a, kernel->channels, false, "a", -1);
    if (kernel_window_has_b(window->kind))
        add_rows(footprints, kernel_window_b_space(kernel), &window->b, kernel->channels, false,
                 "b", -1);
    if (kernel_window_has_weight(window->kind) && window->taps.tap_count > 0)
        add_weight(footprints, &window->weight, counts, window->kind == WINDOW_WEIGHT_GRAD);
}

ReductionShape kernel_reduction_shape(const Program *program, const Kernel *kernel) {
    const Geometry *geometry = &program->geometry;
    int64_t images = space_images(geometry, &kernel->space), squares = 1;
    switch (kernel->reduction.over) {
    case OVER_BATCH:
        return (ReductionShape){1, 1, kernel->channels};
    case OVER_IMAGE:
        return (ReductionShape){images, 1, kernel->channels};
    case OVER_ROW:
        return (ReductionShape){images, space_rows(geometry, &kernel->space),
                                kernel->reduction.groups};
    case OVER_CELL:
        for (int d = 0; d < kernel->space.rank; d++)
            squares *= kernel->space.extent[d] / kernel->reduction.patch;
        return (ReductionShape){images, squares, 1};
    case OVER_SEGMENT:
        return (ReductionShape){1, 1, (int64_t)program->segments.count};
    case OVER_ALL:
        break;
    }
    return (ReductionShape){1, 1, 1};
}

static void add_output(Footprints *footprints, int number) {
    const Kernel *kernel = footprints->kernel;
    const View *view = &kernel->outputs[number];
    if (kernel->kind == KERNEL_REDUCE) {
        ReductionShape shape = kernel_reduction_shape(footprints->program, kernel);
        const int64_t counts[3] = {shape.images, shape.rows, shape.channels};
        add_view(footprints, view, counts, true, "output", number);
        return;
    }
    bool to_source = kernel->kind == KERNEL_WINDOW && kernel->window.kind == WINDOW_MAX_GRAD;
    const Space *space = to_source ? &kernel->window.taps.source : &kernel->space;
    Footprint *footprint =
        add_rows(footprints, space, view, kernel->channels, true, "output", number);
    footprint->same_element = !to_source;
    if (to_source)
        return;
    footprint->phase = kernel_taps(kernel);
    footprint->phase_space = footprint->phase ? &kernel->space : NULL;
    int64_t rows = type_multiply(space_images(&footprints->program->geometry, space),
                                 kernel_rows(footprints->program, kernel));
    footprint->most = type_multiply(rows, kernel->channels);
}

int kernel_footprints(const Program *program, const Kernel *kernel,
                      Footprint footprints[FOOTPRINT_MAX]) {
    Footprints found = {program, kernel, footprints, 0};
    if (kernel->kind == KERNEL_POSITION_MAP) {
        add_space(&found, &kernel->space, false);
        add_whole(&found, program->levels.items[kernel->position_map.level].buffer, true,
                  "the position map");
        return found.count;
    }
    add_space(&found, &kernel->space, false);
    if (kernel_taps(kernel))
        add_space(&found, &kernel_taps(kernel)->source, true);
    for (int i = 0; i < kernel->operand_count; i++)
        add_access(&found, &kernel->operands[i], &kernel->space, kernel->channels, "operand", i);
    if (kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT)
        add_contraction(&found);
    if (kernel->kind == KERNEL_WINDOW)
        add_window(&found);
    for (int i = 0; i < kernel->output_count; i++)
        add_output(&found, i);
    return found.count;
}

int kernel_uses(const Program *program, const Kernel *kernel, KernelUse uses[KERNEL_MAX_USES]) {
    Footprint footprints[FOOTPRINT_MAX];
    int touched = kernel_footprints(program, kernel, footprints), count = 0;
    for (int i = 0; i < touched; i++) {
        KernelUse use = {footprints[i].buffer, footprints[i].write};
        bool known = false;
        for (int j = 0; j < count; j++)
            known = known || (uses[j].buffer == use.buffer && uses[j].write == use.write);
        if (!known)
            uses[count++] = use;
    }
    return count;
}

bool footprint_same_box(const Footprint *a, const Footprint *b) {
    return a->base == b->base && memcmp(a->count, b->count, sizeof a->count) == 0 &&
           memcmp(a->stride, b->stride, sizeof a->stride) == 0;
}

static bool is_same(const Footprint *a, const Footprint *b) {
    return a->buffer == b->buffer && a->write == b->write && footprint_same_box(a, b);
}

static int64_t needed_bytes(const Program *program, const Footprint *footprint) {
    const Buffer *buffer = &program->buffers.items[footprint->buffer];
    int64_t elements = 1;
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++)
        if (footprint->stride[d] != 0)
            elements = type_multiply(elements, footprint->count[d]);
    elements = elements < buffer->elements ? elements : buffer->elements;
    if (footprint->most > 0 && footprint->most < elements)
        elements = footprint->most;
    return type_multiply(elements, (int64_t)dtype_size(buffer->dtype));
}

KernelTraffic kernel_traffic(const Program *program, const Kernel *kernel) {
    Footprint footprints[FOOTPRINT_MAX];
    KernelTraffic traffic = {0};
    int count = kernel_footprints(program, kernel, footprints);
    for (int i = 0; i < count; i++) {
        bool known = footprints[i].buffer < 0;
        for (int j = 0; j < i && !known; j++)
            known = is_same(&footprints[i], &footprints[j]);
        if (known)
            continue;
        int64_t *sum = footprints[i].write ? &traffic.written : &traffic.read;
        *sum = integer_add(*sum, needed_bytes(program, &footprints[i]));
    }
    return traffic;
}

bool kernel_row_in_phase(const Geometry *geometry, const Space *space, const TapSet *taps,
                         int64_t row) {
    for (int d = space->rank - 1; d >= 0; d--) {
        int64_t extent =
            space->kind == SPACE_MASKED ? kernel_cell_side(geometry, space) : space->extent[d];
        if (row % extent % taps->step[d] != taps->phase[d])
            return false;
        row /= extent;
    }
    return true;
}
