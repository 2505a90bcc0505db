#include "frontend/evaluate.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "frontend/layers.h"

bool number_is_whole(double number) {
    return number == floor(number) && fabs(number) <= 2147483647.0;
}

/* ---- Messages ---- */

/* True if nothing was put into the table for this place yet; then it is now. */
static bool is_new(Evaluator *evaluator, Table *table, Span span) {
    const char *key = arena_format(evaluator->arena, "%u %u %u", span.file, span.begin, span.end);
    evaluator->muted = table_get(table, key) != NULL;
    if (!evaluator->muted)
        table_put(table, key, evaluator);
    return !evaluator->muted;
}

enum { MOST_CALL_NOTES = 3 };

static void note_calls(Evaluator *evaluator) {
    const CallSite *site = evaluator->site;
    for (int i = 0; site && i < MOST_CALL_NOTES; i++, site = site->parent) {
        Location at = sources_locate(&evaluator->file->sources, site->span);
        diagnostics_note(evaluator->diagnostics, "in %s, called at %s:%u:%u%s%s", site->block,
                         at.file, at.line, at.column, site->label ? " as " : "",
                         site->label ? site->label_text : "");
    }
}

Datum evaluate_fail(Evaluator *evaluator, Span span, const char *format, ...) {
    evaluator->failed = true;
    if (diagnostics_full(evaluator->diagnostics))
        evaluator->aborted = true;
    if (!is_new(evaluator, evaluator->reported, span))
        return datum_unknown;
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vformat(evaluator->arena, format, arguments);
    va_end(arguments);
    sources_report(&evaluator->file->sources, SEVERITY_ERROR, span, "%s", text);
    note_calls(evaluator);
    return datum_unknown;
}

bool evaluate_check_call(Evaluator *evaluator, const Callee *callee, const Call *call, bool piped) {
    if (evaluator->aborted || callee_check(evaluator->file, callee, call, piped))
        return !evaluator->aborted;
    note_calls(evaluator);
    evaluator->failed = true;
    evaluator->aborted = diagnostics_full(evaluator->diagnostics);
    return false;
}

void evaluate_remark(Evaluator *evaluator, Severity severity, Span span, const char *format, ...) {
    if (!is_new(evaluator, evaluator->file->remarks, span))
        return;
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vformat(evaluator->arena, format, arguments);
    va_end(arguments);
    sources_report(&evaluator->file->sources, severity, span, "%s", text);
}

void evaluate_note(Evaluator *evaluator, const char *format, ...) {
    if (evaluator->muted)
        return;
    va_list arguments;
    va_start(arguments, format);
    diagnostics_note(evaluator->diagnostics, "%s",
                     arena_vformat(evaluator->arena, format, arguments));
    va_end(arguments);
}

void evaluate_hint(Evaluator *evaluator, const char *format, ...) {
    if (evaluator->muted)
        return;
    va_list arguments;
    va_start(arguments, format);
    diagnostics_hint(evaluator->diagnostics, "%s",
                     arena_vformat(evaluator->arena, format, arguments));
    va_end(arguments);
}

bool evaluate_spend(Evaluator *evaluator, size_t steps, Span span) {
    if (evaluator->aborted)
        return false;
    evaluator->steps += (int64_t)steps;
    if (evaluator->steps <= EVALUATE_MOST_STEPS)
        return true;
    evaluate_fail(evaluator, span, "the evaluation takes more than 10 million steps");
    evaluator->aborted = true;
    return false;
}

static const char *text_of(Evaluator *evaluator, Datum datum) {
    return datum_text(evaluator->arena, datum);
}

static const char *line_of(Evaluator *evaluator, Span span, Span here) {
    return sources_line(&evaluator->file->sources, span, here);
}

/* ---- Names ---- */

