/* A planned program as one object file for others to link. It is made by the emitter, the passes
 * and the target machine that code for this process is made by. What it holds:
 *
 *     the functions of the program's codes                          local
 *     tables: launches, their pointers and numbers, constants       local, read-only
 *     int PREFIX_run(const memory *, const parallel *)              runs all launches
 *     int PREFIX_selftest(const memory *, const parallel *)         runs them on a recorded input
 *     int PREFIX_supported(void)                                    whether this processor can
 *     const unsigned char PREFIX_identity[]                         of its weights
 *     const unsigned char PREFIX_weights[]                          if they are embedded
 *
 * It has no state of its own, allocates nothing, and needs no symbol but memcpy and memset. Memory
 * is six pointers, PLAN_PARAMS to PLAN_SCRATCH and then the workspaces of all threads. Parallel is
 * a function and its context,
 *
 *     void parallel_for(void *context, task *, void *job, int64_t chunks)
 *
 * which calls task(job, chunk, thread) once for each chunk; NULL: all chunks run one after the
 * other. The results are the executor's (runtime/executor.h), bit for bit: the same functions get
 * the same arguments, and no chunk depends on another. */
#ifndef SPARKC_CODEGEN_CPU_ARTEFACT_H
#define SPARKC_CODEGEN_CPU_ARTEFACT_H

#include "codegen/cpu/object.h"
#include "runtime/plan.h"

enum { ARTEFACT_ABI = 1 };

/* What run and selftest return. */
enum { ARTEFACT_FINE, ARTEFACT_BAD_MEMORY, ARTEFACT_WRONG_RESULT };

/* The contents of an input that is the same in every run: it becomes part of the object. */
typedef struct ArtefactConstant {
    const char *buffer; /* of the inputs */
    const void *bytes;
} ArtefactConstant;

/* The selftest's input: element i of a buffer is word i modulo `count`. */
typedef struct ArtefactRecord {
    int64_t offset, elements; /* in the inputs: bytes; of 4 bytes each */
    const uint32_t *words;
    int64_t count;
} ArtefactRecord;

/* What it compares: |element - value| <= limit, or with limit 0 the same bits. */
typedef struct ArtefactSample {
    int region;
    int64_t offset; /* bytes */
    float value, limit;
} ArtefactSample;

typedef struct ArtefactOptions {
    const CpuTarget *target;
    const char *prefix; /* a C identifier */
    ObjectForm form;
    const ArtefactConstant *constants;
    const ArtefactRecord *records;
    const ArtefactSample *samples;
    size_t constant_count, record_count, sample_count;
    const void *identity; /* of the weights that the object is for */
    size_t identity_bytes;
    const void *weights; /* NULL: not embedded */
    size_t weight_bytes;
} ArtefactOptions;

typedef struct Artefact {
    Object object; /* destroyed by the caller */
    Plan *plan;    /* without functions; sizes are multiples of PLAN_ALIGNMENT, what may be read
                      behind buffers included */
    int codes;     /* distinct functions */
    double seconds;
} Artefact;

/* Writes the object of a program that cpu_accepts. */
void cpu_artefact(Arena *arena, const Program *program, const ArtefactOptions *options,
                  Artefact *artefact);

/* Emits PREFIX_supported into the module (supported.c). */
void emit_supported(Emitter *emitter, const char *name);

#endif
