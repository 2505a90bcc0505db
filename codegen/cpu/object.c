#include "codegen/cpu/object.h"

#include <llvm-c/BitWriter.h>
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/fatal.h"
#include "codegen/cpu/build_id.h"
#include "codegen/cpu/loaded_file.h"

struct CpuModule {
    LLVMOrcLLJITRef jit;
};

static const char passes[] =
    "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-simplify,"
    "lcssa,loop-mssa(licm),gvn,instcombine<no-verify-fixpoint>,simplifycfg)";

void object_start(void) {
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
    LLVMInitializeAllAsmParsers(); /* for cpuid in codegen/cpu/supported.c */
}

void cpu_release(void) {
    loaded_file_release((const void *)(uintptr_t)LLVMGetVersion);
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

const char *object_environment(Arena *arena, const CpuTarget *target) {
    unsigned major, minor, patch;
    const char *own = build_id_find(arena, (const void *)(uintptr_t)object_environment);
    const char *llvm = build_id_find(arena, (const void *)(uintptr_t)LLVMGetVersion);
    if (!own || !llvm)
        return NULL;
    LLVMGetVersion(&major, &minor, &patch);
    return arena_format(arena,
                        "sparkc %s\nllvm %u.%u.%u %s\ntriple %s\ncpu %s\nfeatures %s\nlanes %d "
                        "registers %d fused %d masked %d rounds %d tiles %d\npasses %s\n",
                        own, major, minor, patch, llvm, target->triple, target->cpu,
                        target->features, target->lanes, target->registers, target->fused,
                        target->masked, target->rounds, (int)target->tiles, passes);
}

LLVMTargetMachineRef object_machine(const CpuTarget *target) {
    LLVMTargetRef backend;
    char *error = NULL;
    if (LLVMGetTargetFromTriple(target->triple, &backend, &error))
        invariant(false, "LLVM has no target %s: %s", target->triple, error);
    LLVMTargetMachineRef machine =
        LLVMCreateTargetMachine(backend, target->triple, target->processor, target->features,
                                LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
    invariant(machine, "LLVM has no machine for %s %s", target->triple, target->cpu);
    return machine;
}

/* A module that the passes have run over. */
static LLVMMemoryBufferRef write_module(const Emitter *e, LLVMTargetMachineRef machine,
                                        ObjectForm form) {
    LLVMMemoryBufferRef buffer;
    char *error = NULL;
    if (form == OBJECT_BITCODE)
        return LLVMWriteBitcodeToMemoryBuffer(e->module);
    if (form == OBJECT_LLVM) {
        char *text = LLVMPrintModuleToString(e->module);
        buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(text, strlen(text), "module");
        LLVMDisposeMessage(text);
        return buffer;
    }
    LLVMCodeGenFileType type = form == OBJECT_CODE ? LLVMObjectFile : LLVMAssemblyFile;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, e->module, type, &error, &buffer))
        invariant(false, "LLVM emits no code: %s", error);
    LLVMDisposeMessage(error);
    return buffer;
}

static Object take_object(LLVMMemoryBufferRef buffer) {
    Object object = {.size = LLVMGetBufferSize(buffer)};
    object.bytes = malloc(object.size);
    if (!object.bytes)
        fatal("out of memory");
    memcpy(object.bytes, LLVMGetBufferStart(buffer), object.size);
    LLVMDisposeMemoryBuffer(buffer);
    return object;
}

static void dump_form(const Emitter *e, LLVMTargetMachineRef machine, const char *path,
                      ObjectForm form) {
    FILE *file = fopen(path, "wb");
    if (!file)
        return;
    LLVMMemoryBufferRef buffer = write_module(e, machine, form);
    fwrite(LLVMGetBufferStart(buffer), 1, LLVMGetBufferSize(buffer), file);
    LLVMDisposeMemoryBuffer(buffer);
    fclose(file);
}

static void dump(const Emitter *e, LLVMTargetMachineRef machine, const char *dump_dir,
                 const char *name) {
    dump_form(e, machine, arena_format(e->arena, "%s/%s.ll", dump_dir, name), OBJECT_LLVM);
    dump_form(e, machine, arena_format(e->arena, "%s/%s.s", dump_dir, name), OBJECT_ASSEMBLY);
}

static void run_passes(Emitter *e, LLVMTargetMachineRef machine) {
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetTarget(e->module, e->target->triple);
    LLVMSetModuleDataLayout(e->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef failure = LLVMRunPasses(e->module, passes, machine, options);
    invariant(!failure, "LLVM passes: %s", LLVMGetErrorMessage(failure));
    LLVMDisposePassBuilderOptions(options);
}

Object object_write(Emitter *e, LLVMTargetMachineRef machine, ObjectForm form) {
    run_passes(e, machine);
    return take_object(write_module(e, machine, form));
}

char *object_text(Emitter *e, LLVMTargetMachineRef machine, ObjectForm form) {
    Object object = object_write(e, machine, form);
    char *text = arena_copy_text(e->arena, object.bytes, object.size);
    object_destroy(&object);
    return text;
}

Object object_compile(Emitter *e, LLVMTargetMachineRef machine, const char *name,
                      const char *dump_dir) {
    run_passes(e, machine);
    if (dump_dir)
        dump(e, machine, dump_dir, name);
    return take_object(write_module(e, machine, OBJECT_CODE));
}

void object_destroy(Object *object) {
    free(object->bytes);
    *object = (Object){0};
}

/* ---- Linking --------------------------------------------------------------------------------- */

static Status orc_status(Arena *arena, LLVMErrorRef error) {
    if (!error)
        return STATUS_FINE;
    char *message = LLVMGetErrorMessage(error);
    Status status = status_failure(arena, "the compiled code cannot be linked: %s", message);
    LLVMDisposeErrorMessage(message);
    return status;
}

Status object_module_create(Arena *arena, CpuModule **module) {
    LLVMOrcDefinitionGeneratorRef process;
    *module = arena_new(arena, CpuModule);
    status_return_if_failed(orc_status(arena, LLVMOrcCreateLLJIT(&(*module)->jit, NULL)));
    LLVMOrcLLJITRef jit = (*module)->jit;
    status_return_if_failed(
        orc_status(arena, LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(
                              &process, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL)));
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(jit), process);
    return STATUS_FINE;
}

Status object_link(Arena *arena, CpuModule *module, Object object) {
    LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRangeCopy(object.bytes, object.size, "kernel");
    return orc_status(arena, LLVMOrcLLJITAddObjectFile(
                                 module->jit, LLVMOrcLLJITGetMainJITDylib(module->jit), buffer));
}

Status object_function(Arena *arena, CpuModule *module, const char *name, PlanFunction **function) {
    LLVMOrcExecutorAddress address;
    status_return_if_failed(orc_status(arena, LLVMOrcLLJITLookup(module->jit, &address, name)));
    *function = (PlanFunction *)(uintptr_t)address;
    return STATUS_FINE;
}

void cpu_module_destroy(CpuModule *module) {
    if (module && module->jit)
        LLVMOrcDisposeLLJIT(module->jit);
}
