#include "tools/report/report.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/image.h"
#include "runtime/file.h"
#include "runtime/train/run_log.h"
#include "tools/report/report_page.h"

enum { MOST_EVENTS = 20, MOST_RECORD = 1 << 24, MOST_PICTURE = 1 << 24 };

/* Beyond it differences of two values are not finite. */
static const double most_value = 1e300;

static const struct {
    const char *kind, *field;
} curve_sources[RUN_CURVE_COUNT] = {
    [RUN_LOSS] = {"step", "loss"},
    [RUN_LEARNING_RATE] = {"step", "lr"},
    [RUN_GRADIENT_NORM] = {"step", "grad_norm"},
    [RUN_SPEED] = {"step", "images_per_second"},
    [RUN_DATA_WAIT] = {"step", "data_wait"},
    [RUN_EPOCH_LOSS] = {"epoch", "loss"},
};

static void add_points(RunReport *report, int64_t step, const char *kind, const json_t *line) {
    for (int i = 0; i < RUN_CURVE_COUNT; i++) {
        const json_t *value = json_object_get(line, curve_sources[i].field);
        double number = json_number_value(value);
        if (strcmp(kind, curve_sources[i].kind) != 0 || !json_is_number(value) ||
            !(fabs(number) <= most_value))
            continue;
        CurvePoint point = {(double)step, number};
        vector_push(report->arena, &report->curves[i], point);
    }
}

static void add_event(RunReport *report, int64_t step, const char *kind, const json_t *line) {
    RunEvent event = {step, arena_copy_text(report->arena, kind, strlen(kind)), NULL};
    if (report->events.count >= MOST_EVENTS)
        return;
    event.line = json_copy((json_t *)(uintptr_t)line);
    vector_push(report->arena, &report->events, event);
}

static void add_time(RunReport *report, const json_t *line) {
    const char *time = json_string_value(json_object_get(line, "time"));
    if (!time)
        return;
    report->updated = arena_copy_text(report->arena, time, strlen(time));
    report->begun = report->begun ? report->begun : report->updated;
}

static void hear_line(void *context, const json_t *line) {
    RunReport *report = context;
    const char *kind = json_string_value(json_object_get(line, "kind"));
    int64_t step = json_integer_value(json_object_get(line, "step"));
    report->step = step > report->step ? step : report->step;
    add_time(report, line);
    add_points(report, step, kind, line);
    bool nonfinite = strcmp(kind, "nonfinite") == 0, bad = strcmp(kind, "bad_picture") == 0;
    bool end = strcmp(kind, "end") == 0;
    report->nonfinite += nonfinite;
    report->bad += bad;
    report->checkpoints += strcmp(kind, "checkpoint") == 0;
    if (nonfinite || bad)
        add_event(report, step, kind, line);
    if (end || strcmp(kind, "start") == 0) {
        json_decref(report->end);
        report->end = end ? json_copy((json_t *)(uintptr_t)line) : NULL;
    }
}

static bool is_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static Status read_log(RunReport *report, const char *run) {
    const char *path = arena_format(report->arena, "%s/log.jsonl", run);
    report->has_log = is_file(path);
    return report->has_log ? run_log_read(report->arena, path, hear_line, report) : STATUS_FINE;
}

static void read_record(RunReport *report, const char *run) {
    const char *path = arena_format(report->arena, "%s/run.json", run);
    char *bytes;
    size_t length;
    json_error_t error;
    if (!is_file(path))
        return;
    Status status = file_read(report->arena, path, MOST_RECORD, &bytes, &length);
    report->record_problem = status.message;
    if (!status_fine(status))
        return;
    json_t *record = json_loadb(bytes, length, 0, &error);
    if (json_is_object(record)) {
        report->record = record;
        return;
    }
    report->record_problem = arena_format(report->arena, "run.json is no JSON object: %s",
                                          record ? "it is another value" : error.text);
    json_decref(record);
}

static int has_picture_name(const struct dirent *entry) {
    return entry->d_name[0] != '.' && text_ends_with(entry->d_name, ".png");
}

static RunPicture read_picture(Arena *arena, const char *folder, const char *name) {
    RunPicture picture = {.name = arena_copy_text(arena, name, strlen(name))};
    const char *path = arena_format(arena, "%s/%s", folder, name);
    char *bytes;
    if (!is_file(path)) {
        picture.problem = "it is no file";
        return picture;
    }
    picture.problem = file_read(arena, path, MOST_PICTURE, &bytes, &picture.length).message;
    if (!picture.problem) {
        bool png = image_format(bytes, picture.length) == IMAGE_FORMAT_PNG;
        picture.png = bytes;
        picture.problem = png ? NULL : "it is no PNG";
    }
    return picture;
}

/* The newest first: by the numbers in their names, as strverscmp compares them. */
static void read_pictures(RunReport *report, const char *run) {
    const char *folder = arena_format(report->arena, "%s/pictures", run);
    struct dirent **entries;
    int count = scandir(folder, &entries, has_picture_name, versionsort);
    if (count < 0)
        return;
    for (int i = count - 1; i >= 0; i--) {
        if (report->pictures.count < REPORT_PICTURES) {
            RunPicture picture = read_picture(report->arena, folder, entries[i]->d_name);
            vector_push(report->arena, &report->pictures, picture);
        } else {
            report->older_pictures++;
        }
        free(entries[i]);
    }
    free(entries);
}

/* The last part of the folder's whole path. */
static const char *folder_name(Arena *arena, const char *run) {
    char *path = realpath(run, NULL);
    const char *whole = path ? path : run, *slash = strrchr(whole, '/');
    const char *last = slash && slash[1] ? slash + 1 : whole;
    char *name = arena_copy_text(arena, last, strlen(last));
    free(path);
    return name;
}

static void close_report(RunReport *report) {
    for (size_t i = 0; i < report->events.count; i++)
        json_decref(report->events.items[i].line);
    json_decref(report->end);
    json_decref(report->record);
}

static Status write_page(RunReport *report, const char *run) {
    status_return_if_failed(read_log(report, run));
    read_record(report, run);
    read_pictures(report, run);
    Text page = report_page(report);
    FilePiece piece = {page.data, page.length};
    return file_replace(report->arena, arena_format(report->arena, "%s/report.html", run), &piece,
                        1);
}

Status report_write(Arena *arena, const char *run) {
    Arena *own = arena_create();
    RunReport report = {.arena = own, .name = folder_name(own, run)};
    Status status = write_page(&report, run);
    if (!status_fine(status))
        status = status_failure(arena, "%s", status.message);
    close_report(&report);
    arena_destroy(own);
    return status;
}
