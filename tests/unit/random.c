/* Philox-4x32-10 against the known answers of the Random123 library (kat_vectors), and what is
 * drawn from it. */
#include "base/random.h"
#include "tests/unit/harness.h"

static void expect_block(RandomBlock counter, uint32_t key0, uint32_t key1, RandomBlock expected) {
    RandomBlock block = random_block(counter, key0, key1);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(block.word[i], expected.word[i]);
}

static void test_known_answers(void) {
    const uint32_t ones = UINT32_MAX;
    expect_block((RandomBlock){{0, 0, 0, 0}}, 0, 0,
                 (RandomBlock){{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
    expect_block((RandomBlock){{ones, ones, ones, ones}}, ones, ones,
                 (RandomBlock){{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
    expect_block((RandomBlock){{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822,
                 0x299f31d0, (RandomBlock){{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

static void test_word_is_at_its_place(void) {
    RandomBlock counter = {{0x9abcdef0, 0x12345678, 5, 0}};
    CU_ASSERT_EQUAL(random_word(1, 2, 5, UINT64_C(0x123456789abcdef0)),
                    random_block(counter, 1, 2).word[0]);
}

static void test_threshold(void) {
    CU_ASSERT_EQUAL(random_threshold(0), 0);
    CU_ASSERT_EQUAL(random_threshold(0.5), UINT32_C(0x80000000));
    CU_ASSERT_EQUAL(random_threshold(0x1.fffffffffffffp-1), UINT32_MAX);
    CU_ASSERT(random_keeps(1, 2, 3, 4, 0));
    uint32_t word = random_word(1, 2, 3, 4);
    CU_ASSERT(random_keeps(1, 2, 3, 4, word * 0x1p-32));
    CU_ASSERT_FALSE(random_keeps(1, 2, 3, 4, (word + 1.0) * 0x1p-32));
}

static CU_TestInfo random_tests[] = {
    {"known answers", test_known_answers},
    {"word is at its place", test_word_is_at_its_place},
    {"threshold", test_threshold},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("random", random_tests),
    CU_SUITE_INFO_NULL,
};
