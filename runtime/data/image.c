#include "runtime/data/image.h"

#include <string.h>

#include "base/fatal.h"
#include "runtime/data/image_codec.h"

const ImageLimits image_default_limits = {
    .pixels = UINT64_C(1) << 27,
    .scan_pixels = UINT64_C(1) << 32,
    .scans = 100,
    .chunk_bytes = (size_t)8 << 20,
};

/* How files of a kind begin; `skip` bytes in front of the magic are free. */
static const struct {
    const char *name;
    size_t skip, length;
    const char *magic;
    ImageFormat format;
} kinds[] = {
    {"JPEG", 0, 3, "\xff\xd8\xff", IMAGE_FORMAT_JPEG},
    {"PNG", 0, 8, "\x89PNG\r\n\x1a\n", IMAGE_FORMAT_PNG},
    {"GIF", 0, 4, "GIF8", IMAGE_FORMAT_UNKNOWN},
    {"WebP", 8, 4, "WEBP", IMAGE_FORMAT_UNKNOWN},
    {"TIFF", 0, 4, "II*\0", IMAGE_FORMAT_UNKNOWN},
    {"TIFF", 0, 4, "MM\0*", IMAGE_FORMAT_UNKNOWN},
    {"HEIC or AVIF", 4, 4, "ftyp", IMAGE_FORMAT_UNKNOWN},
    {"JPEG 2000", 4, 8, "jP  \r\n\x87\n", IMAGE_FORMAT_UNKNOWN},
    {"BMP", 0, 2, "BM", IMAGE_FORMAT_UNKNOWN},
};

enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

/* The row of `kinds`, or KIND_COUNT. */
static size_t find_kind(const char *bytes, size_t length) {
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (length >= kinds[i].skip + kinds[i].length &&
            memcmp(bytes + kinds[i].skip, kinds[i].magic, kinds[i].length) == 0)
            return i;
    }
    return KIND_COUNT;
}

ImageFormat image_format(const void *bytes, size_t length) {
    size_t kind = find_kind(bytes, length);
    return kind < KIND_COUNT ? kinds[kind].format : IMAGE_FORMAT_UNKNOWN;
}

const char *image_format_name(ImageFormat format) {
    static const char *const names[IMAGE_FORMAT_COUNT] = {"unknown", "JPEG", "PNG"};
    return names[format];
}

Status image_check_size(Arena *arena, uint64_t width, uint64_t height, const ImageLimits *limits) {
    if (width == 0 || height == 0)
        return status_failure(arena, "the header says 0 pixels");
    if (width > INT32_MAX || height > INT32_MAX || width * height > limits->pixels)
        return status_failure(arena, "the header says %llu x %llu pixels; at most %llu are read",
                              (unsigned long long)width, (unsigned long long)height,
                              (unsigned long long)limits->pixels);
    return STATUS_FINE;
}

Status image_check_stop(Arena *arena, const ImageLimits *limits) {
    if (limits->stop && atomic_load_explicit(limits->stop, memory_order_relaxed))
        return status_failure(arena, "decoding was stopped");
    return STATUS_FINE;
}

static uint8_t grey_of(const uint8_t *rgb) {
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16);
}

/* One pixel of a picture of `from` channels (1: grey, 3: RGB, 4: RGB and alpha) as `to` channels.
 */
static void convert_pixel(const uint8_t *source, int from, uint8_t *target, int to) {
    if (to == 1) {
        target[0] = from == 1 ? source[0] : grey_of(source);
        return;
    }
    for (int channel = 0; channel < 3; channel++)
        target[channel] = source[from == 1 ? 0 : channel];
    if (to == 4)
        target[3] = from == 4 ? source[3] : 255;
}

