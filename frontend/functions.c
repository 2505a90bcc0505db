#include "frontend/functions.h"

#include <math.h>
#include <string.h>

static double number_of(const FunctionCall *call, size_t index) {
    return call->values[index].number;
}

static const char *shown(Evaluator *evaluator, Datum datum) {
    return datum_text(evaluator->arena, datum);
}

/* Every given argument must be a number. */
static bool want_numbers(Evaluator *evaluator, const FunctionInfo *info, const FunctionCall *call) {
    for (size_t i = 0; i < CALLEE_MOST_PARAMETERS; i++)
        if (call->values[i].kind != DATUM_UNSET && call->values[i].kind != DATUM_NUMBER) {
            evaluate_fail(evaluator, call->spans[i], "%s needs numbers, this is %s", info->name,
                          shown(evaluator, call->values[i]));
            return false;
        }
    return true;
}

static Datum checked(Evaluator *evaluator, const FunctionCall *call, double number) {
    if (isfinite(number))
        return datum_number(number);
    return evaluate_fail(evaluator, call->span, "the result is not a finite number");
}

static bool want_list(Evaluator *evaluator, const FunctionInfo *info, const FunctionCall *call) {
    if (call->values[0].kind == DATUM_LIST)
        return evaluate_spend(evaluator, call->values[0].list->count, call->span);
    evaluate_fail(evaluator, call->spans[0], "%s needs a list, this is %s", info->name,
                  shown(evaluator, call->values[0]));
    return false;
}

static bool want_list_of_numbers(Evaluator *evaluator, const FunctionInfo *info,
                                 const FunctionCall *call) {
    if (!want_list(evaluator, info, call))
        return false;
    const List *list = call->values[0].list;
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].kind != DATUM_NUMBER) {
            Span span = call->count > 1 ? call->span : call->spans[0];
            evaluate_fail(evaluator, span, "%s needs numbers, this holds %s", info->name,
                          shown(evaluator, list->items[i]));
            return false;
        }
    return true;
}

static Datum function_len(Evaluator *evaluator, const FunctionInfo *info,
                          const FunctionCall *call) {
    if (!want_list(evaluator, info, call))
        return datum_unknown;
    return datum_number((double)call->values[0].list->count);
}

static Datum function_sum(Evaluator *evaluator, const FunctionInfo *info,
                          const FunctionCall *call) {
    if (!want_list_of_numbers(evaluator, info, call))
        return datum_unknown;
    double sum = 0;
    for (size_t i = 0; i < call->values[0].list->count; i++)
        sum += call->values[0].list->items[i].number;
    return checked(evaluator, call, sum);
}

/* min and max: of a list, or of several numbers. */
static Datum function_extreme(Evaluator *evaluator, const FunctionInfo *info,
                              const FunctionCall *call) {
    if (!want_list_of_numbers(evaluator, info, call))
        return datum_unknown;
    const List *list = call->values[0].list;
    if (list->count == 0)
        return evaluate_fail(evaluator, call->span, "%s of an empty list has no value", info->name);
    bool largest = strcmp(info->name, "max") == 0;
    double result = list->items[0].number;
    for (size_t i = 1; i < list->count; i++) {
        double number = list->items[i].number;
        if (largest ? number > result : number < result)
            result = number;
    }
    return datum_number(result);
}

static Datum function_rounding(Evaluator *evaluator, const FunctionInfo *info,
                               const FunctionCall *call) {
    if (!want_numbers(evaluator, info, call))
        return datum_unknown;
    double number = number_of(call, 0);
    switch (info->name[0]) {
    case 'a':
        return datum_number(fabs(number));
    case 'f':
        return datum_number(floor(number));
    case 'c':
        return datum_number(ceil(number));
    default:
        return datum_number(nearbyint(number));
    }
}

static Datum function_linspace(Evaluator *evaluator, const FunctionInfo *info,
                               const FunctionCall *call) {
    if (!want_numbers(evaluator, info, call))
        return datum_unknown;
    double from = number_of(call, 0), to = number_of(call, 1), wanted = number_of(call, 2);
    if (!number_is_whole(wanted) || wanted < 0)
        return evaluate_fail(evaluator, call->spans[2],
                             "n must be a whole number from 0 up, this is %s",
                             shown(evaluator, call->values[2]));
    if (wanted > (double)DATUM_MOST_ITEMS)
        return evaluate_fail(evaluator, call->spans[2], "a list has at most 100000 items");
    size_t count = (size_t)wanted;
    if (!evaluate_spend(evaluator, count, call->span))
        return datum_unknown;
    Datum *items = arena_new_array(evaluator->arena, Datum, count);
    for (size_t i = 0; i < count; i++) {
        double share = count > 1 ? (double)i / (double)(count - 1) : 0;
        items[i] =
            checked(evaluator, call, i + 1 == count && i > 0 ? to : from + (to - from) * share);
        if (items[i].kind == DATUM_UNKNOWN)
            return datum_unknown;
    }
    return datum_list(evaluator->arena, items, count);
}

/* Channel counts as MobileNet rounds them: the multiple nearest to v (halves up), never more than a
 * tenth below it. */
static Datum function_make_divisible(Evaluator *evaluator, const FunctionInfo *info,
                                     const FunctionCall *call) {
    if (!want_numbers(evaluator, info, call))
        return datum_unknown;
    double v = number_of(call, 0);
    double divisor = call->values[1].kind == DATUM_NUMBER ? number_of(call, 1) : 8;
    if (!number_is_whole(divisor) || divisor < 1)
        return evaluate_fail(evaluator, call->spans[1],
                             "divisor must be a whole number from 1 up, this is %s",
                             shown(evaluator, call->values[1]));
    double result = floor((v + divisor / 2) / divisor) * divisor;
    if (result < divisor)
        result = divisor;
    if (result < 0.9 * v)
        result += divisor;
    return checked(evaluator, call, result);
}

static const FunctionInfo functions[] = {
    {"len", function_len, false, {{"list", ARGUMENT_ANY, NULL}}},
    {"sum", function_sum, false, {{"list", ARGUMENT_ANY, NULL}}},
    {"min", function_extreme, true, {{"list", ARGUMENT_ANY, NULL}}},
    {"max", function_extreme, true, {{"list", ARGUMENT_ANY, NULL}}},
    {"abs", function_rounding, false, {{"v", ARGUMENT_NUMBER, NULL}}},
    {"floor", function_rounding, false, {{"v", ARGUMENT_NUMBER, NULL}}},
    {"ceil", function_rounding, false, {{"v", ARGUMENT_NUMBER, NULL}}},
    {"round", function_rounding, false, {{"v", ARGUMENT_NUMBER, NULL}}},
    {"linspace",
     function_linspace,
     false,
     {{"a", ARGUMENT_NUMBER, NULL}, {"b", ARGUMENT_NUMBER, NULL}, {"n", ARGUMENT_NUMBER, NULL}}},
    {"make_divisible",
     function_make_divisible,
     false,
     {{"v", ARGUMENT_NUMBER, NULL}, {"divisor", ARGUMENT_NUMBER, "8"}}},
};

const FunctionInfo *function_at(size_t index) {
    return index < sizeof functions / sizeof functions[0] ? &functions[index] : NULL;
}

const FunctionInfo *function_find(const char *name) {
    for (size_t i = 0; function_at(i); i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}
