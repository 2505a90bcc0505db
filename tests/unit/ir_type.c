/* Types and the op table. */
#include <pthread.h>
#include <string.h>

#include "ir/op.h"
#include "ir/type.h"
#include "tests/unit/ir_suites.h"

static void types_print_and_parse_back(void) {
    static const char *const texts[] = {
        "f32[]",
        "bf16[7]",
        "f32[3x3x64x128]",
        "i32[1x2x3x4x5]",
        "f32<8x56x1>",
        "f32<8x56x56x64>",
        "bf16<1x4x5x6x7>",
        "f32<8x56x56x64 masked 4>",
        "f32<8x64 per_image>",
        "f32<flat>",
        "u32<segments>",
        "f32[2147483647]",
    };
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *cursor = texts[i];
        Type type;
        CU_ASSERT_TRUE_FATAL(type_parse(&cursor, &type));
        CU_ASSERT_EQUAL(*cursor, '\0');
        CU_ASSERT_STRING_EQUAL(type_text(arena, &type), texts[i]);
        CU_ASSERT_TRUE(type_equal(&type, &type));
    }
    arena_destroy(arena);
}

static void texts_that_are_no_types(void) {
    static const char *const texts[] = {
        "",
        "f33[]",
        "f32",
        "f32[",
        "f32[1",
        "f32[0]",
        "f32[-1]",
        "f32[01]",
        "f32[1x]",
        "f32[x1]",
        "f32[1x2x3x4x5x6]",
        "f32[2147483648]",
        "f32[99999999999999999999999999]",
        "f32<8>",
        "f32<8x64>",
        "f32<8x64 per_image",
        "f32<8x64  per_image>",
        "f32<8x2x64 per_image>",
        "f32<1x2x3x4x5x6>",
        "f32<8x4x4x3 masked>",
        "f32<8x4x4x3 masked 0>",
        "f32<8x4x4x3 masked 4",
        "f32<8x4 masked 4>",
        "f32<flat",
        "f32 <flat>",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *cursor = texts[i];
        Type type = {.rank = -7};
        CU_ASSERT_FALSE(type_parse(&cursor, &type));
        CU_ASSERT_PTR_EQUAL(cursor, texts[i]);
        CU_ASSERT_EQUAL(type.rank, -7);
    }
}

static Type parsed(const char *text) {
    Type type;
    CU_ASSERT_TRUE_FATAL(type_parse(&text, &type));
    return type;
}

static void parsing_stops_behind_the_type(void) {
    const char *cursor = "f32<2x8x8x3>, rest";
    Type type;
    CU_ASSERT_TRUE(type_parse(&cursor, &type));
    CU_ASSERT_STRING_EQUAL(cursor, ", rest");
}

static void equality_sees_every_field(void) {
    static const char *const different[] = {
        "f32<2x8x8x3>",
        "f32<2x8x9x3>",
        "f32<2x8x8x4>",
        "f32<3x8x8x3>",
        "bf16<2x8x8x3>",
        "f32<2x8x8x3 masked 1>",
        "f32<2x8x8x3 masked 2>",
        "f32<2x8x3>",
        "f32[2x8x8x3]",
        "f32<2x3 per_image>",
        "f32<flat>",
        "f32<segments>",
        "f32[]",
    };
    int count = sizeof different / sizeof *different;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            Type a = parsed(different[i]), b = parsed(different[j]);
            CU_ASSERT_EQUAL(type_equal(&a, &b), i == j);
        }
    }
}

static void positions_saturate(void) {
    Type small = parsed("f32<2x8x9x3>"), image = parsed("f32<2x3 per_image>");
    Type large = parsed("f32<1x2147483647x2147483647x2147483647x1>");
    CU_ASSERT_EQUAL(type_positions(&small), 72);
    CU_ASSERT_EQUAL(type_positions(&image), 1);
    CU_ASSERT_EQUAL(type_positions(&large), INT64_MAX);
    CU_ASSERT_EQUAL(type_multiply(INT64_MAX, 0), 0);
    CU_ASSERT_EQUAL(type_multiply(INT64_MAX, 2), INT64_MAX);
    CU_ASSERT_EQUAL(type_multiply(1 << 20, 1 << 20), (int64_t)1 << 40);
}

