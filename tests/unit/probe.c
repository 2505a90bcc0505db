/* Judging features: nearest neighbours and the linear classifier, on made-up rows. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "tests/unit/harness.h"
#include "tools/probe/probe_knn.h"
#include "tools/probe/probe_linear.h"

static Threads *start_threads(Arena *arena, int count) {
    Threads *threads = NULL;
    CU_ASSERT_FATAL(status_fine(threads_create(arena, count, &threads)));
    return threads;
}

/* A set of rows of `width` floats each. */
static Features rows_of(Arena *arena, size_t count, size_t width, const float *values,
                        const uint32_t *classes) {
    Features features = features_create(arena, count, width);
    for (size_t i = 0; i < count; i++) {
        memcpy(features.values + i * features.stride, values + i * width, width * sizeof *values);
        features.classes[i] = classes[i];
    }
    return features;
}

static double normal(uint32_t stream, uint64_t index) {
    double a = ((double)random_word(9, stream, 0, index) + 0.5) / 4294967296.0;
    double b = (double)random_word(9, stream, 1, index) / 4294967296.0;
    return sqrt(-2 * log(a)) * cos(2 * M_PI * b);
}

/* Rows of normal noise around the middle of their class: `distance` along the axis of the class's
 * number. */
static Features clusters(Arena *arena, uint32_t stream, size_t count, size_t width,
                         uint32_t classes, double distance) {
    Features features = features_create(arena, count, width);
    for (size_t i = 0; i < count; i++) {
        features.classes[i] = (uint32_t)(i * 7 % classes);
        for (size_t k = 0; k < width; k++) {
            double middle = k == features.classes[i] ? distance : 0;
            features.values[i * features.stride + k] =
                (float)(middle + normal(stream, i * width + k));
        }
    }
    return features;
}

/* ---- Neighbours ------------------------------------------------------------------------------ */

static uint32_t predict_one(const Features *train, float x, float y, int k) {
    Arena *arena = arena_create();
    Threads *threads = start_threads(arena, 1);
    uint32_t class = 0, prediction = 99;
    Features test = rows_of(arena, 1, 2, (float[]){x, y}, &class);
    knn_predict(threads, train, &test, 3, k, &prediction);
    threads_destroy(threads);
    arena_destroy(arena);
    return prediction;
}

static void neighbours_vote_by_their_angle(void) {
    Arena *arena = arena_create();
    Features train =
        rows_of(arena, 4, 2, (float[]){5, 0, 0, 1, 0.1F, 2, -3, 0}, (uint32_t[]){0, 1, 1, 2});
    CU_ASSERT_EQUAL(predict_one(&train, 0.9F, 0.1F, 1), 0);
    CU_ASSERT_EQUAL(predict_one(&train, 0.001F, 0.01F, 1), 1);
    CU_ASSERT_EQUAL(predict_one(&train, -100, 1, 1), 2);
    CU_ASSERT_EQUAL(predict_one(&train, 1, 0.5F, 3), 0);  /* one near against two far */
    CU_ASSERT_EQUAL(predict_one(&train, 1, 0.93F, 3), 1); /* two almost as near as one */
    CU_ASSERT_EQUAL(predict_one(&train, 1, 0.93F, 1), 0);
    CU_ASSERT_EQUAL(predict_one(&train, 1, 0.5F, 1000), 0);
    arena_destroy(arena);
}

static void of_equal_neighbours_the_earlier_count(void) {
    Arena *arena = arena_create();
    Features train =
        rows_of(arena, 4, 2, (float[]){0, 1, 1, 0, 2, 0, 3, 0}, (uint32_t[]){1, 2, 0, 0});
    CU_ASSERT_EQUAL(predict_one(&train, 1, 0, 1), 2);
    CU_ASSERT_EQUAL(predict_one(&train, 1, 0, 2), 0); /* a vote for 2, one for 0: the smaller */
    CU_ASSERT_EQUAL(predict_one(&train, 0, 0, 1), 1); /* a row of zeros is equally far from all */
    /* Three vote: the two near ones, and the first of two equal ones, which decides. */
    train =
        rows_of(arena, 4, 2, (float[]){1, 0.5F, 2, 1, 1, 0.1F, 1, 0.12F}, (uint32_t[]){0, 1, 2, 0});
    CU_ASSERT_EQUAL(predict_one(&train, 1, 0, 3), 0);
    arena_destroy(arena);
}

