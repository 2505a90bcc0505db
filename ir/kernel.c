#include "ir/kernel.h"

#include <string.h>

int64_t kernel_cell_side(const Geometry *geometry, const Space *space) {
    return geometry->ratio / space->stride;
}

int64_t space_rows(const Geometry *geometry, const Space *space) {
    int64_t rows = space->kind == SPACE_MASKED ? geometry->keep : 1;
    if (space->kind != SPACE_DENSE && space->kind != SPACE_MASKED)
        return 1;
    for (int d = 0; d < space->rank; d++)
        rows *= space->kind == SPACE_DENSE ? space->extent[d] : kernel_cell_side(geometry, space);
    return rows;
}

int64_t space_images(const Geometry *geometry, const Space *space) {
    return space->kind == SPACE_ONE || space->kind == SPACE_FLAT ? 1 : geometry->batch;
}

bool space_has_positions(const Space *space) {
    return space->kind == SPACE_DENSE || space->kind == SPACE_MASKED;
}

bool space_equal(const Space *a, const Space *b) {
    if (a->kind != b->kind)
        return false;
    if (!space_has_positions(a))
        return true;
    if (a->rank != b->rank || (a->kind == SPACE_MASKED && a->stride != b->stride))
        return false;
    return memcmp(a->extent, b->extent, (size_t)a->rank * sizeof a->extent[0]) == 0;
}

Space space_of_type(const Type *type) {
    static const SpaceKind kinds[] = {
        [FORM_PLAIN] = SPACE_ONE,        [FORM_DENSE] = SPACE_DENSE, [FORM_MASKED] = SPACE_MASKED,
        [FORM_PER_IMAGE] = SPACE_IMAGES, [FORM_FLAT] = SPACE_FLAT,   [FORM_SEGMENTS] = SPACE_ONE,
    };
    Space space = {.kind = kinds[type->form]};
    if (!space_has_positions(&space))
        return space;
    space.rank = type->rank;
    memcpy(space.extent, type->extent, (size_t)type->rank * sizeof space.extent[0]);
    space.stride = type->form == FORM_MASKED ? type->stride : 0;
    return space;
}

const TapSet *kernel_taps(const Kernel *kernel) {
    switch (kernel->kind) {
    case KERNEL_CONTRACT:
    case KERNEL_CONTRACT_WEIGHT:
        return &kernel->contraction.taps;
    case KERNEL_WINDOW:
        return &kernel->window.taps;
    default:
        return NULL;
    }
}

/* Of the positions 0 .. extent - 1, those of a phase. */
static int64_t phase_count(int64_t extent, int64_t step, int64_t phase) {
    return phase < extent ? (extent - phase + step - 1) / step : 0;
}

int64_t kernel_rows(const Program *program, const Kernel *kernel) {
    const Geometry *geometry = &program->geometry;
    const Space *space = &kernel->space;
    const TapSet *taps = kernel_taps(kernel);
    if (!taps || !space_has_positions(space))
        return space_rows(geometry, space);
    bool masked = space->kind == SPACE_MASKED;
    int64_t rows = masked ? geometry->keep : 1;
    for (int d = 0; d < space->rank; d++)
        rows *= phase_count(masked ? kernel_cell_side(geometry, space) : space->extent[d],
                            taps->step[d], taps->phase[d]);
    return rows;
}

bool kernel_taps_direct(const Kernel *kernel) {
    const TapSet *taps = kernel_taps(kernel);
    if (!taps || taps->tap_count != 1 || !space_equal(&taps->source, &kernel->space))
        return false;
    for (int d = 0; d < kernel->space.rank; d++)
        if (taps->step[d] != 1 || taps->phase[d] != 0 || taps->scale[d] != 1 ||
            taps->taps[0].offset[d] != 0)
            return false;
    return true;
}

const Space *kernel_window_b_space(const Kernel *kernel) {
    return kernel->window.kind == WINDOW_MAX_BY ? &kernel->window.taps.source : &kernel->space;
}

