/* The grammar of `.cnn` files (docs/language.md, "Grammar"): LALR(1), no conflicts, no precedences. */
%code requires {
#include "frontend/tokens.h"

/* What one parse fills. */
typedef struct Parser {
    Arena *arena;
    Sources *sources;
    Tokens tokens;
    bool settings; /* the text is `name = expr ...` of the command line, not a file */
    bool started;
    bool failed;   /* a syntax error was reported */
    bool damaged_file;           /* a definition could not be read */
    bool damaged_body;           /* a statement of the present body could not be read */
    Token found;                 /* at the last syntax error */
    VECTOR(Definition *) definitions;
    VECTOR(Token) includes;      /* their strings */
    VECTOR(Span) include_spans;  /* the whole statements */
    ArgumentList given;          /* settings */
} Parser;

#define YYLLOC_DEFAULT(current, right, count)                                                      \
    ((current) = (count) ? span_join(YYRHSLOC(right, 1), YYRHSLOC(right, count))                   \
                         : (Span){YYRHSLOC(right, 0).file, YYRHSLOC(right, 0).end,                 \
                                  YYRHSLOC(right, 0).end})
}

%code {
#include <string.h>

#include "base/text.h"

static int parser_lex(PARSER_STYPE *value, Span *span, Parser *parser);
static void parser_error(const Span *span, Parser *parser, const char *message);

static Expr *limit(Parser *parser, Expr *expr, uint32_t nesting);
static Expr *group(Parser *parser, Expr *inner, Span span);
static Expr *name_expr(Parser *parser, const char *text, Span span);
static Expr *text_expr(Parser *parser, const char *text, Span span);
static Expr *boolean_expr(Parser *parser, bool value, Span span);
static Expr *prefix_expr(Parser *parser, ExprKind kind, Expr *inner, Span span);
static Expr *binary_expr(Parser *parser, ExprKind kind, Expr *left, Operator operation, Span at, Expr *right, Span span);
static Expr *conditional_expr(Parser *parser, ArmList arms, Expr *otherwise, Span span);
static Expr *pipe_expr(Parser *parser, Expr *first, PipeStage stage, Span span);
static Expr *list_expr(Parser *parser, ExprList items, Span span);
static Expr *call_expr(Parser *parser, Call *call);
static Call *make_call(Parser *parser, const char *name, Span name_span, ArgumentList arguments, Span span);
static Label *add_piece(Parser *parser, Label *label, Piece piece, Span span);
static Statement *make_statement(Parser *parser, StatementKind kind, Expr *expr, Span span);
static Definition *define(Parser *parser, DefinitionKind kind, const char *name, Span name_span);
}

%define api.pure full
%define api.prefix {parser_}
%define api.token.prefix {TOKEN_}
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%locations
%param { Parser *parser }

%union {
    const char *text;
    Token token;
    Operator operation;
    Expr *expr;
    ExprList exprs;
    Call *call;
    Argument argument;
    ArgumentList arguments;
    Piece piece;
    Label *label;
    PipeStage stage;
    ArmList arms;
    Parameter parameter;
    ParameterList parameters;
    TargetList targets;
    Statement *statement;
    BranchList branches;
    Body *body;
}

%token START_FILE START_SETTINGS
%token BLOCK "block" NETWORK "network" INCLUDE "include" FEATURE "feature" HEAD "head" RETURN "return"
%token FOR "for" IN "in" IF "if" THEN "then" ELSE "else" AND "and" OR "or" NOT "not" TRUE "true" FALSE "false"
%token ELIF "elif"
%token <text> NAME "a name" STRING "a string" DOTNUM "a dot and digits"
%token <token> NUMBER "a number"
%token PIPE "|>" EQUAL "==" NOT_EQUAL "!=" LESS_EQUAL "<=" GREATER_EQUAL ">=" FLOOR_DIVIDE "//" RANGE ".."
%token END 0 "the end of the file"

