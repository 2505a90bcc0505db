/* The header of an object: sizes, memory, tensors by name and shape, and short inline functions. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/text.h"
#include "passes/settings.h"
#include "runtime/train/mask.h"
#include "tools/ship/ship.h"

/* A stretch of memory with a name. */
typedef struct Tensor {
    const char *name;
    int region;
    DType dtype;
    Layout layout;
    int rank;
    int64_t shape[TYPE_MAX_RANK], offset; /* bytes */
} Tensor;

typedef VECTOR(Tensor) Tensors;

typedef struct Header {
    Arena *arena;
    const Shipment *shipment;
    const Plan *plan;
    Text text;
    const char *prefix, *upper;
    Tensors tensors;
} Header;

/* ---- Tensors --------------------------------------------------------------------------------- */

static void set_shape(const Graph *graph, const Type *type, Tensor *tensor) {
    bool rows = type->form == FORM_DENSE || type->form == FORM_PER_IMAGE;
    if (rows)
        tensor->shape[tensor->rank++] = type->batch;
    if (type->form == FORM_DENSE || type->form == FORM_PLAIN)
        for (int d = 0; d < type->rank; d++)
            tensor->shape[tensor->rank++] = type->extent[d];
    if (rows)
        tensor->shape[tensor->rank++] = type->channels;
    if (!rows && type->form != FORM_PLAIN)
        tensor->shape[tensor->rank++] = graph_elements(graph, type);
}

/* The type of a named buffer that is no parameter. */
static const Type *type_of(const Graph *graph, const PlanBuffer *buffer) {
    const StateSlot *slot = graph_find_state(graph, buffer->name);
    const Node *output = graph_find_output(graph, buffer->name);
    const Node *scalar = graph_find_source(graph, OP_scalar, buffer->name);
    const Value *input = graph_find_input(graph, buffer->name);
    const Type *type = NULL;
    if (buffer->region == PLAN_STATE)
        type = slot ? &slot->type : NULL;
    else if (buffer->region == PLAN_OUTPUTS)
        type = output ? &output->operands[0]->type : NULL;
    else if (scalar)
        type = &scalar->results[0].type;
    else
        type = input ? &input->type : NULL;
    return type;
}

/* The cell list is no value of the graph. */
static void set_cells(const Graph *graph, Tensor *tensor) {
    tensor->dtype = DTYPE_I32;
    tensor->rank = 2;
    tensor->shape[0] = graph->geometry.batch;
    tensor->shape[1] = graph->geometry.keep;
}

static void add_buffer(Header *header, const PlanBuffer *buffer) {
    const Graph *graph = header->shipment->graph;
    Tensor tensor = {.name = buffer->name, .region = buffer->region, .offset = buffer->offset};
    const Type *type = type_of(graph, buffer);
    if (type) {
        tensor.dtype = type->dtype;
        set_shape(graph, type, &tensor);
    } else {
        invariant(strcmp(buffer->name, "cells") == 0, "the buffer %s is of no value", buffer->name);
        set_cells(graph, &tensor);
    }
    vector_push(header->arena, &header->tensors, tensor);
}

static void add_parameters(Header *header) {
    const Graph *graph = header->shipment->graph;
    for (size_t i = 0; i < graph->segments.count; i++) {
        const Segment *segment = &graph->segments.items[i];
        Tensor tensor = {.name = segment->name,
                         .region = PLAN_PARAMS,
                         .dtype = segment->type.dtype,
                         .layout = segment->layout,
                         .offset = segment->offset * (int64_t)dtype_size(DTYPE_F32)};
        set_shape(graph, &segment->type, &tensor);
        vector_push(header->arena, &header->tensors, tensor);
    }
}

static void collect_tensors(Header *header) {
    add_parameters(header);
    for (int i = 0; i < header->plan->buffer_count; i++) {
        const PlanBuffer *buffer = &header->plan->buffers[i];
        bool constant = buffer->region == PLAN_INPUTS && ship_is_constant(buffer->name);
        if (buffer->region != PLAN_PARAMS && !constant)
            add_buffer(header, buffer);
    }
}

static const Tensor *find_tensor(const Header *header, const char *name) {
    for (size_t i = 0; i < header->tensors.count; i++)
        if (strcmp(header->tensors.items[i].name, name) == 0)
            return &header->tensors.items[i];
    return NULL;
}

/* ---- Texts ----------------------------------------------------------------------------------- */

