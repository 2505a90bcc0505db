#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/data/picture.h"
#include "runtime/train/mask.h"
#include "tools/command.h"
#include "tools/train/pretrain.h"
#include "tools/train/reconstruction.h"
#include "tools/train/run_tensors.h"

typedef struct ReconstructOptions {
    PretrainRun run;
    CodeOptions code;
    VECTOR(const char *) images;
    const char *checkpoint, *mask, *output;
    int64_t count; /* 0: as many as there are, 8 at most */
    uint32_t seed;
    bool json;
} ReconstructOptions;

enum { KEY_IMAGES = 0x500, KEY_CHECKPOINT, KEY_MASK, KEY_COUNT, KEY_SEED };
enum { DEFAULT_COUNT = 8, MOST_COUNT = 1000 };

static const struct argp_option option_table[] = {
    {"images", KEY_IMAGES, "SOURCE", 0,
     "A folder of pictures, a tar shard or a picture; further ones may follow (default: the "
     "pictures of the run)",
     0},
    {"output", 'o', "FILE.png", 0, "Where the picture goes (reconstruction.png)", 0},
    {"count", KEY_COUNT, "N", 0, "How many pictures, spread evenly over the source (at most 8)", 0},
    {"mask", KEY_MASK, "FILE", 0,
     "The mask as text: a line per row of cells, # for a visible cell, . for a hidden one", 0},
    {"seed", KEY_SEED, "N", 0, "Of the masks that are drawn otherwise (0)", 0},
    {"checkpoint", KEY_CHECKPOINT, "FILE", 0, "Weights (default: the run's newest checkpoint)", 0},
    OPTIONS_JSON,
    {0},
};

static error_t parse_name(ReconstructOptions *options, char *name) {
    if (options->run.folder)
        vector_push(options->run.arena, &options->images, name);
    else
        options->run.folder = name;
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    ReconstructOptions *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->code;
        return 0;
    case ARGP_KEY_ARG:
        return parse_name(options, text);
    case KEY_IMAGES:
        vector_push(options->run.arena, &options->images, text);
        return 0;
    case 'o':
        options->output = text;
        return 0;
    case KEY_COUNT:
        options->count = options_integer(state, "count", text, 1, MOST_COUNT);
        return 0;
    case KEY_MASK:
        options->mask = text;
        return 0;
    case KEY_SEED:
        options->seed = (uint32_t)options_integer(state, "seed", text, 0, UINT32_MAX);
        return 0;
    case KEY_CHECKPOINT:
        options->checkpoint = text;
        return 0;
    case OPTIONS_KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (!options->run.folder)
            argp_error(state, "name the folder of a run");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&code_options_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    option_table,
    parse,
    "RUN",
    "Draws what a pretrained network makes of masked pictures: rows of pictures, in columns the "
    "original, what the network sees of it, and the original completed by its predictions."
    "\vExamples:\n"
    "  sparkc reconstruct run\n"
    "  sparkc reconstruct run --images cat.jpg dog.jpg -o pets.png\n"
    "  sparkc reconstruct run --mask mask.txt --count 4 --json\n",
    children,
    NULL,
    NULL};

/* What the picture is made with. */
typedef struct Work {
    const ReconstructOptions *options;
    PretrainRun *run;
    PassOptions pass;
    MaskFile mask; /* of the file; `list` NULL: cells are drawn */
    Reconstruction *reconstruction;
    Image picture;
    double loss;
} Work;

/* A mask decides how many cells are visible, and so the program. */
static Status take_mask(Work *work) {
    const Graph *graph = work->run->graph;
    Arena *arena = work->run->arena;
    if (!work->options->mask)
        return STATUS_FINE;
    status_return_if_failed(mask_read(arena, work->options->mask, &work->mask));
    if (work->mask.rows != graph_grid(graph, 0) || work->mask.columns != graph_grid(graph, 1))
        return status_failure(
            arena, "%s: has %" PRId64 " x %" PRId64 " cells, the network %" PRId64 " x %" PRId64,
            work->options->mask, work->mask.rows, work->mask.columns, graph_grid(graph, 0),
            graph_grid(graph, 1));
    work->pass.mask_ratio = 1 - (double)work->mask.keep / (double)graph_cells(graph);
    return STATUS_FINE;
}

