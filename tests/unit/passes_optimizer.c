/* The optimizers against the formulas of their papers, written out per parameter in plain C. */
#include <math.h>
#include <string.h>

#include "passes/passes.h"
#include "tests/support/fixture.h"
#include "tests/unit/passes_suites.h"

enum { ELEMENTS = 9, STEPS = 4 };

typedef struct Stretch {
    const char *name;
    int begin, length;
    bool decays;
    double lr_scale;
} Stretch;

/* A weight; a bias; a weight whose gradient is 0; a weight that starts at 0. */
static const Stretch stretches[] = {
    {"weight", 0, 3, true, 1},
    {"bias", 3, 2, false, 0.5},
    {"dead", 5, 2, true, 1},
    {"zero", 7, 2, true, 2},
};
enum { STRETCHES = sizeof stretches / sizeof *stretches };

static const double start[ELEMENTS] = {0.5, -1, 2, 0.25, -0.5, 1, 3, 0, 0};

/* The second and fourth step exceed the clip. */
static const double gradients[STEPS][ELEMENTS] = {
    {0.1, -0.2, 0.3, 0.4, -0.5, 0, 0, 0.01, -0.02},
    {30, -10, 5, 2, -1, 0, 0, 7, 3},
    {1e-7, 0, -1e-3, 0.5, 0.25, 0, 0, 0, 0.125},
    {-4, 4, -4, 4, -4, 0, 0, 4, -4},
};

static double rate(int step) {
    return 0.01 * (step + 1);
}

static double weight_decay(int step) {
    return 0.05 + 0.02 * step;
}

/* Values and moments of the reference. */
typedef struct Reference {
    PassOptions options;
    double p[ELEMENTS], m[ELEMENTS], v[ELEMENTS];
} Reference;

