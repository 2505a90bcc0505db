/* What verification stands on: the recipe, the comparison, case files, receptive fields. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ir/builder.h"
#include "tests/unit/harness.h"
#include "tools/inspect/receptive.h"
#include "tools/verify/case.h"
#include "tools/verify/compare.h"
#include "tools/verify/verify_recipe.h"

/* The check values of the recipe: u for i = 0..3 of the tensor "image". */
static void makes_the_numbers_of_the_recipe(void) {
    static const double units[] = {0.38353145122528076, 0.5687412023544312, -0.3035259246826172,
                                   -0.9145135879516602};
    double values[4];
    recipe_fill("image", 0, 1, values, 4);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(values[i], (double)(float)units[i]);
    recipe_fill("image", 1, 0.1, values, 4);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(values[i], (double)(float)(1 + 0.1 * units[i]));
}

static void tells_a_permuted_tensor_by_its_probe(void) {
    const double a[] = {1, -2, 3}, b[] = {1, 3, -2};
    Statistics first = recipe_statistics(a, 3), second = recipe_statistics(b, 3);
    CU_ASSERT_EQUAL(first.sum, 2);
    CU_ASSERT_DOUBLE_EQUAL(first.l2, sqrt(14), 1e-15);
    CU_ASSERT_EQUAL(first.max, 3);
    CU_ASSERT_EQUAL(first.first[2], 3);
    CU_ASSERT_EQUAL(first.first[3], 0);
    CU_ASSERT_EQUAL(first.sum, second.sum);
    CU_ASSERT_NOT_EQUAL(first.probe, second.probe);
}

/* The verdict on one tensor of group g. */
static bool passes(const char *metric, double tolerance, const double *actual,
                   const double *expected, size_t count) {
    Arena *arena = arena_create();
    Comparison *comparison = compare_create(arena);
    compare_require(comparison, "g", metric, tolerance);
    compare_values(comparison, "g", "t", actual, expected, count);
    bool passed = compare_passed(comparison);
    arena_destroy(arena);
    return passed;
}

static void measures_errors(void) {
    const double expected[] = {3, 4}, actual[] = {3, 4.4}, zeros[] = {0, 0};
    CU_ASSERT_TRUE(passes("max", 0.1000001, actual, expected, 2));
    CU_ASSERT_FALSE(passes("max", 0.0999999, actual, expected, 2));
    CU_ASSERT_TRUE(passes("l2", 0.0800001, actual, expected, 2));
    CU_ASSERT_FALSE(passes("l2", 0.0799999, actual, expected, 2));
    CU_ASSERT_TRUE(passes("abs", 0.4000001, actual, expected, 2));
    CU_ASSERT_FALSE(passes("abs", 0.3999999, actual, expected, 2));
    CU_ASSERT_TRUE(passes("max", 0, expected, expected, 2));
    CU_ASSERT_TRUE(passes("max", 0, zeros, zeros, 2));
    CU_ASSERT_FALSE(passes("max", 1e9, actual, zeros, 2));
}

static void fails_what_is_not_finite(void) {
    const double expected[] = {3, 4}, nan[] = {3, NAN}, infinite[] = {3, INFINITY};
    static const char *const metrics[] = {"max", "l2", "abs", "rel"};
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_FALSE(passes(metrics[i], 1e300, nan, expected, 2));
        CU_ASSERT_FALSE(passes(metrics[i], 1e300, infinite, expected, 2));
        CU_ASSERT_FALSE(passes(metrics[i], 1e300, expected, nan, 2));
    }
}

static void keeps_the_worst_tensor(void) {
    Arena *arena = arena_create();
    Comparison *comparison = compare_create(arena);
    compare_error_within(comparison, "g", "rel", "first", 1e-6, 1e-5);
    compare_error_within(comparison, "g", "rel", "second", 1e-2, 1e-1);
    compare_error_within(comparison, "g", "rel", "third", 1e-3, 1e-1);
    compare_error_within(comparison, "g", "rel", "fourth", 9e-6, 1e-5);
    CU_ASSERT_TRUE(compare_passed(comparison));
    json_t *json = compare_json(comparison);
    const json_t *group = json_array_get(json_object_get(json, "groups"), 0);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(group, "worst")), "fourth");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(group, "tensors")), 4);
    json_decref(json);
    compare_error_within(comparison, "g", "rel", "fifth", 2e-5, 1e-5);
    CU_ASSERT_FALSE(compare_passed(comparison));
    arena_destroy(arena);
}

