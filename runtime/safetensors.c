#include "runtime/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "base/fatal.h"
#include "base/text.h"
#include "base/vector.h"
#include "runtime/file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's byte order is used as it is");

typedef struct NameEntry {
    const SafetensorsTensor *tensor;
    UT_hash_handle hh;
} NameEntry;

struct Safetensors {
    const char *path;
    int descriptor;
    uint64_t data_start, data_bytes;
    SafetensorsTensor *tensors; /* by offset */
    size_t count;
    NameEntry *names;
    VECTOR(SafetensorsPair) metadata;
};

static const struct {
    const char *name;
    size_t size;
} dtypes[SAFETENSORS_DTYPE_COUNT] = {
    [SAFETENSORS_BOOL] = {"BOOL", 1}, [SAFETENSORS_U8] = {"U8", 1},
    [SAFETENSORS_I8] = {"I8", 1},     [SAFETENSORS_I16] = {"I16", 2},
    [SAFETENSORS_F16] = {"F16", 2},   [SAFETENSORS_BF16] = {"BF16", 2},
    [SAFETENSORS_I32] = {"I32", 4},   [SAFETENSORS_U32] = {"U32", 4},
    [SAFETENSORS_F32] = {"F32", 4},   [SAFETENSORS_I64] = {"I64", 8},
    [SAFETENSORS_F64] = {"F64", 8},
};

const char *safetensors_dtype_name(SafetensorsDType dtype) {
    return dtypes[dtype].name;
}

size_t safetensors_dtype_size(SafetensorsDType dtype) {
    return dtypes[dtype].size;
}

/* Reads exactly `length` bytes at `offset`; false with errno 0 if the file ends before. */
static bool read_exactly(int descriptor, void *data, size_t length, uint64_t offset) {
    char *to = data;
    while (length > 0) {
        ssize_t got = pread(descriptor, to, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got < 0 ? errno : 0;
            return false;
        }
        to += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return true;
}

static Status read_failure(Arena *arena, const char *path) {
    return status_failure(arena, "%s: %s", path,
                          errno ? strerror(errno) : "the file became shorter while it was read");
}

static Status parse_dtype(Arena *arena, const Safetensors *file, const json_t *entry,
                          SafetensorsTensor *tensor) {
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    for (int i = 0; text && i < SAFETENSORS_DTYPE_COUNT; i++)
        if (strcmp(text, dtypes[i].name) == 0) {
            tensor->dtype = (SafetensorsDType)i;
            return STATUS_FINE;
        }
    return status_failure(arena, "%s: tensor %s has dtype %s, which is not supported", file->path,
                          tensor->name, text ? text : "none");
}

/* Fills shape and count. */
static Status parse_shape(Arena *arena, const Safetensors *file, const json_t *entry,
                          SafetensorsTensor *tensor) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_MAX_RANK)
        return status_failure(arena, "%s: tensor %s needs a shape of at most %d numbers",
                              file->path, tensor->name, SAFETENSORS_MAX_RANK);
    tensor->rank = (int)json_array_size(shape);
    tensor->count = 1;
    for (int d = 0; d < tensor->rank; d++) {
        const json_t *extent = json_array_get(shape, (size_t)d);
        json_int_t value = json_is_integer(extent) ? json_integer_value(extent) : -1;
        if (value < 0 || __builtin_mul_overflow(tensor->count, (size_t)value, &tensor->count))
            return status_failure(arena, "%s: tensor %s has an impossible shape", file->path,
                                  tensor->name);
        tensor->shape[d] = value;
    }
    return STATUS_FINE;
}

static Status parse_offsets(Arena *arena, const Safetensors *file, const json_t *entry,
                            SafetensorsTensor *tensor) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    json_int_t first = json_is_integer(begin) ? json_integer_value(begin) : -1;
    json_int_t last = json_is_integer(end) ? json_integer_value(end) : -1;
    if (json_array_size(offsets) != 2 || first < 0 || last < first ||
        (uint64_t)last > file->data_bytes)
        return status_failure(arena, "%s: tensor %s has data_offsets outside the file", file->path,
                              tensor->name);
    tensor->offset = (uint64_t)first;
    tensor->bytes = (uint64_t)(last - first);
    size_t needed;
    if (__builtin_mul_overflow(tensor->count, dtypes[tensor->dtype].size, &needed) ||
        needed != tensor->bytes)
        return status_failure(arena,
                              "%s: tensor %s has %" PRIu64 " bytes, which its shape and "
                              "dtype %s do not need",
                              file->path, tensor->name, tensor->bytes, dtypes[tensor->dtype].name);
    return STATUS_FINE;
}

