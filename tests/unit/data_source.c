/* Folders, shards and single files; what is no sample; names as they are shown. */
#include <archive.h>
#include <archive_entry.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/data/source.h"
#include "tests/unit/data_suites.h"

typedef struct Folder {
    Arena *arena;
    const char *path;
} Folder;

static Folder make_folder(void) {
    Folder folder = {arena_create(), NULL};
    char *path = arena_copy_text(folder.arena, "/tmp/sparkc-data-XXXXXX", 23);
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

static void remove_folder(Folder folder) {
    nftw(folder.path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    arena_destroy(folder.arena);
}

static const char *inside(Folder folder, const char *name) {
    return arena_format(folder.arena, "%s/%s", folder.path, name);
}

static void write_file(Folder folder, const char *name, const char *bytes) {
    FILE *file = fopen(inside(folder, name), "wb");
    invariant(file && fputs(bytes, file) >= 0 && fclose(file) == 0, "%s cannot be written", name);
}

static void make_inner(Folder folder, const char *name) {
    invariant(mkdir(inside(folder, name), 0777) == 0, "%s cannot be made", name);
}

static void link_to(Folder folder, const char *target, const char *name) {
    invariant(symlink(target, inside(folder, name)) == 0, "%s cannot be linked", name);
}

static Source open_source(Folder folder, const char *path) {
    Source source;
    Status status = source_open(folder.arena, &path, 1, &source);
    invariant(status_fine(status), "%s", status.message);
    return source;
}

/* The message, without the folder's own path, that a source is refused with; "" if it is not. */
static const char *refusal(Folder folder, const char *name) {
    Source source;
    const char *path = inside(folder, name);
    Status status = source_open(folder.arena, &path, 1, &source);
    if (status_fine(status))
        return "";
    CU_ASSERT(text_starts_with(status.message, folder.path));
    return status.message + strlen(folder.path) + 1;
}

static void check_names(Folder folder, const Source *source, const char *const *names) {
    size_t i = 0;
    for (; names[i] && i < source->samples.count; i++)
        CU_ASSERT_STRING_EQUAL(source->samples.items[i].name + strlen(folder.path) + 1, names[i]);
    CU_ASSERT_PTR_NULL(names[i]);
    CU_ASSERT_EQUAL(i, source->samples.count);
}

static void finds_pictures_in_order_of_their_names(void) {
    Folder folder = make_folder();
    make_inner(folder, "b");
    make_inner(folder, "b/deep");
    make_inner(folder, ".hidden");
    write_file(folder, "c.jpg", "");
    write_file(folder, "b/deep/x.PNG", "x");
    write_file(folder, "b/a.jpeg", "xy");
    write_file(folder, "a.jfif", "");
    write_file(folder, "no ending", "\x89PNG\r\n\x1a\n....");
    write_file(folder, "photo.jpg.bak", "\xff\xd8\xff....");
    write_file(folder, "notes.txt", "text");
    write_file(folder, ".jpg", "");
    write_file(folder, ".hidden/z.jpg", "");
    Source source = open_source(folder, folder.path);
    check_names(folder, &source,
                (const char *const[]){"a.jfif", "b/a.jpeg", "b/deep/x.PNG", "c.jpg", "no ending",
                                      "photo.jpg.bak", NULL});
    CU_ASSERT_EQUAL(source.others, 2);
    CU_ASSERT_EQUAL(source.problems.count, 0);
    remove_folder(folder);
}

static void check_problem(Folder folder, const Source *source, size_t i, const char *name,
                          const char *reason) {
    CU_ASSERT_FATAL(i < source->problems.count);
    CU_ASSERT_STRING_EQUAL(source->problems.items[i].name + strlen(folder.path) + 1, name);
    CU_ASSERT_STRING_EQUAL(source->problems.items[i].reason, reason);
}

static void is_not_led_astray_by_links(void) {
    Folder folder = make_folder();
    make_inner(folder, "a");
    write_file(folder, "a/1.jpg", "one");
    link_to(folder, "..", "a/around");
    link_to(folder, "1.jpg", "a/2.jpg");
    link_to(folder, "gone", "a/3.jpg");
    link_to(folder, "a", "b");
    invariant(mkfifo(inside(folder, "c.jpg"), 0600) == 0, "no fifo can be made");
    Source source = open_source(folder, folder.path);
    check_names(folder, &source, (const char *const[]){"a/1.jpg", "a/2.jpg", NULL});
    CU_ASSERT_EQUAL(source.problems.count, 4);
    check_problem(folder, &source, 0, "a/3.jpg", "a link to nothing");
    check_problem(folder, &source, 1, "a/around", "a link to a folder around it");
    check_problem(folder, &source, 2, "b", "a folder that was searched already");
    check_problem(folder, &source, 3, "c.jpg", "neither a file nor a folder");
    remove_folder(folder);
}

static void reads_bytes(void) {
    Folder folder = make_folder();
    const uint8_t *bytes;
    size_t length;
    write_file(folder, "a.jpg", "twelve bytes");
    write_file(folder, "b.jpg", "");
    Source source = open_source(folder, folder.path);
    CU_ASSERT(status_fine(source_read(folder.arena, source.samples.items, &bytes, &length)));
    CU_ASSERT(length == 12 && memcmp(bytes, "twelve bytes", 12) == 0);
    CU_ASSERT(status_fine(source_read(folder.arena, source.samples.items + 1, &bytes, &length)));
    CU_ASSERT_EQUAL(length, 0);
    unlink(inside(folder, "a.jpg"));
    Status status = source_read(folder.arena, source.samples.items, &bytes, &length);
    CU_ASSERT_FALSE_FATAL(status_fine(status));
    CU_ASSERT_STRING_EQUAL(status.message, "No such file or directory");
    remove_folder(folder);
}

static void refuses_sources_without_pictures(void) {
    Folder folder = make_folder();
    make_inner(folder, "empty");
    make_inner(folder, "texts");
    make_inner(folder, "links");
    write_file(folder, "texts/a.txt", "text");
    write_file(folder, "file", "text");
    link_to(folder, "nowhere", "links/a.jpg");
    CU_ASSERT_STRING_EQUAL(refusal(folder, "missing"), "missing: No such file or directory");
    CU_ASSERT_STRING_EQUAL(refusal(folder, "empty"), "empty: there is no file in it");
    CU_ASSERT_STRING_EQUAL(refusal(folder, "texts"), "texts: no JPEG or PNG picture among 1 files "
                                                     "(give tar shards by their own names)");
    CU_ASSERT_STRING_EQUAL(refusal(folder, "file"),
                           "file: neither a folder, nor an uncompressed tar, nor a picture");
    CU_ASSERT(text_starts_with(refusal(folder, "links"),
                               "links: no JPEG or PNG picture; 1 entries cannot be read"));
    remove_folder(folder);
}

/* Root may read everything. */
static void refuses_what_may_not_be_read(void) {
    Folder folder = make_folder();
    make_inner(folder, "closed");
    write_file(folder, "a.tar", "text");
    chmod(inside(folder, "closed"), 0);
    chmod(inside(folder, "a.tar"), 0);
    const char *closed = refusal(folder, "closed"), *shard = refusal(folder, "a.tar");
    bool root = geteuid() == 0;
    CU_ASSERT_STRING_EQUAL(closed,
                           root ? "closed: there is no file in it" : "closed: Permission denied");
    CU_ASSERT_STRING_EQUAL(shard,
                           root ? "a.tar: neither a folder, nor an uncompressed tar, nor a picture"
                                : "a.tar: Permission denied");
    chmod(inside(folder, "closed"), 0700);
    remove_folder(folder);
}

static void add_entry(struct archive *shard, const char *name, unsigned type, const char *text) {
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, type == AE_IFREG ? (la_int64_t)strlen(text) : 0);
    if (type == AE_IFLNK)
        archive_entry_set_symlink(entry, text);
    invariant(archive_write_header(shard, entry) == ARCHIVE_OK, "%s", archive_error_string(shard));
    if (type == AE_IFREG)
        archive_write_data(shard, text, strlen(text));
    archive_entry_free(entry);
}

/* A shard of five files, a link, a folder and a device. */
static const char *make_shard(Folder folder, int format) {
    struct archive *shard = archive_write_new();
    const char *path = inside(folder, "shard.tar");
    archive_write_set_format(shard, format);
    archive_write_set_bytes_in_last_block(shard, 1);
    invariant(archive_write_open_filename(shard, path) == ARCHIVE_OK, "no shard");
    add_entry(shard, "./b.jpg", AE_IFREG, "bytes of b");
    add_entry(shard, "b.cls", AE_IFREG, "1");
    add_entry(shard, "empty.jpg", AE_IFREG, "");
    add_entry(shard, "link.jpg", AE_IFLNK, "/etc/passwd");
    add_entry(shard, "folder", AE_IFDIR, "");
    add_entry(shard, "folder/device.jpg", AE_IFCHR, "");
    add_entry(shard,
              "folder/a-name-that-is-longer-than-the-hundred-bytes-of-a-header/"
              "and-so-has-to-be-stored-in-another-way-by-the-tar-format.jpg",
              AE_IFREG, "bytes of a");
    add_entry(shard, "c.png", AE_IFREG, "bytes of c");
    archive_write_close(shard);
    archive_write_free(shard);
    return path;
}

static void reads_shards(void) {
    static const int formats[] = {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_TAR_GNUTAR,
                                  ARCHIVE_FORMAT_TAR_PAX_RESTRICTED};
    static const char *const texts[] = {"bytes of b", "", "bytes of a", "bytes of c"};
    for (size_t format = 0; format < sizeof formats / sizeof *formats; format++) {
        Folder folder = make_folder();
        Source source = open_source(folder, make_shard(folder, formats[format]));
        CU_ASSERT_EQUAL_FATAL(source.samples.count, 4);
        CU_ASSERT_EQUAL(source.others, 1);
        CU_ASSERT_EQUAL_FATAL(source.parts.count, 1);
        CU_ASSERT_EQUAL(source.parts.items[0].prefix, strlen(folder.path) + 1);
        for (size_t i = 0; i < 4; i++) {
            const uint8_t *bytes;
            size_t length;
            Status status = source_read(folder.arena, &source.samples.items[i], &bytes, &length);
            CU_ASSERT_FATAL(status_fine(status));
            CU_ASSERT(length == strlen(texts[i]) && memcmp(bytes, texts[i], length) == 0);
        }
        CU_ASSERT_STRING_EQUAL(source.samples.items[0].name + strlen(folder.path),
                               "/shard.tar/b.jpg");
        CU_ASSERT_EQUAL(source.problems.count, 2);
        check_problem(folder, &source, 0, "shard.tar/link.jpg",
                      "a link; links in shards are not followed");
        check_problem(folder, &source, 1, "shard.tar/folder/device.jpg", "not a regular file");
        remove_folder(folder);
    }
}

/* Cut anywhere, a shard gives the entries before the cut, and says that it is cut, unless only its
 * end mark is missing. */
static void survives_shards_cut_short(void) {
    Folder folder = make_folder();
    const char *path = make_shard(folder, ARCHIVE_FORMAT_TAR_USTAR);
    struct stat info;
    invariant(stat(path, &info) == 0, "no shard");
    for (off_t length = info.st_size - 1; length > 0; length -= 100) {
        Source source;
        invariant(truncate(path, length) == 0, "the shard cannot be cut");
        Status status = source_open(folder.arena, &path, 1, &source);
        for (size_t i = 0; status_fine(status) && i < source.samples.count; i++) {
            const SourceSample *sample = &source.samples.items[i];
            CU_ASSERT(sample->offset + sample->size <= (uint64_t)length);
        }
        CU_ASSERT_EQUAL(status_fine(status), length > 512);
    }
    remove_folder(folder);
}

static void shows_names_unharmed_or_escaped(void) {
    static const struct {
        const char *name, *shown;
    } cases[] = {
        {"été à la plage ☀ 日本.jpg", "été à la plage ☀ 日本.jpg"},
        {"a\n\x1b[2J.jpg", "a\\x0A\\x1B[2J.jpg"},
        {"back\\slash", "back\\x5Cslash"},
        {"latin-\xe9.jpg", "latin-\\xE9.jpg"},
        {"\xe2\x80\xaegpj.a", "\\xE2\\x80\\xAEgpj.a"},
        {"\xc2\x85", "\\xC2\\x85"},
        {"\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80", "\\xC0\\xAF\\xED\\xA0\\x80\\xF4\\x90\\x80\\x80"},
        {"\xe6\x97", "\\xE6\\x97"},
        {"\xf0\x9f\x8c\xb1", "\xf0\x9f\x8c\xb1"}};
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Text text = text_create(arena);
        text_append_escaped(&text, cases[i].name);
        CU_ASSERT_STRING_EQUAL(text.data, cases[i].shown);
    }
    arena_destroy(arena);
}

CU_TestInfo data_source_tests[] = {
    {"finds pictures in order of their names", finds_pictures_in_order_of_their_names},
    {"is not led astray by links", is_not_led_astray_by_links},
    {"reads bytes", reads_bytes},
    {"refuses sources without pictures", refuses_sources_without_pictures},
    {"refuses what may not be read", refuses_what_may_not_be_read},
    {"reads shards", reads_shards},
    {"survives shards cut short", survives_shards_cut_short},
    {"shows names unharmed or escaped", shows_names_unharmed_or_escaped},
    CU_TEST_INFO_NULL,
};
