#include "codegen/cpu/artefact.h"

#include <llvm-c/Analysis.h>
#include <string.h>

#include "base/clock.h"
#include "base/fatal.h"
#include "codegen/cpu/bind.h"

/* Where a pointer of a launch begins: a region, or one of these. */
enum { PLACE_NULL = PLAN_REGIONS, PLACE_CONSTANTS, PLACES };

/* The pointers of `memory`: the regions, then the workspaces. */
enum { MEMORY_WORKSPACE = PLAN_REGIONS, MEMORY_POINTERS };

/* The entries of a launch in its table. */
enum {
    LAUNCH_FUNCTION,
    LAUNCH_POINTERS, /* the first of its pointers, and how many there are */
    LAUNCH_POINTER_COUNT,
    LAUNCH_NUMBERS, /* the first of its numbers */
    LAUNCH_CHUNKS,
    LAUNCH_ENTRIES
};

/* What parallel_for hands on to the function that runs a chunk, on the stack of `run`. */
enum { JOB_FUNCTION, JOB_POINTERS, JOB_NUMBERS, JOB_WORKSPACE, JOB_ENTRIES };

/* The entries of a record of the selftest in its table. */
enum { RECORD_OFFSET, RECORD_ELEMENTS, RECORD_WORDS, RECORD_COUNT, RECORD_ENTRIES };

typedef struct Driver {
    Arena *arena;
    Emitter *e;
    const ArtefactOptions *options;
    const Binding *binding;
    const Plan *plan;
    LLVMValueRef *functions; /* of the codes */
    LLVMTypeRef kernel_type, task_type, run_type;
    LLVMValueRef check, task, run;            /* functions */
    LLVMValueRef launches, pointers, numbers; /* tables */
    LLVMValueRef constants;                   /* inputs that are the same in every run */
    int64_t *constant_offsets;                /* of the options' constants */
} Driver;

typedef VECTOR(LLVMValueRef) Values;

/* ---- Tables ---------------------------------------------------------------------------------- */

static LLVMValueRef add_table(Emitter *e, const char *name, LLVMValueRef contents) {
    LLVMValueRef global = LLVMAddGlobal(e->module, LLVMTypeOf(contents), name);
    LLVMSetInitializer(global, contents);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMInternalLinkage);
    LLVMSetAlignment(global, PLAN_ALIGNMENT);
    return global;
}

static LLVMValueRef add_array(Emitter *e, const char *name, LLVMTypeRef element,
                              const Values *values) {
    return add_table(e, name, LLVMConstArray2(element, values->items, values->count));
}

static LLVMValueRef bytes_of(Emitter *e, const void *bytes, size_t count) {
    return LLVMConstStringInContext2(e->context, bytes, count, 1);
}

/* The inputs that never change, one behind the other, each with what may be read behind it. */
static void add_constants(Driver *d) {
    int64_t end = 0;
    size_t count = d->options->constant_count;
    const PlanBuffer **buffers = arena_new_array(d->arena, const PlanBuffer *, count + 1);
    d->constant_offsets = arena_new_array(d->arena, int64_t, count + 1);
    for (size_t i = 0; i < count; i++) {
        const char *name = d->options->constants[i].buffer;
        buffers[i] = plan_find(d->plan, PLAN_INPUTS, name);
        invariant(buffers[i], "there is no input %s", name);
        d->constant_offsets[i] = end;
        end += plan_round_up(buffers[i]->elements * buffers[i]->element_bytes) + PLAN_ALIGNMENT;
    }
    char *bytes = arena_alloc(d->arena, (size_t)end + 1, 1);
    for (size_t i = 0; i < count; i++)
        memcpy(bytes + d->constant_offsets[i], d->options->constants[i].bytes,
               (size_t)(buffers[i]->elements * buffers[i]->element_bytes));
    d->constants = add_table(d->e, "constants", bytes_of(d->e, bytes, (size_t)end));
}

/* The constant that a buffer of the program is, or -1. */
static int find_constant(const Driver *d, int buffer) {
    if (buffer < 0 || d->binding->program->buffers.items[buffer].region != REGION_INPUTS)
        return -1;
    for (size_t i = 0; i < d->options->constant_count; i++)
        if (strcmp(d->options->constants[i].buffer,
                   d->binding->program->buffers.items[buffer].name) == 0)
            return (int)i;
    return -1;
}

