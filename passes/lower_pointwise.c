/* Pointwise ops: one map each, operands broadcast by their types. */
#include <string.h>

#include "base/fatal.h"
#include "passes/lower.h"

/* A map under construction: operands that are constants become numbers in the expression. */
typedef struct MapBuilder {
    Lowering *lowering;
    Kernel *kernel;
    const Value *result;
    ExpressionBuilder expression;
} MapBuilder;

static MapBuilder map_begin(Lowering *lowering, Node *node) {
    MapBuilder map = {.lowering = lowering, .result = &node->results[0]};
    map.expression = expression_begin(lowering->arena);
    return map;
}

/* The instruction that reads operand `index` of the node; -1 if it is absent. */
static int map_operand(MapBuilder *map, Access *accesses, int *count, const Value *value) {
    if (!value)
        return -1;
    const Lowered *lowered = lower_value(map->lowering, value);
    if (lowered->is_constant && value->type.dtype == DTYPE_F32)
        return expression_constant(&map->expression, lowered->constant);
    if (lowered->is_constant)
        return expression_constant_u(&map->expression, (uint32_t)(int64_t)lowered->constant);
    View view = lower_operand_view(map->lowering, value);
    accesses[*count] = lower_access(&map->result->type, &value->type, view);
    return lower_read_operand(&map->expression, value->type.dtype, (*count)++);
}

static void map_end(MapBuilder *map, Node *node, const Access *accesses, int count, int result) {
    Kernel *kernel =
        lower_new_kernel(map->lowering, node, KERNEL_MAP, map->result->name, &map->result->type);
    for (int i = 0; i < count; i++)
        lower_add_operand(kernel, accesses[i]);
    kernel->expression = expression_end(&map->expression, &result, 1);
    lower_add_output(kernel, lower_result_view(map->lowering, map->result));
}

/* y = op(a, b); whole numbers take the unsigned form, which is the same modulo 2^32. */
static void lower_binary(Lowering *lowering, Node *node, ScalarOp real, ScalarOp whole) {
    MapBuilder map = map_begin(lowering, node);
    Access accesses[2];
    int count = 0;
    int a = map_operand(&map, accesses, &count, node->operands[0]);
    int b = map_operand(&map, accesses, &count, node->operands[1]);
    bool is_real = node->results[0].type.dtype == DTYPE_F32;
    invariant(is_real || whole != SCALAR_OP_COUNT, "op %s has no form for whole numbers",
              op_info(node->op)->name);
    int result = expression_apply(&map.expression, is_real ? real : whole, a, b, -1);
    map_end(&map, node, accesses, count, result);
}

void lower_add(Lowering *lowering, Node *node) {
    lower_binary(lowering, node, SCALAR_add, SCALAR_add_u);
}

void lower_sub(Lowering *lowering, Node *node) {
    lower_binary(lowering, node, SCALAR_sub, SCALAR_OP_COUNT);
}

void lower_mul(Lowering *lowering, Node *node) {
    lower_binary(lowering, node, SCALAR_mul, SCALAR_mul_u);
}

void lower_div(Lowering *lowering, Node *node) {
    lower_binary(lowering, node, SCALAR_div, SCALAR_OP_COUNT);
}

/* b where b < a, else a. */
void lower_minimum(Lowering *lowering, Node *node) {
    MapBuilder map = map_begin(lowering, node);
    Access accesses[2];
    int count = 0;
    int a = map_operand(&map, accesses, &count, node->operands[0]);
    int b = map_operand(&map, accesses, &count, node->operands[1]);
    map_end(&map, node, accesses, count, expression_apply(&map.expression, SCALAR_min, b, a, -1));
}

/* 1 or 0 from a condition. */
static int number_of(ExpressionBuilder *builder, int condition) {
    int one = expression_constant(builder, 1), zero = expression_constant(builder, 0);
    return expression_apply(builder, SCALAR_select, condition, one, zero);
}

