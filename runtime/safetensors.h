/* Tensors in files: safetensors, read and written. A file is
 *
 *     8 bytes   N, the length of the header, little-endian
 *     N bytes   JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *     the rest  the tensors' bytes, little-endian, row-major, without gaps or overlaps
 *
 * The entry "__metadata__" maps text to text. Files are not trusted: every size, offset, dtype and
 * count is checked before it is used, and the limits below bound the memory that a header can cost.
 */
#ifndef SPARKC_RUNTIME_SAFETENSORS_H
#define SPARKC_RUNTIME_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    SAFETENSORS_MAX_RANK = 8,
    SAFETENSORS_MAX_TENSORS = 100000,
    SAFETENSORS_MAX_HEADER = 16 << 20 /* bytes */
};

typedef enum SafetensorsDType {
    SAFETENSORS_BOOL,
    SAFETENSORS_U8,
    SAFETENSORS_I8,
    SAFETENSORS_I16,
    SAFETENSORS_F16,
    SAFETENSORS_BF16,
    SAFETENSORS_I32,
    SAFETENSORS_U32,
    SAFETENSORS_F32,
    SAFETENSORS_I64,
    SAFETENSORS_F64,
    SAFETENSORS_DTYPE_COUNT
} SafetensorsDType;

typedef struct SafetensorsTensor {
    const char *name;
    SafetensorsDType dtype;
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    size_t count;           /* elements: the product of the shape, 1 for a scalar */
    uint64_t offset, bytes; /* in the data, which starts behind the header */
} SafetensorsTensor;

typedef struct SafetensorsPair {
    const char *key, *value;
} SafetensorsPair;

/* A file that is open for reading. The header is in memory, tensors are read on demand. */
typedef struct Safetensors Safetensors;

/* Opens a file and reads its header. Everything but the open file itself lives in `arena`. On
 * success the caller closes *file before the arena dies. */
Status safetensors_open(Arena *arena, const char *path, Safetensors **file);

/* Closes a file; NULL is allowed. */
void safetensors_close(Safetensors *file);

/* The path that the file was opened by. */
const char *safetensors_path(const Safetensors *file);

/* The tensors in the order of their bytes. */
const SafetensorsTensor *safetensors_tensors(const Safetensors *file, size_t *count);

/* The tensor of a name, or NULL. */
const SafetensorsTensor *safetensors_find(const Safetensors *file, const char *name);

/* The value of a key of "__metadata__", or NULL. */
const char *safetensors_metadata(const Safetensors *file, const char *key);

/* All of "__metadata__", in the order of the file. */
const SafetensorsPair *safetensors_pairs(const Safetensors *file, size_t *count);

/* Reads a tensor of this file, of any dtype, as doubles into `values`, which has room for
 * `tensor->count` of them. A 64-bit integer beyond 2^53 is a failure, since it would be rounded. */
Status safetensors_read(Arena *arena, const Safetensors *file, const SafetensorsTensor *tensor,
                        double *values);

/* Reads a tensor of this file as it is there, `tensor->bytes` bytes, into `bytes`. */
Status safetensors_read_bytes(Arena *arena, const Safetensors *file,
                              const SafetensorsTensor *tensor, void *bytes);

/* Reads `length` bytes at `offset` of the data, which the tensors fill without gaps. */
Status safetensors_read_data(Arena *arena, const Safetensors *file, uint64_t offset, size_t length,
                             void *bytes);

/* "F32" and the like; bytes per element. */
const char *safetensors_dtype_name(SafetensorsDType dtype);
size_t safetensors_dtype_size(SafetensorsDType dtype);

/* Gives the elements of a tensor as the file holds them, in the arena or elsewhere; the same ones
 * each time that it is asked. */
typedef const void *SafetensorsMaker(Arena *arena, const void *data);

/* A tensor to write; `data` holds its elements as the file does, or is what `make` gives them of,
 * when they are needed. */
typedef struct SafetensorsItem {
    const char *name;
    SafetensorsDType dtype;
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    const void *data;
    SafetensorsMaker *make; /* or NULL */
} SafetensorsItem;

/* The bytes of a tensor to write, and how many. */
const void *safetensors_item_bytes(Arena *arena, const SafetensorsItem *item, size_t *length);

/* Writes a file in one piece: into a temporary file beside it, flushed to the disk, then renamed
 * over `path` (file_replace). So `path` is the old file or the whole new one at any time. Tensors
 * are written in the order given; names differ. What the reader would refuse is not written: names
 * and metadata that are not UTF-8, more tensors or a longer header than the limits. One made tensor
 * is in memory at a time. */
Status safetensors_write(Arena *arena, const char *path, const SafetensorsItem *items, size_t count,
                         const SafetensorsPair *metadata, size_t metadata_count);

#endif
