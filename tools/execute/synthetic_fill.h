/* Synthetic values for everything that a program reads, whoever runs it. */
#ifndef SPARKC_TOOLS_EXECUTE_SYNTHETIC_FILL_H
#define SPARKC_TOOLS_EXECUTE_SYNTHETIC_FILL_H

#include "ir/interpret/interpret.h"
#include "ir/interpret/kernel_interpret.h"
#include "tools/execute/executor.h"
#include "tools/execute/synthetic.h"

/* What takes the values; each function writes all of one name, or fails. */
typedef struct SyntheticReceiver {
    void *to;
    Status (*param)(void *to, Arena *arena, const char *name, const double *values, size_t count);
    Status (*state)(void *to, Arena *arena, const char *name, const double *values, size_t count);
    Status (*input)(void *to, Arena *arena, const char *name, const double *values, size_t count);
    Status (*scalar)(void *to, Arena *arena, const char *name, double value);
} SyntheticReceiver;

SyntheticReceiver synthetic_to_executor(Executor *executor);
SyntheticReceiver synthetic_to_interpreter(Interpreter *interpreter);
SyntheticReceiver synthetic_to_kernels(KernelInterpreter *interpreter);

enum { SYNTHETIC_MAX_RECEIVERS = 2 };

/* Which values, and who gets them. */
typedef struct SyntheticFill {
    Arena *arena;               /* of failures */
    const Graph *graph;         /* what the program was made of, or its interface
                                   (program_interface.h) */
    const PassOptions *options; /* of synthetic_scalar */
    uint32_t seed;
    bool lively; /* of synthetic_parameter and synthetic_state */
    SyntheticReceiver receivers[SYNTHETIC_MAX_RECEIVERS]; /* up to the first without functions */
} SyntheticFill;

Status synthetic_fill_params(const SyntheticFill *fill);
Status synthetic_fill_states(const SyntheticFill *fill);
Status synthetic_fill_inputs(const SyntheticFill *fill, uint32_t step);
Status synthetic_fill_scalars(const SyntheticFill *fill, uint32_t step);

/* All of them, of step `seed` mod 100. */
Status synthetic_fill(const SyntheticFill *fill);

#endif
