#include "tools/train/finetune_settings.h"

#include <inttypes.h>
#include <math.h>

#include "tools/train/settings_table.h"

/* What a recipe says. The official ones: batches, epochs, warm-up, optimizer, rate, layer decay,
 * weight decay, mixup, drop path and average of the official fine-tuning script's table; LAMB with
 * binary cross-entropy, without bias correction, adapting every tensor. */
typedef struct Recipe {
    double epochs, warmup_epochs;
    OptimizerKind optimizer;
    double base_lr, layer_decay, weight_decay, mixup, cutmix, drop_path, ema_decay, least_area;
    int64_t epoch_steps; /* the batch is such that an epoch has about as many updates */
} Recipe;

static const Recipe recipes[] = {
    [RECIPE_SMALL] = {60, 5, OPTIMIZER_ADAMW, 4e-3, 0.9, 0.05, 0, 0, -1, 0.99, 0.35, 16},
    [RECIPE_RESNET50] = {300, 5, OPTIMIZER_LAMB, 2e-3, 0.7, 0.02, 0.1, 1, 0.05, 0.9999, 0.08, 625},
    [RECIPE_RESNET101] = {300, 5, OPTIMIZER_LAMB, 1e-3, 0.8, 0.02, 0.1, 1, 0.2, 0.9999, 0.08, 625},
    [RECIPE_CONVNEXT_SMALL] = {400, 20, OPTIMIZER_ADAMW, 2e-4, 0.7, 0.01, 0.8, 1, 0.3, 0.9999, 0.08,
                               312},
    [RECIPE_CONVNEXT_BASE] = {400, 20, OPTIMIZER_ADAMW, 1e-4, 0.7, 0.01, 0.8, 1, 0.4, 0.9999, 0.08,
                              312},
    [RECIPE_CONVNEXT_LARGE] = {200, 20, OPTIMIZER_ADAMW, 1e-4, 0.7, 0.02, 0.8, 1, 0.5, 0.9999, 0.08,
                               312},
    [RECIPE_CONVNEXT_LARGE_384] = {200, 20, OPTIMIZER_ADAMW, 6e-5, 0.7, 0.02, 0.8, 1, 0.5, 0.99995,
                                   0.08, 1251},
};
enum { MOST_BATCH = 64, LEAST_BATCH = 8 };

FinetuneSettings finetune_settings_default(void) {
    FinetuneSettings settings = {.training = training_settings_default(),
                                 .layer_decay = NAN,
                                 .clip = 5,
                                 .ema_decay = NAN,
                                 .drop_path = NAN,
                                 .least_area = NAN,
                                 .mixing = {NAN, NAN, 0.1},
                                 .evaluations = 10};
    settings.training.keep = 1;
    return settings;
}

/* The recipe's optimizer has its rates: another one needs a rate that is given. */
static Status take_optimizer(Arena *arena, FinetuneSettings *settings, const Recipe *recipe) {
    bool other = settings->optimizer_given && settings->optimizer != recipe->optimizer;
    if (other && isnan(settings->training.base_lr))
        return status_failure(arena,
                              "the recipe's learning rate is for another optimizer; choose one by "
                              "--base-lr");
    if (!settings->optimizer_given)
        settings->optimizer = recipe->optimizer;
    settings->optimizer_given = true;
    return STATUS_FINE;
}

static void take_numbers(FinetuneSettings *settings, const Recipe *recipe) {
    settings_take(&settings->training.base_lr, recipe->base_lr);
    settings_take(&settings->training.weight_decay, recipe->weight_decay);
    settings_take(&settings->layer_decay, recipe->layer_decay);
    settings_take(&settings->ema_decay, recipe->ema_decay);
    settings_take(&settings->drop_path, recipe->drop_path);
    settings_take(&settings->least_area, recipe->least_area);
    settings_take(&settings->mixing.mixup, recipe->mixup);
    settings_take(&settings->mixing.cutmix, recipe->cutmix);
}

Status finetune_settings_complete(Arena *arena, FinetuneSettings *settings, size_t samples) {
    const Recipe *recipe = &recipes[settings->recipe];
    if (settings->batch == 0)
        settings->batch = settings_batch(MOST_BATCH, LEAST_BATCH, recipe->epoch_steps, samples);
    status_return_if_failed(training_settings_check_batch(arena, settings->batch, samples));
    status_return_if_failed(take_optimizer(arena, settings, recipe));
    take_numbers(settings, recipe);
    return training_settings_complete(arena, &settings->training, recipe->epochs,
                                      recipe->warmup_epochs,
                                      finetune_epoch_steps(settings, samples));
}

