/* The options of the passes by name, for commands and for texts: "mask_ratio" = "0.75". */
#ifndef SPARKC_PASSES_SETTINGS_H
#define SPARKC_PASSES_SETTINGS_H

#include "passes/passes.h"

/* Sets the field of that name, a word where it is an enum ("entry" = "features"). False if there is
 * no such field, or if it does not take this value. */
bool pass_settings_set(PassOptions *options, const char *name, const char *value);

/* The names of all fields; `count` is set. */
const char *const *pass_settings_names(Arena *arena, size_t *count);

/* The words of the field `entry`, in the order of enum Entry; NULL ends them. */
const char *const *pass_settings_entries(void);

#endif
