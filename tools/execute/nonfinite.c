#include "tools/execute/nonfinite.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "ir/interpret/kernel_interpret.h"
#include "ir/kernel_footprint.h"
#include "runtime/weights.h"

/* What is not finite among some elements. */
typedef struct Finding {
    int64_t bad, total, first; /* first: its index among them */
    int64_t pictures;          /* that the elements are of, one after the other; 0: of none */
} Finding;

typedef struct Search {
    Arena *arena;
    const CompiledProgram *compiled;
    const Program *program;
    bool *deciding;    /* by kernel: loss and norm depend on it */
    bool *read;        /* by buffer: likewise on what it holds */
    Finding *findings; /* by kernel, of what it writes */
} Search;

/* ---- Which kernels count --------------------------------------------------------------------- */

static bool outlives(const Program *program, int buffer) {
    Region region = program->buffers.items[buffer].region;
    return region == REGION_PARAMS || region == REGION_STATE;
}

static bool commits(const Program *program, const KernelUse *uses, int count) {
    for (int i = 0; i < count; i++)
        if (uses[i].write && uses[i].buffer >= 0 && outlives(program, uses[i].buffer))
            return true;
    return false;
}

/* Marks loss and norm, or all outputs if there is neither. */
static void mark_outputs(const Program *program, bool *wanted) {
    int loss = kernel_find_buffer(program, REGION_OUTPUTS, "loss");
    int norm = kernel_find_buffer(program, REGION_OUTPUTS, "grad_norm");
    for (size_t i = 0; i < program->buffers.count; i++)
        wanted[i] = loss < 0 && norm < 0 && program->buffers.items[i].region == REGION_OUTPUTS;
    if (loss >= 0)
        wanted[loss] = true;
    if (norm >= 0)
        wanted[norm] = true;
}

static bool writes_wanted(const KernelUse *uses, int count, const bool *wanted) {
    for (int i = 0; i < count; i++)
        if (uses[i].write && uses[i].buffer >= 0 && wanted[uses[i].buffer])
            return true;
    return false;
}

/* Walks back from loss and norm, through kernels that have findings or, without any, through all
 * but those that commit: what is committed depends on loss and norm, not they on it. Marks those
 * kernels and the buffers that they read; returns the first, -1: none. */
static int walk_back(const Search *search, const Finding *findings, bool *kernels, bool *wanted) {
    const Program *program = search->program;
    int first = -1;
    mark_outputs(program, wanted);
    for (size_t k = program->kernels.count; k-- > 0;) {
        KernelUse uses[KERNEL_MAX_USES];
        int count = kernel_uses(program, program->kernels.items[k], uses);
        kernels[k] = (!findings || findings[k].bad > 0) && writes_wanted(uses, count, wanted) &&
                     !commits(program, uses, count);
        if (!kernels[k])
            continue;
        first = (int)k;
        for (int i = 0; i < count; i++)
            if (!uses[i].write && uses[i].buffer >= 0)
                wanted[uses[i].buffer] = true;
    }
    return first;
}

/* ---- Looking at values ----------------------------------------------------------------------- */

static void look(Finding *finding, double value) {
    if (!isfinite(value) && finding->bad++ == 0)
        finding->first = finding->total;
    finding->total++;
}

static Finding look_at(const float *values, size_t count) {
    Finding finding = {0};
    for (size_t i = 0; i < count; i++)
        look(&finding, (double)values[i]);
    return finding;
}

static const void *buffer_bytes(const Search *search, const Buffer *buffer) {
    const char *region = plan_executor_region(search->compiled->executor, (int)buffer->region);
    return region + buffer->offset;
}

/* Of what the host gives, which is fp32. */
static const float *buffer_values(const Search *search, const Buffer *buffer) {
    return buffer_bytes(search, buffer);
}

/* Whole numbers are always finite. */
static bool may_be_bad(const Buffer *buffer) {
    return buffer->dtype == DTYPE_F32 || buffer->dtype == DTYPE_BF16;
}

