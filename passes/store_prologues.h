/* Prologues of contractions that read each row at several taps are applied once to each row, by a
 * map in front that stores what it makes:
 *
 *     y = contract(x) {prologue=map, 9 taps}   ->   t = map(x);   y = contract(t) {9 taps}
 *
 * Where products are fast, repeating the map at every tap costs more than its memory traffic. The
 * value lives for one kernel only, and is still not kept for the gradient. */
#ifndef SPARKC_PASSES_STORE_PROLOGUES_H
#define SPARKC_PASSES_STORE_PROLOGUES_H

#include "ir/kernel.h"

/* Part of precision, which makes what is stored bf16. Returns how many prologues became maps. */
int store_prologues(Program *program);

#endif
