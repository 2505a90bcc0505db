#include "runtime/data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "base/text.h"
#include "runtime/data/image.h"
#include "runtime/data/source_shard.h"

void source_add_problem(SourceList *list, const char *name, const char *reason) {
    SourceProblem problem = {arena_copy_text(list->arena, name, strlen(name)),
                             arena_copy_text(list->arena, reason, strlen(reason))};
    vector_push(list->arena, &list->source->problems, problem);
}

static bool has_picture_name(const char *name) {
    static const char *const endings[] = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++) {
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    }
    return false;
}

/* Reads up to `length` bytes; how many there are, or -1 with errno. */
static ssize_t read_fully(int descriptor, void *data, size_t length, uint64_t offset) {
    size_t done = 0;
    while (done < length) {
        ssize_t got = pread(descriptor, (char *)data + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Opens a regular file; -1 with errno, EINVAL for files of another kind. */
static int open_regular(const char *path, struct stat *info) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0 || fstat(descriptor, info) != 0)
        return descriptor;
    if (S_ISREG(info->st_mode))
        return descriptor;
    close(descriptor);
    errno = EINVAL;
    return -1;
}

/* Reads up to `length` bytes where a sample begins; how many there are, or -1. */
static ssize_t read_beginning(const SourceSample *sample, void *bytes, size_t length) {
    struct stat info;
    if (sample->copy)
        return read_fully(sample->copy->descriptor, bytes, length, sample->offset);
    int descriptor = open_regular(sample->path, &info);
    if (descriptor < 0)
        return -1;
    ssize_t got = read_fully(descriptor, bytes, length, sample->offset);
    close(descriptor);
    return got;
}

static ImageFormat format_of(const SourceSample *sample) {
    char magic[IMAGE_FORMAT_BYTES];
    ssize_t got = read_beginning(sample, magic, sizeof magic);
    return got > 0 ? image_format(magic, (size_t)got) : IMAGE_FORMAT_UNKNOWN;
}

/* A sample that is a file. */
static SourceSample whole_file(const char *path, const struct stat *info) {
    return (SourceSample){.name = path, .path = path, .size = (uint64_t)info->st_size};
}

void source_add(SourceList *list, SourceSample sample) {
    const char *slash = strrchr(sample.name, '/'), *base = slash ? slash + 1 : sample.name;
    bool wanted =
        *base != '.' && (has_picture_name(base) || format_of(&sample) != IMAGE_FORMAT_UNKNOWN);
    if (!wanted) {
        list->source->others++;
        if (sample.in_shard && *base != '.' && text_ends_with(base, ".cls"))
            vector_push(list->arena, &list->source->classes, sample);
    } else if (sample.size > SOURCE_MOST_BYTES) {
        source_add_problem(list, sample.name,
                           arena_format(list->arena, "%llu bytes; at most %llu are read",
                                        (unsigned long long)sample.size,
                                        (unsigned long long)SOURCE_MOST_BYTES));
    } else {
        vector_push(list->arena, &list->source->samples, sample);
    }
}

/* A folder that was entered. */
typedef struct Visited {
    struct {
        dev_t device;
        ino_t number;
    } key;
    UT_hash_handle hh;
} Visited;

typedef struct Walk {
    SourceList *list;
    Visited *visited;
    FTS *files;
} Walk;

/* Whether a folder is entered for the first time. */
static bool enter_folder(Walk *walk, const struct stat *info) {
    Visited *entry = arena_new(walk->list->arena, Visited), *found;
    entry->key.device = info->st_dev;
    entry->key.number = info->st_ino;
    HASH_FIND(hh, walk->visited, &entry->key, sizeof entry->key, found);
    if (found)
        return false;
    HASH_ADD(hh, walk->visited, key, sizeof entry->key, entry);
    return true;
}

static void visit_folder(Walk *walk, FTSENT *entry) {
    if (entry->fts_level > 0 && entry->fts_name[0] == '.') {
        fts_set(walk->files, entry, FTS_SKIP);
    } else if (!enter_folder(walk, entry->fts_statp)) {
        source_add_problem(walk->list, entry->fts_path, "a folder that was searched already");
        fts_set(walk->files, entry, FTS_SKIP);
    }
}

static void visit(Walk *walk, FTSENT *entry) {
    SourceList *list = walk->list;
    const char *path;
    switch (entry->fts_info) {
    case FTS_D:
        visit_folder(walk, entry);
        return;
    case FTS_F:
        path = arena_copy_text(list->arena, entry->fts_path, entry->fts_pathlen);
        source_add(list, whole_file(path, entry->fts_statp));
        return;
    case FTS_DC:
        source_add_problem(list, entry->fts_path, "a link to a folder around it");
        return;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        source_add_problem(list, entry->fts_path, strerror(entry->fts_errno));
        return;
    case FTS_SL:
    case FTS_SLNONE:
        source_add_problem(list, entry->fts_path, "a link to nothing");
        return;
    case FTS_DEFAULT:
        source_add_problem(list, entry->fts_path, "neither a file nor a folder");
        return;
    default:
        return;
    }
}

static int compare_names(const FTSENT **a, const FTSENT **b) {
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static Status add_folder(SourceList *list, const char *path) {
    char *paths[] = {arena_copy_text(list->arena, path, strlen(path)), NULL};
    Walk walk = {.list = list};
    walk.files = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, compare_names);
    if (!walk.files)
        return status_failure(list->arena, "%s: %s", path, strerror(errno));
    Status status = STATUS_FINE;
    FTSENT *entry;
    errno = 0;
    while ((entry = fts_read(walk.files))) {
        if (entry->fts_level == 0 && entry->fts_info == FTS_DNR)
            status = status_failure(list->arena, "%s: %s", path, strerror(entry->fts_errno));
        else
            visit(&walk, entry);
    }
    if (status_fine(status) && errno)
        status = status_failure(list->arena, "%s: %s", path, strerror(errno));
    fts_close(walk.files);
    HASH_CLEAR(hh, walk.visited);
    return status;
}

/* How much of the names that a source gives says where it lies. */
static size_t prefix_length(const char *path, bool folder) {
    const char *slash = strrchr(path, '/');
    if (!folder)
        return slash ? (size_t)(slash - path) + 1 : 0;
    size_t length = strlen(path);
    return length > 0 && path[length - 1] == '/' ? length : length + 1;
}

static Status add_path(SourceList *list, const char *path) {
    struct stat info;
    if (stat(path, &info) != 0)
        return status_failure(list->arena, "%s: %s", path, strerror(errno));
    bool folder = S_ISDIR(info.st_mode);
    SourcePart part = {list->source->samples.count, prefix_length(path, folder)};
    vector_push(list->arena, &list->source->parts, part);
    if (folder)
        return add_folder(list, path);
    if (!S_ISREG(info.st_mode))
        return status_failure(list->arena, "%s: neither a folder nor a file", path);
    SourceSample file = whole_file(path, &info);
    if (format_of(&file) == IMAGE_FORMAT_UNKNOWN)
        return source_add_shard(list, path);
    source_add(list, file);
    return STATUS_FINE;
}

static Status refuse_empty(SourceList *list, const char *path, size_t others, size_t problems) {
    const Source *source = list->source;
    if (source->problems.count == problems && others == 0)
        return status_failure(list->arena, "%s: there is no file in it", path);
    if (source->problems.count == problems)
        return status_failure(
            list->arena,
            "%s: no JPEG or PNG picture among %zu files (give tar shards by their own names)", path,
            others);
    const SourceProblem *first = &source->problems.items[problems];
    return status_failure(list->arena,
                          "%s: no JPEG or PNG picture; %zu entries cannot be read, the first: "
                          "%s: %s",
                          path, source->problems.count - problems, first->name, first->reason);
}

static Status add_paths(SourceList *list, const char *const *paths, size_t count) {
    const Source *source = list->source;
    for (size_t i = 0; i < count; i++) {
        size_t samples = source->samples.count, others = source->others;
        size_t problems = source->problems.count;
        const char *path = arena_copy_text(list->arena, paths[i], strlen(paths[i]));
        status_return_if_failed(add_path(list, path));
        if (source->samples.count == samples)
            return refuse_empty(list, path, source->others - others, problems);
    }
    return STATUS_FINE;
}

Status source_open(Arena *arena, const char *const *paths, size_t count, Source *source) {
    *source = (Source){0};
    SourceList list = {arena, source};
    Status status = add_paths(&list, paths, count);
    if (!status_fine(status))
        source_close(source);
    return status;
}

void source_close(Source *source) {
    if (source->copy)
        close(source->copy->descriptor);
    source->copy = NULL;
}

static Status read_sample(Arena *arena, int descriptor, const SourceSample *sample, uint64_t size,
                          const uint8_t **bytes, size_t *length) {
    if (size > SOURCE_MOST_BYTES)
        return status_failure(arena, "%llu bytes; at most %llu are read", (unsigned long long)size,
                              (unsigned long long)SOURCE_MOST_BYTES);
    uint8_t *data = arena_new_array(arena, uint8_t, size);
    ssize_t got = read_fully(descriptor, data, size, sample->offset);
    if (got < 0)
        return status_failure(arena, "%s", strerror(errno));
    if ((uint64_t)got != size)
        return status_failure(arena, "the file became shorter while it was read");
    *bytes = data;
    *length = size;
    return STATUS_FINE;
}

Status source_read(Arena *arena, const SourceSample *sample, const uint8_t **bytes,
                   size_t *length) {
    struct stat info;
    if (sample->copy)
        return read_sample(arena, sample->copy->descriptor, sample, sample->size, bytes, length);
    int descriptor = open_regular(sample->path, &info);
    if (descriptor < 0)
        return status_failure(arena, "%s", strerror(errno));
    uint64_t size = sample->in_shard ? sample->size : (uint64_t)info.st_size;
    Status status = read_sample(arena, descriptor, sample, size, bytes, length);
    close(descriptor);
    return status;
}
