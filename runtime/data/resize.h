/* Bicubic resizing with antialiasing, bit for bit as PIL's Image.crop(box).resize(size, BICUBIC)
 * does it for 8-bit grey and RGB. (Four channels are resized each on its own; PIL multiplies
 * colours by alpha first.) */
#ifndef SPARKC_RUNTIME_DATA_RESIZE_H
#define SPARKC_RUNTIME_DATA_RESIZE_H

#include "runtime/data/image.h"

/* A part of a picture, in pixels; nothing outside it is read. */
typedef struct ResizeBox {
    int x, y, width, height;
} ResizeBox;

/* The box of a picture as width x height pixels, in `arena`. The box lies within the picture, and
 * no side is 0.
 *
 * Keys' cubic convolution with a = -0.5; where the picture shrinks, the kernel is stretched by the
 * factor. Rows first, rounded to 8 bits, then columns; weights have 22 fraction bits. */
Image resize_bicubic(Arena *arena, const Image *image, ResizeBox box, int width, int height);

#endif
