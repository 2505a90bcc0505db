/* optimizer: the update as ordinary ops over flat values, and the step as a transaction.
 *
 *     output %loss {name="loss"}            %norm = sqrt (sum of %gradients^2)
 *     commit %mean {region=state ...}       %p2 = sub %parameters, ...            (LAMB, AdamW or
 * SGD) %gradients = collect ...        ->    %ok = mul (is_finite %loss), (is_finite %norm) commit
 * (select %ok, %p2, %parameters) {region=params} commit (select %ok, %mean, %old) {region=state
 * ...}
 *
 * Parameters, gradients and moments are one flat array each, so the update is a handful of ops for
 * any network; what differs between parameters (decay, factor of the rate, LAMB's norms) stands in
 * the segment table. A step per parameter would be hundreds of small ops, and the norm over all of
 * them a long sum by hand.
 *
 * Nothing is committed, running statistics included, unless loss and gradient norm are finite:
 * skipping only the parameters would let one bad batch spoil moments and statistics for good.
 *
 * A batch that memory has no room for is two programs over the same parameters and states:
 * ENTRY_ACCUMULATE runs once for each of its parts and adds up the state "gradients"; ENTRY_APPLY
 * reads it. Gradients as an output of the one and an input of the other would be copied by the
 * host, and added there.
 *
 * ENTRY_FINETUNE_STEP keeps averages of the parameters (the flat state "ema") and of the running
 * statistics ("ema.<state>"), which move with the step: e = ema_decay e + (1 - ema_decay) w, w as
 * the step leaves it.
 *
 * The host computes, in double, the scalars that change from step to step (t = 1, 2, .. is the
 * step's number): lr, weight_decay bias_correction1 = 1 - beta1^t, bias_correction2_sqrt = sqrt(1 -
 * beta2^t)     LAMB, AdamW The formulas are those of the reference README ("LAMB", "Optimizer
 * steps"). */
#include <string.h>

#include "base/fatal.h"
#include "ir/builder.h"
#include "passes/network.h"

typedef struct Update {
    Graph *graph;
    const PassOptions *options;
    Builder builder;
    Value *parameters, *gradient, *norm; /* flat, flat, f32[] */
    Value *lr, *weight_decay;            /* f32[] */
    Value *rate, *decays;         /* per segment: lr x lr_scale; 1 where weight decay applies */
    Value *ok;                    /* f32[], 1 if the step counts */
    Value *ema_decay, *ema_share; /* f32[], of fine-tuning: share of the old average, of the new */
} Update;

static Value *add(Update *update, const char *hint, Value *a, Value *b) {
    return build_binary(&update->builder, OP_add, hint, a, b);
}

static Value *subtract(Update *update, const char *hint, Value *a, Value *b) {
    return build_binary(&update->builder, OP_sub, hint, a, b);
}

static Value *multiply(Update *update, const char *hint, Value *a, Value *b) {
    return build_binary(&update->builder, OP_mul, hint, a, b);
}

static Value *divide(Update *update, const char *hint, Value *a, Value *b) {
    return build_binary(&update->builder, OP_div, hint, a, b);
}

static Value *scale(Update *update, const char *hint, Value *x, double factor) {
    return build_scale(&update->builder, hint, x, factor);
}

static Value *constant(Update *update, double value) {
    return build_constant(&update->builder, value);
}

static Value *scalar(Update *update, const char *name) {
    return build_scalar(&update->builder, DTYPE_F32, name);
}

static Value *choose(Update *update, const char *hint, Value *condition, Value *a, Value *b) {
    Node *node = build(&update->builder, OP_select, hint, OPERANDS(condition, a, b), NO_ATTRIBUTES);
    return node_result(node, 0);
}

static Value *is_positive(Update *update, const char *hint, Value *x) {
    return build_binary(&update->builder, OP_greater, hint, x, constant(update, 0));
}

/* The root of the sum of squares, over a segment each or over everything. */
static Value *norm_over(Update *update, const char *hint, Value *x, const char *over) {
    Value *sum = build_sum(&update->builder, "square_sum", multiply(update, "square", x, x), over);
    return build_unary(&update->builder, OP_sqrt, hint, sum);
}

static Value *segment_column(Update *update, const char *column) {
    return build_stated(&update->builder, OP_segment_table, column, type_segments(DTYPE_F32), NULL,
                        0, ATTRIBUTES(attribute_text("column", column)));
}

static void commit(Update *update, Value *value, const char *region, const char *name) {
    build(&update->builder, OP_commit, NULL, OPERANDS(value),
          ATTRIBUTES(attribute_text("region", region), attribute_text("name", name)));
}

