/* A unit test program is its suites and this main. */
#ifndef SPARKC_TESTS_UNIT_HARNESS_H
#define SPARKC_TESTS_UNIT_HARNESS_H

#include <CUnit/CUnit.h>

/* The suites of the program, ended by CU_SUITE_INFO_NULL; each program defines its own. The main
 * runs them all and exits with 1 if an assertion failed or no test ran. */
extern CU_SuiteInfo harness_suites[];

/* A row of harness_suites without set-up and tear-down. */
#define HARNESS_SUITE(name, tests)                                                                 \
    { name, NULL, NULL, NULL, NULL, tests }

/* 1 in builds with the address sanitizer, which takes memory of its own. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define HARNESS_SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define HARNESS_SANITIZED 1
#endif
#ifndef HARNESS_SANITIZED
#define HARNESS_SANITIZED 0
#endif

/* The most bytes of memory that this process has held at once. */
double harness_peak_bytes(void);

#endif
