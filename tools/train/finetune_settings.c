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
    return (FinetuneSettings){.epochs = NAN,
                              .base_lr = NAN,
                              .warmup_epochs = NAN,
                              .weight_decay = NAN,
                              .layer_decay = NAN,
                              .clip = 5,
                              .ema_decay = NAN,
                              .drop_path = NAN,
                              .least_area = NAN,
                              .mixing = {NAN, NAN, 0.1},
                              .most_bad = 0.1,
                              .keep = 1,
                              .checkpoint_minutes = 10,
                              .evaluations = 10};
}

static void take(double *setting, double recipe) {
    *setting = isnan(*setting) ? recipe : *setting;
}

/* The recipe's optimizer has its rates: another one needs a rate that is given. */
static Status take_optimizer(Arena *arena, FinetuneSettings *settings, const Recipe *recipe) {
    bool other = settings->optimizer_given && settings->optimizer != recipe->optimizer;
    if (other && isnan(settings->base_lr))
        return status_failure(arena,
                              "the recipe's learning rate is for another optimizer; choose one by "
                              "--base-lr");
    if (!settings->optimizer_given)
        settings->optimizer = recipe->optimizer;
    settings->optimizer_given = true;
    return STATUS_FINE;
}

static void take_numbers(FinetuneSettings *settings, const Recipe *recipe) {
    take(&settings->epochs, recipe->epochs);
    take(&settings->base_lr, recipe->base_lr);
    take(&settings->weight_decay, recipe->weight_decay);
    take(&settings->layer_decay, recipe->layer_decay);
    take(&settings->ema_decay, recipe->ema_decay);
    take(&settings->drop_path, recipe->drop_path);
    take(&settings->least_area, recipe->least_area);
    take(&settings->mixing.mixup, recipe->mixup);
    take(&settings->mixing.cutmix, recipe->cutmix);
}

static Status take_length(Arena *arena, FinetuneSettings *settings, const Recipe *recipe,
                          size_t samples) {
    double epoch_steps = (double)finetune_epoch_steps(settings, samples);
    if (settings->steps > 0)
        settings->epochs = 0;
    if (settings->steps == 0 && !(settings->epochs > 0))
        return status_failure(arena, "0 epochs train nothing");
    if (settings->steps == 0 && settings->epochs * epoch_steps > 1e12)
        return status_failure(arena, "%g epochs are too many", settings->epochs);
    if (settings->steps == 0)
        settings->steps = (int64_t)fmax(1, nearbyint(settings->epochs * epoch_steps));
    /* A shorter run than the recipe's warms up for the same share of it. */
    double share = recipe->warmup_epochs / recipe->epochs;
    take(&settings->warmup_epochs,
         fmin(recipe->warmup_epochs, share * (double)settings->steps / epoch_steps));
    return STATUS_FINE;
}

Status finetune_settings_complete(Arena *arena, FinetuneSettings *settings, size_t samples) {
    const Recipe *recipe = &recipes[settings->recipe];
    if (settings->batch == 0)
        settings->batch = settings_batch(MOST_BATCH, LEAST_BATCH, recipe->epoch_steps, samples);
    if ((size_t)settings->batch > samples)
        return status_failure(
            arena, "%zu pictures do not fill a batch of %" PRId64 "; choose a smaller --batch",
            samples, settings->batch);
    status_return_if_failed(take_optimizer(arena, settings, recipe));
    take_numbers(settings, recipe);
    return take_length(arena, settings, recipe, samples);
}

int64_t finetune_epoch_steps(const FinetuneSettings *settings, size_t samples) {
    return (int64_t)samples / settings->batch;
}

Schedule finetune_schedule(const FinetuneSettings *settings, size_t samples) {
    double epoch_steps = (double)finetune_epoch_steps(settings, samples);
    return (Schedule){.peak_lr = schedule_peak_lr(settings->base_lr, settings->batch),
                      .weight_decay = settings->weight_decay,
                      .weight_decay_end = settings->weight_decay,
                      .warmup = schedule_warmup(settings->warmup_epochs * epoch_steps),
                      .total = settings->steps};
}

