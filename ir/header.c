#include "ir/header.h"

#include <math.h>
#include <string.h>

#define WORDS(...)                                                                                 \
    { __VA_ARGS__, NULL }

static const char *const part_words[] = WORDS("encoder", "head", "densify", "decoder", "training");
static const char *const role_words[] =
    WORDS("weight", "bias", "norm_weight", "norm_bias", "layer_scale", "mask_token");
static const char *const layout_words[] = WORDS("as_is", "conv", "linear");
static const char *const init_words[] = WORDS("constant", "normal", "truncated_normal", "uniform");

#define NEEDED(attribute, attribute_kind)                                                          \
    { .name = attribute, .kind = ATTRIBUTE_##attribute_kind }
#define OPTIONAL(attribute, attribute_kind, member, value)                                         \
    {                                                                                              \
        .name = attribute, .kind = ATTRIBUTE_##attribute_kind, .has_default = true, .standard = {  \
            .kind = ATTRIBUTE_##attribute_kind,                                                    \
            .member = (value)                                                                      \
        }                                                                                          \
    }

enum { GEOMETRY_BATCH, GEOMETRY_IMAGE, GEOMETRY_CHANNELS, GEOMETRY_RATIO, GEOMETRY_KEEP };

const HeaderRow header_geometry = {"geometry",
                                   5,
                                   {[GEOMETRY_BATCH] = NEEDED("batch", INT),
                                    [GEOMETRY_IMAGE] = NEEDED("image", INTS),
                                    [GEOMETRY_CHANNELS] = NEEDED("channels", INT),
                                    [GEOMETRY_RATIO] = OPTIONAL("ratio", INT, integer, 0),
                                    [GEOMETRY_KEEP] = OPTIONAL("keep", INT, integer, 0)}};

enum {
    SEGMENT_PART,
    SEGMENT_ROLE,
    SEGMENT_LAYOUT,
    SEGMENT_INIT,
    SEGMENT_A,
    SEGMENT_B,
    SEGMENT_DECAYS,
    SEGMENT_LR_SCALE
};

const HeaderRow header_segment = {"segment",
                                  8,
                                  {[SEGMENT_PART] = OPTIONAL("part", WORD, text, "encoder"),
                                   [SEGMENT_ROLE] = NEEDED("role", WORD),
                                   [SEGMENT_LAYOUT] = OPTIONAL("layout", WORD, text, "as_is"),
                                   [SEGMENT_INIT] = OPTIONAL("init", WORD, text, "constant"),
                                   [SEGMENT_A] = OPTIONAL("a", FLOAT, real, 0),
                                   [SEGMENT_B] = OPTIONAL("b", FLOAT, real, 0),
                                   [SEGMENT_DECAYS] = OPTIONAL("decays", BOOL, integer, 0),
                                   [SEGMENT_LR_SCALE] = OPTIONAL("lr_scale", FLOAT, real, 1)}};

enum { STATE_PART, STATE_INIT };

const HeaderRow header_state = {"state",
                                2,
                                {[STATE_PART] = OPTIONAL("part", WORD, text, "encoder"),
                                 [STATE_INIT] = OPTIONAL("init", FLOAT, real, 0)}};

static Attribute integer_of(int64_t value) {
    return (Attribute){.kind = ATTRIBUTE_INT, .integer = value};
}

static Attribute bool_of(bool value) {
    return (Attribute){.kind = ATTRIBUTE_BOOL, .integer = value};
}

static Attribute real_of(double value) {
    return (Attribute){.kind = ATTRIBUTE_FLOAT, .real = value};
}

static Attribute word_of(const char *word) {
    return (Attribute){.kind = ATTRIBUTE_WORD, .text = word};
}

void header_from_geometry(const Geometry *geometry, Attribute values[OP_MAX_ATTRIBUTES]) {
    Attribute image = {.kind = ATTRIBUTE_INTS, .count = geometry->space};
    memcpy(image.ints, geometry->image, sizeof image.ints);
    values[GEOMETRY_BATCH] = integer_of(geometry->batch);
    values[GEOMETRY_IMAGE] = image;
    values[GEOMETRY_CHANNELS] = integer_of(geometry->channels);
    values[GEOMETRY_RATIO] = integer_of(geometry->ratio);
    values[GEOMETRY_KEEP] = integer_of(geometry->keep);
}

void header_from_segment(const Segment *segment, Attribute values[OP_MAX_ATTRIBUTES]) {
    values[SEGMENT_PART] = word_of(part_words[segment->part]);
    values[SEGMENT_ROLE] = word_of(role_words[segment->role]);
    values[SEGMENT_LAYOUT] = word_of(layout_words[segment->layout]);
    values[SEGMENT_INIT] = word_of(init_words[segment->init.kind]);
    values[SEGMENT_A] = real_of(segment->init.a);
    values[SEGMENT_B] = real_of(segment->init.b);
    values[SEGMENT_DECAYS] = bool_of(segment->decays);
    values[SEGMENT_LR_SCALE] = real_of(segment->lr_scale);
}

