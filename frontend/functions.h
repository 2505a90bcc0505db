/* The functions of numbers (docs/language.md, "Functions of numbers"). */
#ifndef SPARKC_FRONTEND_FUNCTIONS_H
#define SPARKC_FRONTEND_FUNCTIONS_H

#include "frontend/callee.h"
#include "frontend/evaluate.h"

/* The arguments of a call by their place in the row; kind DATUM_UNSET: not given. */
typedef struct FunctionCall {
    Span span;
    size_t count;
    Datum values[CALLEE_MOST_PARAMETERS];
    Span spans[CALLEE_MOST_PARAMETERS];
} FunctionCall;

typedef Datum FunctionRule(Evaluator *evaluator, const struct FunctionInfo *info,
                           const FunctionCall *call);

typedef struct FunctionInfo {
    const char *name;
    FunctionRule *evaluate;
    bool open; /* takes any number of arguments by place, put into one list */
    ArgumentInfo parameters[3];
} FunctionInfo;

/* The row of a name, or NULL; the rows in order, NULL behind the last. */
const FunctionInfo *function_find(const char *name);
const FunctionInfo *function_at(size_t index);

#endif