TrainerOptions finetune_trainer_options(const FinetuneSettings *settings) {
    bool lamb = settings->optimizer == OPTIMIZER_LAMB;
    TrainerOptions options = {.task = TRAINER_FINETUNE,
                              .pass = pass_options_default(),
                              .micro_batches = 1,
                              .seed = settings->seed,
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
_Static_assert(sizeof(OptimizerKind) == sizeof(int) && sizeof(FinetuneRecipe) == sizeof(int) &&
                   sizeof(NonfinitePolicy) == sizeof(int),
               "choices are set as int");
static const SettingEntry fields[] = {
    {"batch", SETTING_INTEGER, AT(batch), 1, 1e6, NULL},
    {"epochs", SETTING_NUMBER, AT(epochs), 0, 1e12, NULL},
    {"steps", SETTING_INTEGER, AT(steps), 1, 1e12, NULL},
    {"base_lr", SETTING_NUMBER, AT(base_lr), 0, 1e6, NULL},
    {"warmup_epochs", SETTING_NUMBER, AT(warmup_epochs), 0, 1e12, NULL},
    {"weight_decay", SETTING_NUMBER, AT(weight_decay), 0, 1e6, NULL},
    {"layer_decay", SETTING_NUMBER, AT(layer_decay), 1e-6, 1, NULL},
    {"clip", SETTING_NUMBER, AT(clip), 0, 1e30, NULL},
    {"ema_decay", SETTING_NUMBER, AT(ema_decay), 0, 1, NULL},
    {"drop_path", SETTING_NUMBER, AT(drop_path), -1, 0.999, NULL},
    {"least_area", SETTING_NUMBER, AT(least_area), 1e-3, 1, NULL},
    {"mixup", SETTING_NUMBER, AT(mixing.mixup), 0, MIXING_MOST_ALPHA, NULL},
    {"cutmix", SETTING_NUMBER, AT(mixing.cutmix), 0, MIXING_MOST_ALPHA, NULL},
    {"smoothing", SETTING_NUMBER, AT(mixing.smoothing), 0, 1, NULL},
    {"seed", SETTING_SEED, AT(seed), 0, UINT32_MAX, NULL},
    {"no_flip", SETTING_BOOL, AT(no_flip), 0, 1, NULL},
    {"channels", SETTING_INT, AT(channels), 1, SCAN_MOST_CHANNELS, NULL},
    {"count", SETTING_INTEGER, AT(count), 0, INT32_MAX, NULL},
    {"hold_out", SETTING_NUMBER, AT(hold_out), 0, 0.9, NULL},
    {"most_bad", SETTING_NUMBER, AT(most_bad), 0, 1, NULL},
    {"keep", SETTING_INT, AT(keep), 1, 1e6, NULL},
    {"checkpoint_minutes", SETTING_NUMBER, AT(checkpoint_minutes), 0, 1e9, NULL},
    {"evaluations", SETTING_INTEGER, AT(evaluations), 1, 1e6, NULL},
    SETTING_WORDS("recipe", AT(recipe), recipe_names),
    SETTING_WORDS("optimizer", AT(optimizer), settings_optimizers),
    SETTING_WORDS("nonfinite", AT(nonfinite), settings_nonfinite),
};
static const SettingsTable table = {fields, sizeof fields / sizeof *fields};

Status finetune_settings_set(Arena *arena, FinetuneSettings *settings, const char *name,
                             const char *text) {
    return settings_set(arena, table, settings, name, text);
}

json_t *finetune_settings_json(const FinetuneSettings *settings) {
    json_t *json = settings_json(table, settings);
    run_normalization_json(json, &settings->normalization, settings->channels);
    return json;
}

Status finetune_settings_read(Arena *arena, const json_t *json, FinetuneSettings *settings) {
    *settings = finetune_settings_default();
    status_return_if_failed(settings_read(arena, json, table, settings));
    settings->optimizer_given = true;
    return run_normalization_read(arena, json, settings->channels, &settings->normalization);
}