/* A comparison that compared nothing must not pass. */
static void fails_without_evidence(void) {
    Arena *arena = arena_create();
    Comparison *comparison = compare_create(arena);
    CU_ASSERT_FALSE(compare_passed(comparison));
    compare_require(comparison, "g", "max", 1);
    CU_ASSERT_FALSE(compare_passed(comparison));
    compare_make_optional(comparison, "g");
    CU_ASSERT_TRUE(compare_passed(comparison));
    compare_fact(comparison, "f", true, "never said");
    CU_ASSERT_TRUE(compare_passed(comparison));
    compare_problem(comparison, "something is missing");
    CU_ASSERT_FALSE(compare_passed(comparison));
    arena_destroy(arena);
}

/* What is shown fails only where it is no number; what decides goes on deciding. */
static void shows_without_deciding(void) {
    Arena *arena = arena_create();
    Comparison *comparison = compare_create(arena);
    compare_error_within(comparison, "shown", "rel", "t", 3e-1, 1e-1);
    CU_ASSERT_FALSE(compare_passed(comparison));
    compare_make_shown(comparison, "shown");
    CU_ASSERT_TRUE(compare_passed(comparison));
    json_t *json = compare_json(comparison);
    const json_t *group = json_array_get(json_object_get(json, "groups"), 0);
    CU_ASSERT_TRUE(json_is_false(json_object_get(group, "decides")));
    json_decref(json);
    compare_error_within(comparison, "decides", "rel", "t", 3e-1, 1e-1);
    CU_ASSERT_FALSE(compare_passed(comparison));
    comparison = compare_create(arena);
    compare_error_within(comparison, "shown", "rel", "t", NAN, 1e-1);
    compare_make_shown(comparison, "shown");
    CU_ASSERT_FALSE(compare_passed(comparison));
    arena_destroy(arena);
}

static void fails_on_a_wrong_fact(void) {
    Arena *arena = arena_create();
    Comparison *comparison = compare_create(arena);
    compare_fact(comparison, "f", true, "right");
    compare_fact(comparison, "f", false, "wrong");
    CU_ASSERT_FALSE(compare_passed(comparison));
    arena_destroy(arena);
}

