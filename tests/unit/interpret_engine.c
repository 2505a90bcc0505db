/* The engine: regions, commits, failures, lifetimes; and the sources that read the segment table.
 */
#include <math.h>
#include <string.h>

#include "tests/support/fixture.h"
#include "tests/unit/interpret_suites.h"

static void add_segment(Fixture *fixture, const char *name, int64_t length, bool decays,
                        double scale) {
    Segment segment = {
        .name = name, .type = type_vector(DTYPE_F32, length), .decays = decays, .lr_scale = scale};
    CU_ASSERT_PTR_NOT_NULL_FATAL(graph_add_segment(fixture->graph, segment));
}

/* Segments "a" of 2 elements (1 2) and "b" of 3 elements (3 4 5) once set_params has run. */
static Fixture two_segments(void) {
    Fixture fixture = fixture_create();
    add_segment(&fixture, "a", 2, true, 1);
    add_segment(&fixture, "b", 3, false, 0.5);
    return fixture;
}

static void set_params(Fixture *fixture) {
    fixture_start(fixture);
    memcpy(interpreter_param(fixture->interpreter, "a").data, (const double[]){1, 2},
           2 * sizeof(double));
    memcpy(interpreter_param(fixture->interpreter, "b").data, (const double[]){3, 4, 5},
           3 * sizeof(double));
}

static void commit(Fixture *fixture, Value *value, const char *region, const char *name) {
    build(&fixture->builder, OP_commit, NULL, OPERANDS(value),
          ATTRIBUTES(attribute_text("region", region), attribute_text("name", name)));
}

static Value *parameters(Fixture *fixture) {
    return build_stated(&fixture->builder, OP_parameters, NULL, type_flat(DTYPE_F32), NULL, 0,
                        NO_ATTRIBUTES);
}

static Value *column(Fixture *fixture, const char *name) {
    return build_stated(&fixture->builder, OP_segment_table, name, type_segments(DTYPE_F32), NULL,
                        0, ATTRIBUTES(attribute_text("column", name)));
}

static void flat_values_follow_the_segment_table(void) {
    Fixture fixture = two_segments();
    Value *flat = parameters(&fixture);
    Value *scaled =
        build_binary(&fixture.builder, OP_mul, NULL, flat, column(&fixture, "lr_scale"));
    fixture_output(&fixture, "scaled", scaled);
    fixture_output(&fixture, "decays", column(&fixture, "decays"));
    fixture_output(&fixture, "sums", build_sum(&fixture.builder, NULL, flat, "segment"));
    fixture_output(&fixture, "b", build_param(&fixture.builder, "b"));
    set_params(&fixture);
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "scaled"), 1, 2, 1.5, 2, 2.5);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "decays"), 1, 0);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "sums"), 3, 12);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "b"), 3, 4, 5);
    fixture_destroy(&fixture);
}

static void collect_joins_gradients(void) {
    Fixture fixture = two_segments();
    Value *a = fixture_input(&fixture, "a", type_vector(DTYPE_F32, 2), (const double[]){1, 2});
    Value *b = fixture_input(&fixture, "b", type_vector(DTYPE_F32, 3), (const double[]){3, 4, 5});
    Node *y = build(&fixture.builder, OP_collect, NULL, OPERANDS(a, b), NO_ATTRIBUTES);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), 1, 2, 3, 4, 5);
    fixture_destroy(&fixture);
}

/* Reads after the commit's node still see the old value, and outputs keep it. */
static void commits_apply_at_the_end(void) {
    Fixture fixture = two_segments();
    Value *old = parameters(&fixture);
    commit(&fixture, build_scale(&fixture.builder, NULL, old, 10), "params", "");
    fixture_output(&fixture, "old", old);
    fixture_output(&fixture, "late", build_param(&fixture.builder, "a"));
    set_params(&fixture);
    fixture_run(&fixture);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "old"), 1, 2, 3, 4, 5);
    FIXTURE_EXPECT(fixture_tensor(&fixture, "late"), 1, 2);
    FIXTURE_EXPECT(interpreter_param(fixture.interpreter, "b"), 30, 40, 50);
    fixture_run(&fixture);
    FIXTURE_EXPECT(interpreter_param(fixture.interpreter, "b"), 300, 400, 500);
    fixture_destroy(&fixture);
}

static Value *add_state(Fixture *fixture, const char *name) {
    graph_add_state(fixture->graph, (StateSlot){.name = name, .type = type_scalar(DTYPE_F32)});
    return build_state(&fixture->builder, name);
}

static void states_can_be_swapped(void) {
    Fixture fixture = fixture_create();
    Value *p = add_state(&fixture, "p"), *q = add_state(&fixture, "q");
    commit(&fixture, p, "state", "q");
    commit(&fixture, q, "state", "p");
    fixture_start(&fixture);
    interpreter_state(fixture.interpreter, "p").data[0] = 1;
    interpreter_state(fixture.interpreter, "q").data[0] = 2;
    fixture_run(&fixture);
    FIXTURE_EXPECT(interpreter_state(fixture.interpreter, "p"), 2);
    FIXTURE_EXPECT(interpreter_state(fixture.interpreter, "q"), 1);
    fixture_destroy(&fixture);
}

