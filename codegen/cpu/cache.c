#include "codegen/cpu/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <llvm-c/blake3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"

struct CodeCache {
    int folder; /* descriptor, so that a path that changes meaning later does not matter */
    int64_t limit;
};

/* An entry is this header, the key, the code. The checksum is over the code, lengths are in bytes.
 */
static const char header_format[] = "sparkc code 1\n%s\n%zu %zu\n";

enum {
    HEADER_LIMIT = 160,
    ENTRY_LIMIT = 64 << 20, /* bytes; kernels are thousands of times smaller */
    NAME_LIMIT = CODE_HASH_DIGITS + 8,
    ABANDONED_AFTER = 3600 /* seconds, after which an unfinished file is nobody's */
};

static const char suffix[] = ".code", unfinished[] = ".new-";

void code_cache_hash(const void *bytes, size_t length, char digits[CODE_HASH_DIGITS + 1]) {
    uint8_t hash[CODE_HASH_DIGITS / 2];
    llvm_blake3_hasher hasher;
    llvm_blake3_hasher_init(&hasher);
    llvm_blake3_hasher_update(&hasher, bytes, length);
    llvm_blake3_hasher_finalize(&hasher, hash, sizeof hash);
    for (size_t i = 0; i < sizeof hash; i++)
        snprintf(digits + 2 * i, 3, "%02x", hash[i]);
}

static void entry_name(const char *key, char name[NAME_LIMIT]) {
    code_cache_hash(key, strlen(key), name);
    strcat(name, suffix);
}

/* ---- The folder ------------------------------------------------------------------------------ */

const char *code_cache_default_directory(Arena *arena) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache &&
        cache[0] == '/') /* others are to be ignored, says the XDG base directory specification */
        return arena_format(arena, "%s/sparkc", cache);
    if (home && home[0] == '/')
        return arena_format(arena, "%s/.cache/sparkc", home);
    return NULL;
}

static bool make_folder(const char *path) {
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* With those above it. */
static bool make_folders(Arena *arena, const char *directory) {
    if (!*directory)
        return false;
    char *path = arena_copy_text(arena, directory, strlen(directory));
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (!make_folder(path))
            return false;
        *slash = '/';
    }
    return make_folder(path);
}

