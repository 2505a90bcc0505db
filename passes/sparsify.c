/* sparsify: masks the image, and with it every op of the encoder.
 *
 *     %image = input        : f32<8x224x224x3>        %image = input : f32<8x224x224x3>
 *     %x = conv %image, %w  : f32<8x112x112x64>   ->  %cells = input : i32[8x20]
 *                                                     %visible = mask %image, %cells :
 * f32<8x224x224x3 masked 1> %x = conv %visible, %w  : f32<8x112x112x64 masked 2>
 *
 * Only one op is added: that a convolution computes visible outputs alone, or that a norm leaves
 * the hidden positions out of its statistics, is what these ops mean on a masked type. Multiplying
 * the image by the mask and converting layers one by one, as the official code does, loses both the
 * saving and the certainty: a layer that nobody thought of goes on computing with zeros as if they
 * were data. Here each op behind the mask either has a masked rule (ir/ops.def) or is refused by
 * name. */
#include <inttypes.h>
#include <string.h>

#include "base/fatal.h"
#include "base/text.h"
#include "ir/builder.h"
#include "passes/network.h"
#include "passes/retype.h"

/* Why an op cannot be masked, and what to write instead. */
typedef struct Refusal {
    Op op;
    const char *layer, *reason, *hint;
} Refusal;

static const Refusal refusals[] = {
    {OP_conv_transpose, "conv_transpose",
     "a position spreads over its neighbours, hidden ones among them",
     "upsample followed by a conv has one"},
    {OP_upsample, "upsample with mode = \"bilinear\"",
     "it would blend hidden positions into visible ones", "mode = \"nearest\" has one"},
    {OP_flatten, "flatten", "a vector of all positions would hold hidden ones",
     "global_avg_pool takes the mean over the visible positions"},
    {OP_squeeze, "spreading a map of 1 x 1 over space",
     "where its one position is hidden, there is nothing to spread",
     "global_avg_pool gives one number per channel for each image"},
};

static const Refusal *find_refusal(Op op) {
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if (refusals[i].op == op)
            return &refusals[i];
    }
    invariant(false, "%s has no masked form and no reason why", op_info(op)->name);
    return NULL;
}

static bool is_refused(const Node *node) {
    MaskedRule rule = op_info(node->op)->masked;
    return rule == MASKED_REFUSED ||
           (rule == MASKED_UPSAMPLE && strcmp(node_text(node, "mode"), "nearest") != 0);
}

static bool has_masked_operand(const Node *node) {
    for (int i = 0; i < node->operand_count; i++) {
        if (node->operands[i] && node->operands[i]->type.form == FORM_MASKED)
            return true;
    }
    return false;
}

static bool check_masked_form(const Graph *graph, const Node *node, Diagnostics *diagnostics) {
    (void)graph;
    if (!has_masked_operand(node) || !is_refused(node))
        return true;
    const Refusal *refusal = find_refusal(node->op);
    diagnostics_report(diagnostics, SEVERITY_ERROR, node->location,
                       "%s in the encoder has no masked form: %s", refusal->layer, refusal->reason);
    diagnostics_note(diagnostics, "this is layer %s", node->results[0].name);
    diagnostics_hint(diagnostics, "%s", refusal->hint);
    return false;
}

/* "32 x 32" */
static const char *extents_text(Arena *arena, const int64_t *extents, int space) {
    Text text = text_create(arena);
    for (int d = 0; d < space; d++)
        text_append(&text, "%s%" PRId64, d ? " x " : "", extents[d]);
    return text.data;
}

static int64_t power(int64_t base, int exponent) {
    int64_t result = 1;
    for (int i = 0; i < exponent; i++)
        result = type_multiply(result, base);
    return result;
}

/* The side of the smallest image with equal sides of which some cells are kept and some hidden, or
 * 0. */
