/* The log of a run: what is written, dropped and read. */
#include <CUnit/CUnit.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "runtime/train/run_log.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_suites.h"

static void writes_lines(void) {
    Store store = store_begin();
    const char *path = store_path(&store, "log.jsonl");
    RunLog *log;
    regex_t pattern;
    size_t length;
    CU_ASSERT_TRUE_FATAL(status_fine(run_log_open(store.arena, path, 0, &log)));
    json_t *fields = json_pack("{s:f, s:f, s:i, s:s}", "loss", (double)0.1f, "lr", 2e-4, "skipped",
                               3, "name", "\"\n\xc3\xa9");
    CU_ASSERT_TRUE(status_fine(run_log_write(log, store.arena, 7, "step", fields)));
    CU_ASSERT_TRUE(status_fine(run_log_write(log, store.arena, 1L << 40, "end", NULL)));
    run_log_close(log);
    run_log_close(NULL);
    CU_ASSERT_EQUAL_FATAL(
        regcomp(&pattern,
                "^\\{\"step\":7,\"kind\":\"step\",\"time\":\"20[0-9]{2}-[0-9]{2}-[0-9]{2}T"
                "[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z\",\"loss\":0\\.100000001,\"lr\":0\\.0002,"
                "\"skipped\":3,\"name\":\"\\\\\"\\\\n\xc3\xa9\"\\}\n"
                "\\{\"step\":1099511627776,\"kind\":\"end\",\"time\":\"[^\"]*\"\\}\n$",
                REG_EXTENDED),
        0);
    CU_ASSERT_EQUAL(regexec(&pattern, store_read(&store, path, &length), 0, NULL, 0), 0);
    regfree(&pattern);
    store_end(&store);
}

typedef struct Dropping {
    int64_t step;
    const char *before, *after;
} Dropping;

#define LINE(step) "{\"step\":" step ",\"kind\":\"step\"}\n"

static const Dropping droppings[] = {
    {2, LINE("1") LINE("2"), LINE("1") LINE("2")},
    {2, LINE("1") LINE("2") LINE("3") LINE("4"), LINE("1") LINE("2")},
    {0, LINE("0") LINE("1"), LINE("0")},
    {2, LINE("1") LINE("3") LINE("2"), LINE("1") LINE("2")},
    {9, LINE("1") "{\"step\":2,\"ki", LINE("1")},
    {9, LINE("1") "{\"step\":2}", LINE("1") "{\"step\":2}\n"}, /* whole but for its end */
    {1, LINE("1") "{\"step\":2}", LINE("1")},
    {1, LINE("1") "a word\n" LINE("2"), LINE("1") "a word\n"},
    {1, "{\"kind\":\"other\"}\n\n{\"step\":\"9\"}\n[9]\n",
     "{\"kind\":\"other\"}\n\n{\"step\":\"9\"}\n[9]\n"},
    {1, "", ""},
    {1, "{", ""},
};

static void drops_what_a_resumed_run_does_again(void) {
    for (size_t i = 0; i < sizeof droppings / sizeof *droppings; i++) {
        Store store = store_begin();
        const char *path = store_path(&store, "log.jsonl");
        RunLog *log;
        store_write(path, droppings[i].before, strlen(droppings[i].before));
        CU_ASSERT_TRUE_FATAL(status_fine(run_log_open(store.arena, path, droppings[i].step, &log)));
        CU_ASSERT_TRUE(store_holds(&store, path, droppings[i].after));
        CU_ASSERT_TRUE(status_fine(run_log_write(log, store.arena, 5, "start", NULL)));
        run_log_close(log);
        size_t length, kept = strlen(droppings[i].after);
        const char *bytes = store_read(&store, path, &length);
        CU_ASSERT_EQUAL(memcmp(bytes, droppings[i].after, kept), 0);
        CU_ASSERT_TRUE(text_starts_with(bytes + kept, "{\"step\":5,\"kind\":\"start\""));
        CU_ASSERT_EQUAL(store_count(store.folder), 1);
        store_end(&store);
    }
}

