/* The printed form of expressions:
 *
 *     { "t" index "=" operation { "t" index | number } ";" } "->" "t" index { "," "t" index } */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/expression.h"

/* The shortest decimal that reads back to the same fp32 number. */
static void print_float(Text *out, float value) {
    char digits[32];
    for (int precision = 1; precision <= 9; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, (double)value);
        if (strtof(digits, NULL) == value)
            break;
    }
    text_append(out, "%s", isnan(value) ? "nan" : digits);
}

static void print_instruction(Text *out, const Instruction *instruction, bool constants) {
    text_append(out, "%s", scalar_name(instruction->op));
    switch (instruction->op) {
    case SCALAR_OPERAND:
    case SCALAR_OPERAND_U:
    case SCALAR_VISIBLE:
        text_append(out, " %d", instruction->operand);
        break;
    case SCALAR_CONSTANT:
        if (!constants)
            break;
        text_append(out, " ");
        print_float(out, instruction->constant);
        break;
    case SCALAR_CONSTANT_U:
        text_append(out, " %" PRIu32, instruction->constant_u);
        break;
    default:
        for (int i = 0; scalar_operands(instruction->op)[i]; i++)
            text_append(out, " t%d", instruction->arguments[i]);
    }
}

static void print(Text *out, const Expression *expression, bool constants) {
    for (int i = 0; i < expression->instruction_count; i++) {
        text_append(out, "t%d = ", i);
        print_instruction(out, &expression->instructions[i], constants);
        text_append(out, "; ");
    }
    text_append(out, "-> ");
    for (int i = 0; i < expression->value_count; i++)
        text_append(out, i ? ", t%d" : "t%d", expression->values[i]);
}

void expression_print(Text *out, const Expression *expression) {
    print(out, expression, true);
}

void expression_print_form(Text *out, const Expression *expression) {
    print(out, expression, false);
}

typedef struct Reader {
    const char *cursor;
    const char *error; /* of the first failure, else NULL */
    int count;         /* instructions so far */
    Instruction *instructions;
} Reader;

static bool fail(Reader *reader, const char *error) {
    if (!reader->error)
        reader->error = error;
    return false;
}

static void skip_space(Reader *reader) {
    while (*reader->cursor == ' ' || *reader->cursor == '\t')
        reader->cursor++;
}

static bool accept(Reader *reader, const char *token) {
    skip_space(reader);
    size_t length = strlen(token);
    if (strncmp(reader->cursor, token, length) != 0)
        return false;
    reader->cursor += length;
    return true;
}

/* A whole number in [0, limit); `too_large` is what to say of a larger one. */
static bool read_number(Reader *reader, uint64_t limit, const char *too_large, uint64_t *number) {
    skip_space(reader);
    if (!isdigit((unsigned char)*reader->cursor))
        return fail(reader, "expected a whole number");
    uint64_t value = 0;
    const char *cursor = reader->cursor;
    for (; isdigit((unsigned char)*cursor) && value < limit; cursor++)
        value = 10 * value + (uint64_t)(*cursor - '0');
    if (value >= limit || isdigit((unsigned char)*cursor))
        return fail(reader, too_large);
    reader->cursor = cursor;
    *number = value;
    return true;
}

/* The index of an earlier instruction whose result is `letter` (0: fp32 or u32). */
static bool read_value(Reader *reader, char letter, int *index) {
    if (!accept(reader, "t"))
        return fail(reader, "expected t and the number of an earlier operation");
    const char *place = reader->cursor;
    uint64_t number;
    if (!read_number(reader, (uint64_t)reader->count, "not the number of an earlier operation",
                     &number))
        return false;
    char result = scalar_result(reader->instructions[number].op);
    if (letter ? result != letter : result == 'b') {
        reader->cursor = place;
        return fail(reader, "the operation has a result of another kind than is needed here");
    }
    *index = (int)number;
    return true;
}

