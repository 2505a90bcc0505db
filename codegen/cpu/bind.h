/* The launches of a planned program, bound to a target, and the distinct codes that they run. What
 * a program computes is decided here; compiling (compile.c) and shipping (artefact.c) emit the
 * codes and call them. */
#ifndef SPARKC_CODEGEN_CPU_BIND_H
#define SPARKC_CODEGEN_CPU_BIND_H

#include <uthash.h>

#include "codegen/cpu/emitter.h"
#include "codegen/cpu/object.h"

/* One function: the first kernel and stage that needs it. `object` to `function` belong to who
 * compiles it. */
typedef struct Code {
    char *key; /* of the hash table, and of the cache */
    const char *
        name; /* of the function: from the key alone, so that equal code is equal in all programs */
    const Kernel *kernel;
    int stage;
    Object object;
    bool cached;
    PlanFunction *function;
    UT_hash_handle hh;
} Code;

typedef struct Binding {
    Arena *arena;
    const Program *program;
    const CpuTarget *target;
    const char *environment; /* what all keys begin with */
    Code *table;             /* by key, while launches are bound */
    VECTOR(Code *) codes;
    VECTOR(PlanLaunch) launches; /* without functions */
    VECTOR(Code *) launch_codes; /* beside the launches */
    VECTOR(PlanPointer *) launch_pointers;
    int64_t scratch, shared, workspace; /* bytes: of the region; the most that one kernel's stages
                                           share in it; of a thread */
} Binding;

/* Binds all launches. `environment`, what else decides the code, goes into the keys. */
Binding bind_program(Arena *arena, const Program *program, const CpuTarget *target,
                     const char *environment);

/* Emits a code as a function of its name into the emitter's module. */
void bind_emit(const Binding *binding, const Code *code, Emitter *emitter);

/* Whether a code is a matrix product. */
bool bind_is_contract(const Code *code);

/* The plan; its launches have the functions of their codes. */
Plan *bind_plan(const Binding *binding);

#endif
