/* What a header's functions of training set, for `record step`. */
#include <stdio.h>

#include "model.h"

static union {
    unsigned char bytes[MODEL_INPUTS_BYTES];
    double aligned;
} inputs;

int main(void) {
    model_memory memory = {0};
    memory.inputs = inputs.bytes;
    for (uint32_t step = 0; step < 3; step++) {
        model_set_step(&memory, 7, step, 0.5, 0.25);
        if (*model_input_lr(&memory) < 0.5F || *model_input_weight_decay(&memory) < 0.25F)
            return 1;
        for (int i = 0; i < MODEL_BATCH * MODEL_KEEP; i++)
            printf("%d ", (int)model_input_cells(&memory)[i]);
        printf("%a %a\n", (double)*model_input_bias_correction1(&memory),
               (double)*model_input_bias_correction2_sqrt(&memory));
    }
    return 0;
}
