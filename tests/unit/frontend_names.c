/* The names of layers, partial application, variants. */
#include <string.h>

#include "base/text.h"
#include "tests/unit/frontend_suites.h"

/* `before` the network, `body` in it with x = max_pool(image, 2) set; the names of the parameters.
 */
static void check_names(const char *before, const char *body, const char *names) {
    Arena *arena = arena_create();
    char *text = arena_format(arena,
                              "%s\nnetwork t(image = [8, 32, 32]) {\nx = max_pool(image, 2)\n%s\n"
                              "feature x\n}\n",
                              before, body);
    Built built = build_text(text, NULL);
    const char *found = built.graph ? segment_names(&built) : built.messages;
    if (strcmp(found, names) != 0)
        printf("%s\n%s\n", body, found);
    CU_ASSERT_STRING_EQUAL(found, names);
    built_destroy(&built);
    arena_destroy(arena);
}

/* The table of docs/language.md, "Names of layers", row by row. */
static void naming_table(void) {
    check_names("", "x = x |> conv1: conv(8, kernel = 1)", "conv1.weight");
    check_names("block bottleneck(x, width) {\n"
                "  return x |> conv2: conv(width, kernel = 1) |> bn2: batch_norm\n}",
                "i = 0 j = 2 x = x |> layer{i + 1}.{j}: bottleneck(8)",
                "layer1.2.conv2.weight layer1.2.bn2.weight layer1.2.bn2.bias");
    check_names("block unit(x) { return shortcut(x, 16, 2) }\n"
                "block shortcut(x, channels, stride) {\n"
                "  if stride == 1 { return x }\n"
                "  return x |> downsample.0: conv(channels, kernel = 1, stride = stride)\n}",
                "x = x |> layer2.0: unit", "layer2.0.downsample.0.weight");
    check_names("", "n = 3 x = x |> features.{n}: conv(8, kernel = 3, pad = 1, bias = true)",
                "features.3.weight features.3.bias");
    check_names("block convnext_block(x) { return x |> gamma: layer_scale }",
                "i = 0 j = 1 x = x |> stages.{i}.{j}: convnext_block", "stages.0.1.gamma");
    check_names("block squeeze_excite(x, hidden, act = relu, gate = sigmoid) {\n"
                "  g = x |> global_avg_pool |> fc1: conv(hidden, kernel = 1) |> act\n"
                "        |> fc2: conv(x.channels, kernel = 1) |> gate\n  return x * g\n}",
                "attention = squeeze_excite(8, gate = hard_sigmoid) x = x |> se: attention",
                "se.fc1.weight se.fc2.weight");
    check_names("block depthwise(x, stride) {\n"
                "  return x |> conv(x.channels, kernel = 3, stride = stride, pad = 1)\n}",
                "x = x |> branch1.0: depthwise(2)", "branch1.0.weight");
    check_names("", "norm = group_norm(8) x = x |> norm1: norm", "norm1.weight norm1.bias");
    check_names("", "x = x |> head.fc: linear(10)", "head.fc.weight head.fc.bias");
    check_names(
        "", "x = x |> conv(8, kernel = 3, pad = 1) |> batch_norm |> conv(8, kernel = 3, pad = 1)",
        "conv_1.weight batch_norm_1.weight batch_norm_1.bias conv_2.weight");
}

static void labels(void) {
    check_names("", "x = x |> a{1}b{\"c\"}2.for.0.1.{2}{3}: conv(8, kernel = 1)",
                "a1bc2.for.0.1.23.weight");
    check_names("", "x = x |> 0.1: conv(8, kernel = 1)", "0.1.weight");
    check_names("block two(x) { return x |> conv(8, kernel = 1) |> a: conv(8, kernel = 1) }",
                "x = x |> b: two", "b.conv_1.weight b.a.weight");
    check_names("block one(x) { return x |> conv(8, kernel = 1) }\n"
                "block outer(x) { return x |> one |> relu }",
                "x = x |> b: outer", "b.weight");
    check_names("block one(x) { return x |> conv(8, kernel = 1) }", "x = x |> b: one |> c.d: one",
                "b.weight c.d.weight");
}

