/* From a planned program to a plan: slots of every launch, one function per distinct code, object
 * code from LLVM, linked into this process by ORC. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/fatal.h"
#include "base/text.h"
#include "codegen/cpu/cache.h"
#include "codegen/cpu/kinds.h"
#include "codegen/cpu/object.h"
#include "ir/kernel_footprint.h"

/* One function: the first kernel and stage that needs it. */
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

typedef struct Compilation {
    Arena *arena;
    const Program *program;
    const CpuOptions *options;
    const CodeCache *cache;
    const char *environment; /* what all keys begin with */
    Code *table;             /* by key */
    VECTOR(Code *) codes;
    VECTOR(PlanLaunch) launches;
    VECTOR(Code *) launch_codes; /* beside the launches */
    int64_t program_scratch, shared, workspace;
    atomic_size_t next; /* code to compile */
} Compilation;

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

/* ---- Launches -------------------------------------------------------------------------------- */

static const char *function_name(Arena *arena, const char *key) {
    char digits[CODE_HASH_DIGITS + 1];
    code_cache_hash(key, strlen(key), digits);
    return arena_format(arena, "kernel_%.32s", digits);
}

static Code *find_code(Compilation *c, char *key, const Kernel *kernel, int stage) {
    Code *code;
    HASH_FIND_STR(c->table, key, code);
    if (code)
        return code;
    code = arena_new(c->arena, Code);
    code->key = key;
    code->name = function_name(c->arena, key);
    code->kernel = kernel;
    code->stage = stage;
    HASH_ADD_KEYPTR(hh, c->table, code->key, strlen(code->key), code);
    vector_push(c->arena, &c->codes, code);
    return code;
}

/* Bytes that a kernel reads and writes if each element moves once. */
static int64_t kernel_bytes(const Program *program, const Kernel *kernel, Footprint *footprints) {
    int64_t bytes = 0;
    int count = kernel_footprints(program, kernel, footprints);
    for (int i = 0; i < count; i++) {
        int64_t elements = 1;
        if (footprints[i].buffer < 0)
            continue;
        for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++)
            elements *= footprints[i].stride[d] ? footprints[i].count[d] : 1;
        DType dtype = program->buffers.items[footprints[i].buffer].dtype;
        bytes += elements * (int64_t)dtype_size(dtype);
    }
    return bytes;
}

static void add_launch(Compilation *c, const Kernel *kernel, int stage) {
    const KernelEmitter *emitter = emitter_of(kernel);
    Slots slots = {.arena = c->arena, .program = c->program, .shared_offset = c->program_scratch};
    int64_t variant = emitter->bind(&slots, kernel, c->options->target, stage);
    if (slots.chunks == 0)
        return;
    slots_finish(&slots);
    char *key =
        arena_format(c->arena, "%skernel %s\nstage %d variant %lld\n", c->environment,
                     kernel_code_key(c->arena, c->program, kernel), stage, (long long)variant);
    PlanLaunch launch = {.kernel = kernel->name,
                         .pointer_count = (int)slots.pointers.count,
                         .number_count = (int)slots.numbers.count,
                         .pointers = slots.pointers.items,
                         .numbers = slots.numbers.items,
                         .chunks = slots.chunks,
                         .contract = kernel->kind == KERNEL_CONTRACT ||
                                     kernel->kind == KERNEL_CONTRACT_WEIGHT};
    vector_push(c->arena, &c->launches, launch);
    vector_push(c->arena, &c->launch_codes, find_code(c, key, kernel, stage));
    c->shared = slots.shared > c->shared ? slots.shared : c->shared;
    c->workspace = slots.workspace > c->workspace ? slots.workspace : c->workspace;
}

