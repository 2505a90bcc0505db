#include "tools/train/pretrain_settings.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"

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

static const char *const optimizer_names[] = {
    [OPTIMIZER_LAMB] = "lamb", [OPTIMIZER_ADAMW] = "adamw", [OPTIMIZER_SGD] = "sgd"};
static const char *const densify_names[] = {[DENSIFY_AUTO] = "auto",
                                            [DENSIFY_BATCH_NORM] = "batch_norm",
                                            [DENSIFY_LAYER_NORM] = "layer_norm"};
static const char *const preset_names[] = {[PRESET_SMALL] = "small",
                                           [PRESET_IMAGENET_400] = "imagenet-400",
                                           [PRESET_IMAGENET_800] = "imagenet-800",
                                           [PRESET_IMAGENET_1600] = "imagenet-1600"};
static const char *const policy_names[] = {[NONFINITE_STOP] = "stop", [NONFINITE_SKIP] = "skip"};

typedef enum FieldKind {
    FIELD_NUMBER,
    FIELD_INTEGER,
    FIELD_INT,
    FIELD_BOOL,
    FIELD_SEED,
    FIELD_CHOICE
} FieldKind;

/* A setting, and what it may be: numbers from least to most, or one of so many words. */
typedef struct Field {
    const char *name;
    FieldKind kind;
    size_t offset;
    double least, most;
    const char *const *words;
} Field;

#define AT(member) offsetof(PretrainSettings, member)
#define CHOICE(name, member, words)                                                                \
    { name, FIELD_CHOICE, AT(member), 0, sizeof(words) / sizeof *(words)-1, words }
_Static_assert(sizeof(OptimizerKind) == sizeof(int) && sizeof(DensifyNorm) == sizeof(int) &&
                   sizeof(NonfinitePolicy) == sizeof(int),
               "choices are set as int");
static const Field fields[] = {
    {"batch", FIELD_INTEGER, AT(pass.batch), 1, 1e9, NULL},
    {"micro_batch", FIELD_INTEGER, AT(micro_batch), 1, 1e6, NULL},
    {"mask_ratio", FIELD_NUMBER, AT(pass.mask_ratio), 0, 1, NULL},
    {"decoder_width", FIELD_INTEGER, AT(pass.decoder_width), 1, 1e6, NULL},
    {"stochastic", FIELD_BOOL, AT(pass.stochastic), 0, 1, NULL},
    {"beta1", FIELD_NUMBER, AT(pass.beta1), 0, 1, NULL},
    {"beta2", FIELD_NUMBER, AT(pass.beta2), 0, 1, NULL},
    {"epsilon", FIELD_NUMBER, AT(pass.epsilon), 0, 1, NULL},
    {"momentum", FIELD_NUMBER, AT(pass.momentum), 0, 1, NULL},
    {"clip", FIELD_NUMBER, AT(pass.clip), 0, 1e30, NULL},
    {"epochs", FIELD_NUMBER, AT(epochs), 0, 1e12, NULL},
    {"steps", FIELD_INTEGER, AT(steps), 1, 1e12, NULL},
    {"base_lr", FIELD_NUMBER, AT(base_lr), 0, 1e6, NULL},
    {"warmup_epochs", FIELD_NUMBER, AT(warmup_epochs), 0, 1e12, NULL},
    {"weight_decay", FIELD_NUMBER, AT(weight_decay), 0, 1e6, NULL},
    {"weight_decay_end", FIELD_NUMBER, AT(weight_decay_end), 0, 1e6, NULL},
    {"seed", FIELD_SEED, AT(seed), 0, UINT32_MAX, NULL},
    {"no_flip", FIELD_BOOL, AT(no_flip), 0, 1, NULL},
    {"channels", FIELD_INT, AT(channels), 1, SCAN_MOST_CHANNELS, NULL},
    {"most_bad", FIELD_NUMBER, AT(most_bad), 0, 1, NULL},
    {"keep", FIELD_INT, AT(keep), 1, 1e6, NULL},
    {"checkpoint_minutes", FIELD_NUMBER, AT(checkpoint_minutes), 0, 1e9, NULL},
    {"picture_epochs", FIELD_NUMBER, AT(picture_epochs), 0, 1e9, NULL},
    CHOICE("preset", preset, preset_names),
    CHOICE("optimizer", pass.optimizer, optimizer_names),
    CHOICE("densify_norm", pass.densify_norm, densify_names),
    CHOICE("nonfinite", nonfinite, policy_names),
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
    case FIELD_CHOICE:
        return json_string(field->words[*(const int *)(const void *)at]);
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
    for (int i = 0; i < FIELD_COUNT; i++)
        json_object_set_new(json, fields[i].name, field_json(settings, &fields[i]));
    json_object_set_new(json, "mean", numbers_json(settings->mean, settings->channels));
    json_object_set_new(json, "std", numbers_json(settings->deviation, settings->channels));
    return json;
}

