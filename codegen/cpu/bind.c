#include "codegen/cpu/bind.h"

#include <string.h>

#include "base/fatal.h"
#include "base/integer.h"
#include "codegen/cpu/cache.h"
#include "codegen/cpu/kinds.h"
#include "ir/kernel_footprint.h"

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

static bool is_contract(const Kernel *kernel) {
    return kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT;
}

bool bind_is_contract(const Code *code) {
    return is_contract(code->kernel);
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

static void add_launch(Binding *binding, const Kernel *kernel, const Choices *choices, int stage) {
    const KernelEmitter *emitter = emitter_of(kernel);
    Slots slots = {.arena = binding->arena,
                   .program = binding->program,
                   .choices = choices,
                   .shared_offset = binding->program_scratch};
    int64_t variant = emitter->bind(&slots, kernel, binding->target, stage);
    if (slots.chunks == 0)
        return;
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
    vector_push(binding->arena, &binding->launch_codes,
                find_code(binding, key, kernel, choices, stage));
    binding->shared = slots.shared > binding->shared ? slots.shared : binding->shared;
    binding->workspace =
        slots.workspace > binding->workspace ? slots.workspace : binding->workspace;
}

static void add_launches(Binding *binding) {
    for (size_t i = 0; i < binding->program->kernels.count; i++) {
        const Kernel *kernel = binding->program->kernels.items[i];
        Choices choices =
            tuning_find(binding->arena, binding->tuning, binding->program, kernel, binding->target);
        size_t first = binding->launches.count;
        binding->tuned += *choices_text(binding->arena, &choices) != '\0';
        for (int stage = 0; stage < emitter_of(kernel)->stages; stage++)
            add_launch(binding, kernel, &choices, stage);
        if (binding->launches.count == first)
            continue;
        PlanLaunch *last = &binding->launches.items[binding->launches.count - 1];
        last->multiply_adds = kernel_multiply_adds(binding->program, kernel);
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
    binding.program_scratch = scratch_bytes(program);
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
    plan->region_bytes[PLAN_SCRATCH] = binding->program_scratch + binding->shared + PLAN_ALIGNMENT;
    plan->workspace_bytes = binding->workspace;
    plan->launch_count = (int)binding->launches.count;
    plan->launches = arena_new_array(binding->arena, PlanLaunch, binding->launches.count + 1);
    for (size_t i = 0; i < binding->launches.count; i++)
        plan->launches[i] = launch_with_function(binding, i);
    return plan;
}