static void unknown_names_have_no_data(void) {
    Fixture fixture = two_segments();
    fixture_start(&fixture);
    CU_ASSERT_PTR_NULL(interpreter_param(fixture.interpreter, "c").data);
    CU_ASSERT_PTR_NULL(interpreter_state(fixture.interpreter, "c").data);
    CU_ASSERT_PTR_NULL(interpreter_output(fixture.interpreter, "c").data);
    fixture_destroy(&fixture);
}

static void expect_failure(Status status, const char *message) {
    CU_ASSERT_FATAL(!status_fine(status));
    CU_ASSERT_STRING_EQUAL(status.message, message);
}

static void what_is_missing_is_named(void) {
    Fixture fixture = fixture_create();
    graph_add_state(fixture.graph, (StateSlot){.name = "s", .type = type_scalar(DTYPE_F32)});
    Value *x = fixture_input(&fixture, "x", type_scalar(DTYPE_F32), (const double[]){1});
    Value *rate = build_scalar(&fixture.builder, DTYPE_F32, "lr");
    fixture_output(&fixture, "x", x);
    Value *y = build_binary(&fixture.builder, OP_mul, NULL, x, rate);
    commit(&fixture, y, "state", "s");
    fixture_start(&fixture);
    Interpreter *interpreter = fixture.interpreter;
    const double one = 1;
    expect_failure(interpreter_run(interpreter, fixture.arena), "input \"x\" has no value");
    expect_failure(interpreter_set_input(interpreter, fixture.arena, "z", &one, 1),
                   "the graph has no input \"z\"");
    expect_failure(interpreter_set_input(interpreter, fixture.arena, "x", &one, 2),
                   "input \"x\" has 1 elements, got 2");
    CU_ASSERT(status_fine(interpreter_set_input(interpreter, fixture.arena, "x", &one, 1)));
    expect_failure(interpreter_run(interpreter, fixture.arena), "scalar \"lr\" has no value");
    CU_ASSERT_PTR_NULL(interpreter_output(interpreter, "x").data);
    interpreter_set_scalar(interpreter, "lr", 4);
    CU_ASSERT(status_fine(interpreter_run(interpreter, fixture.arena)));
    FIXTURE_EXPECT(interpreter_state(interpreter, "s"), 4);
    fixture_destroy(&fixture);
}

static void cells_are_checked(void) {
    Fixture fixture = fixture_create_masked(2, 4, 2, 2, (const double[]){0, 1, 2, 3});
    fixture_random(&fixture, "x", type_masked(fixture_map(2, 4, 4, 1), 1));
    fixture_start(&fixture);
    static const double bad[][4] = {{0, 1, 3, 2},   {0, 1, 2, 4},  {0, 0, 2, 3},
                                    {0, 1, 2, NAN}, {-1, 0, 2, 3}, {0, 1.5, 2, 3}};
    expect_failure(interpreter_run(fixture.interpreter, fixture.arena),
                   "input \"cells\" has no value");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT(!status_fine(
            interpreter_set_input(fixture.interpreter, fixture.arena, "cells", bad[i], 4)));
    expect_failure(
        interpreter_set_input(fixture.interpreter, fixture.arena, "cells", bad[0], 4),
        "cells: the list of an image must be ascending whole numbers from 0 to 3, but 2 stands "
        "at place 1 of image 1");
    expect_failure(interpreter_set_input(fixture.interpreter, fixture.arena, "cells", bad[0], 3),
                   "cells: expected 2 x 2 indices, got 3");
    fixture_destroy(&fixture);
}

static void record(void *context, const Value *value, const Tensor *tensor) {
    Text *seen = context;
    text_append(seen, "%s %g; ", value->name, tensor->data[0]);
}

static void observers_see_every_value_in_order(void) {
    Fixture fixture = fixture_create();
    Text seen = text_create(fixture.arena);
    Value *x = fixture_input(&fixture, "x", type_scalar(DTYPE_F32), (const double[]){4});
    Value *y = build_unary(&fixture.builder, OP_sqrt, "root", x);
    build_unary(&fixture.builder, OP_neg, "unused", y);
    fixture_output(&fixture, "y", y);
    fixture_start(&fixture);
    interpreter_observe(fixture.interpreter, record, &seen);
    fixture_run(&fixture);
    CU_ASSERT_STRING_EQUAL(seen.data, "x 4; root 2; unused -2; ");
    fixture_destroy(&fixture);
}

CU_TestInfo interpret_engine_tests[] = {
    {"flat values follow the segment table", flat_values_follow_the_segment_table},
    {"collect joins gradients", collect_joins_gradients},
    {"commits apply at the end", commits_apply_at_the_end},
    {"states can be swapped", states_can_be_swapped},
    {"unknown names have no data", unknown_names_have_no_data},
    {"what is missing is named", what_is_missing_is_named},
    {"cells are checked", cells_are_checked},
    {"observers see every value in order", observers_see_every_value_in_order},
    CU_TEST_INFO_NULL,
};
