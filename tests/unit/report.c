/* The report of a run: thinned curves, escaped texts, pictures within the page, what is missing. */
#include <dirent.h>
#include <math.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/picture.h"
#include "runtime/file.h"
#include "runtime/train/run_log.h"
#include "tests/unit/harness.h"
#include "tools/report/report.h"
#include "tools/report/report_curve.h"
#include "tools/report/report_html.h"

/* A folder of its own for each test, removed at its end. */
typedef struct Run {
    Arena *arena;
    char folder[64];
} Run;

static Run open_run(void) {
    Run run = {.arena = arena_create(), .folder = "/tmp/sparkc-report-XXXXXX"};
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(run.folder));
    return run;
}

static void remove_files(Run *run, const char *folder) {
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove(arena_format(run->arena, "%s/%s", folder, entry->d_name));
    }
    if (directory)
        closedir(directory);
    rmdir(folder);
}

static void close_run(Run *run) {
    remove_files(run, arena_format(run->arena, "%s/pictures", run->folder));
    remove_files(run, run->folder);
    arena_destroy(run->arena);
}

static void put_file(Run *run, const char *name, const void *bytes, size_t length) {
    FilePiece piece = {bytes, length};
    const char *path = arena_format(run->arena, "%s/%s", run->folder, name);
    CU_ASSERT_TRUE_FATAL(status_fine(
        file_make_folder(run->arena, arena_format(run->arena, "%s/pictures", run->folder))));
    CU_ASSERT_TRUE_FATAL(status_fine(file_replace(run->arena, path, &piece, 1)));
}

static void put_text(Run *run, const char *name, const char *text) {
    put_file(run, name, text, strlen(text));
}

/* The page of the run as it stands. */
static const char *page_of(Run *run) {
    char *page;
    size_t length;
    CU_ASSERT_TRUE_FATAL(status_fine(report_write(run->arena, run->folder)));
    CU_ASSERT_TRUE_FATAL(
        status_fine(file_read(run->arena, arena_format(run->arena, "%s/report.html", run->folder),
                              1 << 26, &page, &length)));
    CU_ASSERT_EQUAL(strlen(page), length);
    return page;
}

static bool has(const char *page, const char *words) {
    return strstr(page, words) != NULL;
}

static size_t occurrences(const char *page, const char *words) {
    size_t count = 0;
    for (const char *at = page; (at = strstr(at, words)); at += strlen(words))
        count++;
    return count;
}

static void thins_but_keeps_extremes_and_ends(void) {
    Arena *arena = arena_create();
    enum { COUNT = 100003 };
    CurvePoint *points = arena_new_array(arena, CurvePoint, COUNT);
    for (int i = 0; i < COUNT; i++)
        points[i] = (CurvePoint){i, sin(i * 0.001)};
    points[0].value = 0.25;
    points[31234].value = 9;
    points[31235].value = -8;
    points[COUNT - 1].value = 0.5;
    size_t count = curve_thin(points, COUNT, 2000);
    CU_ASSERT_TRUE(count <= 2000 && count > 1900);
    bool spike = false, dip = false, ordered = true;
    for (size_t i = 0; i < count; i++) {
        spike = spike || (points[i].step == 31234 && points[i].value == 9);
        dip = dip || (points[i].step == 31235 && points[i].value == -8);
        ordered = ordered && (i == 0 || points[i].step > points[i - 1].step);
    }
    CU_ASSERT_TRUE(spike);
    CU_ASSERT_TRUE(dip);
    CU_ASSERT_TRUE(ordered);
    CU_ASSERT_EQUAL(points[0].value, 0.25);
    CU_ASSERT_EQUAL(points[count - 1].value, 0.5);
    CU_ASSERT_EQUAL(points[count - 1].step, COUNT - 1);
    arena_destroy(arena);
}

static void leaves_short_curves_alone(void) {
    CurvePoint points[7];
    for (int count = 0; count <= 7; count++) {
        for (int i = 0; i < count; i++)
            points[i] = (CurvePoint){i, 10 - i * i};
        size_t most = 5, kept = curve_thin(points, (size_t)count, most);
        CU_ASSERT_TRUE(kept <= most);
        CU_ASSERT_TRUE(count > 5 || kept == (size_t)count);
        for (size_t i = 0; count <= 5 && i < kept; i++)
            CU_ASSERT_EQUAL(points[i].step, (double)i);
    }
}

