/* Recipes of a fine-tuning and its run.json. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/training_suites.h"
#include "tools/train/finetune_settings.h"
#include "tools/train/settings_table.h"

enum { IMAGENET = 1281167 };

static const char *const recipe_names[] = {
    [RECIPE_SMALL] = "small",
    [RECIPE_RESNET50] = "resnet50",
    [RECIPE_RESNET101] = "resnet101",
    [RECIPE_CONVNEXT_SMALL] = "convnext-small",
    [RECIPE_CONVNEXT_BASE] = "convnext-base",
    [RECIPE_CONVNEXT_LARGE] = "convnext-large",
    [RECIPE_CONVNEXT_LARGE_384] = "convnext-large-384",
};
enum { RECIPES = sizeof recipe_names / sizeof *recipe_names };

static void set(Arena *arena, FinetuneSettings *settings, const char *name, const char *text) {
    Status status = finetune_settings_set(arena, settings, name, text);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
}

static FinetuneSettings completed(Arena *arena, const char *recipe, size_t samples) {
    FinetuneSettings settings = finetune_settings_default();
    set(arena, &settings, "recipe", recipe);
    settings.training.channels = 3;
    for (int i = 0; i < 3; i++)
        settings.training.normalization.deviation[i] = 0.25;
    CU_ASSERT_PTR_NULL_FATAL(finetune_settings_complete(arena, &settings, samples).message);
    return settings;
}

/* A failure that has these words. */
static void check_fails(Status status, const char *words) {
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, words));
}

/* The table of the official fine-tuning, by network. */
static void recipes_are_official(void) {
    static const struct {
        FinetuneRecipe recipe;
        double epochs, warmup;
        bool lamb;
        double base_lr, layer_decay, weight_decay, mixup, drop_path, average;
    } official[] = {
        {RECIPE_CONVNEXT_SMALL, 400, 20, false, 2e-4, 0.7, 0.01, 0.8, 0.3, 0.9999},
        {RECIPE_CONVNEXT_BASE, 400, 20, false, 1e-4, 0.7, 0.01, 0.8, 0.4, 0.9999},
        {RECIPE_CONVNEXT_LARGE, 200, 20, false, 1e-4, 0.7, 0.02, 0.8, 0.5, 0.9999},
        {RECIPE_CONVNEXT_LARGE_384, 200, 20, false, 6e-5, 0.7, 0.02, 0.8, 0.5, 0.99995},
        {RECIPE_RESNET50, 300, 5, true, 2e-3, 0.7, 0.02, 0.1, 0.05, 0.9999},
        {RECIPE_RESNET101, 300, 5, true, 1e-3, 0.8, 0.02, 0.1, 0.2, 0.9999},
    };
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof official / sizeof *official; i++) {
        FinetuneSettings settings = completed(arena, recipe_names[official[i].recipe], IMAGENET);
        TrainerOptions trainer = finetune_trainer_options(&settings);
        bool lamb = official[i].lamb;
        CU_ASSERT_EQUAL(settings.recipe, official[i].recipe);
        CU_ASSERT_EQUAL(settings.training.epochs, official[i].epochs);
        CU_ASSERT_EQUAL(settings.training.warmup_epochs, official[i].warmup);
        CU_ASSERT_EQUAL(settings.training.base_lr, official[i].base_lr);
        CU_ASSERT_EQUAL(settings.layer_decay, official[i].layer_decay);
        CU_ASSERT_EQUAL(settings.training.weight_decay, official[i].weight_decay);
        CU_ASSERT_EQUAL(settings.mixing.mixup, official[i].mixup);
        CU_ASSERT(settings.mixing.cutmix == 1 && settings.mixing.smoothing == 0.1);
        CU_ASSERT_EQUAL(settings.drop_path, official[i].drop_path);
        CU_ASSERT_EQUAL(settings.ema_decay, official[i].average);
        CU_ASSERT_EQUAL(settings.least_area, 0.08);
        CU_ASSERT_EQUAL(trainer.pass.optimizer, lamb ? OPTIMIZER_LAMB : OPTIMIZER_ADAMW);
        CU_ASSERT_EQUAL(trainer.pass.finetune_loss,
                        lamb ? FINETUNE_BINARY_CROSS_ENTROPY : FINETUNE_CROSS_ENTROPY);
        CU_ASSERT(trainer.no_bias_correction == lamb && trainer.pass.always_adapt == lamb);
        CU_ASSERT(trainer.pass.beta2 == 0.999 && trainer.pass.clip == 5);
        CU_ASSERT(trainer.pass.layer_decay == official[i].layer_decay &&
                  trainer.ema_decay == official[i].average);
    }
    arena_destroy(arena);
}

