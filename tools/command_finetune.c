#include <inttypes.h>
#include <unistd.h>

#include "base/text.h"
#include "tools/command.h"
#include "tools/train/finetune.h"
#include "tools/train/training_options.h"

typedef struct FinetuneOptions {
    FinetuneRun run;
    CodeOptions code;
    TrainingOptions training;
    RunPaths *names; /* that further names belong to */
    bool json;
} FinetuneOptions;

enum {
    KEY_DATA = 0x700,
    KEY_TEST,
    KEY_INPUT,
    KEY_TRAINING, /* those from here on decide the training */
    KEY_FROM = KEY_TRAINING,
    KEY_RANDOM,
    KEY_RECIPE,
    KEY_BATCH,
    KEY_LAYER_DECAY,
    KEY_OPTIMIZER,
    KEY_CLIP,
    KEY_AVERAGE,
    KEY_DROP_PATH,
    KEY_MIXUP,
    KEY_CUTMIX,
    KEY_SMOOTHING,
    KEY_LEAST_AREA,
    KEY_COUNT,
    KEY_HOLD_OUT,
    KEY_EVALUATIONS
};

static const struct argp_option option_table[] = {
    {"data", KEY_DATA, "SOURCE", 0,
     "Labelled pictures to train on: folders of classes or tar shards; further ones may follow", 0},
    {"test", KEY_TEST, "SOURCE", 0, "Labelled pictures to judge; further ones may follow", 0},
    {"from", KEY_FROM, "RUN", 0,
     "Network, image, mean, deviation and encoder of a pretraining (instead of MODEL.cnn)", 0},
    {"input", KEY_INPUT, "CxHxW", 0, "The image: channels, height, width", 0},
    {"random", KEY_RANDOM, NULL, 0, "No weights from it: from scratch, to compare with", 0},
    {"recipe", KEY_RECIPE, "NAME", 0,
     "small (default), resnet50, resnet101, convnext-small, convnext-base, convnext-large or "
     "convnext-large-384",
     0},
    {"batch", KEY_BATCH, "N", 0, "Images of an update (8 to 64, by the number of pictures)", 0},
    {"layer-decay", KEY_LAYER_DECAY, "X", 0,
     "Factor of the learning rate from each group of layers to the one before it", 0},
    {"optimizer", KEY_OPTIMIZER, "NAME", 0, "lamb, adamw or sgd (default: the recipe's)", 0},
    {"clip", KEY_CLIP, "NORM", 0, "Largest norm of the gradient (5); 0: any", 0},
    {"average", KEY_AVERAGE, "X", 0,
     "Share of the old value in the moving average of the weights; 0: no average", 0},
    {"drop-path", KEY_DROP_PATH, "RATE", 0,
     "The network's parameter `drop_path`; -1: as the network has it", 0},
    {"mixup", KEY_MIXUP, "ALPHA", 0, "Blend pairs of pictures; 0: never", 0},
    {"cutmix", KEY_CUTMIX, "ALPHA", 0, "Paste a part of one picture into another; 0: never", 0},
    {"smoothing", KEY_SMOOTHING, "SHARE", 0,
     "Share of each target that is spread over all classes (0.1)", 0},
    {"least-area", KEY_LEAST_AREA, "SHARE", 0, "Of a picture that a crop keeps", 0},
    {"count", KEY_COUNT, "N", 0,
     "Use so many of the training pictures, as many of each class as there are", 0},
    {"hold-out", KEY_HOLD_OUT, "SHARE", 0,
     "Judge so many of them, which are not trained on, instead of --test", 0},
    {"evaluations", KEY_EVALUATIONS, "N", 0, "How often it is judged on the way (10)", 0},
    OPTIONS_JSON,
    {0},
};

/* ---- Options --------------------------------------------------------------------------------- */

/* Options that are a setting of run.json. */
static const TrainingOption settings_by_key[] = {{KEY_RECIPE, "recipe"},
                                                 {KEY_BATCH, "batch"},
                                                 {KEY_LAYER_DECAY, "layer_decay"},
                                                 {KEY_OPTIMIZER, "optimizer"},
                                                 {KEY_CLIP, "clip"},
                                                 {KEY_AVERAGE, "ema_decay"},
                                                 {KEY_DROP_PATH, "drop_path"},
                                                 {KEY_MIXUP, "mixup"},
                                                 {KEY_CUTMIX, "cutmix"},
                                                 {KEY_SMOOTHING, "smoothing"},
                                                 {KEY_LEAST_AREA, "least_area"},
                                                 {KEY_COUNT, "count"},
                                                 {KEY_HOLD_OUT, "hold_out"},
                                                 {KEY_EVALUATIONS, "evaluations"}};

