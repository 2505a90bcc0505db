/* Loops that do nothing useful, as fast as the machine can: what kernels are measured against.
 *
 * Arithmetic: as many chains acc = acc * a + b as vector registers hold, each waiting only for
 * itself. Every core can start a few of them per cycle and finishes one some cycles later, so
 * chains beyond their product cost nothing. Or products of tiles that stay where they are.
 *
 * Streams: each of some arrays gets the sum of some others, element by element; where none is
 * written the sum stays in a few accumulators. The memory peak is the stream that reads one array
 * that no cache holds. */
#include "base/integer.h"
#include "codegen/cpu/object.h"
#include "codegen/cpu/tiles.h"

enum {
    SPARE_REGISTERS = 4, /* a, b and what the compiler wants */
    ARITHMETIC_STEPS = 1 << 15,
    TILED_STEPS = 1 << 12,
    ARITHMETIC_CHUNKS = 64,
    MAX_CHAINS = 64,
    MEMORY_CHUNK = 1 << 20, /* bytes */
    MEMORY_CHUNKS = 512,
    STREAM_VECTORS = 8,               /* of each array in a round of the loop */
    STREAM_CHUNK = 1 << 16,           /* bytes of each array */
    STREAM_GAP = 17 * PLAN_ALIGNMENT, /* between arrays: not at the same place of a page */
    STREAM_MEMORY = 1 << 28           /* bytes that streams go through in turn */
};

typedef enum LoopKind { LOOP_ARITHMETIC, LOOP_TILES, LOOP_STREAM } LoopKind;

/* What is emitted once. */
typedef struct MeasuredLoop {
    LoopKind kind;
    int reads, writes; /* arrays of a stream */
} MeasuredLoop;

static int chains_of(const CpuTarget *target) {
    return target->registers - SPARE_REGISTERS;
}

/* Vector `index` of some memory. */
static LLVMValueRef load_lanes(Emitter *e, LLVMValueRef memory, LLVMValueRef index) {
    LLVMValueRef offset = emit_mul(e, index, emit_int(e, e->target->lanes));
    return emit_load_vector(e, e->vector_f32, emit_at(e, e->f32, memory, offset), NULL);
}

/* Their sum goes where somebody could read it, or the compiler would drop the loop. */
static void store_sum(Emitter *e, LLVMValueRef *chains, int count) {
    LLVMValueRef sum = emit_get(e, e->vector_f32, chains[0]);
    for (int i = 1; i < count; i++)
        sum = LLVMBuildFAdd(e->builder, sum, emit_get(e, e->vector_f32, chains[i]), "");
    emit_store_vector(e, sum, e->workspace, NULL);
}

static void emit_arithmetic(Emitter *e) {
    LLVMValueRef memory = emit_slot_pointer(e, 0), chains[MAX_CHAINS] = {0};
    int count = chains_of(e->target);
    LLVMValueRef a = load_lanes(e, memory, emit_int(e, count));
    LLVMValueRef b = load_lanes(e, memory, emit_int(e, count + 1));
    for (int i = 0; i < count; i++)
        chains[i] = emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32));
    for (int i = 0; i < count; i++)
        emit_set(e, chains[i], load_lanes(e, memory, emit_int(e, i)));
    Loop loop = loop_begin(e, emit_int(e, 0), emit_slot(e, 0), emit_int(e, 1));
    for (int i = 0; i < count; i++)
        emit_set(e, chains[i], emit_fma(e, emit_get(e, e->vector_f32, chains[i]), a, b));
    loop_end(e, &loop);
    store_sum(e, chains, count);
}

/* Vector `index` of all arrays that are read, and a constant, so that no loop is a copy that the
 * compiler knows a function for. */
static LLVMValueRef stream_sum(Emitter *e, const MeasuredLoop *loop, LLVMValueRef *arrays,
                               LLVMValueRef index) {
    LLVMValueRef sum = emit_splat(e, emit_float(e, 1));
    for (int i = 0; i < loop->reads; i++)
        sum = LLVMBuildFAdd(e->builder, sum, load_lanes(e, arrays[i], index), "");
    return sum;
}

static void store_lanes(Emitter *e, LLVMValueRef value, LLVMValueRef memory, LLVMValueRef index) {
    LLVMValueRef offset = emit_mul(e, index, emit_int(e, e->target->lanes));
    emit_store_vector(e, value, emit_at(e, e->f32, memory, offset), NULL);
}

