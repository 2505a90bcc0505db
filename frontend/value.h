/* The values of the language. */
#ifndef SPARKC_FRONTEND_VALUE_H
#define SPARKC_FRONTEND_VALUE_H

#include "frontend/callee.h"
#include "ir/graph.h"

enum { DATUM_MOST_ITEMS = 100000, DATUM_DEEPEST_LIST = 200 };

typedef enum DatumKind {
    DATUM_UNSET,   /* a variable that nothing has set */
    DATUM_UNKNOWN, /* the result of a mistake that is reported; causes no further ones */
    DATUM_NUMBER,
    DATUM_BOOLEAN,
    DATUM_STRING,
    DATUM_LIST,
    DATUM_TENSOR,
    DATUM_FUNCTION
} DatumKind;

typedef struct Datum {
    DatumKind kind;
    union {
        double number;
        bool boolean;
        const char *string;
        const struct List *list;
        Value *tensor;
        const struct Function *function;
    };
} Datum;

typedef struct List {
    size_t count;
    uint32_t depth; /* of lists in lists, 1 for a flat one */
    const Datum *items;
} List;

typedef struct BoundArgument {
    Datum value; /* DATUM_UNSET: not given */
    Span span;   /* of the value, where it was given */
    bool by_name;
} BoundArgument;

/* A block or op with the arguments given so far; waits for its input. */
typedef struct Function {
    Callee callee;
    Span span;                  /* where it was made */
    size_t placed;              /* arguments by place given so far */
    size_t count;               /* entries of `bound` */
    const BoundArgument *bound; /* by the callee's parameters; [0] is never set; those beyond the
                                   parameters are further tensors of an open op */
} Function;

/* A value of each kind; an unknown one stands for what an error left open. */
Datum datum_number(double number);
Datum datum_boolean(bool boolean);
Datum datum_string(const char *string);
Datum datum_tensor(Value *tensor);
extern const Datum datum_unknown;

/* A list of `count` items, which are borrowed. */
Datum datum_list(Arena *arena, const Datum *items, size_t count);

/* True for a tensor or a non-empty list of tensors. */
bool datum_is_input(Datum datum);

/* True if the value is unknown or a list that holds something unknown at its first level. */
bool datum_is_unknown(Datum datum);

/* The value in the words of messages, at most about 60 characters: "1.5", "[32, 64]", "a list of
 * 2". */
const char *datum_text(Arena *arena, Datum datum);

/* A number as the language writes it, the shortest that reads back the same. */
const char *number_text(Arena *arena, double number);

/* "a number", "true or false", "a string", "a list", "a tensor", "a function". */
const char *datum_kind_text(DatumKind kind);

#endif
