/* Synthetic values for everything that a program reads, whoever runs it. */
#ifndef SPARKC_TOOLS_EXECUTE_SYNTHETIC_FILL_H
#define SPARKC_TOOLS_EXECUTE_SYNTHETIC_FILL_H

#include "ir/interpret/interpret.h"
#include "ir/interpret/kernel_interpret.h"
#include "tools/execute/executor.h"
#include "tools/execute/synthetic.h"

typedef enum SyntheticKind {
    SYNTHETIC_PARAM,
    SYNTHETIC_STATE,
    SYNTHETIC_INPUT,
    SYNTHETIC_SCALAR /* one value */
} SyntheticKind;

/* Everything that is read under one name; a masked map in dense x mask form. */
typedef struct SyntheticValue {
    SyntheticKind kind;
    const char *name;
    const Type *type;
    const double *values;
    size_t count;
} SyntheticValue;

/* What takes the values: `write` takes one, or fails. */
typedef struct SyntheticReceiver {
    void *to;
    Status (*write)(void *to, Arena *arena, const SyntheticValue *value);
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
    SyntheticReceiver receivers[SYNTHETIC_MAX_RECEIVERS]; /* up to the first without `write` */
} SyntheticFill;

Status synthetic_fill_params(const SyntheticFill *fill);
Status synthetic_fill_states(const SyntheticFill *fill);
Status synthetic_fill_inputs(const SyntheticFill *fill, uint32_t step);
Status synthetic_fill_scalars(const SyntheticFill *fill, uint32_t step);

/* All of them, of step `seed` mod 100. */
Status synthetic_fill(const SyntheticFill *fill);

#endif
