/* Writing LLVM IR for CPU kernels: the function that is being emitted, its arguments, loops,
 * vectors.
 *
 * Every kernel function has the type PlanFunction (runtime/plan.h). What differs between launches
 * of the same code (pointers, rows, extents, strides) is an argument: a *slot* of the launch, which
 * the emitted code loads. So emitting a kernel has two halves: bind_<kind> fills the slots of the
 * launch, always in the same order for kernels with the same code key; emit_<kind> writes the code
 * that reads those slots, once per key. */
#ifndef SPARKC_CODEGEN_CPU_EMITTER_H
#define SPARKC_CODEGEN_CPU_EMITTER_H

#include <llvm-c/Core.h>

#include "base/vector.h"
#include "codegen/cpu/cpu.h"
#include "ir/kernel.h"
#include "runtime/plan.h"

/* The arguments of a launch, while it is bound. */
typedef struct Slots {
    Arena *arena;
    const Program *program;
    const struct Choices *choices; /* of the kernel (codegen/cpu/choices.h); NULL: the defaults */
    VECTOR(PlanPointer) pointers;
    VECTOR(int64_t) numbers;
    VECTOR(int64_t) table; /* entries of the tables, to come behind the numbers */
    VECTOR(int) tables;    /* slots that say where a table starts */
    int64_t chunks;
    int64_t workspace; /* bytes per thread that the kernel wants */
    int64_t shared;    /* bytes that the stages of the kernel share, in scratch */
} Slots;

/* Adds a slot and returns its number. A buffer's pointer points at element `base`. */
int slot_buffer(Slots *slots, int buffer, int64_t base);
int slot_number(Slots *slots, int64_t number);

/* A table among the numbers, whose length differs between launches of the same code: starts one,
 * and returns the slot that says at which number it starts; adds an entry to the last one; puts all
 * behind the other numbers, once, when everything is bound. */
int slot_table(Slots *slots);
void slot_table_entry(Slots *slots, int64_t entry);
void slots_finish(Slots *slots);

/* A pointer slot to `bytes` of scratch that all stages of this kernel share; the same in each stage
 * if asked for in the same order. */
int slot_shared(Slots *slots, int64_t bytes);

typedef struct Emitter {
    Arena *arena;
    const CpuTarget *target;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    /* of the function being emitted */
    const struct Choices *choices; /* as the slots of its launches were bound */
    LLVMValueRef function, pointers, numbers, chunk, workspace;
    /* types */
    LLVMTypeRef f32, f64, i1, i8, i16, i32, i64, pointer, vector_f32, vector_f64, vector_i32,
        vector_i1;
} Emitter;

/* A new module in a context of its own. */
Emitter *emitter_create(Arena *arena, const CpuTarget *target, const char *module_name);
void emitter_destroy(Emitter *emitter);

/* Starts a function of any type, which is e->function then. `everywhere`: it uses nothing but what
 * the target's family always has, so that any processor of the family can run it. */
void emitter_begin_function(Emitter *emitter, const char *name, LLVMTypeRef type, bool everywhere);

/* Starts a function of the type PlanFunction; emitter_end returns from it. */
void emitter_begin(Emitter *emitter, const char *name);
void emitter_end(Emitter *emitter);

/* The pointer, the number in a slot. Loaded at the function's start. */
LLVMValueRef emit_slot_pointer(Emitter *emitter, int slot);
LLVMValueRef emit_slot(Emitter *emitter, int slot);

/* A place in the thread's workspace; the slot says how many fp32 elements behind its start. */
LLVMValueRef emit_workspace(Emitter *emitter, int slot);

/* Entry `index` (i64) of a table. */
LLVMValueRef emit_table_entry(Emitter *emitter, int table, LLVMValueRef index);

/* ---- Small things ---------------------------------------------------------------------------- */

