#include <math.h>
#include <string.h>

#include "base/text.h"
#include "tools/verify/verify.h"

const char *verify_path(const Verify *verify, const char *name) {
    return arena_format(verify->arena, "%s/%s", verify->directory, name);
}

Status verify_open(Verify *verify, const char *name, Safetensors **file) {
    return safetensors_open(verify->arena, verify_path(verify, name), file);
}

/* Metrics of a group are numbers; other entries ("where", "elements") describe them. A number in
 * place of a group is one metric named after it. */
Status verify_require_tolerances(Verify *verify, const Case *from, const char *prefix) {
    json_t *groups = case_find(from, "suggested_tolerance");
    const char *group, *metric;
    json_t *metrics, *tolerance;
    if (json_object_size(groups) == 0)
        return status_failure(verify->arena, "%s: suggested_tolerance must hold groups",
                              from->path);
    json_object_foreach(groups, group, metrics) {
        const char *name = arena_format(verify->arena, "%s%s", prefix, group);
        json_object_foreach(metrics, metric, tolerance) {
            bool counts = strcmp(metric, "elements") == 0 || strcmp(metric, "of") == 0;
            if (json_is_number(tolerance) && !counts)
                compare_require(verify->comparison, name, metric, json_number_value(tolerance));
        }
    }
    return STATUS_FINE;
}

static Status read_densify_norm(const Case *from, DensifyNorm *norm) {
    const char *name;
    status_return_if_failed(case_text(from, "densify_norm", &name));
    if (strcmp(name, "bn") == 0)
        *norm = DENSIFY_BATCH_NORM;
    else if (strcmp(name, "ln") == 0)
        *norm = DENSIFY_LAYER_NORM;
    else
        return status_failure(from->arena, "%s: densify_norm must be bn or ln, not %s", from->path,
                              name);
    return STATUS_FINE;
}

static Status read_optimizer_kind(const Case *from, OptimizerKind *kind) {
    static const char *const names[] = {
        [OPTIMIZER_LAMB] = "lamb", [OPTIMIZER_ADAMW] = "adamw", [OPTIMIZER_SGD] = "sgd"};
    const char *name;
    status_return_if_failed(case_text(from, "optimizer.name", &name));
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(name, names[i]) == 0) {
            *kind = (OptimizerKind)i;
            return STATUS_FINE;
        }
    return status_failure(from->arena, "%s: the optimizer %s is not supported", from->path, name);
}

Status verify_optimizer_options(Verify *verify, PassOptions *options) {
    const Case *from = &verify->settings;
    *options = pass_options_default();
    options->stochastic = false;
    status_return_if_failed(read_optimizer_kind(from, &options->optimizer));
    options->clip = 0;
    if (!json_is_null(case_find(from, "optimizer.clip")))
        status_return_if_failed(case_number(from, "optimizer.clip", &options->clip));
    if (options->optimizer == OPTIMIZER_SGD)
        return case_number(from, "optimizer.momentum", &options->momentum);
    status_return_if_failed(case_number(from, "optimizer.betas.0", &options->beta1));
    status_return_if_failed(case_number(from, "optimizer.betas.1", &options->beta2));
    if (options->beta2 <= 0)
        return status_failure(verify->arena, "%s: optimizer.betas.1 must be above 0", from->path);
    return case_number(from, "optimizer.eps", &options->epsilon);
}

Status verify_pass_options(Verify *verify, PassOptions *options) {
    const Case *from = &verify->settings;
    double drop_path = 0;
    status_return_if_failed(verify_optimizer_options(verify, options));
    options->precision = verify->executor_options.precision;
    status_return_if_failed(case_number(from, "mask_ratio", &options->mask_ratio));
    if (!(options->mask_ratio >= 0 && options->mask_ratio < 1))
        return status_failure(verify->arena, "%s: mask_ratio must be from 0 to below 1",
                              from->path);
    status_return_if_failed(
        case_integer(from, "decoder_width", 1, INT32_MAX, &options->decoder_width));
    if (case_find(from, "drop_path"))
        status_return_if_failed(case_number(from, "drop_path", &drop_path));
    if (drop_path != 0)
        return status_failure(verify->arena, "%s: a drop_path above 0 is not supported",
                              from->path);
    options->expose = true;
    return read_densify_norm(from, &options->densify_norm);
}

Status verify_read_schedule(Verify *verify, Schedule *schedule) {
    const Case *from = &verify->settings;
    double warmup;
    status_return_if_failed(case_number(from, "optimizer.schedule.peak_lr", &schedule->peak_lr));
    status_return_if_failed(case_number(from, "optimizer.schedule.wd", &schedule->weight_decay));
    status_return_if_failed(
        case_number(from, "optimizer.schedule.wde", &schedule->weight_decay_end));
    status_return_if_failed(case_number(from, "optimizer.schedule.wp_it", &warmup));
    schedule->warmup = schedule_warmup(warmup);
    return case_integer(from, "optimizer.schedule.max_it", 1, INT32_MAX, &schedule->total);
}

const char *verify_parameter_group(const char *name) {
    static const struct {
        const char *prefix, *group;
    } groups[] = {
        {"dense_decoder.", "decoder"}, {"densify_", "densify"}, {"mask_token", "mask_token"}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (text_starts_with(name, groups[i].prefix))
            return groups[i].group;
    return "encoder";
}

bool verify_is_zero_gradient(const Verify *verify, const char *name) {
    return case_lists(&verify->settings, "zero_grad", name);
}