static double norm(const double *x, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

static double clip_factor(const PassOptions *options, double length) {
    if (options->clip == 0)
        return 1;
    if (options->optimizer == OPTIMIZER_LAMB)
        return length > options->clip ? options->clip / length : 1;
    return fmin(1, options->clip / (length + 1e-6));
}

/* Adam's direction for one element; moves its moments. */
static double adam(Reference *reference, int i, double g, int step, double epsilon) {
    double b1 = reference->options.beta1, b2 = reference->options.beta2;
    reference->m[i] = b1 * reference->m[i] + (1 - b1) * g;
    reference->v[i] = b2 * reference->v[i] + (1 - b2) * g * g;
    return reference->m[i] / (1 - pow(b1, step + 1)) /
           (sqrt(reference->v[i]) / sqrt(1 - pow(b2, step + 1)) + epsilon);
}

static void lamb(Reference *reference, const Stretch *stretch, const double *g, int step) {
    double u[ELEMENTS], *p = reference->p + stretch->begin, ratio = 1;
    double decay = stretch->decays ? weight_decay(step) : 0;
    for (int i = 0; i < stretch->length; i++)
        u[i] = adam(reference, stretch->begin + i, g[i], step, 1e-6) + decay * p[i];
    double pn = norm(p, stretch->length), un = norm(u, stretch->length);
    if ((decay > 0 || reference->options.always_adapt) && pn > 0 && un > 0)
        ratio = pn / un;
    for (int i = 0; i < stretch->length; i++)
        p[i] -= rate(step) * stretch->lr_scale * ratio * u[i];
}

static void adamw(Reference *reference, const Stretch *stretch, const double *g, int step) {
    double lr = rate(step) * stretch->lr_scale, *p = reference->p + stretch->begin;
    for (int i = 0; i < stretch->length; i++) {
        p[i] -= lr * (stretch->decays ? weight_decay(step) : 0) * p[i];
        p[i] -= lr * adam(reference, stretch->begin + i, g[i], step, 1e-8);
    }
}

static void sgd(Reference *reference, const Stretch *stretch, const double *g, int step) {
    double lr = rate(step) * stretch->lr_scale, momentum = reference->options.momentum;
    double *p = reference->p + stretch->begin, *b = reference->m + stretch->begin;
    for (int i = 0; i < stretch->length; i++) {
        double d = g[i] + (stretch->decays ? weight_decay(step) : 0) * p[i];
        b[i] = momentum * b[i] + d;
        p[i] -= lr * (d + momentum * b[i]);
    }
}

static void reference_step(Reference *reference, int step) {
    static void (*const rules[])(Reference *, const Stretch *, const double *, int) = {
        [OPTIMIZER_LAMB] = lamb, [OPTIMIZER_ADAMW] = adamw, [OPTIMIZER_SGD] = sgd};
    double g[ELEMENTS], factor = clip_factor(&reference->options, norm(gradients[step], ELEMENTS));
    for (int i = 0; i < ELEMENTS; i++)
        g[i] = factor * gradients[step][i];
    for (int s = 0; s < STRETCHES; s++)
        rules[reference->options.optimizer](reference, &stretches[s], g + stretches[s].begin, step);
}

static void add_segments(Graph *graph) {
    for (int s = 0; s < STRETCHES; s++) {
        const Stretch *stretch = &stretches[s];
        Segment segment = {.name = stretch->name,
                           .type = type_vector(DTYPE_F32, stretch->length),
                           .file_rank = 1,
                           .file_shape = {stretch->length},
                           .decays = stretch->decays,
                           .lr_scale = stretch->lr_scale};
        CU_ASSERT_PTR_NOT_NULL_FATAL(graph_add_segment(graph, segment));
    }
}

static void set_parameters(Interpreter *interpreter) {
    for (int s = 0; s < STRETCHES; s++) {
        Tensor tensor = interpreter_param(interpreter, stretches[s].name);
        memcpy(tensor.data, start + stretches[s].begin, tensor.count * sizeof *tensor.data);
    }
}

static void read_parameters(Interpreter *interpreter, double *values) {
    for (int s = 0; s < STRETCHES; s++) {
        Tensor tensor = interpreter_param(interpreter, stretches[s].name);
        memcpy(values + stretches[s].begin, tensor.data, tensor.count * sizeof *tensor.data);
    }
}

static void set_scalars(Interpreter *interpreter, const PassOptions *options, int step) {
    interpreter_set_scalar(interpreter, "lr", rate(step));
    interpreter_set_scalar(interpreter, "weight_decay", weight_decay(step));
    if (options->optimizer == OPTIMIZER_SGD)
        return;
    interpreter_set_scalar(interpreter, "bias_correction1", 1 - pow(options->beta1, step + 1));
    interpreter_set_scalar(interpreter, "bias_correction2_sqrt",
                           sqrt(1 - pow(options->beta2, step + 1)));
}

static void expect_close(const double *found, const double *expected) {
    for (int i = 0; i < ELEMENTS; i++)
        CU_ASSERT_DOUBLE_EQUAL(found[i], expected[i], 1e-13 * (1 + fabs(expected[i])));
}

static void expect_state(Interpreter *interpreter, const char *name, const double *expected) {
    Tensor tensor = interpreter_state(interpreter, name);
    CU_ASSERT_EQUAL_FATAL(tensor.count, ELEMENTS);
    expect_close(tensor.data, expected);
}

static void expect_moments(Interpreter *interpreter, const Reference *reference) {
    if (reference->options.optimizer == OPTIMIZER_SGD) {
        expect_state(interpreter, "momentum_buffer", reference->m);
        return;
    }
    expect_state(interpreter, "exp_avg", reference->m);
    expect_state(interpreter, "exp_avg_sq", reference->v);
}

static PassOptions update_options(OptimizerKind kind, double clip) {
    PassOptions options = pass_options_default();
    options.entry = ENTRY_UPDATE;
    options.optimizer = kind;
    options.beta2 = 0.95;
    options.clip = clip;
    return options;
}

/* Applies the update pass to a graph of parameters alone. */
static Fixture create_update(const PassOptions *options) {
    Fixture fixture = fixture_create();
    add_segments(fixture.graph);
    Diagnostics *diagnostics = diagnostics_create(fixture.arena, 5);
    CU_ASSERT_TRUE_FATAL(pass_optimizer(fixture.graph, options, diagnostics));
    CU_ASSERT_EQUAL_FATAL(diagnostics_error_count(diagnostics), 0);
    fixture.interpreter = interpreter_create(fixture.graph);
    set_parameters(fixture.interpreter);
    return fixture;
}

static void run_with(Fixture *fixture, const double *gradient) {
    Status status = interpreter_set_input(fixture->interpreter, fixture->arena, "gradients",
                                          gradient, ELEMENTS);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    fixture_run(fixture);
}

/* As if four parts had been added up. */
static void run_with_sum(Fixture *fixture, const double *gradient) {
    Tensor sum = interpreter_state(fixture->interpreter, "gradients");
    for (int i = 0; i < ELEMENTS; i++)
        sum.data[i] = 4 * gradient[i];
    interpreter_set_scalar(fixture->interpreter, "gradient_scale", 0.25);
    fixture_run(fixture);
    for (int i = 0; i < ELEMENTS; i++)
        CU_ASSERT_EQUAL(sum.data[i], 4 * gradient[i]);
}

static void compare_entry_steps(Entry entry, const PassOptions *options) {
    Reference reference = {.options = *options};
    reference.options.entry = entry;
    memcpy(reference.p, start, sizeof start);
    Fixture fixture = create_update(&reference.options);
    for (int step = 0; step < STEPS; step++) {
        double found[ELEMENTS];
        set_scalars(fixture.interpreter, &reference.options, step);
        (entry == ENTRY_APPLY ? run_with_sum : run_with)(&fixture, gradients[step]);
        reference_step(&reference, step);
        read_parameters(fixture.interpreter, found);
        expect_close(found, reference.p);
        expect_moments(fixture.interpreter, &reference);
        CU_ASSERT_DOUBLE_EQUAL(fixture_tensor(&fixture, "grad_norm").data[0],
                               norm(gradients[step], ELEMENTS), 1e-12);
        CU_ASSERT_EQUAL(fixture_tensor(&fixture, "ok").data[0], 1);
    }
    fixture_destroy(&fixture);
}

/* Of the gradients as an input, and as the sum that another program has left. */
static void compare_steps(OptimizerKind kind, double clip) {
    PassOptions options = update_options(kind, clip);
    compare_entry_steps(ENTRY_UPDATE, &options);
    compare_entry_steps(ENTRY_APPLY, &options);
}

static void lamb_follows_its_formulas(void) {
    compare_steps(OPTIMIZER_LAMB, 5);
    compare_steps(OPTIMIZER_LAMB, 0);
}

/* The trust ratio of a bias as well. */
static void lamb_adapts_always_if_asked(void) {
    PassOptions options = update_options(OPTIMIZER_LAMB, 5);
    options.always_adapt = true;
    compare_entry_steps(ENTRY_UPDATE, &options);
}

static void adamw_follows_its_formulas(void) {
    compare_steps(OPTIMIZER_ADAMW, 1);
    compare_steps(OPTIMIZER_ADAMW, 0);
}

static void sgd_follows_its_formulas(void) {
    compare_steps(OPTIMIZER_SGD, 1);
    compare_steps(OPTIMIZER_SGD, 0);
}

/* Without weight decay LAMB is Adam. */
static void lamb_without_decay_has_no_trust_ratio(void) {
    PassOptions options = update_options(OPTIMIZER_LAMB, 5);
    Fixture fixture = create_update(&options);
    set_scalars(fixture.interpreter, &options, 0);
    interpreter_set_scalar(fixture.interpreter, "weight_decay", 0);
    run_with(&fixture, gradients[0]);
    double found[ELEMENTS];
    read_parameters(fixture.interpreter, found);
    for (int i = 0; i < 3; i++) {
        double g = gradients[0][i];
        CU_ASSERT_DOUBLE_EQUAL(found[i], start[i] - 0.01 * g / (fabs(g) + 1e-6), 1e-13);
    }
    fixture_destroy(&fixture);
}

static void bad_gradient_changes_nothing(void) {
    for (int kind = OPTIMIZER_LAMB; kind <= OPTIMIZER_SGD; kind++) {
        PassOptions options = update_options((OptimizerKind)kind, 5);
        Fixture fixture = create_update(&options);
        double gradient[ELEMENTS] = {1, NAN, 2}, found[ELEMENTS], zeros[ELEMENTS] = {0};
        set_scalars(fixture.interpreter, &options, 0);
        run_with(&fixture, gradient);
        CU_ASSERT_EQUAL(fixture_tensor(&fixture, "ok").data[0], 0);
        read_parameters(fixture.interpreter, found);
        CU_ASSERT_EQUAL(memcmp(found, start, sizeof start), 0);
        expect_state(fixture.interpreter, kind == OPTIMIZER_SGD ? "momentum_buffer" : "exp_avg",
                     zeros);
        fixture_destroy(&fixture);
    }
}

/* A train step whose loss, gradient and running mean are inputs. */
static Fixture create_train_step(const PassOptions *options, const double *loss) {
    static const double mean = 7; /* the fixture borrows it */
    Fixture fixture = fixture_create();
    Builder *builder = &fixture.builder;
    add_segments(fixture.graph);
    graph_add_state(
        fixture.graph,
        (StateSlot){.name = "mean", .part = PART_ENCODER, .type = type_scalar(DTYPE_F32)});
    Value *parts[STRETCHES], *x = fixture_input(&fixture, "x", type_scalar(DTYPE_F32), &mean);
    for (int s = 0; s < STRETCHES; s++)
        parts[s] =
            fixture_input(&fixture, stretches[s].name, type_vector(DTYPE_F32, stretches[s].length),
                          &gradients[0][stretches[s].begin]);
    build(builder, OP_commit, NULL, OPERANDS(x),
          ATTRIBUTES(attribute_text("region", "state"), attribute_text("name", "mean")));
    fixture_output(&fixture, "loss", fixture_input(&fixture, "loss", type_scalar(DTYPE_F32), loss));
    build(builder, OP_collect, NULL, parts, STRETCHES, NO_ATTRIBUTES);
    CU_ASSERT_TRUE_FATAL(
        pass_optimizer(fixture.graph, options, diagnostics_create(fixture.arena, 5)));
    fixture.interpreter = interpreter_create(fixture.graph);
    set_parameters(fixture.interpreter);
    set_scalars(fixture.interpreter, options, 0);
    interpreter_state(fixture.interpreter, "mean").data[0] = 3;
    return fixture;
}

static void step_commits_all_or_nothing(void) {
    const double losses[] = {1.5, INFINITY, NAN};
    PassOptions options = update_options(OPTIMIZER_LAMB, 5);
    options.entry = ENTRY_TRAIN_STEP;
    for (int i = 0; i < 3; i++) {
        double found[ELEMENTS];
        Fixture fixture = create_train_step(&options, &losses[i]);
        fixture_run(&fixture);
        bool sound = i == 0;
        CU_ASSERT_EQUAL(fixture_tensor(&fixture, "ok").data[0], sound);
        CU_ASSERT_EQUAL(interpreter_state(fixture.interpreter, "mean").data[0], sound ? 7 : 3);
        read_parameters(fixture.interpreter, found);
        CU_ASSERT_EQUAL(memcmp(found, start, sizeof start) == 0, !sound);
        fixture_destroy(&fixture);
    }
}

static void expect_gradients(Interpreter *interpreter, double factor) {
    Tensor sum = interpreter_state(interpreter, "gradients");
    for (int i = 0; i < ELEMENTS; i++)
        CU_ASSERT_EQUAL(sum.data[i], factor * gradients[0][i]);
}

/* The first part begins anew, the others are added; a bad one leaves gradients and statistics. */
static void parts_are_added(void) {
    static const struct {
        double first, loss, factor;
    } parts[] = {{1, 1, 1}, {0, 2, 2}, {0, NAN, 2}, {1, INFINITY, 2}, {1, 3, 1}};
    PassOptions options = update_options(OPTIMIZER_ADAMW, 5);
    options.entry = ENTRY_ACCUMULATE;
    double loss, found[ELEMENTS], zeros[ELEMENTS] = {0};
    Fixture fixture = create_train_step(&options, &loss);
    interpreter_state(fixture.interpreter, "gradients").data[0] = NAN;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        bool sound = isfinite(parts[i].loss);
        loss = parts[i].loss;
        interpreter_set_scalar(fixture.interpreter, "first", parts[i].first);
        interpreter_state(fixture.interpreter, "mean").data[0] = 3;
        fixture_run(&fixture);
        CU_ASSERT_EQUAL(fixture_tensor(&fixture, "ok").data[0], sound);
        CU_ASSERT_DOUBLE_EQUAL(fixture_tensor(&fixture, "grad_norm").data[0],
                               norm(gradients[0], ELEMENTS), 1e-12);
        CU_ASSERT_EQUAL(interpreter_state(fixture.interpreter, "mean").data[0], sound ? 7 : 3);
        expect_gradients(fixture.interpreter, parts[i].factor);
    }
    read_parameters(fixture.interpreter, found);
    CU_ASSERT_EQUAL(memcmp(found, start, sizeof start), 0);
    expect_state(fixture.interpreter, "exp_avg", zeros);
    fixture_destroy(&fixture);
}

CU_TestInfo passes_optimizer_tests[] = {
    {"LAMB follows its formulas", lamb_follows_its_formulas},
    {"LAMB adapts always if asked", lamb_adapts_always_if_asked},
    {"AdamW follows its formulas", adamw_follows_its_formulas},
    {"SGD follows its formulas", sgd_follows_its_formulas},
    {"LAMB without decay has no trust ratio", lamb_without_decay_has_no_trust_ratio},
    {"a bad gradient changes nothing", bad_gradient_changes_nothing},
    {"a step commits all or nothing", step_commits_all_or_nothing},
    {"parts are added", parts_are_added},
    CU_TEST_INFO_NULL,
};