%type <expr> expr pipe test conj neg comp range sum term unary power postfix primary
%type <exprs> exprs
%type <operation> comparison
%type <call> call
%type <argument> arg
%type <arguments> args args_opt
%type <label> label part part_text part_brace
%type <text> text reserved
%type <piece> brace
%type <stage> stage
%type <arms> arms
%type <parameter> param
%type <parameters> params params_opt
%type <targets> names
%type <statement> stmt
%type <branches> branches
%type <body> body stmts

%%

start: START_FILE items
     | START_SETTINGS settings
     ;

settings: %empty
        | settings NAME '=' expr { Argument given = {$2, @2, span_join(@2, @4), $4}; vector_push(parser->arena, &parser->given, given); }
        ;

items: %empty
     | items item
     ;

item: INCLUDE STRING { Token token = {.text = $2, .span = @2}; vector_push(parser->arena, &parser->includes, token);
                       vector_push(parser->arena, &parser->include_spans, @$); }
    | BLOCK NAME '(' params_opt ')' body {
          Definition *definition = define(parser, DEFINITION_BLOCK, $2, @2);
          definition->parameters = $4;
          definition->body = $6;
      }
    | NETWORK NAME '(' params_opt ')' body {
          Definition *definition = define(parser, DEFINITION_NETWORK, $2, @2);
          definition->parameters = $4;
          definition->body = $6;
      }
    | NETWORK NAME '=' NAME '(' args_opt ')' {
          Definition *definition = define(parser, DEFINITION_VARIANT, $2, @2);
          definition->base = $4;
          definition->base_span = @4;
          definition->arguments = $6;
      }
    | error {
          parser->damaged_file = true;
          yyclearin;
          yyerrok;
          if (!tokens_recover(&parser->tokens))
              YYABORT;
      }
    ;

params_opt: %empty     { $$ = (ParameterList){0}; }
          | params
          | params ','
          ;

params: param            { $$ = (ParameterList){0}; vector_push(parser->arena, &$$, $1); }
      | params ',' param { $$ = $1; vector_push(parser->arena, &$$, $3); }
      ;

param: NAME          { $$ = (Parameter){.name = $1, .span = @1}; }
     | NAME '=' expr { $$ = (Parameter){.name = $1, .span = @1, .standard = $3}; }
     ;

body: '{' stmts '}' { $$ = $2; $$->span = @$; }
    ;

stmts: %empty     { $$ = arena_new(parser->arena, Body); }
     | stmts stmt {
           $$ = $1;
           parser->tokens.pardon -= parser->tokens.pardon > 0;
           if ($2)
               vector_push(parser->arena, &$$->statements, $2);
       }
     ;

stmt: names '=' expr         { $$ = make_statement(parser, STATEMENT_ASSIGN, $3, @$); $$->targets = $1; }
    | FEATURE expr           { $$ = make_statement(parser, STATEMENT_FEATURE, $2, @$); }
    | RETURN expr            { $$ = make_statement(parser, STATEMENT_RETURN, $2, @$); }
    | HEAD '{' expr '}'      { $$ = make_statement(parser, STATEMENT_HEAD, $3, @$); }
    | FOR names IN test body {
          $$ = make_statement(parser, STATEMENT_FOR, $4, @$);
          $$->targets = $2;
          $$->body = $5;
      }
    | branches               { $$ = make_statement(parser, STATEMENT_IF, NULL, @$); $$->branches = $1; }
    | branches ELSE body     {
          $$ = make_statement(parser, STATEMENT_IF, NULL, @$);
          $$->branches = $1;
          $$->otherwise = $3;
      }
    | error {
          $$ = NULL;
          parser->damaged_body = true;
          yyclearin;
          yyerrok;
          if (!tokens_recover(&parser->tokens))
              YYABORT;
      }
    ;

branches: IF test body               { $$ = (BranchList){0}; IfBranch branch = {$2, $3}; vector_push(parser->arena, &$$, branch); }
        | branches else_if test body { $$ = $1; IfBranch branch = {$3, $4}; vector_push(parser->arena, &$$, branch); }
        ;

else_if: ELSE IF
       | ELIF
       ;

names: NAME           { $$ = (TargetList){0}; Target target = {$1, @1, -1}; vector_push(parser->arena, &$$, target); }
     | names ',' NAME { $$ = $1; Target target = {$3, @3, -1}; vector_push(parser->arena, &$$, target); }
     ;

