/* Files of every kind that the reader must refuse, and round trips. */
#include <CUnit/CUnit.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/safetensors.h"
#include "tests/unit/runtime_suites.h"

/* A folder of the test's own; the caller removes it. */
static const char *make_folder(Arena *arena) {
    char *folder = arena_format(arena, "/tmp/sparkc-test-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    return folder;
}

static void write_bytes(const char *path, const void *bytes, size_t length) {
    FILE *file = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(bytes, 1, length, file), length);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

/* A file with this header and so many zero bytes of data. */
static void write_file(Arena *arena, const char *path, const char *header, size_t data) {
    uint64_t length = strlen(header);
    char *bytes = arena_alloc(arena, 8 + length + data, 1);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    write_bytes(path, bytes, 8 + length + data);
}

/* A tensor entry. */
#define ENTRY(name, dtype, shape, offsets)                                                         \
    "\"" name "\": {\"dtype\": \"" dtype "\", \"shape\": " shape ", \"data_offsets\": " offsets "}"

typedef struct BadFile {
    const char *header;
    size_t data;
    const char *message; /* that the failure must hold */
} BadFile;

static const BadFile bad_files[] = {
    {"", 0, "not valid JSON"},
    {"[]", 0, "not a JSON object"},
    {"{\"a\"", 0, "not valid JSON"},
    {"{\"a\": 3}", 0, "has dtype none"},
    {"{" ENTRY("a", "F31", "[1]", "[0, 4]") "}", 4, "has dtype F31, which is not supported"},
    {"{" ENTRY("a", "F32", "3", "[0, 4]") "}", 4, "needs a shape"},
    {"{" ENTRY("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0, 4]") "}", 4, "needs a shape of at most 8"},
    {"{" ENTRY("a", "F32", "[-1]", "[0, 4]") "}", 4, "impossible shape"},
    {"{" ENTRY("a", "F32", "[1.5]", "[0, 4]") "}", 4, "impossible shape"},
    {"{" ENTRY("a", "F32", "[4294967296, 4294967296]", "[0, 4]") "}", 4, "impossible shape"},
    {"{" ENTRY("a", "F32", "[4611686018427387904]", "[0, 0]") "}", 0, "do not need"},
    {"{" ENTRY("a", "F32", "[1]", "[0]") "}", 4, "data_offsets outside the file"},
    {"{" ENTRY("a", "F32", "[1]", "[0, 8]") "}", 4, "data_offsets outside the file"},
    {"{" ENTRY("a", "F32", "[1]", "[4, 0]") "}", 4, "data_offsets outside the file"},
    {"{" ENTRY("a", "F32", "[1]", "[-4, 0]") "}", 4, "data_offsets outside the file"},
    {"{" ENTRY("a", "F32", "[1]", "[0, 4, 4]") "}", 4, "data_offsets outside the file"},
    {"{" ENTRY("a", "F32", "[1]", "[0, 3]") "}", 4, "do not need"},
    {"{" ENTRY("a", "F32", "[1]", "[4, 8]") "}", 8, "leaves a gap"},
    {"{" ENTRY("a", "F32", "[1]", "[0, 4]") ", " ENTRY("b", "F32", "[1]", "[0, 4]") "}", 4,
     "overlaps another"},
    {"{" ENTRY("a", "F32", "[2]", "[0, 8]") ", " ENTRY("b", "F32", "[1]", "[4, 8]") "}", 8,
     "overlaps another"},
    {"{" ENTRY("a", "F32", "[1]", "[0, 4]") "}", 5, "1 bytes behind the last tensor"},
    {"{" ENTRY("a", "F32", "[1]", "[0, 4]") ", " ENTRY("a", "F32", "[1]", "[4, 8]") "}", 8,
     "not valid JSON: duplicate"},
    {"{" ENTRY("a\\u001b[2J", "F32", "[1]", "[0, 4]") "}", 4, "control characters"},
    {"{\"__metadata__\": 3}", 0, "__metadata__ is not an object"},
    {"{\"__metadata__\": {\"a\": 3}}", 0, "something that is not text"},
    {"{\"\xff\": 3}", 0, "not valid JSON"},
};

static void refuses_bad_headers(void) {
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        Arena *arena = arena_create();
        Safetensors *file = NULL;
        const char *folder = make_folder(arena);
        const char *path = arena_format(arena, "%s/x.safetensors", folder);
        write_file(arena, path, bad_files[i].header, bad_files[i].data);
        Status status = safetensors_open(arena, path, &file);
        CU_ASSERT_FALSE(status_fine(status));
        if (!status_fine(status) && !strstr(status.message, bad_files[i].message)) {
            printf("\n%s\n  gives: %s\n  not:   %s\n", bad_files[i].header, status.message,
                   bad_files[i].message);
            CU_FAIL("another message");
        }
        unlink(path);
        rmdir(folder);
        arena_destroy(arena);
    }
}

