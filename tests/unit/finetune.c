/* Fine-tuning: the groups of layer-wise learning rates, the loss and the gradients through it, the
 * averages, what is left of the network. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ir/interpret/interpret.h"
#include "passes/layer_groups.h"
#include "tests/support/network.h"
#include "tests/unit/harness.h"
#include "tests/unit/program_fixture.h"

/* ---- Groups ---------------------------------------------------------------------------------- */

/* The official group of a parameter by its name, as its fine-tuning has it for each architecture;
 * *last: the head's. */
typedef int OfficialGroup(const char *name, const int *depths, int *last);

static int resnet_group(const char *name, const int *depths, int *last) {
    static const struct {
        int second, third, size_second, size_third;
    } sizes[] = {{4, 6, 2, 3}, {4, 23, 2, 3}, {8, 36, 4, 4}, {24, 36, 4, 4}};
    int stage, block, i = 0;
    while (sizes[i].second != depths[1] || sizes[i].third != depths[2])
        i++;
    int second = (depths[1] + sizes[i].size_second - 1) / sizes[i].size_second;
    int third = (depths[2] + sizes[i].size_third - 1) / sizes[i].size_third;
    *last = 3 + second + third;
    if (text_starts_with(name, "fc."))
        return *last;
    if (sscanf(name, "layer%d.%d.", &stage, &block) != 2)
        return 0;
    const int groups[] = {1, 2 + block / sizes[i].size_second,
                          2 + second + block / sizes[i].size_third, 2 + second + third};
    return groups[stage - 1];
}

static int convnext_group(const char *name, const int *depths, int *last) {
    int stage, block, deepest = depths[2] > 9 ? 12 : 6;
    *last = deepest + 1;
    if (sscanf(name, "downsample_layers.%d.", &stage) == 1) {
        const int groups[] = {0, 2, 3, deepest};
        return groups[stage];
    }
    if (sscanf(name, "stages.%d.%d.", &stage, &block) != 2)
        return *last;
    const int groups[] = {1, 2, 3 + block / 3, deepest};
    return groups[stage];
}