void header_from_state(const StateSlot *state, Attribute values[OP_MAX_ATTRIBUTES]) {
    values[STATE_PART] = word_of(part_words[state->part]);
    values[STATE_INIT] = real_of(state->init);
}

/* The first error found is kept. */
static void set_error(HeaderError *error, int index, const char *message) {
    if (!error->message)
        *error = (HeaderError){index, message};
}

/* The place of attribute `index` in a list of words; 0 after an error. */
static int find_word(Arena *arena, const Attribute *values, int index, const char *const *words,
                     HeaderError *error) {
    int count = 0;
    for (; words[count]; count++) {
        if (strcmp(words[count], values[index].text) == 0)
            return count;
    }
    Text list = text_create(arena);
    for (int i = 0; i < count; i++)
        text_append(&list, "%s%s", i == 0 ? "" : i == count - 1 ? " or " : ", ", words[i]);
    set_error(error, index, arena_format(arena, "this must be %s", list.data));
    return 0;
}

static int64_t check_range(const Attribute *values, int index, int64_t lowest, HeaderError *error) {
    int64_t value = values[index].integer;
    if (value < lowest || value > INT32_MAX)
        set_error(error, index,
                  lowest ? "this must be in 1 .. 2^31 - 1" : "this must be in 0 .. 2^31 - 1");
    return value;
}

static double check_finite(const Attribute *values, int index, HeaderError *error) {
    if (!isfinite(values[index].real))
        set_error(error, index, "this must be a finite number");
    return values[index].real;
}

static void check_image(const Attribute *image, int64_t channels, HeaderError *error) {
    if (image->count < 1 || image->count > TYPE_MAX_SPACE)
        set_error(error, GEOMETRY_IMAGE, "an image has 1 to 3 extents");
    int64_t elements = channels;
    for (int d = 0; d < image->count && !error->message; d++) {
        if (image->ints[d] < 1 || __builtin_mul_overflow(elements, image->ints[d], &elements) ||
            elements > INT32_MAX)
            set_error(error, GEOMETRY_IMAGE, "an image has 1 to 2^31 - 1 numbers");
    }
}

/* Cells tile the image, and no more are kept than there are. */
static void check_cells(const Geometry *geometry, HeaderError *error) {
    if (error->message || (geometry->ratio == 0 && geometry->keep == 0))
        return;
    if (geometry->ratio == 0 || (geometry->ratio & (geometry->ratio - 1)) != 0) {
        set_error(error, GEOMETRY_RATIO, "the ratio must be a power of two");
        return;
    }
    int64_t cells = 1;
    for (int d = 0; d < geometry->space; d++) {
        if (geometry->image[d] % geometry->ratio != 0)
            set_error(error, GEOMETRY_RATIO, "the ratio does not divide the image");
        cells *= geometry->image[d] / geometry->ratio;
    }
    if (geometry->keep > cells)
        set_error(error, GEOMETRY_KEEP, "more cells are kept than an image has");
}

HeaderError header_to_geometry(Arena *arena, const Attribute *values, Geometry *geometry) {
    (void)arena;
    HeaderError error = {0};
    geometry->batch = check_range(values, GEOMETRY_BATCH, 1, &error);
    geometry->channels = check_range(values, GEOMETRY_CHANNELS, 1, &error);
    geometry->ratio = check_range(values, GEOMETRY_RATIO, 0, &error);
    geometry->keep = check_range(values, GEOMETRY_KEEP, 0, &error);
    const Attribute *image = &values[GEOMETRY_IMAGE];
    check_image(image, geometry->channels, &error);
    geometry->space = image->count;
    memcpy(geometry->image, image->ints, sizeof geometry->image);
    check_cells(geometry, &error);
    return error;
}

HeaderError header_to_segment(Arena *arena, const Attribute *values, Segment *segment) {
    HeaderError error = {0};
    segment->part = (Part)find_word(arena, values, SEGMENT_PART, part_words, &error);
    segment->role = (Role)find_word(arena, values, SEGMENT_ROLE, role_words, &error);
    segment->layout = (Layout)find_word(arena, values, SEGMENT_LAYOUT, layout_words, &error);
    segment->init.kind = (InitKind)find_word(arena, values, SEGMENT_INIT, init_words, &error);
    segment->init.a = check_finite(values, SEGMENT_A, &error);
    segment->init.b = check_finite(values, SEGMENT_B, &error);
    segment->decays = values[SEGMENT_DECAYS].integer != 0;
    segment->lr_scale = check_finite(values, SEGMENT_LR_SCALE, &error);
    if (segment->lr_scale < 0)
        set_error(&error, SEGMENT_LR_SCALE, "this must be a number from 0 up");
    return error;
}

HeaderError header_to_state(Arena *arena, const Attribute *values, StateSlot *state) {
    HeaderError error = {0};
    state->part = (Part)find_word(arena, values, STATE_PART, part_words, &error);
    state->init = check_finite(values, STATE_INIT, &error);
    return error;
}