expr: pipe
    | arms pipe { $$ = conditional_expr(parser, $1, $2, @$); }
    ;

arms: IF test THEN expr ELSE        { $$ = (ArmList){0}; Arm arm = {$2, $4}; vector_push(parser->arena, &$$, arm); }
    | arms IF test THEN expr ELSE   { $$ = $1; Arm arm = {$3, $5}; vector_push(parser->arena, &$$, arm); }
    ;

pipe: test
    | pipe PIPE stage { $$ = pipe_expr(parser, $1, $3, @$); }
    ;

stage: NAME           { $$ = (PipeStage){NULL, make_call(parser, $1, @1, (ArgumentList){0}, @1)}; }
     | call           { $$ = (PipeStage){NULL, $1}; }
     | label ':' NAME { $$ = (PipeStage){$1, make_call(parser, $3, @3, (ArgumentList){0}, @3)}; }
     | label ':' call { $$ = (PipeStage){$1, $3}; }
     ;

call: NAME '(' args_opt ')' { $$ = make_call(parser, $1, @1, $3, @$); }
    ;

args_opt: %empty   { $$ = (ArgumentList){0}; }
        | args
        | args ','
        ;

args: arg          { $$ = (ArgumentList){0}; vector_push(parser->arena, &$$, $1); }
    | args ',' arg { $$ = $1; vector_push(parser->arena, &$$, $3); }
    ;

arg: expr          { $$ = (Argument){.span = @$, .value = $1}; }
   | NAME '=' expr { $$ = (Argument){$1, @1, @$, $3}; }
   ;

label: part
     | label '.' part {
           $$ = add_piece(parser, $1, (Piece){.kind = PIECE_DOT, .span = @2}, @$);
           for (size_t i = 0; i < $3->pieces.count; i++)
               add_piece(parser, $$, $3->pieces.items[i], @$);
       }
     | label DOTNUM {
           $$ = add_piece(parser, $1, (Piece){.kind = PIECE_DOT, .span = @2}, @$);
           add_piece(parser, $$, (Piece){PIECE_TEXT, @2, $2, NULL}, @$);
       }
     ;

part: part_text
    | part_brace
    ;

part_text: text            { $$ = add_piece(parser, arena_new(parser->arena, Label), (Piece){PIECE_TEXT, @1, $1, NULL}, @$); }
         | part_brace text { $$ = add_piece(parser, $1, (Piece){PIECE_TEXT, @2, $2, NULL}, @$); }
         ;

part_brace: brace            { $$ = add_piece(parser, arena_new(parser->arena, Label), $1, @$); }
          | part_text brace  { $$ = add_piece(parser, $1, $2, @$); }
          | part_brace brace { $$ = add_piece(parser, $1, $2, @$); }
          ;

brace: '{' expr '}' { $$ = (Piece){PIECE_EXPR, @2, NULL, $2}; }
     ;

text: NAME
    | reserved
    | NUMBER {
          if (strpbrk($1.text, "eE"))
              parser_error(&@1, parser, "a label takes digits and points, no exponent");
          $$ = $1.text;
      }
    ;

reserved: BLOCK { $$ = "block"; } | NETWORK { $$ = "network"; } | INCLUDE { $$ = "include"; } | FEATURE { $$ = "feature"; }
        | HEAD { $$ = "head"; } | RETURN { $$ = "return"; } | FOR { $$ = "for"; } | IN { $$ = "in"; } | IF { $$ = "if"; }
        | THEN { $$ = "then"; } | ELSE { $$ = "else"; } | AND { $$ = "and"; } | OR { $$ = "or"; } | NOT { $$ = "not"; }
        | TRUE { $$ = "true"; } | FALSE { $$ = "false"; }
        ;

test: conj
    | test OR conj { $$ = ast_chain(parser->arena, $1, OPERATOR_OR, @2, $3, @$); }
    ;

conj: neg
    | conj AND neg { $$ = ast_chain(parser->arena, $1, OPERATOR_AND, @2, $3, @$); }
    ;

