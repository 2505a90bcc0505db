/* A step in bf16 against the same step in fp32: the loss, and the angles and lengths of the
 * gradients, within the bounds that a folder has in bounds.json for several cases. Both steps are
 * the program that trains, without outputs for comparison, which would stay fp32; the step in fp32
 * is what the case's own check compares with the recorded values.
 *
 * Most of what differs then are values near a kink that fall on its other side. So the step in bf16
 * runs once more and takes each such decision from the step in fp32 (passes/decisions.h): what is
 * left is rounding, for which the bounds are several times sharper. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "passes/decisions.h"
#include "runtime/weights.h"
#include "tools/verify/verify.h"
#include "tools/verify/verify_recipe.h"

enum { GROUPS = 5 };
static const char *const group_names[GROUPS] = {"encoder", "densify", "mask_token", "decoder",
                                                "all"};

/* What a step gives. */
typedef struct Step {
    double loss;
    const double *gradients; /* of all segments, one behind the other */
} Step;

typedef struct PrecisionCase {
    Verify *verify;
    Case bounds;
    const char *name;   /* in the bounds */
    const char *folder; /* of the bounds */
    ImageShape shape;
    const double *images, *active;
    Graph *graph; /* of the last step */
    Step exact, rounded;
    CaseProgram *recorder; /* the step in fp32, which has run */
    const char *section;   /* of the bounds */
    const char *suffix;    /* of the groups */
} PrecisionCase;

/* The sections of the bounds, and what the groups of the second are marked by. */
static const char own_branches[] = "cases", same_branches[] = "same_branches.cases";
static const char same_suffix[] = ", same branches";

/* ---- What a case is made of ------------------------------------------------------------------ */

static const char *entry_path(const PrecisionCase *run, const char *entry) {
    return arena_format(run->verify->arena, "%s.%s.%s", own_branches, run->name, entry);
}

/* Of the section that is being compared. */
static const char *bound_path(const PrecisionCase *run, const char *entry) {
    return arena_format(run->verify->arena, "%s.%s.suggested_bounds.%s", run->section, run->name,
                        entry);
}

/* "recipe, name image, shape 8,3,128,128" */
static Status read_recipe_shape(PrecisionCase *run, const char *text) {
    const char *at = strstr(text, "shape ");
    ImageShape *shape = &run->shape;
    for (at = at ? at + strlen("shape ") : ""; *at && shape->rank < SAFETENSORS_MAX_RANK;) {
        char *end;
        shape->extent[shape->rank++] = strtoll(at, &end, 10);
        if (end == at || shape->extent[shape->rank - 1] < 1 ||
            shape->extent[shape->rank - 1] > INT32_MAX)
            break;
        at = *end == ',' ? end + 1 : end;
    }
    bool fine = shape->rank >= 3 && shape->rank <= 2 + TYPE_MAX_SPACE && !*at;
    return fine ? STATUS_FINE
                : status_failure(run->verify->arena, "%s: %s holds no shape of images",
                                 run->bounds.path, entry_path(run, "input.image"));
}

/* Pictures and masks that the bounds themselves describe, for weights of another case. */
static Status read_own_input(PrecisionCase *run) {
    static const double scale = 2; /* of pictures by the recipe */
    Verify *verify = run->verify;
    const char *image, *mask;
    Safetensors *file = NULL;
    status_return_if_failed(case_text(&run->bounds, entry_path(run, "input.image"), &image));
    status_return_if_failed(case_text(&run->bounds, entry_path(run, "input.active"), &mask));
    status_return_if_failed(read_recipe_shape(run, image));
    size_t count = verify_image_count(&run->shape);
    double *images = arena_new_array(verify->arena, double, count);
    recipe_fill("image", 0, scale, images, count);
    run->images = images;
    Status status = safetensors_open(
        verify->arena, arena_format(verify->arena, "%s/%s", run->folder, mask), &file);
    if (status_fine(status))
        status = verify_read(verify->arena, file, "active", 0, &run->active, NULL);
    safetensors_close(file);
    return status;
}

static bool is_by_recipe(const PrecisionCase *run) {
    return case_find(&run->verify->settings, "recipe") != NULL;
}

