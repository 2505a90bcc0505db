/* Derivatives of the ops that only move values: each moves the gradient back. */
#include "passes/gradient.h"

void gradient_concat(Gradient *gradient) {
    Node *node = gradient->node;
    int64_t start = 0;
    for (int i = 0; i < node->operand_count; i++) {
        int64_t channels = node->operands[i]->type.channels;
        if (gradient_wants(gradient, i)) {
            Node *part = build(
                &gradient->builder, OP_slice, "x", OPERANDS(gradient->results[0]),
                ATTRIBUTES(attribute_int("start", start), attribute_int("channels", channels)));
            gradient_give(gradient, i, node_result(part, 0));
        }
        start += channels;
    }
}

void gradient_slice(Gradient *gradient) {
    Node *node = gradient->node;
    Node *dx = build(&gradient->builder, OP_slice_grad, "x", OPERANDS(gradient->results[0]),
                     ATTRIBUTES(attribute_int("start", node_int(node, "start")),
                                attribute_int("channels", node->operands[0]->type.channels)));
    gradient_give(gradient, 0, node_result(dx, 0));
}

/* The shuffle transposes groups x channels per group; back, the two change places. */
void gradient_channel_shuffle(Gradient *gradient) {
    Node *node = gradient->node;
    int64_t groups = node->operands[0]->type.channels / node_int(node, "groups");
    Node *dx = build(&gradient->builder, OP_channel_shuffle, "x", OPERANDS(gradient->results[0]),
                     ATTRIBUTES(attribute_int("groups", groups)));
    gradient_give(gradient, 0, node_result(dx, 0));
}

void gradient_repeat_channels(Gradient *gradient) {
    const Type *x = &gradient->node->operands[0]->type;
    if (x->form != FORM_PER_IMAGE) {
        diagnostics_report(gradient->diagnostics, SEVERITY_ERROR, gradient->node->location,
                           "not supported: %s repeats the channels of a map and needs a gradient",
                           node_result(gradient->node, 0)->name);
        return;
    }
    Node *dx =
        build(&gradient->builder, OP_sum, "x", OPERANDS(gradient->results[0]),
              ATTRIBUTES(attribute_text("over", "group"), attribute_int("groups", x->channels)));
    gradient_give(gradient, 0, node_result(dx, 0));
}

void gradient_flatten(Gradient *gradient) {
    const Type *x = &gradient->node->operands[0]->type;
    Node *dx = build(&gradient->builder, OP_unflatten, "x", OPERANDS(gradient->results[0]),
                     ATTRIBUTES(attribute_ints("size", x->extent, x->rank)));
    gradient_give(gradient, 0, node_result(dx, 0));
}

/* The map has one position: broadcasting to it is the inverse. */
void gradient_squeeze(Gradient *gradient) {
    Type x = gradient->node->operands[0]->type;
    gradient_give(gradient, 0, gradient_widen(&gradient->builder, gradient->results[0], x));
}

/* Visible positions belong to x, hidden ones to the token. */
void gradient_densify(Gradient *gradient) {
    Builder *builder = &gradient->builder;
    Value *dy = gradient->results[0];
    const Type *x = &gradient->node->operands[0]->type;
    if (gradient_wants(gradient, 0)) {
        Node *dx = build(builder, OP_gather, "x", OPERANDS(dy),
                         ATTRIBUTES(attribute_int("stride", x->stride)));
        gradient_give(gradient, 0, node_result(dx, 0));
    }
    if (!gradient_wants(gradient, 1))
        return;
    Value *cells = graph_find_input(builder->graph, "cells");
    if (!cells) {
        diagnostics_report(gradient->diagnostics, SEVERITY_ERROR, gradient->node->location,
                           "%s: densify needs the graph's input \"cells\", and there is none",
                           node_result(gradient->node, 0)->name);
        return;
    }
    Node *hidden = build(builder, OP_hidden, "hidden", OPERANDS(cells),
                         ATTRIBUTES(attribute_ints("size", x->extent, x->rank)));
    gradient_give(gradient, 1, build_binary(builder, OP_mul, "token", dy, node_result(hidden, 0)));
}
