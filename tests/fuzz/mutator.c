/* Half of libFuzzer's mutants of a text differ from it in numbers alone. */
#include "tests/fuzz/mutate.h"

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed) {
    if (seed % 2)
        return LLVMFuzzerMutate(data, size, most);
    Arena *arena = arena_create();
    uint64_t state = seed;
    Text text = text_create(arena);
    text_append_bytes(&text, (const char *)data, size);
    Text mutant = mutate_number(&state, &text);
    size_t length = mutant.length < most ? mutant.length : most;
    memcpy(data, mutant.data, length);
    arena_destroy(arena);
    return length;
}