static int64_t smallest_side(const Geometry *geometry, double mask_ratio) {
    for (int64_t grid = 1; type_multiply(grid, geometry->ratio) < INT32_MAX; grid++) {
        int64_t cells = power(grid, geometry->space);
        int64_t keep = passes_keep(cells, mask_ratio);
        if (keep > 0 && keep < cells)
            return grid * geometry->ratio;
    }
    return 0;
}

static void report_degenerate(const Graph *graph, double mask_ratio, int64_t keep,
                              Diagnostics *diagnostics) {
    const Geometry *geometry = &graph->geometry;
    int64_t grid[TYPE_MAX_SPACE], sides[TYPE_MAX_SPACE], side = smallest_side(geometry, mask_ratio);
    for (int d = 0; d < geometry->space; d++) {
        grid[d] = graph_grid(graph, d);
        sides[d] = side;
    }
    diagnostics_report(diagnostics, SEVERITY_ERROR, network_image(graph)->node->location,
                       "no cell %s: an image of %s has %s cells of %" PRId64
                       " pixels a side, and mask ratio %g hides %s",
                       keep ? "hidden" : "kept",
                       extents_text(graph->arena, geometry->image, geometry->space),
                       extents_text(graph->arena, grid, geometry->space), geometry->ratio,
                       mask_ratio, keep ? "none" : "all of them");
    if (side)
        diagnostics_hint(diagnostics, "at mask ratio %g the smallest %sinput is %s", mask_ratio,
                         geometry->space == 2 ? "square " : "",
                         extents_text(graph->arena, sides, geometry->space));
}

static bool check_unmasked(const Graph *graph, Diagnostics *diagnostics) {
    const Geometry *geometry = &graph->geometry;
    if (geometry->ratio > 0 && geometry->keep == 0 && !graph_find_input(graph, "cells"))
        return true;
    diagnostics_report(diagnostics, SEVERITY_ERROR, network_image(graph)->node->location,
                       geometry->ratio > 0 ? "the image is masked already"
                                           : "the graph has no cells: its geometry has no ratio");
    return false;
}

/* Sets geometry.keep. A ratio of exactly 0 keeps all cells, for timing and checking. */
static bool choose_keep(Graph *graph, double mask_ratio, Diagnostics *diagnostics) {
    if (!(mask_ratio >= 0 && mask_ratio < 1)) {
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "the mask ratio must be at least 0 and less than 1, this is %g",
                           mask_ratio);
        return false;
    }
    int64_t cells = graph_cells(graph), keep = passes_keep(cells, mask_ratio);
    if (mask_ratio > 0 && (keep == 0 || keep == cells)) {
        report_degenerate(graph, mask_ratio, keep, diagnostics);
        return false;
    }
    graph->geometry.keep = keep;
    return true;
}

/* visible = mask(image, cells), right behind the image, read by all who read the image. */
static Value *mask_image(Graph *graph, Value *image) {
    Builder builder = {
        .graph = graph, .before = image->node->next, .location = image->node->location};
    const int64_t shape[] = {graph->geometry.batch, graph->geometry.keep};
    Value *cells = build_stated(&builder, OP_input, "cells", type_plain(DTYPE_I32, 2, shape), NULL,
                                0, ATTRIBUTES(attribute_text("name", "cells")));
    Node *mask = build(&builder, OP_mask, "visible", OPERANDS(image, cells), NO_ATTRIBUTES);
    Value *visible = node_result(mask, 0);
    graph_replace_uses(graph, image, visible);
    mask->operands[0] = image;
    return visible;
}

bool pass_sparsify(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    Value *image = network_image(graph);
    if (!network_entry_is_masked(options->entry) || image == NULL)
        return false;
    if (!check_unmasked(graph, diagnostics) ||
        !choose_keep(graph, options->mask_ratio, diagnostics))
        return false;
    retype_users(graph, mask_image(graph, image), check_masked_form, diagnostics);
    return true;
}
