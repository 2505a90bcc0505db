#include "tools/ship/ship.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "passes/network.h"
#include "runtime/file.h"

extern char **environ;

/* ---- Names ----------------------------------------------------------------------------------- */

/* A row per ShipEmit. */
static const struct {
    ObjectForm form;
    const char *suffix;
} emits[] = {
    [SHIP_OBJECT] = {OBJECT_CODE, ".o"},  [SHIP_ASSEMBLY] = {OBJECT_ASSEMBLY, ".s"},
    [SHIP_LLVM] = {OBJECT_LLVM, ".ll"},   [SHIP_BITCODE] = {OBJECT_BITCODE, ".bc"},
    [SHIP_SHARED] = {OBJECT_CODE, ".so"},
};

static void name_files(Shipment *shipment) {
    Arena *arena = shipment->arena;
    const char *output = shipment->settings->output;
    size_t length = strlen(output);
    for (size_t i = 0; i < sizeof emits / sizeof *emits; i++)
        if (text_ends_with(output, emits[i].suffix)) {
            length -= strlen(emits[i].suffix);
            break;
        }
    shipment->base = arena_copy_text(arena, output, length);
    const char *slash = strrchr(shipment->base, '/');
    shipment->prefix = shipment->settings->prefix;
    if (!shipment->prefix)
        shipment->prefix = text_c_identifier(arena, slash ? slash + 1 : shipment->base);
}

bool ship_trains(const Shipment *shipment) {
    return shipment->settings->pass.entry == ENTRY_TRAIN_STEP;
}

bool ship_is_constant(const char *input) {
    return text_starts_with(input, "segments.");
}

/* ---- The target ------------------------------------------------------------------------------ */

/* The processors and systems that objects are made for: 64 bits, low byte first, ELF. */
static bool is_known(const char *triple) {
    static const char *const processors[] = {"x86_64-", "aarch64-", "riscv64-"};
    static const char *const systems[] = {"linux", "none", "elf", "bsd"};
    bool processor = false, system = false;
    for (size_t i = 0; i < sizeof processors / sizeof *processors; i++)
        processor = processor || text_starts_with(triple, processors[i]);
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++)
        system = system || strstr(triple, systems[i]) != NULL;
    bool narrow = strstr(triple, "x32") || strstr(triple, "ilp32"); /* pointers of 32 bits */
    return processor && system && !narrow;
}

/* The best level without tiles: a process has to ask its system for them, and nobody would. One
 * with products of bf16 only if they are wanted. */
static const char *level_of(const CpuTarget *host, Precision precision) {
    bool products = host->tiles == CPU_TILES_PAIRS && precision == PRECISION_BF16;
    return products || host->tiles == CPU_TILES_NONE ? host->cpu : "x86-64-v4";
}

/* An object names a level of processors, never all that this one happens to have. */
static Status choose_target(Shipment *shipment) {
    const ShipSettings *settings = shipment->settings;
    Arena *arena = shipment->arena;
    CpuTarget host;
    if (settings->triple && !is_known(settings->triple))
        return status_failure(arena,
                              "objects are not made for %s; they are for x86_64, aarch64 and "
                              "riscv64 and systems with ELF files, x86_64-linux-gnu for example",
                              settings->triple);
    status_return_if_failed(cpu_target(arena, NULL, NULL, false, &host));
    const char *cpu = settings->run.cpu;
    if (!cpu && !settings->triple)
        cpu = level_of(&host, settings->run.precision);
    status_return_if_failed(cpu_target(arena, settings->triple, cpu, true, &shipment->target));
    if (shipment->target.tiles != CPU_TILES_NONE && shipment->target.tiles != CPU_TILES_PAIRS)
        return status_failure(arena,
                              "not supported: objects that multiply tiles (--cpu %s); x86-64-v4 "
                              "and x86-64-v4-bf16 are the best levels for them",
                              cpu);
    shipment->run_cpu = level_of(&host, PRECISION_FP32);
    Status runs = cpu_target(arena, NULL, shipment->target.cpu, false, &host);
    shipment->same_code = status_fine(runs) && strncmp(host.triple, shipment->target.triple,
                                                       strcspn(host.triple, "-") + 1) == 0;
    if (shipment->same_code)
        shipment->run_cpu = shipment->target.cpu;
    return STATUS_FINE;
}

/* ---- Making ---------------------------------------------------------------------------------- */

static Status compile_here(Shipment *shipment, const Graph *network, Diagnostics *diagnostics) {
    ExecutorOptions run = shipment->settings->run;
    PassOptions *pass = &shipment->pass;
    *pass = shipment->settings->pass;
    pass->training = ship_trains(shipment);
    if (pass->beta2 <= 0)
        pass->beta2 = network_uses_batch_norm(network) ? 0.95 : 0.999;
    run.cpu = shipment->run_cpu;
    shipment->graph = graph_copy(network, shipment->arena);
    if (!passes_run(shipment->graph, pass, NULL, diagnostics, NULL, NULL))
        return status_failure(shipment->arena, "this network cannot be compiled for that entry");
    return compiled_program_create(shipment->arena, shipment->graph, &run, NULL,
                                   &shipment->compiled);
}

