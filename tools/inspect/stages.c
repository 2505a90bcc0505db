#include "tools/inspect/stages.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ir/kernel_parse.h"
#include "ir/kernel_print.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "ir/scan.h"
#include "ir/stage.h"

/* ---- The list -------------------------------------------------------------------------------- */

int stages_last_graph(void) {
    int count;
    passes_list(&count);
    return count;
}

int stages_count(void) {
    int count;
    program_passes(&count);
    return 1 + stages_last_graph() + count;
}

const char *stages_name(int stage) {
    int graphs = stages_last_graph(), count;
    if (stage == 0)
        return stage_name(STAGE_frontend);
    return stage <= graphs ? passes_list(&count)[stage - 1].name
                           : program_passes(&count)[stage - 1 - graphs].name;
}

const char *stages_help(int stage) {
    int graphs = stages_last_graph(), count;
    if (stage == 0)
        return NULL;
    return stage <= graphs ? passes_list(&count)[stage - 1].help
                           : program_passes(&count)[stage - 1 - graphs].help;
}

int stages_find(const char *name) {
    for (int i = 0; i < stages_count(); i++) {
        if (strcmp(stages_name(i), name) == 0)
            return i;
    }
    return -1;
}

/* ---- One network ----------------------------------------------------------------------------- */

/* The first line that says something decides. */
static bool is_program_text(Arena *arena, const char *path, const char *text, size_t length) {
    Scanner scanner = scan_create(arena, diagnostics_create(arena, 1), path, text, length);
    return scan_line(&scanner) && text_starts_with(scan_place(&scanner), "sparkc program");
}

bool stages_parse(Arena *arena, Diagnostics *diagnostics, const char *file, const char *text,
                  size_t length, Staged *staged) {
    *staged = (Staged){.build = {.arena = arena}};
    if (is_program_text(arena, file, text, length))
        staged->build.program = kernel_parse(arena, diagnostics, file, text, length);
    else
        staged->graph = parse_graph(arena, diagnostics, file, text, length);
    return staged->graph || staged->build.program;
}

bool stages_read(Arena *arena, Diagnostics *diagnostics, const char *path, Staged *staged) {
    const char *error = NULL;
    size_t length = 0;
    char *text = text_read_file(arena, path, SCAN_LARGEST_FILE, &length, &error);
    if (text)
        return stages_parse(arena, diagnostics, path, text, length, staged);
    diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0}, "%s: %s", path, error);
    return false;
}

const char *stages_current_name(const Staged *staged) {
    return staged->build.program ? staged->build.program->stage : staged->graph->stage;
}

int stages_current(const Staged *staged) {
    int stage = stages_find(stages_current_name(staged));
    bool program = stage > stages_last_graph();
    return program == (staged->build.program != NULL) ? stage : -1;
}

char *stages_text(Arena *arena, const Staged *staged) {
    return staged->build.program ? kernel_print_text(arena, staged->build.program)
                                 : print_graph_text(arena, staged->graph);
}

/* ---- Starting elsewhere ---------------------------------------------------------------------- */

/* The facts that hold at a stage of the graph. */
static unsigned facts_at(int stage) {
    int count;
    const PassInfo *passes = passes_list(&count);
    unsigned facts = 0;
    for (int i = 0; i < stage; i++)
        facts = (facts & passes[i].keeps) | passes[i].gives;
    return facts;
}

/* True if no pass behind stage `begin` up to `end` does more than clean up. */
static bool only_clean_up(int begin, int end) {
    int count;
    const PassInfo *passes = passes_list(&count);
    for (int i = begin; i < end; i++) {
        if (passes[i].gives & ~(unsigned)(FACT_UNIQUE | FACT_LIVE))
            return false;
    }
    return true;
}

/* Passes of programs may be left out or run again. */
bool stages_restart(Staged *staged, int stage) {
    int now = stages_current(staged), before = stage - 1;
    if (staged->build.program) {
        if (before <= stages_last_graph())
            return false;
        staged->build.program->stage = stages_name(before);
        return true;
    }
    bool complete = before <= stages_last_graph() && (facts_at(before) & ~facts_at(now)) == 0;
    if (now < 0 || !complete || !only_clean_up(before, now))
        return false;
    staged->graph->stage = stages_name(before);
    return true;
}

/* ---- Running --------------------------------------------------------------------------------- */

typedef struct Observing {
    Staged *staged;
    StagesObserver *observer;
    void *context;
} Observing;

static void observe_graph(void *context, const PassInfo *pass, const Graph *graph, bool changed,
                          double seconds) {
    (void)pass, (void)graph;
    const Observing *observing = context;
    observing->observer(observing->context, observing->staged, changed, seconds);
}

static void observe_program(void *context, const ProgramPassInfo *pass, const Program *program,
                            bool changed, double seconds) {
    (void)pass, (void)program;
    const Observing *observing = context;
    observing->observer(observing->context, observing->staged, changed, seconds);
}

void stages_print_time(const Staged *staged, bool changed, double seconds) {
    fprintf(stderr, "%10.3f ms  %s%s\n", 1e3 * seconds, stages_current_name(staged),
            changed ? "" : "  (unchanged)");
}

bool stages_run(Staged *staged, const PassOptions *options, int until, Diagnostics *diagnostics,
                StagesObserver *observer, void *context) {
    Observing observing = {staged, observer, context};
    int graphs = stages_last_graph();
    staged->build.rewrites = options->rewrites;
    staged->build.precision = options->precision;
    if (staged->build.program)
        observer(context, staged, true, 0);
    else if (!passes_run(staged->graph, options, until < graphs ? stages_name(until) : NULL,
                         diagnostics, observe_graph, &observing))
        return false;
    if (until <= graphs)
        return true;
    staged->build.graph = staged->graph;
    return program_passes_run(&staged->build, stages_name(until), diagnostics, observe_program,
                              &observing);
}
