#include "ir/kernel_check.h"

#include "ir/kernel_names.h"

bool kernel_check_fail(const Check *check, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *message = arena_vformat(check->program->arena, format, arguments);
    va_end(arguments);
    if (check->kernel)
        diagnostics_report(check->diagnostics, SEVERITY_ERROR, check->kernel->location,
                           "kernel %s: %s", check->kernel->name, message);
    else
        diagnostics_report(check->diagnostics, SEVERITY_ERROR, check->place, "program: %s",
                           message);
    return false;
}

/* ---- Spaces ---------------------------------------------------------------------------------- */

/* Rows of an image are counted in 32 bits where a map or a list holds them. */
static bool check_map_rows(const Check *check, const Space *space, const char *what) {
    int64_t rows = 1;
    for (int d = 0; d < space->rank; d++)
        if (__builtin_mul_overflow(rows, space->extent[d], &rows) || rows > INT32_MAX)
            return kernel_check_fail(check, "%s has more than 2^31 - 1 positions", what);
    return true;
}

static bool check_masked(const Check *check, const Space *space, const char *what) {
    const Geometry *geometry = &check->program->geometry;
    if (geometry->keep < 1 || check->program->cells < 0)
        return kernel_check_fail(check, "%s is masked, but nothing in this program is", what);
    if (space->stride < 1 || space->stride > geometry->ratio || geometry->ratio % space->stride)
        return kernel_check_fail(check, "%s: a stride of %lld does not divide the ratio %lld", what,
                                 (long long)space->stride, (long long)geometry->ratio);
    for (int d = 0; d < space->rank; d++)
        if (space->extent[d] * space->stride != geometry->image[d])
            return kernel_check_fail(check,
                                     "%s: extent %lld at stride %lld is not the image's %lld", what,
                                     (long long)space->extent[d], (long long)space->stride,
                                     (long long)geometry->image[d]);
    return check_map_rows(check, space, what);
}

bool kernel_check_space(const Check *check, const Space *space, const char *what) {
    const Geometry *geometry = &check->program->geometry;
    int64_t rows = geometry->batch;
    if ((unsigned)space->kind >= KERNEL_SPACE_KINDS)
        return kernel_check_fail(check, "%s is of no kind", what);
    if (!space_has_positions(space))
        return space->rank == 0 || kernel_check_fail(check, "%s has a rank but no positions", what);
    if (space->rank < 1 || space->rank > TYPE_MAX_SPACE ||
        (space->kind == SPACE_MASKED && space->rank != geometry->space))
        return kernel_check_fail(check, "%s has %d directions, the image %d", what, space->rank,
                                 geometry->space);
    for (int d = 0; d < space->rank; d++)
        if (space->extent[d] < 1 || space->extent[d] > INT32_MAX ||
            __builtin_mul_overflow(rows, space->extent[d], &rows) ||
            rows > KERNEL_CHECK_MOST_ELEMENTS)
            return kernel_check_fail(check, "%s has an extent of %lld", what,
                                     (long long)space->extent[d]);
    return space->kind != SPACE_MASKED || check_masked(check, space, what);
}

/* rows x channels can be counted. */
static bool check_walk(const Check *check, const Space *space, int64_t channels) {
    const Geometry *geometry = &check->program->geometry;
    int64_t count = space_rows(geometry, space) * space_images(geometry, space);
    if (channels < 1 || __builtin_mul_overflow(count, channels, &count) ||
        count > KERNEL_CHECK_MOST_ELEMENTS)
        return kernel_check_fail(check, "%lld channels", (long long)channels);
    return true;
}

/* Rows of a masked space are looked up by position in the map of its level. */
static bool check_source(const Check *check, const Space *source, const char *what) {
    if (!kernel_check_space(check, source, what))
        return false;
    return source->kind != SPACE_MASKED || kernel_find_level(check->program, source) ||
           kernel_check_fail(check, "there is no position map of stride %lld",
                             (long long)source->stride);
}

