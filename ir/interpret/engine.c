#include "ir/interpret/engine.h"

#include <math.h>
#include <stdlib.h>

#include "base/fatal.h"

double *engine_allocate(size_t count) {
    double *data = calloc(count ? count : 1, sizeof *data);
    if (!data)
        fatal("out of memory (a value of %zu elements in the interpreter)", count);
    return data;
}

/* Spacing of bf16 numbers near `value`: 8 significant bits, subnormal below 2^-126. */
static double bf16_round(double value) {
    const double largest = 0x1.FEp127;
    if (value == 0 || !isfinite(value))
        return value;
    int exponent = ilogb(value);
    double spacing = ldexp(1, (exponent < -126 ? -126 : exponent) - 7);
    double rounded = nearbyint(value / spacing) * spacing;
    return fabs(rounded) > largest ? copysign(INFINITY, value) : rounded;
}

static double u32_wrap(double value) {
    const double modulus = 0x1p32;
    if (!isfinite(value))
        return 0;
    double rest = fmod(nearbyint(value), modulus);
    return rest < 0 ? rest + modulus : rest;
}

double engine_round(DType dtype, double value) {
    switch (dtype) {
    case DTYPE_BF16:
        return bf16_round(value);
    case DTYPE_I32:
        return nearbyint(value);
    case DTYPE_U32:
        return u32_wrap(value);
    case DTYPE_F32:
    case DTYPE_COUNT:
        break;
    }
    return value;
}

static int64_t plain_count(const Type *type) {
    int64_t count = 1;
    for (int d = 0; d < type->rank; d++)
        count *= type->extent[d];
    return count;
}

size_t engine_count(const Graph *graph, const Type *type) {
    switch (type->form) {
    case FORM_PLAIN:
        return (size_t)plain_count(type);
    case FORM_DENSE:
    case FORM_MASKED:
    case FORM_PER_IMAGE:
        return (size_t)(type->batch * type_positions(type) * type->channels);
    case FORM_FLAT:
    case FORM_SEGMENTS:
        break;
    }
    return (size_t)graph_elements(graph, type);
}

int64_t engine_rows(const Graph *graph, const Type *type) {
    switch (type->form) {
    case FORM_DENSE:
    case FORM_MASKED:
    case FORM_PER_IMAGE:
        return type->batch * type_positions(type);
    case FORM_FLAT:
        return (int64_t)graph->segments.count;
    case FORM_PLAIN:
    case FORM_SEGMENTS:
        break;
    }
    return 1;
}

int64_t engine_row_begin(const Graph *graph, const Type *type, int64_t row) {
    if (type->form == FORM_FLAT)
        return graph->segments.items[row].offset;
    return row * engine_row_length(graph, type, row);
}

int64_t engine_row_length(const Graph *graph, const Type *type, int64_t row) {
    switch (type->form) {
    case FORM_DENSE:
    case FORM_MASKED:
    case FORM_PER_IMAGE:
        return type->channels;
    case FORM_FLAT:
        return plain_count(&graph->segments.items[row].type);
    case FORM_PLAIN:
    case FORM_SEGMENTS:
        break;
    }
    return (int64_t)engine_count(graph, type);
}

/* The place of an operand's part for a row: a whole row of `length` elements, or one element. */
static OperandRow row_of(const Tensor *operand, int64_t row, int64_t width, int64_t length) {
    invariant(width == length || width == 1, "%lld channels cannot be broadcast to %lld",
              (long long)width, (long long)length);
    return (OperandRow){operand->data + row * width, width == length ? 1 : 0};
}

OperandRow engine_operand_row(const Graph *graph, const Tensor *operand, const Type *result,
                              int64_t row) {
    const Type *type = &operand->type;
    int64_t length = engine_row_length(graph, result, row);
    switch (type->form) {
    case FORM_DENSE:
    case FORM_MASKED:
        return row_of(operand, row, type->channels, length);
    case FORM_PER_IMAGE:
        return row_of(operand, row / type_positions(result), type->channels, length);
    case FORM_FLAT:
        return (OperandRow){operand->data + engine_row_begin(graph, type, row), 1};
    case FORM_SEGMENTS:
        if (result->form == FORM_FLAT)
            return (OperandRow){operand->data + row, 0};
        break;
    case FORM_PLAIN:
        break;
    }
    return row_of(operand, 0, (int64_t)operand->count, length);
}