static Status take_images(Work *work) {
    PretrainRun *run = work->run;
    if (work->options->images.count) {
        run->sources.items = work->options->images.items;
        run->sources.count = work->options->images.count;
    }
    status_return_if_failed(pretrain_open_source(run));
    int64_t found = (int64_t)run->source.samples.count;
    int64_t most = work->options->count ? work->options->count : DEFAULT_COUNT;
    work->pass.batch = found < most ? found : most;
    return STATUS_FINE;
}

static Status take_weights(const Work *work) {
    PretrainRun *run = work->run;
    const char *path = work->options->checkpoint;
    if (!path)
        status_return_if_failed(run_tensors_newest(run->arena, run->folder, &path));
    return run_tensors_initialise(run->arena, path, reconstruction_memory(work->reconstruction),
                                  stderr);
}

static Status draw(Work *work) {
    PretrainRun *run = work->run;
    const PretrainSettings *settings = &run->settings;
    status_return_if_failed(take_weights(work));
    status_return_if_failed(
        reconstruction_load(run->arena, &run->source, settings->training.normalization.mean,
                            settings->training.normalization.deviation, work->reconstruction));
    if (work->mask.list)
        reconstruction_set_mask(work->reconstruction, work->mask.list);
    else
        reconstruction_mask(work->reconstruction, work->options->seed);
    status_return_if_failed(reconstruction_draw(
        run->arena, work->reconstruction, settings->training.normalization.mean,
        settings->training.normalization.deviation, &work->picture, &work->loss));
    return picture_write(run->arena, &work->picture, work->options->output);
}

static Status reconstruct(Work *work) {
    PretrainRun *run = work->run;
    Diagnostics *diagnostics = diagnostics_create(run->arena, FRONTEND_ERROR_LIMIT);
    status_return_if_failed(pretrain_open(run));
    work->pass = run->settings.pass;
    status_return_if_failed(take_images(work));
    status_return_if_failed(take_mask(work));
    Status status = reconstruction_create(run->arena, run->graph, &work->pass, &run->code,
                                          diagnostics, &work->reconstruction);
    network_print(diagnostics);
    status_return_if_failed(status);
    status = draw(work);
    reconstruction_destroy(work->reconstruction);
    return status;
}

static void print_result(const Work *work) {
    const ReconstructOptions *options = work->options;
    if (!options->json) {
        printf("%s: %" PRId64 " pictures, loss %.4f\n", options->output, work->pass.batch,
               work->loss);
        return;
    }
    json_t *json = json_pack("{s:s, s:I, s:f}", "picture", options->output, "pictures",
                             (json_int_t)work->pass.batch, "loss", work->loss);
    json_dumpf(json, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(json);
}

int command_reconstruct(int argc, char **argv) {
    Arena *arena = arena_create();
    ReconstructOptions options = {.code = code_options_default(), .output = "reconstruction.png"};
    options.run =
        (PretrainRun){.arena = arena, .decode_threads = 1, .progress = isatty(STDERR_FILENO)};
    options_parse(&argp, argc, argv, &options);
    code_options_open_cache(arena, &options.code);
    options.run.code = options.code.run;
    Work work = {.options = &options, .run = &options.run};
    Status status = reconstruct(&work);
    if (status_fine(status))
        print_result(&work);
    else
        options_print_failure("reconstruct", status);
    pretrain_close(&options.run);
    code_options_close_cache(&options.code);
    arena_destroy(arena);
    return status_fine(status) ? EXIT_FINE : EXIT_FAILED;
}
