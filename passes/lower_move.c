/* Ops that move channels, positions and segments. */
#include "base/fatal.h"
#include "passes/lower.h"

static View channel_range(View view, int64_t start) {
    view.base += start * view.channel_stride;
    return view;
}

/* A copy of x's channels into a range of a wider value, walking x's space. */
static void copy_to_range(Lowering *lowering, Node *node, const char *name, const Value *x,
                          View target) {
    View source = lower_operand_view(lowering, x);
    lower_copy(lowering, node, name, &x->type, lower_access(&x->type, &x->type, source), target);
}

void lower_concat(Lowering *lowering, Node *node) {
    const Value *y = &node->results[0];
    View target = lower_result_view(lowering, y);
    int64_t start = 0;
    for (int i = 0; i < node->operand_count; i++) {
        const Value *x = node->operands[i];
        copy_to_range(lowering, node,
                      i ? arena_format(lowering->arena, "%s.part%d", y->name, i) : y->name, x,
                      channel_range(target, start));
        start += x->type.channels;
    }
}

void lower_slice(Lowering *lowering, Node *node) {
    View view = lower_operand_view(lowering, node->operands[0]);
    lower_alias(lowering, &node->results[0], channel_range(view, node_int(node, "start")));
}

/* Zeros in channels [start, start + count) of a value. */
static void clear_range(Lowering *lowering, Node *node, const char *name, const Value *y,
                        View target, int64_t start, int64_t count) {
    if (count == 0)
        return;
    Type range = type_with_channels(y->type, count);
    Kernel *kernel = lower_new_kernel(lowering, node, KERNEL_MAP, name, &range);
    ExpressionBuilder builder = expression_begin(lowering->arena);
    int zero = expression_constant(&builder, 0);
    kernel->expression = expression_end(&builder, &zero, 1);
    lower_add_output(kernel, channel_range(target, start));
}

void lower_slice_grad(Lowering *lowering, Node *node) {
    const Value *dy = node->operands[0], *dx = &node->results[0];
    int64_t start = node_int(node, "start"), end = start + dy->type.channels;
    lower_operand_view(lowering, dy);
    View target = lower_result_view(lowering, dx);
    copy_to_range(lowering, node, dx->name, dy, channel_range(target, start));
    clear_range(lowering, node, arena_format(lowering->arena, "%s.below", dx->name), dx, target, 0,
                start);
    clear_range(lowering, node, arena_format(lowering->arena, "%s.above", dx->name), dx, target,
                end, dx->type.channels - end);
}

static void lower_channels(Lowering *lowering, Node *node, ChannelKind kind, int64_t parameter) {
    const Value *x = node->operands[0], *y = &node->results[0];
    Access access = lower_access(&y->type, &y->type, lower_operand_view(lowering, x));
    access.channel = kind;
    access.channel_parameter = parameter;
    lower_copy(lowering, node, y->name, &y->type, access, lower_result_view(lowering, y));
}

void lower_channel_shuffle(Lowering *lowering, Node *node) {
    lower_channels(lowering, node, CHANNEL_SHUFFLE, node_int(node, "groups"));
}

void lower_repeat_channels(Lowering *lowering, Node *node) {
    lower_channels(lowering, node, CHANNEL_REPEAT, node_int(node, "times"));
}

/* The view of a flattened value (channels, positions..) seen as rows of positions. */
static View flattened_rows(View view, const Type *spatial) {
    int64_t positions = type_positions(spatial);
    view.image_stride = spatial->channels * positions;
    view.channel_stride = positions;
    view.row_stride = 1;
    return view;
}

void lower_flatten(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *y = &node->results[0];
    Access source = lower_access(&x->type, &x->type, lower_operand_view(lowering, x));
    View target = flattened_rows(lower_result_view(lowering, y), &x->type);
    lower_copy(lowering, node, y->name, &x->type, source, target);
}

