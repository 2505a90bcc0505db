/* Why a step was refused: the first value on the way to it that is not finite. */
#ifndef SPARKC_TOOLS_EXECUTE_NONFINITE_H
#define SPARKC_TOOLS_EXECUTE_NONFINITE_H

#include "tools/execute/executor_program.h"

/* A sentence in `arena` that names the first value that is not finite of those that made the
 * outputs "loss" and "grad_norm" (of a program without them: any output) infinite or NaN; NULL if
 * these are finite. Looks at what the program reads, then runs its kernels once more:
 *
 *     input image, picture 3: 1 of 3072 values is not finite, the first at element 17
 *     parameter layer1.0.conv1.weight: 2 of 4096 values are not finite, the first at element 0
 *     layer2.0.conv1 (models/resnet.cnn:12): 5 of 8192 values are not finite, the first at element
 *     17 of picture 0
 *
 * Inputs, parameters and states must be as in that step; a refused step has left them so. Changes
 * neither. Pictures and elements are counted from 0, elements of what is stored: the channels of a
 * position are neighbours, hidden positions are left out. A kernel is named after the value it
 * computes, `<layer>.grad.<operand>` in the backward direction. */
const char *nonfinite_find(Arena *arena, const CompiledProgram *program);

#endif