/* Appends a template: $x is the prefix, $X the same in capitals. */
static void append(Header *header, const char *template) {
    for (const char *at = template; *at; at++) {
        if (*at == '$' && (at[1] == 'x' || at[1] == 'X'))
            text_append(&header->text, "%s", *++at == 'x' ? header->prefix : header->upper);
        else
            text_append_bytes(&header->text, at, 1);
    }
}

static const char *upper_case(Arena *arena, const char *name) {
    char *upper = arena_copy_text(arena, name, strlen(name));
    for (char *at = upper; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    return upper;
}

static void append_shape(Text *text, const Tensor *tensor) {
    text_append(text, "%s[", dtype_name(tensor->dtype));
    for (int d = 0; d < tensor->rank; d++)
        text_append(text, "%s%" PRId64, d > 0 ? " x " : "", tensor->shape[d]);
    text_append(text, "]");
}

static void append_start(Header *header) {
    const Shipment *shipment = header->shipment;
    const Geometry *geometry = &shipment->graph->geometry;
    text_append(&header->text, "/* ");
    text_append_c_comment(&header->text, shipment->graph->network);
    text_append(&header->text, ", %s: %" PRId64 " x %" PRId64,
                pass_settings_entries()[shipment->pass.entry], geometry->batch, geometry->channels);
    for (int d = 0; d < geometry->space; d++)
        text_append(&header->text, " x %" PRId64, geometry->image[d]);
    text_append(&header->text, "; for %s, %s. Written by sparkc " SPARKC_VERSION ".\n",
                shipment->target.triple, shipment->target.cpu);
    append(header, " *\n"
                   " * The caller owns all memory and gives it aligned to $X_ALIGNMENT bytes. Any "
                   "number of threads\n"
                   " * may call, each with inputs, outputs, scratch and workspace of its own. */\n"
                   "#ifndef $X_OBJECT_H\n"
                   "#define $X_OBJECT_H\n\n"
                   "#include <stddef.h>\n"
                   "#include <stdint.h>\n"
                   "#include <string.h>\n");
    if (ship_trains(shipment))
        append(header, "#include <math.h>\n");
}

static const char shared_types[] =
    "\n"
    "/* What the headers of all objects share. */\n"
    "#ifndef SPARKC_ABI\n"
    "#define SPARKC_ABI %d\n\n"
    "/* Runs chunk `chunk` in the workspace of `thread`, a number from 0. */\n"
    "typedef void sparkc_task(void *job, int64_t chunk, int thread);\n\n"
    "/* Calls task(job, chunk, thread) once for each chunk from 0 to chunks - 1, in any order, "
    "and\n"
    " * returns when all are done. No two calls at a time have one thread number. */\n"
    "typedef struct sparkc_parallel {\n"
    "    void (*parallel_for)(void *context, sparkc_task *task, void *job, int64_t chunks);\n"
    "    void *context;\n"
    "} sparkc_parallel;\n\n"
    "enum { SPARKC_FINE, SPARKC_BAD_MEMORY, SPARKC_WRONG_RESULT, SPARKC_WRONG_WEIGHTS };\n"
    "enum { SPARKC_PARAMS, SPARKC_STATE, SPARKC_INPUTS, SPARKC_OUTPUTS };\n"
    "enum { SPARKC_F32, SPARKC_BF16, SPARKC_I32, SPARKC_U32 };\n\n"
    "/* The order of a parameter's dimensions, and what PyTorch has. */\n"
    "enum {\n"
    "    SPARKC_AS_IS,\n"
    "    SPARKC_CONV,  /* kernel.., in, out; PyTorch: out, in, kernel.. */\n"
    "    SPARKC_LINEAR /* in, out; PyTorch: out, in */\n"
    "};\n\n"
    "typedef struct sparkc_tensor {\n"
    "    const char *name;\n"
    "    int region, type, layout, rank;\n"
    "    int64_t shape[%d];\n"
    "    int64_t offset; /* bytes from the start of its region */\n"
    "} sparkc_tensor;\n\n"
    "#elif SPARKC_ABI != %d\n"
    "#error \"this header was written for objects of another ABI; compile all by one sparkc\"\n"
    "#endif\n";

static void append_size(Header *header, const char *name, int64_t size, const char *remark) {
    append(header, "#define $X_");
    text_append(&header->text, "%s %" PRId64 "%s\n", name, size, remark);
}

static void append_sizes(Header *header) {
    const Plan *plan = header->plan;
    const ShipImage *image = &header->shipment->image;
    const char *names[] = {"PARAMS_BYTES", "STATE_BYTES", "INPUTS_BYTES", "OUTPUTS_BYTES",
                           "SCRATCH_BYTES"};
    text_append(&header->text, shared_types, ARTEFACT_ABI, TYPE_MAX_RANK, ARTEFACT_ABI);
    append(header, "\n/* Bytes. */\n");
    append_size(header, "ALIGNMENT", PLAN_ALIGNMENT, "");
    for (int r = 0; r < PLAN_REGIONS; r++)
        append_size(header, names[r], plan->region_bytes[r], "");
    append_size(header, "WORKSPACE_BYTES", plan->workspace_bytes, " /* for each thread */");
    append_size(header, "WEIGHTS_BYTES", (int64_t)image->size, "");
    append_size(header, "WEIGHTS_PARAMS", SHIP_HEAD_BYTES, " /* where they begin */");
    append_size(header, "WEIGHTS_STATE", SHIP_HEAD_BYTES + image->params_bytes, "");
    append_size(header, "WEIGHTS_STATE_BYTES", image->state_bytes, "");
    append(header, "\n/* Of the weights: names, shapes, places and values. */\n#define $X_HASH \"");
    text_append(&header->text, "%s\"\n", image->hash);
}

static void append_functions(Header *header) {
    const char *constant = ship_trains(header->shipment) ? "" : "const ";
    append(header, "\n/* The memory of a call. */\n"
                   "typedef struct $x_memory {\n");
    text_append(&header->text, "    %svoid *params; /* the parameters */\n", constant);
    text_append(&header->text, "    %svoid *state;  /* what else outlives a call */\n", constant);
    append(header,
           "    void *inputs, *outputs;\n"
           "    void *scratch;   /* of this call; holds nothing between calls */\n"
           "    void *workspace; /* $X_WORKSPACE_BYTES for each thread of parallel_for */\n"
           "} $x_memory;\n\n"
           "#ifdef __cplusplus\n"
           "extern \"C\" {\n"
           "#endif\n\n"
           "/* Runs the program. parallel NULL: in this thread alone; the results are the same "
           "bits. Returns\n"
           " * SPARKC_FINE, or SPARKC_BAD_MEMORY if a pointer is missing or not aligned. */\n"
           "int $x_run(const $x_memory *memory, const sparkc_parallel *parallel);\n\n"
           "/* Whether this processor has the instructions that the object uses: 1 or 0. */\n"
           "int $x_supported(void);\n\n"
           "/* Runs a recorded input, which it writes to the inputs, with the weights of the "
           "compilation in\n"
           " * place, and compares: SPARKC_FINE, SPARKC_BAD_MEMORY or SPARKC_WRONG_RESULT. */\n"
           "int $x_selftest(const $x_memory *memory, const sparkc_parallel *parallel);\n\n"
           "extern const unsigned char $x_identity[64]; /* what the weights begin with */\n");
    if (header->shipment->settings->embed)
        append(header, "extern const unsigned char $x_weights[$X_WEIGHTS_BYTES];\n");
    append(header, "\n#ifdef __cplusplus\n}\n#endif\n");
}

static void append_weights(Header *header) {
    append(header,
           "\n/* Whether an image of weights, a file or what is embedded, is this object's. "
           "*/\n"
           "static inline int $x_weights_match(const void *image, size_t size) {\n"
           "    return size == $X_WEIGHTS_BYTES && memcmp(image, $x_identity, 64) == 0;\n"
           "}\n\n");
    if (ship_trains(header->shipment))
        append(header,
               "/* Copies an image of weights to params and state: where training starts. */\n"
               "static inline int $x_load_weights(const $x_memory *memory, const void *image,\n"
               "                                  size_t size) {\n"
               "    const char *bytes = (const char *)image;\n"
               "    if (!$x_weights_match(image, size))\n"
               "        return SPARKC_WRONG_WEIGHTS;\n"
               "    memcpy(memory->params, bytes + $X_WEIGHTS_PARAMS, $X_PARAMS_BYTES);\n"
               "    memset(memory->state, 0, $X_STATE_BYTES);\n"
               "    memcpy(memory->state, bytes + $X_WEIGHTS_STATE, $X_WEIGHTS_STATE_BYTES);\n"
               "    return SPARKC_FINE;\n"
               "}\n");
    else
        append(
            header,
            "/* Points params and state into an image of weights, which has to be aligned and "
            "stays. */\n"
            "static inline int $x_use_weights($x_memory *memory, const void *image, size_t size) "
            "{\n"
            "    const char *bytes = (const char *)image;\n"
            "    if (!$x_weights_match(image, size))\n"
            "        return SPARKC_WRONG_WEIGHTS;\n"
            "    memory->params = bytes + $X_WEIGHTS_PARAMS;\n"
            "    memory->state = bytes + $X_WEIGHTS_STATE;\n"
            "    return SPARKC_FINE;\n"
            "}\n");
}

/* ---- Inputs and outputs ---------------------------------------------------------------------- */

static void append_accessor(Header *header, const Tensor *tensor, TextIdentifiers *taken) {
    static const char *const types[] = {[DTYPE_F32] = "float",
                                        [DTYPE_BF16] = "uint16_t",
                                        [DTYPE_I32] = "int32_t",
                                        [DTYPE_U32] = "uint32_t"};
    bool input = tensor->region == PLAN_INPUTS;
    Text *text = &header->text;
    const char *type = types[tensor->dtype], *constant = input ? "" : "const ";
    text_append(text, "\n/* ");
    text_append_c_comment(text, tensor->name);
    text_append(text, ": ");
    append_shape(text, tensor);
    text_append(text, " */\nstatic inline %s%s *%s_%s_%s(const %s_memory *memory) {\n", constant,
                type, header->prefix, input ? "input" : "output",
                text_unique_c_identifier(header->arena, taken, tensor->name), header->prefix);
    text_append(text, "    return (%s%s *)((%schar *)memory->%s + %" PRId64 ");\n}\n", constant,
                type, constant, input ? "inputs" : "outputs", tensor->offset);
}

static void append_accessors(Header *header) {
    for (int region = PLAN_INPUTS; region <= PLAN_OUTPUTS; region++) {
        TextIdentifiers taken = {0};
        for (size_t i = 0; i < header->tensors.count; i++)
            if (header->tensors.items[i].region == region)
                append_accessor(header, &header->tensors.items[i], &taken);
    }
}

static void append_table(Header *header) {
    static const char *const regions[] = {"SPARKC_PARAMS", "SPARKC_STATE", "SPARKC_INPUTS",
                                          "SPARKC_OUTPUTS"};
    static const char *const types[] = {"SPARKC_F32", "SPARKC_BF16", "SPARKC_I32", "SPARKC_U32"};
    static const char *const layouts[] = {"SPARKC_AS_IS", "SPARKC_CONV", "SPARKC_LINEAR"};
    Text *text = &header->text;
    append(header, "\n/* All tensors by name, *count of them. */\n"
                   "static inline const sparkc_tensor *$x_tensors(int *count) {\n"
                   "    static const sparkc_tensor tensors[] = {\n");
    for (size_t i = 0; i < header->tensors.count; i++) {
        const Tensor *tensor = &header->tensors.items[i];
        text_append(text, "        {\"");
        text_append_c_string(text, tensor->name);
        text_append(text, "\", %s, %s, %s, %d, {", regions[tensor->region], types[tensor->dtype],
                    layouts[tensor->layout], tensor->rank);
        for (int d = 0; d < TYPE_MAX_RANK; d++)
            text_append(text, "%s%" PRId64, d > 0 ? ", " : "", tensor->shape[d]);
        text_append(text, "}, %" PRId64 "},\n", tensor->offset);
    }
    append(header, "    };\n"
                   "    *count = (int)(sizeof tensors / sizeof *tensors);\n"
                   "    return tensors;\n"
                   "}\n");
}

/* ---- Training -------------------------------------------------------------------------------- */

/* mask_draw of runtime/train/mask.h: the same cells. */
static const char draw_cells[] =
    "\n"
    "/* Draws the visible cells of each picture, uniformly and in ascending order: a function of "
    "seed and\n"
    " * step (Philox 4x32-10, of which the first word is taken). */\n"
    "static inline void $x_draw_cells(uint32_t seed, uint32_t step, int32_t *list) {\n"
    "    for (int64_t image = 0; image < $X_BATCH; image++) {\n"
    "        int32_t order[$X_CELLS];\n"
    "        unsigned char visible[$X_CELLS] = {0};\n"
    "        for (int32_t i = 0; i < $X_CELLS; i++)\n"
    "            order[i] = i;\n"
    "        for (int64_t i = 0; i < $X_KEEP; i++) {\n"
    "            uint64_t index = (uint64_t)(image * $X_CELLS + i);\n"
    "            uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = step, c3 = 0;\n"
    "            uint32_t k0 = seed, k1 = 2;\n"
    "            for (int round = 0; round < 10; round++) {\n"
    "                uint64_t a = UINT64_C(0xD2511F53) * c0, b = UINT64_C(0xCD9E8D57) * c2;\n"
    "                c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;\n"
    "                c1 = (uint32_t)b;\n"
    "                c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;\n"
    "                c3 = (uint32_t)a;\n"
    "                k0 += UINT32_C(0x9E3779B9);\n"
    "                k1 += UINT32_C(0xBB67AE85);\n"
    "            }\n"
    "            int64_t other = i + (int64_t)((uint64_t)c0 * (uint64_t)($X_CELLS - i) >> 32);\n"
    "            int32_t cell = order[other];\n"
    "            order[other] = order[i];\n"
    "            order[i] = cell;\n"
    "            visible[cell] = 1;\n"
    "        }\n"
    "        for (int32_t cell = 0; cell < $X_CELLS; cell++)\n"
    "            if (visible[cell])\n"
    "                *list++ = cell;\n"
    "    }\n"
    "}\n";

static void append_scalar(Header *header, const char *name, const char *value) {
    if (find_tensor(header, name))
        text_append(&header->text, "    *%s_input_%s(memory) = %s;\n", header->prefix, name, value);
}

/* The shortest decimals that read back as the same number. */
static const char *number_text(Arena *arena, double number) {
    int digits = 1;
    const char *text = arena_format(arena, "%.*g", digits, number);
    while (strtod(text, NULL) != number)
        text = arena_format(arena, "%.*g", ++digits, number);
    return text;
}

/* What tools/train/trainer.c sets. */
static void append_set_step(Header *header) {
    const PassOptions *pass = &header->shipment->pass;
    Arena *arena = header->arena;
    append(header,
           "\n/* Sets all inputs of training step `step` = 0, 1, .. but the pictures, as `sparkc "
           "pretrain` does\n"
           " * for a seed. A step whose result `ok` is not 1 has changed nothing. */\n"
           "static inline void $x_set_step(const $x_memory *memory, uint32_t seed, uint32_t step,\n"
           "                               double lr, double weight_decay) {\n");
    append_scalar(header, "lr", "(float)lr");
    append_scalar(header, "weight_decay", "(float)weight_decay");
    append_scalar(header, "bias_correction1",
                  arena_format(arena, "(float)(1 - pow(%s, (double)step + 1))",
                               number_text(arena, pass->beta1)));
    append_scalar(header, "bias_correction2_sqrt",
                  arena_format(arena, "(float)sqrt(1 - pow(%s, (double)step + 1))",
                               number_text(arena, pass->beta2)));
    append_scalar(header, "seed", "seed");
    append_scalar(header, "step", "step");
    if (find_tensor(header, "cells"))
        text_append(&header->text,
                    "    %s_draw_cells(seed ^ 0x%x, step, %s_input_cells(memory));\n",
                    header->prefix, MASK_SEED, header->prefix);
    append(header, "}\n");
}

static void append_training(Header *header) {
    const Graph *graph = header->shipment->graph;
    append(header, "\n");
    append_size(header, "BATCH", graph->geometry.batch, "");
    append_size(header, "CELLS", graph_cells(graph), " /* of a picture */");
    append_size(header, "KEEP", graph->geometry.keep, "  /* of them visible */");
    append(header, draw_cells);
    append_set_step(header);
}

char *ship_header(const Shipment *shipment, const Plan *plan) {
    Arena *arena = shipment->arena;
    Header header = {.arena = arena,
                     .shipment = shipment,
                     .plan = plan,
                     .text = text_create(arena),
                     .prefix = shipment->prefix,
                     .upper = upper_case(arena, shipment->prefix)};
    collect_tensors(&header);
    append_start(&header);
    append_sizes(&header);
    append_functions(&header);
    append_weights(&header);
    append_accessors(&header);
    append_table(&header);
    if (ship_trains(shipment))
        append_training(&header);
    append(&header, "\n#endif\n");
    return header.text.data;
}
