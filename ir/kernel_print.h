/* A program of kernels as text (docs/kernel-ir.md, "The text"). It holds everything that the
 * program does and parses back to the same program (ir/kernel_parse.h). Only ASCII. */
#ifndef SPARKC_IR_KERNEL_PRINT_H
#define SPARKC_IR_KERNEL_PRINT_H

#include "ir/kernel.h"

/* Raised whenever the text, or what a text means, changes. */
enum { KERNEL_PRINT_VERSION = 1 };

void kernel_print(Text *out, const Program *program);

/* The same in an arena. */
char *kernel_print_text(Arena *arena, const Program *program);

/* What stands before the kernels: head, tables, buffers, levels. */
void kernel_print_tables(Text *out, const Program *program);

/* One kernel: its lines. */
void kernel_print_kernel(Text *out, const Program *program, const Kernel *kernel);

#endif