static void refuses_bad_lengths(void) {
    static const uint64_t lengths[] = {1, 100, SAFETENSORS_MAX_HEADER + 1, UINT64_MAX,
                                       (uint64_t)INT64_MAX};
    Arena *arena = arena_create();
    const char *folder = make_folder(arena), *path = arena_format(arena, "%s/x", folder);
    Safetensors *file;
    for (size_t size = 0; size < 8; size++) {
        write_bytes(path, "\0\0\0\0\0\0\0", size);
        CU_ASSERT_FALSE(status_fine(safetensors_open(arena, path, &file)));
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_bytes(path, &lengths[i], 8);
        Status status = safetensors_open(arena, path, &file);
        CU_ASSERT_FALSE_FATAL(status_fine(status));
        CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "its header would have"));
    }
    unlink(path);
    rmdir(folder);
    arena_destroy(arena);
}

static void refuses_what_is_no_file(void) {
    Arena *arena = arena_create();
    const char *folder = make_folder(arena), *fifo = arena_format(arena, "%s/fifo", folder);
    Safetensors *file;
    CU_ASSERT_EQUAL(mkfifo(fifo, 0600), 0);
    CU_ASSERT_FALSE(status_fine(safetensors_open(arena, fifo, &file)));
    CU_ASSERT_FALSE(status_fine(safetensors_open(arena, folder, &file)));
    CU_ASSERT_FALSE(
        status_fine(safetensors_open(arena, arena_format(arena, "%s/none", folder), &file)));
    unlink(fifo);
    rmdir(folder);
    arena_destroy(arena);
}

/* A file that lost its end after it was opened. */
static void notices_a_file_that_shrinks(void) {
    Arena *arena = arena_create();
    const char *folder = make_folder(arena), *path = arena_format(arena, "%s/x", folder);
    Safetensors *file;
    double values[4];
    write_file(arena, path, "{" ENTRY("a", "F32", "[4]", "[0, 16]") "}", 16);
    CU_ASSERT_TRUE_FATAL(status_fine(safetensors_open(arena, path, &file)));
    CU_ASSERT_EQUAL(truncate(path, 20), 0);
    Status status = safetensors_read(arena, file, safetensors_find(file, "a"), values);
    CU_ASSERT_FALSE_FATAL(status_fine(status));
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "became shorter"));
    safetensors_close(file);
    unlink(path);
    rmdir(folder);
    arena_destroy(arena);
}

typedef struct Bits {
    SafetensorsDType dtype;
    uint64_t bits; /* little-endian element */
    double value;
} Bits;

static const Bits elements[] = {
    {SAFETENSORS_BOOL, 1, 1},
    {SAFETENSORS_U8, 0xff, 255},
    {SAFETENSORS_I8, 0xff, -1},
    {SAFETENSORS_I16, 0x8000, -32768},
    {SAFETENSORS_F16, 0x3c00, 1},
    {SAFETENSORS_F16, 0x0001, 0x1p-24},
    {SAFETENSORS_F16, 0x03ff, 1023 * 0x1p-24},
    {SAFETENSORS_F16, 0xfbff, -65504},
    {SAFETENSORS_F16, 0x7c00, INFINITY},
    {SAFETENSORS_BF16, 0x3f80, 1},
    {SAFETENSORS_BF16, 0xc049, -3.140625},
    {SAFETENSORS_I32, 0xffffffff, -1},
    {SAFETENSORS_U32, 0xffffffff, 4294967295.0},
    {SAFETENSORS_F32, 0x3dcccccd, (double)0.1f},
    {SAFETENSORS_F32, 0x00000001, 0x1p-149},
    {SAFETENSORS_I64, 0xffffffffffffffff, -1},
    {SAFETENSORS_F64, 0x3ff8000000000000, 1.5},
};

