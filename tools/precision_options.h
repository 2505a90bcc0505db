/* The option that says in what programs store and multiply. */
#ifndef SPARKC_TOOLS_PRECISION_OPTIONS_H
#define SPARKC_TOOLS_PRECISION_OPTIONS_H

#include <argp.h>

/* For the `children` of a command's argp; its input is a PassOptions. */
extern const struct argp precision_options_argp;

#endif