/* A flat state of training, 0 at first. */
static void add_state(Graph *graph, const char *name) {
    StateSlot slot = {.name = name, .part = PART_TRAINING, .type = type_flat(DTYPE_F32), .init = 0};
    invariant(graph_add_state(graph, slot) != NULL, "a second state %s", name);
}

static const char gradients_name[] = "gradients", ema_name[] = "ema";

/* The average of a state. */
static const char *average_name(const Graph *graph, const char *state) {
    return arena_format(graph->arena, "%s.%s", ema_name, state);
}

/* Averages of the parameters, and of each state that the network has. */
static void add_averages(Graph *graph, size_t network_states) {
    add_state(graph, ema_name);
    for (size_t i = 0; i < network_states; i++) {
        StateSlot slot = graph->states.items[i];
        slot.name = average_name(graph, slot.name);
        slot.part = PART_TRAINING;
        invariant(graph_add_state(graph, slot) != NULL, "a second state %s", slot.name);
    }
}

/* The entries that accumulate and apply have the same states, whichever of them they touch, so
 * that their regions are laid out alike. */
static void add_states(Graph *graph, const PassOptions *options) {
    static const char *const moments[][2] = {[OPTIMIZER_LAMB] = {"exp_avg", "exp_avg_sq"},
                                             [OPTIMIZER_ADAMW] = {"exp_avg", "exp_avg_sq"},
                                             [OPTIMIZER_SGD] = {"momentum_buffer", NULL}};
    size_t network_states = graph->states.count;
    for (int i = 0; i < 2 && moments[options->optimizer][i]; i++)
        add_state(graph, moments[options->optimizer][i]);
    if (options->entry == ENTRY_ACCUMULATE || options->entry == ENTRY_APPLY)
        add_state(graph, gradients_name);
    if (options->entry == ENTRY_FINETUNE_STEP)
        add_averages(graph, network_states);
}

/* Returns what is committed: the new value, or the old one of a step that is refused. What such a
 * step goes on to compute is committed nowhere, so that users of the new value read this one, and
 * only one of the two is stored. */
static Value *commit_state(Update *update, const char *name, Value *new_value, Value *old) {
    Value *kept = choose(update, NULL, update->ok, new_value, old);
    commit(update, kept, "state", name);
    return kept;
}

/* share x old + (1 - share) x term, committed. */
static Value *moving_average(Update *update, const char *name, double share, Value *term) {
    Value *old = build_state(&update->builder, name);
    Value *kept = scale(update, "kept", old, share);
    Value *added = scale(update, "added", term, 1 - share);
    return commit_state(update, name, add(update, name, kept, added), old);
}

/* What the state `name` averages moves towards what `term` is after the step. */
static void average(Update *update, const char *name, Value *term) {
    Value *old = build_state(&update->builder, name);
    Value *kept = multiply(update, "kept", old, update->ema_decay);
    Value *added = multiply(update, "added", term, update->ema_share);
    commit_state(update, name, add(update, name, kept, added), old);
}

/* weight_decay x decays x parameters */
static Value *decay(Update *update) {
    Value *factor = multiply(update, "decay_factor", update->weight_decay, update->decays);
    return multiply(update, "decay", factor, update->parameters);
}

/* (m / bias_correction1) / (sqrt(v) / bias_correction2_sqrt + epsilon), moments moved and
 * committed. */
static Value *adam_direction(Update *update, double epsilon) {
    const PassOptions *options = update->options;
    double automatic = network_uses_batch_norm(update->graph) ? 0.95 : 0.999;
    double beta2 = options->beta2 > 0 ? options->beta2 : automatic;
    Value *gradient = update->gradient;
    Value *m = moving_average(update, "exp_avg", options->beta1, gradient);
    Value *v = moving_average(update, "exp_avg_sq", beta2,
                              multiply(update, "gradient_square", gradient, gradient));
    Value *root = build_unary(&update->builder, OP_sqrt, "root", v);
    Value *size = divide(update, "size", root, scalar(update, "bias_correction2_sqrt"));
    Value *mean = divide(update, "mean", m, scalar(update, "bias_correction1"));
    return divide(update, "direction", mean,
                  add(update, "denominator", size, constant(update, epsilon)));
}

/* |parameters| / |step| of each segment; 1 if either is 0, and unless the options say otherwise if
 * the segment does not decay, or if there is no weight decay. */
