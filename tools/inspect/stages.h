/* The stages of a network, those of its graph and then those of its program, as one list for
 * commands: 0 is what the front end made, i what pass i left. */
#ifndef SPARKC_TOOLS_INSPECT_STAGES_H
#define SPARKC_TOOLS_INSPECT_STAGES_H

#include "passes/passes.h"
#include "passes/program.h"

/* How many stages there are; the name of one, and what its pass does (NULL for the first). */
int stages_count(void);
const char *stages_name(int stage);
const char *stages_help(int stage);

/* The stage of a name, or -1. */
int stages_find(const char *name);

/* The last stage that is a graph; all later ones are programs. */
int stages_last_graph(void);

/* A network at a stage: a program, or a graph if there is none. */
typedef struct Staged {
    Graph *graph; /* NULL: the program was read from a text */
    ProgramBuild build;
} Staged;

/* The network of the text of a graph or a program, which has a zero behind its `length` bytes and
 * outlives the diagnostics; `file` is its name in messages. False after errors. */
bool stages_parse(Arena *arena, Diagnostics *diagnostics, const char *file, const char *text,
                  size_t length, Staged *staged);

/* The same from a file. */
bool stages_read(Arena *arena, Diagnostics *diagnostics, const char *path, Staged *staged);

/* Where it is, and under which name; -1 if no pass leaves this stage. */
const char *stages_current_name(const Staged *staged);
int stages_current(const Staged *staged);

/* Makes pass `stage` the next one, though others would follow. Passes in between may be left out if
 * there is what they give, and run again if they only clean up; false if that is not so. */
bool stages_restart(Staged *staged, int stage);

/* Called after each pass, and before the first: whether it changed anything, how long it took. */
typedef void StagesObserver(void *context, const Staged *staged, bool changed, double seconds);

/* Prints to standard error how long the pass that left this stage took. */
void stages_print_time(const Staged *staged, bool changed, double seconds);

/* Runs the passes up to stage `until`. False after errors. */
bool stages_run(Staged *staged, const PassOptions *options, int until, Diagnostics *diagnostics,
                StagesObserver *observer, void *context);

/* The text that it reads back from. */
char *stages_text(Arena *arena, const Staged *staged);

#endif
