#include "base/integer.h"

int64_t integer_add(int64_t a, int64_t b) {
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

int64_t integer_divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

int64_t integer_round_up(int64_t a, int64_t unit) {
    return integer_divide_up(a, unit) * unit;
}

bool integer_is_power_of_two(int64_t a) {
    return a > 0 && (a & (a - 1)) == 0;
}