/* The definition, in double, one row after the other. */
static uint32_t slow_prediction(const Features *train, const float *wanted, int k) {
    double votes[8] = {0}, *cosines = NULL;
    Arena *arena = arena_create();
    cosines = arena_new_array(arena, double, train->count);
    for (size_t i = 0; i < train->count; i++) {
        const float *row = train->values + i * train->stride;
        double dot = 0, one = 0, other = 0;
        for (size_t d = 0; d < train->width; d++) {
            dot += (double)row[d] * (double)wanted[d];
            one += (double)row[d] * (double)row[d];
            other += (double)wanted[d] * (double)wanted[d];
        }
        cosines[i] = dot / sqrt(one * other);
    }
    for (; k > 0; k--) {
        size_t best = 0;
        for (size_t i = 0; i < train->count; i++)
            best = cosines[i] > cosines[best] ? i : best;
        votes[train->classes[best]] += exp(cosines[best] / 0.07);
        cosines[best] = -2;
    }
    uint32_t class = 0;
    for (uint32_t i = 0; i < 8; i++)
        class = votes[i] > votes[class] ? i : class;
    arena_destroy(arena);
    return class;
}

static void neighbours_are_those_of_the_definition(void) {
    Arena *arena = arena_create();
    Features train = clusters(arena, 1, 700, 37, 5, 3);
    Features test = clusters(arena, 2, 150, 37, 5, 3);
    uint32_t *predictions = arena_new_array(arena, uint32_t, test.count);
    for (int threads = 1; threads <= 3; threads++) {
        Threads *pool = start_threads(arena, threads);
        memset(predictions, 255, test.count * sizeof *predictions);
        knn_predict(pool, &train, &test, 5, 20, predictions);
        threads_destroy(pool);
        for (size_t i = 0; i < test.count; i++)
            CU_ASSERT_EQUAL(predictions[i],
                            slow_prediction(&train, test.values + i * test.stride, 20));
    }
    CU_ASSERT(knn_accuracy(&test, predictions) > 0.5);
    memcpy(predictions, test.classes, test.count * sizeof *predictions);
    predictions[3] ^= 1;
    CU_ASSERT_DOUBLE_EQUAL(knn_accuracy(&test, predictions), 149.0 / 150, 1e-12);
    arena_destroy(arena);
}

static void every_row_is_compared(void) {
    Arena *arena = arena_create();
    Threads *threads = start_threads(arena, 2);
    Features rows = clusters(arena, 7, 1000, 19, 1, 0);
    uint32_t *predictions = arena_new_array(arena, uint32_t, rows.count);
    for (size_t i = 0; i < rows.count; i++)
        rows.classes[i] = (uint32_t)i;
    knn_predict(threads, &rows, &rows, rows.count, 1, predictions);
    CU_ASSERT_EQUAL(knn_accuracy(&rows, predictions), 1);
    threads_destroy(threads);
    arena_destroy(arena);
}

/* ---- The linear classifier ------------------------------------------------------------------- */

static LinearRows all_rows(Arena *arena, size_t count) {
    uint32_t *items = arena_new_array(arena, uint32_t, count);
    for (size_t i = 0; i < count; i++)
        items[i] = (uint32_t)i;
    return (LinearRows){items, count};
}

static void standardises_by_the_training_rows(void) {
    Arena *arena = arena_create();
    Features train = rows_of(arena, 2, 2, (float[]){1, 7, 5, 7}, (uint32_t[]){0, 1}), made;
    Features test = rows_of(arena, 1, 2, (float[]){7, 9}, (uint32_t[]){1}), made_test;
    linear_standardise(arena, &train, &test, &made, &made_test);
    CU_ASSERT_EQUAL(made.width, 3);
    const float first[] = {-1, 0, 1, 0}, second[] = {1, 0, 1, 0}, other[] = {2, 0, 1, 0};
    CU_ASSERT(memcmp(made.values, first, sizeof first) == 0);
    CU_ASSERT(memcmp(made.values + made.stride, second, sizeof second) == 0);
    CU_ASSERT(memcmp(made_test.values, other, sizeof other) == 0);
    CU_ASSERT(made.classes[1] == 1 && made_test.classes[0] == 1);
    arena_destroy(arena);
}