/* Position maps reach as far as the positions from `low` to `high` of direction d. */
static bool check_reach(const Check *check, const Space *source, int d, int64_t low, int64_t high) {
    if (source->kind != SPACE_MASKED)
        return true;
    const Level *level = kernel_find_level(check->program, source);
    if (low < -level->border[d] || high >= source->extent[d] + level->border[d])
        return kernel_check_fail(
            check, "reads positions %lld .. %lld, beyond the border %lld of extent %lld",
            (long long)low, (long long)high, (long long)level->border[d],
            (long long)source->extent[d]);
    return true;
}

/* ---- Accesses and views ---------------------------------------------------------------------- */

static bool check_buffer(const Check *check, int buffer, const char *what) {
    if (buffer >= 0 && (size_t)buffer < check->program->buffers.count)
        return true;
    return kernel_check_fail(check, "%s names no buffer", what);
}

static bool is_float(DType dtype) {
    return dtype == DTYPE_F32 || dtype == DTYPE_BF16;
}

static bool check_float_buffer(const Check *check, int buffer, const char *what) {
    if (!check_buffer(check, buffer, what))
        return false;
    DType dtype = check->program->buffers.items[buffer].dtype;
    return is_float(dtype) ||
           kernel_check_fail(check, "%s is %s, not a floating-point type", what, dtype_name(dtype));
}

static bool check_channel(const Check *check, const Access *access, int64_t channels) {
    int64_t parameter = access->channel_parameter;
    bool has_parameter = access->channel == CHANNEL_REPEAT || access->channel == CHANNEL_SHUFFLE;
    if ((unsigned)access->channel >= KERNEL_CHANNEL_KINDS)
        return kernel_check_fail(check, "an operand's channels are of no kind");
    if (has_parameter && parameter < 1)
        return kernel_check_fail(check, "%s of %lld", kernel_channel_name(access->channel),
                                 (long long)parameter);
    if (access->channel == CHANNEL_SHUFFLE && channels % parameter)
        return kernel_check_fail(check, "shuffle into %lld groups does not divide %lld channels",
                                 (long long)parameter, (long long)channels);
    return true;
}

static bool check_position(const Check *check, const Access *access, const Space *space) {
    if (!check_source(check, &access->source, "the source of a position operand"))
        return false;
    if (!space_has_positions(space) || access->source.rank != space->rank)
        return kernel_check_fail(check, "a position operand where there are no such positions");
    for (int d = 0; d < space->rank; d++) {
        if (access->divide[d] < 1)
            return kernel_check_fail(check, "positions are divided by %lld",
                                     (long long)access->divide[d]);
        int64_t last = (space->extent[d] - 1) / access->divide[d];
        if (last >= access->source.extent[d])
            return kernel_check_fail(check, "reads position %lld of extent %lld", (long long)last,
                                     (long long)access->source.extent[d]);
        if (!check_reach(check, &access->source, d, 0, last))
            return false;
    }
    return true;
}

static bool check_access(const Check *check, const Access *access, const Space *space,
                         int64_t channels) {
    if (!check_channel(check, access, channels))
        return false;
    if (access->view.buffer != -1 || access->kind != ACCESS_POSITION) {
        if (!check_buffer(check, access->view.buffer, "an operand"))
            return false;
    }
    switch (access->kind) {
    case ACCESS_ELEMENT:
    case ACCESS_ONE:
        return true;
    case ACCESS_IMAGE:
        return (space->kind != SPACE_ONE && space->kind != SPACE_FLAT) ||
               kernel_check_fail(check, "an image operand where there are no images");
    case ACCESS_SEGMENT:
        return (space->kind == SPACE_FLAT && access->channel == CHANNEL_SAME) ||
               kernel_check_fail(check, "a segment operand of a space that is not flat");
    case ACCESS_POSITION:
        return check_position(check, access, space);
    }
    return kernel_check_fail(check, "an operand is of no kind");
}

/* ---- Expressions ----------------------------------------------------------------------------- */

