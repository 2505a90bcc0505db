/* What the kinds of kernels share in the kernel interpreter: elements, rows, accesses. Private to
 * ir/interpret. */
#ifndef SPARKC_IR_INTERPRET_KERNEL_RUN_H
#define SPARKC_IR_INTERPRET_KERNEL_RUN_H

#include "ir/interpret/kernel_scalar.h"
#include "ir/kernel.h"

/* One execution of one kernel. */
typedef struct Run {
    const Program *program;
    const Kernel *kernel;
    void *const *buffers; /* the bytes of each buffer of the program */
    Arena *arena;         /* dies after the kernel */
} Run;

/* A row of a space. */
typedef struct Row {
    int64_t image, row;               /* row: within the image */
    int64_t position[TYPE_MAX_SPACE]; /* dense and masked; else zeros */
} Row;

/* One execution of each kind. */
void kernel_run_map(const Run *run);
void kernel_run_position_map(const Run *run);
void kernel_run_contract(const Run *run);
void kernel_run_contract_weight(const Run *run);
void kernel_run_window(const Run *run);
void kernel_run_reduce(const Run *run);

/* An element of a buffer; reading or writing outside of it is an internal error. Every number of
 * every dtype is exact in double. */
double kernel_run_load(const Run *run, int buffer, int64_t element);
void kernel_run_store(const Run *run, int buffer, int64_t element, double value);

/* The nearest bf16 number, ties to even. */
double kernel_run_round_to_bf16(double value);

/* The element of a buffer that a view says. */
int64_t kernel_run_element(const View *view, int64_t image, int64_t row, int64_t channel);

/* The walk over the rows of a space, images outermost; with taps, only rows of their phase:
 *     for (Walk walk = kernel_run_walk(run, space, taps); kernel_run_next(&walk);) ... walk.row */
typedef struct Walk {
    const Run *run;
    const Space *space;
    const TapSet *taps; /* NULL: all rows */
    int64_t rows, count, next;
    Row row;
} Walk;
Walk kernel_run_walk(const Run *run, const Space *space, const TapSet *taps);
bool kernel_run_next(Walk *walk);

/* The row of a space at a position, KERNEL_HIDDEN or KERNEL_OUTSIDE. Masked: from the level's map.
 */
int64_t kernel_run_row_at(const Run *run, const Space *space, int64_t image,
                          const int64_t *position);

/* row(t, r) of a tap for a row of the kernel's space. */
int64_t kernel_run_tap_row(const Run *run, const TapSet *taps, const Tap *tap, const Row *row);

/* An expression together with where its operands are read, in some space. */
typedef struct Evaluation {
    const Run *run;
    const Expression *expression;
    const Space *space;
    int64_t channels;
    const Access *accesses;
    int access_count;
    ScalarOperand operands[EXPRESSION_MAX_OPERANDS];
    Scalar *results;
} Evaluation;
Evaluation kernel_run_evaluation(const Run *run, const Expression *expression, const Space *space,
                                 int64_t channels, const Access *accesses, int count);

/* The evaluation of the kernel's own expression and operands in its own space. */
Evaluation kernel_run_own_evaluation(const Run *run);

/* Loads the operands of an element and evaluates; values are read with kernel_run_value. Operands
 * that are no accesses (acc, the element of a prologue) are set in `operands` before. */
void kernel_run_evaluate(Evaluation *evaluation, const Row *row, int64_t channel,
                         int first_operand);
double kernel_run_value(const Evaluation *evaluation, int index);

/* Evaluates the kernel's expression at an element (with `acc` as its last operand if it has one)
 * and stores its values through the outputs. */
void kernel_run_finish(Evaluation *evaluation, const Row *row, int64_t channel, double acc);

/* The rows of a view over a whole space as [image][row][channel]. */
double *kernel_run_matrix(const Run *run, const Space *space, const View *view, int64_t channels);

/* The segment that an element of the flat arrays is in. */
int64_t kernel_run_segment(const Program *program, int64_t element);

/* Zeroed numbers in the run's arena. */
double *kernel_run_numbers(const Run *run, int64_t count);

#endif