/* The function that a name stands for, with no arguments yet; unknown if it is none. */
static Datum function_of_name(Evaluator *evaluator, const char *name, Span span) {
    Callee callee = callee_find(evaluator->file, name);
    if (callee.kind != CALLEE_BLOCK && callee.kind != CALLEE_LAYER)
        return datum_unknown;
    Function *function = arena_new(evaluator->arena, Function);
    function->callee = callee;
    function->span = span;
    function->count = callee_parameters(&callee);
    function->bound = arena_new_array(evaluator->arena, BoundArgument, function->count);
    evaluate_spend(evaluator, function->count, span);
    return (Datum){.kind = DATUM_FUNCTION, .function = function};
}

/* The setting of a variable that best explains why it has no value at `here`: the nearest before.
 */
static Span explaining_setting(const Variable *variable, Span here) {
    const Setting *best = variable->settings;
    for (const Setting *setting = best; setting; setting = setting->next) {
        bool before = setting->span.begin < here.begin;
        bool best_before = best->span.begin < here.begin;
        if (before && (!best_before || setting->span.begin > best->span.begin))
            best = setting;
    }
    return best->span;
}

static Datum report_unset(Evaluator *evaluator, int32_t slot, Span span) {
    const Variable *variable = &evaluator->frame->definition->variables.items[slot];
    Span set = explaining_setting(variable, span);
    evaluate_fail(evaluator, span, "%s has no value here", variable->name);
    evaluate_note(evaluator, "%s sets it%s", line_of(evaluator, set, span),
                  set.begin < span.begin ? ", in a branch that is not taken" : "");
    return datum_unknown;
}

static Datum evaluate_name(Evaluator *evaluator, const Expr *expr) {
    int32_t slot = expr->name.slot;
    if (slot >= 0 && evaluator->frame->slots[slot].kind != DATUM_UNSET)
        return evaluator->frame->slots[slot];
    Datum function = function_of_name(evaluator, expr->name.text, expr->span);
    if (function.kind == DATUM_FUNCTION || slot < 0)
        return function;
    return report_unset(evaluator, slot, expr->span);
}

/* ---- Operators ---- */

/* Finite numbers only. */
static Datum finite_number(Evaluator *evaluator, double number, Span span) {
    if (isfinite(number))
        return datum_number(number);
    return evaluate_fail(evaluator, span, "the result is not a finite number");
}

static Datum divide_numbers(Evaluator *evaluator, Operator operation, double a, double b, Span span,
                            Span right_span) {
    if (b == 0)
        return evaluate_fail(evaluator, right_span, "division by zero");
    if (operation == OPERATOR_DIVIDE)
        return finite_number(evaluator, a / b, span);
    if (operation == OPERATOR_FLOOR_DIVIDE)
        return finite_number(evaluator, floor(a / b), span);
    double rest = fmod(a, b);
    return finite_number(evaluator, rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest, span);
}

static Datum calculate(Evaluator *evaluator, Operator operation, double a, double b, Span span,
                       Span right_span) {
    switch (operation) {
    case OPERATOR_ADD:
        return finite_number(evaluator, a + b, span);
    case OPERATOR_SUBTRACT:
        return finite_number(evaluator, a - b, span);
    case OPERATOR_MULTIPLY:
        return finite_number(evaluator, a * b, span);
    default:
        return divide_numbers(evaluator, operation, a, b, span, right_span);
    }
}

static Datum too_many_items(Evaluator *evaluator, Span span) {
    return evaluate_fail(evaluator, span, "a list has at most 100000 items");
}

/* A list from items, within the limits. */
static Datum make_list(Evaluator *evaluator, const Datum *items, size_t count, Span span) {
    if (!evaluate_spend(evaluator, count, span))
        return datum_unknown;
    Datum list = datum_list(evaluator->arena, items, count);
    if (list.list->depth > DATUM_DEEPEST_LIST)
        return evaluate_fail(evaluator, span, "lists are nested more than %d deep",
                             DATUM_DEEPEST_LIST);
    return list;
}

