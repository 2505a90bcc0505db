/* Learning rate, weight decay and the number of kept cells: closed forms against lists
 * (schedule.json, masks.json). */
#include <unistd.h>

#include "tools/verify/verify.h"

/* Both sides are double; what differs is the order of a few operations. */
static const double tolerance = 1e-13;

static void compare(Verify *verify, const char *group, const char *what, double actual,
                    double expected) {
    compare_error_within(verify->comparison, group, "rel", what, compare_relative(actual, expected),
                         tolerance);
}

static Status read_run(const Case *from, const char *run, Schedule *schedule, size_t *count) {
    Arena *arena = from->arena;
    double warmup;
    status_return_if_failed(
        case_number(from, arena_format(arena, "%s.peak_lr", run), &schedule->peak_lr));
    status_return_if_failed(
        case_number(from, arena_format(arena, "%s.wd", run), &schedule->weight_decay));
    status_return_if_failed(
        case_number(from, arena_format(arena, "%s.wd_end", run), &schedule->weight_decay_end));
    status_return_if_failed(
        case_number(from, arena_format(arena, "%s.warmup_iterations", run), &warmup));
    schedule->warmup = schedule_warmup(warmup);
    *count = json_array_size(case_find(from, arena_format(arena, "%s.iterations", run)));
    return case_integer(from, arena_format(arena, "%s.total_iterations", run), 1, INT32_MAX,
                        &schedule->total);
}

static Status check_run(Verify *verify, const Case *from, const char *run) {
    Arena *arena = from->arena;
    Schedule schedule;
    size_t count;
    status_return_if_failed(read_run(from, run, &schedule, &count));
    for (size_t i = 0; i < count; i++) {
        int64_t iteration;
        double lr, weight_decay;
        const char *where = arena_format(arena, "%s.lr.%zu", run, i);
        status_return_if_failed(case_integer(from, arena_format(arena, "%s.iterations.%zu", run, i),
                                             0, INT32_MAX, &iteration));
        status_return_if_failed(case_number(from, where, &lr));
        status_return_if_failed(
            case_number(from, arena_format(arena, "%s.wd_decay_group.%zu", run, i), &weight_decay));
        compare(verify, "lr", where, schedule_lr(&schedule, iteration), lr);
        compare(verify, "weight_decay", where, schedule_weight_decay(&schedule, iteration),
                weight_decay);
    }
    return STATUS_FINE;
}

static Status check_peak(Verify *verify, const Case *from, size_t index) {
    double base_lr, peak_lr;
    int64_t batch;
    const char *row = arena_format(from->arena, "peak_lr_rule.%zu", index);
    status_return_if_failed(
        case_number(from, arena_format(from->arena, "%s.base_lr", row), &base_lr));
    status_return_if_failed(
        case_number(from, arena_format(from->arena, "%s.peak_lr", row), &peak_lr));
    status_return_if_failed(case_integer(from, arena_format(from->arena, "%s.global_batch", row), 1,
                                         INT32_MAX, &batch));
    compare(verify, "peak_lr", row, schedule_peak_lr(base_lr, batch), peak_lr);
    return STATUS_FINE;
}

static Status check_schedule(Verify *verify, const Case *from) {
    for (size_t i = 0; i < json_array_size(case_find(from, "runs")); i++)
        status_return_if_failed(check_run(verify, from, arena_format(from->arena, "runs.%zu", i)));
    for (size_t i = 0; i < json_array_size(case_find(from, "peak_lr_rule")); i++)
        status_return_if_failed(check_peak(verify, from, i));
    return STATUS_FINE;
}

static Status check_masks(Verify *verify, const Case *from) {
    for (size_t i = 0; i < json_array_size(case_find(from, "rows")); i++) {
        double ratio;
        int64_t cells, keep;
        const char *row = arena_format(from->arena, "rows.%zu", i);
        status_return_if_failed(
            case_number(from, arena_format(from->arena, "%s.mask_ratio", row), &ratio));
        status_return_if_failed(
            case_integer(from, arena_format(from->arena, "%s.cells", row), 1, INT32_MAX, &cells));
        status_return_if_failed(
            case_integer(from, arena_format(from->arena, "%s.len_keep", row), 0, INT32_MAX, &keep));
        compare_fact(verify->comparison, "len_keep", passes_keep(cells, ratio) == keep,
                     "%s: %g of %lld cells hidden must keep %lld, not %lld", row, ratio,
                     (long long)cells, (long long)keep, (long long)passes_keep(cells, ratio));
    }
    return STATUS_FINE;
}

Status verify_schedule(Verify *verify) {
    static const struct {
        const char *name;
        Status (*check)(Verify *verify, const Case *from);
    } files[] = {{"schedule.json", check_schedule}, {"masks.json", check_masks}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        Case from;
        if (access(verify_path(verify, files[i].name), F_OK) != 0)
            continue;
        status_return_if_failed(
            case_open(verify->arena, verify_path(verify, files[i].name), &from));
        Status status = files[i].check(verify, &from);
        case_close(&from);
        status_return_if_failed(status);
    }
    return STATUS_FINE;
}
