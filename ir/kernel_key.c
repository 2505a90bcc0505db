/* The key of a kernel's code: what is in it is a constant of the code, what is not is an argument.
 */
#include <inttypes.h>

#include "base/text.h"
#include "ir/kernel.h"
#include "ir/kernel_names.h"

static void key_space(Text *key, const Space *space) {
    text_append(key, "%s", kernel_space_name(space->kind));
    if (space_has_positions(space))
        text_append(key, "%d", space->rank);
}

/* Dtype, and whether channels lie side by side or how far apart. */
static void key_view(Text *key, const Program *program, const View *view) {
    if (view->buffer < 0) {
        text_append(key, "no value");
        return;
    }
    text_append(key, "%s", dtype_name(program->buffers.items[view->buffer].dtype));
    text_append(key, " channel %" PRId64, view->channel_stride);
}

static void key_access(Text *key, const Program *program, const Access *access) {
    text_append(key, " (%s", kernel_access_name(access->kind));
    if (access->kind == ACCESS_POSITION) {
        text_append(key, " ");
        key_space(key, &access->source);
    }
    text_append(key, " %s ", kernel_channel_name(access->channel));
    key_view(key, program, &access->view);
    text_append(key, ")");
}

static void key_taps(Text *key, const TapSet *taps) {
    text_append(key, " taps ");
    key_space(key, &taps->source);
}

static void key_weight(Text *key, const Program *program, const WeightView *weight) {
    text_append(key, " weight %s%s", dtype_name(program->buffers.items[weight->buffer].dtype),
                weight->out_stride == 1 ? "" : " transposed");
}

static void key_contraction(Text *key, const Program *program, const Kernel *kernel) {
    const Contraction *contraction = &kernel->contraction;
    key_taps(key, &contraction->taps);
    text_append(key, " a ");
    key_view(key, program, &contraction->a);
    if (kernel->kind == KERNEL_CONTRACT_WEIGHT) {
        text_append(key, " b ");
        key_view(key, program, &contraction->b);
    }
    key_weight(key, program, &contraction->weight);
    if (contraction->bf16)
        text_append(key, " bf16");
    if (!contraction->prologue)
        return;
    text_append(key, " prologue");
    for (int i = 0; i < contraction->prologue_operand_count; i++)
        key_access(key, program, &contraction->prologue_operands[i]);
    text_append(key, " ");
    expression_print_form(key, contraction->prologue);
}

static void key_window(Text *key, const Program *program, const Kernel *kernel) {
    const Window *window = &kernel->window;
    text_append(key, " %s", kernel_window_name(window->kind));
    key_taps(key, &window->taps);
    text_append(key, " a ");
    key_view(key, program, &window->a);
    if (kernel_window_has_b(window->kind)) {
        text_append(key, " b ");
        key_view(key, program, &window->b);
    }
    if (kernel_window_has_weight(window->kind))
        key_weight(key, program, &window->weight);
    if (kernel_window_has_pool(window->kind))
        text_append(key, " count_pad %d", window->count_pad);
}

static void key_kind(Text *key, const Program *program, const Kernel *kernel) {
    switch (kernel->kind) {
    case KERNEL_CONTRACT:
    case KERNEL_CONTRACT_WEIGHT:
        key_contraction(key, program, kernel);
        break;
    case KERNEL_WINDOW:
        key_window(key, program, kernel);
        break;
    case KERNEL_REDUCE:
        text_append(key, " %s %s", kernel_reduce_name(kernel->reduction.kind),
                    kernel_over_name(kernel->reduction.over));
        break;
    case KERNEL_MAP:
    case KERNEL_POSITION_MAP:
        break;
    }
}

char *kernel_code_key(Arena *arena, const Program *program, const Kernel *kernel) {
    Text key = text_create(arena);
    text_append(&key, "%s ", kernel_kind_name(kernel->kind));
    key_space(&key, &kernel->space);
    if (kernel->kind == KERNEL_POSITION_MAP)
        return key.data;
    key_kind(&key, program, kernel);
    for (int i = 0; i < kernel->operand_count; i++)
        key_access(&key, program, &kernel->operands[i]);
    if (kernel->expression) {
        text_append(&key, " ");
        expression_print_form(&key, kernel->expression);
    }
    for (int i = 0; i < kernel->output_count; i++) {
        text_append(&key, " out ");
        key_view(&key, program, &kernel->outputs[i]);
    }
    return key.data;
}