static Datum join_lists(Evaluator *evaluator, const List *a, const List *b, Span span) {
    size_t count = a->count + b->count;
    if (count > DATUM_MOST_ITEMS)
        return too_many_items(evaluator, span);
    if (!evaluate_spend(evaluator, count, span))
        return datum_unknown;
    Datum *items = arena_new_array(evaluator->arena, Datum, count);
    memcpy(items, a->items, a->count * sizeof(Datum));
    memcpy(items + a->count, b->items, b->count * sizeof(Datum));
    return make_list(evaluator, items, count, span);
}

/* An operand that no operator of arithmetic takes. */
static Datum refuse_operand(Evaluator *evaluator, Operator operation, Datum operand, Datum other,
                            Span span) {
    const char *sign = operator_text(operation);
    if (operand.kind == DATUM_FUNCTION && other.kind == DATUM_TENSOR) {
        const Function *function = operand.function;
        evaluate_fail(evaluator, span, "%s has no input yet, %s needs tensors",
                      function->callee.name, sign);
        evaluate_note(evaluator, "it is from %s", line_of(evaluator, function->span, span));
        evaluate_hint(evaluator, "write ... |> %s(...)", function->callee.name);
        return datum_unknown;
    }
    if (operand.kind == DATUM_LIST && datum_is_input(operand)) {
        evaluate_fail(evaluator, span, "%s needs a tensor, this is a list of %zu", sign,
                      operand.list->count);
        evaluate_hint(evaluator, "name the parts: a, b = ...");
        return datum_unknown;
    }
    return evaluate_fail(evaluator, span, "%s needs %s, this is %s", sign,
                         other.kind == DATUM_TENSOR  ? "a tensor or a number"
                         : operation == OPERATOR_ADD ? "numbers, tensors or lists"
                                                     : "numbers or tensors",
                         text_of(evaluator, operand));
}

static bool is_numeric(Datum datum) {
    return datum.kind == DATUM_NUMBER || datum.kind == DATUM_TENSOR;
}

static Datum arithmetic(Evaluator *evaluator, Operator operation, Datum left, Datum right,
                        Span left_span, Span right_span, Span span) {
    if (left.kind == DATUM_UNKNOWN || right.kind == DATUM_UNKNOWN)
        return datum_unknown;
    if (left.kind == DATUM_LIST && right.kind == DATUM_LIST && operation == OPERATOR_ADD)
        return join_lists(evaluator, left.list, right.list, span);
    if (!is_numeric(left) &&
        !(left.kind == DATUM_LIST && operation == OPERATOR_ADD && !is_numeric(right)))
        return refuse_operand(evaluator, operation, left, right, left_span);
    if (!is_numeric(right) || left.kind == DATUM_LIST)
        return refuse_operand(evaluator, operation, right, left, right_span);
    if (left.kind == DATUM_NUMBER && right.kind == DATUM_NUMBER)
        return calculate(evaluator, operation, left.number, right.number, span, right_span);
    if (operation == OPERATOR_FLOOR_DIVIDE || operation == OPERATOR_MODULO)
        return evaluate_fail(evaluator, span, "%s is for numbers, not for tensors",
                             operator_text(operation));
    return layer_arithmetic(evaluator, operation, left, right, left_span, right_span, span);
}

/* True or false, or a report. */
static bool as_condition(Evaluator *evaluator, Datum datum, const Expr *expr, bool *result) {
    if (datum.kind == DATUM_UNKNOWN)
        return false;
    if (datum.kind == DATUM_BOOLEAN) {
        *result = datum.boolean;
        return true;
    }
    evaluate_fail(evaluator, expr->span, "expected true or false, this is %s",
                  text_of(evaluator, datum));
    if (datum.kind == DATUM_NUMBER && expr->kind != EXPR_NUMBER)
        evaluate_hint(evaluator, "write a comparison such as %s > 0",
                      sources_text(&evaluator->file->sources, expr->span));
    return false;
}

static bool condition(Evaluator *evaluator, const Expr *expr, bool *result) {
    return as_condition(evaluator, evaluate(evaluator, expr), expr, result);
}

