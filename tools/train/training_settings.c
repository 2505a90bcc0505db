#include "tools/train/training_settings.h"

#include <inttypes.h>
#include <math.h>

#include "tools/train/settings_table.h"

TrainingSettings training_settings_default(void) {
    return (TrainingSettings){.epochs = NAN,
                              .base_lr = NAN,
                              .warmup_epochs = NAN,
                              .weight_decay = NAN,
                              .most_bad = 0.1,
                              .checkpoint_minutes = 10};
}

Status training_settings_check_batch(Arena *arena, int64_t batch, size_t samples) {
    if ((size_t)batch > samples)
        return status_failure(
            arena, "%zu pictures do not fill a batch of %" PRId64 "; choose a smaller --batch",
            samples, batch);
    return STATUS_FINE;
}

Status training_settings_complete(Arena *arena, TrainingSettings *settings, double epochs,
                                  double warmup_epochs, int64_t epoch_steps) {
    if (settings->steps > 0)
        settings->epochs = 0;
    settings_take(&settings->epochs, epochs);
    double per_epoch = (double)epoch_steps;
    if (settings->steps == 0 && !(settings->epochs > 0))
        return status_failure(arena, "0 epochs train nothing");
    if (settings->steps == 0 && settings->epochs * per_epoch > 1e12)
        return status_failure(arena, "%g epochs are too many", settings->epochs);
    if (settings->steps == 0)
        settings->steps = (int64_t)fmax(1, nearbyint(settings->epochs * per_epoch));
    double share = warmup_epochs / epochs;
    settings_take(&settings->warmup_epochs,
                  fmin(warmup_epochs, share * (double)settings->steps / per_epoch));
    return STATUS_FINE;
}

Schedule training_settings_schedule(const TrainingSettings *settings, int64_t batch,
                                    int64_t epoch_steps, double weight_decay_end) {
    return (Schedule){.peak_lr = schedule_peak_lr(settings->base_lr, batch),
                      .weight_decay = settings->weight_decay,
                      .weight_decay_end = weight_decay_end,
                      .warmup = schedule_warmup(settings->warmup_epochs * (double)epoch_steps),
                      .total = settings->steps};
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static const char *const nonfinite_names[] = {[NONFINITE_STOP] = "stop", [NONFINITE_SKIP] = "skip"};

#define AT(member) offsetof(TrainingSettings, member)
_Static_assert(sizeof(NonfinitePolicy) == sizeof(int), "choices are set as int");
static const SettingEntry entries[] = {
    {"epochs", SETTING_NUMBER, AT(epochs), 0, 1e12, NULL},
    {"steps", SETTING_INTEGER, AT(steps), 1, 1e12, NULL},
    {"base_lr", SETTING_NUMBER, AT(base_lr), 0, 1e6, NULL},
    {"warmup_epochs", SETTING_NUMBER, AT(warmup_epochs), 0, 1e12, NULL},
    {"weight_decay", SETTING_NUMBER, AT(weight_decay), 0, 1e6, NULL},
    {"seed", SETTING_SEED, AT(seed), 0, UINT32_MAX, NULL},
    {"no_flip", SETTING_BOOL, AT(no_flip), 0, 1, NULL},
    {"channels", SETTING_INT, AT(channels), 1, SCAN_MOST_CHANNELS, NULL},
    {"most_bad", SETTING_NUMBER, AT(most_bad), 0, 1, NULL},
    {"keep", SETTING_INT, AT(keep), 1, 1e6, NULL},
    {"checkpoint_minutes", SETTING_NUMBER, AT(checkpoint_minutes), 0, 1e9, NULL},
    SETTING_WORDS("nonfinite", AT(nonfinite), nonfinite_names),
};
static const SettingsTable table = {entries, sizeof entries / sizeof *entries};

void training_settings_json(json_t *json, const TrainingSettings *settings) {
    settings_json(json, table, settings);
    run_normalization_json(json, &settings->normalization, settings->channels);
}

Status training_settings_read(Arena *arena, const json_t *json, TrainingSettings *settings) {
    status_return_if_failed(settings_read(arena, json, table, settings));
    return run_normalization_read(arena, json, settings->channels, &settings->normalization);
}

Status training_settings_set(Arena *arena, TrainingSettings *settings, const char *name,
                             const char *text) {
    return settings_set(arena, table, settings, name, text);
}
