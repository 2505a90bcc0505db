/* All that decides a fine-tuning, as the command line sets it and RUN/run.json keeps it. */
#ifndef SPARKC_TOOLS_TRAIN_FINETUNE_SETTINGS_H
#define SPARKC_TOOLS_TRAIN_FINETUNE_SETTINGS_H

#include "runtime/data/mixing.h"
#include "tools/train/training_settings.h"

/* Recipes: one for small data sets, and the official ones of ImageNet by network, with gradient
 * clipping, without repeated augmentation, automatic augmentation and erasing. */
typedef enum FinetuneRecipe {
    RECIPE_SMALL,
    RECIPE_RESNET50,
    RECIPE_RESNET101, /* up to 200 */
    RECIPE_CONVNEXT_SMALL,
    RECIPE_CONVNEXT_BASE,
    RECIPE_CONVNEXT_LARGE,
    RECIPE_CONVNEXT_LARGE_384
} FinetuneRecipe;

/* Numbers that a recipe gives and options override; NaN or 0: the recipe's. */
typedef struct FinetuneSettings {
    FinetuneRecipe recipe;
    int64_t batch;
    TrainingSettings training;
    OptimizerKind optimizer;
    bool optimizer_given; /* else the recipe's */
    double layer_decay, clip, ema_decay;
    double drop_path;  /* the network's parameter of that name; -1: as the network has it */
    double least_area; /* of the crops */
    MixingOptions mixing;
    int64_t count;       /* labelled pictures taken; 0: all */
    double hold_out;     /* share of them that is judged instead of test pictures */
    int64_t evaluations; /* over the run, evenly; the last at its end */
} FinetuneSettings;

/* Nothing chosen: recipe "small". */
FinetuneSettings finetune_settings_default(void);

/* Sets a setting by its name in run.json from text; see settings_set. */
Status finetune_settings_set(Arena *arena, FinetuneSettings *settings, const char *name,
                             const char *text);

/* Completes settings by their recipe, for so many training pictures. Fails if they do not fit
 * together, or there are fewer pictures than a batch has. */
Status finetune_settings_complete(Arena *arena, FinetuneSettings *settings, size_t samples);

/* Updates of an epoch: its full batches. */
int64_t finetune_epoch_steps(const FinetuneSettings *settings, size_t samples);

/* Learning rate and weight decay over the whole run. */
Schedule finetune_schedule(const FinetuneSettings *settings, size_t samples);

/* The trainer's options but for how it runs; complete settings. */
TrainerOptions finetune_trainer_options(const FinetuneSettings *settings);

/* As JSON, and back, exactly; reading fails on missing or impossible entries, naming them. */
json_t *finetune_settings_json(const FinetuneSettings *settings);
Status finetune_settings_read(Arena *arena, const json_t *json, FinetuneSettings *settings);

#endif
