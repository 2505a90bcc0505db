/* Any bytes as the text of a network at any stage: errors, or a graph or program that goes through
 * all passes that are left, each of which gives diagnostics or what verifies, for several entries.
 * Nothing is run (fuzz_program.c does that). With libFuzzer (tests/fuzz/meson.build) or with
 * tests/fuzz/replay.c. */
#include <stdint.h>

#include "base/fatal.h"
#include "tools/inspect/stages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of a network that goes through the passes. */
enum { MOST_NODES = 400, MOST_ELEMENTS = 1 << 18, MOST_KERNELS = 200 };

static int64_t elements_up_to(int64_t most, const Graph *graph) {
    int64_t elements = graph->geometry.batch * graph->geometry.channels, nodes = 0;
    for (int d = 0; d < graph->geometry.space && elements <= most; d++)
        elements *= graph->geometry.image[d];
    for (const Node *node = graph->first; node && elements <= most; node = node->next) {
        if (++nodes > MOST_NODES)
            return most + 1;
        for (int i = 0; i < op_info(node->op)->result_count && elements <= most; i++) {
            int64_t more = graph_elements(graph, &node->results[i].type);
            elements = more > most ? most + 1 : elements + more;
        }
    }
    return elements;
}

static bool is_small(const Staged *staged) {
    const Program *program = staged->build.program;
    if (!program)
        return elements_up_to(MOST_ELEMENTS, staged->graph) <= MOST_ELEMENTS;
    int64_t elements = 0;
    for (size_t i = 0; i < program->buffers.count && elements <= MOST_ELEMENTS; i++)
        elements += program->buffers.items[i].elements;
    return elements <= MOST_ELEMENTS && program->kernels.count <= MOST_KERNELS;
}

static void ignore(void *context, const Staged *staged, bool changed, double seconds) {
    (void)context, (void)staged, (void)changed, (void)seconds;
}

static void run_entry(const char *text, size_t length, Entry entry) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    PassOptions options = pass_options_default();
    Staged staged;
    options.entry = entry;
    options.decoder_width = 8;
    bool fine = stages_parse(arena, diagnostics, "fuzz", text, length, &staged);
    if (fine && is_small(&staged))
        fine = stages_run(&staged, &options, stages_count() - 1, diagnostics, ignore, NULL);
    invariant(fine == (diagnostics_error_count(diagnostics) == 0),
              "neither a network nor an error, or both");
    diagnostics_text(diagnostics, true);
    arena_destroy(arena);
}

/* The pretraining step of all, and one other entry. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Arena *arena = arena_create();
    char *text = arena_copy_text(arena, (const char *)data, size);
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += data[i];
    run_entry(text, size, ENTRY_TRAIN_STEP);
    run_entry(text, size, (Entry)(sum % (ENTRY_FINETUNE_STEP + 1)));
    arena_destroy(arena);
    return 0;
}
