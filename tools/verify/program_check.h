/* A program that was read from a text, against the kernel interpreter: each kernel on its own, on
 * synthetic weights and pictures. */
#ifndef SPARKC_TOOLS_VERIFY_PROGRAM_CHECK_H
#define SPARKC_TOOLS_VERIFY_PROGRAM_CHECK_H

#include "ir/kernel.h"
#include "tools/verify/self_check.h"

/* Compiles the program, which is planned, and runs it beside the kernel interpreter, which gets
 * from each kernel what the code has written before the next one runs: no error hides in another. A
 * group per kind of kernel; the error is the largest one of a buffer over its largest element. */
Status program_check(Arena *arena, Program *program, const SelfCheckOptions *options,
                     Comparison *comparison);

#endif
