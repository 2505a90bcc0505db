#include "tools/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "passes/settings.h"

enum { KEY_NETWORK = 0x100, KEY_SET, KEY_INPUT, KEY_BATCH, KEY_MASK, KEY_WIDTH, KEY_JSON };

static const struct argp_option network_table[] = {
    {"network", KEY_NETWORK, "NAME", 0, "The network of the file; needed if it has several", 1},
    {"set", KEY_SET, "NAME=VALUE", 0, "Set a parameter of the network; may be repeated", 1},
    {0},
};

static const struct argp_option program_table[] = {
    {"input", KEY_INPUT, "CxHxW", 0, "The image: channels, height, width", 1},
    {"batch", KEY_BATCH, "N", 0, "Images per step", 1},
    {"mask-ratio", KEY_MASK, "SHARE", 0, "Share of the cells that is hidden (0.6)", 1},
    {"decoder-width", KEY_WIDTH, "N", 0, "Channels of the decoder at its start (768)", 1},
    {0},
};

int64_t options_integer(struct argp_state *state, const char *option, const char *text,
                        int64_t least, int64_t most) {
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        argp_error(state, "--%s needs a whole number from %" PRId64 " to %" PRId64 ", not %s",
                   option, least, most, text);
    return value;
}

Entry options_entry(struct argp_state *state, const char *name, unsigned allowed) {
    const char *const *entries = pass_settings_entries();
    Arena *arena = arena_create();
    Text list = text_create(arena);
    for (int i = 0; entries[i]; i++) {
        if (!(allowed & 1u << i))
            continue;
        if (strcmp(name, entries[i]) == 0) {
            arena_destroy(arena);
            return (Entry)i;
        }
        text_append(&list, "%s%s", list.length ? ", " : "", entries[i]);
    }
    argp_error(state, "--entry takes one of %s, not %s", list.data, name);
    arena_destroy(arena);
    return ENTRY_TRAIN_STEP;
}

static double parse_share(struct argp_state *state, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value < 1))
        argp_error(state, "--mask-ratio needs a number from 0 to below 1, not %s", text);
    return value;
}

static void add_setting(struct argp_state *state, Options *options, const char *setting) {
    if (!strchr(setting, '='))
        argp_error(state, "--set needs NAME=VALUE, not %s", setting);
    vector_push(options->arena, &options->settings, setting);
    options->frontend.settings = options->settings.items;
    options->frontend.setting_count = options->settings.count;
}

static error_t parse_network(int key, char *argument, struct argp_state *state) {
    Options *options = state->input;
    switch (key) {
    case KEY_NETWORK:
        options->frontend.network = argument;
        return 0;
    case KEY_SET:
        add_setting(state, options, argument);
        return 0;
    case ARGP_KEY_ARG:
        if (options->model)
            argp_error(state, "one file is enough: %s and %s", options->model, argument);
        options->model = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_program(int key, char *argument, struct argp_state *state) {
    Options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = options;
        return 0;
    case KEY_INPUT:
        options->frontend.input = argument;
        return 0;
    case KEY_BATCH:
        options->pass.batch = options_integer(state, "batch", argument, 1, INT32_MAX);
        return 0;
    case KEY_MASK:
        options->pass.mask_ratio = parse_share(state, argument);
        return 0;
    case KEY_WIDTH:
        options->pass.decoder_width =
            options_integer(state, "decoder-width", argument, 1, INT32_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp options_network_argp = {network_table, parse_network, NULL, NULL,
                                          NULL,          NULL,          NULL};
const struct argp_child options_network[] = {{&options_network_argp, 0, NULL, 0}, {0}};

const struct argp options_program_argp = {program_table,   parse_program, NULL, NULL,
                                          options_network, NULL,          NULL};
const struct argp_child options_program[] = {{&options_program_argp, 0, NULL, 0}, {0}};

Options options_default(Arena *arena) {
    return (Options){.arena = arena, .pass = pass_options_default()};
}

/* What a long option's argument is called; NULL: there is no such option, or it takes none. The
 * parsers below a command's are a tree. */
static const char *argument_of(const struct argp *argp, const char *name) {
    const char *found = NULL;
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++)
        if (o->name && strcmp(o->name, name) == 0 && !(o->flags & OPTION_ARG_OPTIONAL))
            return o->arg;
    for (const struct argp_child *child = argp->children; child && child->argp && !found; child++)
        found = argument_of(child->argp, name);
    return found;
}

/* "--profile --json" is a forgotten file, and none that is called "--json". */
static void refuse_options_as_arguments(const struct argp *command, int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--") == 0)
            return;
        const char *argument =
            strncmp(argv[i], "--", 2) == 0 ? argument_of(command, argv[i] + 2) : NULL;
        if (!argument)
            continue;
        if (strncmp(argv[++i], "--", 2) == 0) {
            fprintf(stderr, "%s: %s needs %s, not another option; %s=%s takes any\n", argv[0],
                    argv[i - 1], argument, argv[i - 1], argument);
            exit(EXIT_USAGE);
        }
    }
}

static void parse(const struct argp *command, int argc, char **argv, unsigned flags, void *input) {
    argp_err_exit_status = EXIT_USAGE;
    refuse_options_as_arguments(command, argc, argv);
    if (argp_parse(command, argc, argv, flags, NULL, input) != 0)
        exit(EXIT_USAGE);
}

void options_parse(const struct argp *command, int argc, char **argv, void *input) {
    parse(command, argc, argv, 0, input);
}

void options_parse_in_order(const struct argp *command, int argc, char **argv, void *input) {
    parse(command, argc, argv, ARGP_IN_ORDER, input);
}

void options_print_failure(const char *command, Status status) {
    Arena *arena = arena_create();
    Text words = text_create(arena);
    text_append_escaped(&words, status.message);
    fprintf(stderr, "sparkc %s: %s\n", command, words.data);
    arena_destroy(arena);
}

bool options_color(FILE *stream) {
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(fileno(stream)) && !(no_color && *no_color) &&
           !(terminal && strcmp(terminal, "dumb") == 0);
}
