/* Steps as transactions: a batch that is not finite leaves no trace, and is explained. */
#include <string.h>

#include "tests/unit/training_fixture.h"
#include "tests/unit/training_suites.h"

enum { STEPS = 12, BAD_STEP = 7 };

/* Feeds batches 0 .. STEPS - 1; before number `bad` one with an infinity (none: -1). */
static void train(const TrainingFixture *fixture, int bad) {
    for (int i = 0; i < STEPS; i++) {
        bool updated;
        if (i == bad) {
            TrainerResult result = training_feed_infinity(fixture, 1000, 2);
            CU_ASSERT_FALSE(result.ok);
        }
        TrainerResult result = training_feed(fixture, (uint32_t)i, &updated);
        CU_ASSERT_TRUE(result.ok);
        CU_ASSERT(result.loss > 0 && result.loss < 100);
    }
}

static void check_skip(int64_t micro_batches, OptimizerKind optimizer) {
    TrainingFixture with = training_open(micro_batches, optimizer);
    TrainingFixture without = training_open(micro_batches, optimizer);
    CU_ASSERT_TRUE(training_same(&with, &without));
    train(&without, -1);
    CU_ASSERT_FALSE(training_same(&with, &without));
    train(&with, BAD_STEP);
    CU_ASSERT_TRUE(training_same(&with, &without));
    CU_ASSERT_EQUAL(trainer_updates(with.trainer), STEPS / micro_batches);
    training_close(&with);
    training_close(&without);
}

static void skipped_batch_leaves_no_trace(void) {
    check_skip(1, OPTIMIZER_LAMB);
    check_skip(1, OPTIMIZER_ADAMW);
    check_skip(1, OPTIMIZER_SGD);
}

static void skipped_micro_batch_leaves_no_trace(void) {
    check_skip(3, OPTIMIZER_LAMB);
}

static void blame_names_the_picture(void) {
    TrainingFixture fixture = training_open(1, OPTIMIZER_LAMB);
    CU_ASSERT_FALSE(training_feed_infinity(&fixture, 3, 2).ok);
    const char *blame = trainer_blame(fixture.arena, fixture.trainer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(blame);
    CU_ASSERT_PTR_NOT_NULL(strstr(blame, "image"));
    CU_ASSERT_PTR_NOT_NULL(strstr(blame, "picture 2"));
    training_close(&fixture);
}

/* Three micro-batches make an update; a run's random numbers go on where they were. */
static void updates_count(void) {
    TrainingFixture fixture = training_open(3, OPTIMIZER_LAMB);
    bool updated;
    for (uint32_t i = 0; i < 9; i++) {
        training_feed(&fixture, i, &updated);
        CU_ASSERT_EQUAL(updated, i % 3 == 2);
        CU_ASSERT_EQUAL(trainer_updates(fixture.trainer), (i + 1) / 3);
    }
    training_close(&fixture);
}

/* What an update of these two micro-batches leaves. */
static TrainingFixture update_of(uint32_t first, uint32_t second) {
    TrainingFixture fixture = training_open(2, OPTIMIZER_SGD);
    bool updated;
    double norm = training_feed(&fixture, first, &updated).grad_norm;
    TrainerResult result = training_feed(&fixture, second, &updated);
    CU_ASSERT_TRUE(updated);
    CU_ASSERT(result.grad_norm > 0 && result.grad_norm < 1.3 * norm);
    return fixture;
}

/* Each of them counts, and their gradients are averaged, not added: those of the first steps point
 * the same way. */
static void updates_average(void) {
    TrainingFixture one = update_of(0, 1), two = update_of(2, 1), three = update_of(0, 3);
    CU_ASSERT_FALSE(training_same(&one, &two));
    CU_ASSERT_FALSE(training_same(&one, &three));
    const float *weights = trainer_memory(one.trainer)->parameters;
    CU_ASSERT(weights[0] != trainer_memory(two.trainer)->parameters[0]);
    CU_ASSERT(weights[0] != trainer_memory(three.trainer)->parameters[0]);
    training_close(&one);
    training_close(&two);
    training_close(&three);
}

static void code_is_named(void) {
    TrainingFixture one = training_open(1, OPTIMIZER_LAMB), two = training_open(1, OPTIMIZER_LAMB);
    TrainingFixture other = training_open(1, OPTIMIZER_SGD);
    TrainerCosts a = trainer_costs(one.trainer), b = trainer_costs(two.trainer);
    CU_ASSERT_STRING_EQUAL(a.code, b.code);
    CU_ASSERT_EQUAL(strlen(a.code), 64);
    CU_ASSERT_STRING_NOT_EQUAL(a.code, trainer_costs(other.trainer).code);
    CU_ASSERT(a.bytes > 0 && a.kernels > 0);
    training_close(&one);
    training_close(&two);
    training_close(&other);
}

CU_TestInfo training_steps_tests[] = {
    {"a batch that is not finite leaves no trace", skipped_batch_leaves_no_trace},
    {"nor does a micro-batch", skipped_micro_batch_leaves_no_trace},
    {"the picture with an infinity is named", blame_names_the_picture},
    {"micro-batches make updates", updates_count},
    {"and average their gradients", updates_average},
    {"the code of a training has a name", code_is_named},
    CU_TEST_INFO_NULL,
};
