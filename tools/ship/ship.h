/* An entry of a network as files for a C program: an object (or what a linker or LLVM makes one
 * of), a header, and the weights in the object or in a file of their own. */
#ifndef SPARKC_TOOLS_SHIP_SHIP_H
#define SPARKC_TOOLS_SHIP_SHIP_H

#include "base/diagnostics.h"
#include "codegen/cpu/artefact.h"
#include "passes/passes.h"
#include "tools/execute/compiled_program.h"

typedef enum ShipEmit {
    SHIP_OBJECT,
    SHIP_ASSEMBLY,
    SHIP_LLVM,
    SHIP_BITCODE,
    SHIP_SHARED /* a shared library, by the system's compiler driver */
} ShipEmit;

typedef struct ShipSettings {
    PassOptions pass;    /* the entry is features, logits or train_step */
    const char *weights; /* a safetensors file; NULL: initial values by the seed */
    uint32_t seed;
    const char *output; /* the object; header and weights lie beside it */
    const char *prefix; /* of all names; NULL: from the output's */
    ShipEmit emit;
    bool embed;          /* the weights into the object */
    const char *triple;  /* NULL: this machine */
    ExecutorOptions run; /* .cpu: the level to compile for, NULL: the best that this CPU has */
} ShipSettings;

typedef struct ShipFile {
    const char *path;
    size_t bytes;
} ShipFile;

typedef struct ShipResult {
    ShipFile object, header, weights; /* no path: not written */
    Artefact artefact;                /* its object is gone */
    CpuTarget target;
    int kernels;
    double recorded_seconds; /* for loading the weights and the recorded run */
    VECTOR(const char *)
    problems; /* what does not fit in the file of weights, a line each; names
                 are as they are there */
} ShipResult;

/* Compiles `network`, as the front end made it. Mistakes of the network's are reported in
 * `diagnostics`. On a failure no file is half written; some may be new. */
Status ship(Arena *arena, const Graph *network, const ShipSettings *settings,
            Diagnostics *diagnostics, ShipResult *result);

/* ---- Its parts ------------------------------------------------------------------------------- */

/* The weights as they lie in memory: a head, the parameters, the states. What the head begins with
 * is in the object too. Zeros at the end of the states are left out where the program writes them.
 */
enum { SHIP_IDENTITY_BYTES = 64, SHIP_HEAD_BYTES = 128, SHIP_HASH_DIGITS = 64 };

typedef struct ShipImage {
    char *bytes;
    size_t size;
    int64_t params_bytes, state_bytes; /* in the image */
    char hash[SHIP_HASH_DIGITS + 1];   /* of names, shapes, places and values */
} ShipImage;

/* A network's entry on its way. */
typedef struct Shipment {
    Arena *arena;
    const ShipSettings *settings;
    PassOptions pass;          /* the settings', with all that is automatic chosen */
    const char *base, *prefix; /* the output's path without its suffix */
    Graph *graph;              /* after the passes */
    CompiledProgram compiled;  /* as it runs here */
    CpuTarget target;          /* of the object */
    bool same_code;            /* the object is compiled for the target that runs here */
    const char *run_cpu;       /* of the recorded run; not the same code: without tiles and pairs */
    ShipImage image;
    VECTOR(ArtefactConstant) constants;
    VECTOR(ArtefactRecord) records;
    VECTOR(ArtefactSample) samples;
    ShipResult *result;
} Shipment;

/* Whether the program writes its parameters and states. */
bool ship_trains(const Shipment *shipment);

/* Whether an input is the same in every run, and so no input of the object. */
bool ship_is_constant(const char *input);

/* Puts the weights of the settings' file, or initial values, into the memory of the program
 * (ship_weights.c). */
Status ship_load_weights(Shipment *shipment);

/* Makes the image of that memory (ship_weights.c). */
void ship_make_image(Shipment *shipment);

/* Runs the program once on an input that is recorded, with what comes out, for the object's
 * selftest (ship_selftest.c). A failure if what comes out is not finite. */
Status ship_record(Shipment *shipment);

/* The text of the header (ship_header.c). */
char *ship_header(const Shipment *shipment, const Plan *plan);

#endif
