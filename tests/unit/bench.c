/* What bench says of a small network, where it can be known. */
#include <math.h>
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
    CU_ASSERT_EQUAL(work_of(&half.result, BENCH_TRAINING), 0);
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

static CU_TestInfo tests[] = {
    {"executes what is needed", executes_what_is_needed},
    {"counts the encoder by its visible rows", counts_the_encoder_by_its_visible_rows},
    {"names layers and parts", names_layers_and_parts},
    {"reports times that fit together", reports_times_that_fit_together},
    {"finds all kernels within the step", finds_all_kernels_within_the_step},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {HARNESS_SUITE("bench", tests), CU_SUITE_INFO_NULL};
