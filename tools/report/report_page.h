/* What a report says of a run, and the page that says it. */
#ifndef SPARKC_TOOLS_REPORT_REPORT_PAGE_H
#define SPARKC_TOOLS_REPORT_REPORT_PAGE_H

#include <jansson.h>

#include "tools/report/report_curve.h"

/* What the log records of every update: a curve each. */
typedef enum RunCurve {
    RUN_LOSS,
    RUN_LEARNING_RATE,
    RUN_GRADIENT_NORM,
    RUN_SPEED,
    RUN_DATA_WAIT,
    RUN_EPOCH_LOSS, /* of lines of kind "epoch" */
    RUN_CURVE_COUNT
} RunCurve;

typedef struct RunEvent {
    int64_t step;
    const char *kind;
    json_t *line;
} RunEvent;

typedef struct RunPicture {
    const char *name;
    const char *problem; /* why it is not shown, or NULL */
    const char *png;
    size_t length;
} RunPicture;

typedef struct RunReport {
    Arena *arena;
    const char *name;           /* of the run's folder */
    json_t *record;             /* run.json; NULL: there is none, or it has a problem */
    const char *record_problem; /* or NULL */
    bool has_log;
    CurvePoints curves[RUN_CURVE_COUNT];
    int64_t step;                /* the last one */
    const char *begun, *updated; /* times of the first and last line, or NULL */
    json_t *end;                 /* the last line of kind "end", if no "start" follows; or NULL */
    int64_t nonfinite, bad, checkpoints;
    VECTOR(RunEvent) events;     /* the first of what was skipped */
    VECTOR(RunPicture) pictures; /* the newest, which comes first */
    size_t older_pictures;       /* that are left out */
} RunReport;

/* The whole page; thins the curves. */
Text report_page(RunReport *report);

#endif
