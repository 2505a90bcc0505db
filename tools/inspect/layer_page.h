/* A network as one page: its layers, to open and close, and where its buffers lie. */
#ifndef SPARKC_TOOLS_INSPECT_LAYER_PAGE_H
#define SPARKC_TOOLS_INSPECT_LAYER_PAGE_H

#include "tools/inspect/profile.h"
#include "tools/inspect/stages.h"

/* The page of a planned program; the graph that it was made of, if it is there, tells the types.
 * `profile` may be NULL. It needs nothing beside itself and has no scripts. */
char *layer_page(Arena *arena, const Staged *staged, const Profile *profile);

#endif