/* Of rows with x = 1 three of four are of class 1, of rows with x = -1 two of five: without a
 * penalty the logits differ by the logarithms of the odds. */
static void reaches_an_optimum_that_is_known(void) {
    Arena *arena = arena_create();
    Threads *threads = start_threads(arena, 2);
    static const uint32_t classes[] = {1, 1, 1, 0, 1, 1, 0, 0, 0};
    Features rows = features_create(arena, 9, 2);
    double weights[32] = {0}, loss;
    for (size_t i = 0; i < 9; i++) {
        rows.values[i * rows.stride] = i < 4 ? 1 : -1;
        rows.values[i * rows.stride + 1] = 1;
        rows.classes[i] = classes[i];
    }
    CU_ASSERT_FATAL(rows.stride == 16);
    CU_ASSERT(status_fine(
        linear_fit(arena, threads, &rows, all_rows(arena, 9), 2, 0, 1e-9, weights, &loss)));
    double slope = weights[16] - weights[0], constant = weights[17] - weights[1];
    CU_ASSERT_DOUBLE_EQUAL(constant + slope, log(3), 1e-3);
    CU_ASSERT_DOUBLE_EQUAL(constant - slope, log(2.0 / 3), 1e-3);
    double expected = -(3 * log(0.75) + log(0.25) + 2 * log(0.4) + 3 * log(0.6)) / 9;
    CU_ASSERT_DOUBLE_EQUAL(loss, expected, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(linear_accuracy(threads, &rows, all_rows(arena, 9), 2, weights), 6.0 / 9,
                           1e-12);
    threads_destroy(threads);
    arena_destroy(arena);
}

/* What linear_fit minimises, in double. */
static double objective(const Features *rows, size_t class_count, double l2,
                        const double *weights) {
    double sum = 0, squares = 0, logits[8];
    for (size_t i = 0; i < rows->count; i++) {
        double all = 0;
        for (size_t k = 0; k < class_count; k++) {
            logits[k] = 0;
            for (size_t d = 0; d < rows->width; d++)
                logits[k] +=
                    weights[k * rows->stride + d] * (double)rows->values[i * rows->stride + d];
            all += exp(logits[k]);
        }
        sum += log(all) - logits[rows->classes[i]];
    }
    for (size_t k = 0; k < class_count; k++)
        for (size_t d = 0; d + 1 < rows->width; d++)
            squares += pow(weights[k * rows->stride + d], 2);
    return sum / (double)rows->count + l2 / 2 * squares;
}

static void no_weight_can_be_bettered(void) {
    Arena *arena = arena_create();
    Threads *threads = start_threads(arena, 2);
    Features raw = clusters(arena, 3, 203, 5, 3, 1), rows, same;
    double weights[48] = {0}, loss, l2 = 0.1;
    linear_standardise(arena, &raw, &raw, &rows, &same);
    CU_ASSERT(status_fine(
        linear_fit(arena, threads, &rows, all_rows(arena, 203), 3, l2, 1e-9, weights, &loss)));
    double least = objective(&rows, 3, l2, weights);
    CU_ASSERT_DOUBLE_EQUAL(loss, least, 1e-6);
    for (size_t i = 0; i < 48; i++) {
        if (i % 16 >= rows.width) {
            CU_ASSERT_EQUAL(weights[i], 0);
            continue;
        }
        for (double step = -0.01; step < 0.02; step += 0.02) {
            double before = weights[i];
            weights[i] += step;
            CU_ASSERT(objective(&rows, 3, l2, weights) > least);
            weights[i] = before;
        }
    }
    threads_destroy(threads);
    arena_destroy(arena);
}

static LinearResult probe_clusters(Arena *arena, int threads, size_t count, double distance) {
    LinearResult result = {0};
    Threads *pool = start_threads(arena, threads);
    Features train = clusters(arena, 4, count, 10, 2, distance);
    Features test = clusters(arena, 5, 4000, 10, 2, distance);
    CU_ASSERT(status_fine(linear_probe(arena, pool, &train, &test, 2, &result)));
    threads_destroy(pool);
    return result;
}

static void separates_what_can_be_separated(void) {
    Arena *arena = arena_create();
    LinearResult result = probe_clusters(arena, 2, 300, 20);
    CU_ASSERT_EQUAL(result.accuracy, 1);
    CU_ASSERT_EQUAL(result.train_accuracy, 1);
    CU_ASSERT_EQUAL(result.held_out, 1);
    CU_ASSERT_EQUAL(result.l2, 1); /* all do as well: the largest */
    arena_destroy(arena);
}

/* Two normal clusters, their middles 2 apart: no classifier is right more often than Phi(1). */
static void comes_near_to_the_best_where_clusters_overlap(void) {
    Arena *arena = arena_create();
    LinearResult result = probe_clusters(arena, 2, 2000, M_SQRT2);
    double best = 0.5 * erfc(-1 / M_SQRT2);
    CU_ASSERT_DOUBLE_EQUAL(result.accuracy, best, 0.02);
    CU_ASSERT_DOUBLE_EQUAL(result.train_accuracy, best, 0.03);
    CU_ASSERT_DOUBLE_EQUAL(result.held_out, best, 0.06);
    arena_destroy(arena);
}

/* A tenth of five rows is none. */
static void a_few_rows_are_no_ground_to_choose_by(void) {
    Arena *arena = arena_create();
    LinearResult result = probe_clusters(arena, 1, 5, 20);
    CU_ASSERT(isnan(result.held_out));
    CU_ASSERT_EQUAL(result.l2, 0.01);
    CU_ASSERT(result.accuracy > 0.9);
    arena_destroy(arena);
}

static void threads_change_nothing(void) {
    Arena *arena = arena_create();
    Features raw = clusters(arena, 6, 517, 21, 4, 1), rows, same;
    double first[128] = {0}, loss_first = 0;
    linear_standardise(arena, &raw, &raw, &rows, &same);
    CU_ASSERT_FATAL(rows.stride == 32);
    for (int threads = 1; threads <= 3; threads++) {
        double weights[128] = {0}, loss;
        Threads *pool = start_threads(arena, threads);
        CU_ASSERT(status_fine(
            linear_fit(arena, pool, &rows, all_rows(arena, 517), 4, 1e-3, 1e-5, weights, &loss)));
        threads_destroy(pool);
        if (threads == 1) {
            memcpy(first, weights, sizeof first);
            loss_first = loss;
        }
        CU_ASSERT(memcmp(first, weights, sizeof first) == 0);
        CU_ASSERT(memcmp(&loss_first, &loss, sizeof loss) == 0);
    }
    arena_destroy(arena);
}

static CU_TestInfo neighbour_tests[] = {
    {"neighbours vote by their angle", neighbours_vote_by_their_angle},
    {"of equal neighbours the earlier count", of_equal_neighbours_the_earlier_count},
    {"neighbours are those of the definition", neighbours_are_those_of_the_definition},
    {"every row is compared", every_row_is_compared},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo linear_tests[] = {
    {"standardises by the training rows", standardises_by_the_training_rows},
    {"reaches an optimum that is known", reaches_an_optimum_that_is_known},
    {"no weight can be bettered", no_weight_can_be_bettered},
    {"separates what can be separated", separates_what_can_be_separated},
    {"comes near to the best where clusters overlap",
     comes_near_to_the_best_where_clusters_overlap},
    {"a few rows are no ground to choose by", a_few_rows_are_no_ground_to_choose_by},
    {"threads change nothing", threads_change_nothing},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("neighbours", neighbour_tests),
    HARNESS_SUITE("linear", linear_tests),
    CU_SUITE_INFO_NULL,
};