static Datum evaluate_logic(Evaluator *evaluator, const Expr *expr) {
    bool stop = expr->chain.links.items[0].operation == OPERATOR_OR, result;
    if (!condition(evaluator, expr->chain.first, &result))
        return datum_unknown;
    for (size_t i = 0; i < expr->chain.links.count && result != stop; i++)
        if (!condition(evaluator, expr->chain.links.items[i].operand, &result))
            return datum_unknown;
    return datum_boolean(result);
}

static Datum evaluate_chain(Evaluator *evaluator, const Expr *expr) {
    Operator first = expr->chain.links.items[0].operation;
    if (first == OPERATOR_OR || first == OPERATOR_AND)
        return evaluate_logic(evaluator, expr);
    Datum result = evaluate(evaluator, expr->chain.first);
    Span left = expr->chain.first->span;
    for (size_t i = 0; i < expr->chain.links.count; i++) {
        const Link *link = &expr->chain.links.items[i];
        Datum right = evaluate(evaluator, link->operand);
        Span span = span_join(left, link->operand->span);
        result =
            arithmetic(evaluator, link->operation, result, right, left, link->operand->span, span);
        left = span;
    }
    return result;
}

static Datum evaluate_negate(Evaluator *evaluator, const Expr *expr) {
    Datum operand = evaluate(evaluator, expr->inner);
    if (operand.kind == DATUM_NUMBER)
        return datum_number(-operand.number);
    if (operand.kind == DATUM_TENSOR)
        return layer_negate(evaluator, operand, expr->span);
    if (operand.kind == DATUM_UNKNOWN)
        return operand;
    return evaluate_fail(evaluator, expr->inner->span, "- needs a number or a tensor, this is %s",
                         text_of(evaluator, operand));
}

static Datum evaluate_not(Evaluator *evaluator, const Expr *expr) {
    bool result;
    if (!condition(evaluator, expr->inner, &result))
        return datum_unknown;
    return datum_boolean(!result);
}

/* A number for an operator, or a report. */
static bool as_number(Evaluator *evaluator, const Expr *expr, const char *sign, double *number) {
    Datum datum = evaluate(evaluator, expr);
    *number = datum.number;
    if (datum.kind != DATUM_NUMBER && datum.kind != DATUM_UNKNOWN)
        evaluate_fail(evaluator, expr->span, "%s needs numbers, this is %s", sign,
                      text_of(evaluator, datum));
    return datum.kind == DATUM_NUMBER;
}

static Datum evaluate_power(Evaluator *evaluator, const Expr *expr) {
    double base, exponent;
    bool fine = as_number(evaluator, expr->binary.left, "^", &base);
    if (!as_number(evaluator, expr->binary.right, "^", &exponent) || !fine)
        return datum_unknown;
    return finite_number(evaluator, pow(base, exponent), expr->span);
}

static bool whole_bound(Evaluator *evaluator, const Expr *expr, double number) {
    if (!number_is_whole(number))
        evaluate_fail(evaluator, expr->span, ".. needs whole numbers, this is %s",
                      number_text(evaluator->arena, number));
    return number_is_whole(number);
}

static Datum evaluate_range(Evaluator *evaluator, const Expr *expr) {
    double from, to;
    bool fine = as_number(evaluator, expr->binary.left, "..", &from);
    if (!as_number(evaluator, expr->binary.right, "..", &to) || !fine ||
        !whole_bound(evaluator, expr->binary.left, from) ||
        !whole_bound(evaluator, expr->binary.right, to))
        return datum_unknown;
    size_t count = to > from ? (size_t)(to - from) : 0;
    if (count > DATUM_MOST_ITEMS)
        return too_many_items(evaluator, expr->span);
    Datum *items = arena_new_array(evaluator->arena, Datum, count);
    for (size_t i = 0; i < count; i++)
        items[i] = datum_number(from + (double)i);
    return make_list(evaluator, items, count, expr->span);
}

