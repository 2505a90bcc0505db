#include "runtime/data/mixing.h"

#include <math.h>
#include <stdbool.h>

#include "base/random.h"

/* The key's second word, apart from the streams that layers draw from, which are small; block 0 of
 * a step decides, those behind it are tries for the share. */
enum { STREAM = 0x6d697865 };

static RandomBlock draw(uint32_t seed, uint32_t step, uint32_t number) {
    return random_block((RandomBlock){{number, 0, step, 0}}, seed, STREAM);
}

/* In (0, 1). */
static double open_unit(uint32_t word) {
    return (word + 0.5) * 0x1p-32;
}

/* Beta(alpha, alpha) by Jöhnk's method ("Erzeugung von betaverteilten und gammaverteilten
 * Zufallszahlen", 1964): up to MIXING_MOST_ALPHA one of 70 tries or more is taken. Of x and y,
 * whose powers of small alphas are too small to be told from 0, the logarithms are divided. */
static double beta(double alpha, uint32_t seed, uint32_t step) {
    for (uint32_t number = 1;; number++) {
        RandomBlock block = draw(seed, step, number);
        double x = open_unit(block.word[0]), y = open_unit(block.word[1]);
        if (pow(x, 1 / alpha) + pow(y, 1 / alpha) <= 1)
            return 1 / (1 + exp((log(y) - log(x)) / alpha));
    }
}

static int clip(int value, int most) {
    return value < 0 ? 0 : value > most ? most : value;
}

/* A box of about 1 - share of the picture around a point of it, cut off at the borders; the share
 * becomes what the box leaves. */
static MixingChoice cut(double share, MixingShape shape, RandomBlock block) {
    double side = sqrt(1 - share);
    int height = (int)(shape.height * side), width = (int)(shape.width * side);
    int y = (int)((uint64_t)block.word[1] * (uint64_t)shape.height >> 32);
    int x = (int)((uint64_t)block.word[2] * (uint64_t)shape.width >> 32);
    int top = clip(y - height / 2, shape.height), bottom = clip(y + height / 2, shape.height);
    int left = clip(x - width / 2, shape.width), right = clip(x + width / 2, shape.width);
    ResizeBox box = {left, top, right - left, bottom - top};
    double area = (double)box.width * box.height;
    if (area == 0)
        return (MixingChoice){.share = 1};
    return (MixingChoice){1 - area / ((double)shape.height * shape.width), box};
}

MixingChoice mixing_choose(const MixingOptions *options, MixingShape shape, uint32_t seed,
                           uint32_t step) {
    RandomBlock block = draw(seed, step, 0);
    bool both = options->mixup > 0 && options->cutmix > 0;
    bool cuts = both ? block.word[0] >> 31 : options->cutmix > 0;
    double alpha = cuts ? options->cutmix : options->mixup;
    if (!(alpha > 0))
        return (MixingChoice){.share = 1};
    double share = beta(alpha, seed, step);
    return cuts ? cut(share, shape, block) : (MixingChoice){.share = share};
}

/* Each becomes share x itself + (1 - share) x the other. */
static void blend(double share, size_t count, float *a, float *b) {
    float own = (float)share, other = (float)(1 - share);
    for (size_t i = 0; i < count; i++) {
        float x = a[i], y = b[i];
        a[i] = x * own + y * other;
        b[i] = y * own + x * other;
    }
}

static void swap(size_t count, float *a, float *b) {
    for (size_t i = 0; i < count; i++) {
        float x = a[i];
        a[i] = b[i];
        b[i] = x;
    }
}

static void swap_box(ResizeBox box, MixingShape shape, float *a, float *b) {
    size_t channels = (size_t)shape.channels, row = (size_t)shape.width * channels;
    for (int y = box.y; y < box.y + box.height; y++) {
        size_t at = (size_t)y * row + (size_t)box.x * channels;
        swap((size_t)box.width * channels, a + at, b + at);
    }
}

void mixing_pictures(MixingChoice choice, MixingShape shape, float *pictures) {
    size_t size = (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels;
    if (choice.share == 1)
        return;
    for (int i = 0; i < shape.batch / 2; i++) {
        float *a = pictures + (size_t)i * size;
        float *b = pictures + (size_t)(shape.batch - 1 - i) * size;
        if (choice.box.width > 0)
            swap_box(choice.box, shape, a, b);
        else
            blend(choice.share, size, a, b);
    }
}

void mixing_targets(MixingChoice choice, double smoothing, int batch, const uint32_t *classes,
                    size_t class_count, float *targets) {
    double spread = smoothing / (double)class_count, own = 1 - smoothing;
    for (int i = 0; i < batch; i++) {
        float *row = targets + (size_t)i * class_count;
        uint32_t first = classes[i], second = classes[batch - 1 - i];
        for (size_t k = 0; k < class_count; k++)
            row[k] = (float)(spread + own * (choice.share * (k == first) +
                                             (1 - choice.share) * (k == second)));
    }
}
