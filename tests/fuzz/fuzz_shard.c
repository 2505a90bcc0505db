/* Any bytes as a shard, compressed or not: refused with a sentence, or all its samples lie within
 * it and can be read, and have classes or a sentence that says why not. With libFuzzer
 * (tests/fuzz/meson.build) or with tests/fuzz/replay.c. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fatal.h"
#include "runtime/data/fingerprint.h"
#include "runtime/data/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const Source *source, size_t size) {
    for (size_t i = 0; i < source->samples.count; i++) {
        const SourceSample *sample = &source->samples.items[i];
        Arena *arena = arena_create();
        const uint8_t *bytes;
        size_t length;
        uint64_t end = sample->copy ? sample->copy->length : size;
        invariant(sample->size <= end && sample->offset <= end - sample->size,
                  "%s reaches beyond the shard", sample->name);
        Status status = source_read(arena, sample, &bytes, &length);
        invariant(status_fine(status) && length == sample->size, "%s cannot be read: %s",
                  sample->name, status.message);
        arena_destroy(arena);
    }
}

static void label_all(Arena *arena, const Source *source) {
    Labels labels;
    LabelsChoice choice;
    if (!status_fine(labels_read(arena, source, &labels)))
        return;
    invariant(labels.count == source->samples.count, "a sample has no class");
    Status status = labels_choose(arena, &labels, labels.class_count, 1, &choice);
    invariant(status_fine(status) && choice.count == labels.class_count,
              "a sample of each class cannot be chosen");
    for (size_t i = 0; i < choice.count; i++)
        invariant(choice.classes[i] < labels.class_count && labels.names[choice.classes[i]],
                  "a class has no name");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Arena *arena = arena_create();
    Source source;
    int memory = memfd_create("fuzz", MFD_CLOEXEC);
    invariant(memory >= 0 && write(memory, data, size) == (ssize_t)size, "no memory");
    const char *path = arena_format(arena, "/proc/self/fd/%d", memory);
    if (status_fine(source_open(arena, &path, 1, &source))) {
        invariant(source.samples.count > 0, "a source without samples");
        read_all(&source, size);
        label_all(arena, &source);
        data_fingerprint(arena, &source);
        source_close(&source);
    }
    close(memory);
    arena_destroy(arena);
    return 0;
}
