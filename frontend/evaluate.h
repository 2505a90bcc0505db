/* The evaluation of a network: values, variables, calls, names of layers, errors with their calls.
 * Everything that can be wrong is reported once, where it is found; what depends on it is then
 * DATUM_UNKNOWN and causes no further errors. */
#ifndef SPARKC_FRONTEND_EVALUATE_H
#define SPARKC_FRONTEND_EVALUATE_H

#include "frontend/value.h"

enum {
    EVALUATE_DEEPEST_CALL = 100,
    EVALUATE_DEEPEST_EXPRESSION =
        3000, /* expressions and statements inside one another, over all calls */
    EVALUATE_MOST_STEPS = 10000000,
    EVALUATE_MOST_LAYERS = 100000,
    EVALUATE_LONGEST_NAME = 200
};

/* Where a block was called. */
typedef struct CallSite {
    const struct CallSite *parent;
    const char *block;
    Span span, name_span;
    const Label *label;     /* or NULL */
    const char *label_text; /* the label alone */
} CallSite;

/* A layer with parameters that waits for its name. */
typedef struct LayerName {
    const char *name; /* NULL until it is known */
    const char *op;
    Span span; /* its label, or the op's name */
    const CallSite *site;
    const char *const
        *parameters; /* "weight", ...; "" for a parameter that is called like the layer */
    size_t parameter_count;
} LayerName;

/* The innermost labelled call around what is evaluated, or the network. */
typedef struct Scope {
    struct Scope *parent;
    const char *path; /* "" in the network */
    size_t layers;    /* with parameters, in it and below */
    VECTOR(LayerName *) unnamed;
} Scope;

/* A parameter or state of the graph, in the order of evaluation. */
typedef struct Holding {
    LayerName *layer;
    const char *suffix; /* "weight"; "" for the layer's own name */
    Node *node;
    bool is_state;
    Segment segment;
    StateSlot state;
} Holding;

/* How many image pixels a position covers in one direction, exactly. */
typedef struct Stride {
    int64_t pixels, positions; /* pixels / positions, in lowest terms; 0 / 0: beyond all sizes */
} Stride;

/* What the front end knows of a node; node->mark is its index + 1. */
typedef struct NodeRecord {
    Span span; /* of the call or operator */
    const CallSite *site;
    const char *path;  /* of the labels around it */
    const char *label; /* its own, or NULL */
    bool last;         /* its result is the layer's */
    Stride stride[2];  /* height, width; of results with space */
} NodeRecord;

/* The variables of one call of a block. */
typedef struct Frame {
    const Definition *definition;
    Datum *slots;
    size_t capacity;
    bool returned;
    Datum result;
} Frame;

typedef struct Feature {
    Value *value;
    Span span, value_span;
    Stride stride;
} Feature;

typedef struct Evaluator {
    Arena *arena;
    FrontendFile *file;
    Diagnostics *diagnostics;
    Graph *graph;
    const CallSite *site;
    Scope *scope;
    Frame *frame;
    Frame frames[EVALUATE_DEEPEST_CALL + 1];
    int calls; /* blocks being evaluated */
    int depth; /* of expressions */
    int64_t steps;
    size_t layers;
    bool aborted;    /* a limit was passed: everything is unknown from here on */
    bool failed;     /* an error was reported */
    bool muted;      /* the last message repeats an earlier one and was not reported */
    Table *reported; /* places of errors */
    Table *names;    /* parameter name -> LayerName */
    int64_t streams; /* random streams given out */
    VECTOR(Holding) holdings;
    VECTOR(NodeRecord) records;
    VECTOR(Feature) features;
    Value *logits;
    Span logits_span;
} Evaluator;

/* Reports an error at a span, once per span, with the calls that led there. Returns datum_unknown.
 */
Datum evaluate_fail(Evaluator *evaluator, Span span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* callee_check for a callee that is known only now. */
bool evaluate_check_call(Evaluator *evaluator, const Callee *callee, const Call *call, bool piped);

/* A warning or note at a span, once per span of a file. */
void evaluate_remark(Evaluator *evaluator, Severity severity, Span span, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds to the last of these messages. */
void evaluate_note(Evaluator *evaluator, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void evaluate_hint(Evaluator *evaluator, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Counts work. False (once with a report) when there was too much of it. */
bool evaluate_spend(Evaluator *evaluator, size_t steps, Span span);

/* The value of an expression in the present frame. */
Datum evaluate(Evaluator *evaluator, const Expr *expr);

/* Runs the statements of the present frame's body. */
void evaluate_body(Evaluator *evaluator, const Body *body);

/* The value of a call; `input` is what the pipe brings (NULL: none), `label` its label or NULL. */
Datum evaluate_call(Evaluator *evaluator, const Call *call, const Datum *input, Span input_span,
                    const Label *label);

/* Gives the parameter of a frame that has no value its default; reports what is missing. */
bool evaluate_defaults(Evaluator *evaluator, Frame *frame, Span span, const char *name);

/* A double that is a whole number within +-(2^31 - 1). */
bool number_is_whole(double number);

#endif