static void rows_are_parsed(void) {
    const OpInfo *norm = op_info(OP_batch_norm);
    CU_ASSERT_STRING_EQUAL(norm->name, "batch_norm");
    CU_ASSERT_EQUAL(norm->operand_count, 6);
    CU_ASSERT_EQUAL(norm->required_count, 4);
    CU_ASSERT_STRING_EQUAL(norm->operands[5], "bias");
    CU_ASSERT_EQUAL(norm->attribute_count, 2);
    CU_ASSERT_EQUAL(norm->attributes[0].standard.real, 1e-5);
    CU_ASSERT_EQUAL(norm->flags, OP_COMPOSITE);
    CU_ASSERT_EQUAL(norm->masked, MASKED_VISIBLE);
    const OpInfo *moments = op_info(OP_moments);
    CU_ASSERT_EQUAL(moments->result_count, 3);
    CU_ASSERT_STRING_EQUAL(moments->results[2], "m2");
    CU_ASSERT_EQUAL(moments->attributes[0].kind, ATTRIBUTE_WORD);
    CU_ASSERT_FALSE(moments->attributes[0].has_default);
    CU_ASSERT_TRUE(op_info(OP_concat)->variadic);
    CU_ASSERT_STRING_EQUAL(op_info(OP_concat)->operands[0], "x");
    CU_ASSERT_TRUE(op_info(OP_input)->type_stated);
    CU_ASSERT_FALSE(op_info(OP_conv)->type_stated);
    CU_ASSERT_EQUAL(op_info(OP_conv)->attributes[4].standard.integer, 1);
    CU_ASSERT_STRING_EQUAL(op_info(OP_commit)->attributes[1].standard.text, "");
    CU_ASSERT_EQUAL(op_info(OP_avg_pool)->attributes[4].standard.integer, 1);
    CU_ASSERT_STRING_EQUAL(op_info(OP_relu_grad)->operands[0], "y");
    CU_ASSERT_STRING_EQUAL(op_info(OP_silu_grad)->operands[0], "x");
    CU_ASSERT_EQUAL(op_info(OP_elu)->attributes[0].standard.real, 1);
}

static void ops_are_found_by_name(void) {
    for (int op = 0; op < OP_COUNT; op++) {
        const OpInfo *info = op_info((Op)op);
        CU_ASSERT_EQUAL(op_by_name(info->name), (Op)op);
        for (int i = 0; i < info->attribute_count; i++)
            CU_ASSERT_EQUAL(op_attribute_index((Op)op, info->attributes[i].name), i);
    }
    CU_ASSERT_EQUAL(op_by_name("convolution"), OP_COUNT);
    CU_ASSERT_EQUAL(op_by_name(""), OP_COUNT);
    CU_ASSERT_EQUAL(op_attribute_index(OP_conv, "padding"), -1);
}

static void *read_table(void *result) {
    for (int op = 0; op < OP_COUNT; op++)
        *(int *)result += op_info((Op)op)->operand_count;
    return NULL;
}

static void threads_read_one_table(void) {
    pthread_t threads[4];
    int sums[4] = {0}, wanted = 0;
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, read_table, &sums[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    read_table(&wanted);
    CU_ASSERT_TRUE(wanted > OP_COUNT);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(sums[i], wanted);
}

static void attributes_compare_by_value(void) {
    Attribute zero = {.kind = ATTRIBUTE_FLOAT, .real = 0}, minus = zero, text, word;
    minus.real = -0.0;
    CU_ASSERT_TRUE(attribute_equal(&zero, &zero));
    CU_ASSERT_FALSE(attribute_equal(&zero, &minus));
    text = (Attribute){.kind = ATTRIBUTE_TEXT, .text = "a"};
    word = (Attribute){.kind = ATTRIBUTE_WORD, .text = "a"};
    CU_ASSERT_FALSE(attribute_equal(&text, &word));
    Attribute two = {.kind = ATTRIBUTE_INTS, .count = 2, .ints = {1, 2}}, three = two;
    three.count = 3;
    CU_ASSERT_TRUE(attribute_equal(&two, &two));
    CU_ASSERT_FALSE(attribute_equal(&two, &three));
}

CU_TestInfo ir_type[] = {
    {"types print and parse back", types_print_and_parse_back},
    {"texts that are no types", texts_that_are_no_types},
    {"parsing stops behind the type", parsing_stops_behind_the_type},
    {"equality sees every field", equality_sees_every_field},
    {"positions saturate", positions_saturate},
    {"rows of the op table are parsed", rows_are_parsed},
    {"ops are found by name", ops_are_found_by_name},
    {"threads read one table", threads_read_one_table},
    {"attributes compare by value", attributes_compare_by_value},
    CU_TEST_INFO_NULL,
};