static void push_pointer(Driver *d, Values *entries, const PlanPointer *pointer) {
    int64_t place = pointer->region, offset = pointer->offset;
    int constant = find_constant(d, pointer->buffer);
    if (constant >= 0) {
        place = PLACE_CONSTANTS;
        offset += d->constant_offsets[constant] -
                  d->binding->program->buffers.items[pointer->buffer].offset;
    } else if (place < 0) {
        place = PLACE_NULL;
        offset = 0;
    }
    vector_push(d->arena, entries, emit_int(d->e, place));
    vector_push(d->arena, entries, emit_int(d->e, offset));
}

static LLVMValueRef launch_entry(Driver *d, size_t index, size_t first_pointer,
                                 size_t first_number) {
    const PlanLaunch *launch = &d->plan->launches[index];
    const Code *code = d->binding->launch_codes.items[index];
    size_t number = 0;
    while (d->binding->codes.items[number] != code)
        number++;
    LLVMValueRef entries[LAUNCH_ENTRIES] = {
        [LAUNCH_FUNCTION] = d->functions[number],
        [LAUNCH_POINTERS] = emit_int(d->e, (int64_t)first_pointer),
        [LAUNCH_POINTER_COUNT] = emit_int(d->e, launch->pointer_count),
        [LAUNCH_NUMBERS] = emit_int(d->e, (int64_t)first_number),
        [LAUNCH_CHUNKS] = emit_int(d->e, launch->chunks)};
    return LLVMConstStructInContext(d->e->context, entries, LAUNCH_ENTRIES, 0);
}

static void add_launch_tables(Driver *d) {
    Values launches = {0}, pointers = {0}, numbers = {0};
    Emitter *e = d->e;
    for (int i = 0; i < d->plan->launch_count; i++) {
        const PlanLaunch *launch = &d->plan->launches[i];
        vector_push(d->arena, &launches,
                    launch_entry(d, (size_t)i, pointers.count / 2, numbers.count));
        for (int k = 0; k < launch->pointer_count; k++)
            push_pointer(d, &pointers, &launch->pointers[k]);
        for (int k = 0; k < launch->number_count; k++)
            vector_push(d->arena, &numbers, emit_int(e, launch->numbers[k]));
    }
    LLVMTypeRef types[LAUNCH_ENTRIES] = {e->pointer, e->i64, e->i64, e->i64, e->i64};
    LLVMTypeRef entry = LLVMStructTypeInContext(e->context, types, LAUNCH_ENTRIES, 0);
    d->launches = add_array(e, "launches", entry, &launches);
    d->pointers = add_array(e, "pointers", e->i64, &pointers);
    d->numbers = add_array(e, "numbers", e->i64, &numbers);
}

/* Entry `entry` of row `row` of a table of i64's, `entries` a row. */
static LLVMValueRef load_entry(Emitter *e, LLVMTypeRef type, LLVMValueRef table, LLVMValueRef row,
                               int entries, int entry) {
    LLVMValueRef place = emit_add(e, emit_mul(e, row, emit_int(e, entries)), emit_int(e, entry));
    return emit_load(e, type, emit_at(e, e->i64, table, place), 8);
}

/* ---- Running --------------------------------------------------------------------------------- */

static void begin_local(Driver *d, const char *name, LLVMTypeRef type, LLVMValueRef *function) {
    emitter_begin_function(d->e, name, type, false);
    LLVMSetLinkage(d->e->function, LLVMInternalLinkage);
    *function = d->e->function;
}

static void begin_global(Driver *d, const char *what, LLVMTypeRef type, bool everywhere) {
    emitter_begin_function(d->e, arena_format(d->arena, "%s_%s", d->options->prefix, what), type,
                           everywhere);
}

static LLVMValueRef load_memory(Emitter *e, LLVMValueRef memory, int pointer) {
    return emit_load(e, e->pointer, emit_at(e, e->pointer, memory, emit_int(e, pointer)), 8);
}

static bool is_needed(const Plan *plan, int pointer) {
    return pointer == MEMORY_WORKSPACE || plan->region_bytes[pointer] > 0;
}

