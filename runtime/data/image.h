/* Pictures from bytes: JPEG and PNG, told apart by their content. Bytes are not trusted: sizes and
 * costs are bounded before anything is allocated, and a picture whose pixels cannot be vouched for
 * (cut short, damaged) is refused, never handed out in part. */
#ifndef SPARKC_RUNTIME_DATA_IMAGE_H
#define SPARKC_RUNTIME_DATA_IMAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Height x width x channels, 8 bits each, row-major without gaps. */
typedef struct Image {
    int width, height, channels;
    uint8_t *pixels;
} Image;

typedef enum ImageFormat {
    IMAGE_FORMAT_UNKNOWN,
    IMAGE_FORMAT_JPEG,
    IMAGE_FORMAT_PNG,
    IMAGE_FORMAT_COUNT
} ImageFormat;

/* What a picture may cost. */
typedef struct ImageLimits {
    uint64_t pixels;      /* width x height */
    uint64_t scan_pixels; /* scans of a JPEG x pixels: the work that scans cost */
    int scans;            /* of a JPEG */
    size_t chunk_bytes;   /* memory for a PNG chunk other than pixels */

    const atomic_bool *stop; /* decoding fails soon after it becomes true; NULL: it goes on */
} ImageLimits;

extern const ImageLimits image_default_limits;

/* Bytes that image_format needs. */
enum { IMAGE_FORMAT_BYTES = 8 };

/* The format that bytes begin like. */
ImageFormat image_format(const void *bytes, size_t length);

/* "JPEG", "PNG"; "unknown". */
const char *image_format_name(ImageFormat format);

/* Decodes a picture to 1 (grey), 3 (RGB) or 4 (RGB and alpha) channels, upright as EXIF says.
 *
 * Grey is spread over RGB; colour becomes grey by (19595 R + 38470 G + 7471 B + 2^15) >> 16 (ITU-R
 * 601-2). Of 16 bits the high byte is taken; palettes are looked up; CMYK becomes (1 - C)(1 - K)
 * and so on, stored inverted if the Adobe marker is there. With 1 and 3 channels alpha is dropped:
 * the colours under it are handed out; with 4 channels pictures without alpha get 255. Colour
 * profiles and gamma are ignored.
 *
 * A failure is a sentence without the picture's name. */
Status image_decode(Arena *arena, const void *bytes, size_t length, int channels,
                    const ImageLimits *limits, Image *image);

#endif
