/* A program of kernels from its text (docs/kernel-ir.md, "The text"). The text may come from
 * anywhere: whatever it holds, the result is a program that verifies (ir/kernel_verify.h), or
 * errors with file:line:column. */
#ifndef SPARKC_IR_KERNEL_PARSE_H
#define SPARKC_IR_KERNEL_PARSE_H

#include "base/diagnostics.h"
#include "ir/kernel.h"

/* Limits of a text, besides those of all IR text (ir/scan.h). */
enum {
    KERNEL_PARSE_MOST_TAPS = 1 << 16, /* of a kernel */
    KERNEL_PARSE_MOST_BUFFERS = 1 << 16,
    KERNEL_PARSE_MOST_KERNELS = 1 << 16
};

/* Reads the program in `text`, which has a zero behind its `length` bytes and outlives the
 * diagnostics; `file` is its name in messages. Everything is allocated from `arena`. NULL after
 * errors. */
Program *kernel_parse(Arena *arena, Diagnostics *diagnostics, const char *file, const char *text,
                      size_t length);

/* The same from a file on disk. */
Program *kernel_parse_file(Arena *arena, Diagnostics *diagnostics, const char *path);

#endif
