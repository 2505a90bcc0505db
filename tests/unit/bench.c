/* What bench says of a small network, where it can be known. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/network.h"
#include "tests/unit/harness.h"
#include "tools/bench/bench.h"

typedef struct Run {
    Arena *arena;
    BenchResult result;
} Run;

static void show_nothing(void *context, const char *text) {
    (void)text;
    ++*(int *)context;
}

static Run run(Entry entry, double mask_ratio, int steps) {
    Run run = {.arena = arena_create()};
    SmallNetwork network = {.levels = 3,
                            .batch = 2,
                            .channels = 3,
                            .height = 64,
                            .width = 32,
                            .batch_norm = true,
                            .head = true};
    BenchSettings settings = {.pass = pass_options_default(),
                              .run = {.threads = 2},
                              .peak_rounds = 1,
                              .warm_up = 1,
                              .steps = steps};
    settings.pass.entry = entry;
    settings.pass.mask_ratio = mask_ratio;
    settings.pass.decoder_width = 32;
    settings.pass.training = entry >= ENTRY_TRAIN_STEP;
    Diagnostics *diagnostics = diagnostics_create(run.arena, 10);
    Graph *graph = small_network(run.arena, &network);
    int calls = 0;
    CU_ASSERT_FATAL(bench_passes(run.arena, graph, &settings.pass, diagnostics, &run.result));
    Status status = bench_run(run.arena, &settings, show_nothing, &calls, &run.result);
    CU_ASSERT_FATAL(status_fine(status));
    CU_ASSERT(calls > steps);
    return run;
}

static void end(Run *run) {
    bench_close(&run->result);
    arena_destroy(run->arena);
}

/* Multiply-adds of the kernels of a part. */
static int64_t work_of(const BenchResult *result, BenchPart part) {
    int64_t sum = 0;
    for (size_t i = 0; i < result->kernel_count; i++)
        if (result->kernels[i].part == part)
            sum += result->kernels[i].multiply_adds;
    return sum;
}

static int64_t all_work(const BenchResult *result) {
    int64_t sum = 0;
    for (int part = 0; part < BENCH_PARTS; part++)
        sum += work_of(result, (BenchPart)part);
    return sum;
}

static void executes_what_is_needed(void) {
    static const Entry entries[] = {ENTRY_FEATURES, ENTRY_LOGITS, ENTRY_RECONSTRUCT,
                                    ENTRY_TRAIN_STEP, ENTRY_FINETUNE_STEP};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        Run r = run(entries[i], 0.5, 1);
        CU_ASSERT(r.result.multiply_adds_needed > 0);
        CU_ASSERT_EQUAL(all_work(&r.result), r.result.multiply_adds_needed);
        CU_ASSERT_EQUAL(isnan(r.result.loss), entries[i] < ENTRY_RECONSTRUCT);
        end(&r);
    }
}

/* conv0 has 32 x 16 positions, conv1 16 x 8, conv2 8 x 4, of which half are visible; forward, and
 * twice backward but for the first layer, whose input needs no gradient. */
static void counts_the_encoder_by_its_visible_rows(void) {
    Run half = run(ENTRY_TRAIN_STEP, 0.5, 1), whole = run(ENTRY_TRAIN_STEP, 0, 1);
    const int64_t first = 2 * 512 * 9 * 3 * 16, second = 2 * 128 * 9 * 16 * 32,
                  third = 2 * 32 * 9 * 32 * 64;
    int64_t dense = 2 * first + 3 * second + 3 * third;
    CU_ASSERT_EQUAL(work_of(&whole.result, BENCH_ENCODER), dense);
    CU_ASSERT_EQUAL(work_of(&half.result, BENCH_ENCODER), dense / 2);
    CU_ASSERT_EQUAL(work_of(&half.result, BENCH_DECODER), work_of(&whole.result, BENCH_DECODER));
    CU_ASSERT(work_of(&half.result, BENCH_DENSIFY) > 0);
    CU_ASSERT_EQUAL(work_of(&half.result, BENCH_LOSS) + work_of(&half.result, BENCH_UPDATE), 0);
    end(&half);
    end(&whole);
}

