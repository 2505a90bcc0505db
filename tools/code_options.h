/* The options of commands that compile: threads, processor, code cache. */
#ifndef SPARKC_TOOLS_CODE_OPTIONS_H
#define SPARKC_TOOLS_CODE_OPTIONS_H

#include <argp.h>

#include "codegen/cpu/cache.h"
#include "tools/execute/executor.h"

typedef struct CodeOptions {
    ExecutorOptions run;
    bool no_cache;
    const char *cache_directory; /* NULL: the user's own */
    CodeCache *cache;            /* what `run` uses */
} CodeOptions;

/* All processors, this CPU, the user's cache. */
CodeOptions code_options_default(void);

/* For the `children` of a command's argp; its input is a CodeOptions. */
extern const struct argp code_options_argp;

/* Opens the cache, unless there is to be none. One that cannot be used costs a warning on stderr
 * and time, nothing else. */
void code_options_open_cache(Arena *arena, CodeOptions *options);
void code_options_close_cache(CodeOptions *options);

#endif