static bool read_constant(Reader *reader, float *value) {
    skip_space(reader);
    char *end;
    *value = strtof(reader->cursor, &end);
    if (end == reader->cursor || isalnum((unsigned char)*end))
        return fail(reader, "expected a number");
    reader->cursor = end;
    return true;
}

static bool read_op(Reader *reader, ScalarOp *op) {
    skip_space(reader);
    const char *end = reader->cursor;
    while (isalnum((unsigned char)*end) || *end == '_')
        end++;
    size_t length = (size_t)(end - reader->cursor);
    for (int i = 0; i < SCALAR_OP_COUNT; i++) {
        const char *name = scalar_name((ScalarOp)i);
        if (strlen(name) == length && memcmp(name, reader->cursor, length) == 0) {
            reader->cursor = end;
            *op = (ScalarOp)i;
            return true;
        }
    }
    return fail(reader, "unknown scalar operation");
}

static bool read_arguments(Reader *reader, Instruction *instruction) {
    uint64_t number = 0;
    switch (instruction->op) {
    case SCALAR_OPERAND:
    case SCALAR_OPERAND_U:
    case SCALAR_VISIBLE:
        if (!read_number(reader, EXPRESSION_MAX_OPERANDS, "no kernel has an operand of this number",
                         &number))
            return false;
        instruction->operand = (int)number;
        return true;
    case SCALAR_CONSTANT:
        return read_constant(reader, &instruction->constant);
    case SCALAR_CONSTANT_U:
        if (!read_number(reader, UINT64_C(1) << 32, "this number must be below 2^32", &number))
            return false;
        instruction->constant_u = (uint32_t)number;
        return true;
    default:
        for (int i = 0; scalar_operands(instruction->op)[i]; i++)
            if (!read_value(reader, scalar_operands(instruction->op)[i],
                            &instruction->arguments[i]))
                return false;
        return true;
    }
}

/* One `t<n> = ...;`, where n is the number of operations so far. */
static bool read_instruction(Reader *reader) {
    uint64_t number;
    Instruction instruction = {0};
    if (!accept(reader, "t"))
        return fail(reader, "expected t or ->");
    if (!read_number(reader, EXPRESSION_MAX_INSTRUCTIONS, "an expression has fewer operations",
                     &number))
        return false;
    if (number != (uint64_t)reader->count)
        return fail(reader, "operations must be numbered one after the other");
    if (!accept(reader, "="))
        return fail(reader, "expected =");
    if (!read_op(reader, &instruction.op) || !read_arguments(reader, &instruction))
        return false;
    if (!accept(reader, ";"))
        return fail(reader, "expected ;");
    reader->instructions[reader->count++] = instruction;
    return true;
}

static bool read_expression(Reader *reader, Expression *expression) {
    while (!accept(reader, "->"))
        if (!read_instruction(reader))
            return false;
    do {
        if (expression->value_count == EXPRESSION_MAX_VALUES)
            return fail(reader, "an expression has at most 4 values");
        if (!read_value(reader, 0, &expression->values[expression->value_count]))
            return false;
        expression->value_count++;
    } while (accept(reader, ","));
    return true;
}

/* An upper bound of the operations on this line: each ends with a semicolon. */
static size_t count_instructions(const char *cursor) {
    size_t count = 0;
    for (; *cursor && *cursor != '\n'; cursor++)
        count += *cursor == ';';
    return count < EXPRESSION_MAX_INSTRUCTIONS ? count : EXPRESSION_MAX_INSTRUCTIONS;
}

Expression *expression_parse(Arena *arena, const char **cursor, const char **error) {
    size_t capacity = count_instructions(*cursor) + 1;
    Reader reader = {.cursor = *cursor,
                     .instructions = arena_new_array(arena, Instruction, capacity)};
    Expression *expression = arena_new(arena, Expression);
    bool read = read_expression(&reader, expression);
    *cursor = reader.cursor;
    if (!read) {
        *error = reader.error;
        return NULL;
    }
    expression->instruction_count = reader.count;
    expression->instructions = reader.instructions;
    return expression;
}