/* Slots: a pointer to each array, those that are read first; vectors in each, in a chunk. */
static void emit_stream(Emitter *e, const MeasuredLoop *stream) {
    LLVMValueRef arrays[2 * CPU_STREAM_ARRAYS], chains[STREAM_VECTORS];
    int count = stream->reads + stream->writes;
    for (int i = 0; i < count; i++)
        arrays[i] = emit_slot_pointer(e, i);
    LLVMValueRef size = emit_slot(e, 1), begin = emit_mul(e, e->chunk, size);
    LLVMValueRef end = emit_min(e, emit_add(e, begin, size), emit_slot(e, 0));
    for (int i = 0; i < STREAM_VECTORS; i++)
        chains[i] = emit_variable(e, e->vector_f32, LLVMConstNull(e->vector_f32));
    Loop loop = loop_begin(e, begin, end, emit_int(e, STREAM_VECTORS));
    for (int i = 0; i < STREAM_VECTORS; i++) {
        LLVMValueRef index = emit_add(e, loop.index, emit_int(e, i));
        LLVMValueRef sum = stream_sum(e, stream, arrays, index);
        for (int k = stream->reads; k < count; k++)
            store_lanes(e, sum, arrays[k], index);
        if (stream->writes == 0)
            emit_set(e, chains[i],
                     LLVMBuildFAdd(e->builder, emit_get(e, e->vector_f32, chains[i]), sum, ""));
    }
    loop_end(e, &loop);
    if (stream->writes == 0)
        store_sum(e, chains, STREAM_VECTORS);
}

/* ---- Code ------------------------------------------------------------------------------------ */

static const char *loop_name(Arena *arena, const MeasuredLoop *loop) {
    if (loop->kind == LOOP_STREAM)
        return arena_format(arena, "measured_stream_%d_%d", loop->reads, loop->writes);
    return loop->kind == LOOP_TILES ? "measured_tiles" : "measured_arithmetic";
}

static Object compile_loop(const CpuTarget *target, const MeasuredLoop *loop) {
    Arena *arena = arena_create();
    LLVMTargetMachineRef machine = object_machine(target);
    const char *name = loop_name(arena, loop);
    Emitter *e = emitter_create(arena, target, name);
    emitter_begin(e, name);
    if (loop->kind == LOOP_ARITHMETIC)
        emit_arithmetic(e);
    else if (loop->kind == LOOP_TILES)
        emit_tile_peak(e, emit_slot(e, 0), e->workspace);
    else
        emit_stream(e, loop);
    emitter_end(e);
    Object object = object_compile(e, machine, name, NULL);
    emitter_destroy(e);
    LLVMDisposeTargetMachine(machine);
    arena_destroy(arena);
    return object;
}

static Status link_loop(Arena *arena, const CpuTarget *target, const MeasuredLoop *loop,
                        CpuModule *module, PlanFunction **function) {
    Object object = compile_loop(target, loop);
    Status status = object_link(arena, module, object);
    object_destroy(&object);
    status_return_if_failed(status);
    return object_function(arena, module, loop_name(arena, loop), function);
}

/* ---- Plans ----------------------------------------------------------------------------------- */

static void set_numbers(Arena *arena, PlanLaunch *launch, int64_t first, int64_t second) {
    int64_t *numbers = arena_new_array(arena, int64_t, 2);
    numbers[0] = first;
    numbers[1] = second;
    launch->numbers = numbers;
    launch->number_count = 2;
}

static Plan *plan_of(Arena *arena, int launches, int64_t scratch) {
    Plan *plan = arena_new(arena, Plan);
    plan->region_bytes[PLAN_SCRATCH] = scratch;
    plan->workspace_bytes = TILE_ROWS * TILE_COLUMNS * (int64_t)sizeof(float);
    plan->launch_count = launches;
    plan->launches = arena_new_array(arena, PlanLaunch, (size_t)launches);
    return plan;
}

static PlanPointer *scratch_pointers(Arena *arena, int count, int64_t start, int64_t distance) {
    PlanPointer *pointers = arena_new_array(arena, PlanPointer, (size_t)count);
    for (int i = 0; i < count; i++)
        pointers[i] =
            (PlanPointer){.region = PLAN_SCRATCH, .offset = start + i * distance, .buffer = -1};
    return pointers;
}

static int64_t vectors_in(const CpuTarget *target, int64_t bytes) {
    return bytes / (int64_t)sizeof(float) / target->lanes;
}