neg: comp
   | NOT neg { $$ = prefix_expr(parser, EXPR_NOT, $2, @$); }
   ;

comp: range
    | range comparison range { $$ = binary_expr(parser, EXPR_COMPARE, $1, $2, @2, $3, @$); }
    ;

comparison: EQUAL         { $$ = OPERATOR_EQUAL; }
          | NOT_EQUAL     { $$ = OPERATOR_NOT_EQUAL; }
          | '<'           { $$ = OPERATOR_LESS; }
          | LESS_EQUAL    { $$ = OPERATOR_LESS_EQUAL; }
          | '>'           { $$ = OPERATOR_GREATER; }
          | GREATER_EQUAL { $$ = OPERATOR_GREATER_EQUAL; }
          | IN            { $$ = OPERATOR_IN; }
          ;

range: sum
     | sum RANGE sum { $$ = binary_expr(parser, EXPR_RANGE, $1, OPERATOR_EQUAL, @2, $3, @$); }
     ;

sum: term
   | sum '+' term { $$ = ast_chain(parser->arena, $1, OPERATOR_ADD, @2, $3, @$); }
   | sum '-' term { $$ = ast_chain(parser->arena, $1, OPERATOR_SUBTRACT, @2, $3, @$); }
   ;

term: unary
    | term '*' unary          { $$ = ast_chain(parser->arena, $1, OPERATOR_MULTIPLY, @2, $3, @$); }
    | term '/' unary          { $$ = ast_chain(parser->arena, $1, OPERATOR_DIVIDE, @2, $3, @$); }
    | term FLOOR_DIVIDE unary { $$ = ast_chain(parser->arena, $1, OPERATOR_FLOOR_DIVIDE, @2, $3, @$); }
    | term '%' unary          { $$ = ast_chain(parser->arena, $1, OPERATOR_MODULO, @2, $3, @$); }
    ;

unary: power
     | '-' unary { $$ = prefix_expr(parser, EXPR_NEGATE, $2, @$); }
     ;

power: postfix
     | postfix '^' unary { $$ = binary_expr(parser, EXPR_POWER, $1, OPERATOR_EQUAL, @2, $3, @$); }
     ;

postfix: primary
       | postfix '[' expr ']' {
             $$ = ast_expr(parser->arena, EXPR_INDEX, @$);
             $$->index.base = $1;
             $$->index.index = $3;
             $$ = limit(parser, $$, 1 + ($1->nesting > $3->nesting ? $1->nesting : $3->nesting));
         }
       | postfix '.' NAME {
             $$ = ast_expr(parser->arena, EXPR_MEMBER, @$);
             $$->member.base = $1;
             $$->member.name = $3;
             $$->member.span = @3;
             $$ = limit(parser, $$, 1 + $1->nesting);
         }
       ;

primary: NUMBER            { $$ = ast_expr(parser->arena, EXPR_NUMBER, @$); $$->number = $1.number; }
       | STRING            { $$ = text_expr(parser, $1, @$); }
       | TRUE              { $$ = boolean_expr(parser, true, @$); }
       | FALSE             { $$ = boolean_expr(parser, false, @$); }
       | NAME              { $$ = name_expr(parser, $1, @$); }
       | call              { $$ = call_expr(parser, $1); }
       | '(' expr ')'      { $$ = group(parser, $2, @$); }
       | '[' ']'           { $$ = list_expr(parser, (ExprList){0}, @$); }
       | '[' exprs ']'     { $$ = list_expr(parser, $2, @$); }
       | '[' exprs ',' ']' { $$ = list_expr(parser, $2, @$); }
       ;

exprs: expr           { $$ = (ExprList){0}; vector_push(parser->arena, &$$, $1); }
     | exprs ',' expr { $$ = $1; vector_push(parser->arena, &$$, $3); }
     ;

%%

static int parser_lex(PARSER_STYPE *value, Span *span, Parser *parser) {
    if (!parser->started) {
        parser->started = true;
        *span = (Span){parser->tokens.file, 0, 0};
        return parser->settings ? TOKEN_START_SETTINGS : TOKEN_START_FILE;
    }
    Token token = tokens_next(&parser->tokens);
    parser->found = token;
    *span = token.span;
    if (token.kind == TOKEN_NUMBER)
        value->token = token;
    else
        value->text = token.text;
    return token.kind;
}

