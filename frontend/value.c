#include "frontend/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ir/rules.h"

const Datum datum_unknown = {.kind = DATUM_UNKNOWN};

Datum datum_number(double number) {
    return (Datum){.kind = DATUM_NUMBER, .number = number == 0 ? 0 : number};
}

Datum datum_boolean(bool boolean) {
    return (Datum){.kind = DATUM_BOOLEAN, .boolean = boolean};
}

Datum datum_string(const char *string) {
    return (Datum){.kind = DATUM_STRING, .string = string};
}

Datum datum_tensor(Value *tensor) {
    return (Datum){.kind = DATUM_TENSOR, .tensor = tensor};
}

Datum datum_list(Arena *arena, const Datum *items, size_t count) {
    List *list = arena_new(arena, List);
    list->count = count;
    list->items = items;
    list->depth = 1;
    for (size_t i = 0; i < count; i++)
        if (items[i].kind == DATUM_LIST && items[i].list->depth >= list->depth)
            list->depth = items[i].list->depth + 1;
    return (Datum){.kind = DATUM_LIST, .list = list};
}

static bool holds(const List *list, DatumKind kind) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].kind == kind)
            return true;
    return false;
}

bool datum_is_input(Datum datum) {
    if (datum.kind != DATUM_LIST)
        return datum.kind == DATUM_TENSOR;
    for (size_t i = 0; i < datum.list->count; i++)
        if (datum.list->items[i].kind != DATUM_TENSOR)
            return false;
    return datum.list->count > 0;
}

bool datum_is_unknown(Datum datum) {
    return datum.kind == DATUM_UNKNOWN ||
           (datum.kind == DATUM_LIST && holds(datum.list, DATUM_UNKNOWN));
}

const char *number_text(Arena *arena, double number) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    if (strchr(text, 'e') && number > -1e15 && number < 1e15 && number == (double)(int64_t)number)
        snprintf(text, sizeof text, "%.0f", number);
    return arena_copy_text(arena, text, strlen(text));
}

const char *datum_kind_text(DatumKind kind) {
    static const char *const texts[] = {"nothing",  "unknown", "a number", "true or false",
                                        "a string", "a list",  "a tensor", "a function"};
    return texts[kind];
}

enum { LONGEST_TEXT = 60 };

static void append(Text *out, Arena *arena, Datum datum);

static void append_list(Text *out, Arena *arena, const List *list) {
    if (holds(list, DATUM_TENSOR)) {
        text_append(out, "a list of %zu", list->count);
        return;
    }
    text_append(out, "[");
    for (size_t i = 0; i < list->count; i++) {
        if (out->length > LONGEST_TEXT) {
            text_append(out, "%s...", i ? ", " : "");
            break;
        }
        text_append(out, "%s", i ? ", " : "");
        append(out, arena, list->items[i]);
    }
    text_append(out, "]");
}

static void append(Text *out, Arena *arena, Datum datum) {
    switch (datum.kind) {
    case DATUM_NUMBER:
        text_append(out, "%s", number_text(arena, datum.number));
        break;
    case DATUM_BOOLEAN:
        text_append(out, "%s", datum.boolean ? "true" : "false");
        break;
    case DATUM_STRING:
        text_append(out, "\"%.*s\"", LONGEST_TEXT, datum.string);
        break;
    case DATUM_LIST:
        append_list(out, arena, datum.list);
        break;
    case DATUM_TENSOR:
        text_append(out, "a tensor %s", rules_shape_text(arena, &datum.tensor->type));
        break;
    case DATUM_FUNCTION:
        text_append(out, "the %s %s", datum.function->callee.kind == CALLEE_BLOCK ? "block" : "op",
                    datum.function->callee.name);
        break;
    default:
        text_append(out, "%s", datum_kind_text(datum.kind));
    }
}

const char *datum_text(Arena *arena, Datum datum) {
    Text out = text_create(arena);
    append(&out, arena, datum);
    return out.data;
}
