#include "runtime/train/events.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <isa-l/crc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/events.pb-c.h"
#include "runtime/file.h"

/* Readers take every file whose name holds "tfevents", in the order of the names. */
#define NAME_START "events.out.tfevents."

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's byte order is used as it is");

enum { BEFORE = 12, BEHIND = 4 }; /* bytes of a record around its data */

struct Events {
    const char *path;
    int descriptor;
    unsigned char *record; /* grows */
    size_t capacity;
};

/* The CRC of a record, as TFRecord wants it: turned and shifted, so that data may hold sums. */
static uint32_t masked_crc(unsigned char *bytes, size_t length) {
    uint32_t crc = ~crc32_iscsi(bytes, (int)length, UINT32_MAX);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void make_room(Events *events, size_t length) {
    if (length <= events->capacity)
        return;
    free(events->record);
    events->record = malloc(length);
    events->capacity = length;
    if (!events->record)
        fatal("out of memory");
}

/* Writes 8 bytes of length, their sum, the event, its sum. */
static Status append(Events *events, Arena *arena, Sparkc__Event *event) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event->wall_time = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    uint64_t length = sparkc__event__get_packed_size(event);
    if (length > INT32_MAX)
        return status_failure(arena, "%s: an event of %" PRIu64 " bytes is too large", events->path,
                              length);
    make_room(events, BEFORE + length + BEHIND);
    unsigned char *record = events->record;
    memcpy(record, &length, sizeof length);
    uint32_t sum = masked_crc(record, sizeof length);
    memcpy(record + sizeof length, &sum, sizeof sum);
    sparkc__event__pack(event, record + BEFORE);
    sum = masked_crc(record + BEFORE, length);
    memcpy(record + BEFORE + length, &sum, sizeof sum);
    return file_append(arena, events->path, events->descriptor, record, BEFORE + length + BEHIND);
}

/* A number for a new file's name: the time, or one beyond the largest that is there. */
static int64_t next_number(const char *folder) {
    int64_t next = (int64_t)time(NULL);
    DIR *stream = opendir(folder);
    for (struct dirent *entry; stream && (entry = readdir(stream)) != NULL;) {
        if (!text_starts_with(entry->d_name, NAME_START))
            continue;
        int64_t number = strtoll(entry->d_name + strlen(NAME_START), NULL, 10);
        if (number >= next && number < INT64_MAX)
            next = number + 1;
    }
    if (stream)
        closedir(stream);
    return next;
}

/* What every file begins with: the version, and from which step on earlier files are void. */
static Status write_start(Events *events, Arena *arena, int64_t step) {
    Sparkc__Event version = SPARKC__EVENT__INIT, start = SPARKC__EVENT__INIT;
    Sparkc__SessionLog session = SPARKC__SESSION_LOG__INIT;
    char words[] = "brain.Event:2";
    version.what_case = SPARKC__EVENT__WHAT_FILE_VERSION;
    version.file_version = words;
    status_return_if_failed(append(events, arena, &version));
    session.status = SPARKC__SESSION_LOG__STATUS__START;
    start.step = step + 1;
    start.what_case = SPARKC__EVENT__WHAT_SESSION_LOG;
    start.session_log = &session;
    return append(events, arena, &start);
}

Status events_open(Arena *arena, const char *folder, int64_t step, Events **events) {
    status_return_if_failed(file_make_folder(arena, folder));
    Events *made = arena_new(arena, Events);
    made->path =
        arena_format(arena, "%s/" NAME_START "%010" PRId64 ".sparkc", folder, next_number(folder));
    made->descriptor = open(made->path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (made->descriptor < 0)
        return status_failure(arena, "%s: cannot be written: %s", made->path, strerror(errno));
    Status status = write_start(made, arena, step);
    if (!status_fine(status)) {
        events_close(made);
        return status;
    }
    *events = made;
    return STATUS_FINE;
}

void events_close(Events *events) {
    if (!events)
        return;
    close(events->descriptor);
    free(events->record);
}

/* Appends a value under a tag, which the caller has filled in but for these. */
static Status append_value(Events *events, Arena *arena, int64_t step, const char *tag,
                           Sparkc__Summary__Value *value) {
    Sparkc__Event event = SPARKC__EVENT__INIT;
    Sparkc__Summary summary = SPARKC__SUMMARY__INIT;
    char *own = strdup(tag); /* messages have no constant texts */
    if (!own)
        fatal("out of memory");
    value->tag = own;
    summary.n_value = 1;
    summary.value = &value;
    event.step = step;
    event.what_case = SPARKC__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    Status status = append(events, arena, &event);
    free(own);
    return status;
}

Status events_scalar(Events *events, Arena *arena, int64_t step, const char *tag, double value) {
    Sparkc__Summary__Value scalar = SPARKC__SUMMARY__VALUE__INIT;
    scalar.value_case = SPARKC__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    scalar.simple_value = (float)value;
    return append_value(events, arena, step, tag, &scalar);
}

Status events_picture(Events *events, Arena *arena, int64_t step, const char *tag, int width,
                      int height, int channels, const void *png, size_t length) {
    Sparkc__Summary__Image image = SPARKC__SUMMARY__IMAGE__INIT;
    Sparkc__Summary__Value value = SPARKC__SUMMARY__VALUE__INIT;
    image.width = width;
    image.height = height;
    image.colorspace = channels;
    image.encoded_image_string = (ProtobufCBinaryData){length, (uint8_t *)(uintptr_t)png};
    value.value_case = SPARKC__SUMMARY__VALUE__VALUE_IMAGE;
    value.image = &image;
    return append_value(events, arena, step, tag, &value);
}
