/* What a call can name: a block, an op of the language, or a function of numbers; and the rows of
 * the tables of the last two. */
#ifndef SPARKC_FRONTEND_CALLEE_H
#define SPARKC_FRONTEND_CALLEE_H

#include "frontend/program.h"

enum { CALLEE_MOST_PARAMETERS = 10 };

/* What an argument of an op or a function must be. */
typedef enum ArgumentKind {
    ARGUMENT_TENSOR,
    ARGUMENT_TENSORS, /* a tensor or a list of them; further tensors by place */
    ARGUMENT_COUNT,   /* a whole number from 1 */
    ARGUMENT_WINDOW,  /* a whole number from 1, or [height, width] */
    ARGUMENT_MARGIN,  /* a whole number from 0, or [height, width] */
    ARGUMENT_BOOLEAN,
    ARGUMENT_NUMBER,
    ARGUMENT_SPREAD,   /* a number from 0: a standard deviation, an epsilon */
    ARGUMENT_POSITIVE, /* a number above 0 */
    ARGUMENT_SHARE,    /* from 0 to 1 */
    ARGUMENT_RATE,     /* from 0, below 1 */
    ARGUMENT_MODE,     /* a string */
    ARGUMENT_COUNTS,   /* a list of whole numbers from 1 */
    ARGUMENT_ANY
} ArgumentKind;

/* standard: NULL if the argument must be given, "" if nothing stands for it, else its default as
 * the language writes it, or the name of the argument whose value it takes. */
typedef struct ArgumentInfo {
    const char *name;
    ArgumentKind kind;
    const char *standard;
} ArgumentInfo;

typedef enum CalleeKind { CALLEE_NONE, CALLEE_BLOCK, CALLEE_LAYER, CALLEE_FUNCTION } CalleeKind;

typedef struct Callee {
    CalleeKind kind;
    const char *name;
    const Definition *block;
    const struct LayerInfo *layer;
    const struct FunctionInfo *function;
} Callee;

/* What a name stands for as a callee: a block first, then an op, then a function. */
Callee callee_find(const FrontendFile *file, const char *name);

/* How many parameters a callee has, its input first, and what each is called. */
size_t callee_parameters(const Callee *callee);
const char *callee_parameter(const Callee *callee, size_t index);

/* The index of a parameter by name, or -1. */
int callee_parameter_index(const Callee *callee, const char *name);

/* True if arguments by place go on without end (concat, min, max). */
bool callee_open(const Callee *callee);

/* Checks the arguments of one call by themselves: known names, none twice, places before names, not
 * too many. `piped`: the input comes from a pipe. Reports the first mistake and returns false. */
bool callee_check(const FrontendFile *file, const Callee *callee, const Call *call, bool piped);

/* Reports that nothing of the name can be called, with the nearest name among all that can and
 * `more`. */
void callee_report_unknown(const FrontendFile *file, Span span, const char *name,
                           const char *message, const char *const *more, size_t more_count);

/* The nearest of `candidates`, or what PyTorch's or Python's `name` is called here, or NULL. */
const char *callee_suggest(const char *name, const char *const *candidates, size_t count);

#endif
