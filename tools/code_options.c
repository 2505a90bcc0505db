#include "tools/code_options.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/threads.h"
#include "tools/options.h"

enum { KEY_THREADS = 0x300, KEY_CPU, KEY_NO_CACHE, KEY_CACHE_DIR, KEY_NO_TUNING, KEY_DUMP };

static const struct argp_option table[] = {
    {"threads", KEY_THREADS, "N", 0, "Threads that compile and run (default: all processors)", 1},
    {"cpu", KEY_CPU, "NAME", 0,
     "Compile for x86-64-amx, x86-64-v4-bf16, x86-64-v4, x86-64-v3, x86-64-v2 or x86-64 "
     "(default: this CPU)",
     1},
    {"no-cache", KEY_NO_CACHE, NULL, 0, "Keep no compiled code, and use none that was kept", 1},
    {"cache-dir", KEY_CACHE_DIR, "DIR", 0,
     "Where compiled code is kept (default: $XDG_CACHE_HOME/sparkc or ~/.cache/sparkc)", 1},
    {"no-tuning", KEY_NO_TUNING, NULL, 0,
     "Use none of the choices that `sparkc tune` has found for this processor", 1},
    {"dump-code", KEY_DUMP, "DIR", 0,
     "Write LLVM IR and assembly of every kernel there, one KERNEL.STAGE.ll and .s for each "
     "distinct code",
     1},
    {0},
};

/* A folder that files can be written to, made if it is missing; else the program ends. */
static void make_folder(const struct argp_state *state, const char *path) {
    struct stat found;
    if ((mkdir(path, 0777) != 0 && errno != EEXIST) || stat(path, &found) != 0)
        argp_failure(state, 1, errno, "%s", path);
    if (!S_ISDIR(found.st_mode))
        argp_failure(state, 1, ENOTDIR, "%s", path);
    if (access(path, W_OK | X_OK) != 0)
        argp_failure(state, 1, errno, "%s", path);
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    CodeOptions *options = state->input;
    switch (key) {
    case KEY_THREADS:
        options->run.threads = (int)options_integer(state, "threads", argument, 1, 1024);
        return 0;
    case KEY_CPU:
        options->run.cpu = argument;
        return 0;
    case KEY_NO_CACHE:
        options->no_cache = true;
        return 0;
    case KEY_CACHE_DIR:
        options->cache_directory = argument;
        return 0;
    case KEY_NO_TUNING:
        options->no_tuning = true;
        return 0;
    case KEY_DUMP:
        make_folder(state, argument);
        options->run.dump_dir = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp code_options_argp = {table, parse, NULL, NULL, NULL, NULL, NULL};

CodeOptions code_options_default(void) {
    return (CodeOptions){.run = {.threads = threads_available()}};
}

/* A processor that cannot be had is reported by whoever compiles for it. */
static void read_tuning(Arena *arena, CodeOptions *options, const char *directory) {
    CpuTarget target;
    TuningFile *file = &options->tuning_file;
    if (!status_fine(cpu_target(arena, NULL, options->run.cpu, false, &target)) ||
        !tuning_file_find(arena, directory, &target, options->run.threads, file))
        return;
    Status status = tuning_file_read(arena, file, &options->tuning);
    if (!status_fine(status))
        fprintf(stderr, "sparkc: warning: %s\n", status.message);
    options->run.tuning = options->tuning;
}

void code_options_open_cache(Arena *arena, CodeOptions *options) {
    if (options->no_cache)
        return;
    const char *directory = options->cache_directory;
    if (!directory)
        directory = code_cache_default_directory(arena);
    if (!directory)
        return;
    Status status = code_cache_open(arena, directory, CODE_CACHE_LIMIT, &options->cache);
    if (!status_fine(status)) {
        fprintf(stderr, "sparkc: warning: %s; no compiled code is kept\n", status.message);
        return;
    }
    options->run.cache = options->cache;
    if (!options->no_tuning)
        read_tuning(arena, options, directory);
}

void code_options_close_cache(CodeOptions *options) {
    code_cache_close(options->cache);
    options->cache = NULL;
}
