#include "tools/tune/tuning_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "codegen/cpu/cache.h"
#include "codegen/cpu/object.h"
#include "runtime/file.h"
#include "tools/cpu_name.h"

enum { TUNING_FORMAT = 1, MOST_BYTES = 4 << 20, NAME_DIGITS = 16 };

bool tuning_file_find(Arena *arena, const char *folder, const CpuTarget *target, int threads,
                      TuningFile *file) {
    char digits[CODE_HASH_DIGITS + 1];
    const char *environment = object_environment(arena, target);
    if (!environment)
        return false;
    *file = (TuningFile){.cpu = cpu_name(arena), .level = target->cpu, .threads = threads};
    code_cache_hash(environment, strlen(environment), digits);
    file->build = arena_copy_text(arena, digits, CODE_HASH_DIGITS);
    const char *name = arena_format(arena, "%s\n%s\n%d", file->cpu, file->level, threads);
    code_cache_hash(name, strlen(name), digits);
    file->path = arena_format(arena, "%s/tuning-%.*s.json", folder, NAME_DIGITS, digits);
    return true;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static Status refuse(Arena *arena, const TuningFile *file, const char *why) {
    return status_failure(arena,
                          "%s %s; the default choices are used (`sparkc tune` writes it anew)",
                          file->path, why);
}

static bool is_text(const json_t *json, const char *name, const char *text) {
    const char *found = json_string_value(json_object_get(json, name));
    return found && strcmp(found, text) == 0;
}

/* NULL, or why nothing may be taken from it. */
static const char *find_mismatch(const TuningFile *file, const json_t *json) {
    if (json_integer_value(json_object_get(json, "format")) != TUNING_FORMAT)
        return "is of another version of sparkc";
    if (!is_text(json, "cpu", file->cpu) || !is_text(json, "level", file->level) ||
        json_integer_value(json_object_get(json, "threads")) != file->threads)
        return "was measured on another processor, or for another number of threads";
    if (!is_text(json, "build", file->build))
        return "was measured by another build of sparkc";
    if (!json_is_object(json_object_get(json, "contractions")))
        return "is damaged: it has no list of contractions";
    return NULL;
}

/* All contractions, or NULL after one that is none. */
static CpuTuning *read_contractions(Arena *arena, json_t *contractions) {
    CpuTuning *tuning = arena_new(arena, CpuTuning);
    tuning->arena = arena;
    const char *key;
    json_t *value;
    json_object_foreach(contractions, key, value) {
        Choices choices;
        const char *text = json_string_value(value);
        if (!text || !choices_parse(text, tuning_key_form(key), &choices))
            return NULL;
        tuning_set(tuning, key, &choices);
    }
    return tuning;
}

static Status take(Arena *arena, const TuningFile *file, const json_t *json, CpuTuning **tuning) {
    const char *mismatch = find_mismatch(file, json);
    if (mismatch)
        return refuse(arena, file, mismatch);
    CpuTuning *found = read_contractions(arena, json_object_get(json, "contractions"));
    if (!found)
        return refuse(arena, file, "is damaged: a contraction has choices that there are not");
    *tuning = found;
    return STATUS_FINE;
}

Status tuning_file_read(Arena *arena, const TuningFile *file, CpuTuning **tuning) {
    char *bytes;
    size_t length;
    json_error_t error;
    *tuning = arena_new(arena, CpuTuning);
    (*tuning)->arena = arena;
    if (access(file->path, F_OK) != 0)
        return STATUS_FINE;
    Status status = file_read(arena, file->path, MOST_BYTES, &bytes, &length);
    if (!status_fine(status))
        return status_failure(arena, "%s; the default choices are used", status.message);
    json_t *json = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        return refuse(arena, file, arena_format(arena, "is damaged in line %d", error.line));
    status = take(arena, file, json, tuning);
    json_decref(json);
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

Status tuning_file_write(Arena *arena, const TuningFile *file, const CpuTuning *tuning) {
    json_t *contractions = json_object();
    for (size_t i = 0; i < tuning->contractions.count; i++) {
        const TunedContraction *tuned = &tuning->contractions.items[i];
        json_object_set_new(contractions, tuned->key,
                            json_string(choices_text(arena, &tuned->choices)));
    }
    json_t *json = json_pack("{s:i, s:s, s:s, s:i, s:s, s:o}", "format", TUNING_FORMAT, "cpu",
                             file->cpu, "level", file->level, "threads", file->threads, "build",
                             file->build, "contractions", contractions);
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    invariant(text, "a tuning is made of texts in UTF-8");
    FilePiece pieces[] = {{text, strlen(text)}, {"\n", 1}};
    Status status = file_replace(arena, file->path, pieces, 2);
    free(text);
    json_decref(json);
    return status;
}
