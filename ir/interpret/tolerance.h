/* How far what a back end computes may lie from what the interpreter computes, op by op: the one
 * place that says so, for `sparkc verify` and for tests.
 *
 * A bound is made for each element of a result from the op's operands. With u half a unit in the
 * last place of fp32 and M the sum of the magnitudes of the terms that are added up to the element
 * (|x| * |w| of all taps of a convolution), it is
 *
 *     u * (4 + 4 sqrt(n)) * M
 *
 * for n terms: rounding errors add up like a random walk, of which 4 sqrt(n) is far in the tail,
 * while one term that is missing or wrong is n * u * 4 sqrt(n) < 1 of M off for n up to 10^4 terms
 * of equal size. Ops that only move numbers, compare or draw are exact. */
#ifndef SPARKC_IR_INTERPRET_TOLERANCE_H
#define SPARKC_IR_INTERPRET_TOLERANCE_H

#include "ir/interpret/interpret.h"

/* The factor of M for n terms. */
double tolerance_of_terms(double terms);

/* Within an InterpreterObserver: a bound for each element of the value that is being observed and
 * has this tensor, provided that the back end had the interpreter's operands. In the arena; as many
 * as the tensor has.
 *
 * operand_bounds[i] NULL, or operand_bounds itself: the back end had operand i as the interpreter
 * has it; else it may have been as far off as these bounds of each of its elements say, and the
 * result accounts for that. */
const double *tolerance_bounds(Interpreter *interpreter, Arena *arena, const Value *value,
                               const Tensor *tensor, const double *const *operand_bounds);

/* What rounding to a dtype may add to a number, relative to it: half a unit in its last place; 0
 * for fp32, whose rounding is in all bounds, and whole numbers. So two results that were each
 * rounded once may be twice as far apart as what they were rounded from, and that. */
double tolerance_of_storage(DType dtype);

/* `bounds` (NULL: none) of numbers that are then rounded to a dtype: stored in it, or, the operand
 * of the node that is being observed, before they are multiplied. New ones in the arena, or the
 * same where nothing is rounded. */
const double *tolerance_of_stored(Arena *arena, const Tensor *tensor, const double *bounds,
                                  DType dtype);
const double *tolerance_of_rounded_operand(const Interpreter *interpreter, Arena *arena,
                                           int operand, const double *bounds, DType dtype);

/* How an actual tensor compares with the expected one. */
typedef struct ToleranceResult {
    double ratio;            /* the largest |actual - expected| / bound; at most 1 is fine */
    double error, bound;     /* of that element */
    double actual, expected; /* of that element */
    size_t element;          /* where */
} ToleranceResult;

/* Numbers that are not finite must be equal (any NaN equals any other); otherwise the ratio is
 * infinite. */
ToleranceResult tolerance_compare(const double *actual, const double *expected,
                                  const double *bounds, size_t count);

#endif