void lower_unflatten(Lowering *lowering, Node *node) {
    const Value *dy = node->operands[0], *dx = &node->results[0];
    View view = flattened_rows(lower_operand_view(lowering, dy), &dx->type);
    lower_copy(lowering, node, dx->name, &dx->type, lower_access(&dx->type, &dx->type, view),
               lower_result_view(lowering, dx));
}

void lower_squeeze(Lowering *lowering, Node *node) {
    lower_alias(lowering, &node->results[0], lower_operand_view(lowering, node->operands[0]));
}

/* ---- The mask -------------------------------------------------------------------------------- */

static Access position_access(View view, const Space *source) {
    Access access = {.kind = ACCESS_POSITION, .view = view, .source = *source};
    for (int d = 0; d < TYPE_MAX_SPACE; d++)
        access.divide[d] = 1;
    return access;
}

static void lower_visible_rows(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *y = &node->results[0];
    Space source = space_of_type(&x->type);
    lower_copy(lowering, node, y->name, &y->type,
               position_access(lower_operand_view(lowering, x), &source),
               lower_result_view(lowering, y));
}

void lower_mask(Lowering *lowering, Node *node) {
    lower_visible_rows(lowering, node);
}

void lower_gather(Lowering *lowering, Node *node) {
    lower_visible_rows(lowering, node);
}

void lower_densify(Lowering *lowering, Node *node) {
    const Value *x = node->operands[0], *token = node->operands[1], *y = &node->results[0];
    Space source = space_of_type(&x->type);
    View rows = lower_operand_view(lowering, x);
    View hidden = lower_operand_view(lowering, token);
    Kernel *kernel = lower_new_kernel(lowering, node, KERNEL_MAP, y->name, &y->type);
    lower_add_operand(kernel, position_access(rows, &source));
    lower_add_operand(kernel, lower_access(&y->type, &token->type, hidden));
    ExpressionBuilder builder = expression_begin(lowering->arena);
    int visible = expression_visible(&builder, 0);
    int result = expression_apply(&builder, SCALAR_select, visible, expression_operand(&builder, 0),
                                  expression_operand(&builder, 1));
    kernel->expression = expression_end(&builder, &result, 1);
    lower_add_output(kernel, lower_result_view(lowering, y));
}

void lower_hidden(Lowering *lowering, Node *node) {
    const Value *y = &node->results[0];
    const Geometry *geometry = &lowering->graph->geometry;
    Space level = space_of_type(&y->type);
    level.kind = SPACE_MASKED;
    level.stride = geometry->image[0] / level.extent[0];
    Kernel *kernel = lower_new_kernel(lowering, node, KERNEL_MAP, y->name, &y->type);
    lower_add_operand(kernel, position_access((View){.buffer = -1}, &level));
    ExpressionBuilder builder = expression_begin(lowering->arena);
    int visible = expression_visible(&builder, 0);
    int zero = expression_constant(&builder, 0), one = expression_constant(&builder, 1);
    int result = expression_apply(&builder, SCALAR_select, visible, zero, one);
    kernel->expression = expression_end(&builder, &result, 1);
    lower_add_output(kernel, lower_result_view(lowering, y));
}

/* ---- Segments -------------------------------------------------------------------------------- */

/* The gradients lie side by side in one flat buffer; those not written there are copied. */
void lower_collect(Lowering *lowering, Node *node) {
    const Value *flat = &node->results[0];
    View target = lower_result_view(lowering, flat);
    for (int i = 0; i < node->operand_count; i++) {
        const Value *gradient = node->operands[i];
        View place = target;
        place.base += lowering->graph->segments.items[i].offset;
        View source = lower_operand_view(lowering, gradient);
        if (source.buffer == place.buffer && source.base == place.base)
            continue;
        lower_copy(lowering, node, arena_format(lowering->arena, "%s.%d", flat->name, i),
                   &gradient->type, lower_access(&gradient->type, &gradient->type, source), place);
    }
}
