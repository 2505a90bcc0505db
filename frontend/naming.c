#include "frontend/naming.h"

#include <string.h>

#include "base/text.h"

const char *naming_join(Arena *arena, const char *path, const char *name) {
    if (path[0] == '\0' || name[0] == '\0')
        return path[0] == '\0' ? name : path;
    return arena_format(arena, "%s.%s", path, name);
}

static bool is_word(const char *text) {
    for (const char *c = text; *c; c++)
        if (!(*c == '_' || (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') ||
              (*c >= 'a' && *c <= 'z')))
            return false;
    return text[0] != '\0';
}

/* Appends the value of an expression in a label. */
static bool append_value(Evaluator *evaluator, Text *out, const Piece *piece) {
    Datum value = evaluate(evaluator, piece->expr);
    if (value.kind == DATUM_UNKNOWN)
        return false;
    if (value.kind == DATUM_NUMBER && number_is_whole(value.number) && value.number >= 0) {
        text_append(out, "%.0f", value.number);
        return true;
    }
    if (value.kind == DATUM_STRING && is_word(value.string)) {
        text_append(out, "%s", value.string);
        return true;
    }
    if (value.kind == DATUM_STRING)
        evaluate_fail(evaluator, piece->expr->span,
                      "a label takes letters, digits and _, this is %s",
                      datum_text(evaluator->arena, value));
    else
        evaluate_fail(evaluator, piece->expr->span,
                      "a label takes a whole number from 0 up, this is %s",
                      datum_text(evaluator->arena, value));
    return false;
}

const char *naming_label(Evaluator *evaluator, const Label *label) {
    Text out = text_create(evaluator->arena);
    for (size_t i = 0; i < label->pieces.count; i++) {
        const Piece *piece = &label->pieces.items[i];
        if (piece->kind == PIECE_DOT)
            text_append_bytes(&out, ".", 1);
        else if (piece->kind == PIECE_TEXT)
            text_append_bytes(&out, piece->text, strlen(piece->text));
        else if (!append_value(evaluator, &out, piece))
            return NULL;
    }
    if (out.length > EVALUATE_LONGEST_NAME) {
        evaluate_fail(evaluator, label->span, "a label has at most %d characters, this one has %zu",
                      EVALUATE_LONGEST_NAME, out.length);
        return NULL;
    }
    return out.data;
}

Scope *naming_open(Evaluator *evaluator, const char *label_text) {
    Scope *scope = arena_new(evaluator->arena, Scope);
    scope->parent = evaluator->scope;
    scope->path = naming_join(evaluator->arena, evaluator->scope->path, label_text);
    evaluator->scope = scope;
    return scope;
}

/* The call sites from the network inwards; returns their number. */
static size_t list_sites(const CallSite *site, const CallSite **list) {
    size_t count = 0;
    for (const CallSite *step = site; step; step = step->parent)
        count++;
    for (size_t i = count; i-- > 0; site = site->parent)
        list[i] = site;
    return count;
}

static bool same_span(Span a, Span b) {
    return a.file == b.file && a.begin == b.begin && a.end == b.end;
}

static Span site_span(const CallSite *site) {
    return site->label ? site->label->span : site->name_span;
}

/* Two layers of one name: the fault lies with the outermost calls in which their ways part. */
static void report_same_name(Evaluator *evaluator, const LayerName *first,
                             const LayerName *second) {
    const CallSite *a[EVALUATE_DEEPEST_CALL + 1], *b[EVALUATE_DEEPEST_CALL + 1];
    size_t a_count = list_sites(first->site, a), b_count = list_sites(second->site, b), i = 0;
    while (i < a_count && i < b_count && same_span(a[i]->span, b[i]->span))
        i++;
    bool inside = i == a_count && i == b_count;
    Span here = inside || i >= b_count ? second->span : site_span(b[i]);
    Span there = inside || i >= a_count ? first->span : site_span(a[i]);
    const CallSite *site = evaluator->site;
    evaluator->site = i < b_count ? b[i]->parent : second->site;
    evaluate_fail(evaluator, here, "a second layer is called %s", second->name);
    evaluator->site = site;
    evaluate_note(evaluator, "the first is at %s, layers do not share weights",
                  sources_line(&evaluator->file->sources, there, here));
    evaluate_hint(evaluator,
                  same_span(here, there) ? "give it another label in each turn, such as %s{i}"
                                         : "give it another label",
                  "layer");
}

/* Makes the parameters of a layer known under its name, which must be new and not too long. */
static void claim(Evaluator *evaluator, LayerName *layer) {
    if (strlen(layer->name) > EVALUATE_LONGEST_NAME) {
        const CallSite *site = evaluator->site;
        evaluator->site = layer->site;
        evaluate_fail(evaluator, layer->span,
                      "a layer's name has at most %d characters, this one has %zu",
                      EVALUATE_LONGEST_NAME, strlen(layer->name));
        evaluator->site = site;
        return;
    }
    for (size_t i = 0; i < layer->parameter_count; i++) {
        const char *name = naming_join(evaluator->arena, layer->name, layer->parameters[i]);
        const LayerName *first = table_get(evaluator->names, name);
        if (first) {
            report_same_name(evaluator, first, layer);
            return;
        }
        table_put(evaluator->names, name, layer);
    }
}

LayerName *naming_layer(Evaluator *evaluator, const char *op, const Label *label,
                        const char *label_text, Span span, const char *const *parameters,
                        size_t parameter_count) {
    LayerName *layer = arena_new(evaluator->arena, LayerName);
    *layer = (LayerName){.op = op,
                         .span = label ? label->span : span,
                         .site = evaluator->site,
                         .parameters = parameters,
                         .parameter_count = parameter_count};
    for (Scope *scope = evaluator->scope; scope; scope = scope->parent)
        scope->layers++;
    if (label) {
        layer->name = naming_join(evaluator->arena, evaluator->scope->path, label_text);
        claim(evaluator, layer);
    } else {
        vector_push(evaluator->arena, &evaluator->scope->unnamed, layer);
    }
    return layer;
}

/* "conv_2": the next name of an op, counted in `numbers`. */
static const char *counted_name(Evaluator *evaluator, Table *numbers, const char *op) {
    uintptr_t number = (uintptr_t)table_get(numbers, op) + 1;
    table_put(numbers, op, (void *)number);
    return arena_format(evaluator->arena, "%s_%zu", op, (size_t)number);
}

void naming_close(Evaluator *evaluator) {
    Scope *scope = evaluator->scope;
    bool alone = scope->parent && scope->layers == 1;
    Table *numbers = table_create(evaluator->arena);
    for (size_t i = 0; i < scope->unnamed.count; i++) {
        LayerName *layer = scope->unnamed.items[i];
        layer->name = scope->path;
        if (!alone) {
            layer->name = naming_join(evaluator->arena, scope->path,
                                      counted_name(evaluator, numbers, layer->op));
            evaluate_remark(evaluator, SEVERITY_NOTE, layer->span,
                            "this layer has parameters and no label, it is called %s", layer->name);
        }
        claim(evaluator, layer);
    }
    evaluator->scope = scope->parent;
}
