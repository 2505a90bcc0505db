/* Compressed shards are unpacked once, whole, before anything in them is looked at: a picture then
 * is read from its place, in any order, as in a shard that is not compressed. libarchive undoes the
 * compression block by block, so that a bomb is found out before it has taken much. */
#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "runtime/data/source_shard.h"

enum { READ_BYTES = 1 << 16, MOST_RATIO = 100 };

/* What any shard may hold, however small it is. */
static const uint64_t always_allowed = UINT64_C(64) << 20;

typedef struct Unpacking {
    SourceList *list;
    const char *path, *folder;
    struct archive *archive;
    SourceCopy *copy;
    uint64_t written, room;
} Unpacking;

static const char *temporary_folder(void) {
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/var/tmp";
}

static Status no_room(const Unpacking *unpacking, int error) {
    return status_failure(unpacking->list->arena,
                          "%s: cannot be unpacked in %s: %s; TMPDIR names another folder",
                          unpacking->path, unpacking->folder, strerror(error));
}

/* A file that goes when its last descriptor does. */
static Status open_copy(Unpacking *unpacking) {
    Source *source = unpacking->list->source;
    Arena *arena = unpacking->list->arena;
    unpacking->folder = temporary_folder();
    if (!source->copy) {
        char *name = arena_format(arena, "%s/sparkc-shard-XXXXXX", unpacking->folder);
        int descriptor = mkostemp(name, O_CLOEXEC);
        if (descriptor < 0)
            return no_room(unpacking, errno);
        unlink(name);
        source->copy = arena_new(arena, SourceCopy);
        source->copy->descriptor = descriptor;
    }
    unpacking->copy = source->copy;
    struct statvfs info;
    if (fstatvfs(unpacking->copy->descriptor, &info) != 0)
        return no_room(unpacking, errno);
    unpacking->room = (uint64_t)info.f_bavail * info.f_frsize / 2;
    return STATUS_FINE;
}

static Status check_amount(const Unpacking *unpacking, uint64_t more) {
    Arena *arena = unpacking->list->arena;
    uint64_t all = unpacking->written + more;
    uint64_t packed = (uint64_t)archive_filter_bytes(unpacking->archive, -1);
    if (all > always_allowed && all / MOST_RATIO > packed)
        return status_failure(arena,
                              "%s: unpacks to more than %d times its size, as pictures do not; if "
                              "it is meant so, unpack it and name the tar",
                              unpacking->path, MOST_RATIO);
    if (all > unpacking->room)
        return status_failure(arena,
                              "%s: unpacked it would take more than half of the room that is left "
                              "in %s; name a folder with more in TMPDIR, or unpack it elsewhere "
                              "and name the tar",
                              unpacking->path, unpacking->folder);
    return STATUS_FINE;
}

static Status append(Unpacking *unpacking, const char *bytes, size_t length) {
    SourceCopy *copy = unpacking->copy;
    status_return_if_failed(check_amount(unpacking, length));
    for (size_t done = 0; done < length;) {
        ssize_t put = pwrite(copy->descriptor, bytes + done, length - done, (off_t)copy->length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return no_room(unpacking, errno);
        done += (size_t)put;
        copy->length += (uint64_t)put;
    }
    unpacking->written += length;
    return STATUS_FINE;
}

static Status append_all(Unpacking *unpacking) {
    struct archive_entry *entry;
    const void *block;
    size_t length;
    la_int64_t offset;
    int result = archive_read_next_header(unpacking->archive, &entry);
    while (result == ARCHIVE_OK) {
        result = archive_read_data_block(unpacking->archive, &block, &length, &offset);
        if (result == ARCHIVE_OK)
            status_return_if_failed(append(unpacking, block, length));
    }
    if (result == ARCHIVE_EOF)
        return STATUS_FINE;
    const char *words = archive_error_string(unpacking->archive);
    source_add_problem(unpacking->list, unpacking->path,
                       arena_format(unpacking->list->arena,
                                    "the compressed data are damaged behind %llu bytes: %s",
                                    (unsigned long long)unpacking->written,
                                    words ? words : "unreadable"));
    return STATUS_FINE;
}

/* Filters count from the one that yields the tar to the file itself. */
static Status unpack(Unpacking *unpacking, bool *compressed) {
    int filters = archive_filter_count(unpacking->archive);
    *compressed = filters > 1;
    if (filters > 2)
        return status_failure(unpacking->list->arena,
                              "%s: compressed more than once; unpack it and name the tar",
                              unpacking->path);
    if (!*compressed)
        return STATUS_FINE;
    status_return_if_failed(open_copy(unpacking));
    return append_all(unpacking);
}

Status source_unpack(SourceList *list, const char *path, bool *compressed) {
    Unpacking unpacking = {.list = list, .path = path, .archive = archive_read_new()};
    *compressed = false;
    if (!unpacking.archive)
        return status_failure(list->arena, "%s: libarchive cannot be started", path);
    archive_read_support_filter_gzip(unpacking.archive);
    archive_read_support_filter_xz(unpacking.archive);
    archive_read_support_filter_zstd(unpacking.archive);
    archive_read_support_filter_bzip2(unpacking.archive);
    archive_read_support_format_raw(unpacking.archive);
    Status status = STATUS_FINE;
    if (archive_read_open_filename(unpacking.archive, path, READ_BYTES) == ARCHIVE_OK)
        status = unpack(&unpacking, compressed);
    archive_read_free(unpacking.archive);
    return status;
}
