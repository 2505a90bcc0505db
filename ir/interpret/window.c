#include "ir/interpret/window.h"

#include <stdlib.h>

#include "base/fatal.h"

Extents window_space(const Type *type) {
    invariant(type_has_space(type) || type->form == FORM_PER_IMAGE, "a window needs a map");
    Extents space = {{1, 1, 1}};
    for (int d = 0; d < type->rank; d++)
        space.extent[SPACE - type->rank + d] = type->extent[d];
    return space;
}

int64_t window_positions(const Extents *space) {
    return space->extent[0] * space->extent[1] * space->extent[2];
}

Extents window_ints(const Node *node, const char *name, int64_t missing) {
    Extents space = {{missing, missing, missing}};
    if (op_attribute_index(node->op, name) < 0)
        return space;
    int count;
    const int64_t *values = node_ints(node, name, &count);
    for (int d = 0; d < count; d++)
        space.extent[SPACE - count + d] = values[d];
    return space;
}

MapWindow window_of(const Node *node) {
    return (MapWindow){.kernel = window_ints(node, "kernel", 1),
                       .stride = window_ints(node, "stride", 1),
                       .pad = window_ints(node, "pad", 0),
                       .dilation = window_ints(node, "dilation", 1)};
}

Extents window_place(const Extents *space, int64_t number) {
    Extents place;
    for (int d = SPACE - 1; d >= 0; d--) {
        place.extent[d] = number % space->extent[d];
        number /= space->extent[d];
    }
    return place;
}

static int64_t reach(const MapWindow *window, const Extents *large, const Extents *small,
                     int64_t tap, int64_t position) {
    Extents offset = window_place(&window->kernel, tap), place = window_place(small, position);
    int64_t result = 0;
    for (int d = 0; d < SPACE; d++) {
        int64_t at = place.extent[d] * window->stride.extent[d] - window->pad.extent[d] +
                     offset.extent[d] * window->dilation.extent[d];
        if (at < 0 || at >= large->extent[d])
            return -1;
        result = result * large->extent[d] + at;
    }
    return result;
}

int64_t *window_table(const MapWindow *window, const Extents *large, const Extents *small) {
    int64_t taps = window_positions(&window->kernel), positions = window_positions(small);
    int64_t *table = calloc((size_t)(taps * positions), sizeof *table);
    if (!table)
        fatal("out of memory (the taps of a window in the interpreter)");
    for (int64_t tap = 0; tap < taps; tap++)
        for (int64_t position = 0; position < positions; position++)
            table[tap * positions + position] = reach(window, large, small, tap, position);
    return table;
}
