#include "tools/precision_options.h"

#include "passes/settings.h"

enum { KEY_PRECISION = 0x380 };

static const struct argp_option table[] = {
    {"precision", KEY_PRECISION, "NAME", 0,
     "fp32 (default), or bf16: maps and their gradients are stored, and products computed of "
     "numbers, in bf16",
     1},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state) {
    if (key != KEY_PRECISION)
        return ARGP_ERR_UNKNOWN;
    if (!pass_settings_set(state->input, "precision", argument))
        argp_error(state, "--precision is fp32 or bf16, not %s", argument);
    return 0;
}

const struct argp precision_options_argp = {table, parse, NULL, NULL, NULL, NULL, NULL};