static void find_constants(Shipment *shipment) {
    const Plan *plan = shipment->compiled.plan;
    for (int i = 0; i < plan->buffer_count; i++) {
        const PlanBuffer *buffer = &plan->buffers[i];
        ArtefactConstant constant = {buffer->name, plan_executor_buffer(shipment->compiled.executor,
                                                                        PLAN_INPUTS, buffer->name)};
        if (buffer->region == PLAN_INPUTS && ship_is_constant(buffer->name))
            vector_push(shipment->arena, &shipment->constants, constant);
    }
}

static void make_artefact(Shipment *shipment, Artefact *artefact) {
    const ShipSettings *settings = shipment->settings;
    ArtefactOptions options = {.target = &shipment->target,
                               .prefix = shipment->prefix,
                               .form = emits[settings->emit].form,
                               .constants = shipment->constants.items,
                               .records = shipment->records.items,
                               .samples = shipment->samples.items,
                               .constant_count = shipment->constants.count,
                               .record_count = shipment->records.count,
                               .sample_count = shipment->samples.count,
                               .identity = shipment->image.bytes,
                               .identity_bytes = SHIP_IDENTITY_BYTES,
                               .weights = settings->embed ? shipment->image.bytes : NULL,
                               .weight_bytes = shipment->image.size};
    cpu_artefact(shipment->arena, shipment->compiled.program, &options, artefact);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static Status write_file(Shipment *shipment, const char *path, const void *bytes, size_t size,
                         ShipFile *file) {
    FilePiece piece = {bytes, size};
    status_return_if_failed(file_replace(shipment->arena, path, &piece, 1));
    *file = (ShipFile){path, size};
    return STATUS_FINE;
}

/* Runs the compiler driver cc, which knows how this system links. */
static Status link_shared(Arena *arena, const char *object, const char *library) {
    char *arguments[] = {"cc", "-shared", "-nostdlib", "-o", NULL, NULL, NULL};
    pid_t child;
    int status = 0;
    arguments[4] = arena_copy_text(arena, library, strlen(library));
    arguments[5] = arena_copy_text(arena, object, strlen(object));
    int error = posix_spawnp(&child, arguments[0], NULL, NULL, arguments, environ);
    if (error)
        return status_failure(arena, "cc, which links shared libraries, cannot be run: %s",
                              strerror(error));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return STATUS_FINE;
    return status_failure(arena, "%s: cc could not link it", library);
}

static Status write_shared(Shipment *shipment, const Artefact *artefact, ShipFile *file) {
    Arena *arena = shipment->arena;
    const char *path = shipment->settings->output;
    const char *object = arena_format(arena, "%s.%ld.o", shipment->base, (long)getpid());
    const char *library = arena_format(arena, "%s.%ld.so", shipment->base, (long)getpid());
    struct stat info;
    status_return_if_failed(
        write_file(shipment, object, artefact->object.bytes, artefact->object.size, file));
    Status status = link_shared(arena, object, library);
    unlink(object);
    if (status_fine(status) && (stat(library, &info) != 0 || rename(library, path) != 0))
        status = status_failure(arena, "%s: %s", path, strerror(errno));
    if (!status_fine(status)) {
        unlink(library);
        return status;
    }
    *file = (ShipFile){path, (size_t)info.st_size};
    return STATUS_FINE;
}

static Status write_files(Shipment *shipment, Artefact *artefact) {
    Arena *arena = shipment->arena;
    ShipResult *result = shipment->result;
    const ShipSettings *settings = shipment->settings;
    const char *header = ship_header(shipment, artefact->plan);
    if (settings->emit == SHIP_SHARED)
        status_return_if_failed(write_shared(shipment, artefact, &result->object));
    else
        status_return_if_failed(write_file(shipment, settings->output, artefact->object.bytes,
                                           artefact->object.size, &result->object));
    status_return_if_failed(write_file(shipment, arena_format(arena, "%s.h", shipment->base),
                                       header, strlen(header), &result->header));
    if (settings->embed)
        return STATUS_FINE;
    return write_file(shipment, arena_format(arena, "%s.weights", shipment->base),
                      shipment->image.bytes, shipment->image.size, &result->weights);
}

/* ---- All ------------------------------------------------------------------------------------- */

static Status ship_compiled(Shipment *shipment) {
    double start = clock_seconds();
    ShipResult *result = shipment->result;
    status_return_if_failed(ship_load_weights(shipment));
    ship_make_image(shipment);
    find_constants(shipment);
    status_return_if_failed(ship_record(shipment));
    result->recorded_seconds = clock_seconds() - start;
    make_artefact(shipment, &result->artefact);
    Status status = write_files(shipment, &result->artefact);
    object_destroy(&result->artefact.object);
    result->target = shipment->target;
    result->kernels = shipment->compiled.statistics.kernels;
    return status;
}

Status ship(Arena *arena, const Graph *network, const ShipSettings *settings,
            Diagnostics *diagnostics, ShipResult *result) {
    Shipment shipment = {.arena = arena, .settings = settings, .result = result};
    *result = (ShipResult){0};
    if (settings->emit == SHIP_SHARED && settings->triple)
        return status_failure(arena, "shared libraries are linked for this machine only; compile "
                                     "an object and link it by the target's own compiler");
    name_files(&shipment);
    status_return_if_failed(choose_target(&shipment));
    Status status = compile_here(&shipment, network, diagnostics);
    if (status_fine(status))
        status = ship_compiled(&shipment);
    compiled_program_destroy(&shipment.compiled);
    return status;
}
