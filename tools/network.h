/* The network of a command: read once, built for the image sizes that are asked for. Messages about
 * the user's text are collected and printed together. */
#ifndef SPARKC_TOOLS_NETWORK_H
#define SPARKC_TOOLS_NETWORK_H

#include "ir/graph.h"
#include "tools/options.h"

typedef struct NetworkSource NetworkSource;

/* Reads the file of the options, which are borrowed. NULL after errors. Either way the messages
 * wait in *diagnostics, which network_print prints. */
NetworkSource *network_open(Arena *arena, const Options *options, Diagnostics **diagnostics);

/* All networks of the file, as frontend_networks has them. */
const FrontendNetwork *network_list(const NetworkSource *source, size_t *count);

/* The graph of the network chosen (`name` NULL: by the options), for images of a size such as
 * "3x224x224" (NULL: the options' own); the last one built is kept. NULL after errors. */
const Graph *network_graph(NetworkSource *source, const char *name, const char *input);

/* The same for trying whether there is such a network (`input` NULL: for its own image size):
 * nothing is reported or kept. */
Graph *network_try(NetworkSource *source, Arena *arena, const char *name, const char *input);

/* The text of the file and its includes as one (frontend_flatten). */
const char *network_flatten(const NetworkSource *source);

/* Where the messages are collected. */
Diagnostics *network_diagnostics(const NetworkSource *source);

/* Prints all messages so far to stderr. */
void network_print(const Diagnostics *diagnostics);

#endif
