#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs it */
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "runtime/data/image_codec.h"

enum {
    /* A picture cannot have more pixels for each of its bytes: a block of 64 takes a bit, and
     * components may be subsampled up to 4 x 4, in different directions. Arithmetic coding has no
     * such bound. */
    PIXELS_PER_BYTE = 1024,
    /* Bytes before a marker that some encoders pad with. More are taken for damage. */
    MOST_STRAY_BYTES = 16
};

typedef struct Jpeg {
    struct jpeg_decompress_struct library; /* the first: the library's callbacks get it */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    ImageInput *input;
    bool reading_pixels;
    int most_scans;
    Status status;
} Jpeg;

/* Leaves the decoder; `status` is the reason. */
static _Noreturn void fail(Jpeg *jpeg, Status status) {
    jpeg->status = status;
    longjmp(jpeg->jump, 1);
}

static void handle_error(j_common_ptr library) {
    Jpeg *jpeg = (Jpeg *)library;
    char words[JMSG_LENGTH_MAX];
    library->err->format_message(library, words);
    fail(jpeg, status_failure(jpeg->input->arena, "the JPEG cannot be decoded: %s", words));
}

/* Warnings (level -1) that say nothing about the pixels. */
static bool is_harmless(const Jpeg *jpeg) {
    switch (jpeg->errors.msg_code) {
    case JWRN_EXTRANEOUS_DATA:
        return !jpeg->reading_pixels || jpeg->errors.msg_parm.i[0] <= MOST_STRAY_BYTES;
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
    case JWRN_JFIF_MAJOR:
        return true;
    default:
        return false;
    }
}

static void handle_message(j_common_ptr library, int level) {
    Jpeg *jpeg = (Jpeg *)library;
    char words[JMSG_LENGTH_MAX];
    if (level >= 0 || is_harmless(jpeg))
        return;
    if (jpeg->errors.msg_code == JWRN_JPEG_EOF)
        fail(jpeg, status_failure(jpeg->input->arena, "the JPEG is cut short"));
    library->err->format_message(library, words);
    fail(jpeg, status_failure(jpeg->input->arena, "the JPEG is damaged: %s", words));
}

static void check_progress(j_common_ptr library) {
    Jpeg *jpeg = (Jpeg *)library;
    Status status = image_check_stop(jpeg->input->arena, &jpeg->input->limits);
    if (!status_fine(status))
        fail(jpeg, status);
    if (jpeg->library.input_scan_number > jpeg->most_scans)
        fail(jpeg, status_failure(jpeg->input->arena,
                                  "the JPEG has more than %d scans, the most for its size",
                                  jpeg->most_scans));
}

static void check_header(Jpeg *jpeg) {
    const ImageInput *input = jpeg->input;
    uint64_t width = jpeg->library.image_width, height = jpeg->library.image_height;
    Status status = image_check_size(input->arena, width, height, &input->limits);
    if (!status_fine(status))
        fail(jpeg, status);
    if (!jpeg->library.arith_code && width * height / PIXELS_PER_BYTE > input->length)
        fail(jpeg, status_failure(input->arena,
                                  "the header says %llu x %llu pixels; the file is too short",
                                  (unsigned long long)width, (unsigned long long)height));
    uint64_t scans = input->limits.scan_pixels / (width * height);
    jpeg->most_scans = scans < (uint64_t)input->limits.scans ? (int)scans : input->limits.scans;
}

/* Looks for the orientation in the markers that were saved. */
static void read_orientation(Jpeg *jpeg) {
    static const char exif[] = "Exif\0";
    jpeg_saved_marker_ptr marker = jpeg->library.marker_list;
    for (; marker; marker = marker->next) {
        if (marker->data_length <= sizeof exif || memcmp(marker->data, exif, sizeof exif) != 0)
            continue;
        jpeg->input->orientation =
            image_exif_orientation(marker->data + sizeof exif, marker->data_length - sizeof exif);
        return;
    }
}

/* Decodes rows into `rows` channels each as the library gives them. */
static uint8_t *read_rows(Jpeg *jpeg) {
    struct jpeg_decompress_struct *library = &jpeg->library;
    size_t stride = (size_t)library->output_width * (size_t)library->output_components;
    uint8_t *pixels = arena_new_array(jpeg->input->arena, uint8_t, stride * library->output_height);
    while (library->output_scanline < library->output_height) {
        JSAMPROW row = pixels + library->output_scanline * stride;
        jpeg_read_scanlines(library, &row, 1);
    }
    return pixels;
}

/* a * b / 255, rounded, for a and b in 0..255. */
static uint8_t multiply(unsigned a, unsigned b) {
    return (uint8_t)((a * b + 127) / 255);
}

/* C, M, Y, K to R, G, B in place. Inverted, the bytes are what is left of the light. */
static void cmyk_to_rgb(uint8_t *pixels, size_t count, bool inverted) {
    uint8_t flip = inverted ? 0 : 255;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *ink = pixels + 4 * i;
        unsigned light = ink[3] ^ flip;
        uint8_t red = multiply(ink[0] ^ flip, light), green = multiply(ink[1] ^ flip, light);
        uint8_t blue = multiply(ink[2] ^ flip, light);
        memcpy(pixels + 3 * i, (const uint8_t[]){red, green, blue}, 3);
    }
}

static void choose_colors(Jpeg *jpeg) {
    struct jpeg_decompress_struct *library = &jpeg->library;
    switch (library->num_components) {
    case 1:
        library->out_color_space = JCS_GRAYSCALE;
        return;
    case 3:
        library->out_color_space = JCS_RGB;
        return;
    case 4:
        library->out_color_space = JCS_CMYK;
        return;
    default:
        fail(jpeg, status_failure(jpeg->input->arena, "not supported: a JPEG of %d components",
                                  library->num_components));
    }
}

static void read_picture(Jpeg *jpeg) {
    struct jpeg_decompress_struct *library = &jpeg->library;
    jpeg_create_decompress(library);
    library->progress = &jpeg->progress;
    jpeg_mem_src(library, jpeg->input->bytes, jpeg->input->length);
    jpeg_save_markers(library, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(library, TRUE);
    check_header(jpeg);
    read_orientation(jpeg);
    choose_colors(jpeg);
    jpeg->reading_pixels = true;
    jpeg_start_decompress(library);
    uint8_t *pixels = read_rows(jpeg);
    jpeg_finish_decompress(library);
    int channels = library->output_components;
    if (channels == 4)
        cmyk_to_rgb(pixels, (size_t)library->output_width * library->output_height,
                    library->saw_Adobe_marker);
    jpeg->input->image = (Image){(int)library->output_width, (int)library->output_height,
                                 channels == 4 ? 3 : channels, pixels};
}

/* The only place that the library's failures return to; it holds no locals that could be lost. */
static void run_guarded(Jpeg *jpeg) {
    if (setjmp(jpeg->jump) == 0)
        read_picture(jpeg);
}

Status image_jpeg_decode(ImageInput *input) {
    Jpeg jpeg = {.input = input, .progress.progress_monitor = check_progress};
    jpeg.library.err = jpeg_std_error(&jpeg.errors);
    jpeg.errors.error_exit = handle_error;
    jpeg.errors.emit_message = handle_message;
    jpeg.most_scans = input->limits.scans;
    run_guarded(&jpeg);
    jpeg_destroy_decompress(&jpeg.library);
    return jpeg.status;
}
