#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "ir/kernel_names.h"
#include "tools/tune/tune.h"

static double ratio(double part, double whole) {
    return whole > 0 ? part / whole : 1;
}

static void print_row(Arena *arena, const TuneRow *row) {
    const Contraction *c = &row->kernel->contraction;
    const char *choices = choices_text(arena, &row->choices);
    Text name = text_create(arena);
    text_append_escaped(&name, row->kernel->name);
    printf("%-15s %5" PRId64 " %5" PRId64 " %4d %3d %9.3f %9.3f %6.3f %-34s %s\n",
           kernel_kind_name(row->kernel->kind), c->in, c->out, c->taps.tap_count, row->kernels,
           1e3 * row->usual_seconds, 1e3 * row->seconds, ratio(row->seconds, row->usual_seconds),
           *choices ? choices : "as by default", name.data);
}

void tune_print(const TuneResult *result) {
    Arena *arena = arena_create();
    if (result->tried > 0)
        printf("%-15s %5s %5s %4s %3s %9s %9s %6s %-34s %s\n", "kind", "in", "out", "taps", "n",
               "usual ms", "tuned ms", "ratio", "choices", "first");
    for (size_t i = 0; i < result->count; i++)
        if (result->rows[i].tried)
            print_row(arena, &result->rows[i]);
    printf("contractions: %zu distinct, %zu tried, %zu faster than by default\n", result->count,
           result->tried, result->won);
    printf("all of a step: %.3f ms by default, %.3f ms tuned, ratio %.3f\n",
           1e3 * result->usual_seconds, 1e3 * result->seconds,
           ratio(result->seconds, result->usual_seconds));
    arena_destroy(arena);
}

static json_t *row_json(Arena *arena, const TuneRow *row) {
    const Contraction *c = &row->kernel->contraction;
    Text name = text_create(arena);
    text_append_escaped(&name, row->kernel->name);
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:i, s:I, s:i, s:b, s:f, s:f, s:s}", "key",
                     row->key, "first", name.data, "kind", kernel_kind_name(row->kernel->kind),
                     "in", (json_int_t)c->in, "out", (json_int_t)c->out, "taps", c->taps.tap_count,
                     "groups", (json_int_t)c->groups, "kernels", row->kernels, "tried", row->tried,
                     "usual_seconds", row->usual_seconds, "seconds", row->seconds, "choices",
                     choices_text(arena, &row->choices));
}

json_t *tune_json(const TuneResult *result) {
    Arena *arena = arena_create();
    json_t *list = json_array();
    for (size_t i = 0; i < result->count; i++)
        json_array_append_new(list, row_json(arena, &result->rows[i]));
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:f, s:f, s:o}", "level", result->target.cpu, "tried",
                  (json_int_t)result->tried, "won", (json_int_t)result->won, "usual_seconds",
                  result->usual_seconds, "seconds", result->seconds, "contractions", list);
    arena_destroy(arena);
    return json;
}
