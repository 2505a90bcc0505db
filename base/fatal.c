#include "base/fatal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void fatal(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("sparkc: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void invariant_failed(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "sparkc: internal error at %s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fputs("\nThis is a mistake in sparkc, not in your input; please report it.\n", stderr);
    va_end(arguments);
    abort();
}
