#include "ir/expression.h"

#include <string.h>

#include "base/fatal.h"

typedef struct ScalarInfo {
    const char *name, *operands;
    char result;
} ScalarInfo;

static const ScalarInfo scalar_infos[SCALAR_OP_COUNT] = {
    [SCALAR_OPERAND] = {"operand", "", 'f'},
    [SCALAR_OPERAND_U] = {"operand_u", "", 'u'},
    [SCALAR_VISIBLE] = {"visible", "", 'b'},
    [SCALAR_CONSTANT] = {"constant", "", 'f'},
    [SCALAR_CONSTANT_U] = {"constant_u", "", 'u'},
    [SCALAR_INDEX_LOW] = {"index_low", "", 'u'},
    [SCALAR_INDEX_HIGH] = {"index_high", "", 'u'},
#define SCALAR_INFO(name, operands, result) [SCALAR_##name] = {#name, operands, result},
    SCALAR_OPS(SCALAR_INFO)
#undef SCALAR_INFO
};

const char *scalar_name(ScalarOp op) {
    return scalar_infos[op].name;
}

const char *scalar_operands(ScalarOp op) {
    return scalar_infos[op].operands;
}

char scalar_result(ScalarOp op) {
    return scalar_infos[op].result;
}

ExpressionBuilder expression_begin(Arena *arena) {
    return (ExpressionBuilder){.arena = arena};
}

static bool reads_operand(const Instruction *instruction) {
    return instruction->op == SCALAR_OPERAND || instruction->op == SCALAR_OPERAND_U ||
           instruction->op == SCALAR_VISIBLE;
}

/* Constants are compared by their bits, so that -0 is not 0 and NaN is NaN. */
static bool instruction_equal(const Instruction *a, const Instruction *b) {
    return a->op == b->op && memcmp(a->arguments, b->arguments, sizeof a->arguments) == 0 &&
           a->operand == b->operand && a->constant_u == b->constant_u &&
           memcmp(&a->constant, &b->constant, sizeof a->constant) == 0;
}

static void grow(ExpressionBuilder *builder) {
    int capacity = builder->capacity ? 2 * builder->capacity : 16;
    Instruction *instructions = arena_new_array(builder->arena, Instruction, (size_t)capacity);
    if (builder->count)
        memcpy(instructions, builder->instructions, (size_t)builder->count * sizeof *instructions);
    builder->instructions = instructions;
    builder->capacity = capacity;
}

static int append(ExpressionBuilder *builder, Instruction instruction) {
    for (int i = 0; i < builder->count; i++)
        if (instruction_equal(&builder->instructions[i], &instruction))
            return i;
    invariant(builder->count < EXPRESSION_MAX_INSTRUCTIONS, "expression of more than %d operations",
              EXPRESSION_MAX_INSTRUCTIONS);
    if (builder->count == builder->capacity)
        grow(builder);
    builder->instructions[builder->count] = instruction;
    return builder->count++;
}

static int append_operand(ExpressionBuilder *builder, ScalarOp op, int operand) {
    invariant(operand >= 0 && operand < EXPRESSION_MAX_OPERANDS, "operand %d of an expression",
              operand);
    return append(builder, (Instruction){.op = op, .operand = operand});
}

int expression_operand(ExpressionBuilder *builder, int operand) {
    return append_operand(builder, SCALAR_OPERAND, operand);
}

int expression_operand_u(ExpressionBuilder *builder, int operand) {
    return append_operand(builder, SCALAR_OPERAND_U, operand);
}

int expression_visible(ExpressionBuilder *builder, int operand) {
    return append_operand(builder, SCALAR_VISIBLE, operand);
}

int expression_constant(ExpressionBuilder *builder, double value) {
    return append(builder, (Instruction){.op = SCALAR_CONSTANT, .constant = (float)value});
}

int expression_constant_u(ExpressionBuilder *builder, uint32_t value) {
    return append(builder, (Instruction){.op = SCALAR_CONSTANT_U, .constant_u = value});
}

int expression_index(ExpressionBuilder *builder, bool high) {
    return append(builder, (Instruction){.op = high ? SCALAR_INDEX_HIGH : SCALAR_INDEX_LOW});
}

int expression_apply(ExpressionBuilder *builder, ScalarOp op, int a, int b, int c) {
    const char *letters = scalar_operands(op);
    const int arguments[3] = {a, b, c};
    Instruction instruction = {.op = op};
    invariant(letters[0], "%s takes no arguments", scalar_name(op));
    for (int i = 0; letters[i]; i++) {
        int argument = arguments[i];
        invariant(argument >= 0 && argument < builder->count, "%s of t%d in an expression of %d",
                  scalar_name(op), argument, builder->count);
        char result = scalar_result(builder->instructions[argument].op);
        invariant(result == letters[i], "argument %d of %s is '%c', not '%c'", i, scalar_name(op),
                  result, letters[i]);
        instruction.arguments[i] = argument;
    }
    return append(builder, instruction);
}

