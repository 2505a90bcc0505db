#include "tools/train/trainer.h"

#include <math.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

#include "base/fatal.h"
#include "passes/network.h"
#include "runtime/initial.h"
#include "runtime/train/mask.h"
#include "runtime/train/schedule.h"
#include "runtime/weights.h"
#include "tools/execute/compiled_program.h"
#include "tools/execute/nonfinite.h"

/* One program of a training, and what it gives back. */
typedef struct Unit {
    Graph *graph;
    CompiledProgram compiled;
    const float *loss, *grad_norm, *ok; /* NULL: it has none */
} Unit;

struct Trainer {
    Arena *arena;
    TrainerOptions options;
    Unit step, apply; /* whole steps; or micro-batches, and the update after them */
    bool accumulates;
    TrainingMemory memory, average; /* average: of fine-tuning */
    float *images, *targets;
    int32_t *cells;
    int64_t updates, done; /* updates, and micro-batches of the present one */
};

/* ---- Making ---------------------------------------------------------------------------------- */

static Status compile_unit(Trainer *trainer, const Graph *network, Entry entry,
                           const CompiledProgram *owner, Diagnostics *diagnostics, Unit *unit) {
    PassOptions pass = trainer->options.pass;
    pass.entry = entry;
    pass.training = true;
    unit->graph = graph_copy(network, trainer->arena);
    if (!passes_run(unit->graph, &pass, NULL, diagnostics, NULL, NULL))
        return status_failure(trainer->arena, "this network cannot be %s",
                              trainer->options.task == TRAINER_FINETUNE ? "fine-tuned"
                                                                        : "pretrained");
    status_return_if_failed(compiled_program_create(trainer->arena, unit->graph,
                                                    &trainer->options.run, owner, &unit->compiled));
    const PlanExecutor *executor = unit->compiled.executor;
    unit->loss = plan_executor_buffer(executor, PLAN_OUTPUTS, "loss");
    unit->grad_norm = plan_executor_buffer(executor, PLAN_OUTPUTS, "grad_norm");
    unit->ok = plan_executor_buffer(executor, PLAN_OUTPUTS, "ok");
    return STATUS_FINE;
}

static Status compile_all(Trainer *trainer, const Graph *network, Diagnostics *diagnostics) {
    Entry entry = trainer->options.task == TRAINER_FINETUNE ? ENTRY_FINETUNE_STEP
                  : trainer->accumulates                    ? ENTRY_ACCUMULATE
                                                            : ENTRY_TRAIN_STEP;
    status_return_if_failed(
        compile_unit(trainer, network, entry, NULL, diagnostics, &trainer->step));
    if (!trainer->accumulates)
        return STATUS_FINE;
    return compile_unit(trainer, network, ENTRY_APPLY, &trainer->step.compiled, diagnostics,
                        &trainer->apply);
}

/* The states "ema" and "ema.<state>" stand for the parameters and for <state>. */
static void find_average(Trainer *trainer) {
    const Graph *graph = trainer->memory.graph;
    trainer->average = trainer->memory;
    trainer->average.parameters = trainer->memory.states[graph_state_index(graph, "ema")];
    trainer->average.states = arena_new_array(trainer->arena, float *, graph->states.count);
    for (size_t i = 0; i < graph->states.count; i++) {
        const char *name = arena_format(trainer->arena, "ema.%s", graph->states.items[i].name);
        int average = graph_state_index(graph, name);
        trainer->average.states[i] = average < 0 ? NULL : trainer->memory.states[average];
    }
}

/* Gradients on their way are nothing that a checkpoint holds: it is taken between updates. */
static void find_memory(Trainer *trainer) {
    const Graph *graph = trainer->step.graph;
    const CompiledProgram *compiled = &trainer->step.compiled;
    int gradients = graph_state_index(graph, "gradients");
    trainer->memory = compiled_program_memory(trainer->arena, graph, compiled);
    if (gradients >= 0)
        trainer->memory.states[gradients] = NULL;
    trainer->images = plan_executor_buffer(compiled->executor, PLAN_INPUTS, "image");
    trainer->targets = plan_executor_buffer(compiled->executor, PLAN_INPUTS, "targets");
    trainer->cells = plan_executor_buffer(compiled->executor, PLAN_INPUTS, "cells");
    if (trainer->options.task == TRAINER_FINETUNE)
        find_average(trainer);
}

Status trainer_create(Arena *arena, const Graph *network, const TrainerOptions *options,
                      Diagnostics *diagnostics, Trainer **trainer) {
    Trainer *made = arena_new(arena, Trainer);
    made->arena = arena;
    made->options = *options;
    made->accumulates = options->micro_batches > 1;
    invariant(options->task == TRAINER_PRETRAIN || !made->accumulates,
              "fine-tuning has one micro-batch per update");
    if (made->options.pass.beta2 <= 0)
        made->options.pass.beta2 = network_uses_batch_norm(network) ? 0.95 : 0.999;
    Status status = compile_all(made, network, diagnostics);
    if (!status_fine(status)) {
        trainer_destroy(made);
        return status;
    }
    find_memory(made);
    initial_fill_all(made->memory.graph, options->seed, made->memory.parameters);
    *trainer = made;
    return STATUS_FINE;
}

void trainer_destroy(Trainer *trainer) {
    compiled_program_destroy(&trainer->apply.compiled);
    compiled_program_destroy(&trainer->step.compiled);
}

/* ---- What it is ------------------------------------------------------------------------------ */