static void escapes_texts(void) {
    Arena *arena = arena_create();
    Text page = text_create(arena);
    html_text(&page, "<a href=\"x\">'&amp;\x01\n\xc3\xa9");
    CU_ASSERT_STRING_EQUAL(page.data,
                           "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&#xfffd;\n\xc3\xa9");
    Text name = text_create(arena);
    html_name(&name, "a\xff<\n");
    CU_ASSERT_STRING_EQUAL(name.data, "a\\xFF&lt;\\x0A");
    arena_destroy(arena);
}

static void says_what_is_missing(void) {
    Run run = open_run();
    const char *page = page_of(&run);
    CU_ASSERT_TRUE(has(page, "not started"));
    CU_ASSERT_TRUE(has(page, "There is no log.jsonl."));
    CU_ASSERT_TRUE(has(page, "There are none in pictures/."));
    CU_ASSERT_TRUE(has(page, "There is no run.json."));
    CU_ASSERT_FALSE(has(page, "<svg"));
    CU_ASSERT_FALSE(has(page, "<img"));
    CU_ASSERT_TRUE(has(page, "</main></body></html>"));
    put_text(&run, "log.jsonl", "");
    CU_ASSERT_TRUE(has(page_of(&run), "No update has been logged."));
    CU_ASSERT_FALSE(
        status_fine(report_write(run.arena, arena_format(run.arena, "%s/no", run.folder))));
    close_run(&run);
}

static void shows_settings_escaped_and_flattened(void) {
    Run run = open_run();
    put_text(&run, "run.json",
             "{\"network\": {\"name\": \"net</title><script>1\"}, \"a\": {\"b\": {\"c<i>\": "
             "\"<script>alert(1)</script>\"}, \"empty\": {}}, \"mean\": [0.485, 0.456],\n"
             " \"machine\": {\"cpu\": \"<b>\", \"threads\": 2}, \"no\": null, \"yes\": true}");
    const char *page = page_of(&run);
    CU_ASSERT_FALSE(has(page, "<script"));
    CU_ASSERT_TRUE(has(page, "<title>net&lt;/title&gt;&lt;script&gt;1, sparkc-report-"));
    CU_ASSERT_TRUE(
        has(page, "<th>a.b.c&lt;i&gt;</th><td>&lt;script&gt;alert(1)&lt;/script&gt;</td>"));
    CU_ASSERT_TRUE(has(page, "<th>a.empty</th><td>{}</td>"));
    CU_ASSERT_TRUE(has(page, "<th>mean</th><td>[0.485, 0.456]</td>"));
    CU_ASSERT_TRUE(has(page, "Machine: cpu &lt;b&gt;, threads 2"));
    CU_ASSERT_TRUE(has(page, "<th>no</th><td>null</td>"));
    close_run(&run);
}

static void names_a_record_that_is_none(void) {
    static const char *const texts[] = {"[1]", "{\"a\": ", "", "{\"a\": \"\\u0000\"}"};
    Run run = open_run();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_text(&run, "run.json", texts[i]);
        CU_ASSERT_TRUE(has(page_of(&run), "run.json is no JSON object"));
    }
    close_run(&run);
}

