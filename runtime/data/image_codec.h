/* Between image.c and the decoders of the formats. Nothing else includes it. */
#ifndef SPARKC_RUNTIME_DATA_IMAGE_CODEC_H
#define SPARKC_RUNTIME_DATA_IMAGE_CODEC_H

#include "runtime/data/image.h"

/* What a decoder gets, and what it gives. */
typedef struct ImageInput {
    Arena *arena;
    const uint8_t *bytes;
    size_t length;
    int channels; /* that will be wanted: decides whether alpha is kept */
    ImageLimits limits;

    Image image;     /* as stored: 1 (grey), 3 (RGB) or, if 4 are wanted, 4 channels */
    int orientation; /* EXIF's, 1 if there is none */
} ImageInput;

Status image_jpeg_decode(ImageInput *input);
Status image_png_decode(ImageInput *input);

/* Whether a picture of that size may be decoded; for decoders, before they allocate. */
Status image_check_size(Arena *arena, uint64_t width, uint64_t height, const ImageLimits *limits);

/* A failure once the limits say that decoding is to stop; for decoders, as they go along. */
Status image_check_stop(Arena *arena, const ImageLimits *limits);

/* The value of the tag Orientation in a TIFF header with its first directory; 1 if it is not there
 * or the header is malformed. */
int image_exif_orientation(const uint8_t *tiff, size_t length);

#endif