/* Each part needs what it executes here, and with all cells visible it would execute the rest;
 * densify would besides find out what is hidden, which nobody does where nothing is. */
static void counts_what_is_needed_and_skipped_by_part(void) {
    Run half = run(ENTRY_TRAIN_STEP, 0.5, 1), whole = run(ENTRY_TRAIN_STEP, 0, 1);
    for (int part = 0; part < BENCH_PARTS; part++) {
        int64_t dense = 0;
        for (size_t i = 0; i < half.result.kernel_count; i++)
            if ((int)half.result.kernels[i].part == part)
                dense += half.result.kernels[i].multiply_adds_dense;
        CU_ASSERT_EQUAL(half.result.part_needed[part], work_of(&half.result, (BenchPart)part));
        int64_t visible = work_of(&whole.result, (BenchPart)part);
        CU_ASSERT(part == BENCH_DENSIFY ? dense > visible : dense == visible);
    }
    end(&half);
    end(&whole);
}

static void names_layers_and_parts(void) {
    Run r = run(ENTRY_TRAIN_STEP, 0.5, 1);
    static const struct {
        const char *layer;
        BenchPart part;
    } expected[] = {{"conv1", BENCH_ENCODER},
                    {"norm2", BENCH_ENCODER},
                    {"densify_projs.0", BENCH_DENSIFY},
                    {"dense_decoder.dec.0.conv.0", BENCH_DECODER}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int found = 0;
        for (size_t k = 0; k < r.result.kernel_count; k++) {
            const BenchKernel *kernel = &r.result.kernels[k];
            if (strcmp(kernel->layer, expected[i].layer) != 0)
                continue;
            CU_ASSERT_EQUAL(kernel->part, expected[i].part);
            found++;
        }
        CU_ASSERT(found >= 2);
    }
    end(&r);
}

static double number(const json_t *json, const char *name) {
    const json_t *value = json_object_get(json, name);
    CU_ASSERT(json_is_number(value));
    return json_number_value(value);
}

static void reports_times_that_fit_together(void) {
    Run r = run(ENTRY_TRAIN_STEP, 0.5, 3);
    json_t *json = bench_json(&r.result);
    double step = number(json, "step_seconds"), kernels = 0;
    CU_ASSERT_DOUBLE_EQUAL(number(json, "images_per_second"), 2 / step, 1e-6 / step);
    CU_ASSERT(number(json, "step_seconds_min") <= step);
    CU_ASSERT(number(json, "step_seconds_max") >= step);
    for (size_t i = 0; i < r.result.kernel_count; i++)
        kernels += r.result.kernels[i].seconds;
    CU_ASSERT(kernels > 0);
    CU_ASSERT(number(json, "encoder_seconds") < kernels);
    CU_ASSERT(number(json, "compile_seconds") > 0);
    CU_ASSERT(number(json, "peak_bytes") >= number(json, "scratch_lower_bound"));
    CU_ASSERT(number(json, "contract_share_of_peak") > 0);
    CU_ASSERT_EQUAL((size_t)number(json, "kernels"),
                    json_array_size(json_object_get(json, "kernel_list")));
    CU_ASSERT(number(json, "distinct_kernels") < number(json, "kernels"));
    json_decref(json);
    end(&r);
}

/* Of a single step no kernel's median comes from another step than its neighbour's. */
static void finds_all_kernels_within_the_step(void) {
    Run r = run(ENTRY_TRAIN_STEP, 0.5, 1);
    double kernels = 0;
    for (size_t i = 0; i < r.result.kernel_count; i++)
        kernels += r.result.kernels[i].seconds;
    CU_ASSERT(kernels <= r.result.step_seconds[0]);
    end(&r);
}

