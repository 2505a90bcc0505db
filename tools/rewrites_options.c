#include "tools/rewrites_options.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "tools/options.h"

enum { KEY_LIMIT = 0x300 };

static const struct argp_option table[] = {
    {"bisect-limit", KEY_LIMIT, "N", 0,
     "Stop rewriting after the N-th rewrite, and say which it was; -1: do all, and count them", 2},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state) {
    RewritesOptions *options = state->input;
    if (key != KEY_LIMIT)
        return ARGP_ERR_UNKNOWN;
    options->rewrites.limit = options_integer(state, "bisect-limit", argument, -1, INT64_MAX);
    options->asked = true;
    return 0;
}

const struct argp rewrites_options_argp = {table, parse, NULL, NULL, NULL, NULL, NULL};

RewritesOptions rewrites_options_default(void) {
    return (RewritesOptions){.rewrites = {.limit = -1}};
}

void rewrites_options_report(const RewritesOptions *options) {
    const Rewrites *rewrites = &options->rewrites;
    if (!options->asked)
        return;
    Arena *arena = arena_create();
    Text what = text_create(arena);
    text_append_escaped(&what, rewrites->what);
    fprintf(stderr, "%" PRId64 " rewrites%s%s%s%s\n", rewrites->done,
            rewrites->pass ? ", the last by " : "", rewrites->pass ? rewrites->pass : "",
            rewrites->pass ? ": " : "", what.data);
    arena_destroy(arena);
}