/* The operands of an expression: accesses from number `first` on, and one fp32 number that is
 * computed (acc, the element of a prologue), or -1. */
typedef struct OperandList {
    const Access *accesses;
    int first, count, computed;
} OperandList;

static bool check_operand(const Check *check, const Instruction *instruction,
                          const OperandList *operands) {
    int number = instruction->operand - operands->first;
    if (instruction->operand == operands->computed)
        return instruction->op == SCALAR_OPERAND ||
               kernel_check_fail(check, "operand %d is a computed fp32 number",
                                 instruction->operand);
    if (number < 0 || number >= operands->count)
        return kernel_check_fail(check, "the expression reads operand %d, which is not there",
                                 instruction->operand);
    const Access *access = &operands->accesses[number];
    if (instruction->op == SCALAR_VISIBLE)
        return access->kind == ACCESS_POSITION ||
               kernel_check_fail(check, "operand %d is always visible", instruction->operand);
    if (access->view.buffer < 0)
        return kernel_check_fail(check, "operand %d has no value", instruction->operand);
    DType dtype = check->program->buffers.items[access->view.buffer].dtype;
    return is_float(dtype) == (instruction->op == SCALAR_OPERAND) ||
           kernel_check_fail(check, "operand %d is %s, the expression reads it as %s",
                             instruction->operand, dtype_name(dtype),
                             instruction->op == SCALAR_OPERAND ? "fp32" : "u32");
}

static bool check_instruction(const Check *check, const Expression *expression, int index) {
    const Instruction *instruction = &expression->instructions[index];
    if ((unsigned)instruction->op >= SCALAR_OP_COUNT)
        return kernel_check_fail(check, "t%d is no scalar operation", index);
    const char *letters = scalar_operands(instruction->op);
    for (int i = 0; letters[i]; i++) {
        int argument = instruction->arguments[i];
        if (argument < 0 || argument >= index ||
            scalar_result(expression->instructions[argument].op) != letters[i])
            return kernel_check_fail(check, "t%d reads t%d, which is no such number", index,
                                     argument);
    }
    return true;
}

static bool check_expression(const Check *check, const Expression *expression,
                             const OperandList *operands, int value_count) {
    if (!expression)
        return kernel_check_fail(check, "there is no expression");
    for (int i = 0; i < expression->instruction_count; i++) {
        const Instruction *instruction = &expression->instructions[i];
        if (!check_instruction(check, expression, i))
            return false;
        bool reads = instruction->op == SCALAR_OPERAND || instruction->op == SCALAR_OPERAND_U ||
                     instruction->op == SCALAR_VISIBLE;
        if (reads && !check_operand(check, instruction, operands))
            return false;
    }
    if (expression->value_count != value_count)
        return kernel_check_fail(check, "the expression has %d values where %d are needed",
                                 expression->value_count, value_count);
    for (int i = 0; i < value_count; i++)
        if (expression->values[i] < 0 || expression->values[i] >= expression->instruction_count ||
            expression_value_kind(expression, i) == 'b')
            return kernel_check_fail(check, "value %d of the expression is no number", i);
    return true;
}

/* ---- Taps ------------------------------------------------------------------------------------ */

static bool check_tap(const Check *check, const TapSet *taps, const Tap *tap) {
    const Space *space = &check->kernel->space;
    if (tap->weight < 0 || tap->weight > INT32_MAX)
        return kernel_check_fail(check, "a tap has the weight %lld", (long long)tap->weight);
    for (int d = 0; d < taps->source.rank; d++) {
        int64_t last = (space->extent[d] - 1 - taps->phase[d]) / taps->step[d] * taps->scale[d];
        if (tap->offset[d] < -INT32_MAX || tap->offset[d] > INT32_MAX)
            return kernel_check_fail(check, "a tap is %lld away", (long long)tap->offset[d]);
        if (taps->phase[d] < space->extent[d] &&
            !check_reach(check, &taps->source, d, tap->offset[d], last + tap->offset[d]))
            return false;
    }
    return true;
}

