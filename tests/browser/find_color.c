/* Where a picture has colours:  find_color PNG ROWS OFF RRGGBB...
 *
 * In the first ROWS rows of the picture, for each colour and each column that has pixels within OFF
 * of it in every channel, a line "RRGGBB column first-row last-row pixels". Before them a line
 * "size width height", and "corner RRGGBB" of the pixel at 3, 3. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fatal.h"
#include "runtime/data/image.h"
#include "runtime/file.h"

static bool is_near(const uint8_t *pixel, long color, long off) {
    for (int channel = 0; channel < 3; channel++) {
        long wanted = color >> (16 - 8 * channel) & 255;
        if (labs(pixel[channel] - wanted) > off)
            return false;
    }
    return true;
}

static void find(const Image *image, int rows, const char *name, long off) {
    long color = strtol(name, NULL, 16);
    for (int x = 0; x < image->width; x++) {
        int first = -1, last = -1, count = 0;
        for (int y = 0; y < rows && y < image->height; y++) {
            if (!is_near(image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3, color,
                         off))
                continue;
            first = first < 0 ? y : first;
            last = y;
            count++;
        }
        if (count > 0)
            printf("%s %d %d %d %d\n", name, x, first, last, count);
    }
}

int main(int argc, char **argv) {
    Arena *arena = arena_create();
    char *bytes;
    size_t length;
    Image image;
    if (argc < 5) {
        fputs("find_color PNG ROWS OFF RRGGBB...\n", stderr);
        return 2;
    }
    Status status = file_read(arena, argv[1], (size_t)1 << 26, &bytes, &length);
    if (status_fine(status))
        status = image_decode(arena, bytes, length, 3, &image_default_limits, &image);
    invariant(status_fine(status), "%s", status.message);
    const uint8_t *corner = image.pixels + (3 * (size_t)image.width + 3) * 3;
    printf("size %d %d\ncorner %02X%02X%02X\n", image.width, image.height, corner[0], corner[1],
           corner[2]);
    for (int i = 4; i < argc; i++)
        find(&image, atoi(argv[2]), argv[i], atol(argv[3]));
    arena_destroy(arena);
    return 0;
}
