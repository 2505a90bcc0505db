/* In what a program stores and multiplies: decided on the program, behind fusing and before memory
 * is planned. */
#ifndef SPARKC_PASSES_PRECISION_H
#define SPARKC_PASSES_PRECISION_H

#include "ir/kernel.h"

typedef enum Precision {
    PRECISION_FP32, /* everything; the program stays as it is */
    PRECISION_BF16  /* maps and their gradients are stored, and contractions multiply, in bf16 */
} Precision;

/* Behind recompute, before plan_memory. True if it changed the program. In bf16:
 *
 * - a scratch buffer of fp32 becomes bf16 if all that is written to it are rows with positions (not
 *   of one channel alone) by a map, a contract or a window. So statistics, sums, gradients of
 *   parameters and numbers per image stay fp32, as do maps of which somebody takes the sum over
 *   everything (the loss), moments of patches (the target), or that are drawn (dropout);
 * - every contraction rounds what it multiplies; it sums in fp32;
 * - prologues that would be repeated at several taps become maps (store_prologues.h).
 *
 * What is outside of scratch keeps its dtype. */
bool precision(Program *program, Precision wanted);

#endif
