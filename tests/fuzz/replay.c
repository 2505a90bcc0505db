/* Runs a fuzz target without libFuzzer: on each file of the folders given, and on mutants of it
 * whose choice depends on nothing but the file. A target that does not end is ended by the test's
 * time limit.
 *
 *     replay MUTANTS FOLDER.. */
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST_SEED = 1 << 20, MOST_CHANGES = 4 };

static void run(const Text *text) {
    LLVMFuzzerTestOneInput((const uint8_t *)text->data, text->length);
}

static bool replay(const char *path, long mutants) {
    Arena *arena = arena_create();
    const char *error = NULL;
    Text seed = text_create(arena);
    size_t length = 0;
    char *data = text_read_file(arena, path, LARGEST_SEED, &length, &error);
    if (data) {
        text_append_bytes(&seed, data, length);
        run(&seed);
    } else {
        fprintf(stderr, "%s: %s\n", path, error);
    }
    uint64_t state = length;
    for (long i = 0; data && i < mutants; i++) {
        Text mutant = seed;
        bool bytes = mutate_below(&state, 2) == 0;
        for (size_t changes = 1 + mutate_below(&state, MOST_CHANGES); changes > 0; changes--)
            mutant = bytes ? mutate_bytes(&state, &mutant) : mutate_number(&state, &mutant);
        run(&mutant);
    }
    arena_destroy(arena);
    return data;
}

static bool replay_folder(const char *folder, long mutants) {
    Arena *arena = arena_create();
    glob_t found = {0};
    bool fine = glob(arena_format(arena, "%s/*", folder), 0, NULL, &found) == 0;
    for (size_t i = 0; fine && i < found.gl_pathc; i++)
        fine = replay(found.gl_pathv[i], mutants);
    printf("%s: %zu seeds, %ld mutants of each\n", folder, found.gl_pathc, mutants);
    globfree(&found);
    arena_destroy(arena);
    return fine;
}

int main(int count, char **arguments) {
    if (count < 3) {
        fprintf(stderr, "usage: replay MUTANTS FOLDER..\n");
        return 2;
    }
    bool fine = true;
    for (int i = 2; i < count; i++)
        fine = replay_folder(arguments[i], strtol(arguments[1], NULL, 10)) && fine;
    return fine ? 0 : 1;
}
