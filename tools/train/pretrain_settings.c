#include "tools/train/pretrain_settings.h"

#include <inttypes.h>
#include <math.h>

#include "tools/train/settings_table.h"

/* What a preset says. */
typedef struct Preset {
    double epochs, warmup_epochs;
    double base_lr;
    int64_t most_batch, least_batch;
    int64_t epoch_steps; /* the batch is such that an epoch has about as many updates */
    double weight_decay, weight_decay_end;
} Preset;

/* The official recipe has 1,281,167 pictures in batches of 4096: 312 updates an epoch, 40 epochs of
 * warm-up, base rate 2e-4; with fewer pictures the batch shrinks, and the rate with it. LAMB moves
 * each tensor by a share of its own size per update, so that runs of few updates need a higher
 * rate: on CIFAR-10 at 64 images per update peaks of 0.01 to 0.03 learn fastest in the first
 * hundreds of updates; `small` has 0.005 there. */
static const Preset presets[] = {
    [PRESET_SMALL] = {100, 5, 2e-2, 256, 16, 64, 0.04, 0.2},
    [PRESET_IMAGENET_400] = {400, 40, 2e-4, 4096, 32, 312, 0.04, 0.2},
    [PRESET_IMAGENET_800] = {800, 40, 2e-4, 4096, 32, 312, 0.04, 0.2},
    [PRESET_IMAGENET_1600] = {1600, 40, 2e-4, 4096, 32, 312, 0.04, 0.2},
};
enum { MOST_MICRO_BATCH = 32 };

PretrainSettings pretrain_settings_default(void) {
    return (PretrainSettings){.pass = pass_options_default(),
                              .epochs = NAN,
                              .base_lr = NAN,
                              .warmup_epochs = NAN,
                              .weight_decay = NAN,
                              .weight_decay_end = NAN,
                              .most_bad = 0.1,
                              .keep = 3,
                              .checkpoint_minutes = 10,
                              .picture_epochs = 10};
}

/* The largest divisor of the batch that is no more than MOST_MICRO_BATCH. */
static int64_t default_micro_batch(int64_t batch) {
    int64_t micro = batch < MOST_MICRO_BATCH ? batch : MOST_MICRO_BATCH;
    while (batch % micro)
        micro--;
    return micro;
}

static double or_preset(double value, double preset) {
    return isnan(value) ? preset : value;
}

static Status complete_batch(Arena *arena, PretrainSettings *settings, const Preset *preset,
                             size_t samples) {
    if (settings->pass.batch == 0)
        settings->pass.batch =
            settings_batch(preset->most_batch, preset->least_batch, preset->epoch_steps, samples);
    if (settings->micro_batch == 0)
        settings->micro_batch = default_micro_batch(settings->pass.batch);
    if (settings->pass.batch % settings->micro_batch)
        return status_failure(arena,
                              "a batch of %" PRId64 " cannot be computed %" PRId64
                              " images at a time; choose a --micro-batch that divides it",
                              settings->pass.batch, settings->micro_batch);
    if ((size_t)settings->pass.batch > samples)
        return status_failure(
            arena, "%zu pictures do not fill a batch of %" PRId64 "; choose a smaller --batch",
            samples, settings->pass.batch);
    return STATUS_FINE;
}

Status pretrain_settings_complete(Arena *arena, PretrainSettings *settings, size_t samples) {
    const Preset *preset = &presets[settings->preset];
    status_return_if_failed(complete_batch(arena, settings, preset, samples));
    if (settings->steps > 0)
        settings->epochs = 0;
    settings->epochs = or_preset(settings->epochs, preset->epochs);
    settings->base_lr = or_preset(settings->base_lr, preset->base_lr);
    settings->weight_decay = or_preset(settings->weight_decay, preset->weight_decay);
    settings->weight_decay_end = or_preset(settings->weight_decay_end, preset->weight_decay_end);
    double epoch_steps = (double)pretrain_epoch_steps(settings, samples);
    if (settings->steps == 0 && !(settings->epochs > 0))
        return status_failure(arena, "0 epochs train nothing");
    if (settings->steps == 0 && settings->epochs * epoch_steps > 1e12)
        return status_failure(arena, "%g epochs are too many", settings->epochs);
    if (settings->steps == 0)
        settings->steps = (int64_t)fmax(1, nearbyint(settings->epochs * epoch_steps));
    /* A shorter run than the preset's warms up for the same share of it. */
    double share = preset->warmup_epochs / preset->epochs;
    settings->warmup_epochs =
        or_preset(settings->warmup_epochs,
                  fmin(preset->warmup_epochs, share * (double)settings->steps / epoch_steps));
    return STATUS_FINE;
}

int64_t pretrain_epoch_steps(const PretrainSettings *settings, size_t samples) {
    return (int64_t)samples / settings->pass.batch;
}

