#include "ir/print.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/header.h"

static const char name_characters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

void print_quoted(Text *out, const char *text) {
    text_append_bytes(out, "\"", 1);
    for (const char *at = text; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == '"' || byte == '\\')
            text_append(out, "\\%c", byte);
        else if (byte < 0x20 || byte > 0x7E)
            text_append(out, "\\x%02X", byte);
        else
            text_append_bytes(out, at, 1);
    }
    text_append_bytes(out, "\"", 1);
}

/* Bare if `text` is not empty and has only characters of `bare`. */
static void append_bare_or_quoted(Text *out, const char *text, const char *bare) {
    size_t length = strlen(text);
    if (length > 0 && strspn(text, bare) == length)
        text_append_bytes(out, text, length);
    else
        print_quoted(out, text);
}

void print_name(Text *out, const char *name) {
    append_bare_or_quoted(out, name, name_characters);
}

void print_number(Text *out, double value) {
    enum { LONGEST = 32, EXACT = 17 };
    char digits[LONGEST];
    if (isfinite(value) && value == trunc(value) && fabs(value) < 1e15) {
        text_append(out, "%.0f", value);
        return;
    }
    int precision = 1;
    do
        snprintf(digits, sizeof digits, "%.*g", precision, value);
    while (precision++ < EXACT && !(strtod(digits, NULL) == value));
    text_append(out, "%s", digits);
}

void print_location(Text *out, const Location *location) {
    if (!location->file)
        return;
    text_append(out, " @");
    if (text_starts_with(location->file, "//"))
        print_quoted(out, location->file);
    else
        append_bare_or_quoted(out, location->file,
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/");
    text_append(out, ":%" PRIu32 ":%" PRIu32, location->line, location->column);
    if (location->width != 1)
        text_append(out, "+%" PRIu32, location->width);
}

static void print_list(Text *out, const Attribute *value) {
    text_append(out, "[");
    for (int i = 0; i < value->count; i++)
        text_append(out, "%s%" PRId64, i ? ", " : "", value->ints[i]);
    text_append(out, "]");
}

static void print_value(Text *out, const Attribute *value) {
    switch (value->kind) {
    case ATTRIBUTE_INT:
        text_append(out, "%" PRId64, value->integer);
        break;
    case ATTRIBUTE_FLOAT:
        print_number(out, value->real);
        break;
    case ATTRIBUTE_BOOL:
        text_append(out, "%s", value->integer ? "true" : "false");
        break;
    case ATTRIBUTE_INTS:
        print_list(out, value);
        break;
    case ATTRIBUTE_TEXT:
        print_quoted(out, value->text);
        break;
    case ATTRIBUTE_WORD:
        print_name(out, value->text);
        break;
    }
}

void print_attributes(Text *out, const AttributeInfo *infos, int count, const Attribute *values) {
    const char *separator = " {";
    for (int i = 0; i < count; i++) {
        if (infos[i].has_default && attribute_equal(&values[i], &infos[i].standard))
            continue;
        text_append(out, "%s%s=", separator, infos[i].name);
        print_value(out, &values[i]);
        separator = ", ";
    }
    if (*separator == ',')
        text_append(out, "}");
}

static void print_value_name(Text *out, const Value *value) {
    if (!value) {
        text_append(out, "_");
        return;
    }
    text_append(out, "%%");
    print_name(out, value->name);
}

static void print_results(Text *out, const Node *node) {
    int count = op_info(node->op)->result_count;
    for (int i = 0; i < count; i++) {
        text_append(out, i ? ", " : "");
        print_value_name(out, &node->results[i]);
    }
    for (int i = 0; i < count; i++) {
        text_append(out, i ? ", " : " : ");
        type_print(out, &node->results[i].type);
    }
    text_append(out, count ? " = " : "");
}

/* The operands up to the last that is there. */
static void print_operands(Text *out, const Node *node) {
    int count = node->operand_count;
    while (count > 0 && !node->operands[count - 1])
        count--;
    for (int i = 0; i < count; i++) {
        text_append(out, i ? ", " : "");
        print_value_name(out, node->operands[i]);
    }
}

void print_node(Text *out, const Node *node) {
    const OpInfo *info = op_info(node->op);
    print_results(out, node);
    text_append(out, "%s(", info->name);
    print_operands(out, node);
    text_append(out, ")");
    print_attributes(out, info->attributes, info->attribute_count, node->attributes);
    print_location(out, &node->location);
}

static void print_row(Text *out, const HeaderRow *row, const Attribute *values) {
    print_attributes(out, row->attributes, row->count, values);
    text_append(out, "\n");
}

static Type file_type(const Segment *segment) {
    return type_plain(segment->type.dtype, segment->file_rank, segment->file_shape);
}

void print_segment(Text *out, const Segment *segment) {
    Attribute values[OP_MAX_ATTRIBUTES];
    Type file = file_type(segment);
    text_append(out, "%s ", header_segment.owner);
    print_name(out, segment->name);
    text_append(out, " : ");
    type_print(out, &segment->type);
    if (!type_equal(&file, &segment->type)) {
        text_append(out, " from ");
        type_print(out, &file);
    }
    header_from_segment(segment, values);
    print_row(out, &header_segment, values);
}

void print_state(Text *out, const StateSlot *state) {
    Attribute values[OP_MAX_ATTRIBUTES];
    text_append(out, "%s ", header_state.owner);
    print_name(out, state->name);
    text_append(out, " : ");
    type_print(out, &state->type);
    header_from_state(state, values);
    print_row(out, &header_state, values);
}

static void print_head(Text *out, const char *kind, int version, const Graph *graph) {
    Attribute values[OP_MAX_ATTRIBUTES];
    text_append(out, "sparkc %s %d\nnetwork ", kind, version);
    print_name(out, graph->network);
    text_append(out, "\nstage ");
    print_name(out, graph->stage);
    text_append(out, "\n%s", header_geometry.owner);
    header_from_geometry(&graph->geometry, values);
    print_row(out, &header_geometry, values);
}

void print_tables(Text *out, const char *kind, int version, const Graph *graph) {
    print_head(out, kind, version, graph);
    for (size_t i = 0; i < graph->segments.count; i++)
        print_segment(out, &graph->segments.items[i]);
    for (size_t i = 0; i < graph->states.count; i++)
        print_state(out, &graph->states.items[i]);
}

void print_graph(Text *out, const Graph *graph) {
    print_tables(out, "graph", PRINT_GRAPH_VERSION, graph);
    graph_each(graph, node) {
        print_node(out, node);
        text_append(out, "\n");
    }
    text_append(out, "end\n");
}

char *print_graph_text(Arena *arena, const Graph *graph) {
    Text out = text_create(arena);
    print_graph(&out, graph);
    return out.data;
}
