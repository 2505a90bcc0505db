/* Any bytes as a picture: refused with a sentence, or as many pixels as it says. With libFuzzer
 * (tests/fuzz/meson.build) or with tests/fuzz/replay.c. */
#include <stdint.h>

#include "base/fatal.h"
#include "runtime/data/resize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ImageLimits limits = {
    .pixels = 1 << 18, .scan_pixels = 1 << 23, .scans = 100, .chunk_bytes = 1 << 20};

static void decode(const uint8_t *data, size_t size, int channels) {
    Arena *arena = arena_create();
    Image image;
    Status status = image_decode(arena, data, size, channels, &limits, &image);
    if (status_fine(status)) {
        uint64_t pixels = (uint64_t)image.width * (uint64_t)image.height;
        invariant(image.width > 0 && image.height > 0 && pixels <= limits.pixels &&
                      image.channels == channels,
                  "%d x %d x %d", image.width, image.height, image.channels);
        ResizeBox box = {0, 0, image.width, image.height};
        Image resized = resize_bicubic(arena, &image, box, 5, 3);
        invariant(resized.width == 5 && resized.height == 3, "a resized picture of another size");
    }
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int channels[] = {1, 3, 4};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        decode(data, size, channels[i]);
    return 0;
}