static void splits_loss_and_update(void) {
    Run r = run(ENTRY_TRAIN_STEP, 0.5, 1);
    int updates = 0, losses = 0;
    for (size_t i = 0; i < r.result.kernel_count; i++) {
        const BenchKernel *kernel = &r.result.kernels[i];
        bool flat = kernel->kernel->space.kind == SPACE_FLAT;
        updates += kernel->part == BENCH_UPDATE;
        losses += kernel->part == BENCH_LOSS;
        CU_ASSERT(!flat || kernel->part == BENCH_UPDATE);
        CU_ASSERT(strncmp(kernel->kernel->name, "target", 6) != 0 || kernel->part == BENCH_LOSS);
    }
    CU_ASSERT(updates > 0 && losses > 0);
    end(&r);
}

/* The triads cover maps and reductions and nothing else, and move what the kernels move. */
static void compares_maps_and_reductions_with_triads(void) {
    Run r = run(ENTRY_TRAIN_STEP, 0.5, 1);
    json_t *json = bench_json(&r.result);
    static const char *const shares[] = {"map_share_of_triad", "map_share_of_cold_triad",
                                         "reduce_share_of_triad", "reduce_share_of_cold_triad"};
    for (size_t i = 0; i < r.result.kernel_count; i++) {
        const BenchKernel *kernel = &r.result.kernels[i];
        bool moves = kernel->kernel->kind == KERNEL_MAP || kernel->kernel->kind == KERNEL_REDUCE;
        CU_ASSERT_EQUAL(kernel->triad_seconds > 0, moves && kernel->launch_count > 0);
        CU_ASSERT_EQUAL(kernel->cold_triad_seconds > 0, moves && kernel->launch_count > 0);
        if (kernel->launch_count > 0)
            CU_ASSERT_EQUAL(kernel->traffic.read + kernel->traffic.written, kernel->bytes);
    }
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        CU_ASSERT(isfinite(number(json, shares[i])) && number(json, shares[i]) > 0);
    CU_ASSERT(r.result.peak.launch_seconds > 0 && r.result.peak.launch_seconds < 0.01);
    CU_ASSERT(r.result.stream_count > 3);
    json_decref(json);
    end(&r);
}