static void converts_every_dtype(void) {
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        Arena *arena = arena_create();
        const char *folder = make_folder(arena), *path = arena_format(arena, "%s/x", folder);
        SafetensorsItem item = {"a", elements[i].dtype, 0, {0}, &elements[i].bits, NULL};
        Safetensors *file;
        double value = 0;
        CU_ASSERT_TRUE(status_fine(safetensors_write(arena, path, &item, 1, NULL, 0)));
        CU_ASSERT_TRUE_FATAL(status_fine(safetensors_open(arena, path, &file)));
        CU_ASSERT_TRUE(
            status_fine(safetensors_read(arena, file, safetensors_find(file, "a"), &value)));
        CU_ASSERT_EQUAL(value, elements[i].value);
        safetensors_close(file);
        unlink(path);
        rmdir(folder);
        arena_destroy(arena);
    }
}

static void refuses_integers_that_would_be_rounded(void) {
    Arena *arena = arena_create();
    const char *folder = make_folder(arena), *path = arena_format(arena, "%s/x", folder);
    int64_t large = ((int64_t)1 << 53) + 2;
    SafetensorsItem item = {"a", SAFETENSORS_I64, 0, {0}, &large, NULL};
    Safetensors *file;
    double value;
    CU_ASSERT_TRUE(status_fine(safetensors_write(arena, path, &item, 1, NULL, 0)));
    CU_ASSERT_TRUE_FATAL(status_fine(safetensors_open(arena, path, &file)));
    CU_ASSERT_FALSE(
        status_fine(safetensors_read(arena, file, safetensors_find(file, "a"), &value)));
    safetensors_close(file);
    unlink(path);
    rmdir(folder);
    arena_destroy(arena);
}

/* Several tensors, an empty one, metadata; data are aligned; no other file is left in the folder.
 */
static void writes_what_it_reads(void) {
    Arena *arena = arena_create();
    const char *folder = make_folder(arena), *path = arena_format(arena, "%s/x", folder);
    float a[20000];
    int32_t b[] = {1, -2, 3};
    for (int i = 0; i < 20000; i++)
        a[i] = (float)i / 7;
    SafetensorsItem items[] = {{"a", SAFETENSORS_F32, 2, {100, 200}, a, NULL},
                               {"none", SAFETENSORS_F32, 1, {0}, a, NULL},
                               {"b \"\xc3\xa9\"", SAFETENSORS_I32, 1, {3}, b, NULL}};
    SafetensorsPair pair = {"format", "pt"};
    Safetensors *file;
    CU_ASSERT_TRUE(status_fine(safetensors_write(arena, path, items, 3, &pair, 1)));
    CU_ASSERT_TRUE(status_fine(safetensors_write(arena, path, items, 3, &pair, 1)));
    CU_ASSERT_TRUE_FATAL(status_fine(safetensors_open(arena, path, &file)));
    size_t count;
    safetensors_tensors(file, &count);
    CU_ASSERT_EQUAL(count, 3);
    CU_ASSERT_STRING_EQUAL(safetensors_metadata(file, "format"), "pt");
    CU_ASSERT_PTR_NULL(safetensors_metadata(file, "other"));
    double *values = arena_new_array(arena, double, 20000);
    const SafetensorsTensor *tensor = safetensors_find(file, "a");
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
    CU_ASSERT_EQUAL(tensor->shape[1], 200);
    CU_ASSERT_TRUE(status_fine(safetensors_read(arena, file, tensor, values)));
    for (int i = 0; i < 20000; i++)
        CU_ASSERT_EQUAL_FATAL(values[i], (double)a[i]);
    CU_ASSERT_TRUE(status_fine(
        safetensors_read(arena, file, safetensors_find(file, "b \"\xc3\xa9\""), values)));
    CU_ASSERT_EQUAL(values[1], -2);
    safetensors_close(file);
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
    arena_destroy(arena);
}

static void leaves_the_old_file_when_it_cannot_write(void) {
    Arena *arena = arena_create();
    float a = 1;
    SafetensorsItem item = {"a", SAFETENSORS_F32, 0, {0}, &a, NULL};
    const char *folder = make_folder(arena), *path = arena_format(arena, "%s/x", folder);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    CU_ASSERT_FALSE(status_fine(safetensors_write(arena, path, &item, 1, NULL, 0)));
    rmdir(path);
    CU_ASSERT_EQUAL(rmdir(folder), 0); /* no temporary file stays behind */
    CU_ASSERT_FALSE(status_fine(safetensors_write(arena, path, &item, 1, NULL, 0)));
    arena_destroy(arena);
}

