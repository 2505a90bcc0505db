/* Adding ops from a pass: types are inferred at once, and an op that its rules refuse is an
 * internal error (user mistakes are found before). New nodes go before `before`, take `location`,
 * and are named "<prefix>.<hint>". */
#ifndef SPARKC_IR_BUILDER_H
#define SPARKC_IR_BUILDER_H

#include "ir/graph.h"

typedef struct Builder {
    Graph *graph;
    Node *before;       /* NULL: at the end of the graph */
    Location location;  /* for the new nodes */
    const char *prefix; /* of the new names, or NULL */
} Builder;

/* A builder that inserts before `node`, with its location; its prefix is the name of the node's
 * first result. */
Builder builder_at(Graph *graph, Node *node);

typedef struct NamedAttribute {
    const char *name;
    Attribute value;
} NamedAttribute;

/* Attributes for build(): ATTRIBUTES(attribute_int("groups", 2), ...). */
NamedAttribute attribute_int(const char *name, int64_t value);
NamedAttribute attribute_bool(const char *name, bool value);
NamedAttribute attribute_float(const char *name, double value);
NamedAttribute attribute_text(const char *name, const char *value); /* text or word */
NamedAttribute attribute_ints(const char *name, const int64_t *values, int count);

#define ATTRIBUTES(...)                                                                            \
    (const NamedAttribute[]){__VA_ARGS__},                                                         \
        (int)(sizeof((const NamedAttribute[]){__VA_ARGS__}) / sizeof(NamedAttribute))
#define NO_ATTRIBUTES NULL, 0
#define OPERANDS(...)                                                                              \
    (Value *const[]){__VA_ARGS__}, (int)(sizeof((Value *const[]){__VA_ARGS__}) / sizeof(Value *))

/* An op whose types follow from its operands. `hint` names the results (NULL: the op's name).
 *     build(&b, OP_conv, "dx", OPERANDS(dy, w), ATTRIBUTES(attribute_int("groups", g))) */
Node *build(Builder *builder, Op op, const char *hint, Value *const *operands, int operand_count,
            const NamedAttribute *attributes, int attribute_count);

/* The same for ops whose (single) result type is stated. */
Value *build_stated(Builder *builder, Op op, const char *hint, Type type, Value *const *operands,
                    int operand_count, const NamedAttribute *attributes, int attribute_count);

/* The usual small ones; each returns its only result. */
Value *build_unary(Builder *builder, Op op, const char *hint, Value *x);
Value *build_binary(Builder *builder, Op op, const char *hint, Value *a, Value *b);
Value *build_constant(Builder *builder, double value);                           /* f32[] */
Value *build_scale(Builder *builder, const char *hint, Value *x, double factor); /* x * factor */
Value *build_sum(Builder *builder, const char *hint, Value *x, const char *over);
Value *build_scalar(Builder *builder, DType dtype,
                    const char *name);                     /* an input scalar, one node per name */
Value *build_param(Builder *builder, const char *segment); /* reads a segment, one node per name */
Value *build_state(Builder *builder, const char *name); /* reads a state slot, one node per name */

/* A result of a node. */
static inline Value *node_result(Node *node, int index) {
    return &node->results[index];
}

#endif