/* Marks what the values need and gives each kept instruction its new index. */
static int number_needed(const ExpressionBuilder *builder, const int *values, int count,
                         int *index) {
    for (int i = 0; i < builder->count; i++)
        index[i] = -1;
    for (int i = 0; i < count; i++)
        index[values[i]] = 0;
    for (int i = builder->count - 1; i >= 0; i--) {
        const Instruction *instruction = &builder->instructions[i];
        const char *letters = scalar_operands(instruction->op);
        for (int j = 0; index[i] == 0 && letters[j]; j++)
            index[instruction->arguments[j]] = 0;
    }
    int needed = 0;
    for (int i = 0; i < builder->count; i++)
        if (index[i] == 0)
            index[i] = needed++;
    return needed;
}

Expression *expression_end(ExpressionBuilder *builder, const int *values, int count) {
    invariant(count >= 1 && count <= EXPRESSION_MAX_VALUES, "expression of %d values", count);
    Expression *expression = arena_new(builder->arena, Expression);
    for (int i = 0; i < count; i++)
        invariant(values[i] >= 0 && values[i] < builder->count &&
                      scalar_result(builder->instructions[values[i]].op) != 'b',
                  "t%d cannot be the value of an expression", values[i]);
    int *index = arena_new_array(builder->arena, int, (size_t)builder->count);
    expression->instruction_count = number_needed(builder, values, count, index);
    expression->instructions =
        arena_new_array(builder->arena, Instruction, (size_t)expression->instruction_count);
    for (int i = 0; i < builder->count; i++) {
        if (index[i] < 0)
            continue;
        Instruction *copy = &expression->instructions[index[i]];
        *copy = builder->instructions[i];
        for (int j = 0; scalar_operands(copy->op)[j]; j++)
            copy->arguments[j] = index[copy->arguments[j]];
    }
    expression->value_count = count;
    for (int i = 0; i < count; i++)
        expression->values[i] = index[values[i]];
    return expression;
}

/* Appends one instruction of another expression whose instructions became `index`. */
static int append_moved(ExpressionBuilder *builder, const Instruction *source, const int *index,
                        int operand) {
    Instruction copy = *source;
    if (reads_operand(source))
        return append_operand(builder, source->op, operand);
    for (int i = 0; scalar_operands(copy.op)[i]; i++)
        copy.arguments[i] = index[copy.arguments[i]];
    return append(builder, copy);
}

static Expression *end_moved(ExpressionBuilder *builder, const Expression *source,
                             const int *index) {
    int values[EXPRESSION_MAX_VALUES];
    for (int i = 0; i < source->value_count; i++)
        values[i] = index[source->values[i]];
    return expression_end(builder, values, source->value_count);
}

Expression *expression_compose(Arena *arena, const Expression *first, const Expression *then,
                               int operand, int first_operand_base) {
    ExpressionBuilder builder = expression_begin(arena);
    int *first_index = arena_new_array(arena, int, (size_t)first->instruction_count);
    for (int i = 0; i < first->instruction_count; i++) {
        const Instruction *source = &first->instructions[i];
        first_index[i] =
            append_moved(&builder, source, first_index, first_operand_base + source->operand);
    }
    int value = first_index[first->values[0]];
    int *index = arena_new_array(arena, int, (size_t)then->instruction_count);
    for (int i = 0; i < then->instruction_count; i++) {
        const Instruction *source = &then->instructions[i];
        if (!reads_operand(source) || source->operand != operand) {
            index[i] = append_moved(&builder, source, index, source->operand);
            continue;
        }
        invariant(scalar_result(source->op) == scalar_result(builder.instructions[value].op),
                  "operand %d of an expression cannot be replaced by a '%c'", operand,
                  scalar_result(builder.instructions[value].op));
        index[i] = value;
    }
    return end_moved(&builder, then, index);
}

Expression *expression_rename_operands(Arena *arena, const Expression *expression,
                                       const int *renamed, int count) {
    ExpressionBuilder builder = expression_begin(arena);
    int *index = arena_new_array(arena, int, (size_t)expression->instruction_count);
    for (int i = 0; i < expression->instruction_count; i++) {
        const Instruction *source = &expression->instructions[i];
        int operand = source->operand;
        if (reads_operand(source) && operand < count)
            operand = renamed[operand];
        index[i] = append_moved(&builder, source, index, operand);
    }
    return end_moved(&builder, expression, index);
}

int expression_operand_count(const Expression *expression) {
    int count = 0;
    for (int i = 0; i < expression->instruction_count; i++) {
        const Instruction *instruction = &expression->instructions[i];
        if (reads_operand(instruction) && instruction->operand >= count)
            count = instruction->operand + 1;
    }
    return count;
}

char expression_value_kind(const Expression *expression, int index) {
    return scalar_result(expression->instructions[expression->values[index]].op);
}
