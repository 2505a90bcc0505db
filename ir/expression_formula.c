/* The infix notation of ir/activations.def, by recursive descent:
 *
 *     choice  = compare [ "?" choice ":" choice ]
 *     compare = sum [ ("<" | ">") sum ]
 *     sum     = product { ("+" | "-") product }
 *     product = unary { ("*" | "/") unary }
 *     unary   = "-" unary | number | name | name "(" choice { "," choice } ")" | "(" choice ")" */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "ir/expression.h"

enum { MAX_DEPTH = 64 };

typedef struct Formula {
    ExpressionBuilder *builder;
    const char *text, *cursor;
    const char *const *names;
    const int *bound;
    int count; /* of names */
    int depth;
} Formula;

static int parse_choice(Formula *formula);

static void skip_space(Formula *formula) {
    while (isspace((unsigned char)*formula->cursor))
        formula->cursor++;
}

static bool accept(Formula *formula, char c) {
    skip_space(formula);
    if (*formula->cursor != c)
        return false;
    formula->cursor++;
    return true;
}

static void expect(Formula *formula, char c) {
    invariant(accept(formula, c), "expected '%c' before '%s' in the formula '%s'", c,
              formula->cursor, formula->text);
}

static int apply(Formula *formula, ScalarOp op, int a, int b, int c) {
    return expression_apply(formula->builder, op, a, b, c);
}

static ScalarOp find_op(const Formula *formula, const char *name, size_t length) {
    for (int op = 0; op < SCALAR_OP_COUNT; op++) {
        const char *candidate = scalar_name((ScalarOp)op);
        if (scalar_operands((ScalarOp)op)[0] && strlen(candidate) == length &&
            memcmp(candidate, name, length) == 0)
            return (ScalarOp)op;
    }
    invariant_failed(__FILE__, __LINE__, "unknown operation '%.*s' in the formula '%s'",
                     (int)length, name, formula->text);
}

static int parse_call(Formula *formula, const char *name, size_t length) {
    ScalarOp op = find_op(formula, name, length);
    int arguments[3] = {0, 0, 0};
    for (size_t i = 0; i < strlen(scalar_operands(op)); i++) {
        if (i > 0)
            expect(formula, ',');
        arguments[i] = parse_choice(formula);
    }
    expect(formula, ')');
    return apply(formula, op, arguments[0], arguments[1], arguments[2]);
}

static int parse_name(Formula *formula) {
    const char *name = formula->cursor;
    while (isalnum((unsigned char)*formula->cursor) || *formula->cursor == '_')
        formula->cursor++;
    size_t length = (size_t)(formula->cursor - name);
    if (accept(formula, '('))
        return parse_call(formula, name, length);
    for (int i = 0; i < formula->count; i++)
        if (strlen(formula->names[i]) == length && memcmp(formula->names[i], name, length) == 0)
            return formula->bound[i];
    invariant_failed(__FILE__, __LINE__, "unknown name '%.*s' in the formula '%s'", (int)length,
                     name, formula->text);
}

static int parse_number(Formula *formula, double sign) {
    char *end;
    double value = strtod(formula->cursor, &end);
    invariant(end != formula->cursor, "expected a value before '%s' in the formula '%s'",
              formula->cursor, formula->text);
    formula->cursor = end;
    return expression_constant(formula->builder, sign * value);
}

static int parse_unary(Formula *formula) {
    invariant(++formula->depth <= MAX_DEPTH, "formula nested too deeply: '%s'", formula->text);
    int result;
    if (accept(formula, '-')) {
        skip_space(formula);
        if (isdigit((unsigned char)*formula->cursor))
            result = parse_number(formula, -1);
        else
            result = apply(formula, SCALAR_neg, parse_unary(formula), 0, 0);
    } else if (accept(formula, '(')) {
        result = parse_choice(formula);
        expect(formula, ')');
    } else if (isalpha((unsigned char)*formula->cursor)) {
        result = parse_name(formula);
    } else {
        result = parse_number(formula, 1);
    }
    formula->depth--;
    return result;
}

static int parse_product(Formula *formula) {
    int result = parse_unary(formula);
    for (;;) {
        if (accept(formula, '*'))
            result = apply(formula, SCALAR_mul, result, parse_unary(formula), 0);
        else if (accept(formula, '/'))
            result = apply(formula, SCALAR_div, result, parse_unary(formula), 0);
        else
            return result;
    }
}

static int parse_sum(Formula *formula) {
    int result = parse_product(formula);
    for (;;) {
        if (accept(formula, '+'))
            result = apply(formula, SCALAR_add, result, parse_product(formula), 0);
        else if (accept(formula, '-'))
            result = apply(formula, SCALAR_sub, result, parse_product(formula), 0);
        else
            return result;
    }
}

static int parse_compare(Formula *formula) {
    int left = parse_sum(formula);
    if (accept(formula, '<'))
        return apply(formula, SCALAR_less, left, parse_sum(formula), 0);
    if (accept(formula, '>'))
        return apply(formula, SCALAR_less, parse_sum(formula), left, 0);
    return left;
}

static int parse_choice(Formula *formula) {
    invariant(++formula->depth <= MAX_DEPTH, "formula nested too deeply: '%s'", formula->text);
    int result = parse_compare(formula);
    if (accept(formula, '?')) {
        int if_true = parse_choice(formula);
        expect(formula, ':');
        int if_false = parse_choice(formula);
        result = apply(formula, SCALAR_select, result, if_true, if_false);
    }
    formula->depth--;
    return result;
}

int expression_formula(ExpressionBuilder *builder, const char *text, const char *const *names,
                       const int *bound, int count) {
    Formula formula = {.builder = builder,
                       .text = text,
                       .cursor = text,
                       .names = names,
                       .bound = bound,
                       .count = count};
    int result = parse_choice(&formula);
    skip_space(&formula);
    invariant(*formula.cursor == '\0', "unexpected '%s' in the formula '%s'", formula.cursor, text);
    return result;
}