static void draws_the_curves_of_the_log(void) {
    Run run = open_run();
    put_text(
        &run, "log.jsonl",
        "{\"step\": 0, \"kind\": \"start\", \"time\": \"2026-01-02T03:04:05.678Z\"}\n"
        "{\"step\": 1, \"kind\": \"step\", \"loss\": 1.0, \"lr\": 0.1}\n"
        "{\"step\": 2, \"kind\": \"step\", \"loss\": null, \"lr\": 0.2}\n"
        "{\"step\": 3, \"kind\": \"step\", \"loss\": 1e308, \"lr\": 0.3}\n"
        "{\"step\": 4, \"kind\": \"step\", \"loss\": 0.5, \"lr\": 0.3}\n"
        "not json\n"
        "{\"step\": 4, \"kind\": \"epoch\", \"loss\": 0.75}\n"
        "{\"step\": 4, \"kind\": \"checkpoint\"}\n"
        "{\"step\": 5, \"kind\": \"nonfinite\", \"what\": \"grad.<b>\"}\n"
        "{\"step\": 5, \"kind\": \"bad_picture\", \"name\": \"<x>.jpg\", \"reason\": \"cut\"}\n");
    const char *page = page_of(&run);
    CU_ASSERT_EQUAL(occurrences(page, "<svg"), 2);
    CU_ASSERT_EQUAL(occurrences(page, "<polyline class=\"series-0\""), 2);
    CU_ASSERT_EQUAL(occurrences(page, "<circle class=\"series-1\""), 1);
    /* 1020 x 320: steps 1 to 4 between 68 and 1004, 1 to 0.5 between 10 and 290. */
    CU_ASSERT_TRUE(has(page, "points=\"68.0,10.0 1004.0,290.0\""));
    CU_ASSERT_TRUE(has(page, "2026-01-02 03:04:05 UTC"));
    CU_ASSERT_TRUE(has(page, "<b>1</b><span class=\"soft\">batches skipped, not finite"));
    CU_ASSERT_TRUE(has(page, "<b>1</b><span class=\"soft\">bad pictures left out"));
    CU_ASSERT_TRUE(has(page, "<b>1</b><span class=\"soft\">checkpoints"));
    CU_ASSERT_TRUE(has(page, "<b>5</b><span class=\"soft\">updates"));
    CU_ASSERT_TRUE(has(page, "update 5, bad picture</th><td>name &lt;x&gt;.jpg, reason cut</td>"));
    CU_ASSERT_TRUE(has(page, "update 5, not finite</th><td>what grad.&lt;b&gt;</td>"));
    CU_ASSERT_FALSE(has(page, "nan"));
    close_run(&run);
}

static void copes_with_curves_of_one_value(void) {
    Run run = open_run();
    put_text(
        &run, "log.jsonl",
        "{\"step\": 7, \"kind\": \"step\", \"loss\": 0, \"lr\": 0.1, \"grad_norm\": -1e300}\n");
    const char *page = page_of(&run);
    CU_ASSERT_EQUAL(occurrences(page, "<circle class=\"series-0\""), 3);
    put_text(&run, "log.jsonl",
             "{\"step\": 7, \"kind\": \"step\", \"loss\": 0.3, \"grad_norm\": -1e300}\n"
             "{\"step\": 8, \"kind\": \"step\", \"loss\": 0.3, \"grad_norm\": 1e300}\n");
    page = page_of(&run);
    CU_ASSERT_EQUAL(occurrences(page, "<polyline class=\"series-0\""), 2);
    CU_ASSERT_FALSE(has(page, "nan"));
    CU_ASSERT_FALSE(has(page, "inf"));
    close_run(&run);
}

static void thins_long_logs(void) {
    Run run = open_run();
    Text log = text_create(run.arena);
    for (int step = 1; step <= 20000; step++)
        text_append(&log, "{\"step\": %d, \"kind\": \"step\", \"loss\": %g}\n", step,
                    step == 7777 ? 3.0 : 1 + 0.5 * sin(step));
    put_text(&run, "log.jsonl", log.data);
    const char *page = page_of(&run), *points = strstr(page, "points=\"");
    size_t commas = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(points);
    for (points += 8; *points != '"'; points++)
        commas += *points == ',';
    CU_ASSERT_TRUE(commas <= CURVE_POINTS && commas > CURVE_POINTS / 2);
    CU_ASSERT_TRUE(strlen(page) < 100000);
    CU_ASSERT_TRUE(has(page, ",10.0 ")); /* the spike, at the plot's upper end */
    close_run(&run);
}

static void tells_how_a_run_ended(void) {
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"{\"step\": 1, \"kind\": \"start\"}\n", "<b>running, or cut off</b>"},
        {"{\"step\": 1, \"kind\": \"end\", \"how\": \"stopped\"}\n", "<b>stopped</b>"},
        {"{\"step\": 1, \"kind\": \"start\"}\n", "<b>running, or cut off</b>"},
        {"{\"step\": 1, \"kind\": \"end\", \"how\": \"disk <full>\"}\n",
         "<p class=\"bad\">disk &lt;full&gt;</p>"},
        {"{\"step\": 1, \"kind\": \"end\", \"how\": \"finished\"}\n", "<b>finished</b>"},
    };
    Run run = open_run();
    Text log = text_create(run.arena);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_append(&log, "%s", cases[i].line);
        put_text(&run, "log.jsonl", log.data);
        CU_ASSERT_TRUE(has(page_of(&run), cases[i].words));
    }
    close_run(&run);
}

