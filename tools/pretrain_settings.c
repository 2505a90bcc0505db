#include "tools/pretrain_settings.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* What a preset says. */
typedef struct Preset {
    const char *name;
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
    {"small", 100, 5, 2e-2, 256, 16, 64, 0.04, 0.2},
    {"imagenet-400", 400, 40, 2e-4, 4096, 32, 312, 0.04, 0.2},
    {"imagenet-800", 800, 40, 2e-4, 4096, 32, 312, 0.04, 0.2},
    {"imagenet-1600", 1600, 40, 2e-4, 4096, 32, 312, 0.04, 0.2},
};
enum { PRESET_COUNT = sizeof presets / sizeof *presets, MOST_MICRO_BATCH = 32 };

const char *const pretrain_preset_names[] = {"small", "imagenet-400", "imagenet-800",
                                             "imagenet-1600", NULL};

PretrainSettings pretrain_settings_default(void) {
    return (PretrainSettings){.preset = "small",
                              .pass = pass_options_default(),
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

static const Preset *find_preset(const char *name) {
    for (int i = 0; i < PRESET_COUNT; i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    return NULL;
}

/* The largest power of two at which an epoch still has the preset's updates, within its bounds. */
static int64_t preset_batch(const Preset *preset, size_t samples) {
    int64_t batch = preset->most_batch;
    while (batch > preset->least_batch && batch * preset->epoch_steps > (int64_t)samples)
        batch /= 2;
    while (batch > 1 && batch > (int64_t)samples)
        batch /= 2;
    return batch;
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
        settings->pass.batch = preset_batch(preset, samples);
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
    const Preset *preset = find_preset(settings->preset);
    if (!preset)
        return status_failure(arena, "there is no preset \"%s\"", settings->preset);
    status_return_if_failed(complete_batch(arena, settings, preset, samples));
    if (settings->steps > 0)
        settings->epochs = 0;
    settings->epochs = or_preset(settings->epochs, preset->epochs);
    settings->base_lr = or_preset(settings->base_lr, preset->base_lr);
    settings->weight_decay = or_preset(settings->weight_decay, preset->weight_decay);
    settings->weight_decay_end = or_preset(settings->weight_decay_end, preset->weight_decay_end);
    double epoch_steps = (double)pretrain_epoch_steps(settings, samples);
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

static const char *const optimizer_names[] = {
    [OPTIMIZER_LAMB] = "lamb", [OPTIMIZER_ADAMW] = "adamw", [OPTIMIZER_SGD] = "sgd", NULL};
static const char *const densify_names[] = {[DENSIFY_AUTO] = "auto",
                                            [DENSIFY_BATCH_NORM] = "batch_norm",
                                            [DENSIFY_LAYER_NORM] = "layer_norm",
                                            NULL};
static const char *const policy_names[] = {
    [NONFINITE_STOP] = "stop", [NONFINITE_SKIP] = "skip", NULL};

typedef enum FieldKind { FIELD_NUMBER, FIELD_INTEGER, FIELD_INT, FIELD_BOOL, FIELD_SEED } FieldKind;

/* A setting that is a number or a switch, and what it may be. */
typedef struct Field {
    const char *name;
    FieldKind kind;
    size_t offset;
    double least, most;
} Field;

#define AT(member) offsetof(PretrainSettings, member)
static const Field fields[] = {
    {"batch", FIELD_INTEGER, AT(pass.batch), 1, 1e9},
    {"micro_batch", FIELD_INTEGER, AT(micro_batch), 1, 1e6},
    {"mask_ratio", FIELD_NUMBER, AT(pass.mask_ratio), 0, 1},
    {"decoder_width", FIELD_INTEGER, AT(pass.decoder_width), 1, 1e6},
    {"stochastic", FIELD_BOOL, AT(pass.stochastic), 0, 1},
    {"beta1", FIELD_NUMBER, AT(pass.beta1), 0, 1},
    {"beta2", FIELD_NUMBER, AT(pass.beta2), 0, 1},
    {"epsilon", FIELD_NUMBER, AT(pass.epsilon), 0, 1},
    {"momentum", FIELD_NUMBER, AT(pass.momentum), 0, 1},
    {"clip", FIELD_NUMBER, AT(pass.clip), 0, 1e30},
    {"epochs", FIELD_NUMBER, AT(epochs), 0, 1e12},
    {"steps", FIELD_INTEGER, AT(steps), 1, 1e12},
    {"base_lr", FIELD_NUMBER, AT(base_lr), 0, 1e6},
    {"warmup_epochs", FIELD_NUMBER, AT(warmup_epochs), 0, 1e12},
    {"weight_decay", FIELD_NUMBER, AT(weight_decay), 0, 1e6},
    {"weight_decay_end", FIELD_NUMBER, AT(weight_decay_end), 0, 1e6},
    {"seed", FIELD_SEED, AT(seed), 0, UINT32_MAX},
    {"no_flip", FIELD_BOOL, AT(no_flip), 0, 1},
    {"channels", FIELD_INT, AT(channels), 1, SCAN_MOST_CHANNELS},
    {"most_bad", FIELD_NUMBER, AT(most_bad), 0, 1},
    {"keep", FIELD_INT, AT(keep), 1, 1e6},
    {"checkpoint_minutes", FIELD_NUMBER, AT(checkpoint_minutes), 0, 1e9},
    {"picture_epochs", FIELD_NUMBER, AT(picture_epochs), 0, 1e9},
};
enum { FIELD_COUNT = sizeof fields / sizeof *fields };

static json_t *field_json(const PretrainSettings *settings, const Field *field) {
    const char *at = (const char *)settings + field->offset;
    switch (field->kind) {
    case FIELD_NUMBER:
        return json_real(*(const double *)(const void *)at);
    case FIELD_INTEGER:
        return json_integer(*(const int64_t *)(const void *)at);
    case FIELD_INT:
        return json_integer(*(const int *)(const void *)at);
    case FIELD_SEED:
        return json_integer(*(const uint32_t *)(const void *)at);
    case FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    }
    return NULL;
}

static json_t *numbers_json(const double *values, int count) {
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_real(values[i]));
    return list;
}

json_t *pretrain_settings_json(const PretrainSettings *settings) {
    json_t *json = json_object();
    json_object_set_new(json, "preset", json_string(settings->preset));
    for (int i = 0; i < FIELD_COUNT; i++)
        json_object_set_new(json, fields[i].name, field_json(settings, &fields[i]));
    json_object_set_new(json, "optimizer", json_string(optimizer_names[settings->pass.optimizer]));
    json_object_set_new(json, "densify_norm",
                        json_string(densify_names[settings->pass.densify_norm]));
    json_object_set_new(json, "nonfinite", json_string(policy_names[settings->nonfinite]));
    json_object_set_new(json, "mean", numbers_json(settings->mean, settings->channels));
    json_object_set_new(json, "std", numbers_json(settings->deviation, settings->channels));
    return json;
}

static Status wrong(Arena *arena, const char *name) {
    return status_failure(arena, "the setting \"%s\" is missing or impossible", name);
}

static Status read_field(Arena *arena, const json_t *json, const Field *field,
                         PretrainSettings *settings) {
    const json_t *value = json_object_get(json, field->name);
    char *at = (char *)settings + field->offset;
    if (field->kind == FIELD_BOOL) {
        if (!json_is_boolean(value))
            return wrong(arena, field->name);
        *(bool *)at = json_is_true(value);
        return STATUS_FINE;
    }
    bool whole = field->kind != FIELD_NUMBER;
    double number = json_number_value(value);
    if (!(whole ? json_is_integer(value) : json_is_number(value)) || !(number >= field->least) ||
        number > field->most)
        return wrong(arena, field->name);
    if (field->kind == FIELD_NUMBER)
        *(double *)(void *)at = number;
    else if (field->kind == FIELD_INTEGER)
        *(int64_t *)(void *)at = json_integer_value(value);
    else if (field->kind == FIELD_INT)
        *(int *)(void *)at = (int)json_integer_value(value);
    else
        *(uint32_t *)(void *)at = (uint32_t)json_integer_value(value);
    return STATUS_FINE;
}

static Status read_word(Arena *arena, const json_t *json, const char *name,
                        const char *const *words, int *choice) {
    const char *word = json_string_value(json_object_get(json, name));
    for (int i = 0; word && words[i]; i++) {
        if (strcmp(words[i], word) == 0) {
            *choice = i;
            return STATUS_FINE;
        }
    }
    return wrong(arena, name);
}

static Status read_numbers(Arena *arena, const json_t *json, const char *name, int count,
                           bool positive, double *values) {
    const json_t *list = json_object_get(json, name);
    if (json_array_size(list) != (size_t)count)
        return wrong(arena, name);
    for (int i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        values[i] = json_number_value(value);
        if (!json_is_number(value) || !isfinite(values[i]) || (positive && !(values[i] > 0)))
            return wrong(arena, name);
    }
    return STATUS_FINE;
}

Status pretrain_settings_read(Arena *arena, const json_t *json, PretrainSettings *settings) {
    int optimizer = 0, densify = 0, policy = 0;
    *settings = pretrain_settings_default();
    for (int i = 0; i < FIELD_COUNT; i++)
        status_return_if_failed(read_field(arena, json, &fields[i], settings));
    status_return_if_failed(read_word(arena, json, "optimizer", optimizer_names, &optimizer));
    status_return_if_failed(read_word(arena, json, "densify_norm", densify_names, &densify));
    status_return_if_failed(read_word(arena, json, "nonfinite", policy_names, &policy));
    settings->pass.optimizer = (OptimizerKind)optimizer;
    settings->pass.densify_norm = (DensifyNorm)densify;
    settings->nonfinite = (NonfinitePolicy)policy;
    int channels = settings->channels;
    status_return_if_failed(read_numbers(arena, json, "mean", channels, false, settings->mean));
    status_return_if_failed(read_numbers(arena, json, "std", channels, true, settings->deviation));
    const char *preset = json_string_value(json_object_get(json, "preset"));
    const Preset *found = preset ? find_preset(preset) : NULL;
    if (!found)
        return wrong(arena, "preset");
    settings->preset = found->name;
    settings->mean_count = settings->deviation_count = channels;
    if (settings->pass.batch % settings->micro_batch)
        return wrong(arena, "micro_batch");
    return STATUS_FINE;
}
