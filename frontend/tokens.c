#include "frontend/tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/parser.h"

#include "frontend/lexer.h"

int lexer_lex(yyscan_t yyscanner);

void tokens_open(Tokens *tokens, Arena *arena, Sources *sources, uint32_t file) {
    const SourceFile *source = &sources->items.items[file];
    bool marked = source->length >= 3 && memcmp(source->text, "\xEF\xBB\xBF", 3) == 0;
    uint32_t start = marked ? 3 : 0;
    *tokens = (Tokens){
        .arena = arena, .sources = sources, .file = file, .offset = start, .line_start = true};
    lexer_lex_init_extra(tokens, &tokens->scanner);
    lexer__scan_bytes(source->text + start, (int)(source->length - start), tokens->scanner);
}

void tokens_close(Tokens *tokens) {
    lexer_lex_destroy(tokens->scanner);
}

static bool keeps_text(int kind) {
    return kind == TOKEN_NAME || kind == TOKEN_NUMBER || kind == TOKEN_DOTNUM ||
           kind == TOKEN_STRING;
}

void tokens_begin_word(Tokens *tokens, const char *text, size_t length) {
    uint32_t end = tokens->offset + (uint32_t)length;
    tokens->word.span = (Span){tokens->file, tokens->offset, end};
    tokens->word.text = text;
    tokens->offset = end;
}

void tokens_begin_line(Tokens *tokens) {
    tokens->line_start = true;
}

static void report(Tokens *tokens, const char *hint, const char *message) {
    sources_report(tokens->sources, SEVERITY_ERROR, tokens->word.span, "%s", message);
    if (hint)
        diagnostics_hint(tokens->sources->diagnostics, "%s", hint);
    tokens->stopped = diagnostics_full(tokens->sources->diagnostics);
}

int tokens_habit(Tokens *tokens, const char *message, const char *hint, int kind) {
    report(tokens, hint, message);
    return kind;
}

int tokens_wrong(Tokens *tokens, const char *message, const char *hint, int kind) {
    report(tokens, hint, message);
    tokens->pardon = 2;
    return kind;
}

int tokens_assignment(Tokens *tokens, const char *text) {
    int letters = (int)strlen(text) - 1;
    report(tokens,
           arena_format(tokens->arena, "write x = x %.*s ...",
                        strncmp(text, "**", 2) == 0 ? 1 : letters,
                        strncmp(text, "**", 2) == 0 ? "^" : text),
           arena_format(tokens->arena, "there is no operator %s", text));
    return '=';
}

void tokens_unknown(Tokens *tokens, char character) {
    tokens_wrong(tokens, arena_format(tokens->arena, "%c has no meaning here", character), NULL, 0);
}

/* The text of a word as the parser wants it: strings without quotes, DOTNUM without its dot. */
static const char *word_text(Tokens *tokens, int kind) {
    const char *text = tokens->word.text;
    size_t length = tokens->word.span.end - tokens->word.span.begin;
    if (kind == TOKEN_STRING) {
        bool closed = length > 1 && text[length - 1] == text[0];
        return arena_copy_text(tokens->arena, text + 1, length - 1 - closed);
    }
    if (kind == TOKEN_DOTNUM)
        return arena_copy_text(tokens->arena, text + 1, length - 1);
    return arena_copy_text(tokens->arena, text, length);
}

static void read_number(Tokens *tokens, Token *token) {
    token->number = strtod(token->text, NULL);
    if (!isfinite(token->number)) {
        report(tokens, NULL, "this number is too large");
        token->number = 0;
    }
}

static Token scan(Tokens *tokens) {
    int kind = tokens->stopped ? 0 : lexer_lex(tokens->scanner);
    if (kind == 0)
        tokens->word.span = (Span){tokens->file, tokens->last.span.end, tokens->last.span.end};
    Token token = {.kind = kind, .span = tokens->word.span, .first = tokens->line_start};
    tokens->line_start = false;
    if (keeps_text(kind))
        token.text = word_text(tokens, kind);
    if (kind == TOKEN_NUMBER)
        read_number(tokens, &token);
    return token;
}

static bool is_text(int kind) {
    return kind == TOKEN_NAME || kind == TOKEN_NUMBER ||
           (kind >= TOKEN_BLOCK && kind <= TOKEN_FALSE);
}

/* The state of a possible label after a word other than a bracket. */
static LabelState label_after(LabelState state, int kind) {
    if (kind == TOKEN_PIPE)
        return LABEL_START;
    if (state == LABEL_NONE)
        return LABEL_NONE;
    if (is_text(kind) && (state == LABEL_START || state == LABEL_AFTER_BRACE))
        return LABEL_AFTER_TEXT;
    if (kind == '.' && state != LABEL_START)
        return LABEL_START;
    if (kind == TOKEN_DOTNUM && state != LABEL_START)
        return LABEL_AFTER_NUMBER;
    return LABEL_NONE;
}

