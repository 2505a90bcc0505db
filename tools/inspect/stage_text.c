#include "tools/inspect/stage_text.h"

#include <string.h>

#include "base/text.h"
#include "ir/kernel_footprint.h"
#include "ir/kernel_print.h"
#include "ir/print.h"
#include "tools/inspect/costs.h"
#include "tools/inspect/labels.h"

/* What an op or a kernel is to the layer that is shown. */
typedef enum Place { PLACE_OUTSIDE, PLACE_READ, PLACE_INSIDE, PLACE_READER } Place;

static const char *const remarks[] = {
    [PLACE_READ] = "read by it", [PLACE_INSIDE] = NULL, [PLACE_READER] = "reads it"};

typedef struct StageText {
    Arena *arena;
    const StageTextOptions *options;
    Text text;
    Cost total;
    bool found; /* something is inside */
} StageText;

/* ---- Costs and remarks ----------------------------------------------------------------------- */

static void append_count(Text *text, int64_t count, int64_t total, const char *unit) {
    cost_append(text, count, unit);
    if (total > 0)
        text_append(text, " (%.2g %%)", 100 * (double)count / (double)total);
}

static void append_cost(StageText *stage, Cost cost) {
    if (cost.multiply_adds > 0) {
        append_count(&stage->text, cost.multiply_adds, stage->total.multiply_adds, "MAC");
        text_append(&stage->text, ", ");
    }
    append_count(&stage->text, cost.bytes, stage->total.bytes, "B");
}

/* What stands behind a line, with the line's end. */
static void append_remark(StageText *stage, Place place, Cost cost) {
    const char *remark = remarks[place];
    bool costs = stage->options->costs && (cost.bytes > 0 || cost.multiply_adds > 0);
    if (remark || costs)
        text_append(&stage->text, "  // %s%s", remark ? remark : "", remark && costs ? "; " : "");
    if (costs)
        append_cost(stage, cost);
    text_append(&stage->text, "\n");
}

static void append_total(StageText *stage) {
    if (!stage->options->costs)
        return;
    text_append(&stage->text, "// all: ");
    cost_append(&stage->text, stage->total.multiply_adds, "MAC");
    text_append(&stage->text, ", ");
    cost_append(&stage->text, stage->total.bytes, "B read and written\n");
}

/* ---- Graphs ---------------------------------------------------------------------------------- */

static bool node_is_in(const Node *node, const char *layer) {
    bool is_in = !layer;
    for (int i = 0; i < op_info(node->op)->result_count; i++)
        is_in = is_in || label_is_in(node->results[i].name, layer);
    return is_in;
}

static bool reads_inside(const Node *node) {
    for (int i = 0; i < node->operand_count; i++) {
        if (node->operands[i] && node->operands[i]->node->mark == PLACE_INSIDE)
            return true;
    }
    return false;
}

static void mark_operands(const Node *node) {
    for (int i = 0; i < node->operand_count; i++) {
        Value *operand = node->operands[i];
        if (operand && operand->node->mark == PLACE_OUTSIDE)
            operand->node->mark = PLACE_READ;
    }
}

/* The place of each node, as its mark. */
static void place_nodes(StageText *stage, Graph *graph) {
    graph_each(graph, node) {
        if (node_is_in(node, stage->options->only)) {
            node->mark = PLACE_INSIDE;
            stage->found = true;
        }
    }
    for (Node *node = graph->last; node; node = node->previous) {
        if (node->mark == PLACE_INSIDE)
            mark_operands(node);
        else if (reads_inside(node))
            node->mark = PLACE_READER;
    }
}

static void append_tables(StageText *stage, const Graph *graph) {
    const char *layer = stage->options->only;
    Graph tables = *graph;
    if (!layer) {
        print_tables(&stage->text, "graph", PRINT_GRAPH_VERSION, graph);
        return;
    }
    for (size_t i = 0; i < tables.segments.count; i++) {
        if (label_is_in(tables.segments.items[i].name, layer))
            print_segment(&stage->text, &tables.segments.items[i]);
    }
    for (size_t i = 0; i < tables.states.count; i++) {
        if (label_is_in(tables.states.items[i].name, layer))
            print_state(&stage->text, &tables.states.items[i]);
    }
}

static void append_graph(StageText *stage, Graph *graph) {
    stage->total = cost_of_graph(graph);
    place_nodes(stage, graph);
    append_tables(stage, graph);
    graph_each(graph, node) {
        if (node->mark == PLACE_OUTSIDE)
            continue;
        print_node(&stage->text, node);
        append_remark(stage, (Place)node->mark, cost_of_node(graph, node));
    }
    graph_clear_marks(graph);
}

/* ---- Programs -------------------------------------------------------------------------------- */

