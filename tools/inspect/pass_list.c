#include "tools/inspect/pass_list.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "ir/kernel_verify.h"
#include "ir/verify.h"

static const char separators[] = ", ";

typedef struct PassList {
    Staged *staged;
    const PassListOptions *options;
    Diagnostics *diagnostics;
} PassList;

/* ---- Names ----------------------------------------------------------------------------------- */

/* The next name of a list, which moves on; NULL at its end. */
static const char *next_name(Arena *arena, const char **list) {
    const char *begin = *list + strspn(*list, separators);
    size_t length = strcspn(begin, separators);
    *list = begin + length;
    return length ? arena_copy_text(arena, begin, length) : NULL;
}

static const PassInfo *find_pass(const char *name) {
    int stage = stages_find(name), count;
    return stage >= 1 && stage <= stages_last_graph() ? &passes_list(&count)[stage - 1] : NULL;
}

static const ProgramPassInfo *find_program_pass(const char *name) {
    int stage = stages_find(name), count, graphs = stages_last_graph();
    return stage > graphs ? &program_passes(&count)[stage - 1 - graphs] : NULL;
}

const char *pass_list_unknown(Arena *arena, const char *passes) {
    const char *name;
    while ((name = next_name(arena, &passes))) {
        if (!find_pass(name) && !find_program_pass(name))
            return name;
    }
    return NULL;
}

/* ---- Checking -------------------------------------------------------------------------------- */

static bool verify(const PassList *list) {
    const Staged *staged = list->staged;
    return staged->build.program ? kernel_verify(staged->build.program, list->diagnostics)
                                 : verify_graph(staged->graph, list->diagnostics);
}

void pass_list_check_text(const Staged *staged, Diagnostics *diagnostics) {
    Arena *arena = staged->build.arena;
    const char *text = stages_text(arena, staged);
    Diagnostics *messages = diagnostics_create(arena, 5);
    Staged again;
    if (!stages_parse(arena, messages, "printed", text, strlen(text), &again))
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "after %s the text does not read back:\n%s", stages_current_name(staged),
                           diagnostics_text(messages, false));
    else if (strcmp(stages_text(arena, &again), text) != 0)
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "after %s print -> parse -> print is not the identity",
                           stages_current_name(staged));
}

/* Everything but the line of the stage, which a pass sets, and the head of the text. */
static bool same_but_stage(const char *before, const char *after) {
    const char *a = strstr(before, "\nstage "), *b = strstr(after, "\nstage ");
    return a && b && strcmp(strchr(a + 1, '\n'), strchr(b + 1, '\n')) == 0;
}

static void check_each(const PassList *list, const char *name, const char *before, bool changed) {
    const char *after = stages_text(list->staged->build.arena, list->staged);
    if (!changed && !same_but_stage(before, after))
        diagnostics_report(list->diagnostics, SEVERITY_ERROR, (Location){0},
                           "%s says that it changed nothing", name);
    if (verify(list))
        pass_list_check_text(list->staged, list->diagnostics);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* What is there is what the pass works on. */
static bool check_kind(const PassList *list, const PassInfo *pass, const char *name) {
    const Staged *staged = list->staged;
    bool lowers = !pass && stages_find(name) == stages_last_graph() + 1;
    bool graph = !staged->build.program;
    if (pass || lowers ? graph : !graph)
        return true;
    diagnostics_report(list->diagnostics, SEVERITY_ERROR, (Location){0},
                       graph ? "%s works on a program; lower makes one"
                             : "%s works on a graph, and there is a program already",
                       name);
    return false;
}

static bool run_graph_pass(PassList *list, const PassInfo *pass) {
    bool changed = pass->run(list->staged->graph, &list->options->pass, list->diagnostics);
    list->staged->graph->stage = pass->name;
    return changed;
}

static bool run_program_pass(PassList *list, const ProgramPassInfo *pass) {
    ProgramBuild *build = &list->staged->build;
    build->graph = list->staged->graph;
    build->rewrites = list->options->pass.rewrites;
    build->precision = list->options->pass.precision;
    bool changed = pass->run(build, list->diagnostics);
    if (build->program)
        build->program->stage = pass->name;
    return changed;
}

/* False if that ends the list. */
static bool run_pass(PassList *list, const char *name, StagesObserver *observer, void *context) {
    const PassInfo *pass = find_pass(name);
    int errors = diagnostics_error_count(list->diagnostics);
    if (!check_kind(list, pass, name))
        return false;
    bool each = list->options->verify_each;
    const char *before = each ? stages_text(list->staged->build.arena, list->staged) : NULL;
    double start = clock_seconds();
    bool changed =
        pass ? run_graph_pass(list, pass) : run_program_pass(list, find_program_pass(name));
    double seconds = clock_seconds() - start;
    if (diagnostics_error_count(list->diagnostics) > errors)
        return false;
    if (observer)
        observer(context, list->staged, changed, seconds);
    if (each)
        check_each(list, name, before, changed);
    return diagnostics_error_count(list->diagnostics) == errors;
}

bool pass_list_run(Staged *staged, const PassListOptions *options, Diagnostics *diagnostics,
                   StagesObserver *observer, void *context) {
    PassList list = {staged, options, diagnostics};
    const char *names = options->passes, *name;
    while ((name = next_name(staged->build.arena, &names))) {
        if (!run_pass(&list, name, observer, context))
            return false;
    }
    return verify(&list);
}
