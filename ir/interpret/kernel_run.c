#include "ir/interpret/kernel_run.h"

#include <math.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/interpret/kernel_interpret.h"

/* ---- Elements -------------------------------------------------------------------------------- */

static uint16_t bf16_from_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value))
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static float float_from_bf16(uint16_t value) {
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

double kernel_run_round_to_bf16(double value) {
    return (double)float_from_bf16(bf16_from_float((float)value));
}

static const Buffer *checked_buffer(const Run *run, int buffer, int64_t element) {
    invariant(buffer >= 0 && (size_t)buffer < run->program->buffers.count,
              "kernel %s reads or writes buffer %d", run->kernel->name, buffer);
    const Buffer *info = &run->program->buffers.items[buffer];
    invariant(element >= 0 && element < info->elements && run->buffers[buffer],
              "kernel %s reads or writes element %lld of %s, which has %lld", run->kernel->name,
              (long long)element, info->name, (long long)info->elements);
    return info;
}

double kernel_run_load(const Run *run, int buffer, int64_t element) {
    const Buffer *info = checked_buffer(run, buffer, element);
    return kernel_interpreter_element(run->buffers[buffer], info->dtype, element);
}

double kernel_interpreter_element(const void *bytes, DType dtype, int64_t element) {
    switch (dtype) {
    case DTYPE_F32:
        return (double)((const float *)bytes)[element];
    case DTYPE_BF16:
        return (double)float_from_bf16(((const uint16_t *)bytes)[element]);
    case DTYPE_I32:
        return (double)((const int32_t *)bytes)[element];
    default:
        return (double)((const uint32_t *)bytes)[element];
    }
}

void kernel_run_store(const Run *run, int buffer, int64_t element, double value) {
    const Buffer *info = checked_buffer(run, buffer, element);
    void *bytes = run->buffers[buffer];
    switch (info->dtype) {
    case DTYPE_F32:
        ((float *)bytes)[element] = (float)value;
        break;
    case DTYPE_BF16:
        ((uint16_t *)bytes)[element] = bf16_from_float((float)value);
        break;
    case DTYPE_I32:
        ((int32_t *)bytes)[element] = (int32_t)(int64_t)value;
        break;
    default:
        ((uint32_t *)bytes)[element] = (uint32_t)(int64_t)value;
        break;
    }
}

int64_t kernel_run_element(const View *view, int64_t image, int64_t row, int64_t channel) {
    return view->base + image * view->image_stride + row * view->row_stride +
           channel * view->channel_stride;
}

double *kernel_run_numbers(const Run *run, int64_t count) {
    return arena_new_array(run->arena, double, (size_t)count);
}

/* ---- Rows and positions ---------------------------------------------------------------------- */

/* The place of `index` in a row-major array of the given extents. */
static void unravel(int64_t index, const int64_t *extents, int rank, int64_t *place) {
    for (int d = rank - 1; d >= 0; d--) {
        place[d] = index % extents[d];
        index /= extents[d];
    }
}

static int64_t ravel(const int64_t *place, const int64_t *extents, int rank) {
    int64_t index = 0;
    for (int d = 0; d < rank; d++)
        index = index * extents[d] + place[d];
    return index;
}

/* The position of a packed row: that of its cell, then row-major inside. */
static void masked_position(const Run *run, const Space *space, Row *row) {
    const Geometry *geometry = &run->program->geometry;
    int64_t side = kernel_cell_side(geometry, space), area = 1;
    int64_t sides[TYPE_MAX_SPACE], grid[TYPE_MAX_SPACE], cell_place[TYPE_MAX_SPACE];
    for (int d = 0; d < space->rank; d++) {
        sides[d] = side;
        grid[d] = space->extent[d] / side;
        area *= side;
    }
    int64_t entry = row->image * geometry->keep + row->row / area;
    int64_t cell = (int64_t)kernel_run_load(run, run->program->cells, entry);
    unravel(cell, grid, space->rank, cell_place);
    unravel(row->row % area, sides, space->rank, row->position);
    for (int d = 0; d < space->rank; d++)
        row->position[d] += cell_place[d] * side;
}

static void find_position(const Run *run, const Space *space, Row *row) {
    if (space->kind == SPACE_DENSE)
        unravel(row->row, space->extent, space->rank, row->position);
    else if (space->kind == SPACE_MASKED)
        masked_position(run, space, row);
}

Walk kernel_run_walk(const Run *run, const Space *space, const TapSet *taps) {
    const Geometry *geometry = &run->program->geometry;
    Walk walk = {.run = run, .space = space, .taps = taps, .rows = space_rows(geometry, space)};
    walk.count = walk.rows * space_images(geometry, space);
    return walk;
}

static bool in_phase(const Walk *walk) {
    const TapSet *taps = walk->taps;
    for (int d = 0; taps && d < walk->space->rank; d++)
        if (walk->row.position[d] % taps->step[d] != taps->phase[d])
            return false;
    return true;
}

bool kernel_run_next(Walk *walk) {
    while (walk->next < walk->count) {
        walk->row.image = walk->next / walk->rows;
        walk->row.row = walk->next % walk->rows;
        walk->next++;
        find_position(walk->run, walk->space, &walk->row);
        if (in_phase(walk))
            return true;
    }
    return false;
}

static int64_t mapped_row(const Run *run, const Level *level, int64_t image,
                          const int64_t *position) {
    int64_t place[TYPE_MAX_SPACE], extents[TYPE_MAX_SPACE], element = image;
    invariant(level, "kernel %s reads a masked space that has no level", run->kernel->name);
    for (int d = 0; d < level->space.rank; d++) {
        place[d] = position[d] + level->border[d];
        extents[d] = level->space.extent[d] + 2 * level->border[d];
        invariant(place[d] >= 0 && place[d] < extents[d],
                  "kernel %s looks up position %lld, beyond the border of its level",
                  run->kernel->name, (long long)position[d]);
        element *= extents[d];
    }
    element += ravel(place, extents, level->space.rank);
    return (int64_t)kernel_run_load(run, level->buffer, element);
}

int64_t kernel_run_row_at(const Run *run, const Space *space, int64_t image,
                          const int64_t *position) {
    if (space->kind == SPACE_MASKED)
        return mapped_row(run, kernel_find_level(run->program, space), image, position);
    if (space->kind != SPACE_DENSE)
        return 0;
    for (int d = 0; d < space->rank; d++)
        if (position[d] < 0 || position[d] >= space->extent[d])
            return KERNEL_OUTSIDE;
    return ravel(position, space->extent, space->rank);
}

int64_t kernel_run_tap_row(const Run *run, const TapSet *taps, const Tap *tap, const Row *row) {
    int64_t position[TYPE_MAX_SPACE] = {0};
    for (int d = 0; d < taps->source.rank; d++)
        position[d] = row->position[d] / taps->step[d] * taps->scale[d] + tap->offset[d];
    return kernel_run_row_at(run, &taps->source, row->image, position);
}

/* ---- Evaluation ------------------------------------------------------------------------------ */

Evaluation kernel_run_evaluation(const Run *run, const Expression *expression, const Space *space,
                                 int64_t channels, const Access *accesses, int count) {
    Evaluation evaluation = {.run = run,
                             .expression = expression,
                             .space = space,
                             .channels = channels,
                             .accesses = accesses,
                             .access_count = count};
    evaluation.results = arena_new_array(run->arena, Scalar, (size_t)expression->instruction_count);
    return evaluation;
}

Evaluation kernel_run_own_evaluation(const Run *run) {
    const Kernel *kernel = run->kernel;
    return kernel_run_evaluation(run, kernel->expression, &kernel->space, kernel->channels,
                                 kernel->operands, kernel->operand_count);
}

int64_t kernel_run_segment(const Program *program, int64_t element) {
    int64_t low = 0, high = (int64_t)program->segments.count - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (program->segments.items[middle].offset <= element)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static int64_t accessed_channel(const Access *access, int64_t channel, int64_t channels) {
    int64_t parameter = access->channel_parameter;
    switch (access->channel) {
    case CHANNEL_FIRST:
        return 0;
    case CHANNEL_REPEAT:
        return channel / parameter;
    case CHANNEL_SHUFFLE:
        return channel % parameter * (channels / parameter) + channel / parameter;
    default:
        return channel;
    }
}

/* The row that POSITION reads. */
static int64_t row_at_position(const Run *run, const Access *access, const Row *row) {
    int64_t position[TYPE_MAX_SPACE] = {0};
    for (int d = 0; d < access->source.rank; d++)
        position[d] = row->position[d] / access->divide[d];
    return kernel_run_row_at(run, &access->source, row->image, position);
}

/* The element that an access reads; -1: none (hidden or outside). */
static int64_t accessed_element(const Evaluation *evaluation, const Access *access, const Row *row,
                                int64_t channel) {
    const View *view = &access->view;
    int64_t from = accessed_channel(access, channel, evaluation->channels), source_row;
    switch (access->kind) {
    case ACCESS_ELEMENT:
        return kernel_run_element(view, row->image, row->row, from);
    case ACCESS_IMAGE:
        return kernel_run_element(view, row->image, 0, from);
    case ACCESS_ONE:
        return kernel_run_element(view, 0, 0, from);
    case ACCESS_SEGMENT:
        return kernel_run_element(view, 0, 0,
                                  kernel_run_segment(evaluation->run->program, channel));
    default:
        source_row = row_at_position(evaluation->run, access, row);
        return source_row < 0 ? -1 : kernel_run_element(view, row->image, source_row, from);
    }
}

static Scalar scalar_of(DType dtype, double value) {
    if (dtype == DTYPE_F32 || dtype == DTYPE_BF16)
        return (Scalar){.f = (float)value};
    return (Scalar){.u = (uint32_t)(int64_t)value};
}

static ScalarOperand load_operand(const Evaluation *evaluation, const Access *access,
                                  const Row *row, int64_t channel) {
    ScalarOperand operand = {0};
    int64_t element = accessed_element(evaluation, access, row, channel);
    operand.visible = element >= 0;
    int buffer = access->view.buffer;
    if (operand.visible && buffer >= 0)
        operand.value = scalar_of(evaluation->run->program->buffers.items[buffer].dtype,
                                  kernel_run_load(evaluation->run, buffer, element));
    return operand;
}

/* The place of an element in the value as if nothing were masked, row-major. */
static uint64_t element_index(const Evaluation *evaluation, const Row *row, int64_t channel) {
    const Space *space = evaluation->space;
    int64_t positions = 1, place = 0;
    for (int d = 0; d < space->rank; d++)
        positions *= space->extent[d];
    if (space_has_positions(space))
        place = ravel(row->position, space->extent, space->rank);
    return (uint64_t)((row->image * positions + place) * evaluation->channels + channel);
}

void kernel_run_evaluate(Evaluation *evaluation, const Row *row, int64_t channel,
                         int first_operand) {
    for (int i = 0; i < evaluation->access_count; i++)
        evaluation->operands[first_operand + i] =
            load_operand(evaluation, &evaluation->accesses[i], row, channel);
    kernel_scalar_evaluate(evaluation->expression, evaluation->operands,
                           element_index(evaluation, row, channel), evaluation->results);
}

double kernel_run_value(const Evaluation *evaluation, int index) {
    Scalar value = evaluation->results[evaluation->expression->values[index]];
    return expression_value_kind(evaluation->expression, index) == 'f' ? (double)value.f
                                                                       : (double)value.u;
}

void kernel_run_finish(Evaluation *evaluation, const Row *row, int64_t channel, double acc) {
    const Run *run = evaluation->run;
    evaluation->operands[evaluation->access_count].value.f = (float)acc;
    kernel_run_evaluate(evaluation, row, channel, 0);
    for (int i = 0; i < run->kernel->output_count; i++) {
        const View *output = &run->kernel->outputs[i];
        kernel_run_store(run, output->buffer,
                         kernel_run_element(output, row->image, row->row, channel),
                         kernel_run_value(evaluation, i));
    }
}

double *kernel_run_matrix(const Run *run, const Space *space, const View *view, int64_t channels) {
    Walk walk = kernel_run_walk(run, space, NULL);
    double *matrix = kernel_run_numbers(run, walk.count * channels), *next = matrix;
    while (kernel_run_next(&walk))
        for (int64_t c = 0; c < channels; c++)
            *next++ = kernel_run_load(run, view->buffer,
                                      kernel_run_element(view, walk.row.image, walk.row.row, c));
    return matrix;
}
