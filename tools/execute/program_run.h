/* Running a program kernel by kernel, by compiled code or by the kernel interpreter, so that every
 * buffer can be read while it is alive. */
#ifndef SPARKC_TOOLS_EXECUTE_PROGRAM_RUN_H
#define SPARKC_TOOLS_EXECUTE_PROGRAM_RUN_H

#include "ir/interpret/kernel_interpret.h"
#include "runtime/executor.h"

/* Where the buffers of a program lie. */
typedef enum RunMemory {
    RUN_PLANNED,  /* one block per region, as planned; compiled code only */
    RUN_POISONED, /* the same; scratch and outputs are NaN before each run */
    RUN_GUARDED   /* tools/execute/guarded_memory.h */
} RunMemory;

/* A program with its code, all borrowed. */
typedef struct RunCode {
    const Program *program;
    const Plan *plan; /* NULL: the kernel interpreter runs it */
    Threads *threads; /* with a plan */
} RunCode;

typedef struct ProgramRun ProgramRun;

/* Memory of that kind for a program, filled as it says; the caller destroys it. */
Status program_run_create(Arena *arena, const RunCode *code, RunMemory memory, ProgramRun **run);
void program_run_destroy(ProgramRun *run);

/* For setting and reading values in the run's memory. */
KernelInterpreter *program_run_values(const ProgramRun *run);

/* Before the first kernel. */
void program_run_begin(ProgramRun *run);

/* Runs the kernel that is next; it must be `kernel`. A write outside of its buffers is a failure.
 */
Status program_run_kernel(ProgramRun *run, Arena *arena, int kernel);

/* What is only used up to this kernel has been read. */
void program_run_release(ProgramRun *run, int kernel);

/* All of them. */
Status program_run_all(ProgramRun *run, Arena *arena);

/* Where the buffers of the program lie, by their index. */
void *const *program_run_buffers(const ProgramRun *run);

/* Takes parameters, states and inputs from elsewhere: from buffers by their index. */
void program_run_copy(ProgramRun *run, void *const *from);

/* Fails if parameters, states or outputs are not, bit for bit, those of other buffers. */
Status program_run_compare(const ProgramRun *run, void *const *other, Arena *arena);

#endif
