/* From a planned program to a plan: object code from LLVM, one function per distinct code, linked
 * into this process by ORC. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/text.h"
#include "codegen/cpu/bind.h"
#include "codegen/cpu/cache.h"

typedef struct Compilation {
    Arena *arena;
    const CpuOptions *options;
    const CodeCache *cache;
    Binding binding;
    atomic_size_t next; /* code to compile */
} Compilation;

/* ---- Object code ----------------------------------------------------------------------------- */

static Emitter *emit_code(const Compilation *c, const Code *code, Arena *arena) {
    Emitter *e = emitter_create(arena, c->options->target, code->name);
    bind_emit(&c->binding, code, e);
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
    while ((i = atomic_fetch_add(&c->next, 1)) < c->binding.codes.count)
        make_code(c, c->binding.codes.items[i], machine);
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
    for (size_t i = 0; i < c->binding.codes.count; i++)
        status_return_if_failed(object_link(c->arena, module, c->binding.codes.items[i]->object));
    for (size_t i = 0; i < c->binding.codes.count; i++)
        status_return_if_failed(object_function(c->arena, module, c->binding.codes.items[i]->name,
                                                &c->binding.codes.items[i]->function));
    return STATUS_FINE;
}

static void free_objects(Compilation *c) {
    for (size_t i = 0; i < c->binding.codes.count; i++)
        object_destroy(&c->binding.codes.items[i]->object);
}

/* ---- All ------------------------------------------------------------------------------------- */

static int count_cached(const Compilation *c) {
    int count = 0;
    for (size_t i = 0; i < c->binding.codes.count; i++)
        count += c->binding.codes.items[i]->cached;
    return count;
}

static int count_contracts(const Compilation *c) {
    int count = 0;
    for (size_t i = 0; i < c->binding.codes.count; i++)
        count += bind_is_contract(c->binding.codes.items[i]);
    return count;
}

Status cpu_compile(Arena *arena, const Program *program, const CpuOptions *options,
                   CpuModule **module, Plan **plan, CpuStatistics *statistics) {
    double start = clock_seconds();
    Compilation c = {.arena = arena, .options = options};
    status_return_if_failed(cpu_accepts(arena, program));
    object_start();
    const char *environment = object_environment(arena, options->target);
    c.cache = environment && !options->dump_dir ? options->cache : NULL;
    c.binding = bind_program(arena, program, options->target, options->tuning,
                             environment ? environment : "");
    compile_all(&c);
    if (c.cache && count_cached(&c) < (int)c.binding.codes.count)
        code_cache_trim(c.cache);
    Status status = object_module_create(arena, module);
    status = status_fine(status) ? link_codes(&c, *module) : status;
    free_objects(&c);
    status_return_if_failed(status);
    *plan = bind_plan(&c.binding);
    *statistics = (CpuStatistics){.kernels = (int)program->kernels.count,
                                  .distinct_kernels = (int)c.binding.codes.count,
                                  .distinct_contracts = count_contracts(&c),
                                  .tuned = c.binding.tuned,
                                  .cache_hits = count_cached(&c),
                                  .seconds = clock_seconds() - start};
    return STATUS_FINE;
}

/* ---- Showing the code ------------------------------------------------------------------------ */

static void list_code(const Compilation *c, const Code *code, LLVMTargetMachineRef machine,
                      CpuListing kind, FILE *out) {
    static const struct {
        ObjectForm form;
        char comment;
    } kinds[] = {
        [CPU_LISTING_LLVM] = {OBJECT_LLVM, ';'}, [CPU_LISTING_ASSEMBLY] = {OBJECT_ASSEMBLY, '#'}};
    Arena *arena = arena_create();
    Emitter *e = emit_code(c, code, arena);
    Text name = text_create(arena);
    text_append_escaped(&name, code->kernel->name);
    fprintf(out, "%c %s, stage %d\n%s\n", kinds[kind].comment, name.data, code->stage,
            object_text(e, machine, kinds[kind].form));
    emitter_destroy(e);
    arena_destroy(arena);
}

/* Finds the code of a program without making it. */
static Compilation find_codes(Arena *arena, const Program *program, const CpuOptions *options) {
    object_start();
    return (Compilation){.arena = arena,
                         .options = options,
                         .binding =
                             bind_program(arena, program, options->target, options->tuning, "")};
}

CpuFunction *cpu_functions(Arena *arena, const Program *program, const CpuTarget *target,
                           const CpuTuning *tuning, int *count) {
    CpuOptions options = {.target = target, .tuning = tuning};
    Compilation c = find_codes(arena, program, &options);
    CpuFunction *functions = arena_new_array(arena, CpuFunction, c.binding.codes.count + 1);
    for (size_t i = 0; i < c.binding.codes.count; i++)
        functions[i] =
            (CpuFunction){c.binding.codes.items[i]->name, c.binding.codes.items[i]->kernel};
    *count = (int)c.binding.codes.count;
    return functions;
}

Status cpu_list(Arena *arena, const Program *program, const CpuTarget *target, CpuListing kind,
                FILE *out) {
    status_return_if_failed(cpu_accepts(arena, program));
    CpuOptions options = {.target = target};
    Compilation c = find_codes(arena, program, &options);
    LLVMTargetMachineRef machine = object_machine(target);
    for (size_t i = 0; i < c.binding.codes.count; i++)
        list_code(&c, c.binding.codes.items[i], machine, kind, out);
    LLVMDisposeTargetMachine(machine);
    return STATUS_FINE;
}
