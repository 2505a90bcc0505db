/* Cases of every op that has a derivative, dense and masked, by family: what the derivatives, the
 * lowered programs and the compiled code are compared on. */
#ifndef SPARKC_TESTS_SUPPORT_OP_CASES_H
#define SPARKC_TESTS_SUPPORT_OP_CASES_H

#include <stddef.h>

#include "tests/support/op_case.h"

typedef struct OpCases {
    const char *family;
    const OpCase *cases;
    size_t count;
} OpCases;

extern const OpCases op_cases_pointwise, op_cases_contraction, op_cases_window, op_cases_norm,
    op_cases_move, op_cases_composite, op_cases_activation;

/* All of them, behind the last NULL. */
extern const OpCases *const op_cases_all[];

#endif