static void parser_error(const Span *span, Parser *parser, const char *message) {
    parser->failed = true;
    if (parser->tokens.stopped)
        return;
    if (strcmp(message, "memory exhausted") == 0)
        message = arena_format(parser->arena, "this is nested more than %d deep", AST_NESTING);
    sources_report(parser->sources, SEVERITY_ERROR, *span, "%s", message);
}

enum { MOST_EXPECTED = 80 };

/* The words that the parser could go on with, by their names in the grammar. */
typedef struct Expected {
    const char *names[MOST_EXPECTED];
    int count;
} Expected;

static bool has(const Expected *expected, const char *name) {
    for (int i = 0; i < expected->count; i++)
        if (strcmp(expected->names[i], name) == 0)
            return true;
    return false;
}

/* What stands in for all words that can start or continue something. */
typedef struct Situation {
    bool value;     /* an expression starts here */
    bool operation; /* an expression can go on */
    bool pipe;
    bool statement;  /* a statement starts here */
    bool label;      /* the label or call of a pipe's stage starts here */
    bool definition; /* an item of the file starts here */
} Situation;

static Situation understand(const Expected *expected) {
    bool label = has(expected, "then") && has(expected, "feature");
    return (Situation){.value = has(expected, "a number") && has(expected, "'('"),
                       .operation = has(expected, "'+'"),
                       .pipe = has(expected, "|>"),
                       .statement = has(expected, "feature") && !label,
                       .label = label,
                       .definition = has(expected, "block") && !label};
}

static void add_phrase(Text *list, const char *phrase) {
    text_append(list, "%s%s", list->length ? "\n" : "", phrase);
}

static const char *expected_text(Arena *arena, const Expected *expected, Situation now) {
    static const char *const marks[][2] = {
        {"','", ","},     {"')'", ")"},     {"']'", "]"}, {"'='", "="},
        {"then", "then"}, {"else", "else"}, {"in", "in"}, {"a string", "a string"},
        {"':'", ":"},     {"'{'", "{"},     {"'('", "("}};
    Text list = text_create(arena);
    if (now.value)
        add_phrase(&list, "a value");
    if (now.label)
        add_phrase(&list, "the name of a block or op");
    if (now.pipe && !now.operation)
        add_phrase(&list, "|>");
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        bool of_label = i >= 8 && now.pipe;
        bool of_start = now.value && i >= 3;
        bool of_chain =
            (now.operation && (strcmp(marks[i][1], "in") == 0 || strcmp(marks[i][1], "(") == 0)) ||
            (now.statement && strcmp(marks[i][1], "else") == 0);
        if (has(expected, marks[i][0]) && !of_label && !of_start && !of_chain && !now.label)
            add_phrase(&list, marks[i][1]);
    }
    if (has(expected, "a name") && !now.value && !now.statement && !now.label)
        add_phrase(&list, "a name");
    if (now.statement)
        add_phrase(&list, now.operation || now.pipe ? "the end of the statement" : "a statement");
    if (has(expected, "'}'") && !(now.statement && (now.operation || now.pipe)))
        add_phrase(&list, "}");
    if (now.definition)
        add_phrase(&list, "block, network, include or the end of the file");
    if (now.operation && (list.length == 0 || (now.statement && !strchr(list.data, '\n'))))
        add_phrase(&list, "an operator");
    char *last = strrchr(list.data, '\n');
    for (char *mark = list.data; (mark = strchr(mark, '\n')); mark++)
        *mark = mark == last ? '\1' : '\2';
    Text out = text_create(arena);
    for (const char *c = list.data; *c; c++)
        text_append(&out, *c == '\1' ? " or " : *c == '\2' ? ", " : "%c", *c);
    return out.data;
}

