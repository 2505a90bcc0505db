#include "tools/network.h"

#include <string.h>

struct NetworkSource {
    const Options *options;
    Diagnostics *diagnostics;
    FrontendFile *file;
    const Graph *graph;       /* the last one built */
    const char *name, *input; /* what it was built for */
};

NetworkSource *network_open(Arena *arena, const Options *options, Diagnostics **diagnostics) {
    NetworkSource *source = arena_new(arena, NetworkSource);
    source->options = options;
    source->diagnostics = *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    source->file = frontend_read(arena, source->diagnostics, options->model, NULL);
    return source->file ? source : NULL;
}

const FrontendNetwork *network_list(const NetworkSource *source, size_t *count) {
    return frontend_networks(source->file, count);
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

const Graph *network_graph(NetworkSource *source, const char *name, const char *input) {
    FrontendOptions options = source->options->frontend;
    options.network = name ? name : options.network;
    options.input = input ? input : options.input;
    if (source->graph && same_text(source->name, options.network) &&
        same_text(source->input, options.input))
        return source->graph;
    source->graph = frontend_build(source->file, source->diagnostics, &options);
    source->name = options.network;
    source->input = options.input;
    return source->graph;
}

Graph *network_try(NetworkSource *source, Arena *arena, const char *name, const char *input) {
    FrontendOptions options = source->options->frontend;
    options.network = name ? name : options.network;
    options.input = input;
    return frontend_build(source->file, diagnostics_create(arena, FRONTEND_ERROR_LIMIT), &options);
}

const char *network_flatten(const NetworkSource *source) {
    return frontend_flatten(source->file);
}

Diagnostics *network_diagnostics(const NetworkSource *source) {
    return source->diagnostics;
}

void network_print(const Diagnostics *diagnostics) {
    fputs(diagnostics_text(diagnostics, options_color(stderr)), stderr);
}
