#include "ir/type.h"

#include <string.h>

#include "base/fatal.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_F32] = {"f32", 4},
    [DTYPE_BF16] = {"bf16", 2},
    [DTYPE_I32] = {"i32", 4},
    [DTYPE_U32] = {"u32", 4},
};

const char *dtype_name(DType dtype) {
    return dtypes[dtype].name;
}

size_t dtype_size(DType dtype) {
    return dtypes[dtype].size;
}

static void set_extents(Type *type, int rank, const int64_t *extents, int most) {
    invariant(rank >= 0 && rank <= most, "a type of rank %d", rank);
    type->rank = rank;
    for (int d = 0; d < rank; d++)
        type->extent[d] = extents[d];
}

Type type_plain(DType dtype, int rank, const int64_t *shape) {
    Type type = {.dtype = dtype, .form = FORM_PLAIN};
    set_extents(&type, rank, shape, TYPE_MAX_RANK);
    return type;
}

Type type_scalar(DType dtype) {
    return type_plain(dtype, 0, NULL);
}

Type type_vector(DType dtype, int64_t length) {
    return type_plain(dtype, 1, &length);
}

Type type_dense(DType dtype, int64_t batch, int space, const int64_t *extents, int64_t channels) {
    Type type = {.dtype = dtype, .form = FORM_DENSE, .batch = batch, .channels = channels};
    set_extents(&type, space, extents, TYPE_MAX_SPACE);
    return type;
}

Type type_masked(Type dense, int64_t stride) {
    invariant(type_has_space(&dense), "only a map can be masked");
    dense.form = FORM_MASKED;
    dense.stride = stride;
    return dense;
}

Type type_per_image(DType dtype, int64_t batch, int64_t channels) {
    return (Type){.dtype = dtype, .form = FORM_PER_IMAGE, .batch = batch, .channels = channels};
}

Type type_flat(DType dtype) {
    return (Type){.dtype = dtype, .form = FORM_FLAT};
}

Type type_segments(DType dtype) {
    return (Type){.dtype = dtype, .form = FORM_SEGMENTS};
}

bool type_equal(const Type *a, const Type *b) {
    if (a->dtype != b->dtype || a->form != b->form || a->rank != b->rank || a->batch != b->batch ||
        a->channels != b->channels || a->stride != b->stride)
        return false;
    for (int d = 0; d < a->rank; d++) {
        if (a->extent[d] != b->extent[d])
            return false;
    }
    return true;
}

Type type_with_channels(Type type, int64_t channels) {
    type.channels = channels;
    return type;
}

Type type_with_dtype(Type type, DType dtype) {
    type.dtype = dtype;
    return type;
}

bool type_has_space(const Type *type) {
    return type->form == FORM_DENSE || type->form == FORM_MASKED;
}

int64_t type_multiply(int64_t a, int64_t b) {
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

int64_t type_positions(const Type *type) {
    int64_t positions = 1;
    if (type_has_space(type)) {
        for (int d = 0; d < type->rank; d++)
            positions = type_multiply(positions, type->extent[d]);
    }
    return positions;
}

static void print_extents(Text *out, const Type *type) {
    for (int d = 0; d < type->rank; d++)
        text_append(out, "%s%lld", d ? "x" : "", (long long)type->extent[d]);
}

void type_print(Text *out, const Type *type) {
    text_append(out, "%s", dtype_name(type->dtype));
    switch (type->form) {
    case FORM_PLAIN:
        text_append(out, "[");
        print_extents(out, type);
        text_append(out, "]");
        break;
    case FORM_DENSE:
    case FORM_MASKED:
        text_append(out, "<%lldx", (long long)type->batch);
        print_extents(out, type);
        text_append(out, "x%lld", (long long)type->channels);
        if (type->form == FORM_MASKED)
            text_append(out, " masked %lld", (long long)type->stride);
        text_append(out, ">");
        break;
    case FORM_PER_IMAGE:
        text_append(out, "<%lldx%lld per_image>", (long long)type->batch,
                    (long long)type->channels);
        break;
    case FORM_FLAT:
        text_append(out, "<flat>");
        break;
    case FORM_SEGMENTS:
        text_append(out, "<segments>");
        break;
    }
}

char *type_text(Arena *arena, const Type *type) {
    Text text = text_create(arena);
    type_print(&text, type);
    return text.data;
}

static bool accept(const char **at, const char *word) {
    if (!text_starts_with(*at, word))
        return false;
    *at += strlen(word);
    return true;
}

/* A number in 1 .. 2^31 - 1 without leading zeros. */
static bool parse_extent(const char **at, int64_t *extent) {
    const char *p = *at;
    if (*p < '1' || *p > '9')
        return false;
    int64_t value = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (*p - '0');
        if (value > INT32_MAX)
            return false;
    }
    *extent = value;
    *at = p;
    return true;
}

/* Extents joined by "x"; their number, or -1. */
static int parse_extents(const char **at, int64_t extents[TYPE_MAX_RANK]) {
    int count = 0;
    do {
        if (count == TYPE_MAX_RANK || !parse_extent(at, &extents[count]))
            return -1;
        count++;
    } while (accept(at, "x"));
    return count;
}

static bool parse_dtype(const char **at, DType *dtype) {
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (accept(at, dtypes[i].name)) {
            *dtype = (DType)i;
            return true;
        }
    }
    return false;
}

static bool parse_plain(const char **at, Type *type) {
    if (accept(at, "]")) {
        *type = type_scalar(type->dtype);
        return true;
    }
    int64_t extents[TYPE_MAX_RANK];
    int count = parse_extents(at, extents);
    if (count < 0 || !accept(at, "]"))
        return false;
    *type = type_plain(type->dtype, count, extents);
    return true;
}

static bool parse_map(const char **at, Type *type) {
    int64_t extents[TYPE_MAX_RANK];
    int count = parse_extents(at, extents);
    if (count == 2) {
        *type = type_per_image(type->dtype, extents[0], extents[1]);
        return accept(at, " per_image>");
    }
    if (count < 3)
        return false;
    *type = type_dense(type->dtype, extents[0], count - 2, extents + 1, extents[count - 1]);
    int64_t stride;
    if (accept(at, " masked ")) {
        if (!parse_extent(at, &stride))
            return false;
        *type = type_masked(*type, stride);
    }
    return accept(at, ">");
}

bool type_parse(const char **cursor, Type *type) {
    const char *at = *cursor;
    Type read = {0};
    if (!parse_dtype(&at, &read.dtype))
        return false;
    bool fine = true;
    if (accept(&at, "<flat>"))
        read = type_flat(read.dtype);
    else if (accept(&at, "<segments>"))
        read = type_segments(read.dtype);
    else if (accept(&at, "["))
        fine = parse_plain(&at, &read);
    else
        fine = accept(&at, "<") && parse_map(&at, &read);
    if (!fine)
        return false;
    *type = read;
    *cursor = at;
    return true;
}

int64_t type_plain_elements(const Type *type) {
    int64_t elements = 1;
    for (int d = 0; d < type->rank; d++)
        elements = type_multiply(elements, type->extent[d]);
    return elements;
}