static void add_functions(const Unit *unit, const struct CpuTuning *tuning,
                          struct sha256_ctx *hash) {
    const CompiledProgram *compiled = &unit->compiled;
    int count;
    if (!compiled->executor)
        return;
    Arena *scratch = arena_create();
    const CpuFunction *functions =
        cpu_functions(scratch, compiled->program, &compiled->target, tuning, &count);
    for (int i = 0; i < count; i++)
        sha256_update(hash, strlen(functions[i].name) + 1, (const uint8_t *)functions[i].name);
    arena_destroy(scratch);
}

/* A hash of the functions of both programs. */
static void hash_functions(const Trainer *trainer, const struct CpuTuning *tuning, char text[65]) {
    struct sha256_ctx hash;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&hash);
    add_functions(&trainer->step, tuning, &hash);
    add_functions(&trainer->apply, tuning, &hash);
    sha256_digest(&hash, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static void add_costs(const Unit *unit, TrainerCosts *costs) {
    const CompiledProgram *compiled = &unit->compiled;
    if (!compiled->executor)
        return;
    costs->bytes += plan_executor_bytes(compiled->executor);
    costs->kernels += compiled->statistics.kernels;
    costs->compile_seconds += compiled->statistics.seconds;
    costs->cache_hits += compiled->statistics.cache_hits;
}

TrainerCosts trainer_costs(const Trainer *trainer) {
    TrainerCosts costs = {0};
    const Graph *graph = trainer->memory.graph;
    add_costs(&trainer->step, &costs);
    add_costs(&trainer->apply, &costs);
    hash_functions(trainer, NULL, costs.code);
    hash_functions(trainer, trainer->options.run.tuning, costs.plan);
    for (size_t i = 0; i < graph->segments.count; i++)
        costs.parameters += (int64_t)weights_count(&graph->segments.items[i]);
    return costs;
}

const TrainingMemory *trainer_memory(const Trainer *trainer) {
    return &trainer->memory;
}

float *trainer_images(const Trainer *trainer) {
    return trainer->images;
}

float *trainer_targets(const Trainer *trainer) {
    return trainer->targets;
}

const TrainingMemory *trainer_average(const Trainer *trainer) {
    return &trainer->average;
}

void trainer_start_average(Trainer *trainer) {
    tensors_copy(&trainer->memory, &trainer->average);
}

int64_t trainer_updates(const Trainer *trainer) {
    return trainer->updates;
}

void trainer_set_updates(Trainer *trainer, int64_t updates) {
    trainer->updates = updates;
    trainer->done = 0;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

/* Sets a scalar that the program may lack. */
static void set_number(const Unit *unit, const char *name, double value) {
    float *number = plan_executor_buffer(unit->compiled.executor, PLAN_INPUTS, name);
    if (number)
        *number = (float)value;
}

static void set_counter(const Unit *unit, const char *name, uint32_t value) {
    uint32_t *number = plan_executor_buffer(unit->compiled.executor, PLAN_INPUTS, name);
    if (number)
        *number = value;
}

static void set_rates(const Trainer *trainer, const Unit *unit, const TrainerRates *rates) {
    const PassOptions *pass = &trainer->options.pass;
    int64_t step = trainer->updates + 1;
    set_number(unit, "lr", rates->lr);
    set_number(unit, "weight_decay", rates->weight_decay);
    bool corrects = !trainer->options.no_bias_correction;
    double correction1 = corrects ? schedule_bias_correction(pass->beta1, step) : 1;
    double correction2 = corrects ? schedule_bias_correction(pass->beta2, step) : 1;
    set_number(unit, "bias_correction1", correction1);
    set_number(unit, "bias_correction2_sqrt", sqrt(correction2));
    set_number(unit, "ema_decay", trainer->options.ema_decay);
    set_number(unit, "gradient_scale", 1.0 / (double)trainer->options.micro_batches);
}

/* Micro-batches that count, from the start of the training: all random numbers of one hang on it,
 * so that a batch that was refused leaves no trace. */
static uint32_t counted(const Trainer *trainer) {
    return (uint32_t)(trainer->updates * trainer->options.micro_batches + trainer->done);
}

static void set_micro_batch(Trainer *trainer) {
    const Graph *graph = trainer->step.graph;
    uint32_t step = counted(trainer), seed = trainer->options.seed;
    set_counter(&trainer->step, "seed", seed);
    set_counter(&trainer->step, "step", step);
    set_number(&trainer->step, "first", trainer->done == 0);
    if (trainer->cells)
        mask_draw(seed ^ MASK_SEED, step, graph->geometry.batch, graph_cells(graph),
                  graph->geometry.keep, trainer->cells);
}

static TrainerResult result_of(const Unit *unit, double loss) {
    return (TrainerResult){loss, (double)*unit->grad_norm, *unit->ok == 1};
}

static TrainerResult apply(Trainer *trainer, const TrainerRates *rates, double loss) {
    set_rates(trainer, &trainer->apply, rates);
    plan_executor_run(trainer->apply.compiled.executor);
    return result_of(&trainer->apply, loss);
}

TrainerResult trainer_step(Trainer *trainer, const TrainerRates *rates, bool *updated) {
    const Unit *unit = &trainer->step;
    set_micro_batch(trainer);
    set_rates(trainer, unit, rates);
    plan_executor_run(unit->compiled.executor);
    TrainerResult result = result_of(unit, (double)*unit->loss);
    *updated = false;
    if (!result.ok || ++trainer->done < trainer->options.micro_batches)
        return result;
    trainer->done = 0;
    if (trainer->accumulates)
        result = apply(trainer, rates, result.loss);
    *updated = result.ok;
    trainer->updates += result.ok;
    return result;
}

const char *trainer_blame(Arena *arena, const Trainer *trainer) {
    return nonfinite_find(arena, &trainer->step.compiled);
}
