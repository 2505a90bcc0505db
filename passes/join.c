#include "passes/join.h"

#include <string.h>

/* ---- What is equal --------------------------------------------------------------------------- */

bool join_view_equal(const View *a, const View *b) {
    return a->buffer == b->buffer && a->base == b->base && a->image_stride == b->image_stride &&
           a->row_stride == b->row_stride && a->channel_stride == b->channel_stride;
}

bool join_access_equal(const Access *a, const Access *b) {
    if (a->kind != b->kind || a->channel != b->channel ||
        a->channel_parameter != b->channel_parameter || !join_view_equal(&a->view, &b->view))
        return false;
    if (a->kind != ACCESS_POSITION)
        return true;
    return space_equal(&a->source, &b->source) &&
           memcmp(a->divide, b->divide, sizeof a->divide) == 0;
}

bool join_is_plain(const Access *access) {
    return access->kind == ACCESS_ELEMENT && access->channel == CHANNEL_SAME;
}

bool join_same_rows(const Kernel *a, const Kernel *b) {
    return space_equal(&a->space, &b->space) && a->channels == b->channels;
}

bool join_may_vanish(const Buffer *buffer) {
    return buffer->region == REGION_SCRATCH && buffer->dtype != DTYPE_BF16;
}

bool join_has_epilogue(const Kernel *kernel) {
    if (kernel->kind == KERNEL_CONTRACT)
        return true;
    return kernel->kind == KERNEL_WINDOW && kernel->expression != NULL;
}

/* ---- Joining expressions --------------------------------------------------------------------- */

int join_operand(Joined *joined, const Access *access) {
    for (int i = 0; i < joined->operand_count; i++)
        if (join_access_equal(&joined->operands[i], access))
            return i;
    if (joined->operand_count == KERNEL_MAX_OPERANDS) {
        joined->full = true;
        return 0;
    }
    joined->operands[joined->operand_count] = *access;
    return joined->operand_count++;
}

JoinGiven join_nothing_given(void) {
    JoinGiven given;
    for (int i = 0; i < KERNEL_MAX_OPERANDS; i++)
        given.values[i] = -1;
    return given;
}

void join_give(JoinGiven *given, const Kernel *kernel, int operand, int value) {
    for (int i = 0; i < kernel->operand_count; i++)
        if (join_access_equal(&kernel->operands[i], &kernel->operands[operand]))
            given->values[i] = value;
}

void join_expression(Joined *joined, const Kernel *kernel, const JoinGiven *given, int acc,
                     int *results) {
    const Expression *expression = kernel->expression;
    int *places =
        arena_new_array(joined->builder.arena, int, (size_t)expression->instruction_count + 1);
    for (int i = 0; i < expression->instruction_count; i++) {
        const Instruction *in = &expression->instructions[i];
        bool leaf = in->op == SCALAR_OPERAND || in->op == SCALAR_OPERAND_U;
        if (leaf && in->operand < kernel->operand_count && given->values[in->operand] >= 0) {
            places[i] = given->values[in->operand];
        } else if (leaf || in->op == SCALAR_VISIBLE) {
            int operand = in->operand < kernel->operand_count
                              ? join_operand(joined, &kernel->operands[in->operand])
                              : acc;
            places[i] = in->op == SCALAR_OPERAND ? expression_operand(&joined->builder, operand)
                        : in->op == SCALAR_OPERAND_U
                            ? expression_operand_u(&joined->builder, operand)
                            : expression_visible(&joined->builder, operand);
        } else if (in->op == SCALAR_CONSTANT) {
            places[i] = expression_constant(&joined->builder, (double)in->constant);
        } else if (in->op == SCALAR_CONSTANT_U) {
            places[i] = expression_constant_u(&joined->builder, in->constant_u);
        } else if (in->op == SCALAR_INDEX_LOW || in->op == SCALAR_INDEX_HIGH) {
            places[i] = expression_index(&joined->builder, in->op == SCALAR_INDEX_HIGH);
        } else {
            int arguments[3] = {-1, -1, -1};
            for (int k = 0; scalar_operands(in->op)[k]; k++)
                arguments[k] = places[in->arguments[k]];
            places[i] = expression_apply(&joined->builder, in->op, arguments[0], arguments[1],
                                         arguments[2]);
        }
    }
    for (int i = 0; i < expression->value_count; i++)
        results[i] = places[expression->values[i]];
}

void join_set(Kernel *kernel, const Joined *joined, Expression *expression) {
    kernel->operand_count = joined->operand_count;
    memcpy(kernel->operands, joined->operands, sizeof kernel->operands);
    kernel->expression = expression;
}

void join_settle_acc(Expression *expression, int operand_count) {
    for (int i = 0; i < expression->instruction_count; i++)
        if (expression->instructions[i].op == SCALAR_OPERAND &&
            expression->instructions[i].operand == JOIN_ACC)
            expression->instructions[i].operand = operand_count;
}
