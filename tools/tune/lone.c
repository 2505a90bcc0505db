#include "tools/tune/lone.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/integer.h"
#include "base/random.h"
#include "ir/kernel_lives.h"
#include "passes/plan_memory.h"
#include "runtime/train/mask.h"

/* One compilation. */
typedef struct Variant {
    CpuModule *module;
    Plan *plan;
    PlanExecutor *executor;
    char *shared;        /* what the stages of the contraction share */
    int first, launches; /* of the contraction; before them the position maps */
} Variant;

struct Lone {
    Arena *arena;
    const LoneHost *host;
    Program *program; /* position maps and the contraction */
    const Kernel *kernel;
    char *scratch;
    VECTOR(Variant *) variants;
};

/* ---- Numbers --------------------------------------------------------------------------------- */

enum { PATTERN = 1 << 15 };

/* Even in [-1, 1): `count` elements, a pattern that repeats. */
static void fill_numbers(DType dtype, char *target, int64_t count) {
    size_t size = dtype_size(dtype);
    int64_t some = count < PATTERN ? count : PATTERN;
    for (int64_t i = 0; i < some; i++) {
        float value = ldexpf((float)(int32_t)random_word(1, 2, 3, (uint64_t)i), -31);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        uint16_t upper = (uint16_t)(bits >> 16);
        memcpy(target + (size_t)i * size, dtype == DTYPE_BF16 ? (void *)&upper : (void *)&value,
               size);
    }
    for (int64_t done = some; done < count; done += some) {
        int64_t rest = count - done < some ? count - done : some;
        memcpy(target + (size_t)done * size, target, (size_t)rest * size);
    }
}

static void fill_buffer(const Buffer *buffer, char *region) {
    if (buffer->dtype == DTYPE_F32 || buffer->dtype == DTYPE_BF16)
        fill_numbers(buffer->dtype, region + buffer->offset, buffer->elements);
}

enum { LARGE_PAGE = 2 << 20 };

/* Zeroed memory; much of it in large pages where the system has them, as a plan's regions are. */
static char *allocate(int64_t bytes) {
    int64_t unit = bytes >= LARGE_PAGE ? LARGE_PAGE : PLAN_ALIGNMENT;
    size_t size = (size_t)integer_round_up(bytes + PLAN_ALIGNMENT, unit);
    char *memory = aligned_alloc((size_t)unit, size);
    if (!memory)
        return NULL;
    if (unit == LARGE_PAGE)
        madvise(memory, size, MADV_HUGEPAGE);
    return memset(memory, 0, size);
}

static Status out_of_memory(Arena *arena) {
    return status_failure(arena, "there is not enough memory for the contractions of this program; "
                                 "tune it with a smaller --batch");
}

static void draw_cells(const LoneHost *host) {
    const Program *program = host->program;
    const Geometry *geometry = &program->geometry;
    if (program->cells < 0)
        return;
    const Buffer *buffer = &program->buffers.items[program->cells];
    int64_t cells = 1;
    for (int d = 0; d < geometry->space; d++)
        cells *= geometry->image[d] / geometry->ratio;
    mask_draw(1, 0, geometry->batch, cells, geometry->keep,
              (int32_t *)(void *)(host->regions[PLAN_INPUTS] + buffer->offset));
}

Status lone_host_fill(Arena *arena, LoneHost *host) {
    for (int r = 0; r < PLAN_SCRATCH; r++) {
        host->regions[r] = allocate(kernel_region_bytes(host->program, (Region)r));
        if (!host->regions[r])
            return out_of_memory(arena);
    }
    for (size_t i = 0; i < host->program->buffers.count; i++) {
        const Buffer *buffer = &host->program->buffers.items[i];
        if (buffer->region == REGION_PARAMS || buffer->region == REGION_INPUTS)
            fill_buffer(buffer, host->regions[buffer->region]);
    }
    draw_cells(host);
    return STATUS_FINE;
}

void lone_host_free(LoneHost *host) {
    for (int r = 0; r < PLAN_SCRATCH; r++)
        free(host->regions[r]);
}

/* ---- The program ----------------------------------------------------------------------------- */

/* Scratch that nobody touches takes no room. */
static void drop_untouched(Arena *arena, Program *program) {
    BufferLives lives = kernel_lives(program, arena);
    bool *touched = arena_new_array(arena, bool, program->buffers.count + 1);
    for (size_t i = 0; i < lives.count; i++)
        touched[lives.items[i].buffer] = true;
    for (size_t i = 0; i < program->buffers.count; i++) {
        Buffer *buffer = &program->buffers.items[i];
        if (buffer->region != REGION_SCRATCH || touched[i])
            continue;
        buffer->elements = 0;
        buffer->offset = 0;
    }
}

