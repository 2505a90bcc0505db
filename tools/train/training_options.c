#include "tools/train/training_options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/options.h"

const char *training_options_name(const struct argp_option *table, int key) {
    while (table->key != key)
        table++;
    return table->name;
}

const char *training_options_setting(const TrainingOption *options, size_t count, int key) {
    for (size_t i = 0; i < count; i++)
        if (options[i].key == key)
            return options[i].setting;
    return NULL;
}

void training_options_require(struct argp_state *state, const struct argp_option *table, int key,
                              Status status) {
    if (!status_fine(status))
        argp_error(state, "--%s %s", training_options_name(table, key), status.message);
}

/* The count must be the network's, which is checked later. */
static void parse_list(struct argp_state *state, const char *option, const char *text, double least,
                       double *values, int *count) {
    *count = 0;
    for (const char *at = text;; at++) {
        char *end;
        double value = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(value >= least && value <= 1) ||
            *count == SCAN_MOST_CHANNELS)
            argp_error(state, "--%s needs up to %d numbers from %g to 1 behind commas, not %s",
                       option, SCAN_MOST_CHANNELS, least, text);
        values[(*count)++] = value;
        at = end;
        if (!*at)
            return;
    }
}

/* Those of ImageNet's training pictures. */
static void set_imagenet(RunNormalization *normalization) {
    static const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
    memcpy(normalization->mean, mean, sizeof mean);
    memcpy(normalization->deviation, deviation, sizeof deviation);
    normalization->mean_count = normalization->deviation_count = 3;
}

static void parse_mean(struct argp_state *state, const char *text,
                       RunNormalization *normalization) {
    if (strcmp(text, "imagenet") == 0)
        set_imagenet(normalization);
    else
        parse_list(state, "mean", text, 0, normalization->mean, &normalization->mean_count);
}

static void parse_deviation(struct argp_state *state, const char *text,
                            RunNormalization *normalization) {
    parse_list(state, "std", text, 1e-6, normalization->deviation, &normalization->deviation_count);
}

/* ---- Options --------------------------------------------------------------------------------- */

enum {
    KEY_OUT = 0x100,
    KEY_RESUME,
    KEY_DECODE_THREADS,
    KEY_TRAINING, /* those from here on decide the training */
    KEY_EPOCHS = KEY_TRAINING,
    KEY_STEPS,
    KEY_BASE_LR,
    KEY_WARM_UP,
    KEY_WEIGHT_DECAY,
    KEY_SEED,
    KEY_MEAN,
    KEY_STD,
    KEY_NO_FLIP,
    KEY_MOST_BAD,
    KEY_NONFINITE,
    KEY_KEEP,
    KEY_MINUTES,
    KEY_INIT
};

static const struct argp_option option_table[] = {
    {"out", KEY_OUT, "RUN", 0, "The folder that the run fills", 0},
    {"resume", KEY_RESUME, "RUN", 0, "Go on with a run; --data says where its data are now", 0},
    {"epochs", KEY_EPOCHS, "N", 0, "Passes over the data", 0},
    {"steps", KEY_STEPS, "N", 0, "Updates in all, instead of --epochs", 0},
    {"base-lr", KEY_BASE_LR, "RATE", 0, "Peak learning rate for 256 images per update", 0},
    {"warm-up", KEY_WARM_UP, "EPOCHS", 0, "Epochs of rising learning rate", 0},
    {"weight-decay", KEY_WEIGHT_DECAY, "X", 0, "Weight decay, at first", 0},
    {"seed", KEY_SEED, "N", 0, "Of all that is drawn: weights, order, crops and the like (0)", 0},
    {"mean", KEY_MEAN, "LIST", 0,
     "Mean of each channel, values 0 to 1 such as 0.5,0.5,0.5; imagenet (with the deviation); "
     "default: a pretraining's that is gone on from, or measured",
     0},
    {"std", KEY_STD, "LIST", 0, "Standard deviation of each channel", 0},
    {"no-flip", KEY_NO_FLIP, NULL, 0, "Never mirror a picture", 0},
    {"most-bad", KEY_MOST_BAD, "SHARE", 0, "Stop if more of the pictures are bad (0.1)", 0},
    {"nonfinite", KEY_NONFINITE, "POLICY", 0,
     "A batch whose loss or gradient is not finite: stop (default), or skip it", 0},
    {"keep", KEY_KEEP, "N", 0, "Checkpoints kept, beside the best (pretrain 3, finetune 1)", 0},
    {"checkpoint-minutes", KEY_MINUTES, "X", 0, "Minutes between checkpoints within an epoch (10)",
     0},
    {"init-weights", KEY_INIT, "FILE", 0,
     "Begin with the weights of a safetensors file: an encoder, a model or a checkpoint", 0},
    {"decode-threads", KEY_DECODE_THREADS, "N", 0,
     "Threads that decode pictures (default: all processors)", 0},
    {0},
};

