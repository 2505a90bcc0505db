#include <inttypes.h>
#include <unistd.h>

#include "base/text.h"
#include "tools/command.h"
#include "tools/precision_options.h"
#include "tools/train/pretrain.h"
#include "tools/train/training_options.h"

typedef struct PretrainOptions {
    PretrainRun run;
    CodeOptions code;
    TrainingOptions training;
} PretrainOptions;

enum {
    KEY_DATA = 0x400,
    KEY_TRAINING, /* those from here on decide the training */
    KEY_PRESET = KEY_TRAINING,
    KEY_MICRO_BATCH,
    KEY_WEIGHT_DECAY_END,
    KEY_OPTIMIZER,
    KEY_CLIP,
    KEY_DENSIFY_NORM,
    KEY_NO_DROP,
    KEY_PICTURES
};

static const struct argp_option option_table[] = {
    {"data", KEY_DATA, "SOURCE", 0,
     "A folder of pictures, a tar shard or a picture; further ones may follow", 0},
    {"preset", KEY_PRESET, "NAME", 0,
     "small (default), imagenet-400, imagenet-800 or imagenet-1600", 0},
    {"micro-batch", KEY_MICRO_BATCH, "N", 0,
     "Images computed at a time; their gradients are averaged over --batch (at most 32)", 0},
    {"weight-decay-end", KEY_WEIGHT_DECAY_END, "X", 0, "Weight decay at last (0.2)", 0},
    {"optimizer", KEY_OPTIMIZER, "NAME", 0, "lamb (default), adamw or sgd", 0},
    {"clip", KEY_CLIP, "NORM", 0, "Largest norm of the gradient (5); 0: any", 0},
    {"densify-norm", KEY_DENSIFY_NORM, "NAME", 0,
     "auto (default: as the network), batch_norm or layer_norm", 0},
    {"no-drop", KEY_NO_DROP, NULL, 0, "No drop path and no dropout", 0},
    {"pictures", KEY_PICTURES, "EPOCHS", 0, "Epochs between reconstructions (10); 0: none", 0},
    {0},
};

/* ---- Options --------------------------------------------------------------------------------- */

/* Options that are a setting of run.json. */
static const TrainingOption settings_by_key[] = {{KEY_PRESET, "preset"},
                                                 {KEY_MICRO_BATCH, "micro_batch"},
                                                 {KEY_WEIGHT_DECAY_END, "weight_decay_end"},
                                                 {KEY_OPTIMIZER, "optimizer"},
                                                 {KEY_CLIP, "clip"},
                                                 {KEY_DENSIFY_NORM, "densify_norm"},
                                                 {KEY_PICTURES, "picture_epochs"}};

static error_t parse_setting(int key, const char *text, struct argp_state *state) {
    PretrainRun *run = &((PretrainOptions *)state->input)->run;
    const char *setting = training_options_setting(
        settings_by_key, sizeof settings_by_key / sizeof *settings_by_key, key);
    if (!setting)
        return ARGP_ERR_UNKNOWN;
    training_options_require(state, option_table, key,
                             pretrain_settings_set(run->arena, &run->settings, setting, text));
    return 0;
}

static error_t parse_rest(int key, char *text, struct argp_state *state) {
    PretrainSettings *settings = &((PretrainOptions *)state->input)->run.settings;
    switch (key) {
    case KEY_NO_DROP:
        settings->pass.stochastic = false;
        return 0;
    default:
        return parse_setting(key, text, state);
    }
}

/* The .cnn file goes to the options of the network; other names are sources behind --data's. */
static error_t parse_name(PretrainOptions *options, char *name) {
    if (text_ends_with(name, ".cnn"))
        return ARGP_ERR_UNKNOWN;
    vector_push(options->run.arena, &options->run.sources, name);
    return 0;
}

static void check_resume(struct argp_state *state, const PretrainOptions *options) {
    const Options *network = &options->run.options;
    PassOptions standard = pass_options_default();
    bool given = network->frontend.network || network->frontend.input || network->settings.count ||
                 network->pass.batch || network->pass.mask_ratio != standard.mask_ratio ||
                 network->pass.decoder_width != standard.decoder_width ||
                 network->pass.precision != standard.precision;
    training_options_check_resume(
        state, &options->training, network,
        given ? "network, set, input, batch, mask-ratio, decoder-width and precision" : NULL);
}

static void check_new(struct argp_state *state, const PretrainOptions *options) {
    if (!options->run.options.model)
        argp_error(state, "name a .cnn file, or a run by --resume");
    if (options->run.sources.count == 0)
        argp_error(state, "name the pictures by --data");
    if (!options->training.out)
        argp_error(state, "name the folder of the run by --out");
}

static error_t parse(int key, char *text, struct argp_state *state) {
    PretrainOptions *options = state->input;
    PretrainRun *run = &options->run;
    if (key >= KEY_TRAINING && key <= KEY_PICTURES)
        options->training.given = training_options_name(option_table, key);
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &run->options;
        state->child_inputs[1] = &options->code;
        state->child_inputs[2] = &run->options.pass;
        state->child_inputs[3] = &options->training;
        return 0;
    case ARGP_KEY_ARG:
        return parse_name(options, text);
    case KEY_DATA:
        vector_push(run->arena, &run->sources, text);
        return 0;
    case ARGP_KEY_SUCCESS:
        if (options->training.resume)
            check_resume(state, options);
        else
            check_new(state, options);
        return 0;
    default:
        return parse_rest(key, text, state);
    }
}

