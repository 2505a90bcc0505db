#include "runtime/data/augment.h"

#include <math.h>

#include "base/random.h"

const AugmentOptions augment_pretraining_options = {
    .least_area = 0.67, .most_area = 1, .least_ratio = 3.0 / 4, .most_ratio = 4.0 / 3, .flip = 0.5};

/* The key's second word, apart from the streams that layers draw from, which are small; a block
 * for each try, then one for the flip. */
enum { STREAM = 0x70696373, TRIES = 10, FLIP = TRIES };

static RandomBlock draw(uint32_t seed, uint32_t epoch, uint64_t index, uint32_t number) {
    RandomBlock counter = {{(uint32_t)index, (uint32_t)(index >> 32), epoch, number}};
    return random_block(counter, seed, STREAM);
}

/* In [least, most). */
static double uniform(uint32_t word, double least, double most) {
    return least + (most - least) * (word * 0x1p-32);
}

/* In 0..limit - 1. */
static int below(uint32_t word, int limit) {
    return (int)((uint64_t)word * (uint64_t)limit >> 32);
}

/* Rounded to even on ties; at least 0, and at most `most` + 1, which fits no more. */
static int to_side(double length, int most) {
    return length > most ? most + (rint(length) > most) : (int)rint(length);
}

static bool try_crop(const AugmentOptions *options, RandomBlock block, int width, int height,
                     ResizeBox *box) {
    double area = uniform(block.word[0], options->least_area, options->most_area);
    area *= (double)width * height;
    double ratio = exp(uniform(block.word[1], log(options->least_ratio), log(options->most_ratio)));
    int w = to_side(sqrt(area * ratio), width), h = to_side(sqrt(area / ratio), height);
    if (w < 1 || h < 1 || w > width || h > height)
        return false;
    *box = (ResizeBox){below(block.word[2], width - w + 1), below(block.word[3], height - h + 1), w,
                       h};
    return true;
}

static ResizeBox center_crop(const AugmentOptions *options, int width, int height) {
    double ratio = (double)width / height;
    int w = width, h = height;
    if (ratio < options->least_ratio)
        h = to_side(width / options->least_ratio, height);
    else if (ratio > options->most_ratio)
        w = to_side(height * options->most_ratio, width);
    w = w < 1 ? 1 : w > width ? width : w;
    h = h < 1 ? 1 : h > height ? height : h;
    return (ResizeBox){(width - w) / 2, (height - h) / 2, w, h};
}

AugmentChoice augment_choose(const AugmentOptions *options, uint32_t seed, uint32_t epoch,
                             uint64_t index, int width, int height) {
    AugmentChoice choice;
    uint32_t number = 0;
    while (number < TRIES &&
           !try_crop(options, draw(seed, epoch, index, number), width, height, &choice.box))
        number++;
    if (number == TRIES)
        choice.box = center_crop(options, width, height);
    choice.flip = uniform(draw(seed, epoch, index, FLIP).word[0], 0, 1) < options->flip;
    return choice;
}

AugmentScale augment_scale(int channels, const double *mean, const double *deviation) {
    AugmentScale scale = {0};
    for (int channel = 0; channel < channels; channel++) {
        for (int byte = 0; byte < 256; byte++)
            scale.values[channel][byte] =
                ((float)byte / 255.0f - (float)mean[channel]) / (float)deviation[channel];
    }
    return scale;
}

void augment_apply(Arena *arena, const Image *image, AugmentChoice choice,
                   const AugmentScale *scale, int height, int width, float *output) {
    Image resized = resize_bicubic(arena, image, choice.box, width, height);
    int channels = image->channels;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            int column = choice.flip ? width - 1 - x : x;
            size_t from = ((size_t)y * (size_t)width + (size_t)column) * (size_t)channels;
            for (int channel = 0; channel < channels; channel++)
                *output++ = scale->values[channel][resized.pixels[from + (size_t)channel]];
        }
    }
}
