/* The report of a run: RUN/report.html, a page that needs nothing beside itself. */
#ifndef SPARKC_TOOLS_REPORT_REPORT_H
#define SPARKC_TOOLS_REPORT_REPORT_H

#include "base/status.h"

/* Pictures that a report shows at most: the newest, by the numbers in their names. */
enum { REPORT_PICTURES = 12 };

/* Reads RUN/log.jsonl, RUN/run.json and RUN/pictures (all PNG files in it) and writes
 * RUN/report.html through a temporary file and a rename: how the run stands, curves of the loss,
 * the learning rate, the gradient's norm and the speed, the pictures, what was skipped, and the
 * settings.
 *
 * Whatever is missing is left out and said to be missing; a run.json that is no JSON object, and a
 * picture that is no PNG or too large, are named on the page. Texts from these files are escaped.
 * Fails if the log is there but cannot be read, or the page cannot be written. */
Status report_write(Arena *arena, const char *run);

#endif
