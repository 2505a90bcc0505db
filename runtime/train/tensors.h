/* What training holds, as the tensors of a checkpoint and back: parameters and running statistics
 * under their official names, what the optimizer keeps per parameter as
 * "optimizer.<state>.<parameter>", other states of the training as "optimizer.<state>"; everything
 * in PyTorch's order of dimensions. */
#ifndef SPARKC_RUNTIME_TRAIN_TENSORS_H
#define SPARKC_RUNTIME_TRAIN_TENSORS_H

#include "base/vector.h"
#include "ir/graph.h"
#include "runtime/safetensors.h"

/* The memory of a program, borrowed: f32, in the stored order. */
typedef struct TrainingMemory {
    const Graph *graph; /* the tables of segments and states */
    float *parameters;  /* flat */
    float **states;     /* by the index of the state; NULL: not there, and not in checkpoints */
} TrainingMemory;

/* Which tensors, and under which names. */
typedef enum TensorsKind {
    TENSORS_ALL,     /* what a run goes on from, official names */
    TENSORS_ENCODER, /* the encoder's parameters and running statistics, bare names */
    TENSORS_MODEL    /* the same of encoder and head */
} TensorsKind;

/* Lists the tensors, to be written while the memory is as it is: each is brought into the file's
 * order when it is needed, and nothing is copied before. */
void tensors_collect(Arena *arena, const TrainingMemory *memory, TensorsKind kind,
                     SafetensorsItem **items, size_t *count);

/* Copies parameters and running statistics that both have; their graphs are of one network. */
void tensors_copy(const TrainingMemory *from, const TrainingMemory *to);

/* Reads a checkpoint of this very network: a tensor that is missing, left over or of another shape
 * or type is a failure, and memory may be half read then. */
Status tensors_restore(Arena *arena, const Safetensors *file, const TrainingMemory *memory);

typedef struct TensorsReport {
    size_t loaded;
    VECTOR(const char *) missing; /* in the file: the network's names, which stay as they were */
    VECTOR(const char *) unused;  /* the file's names that the network has no place for */
} TensorsReport;

/* Takes parameters and running statistics from a file of any origin, whole checkpoints or an
 * encoder alone, by official or bare names. What the optimizer keeps is not read and not reported.
 * A shape that differs is a failure; so is a file of which nothing fits. */
Status tensors_initialise(Arena *arena, const Safetensors *file, const TrainingMemory *memory,
                          TensorsReport *report);

#endif