/* check(memory): 1 if all that the program needs is there and aligned. */
static void emit_check(Driver *d) {
    Emitter *e = d->e;
    LLVMTypeRef type = LLVMFunctionType(e->i1, &e->pointer, 1, 0);
    begin_local(d, "check_memory", type, &d->check);
    LLVMValueRef memory = LLVMGetParam(e->function, 0), fine = LLVMConstInt(e->i1, 1, 0);
    for (int i = 0; i < MEMORY_POINTERS; i++) {
        if (!is_needed(d->plan, i))
            continue;
        LLVMValueRef address = LLVMBuildPtrToInt(e->builder, load_memory(e, memory, i), e->i64, "");
        LLVMValueRef low = emit_rem(e, address, emit_int(e, PLAN_ALIGNMENT));
        LLVMValueRef there = LLVMBuildICmp(e->builder, LLVMIntNE, address, emit_int(e, 0), "");
        LLVMValueRef aligned = LLVMBuildICmp(e->builder, LLVMIntEQ, low, emit_int(e, 0), "");
        fine = LLVMBuildAnd(e->builder, fine, LLVMBuildAnd(e->builder, there, aligned, ""), "");
    }
    LLVMBuildRet(e->builder, fine);
}

static LLVMValueRef job_field(Emitter *e, LLVMValueRef job, int field) {
    return emit_at(e, e->pointer, job, emit_int(e, field));
}

static LLVMValueRef load_job(Emitter *e, LLVMValueRef job, int field) {
    return emit_load(e, e->pointer, job_field(e, job, field), 8);
}

/* The task that parallel_for calls: one chunk in the workspace of a thread. */
static void emit_task(Driver *d) {
    Emitter *e = d->e;
    begin_local(d, "run_chunk", d->task_type, &d->task);
    LLVMValueRef job = LLVMGetParam(e->function, 0), chunk = LLVMGetParam(e->function, 1);
    LLVMValueRef thread = LLVMBuildSExt(e->builder, LLVMGetParam(e->function, 2), e->i64, "");
    LLVMValueRef skipped = emit_mul(e, thread, emit_int(e, d->plan->workspace_bytes));
    LLVMValueRef arguments[] = {load_job(e, job, JOB_POINTERS), load_job(e, job, JOB_NUMBERS),
                                chunk, emit_at(e, e->i8, load_job(e, job, JOB_WORKSPACE), skipped)};
    LLVMBuildCall2(e->builder, d->kernel_type, load_job(e, job, JOB_FUNCTION), arguments, 4, "");
    LLVMBuildRetVoid(e->builder);
}

/* The places that pointers begin at, as an array. */
static LLVMValueRef emit_places(Driver *d, LLVMValueRef memory) {
    Emitter *e = d->e;
    LLVMValueRef places = emit_array(e, e->pointer, PLACES);
    for (int i = 0; i < PLACES; i++) {
        LLVMValueRef start = i == PLACE_NULL        ? LLVMConstNull(e->pointer)
                             : i == PLACE_CONSTANTS ? d->constants
                                                    : load_memory(e, memory, i);
        emit_store(e, start, emit_at(e, e->pointer, places, emit_int(e, i)), 8);
    }
    return places;
}

static int most_pointers(const Plan *plan) {
    int most = 1;
    for (int i = 0; i < plan->launch_count; i++)
        if (plan->launches[i].pointer_count > most)
            most = plan->launches[i].pointer_count;
    return most;
}

/* Writes the pointers of a launch. */
static void emit_pointers(Driver *d, LLVMValueRef places, LLVMValueRef launch,
                          LLVMValueRef pointers) {
    Emitter *e = d->e;
    LLVMValueRef first =
        load_entry(e, e->i64, d->launches, launch, LAUNCH_ENTRIES, LAUNCH_POINTERS);
    LLVMValueRef count =
        load_entry(e, e->i64, d->launches, launch, LAUNCH_ENTRIES, LAUNCH_POINTER_COUNT);
    Loop loop = loop_begin(e, emit_int(e, 0), count, emit_int(e, 1));
    LLVMValueRef row = emit_add(e, first, loop.index);
    LLVMValueRef place = load_entry(e, e->i64, d->pointers, row, 2, 0);
    LLVMValueRef offset = load_entry(e, e->i64, d->pointers, row, 2, 1);
    LLVMValueRef start = emit_load(e, e->pointer, emit_at(e, e->pointer, places, place), 8);
    emit_store(e, emit_at(e, e->i8, start, offset), emit_at(e, e->pointer, pointers, loop.index),
               8);
    loop_end(e, &loop);
}