static void reads_case_entries(void) {
    Arena *arena = arena_create();
    char path[] = "/tmp/sparkc-case-XXXXXX";
    static const char text[] = "{\"a\": {\"b\": [1, 2.5, \"x\"]}, \"n\": 3, \"s\": [2, 0]}";
    int descriptor = mkstemp(path), rank;
    Case opened;
    double number;
    int64_t whole, shape[4];
    const char *word;
    CU_ASSERT_EQUAL(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    close(descriptor);
    CU_ASSERT_TRUE_FATAL(status_fine(case_open(arena, path, &opened)));
    CU_ASSERT_TRUE(status_fine(case_number(&opened, "a.b.1", &number)));
    CU_ASSERT_EQUAL(number, 2.5);
    CU_ASSERT_TRUE(status_fine(case_text(&opened, "a.b.2", &word)));
    CU_ASSERT_TRUE(status_fine(case_integer(&opened, "n", 0, 3, &whole)));
    CU_ASSERT_FALSE(status_fine(case_integer(&opened, "n", 0, 2, &whole)));
    CU_ASSERT_FALSE(status_fine(case_integer(&opened, "a.b.1", 0, 9, &whole)));
    CU_ASSERT_FALSE(status_fine(case_number(&opened, "a.b.3", &number)));
    CU_ASSERT_FALSE(status_fine(case_number(&opened, "a.b.x", &number)));
    CU_ASSERT_FALSE(status_fine(case_number(&opened, "a.c", &number)));
    CU_ASSERT_FALSE(status_fine(case_text(&opened, "n", &word)));
    CU_ASSERT_FALSE(status_fine(case_shape(&opened, "s", 4, &rank, shape)));
    CU_ASSERT_TRUE(case_lists(&opened, "a.b", "x"));
    CU_ASSERT_FALSE(case_lists(&opened, "n", "x"));
    case_close(&opened);
    unlink(path);
    CU_ASSERT_FALSE(status_fine(case_open(arena, path, &opened)));
    arena_destroy(arena);
}

/* conv 7 stride 2, max pool 3 stride 2, conv 3 dilation 2: fields 7, 11, 11 + 4 * 4. */
static void adds_up_receptive_fields(void) {
    Arena *arena = arena_create();
    Geometry geometry = {.batch = 1, .space = 1, .image = {64}, .channels = 1};
    Graph *graph = graph_create(arena, "net", geometry);
    Builder builder = {.graph = graph};
    int64_t weight[] = {7, 1, 1}, narrow[] = {3, 1, 1}, seven = 7, three = 3, two = 2, one = 1;
    int64_t zero = 0, extent = 64;
    Value *image =
        build_stated(&builder, OP_input, "image", type_dense(DTYPE_F32, 1, 1, &extent, 1), NULL, 0,
                     ATTRIBUTES(attribute_text("name", "image")));
    Value *wide = build_stated(&builder, OP_constant, "wide", type_plain(DTYPE_F32, 3, weight),
                               NULL, 0, ATTRIBUTES(attribute_float("value", 1)));
    Value *small = build_stated(&builder, OP_constant, "small", type_plain(DTYPE_F32, 3, narrow),
                                NULL, 0, ATTRIBUTES(attribute_float("value", 1)));
    Node *a =
        build(&builder, OP_conv, "a", OPERANDS(image, wide),
              ATTRIBUTES(attribute_ints("kernel", &seven, 1), attribute_ints("stride", &two, 1),
                         attribute_ints("pad", &three, 1), attribute_ints("dilation", &one, 1)));
    Node *b =
        build(&builder, OP_max_pool, "b", OPERANDS(node_result(a, 0)),
              ATTRIBUTES(attribute_ints("kernel", &three, 1), attribute_ints("stride", &two, 1),
                         attribute_ints("pad", &one, 1), attribute_ints("dilation", &one, 1)));
    build(&builder, OP_conv, "c", OPERANDS(node_result(b, 0), small),
          ATTRIBUTES(attribute_ints("kernel", &three, 1), attribute_ints("stride", &one, 1),
                     attribute_ints("pad", &zero, 1), attribute_ints("dilation", &two, 1)));
    size_t count;
    const ReceptiveEntry *entries = receptive_fields(graph, arena, &count);
    CU_ASSERT_EQUAL_FATAL(count, 6);
    CU_ASSERT_EQUAL(entries[0].field.extent[0], 1);
    CU_ASSERT_EQUAL(entries[3].field.extent[0], 7);
    CU_ASSERT_EQUAL(entries[4].field.extent[0], 11);
    CU_ASSERT_EQUAL(entries[5].field.extent[0], 27);
    arena_destroy(arena);
}

static CU_TestInfo tests[] = {
    {"makes the numbers of the recipe", makes_the_numbers_of_the_recipe},
    {"tells a permuted tensor by its probe", tells_a_permuted_tensor_by_its_probe},
    {"measures errors", measures_errors},
    {"fails what is not finite", fails_what_is_not_finite},
    {"keeps the worst tensor", keeps_the_worst_tensor},
    {"fails without evidence", fails_without_evidence},
    {"what is shown does not decide", shows_without_deciding},
    {"fails on a wrong fact", fails_on_a_wrong_fact},
    {"reads case entries", reads_case_entries},
    {"adds up receptive fields", adds_up_receptive_fields},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {{"tools", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