/* Cells of a masked space are a whole number of steps wide, so that each has its rows of every
 * phase. */
static bool check_steps(const Check *check, const TapSet *taps, int d) {
    const Space *space = &check->kernel->space;
    int64_t step = taps->step[d], scale = taps->scale[d];
    if (step < 1 || step > INT32_MAX || taps->phase[d] < 0 || taps->phase[d] >= step || scale < 1 ||
        scale > INT32_MAX)
        return kernel_check_fail(check, "step %lld, phase %lld, scale %lld", (long long)step,
                                 (long long)taps->phase[d], (long long)scale);
    if (space->kind == SPACE_MASKED &&
        kernel_cell_side(&check->program->geometry, space) % step != 0)
        return kernel_check_fail(check, "a step of %lld does not divide the cells",
                                 (long long)step);
    return true;
}

static bool check_taps(const Check *check, const TapSet *taps) {
    const Space *space = &check->kernel->space;
    if (!check_source(check, &taps->source, "the source of the taps"))
        return false;
    if (space->rank != taps->source.rank || (space->rank == 0 && space->kind != taps->source.kind))
        return kernel_check_fail(check, "taps from %s to %s", kernel_space_name(taps->source.kind),
                                 kernel_space_name(space->kind));
    for (int d = 0; d < taps->source.rank; d++)
        if (!check_steps(check, taps, d))
            return false;
    for (int t = 0; t < taps->tap_count; t++)
        if (!check_tap(check, taps, &taps->taps[t]))
            return false;
    return true;
}

/* The taps of a weight's gradient write its taps in order, none left out. */
static bool check_gradient_taps(const Check *check, const TapSet *taps) {
    if (taps->tap_count == 0)
        return kernel_check_fail(check, "the gradient of a weight without taps");
    for (int t = 0; t < taps->tap_count; t++)
        if (taps->taps[t].weight != t)
            return kernel_check_fail(check, "tap %d writes weight %lld", t,
                                     (long long)taps->taps[t].weight);
    return true;
}

/* Rows x taps x channels of a tap x channels can be counted. */
static bool check_terms(const Check *check, const TapSet *taps, int64_t in) {
    const Kernel *kernel = check->kernel;
    const Geometry *geometry = &check->program->geometry;
    int64_t terms = space_rows(geometry, &kernel->space) * space_images(geometry, &kernel->space);
    if (__builtin_mul_overflow(terms, (int64_t)taps->tap_count, &terms) ||
        __builtin_mul_overflow(terms, in, &terms) ||
        __builtin_mul_overflow(terms, kernel->channels, &terms) || terms > KERNEL_CHECK_MOST_TERMS)
        return kernel_check_fail(check, "%d taps of %lld to %lld channels are too many terms",
                                 taps->tap_count, (long long)in, (long long)kernel->channels);
    return true;
}

/* ---- Kinds ----------------------------------------------------------------------------------- */

static bool check_prologue(const Check *check, const Contraction *contraction) {
    OperandList operands = {contraction->prologue_operands, 1, contraction->prologue_operand_count,
                            0};
    if (contraction->prologue_operand_count < 0 ||
        contraction->prologue_operand_count > KERNEL_MAX_OPERANDS)
        return kernel_check_fail(check, "%d prologue operands",
                                 contraction->prologue_operand_count);
    if (!contraction->prologue)
        return contraction->prologue_operand_count == 0 ||
               kernel_check_fail(check, "prologue operands without a prologue");
    if (contraction->prologue_operand_count >= KERNEL_MAX_OPERANDS) /* the element is one as well */
        return kernel_check_fail(check, "%d prologue operands",
                                 contraction->prologue_operand_count);
    for (int i = 0; i < contraction->prologue_operand_count; i++)
        if (!check_access(check, &contraction->prologue_operands[i], &contraction->taps.source,
                          contraction->in))
            return false;
    return check_expression(check, contraction->prologue, &operands, 1) &&
           (expression_value_kind(contraction->prologue, 0) == 'f' ||
            kernel_check_fail(check, "the prologue gives no fp32 number"));
}

