/* Windows over the positions of a map: what conv, its gradients and the pools have in common. */
#ifndef SPARKC_IR_RULES_WINDOW_H
#define SPARKC_IR_RULES_WINDOW_H

#include "ir/rules_common.h"

typedef struct RuleWindow {
    int space;
    int64_t kernel[TYPE_MAX_SPACE], stride[TYPE_MAX_SPACE], pad[TYPE_MAX_SPACE];
    int64_t dilation[TYPE_MAX_SPACE]; /* 1 where the op has none */
    bool ceil_mode;                   /* false where the op has none */
} RuleWindow;

/* Reads the attributes of a window; fails unless each has `space` numbers. */
bool rules_window_read(Rule *rule, int space, RuleWindow *window);

/* Reads an attribute of one number per direction. */
bool rules_window_ints(Rule *rule, const char *name, int space, int64_t numbers[TYPE_MAX_SPACE]);

/* The type of x after the window, with the same channels. Masked: the result must line up with the
 * cells. */
bool rules_window_apply(Rule *rule, const Type *x, const RuleWindow *window, Type *result);

/* The type before the window, of spatial extents `size`, that gives y: the inverse. */
bool rules_window_invert(Rule *rule, const Type *y, const RuleWindow *window, const int64_t *size,
                         Type *result);

#endif
