/* Evaluation mode beside a step: running statistics instead of the batch's, once on whole pictures
 * and once masked (reference README, "Evaluation mode"). */
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "tools/verify/verify.h"

/* The tensors of eval.safetensors that a program gives: names begin with `prefix`. */
typedef struct Mode {
    const char *prefix;
    Entry entry;
} Mode;

static const Mode modes[] = {{"dense.", ENTRY_FEATURES}, {"masked.", ENTRY_RECONSTRUCT}};

/* "feat.2" is the output feature.2; the group is the name without the number. */
static Status compare_tensor(Verify *verify, CaseProgram *program, const Safetensors *expect,
                             const Mode *mode, const char *tensor) {
    const char *name = tensor + strlen(mode->prefix);
    const char *output = verify_output_name(program->arena, name);
    if (!output)
        return status_failure(verify->arena, "%s: it is not known what %s stands for",
                              safetensors_path(expect), tensor);
    const char *group =
        arena_format(program->arena, "eval.%s%.*s", mode->prefix, (int)strcspn(name, "."), name);
    return verify_compare(verify, program->arena, expect, tensor, group,
                          program_output(program, program->arena, output));
}

static Status run_mode(Verify *verify, CaseProgram *program, const Safetensors *weights,
                       const Safetensors *input, const Safetensors *expect, const Mode *mode) {
    ImageShape shape;
    const double *images, *active;
    size_t count;
    status_return_if_failed(program_load(verify, program, weights));
    status_return_if_failed(verify_read_images(verify, input, &shape, &images));
    status_return_if_failed(program_set_images(program, &shape, images));
    size_t cells = (size_t)(shape.extent[0] * graph_cells(program->graph));
    status_return_if_failed(verify_read(verify->arena, input, "active", cells, &active, NULL));
    status_return_if_failed(program_set_active(program, active));
    status_return_if_failed(program_set_scalars(program, (StepScalars){.step = 1}));
    status_return_if_failed(program->executor->operations->run(program->executor, program->arena));
    const SafetensorsTensor *tensors = safetensors_tensors(expect, &count);
    for (size_t i = 0; i < count; i++) {
        if (text_starts_with(tensors[i].name, mode->prefix))
            status_return_if_failed(compare_tensor(verify, program, expect, mode, tensors[i].name));
    }
    return STATUS_FINE;
}

static Status check_mode(Verify *verify, const Safetensors *weights, const Safetensors *input,
                         const Safetensors *expect, const Mode *mode) {
    CaseProgram *program;
    PassOptions options;
    ImageShape shape;
    const double *images;
    status_return_if_failed(verify_pass_options(verify, &options));
    options.entry = mode->entry;
    options.training = false;
    status_return_if_failed(verify_read_images(verify, input, &shape, &images));
    status_return_if_failed(program_create(verify, &options, &shape, &program));
    Status status = run_mode(verify, program, weights, input, expect, mode);
    status = verify_outlive(verify, status);
    program_destroy(program);
    return status;
}

static Status check_modes(Verify *verify, const Safetensors *weights, const Safetensors *input) {
    Safetensors *expect;
    status_return_if_failed(verify_open(verify, "eval.safetensors", &expect));
    Status status = STATUS_FINE;
    for (size_t i = 0; i < sizeof modes / sizeof *modes && status_fine(status); i++)
        status = check_mode(verify, weights, input, expect, &modes[i]);
    safetensors_close(expect);
    return status;
}

Status verify_evaluation(Verify *verify, const Safetensors *weights, const Safetensors *input) {
    Case tolerances;
    if (access(verify_path(verify, "eval.safetensors"), F_OK) != 0)
        return STATUS_FINE;
    status_return_if_failed(
        case_open(verify->arena, verify_path(verify, "eval.json"), &tolerances));
    Status status = verify_require_tolerances(verify, &tolerances, "eval.");
    case_close(&tolerances);
    return status_fine(status) ? check_modes(verify, weights, input) : status;
}
