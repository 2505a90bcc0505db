#include "tools/inspect/layer_page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "ir/kernel_names.h"
#include "tools/inspect/buffer_picture.h"
#include "tools/inspect/costs.h"
#include "tools/inspect/labels.h"
#include "tools/inspect/layer_tree.h"
#include "tools/report/report_html.h"

static const char style[] =
    ":root{--buffer-0:#3b6fd4;--buffer-1:#e07b1a;--buffer-2:#2e9e5b;--buffer-3:#8e5bd0;"
    "--buffer-4:#c8a400;--buffer-5:#d04a7a}\n"
    ".layers{overflow-x:auto}.layers>*{min-width:820px}\n"
    ".row{display:grid;grid-template-columns:minmax(170px,1fr) 250px 62px 150px 80px 140px;gap:8px;"
    "align-items:baseline}\n"
    ".row>*{overflow-wrap:anywhere;min-width:0}\n"
    "details details{margin-left:14px}summary{cursor:pointer;padding:3px 0;"
    "border-top:1px solid var(--rule)}summary::marker{content:none}\n"
    "summary b::before{content:'\\25b8';color:var(--soft);margin-right:6px}"
    "details[open]>summary b::before{content:'\\25be'}\n"
    ".head{color:var(--soft)}.kernels{margin:2px 0 8px 14px;font-size:13px}\n"
    ".kernels .row{grid-template-columns:minmax(156px,1fr) 250px 62px 150px 80px 140px}\n"
    ".buffers{display:block;width:100%;height:420px;background:var(--card);border:1px solid "
    "var(--rule)}\n"
    ".buffers rect{stroke:var(--card);stroke-width:.4;vector-effect:non-scaling-stroke}\n"
    ".buffer-0{fill:var(--buffer-0)}.buffer-1{fill:var(--buffer-1)}.buffer-2{fill:var(--buffer-2)}"
    ".buffer-3{fill:var(--buffer-3)}.buffer-4{fill:var(--buffer-4)}.buffer-5{fill:var(--buffer-5)}"
    "\n";

typedef struct Page {
    Arena *arena;
    Text text;
    const Program *program;
    const Profile *profile; /* or NULL */
    LayerTree *layers;      /* items: kernels */
    LayerTree *values;      /* items: places in `types` */
    VECTOR(const Type *) types;
    bool *counted;   /* buffers whose memory is somebody's already */
    int64_t *memory; /* bytes that each kernel is the first to touch */
    Cost total;
} Page;

/* What a layer's kernels take together. */
typedef struct Totals {
    int kernels;
    Cost cost;
    int64_t memory;
    double seconds;
} Totals;

/* ---- What there is to show ------------------------------------------------------------------- */

static bool is_map(const Type *type) {
    return type->form == FORM_DENSE || type->form == FORM_MASKED || type->form == FORM_PER_IMAGE;
}

/* The type of a layer is that of the last map that is computed in it, backward not counted. */
static void collect_types(Page *page, const Graph *graph) {
    for (const Node *node = graph ? graph->first : NULL; node; node = node->next) {
        const Value *value = &node->results[0];
        if (op_info(node->op)->result_count == 0 || !is_map(&value->type) ||
            strstr(value->name, ".grad"))
            continue;
        for (int depth = label_depth(value->name); depth > 0; depth--) {
            size_t length = label_prefix(value->name, depth);
            LayerTree *layer = layer_tree_find(page->arena, page->values,
                                               arena_copy_text(page->arena, value->name, length));
            vector_push(page->arena, &layer->items, (int)page->types.count);
        }
        vector_push(page->arena, &page->types, &value->type);
    }
}

static const Type *type_of(Page *page, const LayerTree *layer) {
    const LayerTree *values = layer_tree_find(page->arena, page->values, layer->name);
    return values->items.count ? page->types.items[values->items.items[values->items.count - 1]]
                               : NULL;
}

/* Scratch that a kernel is the first to write is its memory. */
static int64_t new_memory(Page *page, const Kernel *kernel) {
    KernelUse uses[KERNEL_MAX_USES];
    int count = kernel_uses(page->program, kernel, uses);
    int64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        const Buffer *buffer = &page->program->buffers.items[uses[i].buffer];
        if (!uses[i].write || buffer->region != REGION_SCRATCH || page->counted[uses[i].buffer])
            continue;
        page->counted[uses[i].buffer] = true;
        bytes += type_multiply(buffer->elements, (int64_t)dtype_size(buffer->dtype));
    }
    return bytes;
}

static void collect_kernels(Page *page) {
    const Program *program = page->program;
    page->counted = arena_new_array(page->arena, bool, program->buffers.count + 1);
    page->memory = arena_new_array(page->arena, int64_t, program->kernels.count + 1);
    for (size_t i = 0; i < program->kernels.count; i++) {
        const Kernel *kernel = program->kernels.items[i];
        const char *name = label_layer(page->arena, program, kernel->name);
        LayerTree *layer = layer_tree_find(page->arena, page->layers, name);
        vector_push(page->arena, &layer->items, (int)i);
        page->memory[i] = new_memory(page, kernel);
    }
}

static Totals totals_of_kernel(const Page *page, int k) {
    const Kernel *kernel = page->program->kernels.items[k];
    return (Totals){1, cost_of_kernel(page->program, kernel), page->memory[k],
                    page->profile ? profile_seconds(page->profile, kernel->name) : 0};
}

static Totals add_totals(Totals a, Totals b) {
    return (Totals){a.kernels + b.kernels, cost_sum(a.cost, b.cost), a.memory + b.memory,
                    a.seconds + b.seconds};
}