static void small_is_for_small_data(void) {
    Arena *arena = arena_create();
    FinetuneSettings settings = completed(arena, "small", 2000);
    Schedule schedule = finetune_schedule(&settings, 2000);
    CU_ASSERT(settings.recipe == RECIPE_SMALL && settings.optimizer == OPTIMIZER_ADAMW);
    CU_ASSERT(settings.mixing.mixup == 0 && settings.mixing.cutmix == 0);
    CU_ASSERT_EQUAL(settings.drop_path, -1);
    CU_ASSERT_EQUAL(settings.batch, 64);
    CU_ASSERT_EQUAL(finetune_epoch_steps(&settings, 2000), 31);
    CU_ASSERT(schedule.total == 60 * 31 && schedule.warmup == 5 * 31);
    CU_ASSERT_DOUBLE_EQUAL(schedule.peak_lr, 1e-3, 1e-15);
    CU_ASSERT(schedule.weight_decay == 0.05 && schedule.weight_decay_end == 0.05);
    arena_destroy(arena);
}

static void batches_follow_the_data(void) {
    static const struct {
        const char *recipe;
        size_t samples;
        int64_t batch;
    } cases[] = {
        {"small", 1000000, 64}, {"small", 1000, 32},        {"small", 300, 16}, {"small", 20, 8},
        {"small", 5, 4},        {"resnet50", IMAGENET, 64}, {"small", 1, 1},
    };
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FinetuneSettings settings = completed(arena, cases[i].recipe, cases[i].samples);
        CU_ASSERT_EQUAL(settings.batch, cases[i].batch);
    }
    arena_destroy(arena);
}

/* The largest power of two within bounds that leaves enough updates and fits. */
static void batch_is_largest_that_fits(void) {
    CU_ASSERT_EQUAL(settings_batch(64, 8, 16, 1024), 64);
    CU_ASSERT_EQUAL(settings_batch(64, 8, 16, 1023), 32);
    CU_ASSERT_EQUAL(settings_batch(64, 8, 16, 127), 8);
    CU_ASSERT_EQUAL(settings_batch(64, 8, 16, 8), 8);
    CU_ASSERT_EQUAL(settings_batch(64, 8, 16, 7), 4);
    CU_ASSERT_EQUAL(settings_batch(64, 8, 16, 0), 1);
    CU_ASSERT_EQUAL(settings_batch(4096, 32, 312, IMAGENET), 4096);
}

static void short_runs_warm_up_shortly(void) {
    Arena *arena = arena_create();
    FinetuneSettings settings = finetune_settings_default();
    set(arena, &settings, "steps", "120");
    set(arena, &settings, "batch", "10");
    CU_ASSERT_PTR_NULL_FATAL(finetune_settings_complete(arena, &settings, 400).message);
    Schedule schedule = finetune_schedule(&settings, 400);
    CU_ASSERT(schedule.total == 120 && schedule.warmup == 10); /* 5 of 60 epochs */
    CU_ASSERT_EQUAL(settings.training.epochs, 0);
    arena_destroy(arena);
}

static void options_override_recipes(void) {
    static const char *const given[][2] = {
        {"recipe", "resnet50"},    {"warmup_epochs", "3"}, {"base_lr", "0.5"},
        {"weight_decay", "0.25"},  {"layer_decay", "0.5"}, {"clip", "0"},
        {"ema_decay", "0"},        {"drop_path", "-1"},    {"mixup", "0"},
        {"cutmix", "0"},           {"smoothing", "0"},     {"least_area", "1"},
        {"epochs", "7"},           {"batch", "64"},        {"optimizer", "sgd"},
        {"evaluations", "1000000"}};
    Arena *arena = arena_create();
    FinetuneSettings settings = finetune_settings_default();
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        set(arena, &settings, given[i][0], given[i][1]);
    settings.optimizer_given = true;
    CU_ASSERT_PTR_NULL_FATAL(finetune_settings_complete(arena, &settings, 6400).message);
    Schedule schedule = finetune_schedule(&settings, 6400);
    TrainerOptions trainer = finetune_trainer_options(&settings);
    CU_ASSERT(schedule.total == 700 && schedule.warmup == 300);
    CU_ASSERT(schedule.peak_lr == 0.125 && schedule.weight_decay == 0.25);
    CU_ASSERT(trainer.pass.layer_decay == 0.5 && trainer.pass.clip == 0 && trainer.ema_decay == 0);
    CU_ASSERT(trainer.pass.optimizer == OPTIMIZER_SGD && !trainer.no_bias_correction);
    CU_ASSERT_EQUAL(trainer.pass.finetune_loss, FINETUNE_CROSS_ENTROPY);
    CU_ASSERT(settings.mixing.mixup == 0 && settings.mixing.cutmix == 0);
    CU_ASSERT(settings.mixing.smoothing == 0 && settings.least_area == 1);
    CU_ASSERT(settings.drop_path == -1 && settings.evaluations == 1000000);
    arena_destroy(arena);
}

