/* What the commands that measure have in common: what is measured, and a line of progress. */
#ifndef SPARKC_TOOLS_MEASURING_H
#define SPARKC_TOOLS_MEASURING_H

#include "tools/bench/bench.h"
#include "tools/options.h"

/* The network of a .cnn, or what an .ir holds, behind all passes; a failure is reported in
 * *diagnostics. */
bool measuring_prepare(Arena *arena, const Options *options, Diagnostics **diagnostics,
                       BenchResult *result);

/* The entries that `--entry` of these commands takes, as bits: those with pictures to count. */
extern const unsigned measuring_entries;

/* One line on standard error that is written over, on a terminal only; the end of it. `context` is
 * not used: the type is BenchProgress. */
void measuring_progress(void *context, const char *text);
void measuring_progress_end(void);

#endif
