#include "passes/store_prologues.h"

#include <string.h>

static bool is_repeated(const Kernel *kernel) {
    bool contraction = kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT;
    return contraction && kernel->contraction.prologue && kernel->contraction.taps.tap_count > 1;
}

static bool is_taken(const Program *program, const char *name) {
    for (size_t i = 0; i < program->kernels.count; i++)
        if (strcmp(program->kernels.items[i]->name, name) == 0)
            return true;
    return kernel_find_buffer(program, REGION_SCRATCH, name) >= 0;
}

/* For what a kernel reads. */
static const char *new_name(const Program *program, const Kernel *kernel) {
    const char *name = arena_format(program->arena, "%s.rows", kernel->name);
    while (is_taken(program, name))
        name = arena_format(program->arena, "%s'", name);
    return name;
}

/* A buffer for rows of the map, and the view of it. */
static View add_rows(Program *program, const Kernel *map) {
    const Geometry *geometry = &program->geometry;
    int64_t rows = space_rows(geometry, &map->space), images = space_images(geometry, &map->space);
    Buffer buffer = {.name = map->name,
                     .region = REGION_SCRATCH,
                     .dtype = DTYPE_F32,
                     .elements = images * rows * map->channels,
                     .offset = -1};
    vector_push(program->arena, &program->buffers, buffer);
    return (View){.buffer = (int)program->buffers.count - 1,
                  .image_stride = rows * map->channels,
                  .row_stride = map->channels,
                  .channel_stride = 1};
}

static Kernel *take_prologue(Program *program, Kernel *kernel) {
    Kernel *map = arena_new(program->arena, Kernel);
    *map = kernel_prologue(kernel);
    map->name = new_name(program, kernel);
    map->outputs[map->output_count++] = add_rows(program, map);
    kernel->contraction.a = map->outputs[0];
    kernel->contraction.prologue = NULL;
    kernel->contraction.prologue_operand_count = 0;
    kernel->contraction.prologue_operands = NULL;
    return map;
}

int store_prologues(Program *program) {
    Program made = {.arena = program->arena};
    int taken = 0;
    for (size_t k = 0; k < program->kernels.count; k++) {
        Kernel *kernel = program->kernels.items[k];
        if (is_repeated(kernel)) {
            vector_push(program->arena, &made.kernels, take_prologue(program, kernel));
            taken++;
        }
        vector_push(program->arena, &made.kernels, kernel);
    }
    program->kernels = made.kernels;
    return taken;
}
