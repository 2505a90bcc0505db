/* The log of a run, RUN/log.jsonl: a JSON object per line, {"step": ..., "kind": ..., ...}
 * (docs/formats.md). JSON has no NaN or infinity: jansson makes no number of them. */
#ifndef SPARKC_RUNTIME_TRAIN_RUN_LOG_H
#define SPARKC_RUNTIME_TRAIN_RUN_LOG_H

#include <jansson.h>

#include "base/status.h"

typedef struct RunLog RunLog;

/* Opens a log for appending; makes it if it is missing. Lines of steps beyond `step` (those that a
 * resumed run does again) and a last line that was cut short are dropped, by way of a temporary
 * file. Lines without a step stay. */
Status run_log_open(Arena *arena, const char *path, int64_t step, RunLog **log);
void run_log_close(RunLog *log); /* NULL is allowed */

/* Appends {"step": step, "kind": kind, "time": "2026-01-31T23:59:59.123Z", fields...} and hands the
 * line to the system: it survives the end of the process. Real numbers have nine digits, enough for
 * every f32. Takes the reference to `fields`, an object without these three keys, or NULL. On
 * failure no part of the line is there. Nothing is allocated in `arena` but a failure's message. */
Status run_log_write(RunLog *log, Arena *arena, int64_t step, const char *kind, json_t *fields);

/* Calls visit for each line of a log that is an object with a whole "step" and a "kind", in order;
 * other lines are skipped. The log may be one that is being written. */
typedef void RunLogVisit(void *context, const json_t *line);
Status run_log_read(Arena *arena, const char *path, RunLogVisit *visit, void *context);

#endif
