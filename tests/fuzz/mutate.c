#include "tests/fuzz/mutate.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST_RUN = 40, LONGEST_NUMBER = 18, FAR = 64 };

/* Texts that break what mere bytes seldom do. */
static const char *const pieces[] = {
    "0",     "-1",   "2147483647", "2147483648", "9223372036854775807",
    "\"",    "\n",   "{}",         "()",         "_",
    "x",     ", ",   "//",         "%",          "nan",
    "\\x00", "1e999"};

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

size_t mutate_below(uint64_t *state, size_t limit) {
    return limit ? (size_t)next_random(state) % limit : 0;
}

/* A stretch of a text. */
typedef struct Stretch {
    size_t begin, length;
} Stretch;

static Stretch choose(uint64_t *state, const Text *text) {
    size_t begin = mutate_below(state, text->length), rest = text->length - begin;
    size_t length = 1 + mutate_below(state, LONGEST_RUN);
    return (Stretch){begin, length < rest ? length : rest};
}

/* `text` with a stretch replaced by `length` bytes. */
static Text splice(const Text *text, Stretch stretch, const char *bytes, size_t length) {
    Text result = text_create(text->arena);
    size_t end = stretch.begin + stretch.length;
    text_append_bytes(&result, text->data, stretch.begin);
    text_append_bytes(&result, bytes, length);
    text_append_bytes(&result, text->data + end, text->length - end);
    return result;
}

Text mutate_bytes(uint64_t *state, const Text *text) {
    Stretch stretch = choose(state, text), other = choose(state, text);
    const char *piece = pieces[mutate_below(state, sizeof pieces / sizeof *pieces)];
    char byte = (char)mutate_below(state, 256);
    switch (mutate_below(state, 5)) {
    case 0:
        return splice(text, stretch, "", 0);
    case 1:
        return splice(text, stretch, piece, strlen(piece));
    case 2:
        return splice(text, (Stretch){stretch.begin, 0}, piece, strlen(piece));
    case 3:
        return splice(text, (Stretch){stretch.begin, 0}, text->data + other.begin, other.length);
    default:
        return splice(text, (Stretch){stretch.begin, stretch.length > 0}, &byte, 1);
    }
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static bool is_digit(const Text *text, size_t at) {
    return at < text->length && isdigit((unsigned char)text->data[at]);
}

/* The first number at or behind a place, from the beginning again at the end; of length 0 if there
 * is none. */
static Stretch find_number(const Text *text, size_t from) {
    size_t begin = from, tried = 0;
    while (tried++ < text->length && !is_digit(text, begin))
        begin = begin + 1 < text->length ? begin + 1 : 0;
    while (begin > 0 && is_digit(text, begin) && is_digit(text, begin - 1))
        begin--;
    Stretch number = {begin, 0};
    while (number.length < LONGEST_NUMBER && is_digit(text, begin + number.length))
        number.length++;
    return number;
}

static Stretch choose_number(uint64_t *state, const Text *text) {
    return find_number(text, mutate_below(state, text->length));
}

static int64_t value_of(const Text *text, Stretch number) {
    int64_t value = 0;
    for (size_t i = 0; i < number.length; i++)
        value = 10 * value + (text->data[number.begin + i] - '0');
    return value;
}

Text mutate_number(uint64_t *state, const Text *text) {
    Stretch number = choose_number(state, text), other = choose_number(state, text);
    if (number.length == 0)
        return mutate_bytes(state, text);
    int64_t value = value_of(text, number);
    const int64_t values[] = {value + 1, value - 1,
                              2 * value, value / 2,
                              -value,    value_of(text, other),
                              0,         (int64_t)mutate_below(state, FAR)};
    char digits[24];
    int64_t chosen = values[mutate_below(state, sizeof values / sizeof *values)];
    int length = snprintf(digits, sizeof digits, "%" PRId64, chosen);
    return splice(text, number, digits, (size_t)length);
}
