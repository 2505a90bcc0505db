/* Event files, read back by a reader of this test's own. */
#include <CUnit/CUnit.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "runtime/train/events.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_suites.h"

/* A stretch of bytes that is read from its front. */
typedef struct Bytes {
    const unsigned char *at;
    size_t length;
} Bytes;

static uint32_t crc32c(const unsigned char *bytes, size_t length) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static bool sum_is(const unsigned char *bytes, size_t length, const unsigned char *stored) {
    uint32_t crc = crc32c(bytes, length), sum;
    memcpy(&sum, stored, sizeof sum);
    return sum == (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Takes a record off the file; false if its length or sums are wrong. */
static bool next_record(Bytes *file, Bytes *record) {
    uint64_t length;
    if (file->length < 16)
        return false;
    memcpy(&length, file->at, sizeof length);
    if (length > file->length - 16 || !sum_is(file->at, 8, file->at + 8) ||
        !sum_is(file->at + 12, length, file->at + 12 + length))
        return false;
    *record = (Bytes){file->at + 12, length};
    file->at += length + 16;
    file->length -= length + 16;
    return true;
}

static uint64_t next_varint(Bytes *bytes) {
    uint64_t value = 0;
    for (int shift = 0; bytes->length > 0 && shift < 64; shift += 7) {
        uint64_t byte = *bytes->at;
        bytes->at++;
        bytes->length--;
        value |= (byte & 127) << shift;
        if (byte < 128)
            return value;
    }
    CU_FAIL("a number without an end");
    return 0;
}

/* Finds a field of a message: a varint or the bits of a fixed number in *number, or the bytes of a
 * text or message in *inner. */
static bool field(Bytes message, unsigned wanted, uint64_t *number, Bytes *inner) {
    while (message.length > 0) {
        uint64_t key = next_varint(&message);
        size_t size = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : 0;
        *number = 0;
        if ((key & 7) == 0)
            *number = next_varint(&message);
        if ((key & 7) == 2)
            size = next_varint(&message);
        if (size > message.length)
            return false;
        *inner = (Bytes){message.at, size};
        if ((key & 7) == 1 || (key & 7) == 5)
            memcpy(number, message.at, size);
        message.at += size;
        message.length -= size;
        if (key >> 3 == wanted)
            return true;
    }
    return false;
}

static void describe_value(Text *text, Bytes value) {
    uint64_t number, height, width, channels;
    Bytes tag, inner;
    uint32_t bits;
    float scalar;
    if (field(value, 1, &number, &tag))
        text_append(text, "%.*s", (int)tag.length, (const char *)tag.at);
    if (field(value, 2, &number, &inner)) {
        bits = (uint32_t)number;
        memcpy(&scalar, &bits, sizeof scalar);
        text_append(text, "=%g", (double)scalar);
    }
    Bytes image, png;
    if (field(value, 4, &number, &image) && field(image, 1, &height, &inner) &&
        field(image, 2, &width, &inner) && field(image, 3, &channels, &inner) &&
        field(image, 4, &number, &png))
        text_append(text, "=%dx%dx%d:%.*s", (int)height, (int)width, (int)channels, (int)png.length,
                    (const char *)png.at);
}

/* "step:what; ": a version, "start", or a value. */
static void describe_event(Text *text, Bytes event) {
    uint64_t step = 0, bits, number;
    Bytes inner, value;
    double seconds = 0;
    if (field(event, 1, &bits, &inner))
        memcpy(&seconds, &bits, sizeof seconds);
    CU_ASSERT_DOUBLE_EQUAL(seconds, (double)time(NULL), 60);
    if (!field(event, 2, &step, &inner))
        step = 0;
    text_append(text, "%lld:", (long long)step);
    if (field(event, 3, &number, &inner))
        text_append(text, "%.*s", (int)inner.length, (const char *)inner.at);
    if (field(event, 5, &number, &inner) && field(inner, 1, &number, &value))
        describe_value(text, value);
    if (field(event, 7, &number, &inner) && field(inner, 1, &number, &value) && number == 1)
        text_append(text, "start");
    text_append(text, "; ");
}

/* A whole file in words; "damaged" at its end if not all of it are records. */
static const char *describe(Store *store, const char *path) {
    size_t length;
    const char *bytes = store_read(store, path, &length);
    Bytes file = {(const unsigned char *)bytes, length}, record;
    Text text = text_create(store->arena);
    while (next_record(&file, &record))
        describe_event(&text, record);
    text_append(&text, "%s", file.length > 0 ? "damaged" : "");
    return text.data;
}

/* The path of the n-th file of a folder by name. */
static const char *file_by_name(Store *store, const char *folder, int n) {
    struct dirent **entries;
    const char *path = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.' && n-- == 0)
            path = arena_format(store->arena, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    CU_ASSERT_PTR_NOT_NULL_FATAL(path);
    return path;
}

static void knows_a_published_sum(void) {
    CU_ASSERT_EQUAL(crc32c((const unsigned char *)"123456789", 9), 0xe3069283u);
}

static void writes_scalars(void) {
    Store store = store_begin();
    Arena *arena = store.arena;
    const char *folder = store_path(&store, "run/events");
    Events *events;
    CU_ASSERT_TRUE_FATAL(status_fine(events_open(arena, folder, 0, &events)));
    CU_ASSERT_TRUE(status_fine(events_scalar(events, arena, 1, "loss", 0.1)));
    CU_ASSERT_TRUE(status_fine(events_scalar(events, arena, 1, "skipped", 0)));
    CU_ASSERT_TRUE(status_fine(events_scalar(events, arena, 2, "loss", NAN)));
    CU_ASSERT_TRUE(status_fine(events_scalar(events, arena, 1L << 40, "lr \xc3\xa9", -2e-4)));
    events_close(events);
    events_close(NULL);
    const char *path = file_by_name(&store, folder, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(path, "/events.out.tfevents."));
    CU_ASSERT_STRING_EQUAL(describe(&store, path),
                           "0:brain.Event:2; 1:start; 1:loss=0.1; 1:skipped=0; 2:loss=nan; "
                           "1099511627776:lr \xc3\xa9=-0.0002; ");
    store_end(&store);
}

static void writes_pictures(void) {
    Store store = store_begin();
    Arena *arena = store.arena;
    enum { LENGTH = 100000 };
    char *png = arena_alloc(arena, LENGTH + 1, 1);
    memset(png, 'p', LENGTH);
    Events *events;
    CU_ASSERT_TRUE_FATAL(status_fine(events_open(arena, store.folder, 0, &events)));
    CU_ASSERT_TRUE(status_fine(events_picture(events, arena, 3, "a", 640, 480, 3, "PNG", 3)));
    CU_ASSERT_TRUE(status_fine(events_picture(events, arena, 4, "b", 1, 2, 1, png, LENGTH)));
    CU_ASSERT_TRUE(status_fine(events_scalar(events, arena, 4, "c", 5)));
    events_close(events);
    CU_ASSERT_STRING_EQUAL(
        describe(&store, file_by_name(&store, store.folder, 0)),
        arena_format(arena, "0:brain.Event:2; 1:start; 3:a=480x640x3:PNG; 4:b=2x1x1:%s; 4:c=5; ",
                     png));
    store_end(&store);
}

/* Readers go by the names' order, also where a clock went back. */
static void begins_a_file_behind_the_others(void) {
    Store store = store_begin();
    Arena *arena = store.arena;
    Events *events;
    store_write(store_path(&store, "events.out.tfevents.4000000000.other"), "", 0);
    for (int64_t step = 0; step <= 20; step += 10) {
        CU_ASSERT_TRUE_FATAL(status_fine(events_open(arena, store.folder, step, &events)));
        CU_ASSERT_TRUE(status_fine(events_scalar(events, arena, step + 1, "loss", 1)));
        events_close(events);
    }
    CU_ASSERT_STRING_EQUAL(describe(&store, file_by_name(&store, store.folder, 1)),
                           "0:brain.Event:2; 1:start; 1:loss=1; ");
    CU_ASSERT_STRING_EQUAL(describe(&store, file_by_name(&store, store.folder, 2)),
                           "0:brain.Event:2; 11:start; 11:loss=1; ");
    CU_ASSERT_STRING_EQUAL(describe(&store, file_by_name(&store, store.folder, 3)),
                           "0:brain.Event:2; 21:start; 21:loss=1; ");
    store_end(&store);
}

static int write_beyond_a_limit(void *context) {
    const Store *store = context;
    Events *events;
    if (!store_limit_files(200) ||
        !status_fine(events_open(store->arena, store->folder, 0, &events)))
        return 9;
    for (int i = 0; i < 100; i++) {
        Status status = events_scalar(events, store->arena, i, "loss", 1);
        if (!status_fine(status))
            return i > 0 && strstr(status.message, "cannot be written: File too large") ? 0 : 1;
    }
    return 2;
}

static void leaves_no_part_of_a_record_on_a_full_disk(void) {
    Store store = store_begin();
    CU_ASSERT_EQUAL(store_run(write_beyond_a_limit, &store), 0);
    const char *text = describe(&store, file_by_name(&store, store.folder, 0));
    CU_ASSERT_TRUE(text_ends_with(text, ":loss=1; "));
    store_end(&store);
}

static void fails_where_it_cannot_open(void) {
    Store store = store_begin();
    Events *events;
    store_write(store_path(&store, "file"), "", 0);
    store_expect_failure(events_open(store.arena, store_path(&store, "file"), 0, &events),
                         "file: is there, but is not a folder");
    store_end(&store);
}

CU_TestInfo store_events_tests[] = {
    {"knows a published sum", knows_a_published_sum},
    {"writes scalars", writes_scalars},
    {"writes pictures", writes_pictures},
    {"begins a file behind the others", begins_a_file_behind_the_others},
    {"leaves no part of a record on a full disk", leaves_no_part_of_a_record_on_a_full_disk},
    {"fails where it cannot open", fails_where_it_cannot_open},
    CU_TEST_INFO_NULL,
};