/* A stretch of a scratch buffer that the kernels inside read or write. Regions are one buffer for
 * all parameters: only values of the program count as a way from kernel to kernel. */
typedef struct Stretch {
    int buffer;
    bool write;
    int64_t first, last; /* elements */
} Stretch;

typedef struct Stretches {
    VECTOR(Stretch) list;
} Stretches;

static Stretch stretch_of(const Footprint *footprint) {
    Stretch stretch = {footprint->buffer, footprint->write, footprint->base, footprint->base};
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++) {
        int64_t reach = (footprint->count[d] - 1) * footprint->stride[d];
        *(reach < 0 ? &stretch.first : &stretch.last) += reach;
    }
    return stretch;
}

static void collect_stretches(Arena *arena, const Program *program, const Kernel *kernel,
                              Stretches *stretches) {
    Footprint footprints[FOOTPRINT_MAX];
    int count = kernel_footprints(program, kernel, footprints);
    for (int i = 0; i < count; i++) {
        int buffer = footprints[i].buffer;
        if (buffer >= 0 && program->buffers.items[buffer].region == REGION_SCRATCH)
            vector_push(arena, &stretches->list, stretch_of(&footprints[i]));
    }
}

static bool meet(const Stretch *a, const Stretch *b) {
    return a->buffer == b->buffer && a->first <= b->last && b->first <= a->last;
}

/* What a kernel outside is to those inside, which touch the stretches. */
static Place place_of(Arena *arena, const Program *program, const Kernel *kernel,
                      const Stretches *inside) {
    Stretches own = {0};
    Place place = PLACE_OUTSIDE;
    collect_stretches(arena, program, kernel, &own);
    for (size_t i = 0; i < own.list.count; i++) {
        const Stretch *mine = &own.list.items[i];
        for (size_t k = 0; k < inside->list.count; k++) {
            const Stretch *other = &inside->list.items[k];
            if (mine->write == other->write || !meet(mine, other))
                continue;
            if (mine->write)
                return PLACE_READ;
            place = PLACE_READER;
        }
    }
    return place;
}

/* The place of each kernel. */
static Place *place_kernels(StageText *stage, const Program *program) {
    const char *layer = stage->options->only;
    Place *places = arena_new_array(stage->arena, Place, program->kernels.count + 1);
    Stretches inside = {0};
    for (size_t i = 0; i < program->kernels.count; i++) {
        const Kernel *kernel = program->kernels.items[i];
        if (layer && !label_is_in(kernel->name, layer))
            continue;
        places[i] = PLACE_INSIDE;
        stage->found = true;
        if (layer)
            collect_stretches(stage->arena, program, kernel, &inside);
    }
    for (size_t i = 0; i < program->kernels.count; i++) {
        if (places[i] == PLACE_OUTSIDE)
            places[i] = place_of(stage->arena, program, program->kernels.items[i], &inside);
    }
    return places;
}

/* The lines of a kernel; what there is to say stands behind the first. */
static void append_kernel(StageText *stage, const Program *program, const Kernel *kernel,
                          Place place) {
    Text lines = text_create(stage->arena);
    kernel_print_kernel(&lines, program, kernel);
    size_t first = strcspn(lines.data, "\n");
    text_append_bytes(&stage->text, lines.data, first);
    append_remark(stage, place, cost_of_kernel(program, kernel));
    text_append(&stage->text, "%s", lines.data + first + 1);
}

static void append_program(StageText *stage, const Program *program) {
    stage->total = cost_of_program(program);
    const Place *places = place_kernels(stage, program);
    if (!stage->options->only)
        kernel_print_tables(&stage->text, program);
    for (size_t i = 0; i < program->kernels.count; i++) {
        if (places[i] != PLACE_OUTSIDE)
            append_kernel(stage, program, program->kernels.items[i], places[i]);
    }
}

Program *stage_text_kernels(Arena *arena, const Program *program, const char *only) {
    Program *some = arena_new(arena, Program);
    *some = *program;
    some->kernels.items = arena_new_array(arena, Kernel *, program->kernels.count + 1);
    some->kernels.count = 0;
    some->kernels.capacity = program->kernels.count + 1;
    for (size_t i = 0; i < program->kernels.count; i++) {
        if (label_is_in(program->kernels.items[i]->name, only))
            some->kernels.items[some->kernels.count++] = program->kernels.items[i];
    }
    return some;
}

char *stage_text(Arena *arena, const Staged *staged, const StageTextOptions *options) {
    StageText stage = {.arena = arena, .options = options, .text = text_create(arena)};
    if (staged->build.program)
        append_program(&stage, staged->build.program);
    else
        append_graph(&stage, staged->graph);
    append_total(&stage);
    if (!options->only)
        text_append(&stage.text, "end\n");
    return stage.found || !options->only ? stage.text.data : NULL;
}
