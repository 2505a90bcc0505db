/* What the CPU back end has no code for, though the kernel IR can say it: one row per fact that the
 * emitters rely on beyond what ir/kernel_verify.h proves. */
#include "codegen/cpu/cpu.h"

#include "ir/kernel_names.h"

/* ---- Facts of one kernel --------------------------------------------------------------------- */

static bool is_contract(const Kernel *kernel) {
    return kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT;
}

static bool is_window(const Kernel *kernel, WindowKind kind) {
    return kernel->kind == KERNEL_WINDOW && kernel->window.kind == kind;
}

/* Rows that taps read, and incoming gradients, are copied or loaded in vectors. */
static bool spreads_channels(const Program *program, const Kernel *kernel) {
    (void)program;
    if (is_contract(kernel))
        return kernel->contraction.a.channel_stride != 1 ||
               (kernel->kind == KERNEL_CONTRACT_WEIGHT &&
                kernel->contraction.b.channel_stride != 1);
    return kernel->kind == KERNEL_WINDOW &&
           (kernel->window.a.channel_stride != 1 ||
            (kernel_window_has_b(kernel->window.kind) && kernel->window.b.channel_stride != 1));
}

static bool spreads_weight(const Program *program, const Kernel *kernel) {
    (void)program;
    if (kernel->kind == KERNEL_CONTRACT_WEIGHT)
        return kernel->contraction.weight.out_stride != 1;
    return kernel->kind == KERNEL_WINDOW && kernel_window_has_weight(kernel->window.kind) &&
           kernel->window.weight.out_stride != 1;
}

/* Results that are written in vectors whatever their view says. */
static bool spreads_result(const Program *program, const Kernel *kernel) {
    (void)program;
    bool merged = kernel->kind == KERNEL_REDUCE &&
                  (kernel->reduction.over == OVER_BATCH || kernel->reduction.over == OVER_IMAGE ||
                   kernel->reduction.over == OVER_SEGMENT);
    bool spread = false;
    for (int i = 0; i < kernel->output_count; i++)
        spread = spread || kernel->outputs[i].channel_stride != 1;
    return spread && (merged || is_window(kernel, WINDOW_MAX_GRAD));
}

static bool sums_in_phases(const Program *program, const Kernel *kernel) {
    if (kernel->kind != KERNEL_CONTRACT_WEIGHT)
        return false;
    return kernel_rows(program, kernel) != space_rows(&program->geometry, &kernel->space);
}

static bool reduces_otherwise(const Program *program, const Kernel *kernel) {
    static const unsigned kinds[] = {
        [OVER_BATCH] = 1u << REDUCE_SUM | 1u << REDUCE_MOMENTS,
        [OVER_IMAGE] = 1u << REDUCE_SUM | 1u << REDUCE_MOMENTS,
        [OVER_ROW] = 1u << REDUCE_SUM | 1u << REDUCE_MOMENTS | 1u << REDUCE_MERGE,
        [OVER_CELL] = 1u << REDUCE_MOMENTS,
        [OVER_ALL] = 1u << REDUCE_SUM,
        [OVER_SEGMENT] = 1u << REDUCE_SUM,
    };
    (void)program;
    return kernel->kind == KERNEL_REDUCE &&
           !(kinds[kernel->reduction.over] >> kernel->reduction.kind & 1);
}

static bool sums_several(const Program *program, const Kernel *kernel) {
    (void)program;
    return kernel->kind == KERNEL_REDUCE && kernel->reduction.kind == REDUCE_SUM &&
           kernel->output_count > 1;
}

static bool reads_segments(const Access *operands, int count) {
    for (int i = 0; i < count; i++)
        if (operands[i].kind == ACCESS_SEGMENT)
            return true;
    return false;
}

/* Only what is walked segment by segment knows the segment of an element. */
static bool loses_segments(const Program *program, const Kernel *kernel) {
    (void)program;
    if (is_contract(kernel) && reads_segments(kernel->contraction.prologue_operands,
                                              kernel->contraction.prologue_operand_count))
        return true;
    if (kernel->kind == KERNEL_MAP ||
        (kernel->kind == KERNEL_REDUCE && kernel->reduction.over == OVER_SEGMENT))
        return false;
    return reads_segments(kernel->operands, kernel->operand_count);
}

static bool is_bf16(const Program *program, int buffer) {
    return buffer >= 0 && program->buffers.items[buffer].dtype == DTYPE_BF16;
}

static bool weighs_bf16(const Program *program, const Kernel *kernel) {
    if (is_contract(kernel))
        return is_bf16(program, kernel->contraction.weight.buffer);
    return kernel->kind == KERNEL_WINDOW && kernel_window_has_weight(kernel->window.kind) &&
           is_bf16(program, kernel->window.weight.buffer);
}

/* Sums are written as fp32, or are in memory while they grow. */
static bool sums_to_bf16(const Program *program, const Kernel *kernel) {
    bool sums = kernel->kind == KERNEL_REDUCE || is_window(kernel, WINDOW_MAX_GRAD);
    for (int i = 0; sums && i < kernel->output_count; i++)
        if (is_bf16(program, kernel->outputs[i].buffer))
            return true;
    return false;
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct {
    bool (*is)(const Program *program, const Kernel *kernel);
    const char *what;
} refusals[] = {
    {spreads_channels, "rows behind taps, or gradients, whose channels are not side by side"},
    {spreads_weight, "a weight whose output channels are not side by side"},
    {spreads_result, "a result of this kind whose channels are not side by side"},
    {sums_in_phases, "the gradient of a weight over some phases only"},
    {reduces_otherwise, "this kind of reduction over this"},
    {sums_several, "several sums in one reduction"},
    {weighs_bf16, "a weight in bf16"},
    {sums_to_bf16, "a result of this kind in bf16"},
    {loses_segments, "operands by segment in a kernel of this kind"},
};

Status cpu_accepts(Arena *arena, const Program *program) {
    for (size_t k = 0; k < program->kernels.count; k++) {
        const Kernel *kernel = program->kernels.items[k];
        for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
            if (refusals[i].is(program, kernel))
                return status_failure(arena, "kernel %s: not supported: %s in the code for CPUs",
                                      kernel->name, refusals[i].what);
    }
    return STATUS_FINE;
}
