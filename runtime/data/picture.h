/* Pictures that a run writes: tiles of equal size in rows and columns, as PNG. */
#ifndef SPARKC_RUNTIME_DATA_PICTURE_H
#define SPARKC_RUNTIME_DATA_PICTURE_H

#include "runtime/data/image.h"

enum { PICTURE_GAP = 2 }; /* pixels between tiles */

/* A white canvas for rows x columns tiles of width x height pixels. Fails beyond 2^27 pixels. */
Status picture_canvas(Arena *arena, int rows, int columns, int width, int height, int channels,
                      Image *canvas);

/* Puts a tile of the canvas's channels into its place; rows of `tile` follow one another. */
void picture_put(Image *canvas, int row, int column, int width, int height, const uint8_t *tile);

/* Network input back to bytes: round(255 (x deviation + mean)), cut to 0 .. 255; NaN is 0. */
void picture_bytes(const float *values, size_t pixels, int channels, const double *mean,
                   const double *deviation, uint8_t *bytes);

/* Encodes as PNG (grey, RGB or RGB with alpha) into the arena. */
Status picture_encode(Arena *arena, const Image *image, const uint8_t **png, size_t *length);

/* Writes a PNG through a temporary file and a rename. */
Status picture_write(Arena *arena, const Image *image, const char *path);

#endif
