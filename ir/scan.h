/* Reading the lines of IR text, the part that both levels of IR share (docs/ir.md, "The text"):
 * blanks, comments, names, quoted texts, numbers, types, attribute lists, locations.
 *
 * The text is hostile input. Every function reads at the cursor, inside the current line, and
 * either moves behind what it read or reports one error with file:line:column, line and caret and
 * returns false (NULL). At most one error is reported per line. */
#ifndef SPARKC_IR_SCAN_H
#define SPARKC_IR_SCAN_H

#include "base/arena.h"
#include "base/diagnostics.h"
#include "ir/op.h"
#include "ir/type.h"

enum { SCAN_LARGEST_FILE = 64 << 20, SCAN_MOST_LINES = 1000000 };

/* A stretch of the text; begin NULL: none. */
typedef struct ScanSpan {
    const char *begin, *end;
} ScanSpan;

typedef struct Scanner {
    Arena *arena;
    Diagnostics *diagnostics;
    const char *file;
    const char *text, *end;      /* the whole text; *end is 0 */
    const char *line, *line_end; /* the current line, without its end */
    const char *cursor;
    const char *next;      /* the start of the next line */
    uint32_t number;       /* of the line, from 1 */
    bool failed;           /* an error was reported for this line */
    const char *last_file; /* of the last location read, shared by those that follow */
} Scanner;

/* A scanner before the first line. `text` has a zero behind its `length` bytes and must outlive the
 * diagnostics, which learn of it here. */
Scanner scan_create(Arena *arena, Diagnostics *diagnostics, const char *file, const char *text,
                    size_t length);

/* Moves to the next line that holds more than blanks and a comment. False at the end of the
 * text, and after reporting that it has too many lines. */
bool scan_line(Scanner *scanner);

/* Reports an error at a stretch of the text, unless this line has one. */
void scan_error(Scanner *scanner, ScanSpan span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* From `begin` to the cursor; the next word; the whole line; the end of the text. */
ScanSpan scan_since(const Scanner *scanner, const char *begin);
ScanSpan scan_word(Scanner *scanner);
ScanSpan scan_whole_line(const Scanner *scanner);
ScanSpan scan_text_end(const Scanner *scanner);

/* A stretch as diagnostics have it. */
Location scan_locate(const Scanner *scanner, ScanSpan span);

/* Skips blanks; the place of what comes next. */
const char *scan_place(Scanner *scanner);

/* A hint for the error just reported. */
void scan_hint(Scanner *scanner, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reports "expected ..., found ..." at the cursor. */
void scan_expected(Scanner *scanner, const char *what);

/* True if only blanks and a comment follow; reports what else there is. */
bool scan_line_end(Scanner *scanner);

/* The next character that is no blank, '\n' at the end of the line. */
char scan_peek(Scanner *scanner);

/* Moves behind `character`, or behind `word` with no letter of a name after it, if that is next. */
bool scan_take(Scanner *scanner, char character);
bool scan_take_word(Scanner *scanner, const char *word);

/* The same, reporting if it is not there. */
bool scan_expect(Scanner *scanner, char character);
bool scan_expect_word(Scanner *scanner, const char *word);

/* A name: letters, digits and _ . - bare, anything else quoted. `what` says what is expected. */
char *scan_name(Scanner *scanner, const char *what);

/* A text in quotes. */
char *scan_quoted(Scanner *scanner);

/* A type as docs/ir.md writes it. */
bool scan_type(Scanner *scanner, Type *type);

/* A whole number in lowest .. highest. */
bool scan_whole(Scanner *scanner, int64_t lowest, int64_t highest, int64_t *value);

/* [1, 2, 3], at most ATTRIBUTE_MAX_INTS numbers, or []: into value->ints, behind value->count. */
bool scan_list(Scanner *scanner, Attribute *value);

/* A location, with its "@"; the file's name is in the arena. */
bool scan_location(Scanner *scanner, Location *location);

/* An attribute list `{name=value, ...}`, or nothing at all, by the rows `infos` of `owner`
 * ("conv"). `values` gets the defaults where the text says nothing; spans[i] is where value i
 * stands. */
bool scan_attributes(Scanner *scanner, const char *owner, const AttributeInfo *infos, int count,
                     Attribute *values, ScanSpan *spans);

#endif
