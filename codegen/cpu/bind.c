#include "codegen/cpu/bind.h"

#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/integer.h"
#include "codegen/cpu/cache.h"
#include "codegen/cpu/kinds.h"
#include "codegen/cpu/winograd.h"
#include "ir/kernel_footprint.h"
#include "ir/kernel_lives.h"

static bool is_contract(const Kernel *kernel) {
    return kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT;
}

int64_t cpu_multiply_adds(const Program *program, const Kernel *kernel, const CpuTarget *target) {
    return contraction_takes_winograd(program, kernel, target)
               ? winograd_multiply_adds(program, kernel)
               : kernel_multiply_adds(program, kernel);
}

bool cpu_multiplies_tiles(const Program *program, const Kernel *kernel, const CpuTarget *target) {
    return is_contract(kernel) && kernel->contraction.bf16 && cpu_tiles_fast(target->tiles) &&
           !contraction_takes_winograd(program, kernel, target);
}

static const KernelEmitter *emitter_of(const Kernel *kernel) {
    switch (kernel->kind) {
    case KERNEL_MAP:
        return &cpu_emit_map;
    case KERNEL_CONTRACT:
        return &cpu_emit_contract;
    case KERNEL_CONTRACT_WEIGHT:
        return &cpu_emit_contract_weight;
    case KERNEL_WINDOW:
        return &cpu_emit_window;
    case KERNEL_REDUCE:
        return &cpu_emit_reduce;
    case KERNEL_POSITION_MAP:
        return &cpu_emit_position_map;
    }
    invariant(false, "kernel %s is of no known kind", kernel->name);
}

bool bind_is_contract(const Code *code) {
    return is_contract(code->kernel);
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* ---- Launches -------------------------------------------------------------------------------- */

static const char *function_name(Arena *arena, const char *key) {
    char digits[CODE_HASH_DIGITS + 1];
    code_cache_hash(key, strlen(key), digits);
    return arena_format(arena, "kernel_%.32s", digits);
}

static Code *find_code(Binding *binding, char *key, const Kernel *kernel, const Choices *choices,
                       int stage) {
    Code *code;
    HASH_FIND_STR(binding->table, key, code);
    if (code)
        return code;
    code = arena_new(binding->arena, Code);
    code->key = key;
    code->name = function_name(binding->arena, key);
    code->kernel = kernel;
    code->choices = *choices;
    code->stage = stage;
    HASH_ADD_KEYPTR(hh, binding->table, code->key, strlen(code->key), code);
    vector_push(binding->arena, &binding->codes, code);
    return code;
}

/* Returns the bytes that it shares with the kernel's other stages. */
static int64_t add_launch(Binding *binding, const Kernel *kernel, const Choices *choices,
                          int stage) {
    const KernelEmitter *emitter = emitter_of(kernel);
    Slots slots = {.arena = binding->arena, .program = binding->program, .choices = choices};
    int64_t variant = emitter->bind(&slots, kernel, binding->target, stage);
    if (slots.chunks == 0)
        return 0;
    slots_finish(&slots);
    char *key = arena_format(binding->arena, "%skernel %s\nstage %d variant %lld\nchoices %s\n",
                             binding->environment,
                             kernel_code_key(binding->arena, binding->program, kernel), stage,
                             (long long)variant, choices_text(binding->arena, choices));
    PlanLaunch launch = {.kernel = kernel->name,
                         .pointer_count = (int)slots.pointers.count,
                         .number_count = (int)slots.numbers.count,
                         .pointers = slots.pointers.items,
                         .numbers = slots.numbers.items,
                         .chunks = slots.chunks,
                         .contract = is_contract(kernel)};
    vector_push(binding->arena, &binding->launches, launch);
    vector_push(binding->arena, &binding->launch_pointers, slots.pointers.items);
    vector_push(binding->arena, &binding->launch_codes,
                find_code(binding, key, kernel, choices, stage));
    binding->workspace = larger(binding->workspace, slots.workspace);
    return slots.shared;
}

/* ---- What stages share ----------------------------------------------------------------------- */

/* Bytes of scratch that are alive, and the kernels while they are. */
typedef struct Taken {
    int64_t begin, end, first, last;
} Taken;

static int by_begin(const void *a, const void *b) {
    const Taken *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* All that is alive in scratch, by its place; slack behind it may be read, not kept. */
static Taken *list_taken(const Binding *binding, size_t *count) {
    BufferLives lives = kernel_lives(binding->program, binding->arena);
    Taken *taken = arena_new_array(binding->arena, Taken, lives.count + 1);
    *count = 0;
    for (size_t i = 0; i < lives.count; i++) {
        const BufferLife *life = &lives.items[i];
        const Buffer *buffer = &binding->program->buffers.items[life->buffer];
        int64_t size = (int64_t)dtype_size(buffer->dtype);
        if (buffer->region == REGION_SCRATCH)
            taken[(*count)++] = (Taken){buffer->offset + life->begin * size,
                                        buffer->offset + life->end * size, life->first, life->last};
    }
    qsort(taken, *count, sizeof *taken, by_begin);
    return taken;
}

/* The first place for `bytes` that nothing takes while kernel `kernel` runs. */
static int64_t find_free(const Taken *taken, size_t count, int64_t kernel, int64_t bytes) {
    int64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        if (kernel < taken[i].first || taken[i].last < kernel)
            continue;
        if (taken[i].begin - end >= bytes)
            return end;
        end = taken[i].end > end ? plan_round_up(taken[i].end) : end;
    }
    return end;
}

/* Gives what the launches from `first_launch` on share, `bytes` of it, the place `offset`. */
static void place_shared(Binding *binding, size_t first_launch, int64_t offset, int64_t bytes) {
    binding->scratch = larger(binding->scratch, offset + bytes + PLAN_ALIGNMENT);
    binding->shared = larger(binding->shared, bytes);
    for (size_t i = first_launch; i < binding->launches.count; i++) {
        PlanPointer *pointers = binding->launch_pointers.items[i];
        for (int p = 0; p < binding->launches.items[i].pointer_count; p++) {
            if (pointers[p].buffer >= 0 || pointers[p].region < 0)
                continue;
            pointers[p].offset += offset;
            pointers[p].shared = offset;
        }
    }
}

static void add_launches(Binding *binding) {
    size_t taken_count;
    const Taken *taken = list_taken(binding, &taken_count);
    for (size_t i = 0; i < binding->program->kernels.count; i++) {
        const Kernel *kernel = binding->program->kernels.items[i];
        Choices choices =
            tuning_find(binding->arena, binding->tuning, binding->program, kernel, binding->target);
        size_t first = binding->launches.count;
        int64_t shared = 0;
        binding->tuned += *choices_text(binding->arena, &choices) != '\0';
        for (int stage = 0; stage < emitter_of(kernel)->stages; stage++)
            shared = larger(shared, add_launch(binding, kernel, &choices, stage));
        if (binding->launches.count == first)
            continue;
        if (shared > 0)
            place_shared(binding, first, find_free(taken, taken_count, (int64_t)i, shared), shared);
        PlanLaunch *last = &binding->launches.items[binding->launches.count - 1];
        last->multiply_adds = cpu_multiply_adds(binding->program, kernel, binding->target);
        KernelTraffic traffic = kernel_traffic(binding->program, kernel);
        last->bytes = integer_add(traffic.read, traffic.written);
    }
}

static int64_t scratch_bytes(const Program *program) {
    int64_t end = 0;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        int64_t last = buffer->offset + buffer->elements * (int64_t)dtype_size(buffer->dtype);
        if (buffer->region == REGION_SCRATCH && last > end)
            end = last;
    }
    return plan_round_up(end + PLAN_ALIGNMENT);
}