static void put_picture(Run *run, const char *name, uint8_t grey) {
    Image image = {3, 2, 1, (uint8_t[]){grey, 1, 2, 3, 4, 5}};
    const uint8_t *png;
    size_t length;
    CU_ASSERT_TRUE_FATAL(status_fine(picture_encode(run->arena, &image, &png, &length)));
    put_file(run, arena_format(run->arena, "pictures/%s", name), png, length);
}

/* The grey of the first pixel of the picture whose letters begin at `text`. */
static int grey_at(Run *run, const char *text) {
    struct base64_decode_ctx context;
    size_t letters = strcspn(text, "\""), length = BASE64_DECODE_LENGTH(letters);
    uint8_t *bytes = arena_new_array(run->arena, uint8_t, length);
    Image image;
    base64_decode_init(&context);
    CU_ASSERT_TRUE(base64_decode_update(&context, &length, bytes, letters, text));
    CU_ASSERT_TRUE(base64_decode_final(&context));
    Status status = image_decode(run->arena, bytes, length, 1, &image_default_limits, &image);
    CU_ASSERT_TRUE(status_fine(status));
    return status_fine(status) ? image.pixels[0] : -1;
}

static void shows_the_newest_pictures(void) {
    static const char start[] = "src=\"data:image/png;base64,";
    Run run = open_run();
    for (int i = 1; i <= 14; i++)
        put_picture(&run, arena_format(run.arena, "update-%d.png", i), (uint8_t)(i * 10));
    put_text(&run, "pictures/.hidden.png", "x");
    put_text(&run, "pictures/notes.txt", "x");
    const char *page = page_of(&run), *at = page;
    CU_ASSERT_EQUAL(occurrences(page, start), REPORT_PICTURES);
    for (int i = 14; i > 14 - REPORT_PICTURES && (at = strstr(at, start)); i--) {
        at += strlen(start);
        CU_ASSERT_EQUAL(grey_at(&run, at), i * 10);
    }
    CU_ASSERT_TRUE(has(page, "<p class=\"soft\">2 older ones"));
    CU_ASSERT_FALSE(has(page, "hidden.png"));
    CU_ASSERT_FALSE(has(page, "notes.txt"));
    close_run(&run);
}

static void names_pictures_that_are_none(void) {
    Run run = open_run();
    put_text(&run, "pictures/a<b>.png", "GIF89a, really");
    CU_ASSERT_EQUAL(mkdir(arena_format(run.arena, "%s/pictures/folder.png", run.folder), 0755), 0);
    const char *page = page_of(&run);
    CU_ASSERT_TRUE(has(page, "a&lt;b&gt;.png: <span class=\"bad\">it is no PNG</span>"));
    CU_ASSERT_TRUE(has(page, "folder.png: <span class=\"bad\">it is no file</span>"));
    CU_ASSERT_FALSE(has(page, "<img"));
    close_run(&run);
}

static CU_TestInfo tests[] = {
    {"thins but keeps extremes and ends", thins_but_keeps_extremes_and_ends},
    {"leaves short curves alone", leaves_short_curves_alone},
    {"escapes texts", escapes_texts},
    {"says what is missing", says_what_is_missing},
    {"shows settings, escaped and flattened", shows_settings_escaped_and_flattened},
    {"names a record that is none", names_a_record_that_is_none},
    {"draws the curves of the log", draws_the_curves_of_the_log},
    {"copes with curves of one value", copes_with_curves_of_one_value},
    {"thins long logs", thins_long_logs},
    {"tells how a run ended", tells_how_a_run_ended},
    {"shows the newest pictures", shows_the_newest_pictures},
    {"names pictures that are none", names_pictures_that_are_none},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {HARNESS_SUITE("report", tests), CU_SUITE_INFO_NULL};
