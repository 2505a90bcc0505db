/* Recomputing: a light map of one stored value (a norm's scaling, an activation) is repeated
 * wherever its value is read, and stored nowhere.
 *
 *     t = map(x);   y = map(t, z), u = reduce(t)   ->   y = map(x, z), u = reduce(x)
 *     t = map(x);   y = contract(t)                ->   y = contract(x), the map as its prologue
 *     t = map(x);   w = contract_weight(t, g)      ->   w = contract_weight(x, g), likewise
 *
 * All readers take it, or none: the value need not be written, nor its buffer be there. x lives
 * longer instead, which it mostly does anyway for the gradient. No operation changes, so the
 * results are the same numbers; of a NaN the sign may differ.
 *
 * Light: at most one operand is a whole value with rows like the map's, all others are one number
 * per channel, per row or per image; and the arithmetic is short, in bf16 without polynomials:
 * products are so fast there that an activation of that kind takes as long as they. */
#ifndef SPARKC_PASSES_RECOMPUTE_H
#define SPARKC_PASSES_RECOMPUTE_H

#include "ir/kernel.h"
#include "passes/precision.h"
#include "passes/rewrites.h"

/* Behind fuse_kernels, before plan_memory; returns how many values are no longer stored. `rewrites`
 * counts them and may stop them; NULL: nobody counts. */
int recompute(Program *program, Precision precision, Rewrites *rewrites);

#endif
