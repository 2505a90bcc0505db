/* Mutants of a seed. Which one depends on nothing but the state of the random numbers. */
#ifndef SPARKC_TESTS_FUZZ_MUTATE_H
#define SPARKC_TESTS_FUZZ_MUTATE_H

#include <stdint.h>

#include "base/text.h"

/* Bytes: removes, replaces, inserts, or copies a stretch to elsewhere. */
Text mutate_bytes(uint64_t *state, const Text *text);

/* One whole number of a text: another one near it, far from it, or from elsewhere in the text. What
 * is legal but for its numbers stays so, and often with them. A text without numbers: as
 * mutate_bytes. */
Text mutate_number(uint64_t *state, const Text *text);

/* Below `limit`; 0 if that is 0. */
size_t mutate_below(uint64_t *state, size_t limit);

#endif
