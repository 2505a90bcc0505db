/* map and position_map. */
#include "ir/interpret/kernel_run.h"

void kernel_run_map(const Run *run) {
    Evaluation evaluation = kernel_run_own_evaluation(run);
    for (Walk walk = kernel_run_walk(run, &run->kernel->space, NULL); kernel_run_next(&walk);)
        for (int64_t c = 0; c < run->kernel->channels; c++)
            kernel_run_finish(&evaluation, &walk.row, c, 0);
}

/* The element of a position in a level's map, and how many an image has. */
static int64_t map_element(const Level *level, const int64_t *position, int64_t *per_image) {
    int64_t element = 0;
    *per_image = 1;
    for (int d = 0; d < level->space.rank; d++) {
        int64_t extent = level->space.extent[d] + 2 * level->border[d];
        element = element * extent + position[d] + level->border[d];
        *per_image *= extent;
    }
    return element;
}

void kernel_run_position_map(const Run *run) {
    const Level *level = &run->program->levels.items[run->kernel->position_map.level];
    int64_t per_image;
    const int64_t origin[TYPE_MAX_SPACE] = {0};
    map_element(level, origin, &per_image);
    for (int64_t i = 0; i < per_image * run->program->geometry.batch; i++)
        kernel_run_store(run, level->buffer, i, KERNEL_OUTSIDE);
    Space whole = level->space;
    whole.kind = SPACE_DENSE;
    for (Walk walk = kernel_run_walk(run, &whole, NULL); kernel_run_next(&walk);)
        kernel_run_store(run, level->buffer,
                         walk.row.image * per_image +
                             map_element(level, walk.row.position, &per_image),
                         KERNEL_HIDDEN);
    for (Walk walk = kernel_run_walk(run, &level->space, NULL); kernel_run_next(&walk);)
        kernel_run_store(run, level->buffer,
                         walk.row.image * per_image +
                             map_element(level, walk.row.position, &per_image),
                         (double)walk.row.row);
}