static Value *trust_ratio(Update *update, Value *step) {
    Value *parameters = norm_over(update, "parameter_norm", update->parameters, "segment");
    Value *steps = norm_over(update, "step_norm", step, "segment");
    Value *moves = is_positive(update, "step_norm_positive", steps);
    Value *both =
        multiply(update, "both", is_positive(update, "parameter_norm_positive", parameters), moves);
    Value *decaying = multiply(update, "decaying", update->decays,
                               is_positive(update, "any_decay", update->weight_decay));
    Value *adapts =
        update->options->always_adapt ? both : multiply(update, "adapts", both, decaying);
    Value *ratio = divide(update, "ratio", parameters, steps);
    return choose(update, "trust_ratio", adapts, ratio, constant(update, 1));
}

static double epsilon_or(const Update *update, double standard) {
    return update->options->epsilon > 0 ? update->options->epsilon : standard;
}

static Value *lamb(Update *update) {
    Value *direction = adam_direction(update, epsilon_or(update, 1e-6));
    Value *step = add(update, "decayed", direction, decay(update));
    Value *rate = multiply(update, "rate", update->rate, trust_ratio(update, step));
    return subtract(update, "next", update->parameters, multiply(update, "change", rate, step));
}

static Value *adamw(Update *update) {
    Value *shrink = multiply(update, "shrink", update->rate, decay(update));
    Value *shrunk = subtract(update, "shrunk", update->parameters, shrink);
    Value *direction = adam_direction(update, epsilon_or(update, 1e-8));
    return subtract(update, "next", shrunk, multiply(update, "change", update->rate, direction));
}

/* Nesterov momentum. */
static Value *sgd(Update *update) {
    double momentum = update->options->momentum;
    Value *gradient = add(update, "decayed", update->gradient, decay(update));
    Value *old = build_state(&update->builder, "momentum_buffer");
    Value *buffer = add(update, "momentum_buffer", scale(update, "kept", old, momentum), gradient);
    buffer = commit_state(update, "momentum_buffer", buffer, old);
    Value *ahead = add(update, "step", gradient, scale(update, "ahead", buffer, momentum));
    return subtract(update, "next", update->parameters,
                    multiply(update, "change", update->rate, ahead));
}

/* LAMB: clip / norm where the norm is larger. Others: min(1, clip / (norm + 1e-6)), as PyTorch
 * clips. */
static Value *clip_factor(Update *update) {
    const PassOptions *options = update->options;
    Value *limit = constant(update, options->clip), *one = constant(update, 1);
    if (options->optimizer == OPTIMIZER_LAMB) {
        Value *over = build_binary(&update->builder, OP_greater, "over", update->norm, limit);
        return choose(update, "clip", over, divide(update, "shrinking", limit, update->norm), one);
    }
    Value *norm = add(update, "norm_above_zero", update->norm, constant(update, 1e-6));
    return build_binary(&update->builder, OP_minimum, "clip", one,
                        divide(update, "shrinking", limit, norm));
}

static void output(Update *update, const char *name, Value *value) {
    build(&update->builder, OP_output, NULL, OPERANDS(value),
          ATTRIBUTES(attribute_text("name", name)));
}

/* 1 if the gradient norm, and the loss where there is one, are finite. */
static Value *step_is_sound(Update *update) {
    Value *ok = build_unary(&update->builder, OP_is_finite, "norm_is_finite", update->norm);
    const Node *loss = graph_find_output(update->graph, "loss");
    if (loss == NULL)
        return ok;
    Value *finite =
        build_unary(&update->builder, OP_is_finite, "loss_is_finite", loss->operands[0]);
    return multiply(update, "ok", ok, finite);
}

static bool averages(const Update *update) {
    return update->options->entry == ENTRY_FINETUNE_STEP;
}

/* Commits of earlier passes, of state all, become part of the transaction, and are averaged. */
static void guard_commits(Update *update) {
    Node *last = update->graph->last;
    for (Node *node = update->graph->first, *next; node; node = next) {
        next = node == last ? NULL : node->next;
        if (node->op != OP_commit)
            continue;
        const char *name = node_text(node, "name");
        Value *value = node->operands[0];
        commit_state(update, name, value, build_state(&update->builder, name));
        if (averages(update))
            average(update, average_name(update->graph, name), value);
        graph_remove(update->graph, node);
    }
}

/* What autodiff collected, or NULL. */
static Value *find_collected(const Graph *graph) {
    for (Node *node = graph->last; node; node = node->previous) {
        if (node->op == OP_collect)
            return node_result(node, 0);
    }
    return NULL;
}

/* The flat gradient: collected, or for the optimizer alone an input, or the scaled state. */
static Value *find_gradient(Update *update) {
    Entry entry = update->options->entry;
    if (network_entry_has_gradients(entry))
        return find_collected(update->graph);
    if (entry == ENTRY_APPLY) {
        Value *sum = build_state(&update->builder, gradients_name);
        return multiply(update, "gradients", sum, scalar(update, "gradient_scale"));
    }
    return build_stated(&update->builder, OP_input, gradients_name, type_flat(DTYPE_F32), NULL, 0,
                        ATTRIBUTES(attribute_text("name", gradients_name)));
}