static bool is_computed(const Search *search, const Footprint *footprint, int64_t row) {
    return !footprint->phase || kernel_row_in_phase(&search->program->geometry,
                                                    footprint->phase_space, footprint->phase, row);
}

/* What a kernel has written, and nothing around it. */
static void look_at_footprint(const Search *search, const Footprint *footprint, Finding *finding) {
    const Buffer *buffer = &search->program->buffers.items[footprint->buffer];
    const void *bytes = buffer_bytes(search, buffer);
    const int64_t *count = footprint->count, *stride = footprint->stride;
    for (int64_t i = 0; i < count[0]; i++)
        for (int64_t row = 0; row < count[1]; row++) {
            if (!is_computed(search, footprint, row))
                continue;
            int64_t at = footprint->base + i * stride[0] + row * stride[1];
            for (int64_t k = 0; k < count[2]; k++)
                for (int64_t n = 0; n < count[3]; n++)
                    look(finding, kernel_interpreter_element(bytes, buffer->dtype,
                                                             at + k * stride[2] + n * stride[3]));
        }
}

/* The first of its results that has something. */
static Finding look_at_kernel(const Search *search, const Kernel *kernel) {
    const Program *program = search->program;
    Footprint footprints[FOOTPRINT_MAX];
    int count = kernel_footprints(program, kernel, footprints);
    Finding finding = {0};
    for (int i = 0; i < count && finding.bad == 0; i++) {
        const Footprint *footprint = &footprints[i];
        if (!footprint->write || !may_be_bad(&program->buffers.items[footprint->buffer]))
            continue;
        bool images = footprint->number >= 0 && kernel->space.kind < SPACE_ONE &&
                      footprint->count[0] == program->geometry.batch;
        finding = (Finding){.pictures = images ? footprint->count[0] : 0};
        look_at_footprint(search, footprint, &finding);
    }
    return finding;
}

/* Runs the kernels that count, and looks at what each of them writes. */
static void run_kernels(Search *search) {
    const Program *program = search->program;
    const Plan *plan = search->compiled->plan;
    int launch = 0;
    for (size_t k = 0; k < program->kernels.count; k++) {
        const Kernel *kernel = program->kernels.items[k];
        for (; launch < plan->launch_count &&
               strcmp(plan->launches[launch].kernel, kernel->name) == 0;
             launch++)
            if (search->deciding[k])
                plan_executor_run_launch(search->compiled->executor, launch);
        if (search->deciding[k])
            search->findings[k] = look_at_kernel(search, kernel);
    }
}

/* ---- Sentences ------------------------------------------------------------------------------- */

/* "3 of 4096 values are not finite, the first at element 17" */
static void append_finding(Text *text, const Finding *finding) {
    if (finding->total == 1) {
        text_append(text, ": its value is not finite");
        return;
    }
    int64_t each = finding->pictures ? finding->total / finding->pictures : finding->total;
    text_append(
        text, ": %" PRId64 " of %" PRId64 " values %s not finite, the first at element %" PRId64,
        finding->bad, finding->total, finding->bad == 1 ? "is" : "are", finding->first % each);
    if (finding->pictures)
        text_append(text, " of picture %" PRId64, finding->first / each);
}

static const char *describe_kernel(const Search *search, int index) {
    const Kernel *kernel = search->program->kernels.items[index];
    Text text = text_create(search->arena);
    text_append_escaped(&text, kernel->name);
    if (kernel->location.file) {
        text_append(&text, " (");
        text_append_escaped(&text, kernel->location.file);
        text_append(&text, ":%" PRIu32 ")", kernel->location.line);
    }
    append_finding(&text, &search->findings[index]);
    return text.data;
}

/* NULL if all is finite. */
static const char *check_values(const Search *search, const char *kind, const char *name,
                                const float *values, size_t count) {
    Finding finding = look_at(values, count);
    if (finding.bad == 0)
        return NULL;
    Text text = text_create(search->arena);
    text_append(&text, "%s ", kind);
    text_append_escaped(&text, name);
    append_finding(&text, &finding);
    return text.data;
}