static void open_bracket(Tokens *tokens, const Token *token) {
    char kind = (char)token->kind;
    if (kind == '{' && tokens->last.kind == TOKEN_HEAD && tokens->label == LABEL_NONE)
        kind = 'h';
    else if (kind == '{' && tokens->label != LABEL_NONE && tokens->label != LABEL_AFTER_NUMBER)
        kind = 'l';
    if (tokens->depth == AST_BRACKETS) {
        report(tokens, NULL,
               arena_format(tokens->arena, "brackets and bodies are nested more than %d deep",
                            AST_BRACKETS));
        tokens->stopped = true;
        return;
    }
    tokens->brackets[tokens->depth++] = kind;
    tokens->label = LABEL_NONE;
}

static bool closes(char open, int kind) {
    return kind == ')' ? open == '(' : kind == ']' ? open == '[' : open != '(' && open != '[';
}

/* Pops the innermost bracket that this one closes; round and square ones do not reach out of
 * braces. */
static void close_bracket(Tokens *tokens, Token *token) {
    tokens->label = LABEL_NONE;
    for (uint32_t i = tokens->depth; i-- > 0;) {
        if (closes(tokens->brackets[i], token->kind)) {
            token->closes = tokens->brackets[i];
            tokens->depth = i;
            tokens->label = token->closes == 'l' ? LABEL_AFTER_BRACE : LABEL_NONE;
            return;
        }
        if (token->kind != '}' && tokens->brackets[i] != '(' && tokens->brackets[i] != '[')
            return;
    }
}

static bool opens(int kind) {
    return kind == '(' || kind == '[' || kind == '{';
}

/* Scans a word and keeps account of brackets and labels. */
static Token read_word(Tokens *tokens) {
    Token token = scan(tokens);
    if (opens(token.kind))
        open_bracket(tokens, &token);
    else if (token.kind == ')' || token.kind == ']' || token.kind == '}')
        close_bracket(tokens, &token);
    else
        tokens->label = label_after(tokens->label, token.kind);
    if (tokens->stopped)
        token = (Token){.span = token.span};
    tokens->last = token;
    return token;
}

/* The depth of the innermost body below `depth` that is open; 0 if there is none. */
static uint32_t enclosing_body(const Tokens *tokens, uint32_t depth) {
    while (depth > 0 && tokens->brackets[depth - 1] != '{')
        depth--;
    return depth;
}

static bool starts_definition(const Token *token) {
    return token->kind == TOKEN_BLOCK || token->kind == TOKEN_NETWORK ||
           token->kind == TOKEN_INCLUDE;
}

/* True if the word starts a statement of the body that encloses the error: it stands first on its
 * line, and either no expression can have it, or no bracket is open that it could belong to. */
static bool starts_statement(const Tokens *tokens, const Token *token, bool offending,
                             uint32_t floor) {
    if (!token->first || tokens->depth > floor)
        return false;
    int kind = token->kind;
    if (kind == TOKEN_FEATURE || kind == TOKEN_RETURN || kind == TOKEN_FOR || kind == TOKEN_HEAD)
        return true;
    bool in_brackets = enclosing_body(tokens, floor) < floor;
    return (kind == TOKEN_NAME || kind == TOKEN_IF) && (offending || !in_brackets);
}

/* Ends recovery at the word read last. `depth`: the brackets that stay open. */
static void resume(Tokens *tokens, uint32_t depth) {
    tokens->depth = depth;
    tokens->label = LABEL_NONE;
    tokens->again = true;
    tokens->synchronised = true;
    tokens->resumed = tokens->last.span.begin;
}

/* Ends recovery in front of a definition or the end: closes all bodies that are open. */
static void resume_outside(Tokens *tokens, uint32_t floor) {
    for (uint32_t i = 0; i < floor; i++)
        tokens->closers += tokens->brackets[i] == '{';
    resume(tokens, 0);
}

/* Skips words until one lets the parser go on. */
static void skip(Tokens *tokens) {
    Token token = tokens->last;
    uint32_t floor = tokens->depth - (opens(token.kind) && tokens->depth > 0);
    for (bool offending = true;; offending = false) {
        bool fresh = !tokens->synchronised || tokens->resumed != token.span.begin;
        bool outward = offending || tokens->depth < floor;
        if (tokens->depth < floor)
            floor = tokens->depth;
        uint32_t body = enclosing_body(tokens, floor);
        if (token.kind == 0 || (starts_definition(&token) && token.first && fresh)) {
            resume_outside(tokens, floor);
            return;
        }
        if (token.closes == '{' && outward && fresh) {
            resume(tokens, floor);
            return;
        }
        if (body > 0 && fresh && starts_statement(tokens, &token, offending, floor)) {
            resume(tokens, body);
            return;
        }
        token = read_word(tokens);
    }
}

bool tokens_recover(Tokens *tokens) {
    tokens->closers = 0;
    tokens->again = false;
    skip(tokens);
    if (tokens->last.kind != 0)
        return true;
    bool again = tokens->ended;
    tokens->ended = true;
    return !again;
}

Token tokens_next(Tokens *tokens) {
    if (tokens->closers > 0) {
        tokens->closers--;
        Span here = {tokens->file, tokens->last.span.begin, tokens->last.span.begin};
        return (Token){.kind = '}', .span = here};
    }
    if (tokens->again) {
        tokens->again = false;
        return tokens->last;
    }
    return read_word(tokens);
}
