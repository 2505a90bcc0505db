#include <CUnit/CUnit.h>
#include <math.h>
#include <string.h>

#include "runtime/initial.h"
#include "runtime/weights.h"
#include "tests/unit/runtime_suites.h"

enum { OUT = 11, IN = 2, HEIGHT = 4, WIDTH = 5, CONV = OUT * IN * HEIGHT * WIDTH };

static const Segment conv = {.name = "conv.weight",
                             .part = PART_ENCODER,
                             .layout = LAYOUT_CONV,
                             .file_rank = 4,
                             .file_shape = {OUT, IN, HEIGHT, WIDTH}};

static void stores_convolutions_by_tap(void) {
    double file[CONV], stored[CONV], back[CONV];
    for (int i = 0; i < CONV; i++)
        file[i] = i;
    weights_to_stored(&conv, file, stored);
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < IN; i++)
            for (int y = 0; y < HEIGHT; y++)
                for (int x = 0; x < WIDTH; x++)
                    CU_ASSERT_EQUAL(stored[((y * WIDTH + x) * IN + i) * OUT + o],
                                    file[((o * IN + i) * HEIGHT + y) * WIDTH + x]);
    weights_to_file(&conv, stored, back);
    CU_ASSERT_EQUAL(memcmp(file, back, sizeof file), 0);
}

static void stores_linear_layers_transposed(void) {
    Segment linear = {
        .name = "fc.weight", .layout = LAYOUT_LINEAR, .file_rank = 2, .file_shape = {OUT, WIDTH}};
    double file[OUT * WIDTH], stored[OUT * WIDTH], back[OUT * WIDTH];
    for (int i = 0; i < OUT * WIDTH; i++)
        file[i] = i;
    weights_to_stored(&linear, file, stored);
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < WIDTH; i++)
            CU_ASSERT_EQUAL(stored[i * OUT + o], file[o * WIDTH + i]);
    weights_to_file(&linear, stored, back);
    CU_ASSERT_EQUAL(memcmp(file, back, sizeof file), 0);
}

static void names_the_encoder_by_its_prefix(void) {
    Arena *arena = arena_create();
    CU_ASSERT_STRING_EQUAL(weights_name(arena, PART_ENCODER, "conv1.weight"),
                           "sparse_encoder.sp_cnn.conv1.weight");
    CU_ASSERT_STRING_EQUAL(weights_name(arena, PART_DECODER, "dense_decoder.proj.bias"),
                           "dense_decoder.proj.bias");
    arena_destroy(arena);
}

enum { DRAWS = 40000 };

static void moments_of(const double *values, double *mean, double *deviation) {
    double sum = 0, squares = 0;
    for (int i = 0; i < DRAWS; i++) {
        sum += values[i];
        squares += values[i] * values[i];
    }
    *mean = sum / (double)DRAWS;
    *deviation = sqrt(squares / (double)DRAWS - *mean * *mean);
}

typedef struct Distribution {
    Init init;
    double deviation, largest;
} Distribution;

/* The deviation of a normal number cut at one deviation is 0.5396 (1 - 2 phi(1) / (2 Phi(1) - 1),
 * root). */
static const Distribution distributions[] = {
    {{INIT_CONSTANT, 0, 0}, 0, 0},
    {{INIT_NORMAL, 0.5, 0}, 0.5, 4},
    {{INIT_UNIFORM, 2, 0}, 2 / 1.7320508075688772, 2},
    {{INIT_TRUNCATED_NORMAL, 0.02, 2}, 0.02, 0.2},
    {{INIT_TRUNCATED_NORMAL, 0.02, 0.02}, 0.02 * 0.5396, 0.02},
};

/* Four deviations of the mean's and the deviation's own spread. */
static void draws_the_stated_distributions(void) {
    for (size_t k = 0; k < sizeof distributions / sizeof *distributions; k++) {
        const Distribution *d = &distributions[k];
        Segment segment = {.name = "a", .file_rank = 1, .file_shape = {DRAWS}, .init = d->init};
        Arena *arena = arena_create();
        double *values = arena_new_array(arena, double, DRAWS), mean, deviation;
        initial_fill(&segment, 1, values);
        moments_of(values, &mean, &deviation);
        CU_ASSERT_TRUE(fabs(mean) <= 4 * d->deviation / sqrt((double)DRAWS));
        CU_ASSERT_TRUE(fabs(deviation - d->deviation) <=
                       4 * d->deviation / sqrt(2.0 * (double)DRAWS));
        for (int i = 0; i < DRAWS; i++)
            CU_ASSERT_FATAL(fabs(values[i]) <= d->largest);
        arena_destroy(arena);
    }
}

static void draws_by_name_and_seed_alone(void) {
    Segment a = {.name = "a", .file_rank = 1, .file_shape = {8}, .init = {INIT_NORMAL, 1, 0}};
    Segment b = a, longer = a;
    double first[8], again[16], other[8];
    b.name = "b";
    longer.file_shape[0] = 16;
    initial_fill(&a, 1, first);
    initial_fill(&longer, 1, again);
    CU_ASSERT_EQUAL(memcmp(first, again, sizeof first), 0);
    initial_fill(&b, 1, other);
    CU_ASSERT_NOT_EQUAL(memcmp(first, other, sizeof first), 0);
    initial_fill(&a, 2, other);
    CU_ASSERT_NOT_EQUAL(memcmp(first, other, sizeof first), 0);
}

CU_TestInfo runtime_weights_tests[] = {
    {"stores convolutions by tap", stores_convolutions_by_tap},
    {"stores linear layers transposed", stores_linear_layers_transposed},
    {"names the encoder by its prefix", names_the_encoder_by_its_prefix},
    {"draws the stated distributions", draws_the_stated_distributions},
    {"draws by name and seed alone", draws_by_name_and_seed_alone},
    CU_TEST_INFO_NULL,
};