Schedule pretrain_schedule(const PretrainSettings *settings, size_t samples) {
    double epoch_steps = (double)pretrain_epoch_steps(settings, samples);
    return (Schedule){.peak_lr = schedule_peak_lr(settings->base_lr, settings->pass.batch),
                      .weight_decay = settings->weight_decay,
                      .weight_decay_end = settings->weight_decay_end,
                      .warmup = schedule_warmup(settings->warmup_epochs * epoch_steps),
                      .total = settings->steps};
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static const char *const densify_names[] = {[DENSIFY_AUTO] = "auto",
                                            [DENSIFY_BATCH_NORM] = "batch_norm",
                                            [DENSIFY_LAYER_NORM] = "layer_norm"};
static const char *const preset_names[] = {[PRESET_SMALL] = "small",
                                           [PRESET_IMAGENET_400] = "imagenet-400",
                                           [PRESET_IMAGENET_800] = "imagenet-800",
                                           [PRESET_IMAGENET_1600] = "imagenet-1600"};

#define AT(member) offsetof(PretrainSettings, member)
_Static_assert(sizeof(OptimizerKind) == sizeof(int) && sizeof(DensifyNorm) == sizeof(int) &&
                   sizeof(NonfinitePolicy) == sizeof(int),
               "choices are set as int");
static const SettingEntry fields[] = {
    {"batch", SETTING_INTEGER, AT(pass.batch), 1, 1e9, NULL},
    {"micro_batch", SETTING_INTEGER, AT(micro_batch), 1, 1e6, NULL},
    {"mask_ratio", SETTING_NUMBER, AT(pass.mask_ratio), 0, 1, NULL},
    {"decoder_width", SETTING_INTEGER, AT(pass.decoder_width), 1, 1e6, NULL},
    {"stochastic", SETTING_BOOL, AT(pass.stochastic), 0, 1, NULL},
    {"beta1", SETTING_NUMBER, AT(pass.beta1), 0, 1, NULL},
    {"beta2", SETTING_NUMBER, AT(pass.beta2), 0, 1, NULL},
    {"epsilon", SETTING_NUMBER, AT(pass.epsilon), 0, 1, NULL},
    {"momentum", SETTING_NUMBER, AT(pass.momentum), 0, 1, NULL},
    {"clip", SETTING_NUMBER, AT(pass.clip), 0, 1e30, NULL},
    {"epochs", SETTING_NUMBER, AT(epochs), 0, 1e12, NULL},
    {"steps", SETTING_INTEGER, AT(steps), 1, 1e12, NULL},
    {"base_lr", SETTING_NUMBER, AT(base_lr), 0, 1e6, NULL},
    {"warmup_epochs", SETTING_NUMBER, AT(warmup_epochs), 0, 1e12, NULL},
    {"weight_decay", SETTING_NUMBER, AT(weight_decay), 0, 1e6, NULL},
    {"weight_decay_end", SETTING_NUMBER, AT(weight_decay_end), 0, 1e6, NULL},
    {"seed", SETTING_SEED, AT(seed), 0, UINT32_MAX, NULL},
    {"no_flip", SETTING_BOOL, AT(no_flip), 0, 1, NULL},
    {"channels", SETTING_INT, AT(channels), 1, SCAN_MOST_CHANNELS, NULL},
    {"most_bad", SETTING_NUMBER, AT(most_bad), 0, 1, NULL},
    {"keep", SETTING_INT, AT(keep), 1, 1e6, NULL},
    {"checkpoint_minutes", SETTING_NUMBER, AT(checkpoint_minutes), 0, 1e9, NULL},
    {"picture_epochs", SETTING_NUMBER, AT(picture_epochs), 0, 1e9, NULL},
    SETTING_WORDS("preset", AT(preset), preset_names),
    SETTING_WORDS("optimizer", AT(pass.optimizer), settings_optimizers),
    SETTING_WORDS("densify_norm", AT(pass.densify_norm), densify_names),
    SETTING_WORDS("nonfinite", AT(nonfinite), settings_nonfinite),
};
static const SettingsTable table = {fields, sizeof fields / sizeof *fields};

Status pretrain_settings_set(Arena *arena, PretrainSettings *settings, const char *name,
                             const char *text) {
    return settings_set(arena, table, settings, name, text);
}

json_t *pretrain_settings_json(const PretrainSettings *settings) {
    json_t *json = settings_json(table, settings);
    run_normalization_json(json, &settings->normalization, settings->channels);
    return json;
}

Status pretrain_settings_read(Arena *arena, const json_t *json, PretrainSettings *settings) {
    *settings = pretrain_settings_default();
    status_return_if_failed(settings_read(arena, json, table, settings));
    status_return_if_failed(
        run_normalization_read(arena, json, settings->channels, &settings->normalization));
    if (settings->pass.batch % settings->micro_batch)
        return settings_wrong(arena, "micro_batch");
    return STATUS_FINE;
}
