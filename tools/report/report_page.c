#include "tools/report/report_page.h"

#include <inttypes.h>
#include <string.h>

#include "tools/report/report_html.h"

enum { LAST_UPDATES = 100 };

static const char style[] =
    ".plots{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px}\n"
    ".plots .plot:first-child{grid-column:1/-1}\n"
    "@media(max-width:700px){.plots{grid-template-columns:minmax(0,1fr)}}\n"
    "figure{margin:0}figcaption{color:var(--soft);overflow-wrap:anywhere}\n"
    ".plot figcaption{margin-bottom:6px;color:var(--ink);font-weight:600}\n"
    "svg{display:block;width:100%;height:auto}\n"
    ".grid line{stroke:var(--rule);stroke-width:1}.labels text{fill:var(--soft);font-size:12px}\n"
    "polyline{fill:none;stroke-width:1.6;stroke-linejoin:round}\n"
    "polyline.series-0{stroke:var(--series-0)}circle.series-0{fill:var(--series-0)}\n"
    "polyline.series-1{stroke:var(--series-1);stroke-width:2.2}"
    "circle.series-1{fill:var(--series-1)}\n"
    ".key{font-weight:400;color:var(--soft);margin-left:14px}\n"
    ".key::before{content:'';display:inline-block;width:18px;height:3px;margin-right:6px;"
    "vertical-align:middle;background:var(--series-0)}"
    ".key.series-1::before{background:var(--series-1)}\n"
    ".plot{overflow-x:auto}.plots .plot:first-child svg{min-width:600px}\n"
    ".pictures{display:grid;align-items:start;grid-template-columns:repeat(auto-fill,minmax(300px,"
    "1fr));gap:14px}\n"
    ".picture img{display:block;width:100%;height:auto;margin-bottom:8px;background:#fff;"
    "image-rendering:auto}\n"
    ".table{overflow-x:auto;padding:4px 14px}table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;vertical-align:top;padding:6px 12px 6px 0;"
    "border-top:1px solid var(--rule);overflow-wrap:anywhere;unicode-bidi:isolate}\n"
    "tr:first-child>*{border-top:0}th{font-weight:500;color:var(--soft);width:34%}\n"
    "footer{margin-top:36px}\n";

/* A string of the record by its name, or of the object of that name; or NULL. */
static const char *record_text(const RunReport *report, const char *name, const char *inner) {
    const json_t *value = json_object_get(report->record, name);
    return json_string_value(json_is_object(value) ? json_object_get(value, inner) : value);
}

static void append_title(Text *page, const RunReport *report) {
    const char *network = record_text(report, "network", "name");
    network = network ? network : record_text(report, "network", "file");
    if (network) {
        html_text(page, network);
        text_append(page, ", ");
    }
    html_name(page, report->name);
}

static void append_head(Text *page, const RunReport *report) {
    Text title = text_create(page->arena);
    append_title(&title, report);
    html_begin(page, title.data, style);
}

/* ISO 8601 to the second as people write it; other texts as they are. */
static void append_time(Text *page, const char *time) {
    if (strlen(time) >= 19 && time[10] == 'T')
        time = arena_format(page->arena, "%.10s %.8s UTC", time, time + 11);
    html_text(page, time);
}

static void append_lines_below_title(Text *page, const RunReport *report) {
    const json_t *machine = json_object_get(report->record, "machine");
    if (report->begun) {
        text_append(page, "<p class=\"soft\">");
        append_time(page, report->begun);
        text_append(page, " to ");
        append_time(page, report->updated);
        text_append(page, "</p>\n");
    }
    if (machine) {
        text_append(page, "<p class=\"soft\">Machine: ");
        html_words(page, machine);
        text_append(page, "</p>\n");
    }
}

/* The mean of the last values of a curve; false if there are none. */
static bool last_mean(const CurvePoints *points, size_t most, double *mean) {
    size_t count = points->count < most ? points->count : most;
    double sum = 0;
    for (size_t i = points->count - count; i < points->count; i++)
        sum += points->items[i].value / (double)count;
    *mean = sum;
    return count > 0;
}

static void append_fact(Text *page, const char *value, const char *words) {
    text_append(page, "<div class=\"fact\"><b>");
    html_text(page, value);
    text_append(page, "</b><span class=\"soft\">");
    html_text(page, words);
    text_append(page, "</span></div>\n");
}

static void append_count(Text *page, int64_t count, const char *words) {
    append_fact(page, arena_format(page->arena, "%" PRId64, count), words);
}

/* Of the last updates; a share in percent. */
static void append_mean(Text *page, const CurvePoints *points, bool share, const char *words) {
    double mean;
    char value[48];
    if (!last_mean(points, LAST_UPDATES, &mean))
        return;
    if (share)
        snprintf(value, sizeof value, "%.1f %%", 100 * mean);
    else
        snprintf(value, sizeof value, "%.4g", mean);
    append_fact(page, value, words);
}

/* Why a run ended early: what the log gives besides the words for a good end. */
static const char *failure_of(const RunReport *report) {
    const char *how = json_string_value(json_object_get(report->end, "how"));
    return how && strcmp(how, "finished") != 0 && strcmp(how, "stopped") != 0 ? how : NULL;
}

static const char *state_words(const RunReport *report) {
    const char *how = json_string_value(json_object_get(report->end, "how"));
    if (report->end)
        return failure_of(report) ? "failed" : how ? how : "finished";
    return report->has_log ? "running, or cut off" : "not started";
}