/* Options that are a setting of run.json. */
static const TrainingOption settings_by_key[] = {
    {KEY_EPOCHS, "epochs"},     {KEY_STEPS, "steps"},
    {KEY_BASE_LR, "base_lr"},   {KEY_WARM_UP, "warmup_epochs"},
    {KEY_SEED, "seed"},         {KEY_WEIGHT_DECAY, "weight_decay"},
    {KEY_MOST_BAD, "most_bad"}, {KEY_NONFINITE, "nonfinite"},
    {KEY_KEEP, "keep"},         {KEY_MINUTES, "checkpoint_minutes"},
};

static error_t parse_setting(int key, const char *text, struct argp_state *state) {
    const TrainingOptions *options = state->input;
    const char *setting = training_options_setting(
        settings_by_key, sizeof settings_by_key / sizeof *settings_by_key, key);
    if (!setting)
        return ARGP_ERR_UNKNOWN;
    training_options_require(
        state, option_table, key,
        training_settings_set(options->arena, options->settings, setting, text));
    return 0;
}

static error_t parse_training(int key, char *text, struct argp_state *state) {
    TrainingSettings *settings = ((TrainingOptions *)state->input)->settings;
    switch (key) {
    case KEY_MEAN:
        parse_mean(state, text, &settings->normalization);
        return 0;
    case KEY_STD:
        parse_deviation(state, text, &settings->normalization);
        return 0;
    case KEY_NO_FLIP:
        settings->no_flip = true;
        return 0;
    case KEY_INIT:
        settings->init_weights = text;
        return 0;
    default:
        return parse_setting(key, text, state);
    }
}

static error_t parse(int key, char *text, struct argp_state *state) {
    TrainingOptions *options = state->input;
    if (key >= KEY_TRAINING && key <= KEY_INIT)
        options->given = training_options_name(option_table, key);
    switch (key) {
    case KEY_OUT:
        options->out = text;
        return 0;
    case KEY_RESUME:
        options->resume = text;
        return 0;
    case KEY_DECODE_THREADS:
        options->decode_threads = (int)options_integer(state, "decode-threads", text, 1, 1024);
        return 0;
    default:
        return parse_training(key, text, state);
    }
}

const struct argp training_options_argp = {option_table, parse, NULL, NULL, NULL, NULL, NULL};

void training_options_check_resume(struct argp_state *state, const TrainingOptions *options,
                                   const Options *network, const char *network_given) {
    const char *wrong = network_given ? network_given : options->out ? "out" : options->given;
    if (network->model)
        argp_error(state, "--resume knows its network: %s is one too many", network->model);
    if (wrong)
        argp_error(state, "a run keeps its settings: no --%s beside --resume", wrong);
}

/* ---- Messages -------------------------------------------------------------------------------- */

void training_options_resumed(FILE *out, const RunState *state) {
    fprintf(out, "resume    after update %" PRId64 "\n", state->updates);
}

void training_options_stopped(FILE *out, const RunState *state, const char *command,
                              const char *folder) {
    fprintf(out, "stopped after update %" PRId64 "; go on by: sparkc %s --resume %s\n",
            state->updates, command, folder);
}

static void print_values(FILE *out, const char *words, const double *values, int count) {
    fputs(words, out);
    for (int i = 0; i < count; i++)
        fprintf(out, " %.4f", values[i]);
}

void training_options_print(FILE *out, const RunNormalization *normalization, int channels) {
    print_values(out, "mean", normalization->mean, channels);
    print_values(out, ", deviation", normalization->deviation, channels);
    fputc('\n', out);
}

void training_options_plan(FILE *out, const Schedule *schedule, int64_t batch, int64_t micro_batch,
                           int64_t epoch_steps) {
    fprintf(out, "plan      %" PRId64 " updates of %" PRId64 " images", schedule->total, batch);
    if (micro_batch < batch)
        fprintf(out, ", %" PRId64 " at a time", micro_batch);
    fprintf(out,
            "; %" PRId64 " an epoch, %.4g epochs; learning rate up to %.3g after %" PRId64
            " updates\n",
            epoch_steps, (double)schedule->total / (double)epoch_steps, schedule->peak_lr,
            schedule->warmup);
}

void training_options_costs(FILE *out, const TrainerCosts *costs, const char *remedy) {
    const double giga = 1e-9;
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    fprintf(out, "memory    %.2f GB for a step\n", giga * (double)costs->bytes);
    fprintf(out, "code      %" PRId64 " kernels, compiled in %.1f s, %d from the cache\n",
            costs->kernels, costs->compile_seconds, costs->cache_hits);
    if ((double)costs->bytes > 0.9 * memory)
        fprintf(out, "warning: this machine has %.2f GB of memory; choose %s\n", giga * memory,
                remedy);
}
