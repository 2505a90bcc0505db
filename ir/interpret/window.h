/* Windows over spaces of one to three directions. Spaces of fewer directions are treated as three
 * with leading extents of 1, so that loops have one form. Private to ir/interpret. */
#ifndef SPARKC_IR_INTERPRET_WINDOW_H
#define SPARKC_IR_INTERPRET_WINDOW_H

#include "ir/graph.h"

enum { SPACE = TYPE_MAX_SPACE };

typedef struct Extents {
    int64_t extent[SPACE];
} Extents;

/* The extents of a dense or masked type, 1 x 1 of a per_image one; the product of extents. */
Extents window_space(const Type *type);
int64_t window_positions(const Extents *space);

typedef struct MapWindow {
    Extents kernel, stride, pad, dilation;
} MapWindow;

/* The window that a node's attributes describe; dilation is 1 if the op has none. */
MapWindow window_of(const Node *node);

/* An `ints` attribute as a space, with `missing` in the leading directions; all `missing` if the op
 * does not have it. */
Extents window_ints(const Node *node, const char *name, int64_t missing);

/* Which position of the large map a tap of the window at a position of the small map falls on, or
 * -1 outside: entry [tap][small position], positions and taps row-major. On the heap, freed by the
 * caller. */
int64_t *window_table(const MapWindow *window, const Extents *large, const Extents *small);

/* The place of a row-major number in a space. */
Extents window_place(const Extents *space, int64_t number);

#endif