static bool printable(const char *name) {
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == 0x7f)
            return false;
    return true;
}

static Status parse_tensor(Arena *arena, Safetensors *file, const char *name, const json_t *entry) {
    if (!printable(name))
        return status_failure(arena, "%s: a tensor's name has control characters", file->path);
    SafetensorsTensor *tensor = &file->tensors[file->count];
    tensor->name = arena_copy_text(arena, name, strlen(name));
    status_return_if_failed(parse_dtype(arena, file, entry, tensor));
    status_return_if_failed(parse_shape(arena, file, entry, tensor));
    status_return_if_failed(parse_offsets(arena, file, entry, tensor));
    file->count++;
    return STATUS_FINE;
}

static Status parse_metadata(Arena *arena, Safetensors *file, json_t *entries) {
    const char *key;
    json_t *value;
    if (!json_is_object(entries))
        return status_failure(arena, "%s: __metadata__ is not an object", file->path);
    json_object_foreach(entries, key, value) {
        const char *text = json_string_value(value);
        if (!text)
            return status_failure(arena, "%s: __metadata__ holds something that is not text",
                                  file->path);
        SafetensorsPair pair = {arena_copy_text(arena, key, strlen(key)),
                                arena_copy_text(arena, text, strlen(text))};
        vector_push(arena, &file->metadata, pair);
    }
    return STATUS_FINE;
}

