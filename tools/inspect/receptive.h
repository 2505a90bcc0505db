/* How much of the picture each value of a network can see. */
#ifndef SPARKC_TOOLS_INSPECT_RECEPTIVE_H
#define SPARKC_TOOLS_INSPECT_RECEPTIVE_H

#include "ir/graph.h"

typedef struct ReceptiveField {
    int64_t extent[TYPE_MAX_SPACE]; /* pixels in each direction; never more than the image has */
    bool whole_image;               /* a mean over the image is on the way */
} ReceptiveField;

typedef struct ReceptiveEntry {
    const char *name; /* of the value */
    ReceptiveField field;
} ReceptiveEntry;

/* The fields of the results of all nodes, in the order of the graph, whose scratch marks it uses.
 */
const ReceptiveEntry *receptive_fields(Graph *graph, Arena *arena, size_t *count);

#endif
