#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "codegen/cpu/cache.h"
#include "codegen/cpu/cpu.h"
#include "runtime/threads.h"
#include "tools/command.h"
#include "tools/cpu_name.h"
#include "tools/options.h"
#include "tools/tune/tuning_file.h"

static error_t parse(int key, char *argument, struct argp_state *state) {
    bool *json = state->input;
    if (key == OPTIONS_KEY_JSON)
        *json = true;
    else if (key == ARGP_KEY_ARG)
        argp_error(state, "info takes no file: %s", argument);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp_option option_table[] = {OPTIONS_JSON, {0}};

static const struct argp argp = {option_table,
                                 parse,
                                 NULL,
                                 "Says what this binary and this machine can do."
                                 "\vExamples:\n"
                                 "  sparkc info\n"
                                 "  sparkc info --json\n",
                                 NULL,
                                 NULL,
                                 NULL};

/* "+avx2,-avx512f,+fma" as a list of those that are there. */
static json_t *features_json(Arena *arena, const char *features) {
    json_t *list = json_array();
    while (*features) {
        size_t length = strcspn(features, ",");
        if (*features == '+')
            json_array_append_new(list,
                                  json_string(arena_copy_text(arena, features + 1, length - 1)));
        features += length + (features[length] == ',');
    }
    return list;
}

/* What code would be generated for. */
static void add_target(json_t *result, Arena *arena) {
    static const char *const products[] = {[CPU_TILES_NONE] = "as fp32",
                                           [CPU_TILES_AMX] = "AMX tiles",
                                           [CPU_TILES_PAIRS] = "AVX512-BF16 pairs",
                                           [CPU_TILES_WRITTEN_OUT] = "tiles written out"};
    CpuTarget target;
    Status status = cpu_target(arena, NULL, NULL, false, &target);
    if (!status_fine(status)) {
        json_object_set_new(result, "code_generation", json_string(status.message));
        return;
    }
    json_object_set_new(result, "code_generation", json_string(target.triple));
    json_object_set_new(result, "vector_lanes", json_integer(target.lanes));
    json_object_set_new(result, "bf16_products", json_string(products[target.tiles]));
    json_object_set_new(result, "cpu_features", features_json(arena, target.features));
}

/* The entries of a folder that is there; why it cannot be used. */
static void add_cache_state(json_t *result, Arena *arena, const char *folder) {
    CodeCache *cache = NULL;
    Status status = code_cache_open(arena, folder, CODE_CACHE_LIMIT, &cache);
    json_object_set_new(result, "cache_state",
                        json_string(status_fine(status) ? "in use" : status.message));
    if (!status_fine(status))
        return;
    CodeCacheSize size = code_cache_size(cache);
    json_object_set_new(result, "cache_entries", json_integer((json_int_t)size.entries));
    json_object_set_new(result, "cache_bytes", json_integer((json_int_t)size.bytes));
    code_cache_close(cache);
}

/* What `sparkc tune` has found for this processor with all its threads. */
static void add_tuning(json_t *result, Arena *arena, const char *folder) {
    CpuTarget target;
    TuningFile file;
    CpuTuning *tuning;
    if (!status_fine(cpu_target(arena, NULL, NULL, false, &target)) ||
        !tuning_file_find(arena, folder, &target, threads_available(), &file))
        return;
    Status status = tuning_file_read(arena, &file, &tuning);
    size_t count = tuning->contractions.count;
    const char *text = !status_fine(status) ? status.message
                       : count > 0          ? arena_format(arena,
                                                           "%zu contractions for this processor and "
                                                                    "%d threads",
                                                           count, file.threads)
                                            : "none";
    json_object_set_new(result, "tuning", json_string(text));
}

static void add_cache(json_t *result, Arena *arena) {
    const char *folder = code_cache_default_directory(arena);
    json_object_set_new(result, "cache", json_string(folder ? folder : "none: HOME is not set"));
    if (folder && access(folder, F_OK) == 0)
        add_cache_state(result, arena, folder);
    else if (folder)
        json_object_set_new(result, "cache_state", json_string("empty"));
    if (folder)
        add_tuning(result, arena, folder);
}

static json_t *collect(Arena *arena) {
    struct utsname system;
    json_t *result = json_object();
    json_object_set_new(result, "version", json_string(SPARKC_VERSION));
    json_object_set_new(result, "machine",
                        json_string(uname(&system) == 0 ? system.machine : "unknown"));
    json_object_set_new(result, "cpu", json_string(cpu_name(arena)));
    json_object_set_new(result, "processors", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(result, "llvm", json_string(LLVM_VERSION));
    add_target(result, arena);
    add_cache(result, arena);
    json_object_set_new(result, "cuda", json_string("not supported in this version"));
    return result;
}

static void print_text(json_t *result) {
    const char *key;
    json_t *value;
    size_t i;
    json_t *item;
    json_object_foreach(result, key, value) {
        printf("%-16s", key);
        if (json_is_string(value))
            printf(" %s", json_string_value(value));
        if (json_is_integer(value))
            printf(" %lld", (long long)json_integer_value(value));
        json_array_foreach(value, i, item) printf(" %s", json_string_value(item));
        putchar('\n');
    }
}

int command_info(int argc, char **argv) {
    bool json = false;
    options_parse(&argp, argc, argv, &json);
    Arena *arena = arena_create();
    json_t *result = collect(arena);
    if (json)
        json_dumpf(result, stdout, JSON_INDENT(1));
    else
        print_text(result);
    if (json)
        putchar('\n');
    json_decref(result);
    arena_destroy(arena);
    return EXIT_FINE;
}
