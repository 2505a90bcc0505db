/* Which cells of each image are visible. */
#ifndef SPARKC_RUNTIME_TRAIN_MASK_H
#define SPARKC_RUNTIME_TRAIN_MASK_H

#include <stdint.h>

#include "base/status.h"

/* Masks draw from a stream that a layer may have as well; so a training's masks have a seed of their
 * own: the training's exclusive-or this. */
enum { MASK_SEED = 0x5eed };

/* Draws `keep` of `cells` cells for each of `batch` images, uniformly, into list[batch][keep],
 * ascending: a function of (seed, step, image number, cells, keep) alone. 1 <= keep <= cells. */
void mask_draw(uint32_t seed, uint32_t step, int64_t batch, int64_t cells, int64_t keep,
               int32_t *list);

enum { MASK_MOST_CELLS = 1 << 20 }; /* of a mask from a file */

/* A mask from a text file: a line per row of cells, `#` or `1` for a visible cell, `.` or `0` for a
 * hidden one; blanks, line ends of DOS and empty lines are ignored. */
typedef struct MaskFile {
    int64_t rows, columns, keep;
    int32_t *list; /* [keep]: the visible cells, row by row, ascending; in the arena */
} MaskFile;

/* Fails, naming the file and, where there is one, the line: on any other character, on rows of
 * different lengths, without a visible or without a hidden cell, and beyond MASK_MOST_CELLS. The
 * message shows the file's name and the character as they are; whoever prints it escapes it. */
Status mask_read(Arena *arena, const char *path, MaskFile *mask);

#endif
