/* The search goes choice by choice: all candidates of one are measured beside the best so far, in
 * rounds of one measurement each, and compared by the median of the rounds' ratios. So what
 * disturbs a round disturbs all that is compared in it. */
#include "tools/tune/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/tune/lone.h"

enum {
    FIRST_ROUNDS = 2, /* of all */
    ROUNDS = 5,
    LAST_ROUNDS = 9,
    MOST_VARIANTS = CHOICE_MOST_CANDIDATES + 1,
    MOST_RUNS = 64
};

static const double margin = 0.97;       /* what wins takes at most this share of the time */
static const double measurement = 0.004; /* seconds of one at least, in several runs if need be */

typedef struct Tuner {
    Arena *arena;
    const TuneSettings *settings;
    LoneHost host;
    double deadline;
    TuneProgress *progress;
    void *context;
    TuneResult *result;
} Tuner;

static bool is_over(const Tuner *tuner) {
    return (tuner->settings->ends && tuner->settings->ends()) || clock_seconds() > tuner->deadline;
}

static int runs_of(double seconds) {
    double runs = ceil(measurement / fmax(seconds, 1e-9));
    return runs < (double)MOST_RUNS ? (int)runs : (int)MOST_RUNS;
}

/* ---- Contractions ---------------------------------------------------------------------------- */

static TuneRow *row_of(TuneResult *result, const char *key) {
    for (size_t i = 0; i < result->count; i++)
        if (strcmp(result->rows[i].key, key) == 0)
            return &result->rows[i];
    return NULL;
}

static int larger_first(const void *a, const void *b) {
    const TuneRow *x = a, *y = b;
    return x->multiply_adds != y->multiply_adds
               ? (x->multiply_adds < y->multiply_adds) - (x->multiply_adds > y->multiply_adds)
               : strcmp(x->key, y->key);
}

/* Those that compute most come first. */
static void collect(Tuner *tuner) {
    const Program *program = tuner->host.program;
    TuneResult *result = tuner->result;
    result->rows = arena_new_array(tuner->arena, TuneRow, program->kernels.count + 1);
    for (size_t i = 0; i < program->kernels.count; i++) {
        const Kernel *kernel = program->kernels.items[i];
        const char *key = tuning_key(tuner->arena, program, kernel, tuner->host.target);
        TuneRow *row = key ? row_of(result, key) : NULL;
        if (!key)
            continue;
        if (!row) {
            row = &result->rows[result->count++];
            *row = (TuneRow){.key = key, .kernel = kernel};
        }
        row->kernels++;
        row->multiply_adds += kernel_multiply_adds(program, kernel);
    }
    qsort(result->rows, result->count, sizeof *result->rows, larger_first);
}

static double step_seconds(const TuneRow *row) {
    return row->kernels * row->usual_seconds;
}

static int slower_first(const void *a, const void *b) {
    const TuneRow *x = a, *y = b;
    double s = step_seconds(x), t = step_seconds(y);
    return s != t ? (s < t) - (s > t) : strcmp(x->key, y->key);
}

/* ---- Measuring ------------------------------------------------------------------------------- */

/* Variants beside variant 0, and what came out: medians over the rounds. */
typedef struct Contest {
    int count, variants[MOST_VARIANTS];
    Choices choices[MOST_VARIANTS];
    double seconds[MOST_VARIANTS][LAST_ROUNDS];
    double ratio[MOST_VARIANTS]; /* of the time, to that of the first */
} Contest;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_size);
    return 0.5 * (values[(count - 1) / 2] + values[count / 2]);
}

/* Adds choices, unless another entry does the same work. */
static Status enter(Lone *lone, const Choices *choices, Contest *contest) {
    int variant;
    status_return_if_failed(lone_add(lone, choices, &variant));
    for (int i = 0; i < contest->count; i++)
        if (contest->variants[i] == variant)
            return STATUS_FINE;
    contest->choices[contest->count] = *choices;
    contest->variants[contest->count++] = variant;
    return STATUS_FINE;
}

/* After some rounds; those who have left keep the ratio with which they did. */
static void judge(Contest *contest, int rounds) {
    for (int i = 0; i < contest->count; i++) {
        double ratios[LAST_ROUNDS];
        for (int r = 0; r < rounds; r++)
            ratios[r] = contest->seconds[i][r] / contest->seconds[0][r];
        if (contest->seconds[i][rounds - 1] > 0)
            contest->ratio[i] = median(ratios, rounds);
    }
}

/* False if the time is over before all rounds are. Who is not faster than the first after two
 * rounds leaves; with nobody left there are no more. */
static bool hold(const Tuner *tuner, Lone *lone, double usual_seconds, int rounds,
                 Contest *contest) {
    int runs = runs_of(usual_seconds), left = contest->count;
    for (int r = 0; r < rounds && left > 1; r++) {
        left = 0;
        for (int i = 0; i < contest->count; i++) {
            int turn = (i + r) % contest->count;
            if (is_over(tuner))
                return false;
            if (turn > 0 && r >= FIRST_ROUNDS && contest->ratio[turn] >= 1)
                continue;
            contest->seconds[turn][r] = lone_seconds(lone, contest->variants[turn], runs);
            left++;
        }
        judge(contest, r + 1);
    }
    return true;
}

