#include "tools/measuring.h"

#include <unistd.h>

#include "base/text.h"
#include "tools/inspect/stages.h"
#include "tools/network.h"

/* The optimizer alone has no pictures to count. */
const unsigned measuring_entries = 1u << ENTRY_FEATURES | 1u << ENTRY_LOGITS |
                                   1u << ENTRY_RECONSTRUCT | 1u << ENTRY_TRAIN_STEP |
                                   1u << ENTRY_ACCUMULATE | 1u << ENTRY_FINETUNE_STEP;

bool measuring_prepare(Arena *arena, const Options *options, Diagnostics **diagnostics,
                       BenchResult *result) {
    const PassOptions *pass = &options->pass;
    if (text_ends_with(options->model, ".ir")) {
        Staged staged;
        *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
        if (!stages_read(arena, *diagnostics, options->model, &staged))
            return false;
        staged.build.rewrites = pass->rewrites;
        staged.build.precision = pass->precision;
        return staged.graph ? bench_passes(arena, staged.graph, pass, *diagnostics, result)
                            : bench_program(&staged.build, *diagnostics, result);
    }
    NetworkSource *network = network_open(arena, options, diagnostics);
    const Graph *graph = network ? network_graph(network, NULL, NULL) : NULL;
    return graph && bench_passes(arena, graph, pass, *diagnostics, result);
}

void measuring_progress(void *context, const char *text) {
    (void)context;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s ", text);
}

void measuring_progress_end(void) {
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}
