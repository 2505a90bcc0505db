#include "frontend/ast.h"

Span span_join(Span first, Span last) {
    return (Span){first.file, first.begin, last.end};
}

const char *operator_text(Operator operation) {
    static const char *const texts[] = {"or", "and", "+", "-",  "*", "/",  "//", "%",
                                        "==", "!=",  "<", "<=", ">", ">=", "in"};
    return texts[operation];
}

const char *definition_kind_text(const Definition *definition) {
    return definition->kind == DEFINITION_BLOCK ? "block" : "network";
}

Expr *ast_expr(Arena *arena, ExprKind kind, Span span) {
    Expr *expr = arena_new(arena, Expr);
    expr->kind = kind;
    expr->span = span;
    return expr;
}

/* Operators of one number make one chain. */
static int strength(Operator operation) {
    static const int strengths[] = {
        [OPERATOR_OR] = 0,           [OPERATOR_AND] = 1,      [OPERATOR_ADD] = 2,
        [OPERATOR_SUBTRACT] = 2,     [OPERATOR_MULTIPLY] = 3, [OPERATOR_DIVIDE] = 3,
        [OPERATOR_FLOOR_DIVIDE] = 3, [OPERATOR_MODULO] = 3};
    return strengths[operation];
}

Expr *ast_chain(Arena *arena, Expr *left, Operator operation, Span operator_span, Expr *right,
                Span span) {
    Expr *chain = left;
    if (left->kind != EXPR_CHAIN ||
        strength(left->chain.links.items[0].operation) != strength(operation)) {
        chain = ast_expr(arena, EXPR_CHAIN, span);
        chain->chain.first = left;
        chain->nesting = left->nesting;
    }
    Link link = {operation, operator_span, right};
    vector_push(arena, &chain->chain.links, link);
    chain->span = span;
    if (right->nesting > chain->nesting)
        chain->nesting = right->nesting;
    return chain;
}
