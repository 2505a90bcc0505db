#include "tools/train/settings_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "passes/passes.h"

const char *const settings_optimizers[] = {
    [OPTIMIZER_LAMB] = "lamb", [OPTIMIZER_ADAMW] = "adamw", [OPTIMIZER_SGD] = "sgd"};

int64_t settings_batch(int64_t most, int64_t least, int64_t epoch_steps, size_t samples) {
    int64_t batch = most;
    while (batch > least && batch * epoch_steps > (int64_t)samples)
        batch /= 2;
    while (batch > 1 && batch > (int64_t)samples)
        batch /= 2;
    return batch;
}

static json_t *setting_json(const void *settings, const SettingEntry *setting) {
    const char *at = (const char *)settings + setting->offset;
    switch (setting->kind) {
    case SETTING_NUMBER:
        return json_real(*(const double *)(const void *)at);
    case SETTING_INTEGER:
        return json_integer(*(const int64_t *)(const void *)at);
    case SETTING_INT:
        return json_integer(*(const int *)(const void *)at);
    case SETTING_SEED:
        return json_integer(*(const uint32_t *)(const void *)at);
    case SETTING_BOOL:
        return json_boolean(*(const bool *)at);
    case SETTING_CHOICE:
        return json_string(setting->words[*(const int *)(const void *)at]);
    }
    return NULL;
}

json_t *settings_numbers_json(const double *values, int count) {
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_real(values[i]));
    return list;
}

void settings_take(double *setting, double otherwise) {
    *setting = isnan(*setting) ? otherwise : *setting;
}

void settings_json(json_t *json, SettingsTable table, const void *settings) {
    for (size_t i = 0; i < table.count; i++)
        json_object_set_new(json, table.items[i].name, setting_json(settings, &table.items[i]));
}

Status settings_wrong(Arena *arena, const char *name) {
    return status_failure(arena, "the setting \"%s\" is missing or impossible", name);
}

static void set_number(const SettingEntry *setting, void *settings, double number) {
    char *at = (char *)settings + setting->offset;
    switch (setting->kind) {
    case SETTING_NUMBER:
        *(double *)(void *)at = number;
        break;
    case SETTING_INTEGER:
        *(int64_t *)(void *)at = (int64_t)number;
        break;
    case SETTING_INT:
    case SETTING_CHOICE:
        *(int *)(void *)at = (int)number;
        break;
    case SETTING_SEED:
        *(uint32_t *)(void *)at = (uint32_t)number;
        break;
    case SETTING_BOOL:
        *(bool *)at = number != 0;
        break;
    }
}

/* Sets a number if the setting may be it: whole numbers are below 2^53, which double holds. */
static bool try_number(const SettingEntry *setting, void *settings, double number) {
    bool whole = setting->kind == SETTING_NUMBER || number == floor(number);
    if (!(number >= setting->least && number <= setting->most) || !whole)
        return false;
    set_number(setting, settings, number);
    return true;
}

static bool try_word(const SettingEntry *setting, void *settings, const char *word) {
    for (int i = 0; i <= (int)setting->most; i++) {
        if (strcmp(setting->words[i], word) == 0) {
            set_number(setting, settings, i);
            return true;
        }
    }
    return false;
}

static Status read_setting(Arena *arena, const json_t *json, const SettingEntry *setting,
                           void *settings) {
    const json_t *value = json_object_get(json, setting->name);
    bool fine;
    if (setting->kind == SETTING_CHOICE)
        fine = json_is_string(value) && try_word(setting, settings, json_string_value(value));
    else if (setting->kind == SETTING_BOOL)
        fine = json_is_boolean(value) && try_number(setting, settings, json_is_true(value));
    else
        fine = json_is_number(value) && try_number(setting, settings, json_number_value(value));
    return fine ? STATUS_FINE : settings_wrong(arena, setting->name);
}

static const SettingEntry *find(SettingsTable table, const char *name) {
    for (size_t i = 0; i < table.count; i++)
        if (strcmp(table.items[i].name, name) == 0)
            return &table.items[i];
    return NULL;
}

bool settings_has(SettingsTable table, const char *name) {
    return find(table, name);
}

Status settings_set(Arena *arena, SettingsTable table, void *settings, const char *name,
                    const char *text) {
    const SettingEntry *setting = find(table, name);
    invariant(setting, "there is no setting %s", name);
    bool fine;
    if (setting->kind == SETTING_CHOICE) {
        fine = try_word(setting, settings, text);
    } else if (setting->kind == SETTING_BOOL) {
        fine = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
        set_number(setting, settings, strcmp(text, "true") == 0);
    } else {
        char *end;
        double number = strtod(text, &end);
        fine = end != text && !*end && try_number(setting, settings, number);
    }
    if (fine)
        return STATUS_FINE;
    if (setting->kind == SETTING_CHOICE)
        return status_failure(arena, "has no choice %s (see --help)", text);
    return status_failure(arena, "needs a %s from %.10g to %.10g, not %s",
                          setting->kind == SETTING_NUMBER ? "number" : "whole number",
                          setting->least, setting->most, text);
}

Status settings_read_numbers(Arena *arena, const json_t *json, const char *name, int count,
                             bool positive, double *values) {
    const json_t *list = json_object_get(json, name);
    if (json_array_size(list) != (size_t)count)
        return settings_wrong(arena, name);
    for (int i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        values[i] = json_number_value(value);
        if (!json_is_number(value) || !isfinite(values[i]) || (positive && !(values[i] > 0)))
            return settings_wrong(arena, name);
    }
    return STATUS_FINE;
}

Status settings_read(Arena *arena, const json_t *json, SettingsTable table, void *settings) {
    for (size_t i = 0; i < table.count; i++)
        status_return_if_failed(read_setting(arena, json, &table.items[i], settings));
    return STATUS_FINE;
}