static int by_offset(const void *a, const void *b) {
    const SafetensorsTensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* The tensors must fill the data one after the other. */
static Status check_cover(Arena *arena, const Safetensors *file) {
    uint64_t position = 0;
    for (size_t i = 0; i < file->count; i++) {
        if (file->tensors[i].offset != position)
            return status_failure(arena, "%s: tensor %s overlaps another or leaves a gap before it",
                                  file->path, file->tensors[i].name);
        position += file->tensors[i].bytes;
    }
    if (position != file->data_bytes)
        return status_failure(arena,
                              "%s: %" PRIu64 " bytes behind the last tensor belong to none of them",
                              file->path, file->data_bytes - position);
    return STATUS_FINE;
}

static Status parse_entries(Arena *arena, Safetensors *file, json_t *root) {
    const char *name;
    json_t *entry;
    if (!json_is_object(root))
        return status_failure(arena, "%s: the header is not a JSON object", file->path);
    if (json_object_size(root) > SAFETENSORS_MAX_TENSORS)
        return status_failure(arena, "%s: more than %d tensors", file->path,
                              SAFETENSORS_MAX_TENSORS);
    file->tensors = arena_new_array(arena, SafetensorsTensor, json_object_size(root));
    json_object_foreach(root, name, entry) {
        if (strcmp(name, "__metadata__") == 0)
            status_return_if_failed(parse_metadata(arena, file, entry));
        else
            status_return_if_failed(parse_tensor(arena, file, name, entry));
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
    return check_cover(arena, file);
}

static Status parse_header(Arena *arena, Safetensors *file, const char *header, size_t length) {
    json_error_t error;
    json_t *root = json_loadb(header, length, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return status_failure(arena, "%s: the header is not valid JSON: %s", file->path,
                              error.text);
    Status status = parse_entries(arena, file, root);
    json_decref(root);
    return status;
}

static void index_names(Arena *arena, Safetensors *file) {
    for (size_t i = 0; i < file->count; i++) {
        NameEntry *entry = arena_new(arena, NameEntry);
        entry->tensor = &file->tensors[i];
        HASH_ADD_KEYPTR(hh, file->names, entry->tensor->name, strlen(entry->tensor->name), entry);
    }
}

static Status read_header(Arena *arena, Safetensors *file) {
    struct stat info;
    uint64_t length;
    if (fstat(file->descriptor, &info) != 0)
        return read_failure(arena, file->path);
    if (!S_ISREG(info.st_mode))
        return status_failure(arena, "%s: not a regular file", file->path);
    if (info.st_size < 8)
        return status_failure(arena, "%s: not a safetensors file: too short", file->path);
    if (!read_exactly(file->descriptor, &length, 8, 0))
        return read_failure(arena, file->path);
    if (length > SAFETENSORS_MAX_HEADER || length > (uint64_t)info.st_size - 8)
        return status_failure(arena,
                              "%s: not a safetensors file: its header would have %" PRIu64 " bytes",
                              file->path, length);
    char *header = arena_alloc(arena, length, 1);
    if (!read_exactly(file->descriptor, header, length, 8))
        return read_failure(arena, file->path);
    file->data_start = 8 + length;
    file->data_bytes = (uint64_t)info.st_size - file->data_start;
    return parse_header(arena, file, header, length);
}

Status safetensors_open(Arena *arena, const char *path, Safetensors **file) {
    Safetensors *opened = arena_new(arena, Safetensors);
    opened->path = arena_copy_text(arena, path, strlen(path));
    opened->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened->descriptor < 0)
        return status_failure(arena, "%s: %s", path, strerror(errno));
    Status status = read_header(arena, opened);
    if (!status_fine(status)) {
        close(opened->descriptor);
        return status;
    }
    index_names(arena, opened);
    *file = opened;
    return STATUS_FINE;
}

void safetensors_close(Safetensors *file) {
    if (!file)
        return;
    HASH_CLEAR(hh, file->names);
    close(file->descriptor);
}

const char *safetensors_path(const Safetensors *file) {
    return file->path;
}

const SafetensorsTensor *safetensors_tensors(const Safetensors *file, size_t *count) {
    *count = file->count;
    return file->tensors;
}

const SafetensorsTensor *safetensors_find(const Safetensors *file, const char *name) {
    NameEntry *entry;
    HASH_FIND_STR(file->names, name, entry);
    return entry ? entry->tensor : NULL;
}

const char *safetensors_metadata(const Safetensors *file, const char *key) {
    for (size_t i = 0; i < file->metadata.count; i++)
        if (strcmp(file->metadata.items[i].key, key) == 0)
            return file->metadata.items[i].value;
    return NULL;
}

const SafetensorsPair *safetensors_pairs(const Safetensors *file, size_t *count) {
    *count = file->metadata.count;
    return file->metadata.items;
}

static double half_value(uint16_t bits) {
    int exponent = bits >> 10 & 31;
    double fraction = bits & 1023;
    double magnitude = exponent == 31  ? (fraction != 0 ? (double)NAN : (double)INFINITY)
                       : exponent == 0 ? ldexp(fraction, -24)
                                       : ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static double bfloat_value(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

#define CONVERT(type, expression)                                                                  \
    do {                                                                                           \
        type x;                                                                                    \
        for (size_t i = 0; i < count; i++) {                                                       \
            memcpy(&x, bytes + i * sizeof x, sizeof x);                                            \
            values[i] = (expression);                                                              \
        }                                                                                          \
    } while (0)

/* False if a 64-bit integer is not a double. */
static bool convert(SafetensorsDType dtype, const char *bytes, size_t count, double *values) {
    switch (dtype) {
    case SAFETENSORS_BOOL:
    case SAFETENSORS_U8:
        CONVERT(uint8_t, (double)x);
        return true;
    case SAFETENSORS_I8:
        CONVERT(int8_t, (double)x);
        return true;
    case SAFETENSORS_I16:
        CONVERT(int16_t, (double)x);
        return true;
    case SAFETENSORS_F16:
        CONVERT(uint16_t, half_value(x));
        return true;
    case SAFETENSORS_BF16:
        CONVERT(uint16_t, bfloat_value(x));
        return true;
    case SAFETENSORS_I32:
        CONVERT(int32_t, (double)x);
        return true;
    case SAFETENSORS_U32:
        CONVERT(uint32_t, (double)x);
        return true;
    case SAFETENSORS_F32:
        CONVERT(float, (double)x);
        return true;
    case SAFETENSORS_F64:
        CONVERT(double, x);
        return true;
    case SAFETENSORS_I64:
        CONVERT(int64_t, (double)x);
        for (size_t i = 0; i < count; i++)
            if (!(fabs(values[i]) <= 0x1p53))
                return false;
        return true;
    case SAFETENSORS_DTYPE_COUNT:
        break;
    }
    return false;
}

Status safetensors_read(Arena *arena, const Safetensors *file, const SafetensorsTensor *tensor,
                        double *values) {
    enum { CHUNK = 8192 }; /* elements at a time, of at most 8 bytes */
    char bytes[CHUNK * 8];
    size_t size = dtypes[tensor->dtype].size;
    for (size_t done = 0; done < tensor->count; done += CHUNK) {
        size_t count = tensor->count - done < CHUNK ? tensor->count - done : CHUNK;
        if (!read_exactly(file->descriptor, bytes, count * size,
                          file->data_start + tensor->offset + done * size))
            return read_failure(arena, file->path);
        if (!convert(tensor->dtype, bytes, count, values + done))
            return status_failure(arena, "%s: tensor %s holds a 64-bit integer beyond 2^53",
                                  file->path, tensor->name);
    }
    return STATUS_FINE;
}

Status safetensors_read_data(Arena *arena, const Safetensors *file, uint64_t offset, size_t length,
                             void *bytes) {
    invariant(offset <= file->data_bytes && length <= file->data_bytes - offset,
              "%s: a read beyond the data", file->path);
    return read_exactly(file->descriptor, bytes, length, file->data_start + offset)
               ? STATUS_FINE
               : read_failure(arena, file->path);
}

Status safetensors_read_bytes(Arena *arena, const Safetensors *file,
                              const SafetensorsTensor *tensor, void *bytes) {
    return safetensors_read_data(arena, file, tensor->offset, tensor->bytes, bytes);
}

static size_t item_bytes(const SafetensorsItem *item) {
    size_t bytes = dtypes[item->dtype].size;
    for (int d = 0; d < item->rank; d++)
        bytes *= (size_t)item->shape[d];
    return bytes;
}

static json_t *item_header(const SafetensorsItem *item, uint64_t offset) {
    json_t *shape = json_array();
    for (int d = 0; d < item->rank; d++)
        json_array_append_new(shape, json_integer(item->shape[d]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtypes[item->dtype].name, "shape", shape,
                     "data_offsets", (json_int_t)offset, (json_int_t)(offset + item_bytes(item)));
}

/* Fills `root` with metadata and tensors; fails at what is not UTF-8. */
static Status fill_header(Arena *arena, const char *path, json_t *root,
                          const SafetensorsItem *items, size_t count,
                          const SafetensorsPair *metadata, size_t metadata_count) {
    json_t *pairs = json_object();
    uint64_t offset = 0;
    json_object_set_new(root, "__metadata__", pairs);
    for (size_t i = 0; i < metadata_count; i++)
        if (json_object_set_new(pairs, metadata[i].key, json_string(metadata[i].value)) != 0)
            return status_failure(arena, "%s: cannot be written: the metadata %s are not UTF-8",
                                  path, metadata[i].key);
    for (size_t i = 0; i < count; i++) {
        if (json_object_set_new(root, items[i].name, item_header(&items[i], offset)) != 0)
            return status_failure(arena, "%s: cannot be written: the name %s is not UTF-8", path,
                                  items[i].name);
        offset += item_bytes(&items[i]);
    }
    return STATUS_FINE;
}

/* The header as text, padded with blanks to a multiple of 8, so that the data are aligned. */
static Status make_header(Arena *arena, const char *path, const SafetensorsItem *items,
                          size_t count, const SafetensorsPair *metadata, size_t metadata_count,
                          Text *text) {
    json_t *root = json_object();
    Status status = fill_header(arena, path, root, items, count, metadata, metadata_count);
    char *dumped = status_fine(status) ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    status_return_if_failed(status);
    *text = text_create(arena);
    text_append(text, "%s", dumped);
    text_append(text, "%*s", (int)((8 - text->length % 8) % 8), "");
    free(dumped);
    if (text->length > SAFETENSORS_MAX_HEADER || count >= SAFETENSORS_MAX_TENSORS)
        return status_failure(arena, "%s: cannot be written: %zu tensors and %zu bytes of header",
                              path, count, text->length);
    return STATUS_FINE;
}

const void *safetensors_item_bytes(Arena *arena, const SafetensorsItem *item, size_t *length) {
    *length = item_bytes(item);
    return item->make ? item->make(arena, item->data) : item->data;
}

/* What a file is written from: the length of its header, the header, the tensors. */
typedef struct Writing {
    uint64_t length;
    const Text *header;
    const SafetensorsItem *items;
} Writing;

static FilePiece make_piece(Arena *arena, const void *context, size_t number) {
    const Writing *writing = context;
    FilePiece piece;
    if (number == 0)
        return (FilePiece){&writing->length, sizeof writing->length};
    if (number == 1)
        return (FilePiece){writing->header->data, writing->header->length};
    piece.bytes = safetensors_item_bytes(arena, &writing->items[number - 2], &piece.length);
    return piece;
}

Status safetensors_write(Arena *arena, const char *path, const SafetensorsItem *items, size_t count,
                         const SafetensorsPair *metadata, size_t metadata_count) {
    Text header;
    status_return_if_failed(
        make_header(arena, path, items, count, metadata, metadata_count, &header));
    Writing writing = {header.length, &header, items};
    return file_replace_by(arena, path, make_piece, &writing, count + 2);
}
