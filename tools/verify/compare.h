/* Comparing what was computed with what is expected: errors by group of tensors, each against its
 * tolerance, and the report of all of them. A tensor may take part in several groups. */
#ifndef SPARKC_TOOLS_VERIFY_COMPARE_H
#define SPARKC_TOOLS_VERIFY_COMPARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"

typedef struct Comparison Comparison;

/* An empty comparison in an arena. */
Comparison *compare_create(Arena *arena);

/* States that `metric` of `group` must stay within `tolerance`. A group that was required and then
 * compared with nothing fails at the end, unless it is made optional. Metrics that
 * compare_values computes, each over one tensor:
 *     max  largest absolute difference / largest absolute value expected
 *     l2   L2 norm of the difference / L2 norm of the values expected
 *     rel  the same as max, the word for single numbers
 *     abs  largest absolute difference */
void compare_require(Comparison *comparison, const char *group, const char *metric,
                     double tolerance);
void compare_make_optional(Comparison *comparison, const char *group);

/* The group is shown beside its tolerances, but another one decides: it fails only by an error that
 * is not finite. It must be there. */
void compare_make_shown(Comparison *comparison, const char *group);

/* True if the group has requirements. */
bool compare_has_group(const Comparison *comparison, const char *group);

/* Compares a tensor in all metrics that its group requires. An expectation that is all zero asks
 * for zeros. A value that is not finite is an infinite error. */
void compare_values(Comparison *comparison, const char *group, const char *tensor,
                    const double *actual, const double *expected, size_t count);

/* Notes an error found otherwise; metrics that are not required are ignored. */
void compare_error(Comparison *comparison, const char *group, const char *metric,
                   const char *tensor, double error);

/* The same with a tolerance of its own, such as one per step; adds the group. */
void compare_error_within(Comparison *comparison, const char *group, const char *metric,
                          const char *tensor, double error, double tolerance);

/* A fact that must hold exactly: adds one to the failures of the group if it does not, and says so
 * in the problems. */
void compare_fact(Comparison *comparison, const char *group, bool holds, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Something that could not be compared: the whole comparison fails. */
void compare_problem(Comparison *comparison, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* |a - b| relative to |b|; infinite if a is not finite or b is 0 and a is not. */
double compare_relative(double actual, double expected);

/* True if something was measured, all of it is within its tolerance, and there is no problem. */
bool compare_passed(const Comparison *comparison);

/* The table, a line per group and metric, then the problems. */
void compare_print(const Comparison *comparison, FILE *out, bool color);

/* {"passed": .., "groups": [{"group", "metric", "error", "tolerance", "tensors", "worst",
 * "passed", "decides"}], "problems": [..]}; an infinite error is null. The caller owns the reference. */
json_t *compare_json(const Comparison *comparison);

#endif