static bool is_one_of(const char *text, const char *const *list) {
    for (; *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

/* The way out for what people write out of habit, or NULL. */
static const char *habit_hint(Parser *parser, const Expected *expected, Situation now,
                              const char *found) {
    static const char *const operators[] = {"+",  "-",  "*",   "/",  "//", "%",  "^",
                                            "==", "!=", "<",   "<=", ">",  ">=", "..",
                                            "[",  ".",  "and", "or", "in", NULL};
    static const char *const comparisons[] = {"==", "!=", "<", "<=", ">", ">=", "in", NULL};
    int kind = parser->found.kind;
    bool operation = is_one_of(found, operators);
    if (now.pipe && !now.operation && operation)
        return arena_format(parser->arena, "put the pipe in parentheses: (x |> ...) %s ...", found);
    if (kind == ':' && has(expected, "'{'"))
        return "a body is written in { }";
    if (kind == '=' && has(expected, "'{'"))
        return "equality is ==";
    if (now.operation && is_one_of(found, comparisons) && !has(expected, "=="))
        return "join two comparisons by and: a < b and b < c";
    if (kind == TOKEN_DOTNUM && now.value)
        return arena_format(parser->arena, "write 0%s", found);
    if (kind >= TOKEN_BLOCK && kind <= TOKEN_FALSE && has(expected, "a name") && !now.value &&
        !now.operation && !now.pipe)
        return arena_format(parser->arena, "%s is a reserved word", found);
    if (kind == TOKEN_PIPE && has(expected, "'{'") && !has(expected, "':'"))
        return "put the pipe in parentheses: (x |> ...)";
    if (has(expected, "'='") && has(expected, "','") &&
        (operation || kind == '(' || kind == TOKEN_PIPE))
        return "a value must go somewhere: write x = ..., return ... or feature ...";
    return NULL;
}

static int yyreport_syntax_error(const yypcontext_t *context, Parser *parser) {
    parser->failed = true;
    bool reported = parser->found.kind == TOKEN_ELIF || parser->tokens.pardon > 0;
    parser->tokens.pardon = 0;
    if (parser->tokens.stopped || reported)
        return 0;
    yysymbol_kind_t kinds[MOST_EXPECTED];
    Expected expected = {.count = yypcontext_expected_tokens(context, kinds, MOST_EXPECTED)};
    for (int i = 0; i < expected.count; i++)
        expected.names[i] = yysymbol_name(kinds[i]);
    Situation now = understand(&expected);
    Span span = *yypcontext_location(context);
    const char *found =
        parser->found.kind == 0 ? "the end of the file" : sources_text(parser->sources, span);
    if (parser->settings && parser->found.kind == 0)
        found = "the end";
    sources_report(parser->sources, SEVERITY_ERROR, span, "expected %s, found %s",
                   expected_text(parser->arena, &expected, now), found);
    const char *hint = habit_hint(parser, &expected, now, found);
    if (hint)
        diagnostics_hint(parser->sources->diagnostics, "%s", hint);
    parser->tokens.stopped = diagnostics_full(parser->sources->diagnostics);
    return 0;
}

static uint32_t deeper(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* The node with its nesting set, or something harmless and an error if that is too deep. */
static Expr *limit(Parser *parser, Expr *expr, uint32_t nesting) {
    expr->nesting = nesting;
    if (nesting <= AST_NESTING)
        return expr;
    if (!parser->tokens.stopped)
        parser_error(&expr->span, parser, "memory exhausted");
    parser->tokens.stopped = true;
    return ast_expr(parser->arena, EXPR_NUMBER, expr->span);
}

static Expr *group(Parser *parser, Expr *inner, Span span) {
    return prefix_expr(parser, EXPR_GROUP, inner, span);
}

static Expr *prefix_expr(Parser *parser, ExprKind kind, Expr *inner, Span span) {
    Expr *expr = ast_expr(parser->arena, kind, span);
    expr->inner = inner;
    return limit(parser, expr, 1 + inner->nesting);
}

static Expr *name_expr(Parser *parser, const char *text, Span span) {
    Expr *expr = ast_expr(parser->arena, EXPR_NAME, span);
    expr->name.text = text;
    expr->name.slot = -1;
    return expr;
}

static Expr *text_expr(Parser *parser, const char *text, Span span) {
    Expr *expr = ast_expr(parser->arena, EXPR_STRING, span);
    expr->string = text;
    return expr;
}

static Expr *boolean_expr(Parser *parser, bool value, Span span) {
    Expr *expr = ast_expr(parser->arena, EXPR_BOOLEAN, span);
    expr->boolean = value;
    return expr;
}

static Expr *binary_expr(Parser *parser, ExprKind kind, Expr *left, Operator operation, Span at,
                         Expr *right, Span span) {
    Expr *expr = ast_expr(parser->arena, kind, span);
    expr->binary.left = left;
    expr->binary.right = right;
    expr->binary.operation = operation;
    expr->binary.span = at;
    return limit(parser, expr, 1 + deeper(left->nesting, right->nesting));
}

static Expr *conditional_expr(Parser *parser, ArmList arms, Expr *otherwise, Span span) {
    Expr *expr = ast_expr(parser->arena, EXPR_CONDITIONAL, span);
    expr->conditional.arms = arms;
    expr->conditional.otherwise = otherwise;
    uint32_t nesting = otherwise->nesting;
    for (size_t i = 0; i < arms.count; i++)
        nesting =
            deeper(nesting, deeper(arms.items[i].condition->nesting, arms.items[i].value->nesting));
    return limit(parser, expr, 1 + nesting);
}

static uint32_t arguments_nesting(const ArgumentList *arguments) {
    uint32_t nesting = 0;
    for (size_t i = 0; i < arguments->count; i++)
        nesting = deeper(nesting, arguments->items[i].value->nesting);
    return nesting;
}

static uint32_t stage_nesting(const PipeStage *stage) {
    uint32_t nesting = arguments_nesting(&stage->call->arguments);
    for (size_t i = 0; stage->label && i < stage->label->pieces.count; i++) {
        const Piece *piece = &stage->label->pieces.items[i];
        if (piece->expr)
            nesting = deeper(nesting, piece->expr->nesting);
    }
    return nesting;
}

static Expr *pipe_expr(Parser *parser, Expr *first, PipeStage stage, Span span) {
    Expr *expr = first;
    if (first->kind != EXPR_PIPE) {
        expr = ast_expr(parser->arena, EXPR_PIPE, span);
        expr->pipe.first = first;
        expr->nesting = 1 + first->nesting;
    }
    expr->span = span;
    vector_push(parser->arena, &expr->pipe.stages, stage);
    return limit(parser, expr, deeper(expr->nesting, 1 + stage_nesting(&stage)));
}

static Expr *list_expr(Parser *parser, ExprList items, Span span) {
    Expr *expr = ast_expr(parser->arena, EXPR_LIST, span);
    expr->list = items;
    uint32_t nesting = 0;
    for (size_t i = 0; i < items.count; i++)
        nesting = deeper(nesting, items.items[i]->nesting);
    return limit(parser, expr, 1 + nesting);
}

static Expr *call_expr(Parser *parser, Call *call) {
    Expr *expr = ast_expr(parser->arena, EXPR_CALL, call->span);
    expr->call = call;
    return limit(parser, expr, 1 + arguments_nesting(&call->arguments));
}

static Call *make_call(Parser *parser, const char *name, Span name_span, ArgumentList arguments,
                       Span span) {
    Call *call = arena_new(parser->arena, Call);
    *call = (Call){name, name_span, span, arguments, -1};
    return call;
}

static Label *add_piece(Parser *parser, Label *label, Piece piece, Span span) {
    vector_push(parser->arena, &label->pieces, piece);
    label->span = span;
    return label;
}

static Statement *make_statement(Parser *parser, StatementKind kind, Expr *expr, Span span) {
    Statement *statement = arena_new(parser->arena, Statement);
    statement->kind = kind;
    statement->expr = expr;
    statement->span = span;
    return statement;
}

static Definition *define(Parser *parser, DefinitionKind kind, const char *name, Span name_span) {
    Definition *definition = arena_new(parser->arena, Definition);
    definition->kind = kind;
    definition->name = name;
    definition->name_span = name_span;
    definition->damaged = parser->damaged_body;
    parser->damaged_body = false;
    vector_push(parser->arena, &parser->definitions, definition);
    return definition;
}
