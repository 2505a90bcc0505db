/* What ir/ops.def says of each op, as data. The attribute and operand lists of a row are parsed
 * once, at the first use of the table. */
#ifndef SPARKC_IR_OP_H
#define SPARKC_IR_OP_H

#include <stdbool.h>
#include <stdint.h>

typedef enum Op {
#define OP(name, ...) OP_##name,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} Op;

typedef enum OpFlag {
    OP_SOURCE = 1,      /* has no operands, its type is stated */
    OP_EFFECT = 2,      /* kept although nothing uses it */
    OP_COMMUTATIVE = 4, /* of its two operands */
    OP_COMPOSITE = 8,   /* gone after the expand pass */
    OP_AUTODIFF = 16,   /* comes from the autodiff pass only */
    OP_ACTIVATION = 32  /* a row of ir/activations.def, or its derivative */
} OpFlag;

/* What an op does to a masked operand. */
typedef enum MaskedRule {
    MASKED_ROWS,     /* each visible position on its own; nothing changes */
    MASKED_TAPS,     /* a window: hidden taps read as zero, only visible outputs are computed */
    MASKED_VISIBLE,  /* statistics over visible positions only */
    MASKED_IMAGE,    /* a mean over the visible positions of each image */
    MASKED_UPSAMPLE, /* nearest: each visible position fills its square; bilinear is refused */
    MASKED_REFUSED,  /* no masked form exists */
    MASKED_INTERNAL  /* not an op of the language */
} MaskedRule;

/* One sentence for the report of `sparkc check`. */
const char *masked_rule_text(MaskedRule rule);

typedef enum AttributeKind {
    ATTRIBUTE_INT,
    ATTRIBUTE_FLOAT,
    ATTRIBUTE_BOOL,
    ATTRIBUTE_INTS,
    ATTRIBUTE_TEXT, /* any text, printed quoted */
    ATTRIBUTE_WORD  /* a word of letters and underscores, printed bare */
} AttributeKind;

enum { OP_MAX_OPERANDS = 8, OP_MAX_RESULTS = 3, OP_MAX_ATTRIBUTES = 8, ATTRIBUTE_MAX_INTS = 3 };

typedef struct Attribute {
    AttributeKind kind;
    int count; /* ints: how many */
    union {
        int64_t integer; /* int; bool as 0 or 1 */
        double real;
        const char *text; /* text, word */
        int64_t ints[ATTRIBUTE_MAX_INTS];
    };
} Attribute;

typedef struct AttributeInfo {
    const char *name;
    AttributeKind kind;
    bool has_default;
    Attribute standard; /* the default */
} AttributeInfo;

typedef struct OpInfo {
    const char *name;
    int operand_count;  /* named operands, optional ones included */
    int required_count; /* operands that must be there */
    bool variadic;      /* the last operand repeats */
    const char *operands[OP_MAX_OPERANDS];
    int result_count;
    const char *results[OP_MAX_RESULTS];
    int attribute_count;
    AttributeInfo attributes[OP_MAX_ATTRIBUTES];
    bool type_stated; /* the shape column says `stated` */
    MaskedRule masked;
    unsigned flags;
} OpInfo;

/* The row of an op. Valid for the life of the program; safe from any thread. */
const OpInfo *op_info(Op op);

/* The op of a name, or OP_COUNT. */
Op op_by_name(const char *name);

/* The place of an attribute in its op's list, or -1. */
int op_attribute_index(Op op, const char *name);

/* The same kind and value; doubles bit for bit, texts by their letters. */
bool attribute_equal(const Attribute *a, const Attribute *b);

#endif