static void states(void) {
    Built built = build_quiet("network t(image = [4, 8, 8]) {\n"
                              "  x = image |> bn: batch_norm |> free: batch_norm(affine = false)\n"
                              "  feature max_pool(x, 2)\n}\n",
                              NULL);
    CU_ASSERT_STRING_EQUAL(segment_names(&built), "bn.weight bn.bias");
    CU_ASSERT_STRING_EQUAL(state_names(&built),
                           "bn.running_mean bn.running_var bn.num_batches_tracked "
                           "free.running_mean free.running_var free.num_batches_tracked");
    built_destroy(&built);
}

static void partial_application(void) {
    static const char shape_of[] =
        "block f(x, a, b = 2, c = 3) { return x |> conv(a * 100 + b * 10 + c, kernel = 1) }\n";
    static const struct {
        const char *call, *channels;
    } cases[] = {
        {"f(x, 1)", "123"},       {"x |> f(1)", "123"},
        {"f(1, x = x)", "123"},   {"f(x = x, a = 1, c = 5)", "125"},
        {"x |> g", "143"},        {"g(x)", "143"},
        {"x |> g(5)", "145"},     {"x |> g(c = 6)", "146"},
        {"x |> g(b = 7)", "173"}, {"x |> h(b = 9)", "498"},
        {"x |> h(9)", "498"},     {"x |> second", "143"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *arena = arena_create();
        char *text = arena_format(
            arena,
            "%snetwork t(image = [3, 8, 8]) {\n  x = max_pool(image, 2)\n  g = f(1, 4)\n"
            "  h = f(4)\n  h = h(c = 8)\n  fs = [f, g]\n  second = fs[1]\n  y = %s\n  feature "
            "y\n}\n",
            shape_of, cases[i].call);
        Built built = build_text(text, NULL);
        const char *shape = built.graph ? segment_shape(&built, "conv_1.weight") : built.messages;
        const char *wanted = arena_format(arena, "%sx3x1x1", cases[i].channels);
        if (strcmp(shape, wanted) != 0)
            printf("%s: %s\n", cases[i].call, shape);
        CU_ASSERT_STRING_EQUAL(shape, wanted);
        built_destroy(&built);
        arena_destroy(arena);
    }
}

static const char family[] =
    "network base(image = [3, 16, 16], a, b = a + 1, act = relu) {\n"
    "  feature image |> c: conv(a * 10 + b, kernel = 2, stride = 2) |> act\n}\n"
    "network one = base(1)\n"
    "network two = one(b = 5)\n"
    "network three = two(image = [4, 8, 32], a = 2, act = leaky_relu(0.2))\n";

static void variants(void) {
    static const struct {
        const char *network, *setting, *input, *shape;
    } cases[] = {
        {"one", NULL, NULL, "12x3x2x2"},
        {"two", NULL, NULL, "15x3x2x2"},
        {"three", NULL, NULL, "25x4x2x2"},
        {"two", "a=3", NULL, "35x3x2x2"},
        {"base", "a=7", NULL, "78x3x2x2"},
        {"one", NULL, "1x8x8", "12x1x2x2"},
        {"one", "image=[2,4,4]", NULL, "12x2x2x2"},
        {"one", "act=elu(2)", NULL, "12x3x2x2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FrontendOptions options = {.network = cases[i].network,
                                   .input = cases[i].input,
                                   .settings = &cases[i].setting,
                                   .setting_count = cases[i].setting != NULL};
        Built built = build_quiet(family, &options);
        CU_ASSERT_STRING_EQUAL(segment_shape(&built, "c.weight"), cases[i].shape);
        CU_ASSERT_STRING_EQUAL(built.graph->network, cases[i].network);
        built_destroy(&built);
    }
}

static void list_of_networks(void) {
    FrontendOptions options = {.network = "one"};
    Built built = build_quiet(family, &options);
    size_t count;
    const FrontendNetwork *networks = frontend_networks(built.file, &count);
    CU_ASSERT_EQUAL_FATAL(count, 4);
    CU_ASSERT_STRING_EQUAL(networks[0].name, "base");
    CU_ASSERT_TRUE(networks[0].template);
    CU_ASSERT_STRING_EQUAL(networks[3].name, "three");
    CU_ASSERT_FALSE(networks[3].template);
    CU_ASSERT_FALSE(networks[3].included);
    CU_ASSERT_EQUAL(networks[3].location.line, 6);
    built_destroy(&built);
}

CU_TestInfo frontend_names[] = {
    {"naming table", naming_table},
    {"labels", labels},
    {"states", states},
    {"partial application", partial_application},
    {"variants", variants},
    {"list of networks", list_of_networks},
    CU_TEST_INFO_NULL,
};
