/* Moving channels and positions. */
#include "tests/support/fixture.h"
#include "tests/unit/interpret_suites.h"

/* 1 image, 1 x 2 positions, 6 channels; element = 10 position + channel. */
static const double places[] = {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15};

static Value *map_of_places(Fixture *fixture) {
    return fixture_input(fixture, "x", fixture_map(1, 1, 2, 6), places);
}

static Value *with_int(Fixture *fixture, Op op, Value *x, const char *name, int64_t value) {
    return node_result(
        build(&fixture->builder, op, NULL, OPERANDS(x), ATTRIBUTES(attribute_int(name, value))), 0);
}

static Value *slice(Fixture *fixture, Op op, Value *x, int64_t start, int64_t channels) {
    Node *y = build(&fixture->builder, op, NULL, OPERANDS(x),
                    ATTRIBUTES(attribute_int("start", start), attribute_int("channels", channels)));
    return node_result(y, 0);
}

static void concat_and_slice(void) {
    Fixture fixture = fixture_create();
    Value *x = map_of_places(&fixture);
    Value *end = slice(&fixture, OP_slice, x, 4, 2), *begin = slice(&fixture, OP_slice, x, 0, 1);
    Node *y = build(&fixture.builder, OP_concat, NULL, OPERANDS(end, begin, end), NO_ATTRIBUTES);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, node_result(y, 0)), 4, 5, 0, 4, 5, 14, 15, 10, 14,
                   15);
    fixture_destroy(&fixture);
}

static void slice_grad_is_zero_elsewhere(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 1, 2, 2), (const double[]){1, 2, 3, 4});
    FIXTURE_EXPECT(fixture_evaluate(&fixture, slice(&fixture, OP_slice_grad, x, 1, 4)), 0, 1, 2, 0,
                   0, 3, 4, 0);
    fixture_destroy(&fixture);
}

/* Halves interleave: channel 2i from the first half, 2i + 1 from the second. */
static void shuffle_interleaves(void) {
    Fixture fixture = fixture_create();
    Value *y = with_int(&fixture, OP_channel_shuffle, map_of_places(&fixture), "groups", 2);
    fixture_output(&fixture, "back", with_int(&fixture, OP_channel_shuffle, y, "groups", 3));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), 0, 3, 1, 4, 2, 5, 10, 13, 11, 14, 12, 15);
    fixture_expect(fixture_tensor(&fixture, "back"), places, 12);
    fixture_destroy(&fixture);
}

static void repeat_keeps_copies_together(void) {
    Fixture fixture = fixture_create();
    Value *x =
        fixture_input(&fixture, "x", type_per_image(DTYPE_F32, 2, 2), (const double[]){1, 2, 3, 4});
    FIXTURE_EXPECT(
        fixture_evaluate(&fixture, with_int(&fixture, OP_repeat_channels, x, "times", 3)), 1, 1, 1,
        2, 2, 2, 3, 3, 3, 4, 4, 4);
    fixture_destroy(&fixture);
}

/* PyTorch's order: all positions of channel 0, then of channel 1. */
static void flatten_is_channels_first(void) {
    Fixture fixture = fixture_create();
    const double numbers[] = {1, 10, 2, 20, 3, 30, 4, 40};
    Value *x = fixture_input(&fixture, "x", fixture_map(1, 2, 2, 2), numbers);
    Value *y = build_unary(&fixture.builder, OP_flatten, NULL, x);
    Node *back = build(&fixture.builder, OP_unflatten, NULL, OPERANDS(y),
                       ATTRIBUTES(attribute_ints("size", (const int64_t[]){2, 2}, 2)));
    fixture_output(&fixture, "back", node_result(back, 0));
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), 1, 2, 3, 4, 10, 20, 30, 40);
    fixture_expect(fixture_tensor(&fixture, "back"), numbers, 8);
    fixture_destroy(&fixture);
}

static void squeeze_drops_the_position(void) {
    Fixture fixture = fixture_create();
    Value *x = fixture_input(&fixture, "x", fixture_map(2, 1, 1, 2), (const double[]){1, 2, 3, 4});
    Value *y = build_unary(&fixture.builder, OP_squeeze, NULL, x);
    CU_ASSERT_EQUAL(y->type.form, FORM_PER_IMAGE);
    FIXTURE_EXPECT(fixture_evaluate(&fixture, y), 1, 2, 3, 4);
    fixture_destroy(&fixture);
}

CU_TestInfo interpret_move_tests[] = {
    {"concat and slice", concat_and_slice},
    {"slice_grad is zero elsewhere", slice_grad_is_zero_elsewhere},
    {"shuffle interleaves", shuffle_interleaves},
    {"repeat keeps copies together", repeat_keeps_copies_together},
    {"flatten is channels first", flatten_is_channels_first},
    {"squeeze drops the position", squeeze_drops_the_position},
    CU_TEST_INFO_NULL,
};