/* ---- Comparisons ---- */

static Datum compare_values(Evaluator *evaluator, Datum a, Datum b, Span span);

static Datum compare_lists(Evaluator *evaluator, const List *a, const List *b, Span span) {
    if (a->count != b->count)
        return datum_boolean(false);
    for (size_t i = 0; i < a->count; i++) {
        Datum equal = compare_values(evaluator, a->items[i], b->items[i], span);
        if (equal.kind == DATUM_UNKNOWN || !equal.boolean)
            return equal;
    }
    return datum_boolean(true);
}

/* Whether two values are equal. Different kinds cannot be compared, nor tensors and functions. */
static Datum compare_values(Evaluator *evaluator, Datum a, Datum b, Span span) {
    if (datum_is_unknown(a) || datum_is_unknown(b) || !evaluate_spend(evaluator, 1, span))
        return datum_unknown;
    if (a.kind != b.kind)
        return evaluate_fail(evaluator, span, "%s and %s cannot be compared",
                             datum_kind_text(a.kind), datum_kind_text(b.kind));
    switch (a.kind) {
    case DATUM_NUMBER:
        return datum_boolean(a.number == b.number);
    case DATUM_BOOLEAN:
        return datum_boolean(a.boolean == b.boolean);
    case DATUM_STRING:
        return datum_boolean(strcmp(a.string, b.string) == 0);
    case DATUM_LIST:
        return compare_lists(evaluator, a.list, b.list, span);
    default:
        return evaluate_fail(evaluator, span, "%ss cannot be compared",
                             a.kind == DATUM_TENSOR ? "tensor" : "function");
    }
}

static Datum find_in_list(Evaluator *evaluator, Datum item, Datum list, const Expr *expr) {
    if (list.kind == DATUM_UNKNOWN)
        return list;
    if (list.kind != DATUM_LIST)
        return evaluate_fail(evaluator, expr->binary.right->span, "in needs a list, this is %s",
                             text_of(evaluator, list));
    for (size_t i = 0; i < list.list->count; i++) {
        Datum equal = compare_values(evaluator, item, list.list->items[i], expr->span);
        if (equal.kind == DATUM_UNKNOWN || equal.boolean)
            return equal;
    }
    return datum_boolean(false);
}

static Datum order(Evaluator *evaluator, const Expr *expr, Datum a, Datum b) {
    const char *sign = operator_text(expr->binary.operation);
    if (a.kind == DATUM_UNKNOWN || b.kind == DATUM_UNKNOWN)
        return datum_unknown;
    if (a.kind != DATUM_NUMBER)
        return evaluate_fail(evaluator, expr->binary.left->span, "%s needs numbers, this is %s",
                             sign, text_of(evaluator, a));
    if (b.kind != DATUM_NUMBER)
        return evaluate_fail(evaluator, expr->binary.right->span, "%s needs numbers, this is %s",
                             sign, text_of(evaluator, b));
    switch (expr->binary.operation) {
    case OPERATOR_LESS:
        return datum_boolean(a.number < b.number);
    case OPERATOR_LESS_EQUAL:
        return datum_boolean(a.number <= b.number);
    case OPERATOR_GREATER:
        return datum_boolean(a.number > b.number);
    default:
        return datum_boolean(a.number >= b.number);
    }
}

static Datum evaluate_compare(Evaluator *evaluator, const Expr *expr) {
    Datum a = evaluate(evaluator, expr->binary.left);
    Datum b = evaluate(evaluator, expr->binary.right);
    Operator operation = expr->binary.operation;
    if (operation == OPERATOR_IN)
        return find_in_list(evaluator, a, b, expr);
    if (operation != OPERATOR_EQUAL && operation != OPERATOR_NOT_EQUAL)
        return order(evaluator, expr, a, b);
    Datum equal = compare_values(evaluator, a, b, expr->span);
    if (equal.kind == DATUM_BOOLEAN && operation == OPERATOR_NOT_EQUAL)
        equal.boolean = !equal.boolean;
    return equal;
}