LLVMValueRef emit_int(Emitter *emitter, int64_t value); /* i64 */
LLVMValueRef emit_int32(Emitter *emitter, int32_t value);
LLVMValueRef emit_float(Emitter *emitter, float value);
LLVMValueRef emit_splat(Emitter *emitter, LLVMValueRef scalar); /* to a vector of `lanes` */
LLVMValueRef emit_add(Emitter *emitter, LLVMValueRef a, LLVMValueRef b); /* i64, no wrap */
LLVMValueRef emit_sub(Emitter *emitter, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_mul(Emitter *emitter, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_div(Emitter *emitter, LLVMValueRef a, LLVMValueRef b); /* both not negative */
LLVMValueRef emit_rem(Emitter *emitter, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_min(Emitter *emitter, LLVMValueRef a, LLVMValueRef b); /* signed */
LLVMValueRef emit_max(Emitter *emitter, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_less(Emitter *emitter, LLVMValueRef a, LLVMValueRef b); /* signed, i1 */

/* The least multiple of `unit` that is not below `value`, which is not negative. */
LLVMValueRef emit_round_up(Emitter *emitter, LLVMValueRef value, int64_t unit);

/* Whether a value is a vector; a value as it is, but a scalar splat where `like` is a vector. */
bool emit_is_vector(LLVMValueRef value);
LLVMValueRef emit_alike(Emitter *emitter, LLVMValueRef value, LLVMValueRef like);

/* pointer + index elements of a type; a load, a store through it. */
LLVMValueRef emit_at(Emitter *emitter, LLVMTypeRef element, LLVMValueRef pointer,
                     LLVMValueRef index);
LLVMValueRef emit_load(Emitter *emitter, LLVMTypeRef type, LLVMValueRef pointer, unsigned align);
void emit_store(Emitter *emitter, LLVMValueRef value, LLVMValueRef pointer, unsigned align);

/* Has the line at an address, any address, brought into the second cache while the code goes on. */
void emit_prefetch(Emitter *emitter, LLVMValueRef pointer);

/* Turns `lanes` vectors of `lanes` lanes: lane j of vector i becomes lane i of vector j. */
void emit_transpose(Emitter *emitter, LLVMValueRef *vectors);

/* An LLVM intrinsic, overloaded on `types`. */
LLVMValueRef emit_intrinsic(Emitter *emitter, const char *name, LLVMTypeRef *types, int type_count,
                            LLVMValueRef *arguments, int argument_count);

/* a * b + c, fused where the target can. Vectors or scalars. */
LLVMValueRef emit_fma(Emitter *emitter, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);

/* A variable of the function: becomes a register. */
LLVMValueRef emit_variable(Emitter *emitter, LLVMTypeRef type, LLVMValueRef initial);
LLVMValueRef emit_get(Emitter *emitter, LLVMTypeRef type, LLVMValueRef variable);
void emit_set(Emitter *emitter, LLVMValueRef variable, LLVMValueRef value);

/* An array on the stack, as long as the function runs; its values are undefined. */
LLVMValueRef emit_array(Emitter *emitter, LLVMTypeRef element, int count);

/* ---- Control --------------------------------------------------------------------------------- */

/* for (index = begin; index < end; index += step) { ... } with i64's. The code between loop_begin
 * and loop_end is the body; variables (emit_variable) carry values around. */
typedef struct Loop {
    LLVMValueRef index;
    LLVMValueRef counter_, step_;
    LLVMBasicBlockRef head_, exit_;
} Loop;

Loop loop_begin(Emitter *emitter, LLVMValueRef begin, LLVMValueRef end, LLVMValueRef step);
void loop_end(Emitter *emitter, Loop *loop);

/* if (condition) { ... } [else { ... }] */
typedef struct Branch {
    LLVMBasicBlockRef otherwise_, exit_;
    bool has_else_;
} Branch;

Branch branch_begin(Emitter *emitter, LLVMValueRef condition);
void branch_else(Emitter *emitter, Branch *branch);
void branch_end(Emitter *emitter, Branch *branch);

/* ---- Reductions over lanes ------------------------------------------------------------------- */

/* The sum of the lanes of a vector of `lanes` fp32, as a tree of halves. */
LLVMValueRef emit_lane_sum(Emitter *emitter, LLVMValueRef vector);

/* ---- Vectors of channels --------------------------------------------------------------------- */

/* A mask of the first `count` lanes (count may be larger than `lanes`: all). */
LLVMValueRef emit_lane_mask(Emitter *emitter, LLVMValueRef count);

/* Whole or masked vectors of `lanes` fp32 (or whole numbers of 32 or 16 bits) from unaligned
 * memory; masked-off lanes give zero and are not touched. mask NULL: the whole vector. */
LLVMValueRef emit_load_vector(Emitter *emitter, LLVMTypeRef vector, LLVMValueRef pointer,
                              LLVMValueRef mask);
void emit_store_vector(Emitter *emitter, LLVMValueRef value, LLVMValueRef pointer,
                       LLVMValueRef mask);

/* Stores a whole vector, at a multiple of its size, past the caches: what is not read soon does not
 * have to be read from memory first. */
void emit_store_past_caches(Emitter *emitter, LLVMValueRef value, LLVMValueRef pointer);

/* Has what was stored so seen by whoever sees what is stored after it. */
void emit_fence(Emitter *emitter);

/* Elements of 32 or 16 bits at a vector of `lanes` addresses. mask NULL: all; the others give zero.
 */
LLVMValueRef emit_gather(Emitter *emitter, LLVMTypeRef vector, LLVMValueRef places,
                         LLVMValueRef mask);

#endif
