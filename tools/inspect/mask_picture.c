#include "tools/inspect/mask_picture.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/fatal.h"
#include "runtime/data/picture.h"
#include "runtime/data/resize.h"
#include "runtime/file.h"

enum { LEAST_SIDE = 128, MOST_SIDE = 512 };

static const size_t most_file_bytes = (size_t)1 << 28;
static const int64_t most_pixels = (int64_t)1 << 27;

const uint8_t mask_picture_visible[3] = {59, 111, 212};
const uint8_t mask_picture_hidden[3] = {226, 229, 234};
const uint8_t mask_picture_filled[3] = {242, 142, 43};

/* What a tile shows: `active` and `mask` are grids of map, or the pixels of `picture` where
 * `active` (NULL: everywhere). */
typedef struct Tile {
    const ActivityMap *map;
    const bool *active;
    const Image *picture;
} Tile;

/* The whole factor that makes the longer side long enough; else what makes it short enough. */
static void choose_size(const Image *picture, int *width, int *height) {
    int longer = picture->width > picture->height ? picture->width : picture->height;
    int factor = (LEAST_SIDE + longer - 1) / longer;
    *width = picture->width * factor;
    *height = picture->height * factor;
    if (longer > MOST_SIDE) {
        double scale = (double)MOST_SIDE / longer;
        *width = (int)fmax(1, round(picture->width * scale));
        *height = (int)fmax(1, round(picture->height * scale));
    }
}

static const uint8_t *color_at(const Tile *tile, int64_t y, int64_t x) {
    int64_t place = y * tile->map->extent[1] + x;
    bool active = !tile->active || tile->active[place];
    if (tile->picture && active)
        return tile->picture->pixels + place * 3;
    if (!active)
        return mask_picture_hidden;
    return tile->map->ours[place] ? mask_picture_visible : mask_picture_filled;
}

static void put_tile(Arena *arena, Image *canvas, int row, size_t column, int width, int height,
                     Tile tile) {
    uint8_t *pixels = arena_new_array(arena, uint8_t, (size_t)width * (size_t)height * 3);
    for (int64_t y = 0; y < height; y++) {
        for (int64_t x = 0; x < width; x++)
            memcpy(
                pixels + (y * width + x) * 3,
                color_at(&tile, y * tile.map->extent[0] / height, x * tile.map->extent[1] / width),
                3);
    }
    picture_put(canvas, row, (int)column, width, height, pixels);
}

Status mask_picture_draw(Arena *arena, const ActivityMap *maps, size_t count, const Image *picture,
                         Image *canvas) {
    int width, height;
    invariant(count < INT32_MAX && maps[0].space == 2 && picture->channels == 3 &&
                  picture->width == maps[0].extent[1] && picture->height == maps[0].extent[0],
              "%d x %d pixels of %d channels for a mask", picture->width, picture->height,
              picture->channels);
    choose_size(picture, &width, &height);
    status_return_if_failed(picture_canvas(arena, 2, (int)count + 1, width, height, 3, canvas));
    put_tile(arena, canvas, 0, 0, width, height, (Tile){maps, NULL, picture});
    put_tile(arena, canvas, 1, 0, width, height, (Tile){maps, maps->ours, picture});
    for (size_t i = 0; i < count; i++) {
        put_tile(arena, canvas, 0, i + 1, width, height, (Tile){&maps[i], maps[i].dense, NULL});
        put_tile(arena, canvas, 1, i + 1, width, height, (Tile){&maps[i], maps[i].ours, NULL});
    }
    return STATUS_FINE;
}

typedef struct Color {
    double red, green, blue;
} Color;

static Color blend(Color a, Color b, double share) {
    share = fmin(share, 1);
    return (Color){a.red + (b.red - a.red) * share, a.green + (b.green - a.green) * share,
                   a.blue + (b.blue - a.blue) * share};
}

/* Sky, sun and two rows of hills, for 0 <= u, v <= 1 from the left and from the top. */
static Color landscape(double u, double v) {
    double far_hill = 0.55 + 0.08 * sin(9 * u), near_hill = 0.74 + 0.10 * sin(5 * u + 2);
    if (v > near_hill)
        return blend((Color){56, 128, 62}, (Color){20, 60, 38}, (v - near_hill) / 0.4);
    if (v > far_hill)
        return blend((Color){96, 120, 168}, (Color){70, 90, 130}, (v - far_hill) / 0.3);
    if (hypot(u - 0.7, v - 0.28) < 0.12)
        return (Color){255, 214, 92};
    return blend((Color){90, 164, 226}, (Color){250, 214, 178}, v / 0.6);
}

static Image draw_landscape(Arena *arena, int width, int height) {
    size_t count = (size_t)width * (size_t)height;
    Image image = {width, height, 3, arena_new_array(arena, uint8_t, count * 3)};
    for (size_t i = 0; i < count; i++) {
        size_t x = i % (size_t)width, y = i / (size_t)width;
        Color color = landscape(((double)x + 0.5) / width, ((double)y + 0.5) / height);
        image.pixels[i * 3] = (uint8_t)color.red;
        image.pixels[i * 3 + 1] = (uint8_t)color.green;
        image.pixels[i * 3 + 2] = (uint8_t)color.blue;
    }
    return image;
}

/* The largest centred box of ratio width : height. */
static ResizeBox centred_box(const Image *image, int width, int height) {
    int64_t across = (int64_t)image->height * width / height;
    int64_t down = (int64_t)image->width * height / width;
    int box_width = across < image->width ? (int)across : image->width;
    int box_height = down < image->height ? (int)down : image->height;
    box_width = box_width > 0 ? box_width : 1;
    box_height = box_height > 0 ? box_height : 1;
    return (ResizeBox){(image->width - box_width) / 2, (image->height - box_height) / 2, box_width,
                       box_height};
}

Status mask_picture_read(Arena *arena, const char *path, int64_t width, int64_t height,
                         Image *picture) {
    char *bytes;
    size_t length;
    Image image;
    if (width > most_pixels / height)
        return status_failure(arena,
                              "an image of %" PRId64 " x %" PRId64
                              " pixels is too large to be drawn: give a smaller --input",
                              height, width);
    if (!path) {
        *picture = draw_landscape(arena, (int)width, (int)height);
        return STATUS_FINE;
    }
    status_return_if_failed(file_read(arena, path, most_file_bytes, &bytes, &length));
    Status status = image_decode(arena, bytes, length, 3, &image_default_limits, &image);
    if (!status_fine(status))
        return status_failure(arena, "%s: %s", path, status.message);
    *picture = resize_bicubic(arena, &image, centred_box(&image, (int)width, (int)height),
                              (int)width, (int)height);
    return STATUS_FINE;
}