/* ---- Parts of values ---- */

static Datum evaluate_index(Evaluator *evaluator, const Expr *expr) {
    Datum base = evaluate(evaluator, expr->index.base);
    Datum index = evaluate(evaluator, expr->index.index);
    Span span = expr->index.index->span;
    if (base.kind == DATUM_UNKNOWN || index.kind == DATUM_UNKNOWN)
        return datum_unknown;
    if (base.kind != DATUM_LIST)
        return evaluate_fail(evaluator, expr->index.base->span, "[ ] needs a list, this is %s",
                             text_of(evaluator, base));
    if (index.kind != DATUM_NUMBER || !number_is_whole(index.number))
        return evaluate_fail(evaluator, span, "an index must be a whole number, this is %s",
                             text_of(evaluator, index));
    double count = (double)base.list->count;
    double place = index.number < 0 ? index.number + count : index.number;
    if (place < 0 || place >= count)
        return evaluate_fail(evaluator, span, "index %s is outside the list %s",
                             number_text(evaluator->arena, index.number), text_of(evaluator, base));
    return base.list->items[(size_t)place];
}

static Datum evaluate_member(Evaluator *evaluator, const Expr *expr) {
    Datum base = evaluate(evaluator, expr->member.base);
    const char *name = expr->member.name;
    if (base.kind == DATUM_UNKNOWN)
        return base;
    if (base.kind != DATUM_TENSOR)
        return evaluate_fail(evaluator, expr->member.base->span, ".%s needs a tensor, this is %s",
                             name, text_of(evaluator, base));
    const Type *type = &base.tensor->type;
    bool space = type_has_space(type);
    if (strcmp(name, "channels") == 0)
        return datum_number((double)type->channels);
    if (strcmp(name, "height") == 0)
        return datum_number(space ? (double)type->extent[0] : 1);
    if (strcmp(name, "width") == 0)
        return datum_number(space ? (double)type->extent[1] : 1);
    evaluate_fail(evaluator, expr->member.span, "a tensor has no %s", name);
    evaluate_hint(evaluator, "it has channels, height and width");
    return datum_unknown;
}

static Datum evaluate_list(Evaluator *evaluator, const Expr *expr) {
    if (expr->list.count > DATUM_MOST_ITEMS)
        return too_many_items(evaluator, expr->span);
    Datum *items = arena_new_array(evaluator->arena, Datum, expr->list.count);
    for (size_t i = 0; i < expr->list.count; i++)
        items[i] = evaluate(evaluator, expr->list.items[i]);
    return make_list(evaluator, items, expr->list.count, expr->span);
}

static Datum evaluate_conditional(Evaluator *evaluator, const Expr *expr) {
    for (size_t i = 0; i < expr->conditional.arms.count; i++) {
        bool taken;
        if (!condition(evaluator, expr->conditional.arms.items[i].condition, &taken))
            return datum_unknown;
        if (taken)
            return evaluate(evaluator, expr->conditional.arms.items[i].value);
    }
    return evaluate(evaluator, expr->conditional.otherwise);
}

static Datum evaluate_pipe(Evaluator *evaluator, const Expr *expr) {
    Datum value = evaluate(evaluator, expr->pipe.first);
    Span span = expr->pipe.first->span;
    for (size_t i = 0; i < expr->pipe.stages.count; i++) {
        const PipeStage *stage = &expr->pipe.stages.items[i];
        value = evaluate_call(evaluator, stage->call, &value, span, stage->label);
        span = span_join(span, stage->call->span);
    }
    return value;
}