static bool check_contraction(const Check *check) {
    const Kernel *kernel = check->kernel;
    const Contraction *contraction = &kernel->contraction;
    int64_t groups = contraction->groups;
    if (!check_taps(check, &contraction->taps))
        return false;
    if (!check_walk(check, &contraction->taps.source, contraction->in))
        return false;
    if (contraction->out != kernel->channels || groups < 1 || contraction->in % groups ||
        contraction->out % groups)
        return kernel_check_fail(check, "%lld to %lld channels in %lld groups, walking %lld",
                                 (long long)contraction->in, (long long)contraction->out,
                                 (long long)groups, (long long)kernel->channels);
    bool gradient = kernel->kind == KERNEL_CONTRACT_WEIGHT;
    return check_terms(check, &contraction->taps, contraction->in / groups) &&
           check_float_buffer(check, contraction->a.buffer, "a") &&
           (!gradient || (check_float_buffer(check, contraction->b.buffer, "b") &&
                          check_gradient_taps(check, &contraction->taps))) &&
           check_float_buffer(check, contraction->weight.buffer, "the weight") &&
           check_prologue(check, contraction);
}

/* Every window of the pooled map has a position in the picture, so that its divisor is not 0. */
static bool check_pool(const Check *check, const Window *window, const Space *pooled,
                       const Space *picture) {
    int64_t positions = 1;
    for (int d = 0; d < pooled->rank; d++) {
        int64_t kernel = window->pool_kernel[d], stride = window->pool_stride[d],
                pad = window->pool_pad[d];
        bool small = kernel >= 1 && kernel <= INT32_MAX && stride >= 1 && stride <= INT32_MAX &&
                     pad >= 0 && pad < kernel;
        int64_t last = small ? (pooled->extent[d] - 1) * stride - pad : 0;
        if (!small || last >= picture->extent[d] ||
            __builtin_mul_overflow(positions, kernel, &positions) ||
            positions > KERNEL_CHECK_MOST_ELEMENTS)
            return kernel_check_fail(check, "pool kernel %lld, stride %lld, pad %lld",
                                     (long long)kernel, (long long)stride, (long long)pad);
    }
    return true;
}

static bool check_bilinear(const Check *check, const Window *window, const Space *small,
                           const Space *large) {
    for (int d = 0; d < small->rank; d++)
        if (window->factor[d] < 1 || window->factor[d] > INT32_MAX ||
            small->extent[d] * window->factor[d] != large->extent[d])
            return kernel_check_fail(check, "upsampling extent %lld by %lld to %lld",
                                     (long long)small->extent[d], (long long)window->factor[d],
                                     (long long)large->extent[d]);
    return (small->kind == SPACE_DENSE && large->kind == SPACE_DENSE) ||
           kernel_check_fail(check, "bilinear upsampling needs dense maps");
}

static bool check_window_kind(const Check *check, const Window *window) {
    const Space *space = &check->kernel->space, *source = &window->taps.source;
    switch (window->kind) {
    case WINDOW_AVERAGE:
        return check_pool(check, window, space, source);
    case WINDOW_AVERAGE_GRAD:
        return check_pool(check, window, source, space);
    case WINDOW_BILINEAR:
        return check_bilinear(check, window, source, space);
    case WINDOW_BILINEAR_GRAD:
        return check_bilinear(check, window, space, source);
    case WINDOW_MAX_GRAD:
        return check_map_rows(check, source, "the source of the taps") &&
               (check->kernel->output_count == 1 ||
                kernel_check_fail(check, "max_grad has one output"));
    case WINDOW_WEIGHT_GRAD:
        return check_gradient_taps(check, &window->taps);
    case WINDOW_WEIGHTED:
    case WINDOW_SUM:
    case WINDOW_MAX:
    case WINDOW_MAX_BY:
        return true;
    }
    return kernel_check_fail(check, "the window is of no kind");
}

