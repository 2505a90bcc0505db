#include "passes/recompute.h"

#include <string.h>

#include "ir/kernel_footprint.h"
#include "passes/join.h"

/* Instructions of a map that is repeated, at most; one that is a polynomial counts as POLYNOMIAL.
 */
enum { POLYNOMIAL = 16, MOST_INSTRUCTIONS = 3 * POLYNOMIAL, MOST_IN_BF16 = POLYNOMIAL - 1 };

/* The kernels that touch a buffer, each once. */
typedef struct Users {
    VECTOR(int) readers, writers;
} Users;

typedef struct Recompute {
    Program *program;
    Arena *arena;
    Users *users;          /* by buffer */
    int most_instructions; /* of a map that is repeated */
} Recompute;

static void note(Arena *arena, int **items, size_t *count, size_t *capacity, int kernel) {
    for (size_t i = 0; i < *count; i++)
        if ((*items)[i] == kernel)
            return;
    vector_grow(arena, (void **)items, *count, capacity, sizeof **items);
    (*items)[(*count)++] = kernel;
}

static void note_users(const Recompute *pass, int k) {
    Footprint footprints[FOOTPRINT_MAX];
    int count = kernel_footprints(pass->program, pass->program->kernels.items[k], footprints);
    for (int i = 0; i < count; i++) {
        if (footprints[i].buffer < 0)
            continue;
        Users *users = &pass->users[footprints[i].buffer];
        if (footprints[i].write)
            note(pass->arena, &users->writers.items, &users->writers.count,
                 &users->writers.capacity, k);
        else
            note(pass->arena, &users->readers.items, &users->readers.count,
                 &users->readers.capacity, k);
    }
}

/* ---- Light maps ------------------------------------------------------------------------------ */

/* One value of a map, as a map of its own without outputs. */
static Kernel slice_of(const Program *program, const Kernel *map, int value) {
    const Expression *whole = map->expression;
    ExpressionBuilder builder = {program->arena, whole->instruction_count, whole->instruction_count,
                                 whole->instructions};
    Kernel needed = *map, slice = *map;
    needed.expression = expression_end(&builder, &whole->values[value], 1);
    Joined joined = {.builder = expression_begin(program->arena)};
    int result;
    JoinGiven nothing = join_nothing_given();
    join_expression(&joined, &needed, &nothing, JOIN_ACC, &result);
    join_set(&slice, &joined, expression_end(&joined.builder, &result, 1));
    slice.output_count = 0;
    return slice;
}

static int cost_of(ScalarOp op) {
    switch (op) {
    case SCALAR_exp:
    case SCALAR_expm1:
    case SCALAR_log:
    case SCALAR_erf:
    case SCALAR_tanh:
    case SCALAR_sigmoid:
    case SCALAR_softplus:
    case SCALAR_normal_cdf:
    case SCALAR_normal_pdf:
        return POLYNOMIAL;
    default:
        return 1;
    }
}

static bool is_short(const Expression *expression, int most) {
    int cost = 0;
    for (int i = 0; i < expression->instruction_count; i++) {
        ScalarOp op = expression->instructions[i].op;
        if (op == SCALAR_INDEX_LOW || op == SCALAR_INDEX_HIGH)
            return false;
        cost += cost_of(op);
    }
    return cost <= most;
}

/* One number for a channel, a row or an image. */
static bool is_small(const Access *access) {
    bool same = access->channel == CHANNEL_SAME, first = access->channel == CHANNEL_FIRST;
    return ((access->kind == ACCESS_ONE || access->kind == ACCESS_IMAGE) && (same || first)) ||
           (access->kind == ACCESS_ELEMENT && first);
}

/* The operand that is a whole value; -1 if the map is not light. */
static int find_element(const Recompute *pass, const Kernel *slice) {
    const Program *program = pass->program;
    int found = -1;
    for (int i = 0; i < slice->operand_count; i++) {
        const Access *access = &slice->operands[i];
        if (access->view.buffer < 0)
            return -1;
        if (is_small(access))
            continue;
        if (found >= 0 || !join_is_plain(access) ||
            program->buffers.items[access->view.buffer].dtype != DTYPE_F32)
            return -1;
        found = i;
    }
    return is_short(slice->expression, pass->most_instructions) ? found : -1;
}

