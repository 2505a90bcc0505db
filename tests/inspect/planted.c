/* sparkc with a mistake in it, for the test of finding one: simplify has one more rewrite, which
 * takes what is negated for its negative. The linker puts this in
 * front of the table (--wrap). */
#include "passes/simplify.h"

const Rewrite *__real_simplify_rewrites(int *count);
const Rewrite *__wrap_simplify_rewrites(int *count);

static Value *forget_sign(Builder *builder, const Node *node) {
    (void)builder;
    return node->operands[0];
}

enum { MOST = 100 };

const Rewrite *__wrap_simplify_rewrites(int *count) {
    static Rewrite rewrites[MOST];
    const Rewrite *real = __real_simplify_rewrites(count);
    for (int i = 0; i < *count && i < MOST - 1; i++)
        rewrites[i + 1] = real[i];
    rewrites[0] = (Rewrite){OP_neg, "the planted mistake", true, forget_sign};
    ++*count;
    return rewrites;
}
