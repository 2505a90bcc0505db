/* Parameters between files and memory: names, shapes and the order of elements.
 *
 * A SparK checkpoint holds an encoder's tensors as "sparse_encoder.sp_cnn.<name>", the others under
 * their complete names; a file with the encoder alone holds its bare names. */
#ifndef SPARKC_RUNTIME_WEIGHTS_H
#define SPARKC_RUNTIME_WEIGHTS_H

#include "ir/graph.h"
#include "runtime/safetensors.h"

/* The name in a SparK checkpoint of a segment or state that the graph calls `name`. */
const char *weights_name(Arena *arena, Part part, const char *name);

/* The tensor of a segment or state under `prefix` ("" or such as "grad."), by its name in a
 * checkpoint or else by its bare name; NULL if the file has neither. */
const SafetensorsTensor *weights_find(Arena *arena, const Safetensors *file, const char *prefix,
                                      Part part, const char *name);

/* The number of elements of a segment. */
size_t weights_count(const Segment *segment);

/* Reorders elements between a file's order (PyTorch's) and the stored one; `from` and `to` do not
 * overlap. */
void weights_to_stored(const Segment *segment, const double *from, double *to);
void weights_to_file(const Segment *segment, const double *from, double *to);

/* Fails, naming both shapes, unless the tensor has the segment's shape in files; with LAYOUT_AS_IS,
 * dimensions of 1 may come or go. */
Status weights_check_shape(Arena *arena, const Safetensors *file, const SafetensorsTensor *tensor,
                           const Segment *segment);

/* "[64, 3, 7, 7]". */
char *weights_shape_text(Arena *arena, int rank, const int64_t *shape);

#endif