/* Of a layer with all below it. */
static Totals totals_of_layer(const Page *page, const LayerTree *layer) {
    Totals sum = {0};
    for (size_t i = 0; i < layer->items.count; i++)
        sum = add_totals(sum, totals_of_kernel(page, layer->items.items[i]));
    for (size_t i = 0; i < layer->children.count; i++)
        sum = add_totals(sum, totals_of_layer(page, layer->children.items[i]));
    return sum;
}

/* ---- The page -------------------------------------------------------------------------------- */

static void append_density(Page *page, const Type *type) {
    const Geometry *geometry = &page->program->geometry;
    Graph cells = {.geometry = *geometry};
    if (type && type->form == FORM_MASKED)
        text_append(&page->text, "%.3g %%",
                    100 * (double)geometry->keep / (double)graph_cells(&cells));
    else if (type && type->form == FORM_DENSE)
        text_append(&page->text, "100 %%");
}

/* The columns behind shape and density. */
static void append_totals(Page *page, Totals totals) {
    Text *text = &page->text;
    text_append(text, "<span>");
    if (totals.cost.multiply_adds > 0) {
        cost_append(text, totals.cost.multiply_adds, "MAC");
        text_append(text, ", %.2g %%",
                    100 * (double)totals.cost.multiply_adds / (double)page->total.multiply_adds);
    }
    text_append(text, "</span><span>");
    if (totals.memory > 0)
        cost_append(text, totals.memory, "B");
    text_append(text, "</span><span>");
    if (page->profile)
        text_append(text, "%.3g ms, %.2g %%", 1e3 * totals.seconds,
                    100 * totals.seconds / profile_step_seconds(page->profile));
    text_append(text, "</span>");
}

static void append_kernel(Page *page, int k) {
    const Kernel *kernel = page->program->kernels.items[k];
    text_append(&page->text, "<div class=\"row\"><span>");
    html_name(&page->text, kernel->name);
    text_append(&page->text, "</span><span>%s, %s x %" PRId64 "</span><span></span>",
                kernel_kind_name(kernel->kind), kernel_space_name(kernel->space.kind),
                kernel->channels);
    append_totals(page, totals_of_kernel(page, k));
    text_append(&page->text, "</div>\n");
}

/* Calls itself as deep as a tree may be. */
static void append_layer(Page *page, const LayerTree *layer) {
    const Type *type = type_of(page, layer);
    text_append(&page->text, "<details><summary class=\"row\"><b>");
    html_name(&page->text, layer->label);
    text_append(&page->text, "</b><span>");
    if (type)
        html_text(&page->text, type_text(page->arena, type));
    text_append(&page->text, "</span><span>");
    append_density(page, type);
    text_append(&page->text, "</span>");
    append_totals(page, totals_of_layer(page, layer));
    text_append(&page->text, "</summary>\n");
    for (size_t i = 0; i < layer->children.count; i++)
        append_layer(page, layer->children.items[i]);
    if (layer->items.count)
        text_append(&page->text, "<div class=\"kernels\">\n");
    for (size_t i = 0; i < layer->items.count; i++)
        append_kernel(page, layer->items.items[i]);
    text_append(&page->text, "%s</details>\n", layer->items.count ? "</div>\n" : "");
}

static void append_fact(Page *page, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void append_fact(Page *page, const char *what, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    text_append(&page->text, "<div class=\"fact\"><b>%s</b>%s</div>\n",
                arena_vformat(page->arena, format, arguments), what);
    va_end(arguments);
}

static void append_facts(Page *page) {
    const Program *program = page->program;
    const Geometry *geometry = &program->geometry;
    Graph cells = {.geometry = *geometry};
    text_append(&page->text, "<div class=\"facts\">\n");
    append_fact(page, "images of a step", "%" PRId64, geometry->batch);
    if (geometry->keep)
        append_fact(page, "cells visible", "%" PRId64 " of %" PRId64, geometry->keep,
                    graph_cells(&cells));
    append_fact(page, "kernels", "%zu", program->kernels.count);
    append_fact(page, "multiply-adds", "%.3g G", 1e-9 * (double)page->total.multiply_adds);
    append_fact(page, "parameters", "%.3g MB",
                1e-6 * (double)kernel_region_bytes(program, REGION_PARAMS));
    append_fact(page, "scratch memory", "%.3g MB",
                1e-6 * (double)kernel_region_bytes(program, REGION_SCRATCH));
    if (page->profile)
        append_fact(page, "a step", "%.3g ms", 1e3 * profile_step_seconds(page->profile));
    text_append(&page->text, "</div>\n");
}

static void append_layers(Page *page) {
    text_append(&page->text,
                "<h2>Layers</h2>\n<div class=\"layers\"><div class=\"row head\"><span>layer</span>"
                "<span>shape</span><span>visible</span><span>multiply-adds</span>"
                "<span>memory</span><span>time</span></div>\n");
    for (size_t i = 0; i < page->layers->children.count; i++)
        append_layer(page, page->layers->children.items[i]);
    text_append(&page->text, "</div>\n");
}

char *layer_page(Arena *arena, const Staged *staged, const Profile *profile) {
    Page page = {.arena = arena,
                 .text = text_create(arena),
                 .program = staged->build.program,
                 .profile = profile,
                 .layers = layer_tree_create(arena),
                 .values = layer_tree_create(arena),
                 .total = cost_of_program(staged->build.program)};
    collect_types(&page, staged->graph);
    collect_kernels(&page);
    Text title = text_create(arena);
    html_name(&title, page.program->network);
    html_begin(&page.text, title.data, style);
    append_facts(&page);
    append_layers(&page);
    text_append(&page.text,
                "<h2>Scratch memory</h2>\n<p class=\"soft\">To the right the kernels in "
                "the order they run, upwards the addresses.</p>\n");
    buffer_picture(&page.text, page.program);
    text_append(&page.text, "</main></body></html>\n");
    return page.text.data;
}