/* Runs the chunks of a job: by the caller's parallel_for if there is one and something to share. */
static void emit_chunks(Driver *d, LLVMValueRef parallel, LLVMValueRef job, LLVMValueRef chunks) {
    Emitter *e = d->e;
    LLVMTypeRef types[] = {e->pointer, e->pointer, e->pointer, e->i64};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->context), types, 4, 0);
    LLVMValueRef given =
        LLVMBuildICmp(e->builder, LLVMIntNE, parallel, LLVMConstNull(e->pointer), "");
    LLVMValueRef several = emit_less(e, emit_int(e, 1), chunks);
    Branch branch = branch_begin(e, LLVMBuildAnd(e->builder, given, several, ""));
    LLVMValueRef arguments[] = {load_job(e, parallel, 1), d->task, job, chunks};
    LLVMBuildCall2(e->builder, type, load_job(e, parallel, 0), arguments, 4, "");
    branch_else(e, &branch);
    Loop loop = loop_begin(e, emit_int(e, 0), chunks, emit_int(e, 1));
    LLVMValueRef one[] = {job, loop.index, emit_int32(e, 0)};
    LLVMBuildCall2(e->builder, d->task_type, d->task, one, 3, "");
    loop_end(e, &loop);
    branch_end(e, &branch);
}

static void emit_launches(Driver *d, LLVMValueRef memory, LLVMValueRef parallel) {
    Emitter *e = d->e;
    LLVMValueRef places = emit_places(d, memory);
    LLVMValueRef pointers = emit_array(e, e->pointer, most_pointers(d->plan));
    LLVMValueRef job = emit_array(e, e->pointer, JOB_ENTRIES);
    emit_store(e, pointers, job_field(e, job, JOB_POINTERS), 8);
    emit_store(e, load_memory(e, memory, MEMORY_WORKSPACE), job_field(e, job, JOB_WORKSPACE), 8);
    Loop loop = loop_begin(e, emit_int(e, 0), emit_int(e, d->plan->launch_count), emit_int(e, 1));
    LLVMValueRef launch = loop.index;
    emit_pointers(d, places, launch, pointers);
    emit_store(e, load_entry(e, e->pointer, d->launches, launch, LAUNCH_ENTRIES, LAUNCH_FUNCTION),
               job_field(e, job, JOB_FUNCTION), 8);
    LLVMValueRef first = load_entry(e, e->i64, d->launches, launch, LAUNCH_ENTRIES, LAUNCH_NUMBERS);
    emit_store(e, emit_at(e, e->i64, d->numbers, first), job_field(e, job, JOB_NUMBERS), 8);
    emit_chunks(d, parallel, job,
                load_entry(e, e->i64, d->launches, launch, LAUNCH_ENTRIES, LAUNCH_CHUNKS));
    loop_end(e, &loop);
}

static void emit_run(Driver *d) {
    Emitter *e = d->e;
    begin_global(d, "run", d->run_type, false);
    d->run = e->function;
    LLVMValueRef memory = LLVMGetParam(e->function, 0), parallel = LLVMGetParam(e->function, 1);
    LLVMTypeRef check_type = LLVMFunctionType(e->i1, &e->pointer, 1, 0);
    LLVMValueRef status = emit_variable(e, e->i32, emit_int32(e, ARTEFACT_BAD_MEMORY));
    Branch branch =
        branch_begin(e, LLVMBuildCall2(e->builder, check_type, d->check, &memory, 1, ""));
    emit_launches(d, memory, parallel);
    emit_set(e, status, emit_int32(e, ARTEFACT_FINE));
    branch_end(e, &branch);
    LLVMBuildRet(e->builder, emit_get(e, e->i32, status));
}

/* ---- The selftest ---------------------------------------------------------------------------- */

