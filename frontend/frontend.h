/* The front end: the text of a `.cnn` file becomes the graph of one network.
 *
 *     Arena *arena = arena_create();
 *     Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
 *     FrontendOptions options = {.network = "resnet50"};
 *     FrontendFile *file = frontend_read(arena, diagnostics, "models/resnet.cnn", NULL);
 *     Graph *graph = file ? frontend_build(file, diagnostics, &options) : NULL;
 *     fputs(diagnostics_text(diagnostics, color), stderr);      (notes and warnings come there too)
 *     return graph ? 0 : 1;
 *
 * What is in the graph after the front end (ir/ops.def says what each op means):
 * - one input op "image", dense, batch 1 (the select pass sets another; nothing in a network
 *   depends on the batch);
 * - one op per layer evaluated, in the order of evaluation, in its dense high-level form; a bias is
 *   an add behind its layer, layer_scale a mul, chunk and split are slices; `x + y` and the like
 *   between tensors and with numbers are ops as well; dropout and drop_path of rate 0 and identity
 *   leave nothing, the others have streams 0, 1, ... in order;
 * - the parameters, in the order in which their layers were evaluated, with PyTorch's names, shapes
 *   and layouts, their role and how they are initialised; running statistics are states, listed
 *   where PyTorch's state dictionary has them;
 * - the features as outputs "feature.0", "feature.1", ... from large to small: their strides double
 *   and are powers of two, the image is a multiple of the last (geometry.ratio); every map on the
 *   way to a feature is image / stride. A network may have none, then geometry.ratio is 0;
 * - the output "logits", if the network has a head;
 * - for every op the location of the call in the `.cnn`, and the name that its labels give it.
 * What no feature needs belongs to the head: its parameters and states are of PART_HEAD.
 * The graph verifies (verify_graph) whenever it is not NULL. */
#ifndef SPARKC_FRONTEND_FRONTEND_H
#define SPARKC_FRONTEND_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/diagnostics.h"
#include "ir/graph.h"

/* The number of errors of one run, for diagnostics_create. */
enum { FRONTEND_ERROR_LIMIT = 20 };

/* How files are read; tests and the fuzzer hand in text from memory. */
typedef struct FrontendAccess {
    void *context;
    /* The one name of an existing file: absolute, links followed, without "." and "..". NULL and a
     * sentence without the file's name in *error if it is not there. */
    const char *(*resolve)(void *context, Arena *arena, const char *path, const char **error);
    /* The whole file, zero-terminated; NULL and a sentence in *error if it cannot be read or has
     * more than `limit` bytes. */
    char *(*read)(void *context, Arena *arena, const char *path, size_t limit, size_t *length,
                  const char **error);
} FrontendAccess;

/* One file in memory, for FrontendAccess with frontend_memory_access. */
typedef struct FrontendMemoryFile {
    const char *path, *text;
    size_t length;
} FrontendMemoryFile;

/* The files of a FrontendAccess in memory. */
typedef struct FrontendMemory {
    const FrontendMemoryFile *files;
    size_t count;
} FrontendMemory;

/* Access to `memory`, which is borrowed. A path is found by its exact spelling. */
FrontendAccess frontend_memory_access(const FrontendMemory *memory);

/* What the command line says. */
typedef struct FrontendOptions {
    const char *network;         /* --network; NULL: the only one that is no template */
    const char *input;           /* --input, such as "1x64x256"; NULL: the network's own */
    const char *const *settings; /* --set, each "name=expression" */
    size_t setting_count;
} FrontendOptions;

/* A network that a file (or a file it includes) defines. */
typedef struct FrontendNetwork {
    const char *name;
    bool template; /* a parameter has no value: it can only be varied, or completed by --set */
    bool included; /* defined in an included file; never chosen without its name */
    Location location;
} FrontendNetwork;

/* A file with all that it includes: parsed, its names checked. */
typedef struct FrontendFile FrontendFile;

/* Reads and checks the file at `path` and its includes; `access` NULL reads from disk. All memory
 * comes from `arena`, also that of frontend_build. NULL after errors, which are in `diagnostics`;
 * then no network of the file can be built. */
FrontendFile *frontend_read(Arena *arena, Diagnostics *diagnostics, const char *path,
                            const FrontendAccess *access);

/* All networks, those of the file itself first, in the order in which they are written. */
const FrontendNetwork *frontend_networks(const FrontendFile *file, size_t *count);

/* The network that `options` chooses, or NULL after reporting why none is chosen. */
const FrontendNetwork *frontend_choose(FrontendFile *file, Diagnostics *diagnostics,
                                       const char *network);

/* The text of the file and of all that it includes as one file without includes, the file itself
 * first; it defines the same blocks and networks. */
const char *frontend_flatten(const FrontendFile *file);

/* Evaluates the network chosen into a graph. NULL after errors; warnings and notes are reported
 * either way. Can be called again, for other networks and options. */
Graph *frontend_build(FrontendFile *file, Diagnostics *diagnostics, const FrontendOptions *options);

#endif
