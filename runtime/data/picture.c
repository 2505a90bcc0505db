#include "runtime/data/picture.h"

#include <inttypes.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/file.h"

static const int64_t most_pixels = (int64_t)1 << 27;

static int color_type(int channels) {
    switch (channels) {
    case 1:
        return PNG_COLOR_TYPE_GRAY;
    case 3:
        return PNG_COLOR_TYPE_RGB;
    case 4:
        return PNG_COLOR_TYPE_RGB_ALPHA;
    default:
        return -1;
    }
}

static Status check_channels(Arena *arena, int channels) {
    if (color_type(channels) >= 0)
        return STATUS_FINE;
    return status_failure(arena,
                          "a picture has 1 (grey), 3 (RGB) or 4 (RGB and alpha) channels, "
                          "not %d: it cannot be drawn",
                          channels);
}

Status picture_canvas(Arena *arena, int rows, int columns, int width, int height, int channels,
                      Image *canvas) {
    invariant(rows > 0 && columns > 0 && width > 0 && height > 0, "%d x %d tiles of %d x %d", rows,
              columns, width, height);
    status_return_if_failed(check_channels(arena, channels));
    int64_t across = columns * ((int64_t)width + PICTURE_GAP) - PICTURE_GAP;
    int64_t down = rows * ((int64_t)height + PICTURE_GAP) - PICTURE_GAP;
    if (across > most_pixels / down)
        return status_failure(arena,
                              "a picture of %" PRId64 " x %" PRId64 " pixels is too large: at most "
                              "%" PRId64 " pixels; ask for fewer or smaller tiles",
                              across, down, most_pixels);
    size_t bytes = (size_t)across * (size_t)down * (size_t)channels;
    *canvas = (Image){(int)across, (int)down, channels, arena_new_array(arena, uint8_t, bytes)};
    memset(canvas->pixels, 255, bytes);
    return STATUS_FINE;
}

void picture_put(Image *canvas, int row, int column, int width, int height, const uint8_t *tile) {
    int64_t left = column * ((int64_t)width + PICTURE_GAP);
    int64_t top = row * ((int64_t)height + PICTURE_GAP);
    invariant(row >= 0 && column >= 0 && left + width <= canvas->width &&
                  top + height <= canvas->height,
              "tile %d, %d of %d x %d is outside a canvas of %d x %d", row, column, width, height,
              canvas->width, canvas->height);
    size_t channels = (size_t)canvas->channels, line = (size_t)width * channels;
    for (size_t y = 0; y < (size_t)height; y++) {
        size_t start = ((size_t)top + y) * (size_t)canvas->width + (size_t)left;
        memcpy(canvas->pixels + start * channels, tile + y * line, line);
    }
}

static uint8_t to_byte(double value) {
    if (!(value > 0)) /* NaN too */
        return 0;
    return value >= 1 ? 255 : (uint8_t)lround(255 * value);
}

void picture_bytes(const float *values, size_t pixels, int channels, const double *mean,
                   const double *deviation, uint8_t *bytes) {
    for (size_t i = 0; i < pixels; i++) {
        for (int c = 0; c < channels; c++, values++, bytes++)
            *bytes = to_byte((double)*values * deviation[c] + mean[c]);
    }
}

typedef struct PngWriter {
    png_structp library;
    png_infop info;
    jmp_buf jump;
    Arena *arena;
    const Image *image;
    Text bytes;
    Status status;
} PngWriter;

static _Noreturn void handle_error(png_structp library, png_const_charp words) {
    PngWriter *writer = png_get_error_ptr(library);
    writer->status = status_failure(writer->arena, "the PNG cannot be made: %s", words);
    longjmp(writer->jump, 1);
}

static void handle_warning(png_structp library, png_const_charp words) {
    (void)library;
    (void)words;
}

static void append_bytes(png_structp library, png_bytep data, size_t length) {
    PngWriter *writer = png_get_io_ptr(library);
    text_append_bytes(&writer->bytes, (const char *)data, length);
}

static void flush_nothing(png_structp library) {
    (void)library;
}

static void write_picture(PngWriter *writer) {
    const Image *image = writer->image;
    size_t stride = (size_t)image->width * (size_t)image->channels;
    writer->library =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, writer, handle_error, handle_warning);
    if (writer->library)
        writer->info = png_create_info_struct(writer->library);
    if (!writer->info) {
        writer->status = status_failure(writer->arena, "libpng cannot be started");
        return;
    }
    png_set_write_fn(writer->library, writer, append_bytes, flush_nothing);
    png_set_user_limits(writer->library, INT32_MAX, INT32_MAX);
    png_set_IHDR(writer->library, writer->info, (png_uint_32)image->width,
                 (png_uint_32)image->height, 8, color_type(image->channels), PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(writer->library, writer->info);
    for (size_t y = 0; y < (size_t)image->height; y++)
        png_write_row(writer->library, image->pixels + y * stride);
    png_write_end(writer->library, NULL);
}

/* The only place that the library's failures return to; it holds no locals that could be lost. */
static void run_guarded(PngWriter *writer) {
    if (setjmp(writer->jump) == 0)
        write_picture(writer);
}

Status picture_encode(Arena *arena, const Image *image, const uint8_t **png, size_t *length) {
    status_return_if_failed(check_channels(arena, image->channels));
    PngWriter writer = {.arena = arena, .image = image, .bytes = text_create(arena)};
    run_guarded(&writer);
    png_destroy_write_struct(&writer.library, &writer.info);
    status_return_if_failed(writer.status);
    *png = (const uint8_t *)writer.bytes.data;
    *length = writer.bytes.length;
    return STATUS_FINE;
}

Status picture_write(Arena *arena, const Image *image, const char *path) {
    FilePiece piece;
    const uint8_t *png;
    status_return_if_failed(picture_encode(arena, image, &png, &piece.length));
    piece.bytes = png;
    return file_replace(arena, path, &piece, 1);
}
