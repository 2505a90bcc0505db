/* Folders, shards and single files; what is no sample; names as they are shown. */
#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/data/source.h"
#include "tests/support/folder.h"
#include "tests/unit/data_suites.h"

static void make_inner(Folder folder, const char *name) {
    invariant(mkdir(folder_inside(folder, name), 0777) == 0, "%s cannot be made", name);
}

static void link_to(Folder folder, const char *target, const char *name) {
    invariant(symlink(target, folder_inside(folder, name)) == 0, "%s cannot be linked", name);
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
    const char *path = folder_inside(folder, name);
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
    Folder folder = folder_create();
    make_inner(folder, "b");
    make_inner(folder, "b/deep");
    make_inner(folder, ".hidden");
    folder_write_text(folder, "c.jpg", "");
    folder_write_text(folder, "b/deep/x.PNG", "x");
    folder_write_text(folder, "b/a.jpeg", "xy");
    folder_write_text(folder, "a.jfif", "");
    folder_write_text(folder, "no ending", "\x89PNG\r\n\x1a\n....");
    folder_write_text(folder, "photo.jpg.bak", "\xff\xd8\xff....");
    folder_write_text(folder, "notes.txt", "text");
    folder_write_text(folder, ".jpg", "");
    folder_write_text(folder, ".hidden/z.jpg", "");
    Source source = open_source(folder, folder.path);
    check_names(folder, &source,
                (const char *const[]){"a.jfif", "b/a.jpeg", "b/deep/x.PNG", "c.jpg", "no ending",
                                      "photo.jpg.bak", NULL});
    CU_ASSERT_EQUAL(source.others, 2);
    CU_ASSERT_EQUAL(source.problems.count, 0);
    folder_destroy(folder);
}

static void check_problem(Folder folder, const Source *source, size_t i, const char *name,
                          const char *reason) {
    CU_ASSERT_FATAL(i < source->problems.count);
    CU_ASSERT_STRING_EQUAL(source->problems.items[i].name + strlen(folder.path) + 1, name);
    CU_ASSERT_STRING_EQUAL(source->problems.items[i].reason, reason);
}

static void is_not_led_astray_by_links(void) {
    Folder folder = folder_create();
    make_inner(folder, "a");
    folder_write_text(folder, "a/1.jpg", "one");
    link_to(folder, "..", "a/around");
    link_to(folder, "1.jpg", "a/2.jpg");
    link_to(folder, "gone", "a/3.jpg");
    link_to(folder, "a", "b");
    invariant(mkfifo(folder_inside(folder, "c.jpg"), 0600) == 0, "no fifo can be made");
    Source source = open_source(folder, folder.path);
    check_names(folder, &source, (const char *const[]){"a/1.jpg", "a/2.jpg", NULL});
    CU_ASSERT_EQUAL(source.problems.count, 4);
    check_problem(folder, &source, 0, "a/3.jpg", "a link to nothing");
    check_problem(folder, &source, 1, "a/around", "a link to a folder around it");
    check_problem(folder, &source, 2, "b", "a folder that was searched already");
    check_problem(folder, &source, 3, "c.jpg", "neither a file nor a folder");
    folder_destroy(folder);
}

static void reads_bytes(void) {
    Folder folder = folder_create();
    const uint8_t *bytes;
    size_t length;
    folder_write_text(folder, "a.jpg", "twelve bytes");
    folder_write_text(folder, "b.jpg", "");
    Source source = open_source(folder, folder.path);
    CU_ASSERT(status_fine(source_read(folder.arena, source.samples.items, &bytes, &length)));
    CU_ASSERT(length == 12 && memcmp(bytes, "twelve bytes", 12) == 0);
    CU_ASSERT(status_fine(source_read(folder.arena, source.samples.items + 1, &bytes, &length)));
    CU_ASSERT_EQUAL(length, 0);
    unlink(folder_inside(folder, "a.jpg"));
    Status status = source_read(folder.arena, source.samples.items, &bytes, &length);
    CU_ASSERT_FALSE_FATAL(status_fine(status));
    CU_ASSERT_STRING_EQUAL(status.message, "No such file or directory");
    folder_destroy(folder);
}

static void refuses_sources_without_pictures(void) {
    Folder folder = folder_create();
    make_inner(folder, "empty");
    make_inner(folder, "texts");
    make_inner(folder, "links");
    folder_write_text(folder, "texts/a.txt", "text");
    folder_write_text(folder, "file", "text");
    link_to(folder, "nowhere", "links/a.jpg");
    CU_ASSERT_STRING_EQUAL(refusal(folder, "missing"), "missing: No such file or directory");
    CU_ASSERT_STRING_EQUAL(refusal(folder, "empty"), "empty: there is no file in it");
    CU_ASSERT_STRING_EQUAL(refusal(folder, "texts"), "texts: no JPEG or PNG picture among 1 files "
                                                     "(give tar shards by their own names)");
    CU_ASSERT_STRING_EQUAL(refusal(folder, "file"),
                           "file: neither a folder, nor a tar, nor a picture");
    CU_ASSERT(text_starts_with(refusal(folder, "links"),
                               "links: no JPEG or PNG picture; 1 entries cannot be read"));
    folder_destroy(folder);
}

/* Root may read everything. */
static void refuses_what_may_not_be_read(void) {
    Folder folder = folder_create();
    make_inner(folder, "closed");
    folder_write_text(folder, "a.tar", "text");
    chmod(folder_inside(folder, "closed"), 0);
    chmod(folder_inside(folder, "a.tar"), 0);
    const char *closed = refusal(folder, "closed"), *shard = refusal(folder, "a.tar");
    bool root = geteuid() == 0;
    CU_ASSERT_STRING_EQUAL(closed,
                           root ? "closed: there is no file in it" : "closed: Permission denied");
    CU_ASSERT_STRING_EQUAL(shard, root ? "a.tar: neither a folder, nor a tar, nor a picture"
                                       : "a.tar: Permission denied");
    chmod(folder_inside(folder, "closed"), 0700);
    folder_destroy(folder);
}

/* A shard of five files, a link, a folder and a device. */
static const char *make_shard(Folder folder, int format) {
    static const ShardEntry entries[] = {
        {"./b.jpg", "bytes of b", 0, 0},
        {"b.cls", "1", 0, 0},
        {"empty.jpg", "", 0, 0},
        {"link.jpg", "/etc/passwd", AE_IFLNK, 0},
        {"folder", "", AE_IFDIR, 0},
        {"folder/device.jpg", "", AE_IFCHR, 0},
        {"folder/a-name-that-is-longer-than-the-hundred-bytes-of-a-header/"
         "and-so-has-to-be-stored-in-another-way-by-the-tar-format.jpg",
         "bytes of a", 0, 0},
        {"c.png", "bytes of c", 0, 0},
    };
    return folder_write_shard(folder, "shard.tar", format, 0, entries,
                              sizeof entries / sizeof *entries);
}

static void reads_shards(void) {
    static const int formats[] = {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_TAR_GNUTAR,
                                  ARCHIVE_FORMAT_TAR_PAX_RESTRICTED};
    static const char *const texts[] = {"bytes of b", "", "bytes of a", "bytes of c"};
    for (size_t format = 0; format < sizeof formats / sizeof *formats; format++) {
        Folder folder = folder_create();
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
        folder_destroy(folder);
    }
}

/* Cut anywhere, a shard gives the entries before the cut, and says that it is cut, unless only its
 * end mark is missing. */
static void survives_shards_cut_short(void) {
    Folder folder = folder_create();
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
    folder_destroy(folder);
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