static void convert_channels(Arena *arena, Image *image, int channels) {
    if (image->channels == channels)
        return;
    size_t count = (size_t)image->width * (size_t)image->height;
    uint8_t *pixels = arena_new_array(arena, uint8_t, count * (size_t)channels);
    const uint8_t *source = image->pixels;
    for (size_t i = 0; i < count; i++, source += image->channels)
        convert_pixel(source, image->channels, pixels + i * (size_t)channels, channels);
    image->pixels = pixels;
    image->channels = channels;
}

/* Turns a stored picture upright (EXIF 2.3, 4.6.4). Orientations 5 to 8 have rows and columns
 * exchanged; stored columns are read backwards in 2, 3, 7, 8, stored rows in 3, 4, 6, 7. */
static void turn_upright(Arena *arena, Image *image, int orientation) {
    if (orientation < 2 || orientation > 8)
        return;
    bool exchanged = orientation >= 5;
    bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    int width = exchanged ? image->height : image->width;
    int height = exchanged ? image->width : image->height;
    size_t size = (size_t)image->channels;
    uint8_t *pixels = arena_new_array(arena, uint8_t, (size_t)width * (size_t)height * size);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            int column = exchanged ? y : x, row = exchanged ? x : y;
            column = flip_x ? image->width - 1 - column : column;
            row = flip_y ? image->height - 1 - row : row;
            memcpy(pixels + ((size_t)y * (size_t)width + (size_t)x) * size,
                   image->pixels + ((size_t)row * (size_t)image->width + (size_t)column) * size,
                   size);
        }
    }
    *image = (Image){width, height, image->channels, pixels};
}

/* An unsigned number of `size` bytes. */
static uint32_t exif_number(const uint8_t *bytes, int size, bool big) {
    uint32_t value = 0;
    for (int i = 0; i < size; i++)
        value = value << 8 | bytes[big ? i : size - 1 - i];
    return value;
}

int image_exif_orientation(const uint8_t *tiff, size_t length) {
    enum { HEADER = 8, ENTRY = 12, TAG_ORIENTATION = 0x112, TYPE_SHORT = 3 };
    if (length < HEADER || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0))
        return 1;
    bool big = tiff[0] == 'M';
    size_t directory = exif_number(tiff + 4, 4, big);
    if (directory > length - 2)
        return 1;
    size_t count = exif_number(tiff + directory, 2, big);
    const uint8_t *entry = tiff + directory + 2;
    for (size_t left = (length - directory - 2) / ENTRY; count > 0 && left > 0; count--, left--) {
        if (exif_number(entry, 2, big) == TAG_ORIENTATION &&
            exif_number(entry + 2, 2, big) == TYPE_SHORT)
            return (int)exif_number(entry + 8, 2, big);
        entry += ENTRY;
    }
    return 1;
}

static Status refuse_kind(Arena *arena, const char *bytes, size_t length) {
    if (length == 0)
        return status_failure(arena, "the file is empty");
    size_t kind = find_kind(bytes, length);
    if (kind < KIND_COUNT)
        return status_failure(arena, "a %s picture; only JPEG and PNG are read", kinds[kind].name);
    return status_failure(arena, "neither JPEG nor PNG");
}

Status image_decode(Arena *arena, const void *bytes, size_t length, int channels,
                    const ImageLimits *limits, Image *image) {
    static Status (*const decoders[IMAGE_FORMAT_COUNT])(ImageInput *) = {
        [IMAGE_FORMAT_JPEG] = image_jpeg_decode, [IMAGE_FORMAT_PNG] = image_png_decode};
    invariant(channels == 1 || channels == 3 || channels == 4, "%d channels wanted", channels);
    ImageFormat format = image_format(bytes, length);
    if (!decoders[format])
        return refuse_kind(arena, bytes, length);
    ImageInput input = {.arena = arena,
                        .bytes = bytes,
                        .length = length,
                        .channels = channels,
                        .limits = *limits,
                        .orientation = 1};
    status_return_if_failed(decoders[format](&input));
    *image = input.image;
    convert_channels(arena, image, channels);
    turn_upright(arena, image, input.orientation);
    return STATUS_FINE;
}