static void check_network(const char *path, const char *network, OfficialGroup *official,
                          const int *depths) {
    Arena *arena = arena_create();
    Graph *graph = program_fixture_network(arena, program_fixture_file(arena, path), network);
    int count, last = 0, wrong = 0;
    const int *groups = layer_groups(graph, arena, &count);
    for (size_t i = 0; i < graph->segments.count; i++) {
        const char *name = graph->segments.items[i].name;
        int expected = official(name, depths, &last);
        if (groups[i] != expected && wrong++ < 5)
            printf("\n%s: %s is in group %d, expected is %d", network, name, groups[i], expected);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(count, last + 1);
    arena_destroy(arena);
}

static void groups_are_the_official_ones(void) {
    static const struct {
        const char *path, *network;
        OfficialGroup *official;
        int depths[4];
    } cases[] = {
        {"models/resnet.cnn", "resnet50", resnet_group, {3, 4, 6, 3}},
        {"models/resnet.cnn", "resnet101", resnet_group, {3, 4, 23, 3}},
        {"models/resnet.cnn", "resnet152", resnet_group, {3, 8, 36, 3}},
        {"models/resnet.cnn", "resnet200", resnet_group, {3, 24, 36, 3}},
        {"models/convnext.cnn", "convnext_tiny", convnext_group, {3, 3, 9, 3}},
        {"models/convnext.cnn", "convnext_small", convnext_group, {3, 3, 27, 3}},
        {"models/convnext.cnn", "convnext_base", convnext_group, {3, 3, 27, 3}},
        {"models/convnext.cnn", "convnext_large", convnext_group, {3, 3, 27, 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_network(cases[i].path, cases[i].network, cases[i].official, cases[i].depths);
}

static const SmallNetwork network = {.levels = 3,
                                     .batch = 3,
                                     .channels = 2,
                                     .height = 16,
                                     .width = 24,
                                     .batch_norm = true,
                                     .head = true};

/* Without forks each convolution is a block, and there is no stem. */
static void scales_follow_the_groups_of_a_chain(void) {
    Arena *arena = arena_create();
    Graph *graph = small_network(arena, &network);
    layer_groups_scale(graph, 0.5);
    CU_ASSERT_EQUAL(graph_find_segment(graph, "conv0.weight")->lr_scale, 0.125);
    CU_ASSERT_EQUAL(graph_find_segment(graph, "norm0.bias")->lr_scale, 0.125);
    CU_ASSERT_EQUAL(graph_find_segment(graph, "conv1.weight")->lr_scale, 0.25);
    CU_ASSERT_EQUAL(graph_find_segment(graph, "norm2.weight")->lr_scale, 0.5);
    CU_ASSERT_EQUAL(graph_find_segment(graph, "fc.weight")->lr_scale, 1);
    arena_destroy(arena);
}

/* ---- Steps ----------------------------------------------------------------------------------- */

enum { CLASSES = 5, IMAGES = 3, PIXELS = 16 * 24 * 2 };

typedef struct Step {
    Arena *arena;
    Graph *graph;
    Interpreter *interpreter;
    double targets[IMAGES * CLASSES];
} Step;

static PassOptions step_options(FinetuneLoss loss) {
    PassOptions options = pass_options_default();
    options.entry = ENTRY_FINETUNE_STEP;
    options.finetune_loss = loss;
    options.optimizer = OPTIMIZER_SGD;
    options.clip = 0;
    options.layer_decay = 0.5;
    options.expose = true;
    return options;
}

/* In (-1, 1). */
static double number(size_t i) {
    return sin(1.7 * (double)i + 0.3 * (double)(i % 11));
}

static void fill(Tensor tensor, double offset, double scale) {
    for (size_t i = 0; i < tensor.count; i++)
        tensor.data[i] = offset + scale * number(i);
}

static void set_image(Step *step, double first) {
    double image[IMAGES * PIXELS];
    for (size_t i = 0; i < IMAGES * PIXELS; i++)
        image[i] = number(i * 3 + 1);
    image[0] = first;
    CU_ASSERT(status_fine(
        interpreter_set_input(step->interpreter, step->arena, "image", image, IMAGES * PIXELS)));
}

static void set_targets(Step *step) {
    for (int i = 0; i < IMAGES * CLASSES; i++)
        step->targets[i] = i % CLASSES == i / CLASSES ? 0.7 : i % CLASSES == 4 ? 0.2 : 0.1 / 3;
    CU_ASSERT(status_fine(interpreter_set_input(step->interpreter, step->arena, "targets",
                                                step->targets, IMAGES * CLASSES)));
}

static Step create_step(FinetuneLoss loss, double lr) {
    Step step = {.arena = arena_create()};
    step.graph = small_network(step.arena, &network);
    PassOptions options = step_options(loss);
    Diagnostics *diagnostics = diagnostics_create(step.arena, 5);
    CU_ASSERT_TRUE_FATAL(passes_run(step.graph, &options, NULL, diagnostics, NULL, NULL));
    step.interpreter = interpreter_create(step.graph);
    fill(interpreter_param(step.interpreter, NULL), 0.1, 0.4);
    for (size_t i = 0; i < step.graph->states.count; i++)
        fill(interpreter_state(step.interpreter, step.graph->states.items[i].name), 1, 0.5);
    interpreter_set_scalar(step.interpreter, "lr", lr);
    interpreter_set_scalar(step.interpreter, "weight_decay", 0.1);
    interpreter_set_scalar(step.interpreter, "ema_decay", 0.75);
    set_image(&step, 0.5);
    set_targets(&step);
    return step;
}

static void destroy_step(Step *step) {
    interpreter_destroy(step->interpreter);
    arena_destroy(step->arena);
}

static double run(const Step *step) {
    CU_ASSERT_PTR_NULL_FATAL(interpreter_run(step->interpreter, step->arena).message);
    return interpreter_output(step->interpreter, "loss").data[0];
}

/* From the logits by the definitions. */
static double cross_entropy(const Step *step, const double *logits) {
    double loss = 0;
    for (int image = 0; image < IMAGES; image++) {
        double sum = 0;
        for (int c = 0; c < CLASSES; c++)
            sum += exp(logits[image * CLASSES + c]);
        for (int c = 0; c < CLASSES; c++)
            loss -=
                step->targets[image * CLASSES + c] * log(exp(logits[image * CLASSES + c]) / sum);
    }
    return loss / (double)IMAGES;
}

static double binary_cross_entropy(const Step *step, const double *logits) {
    double loss = 0;
    for (int i = 0; i < IMAGES * CLASSES; i++) {
        double share = 1 / (1 + exp(-logits[i])), target = step->targets[i];
        loss -= target * log(share) + (1 - target) * log(1 - share);
    }
    return loss / (double)(IMAGES * CLASSES);
}

static void losses_are_their_definitions(void) {
    static double (*const definitions[])(const Step *, const double *) = {
        [FINETUNE_CROSS_ENTROPY] = cross_entropy,
        [FINETUNE_BINARY_CROSS_ENTROPY] = binary_cross_entropy};
    for (int i = 0; i < 2; i++) {
        Step step = create_step((FinetuneLoss)i, 0);
        double loss = run(&step);
        Tensor logits = interpreter_output(step.interpreter, "logits");
        CU_ASSERT_EQUAL_FATAL(logits.count, IMAGES * CLASSES);
        CU_ASSERT_DOUBLE_EQUAL(loss, definitions[i](&step, logits.data), 1e-12);
        destroy_step(&step);
    }
}

/* Nothing moves at rate 0, so runs can be compared. */
static void check_gradient(const Step *step, const char *segment, size_t element, double gradient) {
    const double distance = 1e-6;
    Tensor param = interpreter_param(step->interpreter, segment);
    double saved = param.data[element];
    param.data[element] = saved + distance;
    double above = run(step);
    param.data[element] = saved - distance;
    double slope = (above - run(step)) / (2 * distance);
    param.data[element] = saved;
    if (fabs(slope - gradient) > 1e-7 * (1 + fabs(slope)))
        printf("\n%s[%zu]: %g, by differences %g", segment, element, gradient, slope);
    CU_ASSERT_DOUBLE_EQUAL(gradient, slope, 1e-7 * (1 + fabs(slope)));
}

static void gradients_are_those_of_differences(void) {
    for (int loss = 0; loss < 2; loss++) {
        Step step = create_step((FinetuneLoss)loss, 0);
        run(&step);
        for (size_t i = 0; i < step.graph->segments.count; i++) {
            const char *segment = step.graph->segments.items[i].name;
            Tensor gradient =
                interpreter_output(step.interpreter, arena_format(step.arena, "grad.%s", segment));
            CU_ASSERT_PTR_NOT_NULL_FATAL(gradient.data);
            size_t count = gradient.count;
            const size_t elements[] = {0, count / 2, count - 1};
            const double found[] = {gradient.data[0], gradient.data[count / 2],
                                    gradient.data[count - 1]};
            for (int k = 0; k < 3; k++)
                check_gradient(&step, segment, elements[k], found[k]);
        }
        destroy_step(&step);
    }
}

/* ---- Averages -------------------------------------------------------------------------------- */

static double *copy_of(const Step *step, Tensor tensor) {
    double *copy = arena_new_array(step->arena, double, tensor.count);
    memcpy(copy, tensor.data, tensor.count * sizeof *copy);
    return copy;
}

/* What a state or the parameters average, now. */
static Tensor averaged_by(const Step *step, const char *average) {
    return strcmp(average, "ema") == 0 ? interpreter_param(step->interpreter, NULL)
                                       : interpreter_state(step->interpreter, average + 4);
}

static bool is_average(const char *name) {
    return text_starts_with(name, "ema");
}

static void averages_follow_what_the_step_leaves(void) {
    Step step = create_step(FINETUNE_CROSS_ENTROPY, 0.5);
    const StateSlot *states = step.graph->states.items;
    size_t count = step.graph->states.count, averages = 0;
    double **before = arena_new_array(step.arena, double *, count);
    for (size_t i = 0; i < count; i++)
        before[i] = copy_of(&step, interpreter_state(step.interpreter, states[i].name));
    const double *start = copy_of(&step, interpreter_param(step.interpreter, NULL));
    run(&step);
    CU_ASSERT_EQUAL(interpreter_output(step.interpreter, "ok").data[0], 1);
    CU_ASSERT_NOT_EQUAL(interpreter_param(step.interpreter, NULL).data[0], start[0]);
    for (size_t i = 0; i < count; i++) {
        if (!is_average(states[i].name))
            continue;
        averages++;
        Tensor average = interpreter_state(step.interpreter, states[i].name);
        Tensor value = averaged_by(&step, states[i].name);
        CU_ASSERT_EQUAL_FATAL(average.count, value.count);
        for (size_t k = 0; k < average.count; k++)
            CU_ASSERT_DOUBLE_EQUAL(average.data[k], 0.75 * before[i][k] + 0.25 * value.data[k],
                                   1e-14 * (1 + fabs(average.data[k])));
    }
    CU_ASSERT_EQUAL(averages, 1 + 3 * 3); /* each norm: mean, variance, counter */
    destroy_step(&step);
}

static void refused_step_moves_no_average(void) {
    Step step = create_step(FINETUNE_CROSS_ENTROPY, 0.5);
    const StateSlot *states = step.graph->states.items;
    size_t count = step.graph->states.count;
    double **before = arena_new_array(step.arena, double *, count);
    for (size_t i = 0; i < count; i++)
        before[i] = copy_of(&step, interpreter_state(step.interpreter, states[i].name));
    set_image(&step, INFINITY);
    run(&step);
    CU_ASSERT_EQUAL(interpreter_output(step.interpreter, "ok").data[0], 0);
    for (size_t i = 0; i < count; i++) {
        Tensor state = interpreter_state(step.interpreter, states[i].name);
        CU_ASSERT(memcmp(state.data, before[i], state.count * sizeof *state.data) == 0);
    }
    destroy_step(&step);
}

/* ---- What is left ---------------------------------------------------------------------------- */

static void encoder_and_head_are_all(void) {
    Arena *arena = arena_create();
    Graph *graph = small_network(arena, &network);
    PassOptions options = step_options(FINETUNE_CROSS_ENTROPY);
    options.expose = false;
    size_t parameters = graph->segments.count;
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    CU_ASSERT_TRUE_FATAL(passes_run(graph, &options, NULL, diagnostics, NULL, NULL));
    CU_ASSERT_EQUAL(graph->segments.count, parameters);
    CU_ASSERT_EQUAL(graph->geometry.keep, 0);
    CU_ASSERT_PTR_NULL(graph_find_output(graph, "feature.0"));
    static const char *const outputs[] = {"loss", "logits", "grad_norm", "ok"};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        CU_ASSERT_PTR_NOT_NULL(graph_find_output(graph, outputs[i]));
    arena_destroy(arena);
}

static void features_are_not_needed(void) {
    Arena *arena = arena_create();
    Graph *graph = small_network(arena, &network);
    PassOptions options = step_options(FINETUNE_CROSS_ENTROPY);
    for (int i = 0; i < 3; i++)
        graph_remove(graph, graph_find_output(graph, arena_format(arena, "feature.%d", i)));
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    CU_ASSERT_TRUE(passes_run(graph, &options, NULL, diagnostics, NULL, NULL));
    CU_ASSERT_EQUAL(graph_find_segment(graph, "fc.weight")->lr_scale, 1);
    CU_ASSERT(graph_find_segment(graph, "conv0.weight")->lr_scale <
              graph_find_segment(graph, "conv2.weight")->lr_scale);
    arena_destroy(arena);
}

static void network_without_head_is_refused(void) {
    Arena *arena = arena_create();
    SmallNetwork headless = network;
    headless.head = false;
    Graph *graph = small_network(arena, &headless);
    PassOptions options = step_options(FINETUNE_CROSS_ENTROPY);
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    CU_ASSERT_FALSE(passes_run(graph, &options, NULL, diagnostics, NULL, NULL));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(diagnostics_text(diagnostics, false), "network small has no head"));
    arena_destroy(arena);
}

static CU_TestInfo finetune_tests[] = {
    {"groups are the official ones", groups_are_the_official_ones},
    {"scales follow the groups of a chain", scales_follow_the_groups_of_a_chain},
    {"losses are their definitions", losses_are_their_definitions},
    {"gradients are those of differences", gradients_are_those_of_differences},
    {"averages follow what the step leaves", averages_follow_what_the_step_leaves},
    {"a refused step moves no average", refused_step_moves_no_average},
    {"encoder and head are all", encoder_and_head_are_all},
    {"features are not needed", features_are_not_needed},
    {"a network without head is refused", network_without_head_is_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {HARNESS_SUITE("finetune", finetune_tests), CU_SUITE_INFO_NULL};