static int open_folder(const char *directory) {
    return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Nobody but this user can have written it. */
static bool is_own(const struct stat *status) {
    return status->st_uid == geteuid() && (status->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

Status code_cache_open(Arena *arena, const char *directory, int64_t limit, CodeCache **cache) {
    struct stat status;
    int folder = open_folder(directory);
    if (folder < 0 && errno == ENOENT && make_folders(arena, directory))
        folder = open_folder(directory);
    if (folder < 0 || fstat(folder, &status) != 0) {
        const char *reason = strerror(errno);
        if (folder >= 0)
            close(folder);
        return status_failure(arena, "the code cache %s: %s", directory, reason);
    }
    if (!is_own(&status)) {
        close(folder);
        return status_failure(arena,
                              "the code cache %s: others may write to it; make it yours alone "
                              "(chmod 700) or choose another folder",
                              directory);
    }
    *cache = arena_new(arena, CodeCache);
    **cache = (CodeCache){folder, limit};
    return STATUS_FINE;
}

void code_cache_close(CodeCache *cache) {
    if (cache)
        close(cache->folder);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool read_all(int file, char *bytes, size_t size) {
    while (size > 0) {
        ssize_t count = read(file, bytes, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        bytes += count;
        size -= (size_t)count;
    }
    return true;
}

/* The whole file, zero-terminated; NULL if it is none that this user wrote. */
static char *load(int file, size_t *size) {
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || !is_own(&status) ||
        status.st_size <= 0 || status.st_size > ENTRY_LIMIT)
        return NULL;
    *size = (size_t)status.st_size;
    char *bytes = malloc(*size + 1);
    if (!bytes || !read_all(file, bytes, *size)) {
        free(bytes);
        return NULL;
    }
    bytes[*size] = '\0';
    return bytes;
}

/* The header that an entry of this key and code must have. */
static size_t make_header(char header[HEADER_LIMIT], const char *key, const char *code,
                          size_t size) {
    char checksum[CODE_HASH_DIGITS + 1];
    code_cache_hash(code, size, checksum);
    return (size_t)snprintf(header, HEADER_LIMIT, header_format, checksum, strlen(key), size);
}

/* The start of the code within an entry, or NULL. Whatever the entry claims, its header must be the
 * one that would be written for this key and for the bytes that follow. */
static const char *check(const char *bytes, size_t size, const char *key, size_t *code_size) {
    char header[HEADER_LIMIT];
    const char *line = bytes;
    for (int i = 0; i < 3; i++) {
        line = memchr(line, '\n', size - (size_t)(line - bytes));
        if (!line)
            return NULL;
        line++;
    }
    size_t header_size = (size_t)(line - bytes), key_size = strlen(key);
    if (size - header_size < key_size || memcmp(line, key, key_size) != 0)
        return NULL;
    const char *code = line + key_size;
    *code_size = size - header_size - key_size;
    bool same = make_header(header, key, code, *code_size) == header_size &&
                memcmp(header, bytes, header_size) == 0;
    return same && *code_size > 0 ? code : NULL;
}

/* The entry's file becomes the code alone. */
static bool take(char *bytes, size_t size, const char *key, Object *object) {
    size_t code_size;
    const char *code = check(bytes, size, key, &code_size);
    if (!code)
        return false;
    memmove(bytes, code, code_size);
    *object = (Object){bytes, code_size};
    return true;
}

bool code_cache_read(const CodeCache *cache, const char *key, Object *object) {
    char name[NAME_LIMIT];
    size_t size;
    entry_name(key, name);
    int file = openat(cache->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return false;
    char *bytes = load(file, &size);
    bool found = bytes && take(bytes, size, key, object);
    if (!found)
        free(bytes);
    else
        futimens(file, NULL); /* used now: see code_cache_trim */
    close(file);
    return found;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool write_all(int file, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t count = write(file, bytes, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        bytes += count;
        size -= (size_t)count;
    }
    return true;
}

static bool write_entry(int file, const char *key, Object object) {
    char header[HEADER_LIMIT];
    size_t size = make_header(header, key, object.bytes, object.size);
    return write_all(file, header, size) && write_all(file, key, strlen(key)) &&
           write_all(file, object.bytes, object.size);
}

void code_cache_write(const CodeCache *cache, const char *key, Object object) {
    char name[NAME_LIMIT], own[NAME_LIMIT + 48];
    entry_name(key, name);
    /* Threads of a process never write the same key at once, processes have their number. */
    snprintf(own, sizeof own, "%s%ld-%s", unfinished, (long)getpid(), name);
    int file =
        openat(cache->folder, own, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    bool fine = write_entry(file, key, object);
    fine = close(file) == 0 && fine;
    if (!fine || renameat(cache->folder, own, cache->folder, name) != 0)
        unlinkat(cache->folder, own, 0);
}

/* ---- Size ------------------------------------------------------------------------------------ */

typedef struct Entry {
    char name[NAME_LIMIT];
    int64_t bytes;
    struct timespec used;
} Entry;

typedef struct Listing {
    Arena *arena;
    bool clean; /* remove what is unfinished and abandoned */
    VECTOR(Entry) entries;
    int64_t bytes;
} Listing;

static int oldest_first(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec)
        return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void list_file(const CodeCache *cache, Listing *listing, const char *name) {
    struct stat status;
    if (fstatat(cache->folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
        return;
    if (text_starts_with(name, unfinished)) {
        if (listing->clean && status.st_mtime < time(NULL) - ABANDONED_AFTER)
            unlinkat(cache->folder, name, 0);
        return;
    }
    if (strlen(name) != CODE_HASH_DIGITS + strlen(suffix) || !text_ends_with(name, suffix))
        return;
    Entry entry = {.bytes = status.st_size, .used = status.st_mtim};
    memcpy(entry.name, name, strlen(name) + 1);
    vector_push(listing->arena, &listing->entries, entry);
    listing->bytes += entry.bytes;
}

static Listing list_entries(const CodeCache *cache, Arena *arena, bool clean) {
    Listing listing = {.arena = arena, .clean = clean};
    int folder = openat(cache->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *files = folder >= 0 ? fdopendir(folder) : NULL;
    if (!files) {
        if (folder >= 0)
            close(folder);
        return listing;
    }
    for (struct dirent *file; (file = readdir(files)) != NULL;)
        list_file(cache, &listing, file->d_name);
    closedir(files);
    return listing;
}

void code_cache_trim(const CodeCache *cache) {
    Arena *arena = arena_create();
    Listing listing = list_entries(cache, arena, true);
    if (listing.bytes > cache->limit)
        qsort(listing.entries.items, listing.entries.count, sizeof(Entry), oldest_first);
    for (size_t i = 0; i < listing.entries.count && listing.bytes > cache->limit; i++) {
        unlinkat(cache->folder, listing.entries.items[i].name, 0);
        listing.bytes -= listing.entries.items[i].bytes;
    }
    arena_destroy(arena);
}

CodeCacheSize code_cache_size(const CodeCache *cache) {
    Arena *arena = arena_create();
    Listing listing = list_entries(cache, arena, false);
    CodeCacheSize size = {(int64_t)listing.entries.count, listing.bytes};
    arena_destroy(arena);
    return size;
}
