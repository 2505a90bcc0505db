#include "passes/settings.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char *const entries[] = {[ENTRY_FEATURES] = "features",
                                      [ENTRY_LOGITS] = "logits",
                                      [ENTRY_RECONSTRUCT] = "reconstruct",
                                      [ENTRY_TRAIN_STEP] = "train_step",
                                      [ENTRY_UPDATE] = "update",
                                      [ENTRY_ACCUMULATE] = "accumulate",
                                      [ENTRY_APPLY] = "apply",
                                      [ENTRY_FINETUNE_STEP] = "finetune_step",
                                      NULL};

#define WORDS(...)                                                                                 \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

typedef enum OptionKind { OPTION_BOOL, OPTION_INT, OPTION_FLOAT, OPTION_WORD } OptionKind;

static const struct {
    const char *name;
    OptionKind kind;
    size_t place; /* in PassOptions */
    const char *const *words;
} rows[] = {
    {"entry", OPTION_WORD, offsetof(PassOptions, entry), entries},
    {"batch", OPTION_INT, offsetof(PassOptions, batch), NULL},
    {"training", OPTION_BOOL, offsetof(PassOptions, training), NULL},
    {"expose", OPTION_BOOL, offsetof(PassOptions, expose), NULL},
    {"decisions", OPTION_WORD, offsetof(PassOptions, decisions),
     WORDS("own", "recorded", "replayed")},
    {"mask_ratio", OPTION_FLOAT, offsetof(PassOptions, mask_ratio), NULL},
    {"decoder_width", OPTION_INT, offsetof(PassOptions, decoder_width), NULL},
    {"densify_norm", OPTION_WORD, offsetof(PassOptions, densify_norm),
     WORDS("auto", "batch_norm", "layer_norm")},
    {"stochastic", OPTION_BOOL, offsetof(PassOptions, stochastic), NULL},
    {"optimizer", OPTION_WORD, offsetof(PassOptions, optimizer), WORDS("lamb", "adamw", "sgd")},
    {"beta1", OPTION_FLOAT, offsetof(PassOptions, beta1), NULL},
    {"beta2", OPTION_FLOAT, offsetof(PassOptions, beta2), NULL},
    {"epsilon", OPTION_FLOAT, offsetof(PassOptions, epsilon), NULL},
    {"momentum", OPTION_FLOAT, offsetof(PassOptions, momentum), NULL},
    {"clip", OPTION_FLOAT, offsetof(PassOptions, clip), NULL},
    {"always_adapt", OPTION_BOOL, offsetof(PassOptions, always_adapt), NULL},
    {"finetune_loss", OPTION_WORD, offsetof(PassOptions, finetune_loss),
     WORDS("cross_entropy", "binary_cross_entropy")},
    {"layer_decay", OPTION_FLOAT, offsetof(PassOptions, layer_decay), NULL},
    {"precision", OPTION_WORD, offsetof(PassOptions, precision), WORDS("fp32", "bf16")},
};

static bool set_word(PassOptions *settings, size_t row, const char *value) {
    for (int i = 0; rows[row].words[i]; i++) {
        if (strcmp(rows[row].words[i], value) == 0) {
            *(int *)((char *)settings + rows[row].place) = i;
            return true;
        }
    }
    return false;
}

static bool set_option(PassOptions *settings, size_t row, const char *value) {
    char *end = NULL;
    void *place = (char *)settings + rows[row].place;
    switch (rows[row].kind) {
    case OPTION_WORD:
        return set_word(settings, row, value);
    case OPTION_BOOL:
        *(bool *)place = strcmp(value, "true") == 0;
        return *(bool *)place || strcmp(value, "false") == 0;
    case OPTION_INT:
        *(int64_t *)place = strtoll(value, &end, 10);
        break;
    case OPTION_FLOAT:
        *(double *)place = strtod(value, &end);
        break;
    }
    return end > value && *end == '\0';
}

enum { ROWS = sizeof rows / sizeof *rows };

bool pass_settings_set(PassOptions *options, const char *name, const char *value) {
    for (size_t row = 0; row < ROWS; row++) {
        if (strcmp(rows[row].name, name) == 0)
            return set_option(options, row, value);
    }
    return false;
}

const char *const *pass_settings_names(Arena *arena, size_t *count) {
    const char **names = arena_new_array(arena, const char *, ROWS);
    for (size_t row = 0; row < ROWS; row++)
        names[row] = rows[row].name;
    *count = ROWS;
    return names;
}

const char *const *pass_settings_entries(void) {
    return entries;
}
