/* autodiff: the gradients of the loss for every parameter, as ordinary ops behind the graph.
 *
 *     %y = linear %x, %w                    %y = linear %x, %w
 *     output %loss {name="loss"}     =>     output %loss {name="loss"}
 *                                           %y.grad.weight = linear_weight_grad %x, %y.grad
 *                                           %gradients = collect %y.grad.weight, ...
 *
 * The walk goes from the loss back to the first op. Only an op that depends on a parameter and that
 * a gradient reaches is differentiated: of running statistics, targets and the image nothing is
 * built. Asking each op in isolation "which of your operands is a parameter" would be wrong: a
 * gradient is complete only when all users of a value have been visited, which the reverse order of
 * the block guarantees, and the sum over the users is built as their contributions arrive.
 *
 * needs: no composites (expand), an output "loss" of type f32[].
 * keeps: all ops before; adds only behind the last one. */
#include <string.h>

#include "base/fatal.h"
#include "passes/decisions.h"
#include "passes/gradient.h"
#include "passes/network.h"

/* What the walk knows of a forward op; a node's mark is its visit's index + 1, and 0 for the ops
 * that the walk adds. */
typedef struct Visit {
    bool active;                      /* depends on a parameter */
    Value *gradients[OP_MAX_RESULTS]; /* the sum of what has arrived, NULL: nothing yet */
} Visit;

typedef struct Walk {
    Graph *graph;
    Diagnostics *diagnostics;
    Visit *visits;
} Walk;

