/* The tree of `.cnn` files. Nodes carry their place as bytes of a file; all live in one arena.
 * Chains such as a + b + c, pipes, lists and else-if are nodes with many children, and what nests
 * is bounded by AST_NESTING, so every walk over the tree may recurse. */
#ifndef SPARKC_FRONTEND_AST_H
#define SPARKC_FRONTEND_AST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/vector.h"

enum {
    AST_BRACKETS = 200, /* brackets and bodies that are open at once */
    AST_NESTING =
        1000 /* nodes of an expression inside one another: also signs, powers, conditions */
};

/* The bytes [begin, end) of file number `file` (frontend/source.h). */
typedef struct Span {
    uint32_t file, begin, end;
} Span;

/* From the first byte of `first` to the last of `last`. */
Span span_join(Span first, Span last);

typedef enum Operator {
    OPERATOR_OR,
    OPERATOR_AND,
    OPERATOR_ADD,
    OPERATOR_SUBTRACT,
    OPERATOR_MULTIPLY,
    OPERATOR_DIVIDE,
    OPERATOR_FLOOR_DIVIDE,
    OPERATOR_MODULO,
    OPERATOR_EQUAL,
    OPERATOR_NOT_EQUAL,
    OPERATOR_LESS,
    OPERATOR_LESS_EQUAL,
    OPERATOR_GREATER,
    OPERATOR_GREATER_EQUAL,
    OPERATOR_IN
} Operator;

/* As it is written: "+", "and". */
const char *operator_text(Operator operation);

typedef struct Expr Expr;
typedef struct Definition Definition;

typedef VECTOR(Expr *) ExprList;

/* An argument of a call; name NULL: by place. */
typedef struct Argument {
    const char *name;
    Span name_span, span; /* span: name and value */
    Expr *value;
} Argument;

typedef VECTOR(Argument) ArgumentList;

/* `name(arguments)`, or a bare `name` as a stage of a pipe. slot: see Name. */
typedef struct Call {
    const char *name;
    Span name_span, span;
    ArgumentList arguments;
    int32_t slot;
} Call;

typedef enum PieceKind { PIECE_TEXT, PIECE_DOT, PIECE_EXPR } PieceKind;

typedef struct Piece {
    PieceKind kind;
    Span span;
    const char *text; /* PIECE_TEXT */
    Expr *expr;       /* PIECE_EXPR */
} Piece;

typedef struct Label {
    Span span;
    VECTOR(Piece) pieces;
} Label;

typedef struct PipeStage {
    Label *label; /* NULL: none */
    Call *call;
} PipeStage;

/* One more operand of a chain of operators of equal strength, applied from left to right. */
typedef struct Link {
    Operator operation;
    Span span; /* of the operator */
    Expr *operand;
} Link;

typedef VECTOR(Link) LinkList;
typedef VECTOR(PipeStage) StageList;

typedef struct Arm {
    Expr *condition, *value;
} Arm;

typedef VECTOR(Arm) ArmList;

typedef enum ExprKind {
    EXPR_NUMBER,
    EXPR_STRING,
    EXPR_BOOLEAN,
    EXPR_NAME,
    EXPR_GROUP, /* ( inner ) */
    EXPR_LIST,
    EXPR_CALL,
    EXPR_CHAIN,
    EXPR_NEGATE,
    EXPR_NOT,
    EXPR_POWER,
    EXPR_COMPARE,
    EXPR_RANGE,
    EXPR_CONDITIONAL,
    EXPR_PIPE,
    EXPR_INDEX,
    EXPR_MEMBER
} ExprKind;

struct Expr {
    ExprKind kind;
    uint32_t nesting; /* levels below this node, itself included where it counts */
    Span span;
    union {
        double number;
        bool boolean;
        const char *string;
        struct {
            const char *text;
            int32_t slot; /* of the body's variables; negative: not a variable */
        } name;
        Expr *inner; /* group, negate, not */
        ExprList list;
        Call *call;
        struct {
            Expr *first;
            LinkList links;
        } chain;
        struct {
            Expr *left, *right; /* power, range, compare */
            Operator operation; /* compare */
            Span span;          /* of the operator */
        } binary;
        struct {
            ArmList arms;
            Expr *otherwise;
        } conditional;
        struct {
            Expr *first;
            StageList stages;
        } pipe;
        struct {
            Expr *base, *index;
        } index;
        struct {
            Expr *base;
            const char *name;
            Span span;
        } member;
    };
};

/* A variable where it is set. */
typedef struct Target {
    const char *name;
    Span span;
    int32_t slot;
} Target;

typedef VECTOR(Target) TargetList;

typedef struct Statement Statement;

typedef struct Body {
    Span span;
    VECTOR(Statement *) statements;
} Body;

typedef struct IfBranch {
    Expr *condition;
    Body *body;
} IfBranch;

typedef VECTOR(IfBranch) BranchList;

typedef enum StatementKind {
    STATEMENT_ASSIGN,
    STATEMENT_FEATURE,
    STATEMENT_RETURN,
    STATEMENT_HEAD,
    STATEMENT_FOR,
    STATEMENT_IF
} StatementKind;

struct Statement {
    StatementKind kind;
    Span span;
    Expr *expr;          /* assign, feature, return, head, for */
    TargetList targets;  /* assign, for */
    Body *body;          /* for */
    BranchList branches; /* if */
    Body *otherwise;     /* if; NULL: none */
};

typedef struct Parameter {
    const char *name;
    Span span;
    Expr *standard; /* the default, or NULL */
    bool read;      /* something in the body or a later default reads it */
} Parameter;

typedef VECTOR(Parameter) ParameterList;

typedef enum DefinitionKind {
    DEFINITION_BLOCK,
    DEFINITION_NETWORK,
    DEFINITION_VARIANT
} DefinitionKind;

/* Where a variable of a body is set, in the order of the text; for messages. */
typedef struct Setting {
    Span span;
    struct Setting *next;
} Setting;

/* A variable of a body. */
typedef struct Variable {
    const char *name;
    Setting *settings;
} Variable;

struct Definition {
    DefinitionKind kind;
    const char *name;
    Span name_span;
    bool included; /* by another file */
    bool damaged;  /* a statement could not be read: names may be missing */

    ParameterList parameters; /* block, network */
    Body *body;
    VECTOR(Variable) variables; /* the parameters first */

    const char *base; /* variant */
    Span base_span;
    ArgumentList arguments;
};

/* A node of a kind with a place, its nesting 0. */
Expr *ast_expr(Arena *arena, ExprKind kind, Span span);

/* `left operation right`, extending `left` if it is a chain that this operator continues. */
Expr *ast_chain(Arena *arena, Expr *left, Operator operation, Span operator_span, Expr *right,
                Span span);

/* The name of a definition's kind: "block", "network". */
const char *definition_kind_text(const Definition *definition);

#endif
