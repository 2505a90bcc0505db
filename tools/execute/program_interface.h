/* What goes into a program and comes out, for one that was read from a text and has no graph. */
#ifndef SPARKC_TOOLS_EXECUTE_PROGRAM_INTERFACE_H
#define SPARKC_TOOLS_EXECUTE_PROGRAM_INTERFACE_H

#include "ir/kernel.h"

/* A graph that computes nothing: geometry and tables of the program, an `input` or `scalar` for
 * each buffer that the caller fills, an `output` for each that he reads. The maps among them are
 * lists of numbers, as long as the buffer. */
Graph *program_interface(Arena *arena, const Program *program);

#endif