static Status make_program(Lone *lone) {
    const Program *all = lone->host->program;
    Arena *arena = lone->arena;
    MemoryPlan memory;
    Program *program = arena_new(arena, Program);
    *program = *all;
    memset(&program->buffers, 0, sizeof program->buffers);
    memset(&program->kernels, 0, sizeof program->kernels);
    for (size_t i = 0; i < all->buffers.count; i++)
        vector_push(arena, &program->buffers, all->buffers.items[i]);
    for (size_t i = 0; i < all->kernels.count; i++) {
        Kernel *kernel = all->kernels.items[i];
        if (kernel->kind == KERNEL_POSITION_MAP || kernel == lone->kernel)
            vector_push(arena, &program->kernels, kernel);
    }
    drop_untouched(arena, program);
    if (!plan_memory(program, false, &memory))
        return out_of_memory(arena);
    lone->program = program;
    lone->scratch = allocate(kernel_region_bytes(program, REGION_SCRATCH));
    if (!lone->scratch)
        return out_of_memory(arena);
    for (size_t i = 0; i < program->buffers.count; i++)
        if (program->buffers.items[i].region == REGION_SCRATCH)
            fill_buffer(&program->buffers.items[i], lone->scratch);
    return STATUS_FINE;
}

Status lone_create(Arena *arena, const LoneHost *host, const Kernel *kernel, Lone **out) {
    Lone *lone = arena_new(arena, Lone);
    lone->arena = arena;
    lone->host = host;
    lone->kernel = kernel;
    *out = lone;
    return make_program(lone);
}

static void destroy_variant(Variant *variant) {
    plan_executor_destroy(variant->executor);
    cpu_module_destroy(variant->module);
    free(variant->shared);
}

void lone_destroy(Lone *lone) {
    for (size_t i = 0; i < lone->variants.count; i++)
        destroy_variant(lone->variants.items[i]);
    free(lone->scratch);
}

/* ---- Variants -------------------------------------------------------------------------------- */

typedef struct Addresses {
    const Lone *lone;
    const Variant *variant;
} Addresses;

static void *address_of(const void *context, const PlanPointer *pointer) {
    const Addresses *addresses = context;
    if (pointer->region != PLAN_SCRATCH)
        return addresses->lone->host->regions[pointer->region] + pointer->offset;
    if (pointer->buffer >= 0)
        return addresses->lone->scratch + pointer->offset;
    return addresses->variant->shared + (pointer->offset - pointer->shared);
}

static void find_launches(const Lone *lone, Variant *variant) {
    const Plan *plan = variant->plan;
    for (int i = plan->launch_count - 1; i >= 0; i--)
        if (strcmp(plan->launches[i].kernel, lone->kernel->name) == 0) {
            variant->first = i;
            variant->launches++;
        }
}

/* Equal numbers and workspace are equal cuts: the code differs in what does not matter then. */
static bool same_work(const Variant *a, const Variant *b) {
    if (a->plan->workspace_bytes != b->plan->workspace_bytes || a->launches != b->launches)
        return false;
    for (int i = 0; i < a->launches; i++) {
        const PlanLaunch *x = &a->plan->launches[a->first + i];
        const PlanLaunch *y = &b->plan->launches[b->first + i];
        if (x->chunks != y->chunks || x->number_count != y->number_count ||
            memcmp(x->numbers, y->numbers, (size_t)x->number_count * sizeof *x->numbers) != 0)
            return false;
    }
    return true;
}

static Status compile(Lone *lone, const Choices *choices, Variant *variant) {
    const LoneHost *host = lone->host;
    CpuTuning tuning = {.arena = lone->arena};
    CpuStatistics statistics;
    tuning_set(&tuning, tuning_key(lone->arena, lone->program, lone->kernel, host->target),
               choices);
    CpuOptions options = {.target = host->target,
                          .threads = host->compile_threads,
                          .cache = host->cache,
                          .tuning = &tuning};
    return cpu_compile(lone->arena, lone->program, &options, &variant->module, &variant->plan,
                       &statistics);
}

static Status prepare(Lone *lone, Variant *variant) {
    Addresses addresses = {lone, variant};
    variant->shared = allocate(variant->plan->shared_bytes);
    if (!variant->shared)
        return out_of_memory(lone->arena);
    status_return_if_failed(plan_executor_create_over(lone->arena, variant->plan,
                                                      lone->host->threads, address_of, &addresses,
                                                      &variant->executor));
    plan_executor_run(variant->executor);
    return STATUS_FINE;
}

Status lone_add(Lone *lone, const Choices *choices, int *number) {
    Variant *variant = arena_new(lone->arena, Variant);
    status_return_if_failed(compile(lone, choices, variant));
    find_launches(lone, variant);
    for (size_t i = 0; i < lone->variants.count; i++)
        if (same_work(lone->variants.items[i], variant)) {
            destroy_variant(variant);
            *number = (int)i;
            return STATUS_FINE;
        }
    *number = (int)lone->variants.count;
    vector_push(lone->arena, &lone->variants, variant);
    return prepare(lone, variant);
}

double lone_seconds(Lone *lone, int number, int runs) {
    const Variant *variant = lone->variants.items[number];
    double least = INFINITY;
    for (int r = 0; r < runs; r++) {
        double start = clock_seconds();
        for (int i = 0; i < variant->launches; i++)
            plan_executor_run_launch(variant->executor, variant->first + i);
        least = fmin(least, clock_seconds() - start);
    }
    return least;
}