/* All candidates of one choice beside the best so far. */
static Status try_choice(Tuner *tuner, Lone *lone, const TuneRow *row, ChoiceName name,
                         Choices *best, bool *done) {
    const LoneHost *host = &tuner->host;
    Contest contest = {0};
    int values[CHOICE_MOST_CANDIDATES], winner = 0;
    int count = choices_candidates(host->program, row->kernel, host->target, name, values);
    status_return_if_failed(enter(lone, best, &contest));
    for (int i = 0; i < count; i++) {
        Choices choices = *best;
        choices.value[name] = values[i];
        status_return_if_failed(enter(lone, &choices, &contest));
    }
    if (contest.count == 1)
        return STATUS_FINE;
    *done = hold(tuner, lone, row->usual_seconds, ROUNDS, &contest);
    for (int i = 1; *done && i < contest.count; i++)
        winner = contest.ratio[i] < contest.ratio[winner] ? i : winner;
    if (*done && contest.ratio[winner] < margin)
        *best = contest.choices[winner];
    return STATUS_FINE;
}

/* The best beside the defaults, once more. */
static Status confirm(Tuner *tuner, Lone *lone, const Choices *best, TuneRow *row) {
    Contest contest = {0};
    status_return_if_failed(enter(lone, &(Choices){0}, &contest));
    status_return_if_failed(enter(lone, best, &contest));
    row->tried = hold(tuner, lone, row->usual_seconds, LAST_ROUNDS, &contest);
    if (!row->tried || contest.count == 1)
        return STATUS_FINE;
    if (contest.ratio[1] >= margin)
        return STATUS_FINE;
    row->choices = *best;
    row->usual_seconds = median(contest.seconds[0], LAST_ROUNDS);
    row->seconds = row->usual_seconds * contest.ratio[1];
    return STATUS_FINE;
}

static Status search(Tuner *tuner, Lone *lone, TuneRow *row) {
    Choices best = {0};
    bool done = row->usual_seconds > 0;
    for (int name = 0; done && name < CHOICE_NAMES; name++)
        status_return_if_failed(try_choice(tuner, lone, row, (ChoiceName)name, &best, &done));
    return done ? confirm(tuner, lone, &best, row) : STATUS_FINE;
}

/* How long it takes by default. Half of the time at most goes into that, from the largest one on:
 * what is left then is small. */
static Status survey(Tuner *tuner, Lone *lone, TuneRow *row) {
    int variant;
    (void)tuner;
    status_return_if_failed(lone_add(lone, &(Choices){0}, &variant));
    row->usual_seconds = row->seconds = lone_seconds(lone, variant, 2);
    return STATUS_FINE;
}

/* ---- All ------------------------------------------------------------------------------------- */

typedef Status Measurement(Tuner *tuner, Lone *lone, TuneRow *row);

static Status measure_row(Tuner *tuner, Measurement *measurement_of, TuneRow *row) {
    Arena *arena = arena_create();
    Lone *lone;
    Status status = lone_create(arena, &tuner->host, row->kernel, &lone);
    if (status_fine(status))
        status = measurement_of(tuner, lone, row);
    lone_destroy(lone);
    if (!status_fine(status))
        status = status_failure(tuner->arena, "%s", status.message);
    arena_destroy(arena);
    return status;
}

static Status measure_all(Tuner *tuner, Measurement *measurement_of, const char *what) {
    TuneResult *result = tuner->result;
    for (size_t i = 0; i < result->count && !is_over(tuner); i++) {
        TuneRow *row = &result->rows[i];
        tuner->progress(tuner->context, arena_format(tuner->arena, "%s %zu of %zu: %s", what, i + 1,
                                                     result->count, row->kernel->name));
        status_return_if_failed(measure_row(tuner, measurement_of, row));
    }
    return STATUS_FINE;
}

static void sum_up(TuneResult *result) {
    for (size_t i = 0; i < result->count; i++) {
        const TuneRow *row = &result->rows[i];
        result->usual_seconds += row->kernels * row->usual_seconds;
        result->seconds += row->kernels * row->seconds;
        result->tried += row->tried;
        result->won += row->seconds < row->usual_seconds;
    }
}

static Status measure(Tuner *tuner) {
    TuneResult *result = tuner->result;
    double start = clock_seconds(), seconds = tuner->settings->seconds;
    status_return_if_failed(lone_host_fill(tuner->arena, &tuner->host));
    tuner->deadline = start + seconds / 2;
    status_return_if_failed(measure_all(tuner, survey, "measuring contraction"));
    tuner->deadline = start + seconds;
    qsort(result->rows, result->count, sizeof *result->rows, slower_first);
    status_return_if_failed(measure_all(tuner, search, "tuning contraction"));
    sum_up(result);
    return STATUS_FINE;
}

Status tune_program(Arena *arena, const Program *program, const TuneSettings *settings,
                    TuneProgress *progress, void *context, TuneResult *result) {
    *result = (TuneResult){0};
    Tuner tuner = {.arena = arena,
                   .settings = settings,
                   .host = {.program = program,
                            .target = &result->target,
                            .compile_threads = settings->run.threads,
                            .cache = settings->run.cache},
                   .progress = progress,
                   .context = context,
                   .result = result};
    status_return_if_failed(cpu_target(arena, NULL, settings->run.cpu, false, &result->target));
    status_return_if_failed(cpu_accepts(arena, program));
    status_return_if_failed(threads_create(arena, settings->run.threads, &tuner.host.threads));
    collect(&tuner);
    Status status = measure(&tuner);
    lone_host_free(&tuner.host);
    threads_destroy(tuner.host.threads);
    return status;
}

void tune_keep(const TuneResult *result, CpuTuning *tuning) {
    for (size_t i = 0; i < result->count; i++) {
        const TuneRow *row = &result->rows[i];
        if (row->seconds < row->usual_seconds)
            tuning_set(tuning, row->key, &row->choices);
        else if (row->tried)
            tuning_remove(tuning, row->key);
    }
}
