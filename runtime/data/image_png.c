#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "runtime/data/image_codec.h"

enum {
    /* Deflate makes at most this many bytes of one (zlib's technical details). */
    BYTES_PER_BYTE = 1032
};

typedef struct Png {
    png_structp library;
    png_infop info;
    jmp_buf jump;
    ImageInput *input;
    size_t position;
    png_bytep *rows;
    Status status;
} Png;

static _Noreturn void fail(Png *png, Status status) {
    png->status = status;
    longjmp(png->jump, 1);
}

static _Noreturn void handle_error(png_structp library, png_const_charp words) {
    Png *png = png_get_error_ptr(library);
    fail(png, status_failure(png->input->arena, "the PNG cannot be decoded: %s", words));
}

/* What the library goes on after leaves the pixels as they are. */
static void handle_warning(png_structp library, png_const_charp words) {
    (void)library;
    (void)words;
}

static void read_bytes(png_structp library, png_bytep data, size_t length) {
    Png *png = png_get_io_ptr(library);
    Status status = image_check_stop(png->input->arena, &png->input->limits);
    if (!status_fine(status))
        fail(png, status);
    if (length > png->input->length - png->position)
        fail(png, status_failure(png->input->arena, "the PNG is cut short"));
    memcpy(data, png->input->bytes + png->position, length);
    png->position += length;
}

/* Chunks that say nothing about pixels are not even read into memory. */
static void ignore_chunks(Png *png) {
    static const char names[] = "cHRM\0gAMA\0iCCP\0sRGB\0sBIT\0bKGD\0hIST\0pHYs\0sPLT\0tIME\0iTXt\0"
                                "tEXt\0zTXt\0oFFs\0pCAL\0sCAL\0";
    png_set_keep_unknown_chunks(png->library, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep)names,
                                (int)(sizeof names / 5));
    png_set_keep_unknown_chunks(png->library, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_chunk_malloc_max(png->library, png->input->limits.chunk_bytes);
}

static void check_header(Png *png) {
    const ImageInput *input = png->input;
    uint64_t width = png_get_image_width(png->library, png->info);
    uint64_t height = png_get_image_height(png->library, png->info);
    Status status = image_check_size(input->arena, width, height, &input->limits);
    if (!status_fine(status))
        fail(png, status);
    if (png_get_rowbytes(png->library, png->info) * height / BYTES_PER_BYTE > input->length)
        fail(png, status_failure(input->arena,
                                 "the header says %llu x %llu pixels; the file is too short",
                                 (unsigned long long)width, (unsigned long long)height));
}

/* Has the library hand out 8 bits of grey, RGB, or RGB and alpha. */
static void choose_colors(Png *png) {
    bool color = png_get_color_type(png->library, png->info) & PNG_COLOR_MASK_COLOR;
    png_set_expand(png->library);
    png_set_strip_16(png->library);
    if (!color && png->input->channels == 4)
        png_set_gray_to_rgb(png->library);
    if (png->input->channels == 4)
        png_set_add_alpha(png->library, 0xff, PNG_FILLER_AFTER);
    else
        png_set_strip_alpha(png->library);
    png_set_interlace_handling(png->library);
    png_read_update_info(png->library, png->info);
}

static void check_palette(Png *png) {
    png_colorp palette;
    int count;
    if (png_get_PLTE(png->library, png->info, &palette, &count) &&
        png_get_palette_max(png->library, png->info) >= count)
        fail(png, status_failure(png->input->arena,
                                 "the PNG has pixels beyond its palette of %d colours", count));
}

static void read_rows(Png *png) {
    size_t width = png_get_image_width(png->library, png->info);
    size_t height = png_get_image_height(png->library, png->info);
    int channels = png_get_channels(png->library, png->info);
    size_t stride = width * (size_t)channels;
    if (png_get_rowbytes(png->library, png->info) != stride)
        png_error(png->library, "rows of an unexpected length");
    uint8_t *pixels = arena_new_array(png->input->arena, uint8_t, stride * height);
    png->rows = arena_new_array(png->input->arena, png_bytep, height);
    for (size_t y = 0; y < height; y++)
        png->rows[y] = pixels + y * stride;
    png_read_image(png->library, png->rows);
    png->input->image = (Image){(int)width, (int)height, channels, pixels};
}

static void read_orientation(Png *png) {
    png_uint_32 length;
    png_bytep tiff;
    if (png_get_eXIf_1(png->library, png->info, &length, &tiff))
        png->input->orientation = image_exif_orientation(tiff, length);
}

static void read_picture(Png *png) {
    png->library = png_create_read_struct(PNG_LIBPNG_VER_STRING, png, handle_error, handle_warning);
    if (png->library)
        png->info = png_create_info_struct(png->library);
    if (!png->info)
        fail(png, status_failure(png->input->arena, "libpng cannot be started"));
    png_set_read_fn(png->library, png, read_bytes);
    png_set_user_limits(png->library, INT32_MAX, INT32_MAX);
    ignore_chunks(png);
    png_read_info(png->library, png->info);
    check_header(png);
    choose_colors(png);
    read_rows(png);
    png_read_end(png->library, png->info);
    check_palette(png);
    read_orientation(png);
}

/* The only place that the library's failures return to; it holds no locals that could be lost. */
static void run_guarded(Png *png) {
    if (setjmp(png->jump) == 0)
        read_picture(png);
}

Status image_png_decode(ImageInput *input) {
    Png png = {.input = input};
    run_guarded(&png);
    png_destroy_read_struct(&png.library, &png.info, NULL);
    return png.status;
}
