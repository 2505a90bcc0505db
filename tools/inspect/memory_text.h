/* What fills the memory of a planned program, as text. */
#ifndef SPARKC_TOOLS_INSPECT_MEMORY_TEXT_H
#define SPARKC_TOOLS_INSPECT_MEMORY_TEXT_H

#include "ir/kernel.h"

/* The bytes of each region; the kernel at which most of scratch is alive, and the buffers that are,
 * the largest first, each with the kernels from which and up to which it is needed. Of a buffer
 * that is alive in part (ir/kernel_lives.h) that part counts. */
char *memory_text(Arena *arena, const Program *program);

#endif
