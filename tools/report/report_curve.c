#include "tools/report/report_curve.h"

#include <math.h>

#include "tools/report/report_html.h"

enum { LEFT = 68, RIGHT = 16, TOP = 10, BOTTOM = 30, MOST_DOTS = 80 };

/* Of the points from `first` to before `end` the least and the greatest, as they follow. */
static size_t keep_extremes(CurvePoint *kept, const CurvePoint *points, size_t first, size_t end) {
    size_t least = first, greatest = first;
    for (size_t i = first; i < end; i++) {
        least = points[i].value < points[least].value ? i : least;
        greatest = points[i].value > points[greatest].value ? i : greatest;
    }
    size_t earlier = least < greatest ? least : greatest;
    size_t later = least < greatest ? greatest : least;
    CurvePoint a = points[earlier], b = points[later];
    kept[0] = a;
    if (earlier == later)
        return 1;
    kept[1] = b;
    return 2;
}

size_t curve_thin(CurvePoint *points, size_t count, size_t most) {
    if (count <= most)
        return count;
    size_t stretches = (most - 2) / 2, inner = count - 2, kept = 1;
    CurvePoint last = points[count - 1];
    for (size_t i = 0; i < stretches; i++) {
        size_t first = 1 + inner * i / stretches, end = 1 + inner * (i + 1) / stretches;
        kept += keep_extremes(points + kept, points, first, end);
    }
    points[kept++] = last;
    return kept;
}

/* An axis: the values at its ends, the distance of its ticks, the places of the ends. */
typedef struct Axis {
    double low, high, tick, from, to;
} Axis;

static double place(const Axis *axis, double value) {
    return axis->from + (value - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

/* 1, 2 or 5 times a power of ten, so that there are up to about `ticks`. */
static double tick_distance(double range, int ticks) {
    double least = range / ticks, power = pow(10, floor(log10(least)));
    for (int i = 0; i < 3; i++) {
        static const double factors[] = {1, 2, 5};
        if (power * factors[i] >= least * (1 - 1e-9))
            return power * factors[i];
    }
    return power * 10;
}

/* Room around values that hardly differ. */
static void choose_range(Axis *axis, int ticks) {
    double size = fmax(fabs(axis->low), fabs(axis->high));
    if (!(axis->high - axis->low > size * 1e-6)) {
        double room = size > 0 ? size * 0.05 : 1;
        axis->low -= room;
        axis->high += room;
    }
    axis->tick = tick_distance(axis->high - axis->low, ticks);
}

static void join_ranges(const CurveSeries *series, int count, Axis *x, Axis *y) {
    *x = *y = (Axis){.low = INFINITY, .high = -INFINITY};
    for (int s = 0; s < count; s++) {
        for (size_t i = 0; i < series[s].points.count; i++) {
            CurvePoint point = series[s].points.items[i];
            x->low = fmin(x->low, point.step);
            x->high = fmax(x->high, point.step);
            y->low = fmin(y->low, point.value);
            y->high = fmax(y->high, point.value);
        }
    }
}

static void plot_axes(Text *page, const Axis *x, const Axis *y) {
    double first = ceil(y->low / y->tick - 1e-9), last = floor(y->high / y->tick + 1e-9);
    text_append(page, "<g class=\"grid\">");
    for (double i = first; i <= last; i++) {
        double at = place(y, i * y->tick);
        text_append(page, "<line x1=\"%g\" y1=\"%.1f\" x2=\"%g\" y2=\"%.1f\"/>", x->from, at, x->to,
                    at);
    }
    text_append(page, "</g>\n<g class=\"labels\">");
    for (double i = first; i <= last; i++)
        text_append(page, "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%.7g</text>", x->from - 8,
                    place(y, i * y->tick) + 4, i == 0 ? 0 : i * y->tick);
    first = ceil(x->low / x->tick - 1e-9);
    last = floor(x->high / x->tick + 1e-9);
    for (double i = first; i <= last; i++)
        text_append(page, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%.10g</text>",
                    place(x, i * x->tick), y->from + 18, i == 0 ? 0 : i * x->tick);
    text_append(page, "</g>\n");
}

static void plot_series(Text *page, const CurveSeries *series, int number, const Axis *x,
                        const Axis *y) {
    const CurvePoints *points = &series->points;
    if (points->count > 1) {
        text_append(page, "<polyline class=\"series-%d\" points=\"", number);
        for (size_t i = 0; i < points->count; i++)
            text_append(page, "%s%.1f,%.1f", i ? " " : "", place(x, points->items[i].step),
                        place(y, points->items[i].value));
        text_append(page, "\"/>\n");
    }
    if (points->count > 1 && (!series->marked || points->count > MOST_DOTS))
        return;
    for (size_t i = 0; i < points->count; i++)
        text_append(page, "<circle class=\"series-%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", number,
                    place(x, points->items[i].step), place(y, points->items[i].value));
}

static void plot_legend(Text *page, const char *title, const CurveSeries *series, int count) {
    text_append(page, "<figcaption>");
    html_text(page, title);
    for (int s = 0; s < count; s++) {
        if (count == 1 || series[s].points.count == 0)
            continue;
        text_append(page, " <span class=\"key series-%d\">", s);
        html_text(page, series[s].name);
        text_append(page, "</span>");
    }
    text_append(page, "</figcaption>\n");
}

void curve_plot(Text *page, const char *title, int width, int height, CurveSeries *series,
                int series_count) {
    Axis x, y;
    for (int s = 0; s < series_count; s++)
        series[s].points.count =
            curve_thin(series[s].points.items, series[s].points.count, CURVE_POINTS);
    join_ranges(series, series_count, &x, &y);
    if (!(x.low <= x.high))
        return;
    choose_range(&x, width / 90);
    x.tick = fmax(1, x.tick);
    choose_range(&y, height / 45);
    x.from = LEFT;
    x.to = width - RIGHT;
    y.low = floor(y.low / y.tick + 1e-9) * y.tick;
    y.high = ceil(y.high / y.tick - 1e-9) * y.tick;
    y.from = height - BOTTOM;
    y.to = TOP;
    text_append(page, "<figure class=\"plot\">");
    plot_legend(page, title, series, series_count);
    text_append(page, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", width, height);
    html_text(page, title);
    text_append(page, "\">\n");
    plot_axes(page, &x, &y);
    for (int s = 0; s < series_count; s++)
        plot_series(page, &series[s], s, &x, &y);
    text_append(page, "</svg></figure>\n");
}
