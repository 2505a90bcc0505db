#include "runtime/data/source_shard.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16 };

typedef struct Shard {
    SourceList *list;
    const char *path;
    struct archive *archive;
    const SourceCopy *copy; /* where it is unpacked; NULL: it is read in place */
    uint64_t first, size;   /* bytes of the tar in the file or copy */
    size_t entries;
} Shard;

/* "shard.tar/entry"; libarchive gives no name that the locale cannot express. */
static const char *entry_name(const Shard *shard, struct archive_entry *entry) {
    const char *name = archive_entry_pathname(entry);
    if (!name)
        name = archive_entry_pathname_utf8(entry);
    if (!name)
        return arena_format(shard->list->arena, "%s/(entry %zu)", shard->path, shard->entries);
    while (name[0] == '.' && name[1] == '/')
        name += 2;
    return arena_format(shard->list->arena, "%s/%s", shard->path, name);
}

/* Why an entry's bytes cannot be taken from the file, or NULL. */
static const char *entry_problem(const Shard *shard, struct archive_entry *entry, int64_t offset) {
    if (archive_entry_hardlink(entry) || archive_entry_filetype(entry) == AE_IFLNK)
        return "a link; links in shards are not followed";
    if (archive_entry_filetype(entry) != AE_IFREG)
        return "not a regular file";
    if (archive_entry_sparse_count(entry) > 0)
        return "not supported: a sparse entry";
    if (archive_entry_size(entry) < 0 || offset < 0 || (uint64_t)offset > shard->size ||
        (uint64_t)archive_entry_size(entry) > shard->size - (uint64_t)offset)
        return "the shard is cut short within this entry";
    return NULL;
}

static void add_entry(Shard *shard, struct archive_entry *entry) {
    shard->entries++;
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return;
    int64_t offset = archive_filter_bytes(shard->archive, 0);
    const char *name = entry_name(shard, entry), *problem = entry_problem(shard, entry, offset);
    if (problem)
        source_add_problem(shard->list, name, problem);
    else
        source_add(shard->list, (SourceSample){.name = name,
                                               .path = shard->path,
                                               .offset = shard->first + (uint64_t)offset,
                                               .size = (uint64_t)archive_entry_size(entry),
                                               .in_shard = true,
                                               .copy = shard->copy});
}

static Status refuse_file(Shard *shard) {
    return status_failure(shard->list->arena, "%s: neither a folder, nor a tar, nor a picture",
                          shard->path);
}

/* Reads all headers. A header that cannot be read ends the shard, the first one the source. */
static Status read_headers(Shard *shard) {
    Arena *arena = shard->list->arena;
    struct archive_entry *entry;
    int result;
    while ((result = archive_read_next_header(shard->archive, &entry)) >= ARCHIVE_WARN &&
           result != ARCHIVE_EOF)
        add_entry(shard, entry);
    if (result == ARCHIVE_EOF)
        return STATUS_FINE;
    const char *words = archive_error_string(shard->archive);
    if (shard->entries == 0)
        return refuse_file(shard);
    source_add_problem(shard->list, shard->path,
                       arena_format(arena, "the shard is damaged behind its entry %zu: %s",
                                    shard->entries, words ? words : "unreadable"));
    return STATUS_FINE;
}

static Status open_file(Shard *shard) {
    struct stat info;
    if (access(shard->path, R_OK) != 0 || stat(shard->path, &info) != 0)
        return status_failure(shard->list->arena, "%s: %s", shard->path, strerror(errno));
    if (archive_read_open_filename(shard->archive, shard->path, READ_BYTES) != ARCHIVE_OK)
        return refuse_file(shard);
    shard->size = (uint64_t)info.st_size;
    return STATUS_FINE;
}

/* The tar is what lies in the copy from `first` on. */
static Status open_copy(Shard *shard) {
    shard->copy = shard->list->source->copy;
    shard->size = shard->copy->length - shard->first;
    if (lseek(shard->copy->descriptor, (off_t)shard->first, SEEK_SET) < 0)
        return status_failure(shard->list->arena, "%s: %s", shard->path, strerror(errno));
    if (archive_read_open_fd(shard->archive, shard->copy->descriptor, READ_BYTES) != ARCHIVE_OK)
        return refuse_file(shard);
    return STATUS_FINE;
}

Status source_add_shard(SourceList *list, const char *path) {
    const SourceCopy *copy = list->source->copy;
    Shard shard = {.list = list, .path = path};
    bool compressed;
    uint64_t before = copy ? copy->length : 0;
    status_return_if_failed(source_unpack(list, path, &compressed));
    shard.first = compressed ? before : 0;
    shard.archive = archive_read_new();
    if (!shard.archive)
        return status_failure(list->arena, "%s: libarchive cannot be started", path);
    archive_read_support_format_tar(shard.archive);
    Status status = compressed ? open_copy(&shard) : open_file(&shard);
    if (status_fine(status))
        status = read_headers(&shard);
    archive_read_free(shard.archive);
    return status;
}
