/* Runs a fuzz target without libFuzzer: on each file of the folders given, and on mutants of it
 * whose choice depends on nothing but the file. A target that does not end is ended by the test's
 * time limit.
 *
 *     replay MUTANTS FOLDER.. */
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST_SEED = 1 << 20, LONGEST_RUN = 40, MOST_CHANGES = 4 };

/* Texts that break what mere bytes seldom do. */
static const char *const pieces[] = {
    "0",     "-1",   "2147483647", "2147483648", "9223372036854775807",
    "\"",    "\n",   "{}",         "()",         "_",
    "x",     ", ",   "//",         "%",          "nan",
    "\\x00", "1e999"};

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static size_t below(uint64_t *state, size_t limit) {
    return limit ? (size_t)next_random(state) % limit : 0;
}

/* A stretch of a text. */
typedef struct Stretch {
    size_t begin, length;
} Stretch;

static Stretch choose(uint64_t *state, const Text *text) {
    size_t begin = below(state, text->length), rest = text->length - begin;
    size_t length = 1 + below(state, LONGEST_RUN);
    return (Stretch){begin, length < rest ? length : rest};
}

/* `text` with a stretch replaced by `length` bytes. */
static Text splice(const Text *text, Stretch stretch, const char *bytes, size_t length) {
    Text result = text_create(text->arena);
    size_t end = stretch.begin + stretch.length;
    text_append_bytes(&result, text->data, stretch.begin);
    text_append_bytes(&result, bytes, length);
    text_append_bytes(&result, text->data + end, text->length - end);
    return result;
}

/* Removes, replaces, inserts, or copies a stretch to elsewhere. */
static Text mutate(uint64_t *state, const Text *text) {
    Stretch stretch = choose(state, text), other = choose(state, text);
    const char *piece = pieces[below(state, sizeof pieces / sizeof *pieces)];
    char byte = (char)below(state, 256);
    switch (below(state, 5)) {
    case 0:
        return splice(text, stretch, "", 0);
    case 1:
        return splice(text, stretch, piece, strlen(piece));
    case 2:
        return splice(text, (Stretch){stretch.begin, 0}, piece, strlen(piece));
    case 3:
        return splice(text, (Stretch){stretch.begin, 0}, text->data + other.begin, other.length);
    default:
        return splice(text, (Stretch){stretch.begin, stretch.length > 0}, &byte, 1);
    }
}

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
        for (size_t changes = 1 + below(&state, MOST_CHANGES); changes > 0; changes--)
            mutant = mutate(&state, &mutant);
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