void lower_greater(Lowering *lowering, Node *node) {
    MapBuilder map = map_begin(lowering, node);
    Access accesses[2];
    int count = 0;
    int a = map_operand(&map, accesses, &count, node->operands[0]);
    int b = map_operand(&map, accesses, &count, node->operands[1]);
    int less = expression_apply(&map.expression, SCALAR_less, b, a, -1);
    map_end(&map, node, accesses, count, number_of(&map.expression, less));
}

void lower_select(Lowering *lowering, Node *node) {
    MapBuilder map = map_begin(lowering, node);
    Access accesses[3];
    int count = 0;
    int condition = map_operand(&map, accesses, &count, node->operands[0]);
    int a = map_operand(&map, accesses, &count, node->operands[1]);
    int b = map_operand(&map, accesses, &count, node->operands[2]);
    int zero = expression_constant(&map.expression, 0);
    int is_zero = expression_apply(&map.expression, SCALAR_equal, condition, zero, -1);
    bool is_real = node->results[0].type.dtype == DTYPE_F32;
    ScalarOp select = is_real ? SCALAR_select : SCALAR_select_u;
    map_end(&map, node, accesses, count, expression_apply(&map.expression, select, is_zero, b, a));
}

static void lower_one_operand(Lowering *lowering, Node *node, ScalarOp op) {
    MapBuilder map = map_begin(lowering, node);
    Access access;
    int count = 0;
    int x = map_operand(&map, &access, &count, node->operands[0]);
    map_end(&map, node, &access, count, expression_apply(&map.expression, op, x, -1, -1));
}

void lower_neg(Lowering *lowering, Node *node) {
    lower_one_operand(lowering, node, SCALAR_neg);
}

void lower_sqrt(Lowering *lowering, Node *node) {
    lower_one_operand(lowering, node, SCALAR_sqrt);
}

void lower_is_finite(Lowering *lowering, Node *node) {
    MapBuilder map = map_begin(lowering, node);
    Access access;
    int count = 0;
    int x = map_operand(&map, &access, &count, node->operands[0]);
    int finite = expression_apply(&map.expression, SCALAR_is_finite, x, -1, -1);
    map_end(&map, node, &access, count, number_of(&map.expression, finite));
}

void lower_broadcast(Lowering *lowering, Node *node) {
    MapBuilder map = map_begin(lowering, node);
    Access access;
    int count = 0;
    int x = map_operand(&map, &access, &count, node->operands[0]);
    map_end(&map, node, &access, count, x);
}

/* rsqrt(m2 / count + eps) */
void lower_rstd(Lowering *lowering, Node *node) {
    MapBuilder map = map_begin(lowering, node);
    ExpressionBuilder *builder = &map.expression;
    Access accesses[2];
    int count = 0;
    int m2 = map_operand(&map, accesses, &count, node->operands[0]);
    int terms = map_operand(&map, accesses, &count, node->operands[1]);
    int epsilon = expression_constant(builder, node_float(node, "eps"));
    int variance = expression_apply(builder, SCALAR_div, m2, terms, -1);
    int shifted = expression_apply(builder, SCALAR_add, variance, epsilon, -1);
    map_end(&map, node, accesses, count, expression_apply(builder, SCALAR_rsqrt, shifted, -1, -1));
}

/* (x - mean) * rstd * weight + bias */
void lower_normalise(Lowering *lowering, Node *node) {
    MapBuilder map = map_begin(lowering, node);
    ExpressionBuilder *builder = &map.expression;
    Access accesses[5];
    int count = 0, operand[5];
    for (int i = 0; i < 5; i++)
        operand[i] = map_operand(&map, accesses, &count, node_operand(node, i));
    int y = expression_apply(builder, SCALAR_sub, operand[0], operand[1], -1);
    y = expression_apply(builder, SCALAR_mul, y, operand[2], -1);
    if (operand[3] >= 0)
        y = expression_apply(builder, SCALAR_mul, y, operand[3], -1);
    if (operand[4] >= 0)
        y = expression_apply(builder, SCALAR_add, y, operand[4], -1);
    map_end(&map, node, accesses, count, y);
}

