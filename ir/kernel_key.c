/* The key of a kernel's code: what is in it is a constant of the code, what is not is an argument.
 */
#include <inttypes.h>

#include "base/text.h"
#include "ir/kernel.h"
#include "ir/kernel_names.h"

static bool one_row(const Space *space) {
    return space->kind == SPACE_ONE || space->kind == SPACE_FLAT;
}

static void key_space(Text *key, const Space *space) {
    text_append(key, "%s", kernel_space_name(space->kind));
    if (space_has_positions(space))
        text_append(key, "%d", space->rank);
}

/* Dtype and the strides that vector loads and register blocks are built on. */
static void key_view(Text *key, const Program *program, const View *view, bool has_rows) {
    if (view->buffer < 0) {
        text_append(key, "no value");
        return;
    }
    text_append(key, "%s", dtype_name(program->buffers.items[view->buffer].dtype));
    if (has_rows)
        text_append(key, " row %" PRId64, view->row_stride);
    text_append(key, " channel %" PRId64, view->channel_stride);
}

static void key_access(Text *key, const Program *program, const Space *space,
                       const Access *access) {
    bool has_rows =
        access->kind == ACCESS_POSITION || (access->kind == ACCESS_ELEMENT && !one_row(space));
    text_append(key, " (%s", kernel_access_name(access->kind));
    if (access->kind == ACCESS_POSITION) {
        text_append(key, " ");
        key_space(key, &access->source);
    }
    text_append(key, " %s %" PRId64 " ", kernel_channel_name(access->channel),
                access->channel_parameter);
    key_view(key, program, &access->view, has_rows);
    text_append(key, ")");
}

static void key_taps(Text *key, const Kernel *kernel, const TapSet *taps) {
    text_append(key, " taps ");
    key_space(key, &taps->source);
    text_append(key, " %d%s", taps->tap_count, kernel_taps_direct(kernel) ? " direct" : "");
}

static void key_weight(Text *key, const Program *program, const WeightView *weight) {
    text_append(key, " weight %s %" PRId64 " %" PRId64,
                dtype_name(program->buffers.items[weight->buffer].dtype), weight->in_stride,
                weight->out_stride);
}

static void key_contraction(Text *key, const Program *program, const Kernel *kernel) {
    const Contraction *contraction = &kernel->contraction;
    key_taps(key, kernel, &contraction->taps);
    text_append(key, " in %" PRId64 " out %" PRId64 " groups %" PRId64 " a ", contraction->in,
                contraction->out, contraction->groups);
    key_view(key, program, &contraction->a, true);
    if (kernel->kind == KERNEL_CONTRACT_WEIGHT) {
        text_append(key, " b ");
        key_view(key, program, &contraction->b, true);
    }
    key_weight(key, program, &contraction->weight);
    if (!contraction->prologue)
        return;
    text_append(key, " prologue");
    for (int i = 0; i < contraction->prologue_operand_count; i++)
        key_access(key, program, &contraction->taps.source, &contraction->prologue_operands[i]);
    text_append(key, " ");
    expression_print(key, contraction->prologue);
}

static void key_window(Text *key, const Program *program, const Kernel *kernel) {
    const Window *window = &kernel->window;
    text_append(key, " %s", kernel_window_name(window->kind));
    key_taps(key, kernel, &window->taps);
    text_append(key, " a ");
    key_view(key, program, &window->a, true);
    if (kernel_window_has_b(window->kind)) {
        text_append(key, " b ");
        key_view(key, program, &window->b, true);
    }
    if (kernel_window_has_weight(window->kind))
        key_weight(key, program, &window->weight);
    if (kernel_window_has_pool(window->kind))
        text_append(key, " count_pad %d", window->count_pad);
    for (int d = 0; kernel_window_has_factor(window->kind) && d < window->taps.source.rank; d++)
        text_append(key, " factor %" PRId64, window->factor[d]);
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
        text_append(key, " %s %s groups %" PRId64, kernel_reduce_name(kernel->reduction.kind),
                    kernel_over_name(kernel->reduction.over), kernel->reduction.groups);
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
    bool any_length =
        one_row(&kernel->space) && (kernel->kind == KERNEL_MAP || kernel->space.kind == SPACE_FLAT);
    if (!any_length)
        text_append(&key, " channels %" PRId64, kernel->channels);
    key_kind(&key, program, kernel);
    for (int i = 0; i < kernel->operand_count; i++)
        key_access(&key, program, &kernel->space, &kernel->operands[i]);
    if (kernel->expression) {
        text_append(&key, " ");
        expression_print(&key, kernel->expression);
    }
    for (int i = 0; i < kernel->output_count; i++) {
        text_append(&key, " out ");
        key_view(&key, program, &kernel->outputs[i], !one_row(&kernel->space));
    }
    return key.data;
}
