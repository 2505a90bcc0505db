/* The options that the commands share, parsed once. A command's argp has options_network or
 * options_program as its children and hands its Options over in ARGP_KEY_INIT:
 * state->child_inputs[0] = &its_options. */
#ifndef SPARKC_TOOLS_OPTIONS_H
#define SPARKC_TOOLS_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"
#include "base/vector.h"
#include "frontend/frontend.h"
#include "passes/passes.h"

/* Exit statuses of every command. */
enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef struct Options {
    Arena *arena;
    const char *model;             /* the file; NULL: none was given */
    VECTOR(const char *) settings; /* --set; `frontend` points at them */
    FrontendOptions frontend;
    PassOptions pass;
} Options;

/* The option of commands whose result a machine may read; they handle its key themselves. */
enum { OPTIONS_KEY_JSON = 0x80 };
#define OPTIONS_JSON                                                                               \
    { "json", OPTIONS_KEY_JSON, NULL, 0, "Print the result as JSON", 0 }

/* Children of a command's argp: one file name and how it is read; the same with the size of the
 * program that is made of it. Alone as a list of children, or the parsers for a longer one. */
extern const struct argp_child options_network[], options_program[];
extern const struct argp options_network_argp, options_program_argp;

/* The defaults; `arena` holds what grows. */
Options options_default(Arena *arena);

/* Parses by a command's argp; ends the process with EXIT_USAGE after a wrong option. */
void options_parse(const struct argp *argp, int argc, char **argv, void *input);

/* The same, with ARGP_KEY_ARG for each name where it stands among the options. */
void options_parse_in_order(const struct argp *argp, int argc, char **argv, void *input);

/* Whole numbers from `least` to `most`, or a usage error that names the option. */
int64_t options_integer(struct argp_state *state, const char *option, const char *text,
                        int64_t least, int64_t most);

/* An entry of the set `allowed` (1 << Entry of each) by its name, or a usage error that lists them.
 */
Entry options_entry(struct argp_state *state, const char *name, unsigned allowed);

/* Prints "sparkc COMMAND: MESSAGE" on stderr; names in it that come from outside are escaped. */
void options_print_failure(const char *command, Status status);

/* True if messages on this stream may have colours: a terminal, and NO_COLOR is not set. */
bool options_color(FILE *stream);

#endif
