#include "passes/program.h"

#include <string.h>

#include "base/clock.h"
#include "base/fatal.h"
#include "ir/kernel_verify.h"
#include "passes/fuse_kernels.h"
#include "passes/lowerable.h"
#include "passes/recompute.h"
#include "passes/schedule.h"

static ProgramPassFunction pass_lower, pass_fuse_kernels, pass_recompute, pass_precision,
    pass_schedule, pass_plan_memory;

#define PASS(name, help) {#name, help, pass_##name},
static const ProgramPassInfo pass_table[] = {
#include "passes/program_passes.def"
};
#undef PASS

enum { PASS_COUNT = sizeof pass_table / sizeof *pass_table };

const ProgramPassInfo *program_passes(int *count) {
    *count = PASS_COUNT;
    return pass_table;
}

/* One format for diagnostics and statuses. */
#define too_large "%s needs more memory than can be addressed: use fewer or smaller images"

/* ---- The passes ------------------------------------------------------------------------------ */

static bool pass_lower(ProgramBuild *build, Diagnostics *diagnostics) {
    if (!lowerable(build->graph, diagnostics)) /* it may come from a text */
        return false;
    build->program = lower_graph_values(build->arena, build->graph, build->values);
    return true;
}

/* A program from a text may have places for its buffers before it is planned; they hold for its
 * kernels as they were. */
static void forget_places(Program *program) {
    for (size_t i = 0; i < program->buffers.count; i++)
        program->buffers.items[i].offset = -1;
}

static bool pass_fuse_kernels(ProgramBuild *build, Diagnostics *diagnostics) {
    (void)diagnostics;
    forget_places(build->program);
    return fuse_kernels(build->program, build->rewrites) > 0;
}

static bool pass_recompute(ProgramBuild *build, Diagnostics *diagnostics) {
    (void)diagnostics;
    return recompute(build->program, build->precision, build->rewrites) > 0;
}

static bool pass_precision(ProgramBuild *build, Diagnostics *diagnostics) {
    (void)diagnostics;
    return precision(build->program, build->precision);
}

static bool pass_schedule(ProgramBuild *build, Diagnostics *diagnostics) {
    (void)diagnostics;
    forget_places(build->program);
    return schedule(build->program, build->rewrites);
}

static bool pass_plan_memory(ProgramBuild *build, Diagnostics *diagnostics) {
    bool share = rewrites_may(build->rewrites);
    if (plan_memory(build->program, share, &build->memory)) {
        if (share)
            rewrites_count(build->rewrites, "plan_memory", "buffers share memory");
        return true;
    }
    diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0}, too_large,
                       build->program->network);
    return false;
}

/* ---- Running them ---------------------------------------------------------------------------- */

/* The place of a pass in the table, or -1. */
static int pass_index(const char *name) {
    for (int i = 0; i < PASS_COUNT; i++) {
        if (strcmp(pass_table[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* A program that says that it is planned has a place for every buffer. */
static bool is_planned(const Program *program, Diagnostics *diagnostics) {
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        if (buffer->offset >= 0)
            continue;
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "buffer %s has no place in a program of stage %s: plan it from an "
                           "earlier stage",
                           buffer->name, program->stage);
        return false;
    }
    return true;
}

/* The first pass to run, or -1 after an error. The program may come from a text that somebody
 * wrote. */
static int find_start(const ProgramBuild *build, Diagnostics *diagnostics) {
    const Program *program = build->program;
    invariant(program || build->graph, "there is nothing to make a program of");
    if (!program)
        return 0;
    int stage = pass_index(program->stage);
    if (stage < 0)
        diagnostics_report(diagnostics, SEVERITY_ERROR, (Location){0},
                           "no pass of programs is called %s, so nothing can follow it",
                           program->stage);
    bool fine = stage >= 0 && kernel_verify(program, diagnostics) &&
                (stage + 1 < PASS_COUNT || is_planned(program, diagnostics));
    return fine ? stage + 1 : -1;
}

/* A broken program is a mistake of the pass, not of the user. */
static void check_program(const ProgramBuild *build, const char *after) {
    Diagnostics *complaints = diagnostics_create(build->arena, 5);
    invariant(kernel_verify(build->program, complaints), "after %s:\n%s", after,
              diagnostics_text(complaints, false));
}

bool program_passes_run(ProgramBuild *build, const char *until, Diagnostics *diagnostics,
                        ProgramObserver *observer, void *context) {
    int end = until ? pass_index(until) + 1 : PASS_COUNT;
    invariant(end > 0, "there is no pass of programs %s", until);
    int begin = find_start(build, diagnostics);
    if (begin < 0)
        return false;
    for (int i = begin; i < end; i++) {
        const ProgramPassInfo *pass = &pass_table[i];
        int errors = diagnostics_error_count(diagnostics);
        double start = clock_seconds();
        bool changed = pass->run(build, diagnostics);
        double seconds = clock_seconds() - start;
        if (diagnostics_error_count(diagnostics) > errors)
            return false;
        build->program->stage = pass->name;
        check_program(build, pass->name);
        if (observer)
            observer(context, pass, build->program, changed, seconds);
    }
    return true;
}

Status program_build(ProgramBuild *build) {
    invariant(!build->program, "%s is made already", build->program->network);
    if (program_passes_run(build, NULL, diagnostics_create(build->arena, 1), NULL, NULL))
        return STATUS_FINE;
    return status_failure(build->arena, too_large, build->graph->network);
}