Binding bind_program(Arena *arena, const Program *program, const CpuTarget *target,
                     const CpuTuning *tuning, const char *environment) {
    Binding binding = {.arena = arena,
                       .program = program,
                       .target = target,
                       .tuning = tuning,
                       .environment = environment};
    binding.scratch = scratch_bytes(program);
    add_launches(&binding);
    HASH_CLEAR(hh, binding.table);
    return binding;
}

void bind_emit(const Binding *binding, const Code *code, Emitter *e) {
    emitter_begin(e, code->name);
    e->choices = &code->choices;
    emitter_of(code->kernel)->emit(e, binding->program, code->kernel, code->stage);
    emitter_end(e);
}

/* ---- The plan -------------------------------------------------------------------------------- */

static PlanLaunch launch_with_function(const Binding *binding, size_t index) {
    PlanLaunch launch = binding->launches.items[index];
    launch.function = binding->launch_codes.items[index]->function;
    return launch;
}

Plan *bind_plan(const Binding *binding) {
    const Program *program = binding->program;
    Plan *plan = arena_new(binding->arena, Plan);
    plan->buffers = arena_new_array(binding->arena, PlanBuffer, program->buffers.count + 1);
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        int64_t bytes = (int64_t)dtype_size(buffer->dtype);
        int64_t end = buffer->offset + buffer->elements * bytes + PLAN_ALIGNMENT;
        if (end > plan->region_bytes[buffer->region])
            plan->region_bytes[buffer->region] = end;
        if (buffer->region != REGION_SCRATCH)
            plan->buffers[plan->buffer_count++] = (PlanBuffer){
                buffer->name, (int)buffer->region, buffer->offset, buffer->elements, (int)bytes};
    }
    plan->region_bytes[PLAN_SCRATCH] = binding->scratch;
    plan->shared_bytes = binding->shared;
    plan->workspace_bytes = binding->workspace;
    plan->launch_count = (int)binding->launches.count;
    plan->launches = arena_new_array(binding->arena, PlanLaunch, binding->launches.count + 1);
    for (size_t i = 0; i < binding->launches.count; i++)
        plan->launches[i] = launch_with_function(binding, i);
    return plan;
}
