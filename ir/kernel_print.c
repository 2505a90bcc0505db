#include "ir/kernel_print.h"

#include <inttypes.h>

#include "ir/kernel_fields.h"
#include "ir/kernel_names.h"
#include "ir/print.h"

typedef struct Printer {
    Text *out;
    const Program *program;
} Printer;

/* %NAME in scratch, %REGION:NAME elsewhere, or _ for none. */
static void print_buffer_name(Printer *printer, int index) {
    text_append(printer->out, index < 0 ? "_" : "%%");
    if (index < 0)
        return;
    const Buffer *buffer = &printer->program->buffers.items[index];
    if (buffer->region != REGION_SCRATCH)
        text_append(printer->out, "%s:", kernel_region_name(buffer->region));
    print_name(printer->out, buffer->name);
}

static void print_view(Printer *printer, const View *view) {
    print_buffer_name(printer, view->buffer);
    kernel_fields_print(printer->out, &kernel_fields_view, view, 0);
}

static void print_space(Printer *printer, const Space *space) {
    text_append(printer->out, "%s", kernel_space_name(space->kind));
    if (space_has_positions(space))
        kernel_fields_print(printer->out, &kernel_fields_space, space, space->rank);
}

static void print_access(Printer *printer, const char *word, const Access *access) {
    text_append(printer->out, "    %s %s %s ", word, kernel_access_name(access->kind),
                kernel_channel_name(access->channel));
    if (access->channel == CHANNEL_REPEAT || access->channel == CHANNEL_SHUFFLE)
        text_append(printer->out, "%" PRId64 " ", access->channel_parameter);
    print_view(printer, &access->view);
    if (access->kind == ACCESS_POSITION) {
        text_append(printer->out, " of ");
        print_space(printer, &access->source);
        kernel_fields_print(printer->out, &kernel_fields_divide, access, access->source.rank);
    }
    text_append(printer->out, "\n");
}

static void print_view_line(Printer *printer, const char *word, const View *view) {
    text_append(printer->out, "    %s ", word);
    print_view(printer, view);
    text_append(printer->out, "\n");
}

static void print_taps(Printer *printer, const TapSet *taps) {
    Text *out = printer->out;
    text_append(out, "    taps ");
    print_space(printer, &taps->source);
    kernel_fields_print(out, &kernel_fields_taps, taps, taps->source.rank);
    text_append(out, "\n");
    for (int t = 0; t < taps->tap_count; t++) {
        const Tap *tap = &taps->taps[t];
        text_append(out, "%s%" PRId64 " [", t ? ", " : "    tap ", tap->weight);
        for (int d = 0; d < taps->source.rank; d++)
            text_append(out, "%s%" PRId64, d ? ", " : "", tap->offset[d]);
        text_append(out, "]");
    }
    text_append(out, taps->tap_count ? "\n" : "");
}

static void print_weight(Printer *printer, const WeightView *weight) {
    text_append(printer->out, "    weight ");
    print_buffer_name(printer, weight->buffer);
    kernel_fields_print(printer->out, &kernel_fields_weight, weight, 0);
    text_append(printer->out, "\n");
}

static void print_expression(Printer *printer, const char *word, const Expression *expression) {
    if (!expression)
        return;
    text_append(printer->out, "    %s ", word);
    expression_print(printer->out, expression);
    text_append(printer->out, "\n");
}

static void print_contraction(Printer *printer, const Kernel *kernel) {
    const Contraction *contraction = &kernel->contraction;
    text_append(printer->out, "    contraction");
    kernel_fields_print(printer->out, &kernel_fields_contraction, contraction, 0);
    text_append(printer->out, "\n");
    print_taps(printer, &contraction->taps);
    print_view_line(printer, "a", &contraction->a);
    for (int i = 0; i < contraction->prologue_operand_count; i++)
        print_access(printer, "prologue_operand", &contraction->prologue_operands[i]);
    print_expression(printer, "prologue", contraction->prologue);
    if (kernel->kind == KERNEL_CONTRACT_WEIGHT)
        print_view_line(printer, "b", &contraction->b);
    print_weight(printer, &contraction->weight);
}