/* The gradient, and whether the step counts. */
static void measure(Update *update) {
    update->gradient = find_gradient(update);
    update->norm = norm_over(update, "grad_norm", update->gradient, "all");
    update->ok = step_is_sound(update);
}

static void start(Update *update) {
    Builder *builder = &update->builder;
    update->parameters = build_stated(builder, OP_parameters, "parameters", type_flat(DTYPE_F32),
                                      NULL, 0, NO_ATTRIBUTES);
    update->lr = scalar(update, "lr");
    update->weight_decay = scalar(update, "weight_decay");
    update->decays = segment_column(update, "decays");
    update->rate = multiply(update, "segment_rate", segment_column(update, "lr_scale"), update->lr);
    if (averages(update)) {
        update->ema_decay = scalar(update, "ema_decay");
        update->ema_share = subtract(update, "ema_share", constant(update, 1), update->ema_decay);
    }
    if (update->options->clip > 0)
        update->gradient = multiply(update, "clipped", update->gradient, clip_factor(update));
}

static Value *(*const rules[])(Update *) = {
    [OPTIMIZER_LAMB] = lamb, [OPTIMIZER_ADAMW] = adamw, [OPTIMIZER_SGD] = sgd};

static void update_parameters(Update *update) {
    start(update);
    guard_commits(update);
    Value *next = rules[update->options->optimizer](update);
    if (averages(update))
        average(update, ema_name, next);
    commit(update, choose(update, "parameters", update->ok, next, update->parameters), "params",
           "");
}

/* gradients = first ? gradient : gradients + gradient */
static void accumulate_gradients(Update *update) {
    guard_commits(update);
    Value *old = build_state(&update->builder, gradients_name);
    Value *sum = add(update, "sum", old, update->gradient);
    Value *next = choose(update, "accumulated", scalar(update, "first"), update->gradient, sum);
    commit_state(update, gradients_name, next, old);
}

/* A graph written by hand may lack what the passes before would have left, or have what this one
 * adds. */
static const char *find_obstacle(const Graph *graph, Entry entry) {
    static const char *const states[] = {"exp_avg", "exp_avg_sq", "momentum_buffer", gradients_name,
                                         ema_name};
    const Node *loss = graph_find_output(graph, "loss");
    Type number = type_scalar(DTYPE_F32);
    if (network_entry_has_gradients(entry) && !find_collected(graph))
        return "the graph has no gradients to update with";
    if (entry == ENTRY_UPDATE && graph_find_input(graph, gradients_name))
        return "the graph has an input \"gradients\" already";
    if (loss && !type_equal(&loss->operands[0]->type, &number))
        return "the loss is not one number, f32[]";
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (graph_find_state(graph, states[i]))
            return arena_format(graph->arena, "the graph has a state \"%s\" already", states[i]);
    }
    for (size_t i = 0; entry == ENTRY_FINETUNE_STEP && i < graph->states.count; i++) {
        const char *name = average_name(graph, graph->states.items[i].name);
        if (graph_find_state(graph, name))
            return arena_format(graph->arena, "the graph has a state \"%s\" already", name);
    }
    graph_each(graph, node) {
        if (node->op == OP_commit && strcmp(node_text(node, "region"), "params") == 0)
            return "the graph updates its parameters already";
        if (node->op == OP_commit && node->operands[0]->type.dtype != DTYPE_F32)
            return arena_format(graph->arena, "not supported: the state \"%s\" is not f32",
                                node_text(node, "name"));
    }
    return NULL;
}

static bool check_graph(const Graph *graph, Entry entry, Diagnostics *diagnostics) {
    const char *obstacle = find_obstacle(graph, entry);
    if (obstacle)
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0}, "%s", obstacle);
    return !obstacle && network_output_is_free(graph, "grad_norm", diagnostics) &&
           network_output_is_free(graph, "ok", diagnostics);
}

bool pass_optimizer(Graph *graph, const PassOptions *options, Diagnostics *diagnostics) {
    Entry entry = options->entry;
    bool trains = network_entry_has_gradients(entry) || network_entry_is_update(entry);
    if (!trains || !check_graph(graph, entry, diagnostics))
        return false;
    Update update = {
        .graph = graph, .options = options, .builder = {.graph = graph, .prefix = "update"}};
    add_states(graph, options);
    measure(&update);
    if (entry == ENTRY_ACCUMULATE)
        accumulate_gradients(&update);
    else
        update_parameters(&update);
    output(&update, "grad_norm", update.norm);
    output(&update, "ok", update.ok);
    return true;
}