static void what_does_not_fit_is_refused(void) {
    Arena *arena = arena_create();
    FinetuneSettings settings = finetune_settings_default();
    settings.batch = 64;
    check_fails(finetune_settings_complete(arena, &settings, 63),
                "63 pictures do not fill a batch of 64; choose a smaller --batch");
    settings = finetune_settings_default();
    settings.training.epochs = 0;
    check_fails(finetune_settings_complete(arena, &settings, 63), "0 epochs train nothing");
    settings = finetune_settings_default();
    settings.training.epochs = 1e12;
    check_fails(finetune_settings_complete(arena, &settings, 63), "epochs are too many");
    settings = finetune_settings_default();
    settings.optimizer_given = true;
    settings.optimizer = OPTIMIZER_LAMB;
    check_fails(finetune_settings_complete(arena, &settings, 63), "--base-lr");
    settings.optimizer = OPTIMIZER_ADAMW; /* the recipe's own */
    CU_ASSERT_PTR_NULL(finetune_settings_complete(arena, &settings, 63).message);
    arena_destroy(arena);
}

static void impossible_values_are_refused(void) {
    static const char *const wrong[][2] = {
        {"mixup", "4.1"},      {"cutmix", "-1"},      {"smoothing", "1.5"},   {"layer_decay", "0"},
        {"ema_decay", "2"},    {"drop_path", "1"},    {"hold_out", "1"},      {"least_area", "0"},
        {"batch", "0"},        {"batch", "1.5"},      {"evaluations", "1e7"}, {"recipe", "huge"},
        {"optimizer", "adam"}, {"nonfinite", "oh"},   {"count", "-1"},        {"keep", "0"},
        {"seed", "-1"},        {"seed", "4294967296"}};
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        FinetuneSettings settings = finetune_settings_default();
        Status status = finetune_settings_set(arena, &settings, wrong[i][0], wrong[i][1]);
        check_fails(status, wrong[i][1]);
    }
    arena_destroy(arena);
}

static FinetuneSettings unusual(Arena *arena) {
    FinetuneSettings settings = completed(arena, "convnext-large-384", 12345);
    settings.training.base_lr = 0.1 / 3;
    settings.training.normalization.mean[1] = 1.0 / 3;
    settings.training.seed = UINT32_MAX;
    settings.training.nonfinite = NONFINITE_SKIP;
    settings.optimizer = OPTIMIZER_SGD;
    settings.hold_out = 1.0 / 7;
    settings.count = 777;
    settings.training.no_flip = true;
    return settings;
}

static void json_comes_back(void) {
    Arena *arena = arena_create();
    FinetuneSettings settings = unusual(arena), back;
    json_t *first = finetune_settings_json(&settings);
    char *text = json_dumps(first, 0);
    json_t *json = json_loads(text, 0, NULL);
    CU_ASSERT_PTR_NULL_FATAL(finetune_settings_read(arena, json, &back).message);
    json_t *again = finetune_settings_json(&back);
    CU_ASSERT_TRUE(json_equal(first, again));
    CU_ASSERT(back.training.base_lr == 0.1 / 3 && back.training.normalization.mean[1] == 1.0 / 3);
    CU_ASSERT(back.training.seed == UINT32_MAX && back.optimizer == OPTIMIZER_SGD &&
              back.training.no_flip);
    CU_ASSERT(back.recipe == RECIPE_CONVNEXT_LARGE_384 &&
              back.training.nonfinite == NONFINITE_SKIP);
    CU_ASSERT(back.count == 777 && back.hold_out == 1.0 / 7 &&
              back.training.steps == settings.training.steps);
    CU_ASSERT(back.mixing.mixup == 0.8 && back.mixing.cutmix == 1 && back.mixing.smoothing == 0.1);
    json_decref(first);
    json_decref(again);
    json_decref(json);
    free(text);
    arena_destroy(arena);
}

/* Each entry, taken out or spoilt, is named. */
static void damage_is_named(void) {
    Arena *arena = arena_create();
    FinetuneSettings settings = unusual(arena), back;
    json_t *json = finetune_settings_json(&settings);
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value) {
        json_t *spoilt = json_copy(json);
        json_object_del(spoilt, key);
        check_fails(finetune_settings_read(arena, spoilt, &back), key);
        json_object_set_new(spoilt, key, json_real(-1.5));
        check_fails(finetune_settings_read(arena, spoilt, &back), key);
        json_decref(spoilt);
    }
    json_decref(json);
    arena_destroy(arena);
}

static void every_recipe_has_a_name(void) {
    Arena *arena = arena_create();
    for (int i = 0; i < RECIPES; i++) {
        FinetuneSettings settings = completed(arena, recipe_names[i], 100);
        CU_ASSERT_EQUAL((int)settings.recipe, i);
    }
    arena_destroy(arena);
}

CU_TestInfo training_finetune_tests[] = {
    {"recipes are the official ones", recipes_are_official},
    {"the recipe small is for small data sets", small_is_for_small_data},
    {"batches follow the number of pictures", batches_follow_the_data},
    {"a batch is the largest that leaves enough updates", batch_is_largest_that_fits},
    {"short runs warm up shortly", short_runs_warm_up_shortly},
    {"options override a recipe", options_override_recipes},
    {"what does not fit together is refused", what_does_not_fit_is_refused},
    {"impossible values are refused", impossible_values_are_refused},
    {"settings come back from JSON exactly", json_comes_back},
    {"a missing or impossible setting is named", damage_is_named},
    {"every recipe has a name", every_recipe_has_a_name},
    CU_TEST_INFO_NULL,
};
