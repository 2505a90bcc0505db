#include "runtime/data/resize.h"

#include <math.h>

#include "base/fatal.h"

/* Two bits above the 8 of the result and the sign are left for sums beyond 0..255. */
enum { FRACTION_BITS = 32 - 8 - 2 };

/* How each place of a result line is made: weights of `count` neighbours from `first` on. */
typedef struct Filter {
    int taps;         /* room for weights of each place */
    int *first;       /* by place */
    int *count;       /* by place */
    int32_t *weights; /* [place][tap], fixed point */
} Filter;

/* Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -0.5. */
static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

static int32_t to_fixed(double weight) {
    double scaled = weight * (1 << FRACTION_BITS);
    return (int32_t)(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

/* Weights of the place whose centre is `center` in a line of `length`; `weights` holds taps. */
static void fill_place(Filter *filter, int place, double center, double stretch, int length,
                       double *weights) {
    double support = 2 * stretch, sum = 0;
    int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > length ? length : end;
    for (int i = first; i < end; i++) {
        weights[i - first] = cubic((i - center + 0.5) * (1 / stretch));
        sum += weights[i - first];
    }
    for (int i = 0; i < end - first; i++)
        filter->weights[(size_t)place * (size_t)filter->taps + (size_t)i] =
            to_fixed(sum != 0 ? weights[i] / sum : weights[i]);
    filter->first[place] = first;
    filter->count[place] = end - first;
}

/* From lines of `length` to lines of `places`. */
static Filter make_filter(Arena *arena, int length, int places) {
    double scale = (double)length / places, stretch = scale < 1 ? 1 : scale;
    size_t count = (size_t)places;
    Filter filter = {.taps = (int)ceil(2 * stretch) * 2 + 1};
    filter.first = arena_new_array(arena, int, count);
    filter.count = arena_new_array(arena, int, count);
    filter.weights = arena_new_array(arena, int32_t, count * (size_t)filter.taps);
    double *weights = arena_new_array(arena, double, (size_t)filter.taps);
    for (int place = 0; place < places; place++)
        fill_place(&filter, place, (place + 0.5) * scale, stretch, length, weights);
    return filter;
}

static uint8_t to_byte(int32_t sum) {
    int32_t value = sum >> FRACTION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* One row; inlined for each number of channels. */
static inline void resize_row(const Filter *filter, const uint8_t *source, uint8_t *target,
                              int places, int channels) {
    for (int place = 0; place < places; place++) {
        const int32_t *weights = filter->weights + (size_t)place * (size_t)filter->taps;
        const uint8_t *from = source + (size_t)filter->first[place] * (size_t)channels;
        int32_t sums[4] = {1 << (FRACTION_BITS - 1), 1 << (FRACTION_BITS - 1),
                           1 << (FRACTION_BITS - 1), 1 << (FRACTION_BITS - 1)};
        for (int i = 0; i < filter->count[place]; i++) {
            for (int channel = 0; channel < channels; channel++)
                sums[channel] += from[i * channels + channel] * weights[i];
        }
        for (int channel = 0; channel < channels; channel++)
            target[place * channels + channel] = to_byte(sums[channel]);
    }
}

static void resize_rows(const Filter *filter, const uint8_t *source, size_t stride, Image *target) {
    size_t target_stride = (size_t)target->width * (size_t)target->channels;
    for (int y = 0; y < target->height; y++) {
        const uint8_t *from = source + (size_t)y * stride;
        uint8_t *to = target->pixels + (size_t)y * target_stride;
        if (target->channels == 3)
            resize_row(filter, from, to, target->width, 3);
        else if (target->channels == 1)
            resize_row(filter, from, to, target->width, 1);
        else
            resize_row(filter, from, to, target->width, target->channels);
    }
}

/* Columns; `sums` holds a row. */
static void resize_columns(const Filter *filter, const Image *source, Image *target,
                           int32_t *sums) {
    size_t stride = (size_t)source->width * (size_t)source->channels;
    for (int y = 0; y < target->height; y++) {
        const int32_t *weights = filter->weights + (size_t)y * (size_t)filter->taps;
        for (size_t x = 0; x < stride; x++)
            sums[x] = 1 << (FRACTION_BITS - 1);
        for (int i = 0; i < filter->count[y]; i++) {
            const uint8_t *from = source->pixels + (size_t)(filter->first[y] + i) * stride;
            for (size_t x = 0; x < stride; x++)
                sums[x] += from[x] * weights[i];
        }
        uint8_t *to = target->pixels + (size_t)y * stride;
        for (size_t x = 0; x < stride; x++)
            to[x] = to_byte(sums[x]);
    }
}

static Image make_image(Arena *arena, int width, int height, int channels) {
    size_t bytes = (size_t)width * (size_t)height * (size_t)channels;
    return (Image){width, height, channels, arena_new_array(arena, uint8_t, bytes)};
}

Image resize_bicubic(Arena *arena, const Image *image, ResizeBox box, int width, int height) {
    invariant(box.x >= 0 && box.y >= 0 && box.width > 0 && box.height > 0 &&
                  box.width <= image->width - box.x && box.height <= image->height - box.y,
              "a box of %d x %d at %d, %d in a picture of %d x %d", box.width, box.height, box.x,
              box.y, image->width, image->height);
    invariant(width > 0 && height > 0, "a result of %d x %d pixels", width, height);
    size_t channels = (size_t)image->channels, stride = (size_t)image->width * channels;
    const uint8_t *corner = image->pixels + (size_t)box.y * stride + (size_t)box.x * channels;
    Image rows = make_image(arena, width, box.height, image->channels);
    Filter horizontal = make_filter(arena, box.width, width);
    resize_rows(&horizontal, corner, stride, &rows);
    Image result = make_image(arena, width, height, image->channels);
    Filter vertical = make_filter(arena, box.height, height);
    int32_t *sums = arena_new_array(arena, int32_t, (size_t)width * channels);
    resize_columns(&vertical, &rows, &result, sums);
    return result;
}
