#include "tools/verify/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/vector.h"

/* One metric of one group; error and tolerance are those of the worst tensor. */
typedef struct Measure {
    const char *group, *metric;
    double tolerance, error;
    const char *worst;
    size_t tensors;
    bool optional, shown;
} Measure;

enum { MAX_PROBLEMS = 20 };

struct Comparison {
    Arena *arena;
    VECTOR(Measure) measures;
    VECTOR(const char *) problems;
    size_t problem_count; /* those that are not kept included */
};

Comparison *compare_create(Arena *arena) {
    Comparison *comparison = arena_new(arena, Comparison);
    comparison->arena = arena;
    return comparison;
}

static Measure *find(const Comparison *comparison, const char *group, const char *metric) {
    for (size_t i = 0; i < comparison->measures.count; i++) {
        Measure *measure = &comparison->measures.items[i];
        if (strcmp(measure->group, group) == 0 && strcmp(measure->metric, metric) == 0)
            return measure;
    }
    return NULL;
}

static const char *keep(Comparison *comparison, const char *text) {
    return arena_copy_text(comparison->arena, text, strlen(text));
}

void compare_require(Comparison *comparison, const char *group, const char *metric,
                     double tolerance) {
    Measure measure = {.group = keep(comparison, group),
                       .metric = keep(comparison, metric),
                       .tolerance = tolerance};
    vector_push(comparison->arena, &comparison->measures, measure);
}

void compare_make_optional(Comparison *comparison, const char *group) {
    for (size_t i = 0; i < comparison->measures.count; i++) {
        if (strcmp(comparison->measures.items[i].group, group) == 0)
            comparison->measures.items[i].optional = true;
    }
}

void compare_make_shown(Comparison *comparison, const char *group) {
    for (size_t i = 0; i < comparison->measures.count; i++) {
        if (strcmp(comparison->measures.items[i].group, group) == 0)
            comparison->measures.items[i].shown = true;
    }
}

bool compare_has_group(const Comparison *comparison, const char *group) {
    for (size_t i = 0; i < comparison->measures.count; i++) {
        if (strcmp(comparison->measures.items[i].group, group) == 0)
            return true;
    }
    return false;
}

/* How far an error goes into its tolerance: above 1 is a failure. */
static double share(double error, double tolerance) {
    if (error == 0)
        return 0;
    return tolerance > 0 ? error / tolerance : (double)INFINITY;
}

static bool worse(const Measure *measure, double error, double tolerance) {
    double now = share(error, tolerance), before = share(measure->error, measure->tolerance);
    return measure->worst == NULL || now > before || (now == before && error > measure->error);
}

static void record(Comparison *comparison, Measure *measure, const char *tensor, double error,
                   double tolerance) {
    error = isnan(error) ? (double)INFINITY : error;
    if (worse(measure, error, tolerance)) {
        measure->error = error;
        measure->tolerance = tolerance;
        measure->worst = keep(comparison, tensor);
    }
    measure->tensors++;
}

void compare_error(Comparison *comparison, const char *group, const char *metric,
                   const char *tensor, double error) {
    Measure *measure = find(comparison, group, metric);
    if (measure)
        record(comparison, measure, tensor, error, measure->tolerance);
}

void compare_error_within(Comparison *comparison, const char *group, const char *metric,
                          const char *tensor, double error, double tolerance) {
    if (!find(comparison, group, metric))
        compare_require(comparison, group, metric, tolerance);
    record(comparison, find(comparison, group, metric), tensor, error, tolerance);
}

typedef struct Norms {
    double difference_max, difference_square, expected_max, expected_square;
    bool finite;
} Norms;

static Norms norms_of(const double *actual, const double *expected, size_t count) {
    Norms norms = {.finite = true};
    for (size_t i = 0; i < count; i++) {
        double difference = fabs(actual[i] - expected[i]), magnitude = fabs(expected[i]);
        norms.finite = norms.finite && isfinite(difference);
        norms.difference_max = fmax(norms.difference_max, difference);
        norms.difference_square += difference * difference;
        norms.expected_max = fmax(norms.expected_max, magnitude);
        norms.expected_square += magnitude * magnitude;
    }
    return norms;
}

static double ratio(double difference, double expected) {
    if (difference == 0)
        return 0;
    return expected > 0 ? difference / expected : (double)INFINITY;
}

void compare_values(Comparison *comparison, const char *group, const char *tensor,
                    const double *actual, const double *expected, size_t count) {
    Norms norms = norms_of(actual, expected, count);
    double max = ratio(norms.difference_max, norms.expected_max);
    double l2 = ratio(sqrt(norms.difference_square), sqrt(norms.expected_square));
    const struct {
        const char *metric;
        double error;
    } errors[] = {{"max", max}, {"rel", max}, {"l2", l2}, {"abs", norms.difference_max}};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        compare_error(comparison, group, errors[i].metric, tensor,
                      norms.finite ? errors[i].error : (double)INFINITY);
}

