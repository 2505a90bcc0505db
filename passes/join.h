/* Expressions of kernels that become one: what passes that move maps into other kernels share. */
#ifndef SPARKC_PASSES_JOIN_H
#define SPARKC_PASSES_JOIN_H

#include "ir/kernel.h"

bool join_view_equal(const View *a, const View *b);
bool join_access_equal(const Access *a, const Access *b);

/* Element by element, as it lies. */
bool join_is_plain(const Access *access);

/* Both walk the same rows and channels. */
bool join_same_rows(const Kernel *a, const Kernel *b);

/* A value may pass from its maker to its reader without the buffer: it is scratch, and storing it
 * rounds nothing away. */
bool join_may_vanish(const Buffer *buffer);

/* The result of a kernel goes through an expression that may be extended. */
bool join_has_epilogue(const Kernel *kernel);

/* The operands of the joined kernel as they are found; equal accesses are one. */
typedef struct Joined {
    ExpressionBuilder builder;
    int operand_count;
    Access operands[KERNEL_MAX_OPERANDS];
    bool full; /* they were too many: the joined expression is of no use */
} Joined;

/* The number of an access among the operands; added if it is new. */
int join_operand(Joined *joined, const Access *access);

/* For each operand of a kernel the instruction that stands for it, in join_expression; -1: none. */
typedef struct JoinGiven {
    int values[KERNEL_MAX_OPERANDS];
} JoinGiven;

JoinGiven join_nothing_given(void);

/* `value` stands for what is read like operand `operand`. */
void join_give(JoinGiven *given, const Kernel *kernel, int operand, int value);

/* Appends the instructions of a kernel's expression. What is given is not read; an operand beyond
 * the kernel's own is acc, and becomes operand `acc`. results[i]: the instruction of value i. */
void join_expression(Joined *joined, const Kernel *kernel, const JoinGiven *given, int acc,
                     int *results);

/* A stand-in for acc while operands are still being found; join_settle_acc puts the one behind the
 * last of `operand_count` in its place. */
enum { JOIN_ACC = KERNEL_MAX_OPERANDS + 1 };
void join_settle_acc(Expression *expression, int operand_count);

/* Gives a kernel the joined operands and an expression. */
void join_set(Kernel *kernel, const Joined *joined, Expression *expression);

#endif
