/* Networks against the interpreter, op by op, and a few training steps of each.
 *
 *     run_self [OPTION...] random FIRST COUNT      the random networks of these seeds
 *     run_self [OPTION...] models SHARE FILE...    one of SHARE networks of the files, those whose
 *                                                  turn it is by the day; 1: all
 *     run_self [OPTION...] network FILE NAME       this network of the file
 *     run_self show SEED                           the text of a random network
 *
 * Options: --check-memory, --bf16.
 *
 * Prints a line "ok ..." or "not ok ..." for each; exit status 1 if one failed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/machine.h"
#include "base/text.h"
#include "runtime/threads.h"
#include "tests/support/random_network.h"
#include "tests/support/text_network.h"
#include "tools/execute/executor.h"
#include "tools/execute/synthetic_fill.h"
#include "tools/verify/self_check.h"

enum { STEPS = 24, WARM_UP = 8 };

/* What is the same for all networks of a run. */
typedef struct Run {
    SelfCheckOptions options;
    int passed, failed, skipped;
} Run;

static void report(Run *run, const char *name, const char *input, const char *problem) {
    if (problem)
        run->failed++;
    else
        run->passed++;
    printf("%s %s %s%s%s\n", problem ? "not ok" : "ok", name, input ? input : "",
           problem ? ": " : "", problem ? problem : "");
    fflush(stdout);
}

/* ---- Training -------------------------------------------------------------------------------- */

/* Rises as in training: Adam's first steps move every weight by the whole rate. */
static double learning_rate(uint32_t step) {
    return 2e-2 * fmin(1, (step + 1.0) / (double)WARM_UP);
}

/* The same pictures and cells in every step; a learning rate that shows within a few. */
static Status run_steps(Executor *executor, const SyntheticFill *fill, double *losses) {
    Arena *arena = fill->arena;
    status_return_if_failed(synthetic_fill_params(fill));
    status_return_if_failed(synthetic_fill_inputs(fill, 0));
    for (uint32_t step = 0; step < STEPS; step++) {
        status_return_if_failed(synthetic_fill_scalars(fill, step));
        status_return_if_failed(
            executor->operations->write_scalar(executor, arena, "lr", learning_rate(step)));
        status_return_if_failed(executor->operations->run(executor, arena));
        losses[step] = executor->operations->output(executor, "loss").data[0];
    }
    return STATUS_FINE;
}

/* NULL, or what is wrong with the losses. */
static const char *judge(Arena *arena, const double *losses) {
    for (int i = 0; i < STEPS; i++)
        if (!isfinite(losses[i]))
            return arena_format(arena, "the loss of step %d is %g", i + 1, losses[i]);
    if (losses[STEPS - 1] >= losses[0])
        return arena_format(arena, "the loss does not fall: %g at first, %g after %d steps",
                            losses[0], losses[STEPS - 1], STEPS - 1);
    return NULL;
}

/* A few compiled training steps. NULL, or what went wrong. */
static const char *train(const Run *run, Arena *arena, const Graph *network) {
    PassOptions pass = run->options.pass;
    pass.entry = ENTRY_TRAIN_STEP;
    pass.training = true;
    pass.stochastic = false;
    Graph *graph = graph_copy(network, arena);
    Diagnostics *diagnostics = diagnostics_create(arena, 1);
    if (!passes_run(graph, &pass, NULL, diagnostics, NULL, NULL))
        return diagnostics_text(diagnostics, false);
    Executor *executor;
    double losses[STEPS] = {0};
    Status status = executor_compiled.create(arena, graph, &run->options.run, &executor);
    if (!status_fine(status))
        return status.message;
    SyntheticFill fill = {.arena = arena,
                          .graph = graph,
                          .options = &pass,
                          .seed = run->options.seed,
                          .receivers = {synthetic_to_executor(executor)}};
    status = run_steps(executor, &fill, losses);
    executor->operations->destroy(executor);
    return status_fine(status) ? judge(arena, losses) : status.message;
}

/* ---- One network ----------------------------------------------------------------------------- */

/* Plain SGD's step where that of LAMB, in double, does not fit into the machine. False: neither
 * fits, and it is said so. */
static bool choose_optimizer(Run *run, Arena *arena, const Graph *network, const char *name,
                             SelfCheckOptions *options) {
    static const OptimizerKind optimizers[] = {OPTIMIZER_LAMB, OPTIMIZER_SGD};
    uint64_t bytes = 0, free = machine_free_memory();
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        options->pass.optimizer = optimizers[i];
        Diagnostics *diagnostics = diagnostics_create(arena, 1);
        Status status = self_check_memory(arena, network, options, diagnostics, &bytes);
        if (!status_fine(status) || bytes <= free)
            return true; /* a failure shows when it is checked */
    }
    run->skipped++;
    printf("skipped %s: checking it takes %.1f GB of memory, %.1f GB are free\n", name,
           1e-9 * (double)bytes, 1e-9 * (double)free);
    return false;
}

