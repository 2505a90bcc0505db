#include "passes/precision.h"

#include "ir/kernel_names.h"
#include "passes/store_prologues.h"

/* What is known of each buffer. */
typedef struct Use {
    bool map;  /* rows of a map of several channels are written to it */
    bool fp32; /* something about it needs fp32 */
} Use;

typedef struct Choice {
    const Program *program;
    Use *uses; /* by buffer */
} Choice;

static void keep(const Choice *choice, int buffer) {
    if (buffer >= 0)
        choice->uses[buffer].fp32 = true;
}

static bool is_drawn(const Expression *expression) {
    for (int i = 0; i < expression->instruction_count; i++)
        if (expression->instructions[i].op == SCALAR_INDEX_LOW)
            return true;
    return false;
}

/* A contraction of a mask, such as the pattern of pass_split: of the one channel of something that
 * the program made. There is nothing to gain, and its result is rounded with what it is added to.
 */
static bool multiplies_mask(const Program *program, const Kernel *kernel) {
    const Contraction *c = &kernel->contraction;
    bool contraction = kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT;
    return contraction && c->in == 1 && c->a.buffer >= 0 &&
           program->buffers.items[c->a.buffer].region == REGION_SCRATCH;
}

/* Its outputs are rows, each number of which it computes once and rounds where it stores it. */
static bool writes_rows(const Kernel *kernel) {
    bool window = kernel->kind == KERNEL_WINDOW && kernel->expression;
    bool map = kernel->kind == KERNEL_MAP && !is_drawn(kernel->expression);
    return (map || window || kernel->kind == KERNEL_CONTRACT) &&
           space_has_positions(&kernel->space);
}

static void note_outputs(const Choice *choice, const Kernel *kernel) {
    bool rows = writes_rows(kernel) && !multiplies_mask(choice->program, kernel);
    for (int i = 0; i < kernel->output_count; i++) {
        Use *use = &choice->uses[kernel->outputs[i].buffer];
        use->map = use->map || kernel->channels > 1;
        use->fp32 = use->fp32 || !rows;
    }
}

/* Weights, read or written, and what the loss or the target is made of. */
static void note_others(const Choice *choice, const Kernel *kernel) {
    if (kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT)
        keep(choice, kernel->contraction.weight.buffer);
    if (kernel->kind == KERNEL_WINDOW && kernel_window_has_weight(kernel->window.kind))
        keep(choice, kernel->window.weight.buffer);
    bool loss = kernel->kind == KERNEL_REDUCE &&
                (kernel->reduction.over == OVER_ALL || kernel->reduction.over == OVER_CELL);
    for (int i = 0; loss && i < kernel->operand_count; i++)
        keep(choice, kernel->operands[i].view.buffer);
}

static bool store_in_bf16(Program *program, const Use *uses) {
    bool changed = false;
    for (size_t i = 0; i < program->buffers.count; i++) {
        Buffer *buffer = &program->buffers.items[i];
        if (buffer->region != REGION_SCRATCH || buffer->dtype != DTYPE_F32 || !uses[i].map ||
            uses[i].fp32)
            continue;
        buffer->dtype = DTYPE_BF16;
        changed = true;
    }
    return changed;
}

static bool multiply_in_bf16(Program *program) {
    bool changed = false;
    for (size_t k = 0; k < program->kernels.count; k++) {
        Kernel *kernel = program->kernels.items[k];
        bool contraction =
            kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT;
        bool of_parameters = kernel->space.kind == SPACE_ONE;
        if (!contraction || of_parameters || multiplies_mask(program, kernel) ||
            kernel->contraction.bf16)
            continue;
        kernel->contraction.bf16 = true;
        changed = true;
    }
    return changed;
}

bool precision(Program *program, Precision wanted) {
    if (wanted == PRECISION_FP32)
        return false;
    int taken = store_prologues(program);
    Arena *arena = arena_create();
    Choice choice = {program, arena_new_array(arena, Use, program->buffers.count + 1)};
    for (size_t k = 0; k < program->kernels.count; k++) {
        note_outputs(&choice, program->kernels.items[k]);
        note_others(&choice, program->kernels.items[k]);
    }
    bool stored = store_in_bf16(program, choice.uses), multiplied = multiply_in_bf16(program);
    arena_destroy(arena);
    return taken > 0 || stored || multiplied;
}