/* Those of the case. */
static Status read_input(PrecisionCase *run) {
    Verify *verify = run->verify;
    Safetensors *file = NULL;
    Status status = verify_open(verify, "input.safetensors", &file);
    if (status_fine(status))
        status = verify_read(verify->arena, file, "active", 0, &run->active, NULL);
    if (status_fine(status) && !is_by_recipe(run))
        status = verify_read_images(verify, file, &run->shape, &run->images);
    safetensors_close(file);
    if (!status_fine(status) || !is_by_recipe(run))
        return status;
    status_return_if_failed(verify_recipe_shape(&verify->settings, "recipe_image", &run->shape));
    return verify_recipe_images(&verify->settings, "recipe_image", "image", verify->arena,
                                &run->images);
}

/* ---- Running --------------------------------------------------------------------------------- */

static Status load(PrecisionCase *run, Verify *verify, CaseProgram *program) {
    Safetensors *weights;
    if (is_by_recipe(run))
        return program_load_recipe(verify, program);
    status_return_if_failed(verify_open(verify, "weights.safetensors", &weights));
    Status status = program_load(verify, program, weights);
    safetensors_close(weights);
    return status;
}

/* Gives a program the decisions of the recorder, each under the same name. */
static Status copy_decisions(CaseProgram *recorder, CaseProgram *program) {
    Status status = STATUS_FINE;
    for (Node *node = program->graph->first; node && status_fine(status); node = node->next) {
        if (node->op != OP_input || !text_starts_with(node_text(node, "name"), DECISIONS_PREFIX))
            continue;
        const char *name = node_text(node, "name");
        ExecutorTensor decision = recorder->executor->operations->output(recorder->executor, name);
        if (!decision.data)
            return status_failure(program->arena, "the step in fp32 does not give %s", name);
        status = program->executor->operations->write_input(program->executor, program->arena, name,
                                                            decision.data, decision.count);
    }
    return status;
}

static Status set_inputs(PrecisionCase *run, Verify *verify, CaseProgram *program) {
    status_return_if_failed(load(run, verify, program));
    status_return_if_failed(program_set_images(program, &run->shape, run->images));
    status_return_if_failed(program_set_active(program, run->active));
    status_return_if_failed(program_set_scalars(program, (StepScalars){.step = 1}));
    return program->options.decisions == DECISIONS_REPLAYED ? copy_decisions(run->recorder, program)
                                                            : STATUS_FINE;
}

static Status run_program(PrecisionCase *run, Verify *verify, CaseProgram *program, Step *step) {
    Arena *arena = verify->arena;
    Executor *executor = program->executor;
    status_return_if_failed(set_inputs(run, verify, program));
    status_return_if_failed(executor->operations->run(executor, program->arena));
    ExecutorTensor loss = program_output(program, program->arena, "loss");
    ExecutorTensor gradients = executor->operations->state(executor, "gradients");
    if (!loss.data || !gradients.data)
        return status_failure(arena, "the program computes no gradients");
    step->loss = loss.data[0];
    double *copy = arena_new_array(arena, double, gradients.count);
    memcpy(copy, gradients.data, gradients.count * sizeof *copy);
    step->gradients = copy;
    run->graph = graph_copy(program->graph, arena);
    return STATUS_FINE;
}

/* Gradients of the program that accumulates them are a state of it. The program is the caller's,
 * who destroys it; NULL after a failure to make it. */
static Status run_step(PrecisionCase *run, Precision precision, Decisions decisions, Step *step,
                       CaseProgram **program) {
    Verify verify = *run->verify;
    PassOptions options;
    verify.executor_options.precision = precision;
    status_return_if_failed(verify_pass_options(&verify, &options));
    options.entry = ENTRY_ACCUMULATE;
    options.expose = false;
    options.decisions = decisions;
    status_return_if_failed(program_create(&verify, &options, &run->shape, program));
    return verify_outlive(&verify, run_program(run, &verify, *program, step));
}