/* ---- Activations: the formula of the table, and for _grad its product with the incoming gradient
 * --- */

static void lower_formula(Lowering *lowering, Node *node, const char *saved, const char *formula,
                          bool derivative) {
    MapBuilder map = map_begin(lowering, node);
    Access accesses[2];
    const OpInfo *info = op_info(node->op);
    const char *names[1 + OP_MAX_ATTRIBUTES];
    int bound[1 + OP_MAX_ATTRIBUTES], count = 0;
    names[0] = saved;
    bound[0] = map_operand(&map, accesses, &count, node->operands[0]);
    for (int i = 0; i < info->attribute_count; i++) {
        names[1 + i] = info->attributes[i].name;
        bound[1 + i] = expression_constant(&map.expression, node->attributes[i].real);
    }
    int y = expression_formula(&map.expression, formula, names, bound, 1 + info->attribute_count);
    if (derivative) {
        int dy = map_operand(&map, accesses, &count, node->operands[1]);
        y = expression_apply(&map.expression, SCALAR_mul, dy, y, -1);
    }
    map_end(&map, node, accesses, count, y);
}

#define ACTIVATION(name, attributes, saved, value, derivative)                                     \
    void lower_##name(Lowering *lowering, Node *node) {                                            \
        lower_formula(lowering, node, "x", value, false);                                          \
    }                                                                                              \
    void lower_##name##_grad(Lowering *lowering, Node *node) {                                     \
        lower_formula(lowering, node, saved, derivative, true);                                    \
    }
#include "ir/activations.def"
#undef ACTIVATION

/* ---- Random numbers: Philox-4x32-10 (Salmon et al., 2011), as in base/random.h --------------- */

enum { PHILOX_ROUNDS = 10 };

void lower_bernoulli(Lowering *lowering, Node *node) {
    MapBuilder map = map_begin(lowering, node);
    ExpressionBuilder *b = &map.expression;
    Access accesses[2];
    int count = 0;
    int key[2] = {map_operand(&map, accesses, &count, node->operands[0]),
                  expression_constant_u(b, (uint32_t)node_int(node, "stream"))};
    int step = map_operand(&map, accesses, &count, node->operands[1]);
    int counter[4] = {expression_index(b, false), expression_index(b, true), step,
                      expression_constant_u(b, 0)};
    const int multiplier[2] = {expression_constant_u(b, 0xD2511F53u),
                               expression_constant_u(b, 0xCD9E8D57u)};
    const int weyl[2] = {expression_constant_u(b, 0x9E3779B9u),
                         expression_constant_u(b, 0xBB67AE85u)};
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        int high0 = expression_apply(b, SCALAR_mulhi_u, multiplier[0], counter[0], -1);
        int low0 = expression_apply(b, SCALAR_mul_u, multiplier[0], counter[0], -1);
        int high1 = expression_apply(b, SCALAR_mulhi_u, multiplier[1], counter[2], -1);
        int low1 = expression_apply(b, SCALAR_mul_u, multiplier[1], counter[2], -1);
        int mixed0 = expression_apply(b, SCALAR_xor_u, high1, counter[1], -1);
        int mixed1 = expression_apply(b, SCALAR_xor_u, high0, counter[3], -1);
        counter[0] = expression_apply(b, SCALAR_xor_u, mixed0, key[0], -1);
        counter[1] = low1;
        counter[2] = expression_apply(b, SCALAR_xor_u, mixed1, key[1], -1);
        counter[3] = low0;
        for (int k = 0; k < 2; k++)
            key[k] = expression_apply(b, SCALAR_add_u, key[k], weyl[k], -1);
    }
    double rate = node_float(node, "rate");
    int threshold = expression_constant_u(b, (uint32_t)(rate * 4294967296.0));
    int dropped = expression_apply(b, SCALAR_less_u, counter[0], threshold, -1);
    int zero = expression_constant(b, 0), kept = expression_constant(b, 1 / (1 - rate));
    map_end(&map, node, accesses, count, expression_apply(b, SCALAR_select, dropped, zero, kept));
}