static void add_launches(Compilation *c) {
    Footprint *footprints = arena_new_array(c->arena, Footprint, FOOTPRINT_MAX);
    for (size_t i = 0; i < c->program->kernels.count; i++) {
        const Kernel *kernel = c->program->kernels.items[i];
        size_t first = c->launches.count;
        for (int stage = 0; stage < emitter_of(kernel)->stages; stage++)
            add_launch(c, kernel, stage);
        if (c->launches.count == first)
            continue;
        PlanLaunch *last = &c->launches.items[c->launches.count - 1];
        last->multiply_adds = kernel_multiply_adds(c->program, kernel);
        last->bytes = kernel_bytes(c->program, kernel, footprints);
    }
}

/* ---- Object code ----------------------------------------------------------------------------- */

static Emitter *emit_code(const Compilation *c, const Code *code, Arena *arena) {
    Emitter *e = emitter_create(arena, c->options->target, code->name);
    emitter_begin(e, code->name);
    emitter_of(code->kernel)->emit(e, c->program, code->kernel, code->stage);
    emitter_end(e);
    return e;
}

/* Emits, optimises and assembles one function. Runs on any thread, with its own context and arena.
 */
static void compile_code(const Compilation *c, Code *code, LLVMTargetMachineRef machine) {
    Arena *arena = arena_create();
    Emitter *e = emit_code(c, code, arena);
    char *dump_name = arena_format(arena, "%s.%d", code->kernel->name, code->stage);
    code->object = object_compile(e, machine, dump_name, c->options->dump_dir);
    emitter_destroy(e);
    arena_destroy(arena);
}

static void make_code(const Compilation *c, Code *code, LLVMTargetMachineRef machine) {
    code->cached = c->cache && code_cache_read(c->cache, code->key, &code->object);
    if (code->cached)
        return;
    compile_code(c, code, machine);
    if (c->cache)
        code_cache_write(c->cache, code->key, code->object);
}

static void *compile_worker(void *context) {
    Compilation *c = context;
    LLVMTargetMachineRef machine = object_machine(c->options->target);
    size_t i;
    while ((i = atomic_fetch_add(&c->next, 1)) < c->codes.count)
        make_code(c, c->codes.items[i], machine);
    LLVMDisposeTargetMachine(machine);
    return NULL;
}