static void print_window(Printer *printer, const Window *window) {
    text_append(printer->out, "    window %s", kernel_window_name(window->kind));
    kernel_fields_print(printer->out, &kernel_fields_window, window, window->taps.source.rank);
    text_append(printer->out, "\n");
    print_taps(printer, &window->taps);
    print_view_line(printer, "a", &window->a);
    if (kernel_window_has_b(window->kind))
        print_view_line(printer, "b", &window->b);
    if (kernel_window_has_weight(window->kind))
        print_weight(printer, &window->weight);
}

static void print_kind(Printer *printer, const Kernel *kernel) {
    const Reduction *reduction = &kernel->reduction;
    switch (kernel->kind) {
    case KERNEL_CONTRACT:
    case KERNEL_CONTRACT_WEIGHT:
        print_contraction(printer, kernel);
        break;
    case KERNEL_WINDOW:
        print_window(printer, &kernel->window);
        break;
    case KERNEL_REDUCE:
        text_append(printer->out, "    reduction %s over %s", kernel_reduce_name(reduction->kind),
                    kernel_over_name(reduction->over));
        kernel_fields_print(printer->out, &kernel_fields_reduction, reduction, 0);
        text_append(printer->out, "\n");
        break;
    case KERNEL_POSITION_MAP:
        text_append(printer->out, "    map ");
        print_buffer_name(printer,
                          printer->program->levels.items[kernel->position_map.level].buffer);
        text_append(printer->out, "\n");
        break;
    case KERNEL_MAP:
        break;
    }
}

void kernel_print_kernel(Text *out, const Program *program, const Kernel *kernel) {
    Printer printer = {out, program};
    text_append(out, "kernel ");
    print_name(out, kernel->name);
    text_append(out, " : %s x %" PRId64, kernel_kind_name(kernel->kind), kernel->channels);
    print_location(out, &kernel->location);
    text_append(out, "\n    space ");
    print_space(&printer, &kernel->space);
    text_append(out, "\n");
    print_kind(&printer, kernel);
    for (int i = 0; i < kernel->operand_count; i++)
        print_access(&printer, "operand", &kernel->operands[i]);
    print_expression(&printer, "expression", kernel->expression);
    for (int i = 0; i < kernel->output_count; i++)
        print_view_line(&printer, "out", &kernel->outputs[i]);
}

static void print_buffers(Printer *printer) {
    const Program *program = printer->program;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        text_append(printer->out, "buffer ");
        print_name(printer->out, buffer->name);
        text_append(printer->out, " : %s %s", dtype_name(buffer->dtype),
                    kernel_region_name(buffer->region));
        kernel_fields_print(printer->out, &kernel_fields_buffer, buffer, 0);
        text_append(printer->out, "\n");
    }
}

static void print_levels(Printer *printer) {
    const Program *program = printer->program;
    for (size_t i = 0; i < program->levels.count; i++) {
        const Level *level = &program->levels.items[i];
        text_append(printer->out, "level ");
        print_buffer_name(printer, level->buffer);
        text_append(printer->out, " of ");
        print_space(printer, &level->space);
        kernel_fields_print(printer->out, &kernel_fields_level, level, level->space.rank);
        text_append(printer->out, "\n");
    }
    if (program->cells < 0)
        return;
    text_append(printer->out, "cells ");
    print_buffer_name(printer, program->cells);
    text_append(printer->out, "\n");
}

/* The head and tables are printed as a graph's, which has the same. */
static void print_head(Text *out, const Program *program) {
    Graph head = {
        .network = program->network, .stage = program->stage, .geometry = program->geometry};
    head.segments.items = program->segments.items;
    head.segments.count = program->segments.count;
    head.states.items = program->states.items;
    head.states.count = program->states.count;
    print_tables(out, "program", KERNEL_PRINT_VERSION, &head);
}

void kernel_print_tables(Text *out, const Program *program) {
    Printer printer = {out, program};
    print_head(out, program);
    print_buffers(&printer);
    print_levels(&printer);
}

void kernel_print(Text *out, const Program *program) {
    kernel_print_tables(out, program);
    for (size_t i = 0; i < program->kernels.count; i++)
        kernel_print_kernel(out, program, program->kernels.items[i]);
    text_append(out, "end\n");
}

char *kernel_print_text(Arena *arena, const Program *program) {
    Text out = text_create(arena);
    kernel_print(&out, program);
    return out.data;
}
