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
    PretrainSettings settings = {.pass = pass_options_default(),
                                 .training = training_settings_default(),
                                 .weight_decay_end = NAN,
                                 .picture_epochs = 10};
    settings.training.keep = 3;
    return settings;
}

/* The largest divisor of the batch that is no more than MOST_MICRO_BATCH. */
static int64_t default_micro_batch(int64_t batch) {
    int64_t micro = batch < MOST_MICRO_BATCH ? batch : MOST_MICRO_BATCH;
    while (batch % micro)
        micro--;
    return micro;
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
    return training_settings_check_batch(arena, settings->pass.batch, samples);
}

Status pretrain_settings_complete(Arena *arena, PretrainSettings *settings, size_t samples) {
    const Preset *preset = &presets[settings->preset];
    status_return_if_failed(complete_batch(arena, settings, preset, samples));
    TrainingSettings *training = &settings->training;
    settings_take(&training->base_lr, preset->base_lr);
    settings_take(&training->weight_decay, preset->weight_decay);
    settings_take(&settings->weight_decay_end, preset->weight_decay_end);
    return training_settings_complete(arena, training, preset->epochs, preset->warmup_epochs,
                                      pretrain_epoch_steps(settings, samples));
}

int64_t pretrain_epoch_steps(const PretrainSettings *settings, size_t samples) {
    return (int64_t)samples / settings->pass.batch;
}

Schedule pretrain_schedule(const PretrainSettings *settings, size_t samples) {
    return training_settings_schedule(&settings->training, settings->pass.batch,
                                      pretrain_epoch_steps(settings, samples),
                                      settings->weight_decay_end);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static const char *const densify_names[] = {[DENSIFY_AUTO] = "auto",
                                            [DENSIFY_BATCH_NORM] = "batch_norm",
                                            [DENSIFY_LAYER_NORM] = "layer_norm"};
static const char *const preset_names[] = {[PRESET_SMALL] = "small",
                                           [PRESET_IMAGENET_400] = "imagenet-400",
                                           [PRESET_IMAGENET_800] = "imagenet-800",
                                           [PRESET_IMAGENET_1600] = "imagenet-1600"};

static const char *const precision_names[] = {[PRECISION_FP32] = "fp32", [PRECISION_BF16] = "bf16"};

#define AT(member) offsetof(PretrainSettings, member)
_Static_assert(sizeof(OptimizerKind) == sizeof(int) && sizeof(DensifyNorm) == sizeof(int) &&
                   sizeof(Precision) == sizeof(int),
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
    {"weight_decay_end", SETTING_NUMBER, AT(weight_decay_end), 0, 1e6, NULL},
    {"picture_epochs", SETTING_NUMBER, AT(picture_epochs), 0, 1e9, NULL},
    SETTING_WORDS("preset", AT(preset), preset_names),
    SETTING_WORDS("optimizer", AT(pass.optimizer), settings_optimizers),
    SETTING_WORDS("densify_norm", AT(pass.densify_norm), densify_names),
};
static const SettingsTable table = {fields, sizeof fields / sizeof *fields};

/* Not in a run.json of before there was a choice. */
static const SettingEntry precision_field[] = {
    SETTING_WORDS("precision", AT(pass.precision), precision_names)};
static const SettingsTable precision_table = {precision_field, 1};

Status pretrain_settings_set(Arena *arena, PretrainSettings *settings, const char *name,
                             const char *text) {
    return settings_has(table, name)
               ? settings_set(arena, table, settings, name, text)
               : training_settings_set(arena, &settings->training, name, text);
}

json_t *pretrain_settings_json(const PretrainSettings *settings) {
    json_t *json = json_object();
    settings_json(json, table, settings);
    settings_json(json, precision_table, settings);
    training_settings_json(json, &settings->training);
    return json;
}

Status pretrain_settings_read(Arena *arena, const json_t *json, PretrainSettings *settings) {
    *settings = pretrain_settings_default();
    status_return_if_failed(settings_read(arena, json, table, settings));
    if (json_object_get(json, "precision"))
        status_return_if_failed(settings_read(arena, json, precision_table, settings));
    status_return_if_failed(training_settings_read(arena, json, &settings->training));
    if (settings->pass.batch % settings->micro_batch)
        return settings_wrong(arena, "micro_batch");
    return STATUS_FINE;
}