/* A line of zeros is what a machine without power may leave. */
static void drops_zeros_at_the_end(void) {
    Store store = store_begin();
    const char *path = store_path(&store, "log.jsonl");
    static const char bytes[] = LINE("1") "\0\0\0\0";
    RunLog *log;
    store_write(path, bytes, sizeof bytes - 1);
    CU_ASSERT_TRUE_FATAL(status_fine(run_log_open(store.arena, path, 9, &log)));
    CU_ASSERT_TRUE(store_holds(&store, path, LINE("1")));
    run_log_close(log);
    store_end(&store);
}

static void collect(void *context, const json_t *line) {
    Text *text = context;
    text_append(text, "%d %s;", (int)json_integer_value(json_object_get(line, "step")),
                json_string_value(json_object_get(line, "kind")));
}

static void reads_whole_lines(void) {
    Store store = store_begin();
    const char *path = store_path(&store, "log.jsonl");
    static const char bytes[] = "{\"step\":1,\"kind\":\"start\"}\n{\"step\":2,\"ki\n\n[]\n{}\n"
                                "{\"kind\":\"x\"}\n{\"step\":2.5,\"kind\":\"x\"}\n"
                                "{\"step\":3,\"kind\":4}\n{\"step\":3,\"kind\":\"step\"}\n"
                                "{\"step\":4,\"kind\":\"st";
    Text text = text_create(store.arena);
    store_write(path, bytes, sizeof bytes - 1);
    CU_ASSERT_TRUE(status_fine(run_log_read(store.arena, path, collect, &text)));
    CU_ASSERT_STRING_EQUAL(text.data, "1 start;3 step;");
    store_expect_failure(run_log_read(store.arena, store_path(&store, "none"), collect, &text),
                         "none: No such file or directory");
    store_expect_failure(run_log_read(store.arena, store.folder, collect, &text),
                         "could not be read to its end");
    store_end(&store);
}

static int write_beyond_a_limit(void *context) {
    const Store *store = context;
    RunLog *log;
    Arena *arena = store->arena;
    const char *path = store_path(store, "log.jsonl");
    if (!store_limit_files(400) || !status_fine(run_log_open(arena, path, 0, &log)))
        return 9;
    Status status = STATUS_FINE;
    int lines = 0;
    for (; status_fine(status) && lines < 100; lines++)
        status = run_log_write(log, arena, lines, "step", NULL);
    if (lines < 3 || lines == 100 || !strstr(status.message, "log.jsonl: cannot be written: File"))
        return 1;
    Text text = text_create(arena);
    size_t length;
    const char *bytes = store_read(store, path, &length);
    return bytes[length - 1] == '\n' && status_fine(run_log_read(arena, path, collect, &text)) &&
                   text_ends_with(text.data, arena_format(arena, ";%d step;", lines - 2))
               ? 0
               : 2;
}

static void leaves_no_part_of_a_line_on_a_full_disk(void) {
    Store store = store_begin();
    CU_ASSERT_EQUAL(store_run(write_beyond_a_limit, &store), 0);
    store_end(&store);
}

static void fails_where_it_cannot_open(void) {
    Store store = store_begin();
    RunLog *log;
    store_expect_failure(run_log_open(store.arena, store_path(&store, "none/log"), 0, &log),
                         "none/log: cannot be written: No such file or directory");
    store_expect_failure(run_log_open(store.arena, store.folder, 0, &log), store.folder);
    store_end(&store);
}

CU_TestInfo store_log_tests[] = {
    {"writes lines", writes_lines},
    {"drops what a resumed run does again", drops_what_a_resumed_run_does_again},
    {"drops zeros at the end", drops_zeros_at_the_end},
    {"reads whole lines", reads_whole_lines},
    {"leaves no part of a line on a full disk", leaves_no_part_of_a_line_on_a_full_disk},
    {"fails where it cannot open", fails_where_it_cannot_open},
    CU_TEST_INFO_NULL,
};
