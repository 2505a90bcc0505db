/* What goes wrong in silence, or deep inside, when networks are converted by hand: each works here,
 * or is refused in one message that names the layer and the line. */
#include <string.h>

#include "passes/passes.h"
#include "tests/support/text_network.h"
#include "tests/unit/passes_suites.h"

/* The text of net.cnn, how it is compiled, and what is said; NULL: it compiles to a whole train
 * step. */
typedef struct Trap {
    const char *name, *text, *message;
    double mask_ratio; /* 0: 0.6 */
    int64_t batch;     /* 0: 1 */
} Trap;

static const Trap traps[] = {
    {.name = "squeeze-and-excite of 1x1 convolutions",
     .text = "block se(x, hidden) {\n"
             "    g = x |> global_avg_pool |> fc1: conv(hidden, kernel = 1, bias = true) |> relu\n"
             "          |> fc2: conv(x.channels, kernel = 1, bias = true) |> sigmoid\n"
             "    return x * g\n"
             "}\n"
             "network net(image = [3, 16, 16]) {\n"
             "    feature image |> a: conv(8, kernel = 3, stride = 2, pad = 1) |> se: se(4)\n"
             "}\n"},
    {.name = "squeeze-and-excite of linear layers",
     .text =
         "block se(x, hidden) {\n"
         "    g = x |> global_avg_pool |> fc1: linear(hidden) |> relu |> fc2: linear(x.channels)\n"
         "    return x * (g |> hard_sigmoid)\n"
         "}\n"
         "network net(image = [3, 16, 16]) {\n"
         "    feature image |> a: conv(8, kernel = 3, stride = 2, pad = 1) |> se: se(4)\n"
         "}\n"},
    {.name = "group norm, instance norm, grn",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2, pad = 1) |> n1: group_norm(2) |> "
             "gelu\n"
             "    feature x\n"
             "    feature x |> b: conv(8, kernel = 3, stride = 2, pad = 1) |> instance_norm |> n3: "
             "grn\n"
             "}\n"},
    {.name = "a block of norm and activation",
     .text = "block norm_act(x) {\n"
             "    return x |> batch_norm |> relu\n"
             "}\n"
             "network nameless(image = [3, 16, 16]) {\n"
             "    feature image |> a: conv(8, kernel = 3, stride = 2, pad = 1) |> bn: norm_act\n"
             "}\n"},
    {.name = "one channel, not square",
     .text = "network net(image = [1, 16, 48]) {\n"
             "    feature image |> a: conv(8, kernel = 3, stride = 2, pad = 1) |> n: batch_norm\n"
             "}\n"},
    {.name = "four channels",
     .text = "network net(image = [4, 16, 16]) {\n"
             "    feature image |> a: conv(8, kernel = 3, stride = 2, pad = 1) |> n: "
             "batch_norm(affine = false)\n"
             "}\n"},
    {.name = "nearest upsampling inside the encoder",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    feature x\n"
             "    y = x |> b: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    feature y + (x + (y |> upsample(2)) |> max_pool(2))\n"
             "}\n"},
    {.name = "features from stride 4 on",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 4, stride = 4) |> n1: layer_norm\n"
             "    feature x\n"
             "    feature x |> b: conv(8, kernel = 2, stride = 2) |> n2: layer_norm\n"
             "}\n"},
    {.name = "an image of one cell",
     .text = "network net(image = [3, 32, 32]) {\n"
             "    x = image\n"
             "    for i in 0..5 {\n"
             "        x = x |> conv{i}: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "        feature x\n"
             "    }\n"
             "}\n",
     .message = "net.cnn:1:13: error: no cell kept: an image of 32 x 32 has 1 x 1 cells of 32 "
                "pixels a side, "
                "and mask ratio 0.6 hides all of them\n"
                "    1 | network net(image = [3, 32, 32]) {\n"
                "      |             ^~~~~\n"
                "  hint: at mask ratio 0.6 the smallest square input is 64 x 64\n"},
    {.name = "an image that is no multiple of the ratio",
     .text = "network net(image = [3, 20, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    feature x |> b: conv(8, kernel = 4, stride = 4)\n"
             "}\n",
     .message = "net.cnn:1:21: error: 20 is not a multiple of the network's stride 8\n"
                "    1 | network net(image = [3, 20, 16]) {\n"
                "      |                     ^~~~~~~~~~~\n"
                "  hint: the nearest are 16 and 24\n"},
    {.name = "a ratio that is no power of two",
     .text = "network net(image = [3, 48, 48]) {\n"
             "    feature image |> a: conv(8, kernel = 3, stride = 3)\n"
             "}\n",
     .message =
         "net.cnn:2:5: error: the stride of a feature is a power of two from 2 up, this one has 3\n"
         "    2 |     feature image |> a: conv(8, kernel = 3, stride = 3)\n"
         "      |     ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"},
    {.name = "a level without feature",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    feature x\n"
             "    y = x |> b: conv(8, kernel = 4, stride = 4)\n"
             "    feature y\n"
             "}\n",
     .message =
         "net.cnn:5:5: error: features must double in stride: this one has 8, the one before 2\n"
         "    5 |     feature y\n"
         "      |     ^~~~~~~~~\n"
         "  note: that is at line 3\n"},
    {.name = "a sum of two strides",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    y = x |> b: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    feature x + y\n"
             "}\n",
     .message = "net.cnn:4:13: error: + needs equal shapes: left 8 x 8 x 8, right 8 x 4 x 4\n"
                "    4 |     feature x + y\n"
                "      |             ^~~~~\n"},
    {.name = "concat of a map and one number per channel",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    g = x |> global_avg_pool\n"
             "    feature x |> concat(g)\n"
             "}\n",
     .message =
         "net.cnn:4:25: error: concat needs equal height and width: 8 x 8 x 8 and 8 x 1 x 1\n"
         "    4 |     feature x |> concat(g)\n"
         "      |                         ^\n"},
    {.name = "a convolution that shrinks the map",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2)\n"
             "    feature x\n"
             "}\n",
     .message = "net.cnn:2:21: error: the map shrinks from 16 x 16 to 7 x 7 and no longer lines up "
                "with the cells\n"
                "    2 |     x = image |> a: conv(8, kernel = 3, stride = 2)\n"
                "      |                     ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
                "  hint: pad = 1 keeps it\n"},
    {.name = "a branch deeper than the last feature",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    feature x + (x |> max_pool(4) |> upsample(4))\n"
             "}\n",
     .message = "net.cnn:3:23: error: stride = 4 makes the map coarser than the cells\n"
                "    3 |     feature x + (x |> max_pool(4) |> upsample(4))\n"
                "      |                       ^~~~~~~~~~~\n"},
    {.name = "bilinear upsampling inside the encoder",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    feature x\n"
             "    y = x |> max_pool(2) |> up: upsample(2, mode = \"bilinear\")\n"
             "    feature y |> b: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "}\n",
     .message =
         "net.cnn:4:33: error: upsample with mode = \"bilinear\" in the encoder has no masked "
         "form: it would blend hidden positions into visible ones\n"
         "    4 |     y = x |> max_pool(2) |> up: upsample(2, mode = \"bilinear\")\n"
         "      |                                 ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
         "  note: this is layer up\n"
         "  hint: mode = \"nearest\" has one\n"},
    {.name = "a transposed convolution inside the encoder",
     .text = "network net(image = [3, 16, 16]) {\n"
             "    x = image |> a: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "    feature x\n"
             "    y = x |> max_pool(2) |> up: conv_transpose(8, kernel = 2, stride = 2)\n"
             "    feature y |> b: conv(8, kernel = 3, stride = 2, pad = 1)\n"
             "}\n",
     .message =
         "net.cnn:4:33: error: conv_transpose in the encoder has no masked form: a position "
         "spreads over its neighbours, hidden ones among them\n"
         "    4 |     y = x |> max_pool(2) |> up: conv_transpose(8, kernel = 2, stride = 2)\n"
         "      |                                 ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
         "  note: this is layer up\n"
         "  hint: upsample followed by a conv has one\n"},
    {.name = "instance norm over one position",
     .text =
         "network net(image = [3, 4, 4]) {\n"
         "    feature image |> a: conv(8, kernel = 3, stride = 2, pad = 1) |> n: instance_norm\n"
         "}\n",
     .mask_ratio = 0.75,
     .message =
         "net.cnn:2:72: error: instance_norm needs more than one position per image, this is 8 x "
         "2 x 2 with one visible\n"
         "    2 |     feature image |> a: conv(8, kernel = 3, stride = 2, pad = 1) |> n: "
         "instance_norm\n"
         "      |                                                                        "
         "^~~~~~~~~~~~~\n"},
    {.name = "batch norm over one value, in two images enough",
     .text = "network net(image = [3, 4, 4]) {\n"
             "    feature image |> a: conv(8, kernel = 3, stride = 2, pad = 1) |> n: batch_norm\n"
             "}\n",
     .mask_ratio = 0.75,
     .batch = 2},
};