double compare_relative(double actual, double expected) {
    return isfinite(actual) ? ratio(fabs(actual - expected), fabs(expected)) : (double)INFINITY;
}

static void add_problem(Comparison *comparison, const char *format, va_list arguments) {
    comparison->problem_count++;
    if (comparison->problems.count >= MAX_PROBLEMS)
        return;
    const char *text = arena_vformat(comparison->arena, format, arguments);
    vector_push(comparison->arena, &comparison->problems, text);
}

void compare_fact(Comparison *comparison, const char *group, bool holds, const char *format, ...) {
    if (!find(comparison, group, "exact"))
        compare_require(comparison, group, "exact", 0);
    Measure *measure = find(comparison, group, "exact");
    measure->tensors++;
    if (holds)
        return;
    va_list arguments;
    va_start(arguments, format);
    if (!measure->worst)
        measure->worst = "see below";
    measure->error += 1;
    add_problem(comparison, format, arguments);
    va_end(arguments);
}

void compare_problem(Comparison *comparison, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_problem(comparison, format, arguments);
    va_end(arguments);
}

static bool measure_passed(const Measure *measure) {
    if (measure->tensors == 0)
        return measure->optional;
    return measure->shown ? isfinite(measure->error) : measure->error <= measure->tolerance;
}

bool compare_passed(const Comparison *comparison) {
    for (size_t i = 0; i < comparison->measures.count; i++) {
        if (!measure_passed(&comparison->measures.items[i]))
            return false;
    }
    return comparison->problem_count == 0 && comparison->measures.count > 0;
}

static void print_verdict(FILE *out, const Measure *measure, bool color) {
    bool passed = measure_passed(measure), beyond = measure->error > measure->tolerance;
    const char *word = !passed ? "FAILED" : measure->shown && beyond ? "beyond (shown)" : "ok";
    if (color)
        fprintf(out, "\033[%sm%s\033[0m\n", passed ? "32" : "1;31", word);
    else
        fprintf(out, "%s\n", word);
}

/* Of the column of groups. */
static int group_width(const Comparison *comparison) {
    size_t width = 22;
    for (size_t i = 0; i < comparison->measures.count; i++) {
        size_t length = strlen(comparison->measures.items[i].group);
        width = length > width ? length : width;
    }
    return (int)width;
}

static void print_measure(const Measure *measure, int width, FILE *out, bool color) {
    fprintf(out, "%-*s %-6s", width, measure->group, measure->metric);
    if (measure->tensors == 0)
        fprintf(out, " %9s", "-");
    else
        fprintf(out, " %9.2e", measure->error);
    fprintf(out, " %9.2e %8zu  %-52s ", measure->tolerance, measure->tensors,
            measure->worst         ? measure->worst
            : measure->tensors > 0 ? "-"
                                   : "nothing was compared");
    print_verdict(out, measure, color);
}

void compare_print(const Comparison *comparison, FILE *out, bool color) {
    int width = group_width(comparison);
    fprintf(out, "%-*s %-6s %9s %9s %8s  %-52s\n", width, "group", "metric", "error", "tolerance",
            "tensors", "worst");
    for (size_t i = 0; i < comparison->measures.count; i++)
        print_measure(&comparison->measures.items[i], width, out, color);
    for (size_t i = 0; i < comparison->problems.count; i++)
        fprintf(out, "problem: %s\n", comparison->problems.items[i]);
    if (comparison->problem_count > comparison->problems.count)
        fprintf(out, "problem: and %zu more\n",
                comparison->problem_count - comparison->problems.count);
}

static json_t *measure_json(const Measure *measure) {
    json_t *error =
        measure->tensors > 0 && isfinite(measure->error) ? json_real(measure->error) : json_null();
    return json_pack("{s:s, s:s, s:o, s:f, s:I, s:s?, s:b, s:b}", "group", measure->group, "metric",
                     measure->metric, "error", error, "tolerance", measure->tolerance, "tensors",
                     (json_int_t)measure->tensors, "worst", measure->worst, "passed",
                     (int)measure_passed(measure), "decides", (int)!measure->shown);
}

json_t *compare_json(const Comparison *comparison) {
    json_t *groups = json_array(), *problems = json_array();
    for (size_t i = 0; i < comparison->measures.count; i++)
        json_array_append_new(groups, measure_json(&comparison->measures.items[i]));
    for (size_t i = 0; i < comparison->problems.count; i++)
        json_array_append_new(problems, json_string(comparison->problems.items[i]));
    return json_pack("{s:b, s:o, s:o, s:I}", "passed", (int)compare_passed(comparison), "groups",
                     groups, "problems", problems, "problem_count",
                     (json_int_t)comparison->problem_count);
}
