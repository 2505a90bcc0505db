#include "runtime/train/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/file.h"

struct RunLog {
    const char *path;
    int descriptor;
};

/* Calls take for each line as text of `length` bytes with its line end, if it has one. */
typedef void TakeLine(void *context, const char *line, size_t length);

static Status each_line(Arena *arena, const char *path, TakeLine *take, void *context) {
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    if (!file)
        return status_failure(arena, "%s: %s", path, strerror(errno));
    while ((length = getline(&line, &capacity, file)) > 0)
        take(context, line, (size_t)length);
    bool failed = ferror(file);
    free(line);
    fclose(file);
    return failed ? status_failure(arena, "%s: could not be read to its end", path) : STATUS_FINE;
}

/* A line as an object of the caller's, or NULL. */
static json_t *parse_line(const char *line, size_t length) {
    json_t *object = json_loadb(line, length, 0, NULL);
    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}

typedef struct Filter {
    int64_t step; /* the last to keep */
    Text kept;
    bool changed;
} Filter;

static void keep_line(void *context, const char *line, size_t length) {
    Filter *filter = context;
    bool ended = line[length - 1] == '\n';
    json_t *object = parse_line(line, length);
    const json_t *step = json_object_get(object, "step");
    bool void_line = json_is_integer(step) && json_integer_value(step) > filter->step;
    if (void_line || (!ended && !object)) {
        filter->changed = true;
    } else {
        text_append_bytes(&filter->kept, line, length);
        if (!ended)
            text_append(&filter->kept, "\n");
        filter->changed |= !ended;
    }
    json_decref(object);
}

/* Drops what a resumed run does again. */
static Status drop_lines(Arena *arena, const char *path, int64_t step) {
    Arena *own = arena_create();
    Filter filter = {step, text_create(own), false};
    Status status = each_line(arena, path, keep_line, &filter);
    FilePiece piece = {filter.kept.data, filter.kept.length};
    if (status_fine(status) && filter.changed)
        status = file_replace(arena, path, &piece, 1);
    arena_destroy(own);
    return status;
}

Status run_log_open(Arena *arena, const char *path, int64_t step, RunLog **log) {
    if (access(path, F_OK) == 0)
        status_return_if_failed(drop_lines(arena, path, step));
    int descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0)
        return status_failure(arena, "%s: cannot be written: %s", path, strerror(errno));
    *log = arena_new(arena, RunLog);
    **log = (RunLog){arena_copy_text(arena, path, strlen(path)), descriptor};
    return STATUS_FINE;
}

void run_log_close(RunLog *log) {
    if (log)
        close(log->descriptor);
}

static json_t *time_text(void) {
    char seconds[32], text[64];
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, sizeof text, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
    return json_string(text);
}

Status run_log_write(RunLog *log, Arena *arena, int64_t step, const char *kind, json_t *fields) {
    json_t *object =
        json_pack("{s:I, s:s, s:o}", "step", (json_int_t)step, "kind", kind, "time", time_text());
    if (fields)
        json_object_update_missing(object, fields);
    char *line = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    invariant(line, "a line of the log that is not JSON");
    size_t length = strlen(line);
    line[length] = '\n'; /* in place of the zero: a line is one write */
    Status status = file_append(arena, log->path, log->descriptor, line, length + 1);
    free(line);
    json_decref(object);
    json_decref(fields);
    return status;
}

typedef struct Reader {
    RunLogVisit *visit;
    void *context;
} Reader;

static void visit_line(void *context, const char *line, size_t length) {
    const Reader *reader = context;
    json_t *object = parse_line(line, length);
    if (json_is_integer(json_object_get(object, "step")) &&
        json_is_string(json_object_get(object, "kind")))
        reader->visit(reader->context, object);
    json_decref(object);
}

Status run_log_read(Arena *arena, const char *path, RunLogVisit *visit, void *context) {
    Reader reader = {visit, context};
    return each_line(arena, path, visit_line, &reader);
}
