#include "ir/kernel_fields.h"

#include <stddef.h>
#include <string.h>

#include "ir/print.h"

#define NEEDED(structure, member, label)                                                           \
    { label, FIELD_INT, offsetof(structure, member), false, 0 }
#define NUMBER(structure, member, label, standard)                                                 \
    { label, FIELD_INT, offsetof(structure, member), true, standard }
#define TRUTH(structure, member, label)                                                            \
    { label, FIELD_BOOL, offsetof(structure, member), true, 0 }
#define LIST(structure, member, label, standard)                                                   \
    { label, FIELD_LIST, offsetof(structure, member), true, standard }
#define NEEDED_LIST(structure, member, label)                                                      \
    { label, FIELD_LIST, offsetof(structure, member), false, 0 }

const Fields kernel_fields_buffer = {
    "buffer", 2, {NEEDED(Buffer, elements, "elements"), NUMBER(Buffer, offset, "offset", -1)}};

const Fields kernel_fields_level = {"level", 1, {LIST(Level, border, "border", 0)}};

const Fields kernel_fields_space = {
    "space", 2, {NEEDED_LIST(Space, extent, "extent"), NUMBER(Space, stride, "stride", 0)}};

const Fields kernel_fields_taps = {"taps",
                                   3,
                                   {LIST(TapSet, step, "step", 1), LIST(TapSet, phase, "phase", 0),
                                    LIST(TapSet, scale, "scale", 1)}};

const Fields kernel_fields_view = {
    "view",
    4,
    {NUMBER(View, base, "base", 0), NUMBER(View, image_stride, "image", 0),
     NUMBER(View, row_stride, "row", 0), NUMBER(View, channel_stride, "channel", 1)}};

const Fields kernel_fields_weight = {
    "weight",
    5,
    {NUMBER(WeightView, base, "base", 0), NUMBER(WeightView, tap_stride, "tap", 0),
     NUMBER(WeightView, group_stride, "group", 0), NUMBER(WeightView, in_stride, "in", 0),
     NUMBER(WeightView, out_stride, "out", 0)}};

const Fields kernel_fields_contraction = {
    "contraction",
    4,
    {NEEDED(Contraction, in, "in"), NEEDED(Contraction, out, "out"),
     NUMBER(Contraction, groups, "groups", 1), TRUTH(Contraction, bf16, "bf16")}};

const Fields kernel_fields_window = {
    "window",
    5,
    {LIST(Window, pool_kernel, "kernel", 0), LIST(Window, pool_stride, "stride", 0),
     LIST(Window, pool_pad, "pad", 0), TRUTH(Window, count_pad, "count_pad"),
     LIST(Window, factor, "factor", 0)}};

const Fields kernel_fields_reduction = {"reduction",
                                        3,
                                        {NUMBER(Reduction, groups, "groups", 1),
                                         NUMBER(Reduction, patch, "patch", 0),
                                         NUMBER(Reduction, merge_count, "merge_count", 0)}};

const Fields kernel_fields_divide = {"divide", 1, {LIST(Access, divide, "divide", 1)}};

/* The attributes that fields are read and printed as. */
static void describe(const Fields *fields, AttributeInfo *infos) {
    static const AttributeKind kinds[] = {
        [FIELD_INT] = ATTRIBUTE_INT, [FIELD_BOOL] = ATTRIBUTE_BOOL, [FIELD_LIST] = ATTRIBUTE_INTS};
    for (int i = 0; i < fields->count; i++) {
        const Field *field = &fields->items[i];
        infos[i] = (AttributeInfo){
            .name = field->name, .kind = kinds[field->kind], .has_default = field->optional};
        infos[i].standard.kind = infos[i].kind;
        if (field->kind == FIELD_INT)
            infos[i].standard.integer = field->standard;
    }
}

static void *member(const Field *field, const void *structure) {
    return (char *)(uintptr_t)structure + field->offset;
}

static Attribute list_attribute(const Field *field, const int64_t *list, int rank) {
    Attribute attribute = {.kind = ATTRIBUTE_INTS};
    bool standard = field->optional;
    for (int d = 0; d < rank; d++)
        standard = standard && list[d] == field->standard;
    if (standard)
        return attribute;
    attribute.count = rank;
    memcpy(attribute.ints, list, (size_t)rank * sizeof *list);
    return attribute;
}

void kernel_fields_print(Text *out, const Fields *fields, const void *structure, int rank) {
    AttributeInfo infos[FIELDS_MAX];
    Attribute values[FIELDS_MAX];
    describe(fields, infos);
    for (int i = 0; i < fields->count; i++) {
        const Field *field = &fields->items[i];
        void *at = member(field, structure);
        values[i] = (Attribute){.kind = infos[i].kind};
        if (field->kind == FIELD_INT)
            values[i].integer = *(int64_t *)at;
        else if (field->kind == FIELD_BOOL)
            values[i].integer = *(bool *)at;
        else
            values[i] = list_attribute(field, at, rank);
    }
    print_attributes(out, infos, fields->count, values);
}

/* Takes a list over; left out it is the standard in each direction. */
static bool set_list(Scanner *scanner, const Field *field, const Attribute *value, ScanSpan span,
                     int64_t *list, int *rank) {
    for (int d = 0; d < TYPE_MAX_SPACE; d++)
        list[d] = field->standard;
    if (!span.begin)
        return true;
    if (*rank < 0)
        *rank = value->count;
    if (value->count != *rank) {
        scan_error(scanner, span, "%s needs %d numbers, one per direction", field->name, *rank);
        return false;
    }
    for (int d = 0; d < value->count; d++)
        list[d] = value->ints[d];
    return true;
}

bool kernel_fields_parse(Scanner *scanner, const Fields *fields, void *structure, int *rank) {
    AttributeInfo infos[FIELDS_MAX];
    Attribute values[FIELDS_MAX];
    ScanSpan spans[FIELDS_MAX];
    describe(fields, infos);
    if (!scan_attributes(scanner, fields->owner, infos, fields->count, values, spans))
        return false;
    for (int i = 0; i < fields->count; i++) {
        const Field *field = &fields->items[i];
        void *at = member(field, structure);
        if (field->kind == FIELD_INT)
            *(int64_t *)at = values[i].integer;
        else if (field->kind == FIELD_BOOL)
            *(bool *)at = values[i].integer != 0;
        else if (!set_list(scanner, field, &values[i], spans[i], at, rank))
            return false;
    }
    return true;
}