static error_t parse_setting(int key, const char *text, struct argp_state *state) {
    FinetuneRun *run = &((FinetuneOptions *)state->input)->run;
    const char *setting = training_options_setting(
        settings_by_key, sizeof settings_by_key / sizeof *settings_by_key, key);
    if (!setting)
        return ARGP_ERR_UNKNOWN;
    training_options_require(state, option_table, key,
                             finetune_settings_set(run->arena, &run->settings, setting, text));
    return 0;
}

static error_t parse_training(int key, char *text, struct argp_state *state) {
    FinetuneRun *run = &((FinetuneOptions *)state->input)->run;
    FinetuneSettings *settings = &run->settings;
    switch (key) {
    case KEY_FROM:
        run->from = text;
        return 0;
    case KEY_RANDOM:
        run->random = true;
        return 0;
    case KEY_OPTIMIZER:
        settings->optimizer_given = true;
        return parse_setting(key, text, state);
    default:
        return parse_setting(key, text, state);
    }
}

/* The .cnn file goes to the options of the network; other names are sources of the set before. */
static error_t parse_name(FinetuneOptions *options, char *name, struct argp_state *state) {
    if (text_ends_with(name, ".cnn"))
        return ARGP_ERR_UNKNOWN;
    if (!options->names)
        argp_error(state, "%s is no .cnn file; name pictures behind --data and --test", name);
    vector_push(options->run.arena, options->names, name);
    return 0;
}

static error_t parse_set(FinetuneOptions *options, FinetuneSet *set, char *name) {
    options->names = &set->paths;
    vector_push(options->run.arena, &set->paths, name);
    return 0;
}

static void check_resume(struct argp_state *state, const FinetuneOptions *options) {
    const Options *network = &options->run.options;
    bool given = network->frontend.network || network->frontend.input || network->settings.count;
    training_options_check_resume(state, &options->training, network,
                                  given ? "network, set and input" : NULL);
}

static void check_new(struct argp_state *state, const FinetuneOptions *options) {
    const FinetuneRun *run = &options->run;
    bool holds_out = run->settings.hold_out > 0;
    if (!run->options.model == !run->from)
        argp_error(state, "name a .cnn file, or a pretraining by --from, or a run by --resume");
    if (run->from && run->options.frontend.network)
        argp_error(state, "--from knows its network: no --network beside it");
    if (run->random && (!run->from || run->settings.training.init_weights))
        argp_error(state, "--random is for --from without --init-weights");
    if (run->train.paths.count == 0)
        argp_error(state, "name labelled pictures to train on by --data");
    if ((run->test.paths.count == 0) != holds_out)
        argp_error(state, "name labelled pictures to judge by --test, or hold some out by "
                          "--hold-out, not both");
    if (!options->training.out)
        argp_error(state, "name the folder of the run by --out");
}

static error_t parse(int key, char *text, struct argp_state *state) {
    FinetuneOptions *options = state->input;
    FinetuneRun *run = &options->run;
    if (key >= KEY_TRAINING && key <= KEY_EVALUATIONS)
        options->training.given = training_options_name(option_table, key);
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &run->options;
        state->child_inputs[1] = &options->code;
        state->child_inputs[2] = &options->training;
        return 0;
    case ARGP_KEY_ARG:
        return parse_name(options, text, state);
    case KEY_DATA:
        return parse_set(options, &run->train, text);
    case KEY_TEST:
        return parse_set(options, &run->test, text);
    case KEY_INPUT:
        run->options.frontend.input = text;
        return 0;
    case OPTIONS_KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (options->training.resume)
            check_resume(state, options);
        else
            check_new(state, options);
        return 0;
    default:
        return parse_training(key, text, state);
    }
}

static const struct argp_child children[] = {{&options_network_argp, 0, NULL, 0},
                                             {&code_options_argp, 0, NULL, 0},
                                             {&training_options_argp, 0, NULL, 0},
                                             {0}};

