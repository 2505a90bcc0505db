#include "tools/execute/program_interface.h"

#include <string.h>

static Type buffer_type(const Program *program, const Buffer *buffer) {
    int64_t batch = program->geometry.batch;
    if (strcmp(buffer->name, "targets") == 0 && buffer->elements % batch == 0)
        return type_per_image(buffer->dtype, batch, buffer->elements / batch);
    if (buffer->elements == 1)
        return type_scalar(buffer->dtype);
    return type_plain(buffer->dtype, 1, &buffer->elements);
}

/* A node whose type no rule has approved: the text of a program may have any names and sizes. */
static Value *add_source(Graph *graph, Op op, const Program *program, const Buffer *buffer) {
    Node *node = graph_insert(graph, op, NULL, 0, NULL);
    node->results[0].type = buffer_type(program, buffer);
    graph_name(graph, &node->results[0], buffer->name);
    if (op != OP_constant)
        node_set_text(graph, node, "name", buffer->name);
    return &node->results[0];
}

static void add_output(Graph *graph, const Program *program, const Buffer *buffer) {
    Value *value = add_source(graph, OP_constant, program, buffer);
    Node *node = graph_insert(graph, OP_output, &value, 1, NULL);
    node_set_text(graph, node, "name", buffer->name);
}

Graph *program_interface(Arena *arena, const Program *program) {
    Graph *graph = graph_create(arena, program->network, program->geometry);
    for (size_t i = 0; i < program->segments.count; i++)
        graph_add_segment(graph, program->segments.items[i]);
    for (size_t i = 0; i < program->states.count; i++)
        graph_add_state(graph, program->states.items[i]);
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        if (buffer->region == REGION_INPUTS && !kernel_is_segment_column(buffer->name))
            add_source(graph, buffer->elements == 1 ? OP_scalar : OP_input, program, buffer);
        if (buffer->region == REGION_OUTPUTS)
            add_output(graph, program, buffer);
    }
    return graph;
}
