/* When the buffers of a program are alive: what memory is planned by, and what the verifier
 * compares plans with. */
#ifndef SPARKC_IR_KERNEL_LIVES_H
#define SPARKC_IR_KERNEL_LIVES_H

#include "ir/kernel.h"

/* Elements [begin, end) of a buffer, from the first kernel that touches them to the last. */
typedef struct BufferLife {
    int buffer;
    int64_t begin, end;
    int64_t first, last;
} BufferLife;

typedef struct BufferLives {
    BufferLife *items; /* by buffer, then by element */
    size_t count;
} BufferLives;

/* The lives of all buffers that a kernel of a verified program touches. A buffer has one, of all
 * its elements, unless its kernels write stretches of it that lie apart, as those of a flat
 * gradient do: then each of these has its own, and what lies between them is not used. */
BufferLives kernel_lives(const Program *program, Arena *arena);

/* Whether kernel `kernel` can write buffer `after` where it reads buffer `before`: it only reads
 * the one and only writes the other, element upon element of equal size. */
bool kernel_in_place(const Program *program, int64_t kernel, int before, int after);

#endif
