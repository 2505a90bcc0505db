#include "ir/kernel_names.h"
#include "tools/bench/bench.h"

/* Everything stands on one line of the viewer. */
enum { PROCESS = 1, THREAD = 1 };

typedef struct Trace {
    const BenchResult *result;
    json_t *events;
} Trace;

static void add_label(Trace *trace, const char *what, json_t *name) {
    json_array_append_new(trace->events,
                          json_pack("{s:s, s:s, s:i, s:i, s:{s:o}}", "name", what, "ph", "M", "pid",
                                    PROCESS, "tid", THREAD, "args", "name", name));
}

/* A span of time; takes name and arguments over. */
static void add_span(Trace *trace, json_t *name, const char *category, TimeSpan span,
                     json_t *arguments) {
    static const double microseconds = 1e6;
    double begin = trace->result->steps[0].begin;
    json_array_append_new(trace->events,
                          json_pack("{s:o, s:s, s:s, s:i, s:i, s:f, s:f, s:o}", "name", name, "cat",
                                    category, "ph", "X", "pid", PROCESS, "tid", THREAD, "ts",
                                    microseconds * (span.begin - begin), "dur",
                                    microseconds * (span.end - span.begin), "args", arguments));
}

static json_t *kernel_arguments(const BenchKernel *kernel) {
    return json_pack("{s:s, s:o, s:s, s:I, s:I}", "kind", kernel_kind_name(kernel->kernel->kind),
                     "layer", bench_name_json(kernel->layer), "part", bench_part_name(kernel->part),
                     "multiply_adds", (json_int_t)kernel->multiply_adds, "bytes",
                     (json_int_t)kernel->bytes);
}

static void add_kernel(Trace *trace, const BenchKernel *kernel, const TimeSpan *launches) {
    const TimeSpan *first = launches + kernel->first_launch;
    if (kernel->launch_count == 0)
        return;
    TimeSpan whole = {first->begin, first[kernel->launch_count - 1].end};
    add_span(trace, bench_name_json(kernel->kernel->name), bench_part_name(kernel->part), whole,
             kernel_arguments(kernel));
    for (int i = 0; kernel->launch_count > 1 && i < kernel->launch_count; i++)
        add_span(trace, json_sprintf("stage %d", i), "launch", first[i], json_object());
}

static void add_step(Trace *trace, int step) {
    const BenchResult *result = trace->result;
    add_span(trace, json_sprintf("step %d", step + 1), "step", result->steps[step], json_object());
    for (size_t i = 0; i < result->kernel_count; i++)
        add_kernel(trace, &result->kernels[i],
                   result->launches + (ptrdiff_t)step * result->launch_count);
}

json_t *bench_trace_json(const BenchResult *result) {
    Trace trace = {result, json_array()};
    add_label(&trace, "process_name", bench_name_json(result->graph->network));
    add_label(&trace, "thread_name", json_string("kernels"));
    for (int i = 0; i < result->step_count; i++)
        add_step(&trace, i);
    return json_pack("{s:o, s:s, s:{s:s, s:i}}", "traceEvents", trace.events, "displayTimeUnit",
                     "ms", "otherData", "cpu", result->target.cpu, "threads", result->threads);
}
