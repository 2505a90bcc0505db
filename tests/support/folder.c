#include "tests/support/folder.h"

#include <archive.h>
#include <archive_entry.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fatal.h"

Folder folder_create(void) {
    Folder folder = {arena_create(), NULL};
    char *path = arena_format(folder.arena, "/tmp/sparkc-test-XXXXXX");
    invariant(mkdtemp(path), "no folder can be made");
    folder.path = path;
    return folder;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void folder_destroy(Folder folder) {
    nftw(folder.path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    arena_destroy(folder.arena);
}

const char *folder_inside(Folder folder, const char *name) {
    return arena_format(folder.arena, "%s/%s", folder.path, name);
}

void folder_write(Folder folder, const char *name, const void *bytes, size_t length) {
    char *path = arena_format(folder.arena, "%s/%s", folder.path, name);
    for (char *slash = strchr(path + strlen(folder.path) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    invariant(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0,
              "%s cannot be written", path);
}

void folder_write_text(Folder folder, const char *name, const char *text) {
    folder_write(folder, name, text, strlen(text));
}

static void add_entry(struct archive *shard, const ShardEntry *from) {
    struct archive_entry *entry = archive_entry_new();
    unsigned type = from->type ? from->type : AE_IFREG;
    size_t length = from->length ? from->length : strlen(from->text);
    archive_entry_set_pathname(entry, from->name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, type == AE_IFREG ? (la_int64_t)length : 0);
    if (type == AE_IFLNK)
        archive_entry_set_symlink(entry, from->text);
    invariant(archive_write_header(shard, entry) == ARCHIVE_OK, "%s", archive_error_string(shard));
    if (type == AE_IFREG)
        archive_write_data(shard, from->text, length);
    archive_entry_free(entry);
}

static struct archive *open_writer(const char *path, int format, int filter) {
    struct archive *writer = archive_write_new();
    archive_write_set_format(writer, format);
    invariant(archive_write_add_filter(writer, filter) == ARCHIVE_OK, "%s",
              archive_error_string(writer));
    archive_write_set_bytes_in_last_block(writer, 1);
    invariant(archive_write_open_filename(writer, path) == ARCHIVE_OK, "%s cannot be made", path);
    return writer;
}

static void close_writer(struct archive *writer) {
    invariant(archive_write_close(writer) == ARCHIVE_OK, "%s", archive_error_string(writer));
    archive_write_free(writer);
}

const char *folder_write_shard(Folder folder, const char *name, int format, int filter,
                               const ShardEntry *entries, size_t count) {
    const char *path = folder_inside(folder, name);
    struct archive *shard = open_writer(path, format ? format : ARCHIVE_FORMAT_TAR_USTAR, filter);
    for (size_t i = 0; i < count; i++)
        add_entry(shard, &entries[i]);
    close_writer(shard);
    return path;
}

const char *folder_write_compressed(Folder folder, const char *name, int filter, const void *bytes,
                                    size_t length) {
    const char *path = folder_inside(folder, name);
    struct archive *file = open_writer(path, ARCHIVE_FORMAT_RAW, filter);
    add_entry(file, &(ShardEntry){name, bytes, 0, length});
    close_writer(file);
    return path;
}
