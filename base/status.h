/* The result of an operation that can fail for reasons outside the program (files, weights,
 * devices): fine, or a sentence for the user. Messages live in the arena given at failure. */
#ifndef SPARKC_BASE_STATUS_H
#define SPARKC_BASE_STATUS_H

#include <stdbool.h>

#include "base/arena.h"

typedef struct Status {
    const char *message; /* NULL when all is well; else what, where, and what to do */
} Status;

#define STATUS_FINE ((Status){NULL})

static inline bool status_fine(Status status) {
    return status.message == NULL;
}

/* A failure; the message is formatted into `arena`. */
Status status_failure(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns from the calling function with the failure, if it is one. */
#define status_return_if_failed(expression)                                                        \
    do {                                                                                           \
        Status status_result_ = (expression);                                                      \
        if (!status_fine(status_result_))                                                          \
            return status_result_;                                                                 \
    } while (0)

#endif