static const char *check_pictures(const Search *search, const Buffer *buffer) {
    const float *values = buffer_values(search, buffer);
    int64_t batch = search->program->geometry.batch, each = buffer->elements / batch;
    const char *problem = NULL;
    for (int64_t i = 0; i < batch && !problem; i++)
        problem =
            check_values(search, "input", arena_format(search->arena, "image, picture %" PRId64, i),
                         values + i * each, (size_t)each);
    return problem;
}

/* A flat array, by its segments. */
static const char *check_flat(const Search *search, const char *kind, const Buffer *buffer) {
    const Program *program = search->program;
    const char *problem = NULL;
    for (size_t i = 0; i < program->segments.count && !problem; i++) {
        const Segment *segment = &program->segments.items[i];
        problem =
            check_values(search, kind, segment->name,
                         buffer_values(search, buffer) + segment->offset, weights_count(segment));
    }
    return problem;
}

static const char *flat_kind(const Search *search, const StateSlot *slot) {
    Text text = text_create(search->arena);
    text_append(&text, "state ");
    text_append_escaped(&text, slot->name);
    text_append(&text, " of");
    return text.data;
}

static const char *check_state(const Search *search, const Buffer *buffer) {
    const Program *program = search->program;
    for (size_t i = 0; i < program->states.count; i++) {
        const StateSlot *slot = &program->states.items[i];
        if (strcmp(slot->name, buffer->name) == 0 && slot->type.form == FORM_FLAT)
            return check_flat(search, flat_kind(search, slot), buffer);
    }
    return check_values(search, "state", buffer->name, buffer_values(search, buffer),
                        (size_t)buffer->elements);
}

static const char *check_buffer(const Search *search, const Buffer *buffer) {
    if (buffer->region == REGION_PARAMS)
        return check_flat(search, "parameter", buffer);
    if (buffer->region == REGION_STATE)
        return check_state(search, buffer);
    if (strcmp(buffer->name, "image") == 0)
        return check_pictures(search, buffer);
    return check_values(search, "input", buffer->name, buffer_values(search, buffer),
                        (size_t)buffer->elements);
}

/* What the host has given: inputs, then parameters, then states. */
static const char *check_sources(const Search *search) {
    static const Region regions[] = {REGION_INPUTS, REGION_PARAMS, REGION_STATE};
    const Program *program = search->program;
    const char *problem = NULL;
    for (size_t r = 0; r < sizeof regions / sizeof *regions; r++)
        for (size_t i = 0; i < program->buffers.count && !problem; i++) {
            const Buffer *buffer = &program->buffers.items[i];
            if (buffer->region == regions[r] && search->read[i] && buffer->dtype == DTYPE_F32)
                problem = check_buffer(search, buffer);
        }
    return problem;
}

/* Infinities that no result shows (what a select leaves aside, say) are none of our business: of
 * the kernels with findings only those count from which findings lead to loss or norm. */
const char *nonfinite_find(Arena *arena, const CompiledProgram *compiled) {
    const Program *program = compiled->program;
    Arena *own = arena_create();
    Search search = {.arena = arena, .compiled = compiled, .program = program};
    search.deciding = arena_new_array(own, bool, program->kernels.count + 1);
    search.read = arena_new_array(own, bool, program->buffers.count + 1);
    search.findings = arena_new_array(own, Finding, program->kernels.count + 1);
    walk_back(&search, NULL, search.deciding, search.read);
    const char *problem = check_sources(&search);
    if (!problem) {
        run_kernels(&search);
        bool *kernels = arena_new_array(own, bool, program->kernels.count + 1);
        bool *buffers = arena_new_array(own, bool, program->buffers.count + 1);
        int first = walk_back(&search, search.findings, kernels, buffers);
        problem = first < 0 ? NULL : describe_kernel(&search, first);
    }
    arena_destroy(own);
    return problem;
}