static void spring(const Trap *trap) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    Graph *graph = text_network(arena, diagnostics, trap->text);
    PassOptions options = pass_options_default();
    options.decoder_width = 16;
    options.mask_ratio = trap->mask_ratio > 0 ? trap->mask_ratio : options.mask_ratio;
    options.batch = trap->batch;
    bool fine = graph && passes_run(graph, &options, NULL, diagnostics, NULL, NULL);
    const char *found = diagnostics_text(diagnostics, false);
    const char *expected = trap->message ? trap->message : "";
    CU_ASSERT_EQUAL(fine, trap->message == NULL);
    CU_ASSERT_STRING_EQUAL(found, expected);
    if (strcmp(found, expected) != 0)
        printf("\n%s:\n%s", trap->name, found);
    arena_destroy(arena);
}

static void every_trap_works_or_is_refused(void) {
    for (size_t i = 0; i < sizeof traps / sizeof *traps; i++)
        spring(&traps[i]);
}

/* A number of the graph by the op's name, or NAN. */
static double constant_in_product(const Graph *graph, const char *product) {
    graph_each(graph, node) {
        if (node->op != OP_mul || strcmp(node->results[0].name, product) != 0)
            continue;
        for (int i = 0; i < 2; i++) {
            if (node->operands[i]->node->op == OP_constant)
                return node_float(node->operands[i]->node, "value");
        }
    }
    return -1;
}