static Status run_rounded(PrecisionCase *run, Decisions decisions) {
    CaseProgram *program = NULL;
    Status status = run_step(run, PRECISION_BF16, decisions, &run->rounded, &program);
    if (program)
        program_destroy(program);
    return status;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* Products of two vectors. */
typedef struct Products {
    double both, exact, rounded;
} Products;

static void add(Products *sum, const Products *more) {
    sum->both += more->both;
    sum->exact += more->exact;
    sum->rounded += more->rounded;
}

static double one_minus_cosine(const Products *products) {
    double cosine = products->both / sqrt(products->exact * products->rounded);
    return isfinite(cosine) ? 1 - cosine : (double)INFINITY;
}

static Products products_of(const PrecisionCase *run, const Segment *segment) {
    Products products = {0};
    const double *exact = run->exact.gradients + segment->offset;
    const double *rounded = run->rounded.gradients + segment->offset;
    for (size_t i = 0; i < weights_count(segment); i++)
        add(&products,
            &(Products){exact[i] * rounded[i], exact[i] * exact[i], rounded[i] * rounded[i]});
    return products;
}

/* *bound stays as it is where the bounds have null: nothing would be left to check. */
static Status read_bound(const PrecisionCase *run, const char *group, const char *entry,
                         double *bound) {
    const char *path =
        bound_path(run, arena_format(run->verify->arena, "groups.%s.%s", group, entry));
    if (json_is_null(case_find(&run->bounds, path)))
        return STATUS_FINE;
    return case_number(&run->bounds, path, bound);
}

/* Bounds may be without those of the same branches. */
static bool has_same_branches(const PrecisionCase *run) {
    const char *path = arena_format(run->verify->arena, "%s.%s", same_branches, run->name);
    return case_find(&run->bounds, path) != NULL;
}

/* An error that `bound` limits, NaN: none does. */
static void compare(const PrecisionCase *run, const char *group, const char *metric,
                    const char *tensor, double error, double bound) {
    if (!isnan(bound))
        compare_error_within(run->verify->comparison,
                             arena_format(run->verify->arena, "%s%s", group, run->suffix), metric,
                             tensor, error, bound);
}

/* A gradient's. Those of a step with its own decisions are shown where there are bounds for the
 * same branches, which are meant for an implementation that can replay decisions. */
static void compare_gradient(const PrecisionCase *run, const char *group, const char *metric,
                             const char *tensor, double error, double bound) {
    compare(run, group, metric, tensor, error, bound);
    if (run->section == own_branches && has_same_branches(run))
        compare_make_shown(run->verify->comparison, group);
}

static Status compare_group(const PrecisionCase *run, int number, const Products *sums) {
    const char *name = group_names[number];
    const char *label = arena_format(run->verify->arena, "grad.%s", name);
    double group = NAN, norm = NAN;
    status_return_if_failed(read_bound(run, name, "cos_of_group_at_least", &group));
    status_return_if_failed(read_bound(run, name, "norm_rel", &norm));
    compare_gradient(run, label, "1-cos", name, one_minus_cosine(sums), 1 - group);
    compare_gradient(run, label, "norm", name,
                     compare_relative(sqrt(sums->rounded), sqrt(sums->exact)), norm);
    return STATUS_FINE;
}

static Status compare_tensor(const PrecisionCase *run, int number, const char *tensor,
                             const Products *products) {
    const char *name = group_names[number];
    double bound = NAN;
    status_return_if_failed(read_bound(run, name, "cos_of_every_tensor_at_least", &bound));
    compare_gradient(run, arena_format(run->verify->arena, "grad.%s.each", name), "1-cos", tensor,
                     one_minus_cosine(products), 1 - bound);
    return STATUS_FINE;
}

static int group_of(const char *tensor) {
    const char *group = verify_parameter_group(tensor);
    int number = 0;
    while (strcmp(group_names[number], group) != 0)
        number++;
    return number;
}

/* Gradients that are zero in exact arithmetic have no direction. */
static bool has_direction(const PrecisionCase *run, const char *tensor) {
    return !case_lists(&run->bounds, entry_path(run, "left_out"), tensor) &&
           !verify_is_zero_gradient(run->verify, tensor);
}

static Status compare_gradients(PrecisionCase *run) {
    enum { ALL = GROUPS - 1 };
    Products sums[GROUPS] = {{0}};
    for (size_t i = 0; i < run->graph->segments.count; i++) {
        const Segment *segment = &run->graph->segments.items[i];
        const char *tensor = weights_name(run->verify->arena, segment->part, segment->name);
        int group = group_of(tensor);
        if (!has_direction(run, tensor))
            continue;
        Products products = products_of(run, segment);
        add(&sums[group], &products);
        add(&sums[ALL], &products);
        status_return_if_failed(compare_tensor(run, group, tensor, &products));
        status_return_if_failed(compare_tensor(run, ALL, tensor, &products));
    }
    for (int i = 0; i < GROUPS; i++)
        status_return_if_failed(compare_group(run, i, &sums[i]));
    return STATUS_FINE;
}

static Status compare_step(PrecisionCase *run, const char *section, const char *suffix) {
    double bound;
    run->section = section;
    run->suffix = suffix;
    status_return_if_failed(case_number(&run->bounds, bound_path(run, "loss_rel"), &bound));
    compare(run, "loss", "rel", "loss", compare_relative(run->rounded.loss, run->exact.loss),
            bound);
    return compare_gradients(run);
}

/* ---- The case -------------------------------------------------------------------------------- */

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool has_file(const Verify *verify, const char *name) {
    return access(verify_path(verify, name), F_OK) == 0;
}

/* The folder is one of bounds, of which verify->model is a case; or that case's own, beside which
 * the bounds lie in "bf16". */
static Status open_bounds(PrecisionCase *run) {
    Verify *verify = run->verify;
    const char *given = verify->directory;
    bool own = has_file(verify, "bounds.json");
    run->folder = own ? given : arena_format(verify->arena, "%s/../bf16", given);
    run->name = own ? verify->model : last_name(given);
    if (!run->name)
        return status_failure(verify->arena, "%s has bounds for several cases: name one by --case",
                              given);
    verify->model = run->name;
    status_return_if_failed(case_open(
        verify->arena, arena_format(verify->arena, "%s/bounds.json", run->folder), &run->bounds));
    if (!case_find(&run->bounds, entry_path(run, "suggested_bounds")))
        return status_failure(verify->arena, "%s has no bounds for %s", run->bounds.path,
                              run->name);
    const char *weights = run->name;
    if (case_find(&run->bounds, entry_path(run, "input")))
        status_return_if_failed(
            case_text(&run->bounds, entry_path(run, "input.weights"), &weights));
    if (own)
        verify->directory = arena_format(verify->arena, "%s/../%s", given, weights);
    return case_open(verify->arena, verify_path(verify, "case.json"), &verify->settings);
}

static Status compare_rounded(PrecisionCase *run) {
    status_return_if_failed(run_rounded(run, DECISIONS_OWN));
    status_return_if_failed(compare_step(run, own_branches, ""));
    if (!has_same_branches(run))
        return STATUS_FINE;
    status_return_if_failed(run_rounded(run, DECISIONS_REPLAYED));
    return compare_step(run, same_branches, same_suffix);
}

static Status check(PrecisionCase *run) {
    status_return_if_failed(open_bounds(run));
    if (case_find(&run->verify->settings, "steps"))
        return verify_training(run->verify, &run->bounds);
    bool own = case_find(&run->bounds, entry_path(run, "input")) != NULL;
    status_return_if_failed(own ? read_own_input(run) : read_input(run));
    Decisions decisions = has_same_branches(run) ? DECISIONS_RECORDED : DECISIONS_OWN;
    Status status = run_step(run, PRECISION_FP32, decisions, &run->exact, &run->recorder);
    if (status_fine(status))
        status = compare_rounded(run);
    if (run->recorder)
        program_destroy(run->recorder);
    return status;
}

Status verify_precision(Verify *verify) {
    PrecisionCase run = {.verify = verify};
    if (verify->executor_options.precision != PRECISION_BF16)
        return status_failure(verify->arena, "%s holds bounds of bf16: add --precision bf16",
                              verify->directory);
    Status status = check(&run);
    case_close(&run.bounds);
    return status;
}
