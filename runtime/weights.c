#include "runtime/weights.h"

#include <inttypes.h>
#include <string.h>

#include "base/fatal.h"
#include "base/text.h"

static const char encoder_prefix[] = "sparse_encoder.sp_cnn.";

const char *weights_name(Arena *arena, Part part, const char *name) {
    return part == PART_ENCODER ? arena_format(arena, "%s%s", encoder_prefix, name) : name;
}

const SafetensorsTensor *weights_find(Arena *arena, const Safetensors *file, const char *prefix,
                                      Part part, const char *name) {
    const char *full = arena_format(arena, "%s%s", prefix, weights_name(arena, part, name));
    const SafetensorsTensor *tensor = safetensors_find(file, full);
    return tensor ? tensor : safetensors_find(file, arena_format(arena, "%s%s", prefix, name));
}

static size_t product(int rank, const int64_t *shape) {
    size_t count = 1;
    for (int d = 0; d < rank; d++)
        count *= (size_t)shape[d];
    return count;
}

size_t weights_count(const Segment *segment) {
    return product(segment->file_rank, segment->file_shape);
}

enum { TOGETHER = 8 }; /* doubles of a cache line */

/* Copies a file's (a, b, c) to a stored (c, b, a), or back; so many of c at a time that both are
 * read and written by whole lines. */
static void reverse(const double *from, double *to, size_t a, size_t b, size_t c) {
    for (size_t first = 0; first < c; first += TOGETHER) {
        size_t end = c - first < TOGETHER ? c : first + TOGETHER;
        for (size_t j = 0; j < b; j++)
            for (size_t i = 0; i < a; i++)
                for (size_t k = first; k < end; k++)
                    to[(k * b + j) * a + i] = from[(i * b + j) * c + k];
    }
}

/* A file's (out, in, taps) extents; in a linear layer taps is 1. */
static void contract_extents(const Segment *segment, size_t *out, size_t *in, size_t *taps) {
    invariant(segment->file_rank >= 2, "%s has a contraction's layout but %d dimensions",
              segment->name, segment->file_rank);
    *out = (size_t)segment->file_shape[0];
    *in = (size_t)segment->file_shape[1];
    *taps = product(segment->file_rank - 2, segment->file_shape + 2);
}

void weights_to_stored(const Segment *segment, const double *from, double *to) {
    size_t out, in, taps;
    if (segment->layout == LAYOUT_AS_IS) {
        memcpy(to, from, weights_count(segment) * sizeof *to);
        return;
    }
    contract_extents(segment, &out, &in, &taps);
    reverse(from, to, out, in, taps);
}

void weights_to_file(const Segment *segment, const double *from, double *to) {
    size_t out, in, taps;
    if (segment->layout == LAYOUT_AS_IS) {
        memcpy(to, from, weights_count(segment) * sizeof *to);
        return;
    }
    contract_extents(segment, &out, &in, &taps);
    reverse(from, to, taps, in, out);
}

/* The shape without its dimensions of 1. */
static int squeeze(int rank, const int64_t *shape, int64_t *squeezed) {
    int kept = 0;
    for (int d = 0; d < rank; d++)
        if (shape[d] != 1)
            squeezed[kept++] = shape[d];
    return kept;
}

static bool same_shape(int rank_a, const int64_t *a, int rank_b, const int64_t *b) {
    return rank_a == rank_b && memcmp(a, b, (size_t)rank_a * sizeof *a) == 0;
}

Status weights_check_shape(Arena *arena, const Safetensors *file, const SafetensorsTensor *tensor,
                           const Segment *segment) {
    int64_t a[SAFETENSORS_MAX_RANK], b[TYPE_MAX_RANK];
    if (same_shape(tensor->rank, tensor->shape, segment->file_rank, segment->file_shape))
        return STATUS_FINE;
    if (segment->layout == LAYOUT_AS_IS &&
        same_shape(squeeze(tensor->rank, tensor->shape, a), a,
                   squeeze(segment->file_rank, segment->file_shape, b), b))
        return STATUS_FINE;
    return status_failure(arena, "%s: tensor %s has shape %s, the network needs %s",
                          safetensors_path(file), tensor->name,
                          weights_shape_text(arena, tensor->rank, tensor->shape),
                          weights_shape_text(arena, segment->file_rank, segment->file_shape));
}

char *weights_shape_text(Arena *arena, int rank, const int64_t *shape) {
    Text text = text_create(arena);
    text_append(&text, "[");
    for (int d = 0; d < rank; d++)
        text_append(&text, "%s%" PRId64, d > 0 ? ", " : "", shape[d]);
    text_append(&text, "]");
    return text.data;
}