static GradientRule *const rules[OP_COUNT] = {
#define OP(name, operands, results, attributes, shape, gradient, masked, flags)                    \
    [OP_##name] = gradient_##gradient,
#include "ir/ops.def"
#undef OP
};

void gradient_zero(Gradient *gradient) {
    (void)gradient;
}

void gradient_none(Gradient *gradient) {
    diagnostics_report(gradient->diagnostics, SEVERITY_ERROR, gradient->node->location,
                       "%s depends on parameters and the loss on it, but %s has no derivative",
                       node_result(gradient->node, 0)->name, op_info(gradient->node->op)->name);
}

static Visit *visit_of(Walk *walk, const Node *node) {
    invariant(node->mark > 0, "the walk met a gradient op");
    return &walk->visits[node->mark - 1];
}

static bool depends_on_parameter(Walk *walk, const Node *node) {
    if (node->op == OP_param)
        return true;
    if (rules[node->op] == gradient_zero)
        return false;
    for (int i = 0; i < node->operand_count; i++)
        if (node->operands[i] && visit_of(walk, node->operands[i]->node)->active)
            return true;
    return false;
}

static void find_active(Walk *walk) {
    int64_t count = 0;
    graph_each(walk->graph, node) {
        node->mark = ++count;
    }
    walk->visits = arena_new_array(walk->graph->arena, Visit, (size_t)count);
    graph_each(walk->graph, node) {
        visit_of(walk, node)->active = depends_on_parameter(walk, node);
    }
}

/* Sums are f32 whatever they are of, so that gradients would have another type than their values.
 */
static bool check_active(Walk *walk) {
    graph_each(walk->graph, node) {
        if (visit_of(walk, node)->active &&
            !network_node_is_f32(node, "the derivative of", walk->diagnostics))
            return false;
    }
    return true;
}

/* Appends; the location is that of the forward op, the names start with `prefix`. */
static Builder builder_behind(Graph *graph, Location location, const char *prefix) {
    return (Builder){.graph = graph, .location = location, .prefix = prefix};
}

/* Adds a contribution to the gradient of a value. */
static void accumulate(Walk *walk, Value *value, Value *contribution) {
    Value **sum = &visit_of(walk, value->node)->gradients[value->index];
    if (*sum) {
        Builder builder = builder_behind(walk->graph, value->node->location, value->name);
        contribution = build_binary(&builder, OP_add, "grad", *sum, contribution);
    }
    *sum = contribution;
}

static bool reached(const Visit *visit, const Node *node) {
    for (int i = 0; i < op_info(node->op)->result_count; i++)
        if (visit->gradients[i])
            return true;
    return false;
}

static void differentiate(Walk *walk, Node *node) {
    Visit *visit = visit_of(walk, node);
    if (!visit->active || !reached(visit, node))
        return;
    Arena *arena = walk->graph->arena;
    size_t operands = (size_t)node->operand_count;
    bool *wanted = arena_new_array(arena, bool, operands);
    for (size_t i = 0; i < operands; i++)
        wanted[i] = node->operands[i] && visit_of(walk, node->operands[i]->node)->active;
    const char *prefix = arena_format(arena, "%s.grad", node_result(node, 0)->name);
    Gradient gradient = {.builder = builder_behind(walk->graph, node->location, prefix),
                         .diagnostics = walk->diagnostics,
                         .node = node,
                         .wanted = wanted,
                         .operands = arena_new_array(arena, Value *, operands)};
    memcpy(gradient.results, visit->gradients, sizeof gradient.results);
    rules[node->op](&gradient);
    for (size_t i = 0; i < operands; i++)
        if (gradient.operands[i])
            accumulate(walk, node->operands[i], gradient.operands[i]);
}

/* The gradient of each segment in the graph's order: the sum over the nodes that read it, or zero
 * if the loss does not depend on it. */
static Value **segment_gradients(Walk *walk) {
    Graph *graph = walk->graph;
    size_t count = graph->segments.count;
    Value **gradients = arena_new_array(graph->arena, Value *, count);
    graph_each(graph, node) {
        if (node->op != OP_param || node->mark == 0 || !visit_of(walk, node)->gradients[0])
            continue;
        int segment = graph_segment_index(graph, node_text(node, "segment"));
        invariant(segment >= 0, "%s reads a segment that does not exist", node->results[0].name);
        Value *gradient = visit_of(walk, node)->gradients[0], **sum = &gradients[segment];
        Builder builder = builder_behind(graph, node->location, node->results[0].name);
        *sum = *sum ? build_binary(&builder, OP_add, "grad", *sum, gradient) : gradient;
    }
    for (size_t i = 0; i < count; i++) {
        const Segment *segment = &graph->segments.items[i];
        Builder builder = builder_behind(graph, (Location){0}, segment->name);
        if (!gradients[i])
            gradients[i] = build_stated(&builder, OP_constant, "grad", segment->type, NULL, 0,
                                        ATTRIBUTES(attribute_float("value", 0)));
    }
    return gradients;
}

/* The flat value "gradients", and on request an output per segment. */
static void collect(Walk *walk, bool expose) {
    Graph *graph = walk->graph;
    Value **gradients = segment_gradients(walk);
    size_t count = graph->segments.count;
    Builder builder = builder_behind(graph, (Location){0}, NULL);
    build(&builder, OP_collect, "gradients", gradients, (int)count, NO_ATTRIBUTES);
    for (size_t i = 0; expose && i < count; i++) {
        const char *name = arena_format(graph->arena, "grad.%s", graph->segments.items[i].name);
        build(&builder, OP_output, NULL, OPERANDS(gradients[i]),
              ATTRIBUTES(attribute_text("name", name)));
    }
}

/* The value of the output "loss", or NULL with a report. */
static Value *find_loss(const Graph *graph, Diagnostics *diagnostics) {
    Node *output = graph_find_output(graph, "loss");
    if (!output || graph->segments.count == 0) {
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "%s cannot be trained: it has no %s", graph->network,
                           output ? "parameters" : "output \"loss\"");
        return NULL;
    }
    Value *loss = output->operands[0];
    Type number = type_scalar(DTYPE_F32);
    if (type_equal(&loss->type, &number))
        return loss;
    diagnostics_report(diagnostics, SEVERITY_ERROR, output->location,
                       "the loss must be one number, f32[], but it is %s",
                       type_text(graph->arena, &loss->type));
    return NULL;
}

bool pass_autodiff(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    if (!network_entry_has_gradients(options->entry))
        return false;
    int errors = diagnostics_error_count(diagnostics);
    decisions(graph, options, diagnostics);
    Value *loss =
        diagnostics_error_count(diagnostics) == errors ? find_loss(graph, diagnostics) : NULL;
    if (!loss)
        return false;
    Walk walk = {.graph = graph, .diagnostics = diagnostics};
    find_active(&walk);
    if (!check_active(&walk)) {
        graph_clear_marks(graph);
        return false;
    }
    Node *last = graph->last;
    Builder builder = builder_behind(graph, loss->node->location, loss->name);
    Value *seed = build_stated(&builder, OP_constant, "grad", loss->type, NULL, 0,
                               ATTRIBUTES(attribute_float("value", 1)));
    visit_of(&walk, loss->node)->gradients[loss->index] = seed;
    for (Node *node = last; node; node = node->previous)
        differentiate(&walk, node);
    if (diagnostics_error_count(diagnostics) == errors)
        collect(&walk, options->expose);
    graph_clear_marks(graph);
    return true;
}