static void emit_fill(Driver *d, LLVMValueRef memory) {
    Values records = {0}, words = {0};
    Emitter *e = d->e;
    for (size_t i = 0; i < d->options->record_count; i++) {
        const ArtefactRecord *record = &d->options->records[i];
        int64_t entries[RECORD_ENTRIES] = {record->offset, record->elements, (int64_t)words.count,
                                           record->count};
        for (int k = 0; k < RECORD_ENTRIES; k++)
            vector_push(d->arena, &records, emit_int(e, entries[k]));
        for (int64_t k = 0; k < record->count; k++)
            vector_push(d->arena, &words, emit_int32(e, (int32_t)record->words[k]));
    }
    LLVMValueRef table = add_array(e, "selftest_inputs", e->i64, &records);
    LLVMValueRef word_table = add_array(e, "selftest_words", e->i32, &words);
    LLVMValueRef inputs = load_memory(e, memory, PLAN_INPUTS);
    Loop loop = loop_begin(e, emit_int(e, 0), emit_int(e, (int64_t)d->options->record_count),
                           emit_int(e, 1));
    LLVMValueRef entries[RECORD_ENTRIES];
    for (int k = 0; k < RECORD_ENTRIES; k++)
        entries[k] = load_entry(e, e->i64, table, loop.index, RECORD_ENTRIES, k);
    LLVMValueRef buffer = emit_at(e, e->i8, inputs, entries[RECORD_OFFSET]);
    Loop elements = loop_begin(e, emit_int(e, 0), entries[RECORD_ELEMENTS], emit_int(e, 1));
    LLVMValueRef word =
        emit_add(e, entries[RECORD_WORDS], emit_rem(e, elements.index, entries[RECORD_COUNT]));
    emit_store(e, emit_load(e, e->i32, emit_at(e, e->i32, word_table, word), 4),
               emit_at(e, e->i32, buffer, elements.index), 4);
    loop_end(e, &elements);
    loop_end(e, &loop);
}

/* An i1: whether an output is what was recorded. */
static LLVMValueRef emit_same(Emitter *e, LLVMValueRef actual, LLVMValueRef expected,
                              LLVMValueRef limit) {
    LLVMValueRef difference = LLVMBuildFSub(e->builder, actual, expected, "");
    LLVMValueRef error = emit_intrinsic(e, "llvm.fabs", &e->f32, 1, &difference, 1);
    LLVMValueRef near = LLVMBuildFCmp(e->builder, LLVMRealOLE, error, limit, "");
    LLVMValueRef a = LLVMBuildBitCast(e->builder, actual, e->i32, "");
    LLVMValueRef b = LLVMBuildBitCast(e->builder, expected, e->i32, "");
    LLVMValueRef exact =
        LLVMBuildICmp(e->builder, LLVMIntEQ, LLVMBuildBitCast(e->builder, limit, e->i32, ""),
                      emit_int32(e, 0), "");
    LLVMValueRef equal = LLVMBuildICmp(e->builder, LLVMIntEQ, a, b, "");
    return LLVMBuildSelect(e->builder, exact, equal, near, "");
}

/* Sets `status` if a result is wrong. */
static void emit_compare(Driver *d, LLVMValueRef memory, LLVMValueRef status) {
    Values places = {0}, values = {0}, limits = {0};
    Emitter *e = d->e;
    for (size_t i = 0; i < d->options->sample_count; i++) {
        const ArtefactSample *sample = &d->options->samples[i];
        vector_push(d->arena, &places, emit_int(e, sample->region));
        vector_push(d->arena, &places, emit_int(e, sample->offset));
        vector_push(d->arena, &values, emit_float(e, sample->value));
        vector_push(d->arena, &limits, emit_float(e, sample->limit));
    }
    LLVMValueRef place_table = add_array(e, "selftest_places", e->i64, &places);
    LLVMValueRef value_table = add_array(e, "selftest_values", e->f32, &values);
    LLVMValueRef limit_table = add_array(e, "selftest_limits", e->f32, &limits);
    Loop loop = loop_begin(e, emit_int(e, 0), emit_int(e, (int64_t)values.count), emit_int(e, 1));
    LLVMValueRef pointer = load_entry(e, e->i64, place_table, loop.index, 2, 0);
    LLVMValueRef region = emit_load(e, e->pointer, emit_at(e, e->pointer, memory, pointer), 8);
    LLVMValueRef offset = load_entry(e, e->i64, place_table, loop.index, 2, 1);
    LLVMValueRef actual = emit_load(e, e->f32, emit_at(e, e->i8, region, offset), 4);
    LLVMValueRef same =
        emit_same(e, actual, emit_load(e, e->f32, emit_at(e, e->f32, value_table, loop.index), 4),
                  emit_load(e, e->f32, emit_at(e, e->f32, limit_table, loop.index), 4));
    LLVMValueRef next = LLVMBuildSelect(e->builder, same, emit_get(e, e->i32, status),
                                        emit_int32(e, ARTEFACT_WRONG_RESULT), "");
    emit_set(e, status, next);
    loop_end(e, &loop);
}

