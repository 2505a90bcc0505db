#include "passes/report.h"

#include <string.h>

/* Hash tables take their memory from the `arena` in scope. */
#define uthash_malloc(size)       arena_alloc(arena, 1, size)
#define uthash_free(memory, size) ((void)0)
#include <uthash.h>

#include "base/text.h"

typedef struct NamedNode {
    const char *name;
    const Node *node;
    UT_hash_handle hh;
} NamedNode;

static int64_t tap_count(const Node *node) {
    int count;
    const int64_t *kernel = node_ints(node, "kernel", &count);
    int64_t taps = 1;
    for (int d = 0; d < count; d++)
        taps = type_multiply(taps, kernel[d]);
    return taps;
}

/* Of a conv from a masked map to all positions, or a gradient of one, a tap finds no more rows than
 * are visible. */
static const Type *fewer_rows(const Graph *graph, const Node *node, const Type *x, const Type *y,
                              const Type *rows) {
    if (!node_bool(node, "dense"))
        return rows;
    return graph_rows(graph, x) < graph_rows(graph, y) ? x : y;
}

/* Rows of one operand or result x in x out of a group x groups x taps. */
static int64_t conv_macs(const Graph *graph, const Node *node, const Type *rows, int64_t in,
                         int64_t out) {
    int64_t macs = type_multiply(graph_rows(graph, rows), tap_count(node));
    return type_multiply(type_multiply(macs, in / node_int(node, "groups")), out);
}

int64_t report_macs(const Graph *graph, const Node *node) {
    const Type *x = node->operand_count > 0 ? &node->operands[0]->type : NULL;
    const Type *y = &node->results[0].type;
    switch (node->op) {
    case OP_conv:
        return conv_macs(graph, node, fewer_rows(graph, node, x, y, y), x->channels, y->channels);
    case OP_conv_transpose:
        return conv_macs(graph, node, fewer_rows(graph, node, x, y, x), x->channels, y->channels);
    case OP_conv_weight_grad: {
        const Type *dy = &node->operands[1]->type;
        return conv_macs(graph, node, fewer_rows(graph, node, x, dy, dy), x->channels,
                         dy->channels);
    }
    case OP_linear:
        return type_multiply(graph_rows(graph, x), type_multiply(x->channels, y->channels));
    case OP_linear_weight_grad: {
        const Type *dy = &node->operands[1]->type;
        return type_multiply(graph_rows(graph, x), type_multiply(x->channels, dy->channels));
    }
    case OP_token_taps:
    case OP_token_taps_grad:
        return type_plain_elements(&node->operands[1]->type);
    case OP_token_taps_weight_grad:
        return type_plain_elements(y);
    default:
        return 0;
    }
}

static bool is_layer(const Node *node) {
    return op_info(node->op)->masked != MASKED_INTERNAL;
}

static NamedNode *index_layers(const Graph *graph, Arena *arena) {
    NamedNode *table = NULL;
    graph_each(graph, node) {
        if (!is_layer(node))
            continue;
        NamedNode *entry = arena_new(arena, NamedNode);
        entry->name = node->results[0].name;
        entry->node = node;
        HASH_ADD_KEYPTR(hh, table, entry->name, strlen(entry->name), entry);
    }
    return table;
}

static const Node *find_layer(NamedNode *table, const char *name) {
    NamedNode *entry;
    HASH_FIND_STR(table, name, entry);
    return entry ? entry->node : NULL;
}

static int64_t sum_macs(int64_t a, int64_t b) {
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

static void push_layer(Report *report, Arena *arena, ReportLayer layer) {
    vector_push(arena, &report->layers, layer);
    if (layer.part == PART_HEAD)
        return;
    report->macs_dense = sum_macs(report->macs_dense, layer.macs_dense);
    report->macs_masked = sum_macs(report->macs_masked, layer.macs_masked);
}

/* The layer of the whole graph, with its counterpart in the masked one, NULL if it is not
 * pretrained. */
static ReportLayer network_layer(const Graph *graph, const Node *node, const Graph *masked_graph,
                                 const Node *masked) {
    MaskedRule rule = op_info(node->op)->masked;
    const Type *before = &node->results[0].type;
    return (ReportLayer){.name = node->results[0].name,
                         .op = node->op,
                         .part = masked ? PART_ENCODER : PART_HEAD,
                         .rule = masked ? masked_rule_text(rule) : "head, not pretrained",
                         .location = node->location,
                         .before = *before,
                         .after = masked ? masked->results[0].type : *before,
                         .macs_dense = report_macs(graph, node),
                         .macs_masked = masked ? report_macs(masked_graph, masked) : 0};
}

static void add_network(Report *report, const Graph *graph, const Graph *masked, Arena *arena) {
    NamedNode *table = index_layers(masked, arena);
    graph_each(graph, node) {
        if (!is_layer(node))
            continue;
        const Node *counterpart = find_layer(table, node->results[0].name);
        push_layer(report, arena, network_layer(graph, node, masked, counterpart));
    }
}

/* A conv of a densified map, which the pass split takes apart. */
static bool is_split(const Node *node) {
    return node->op == OP_conv && node->operands[0]->node->op == OP_densify;
}

/* Without what all hidden rows share. */
static int64_t split_macs(const Graph *graph, const Node *node) {
    if (!is_split(node))
        return report_macs(graph, node);
    const Type *x = &node->operands[0]->node->operands[0]->type, *y = &node->results[0].type;
    const Type *rows = graph_rows(graph, x) < graph_rows(graph, y) ? x : y;
    return conv_macs(graph, node, rows, x->channels, y->channels);
}

/* The layers behind the last one of the encoder: those that pretraining adds, by their official
 * names. */
static void add_pretraining(Report *report, const Graph *masked, const Graph *graph, Arena *arena) {
    NamedNode *own = index_layers(graph, arena);
    graph_each(masked, node) {
        const char *name = is_layer(node) ? node->results[0].name : "";
        bool decoder = text_starts_with(name, "dense_decoder.");
        if (!(decoder || text_starts_with(name, "densify_")) || find_layer(own, name))
            continue;
        const Type *type = &node->results[0].type;
        push_layer(report, arena,
                   (ReportLayer){.name = name,
                                 .op = node->op,
                                 .part = decoder ? PART_DECODER : PART_DENSIFY,
                                 .rule = type->form == FORM_MASKED
                                             ? masked_rule_text(op_info(node->op)->masked)
                                         : is_split(node) ? "all positions, of visible rows"
                                                          : "behind the mask, all positions",
                                 .before = *type,
                                 .after = *type,
                                 .macs_dense = report_macs(masked, node),
                                 .macs_masked = split_macs(masked, node)});
    }
}

bool report_create(const Graph *graph, const PassOptions *options, Arena *arena,
                   Diagnostics *diagnostics, Report *report) {
    Graph *whole = graph_copy(graph, arena), *masked = graph_copy(graph, arena);
    PassOptions pretraining = *options;
    pretraining.entry = ENTRY_RECONSTRUCT;
    pretraining.batch = 0;
    *report = (Report){.macs_dense = 0};
    if (!passes_run(masked, &pretraining, "objective", diagnostics, NULL, NULL))
        return false;
    add_network(report, whole, masked, arena);
    add_pretraining(report, masked, whole, arena);
    return true;
}