static void finds_the_mix_of_a_stream(void) {
    static const struct {
        int64_t read, written;
        int reads, writes;
    } cases[] = {{1 << 20, 0, 1, 0},       {0, 1 << 20, 0, 1},       {1 << 20, 1 << 20, 1, 1},
                 {2 << 20, 1 << 20, 2, 1}, {1 << 20, 2 << 20, 1, 2}, {3 << 20, 1 << 20, 3, 1},
                 {3 << 20, 2 << 20, 3, 2}, {1 << 20, 100, 1, 0},     {4 << 20, 3 << 20, 4, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double bytes = (double)(cases[i].read + cases[i].written);
        CpuStream stream = bench_stream_of(cases[i].read, cases[i].written);
        CU_ASSERT_EQUAL(stream.reads, cases[i].reads);
        CU_ASSERT_EQUAL(stream.writes, cases[i].writes);
        CU_ASSERT(fabs(log2((double)stream.bytes / bytes)) <= 0.126);
    }
    CU_ASSERT_EQUAL(bench_stream_of(12, 4).bytes, 4096);
}

/* Streams write the sums of what they read, plus one, to all of their arrays, and do all of it. */
static void streams_move_all_of_their_arrays(void) {
    static const CpuStream streams[] = {{2, 2, 3 << 20}, {0, 1, 1 << 18}, {1, 0, 1 << 18}};
    Arena *arena = arena_create();
    CpuTarget target;
    CpuModule *module;
    Plan *plan;
    Threads *threads;
    PlanExecutor *executor;
    CU_ASSERT_FATAL(status_fine(cpu_target(arena, NULL, NULL, false, &target)));
    CU_ASSERT_FATAL(status_fine(cpu_streams(arena, &target, streams, 3, &module, &plan)));
    CU_ASSERT_FATAL(status_fine(threads_create(arena, 2, &threads)));
    CU_ASSERT_FATAL(status_fine(plan_executor_create(arena, plan, threads, &executor)));
    CU_ASSERT_EQUAL(plan->launch_count, 6);
    for (int i = 0; i < plan->launch_count; i++)
        plan_executor_run_launch(executor, i);
    for (int i = 0; i < 4; i++) {
        const PlanLaunch *launch = &plan->launches[i];
        int64_t count = launch->bytes / launch->pointer_count / 4;
        CU_ASSERT(llabs(launch->bytes - streams[i / 2].bytes) <= 4096);
        for (int k = streams[i / 2].reads; k < launch->pointer_count; k++) {
            const char *scratch = plan_executor_region(executor, PLAN_SCRATCH);
            const float *array =
                (const float *)(const void *)(scratch + launch->pointers[k].offset);
            CU_ASSERT_EQUAL(array[0], 1);
            CU_ASSERT_EQUAL(array[count - 1], 1);
        }
    }
    plan_executor_destroy(executor);
    threads_destroy(threads);
    cpu_module_destroy(module);
    arena_destroy(arena);
}

/* All contracts are in one shape each; bounds are no longer than their kernels can be. */
static void sorts_contracts_by_shape(void) {
    Run r = run(ENTRY_TRAIN_STEP, 0.5, 1);
    size_t count, contracts = 0, kernels = 0;
    int64_t work = 0;
    BenchShape *shapes = bench_shapes(r.arena, &r.result, &count);
    for (size_t i = 0; i < r.result.kernel_count; i++)
        contracts += r.result.kernels[i].contract;
    for (size_t i = 0; i < count; i++) {
        kernels += (size_t)shapes[i].kernels;
        work += shapes[i].multiply_adds;
        CU_ASSERT(i == 0 || shapes[i].seconds <= shapes[i - 1].seconds);
        CU_ASSERT(shapes[i].reason[0] != '\0');
    }
    CU_ASSERT(count > 0 && count < contracts);
    CU_ASSERT_EQUAL(kernels, contracts);
    CU_ASSERT_EQUAL(work, all_work(&r.result));
    end(&r);
}

/* The bound is the slowest of what a kernel has to do. */
static void tells_what_bounds_a_kernel(void) {
    BenchResult result = {.peak = {.bytes = 1e8, .launch_seconds = 1e-5}};
    static const struct {
        int64_t multiply_adds, bytes;
        int launches;
        BenchBound bound;
        double seconds;
    } cases[] = {{1000000, 1000, 1, BENCH_BY_ARITHMETIC, 2e-3},
                 {1000, 1000000, 1, BENCH_BY_MEMORY, 1e-2},
                 {100, 10, 3, BENCH_BY_LAUNCH, 3e-5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        BenchKernel kernel = {.multiply_adds = cases[i].multiply_adds,
                              .arithmetic_seconds = 2e-9 * (double)cases[i].multiply_adds,
                              .bytes = cases[i].bytes,
                              .launch_count = cases[i].launches};
        double seconds;
        CU_ASSERT_EQUAL(bench_bound(&result, &kernel, &seconds), cases[i].bound);
        CU_ASSERT_DOUBLE_EQUAL(seconds, cases[i].seconds, 1e-9);
    }
}

static CU_TestInfo tests[] = {
    {"counts what is needed and skipped by part", counts_what_is_needed_and_skipped_by_part},
    {"splits loss and update", splits_loss_and_update},
    {"compares maps and reductions with triads", compares_maps_and_reductions_with_triads},
    {"finds the mix of a stream", finds_the_mix_of_a_stream},
    {"streams move all of their arrays", streams_move_all_of_their_arrays},
    {"sorts contracts by shape", sorts_contracts_by_shape},
    {"tells what bounds a kernel", tells_what_bounds_a_kernel},
    {"executes what is needed", executes_what_is_needed},
    {"counts the encoder by its visible rows", counts_the_encoder_by_its_visible_rows},
    {"names layers and parts", names_layers_and_parts},
    {"reports times that fit together", reports_times_that_fit_together},
    {"finds all kernels within the step", finds_all_kernels_within_the_step},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {HARNESS_SUITE("bench", tests), CU_SUITE_INFO_NULL};
