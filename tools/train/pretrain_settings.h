/* All that decides a pretraining, as the command line sets it and RUN/run.json keeps it. */
#ifndef SPARKC_TOOLS_TRAIN_PRETRAIN_SETTINGS_H
#define SPARKC_TOOLS_TRAIN_PRETRAIN_SETTINGS_H

#include <jansson.h>

#include "passes/passes.h"
#include "runtime/train/schedule.h"
#include "tools/options.h"
#include "tools/train/training_settings.h"

/* Recipes; the official one lasts 400, 800 or 1600 epochs of ImageNet. */
typedef enum PretrainPreset {
    PRESET_SMALL,
    PRESET_IMAGENET_400,
    PRESET_IMAGENET_800,
    PRESET_IMAGENET_1600
} PretrainPreset;

/* Numbers that a preset gives and options override; NaN or 0: the preset's. */
typedef struct PretrainSettings {
    PretrainPreset preset;
    PassOptions pass;    /* batch: images of an update */
    int64_t micro_batch; /* images that are computed at a time */
    TrainingSettings training;
    double weight_decay_end;
    double picture_epochs; /* between reconstruction pictures; 0: none */
} PretrainSettings;

/* Nothing chosen: preset "small". */
PretrainSettings pretrain_settings_default(void);

/* Sets a number, a switch ("true", "false") or a choice by its name in run.json from text. A
 * failure says what it needs, to stand behind the option's name: "needs a number from 0 to 1, not
 * x". */
Status pretrain_settings_set(Arena *arena, PretrainSettings *settings, const char *name,
                             const char *text);

/* Completes settings by their preset, for a data set of `samples` pictures. Fails if they do not
 * fit together, or the data set is smaller than a batch. */
Status pretrain_settings_complete(Arena *arena, PretrainSettings *settings, size_t samples);

/* Updates of an epoch: its full batches. */
int64_t pretrain_epoch_steps(const PretrainSettings *settings, size_t samples);

/* Learning rate and weight decay over the whole run. */
Schedule pretrain_schedule(const PretrainSettings *settings, size_t samples);

/* As JSON, and back, exactly; reading fails on missing or impossible entries, naming them. */
json_t *pretrain_settings_json(const PretrainSettings *settings);
Status pretrain_settings_read(Arena *arena, const json_t *json, PretrainSettings *settings);

#endif
