/* Whole numbers, none of them negative. */
#ifndef SPARKC_BASE_INTEGER_H
#define SPARKC_BASE_INTEGER_H

#include <stdbool.h>
#include <stdint.h>

/* a + b; INT64_MAX where that is too much. */
int64_t integer_add(int64_t a, int64_t b);

/* a / b, rounded up; b is at least 1, a + b does not overflow. */
int64_t integer_divide_up(int64_t a, int64_t b);

/* The least multiple of `unit` that is not less than a. */
int64_t integer_round_up(int64_t a, int64_t unit);

/* 1, 2, 4, ..; false for anything else, negative numbers included. */
bool integer_is_power_of_two(int64_t a);

#endif