static bool check_window(const Check *check) {
    const Window *window = &check->kernel->window;
    if (!check_taps(check, &window->taps) || !check_window_kind(check, window))
        return false;
    if (!space_has_positions(&check->kernel->space))
        return kernel_check_fail(check, "a window where there are no positions");
    return check_walk(check, &window->taps.source, check->kernel->channels) &&
           check_terms(check, &window->taps, 1) &&
           check_float_buffer(check, window->a.buffer, "a") &&
           (!kernel_window_has_b(window->kind) ||
            check_float_buffer(check, window->b.buffer, "b")) &&
           (!kernel_window_has_weight(window->kind) ||
            check_float_buffer(check, window->weight.buffer, "the weight"));
}

static bool check_squares(const Check *check, int64_t patch) {
    const Space *space = &check->kernel->space;
    bool divides = space->kind == SPACE_DENSE && patch >= 1;
    for (int d = 0; divides && d < space->rank; d++)
        divides = space->extent[d] % patch == 0;
    return divides ||
           kernel_check_fail(check, "squares of %lld do not tile the space", (long long)patch);
}

static bool check_over(const Check *check) {
    const Kernel *kernel = check->kernel;
    const Reduction *reduction = &kernel->reduction;
    bool images = kernel->space.kind != SPACE_ONE && kernel->space.kind != SPACE_FLAT;
    switch (reduction->over) {
    case OVER_BATCH:
    case OVER_ALL:
        return true;
    case OVER_IMAGE:
        return images || kernel_check_fail(check, "over image where there are no images");
    case OVER_ROW:
        return (reduction->groups >= 1 && kernel->channels % reduction->groups == 0) ||
               kernel_check_fail(check, "%lld groups of %lld channels",
                                 (long long)reduction->groups, (long long)kernel->channels);
    case OVER_CELL:
        return check_squares(check, reduction->patch);
    case OVER_SEGMENT:
        return kernel->space.kind == SPACE_FLAT ||
               kernel_check_fail(check, "over segment in a space that is not flat");
    }
    return kernel_check_fail(check, "the reduction is over nothing");
}

static bool check_reduction(const Check *check) {
    const Kernel *kernel = check->kernel;
    const Reduction *reduction = &kernel->reduction;
    if ((unsigned)reduction->kind >= KERNEL_REDUCE_KINDS)
        return kernel_check_fail(check, "the reduction is of no kind");
    if (!check_over(check))
        return false;
    if (reduction->kind != REDUCE_SUM && kernel->output_count != 2)
        return kernel_check_fail(check, "%s has two outputs, mean and m2",
                                 kernel_reduce_name(reduction->kind));
    if (reduction->kind == REDUCE_MERGE && reduction->merge_count < 1)
        return kernel_check_fail(check, "merges groups of %lld", (long long)reduction->merge_count);
    return true;
}

static bool check_kind(const Check *check) {
    const Kernel *kernel = check->kernel;
    switch (kernel->kind) {
    case KERNEL_MAP:
        return true;
    case KERNEL_CONTRACT:
    case KERNEL_CONTRACT_WEIGHT:
        return check_contraction(check);
    case KERNEL_WINDOW:
        return check_window(check);
    case KERNEL_REDUCE:
        return check_reduction(check);
    case KERNEL_POSITION_MAP: {
        int level = kernel->position_map.level;
        return (level >= 0 && (size_t)level < check->program->levels.count &&
                space_equal(&check->program->levels.items[level].space, &kernel->space)) ||
               kernel_check_fail(check, "walks another space than its level");
    }
    }
    return kernel_check_fail(check, "is of no kind");
}

/* ---- The whole ------------------------------------------------------------------------------- */

static bool has_expression(const Kernel *kernel) {
    return kernel->kind == KERNEL_MAP || kernel->kind == KERNEL_REDUCE || kernel_has_acc(kernel);
}

