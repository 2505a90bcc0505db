/* select: keeps the outputs that the entry wants, and what they need.
 *
 *     output %a {name="feature.0"}
 *     output %b {name="logits"}        ->      output %a {name="feature.0"}
 *
 * The front end puts the whole network into one graph; what an entry does not want must go before
 * the other passes look: a flatten in the head is no reason to refuse the encoder. Parameters and
 * running statistics of the head leave the tables with it, else the optimizer would decay weights
 * that nothing trains.
 *
 * The images per step are set here as well, because no later pass may see two batch sizes. */
#include <inttypes.h>

#include "passes/dce.h"
#include "passes/network.h"
#include "passes/retype.h"

static bool is_wanted(const Node *output, Entry entry) {
    return network_is_feature(output) ? entry != ENTRY_LOGITS : network_entry_has_head(entry);
}

/* The number of outputs kept without which the entry is nothing; *changed becomes true if one went.
 * Fine-tuning keeps features for what they say of the levels, and needs none. */
static size_t keep_outputs(Graph *graph, Entry entry, bool *changed) {
    size_t kept = 0;
    graph_each(graph, node) {
        if (node->op != OP_output)
            continue;
        if (is_wanted(node, entry)) {
            kept += !(network_is_feature(node) && network_entry_has_head(entry));
        } else {
            graph_remove(graph, node);
            *changed = true;
        }
    }
    return kept;
}

static void report_nothing_left(const Graph *graph, Entry entry, Diagnostics *diagnostics) {
    const Value *image = network_image(graph);
    Location location = image ? image->node->location : (Location){0};
    if (network_entry_has_head(entry)) {
        diagnostics_report(diagnostics, SEVERITY_ERROR, location, "network %s has no head",
                           graph->network);
        diagnostics_hint(diagnostics, "head { ... } at the end of a network gives its logits");
    } else {
        diagnostics_report(diagnostics, SEVERITY_ERROR, location, "network %s has no feature",
                           graph->network);
        diagnostics_hint(diagnostics, "`feature x` marks a map that the decoder sees");
    }
}

/* What was marked as the head's must not be needed any more. */
static bool check_head_is_unused(const Graph *graph, Diagnostics *diagnostics) {
    graph_each(graph, node) {
        const Segment *segment =
            node->op == OP_param ? graph_find_segment(graph, node_text(node, "segment")) : NULL;
        const StateSlot *state =
            node->op == OP_state ? graph_find_state(graph, node_text(node, "name")) : NULL;
        if (!(segment && segment->part == PART_HEAD) && !(state && state->part == PART_HEAD))
            continue;
        diagnostics_report(diagnostics, SEVERITY_ERROR, node->location,
                           "a feature needs %s, which is part of the head",
                           segment ? segment->name : state->name);
        return false;
    }
    return true;
}

static bool set_batch(Graph *graph, int64_t batch, Diagnostics *diagnostics) {
    Value *image = network_image(graph);
    if (batch == 0 || image == NULL || batch == graph->geometry.batch)
        return false;
    if (batch < 0 || batch > INT32_MAX) {
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "the batch must be from 1 to %d images, this is %" PRId64, INT32_MAX,
                           batch);
        return false;
    }
    graph->geometry.batch = batch;
    image->type.batch = batch;
    retype_users(graph, image, NULL, diagnostics);
    return true;
}

bool pass_select(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    bool segments_only = network_entry_is_update(options->entry) && graph->first == NULL;
    if (segments_only)
        return false;
    bool changed = set_batch(graph, options->batch, diagnostics);
    if (keep_outputs(graph, options->entry, &changed) == 0) {
        report_nothing_left(graph, options->entry, diagnostics);
        return changed;
    }
    changed |= dce_remove(graph, NULL);
    if (!network_entry_has_head(options->entry) && check_head_is_unused(graph, diagnostics))
        changed |= graph_drop_part(graph, PART_HEAD);
    return changed;
}
