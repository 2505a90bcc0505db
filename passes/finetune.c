/*     output(%y) {name="logits"}
 *         =>
 *     %targets = input() {name="targets"}
 *     %log_softmax = log_softmax(%y)
 *     %loss = -1 / batch sum(%targets %log_softmax)
 *     output(%loss) {name="loss"}
 *
 * The host mixes and smooths the targets: what it draws for that is no matter of the network's. */
#include "passes/finetune.h"
#include "passes/dce.h"

#include "ir/builder.h"
#include "passes/dce.h"
#include "passes/layer_groups.h"
#include "passes/network.h"

/* The mean over the batch of -sum(targets log_softmax(logits)). */
static Value *cross_entropy(Builder *builder, Value *logits, Value *targets) {
    Value *log = build_unary(builder, OP_log_softmax, "log_softmax", logits);
    Value *terms = build_binary(builder, OP_mul, "terms", targets, log);
    return build_scale(builder, NULL, build_sum(builder, "sum", terms, "all"),
                       -1 / (double)logits->type.batch);
}

/* The mean over batch and classes of -t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x)), which is
 * softplus(x) - t x. */
static Value *binary_cross_entropy(Builder *builder, Value *logits, Value *targets) {
    Value *whole = build_unary(builder, OP_softplus, "softplus", logits);
    Value *hit = build_binary(builder, OP_mul, "hit", targets, logits);
    Value *terms = build_binary(builder, OP_sub, "terms", whole, hit);
    const Type *type = &logits->type;
    return build_scale(builder, NULL, build_sum(builder, "sum", terms, "all"),
                       1 / ((double)type->batch * (double)type->channels));
}

static bool check_graph(const Graph *graph, const Node *output, Diagnostics *diagnostics) {
    const char *obstacle = NULL;
    const Type *type = output ? &output->operands[0]->type : NULL;
    if (!output)
        obstacle = "the graph has no output \"logits\"";
    else if (type->form != FORM_PER_IMAGE || type->dtype != DTYPE_F32)
        obstacle = arena_format(graph->arena, "the logits must be f32 per image, they are %s",
                                type_text(graph->arena, type));
    else if (graph_find_input(graph, "targets"))
        obstacle = "the graph has an input \"targets\" already";
    if (obstacle)
        diagnostics_report(diagnostics, SEVERITY_ERROR, output ? output->location : (Location){0},
                           "%s", obstacle);
    return !obstacle && network_output_is_free(graph, "loss", diagnostics);
}

static void add_loss(Graph *graph, const PassOptions *options, Value *logits) {
    Builder builder = {.graph = graph, .prefix = "loss"};
    Value *targets = build_stated(&builder, OP_input, "targets", logits->type, NULL, 0,
                                  ATTRIBUTES(attribute_text("name", "targets")));
    bool binary = options->finetune_loss == FINETUNE_BINARY_CROSS_ENTROPY;
    Value *loss = (binary ? binary_cross_entropy : cross_entropy)(&builder, logits, targets);
    graph_name(graph, loss, "loss");
    build(&builder, OP_output, NULL, OPERANDS(loss), ATTRIBUTES(attribute_text("name", "loss")));
}

bool finetune_objective(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    const Node *output = graph_find_output(graph, "logits");
    if (!check_graph(graph, output, diagnostics))
        return false;
    if (options->layer_decay > 0)
        layer_groups_scale(graph, options->layer_decay);
    add_loss(graph, options, output->operands[0]);
    NetworkFeatures features = network_features(graph);
    for (size_t i = 0; !options->expose && i < features.count; i++)
        graph_remove(graph, features.items[i]);
    dce_remove(graph, NULL);
    return true;
}
