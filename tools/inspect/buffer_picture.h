/* The plan of a program's memory as a picture. */
#ifndef SPARKC_TOOLS_INSPECT_BUFFER_PICTURE_H
#define SPARKC_TOOLS_INSPECT_BUFFER_PICTURE_H

#include "base/text.h"
#include "ir/kernel.h"

/* Appends an SVG of the scratch region: to the right the kernels in the order they run, upwards the
 * addresses; a rectangle is a buffer, or a part of it, from its first kernel to its last, of the
 * class buffer-0 to buffer-5 by the first label of its name. Nothing if the program has no scratch.
 */
void buffer_picture(Text *page, const Program *program);

enum { BUFFER_PICTURE_CLASSES = 6 };

#endif
