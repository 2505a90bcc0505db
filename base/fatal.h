/* The two ways a process ends early. A mistake of the user's is neither: it is a diagnostic
 * (base/diagnostics.h) or a status (base/status.h). */
#ifndef SPARKC_BASE_FATAL_H
#define SPARKC_BASE_FATAL_H

/* The machine cannot go on (no memory): prints "sparkc: <message>" to stderr, exits with 1. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A fact that the code relies on does not hold: prints where and what, aborts. */
#define invariant(condition, ...)                                                                  \
    ((condition) ? (void)0 : invariant_failed(__FILE__, __LINE__, __VA_ARGS__))
_Noreturn void invariant_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
