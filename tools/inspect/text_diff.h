/* The difference of two texts, by the system's diff. */
#ifndef SPARKC_TOOLS_INSPECT_TEXT_DIFF_H
#define SPARKC_TOOLS_INSPECT_TEXT_DIFF_H

#include "base/status.h"

/* One side of a difference. */
typedef struct DiffSide {
    const char *label, *text;
} DiffSide;

/* Prints a unified difference to standard output, in colours if wanted, with `heading` (a regular
 * expression of grep's, or NULL) for the lines that say where a hunk is. Nothing for equal texts.
 * Fails if the program diff cannot be run. */
Status text_diff_print(Arena *arena, DiffSide from, DiffSide to, const char *heading, bool color);

#endif
