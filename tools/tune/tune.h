/* Finding the choices with which a program's contractions are fastest: what `sparkc tune` does. */
#ifndef SPARKC_TOOLS_TUNE_TUNE_H
#define SPARKC_TOOLS_TUNE_TUNE_H

#include <jansson.h>

#include "codegen/cpu/choices.h"
#include "tools/execute/executor.h"

typedef struct TuneSettings {
    ExecutorOptions run; /* `tuning` of it is not asked */
    double seconds;      /* how long it may take, about */
    bool (*ends)(void);  /* whether to end at once, with what has been found; NULL: never */
} TuneSettings;

/* Contractions of one key: they share their choices. */
typedef struct TuneRow {
    const char *key;
    const Kernel *kernel; /* the first of them */
    int kernels;
    int64_t multiply_adds; /* of all of them */
    double usual_seconds;  /* of one of them, with the defaults; 0: not measured */
    double seconds;        /* with the choices */
    bool tried;            /* all candidates were measured */
    Choices choices;       /* the defaults unless others won */
} TuneRow;

typedef struct TuneResult {
    CpuTarget target;
    size_t count, tried, won;
    TuneRow *rows;                 /* those that take most of a step first */
    double usual_seconds, seconds; /* of all contractions of a step, those measured */
} TuneResult;

/* Called as it goes on, with what is being done. */
typedef void TuneProgress(void *context, const char *text);

/* Measures each distinct contraction of a planned program alone: by default, in half of the time at
 * most, then those that take most of a step with the candidates of each choice in turn. Others than
 * the defaults win where they are faster by a margin, and are so again in a second measurement. */
Status tune_program(Arena *arena, const Program *program, const TuneSettings *settings,
                    TuneProgress *progress, void *context, TuneResult *result);

/* Puts what was found into a tuning: choices that won, and no choices for those that lost. */
void tune_keep(const TuneResult *result, CpuTuning *tuning);

/* A table; the same and more as JSON. */
void tune_print(const TuneResult *result);
json_t *tune_json(const TuneResult *result);

#endif
