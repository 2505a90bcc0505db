/* --bisect-limit: the option of commands that find the rewrite that breaks a network. */
#ifndef SPARKC_TOOLS_REWRITES_OPTIONS_H
#define SPARKC_TOOLS_REWRITES_OPTIONS_H

#include <argp.h>

#include "passes/rewrites.h"

typedef struct RewritesOptions {
    Rewrites rewrites;
    bool asked; /* for a limit; -1 is one as well */
} RewritesOptions;

/* No limit. */
RewritesOptions rewrites_options_default(void);

/* For the `children` of a command's argp; its input is a RewritesOptions. */
extern const struct argp rewrites_options_argp;

/* Prints to stderr how many rewrites there were and which was the last, if a limit was asked for.
 */
void rewrites_options_report(const RewritesOptions *options);

#endif
