/* Any bytes as a file of weights: refused, or every tensor can be read. With libFuzzer
 * (tests/fuzz/meson.build) or with tests/fuzz/replay.c. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fatal.h"
#include "runtime/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(Arena *arena, Safetensors *file) {
    size_t count;
    const SafetensorsTensor *tensors = safetensors_tensors(file, &count);
    for (size_t i = 0; i < count; i++) {
        double *values = arena_new_array(arena, double, tensors[i].count);
        Status status = safetensors_read(arena, file, &tensors[i], values);
        invariant(status_fine(status) || tensors[i].dtype == SAFETENSORS_I64,
                  "a tensor that the header promised cannot be read: %s", status.message);
        invariant(safetensors_find(file, tensors[i].name) == &tensors[i], "a tensor is lost");
    }
    safetensors_metadata(file, "format");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Arena *arena = arena_create();
    Safetensors *file;
    int memory = memfd_create("fuzz", MFD_CLOEXEC);
    if (memory >= 0 && write(memory, data, size) == (ssize_t)size) {
        const char *path = arena_format(arena, "/proc/self/fd/%d", memory);
        if (status_fine(safetensors_open(arena, path, &file))) {
            read_all(arena, file);
            safetensors_close(file);
        }
    }
    close(memory);
    arena_destroy(arena);
    return 0;
}