/* ---- Readers --------------------------------------------------------------------------------- */

/* A value that might be repeated. */
typedef struct Repeated {
    int kernel, output;
    View view;
    Kernel slice;
    int element; /* operand of the slice */
} Repeated;

static bool reads_as_operand(const Repeated *value, const Kernel *reader, int operand) {
    return join_is_plain(&reader->operands[operand]) &&
           join_view_equal(&reader->operands[operand].view, &value->view) &&
           join_same_rows(reader, &value->slice);
}

/* The first operand of an expression that reads the value at the element that is walked; or -1. */
static int find_operand(const Repeated *value, const Kernel *reader) {
    for (int i = 0; reader->expression && i < reader->operand_count; i++)
        if (reads_as_operand(value, reader, i))
            return i;
    return -1;
}

/* As what a contract packs: rows whose channels are side by side. */
static bool contracts(const Repeated *value, const Kernel *reader) {
    const Contraction *contraction = &reader->contraction;
    return (reader->kind == KERNEL_CONTRACT || reader->kind == KERNEL_CONTRACT_WEIGHT) &&
           !contraction->prologue && join_view_equal(&contraction->a, &value->view) &&
           space_equal(&contraction->taps.source, &value->slice.space) &&
           contraction->in == value->slice.channels &&
           value->slice.operands[value->element].view.channel_stride == 1;
}

/* The expression of a reader with the map in the place of operand `operand`; NULL: it would read
 * too many operands. */
static Expression *join_reader(const Recompute *pass, const Repeated *value, const Kernel *reader,
                               int operand, Joined *joined) {
    int made, values[EXPRESSION_MAX_VALUES];
    *joined = (Joined){.builder = expression_begin(pass->program->arena)};
    JoinGiven given = join_nothing_given();
    join_expression(joined, &value->slice, &given, JOIN_ACC, &made);
    join_give(&given, reader, operand, made);
    join_expression(joined, reader, &given, JOIN_ACC, values);
    if (joined->full)
        return NULL;
    Expression *expression =
        expression_end(&joined->builder, values, reader->expression->value_count);
    join_settle_acc(expression, joined->operand_count);
    return expression;
}

/* True if the kernel reads the value in ways that can do without its buffer, and no other. */
static bool can_take(const Recompute *pass, const Repeated *value, const Kernel *reader) {
    Footprint footprints[FOOTPRINT_MAX];
    Joined joined;
    int count = kernel_footprints(pass->program, reader, footprints), reads = 0, taken = 0;
    for (int i = 0; i < count; i++)
        reads += footprints[i].buffer == value->view.buffer;
    for (int i = 0; reader->expression && i < reader->operand_count; i++)
        taken += reads_as_operand(value, reader, i);
    int operand = find_operand(value, reader);
    bool fits = operand < 0 || join_reader(pass, value, reader, operand, &joined);
    return reads == taken + contracts(value, reader) && fits;
}

/* True if nothing that the map reads is written behind it, up to kernel `last`. */
static bool stays(const Recompute *pass, const Repeated *value, int last) {
    for (int i = 0; i < value->slice.operand_count; i++) {
        const Users *users = &pass->users[value->slice.operands[i].view.buffer];
        for (size_t w = 0; w < users->writers.count; w++)
            if (users->writers.items[w] >= value->kernel && users->writers.items[w] < last)
                return false;
    }
    return true;
}

static bool is_taken_by_all(const Recompute *pass, const Repeated *value) {
    const Users *users = &pass->users[value->view.buffer];
    for (size_t i = 0; i < users->readers.count; i++) {
        int reader = users->readers.items[i];
        if (reader <= value->kernel || !stays(pass, value, reader) ||
            !can_take(pass, value, pass->program->kernels.items[reader]))
            return false;
    }
    return users->readers.count > 0;
}

/* ---- Moving ---------------------------------------------------------------------------------- */