/* The official code looks for "resnet" and "convnext" in the name and else takes beta2 = 0 and no
 * norm. */
static void the_norms_decide_not_the_name(void) {
    const char *const norms[] = {"batch_norm", "layer_norm"};
    const double shares[] = {0.95, 0.999};
    for (int i = 0; i < 2; i++) {
        Arena *arena = arena_create();
        Diagnostics *diagnostics = diagnostics_create(arena, 5);
        char *text =
            arena_format(arena,
                         "network nameless(image = [3, 16, 16]) {\n"
                         "    feature image |> a: conv(8, kernel = 2, stride = 2) |> n: %s\n"
                         "}\n",
                         norms[i]);
        Graph *graph = text_network(arena, diagnostics, text);
        PassOptions options = pass_options_default();
        CU_ASSERT_TRUE_FATAL(passes_run(graph, &options, "optimizer", diagnostics, NULL, NULL));
        CU_ASSERT_EQUAL(graph_find_state(graph, "densify_norms.0.running_mean") != NULL, i == 0);
        CU_ASSERT_EQUAL(constant_in_product(graph, "update.kept_2"), shares[i]);
        arena_destroy(arena);
    }
}

CU_TestInfo passes_traps_tests[] = {
    {"every trap works or is refused", every_trap_works_or_is_refused},
    {"the norms decide, not the name", the_norms_decide_not_the_name},
    CU_TEST_INFO_NULL,
};
