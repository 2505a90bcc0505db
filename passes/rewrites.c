#include "passes/rewrites.h"

#include <stdarg.h>
#include <stdio.h>

bool rewrites_may(const Rewrites *rewrites) {
    return !rewrites || rewrites->limit < 0 || rewrites->done < rewrites->limit;
}

void rewrites_count(Rewrites *rewrites, const char *pass, const char *format, ...) {
    if (!rewrites)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(rewrites->what, sizeof rewrites->what, format, arguments);
    va_end(arguments);
    rewrites->pass = pass;
    rewrites->done++;
}
