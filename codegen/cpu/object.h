/* From an emitted module to object code, and from object code to functions of this process. */
#ifndef SPARKC_CODEGEN_CPU_OBJECT_H
#define SPARKC_CODEGEN_CPU_OBJECT_H

#include <llvm-c/TargetMachine.h>

#include "codegen/cpu/emitter.h"

/* Object code in memory, outside any arena: it comes from many threads. */
typedef struct Object {
    char *bytes;
    size_t size;
} Object;

void object_destroy(Object *object);

/* Makes LLVM's targets known. Once per process is enough, more do no harm. */
void object_start(void);

/* Everything but the kernel that decides the code: the build of this program and of LLVM, the
 * target, the passes. NULL if the builds cannot be told, so that code must not be kept. */
const char *object_environment(Arena *arena, const CpuTarget *target);

/* A target machine serves one thread, and any number of modules. */
LLVMTargetMachineRef object_machine(const CpuTarget *target);

/* What a module can be written as. */
typedef enum ObjectForm {
    OBJECT_CODE, /* for a linker */
    OBJECT_ASSEMBLY,
    OBJECT_LLVM, /* as text */
    OBJECT_BITCODE
} ObjectForm;

/* Optimises the module of finished functions and writes it. */
Object object_write(Emitter *emitter, LLVMTargetMachineRef machine, ObjectForm form);

/* The same as a text in the emitter's arena. */
char *object_text(Emitter *emitter, LLVMTargetMachineRef machine, ObjectForm form);

/* Optimises the module of a finished function and assembles it. `dump_dir`, if not NULL, gets
 * <name>.ll and <name>.s. */
Object object_compile(Emitter *emitter, LLVMTargetMachineRef machine, const char *name,
                      const char *dump_dir);

/* A place for linked code in this process; destroyed by cpu_module_destroy. */
Status object_module_create(Arena *arena, CpuModule **module);

/* Links object code, which is copied. */
Status object_link(Arena *arena, CpuModule *module, Object object);

/* A function of the linked code. */
Status object_function(Arena *arena, CpuModule *module, const char *name, PlanFunction **function);

#endif
