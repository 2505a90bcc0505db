/* The settings that pretraining and fine-tuning have in common. */
#ifndef SPARKC_TOOLS_TRAIN_TRAINING_SETTINGS_H
#define SPARKC_TOOLS_TRAIN_TRAINING_SETTINGS_H

#include "tools/train/loop.h"
#include "tools/train/run_record.h"

/* NaN: to be completed by what a preset or a recipe says. */
typedef struct TrainingSettings {
    double epochs;  /* over the data; 0: `steps` counts */
    int64_t steps;  /* updates in all; 0: not yet known */
    double base_lr; /* peak learning rate for 256 images per update */
    double warmup_epochs, weight_decay;
    uint32_t seed;
    bool no_flip;
    int channels; /* of the network's image */
    RunNormalization normalization;
    double most_bad; /* share of bad pictures */
    NonfinitePolicy nonfinite;
    int keep;                  /* checkpoints, beside the best */
    double checkpoint_minutes; /* between checkpoints; one is taken after each epoch, too */
    const char *init_weights;  /* a file; NULL: none */
} TrainingSettings;

/* Nothing chosen; `keep` is the caller's. */
TrainingSettings training_settings_default(void);

/* Fails if `samples` pictures do not fill a batch. */
Status training_settings_check_batch(Arena *arena, int64_t batch, size_t samples);

/* Completes epochs, steps and warm-up by a whole training's. One that is shorter than that warms up
 * for the same share of it. */
Status training_settings_complete(Arena *arena, TrainingSettings *settings, double epochs,
                                  double warmup_epochs, int64_t epoch_steps);

/* Learning rate and weight decay over the whole run, whose last weight decay is given. */
Schedule training_settings_schedule(const TrainingSettings *settings, int64_t batch,
                                    int64_t epoch_steps, double weight_decay_end);

/* As entries of the settings in run.json, and back. */
void training_settings_json(json_t *json, const TrainingSettings *settings);
Status training_settings_read(Arena *arena, const json_t *json, TrainingSettings *settings);

/* Sets a setting by its name in run.json from text; see settings_set. */
Status training_settings_set(Arena *arena, TrainingSettings *settings, const char *name,
                             const char *text);

#endif