static Status wrong(Arena *arena, const char *name) {
    return status_failure(arena, "the setting \"%s\" is missing or impossible", name);
}

static void set_number(const Field *field, PretrainSettings *settings, double number) {
    char *at = (char *)settings + field->offset;
    switch (field->kind) {
    case FIELD_NUMBER:
        *(double *)(void *)at = number;
        break;
    case FIELD_INTEGER:
        *(int64_t *)(void *)at = (int64_t)number;
        break;
    case FIELD_INT:
    case FIELD_CHOICE:
        *(int *)(void *)at = (int)number;
        break;
    case FIELD_SEED:
        *(uint32_t *)(void *)at = (uint32_t)number;
        break;
    case FIELD_BOOL:
        *(bool *)at = number != 0;
        break;
    }
}

/* Sets a number if the field may be it: whole numbers are below 2^53, which double holds. */
static bool try_number(const Field *field, PretrainSettings *settings, double number) {
    bool whole = field->kind == FIELD_NUMBER || number == floor(number);
    if (!(number >= field->least && number <= field->most) || !whole)
        return false;
    set_number(field, settings, number);
    return true;
}

static bool try_word(const Field *field, PretrainSettings *settings, const char *word) {
    for (int i = 0; i <= (int)field->most; i++) {
        if (strcmp(field->words[i], word) == 0) {
            set_number(field, settings, i);
            return true;
        }
    }
    return false;
}

static Status read_field(Arena *arena, const json_t *json, const Field *field,
                         PretrainSettings *settings) {
    const json_t *value = json_object_get(json, field->name);
    bool fine;
    if (field->kind == FIELD_CHOICE)
        fine = json_is_string(value) && try_word(field, settings, json_string_value(value));
    else if (field->kind == FIELD_BOOL)
        fine = json_is_boolean(value) && try_number(field, settings, json_is_true(value));
    else
        fine = json_is_number(value) && try_number(field, settings, json_number_value(value));
    return fine ? STATUS_FINE : wrong(arena, field->name);
}

Status pretrain_settings_set(Arena *arena, PretrainSettings *settings, const char *name,
                             const char *text) {
    const Field *field = fields;
    while (strcmp(field->name, name) != 0) {
        field++;
        invariant(field < fields + FIELD_COUNT, "there is no setting %s", name);
    }
    bool fine;
    if (field->kind == FIELD_CHOICE) {
        fine = try_word(field, settings, text);
    } else if (field->kind == FIELD_BOOL) {
        fine = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
        set_number(field, settings, strcmp(text, "true") == 0);
    } else {
        char *end;
        double number = strtod(text, &end);
        fine = end != text && !*end && try_number(field, settings, number);
    }
    if (fine)
        return STATUS_FINE;
    if (field->kind == FIELD_CHOICE)
        return status_failure(arena, "has no choice %s (see --help)", text);
    return status_failure(arena, "needs a %s from %.10g to %.10g, not %s",
                          field->kind == FIELD_NUMBER ? "number" : "whole number", field->least,
                          field->most, text);
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
    *settings = pretrain_settings_default();
    for (int i = 0; i < FIELD_COUNT; i++)
        status_return_if_failed(read_field(arena, json, &fields[i], settings));
    int channels = settings->channels;
    status_return_if_failed(read_numbers(arena, json, "mean", channels, false, settings->mean));
    status_return_if_failed(read_numbers(arena, json, "std", channels, true, settings->deviation));
    settings->mean_count = settings->deviation_count = channels;
    if (settings->pass.batch % settings->micro_batch)
        return wrong(arena, "micro_batch");
    return STATUS_FINE;
}
