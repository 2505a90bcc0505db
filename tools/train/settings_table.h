/* Settings as a table: what they are called, and what each may be. From it they are set from the
 * command line, written as JSON and read back. */
#ifndef SPARKC_TOOLS_TRAIN_SETTINGS_TABLE_H
#define SPARKC_TOOLS_TRAIN_SETTINGS_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* The type of a setting's member. */
typedef enum SettingKind {
    SETTING_NUMBER,  /* double */
    SETTING_INTEGER, /* int64_t */
    SETTING_INT,     /* int */
    SETTING_BOOL,    /* bool */
    SETTING_SEED,    /* uint32_t */
    SETTING_CHOICE   /* an enumeration of the size of int */
} SettingKind;

/* A setting, and what it may be: numbers from least to most, or one of so many words. */
typedef struct SettingEntry {
    const char *name;
    SettingKind kind;
    size_t offset; /* in the structure of the settings */
    double least, most;
    const char *const *words; /* of a choice, by its values; `most` is the last value */
} SettingEntry;

#define SETTING_WORDS(name, offset, words)                                                         \
    { name, SETTING_CHOICE, offset, 0, sizeof(words) / sizeof *(words)-1, words }

/* The settings of a structure. */
typedef struct SettingsTable {
    const SettingEntry *items;
    size_t count;
} SettingsTable;

/* Sets a number, a switch ("true", "false") or a choice by its name from text. A failure says what
 * it needs, to stand behind the option's name: "needs a number from 0 to 1, not x". */
Status settings_set(Arena *arena, SettingsTable table, void *settings, const char *name,
                    const char *text);

/* Whether a table has a setting of that name. */
bool settings_has(SettingsTable table, const char *name);

/* Replaces a number that is NaN, not given. */
void settings_take(double *setting, double otherwise);

/* As entries of an object by name, and back, exactly; reading fails on missing or impossible
 * entries, naming them. */
void settings_json(json_t *json, SettingsTable table, const void *settings);
Status settings_read(Arena *arena, const json_t *json, SettingsTable table, void *settings);

/* Lists of numbers, for settings that are no single value. Reading needs `count` finite numbers, of
 * which each is more than 0 if `positive`. */
json_t *settings_numbers_json(const double *values, int count);
Status settings_read_numbers(Arena *arena, const json_t *json, const char *name, int count,
                             bool positive, double *values);

/* The words of a choice that several tables have, OptimizerKind. */
extern const char *const settings_optimizers[3];

/* A batch for a data set of `samples` pictures: the largest power of two from `least` to `most`
 * with which an epoch still has `epoch_steps` updates, and no more than the pictures. Both bounds
 * are powers of two. */
int64_t settings_batch(int64_t most, int64_t least, int64_t epoch_steps, size_t samples);

/* The failure of reading a setting. */
Status settings_wrong(Arena *arena, const char *name);

#endif