bool kernel_has_acc(const Kernel *kernel) {
    return kernel->kind == KERNEL_CONTRACT ||
           (kernel->kind == KERNEL_WINDOW && kernel->window.kind != WINDOW_WEIGHT_GRAD &&
            kernel->window.kind != WINDOW_MAX_GRAD);
}

bool kernel_skips_hidden(const Kernel *kernel) {
    bool weight = kernel->kind == KERNEL_CONTRACT_WEIGHT;
    const Contraction *c = &kernel->contraction;
    if ((kernel->kind != KERNEL_CONTRACT && !weight) || c->taps.source.kind != SPACE_MASKED)
        return false;
    int64_t channels = c->in / c->groups;
    if (weight && channels % KERNEL_SKIP_UNIT != 0)
        return false;
    if (kernel->space.kind == SPACE_DENSE)
        return !c->bf16 || channels >= KERNEL_SKIP_DENSE_BF16;
    return c->taps.tap_count > 1 && (!c->bf16 || channels >= KERNEL_SKIP_MASKED_BF16);
}

/* The most rows of an image at which a tap finds something. */
static int64_t rows_of_tap(const Program *program, const Kernel *kernel) {
    int64_t rows = kernel_rows(program, kernel);
    if (!kernel_skips_hidden(kernel))
        return rows;
    int64_t there = space_rows(&program->geometry, &kernel->contraction.taps.source);
    return there < rows ? there : rows;
}

int64_t kernel_multiply_adds(const Program *program, const Kernel *kernel) {
    int64_t rows = kernel_rows(program, kernel) * space_images(&program->geometry, &kernel->space);
    bool weighted = kernel->kind == KERNEL_WINDOW && (kernel->window.kind == WINDOW_WEIGHTED ||
                                                      kernel->window.kind == WINDOW_WEIGHT_GRAD);
    if (weighted)
        return rows * kernel->window.taps.tap_count * kernel->channels;
    if (kernel->kind != KERNEL_CONTRACT && kernel->kind != KERNEL_CONTRACT_WEIGHT)
        return 0;
    const Contraction *contraction = &kernel->contraction;
    rows = rows_of_tap(program, kernel) * space_images(&program->geometry, &kernel->space);
    return rows * contraction->taps.tap_count * (contraction->in / contraction->groups) *
           contraction->out;
}

int64_t kernel_region_bytes(const Program *program, Region region) {
    int64_t bytes = KERNEL_ALIGNMENT;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        int64_t end = buffer->offset + buffer->elements * (int64_t)dtype_size(buffer->dtype);
        if (buffer->region == region && buffer->offset >= 0 && end > bytes)
            bytes = end;
    }
    return bytes;
}

int kernel_find_buffer(const Program *program, Region region, const char *name) {
    for (size_t i = 0; i < program->buffers.count; i++)
        if (program->buffers.items[i].region == region &&
            strcmp(program->buffers.items[i].name, name) == 0)
            return (int)i;
    return -1;
}

bool kernel_is_segment_column(const char *input) {
    return strcmp(input, KERNEL_COLUMN_DECAYS) == 0 || strcmp(input, KERNEL_COLUMN_LR_SCALE) == 0;
}

const Level *kernel_find_level(const Program *program, const Space *space) {
    for (size_t i = 0; i < program->levels.count; i++)
        if (space_equal(&program->levels.items[i].space, space))
            return &program->levels.items[i];
    return NULL;
}

Kernel kernel_prologue(const Kernel *kernel) {
    const Contraction *contraction = &kernel->contraction;
    Kernel map = {.kind = KERNEL_MAP,
                  .name = kernel->name,
                  .location = kernel->location,
                  .space = contraction->taps.source,
                  .channels = contraction->in,
                  .expression = contraction->prologue};
    map.operands[map.operand_count++] = (Access){.kind = ACCESS_ELEMENT, .view = contraction->a};
    for (int i = 0; i < contraction->prologue_operand_count; i++)
        map.operands[map.operand_count++] = contraction->prologue_operands[i];
    return map;
}
