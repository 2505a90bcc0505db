#include "passes/gradient.h"

#include "base/fatal.h"

bool gradient_wants(const Gradient *gradient, int operand) {
    return node_operand(gradient->node, operand) && gradient->wanted[operand];
}

void gradient_give(Gradient *gradient, int operand, Value *value) {
    if (!gradient_wants(gradient, operand))
        return;
    invariant(!gradient->operands[operand], "%s: two gradients for operand %d",
              op_info(gradient->node->op)->name, operand);
    gradient->operands[operand] =
        gradient_reduce(&gradient->builder, value, gradient->node->operands[operand]->type);
}

/* The narrowest sum that takes a value of one form to a narrower form. */
static const char *reduction(const Type *from, const Type *to) {
    if (to->form == FORM_SEGMENTS)
        return "segment";
    if (to->form == FORM_PLAIN)
        return to->rank == 0 ? "all" : "batch";
    return to->form == from->form ? "row" : "image";
}

/* Every sum below narrows the form or the channels, so two rounds are enough: dense to per_image,
 * then its channels to one. */
Value *gradient_reduce(Builder *builder, Value *value, Type type) {
    for (int round = 0; round < 2 && !type_equal(&value->type, &type); round++)
        value = build_sum(builder, "sum", value, reduction(&value->type, &type));
    invariant(type_equal(&value->type, &type), "the gradient %s has another type than its value",
              value->name);
    return value;
}

Value *gradient_widen(Builder *builder, Value *value, Type type) {
    if (type_equal(&value->type, &type))
        return value;
    return build_stated(builder, OP_broadcast, "broadcast", type, OPERANDS(value), NO_ATTRIBUTES);
}

Value *gradient_like(Gradient *gradient, Op op, const char *hint, Value *const *operands,
                     int operand_count, const NamedAttribute *further, int further_count) {
    NamedAttribute all[2 * OP_MAX_ATTRIBUTES];
    int count = 0;
    const OpInfo *info = op_info(gradient->node->op);
    for (int i = 0; i < info->attribute_count; i++) {
        const char *name = info->attributes[i].name;
        if (op_attribute_index(op, name) >= 0)
            all[count++] = (NamedAttribute){name, gradient->node->attributes[i]};
    }
    for (int i = 0; i < further_count; i++)
        all[count++] = further[i];
    return node_result(build(&gradient->builder, op, hint, operands, operand_count, all, count), 0);
}
