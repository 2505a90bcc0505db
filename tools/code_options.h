/* The options of commands that compile: threads, processor, code cache, tuned choices. */
#ifndef SPARKC_TOOLS_CODE_OPTIONS_H
#define SPARKC_TOOLS_CODE_OPTIONS_H

#include <argp.h>

#include "codegen/cpu/cache.h"
#include "tools/execute/executor.h"
#include "tools/tune/tuning_file.h"

typedef struct CodeOptions {
    ExecutorOptions run;
    bool no_cache, no_tuning;
    const char *cache_directory; /* NULL: the user's own */
    CodeCache *cache;            /* what `run` uses */
    CpuTuning *tuning;           /* likewise; NULL without a cache, or if there is to be none */
    TuningFile tuning_file;      /* where it is from; path NULL: nowhere */
} CodeOptions;

/* All processors, this CPU, the user's cache. */
CodeOptions code_options_default(void);

/* For the `children` of a command's argp; its input is a CodeOptions. */
extern const struct argp code_options_argp;

/* Opens the cache, unless there is to be none, and reads the tuned choices that lie beside it. What
 * cannot be used costs a warning on stderr and time, nothing else. */
void code_options_open_cache(Arena *arena, CodeOptions *options);
void code_options_close_cache(CodeOptions *options);

#endif