static const struct argp argp = {
    option_table,
    parse,
    "--from RUN --data SOURCE... --test SOURCE... --out RUN\n"
    "MODEL.cnn --data SOURCE... --test SOURCE... --out RUN\n--resume RUN",
    "Trains a network as a classifier on labelled pictures, from a pretraining's encoder, from a "
    "file of weights or from scratch. RUN gets the model, its moving average, checkpoints and a "
    "log. Ctrl-C saves and leaves; --resume goes on with the same bits."
    "\vThe class of a picture is the number in the entry .cls beside it, in shards without such "
    "entries what its name has before the last underscore, in folders the folder's name.\n\n"
    "Examples:\n"
    "  sparkc finetune --from run --data pets/train --test pets/test --out tuned\n"
    "  sparkc finetune --from run --random --data pets/train --test pets/test --out scratch\n"
    "  sparkc finetune models/resnet.cnn --network resnet50 --init-weights encoder.safetensors \\\n"
    "    --recipe resnet50 --epochs 30 --data pets/train --hold-out 0.2 --out tuned\n"
    "  sparkc finetune --resume tuned\n",
    children,
    NULL,
    NULL};

/* ---- Running --------------------------------------------------------------------------------- */

static void describe_data(const FinetuneRun *run) {
    const FinetuneSettings *settings = &run->settings;
    fprintf(stderr, "data      %zu pictures of %zu classes to train on, %zu to judge; ",
            run->train.pictures.count, run->class_count, run->test.pictures.count);
    training_options_print(stderr, &settings->training.normalization, settings->training.channels);
}

static void describe_plan(const FinetuneRun *run) {
    const FinetuneSettings *settings = &run->settings;
    size_t samples = run->train.pictures.count;
    Schedule schedule = finetune_schedule(settings, samples);
    training_options_plan(stderr, &schedule, settings->batch, settings->batch,
                          finetune_epoch_steps(settings, samples));
}

static void describe(const FinetuneRun *run) {
    const Geometry *geometry = &run->graph->geometry;
    TrainerCosts costs = trainer_costs(run->trainer);
    fprintf(stderr,
            "network   %s: %.2f million parameters, image %" PRId64 "x%" PRId64 "x%" PRId64 "\n",
            run->graph->network, 1e-6 * (double)costs.parameters, geometry->channels,
            geometry->image[0], geometry->image[1]);
    describe_data(run);
    describe_plan(run);
    training_options_costs(stderr, &costs, "a smaller --batch");
}

static Status go(FinetuneOptions *options, bool *stopped) {
    FinetuneRun *run = &options->run;
    status_return_if_failed(options->training.resume ? finetune_resume(run) : finetune_create(run));
    describe(run);
    if (options->training.resume)
        training_options_resumed(stderr, &run->state);
    return finetune_train(run, stopped);
}

static void print_result(const FinetuneOptions *options) {
    const FinetuneRun *run = &options->run;
    if (options->json) {
        json_t *json = finetune_result_json(run);
        json_dumpf(json, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(json);
        return;
    }
    printf("accuracy  %.2f %% of %zu pictures", 100 * run->score.accuracy, run->score.pictures);
    if (run->settings.ema_decay > 0)
        printf("; %.2f %% by averaged weights", 100 * run->average_score.accuracy);
    printf("\n%s/model.safetensors\n", run->folder);
}

int command_finetune(int argc, char **argv) {
    Arena *arena = arena_create();
    FinetuneOptions options = {.code = code_options_default()};
    FinetuneRun *run = &options.run;
    bool stopped = false;
    *run = (FinetuneRun){.arena = arena,
                         .options = options_default(arena),
                         .settings = finetune_settings_default(),
                         .progress = isatty(STDERR_FILENO)};
    options.training = (TrainingOptions){.arena = arena,
                                         .settings = &run->settings.training,
                                         .decode_threads = options.code.run.threads};
    options_parse_in_order(&argp, argc, argv, &options);
    code_options_open_cache(arena, &options.code);
    run->code = options.code.run;
    run->decode_threads = options.training.decode_threads;
    run->folder = options.training.resume ? options.training.resume : options.training.out;
    Status status = go(&options, &stopped);
    if (!status_fine(status))
        options_print_failure("finetune", status);
    else if (stopped)
        training_options_stopped(stderr, &run->state, "finetune", run->folder);
    else
        print_result(&options);
    finetune_close(run);
    code_options_close_cache(&options.code);
    arena_destroy(arena);
    return status_fine(status) && !stopped ? EXIT_FINE : EXIT_FAILED;
}
