/* Curves over the updates of a run, as SVG within a page. */
#ifndef SPARKC_TOOLS_REPORT_REPORT_CURVE_H
#define SPARKC_TOOLS_REPORT_REPORT_CURVE_H

#include "base/text.h"
#include "base/vector.h"

typedef struct CurvePoint {
    double step, value; /* finite */
} CurvePoint;

typedef VECTOR(CurvePoint) CurvePoints;

/* What a plot shows at most of a curve. */
enum { CURVE_POINTS = 2000 };

/* Keeps at most `most` (4 or more) of the points, in place and in their order: the first, the last,
 * and of each stretch of equally many points the least and the greatest. Returns how many. */
size_t curve_thin(CurvePoint *points, size_t count, size_t most);

typedef struct CurveSeries {
    const char *name;
    CurvePoints points; /* by step; thinned when it is plotted */
    bool marked;        /* a dot for each point, where there is room */
} CurveSeries;

/* Appends a figure: a title, a legend if there are several series, axes, and for each series a line
 * of class series-0, series-1, .. (a dot where it has one point). Nothing if there are no points.
 * Names are escaped. */
void curve_plot(Text *page, const char *title, int width, int height, CurveSeries *series,
                int series_count);

#endif
