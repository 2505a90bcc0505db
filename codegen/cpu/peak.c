/* Two loops that do nothing useful, as fast as the machine can: what kernels are measured against.
 *
 * Arithmetic: as many chains acc = acc * a + b as vector registers hold, each waiting only for
 * itself. Every core can start a few of them per cycle and finishes one some cycles later, so
 * chains beyond their product cost nothing. Memory: the sum of an array that no cache holds, a few
 * accumulators wide. */
#include "codegen/cpu/object.h"

enum {
    SPARE_REGISTERS = 4, /* a, b and what the compiler wants */
    ARITHMETIC_STEPS = 1 << 15,
    ARITHMETIC_CHUNKS = 64,
    SUM_CHAINS = 8,
    MEMORY_CHUNK = 1 << 20, /* bytes */
    MEMORY_CHUNKS = 512,
    MAX_CHAINS = 64
};

static int chains_of(const CpuTarget *target) {
    return target->registers - SPARE_REGISTERS;
}

/* Vector `index` of the memory at slot 0. */
static LLVMValueRef load_lanes(Emitter *e, LLVMValueRef memory, LLVMValueRef index) {
    LLVMValueRef offset = emit_mul(e, index, emit_int(e, e->target->lanes));
    return emit_load_vector(e, e->vector_f32, emit_at(e, e->f32, memory, offset), NULL);
}

/* Their sum goes where somebody could read it, or the compiler would drop the loop. */
static void store_sum(Emitter *e, LLVMValueRef *chains, int count) {
    LLVMValueRef sum = emit_get(e, e->vector_f32, chains[0]);
    for (int i = 1; i < count; i++)
        sum = LLVMBuildFAdd(e->builder, sum, emit_get(e, e->vector_f32, chains[i]), "");
    emit_store_vector(e, sum, e->workspace, NULL);
}

static void emit_arithmetic(Emitter *e) {
    LLVMValueRef memory = emit_slot_pointer(e, 0), chains[MAX_CHAINS] = {0};
    int count = chains_of(e->target);
    LLVMValueRef a = load_lanes(e, memory, emit_int(e, count));
    LLVMValueRef b = load_lanes(e, memory, emit_int(e, count + 1));
    for (int i = 0; i < count; i++)
        chains[i] = emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32));
    for (int i = 0; i < count; i++)
        emit_set(e, chains[i], load_lanes(e, memory, emit_int(e, i)));
    Loop loop = loop_begin(e, emit_int(e, 0), emit_slot(e, 0), emit_int(e, 1));
    for (int i = 0; i < count; i++)
        emit_set(e, chains[i], emit_fma(e, emit_get(e, e->vector_f32, chains[i]), a, b));
    loop_end(e, &loop);
    store_sum(e, chains, count);
}

static void emit_memory(Emitter *e) {
    LLVMValueRef chains[SUM_CHAINS] = {0};
    LLVMValueRef start = emit_mul(e, e->chunk, emit_int(e, MEMORY_CHUNK));
    LLVMValueRef memory = emit_at(e, e->i8, emit_slot_pointer(e, 0), start);
    for (int i = 0; i < SUM_CHAINS; i++)
        chains[i] = emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32));
    Loop loop = loop_begin(e, emit_int(e, 0), emit_slot(e, 0), emit_int(e, SUM_CHAINS));
    for (int i = 0; i < SUM_CHAINS; i++) {
        LLVMValueRef next = load_lanes(e, memory, emit_add(e, loop.index, emit_int(e, i)));
        emit_set(e, chains[i],
                 LLVMBuildFAdd(e->builder, emit_get(e, e->vector_f32, chains[i]), next, ""));
    }
    loop_end(e, &loop);
    store_sum(e, chains, SUM_CHAINS);
}

/* In the order of enum CpuPeakLaunch. */
static const struct {
    const char *name;
    void (*emit)(Emitter *emitter);
} loops[] = {{"peak_arithmetic", emit_arithmetic}, {"peak_memory", emit_memory}};

static Plan *make_plan(Arena *arena, const CpuTarget *target) {
    Plan *plan = arena_new(arena, Plan);
    PlanPointer *memory = arena_new(arena, PlanPointer);
    int64_t *steps = arena_new_array(arena, int64_t, CPU_PEAK_LAUNCHES);
    memory->region = PLAN_SCRATCH;
    steps[CPU_PEAK_ARITHMETIC] = ARITHMETIC_STEPS;
    steps[CPU_PEAK_MEMORY] = MEMORY_CHUNK / (int64_t)sizeof(float) / target->lanes;
    plan->region_bytes[PLAN_SCRATCH] = (int64_t)MEMORY_CHUNK * MEMORY_CHUNKS;
    plan->workspace_bytes = target->lanes * (int64_t)sizeof(float);
    plan->launch_count = CPU_PEAK_LAUNCHES;
    plan->launches = arena_new_array(arena, PlanLaunch, CPU_PEAK_LAUNCHES);
    for (int i = 0; i < CPU_PEAK_LAUNCHES; i++)
        plan->launches[i] = (PlanLaunch){.kernel = loops[i].name,
                                         .pointer_count = 1,
                                         .number_count = 1,
                                         .pointers = memory,
                                         .numbers = &steps[i]};
    PlanLaunch *arithmetic = &plan->launches[CPU_PEAK_ARITHMETIC];
    arithmetic->chunks = ARITHMETIC_CHUNKS;
    arithmetic->multiply_adds =
        (int64_t)ARITHMETIC_CHUNKS * ARITHMETIC_STEPS * chains_of(target) * target->lanes;
    plan->launches[CPU_PEAK_MEMORY].chunks = MEMORY_CHUNKS;
    plan->launches[CPU_PEAK_MEMORY].bytes = plan->region_bytes[PLAN_SCRATCH];
    return plan;
}

static Object compile_loop(const CpuTarget *target, int loop) {
    Arena *arena = arena_create();
    LLVMTargetMachineRef machine = object_machine(target);
    Emitter *e = emitter_create(arena, target, loops[loop].name);
    emitter_begin(e, loops[loop].name);
    loops[loop].emit(e);
    emitter_end(e);
    Object object = object_compile(e, machine, loops[loop].name, NULL);
    emitter_destroy(e);
    LLVMDisposeTargetMachine(machine);
    arena_destroy(arena);
    return object;
}

Status cpu_peak(Arena *arena, const CpuTarget *target, CpuModule **module, Plan **plan) {
    object_start();
    status_return_if_failed(object_module_create(arena, module));
    *plan = make_plan(arena, target);
    for (int i = 0; i < CPU_PEAK_LAUNCHES; i++) {
        Object object = compile_loop(target, i);
        Status status = object_link(arena, *module, object);
        object_destroy(&object);
        status_return_if_failed(status);
        status_return_if_failed(
            object_function(arena, *module, loops[i].name, &(*plan)->launches[i].function));
    }
    return STATUS_FINE;
}