static Datum evaluate_kind(Evaluator *evaluator, const Expr *expr) {
    switch (expr->kind) {
    case EXPR_NUMBER:
        return datum_number(expr->number);
    case EXPR_STRING:
        return datum_string(expr->string);
    case EXPR_BOOLEAN:
        return datum_boolean(expr->boolean);
    case EXPR_NAME:
        return evaluate_name(evaluator, expr);
    case EXPR_GROUP:
        return evaluate(evaluator, expr->inner);
    case EXPR_LIST:
        return evaluate_list(evaluator, expr);
    case EXPR_CALL:
        return evaluate_call(evaluator, expr->call, NULL, expr->span, NULL);
    case EXPR_CHAIN:
        return evaluate_chain(evaluator, expr);
    case EXPR_NEGATE:
        return evaluate_negate(evaluator, expr);
    case EXPR_NOT:
        return evaluate_not(evaluator, expr);
    case EXPR_POWER:
        return evaluate_power(evaluator, expr);
    case EXPR_COMPARE:
        return evaluate_compare(evaluator, expr);
    case EXPR_RANGE:
        return evaluate_range(evaluator, expr);
    case EXPR_CONDITIONAL:
        return evaluate_conditional(evaluator, expr);
    case EXPR_PIPE:
        return evaluate_pipe(evaluator, expr);
    case EXPR_INDEX:
        return evaluate_index(evaluator, expr);
    default:
        return evaluate_member(evaluator, expr);
    }
}

/* Goes one level deeper; false when that is too deep. Every true is undone by `depth--`. */
static bool descend(Evaluator *evaluator, Span span) {
    if (!evaluate_spend(evaluator, 1, span))
        return false;
    if (++evaluator->depth <= EVALUATE_DEEPEST_EXPRESSION)
        return true;
    evaluator->depth--;
    evaluate_fail(evaluator, span, "expressions, bodies and calls are more than %d deep here",
                  EVALUATE_DEEPEST_EXPRESSION);
    evaluator->aborted = true;
    return false;
}

Datum evaluate(Evaluator *evaluator, const Expr *expr) {
    if (!descend(evaluator, expr->span))
        return datum_unknown;
    Datum result = evaluate_kind(evaluator, expr);
    evaluator->depth--;
    return evaluator->aborted ? datum_unknown : result;
}

/* ---- Statements ---- */

static void set_unknown(Evaluator *evaluator, const TargetList *targets) {
    for (size_t i = 0; i < targets->count; i++)
        evaluator->frame->slots[targets->items[i].slot] = datum_unknown;
}

/* What a body would set is unknown, as it is unknown whether it runs; so is the result of a block
 * that it may end. */
static void forget_body(Evaluator *evaluator, const Body *body) {
    for (size_t i = 0; i < body->statements.count; i++) {
        const Statement *statement = body->statements.items[i];
        if (statement->kind == STATEMENT_RETURN) {
            evaluator->frame->result = datum_unknown;
            evaluator->frame->returned = true;
        }
        set_unknown(evaluator, &statement->targets);
        if (statement->body)
            forget_body(evaluator, statement->body);
        for (size_t k = 0; k < statement->branches.count; k++)
            forget_body(evaluator, statement->branches.items[k].body);
        if (statement->otherwise)
            forget_body(evaluator, statement->otherwise);
    }
}

static void assign(Evaluator *evaluator, const TargetList *targets, Datum value, Span span) {
    Datum *slots = evaluator->frame->slots;
    if (targets->count == 1) {
        slots[targets->items[0].slot] = value;
        return;
    }
    set_unknown(evaluator, targets);
    if (value.kind == DATUM_UNKNOWN)
        return;
    if (value.kind != DATUM_LIST) {
        evaluate_fail(evaluator, span, "%zu names on the left need a list, this is %s",
                      targets->count, text_of(evaluator, value));
        return;
    }
    if (value.list->count != targets->count) {
        evaluate_fail(evaluator, span, "%zu names on the left, %zu value%s in %s", targets->count,
                      value.list->count, value.list->count == 1 ? "" : "s",
                      text_of(evaluator, value));
        return;
    }
    for (size_t i = 0; i < targets->count; i++)
        slots[targets->items[i].slot] = value.list->items[i];
}