static void compile_all(Compilation *c) {
    enum { MAX_THREADS = 64 };
    pthread_t threads[MAX_THREADS];
    int wanted = c->options->threads < MAX_THREADS ? c->options->threads : MAX_THREADS, started = 0;
    while (started < wanted - 1 && pthread_create(&threads[started], NULL, compile_worker, c) == 0)
        started++;
    compile_worker(c);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

/* ---- Linking --------------------------------------------------------------------------------- */

static Status link_codes(Compilation *c, CpuModule *module) {
    for (size_t i = 0; i < c->codes.count; i++)
        status_return_if_failed(object_link(c->arena, module, c->codes.items[i]->object));
    for (size_t i = 0; i < c->codes.count; i++)
        status_return_if_failed(object_function(c->arena, module, c->codes.items[i]->name,
                                                &c->codes.items[i]->function));
    return STATUS_FINE;
}

static void free_objects(Compilation *c) {
    for (size_t i = 0; i < c->codes.count; i++)
        object_destroy(&c->codes.items[i]->object);
}

/* ---- The plan -------------------------------------------------------------------------------- */

static Plan *make_plan(Compilation *c) {
    const Program *program = c->program;
    Plan *plan = arena_new(c->arena, Plan);
    plan->buffers = arena_new_array(c->arena, PlanBuffer, program->buffers.count + 1);
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
    plan->region_bytes[PLAN_SCRATCH] = c->program_scratch + c->shared + PLAN_ALIGNMENT;
    plan->workspace_bytes = c->workspace;
    plan->launch_count = (int)c->launches.count;
    plan->launches = c->launches.items;
    for (size_t i = 0; i < c->launches.count; i++)
        plan->launches[i].function = c->launch_codes.items[i]->function;
    return plan;
}

static int64_t scratch_bytes(const Program *program) {
    int64_t end = 0;
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        int64_t last = buffer->offset + buffer->elements * (int64_t)dtype_size(buffer->dtype);
        if (buffer->region == REGION_SCRATCH && last > end)
            end = last;
    }
    return (end + 2 * PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

static int count_cached(const Compilation *c) {
    int count = 0;
    for (size_t i = 0; i < c->codes.count; i++)
        count += c->codes.items[i]->cached;
    return count;
}

static int count_contracts(const Compilation *c) {
    int count = 0;
    for (size_t i = 0; i < c->codes.count; i++)
        count += c->codes.items[i]->kernel->kind == KERNEL_CONTRACT ||
                 c->codes.items[i]->kernel->kind == KERNEL_CONTRACT_WEIGHT;
    return count;
}

Status cpu_compile(Arena *arena, const Program *program, const CpuOptions *options,
                   CpuModule **module, Plan **plan, CpuStatistics *statistics) {
    double start = clock_seconds();
    Compilation c = {.arena = arena, .program = program, .options = options};
    c.program_scratch = scratch_bytes(program);
    object_start();
    const char *environment = object_environment(arena, options->target);
    c.environment = environment ? environment : "";
    c.cache = environment && !options->dump_dir ? options->cache : NULL;
    add_launches(&c);
    HASH_CLEAR(hh, c.table);
    compile_all(&c);
    if (c.cache && count_cached(&c) < (int)c.codes.count)
        code_cache_trim(c.cache);
    Status status = object_module_create(arena, module);
    status = status_fine(status) ? link_codes(&c, *module) : status;
    free_objects(&c);
    status_return_if_failed(status);
    *plan = make_plan(&c);
    *statistics = (CpuStatistics){.kernels = (int)program->kernels.count,
                                  .distinct_kernels = (int)c.codes.count,
                                  .distinct_contracts = count_contracts(&c),
                                  .cache_hits = count_cached(&c),
                                  .seconds = clock_seconds() - start};
    return STATUS_FINE;
}

/* ---- Showing the code ------------------------------------------------------------------------ */

static void list_code(const Compilation *c, const Code *code, LLVMTargetMachineRef machine,
                      CpuListing kind, FILE *out) {
    static const struct {
        ObjectText text;
        char comment;
    } kinds[] = {
        [CPU_LISTING_LLVM] = {OBJECT_LLVM, ';'}, [CPU_LISTING_ASSEMBLY] = {OBJECT_ASSEMBLY, '#'}};
    Arena *arena = arena_create();
    Emitter *e = emit_code(c, code, arena);
    Text name = text_create(arena);
    text_append_escaped(&name, code->kernel->name);
    fprintf(out, "%c %s, stage %d\n%s\n", kinds[kind].comment, name.data, code->stage,
            object_text(e, machine, kinds[kind].text));
    emitter_destroy(e);
    arena_destroy(arena);
}

/* Finds the code of a program without making it. */
static Compilation find_codes(Arena *arena, const Program *program, const CpuOptions *options) {
    Compilation c = {.arena = arena, .program = program, .options = options, .environment = ""};
    object_start();
    add_launches(&c);
    HASH_CLEAR(hh, c.table);
    return c;
}

CpuFunction *cpu_functions(Arena *arena, const Program *program, const CpuTarget *target,
                           int *count) {
    CpuOptions options = {.target = target};
    Compilation c = find_codes(arena, program, &options);
    CpuFunction *functions = arena_new_array(arena, CpuFunction, c.codes.count + 1);
    for (size_t i = 0; i < c.codes.count; i++)
        functions[i] = (CpuFunction){c.codes.items[i]->name, c.codes.items[i]->kernel};
    *count = (int)c.codes.count;
    return functions;
}

void cpu_list(Arena *arena, const Program *program, const CpuTarget *target, CpuListing kind,
              FILE *out) {
    CpuOptions options = {.target = target};
    Compilation c = find_codes(arena, program, &options);
    LLVMTargetMachineRef machine = object_machine(target);
    for (size_t i = 0; i < c.codes.count; i++)
        list_code(&c, c.codes.items[i], machine, kind, out);
    LLVMDisposeTargetMachine(machine);
}