static Plan *peak_plan(Arena *arena, const CpuTarget *target, bool tiles) {
    const int64_t memory_bytes = (int64_t)MEMORY_CHUNK * MEMORY_CHUNKS;
    Plan *plan = plan_of(arena, CPU_PEAK_LAUNCHES, memory_bytes);
    const PlanPointer *memory = scratch_pointers(arena, 1, 0, 0);
    PlanLaunch *arithmetic = &plan->launches[CPU_PEAK_ARITHMETIC];
    int64_t steps = tiles ? TILED_STEPS : ARITHMETIC_STEPS;
    int64_t step = tiles ? TILE_PEAK : chains_of(target) * target->lanes;
    *arithmetic = (PlanLaunch){.kernel = "peak_arithmetic",
                               .pointer_count = 1,
                               .pointers = memory,
                               .chunks = ARITHMETIC_CHUNKS,
                               .multiply_adds = ARITHMETIC_CHUNKS * steps * step};
    set_numbers(arena, arithmetic, steps, 0);
    PlanLaunch *stream = &plan->launches[CPU_PEAK_MEMORY];
    *stream = (PlanLaunch){.kernel = "peak_memory",
                           .pointer_count = 1,
                           .pointers = memory,
                           .chunks = MEMORY_CHUNKS,
                           .bytes = memory_bytes};
    set_numbers(arena, stream, vectors_in(target, memory_bytes), vectors_in(target, MEMORY_CHUNK));
    return plan;
}

Status cpu_peak(Arena *arena, const CpuTarget *target, bool tiles, CpuModule **module,
                Plan **plan) {
    const MeasuredLoop loops[] = {
        [CPU_PEAK_ARITHMETIC] = {.kind = tiles ? LOOP_TILES : LOOP_ARITHMETIC},
        [CPU_PEAK_MEMORY] = {LOOP_STREAM, 1, 0}};
    object_start();
    status_return_if_failed(object_module_create(arena, module));
    *plan = peak_plan(arena, target, tiles);
    for (int i = 0; i < CPU_PEAK_LAUNCHES; i++)
        status_return_if_failed(
            link_loop(arena, target, &loops[i], *module, &(*plan)->launches[i].function));
    return STATUS_FINE;
}

/* ---- Streams --------------------------------------------------------------------------------- */

/* Bytes of one array: whole rounds of the loop, one at least. */
static int64_t array_bytes(const CpuTarget *target, const CpuStream *stream) {
    int64_t round = (int64_t)STREAM_VECTORS * target->lanes * (int64_t)sizeof(float);
    int64_t bytes = stream->bytes / (stream->reads + stream->writes);
    return bytes < round ? round : integer_round_up(bytes, round);
}

static int64_t extent_of(const CpuTarget *target, const CpuStream *stream) {
    return (stream->reads + stream->writes) * (array_bytes(target, stream) + STREAM_GAP);
}

/* All of them side by side, if that is not too much; else they share memory in turn. */
static int64_t streams_memory(const CpuTarget *target, const CpuStream *streams, size_t count) {
    int64_t sum = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t extent = extent_of(target, &streams[i]);
        sum += extent;
        largest = extent > largest ? extent : largest;
    }
    int64_t most = largest > STREAM_MEMORY ? largest : STREAM_MEMORY;
    return sum < most ? sum : most;
}

static PlanLaunch stream_launch(Arena *arena, const CpuTarget *target, const CpuStream *stream,
                                int64_t start) {
    int64_t bytes = array_bytes(target, stream);
    int arrays = stream->reads + stream->writes;
    PlanLaunch launch = {.kernel = "stream",
                         .pointer_count = arrays,
                         .pointers = scratch_pointers(arena, arrays, start, bytes + STREAM_GAP),
                         .chunks = integer_divide_up(bytes, STREAM_CHUNK),
                         .bytes = arrays * bytes};
    set_numbers(arena, &launch, vectors_in(target, bytes), vectors_in(target, STREAM_CHUNK));
    return launch;
}

static Plan *streams_plan(Arena *arena, const CpuTarget *target, const CpuStream *streams,
                          size_t count) {
    int64_t memory = streams_memory(target, streams, count), start = 0;
    Plan *plan = plan_of(arena, 2 * (int)count, memory);
    for (size_t i = 0; i < count; i++) {
        int64_t extent = extent_of(target, &streams[i]);
        start = start + extent > memory ? 0 : start;
        plan->launches[2 * i] = stream_launch(arena, target, &streams[i], start);
        plan->launches[2 * i + 1] = plan->launches[2 * i];
        start += extent;
    }
    return plan;
}

Status cpu_streams(Arena *arena, const CpuTarget *target, const CpuStream *streams, size_t count,
                   CpuModule **module, Plan **plan) {
    PlanFunction *functions[CPU_STREAM_ARRAYS + 1][CPU_STREAM_ARRAYS + 1] = {{0}};
    object_start();
    status_return_if_failed(object_module_create(arena, module));
    *plan = streams_plan(arena, target, streams, count);
    for (size_t i = 0; i < count; i++) {
        MeasuredLoop loop = {LOOP_STREAM, streams[i].reads, streams[i].writes};
        PlanFunction **function = &functions[loop.reads][loop.writes];
        if (!*function)
            status_return_if_failed(link_loop(arena, target, &loop, *module, function));
        (*plan)->launches[2 * i].function = (*plan)->launches[2 * i + 1].function = *function;
    }
    return STATUS_FINE;
}