static const char *check(Run *run, Arena *arena, const Graph *network, const char *name) {
    SelfCheckOptions options = run->options;
    if (!choose_optimizer(run, arena, network, name, &options))
        return NULL;
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    Comparison *comparison = compare_create(arena);
    Status status = self_check_network(arena, network, &options, diagnostics, comparison);
    if (!status_fine(status))
        return arena_format(arena, "%s\n%s", status.message, diagnostics_text(diagnostics, false));
    if (!compare_passed(comparison)) {
        compare_print(comparison, stdout, false);
        return "beyond a tolerance";
    }
    return NULL;
}

static void run_random(Run *run, uint32_t seed) {
    Arena *arena = arena_create();
    char *text = random_network(arena, seed);
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    const Graph *network = text_network(arena, diagnostics, text);
    const char *problem = network ? NULL : diagnostics_text(diagnostics, false);
    run->options.seed = seed;
    const char *name = arena_format(arena, "random %u", seed);
    problem = problem ? problem : check(run, arena, network, name);
    if (problem)
        fputs(text, stdout);
    report(run, name, NULL, problem);
    arena_destroy(arena);
}

static void run_network(Run *run, NetworkSource *source, const char *name) {
    Arena *arena = arena_create();
    const char *input = self_check_smallest_input(arena, source, name, &run->options.pass);
    const Graph *network = input ? network_try(source, arena, name, input) : NULL;
    const char *problem = network ? check(run, arena, network, name) : "it has no legal input";
    problem = problem ? problem : train(run, arena, network);
    report(run, name, input, problem);
    arena_destroy(arena);
}

/* NULL: the failure is reported. */
static NetworkSource *open_file(Run *run, Arena *arena, const char *path) {
    Options options = options_default(arena);
    options.model = path;
    Diagnostics *diagnostics;
    NetworkSource *source = network_open(arena, &options, &diagnostics);
    if (!source)
        report(run, path, NULL, diagnostics_text(diagnostics, false));
    return source;
}

static void run_one(Run *run, const char *path, const char *name) {
    Arena *arena = arena_create();
    NetworkSource *source = open_file(run, arena, path);
    if (source)
        run_network(run, source, name);
    arena_destroy(arena);
}

/* The networks of a file that are no templates; `*turn` counts networks. */
static void run_file(Run *run, const char *path, int share, int *turn) {
    Arena *arena = arena_create();
    NetworkSource *source = open_file(run, arena, path);
    size_t count = 0;
    const FrontendNetwork *networks = source ? network_list(source, &count) : NULL;
    for (size_t i = 0; i < count; i++)
        if (!networks[i].template && !networks[i].included && (*turn)++ % share == 0)
            run_network(run, source, networks[i].name);
    arena_destroy(arena);
}

/* ---- The command line ------------------------------------------------------------------------ */

static int number(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || end == text || value < 0 || value > 1000000) {
        fprintf(stderr, "run_self: %s is no number\n", text);
        exit(2);
    }
    return (int)value;
}

static void set_option(Run *run, const char *option) {
    if (strcmp(option, "--check-memory") == 0)
        run->options.check_memory = true;
    else if (strcmp(option, "--bf16") == 0)
        run->options.pass.precision = run->options.run.precision = PRECISION_BF16;
    else {
        fprintf(stderr, "run_self: there is no option %s\n", option);
        exit(2);
    }
}

int main(int argc, char **argv) {
    Run run = {
        .options = {.pass = pass_options_default(), .run = {.threads = threads_available()}}};
    run.options.pass.batch = 2;
    run.options.pass.decoder_width = 32;
    for (; argc > 1 && argv[1][0] == '-'; argc--, argv++)
        set_option(&run, argv[1]);
    if (argc == 4 && strcmp(argv[1], "random") == 0) {
        for (int i = 0; i < number(argv[3]); i++)
            run_random(&run, (uint32_t)(number(argv[2]) + i));
    } else if (argc > 3 && strcmp(argv[1], "models") == 0) {
        int share = number(argv[2]) > 1 ? number(argv[2]) : 1;
        int turn = share > 1 ? (int)(time(NULL) / 86400 % share) : 0;
        for (int i = 3; i < argc; i++)
            run_file(&run, argv[i], share, &turn);
    } else if (argc == 4 && strcmp(argv[1], "network") == 0) {
        run_one(&run, argv[2], argv[3]);
    } else if (argc == 3 && strcmp(argv[1], "show") == 0) {
        Arena *arena = arena_create();
        fputs(random_network(arena, (uint32_t)number(argv[2])), stdout);
        arena_destroy(arena);
        return 0;
    } else {
        fputs("usage: run_self [OPTION...] random FIRST COUNT | models SHARE FILE... | "
              "network FILE NAME | show SEED\n",
              stderr);
        return 2;
    }
    printf("%d passed, %d failed, %d skipped\n", run.passed, run.failed, run.skipped);
    return run.failed > 0 || run.passed == 0;
}
