#include "tools/inspect/graph_dot.h"

#include <inttypes.h>
#include <string.h>

#include "ir/kernel_names.h"
#include "tools/inspect/layer_tree.h"

/* Longer names end in dots: a box is not a page. */
enum { LONGEST_NAME = 80 };

void graph_dot_name(Text *out, const char *name) {
    Text shown = text_create(out->arena);
    text_append_escaped(&shown, name);
    size_t length = shown.length < LONGEST_NAME ? shown.length : LONGEST_NAME;
    while (length < shown.length && length > 0 &&
           ((unsigned char)shown.data[length] & 0xC0) == 0x80)
        length--;
    text_append(out, "\"");
    for (size_t i = 0; i < length; i++) {
        if (strchr("\"\\", shown.data[i]))
            text_append(out, "\\");
        text_append_bytes(out, &shown.data[i], 1);
    }
    text_append(out, "%s\"", length < shown.length ? "..." : "");
}

typedef struct Drawing {
    Arena *arena;
    Text text;
    LayerTree *tree;
    int clusters;
} Drawing;

static Drawing begin(Arena *arena, const char *network) {
    Drawing drawing = {
        .arena = arena, .text = text_create(arena), .tree = layer_tree_create(arena)};
    text_append(&drawing.text, "digraph ");
    graph_dot_name(&drawing.text, network);
    text_append(&drawing.text, " {\n    node [shape=box, fontname=\"sans-serif\"];\n"
                               "    edge [fontname=\"sans-serif\", fontsize=9];\n");
    return drawing;
}

/* Box `number` with two lines, and where it lies: in the layer that its name lies below. */
static void add_box(Drawing *drawing, int number, const char *name, const char *line) {
    const char *point = strrchr(name, '.');
    const char *parent = arena_copy_text(drawing->arena, name, point ? (size_t)(point - name) : 0);
    LayerTree *layer = layer_tree_find(drawing->arena, drawing->tree, parent);
    vector_push(drawing->arena, &layer->items, number);
    text_append(&drawing->text, "    n%d [label=", number);
    graph_dot_name(&drawing->text, name);
    text_append(&drawing->text, ", xlabel=");
    graph_dot_name(&drawing->text, line);
    text_append(&drawing->text, "];\n");
}

static void add_arrow(Drawing *drawing, int from, int to, const char *label) {
    text_append(&drawing->text, "    n%d -> n%d [label=", from, to);
    graph_dot_name(&drawing->text, label);
    text_append(&drawing->text, "];\n");
}

/* The layers as boxes; as deep as a tree may be. */
static void add_layer(Drawing *drawing, const LayerTree *layer) {
    for (size_t i = 0; i < layer->children.count; i++) {
        text_append(&drawing->text, "subgraph cluster_%d {\nlabel=", drawing->clusters++);
        graph_dot_name(&drawing->text, layer->children.items[i]->label);
        text_append(&drawing->text, ";\n");
        add_layer(drawing, layer->children.items[i]);
        text_append(&drawing->text, "}\n");
    }
    for (size_t i = 0; i < layer->items.count; i++)
        text_append(&drawing->text, "n%d; ", layer->items.items[i]);
    text_append(&drawing->text, layer->items.count ? "\n" : "");
}

static char *finish(Drawing *drawing) {
    add_layer(drawing, drawing->tree);
    text_append(&drawing->text, "}\n");
    return drawing->text.data;
}

/* ---- Graphs ---------------------------------------------------------------------------------- */

static bool is_drawn(const Node *node) {
    return node->op != OP_constant && node->op != OP_param && node->op != OP_state;
}

static void draw_node(Drawing *drawing, const Node *node, int number) {
    bool sink = op_info(node->op)->result_count == 0;
    const char *name = sink ? node_text(node, "name") : node->results[0].name;
    add_box(drawing, number, *name ? name : "params", op_info(node->op)->name);
    for (int i = 0; i < node->operand_count; i++) {
        const Value *operand = node->operands[i];
        if (operand && is_drawn(operand->node))
            add_arrow(drawing, (int)operand->node->mark, number,
                      type_text(drawing->arena, &operand->type));
    }
}

static char *draw_graph(Arena *arena, Graph *graph) {
    Drawing drawing = begin(arena, graph->network);
    int count = 0;
    graph_each(graph, node) {
        if (!is_drawn(node))
            continue;
        node->mark = count;
        draw_node(&drawing, node, count++);
    }
    graph_clear_marks(graph);
    return finish(&drawing);
}

/* ---- Programs -------------------------------------------------------------------------------- */

/* An arrow from the kernel that wrote a scratch buffer last to each one that reads it. */
static char *draw_program(Arena *arena, const Program *program) {
    Drawing drawing = begin(arena, program->network);
    int *writer = arena_new_array(arena, int, program->buffers.count + 1);
    for (size_t k = 0; k < program->kernels.count; k++) {
        const Kernel *kernel = program->kernels.items[k];
        KernelUse uses[KERNEL_MAX_USES];
        int count = kernel_uses(program, kernel, uses);
        add_box(&drawing, (int)k, kernel->name, kernel_kind_name(kernel->kind));
        for (int i = 0; i < count; i++) {
            const Buffer *buffer = &program->buffers.items[uses[i].buffer];
            if (!uses[i].write && writer[uses[i].buffer] > 0)
                add_arrow(&drawing, writer[uses[i].buffer] - 1, (int)k,
                          arena_format(arena, "%" PRId64 " B",
                                       buffer->elements * (int64_t)dtype_size(buffer->dtype)));
        }
        for (int i = 0; i < count; i++) {
            if (uses[i].write)
                writer[uses[i].buffer] = (int)k + 1;
        }
    }
    return finish(&drawing);
}

char *graph_dot(Arena *arena, const Staged *staged) {
    return staged->build.program ? draw_program(arena, staged->build.program)
                                 : draw_graph(arena, staged->graph);
}