int64_t finetune_epoch_steps(const FinetuneSettings *settings, size_t samples) {
    return (int64_t)samples / settings->batch;
}

Schedule finetune_schedule(const FinetuneSettings *settings, size_t samples) {
    return training_settings_schedule(&settings->training, settings->batch,
                                      finetune_epoch_steps(settings, samples),
                                      settings->training.weight_decay);
}

TrainerOptions finetune_trainer_options(const FinetuneSettings *settings) {
    bool lamb = settings->optimizer == OPTIMIZER_LAMB;
    TrainerOptions options = {.task = TRAINER_FINETUNE,
                              .pass = pass_options_default(),
                              .micro_batches = 1,
                              .seed = settings->training.seed,
                              .no_bias_correction = lamb,
                              .ema_decay = settings->ema_decay};
    options.pass.batch = settings->batch;
    options.pass.optimizer = settings->optimizer;
    options.pass.beta2 = 0.999;
    options.pass.clip = settings->clip;
    options.pass.always_adapt = lamb;
    options.pass.finetune_loss = lamb ? FINETUNE_BINARY_CROSS_ENTROPY : FINETUNE_CROSS_ENTROPY;
    options.pass.layer_decay = settings->layer_decay;
    return options;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static const char *const recipe_names[] = {[RECIPE_SMALL] = "small",
                                           [RECIPE_RESNET50] = "resnet50",
                                           [RECIPE_RESNET101] = "resnet101",
                                           [RECIPE_CONVNEXT_SMALL] = "convnext-small",
                                           [RECIPE_CONVNEXT_BASE] = "convnext-base",
                                           [RECIPE_CONVNEXT_LARGE] = "convnext-large",
                                           [RECIPE_CONVNEXT_LARGE_384] = "convnext-large-384"};

#define AT(member) offsetof(FinetuneSettings, member)
_Static_assert(sizeof(OptimizerKind) == sizeof(int) && sizeof(FinetuneRecipe) == sizeof(int),
               "choices are set as int");
static const SettingEntry fields[] = {
    {"batch", SETTING_INTEGER, AT(batch), 1, 1e6, NULL},
    {"layer_decay", SETTING_NUMBER, AT(layer_decay), 1e-6, 1, NULL},
    {"clip", SETTING_NUMBER, AT(clip), 0, 1e30, NULL},
    {"ema_decay", SETTING_NUMBER, AT(ema_decay), 0, 1, NULL},
    {"drop_path", SETTING_NUMBER, AT(drop_path), -1, 0.999, NULL},
    {"least_area", SETTING_NUMBER, AT(least_area), 1e-3, 1, NULL},
    {"mixup", SETTING_NUMBER, AT(mixing.mixup), 0, MIXING_MOST_ALPHA, NULL},
    {"cutmix", SETTING_NUMBER, AT(mixing.cutmix), 0, MIXING_MOST_ALPHA, NULL},
    {"smoothing", SETTING_NUMBER, AT(mixing.smoothing), 0, 1, NULL},
    {"count", SETTING_INTEGER, AT(count), 0, INT32_MAX, NULL},
    {"hold_out", SETTING_NUMBER, AT(hold_out), 0, 0.9, NULL},
    {"evaluations", SETTING_INTEGER, AT(evaluations), 1, 1e6, NULL},
    SETTING_WORDS("recipe", AT(recipe), recipe_names),
    SETTING_WORDS("optimizer", AT(optimizer), settings_optimizers),
};
static const SettingsTable table = {fields, sizeof fields / sizeof *fields};

Status finetune_settings_set(Arena *arena, FinetuneSettings *settings, const char *name,
                             const char *text) {
    return settings_has(table, name)
               ? settings_set(arena, table, settings, name, text)
               : training_settings_set(arena, &settings->training, name, text);
}

json_t *finetune_settings_json(const FinetuneSettings *settings) {
    json_t *json = json_object();
    settings_json(json, table, settings);
    training_settings_json(json, &settings->training);
    return json;
}

Status finetune_settings_read(Arena *arena, const json_t *json, FinetuneSettings *settings) {
    *settings = finetune_settings_default();
    settings->optimizer_given = true;
    status_return_if_failed(settings_read(arena, json, table, settings));
    return training_settings_read(arena, json, &settings->training);
}
