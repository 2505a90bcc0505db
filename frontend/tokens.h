/* The stream of words that the parser reads: the flex scanner, the brackets that are open, and the
 * way on after a syntax error. */
#ifndef SPARKC_FRONTEND_TOKENS_H
#define SPARKC_FRONTEND_TOKENS_H

#include "frontend/source.h"

typedef struct Token {
    int kind; /* TOKEN_... of the parser, or the character; 0 at the end */
    Span span;
    const char *text; /* names, strings (without quotes), numbers */
    double number;
    bool first;  /* on its line */
    char closes; /* the kind of bracket that this one closes, 0 if none */
} Token;

/* What may follow in the label that a pipe may start; decides what a `{` is. */
typedef enum LabelState {
    LABEL_NONE,
    LABEL_START, /* behind |> or a dot */
    LABEL_AFTER_TEXT,
    LABEL_AFTER_BRACE,
    LABEL_AFTER_NUMBER /* behind a DOTNUM */
} LabelState;

typedef struct Tokens {
    Arena *arena;
    Sources *sources;
    uint32_t file;
    void *scanner;
    uint32_t offset; /* of the next word */
    Token word;      /* being scanned */
    Token last;      /* handed out last */
    bool line_start;
    char brackets[AST_BRACKETS]; /* ( [ { of bodies, h of heads, l of labels */
    uint32_t depth;
    LabelState label;
    bool stopped;
    int pardon; /* statements, the present one included, whose syntax error follows from a wrong
                   word */
    uint32_t closers;  /* missing } to hand out before `last` once more */
    bool again;        /* `last` is handed out once more */
    bool synchronised; /* recovery has ended before, at byte `resumed` */
    uint32_t resumed;
    bool ended; /* recovery has reached the end of the file before */
} Tokens;

/* Starts on source `file` (after its byte-order mark). */
void tokens_open(Tokens *tokens, Arena *arena, Sources *sources, uint32_t file);
void tokens_close(Tokens *tokens);

/* The next word. */
Token tokens_next(Tokens *tokens);

/* After a syntax error at the last word: the next word will be one that can start a statement,
 * close a body, or start a definition. False if there is no way on. */
bool tokens_recover(Tokens *tokens);

/* For the scanner's rules. */
void tokens_begin_word(Tokens *tokens, const char *text, size_t length);
void tokens_begin_line(Tokens *tokens);

/* Answers a word that people write out of habit: an error with a hint (or NULL); returns `kind`. */
int tokens_habit(Tokens *tokens, const char *message, const char *hint, int kind);

/* The same for a word that nothing can stand for: a syntax error that follows is not reported. */
int tokens_wrong(Tokens *tokens, const char *message, const char *hint, int kind);

/* Answers += and its like; returns '='. */
int tokens_assignment(Tokens *tokens, const char *text);

/* Reports a character that no word starts with. */
void tokens_unknown(Tokens *tokens, char character);

#endif
