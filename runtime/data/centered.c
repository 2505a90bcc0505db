#include "runtime/data/centered.h"

ResizeBox centered_box(const Image *image, int width, int height) {
    int64_t across = image->width, down = image->height;
    if (across * height > down * width)
        across = down * width / height;
    else
        down = across * height / width;
    across = across < 1 ? 1 : across;
    down = down < 1 ? 1 : down;
    return (ResizeBox){(int)((image->width - across) / 2), (int)((image->height - down) / 2),
                       (int)across, (int)down};
}

Status centered_load(Arena *arena, const SourceSample *sample, CenteredShape shape,
                     const AugmentScale *scale, float *output) {
    const uint8_t *bytes;
    size_t length;
    Image image;
    status_return_if_failed(source_read(arena, sample, &bytes, &length));
    status_return_if_failed(
        image_decode(arena, bytes, length, shape.channels, &image_default_limits, &image));
    AugmentChoice choice = {.box = centered_box(&image, shape.width, shape.height)};
    augment_apply(arena, &image, choice, scale, shape.height, shape.width, output);
    return STATUS_FINE;
}