/* Bytes as they are, also of dtypes that doubles cannot hold, and any stretch of the data. */
static void reads_bytes_as_they_are(void) {
    Arena *arena = arena_create();
    const char *folder = make_folder(arena), *path = arena_format(arena, "%s/x", folder);
    int64_t large[] = {INT64_MAX, INT64_MIN}, read[2] = {0};
    uint32_t nan_bits = 0x7fa01234, bits = 0;
    SafetensorsItem items[] = {{"i", SAFETENSORS_I64, 1, {2}, large, NULL},
                               {"none", SAFETENSORS_I64, 1, {0}, large, NULL},
                               {"nan", SAFETENSORS_F32, 0, {0}, &nan_bits, NULL}};
    SafetensorsPair pairs[] = {{"b", "1"}, {"a", "2"}};
    Safetensors *file;
    size_t count;
    CU_ASSERT_TRUE(status_fine(safetensors_write(arena, path, items, 3, pairs, 2)));
    CU_ASSERT_TRUE_FATAL(status_fine(safetensors_open(arena, path, &file)));
    CU_ASSERT_TRUE(
        status_fine(safetensors_read_bytes(arena, file, safetensors_find(file, "i"), read)));
    CU_ASSERT_EQUAL(memcmp(read, large, sizeof large), 0);
    CU_ASSERT_TRUE(
        status_fine(safetensors_read_bytes(arena, file, safetensors_find(file, "none"), NULL)));
    CU_ASSERT_TRUE(
        status_fine(safetensors_read_bytes(arena, file, safetensors_find(file, "nan"), &bits)));
    CU_ASSERT_EQUAL(bits, nan_bits);
    CU_ASSERT_TRUE(status_fine(safetensors_read_data(arena, file, 16, 4, &bits)));
    CU_ASSERT_EQUAL(bits, nan_bits);
    const SafetensorsPair *stored = safetensors_pairs(file, &count);
    CU_ASSERT_EQUAL_FATAL(count, 2);
    CU_ASSERT_STRING_EQUAL(stored[0].key, "b");
    CU_ASSERT_STRING_EQUAL(stored[1].value, "2");
    CU_ASSERT_EQUAL(truncate(path, 20), 0);
    CU_ASSERT_FALSE(
        status_fine(safetensors_read_bytes(arena, file, safetensors_find(file, "i"), read)));
    safetensors_close(file);
    unlink(path);
    rmdir(folder);
    arena_destroy(arena);
}

static void writes_nothing_that_cannot_be_read(void) {
    Arena *arena = arena_create();
    const char *folder = make_folder(arena), *path = arena_format(arena, "%s/x", folder);
    float a = 1;
    SafetensorsItem item = {"a\xff", SAFETENSORS_F32, 0, {0}, &a, NULL};
    SafetensorsPair pair = {"key", "\xff"};
    Status status = safetensors_write(arena, path, &item, 1, NULL, 0);
    CU_ASSERT_FALSE_FATAL(status_fine(status));
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "is not UTF-8"));
    status = safetensors_write(arena, path, &item, 0, &pair, 1);
    CU_ASSERT_FALSE_FATAL(status_fine(status));
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "the metadata key are not UTF-8"));
    char *text = arena_alloc(arena, SAFETENSORS_MAX_HEADER + 1, 1);
    memset(text, 'x', SAFETENSORS_MAX_HEADER);
    pair.value = text;
    status = safetensors_write(arena, path, &item, 0, &pair, 1);
    CU_ASSERT_FALSE_FATAL(status_fine(status));
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "bytes of header"));
    CU_ASSERT_EQUAL(rmdir(folder), 0);
    arena_destroy(arena);
}

CU_TestInfo runtime_safetensors_tests[] = {
    {"refuses bad headers", refuses_bad_headers},
    {"refuses bad lengths", refuses_bad_lengths},
    {"refuses what is no file", refuses_what_is_no_file},
    {"notices a file that shrinks", notices_a_file_that_shrinks},
    {"converts every dtype", converts_every_dtype},
    {"refuses integers that would be rounded", refuses_integers_that_would_be_rounded},
    {"writes what it reads", writes_what_it_reads},
    {"reads bytes as they are", reads_bytes_as_they_are},
    {"writes nothing that cannot be read", writes_nothing_that_cannot_be_read},
    {"leaves the old file when it cannot write", leaves_the_old_file_when_it_cannot_write},
    CU_TEST_INFO_NULL,
};
