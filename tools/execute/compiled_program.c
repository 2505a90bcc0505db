#include "tools/execute/compiled_program.h"

#include "passes/program.h"

Status compiled_program_lower(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                              CompiledProgram *compiled) {
    ProgramBuild build = {.arena = arena,
                          .graph = graph_copy(graph, arena),
                          .rewrites = options->rewrites,
                          .precision = options->precision};
    *compiled = (CompiledProgram){0};
    status_return_if_failed(program_build(&build));
    compiled->program = build.program;
    compiled->memory = build.memory;
    return STATUS_FINE;
}

static void fill_segment_table(const CompiledProgram *compiled) {
    const Program *program = compiled->program;
    float *decays = plan_executor_buffer(compiled->executor, PLAN_INPUTS, KERNEL_COLUMN_DECAYS);
    float *lr_scale = plan_executor_buffer(compiled->executor, PLAN_INPUTS, KERNEL_COLUMN_LR_SCALE);
    for (size_t i = 0; i < program->segments.count; i++) {
        const Segment *segment = &program->segments.items[i];
        if (decays)
            decays[i] = segment->decays ? 1 : 0;
        if (lr_scale)
            lr_scale[i] = (float)segment->lr_scale;
    }
}

static void fill_states(const CompiledProgram *compiled, const Graph *graph) {
    for (size_t i = 0; i < graph->states.count; i++) {
        const StateSlot *slot = &graph->states.items[i];
        float *state = plan_executor_buffer(compiled->executor, PLAN_STATE, slot->name);
        int64_t count = slot->init != 0 && state ? graph_elements(graph, &slot->type) : 0;
        for (int64_t k = 0; k < count; k++)
            state[k] = (float)slot->init;
    }
}

/* Beside plans of so many bytes what the compiler has left would count. */
static const int64_t LARGE_PLAN = (int64_t)64 << 20;

static void release_compiler(const Plan *plan) {
    int64_t bytes = 0;
    for (int r = 0; r < PLAN_REGIONS; r++)
        bytes += plan->region_bytes[r];
    if (bytes >= LARGE_PLAN)
        cpu_release();
}

static Status start(Arena *arena, const ExecutorOptions *options, const CompiledProgram *owner,
                    CompiledProgram *c) {
    CpuOptions cpu = {.target = &c->target,
                      .threads = options->threads,
                      .cache = options->cache,
                      .dump_dir = options->dump_dir};
    status_return_if_failed(cpu_target(arena, NULL, options->cpu, false, &c->target));
    status_return_if_failed(
        cpu_compile(arena, c->program, &cpu, &c->module, &c->plan, &c->statistics));
    release_compiler(c->plan);
    if (owner) {
        c->shares = true;
        c->threads = owner->threads;
        return plan_executor_create_sharing(arena, c->plan, c->threads, owner->executor,
                                            &c->executor);
    }
    status_return_if_failed(threads_create(arena, options->threads, &c->threads));
    return plan_executor_create(arena, c->plan, c->threads, &c->executor);
}

/* Code, memory and what it begins with, for a program that is there. */
static Status finish(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                     const CompiledProgram *owner, CompiledProgram *compiled) {
    Status status = start(arena, options, owner, compiled);
    if (!status_fine(status)) {
        compiled_program_destroy(compiled);
        return status;
    }
    fill_segment_table(compiled);
    if (!owner)
        fill_states(compiled, graph);
    return STATUS_FINE;
}

Status compiled_program_create(Arena *arena, const Graph *graph, const ExecutorOptions *options,
                               const CompiledProgram *owner, CompiledProgram *compiled) {
    status_return_if_failed(compiled_program_lower(arena, graph, options, compiled));
    return finish(arena, graph, options, owner, compiled);
}

Status compiled_program_create_of(Arena *arena, const Graph *graph, Program *program,
                                  const ExecutorOptions *options, CompiledProgram *compiled) {
    *compiled = (CompiledProgram){.program = program};
    return finish(arena, graph, options, NULL, compiled);
}

TrainingMemory compiled_program_memory(Arena *arena, const Graph *graph,
                                       const CompiledProgram *compiled) {
    size_t count = graph->states.count;
    float **states = arena_new_array(arena, float *, count + 1);
    for (size_t i = 0; i < count; i++)
        states[i] =
            plan_executor_buffer(compiled->executor, PLAN_STATE, graph->states.items[i].name);
    return (TrainingMemory){graph, plan_executor_region(compiled->executor, PLAN_PARAMS), states};
}

void compiled_program_destroy(CompiledProgram *compiled) {
    plan_executor_destroy(compiled->executor);
    if (compiled->threads && !compiled->shares)
        threads_destroy(compiled->threads);
    if (compiled->module)
        cpu_module_destroy(compiled->module);
    *compiled = (CompiledProgram){0};
}
