/* The picture of a pattern that vanishes under dense convolution and stays under ours. */
#ifndef SPARKC_TOOLS_INSPECT_MASK_PICTURE_H
#define SPARKC_TOOLS_INSPECT_MASK_PICTURE_H

#include "runtime/data/image.h"
#include "tools/inspect/activity.h"

/* The colours of positions: visible, hidden, and hidden but filled by dense convolution. */
extern const uint8_t mask_picture_visible[3], mask_picture_hidden[3], mask_picture_filled[3];

/* Two rows of tiles as large as the picture, or the nearest size by which the longer side has from
 * 128 to 512 pixels; positions are squares of one colour (nearest neighbour).
 *
 *     picture         mask, image   dense, largest feature   ...
 *     masked picture  mask, image   ours, largest feature    ...
 *
 * `maps` as from activity_of, of a network with two directions; `picture` is RGB and as large as
 * maps[0]. Fails if the result is too large. */
Status mask_picture_draw(Arena *arena, const ActivityMap *maps, size_t count, const Image *picture,
                         Image *canvas);

/* The picture at `path` (JPEG or PNG) as RGB: the largest centred part of the ratio wanted,
 * resized. NULL: a small landscape is drawn. Fails beyond 2^27 pixels, or if the file cannot be
 * decoded. */
Status mask_picture_read(Arena *arena, const char *path, int64_t width, int64_t height,
                         Image *picture);

#endif
