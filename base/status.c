#include "base/status.h"

#include <stdarg.h>

Status status_failure(Arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    Status status = {arena_vformat(arena, format, arguments)};
    va_end(arguments);
    return status;
}
