#include <math.h>

#include "base/clock.h"
#include "base/fatal.h"
#include "ir/stage.h"
#include "ir/verify.h"
#include "passes/cse.h"
#include "passes/passes.h"

/* In the order of the stages, the first of which no pass leaves. */
enum { PASS_COUNT = STAGE_COUNT - 1 };
static const PassInfo pass_table[PASS_COUNT] = {
#define PASS(name, needs, gives, keeps, help)                                                      \
    [STAGE_##name - 1] = {#name, help, pass_##name, needs, gives, keeps},
#include "passes/passes.def"
#undef PASS
};

enum {
    PASS_ROWS = 0
#define PASS(...) +1
#include "passes/passes.def"
#undef PASS
};
_Static_assert((int)PASS_ROWS == (int)PASS_COUNT,
               "each stage of ir/stages.def has a row in passes.def");

PassOptions pass_options_default(void) {
    return (PassOptions){
        .entry = ENTRY_TRAIN_STEP,
        .training = true,
        .mask_ratio = 0.6,
        .decoder_width = 768,
        .densify_norm = DENSIFY_AUTO,
        .stochastic = true,
        .optimizer = OPTIMIZER_LAMB,
        .beta1 = 0.9,
        .momentum = 0.9,
        .clip = 5,
    };
}

int64_t passes_keep(int64_t cells, double mask_ratio) {
    return (int64_t)nearbyint((double)cells * (1 - mask_ratio));
}

const PassInfo *passes_list(int *count) {
    *count = PASS_COUNT;
    return pass_table;
}

/* How many passes a graph of this stage has behind it; 0 as well for a name of no stage, which
 * the verifier reports. */
static int passes_behind(const char *stage) {
    int found = stage_find(stage);
    return found < 0 ? 0 : found;
}

static unsigned facts_after(const PassInfo *pass, unsigned facts) {
    invariant((pass->needs & ~facts) == 0, "pass %s needs facts %#x, there are %#x", pass->name,
              pass->needs, facts);
    return (facts & pass->keeps) | pass->gives;
}

/* Whether every node has a user or an effect. As operands come first, one walk is enough to
 * show that all of them reach an effect. */
static bool is_live(const Graph *graph) {
    for (const Node *node = graph->first; node; node = node->next) {
        for (int i = 0; i < node->operand_count; i++) {
            if (node->operands[i])
                node->operands[i]->node->mark = 1;
        }
    }
    bool live = true;
    for (Node *node = graph->first; node; node = node->next) {
        live = live && (node->mark || (op_info(node->op)->flags & OP_EFFECT));
        node->mark = 0;
    }
    return live;
}

/* The facts that can be looked up and do not hold. */
static unsigned false_facts(const Graph *graph, unsigned facts) {
    unsigned wrong = 0;
    if ((facts & FACT_LIVE) && !is_live(graph))
        wrong |= FACT_LIVE;
    if ((facts & FACT_UNIQUE) && !cse_is_unique(graph))
        wrong |= FACT_UNIQUE;
    return wrong;
}

/* Broken graphs and false facts are mistakes of a pass, not of the user. */
static void check_graph(const Graph *graph, const char *after, unsigned facts) {
    Diagnostics *complaints = diagnostics_create(graph->arena, 5);
    invariant(verify_graph(graph, complaints), "after %s:\n%s", after,
              diagnostics_text(complaints, false));
    unsigned wrong = false_facts(graph, facts);
    invariant(wrong == 0, "after %s: facts %#x do not hold", after, wrong);
}

/* The facts that the passes before `begin` have left. The graph may come from a text that somebody
 * wrote: it need not be as those passes would have made it. */
static bool check_start(const Graph *graph, int begin, unsigned *facts, Diagnostics *diagnostics) {
    *facts = 0;
    for (int i = 0; i < begin; i++)
        *facts = facts_after(&pass_table[i], *facts);
    *facts &= ~false_facts(graph, *facts);
    return verify_graph(graph, diagnostics);
}

bool passes_run(Graph *graph, const PassOptions *options, const char *until,
                Diagnostics *diagnostics, PassObserver *observer, void *context) {
    int begin = passes_behind(graph->stage);
    int end = until ? passes_behind(until) : PASS_COUNT;
    invariant(until == NULL || end > 0, "there is no pass %s", until);
    unsigned facts;
    if (!check_start(graph, begin, &facts, diagnostics))
        return false;
    if (observer)
        observer(context, NULL, graph, false, 0);
    for (int i = begin; i < end; i++) {
        const PassInfo *pass = &pass_table[i];
        int errors = diagnostics_error_count(diagnostics);
        double start = clock_seconds();
        bool changed = pass->run(graph, options, diagnostics);
        double seconds = clock_seconds() - start;
        if (diagnostics_error_count(diagnostics) > errors)
            return false;
        facts = facts_after(pass, facts);
        graph->stage = pass->name;
        if (!rewrites_may(options->rewrites))
            facts &= ~false_facts(graph, facts); /* a pass that was stopped halfway */
        check_graph(graph, pass->name, facts);
        if (observer)
            observer(context, pass, graph, changed, seconds);
    }
    return true;
}