static void set_prologue(const Recompute *pass, const Repeated *value, Kernel *reader) {
    Contraction *contraction = &reader->contraction;
    Joined joined = {.builder = expression_begin(pass->program->arena)};
    int result;
    join_operand(&joined, &value->slice.operands[value->element]);
    JoinGiven nothing = join_nothing_given();
    join_expression(&joined, &value->slice, &nothing, JOIN_ACC, &result);
    contraction->a = joined.operands[0].view;
    contraction->prologue = expression_end(&joined.builder, &result, 1);
    contraction->prologue_operand_count = joined.operand_count - 1;
    contraction->prologue_operands =
        arena_new_array(pass->program->arena, Access, (size_t)joined.operand_count);
    memcpy(contraction->prologue_operands, joined.operands + 1,
           (size_t)contraction->prologue_operand_count * sizeof(Access));
}

static void give(const Recompute *pass, const Repeated *value, int k) {
    Kernel *reader = pass->program->kernels.items[k];
    Joined joined;
    int operand = find_operand(value, reader);
    if (operand >= 0) {
        Expression *expression = join_reader(pass, value, reader, operand, &joined);
        join_set(reader, &joined, expression);
    }
    if (contracts(value, reader))
        set_prologue(pass, value, reader);
    note_users(pass, k);
}

/* The map without one of its outputs; it keeps at least one. */
static void remove_output(const Recompute *pass, Kernel *map, int output) {
    int values[EXPRESSION_MAX_VALUES], kept = 0;
    Joined joined = {.builder = expression_begin(pass->program->arena)};
    int count = map->expression->value_count;
    JoinGiven nothing = join_nothing_given();
    join_expression(&joined, map, &nothing, JOIN_ACC, values);
    for (int i = 0; i < count; i++) {
        if (i == output)
            continue;
        map->outputs[kept] = map->outputs[i];
        values[kept++] = values[i];
    }
    map->output_count = kept;
    join_set(map, &joined, expression_end(&joined.builder, values, kept));
}

static bool try_output(const Recompute *pass, Rewrites *rewrites, int k, int output) {
    Kernel *map = pass->program->kernels.items[k];
    Repeated value = {.kernel = k, .output = output, .view = map->outputs[output]};
    const Buffer *buffer = &pass->program->buffers.items[value.view.buffer];
    Users *users = &pass->users[value.view.buffer];
    if (!join_may_vanish(buffer) || users->writers.count != 1 || !rewrites_may(rewrites))
        return false;
    value.slice = slice_of(pass->program, map, output);
    value.element = find_element(pass, &value.slice);
    if (value.element < 0 || !is_taken_by_all(pass, &value))
        return false;
    for (size_t i = 0; i < users->readers.count; i++)
        give(pass, &value, users->readers.items[i]);
    users->readers.count = users->writers.count = 0;
    if (map->output_count > 1)
        remove_output(pass, map, output);
    else
        map->output_count = 0;
    rewrites_count(rewrites, "recompute", "%%%s where it is read", buffer->name);
    return true;
}

int recompute(Program *program, Precision precision, Rewrites *rewrites) {
    Recompute pass = {.program = program,
                      .arena = arena_create(),
                      .most_instructions =
                          precision == PRECISION_BF16 ? MOST_IN_BF16 : MOST_INSTRUCTIONS};
    int gone = 0;
    pass.users = arena_new_array(pass.arena, Users, program->buffers.count + 1);
    for (int k = 0; k < (int)program->kernels.count; k++)
        note_users(&pass, k);
    for (int k = 0; k < (int)program->kernels.count; k++) {
        const Kernel *kernel = program->kernels.items[k];
        if (kernel->kind != KERNEL_MAP || !space_has_positions(&kernel->space))
            continue;
        for (int output = kernel->output_count - 1; output >= 0; output--)
            gone += try_output(&pass, rewrites, k, output);
    }
    size_t kept = 0;
    for (size_t k = 0; k < program->kernels.count; k++)
        if (program->kernels.items[k]->kind != KERNEL_MAP ||
            program->kernels.items[k]->output_count > 0)
            program->kernels.items[kept++] = program->kernels.items[k];
    program->kernels.count = kept;
    arena_destroy(pass.arena);
    return gone;
}
