/* Weights, states, pictures, cells and settings out of thin air, from a seed, for programs that are
 * timed or checked without any data. */
#ifndef SPARKC_TOOLS_EXECUTE_SYNTHETIC_H
#define SPARKC_TOOLS_EXECUTE_SYNTHETIC_H

#include "passes/passes.h"

/* A parameter in the stored order: as training begins; or, `lively`, with a share of noise on all
 * that training begins with at a constant, so that no scale is 1, no shift is 0 and nothing is
 * hidden by a zero. */
void synthetic_parameter(const Segment *segment, uint32_t seed, bool lively, double *values);

/* A state: its initial value, plus noise in [0, 0.1) if `lively`; whole numbers stay. */
void synthetic_state(const Graph *graph, const StateSlot *slot, uint32_t seed, bool lively,
                     double *values);

/* The numbers that an input of a type is given as: those of all positions, if it is masked. */
size_t synthetic_input_count(const Graph *graph, const Type *type);

/* What an `input` node reads in a step: cells, drawn uniformly, or pictures, even in [-1.7, 1.7),
 * which has the variance of a normalised picture. */
void synthetic_input(const Graph *graph, const Node *node, uint32_t seed, uint32_t step,
                     double *values);

/* A named scalar of a program in step 0, 1, ..: learning rate and decay as in the middle of a
 * pretraining, gradients in two parts. */
double synthetic_scalar(const PassOptions *options, const char *name, uint32_t step);

#endif