static void append_facts(Text *page, const RunReport *report) {
    const CurvePoints *epochs = &report->curves[RUN_EPOCH_LOSS];
    if (failure_of(report)) {
        text_append(page, "<p class=\"bad\">");
        html_text(page, failure_of(report));
        text_append(page, "</p>\n");
    }
    text_append(page, "<div class=\"facts\">\n");
    append_fact(page, state_words(report), "state");
    append_count(page, report->step, "updates");
    append_mean(page, &report->curves[RUN_LOSS], false, "loss, mean of the last entries");
    if (epochs->count > 0)
        append_fact(page, arena_format(page->arena, "%.4g", epochs->items[epochs->count - 1].value),
                    "loss of the last epoch");
    append_mean(page, &report->curves[RUN_SPEED], false, "images per second");
    append_mean(page, &report->curves[RUN_DATA_WAIT], true, "of the time waiting for data");
    append_count(page, report->nonfinite, "batches skipped, not finite");
    append_count(page, report->bad, "bad pictures left out");
    append_count(page, report->checkpoints, "checkpoints");
    text_append(page, "</div>\n");
}

static void append_curves(Text *page, RunReport *report) {
    CurvePoints *curves = report->curves;
    CurveSeries loss[] = {{"entries of the log", curves[RUN_LOSS], false},
                          {"mean of an epoch", curves[RUN_EPOCH_LOSS], true}};
    CurveSeries rate = {"", curves[RUN_LEARNING_RATE], false};
    CurveSeries norm = {"", curves[RUN_GRADIENT_NORM], false};
    CurveSeries speed = {"", curves[RUN_SPEED], false};
    CurveSeries wait = {"", curves[RUN_DATA_WAIT], false};
    text_append(page, "<h2>Curves</h2>\n");
    if (curves[RUN_LOSS].count + curves[RUN_EPOCH_LOSS].count == 0)
        text_append(page, "<p class=\"soft\">%s</p>\n",
                    report->has_log ? "No update has been logged." : "There is no log.jsonl.");
    text_append(page, "<div class=\"plots\">\n");
    curve_plot(page, "Loss by update", 1020, 320, loss, 2);
    curve_plot(page, "Learning rate", 500, 210, &rate, 1);
    curve_plot(page, "Norm of the gradient", 500, 210, &norm, 1);
    curve_plot(page, "Images per second", 500, 210, &speed, 1);
    curve_plot(page, "Share of the time waiting for data", 500, 210, &wait, 1);
    text_append(page, "</div>\n");
}

static void append_picture(Text *page, const RunPicture *picture) {
    text_append(page, "<figure class=\"picture\">");
    if (!picture->problem) {
        text_append(page, "<img alt=\"");
        html_name(page, picture->name);
        text_append(page, "\" src=\"");
        html_png(page, picture->png, picture->length);
        text_append(page, "\">");
    }
    text_append(page, "<figcaption>");
    html_name(page, picture->name);
    if (picture->problem) {
        text_append(page, ": <span class=\"bad\">");
        html_name(page, picture->problem);
        text_append(page, "</span>");
    }
    text_append(page, "</figcaption></figure>\n");
}

static void append_pictures(Text *page, const RunReport *report) {
    text_append(page, "<h2>Pictures</h2>\n");
    if (report->pictures.count == 0)
        text_append(page, "<p class=\"soft\">There are none in pictures/.</p>\n");
    text_append(page, "<div class=\"pictures\">\n");
    for (size_t i = 0; i < report->pictures.count; i++)
        append_picture(page, &report->pictures.items[i]);
    text_append(page, "</div>\n");
    if (report->older_pictures > 0)
        text_append(page, "<p class=\"soft\">%zu older ones are in pictures/.</p>\n",
                    report->older_pictures);
}

static void append_event(Text *page, const RunEvent *event) {
    json_t *fields = json_copy(event->line);
    json_object_del(fields, "step");
    json_object_del(fields, "kind");
    json_object_del(fields, "time");
    text_append(page, "<tr><th>update %" PRId64 ", ", event->step);
    html_text(page, strcmp(event->kind, "nonfinite") == 0 ? "not finite" : "bad picture");
    text_append(page, "</th><td>");
    html_words(page, fields);
    text_append(page, "</td></tr>\n");
    json_decref(fields);
}

static void append_events(Text *page, const RunReport *report) {
    int64_t more = report->nonfinite + report->bad - (int64_t)report->events.count;
    if (report->events.count == 0)
        return;
    text_append(page, "<h2>Skipped</h2>\n<div class=\"table\"><table>\n");
    for (size_t i = 0; i < report->events.count; i++)
        append_event(page, &report->events.items[i]);
    text_append(page, "</table></div>\n");
    if (more > 0)
        text_append(page, "<p class=\"soft\">%" PRId64 " more are in log.jsonl.</p>\n", more);
}

static void append_settings(Text *page, const RunReport *report) {
    text_append(page, "<h2>Settings</h2>\n");
    if (report->record) {
        text_append(page, "<div class=\"table\"><table>\n");
        html_rows(page, report->record);
        text_append(page, "</table></div>\n");
    } else if (report->record_problem) {
        text_append(page, "<p class=\"bad\">");
        html_name(page, report->record_problem);
        text_append(page, "</p>\n");
    } else {
        text_append(page, "<p class=\"soft\">There is no run.json.</p>\n");
    }
}

Text report_page(RunReport *report) {
    Text page = text_create(report->arena);
    append_head(&page, report);
    append_lines_below_title(&page, report);
    append_facts(&page, report);
    append_curves(&page, report);
    append_pictures(&page, report);
    append_events(&page, report);
    append_settings(&page, report);
    text_append(&page,
                "<footer class=\"soft\">Made by sparkc " SPARKC_VERSION
                " from log.jsonl, run.json and pictures/.</footer>\n</main></body></html>\n");
    return page;
}