static void emit_selftest(Driver *d) {
    Emitter *e = d->e;
    begin_global(d, "selftest", d->run_type, false);
    LLVMValueRef memory = LLVMGetParam(e->function, 0);
    LLVMTypeRef check_type = LLVMFunctionType(e->i1, &e->pointer, 1, 0);
    LLVMValueRef status = emit_variable(e, e->i32, emit_int32(e, ARTEFACT_BAD_MEMORY));
    Branch branch =
        branch_begin(e, LLVMBuildCall2(e->builder, check_type, d->check, &memory, 1, ""));
    emit_fill(d, memory);
    LLVMValueRef arguments[] = {memory, LLVMGetParam(e->function, 1)};
    emit_set(e, status, LLVMBuildCall2(e->builder, d->run_type, d->run, arguments, 2, ""));
    emit_compare(d, memory, status);
    branch_end(e, &branch);
    LLVMBuildRet(e->builder, emit_get(e, e->i32, status));
}

/* ---- All ------------------------------------------------------------------------------------- */

static void emit_codes(Driver *d) {
    const Binding *binding = d->binding;
    d->functions = arena_new_array(d->arena, LLVMValueRef, binding->codes.count + 1);
    for (size_t i = 0; i < binding->codes.count; i++) {
        bind_emit(binding, binding->codes.items[i], d->e);
        LLVMSetLinkage(d->e->function, LLVMInternalLinkage);
        d->functions[i] = d->e->function;
    }
}

static void set_types(Driver *d) {
    Emitter *e = d->e;
    LLVMTypeRef nothing = LLVMVoidTypeInContext(e->context);
    LLVMTypeRef kernel[] = {e->pointer, e->pointer, e->i64, e->pointer};
    LLVMTypeRef task[] = {e->pointer, e->i64, e->i32}, run[] = {e->pointer, e->pointer};
    d->kernel_type = LLVMFunctionType(nothing, kernel, 4, 0);
    d->task_type = LLVMFunctionType(nothing, task, 3, 0);
    d->run_type = LLVMFunctionType(e->i32, run, 2, 0);
}

static void add_public(Driver *d, const char *what, const void *bytes, size_t count) {
    const char *name = arena_format(d->arena, "%s_%s", d->options->prefix, what);
    LLVMSetLinkage(add_table(d->e, name, bytes_of(d->e, bytes, count)), LLVMExternalLinkage);
}

static void add_weights(Driver *d) {
    add_public(d, "identity", d->options->identity, d->options->identity_bytes);
    if (d->options->weights)
        add_public(d, "weights", d->options->weights, d->options->weight_bytes);
}

/* Sizes that a caller can put one behind the other. */
static Plan *plan_to_ship(const Binding *binding) {
    Plan *plan = bind_plan(binding);
    for (int r = 0; r < PLAN_REGIONS; r++)
        plan->region_bytes[r] = plan_round_up(plan->region_bytes[r]);
    plan->workspace_bytes = plan_round_up(plan->workspace_bytes + PLAN_ALIGNMENT);
    return plan;
}

static void emit_all(Driver *d) {
    char *error = NULL;
    set_types(d);
    emit_codes(d);
    add_constants(d);
    add_launch_tables(d);
    emit_check(d);
    emit_task(d);
    emit_run(d);
    emit_selftest(d);
    emit_supported(d->e, arena_format(d->arena, "%s_supported", d->options->prefix));
    add_weights(d);
    if (LLVMVerifyModule(d->e->module, LLVMReturnStatusAction, &error))
        invariant(false, "the object's module: %s", error);
    LLVMDisposeMessage(error);
}

void cpu_artefact(Arena *arena, const Program *program, const ArtefactOptions *options,
                  Artefact *artefact) {
    double start = clock_seconds();
    object_start();
    Binding binding = bind_program(arena, program, options->target, NULL, "");
    Arena *scratch = arena_create();
    Plan *plan = plan_to_ship(&binding);
    Driver driver = {.arena = scratch,
                     .e = emitter_create(scratch, options->target, options->prefix),
                     .options = options,
                     .binding = &binding,
                     .plan = plan};
    LLVMTargetMachineRef machine = object_machine(options->target);
    emit_all(&driver);
    *artefact = (Artefact){.object = object_write(driver.e, machine, options->form),
                           .plan = plan,
                           .codes = (int)binding.codes.count};
    LLVMDisposeTargetMachine(machine);
    emitter_destroy(driver.e);
    arena_destroy(scratch);
    artefact->seconds = clock_seconds() - start;
}
