#include <inttypes.h>
#include <jansson.h>

#include "base/text.h"
#include "runtime/data/picture.h"
#include "runtime/train/mask.h"
#include "tools/command.h"
#include "tools/inspect/activity.h"
#include "tools/inspect/mask_picture.h"
#include "tools/network.h"
#include "tools/options.h"

enum { KEY_PICTURE = 0x200, KEY_SEED, KEY_MASK_FILE };

typedef struct VizOptions {
    Options common;
    const char *picture, *mask, *output;
    uint32_t seed;
    bool json;
} VizOptions;

static const struct argp_option option_table[] = {
    {"picture", KEY_PICTURE, "FILE", 0, "A JPEG or PNG to mask; a landscape is drawn by default",
     0},
    {"output", 'o', "FILE.png", 0, "What is written (viz-mask.png)", 0},
    {"seed", KEY_SEED, "N", 0, "Of the mask (0)", 0},
    {"mask", KEY_MASK_FILE, "FILE", 0,
     "The visible cells: a line per row, # for a visible cell, . for a hidden one", 0},
    OPTIONS_JSON,
    {0}};

static error_t parse(int key, char *argument, struct argp_state *state) {
    VizOptions *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case KEY_PICTURE:
        options->picture = argument;
        return 0;
    case 'o':
        options->output = argument;
        return 0;
    case KEY_SEED:
        options->seed = (uint32_t)options_integer(state, "seed", argument, 0, UINT32_MAX);
        return 0;
    case KEY_MASK_FILE:
        options->mask = argument;
        return 0;
    case OPTIONS_KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (!options->common.model)
            argp_error(state, "name a .cnn file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_table,
    parse,
    "MODEL.cnn",
    "Draws how a mask vanishes when whole maps are convolved, and how it stays when only visible "
    "cells are: a PNG with a column of two tiles for the image and each feature, dense above ours "
    "(blue: visible, grey: hidden, orange: hidden, but filled). Prints the share of active "
    "positions of each."
    "\vExamples:\n"
    "  sparkc viz-mask models/tutorial.cnn\n"
    "  sparkc viz-mask models/resnet.cnn --network resnet50 --picture cat.jpg -o cat-mask.png\n"
    "  sparkc viz-mask models/tutorial.cnn --mask cells.txt --json\n",
    options_program,
    NULL,
    NULL};

typedef struct Viz {
    const VizOptions *options;
    Arena *arena;
    const Graph *graph;
    int64_t keep;
    int32_t *cells;
    const ActivityMap *maps;
    size_t map_count;
} Viz;

/* Masks a copy of the network, which refuses what cannot be masked; the visible cells' number. */
static bool try_mask(Viz *viz, Diagnostics *diagnostics) {
    PassOptions pass = viz->options->common.pass;
    Graph *masked = graph_copy(viz->graph, viz->arena);
    pass.entry = ENTRY_RECONSTRUCT;
    if (viz->options->mask)
        pass.mask_ratio = 0;
    if (!passes_run(masked, &pass, "sparsify", diagnostics, NULL, NULL))
        return false;
    viz->keep = masked->geometry.keep;
    return true;
}

static Status choose_cells(Viz *viz) {
    const VizOptions *options = viz->options;
    int64_t rows = graph_grid(viz->graph, 0), columns = graph_grid(viz->graph, 1);
    MaskFile mask;
    if (!options->mask) {
        viz->cells = arena_new_array(viz->arena, int32_t, (size_t)viz->keep);
        mask_draw(options->seed, 0, 1, rows * columns, viz->keep, viz->cells);
        return STATUS_FINE;
    }
    status_return_if_failed(mask_read(viz->arena, options->mask, &mask));
    if (mask.rows != rows || mask.columns != columns)
        return status_failure(viz->arena,
                              "%s has %" PRId64 " x %" PRId64 " cells, but the image has %" PRId64
                              " x %" PRId64 ": give it a line per row, a character per cell",
                              options->mask, mask.rows, mask.columns, rows, columns);
    viz->keep = mask.keep;
    viz->cells = mask.list;
    return STATUS_FINE;
}

static Status draw(Viz *viz) {
    const int64_t *extents = viz->graph->geometry.image;
    Image picture, canvas;
    if (viz->graph->geometry.space != 2)
        return status_failure(viz->arena, "only masks of pictures with two directions are drawn");
    status_return_if_failed(
        mask_picture_read(viz->arena, viz->options->picture, extents[1], extents[0], &picture));
    status_return_if_failed(choose_cells(viz));
    viz->maps = activity_of(graph_copy(viz->graph, viz->arena), viz->arena, viz->cells, viz->keep,
                            &viz->map_count);
    status_return_if_failed(
        mask_picture_draw(viz->arena, viz->maps, viz->map_count, &picture, &canvas));
    return picture_write(viz->arena, &canvas, viz->options->output);
}

static void print_text(const Viz *viz) {
    Text path = text_create(viz->arena);
    printf("%s: image %" PRId64 " x %" PRId64 ", cells %" PRId64 " x %" PRId64 ", %" PRId64
           " of %" PRId64 " visible\n",
           viz->graph->network, viz->maps->extent[0], viz->maps->extent[1],
           graph_grid(viz->graph, 0), graph_grid(viz->graph, 1), viz->keep,
           graph_cells(viz->graph));
    printf("%-12s %6s %13s %8s %8s\n", "active", "stride", "map", "dense", "ours");
    for (size_t i = 0; i < viz->map_count; i++) {
        const ActivityMap *map = &viz->maps[i];
        const char *extents =
            arena_format(viz->arena, "%" PRId64 " x %" PRId64, map->extent[0], map->extent[1]);
        printf("%-12s %6" PRId64 " %13s %6.1f %% %6.1f %%\n", map->name, map->stride, extents,
               100 * map->dense_share, 100 * map->our_share);
    }
    text_append_escaped(&path, viz->options->output);
    printf("picture: %s\n", path.data);
}

static void print_json(const Viz *viz) {
    Text path = text_create(viz->arena);
    json_t *levels = json_array(), *cells = json_array(), *result;
    for (size_t i = 0; i < viz->map_count; i++) {
        const ActivityMap *map = &viz->maps[i];
        json_array_append_new(levels,
                              json_pack("{s:s, s:I, s:[I, I], s:f, s:f}", "name", map->name,
                                        "stride", (json_int_t)map->stride, "map",
                                        (json_int_t)map->extent[0], (json_int_t)map->extent[1],
                                        "dense", map->dense_share, "ours", map->our_share));
    }
    for (int64_t i = 0; i < viz->keep; i++)
        json_array_append_new(cells, json_integer(viz->cells[i]));
    text_append_escaped(&path, viz->options->output);
    result = json_pack("{s:s, s:[I, I], s:o, s:o, s:s}", "network", viz->graph->network, "cells",
                       (json_int_t)graph_grid(viz->graph, 0), (json_int_t)graph_grid(viz->graph, 1),
                       "visible", cells, "levels", levels, "picture", path.data);
    json_dumpf(result, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(result);
}

static int show(Viz *viz) {
    Status status = draw(viz);
    if (!status_fine(status)) {
        options_print_failure("viz-mask", status);
        return EXIT_FAILED;
    }
    if (viz->options->json)
        print_json(viz);
    else
        print_text(viz);
    return EXIT_FINE;
}

int command_viz_mask(int argc, char **argv) {
    Arena *arena = arena_create();
    VizOptions options = {.common = options_default(arena), .output = "viz-mask.png"};
    options_parse(&argp, argc, argv, &options);
    Diagnostics *diagnostics;
    Viz viz = {.options = &options, .arena = arena};
    NetworkSource *source = network_open(arena, &options.common, &diagnostics);
    viz.graph = source ? network_graph(source, NULL, NULL) : NULL;
    bool fine = viz.graph && try_mask(&viz, diagnostics);
    network_print(diagnostics);
    int status = fine ? show(&viz) : EXIT_FAILED;
    arena_destroy(arena);
    return status;
}