static void evaluate_for(Evaluator *evaluator, const Statement *statement) {
    Datum list = evaluate(evaluator, statement->expr);
    if (list.kind != DATUM_LIST) {
        if (list.kind != DATUM_UNKNOWN) {
            evaluate_fail(evaluator, statement->expr->span, "for runs over a list, this is %s",
                          text_of(evaluator, list));
            if (list.kind == DATUM_NUMBER)
                evaluate_hint(evaluator, "write 0..%s",
                              sources_text(&evaluator->file->sources, statement->expr->span));
        }
        set_unknown(evaluator, &statement->targets);
        forget_body(evaluator, statement->body);
        return;
    }
    for (size_t i = 0; i < list.list->count; i++) {
        if (evaluator->aborted || evaluator->frame->returned ||
            !evaluate_spend(evaluator, 1, statement->span))
            return;
        assign(evaluator, &statement->targets, list.list->items[i], statement->expr->span);
        evaluate_body(evaluator, statement->body);
    }
}

static void evaluate_if(Evaluator *evaluator, const Statement *statement) {
    for (size_t i = 0; i < statement->branches.count; i++) {
        bool taken;
        if (!condition(evaluator, statement->branches.items[i].condition, &taken)) {
            for (size_t k = 0; k < statement->branches.count; k++)
                forget_body(evaluator, statement->branches.items[k].body);
            if (statement->otherwise)
                forget_body(evaluator, statement->otherwise);
            return;
        }
        if (taken) {
            evaluate_body(evaluator, statement->branches.items[i].body);
            return;
        }
    }
    if (statement->otherwise)
        evaluate_body(evaluator, statement->otherwise);
}

static void evaluate_feature(Evaluator *evaluator, const Statement *statement) {
    Datum value = evaluate(evaluator, statement->expr);
    Feature feature = {.span = statement->span, .value_span = statement->expr->span};
    if (value.kind == DATUM_TENSOR && type_has_space(&value.tensor->type)) {
        feature.value = value.tensor;
        vector_push(evaluator->arena, &evaluator->features, feature);
        return;
    }
    if (value.kind == DATUM_TENSOR)
        evaluate_fail(evaluator, statement->expr->span,
                      "a feature is a map, this has one value per channel and image");
    else if (value.kind != DATUM_UNKNOWN)
        evaluate_fail(evaluator, statement->expr->span, "a feature is a tensor, this is %s",
                      text_of(evaluator, value));
}

static void evaluate_head(Evaluator *evaluator, const Statement *statement) {
    Datum value = evaluate(evaluator, statement->expr);
    evaluator->logits_span = statement->expr->span;
    if (value.kind == DATUM_TENSOR)
        evaluator->logits = value.tensor;
    else if (value.kind != DATUM_UNKNOWN)
        evaluate_fail(evaluator, statement->expr->span, "the head is a tensor, this is %s",
                      text_of(evaluator, value));
}

static void evaluate_statement(Evaluator *evaluator, const Statement *statement) {
    switch (statement->kind) {
    case STATEMENT_ASSIGN:
        assign(evaluator, &statement->targets, evaluate(evaluator, statement->expr),
               statement->expr->span);
        break;
    case STATEMENT_FEATURE:
        evaluate_feature(evaluator, statement);
        break;
    case STATEMENT_RETURN:
        evaluator->frame->result = evaluate(evaluator, statement->expr);
        evaluator->frame->returned = true;
        break;
    case STATEMENT_HEAD:
        evaluate_head(evaluator, statement);
        break;
    case STATEMENT_FOR:
        evaluate_for(evaluator, statement);
        break;
    case STATEMENT_IF:
        evaluate_if(evaluator, statement);
        break;
    }
}

void evaluate_body(Evaluator *evaluator, const Body *body) {
    for (size_t i = 0; i < body->statements.count; i++) {
        if (evaluator->frame->returned || !descend(evaluator, body->statements.items[i]->span))
            return;
        evaluate_statement(evaluator, body->statements.items[i]);
        evaluator->depth--;
    }
}
