/* Presets and run.json. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/training_suites.h"
#include "tools/train/pretrain_settings.h"

static PretrainSettings completed(Arena *arena, PretrainPreset preset, size_t samples) {
    PretrainSettings settings = pretrain_settings_default();
    settings.preset = preset;
    settings.training.channels = 3;
    for (int i = 0; i < 3; i++)
        settings.training.normalization.deviation[i] = 0.25;
    CU_ASSERT_PTR_NULL_FATAL(pretrain_settings_complete(arena, &settings, samples).message);
    return settings;
}

/* On ImageNet's number of pictures a preset is the official recipe. */
static void imagenet_is_official(void) {
    Arena *arena = arena_create();
    PretrainSettings settings = completed(arena, PRESET_IMAGENET_1600, 1281167);
    Schedule schedule = pretrain_schedule(&settings, 1281167);
    CU_ASSERT_EQUAL(settings.pass.batch, 4096);
    CU_ASSERT_EQUAL(settings.micro_batch, 32);
    CU_ASSERT_EQUAL(pretrain_epoch_steps(&settings, 1281167), 312);
    CU_ASSERT_EQUAL(schedule.total, 1600 * 312);
    CU_ASSERT_EQUAL(schedule.warmup, 40 * 312);
    CU_ASSERT_DOUBLE_EQUAL(schedule.peak_lr, 3.2e-3, 1e-12);
    CU_ASSERT(schedule.weight_decay == 0.04 && schedule.weight_decay_end == 0.2);
    CU_ASSERT(settings.pass.clip == 5 && settings.pass.optimizer == OPTIMIZER_LAMB);
    arena_destroy(arena);
}

static void batches_follow_the_data(void) {
    static const struct {
        PretrainPreset preset;
        size_t samples;
        int64_t batch, micro_batch;
    } cases[] = {
        {PRESET_IMAGENET_800, 1281167, 4096, 32},
        {PRESET_IMAGENET_800, 50000, 128, 32},
        {PRESET_IMAGENET_800, 1000, 32, 32},
        {PRESET_IMAGENET_800, 20, 16, 16},
        {PRESET_SMALL, 1281167, 256, 32},
        {PRESET_SMALL, 50000, 256, 32},
        {PRESET_SMALL, 10000, 128, 32},
        {PRESET_SMALL, 400, 16, 16},
        {PRESET_SMALL, 9, 8, 8},
        {PRESET_SMALL, 1, 1, 1},
    };
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        PretrainSettings settings = completed(arena, cases[i].preset, cases[i].samples);
        CU_ASSERT_EQUAL(settings.pass.batch, cases[i].batch);
        CU_ASSERT_EQUAL(settings.micro_batch, cases[i].micro_batch);
        CU_ASSERT((size_t)settings.pass.batch <= cases[i].samples);
    }
    arena_destroy(arena);
}

static void short_runs_warm_up_shortly(void) {
    Arena *arena = arena_create();
    PretrainSettings settings = pretrain_settings_default();
    settings.training.channels = 3;
    settings.training.steps = 100;
    settings.pass.batch = 8;
    CU_ASSERT_PTR_NULL(pretrain_settings_complete(arena, &settings, 400).message);
    Schedule schedule = pretrain_schedule(&settings, 400);
    CU_ASSERT_EQUAL(schedule.total, 100);
    CU_ASSERT_EQUAL(schedule.warmup, 5);
    arena_destroy(arena);
}

static void options_override_presets(void) {
    Arena *arena = arena_create();
    PretrainSettings settings = pretrain_settings_default();
    static const char *const given[][2] = {{"warmup_epochs", "3"},     {"base_lr", "0.5"},
                                           {"weight_decay", "0.01"},   {"weight_decay_end", "0.02"},
                                           {"preset", "imagenet-400"}, {"epochs", "7"}};
    settings.pass.batch = 64;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        CU_ASSERT_PTR_NULL(
            pretrain_settings_set(arena, &settings, given[i][0], given[i][1]).message);
    CU_ASSERT_PTR_NULL(pretrain_settings_complete(arena, &settings, 6400).message);
    Schedule schedule = pretrain_schedule(&settings, 6400);
    CU_ASSERT(schedule.total == 700 && schedule.warmup == 300);
    CU_ASSERT_DOUBLE_EQUAL(schedule.peak_lr, 0.125, 1e-15);
    CU_ASSERT(schedule.weight_decay == 0.01 && schedule.weight_decay_end == 0.02);
    arena_destroy(arena);
}

