/* The reference interpreter of the kernel IR: slow, obvious C that says what a program of kernels
 * computes, for any target. Buffers hold their elements in their own dtype; expressions are
 * computed in fp32, one rounding per operation (ir/interpret/kernel_scalar.h); what a kernel
 * accumulates, in double.
 *
 * Programs that ir/kernel_verify.h accepts never make it fail; with any other one a wrong access is
 * an internal error. */
#ifndef SPARKC_IR_INTERPRET_KERNEL_INTERPRET_H
#define SPARKC_IR_INTERPRET_KERNEL_INTERPRET_H

#include "base/status.h"
#include "ir/interpret/interpret.h"
#include "ir/kernel.h"

typedef struct KernelInterpreter KernelInterpreter;

/* Prepares to run a program, which is borrowed. Every buffer is memory of its own; a scratch buffer
 * is NaN at its birth, before its first kernel, and gone after its last one. Parameters and states
 * start at zero; the columns of the segment table ("segments.decays", "segments.lr_scale") are
 * filled. */
KernelInterpreter *kernel_interpreter_create(const Program *program);

/* The same over one block per region (enum Region), each of kernel_region_bytes, aligned to
 * KERNEL_ALIGNMENT and borrowed. The program is planned. Scratch and outputs become NaN before each
 * run; params, state and inputs are as the caller has them, but for the columns of the segment
 * table. */
KernelInterpreter *kernel_interpreter_create_planned(const Program *program, void *const *regions);

/* The same over one piece of memory per buffer, by its index in the program, which need not be
 * planned. Scratch that is not accessible is only touched by kernel_interpreter_run. */
KernelInterpreter *kernel_interpreter_create_over(const Program *program, void *const *buffers);

void kernel_interpreter_destroy(KernelInterpreter *interpreter);

/* Sets a parameter (stored order), a state, an input; `data` is copied, rounded to the buffer's
 * dtype. Unknown names, wrong counts and cells that are out of range or not ascending are failures.
 */
Status kernel_interpreter_set_param(KernelInterpreter *interpreter, Arena *arena,
                                    const char *segment, const double *data, size_t count);
Status kernel_interpreter_set_state(KernelInterpreter *interpreter, Arena *arena, const char *name,
                                    const double *data, size_t count);
Status kernel_interpreter_set_input(KernelInterpreter *interpreter, Arena *arena, const char *name,
                                    const double *data, size_t count);

/* The same for an input of this type, in dense x mask form. If it is masked, the cell list must
 * have been set before. */
Status kernel_interpreter_set_map(KernelInterpreter *interpreter, Arena *arena, const char *name,
                                  const Type *type, const double *data, size_t count);

/* A named scalar; one that the program does not read is ignored. */
void kernel_interpreter_set_scalar(KernelInterpreter *interpreter, const char *name, double value);

/* Writes a value of this type, in dense x mask form, through a view of a buffer that is no scratch.
 * The cell list, if the type is masked, was set before. */
void kernel_interpreter_write(KernelInterpreter *interpreter, const View *view, const Type *type,
                              const double *data);

/* Runs all kernels once. Fails if an input that a kernel reads has no value. */
Status kernel_interpreter_run(KernelInterpreter *interpreter, Arena *arena);

/* Copies of values, in dense x mask form (ir/interpret/interpret.h): a parameter; a state; an
 * output of this type; what a view shows of a value of this type (of scratch only from within the
 * observer). data NULL: there is none. */
Tensor kernel_interpreter_param(const KernelInterpreter *interpreter, Arena *arena,
                                const char *segment);
Tensor kernel_interpreter_state(const KernelInterpreter *interpreter, Arena *arena,
                                const char *name);
Tensor kernel_interpreter_output(const KernelInterpreter *interpreter, Arena *arena,
                                 const char *name, const Type *type);
Tensor kernel_interpreter_read(const KernelInterpreter *interpreter, Arena *arena, const View *view,
                               const Type *type);

/* Called after each kernel. */
typedef void KernelObserver(void *context, const KernelInterpreter *interpreter,
                            const Kernel *kernel);
void kernel_interpreter_observe(KernelInterpreter *interpreter, KernelObserver *observer,
                                void *context);

/* Element `element` of a buffer whose bytes are at `bytes`, as a number. */
double kernel_interpreter_element(const void *bytes, DType dtype, int64_t element);

/* Runs one kernel; buffers[i] are the bytes of buffer i, NULL for those that it does not use. */
void kernel_interpreter_run_kernel(const Program *program, const Kernel *kernel,
                                   void *const *buffers);

/* The view of a whole buffer that holds a value of this type from its start, rows one after the
 * other. */
View kernel_interpreter_whole_view(const Program *program, int buffer, const Type *type);

#endif