/* How many values the expression gives: one per output, but what moments and merges are taken of.
 */
static int needed_values(const Kernel *kernel) {
    if (kernel->kind != KERNEL_REDUCE || kernel->reduction.kind == REDUCE_SUM)
        return kernel->output_count;
    return kernel->reduction.kind == REDUCE_MOMENTS ? 1 : 2;
}

static bool check_outputs(const Check *check) {
    const Kernel *kernel = check->kernel;
    for (int i = 0; i < kernel->output_count; i++) {
        if (!check_buffer(check, kernel->outputs[i].buffer, "an output"))
            return false;
        DType dtype = check->program->buffers.items[kernel->outputs[i].buffer].dtype;
        bool real = kernel->kind == KERNEL_REDUCE || !has_expression(kernel) ||
                    expression_value_kind(kernel->expression, i) == 'f';
        if (is_float(dtype) != real)
            return kernel_check_fail(check, "output %d is %s, its value is %s", i,
                                     dtype_name(dtype), real ? "fp32" : "u32");
    }
    return true;
}

/* Reductions are sums of fp32 numbers. */
static bool check_reduced_values(const Check *check) {
    const Kernel *kernel = check->kernel;
    for (int i = 0; kernel->kind == KERNEL_REDUCE && i < kernel->expression->value_count; i++)
        if (expression_value_kind(kernel->expression, i) != 'f')
            return kernel_check_fail(check, "value %d is u32 and cannot be reduced", i);
    return true;
}

static bool check_own_expression(const Check *check) {
    const Kernel *kernel = check->kernel;
    OperandList operands = {kernel->operands, 0, kernel->operand_count,
                            kernel_has_acc(kernel) ? kernel->operand_count : -1};
    bool max_grad = kernel->kind == KERNEL_WINDOW && kernel->window.kind == WINDOW_MAX_GRAD;
    if (!has_expression(kernel) && (kernel->expression || kernel->operand_count > 0))
        return kernel_check_fail(check, "this kind has no expression");
    if (!has_expression(kernel))
        return max_grad || kernel->output_count == 0 ||
               kernel_check_fail(check, "this kind has no outputs");
    if (kernel->output_count < 1)
        return kernel_check_fail(check, "has no output");
    return check_expression(check, kernel->expression, &operands, needed_values(kernel)) &&
           check_reduced_values(check);
}

static bool check_flat(const Check *check) {
    const Program *program = check->program;
    size_t count = program->segments.count;
    if (check->kernel->space.kind != SPACE_FLAT)
        return true;
    int64_t elements = 0;
    if (count > 0) {
        const Segment *last = &program->segments.items[count - 1];
        elements = 1;
        for (int d = 0; d < last->type.rank; d++)
            elements *= last->type.extent[d];
        elements += last->offset;
    }
    return check->kernel->channels == elements ||
           kernel_check_fail(check, "walks %lld of %lld parameters",
                             (long long)check->kernel->channels, (long long)elements);
}

bool kernel_check(const Check *check) {
    const Kernel *kernel = check->kernel;
    if ((unsigned)kernel->kind >= KERNEL_KINDS)
        return kernel_check_fail(check, "is of no kind");
    if (kernel->operand_count < 0 || kernel->operand_count > KERNEL_MAX_OPERANDS ||
        kernel->output_count < 0 || kernel->output_count > KERNEL_MAX_OUTPUTS)
        return kernel_check_fail(check, "%d operands, %d outputs", kernel->operand_count,
                                 kernel->output_count);
    if (!kernel_check_space(check, &kernel->space, "the space") || !check_flat(check) ||
        !check_walk(check, &kernel->space, kernel->channels) || !check_kind(check))
        return false;
    for (int i = 0; i < kernel->operand_count; i++)
        if (!check_access(check, &kernel->operands[i], &kernel->space, kernel->channels))
            return false;
    return check_own_expression(check) && check_outputs(check);
}
