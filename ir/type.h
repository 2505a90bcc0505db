/* The type of an SSA value: what it holds and where its mask stands.
 *
 *     f32[3x3x64x128]              plain: a parameter, a statistic, a scalar f32[]
 *     f32<8x56x56x64>              dense: batch x spatial extents x channels
 *     f32<8x56x56x64 masked 4>     masked: the same extents, only the visible cells are stored;
 *                                  4 is the stride, image extents / extents
 *     f32<8x64 per_image>          per image: batch x channels, no space left
 *     f32<flat>                    every parameter, one after the other (graph's segments)
 *     f32<segments>                one number per segment */
#ifndef SPARKC_IR_TYPE_H
#define SPARKC_IR_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

typedef enum DType { DTYPE_F32, DTYPE_BF16, DTYPE_I32, DTYPE_U32, DTYPE_COUNT } DType;

typedef enum Form {
    FORM_PLAIN,
    FORM_DENSE,
    FORM_MASKED,
    FORM_PER_IMAGE,
    FORM_FLAT,
    FORM_SEGMENTS
} Form;

enum { TYPE_MAX_RANK = 5, TYPE_MAX_SPACE = 3 };

typedef struct Type {
    DType dtype;
    Form form;
    int rank;                      /* plain: 0..5 dimensions; dense, masked: 1..3 spatial extents */
    int64_t extent[TYPE_MAX_RANK]; /* plain: the shape; dense, masked: the spatial extents */
    int64_t batch, channels;       /* dense, masked, per image */
    int64_t stride;                /* masked: image pixels per position, a power of two */
} Type;

/* Constructors. Extents are copied. */
Type type_plain(DType dtype, int rank, const int64_t *shape);
Type type_scalar(DType dtype);
Type type_vector(DType dtype, int64_t length);
Type type_dense(DType dtype, int64_t batch, int space, const int64_t *extents, int64_t channels);
Type type_masked(Type dense, int64_t stride);
Type type_per_image(DType dtype, int64_t batch, int64_t channels);
Type type_flat(DType dtype);
Type type_segments(DType dtype);

/* The same dtype, form and everything that the form has. */
bool type_equal(const Type *a, const Type *b);

/* The same form, batch and space with other channels; the same with another dtype. */
Type type_with_channels(Type type, int64_t channels);
Type type_with_dtype(Type type, DType dtype);

/* True for dense, masked: the forms that have positions. */
bool type_has_space(const Type *type);

/* The product of the spatial extents (dense, masked); 1 for the others.
 * INT64_MAX if that is too large. */
int64_t type_positions(const Type *type);

/* The elements of a plain type, INT64_MAX if that is too large. */
int64_t type_plain_elements(const Type *type);

/* a * b of numbers from 0 up; INT64_MAX if that is too large. */
int64_t type_multiply(int64_t a, int64_t b);

/* Appends the printed form shown above. */
void type_print(Text *out, const Type *type);

/* The printed form in an arena. */
char *type_text(Arena *arena, const Type *type);

/* Reads the printed form at *cursor and moves it behind; false if there is none or an extent is
 * not in 1 .. 2^31 - 1 (0 is never an extent). */
bool type_parse(const char **cursor, Type *type);

/* "f32", "bf16", "i32", "u32"; bytes per element. */
const char *dtype_name(DType dtype);
size_t dtype_size(DType dtype);

#endif