static const struct argp_child children[] = {{&options_program_argp, 0, NULL, 0},
                                             {&code_options_argp, 0, NULL, 0},
                                             {&precision_options_argp, 0, NULL, 0},
                                             {&training_options_argp, 0, NULL, 0},
                                             {0}};

static const struct argp argp = {
    option_table,
    parse,
    "MODEL.cnn --data SOURCE... --out RUN\n--resume RUN",
    "Pretrains the encoder of a network on pictures without labels: hides most of each picture and "
    "learns to fill it in. RUN gets checkpoints, the encoder's weights, a log, pictures and a "
    "report. Ctrl-C saves and leaves; --resume goes on with the same bits."
    "\vExamples:\n"
    "  sparkc pretrain mynet.cnn --data pictures/ --out run\n"
    "  sparkc pretrain models/resnet.cnn --network resnet50 --data shards/*.tar \\\n"
    "    --out run --preset imagenet-800 --micro-batch 16\n"
    "  sparkc pretrain mynet.cnn --data x-rays/ --out run --no-flip --epochs 300\n"
    "  sparkc pretrain --resume run\n",
    children,
    NULL,
    NULL};

/* ---- Running --------------------------------------------------------------------------------- */

static void describe_data(const PretrainRun *run) {
    const PretrainSettings *settings = &run->settings;
    fprintf(stderr, "data      %zu pictures; ", run->source.samples.count);
    training_options_print(stderr, &settings->training.normalization, settings->training.channels);
}

static void describe_plan(const PretrainRun *run) {
    const PretrainSettings *settings = &run->settings;
    size_t samples = run->source.samples.count;
    Schedule schedule = pretrain_schedule(settings, samples);
    training_options_plan(stderr, &schedule, settings->pass.batch, settings->micro_batch,
                          pretrain_epoch_steps(settings, samples));
}

static void describe_costs(const PretrainRun *run) {
    TrainerCosts costs = trainer_costs(run->trainer);
    training_options_costs(stderr, &costs, "a smaller --micro-batch");
    fprintf(stderr, "disk      checkpoints of %.0f MB, %d and the best are kept\n",
            12e-6 * (double)costs.parameters, run->settings.training.keep);
}

static void describe(const PretrainRun *run) {
    const Geometry *geometry = &run->graph->geometry;
    int64_t cells = graph_cells(run->graph);
    fprintf(stderr,
            "network   %s: %.2f million parameters with decoder, image %" PRId64 "x%" PRId64
            "x%" PRId64 ", %" PRId64 " of %" PRId64 " cells of %" PRId64 " pixels visible\n",
            run->graph->network, 1e-6 * (double)trainer_costs(run->trainer).parameters,
            geometry->channels, geometry->image[0], geometry->image[1],
            passes_keep(cells, run->settings.pass.mask_ratio), cells, geometry->ratio);
    describe_data(run);
    describe_plan(run);
    describe_costs(run);
}

static Status go(PretrainOptions *options, bool *stopped) {
    PretrainRun *run = &options->run;
    status_return_if_failed(options->training.resume ? pretrain_resume(run) : pretrain_create(run));
    describe(run);
    if (options->training.resume)
        training_options_resumed(stderr, &run->state);
    return pretrain_train(run, stopped);
}

static void say_end(const PretrainRun *run, bool stopped) {
    if (stopped)
        training_options_stopped(stderr, &run->state, "pretrain", run->folder);
    else
        printf("%s/checkpoints/step-%08" PRId64 ".encoder.safetensors\n", run->folder,
               run->state.updates);
}

/* The options of the network carry those of the program as well. */
static void take_options(PretrainOptions *options) {
    PretrainRun *run = &options->run;
    run->settings.pass.batch = run->options.pass.batch;
    run->settings.pass.mask_ratio = run->options.pass.mask_ratio;
    run->settings.pass.decoder_width = run->options.pass.decoder_width;
    run->settings.pass.precision = run->options.pass.precision;
    run->code = options->code.run;
    run->decode_threads = options->training.decode_threads;
    run->folder = options->training.resume ? options->training.resume : options->training.out;
}

int command_pretrain(int argc, char **argv) {
    Arena *arena = arena_create();
    PretrainOptions options = {.code = code_options_default()};
    PretrainRun *run = &options.run;
    bool stopped = false;
    *run = (PretrainRun){.arena = arena,
                         .options = options_default(arena),
                         .settings = pretrain_settings_default(),
                         .progress = isatty(STDERR_FILENO)};
    options.training = (TrainingOptions){.arena = arena,
                                         .settings = &run->settings.training,
                                         .decode_threads = options.code.run.threads};
    options_parse(&argp, argc, argv, &options);
    code_options_open_cache(arena, &options.code);
    take_options(&options);
    Status status = go(&options, &stopped);
    if (status_fine(status))
        say_end(run, stopped);
    else
        options_print_failure("pretrain", status);
    pretrain_close(run);
    code_options_close_cache(&options.code);
    arena_destroy(arena);
    return status_fine(status) && !stopped ? EXIT_FINE : EXIT_FAILED;
}