static void what_does_not_fit_is_refused(void) {
    Arena *arena = arena_create();
    PretrainSettings settings = pretrain_settings_default();
    settings.pass.batch = 10;
    settings.micro_batch = 4;
    Status status = pretrain_settings_complete(arena, &settings, 100);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "--micro-batch"));
    settings = pretrain_settings_default();
    settings.pass.batch = 64;
    status = pretrain_settings_complete(arena, &settings, 63);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "63 pictures do not fill a batch of 64"));
    settings = pretrain_settings_default();
    settings.training.epochs = 0;
    CU_ASSERT_PTR_NOT_NULL(pretrain_settings_complete(arena, &settings, 63).message);
    arena_destroy(arena);
}

static void json_comes_back(void) {
    Arena *arena = arena_create();
    PretrainSettings settings = completed(arena, PRESET_SMALL, 12345), back;
    settings.training.base_lr = 0.1 / 3;
    settings.training.normalization.mean[1] = 1.0 / 3;
    settings.training.seed = UINT32_MAX;
    settings.training.nonfinite = NONFINITE_SKIP;
    settings.pass.optimizer = OPTIMIZER_SGD;
    settings.pass.densify_norm = DENSIFY_LAYER_NORM;
    settings.pass.precision = PRECISION_BF16;
    settings.pass.stochastic = false;
    char *text;
    json_t *json = pretrain_settings_json(&settings);
    text = json_dumps(json, 0);
    json_decref(json);
    json = json_loads(text, 0, NULL);
    CU_ASSERT_PTR_NULL_FATAL(pretrain_settings_read(arena, json, &back).message);
    json_t *again = pretrain_settings_json(&back);
    CU_ASSERT_TRUE(json_equal(json, again));
    CU_ASSERT(back.training.base_lr == settings.training.base_lr &&
              back.training.normalization.mean[1] == settings.training.normalization.mean[1]);
    CU_ASSERT(back.training.seed == UINT32_MAX && !back.pass.stochastic);
    CU_ASSERT_EQUAL(back.pass.precision, PRECISION_BF16);
    json_decref(again);
    json_decref(json);
    free(text);
    arena_destroy(arena);
}

/* Each entry, taken out or spoilt, is named. */
static void damage_is_named(void) {
    Arena *arena = arena_create();
    PretrainSettings settings = completed(arena, PRESET_SMALL, 12345), back;
    json_t *json = pretrain_settings_json(&settings);
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value) {
        json_t *spoilt = json_copy(json);
        bool added = strcmp(key, "precision") == 0; /* runs of before that have none */
        json_object_del(spoilt, key);
        Status status = pretrain_settings_read(arena, spoilt, &back);
        CU_ASSERT_EQUAL_FATAL(status.message == NULL, added);
        CU_ASSERT(added ? back.pass.precision == PRECISION_FP32
                        : strstr(status.message, key) != NULL);
        json_object_set_new(spoilt, key, json_real(-1.5));
        CU_ASSERT_PTR_NOT_NULL(pretrain_settings_read(arena, spoilt, &back).message);
        json_decref(spoilt);
    }
    json_decref(json);
    arena_destroy(arena);
}

CU_TestInfo training_settings_tests[] = {
    {"an ImageNet preset on ImageNet is the official recipe", imagenet_is_official},
    {"batches follow the number of pictures", batches_follow_the_data},
    {"short runs warm up shortly", short_runs_warm_up_shortly},
    {"options override a preset", options_override_presets},
    {"what does not fit together is refused", what_does_not_fit_is_refused},
    {"settings come back from JSON exactly", json_comes_back},
    {"a missing or impossible setting is named", damage_is_named},
    CU_TEST_INFO_NULL,
};
